"""After any restart of the watcher: running workers, table and store become one consistent picture again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tqsd.deploy import retire
from tqsd.page import Runtime
from tqsd.release import Release
from tqsd.suite import Suite
from tqsd.worker import Worker

log = logging.getLogger(__name__)


class Claims(Protocol):
    def claim(self, port: int) -> bool: ...


Find = Callable[[str, str], Release | None]  # slug, digest -> the release, if the store has it


async def recover(
    suite: Suite, table: dict[str, Any], find: Find, ports: Claims, settled: Callable[[], Awaitable[None]]
) -> set[str]:
    """Fill the lives from what runs; returns the pages that have a release but not all of their workers.

    A worker in the table goes on serving. One outside of it is what a deployment cut short left behind, or still
    finishes requests: it is retired once `settled` returns, when the proxies have said what they still use.
    """
    rows = {route["page"]: route for route in table.get("routes", ())}
    wanted = {(route["page"], target["port"]) for route in table.get("routes", ()) for target in route["targets"]}
    left: list[Worker] = []
    for worker in await suite.manager.list():
        ports.claim(worker.port)
        live = suite.lives.get(worker.page)
        if live is not None and worker.release and (worker.page, worker.port) in wanted:
            live.workers += (worker,)
        else:
            left.append(worker)
    missing = set()
    for name, live in suite.lives.items():
        digest = live.workers[0].release if live.workers else suite.store.pointers(live.page.slug).current
        live.release = find(live.page.slug, digest) if digest else None
        row = rows.get(name, {})
        live.at_once, live.files = row.get("concurrency", 0), row.get("files", "")
        live.held = row.get("held", False)
        wants = live.page.settings.max_children if live.release and live.release.runtime != Runtime.STATIC else 0
        if live.release and (len(live.workers) < wants or not (wants or live.files)):
            missing.add(name)
    if left:
        log.info("%d workers are left from before and will stop when they have finished", len(left))
        suite.spawn(_retire_later(left, suite, settled))
    return missing


async def _retire_later(workers: list[Worker], suite: Suite, settled: Callable[[], Awaitable[None]]) -> None:
    await settled()
    for worker in workers:
        live = suite.lives.get(worker.page)
        if live is not None:
            retire(live, (worker,), suite)
        else:
            await suite.manager.stop(worker)
