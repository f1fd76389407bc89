"""The watcher service: composes builder, store, manager, proxies and control sockets, and runs until SIGTERM.

It gets its sockets by LISTEN_FDS, named proxy, status and control; embedded, also "manager": the way to the process
that owns the workers. TQS_SITE, TQS_MODE and TQS_RUN (with TQS_VAR, TQS_CACHE, TQS_ETC) say what it works on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import Any

from tqsd.before import run_before
from tqsd.builder.queue import BuildQueue
from tqsd.builder.runtimes import Runtimes
from tqsd.builder.venv import retain
from tqsd.config import Mode, ServerSettings
from tqsd.control.proxies import Proxies
from tqsd.control.server import ControlServer
from tqsd.history import History
from tqsd.manager import WorkerManager
from tqsd.manager.remote import RemoteManager
from tqsd.outfit import outfit
from tqsd.page import Page, Runtime
from tqsd.place import Place
from tqsd.recover import recover
from tqsd.release import Release
from tqsd.site import find_wildcard_listen, read_not_found
from tqsd.state import PortLeases, read_json
from tqsd.store import Store
from tqsd.suite import Suite
from tqsd.systemd.listen import listeners
from tqsd.systemd.notify import notify
from tqsd.table import FORMAT, broken_entry, table
from tqsd.watch.answers import Answers
from tqsd.watch.changes import Changes
from tqsd.watch.sight import Sight
from tqsd.watch.watcher import Watcher
from tqsd.worker import Worker

_PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}

log = logging.getLogger(__name__)


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Priority())
    sockets = listeners()
    (connection,) = sockets.pop("manager")
    asyncio.run(_run(Place.of(os.environ), sockets, connection))
    return 0


class _Priority(logging.Formatter):
    """Lines with the <N> prefix that the journal understands (sd-daemon(3)); further lines of a message get one too."""

    def format(self, record: logging.LogRecord) -> str:
        level = _PRIORITIES.get(record.levelno, 3)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


async def _run(place: Place, sockets: dict[str, list[socket.socket]], connection: socket.socket) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    manager = await RemoteManager.connect(connection)
    proxies = Proxies(place.paths.table)
    leases = PortLeases()
    store = Store(place.paths.releases)
    store.sweep()
    retain(place.paths.venvs, store.venvs())
    watcher = _watcher(place, manager, proxies, leases, store)
    answers = Answers(watcher, proxies)
    server = ControlServer(proxies, answers.readers(), answers.verbs())
    watcher.look()
    old = read_json(place.paths.table, FORMAT) or {}
    proxies.adopt(old)
    missing = await recover(watcher.suite, old, store.get, leases, proxies.settled)
    await server.listen(sockets)
    await proxies.switch(watcher.suite.table, [])
    watcher.changes.start()
    tasks = [
        asyncio.create_task(work) for work in (watcher.follow(), watcher.mourn(), stopped.wait(), manager.closed())
    ]
    await watcher.begin(missing)
    notify("READY=1")
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    for task in (*tasks, *watcher.orders.values(), *watcher.suite.behind):
        task.cancel()
    await asyncio.gather(*tasks, *watcher.orders.values(), *watcher.suite.behind, return_exceptions=True)
    watcher.changes.close()
    for task in done:
        if not task.cancelled() and task.exception():
            raise task.exception()  # type: ignore[misc]


def _watcher(place: Place, manager: WorkerManager, proxies: Proxies, leases: PortLeases, store: Store) -> Watcher:
    builder = BuildQueue(Runtimes(place.site, store, place.paths, place.mode), lanes=os.cpu_count() or 1)

    sight = Sight(place)

    def outfitted(page: Page, release: Release, port: int) -> Worker:
        return outfit(place, page, release, port, sight.variables(page))

    async def before(page: Page, release: Release) -> None:
        environment = outfit(place, page, release, 0, sight.variables(page)).environment
        await run_before(page, release, environment, place.site, lambda line: log.info("%s: %s", page.name, line))

    def next_table() -> dict[str, Any]:
        return _table(watcher, proxies.table.get("version", 0) + 1)

    suite = Suite(
        mode=place.mode,
        server=ServerSettings(),
        builder=builder,
        manager=manager,
        proxies=proxies,
        ports=leases,
        store=store,
        history=History(place.paths.history),
        outfit=outfitted,
        before=before,
        files=lambda page, release, held: _files(place, page, release, held),
        table=next_table,
        point_out=lambda page: find_wildcard_listen(place.site, page),
    )
    watcher = Watcher(sight, suite, store, Changes(place.site))
    return watcher


def _files(place: Place, page: Page, release: Release, held: bool) -> str:
    """Where a static page is served from: in dev its sources, so that a save is there with the next request."""
    if release.runtime != Runtime.STATIC:
        return ""
    return str(page.directory if place.mode is Mode.DEV and not held else release.directory)


def _table(watcher: Watcher, version: int) -> dict[str, Any]:
    """The table of the lives as they are. In production strangers do not read compiler output, only where to look."""
    place, suite = watcher.place, watcher.suite

    def shown(reason: str) -> str:
        return reason if place.mode is Mode.DEV or not reason else "see `tqsd status`"

    entries = [live.entry(shown) for live in suite.lives.values()]
    for name, route in watcher.sight.discovery.broken.items():
        if route and name not in suite.lives:
            text = "\n".join(map(str, watcher.sight.discovery.problems_of(name)))
            entries.append(broken_entry(name, route, shown(text)))
    return table(version, place.mode, suite.server, entries, read_not_found(place.site))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
