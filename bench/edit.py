"""From the save of a file to the first answer of the new version, as a client sees it, with `tqsd dev`.

A client asks for the page about once a millisecond. Before, between and after, its time is that of `tqsd history`:
settle, build, start, switch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.dev import load, serving, traffic

PAGES = ("fast", "asgi", "node", "files")
PAUSE = 0.2  # seconds from one new version to the next edit


def measure(edits: int = 20, pages: Sequence[str] = PAGES) -> dict[str, Any]:
    """By page: milliseconds of each edit, from save to first new answer, and by stage."""
    return {"edits": edits, "pages": {page: _edit(page, edits) for page in pages}}


def _edit(page: str, edits: int) -> dict[str, Any]:
    seen = []
    path = traffic(page)[1]
    with serving([page, "slow", "socket"]) as dev:
        client = ("-get", path, "-keep", "1", "-fresh", "0", "-head", "0", "-think", "1ms")
        with load(dev.url, *client) as clients:
            clients.wait_until_ready()
            for version in range(2, edits + 2):
                saved = time.time_ns()
                dev.save(page, version)
                seen.append((clients.first_answer(path, version) - saved) / 1e6)
                time.sleep(PAUSE)
            result = clients.finish()
        records = [r for r in dev.history(page) if (r["cause"], r["outcome"]) == ("save", "switched")]
    stages: dict[str, list[float]] = {}
    for record in records:
        for stage, took in record["stages"].items():
            stages.setdefault(stage, []).append(took)
    return {"seen": seen, "stages": stages, "requests": result["requests"], "failed": result["failed"]}
