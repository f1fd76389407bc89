"""What clients notice of 100 switches under full load: failed requests, closed connections, and time spent waiting.

Each switch is a `tqsd rollback`, back and forth between two releases that are built already, so that nothing but
starting, switching and draining is measured. The load has every kind of traffic and takes all CPU time it gets.
"""

from __future__ import annotations

from typing import Any

from bench.dev import load, serving, traffic

PAGES = ("fast", "slow", "asgi", "wsgi", "node", "files")


def measure(swaps: int = 100) -> dict[str, Any]:
    """By page: what the load saw, and what the proxy tells about waiting."""
    return {"swaps": swaps, "pages": {page: _swap(page, swaps) for page in PAGES}}


def _swap(page: str, swaps: int) -> dict[str, Any]:
    with serving([page, "socket"]) as dev:
        dev.save(page, 2)
        dev.wait("the second version", lambda: dev.switched(page) == 2)
        with load(dev.url, *traffic(page), "-any-version") as clients:
            clients.wait_until_ready()
            for _ in range(swaps):
                dev.tqsd("rollback", page)
            return {"load": clients.finish(), "waits": dev.waits()}
