"""The one deploy path: build -> start -> ready -> switch; drain -> stop follow behind it.

First start, edit, `deploy`, `rollback` and `restart` all call `deploy`; an order that brings its releases begins at
"start". Until the switch a failure or a cancellation changes nothing: new workers are stopped, the old ones serve on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from tqsd.builder import Builder
from tqsd.config import Mode, ServerSettings
from tqsd.errors import BuildError, NotReady, StoreError, TqsdError
from tqsd.manager import WorkerManager
from tqsd.page import Page, Runtime
from tqsd.release import Pointers, Release
from tqsd.table import BROKEN, SERVING, STARTING, concurrency, route_entry
from tqsd.worker import Worker, listens_everywhere

DRAINING_RELEASES = 3  # per page; one more, and the oldest is closed

log = logging.getLogger(__name__)


class Cause(StrEnum):
    START = "start"
    SAVE = "save"
    SETTINGS = "settings"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    RESTART = "restart"
    WATCH = "watch"  # a file that the page watches has changed


class Outcome(StrEnum):
    SWITCHED = "switched"
    UNCHANGED = "unchanged"  # the sources gave the release that serves already
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """What to deploy and why. A page with a release in `releases` is not built.

    afresh  the pages that get new workers even for the release that serves
    """

    pages: tuple[str, ...]
    cause: Cause
    who: str = ""
    releases: Mapping[str, Release] = field(default_factory=dict)
    afresh: frozenset[str] = frozenset()
    holds: str = ""  # of a rollback: the release that the sources would give, "?" when there is none
    settle: float = 0.0  # seconds between the first event of a save and this order


@dataclass(slots=True)
class Deployment:
    """The record of one run: `stages` in milliseconds, and why it failed if it did."""

    order: Order
    began: float = field(default_factory=time.time)  # unix seconds
    stages: dict[str, float] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = Outcome.FAILED
    error: str = ""
    hint: str = ""
    output: str = ""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = round((time.perf_counter() - start) * 1000, 2)

    def failed(self, error: TqsdError) -> None:
        self.error, self.hint = error.message, error.hint
        self.output = getattr(error, "output", "")

    def as_json(self) -> dict[str, Any]:
        return {
            "time": round(self.began, 3),
            "pages": list(self.order.pages),
            "cause": self.order.cause,
            "who": self.order.who,
            "outcome": self.outcome,
            "releases": self.releases,
            "stages": self.stages,
            "error": self.error,
            "hint": self.hint,
            "output": self.output,
        }


@dataclass(slots=True)
class Retired:
    """Workers out of the table whose last exchanges may go on; `hurry` ends their patience."""

    workers: tuple[Worker, ...]
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Live:
    """One page as it runs now. The lock is held from "start" to the end of the switch."""

    page: Page
    release: Release | None = None
    workers: tuple[Worker, ...] = ()
    at_once: int = 0  # requests that each of the workers gets
    files: str = ""  # where a static page is served from
    draining: list[Retired] = field(default_factory=list)
    held: bool = False  # requests wait in the proxies until somebody releases the page
    reason: str = ""  # why the present sources do not serve
    warning: str = ""
    last: Deployment | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def serves(self) -> bool:
        return bool(self.workers or self.files)

    @property
    def state(self) -> str:
        return SERVING if self.serves else BROKEN if self.reason else STARTING

    def entry(self, shown: Callable[[str], str]) -> dict[str, Any]:
        entry = route_entry(self.page, self.workers, self.state, shown(self.reason))
        at_once = self.at_once or entry["concurrency"]
        return {**entry, "concurrency": at_once, "files": self.files, "held": self.held}


class Switchboard(Protocol):
    """The proxies, all as one."""

    async def switch(self, next_table: Callable[[], dict[str, Any]], pages: list[str]) -> None: ...
    async def drained(self, ports: Collection[int], timeout: float) -> bool: ...
    async def close(self, ports: Collection[int]) -> None: ...


class Ports(Protocol):
    def take(self) -> int: ...
    def give_back(self, port: int) -> None: ...


class Releases(Protocol):
    """The release store, as far as a deployment needs it."""

    def pointers(self, slug: str) -> Pointers: ...
    def point(self, slug: str, pointers: Pointers) -> None: ...
    def retain(self, slug: str, running: set[str]) -> None: ...


class Records(Protocol):
    def append(self, record: dict[str, Any]) -> None: ...


@dataclass(slots=True)
class Suite:
    """What deployments work on and with: the live pages, and the adapters that do the IO."""

    mode: Mode
    server: ServerSettings
    builder: Builder
    manager: WorkerManager
    proxies: Switchboard
    ports: Ports
    store: Releases
    history: Records
    before: Callable[[Page, Release], Coroutine[Any, Any, None]]  # runs `deploy.before`; raises TqsdError
    outfit: Callable[[Page, Release, int], Worker]  # page, release, port -> the worker to start
    files: Callable[[Page, Release, bool], str]  # page, release, held -> where a static page is served from
    table: Callable[[], dict[str, Any]]  # the next table, from `lives` as they are
    point_out: Callable[[Page], str]  # the source line that listens on all interfaces
    lives: dict[str, Live] = field(default_factory=dict)
    behind: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let `work` go on behind a deployment."""
        task = asyncio.create_task(work)
        self.behind.add(task)
        task.add_done_callback(self.behind.discard)
        return task


async def deploy(order: Order, suite: Suite) -> Deployment:
    """Bring the pages of `order` to their releases, all of them or none; never raises TqsdError, the record tells.

    Cancelling stops a build or a start; a switch that has begun is finished first.
    """
    record = Deployment(order)
    record.stages["settle"] = round(order.settle * 1000, 2)
    try:
        with record.stage("build"):
            releases = {**await _build(order, suite), **order.releases}
        record.releases = {name: release.digest for name, release in releases.items()}
        async with _locked(order.pages, suite):
            changed = {
                name: r for name, r in releases.items() if name in order.afresh or _differs(suite.lives[name], r)
            }
            if changed:
                await _before(record, changed, suite)
                with record.stage("start"):
                    workers = await _start(changed, suite)
                await _to_the_end(_switch(record, changed, workers, suite))
            else:
                record.outcome = Outcome.UNCHANGED
                await _settled(order, suite)
    except TqsdError as error:
        record.failed(error)
        await _to_the_end(_failed(record, suite))
    return record


async def withdraw(names: Collection[str], suite: Suite) -> None:
    """Take pages out of the table; their workers finish what they have and stop."""
    gone = [suite.lives.pop(name) for name in names]
    await suite.proxies.switch(suite.table, [])
    for live in gone:
        retire(live, live.workers, suite)


async def _build(order: Order, suite: Suite) -> dict[str, Release]:
    names = [name for name in order.pages if name not in order.releases]
    if not names:
        return {}
    builds = {name: asyncio.ensure_future(suite.builder.build(suite.lives[name].page)) for name in names}
    try:
        await asyncio.gather(*builds.values())
    finally:
        for build in builds.values():
            build.cancel()
        await asyncio.wait(builds.values())
    return {name: build.result() for name, build in builds.items()}


def _differs(live: Live, release: Release) -> bool:
    return live.release is None or live.release.digest != release.digest or not live.serves


async def _before(record: Deployment, releases: Mapping[str, Release], suite: Suite) -> None:
    """Run what the pages that were built want to have run before their start, each to its end: a migration."""
    built = [name for name in releases if name not in record.order.releases]
    wanted = [name for name in sorted(built) if suite.lives[name].page.settings.deploy.before]
    if wanted:
        with record.stage("before"):
            for name in wanted:
                await _to_the_end(suite.before(suite.lives[name].page, releases[name]))


async def _start(releases: Mapping[str, Release], suite: Suite) -> dict[str, list[Worker]]:
    """Every worker of every release, ready; or none of them, and the first reason raised."""
    workers: dict[str, list[Worker]] = {name: [] for name in releases}
    starts: list[asyncio.Future[None]] = []
    try:
        for name, release in releases.items():
            live = suite.lives[name]
            for _ in range(0 if release.runtime == Runtime.STATIC else live.page.settings.max_children):
                worker = _outfit(live, release, suite)
                workers[name].append(worker)
                starts.append(asyncio.ensure_future(_start_one(live, release.runtime, worker, suite)))
        await asyncio.gather(*starts)
    except BaseException:
        for start in starts:
            start.cancel()
        suite.spawn(_stop([worker for several in workers.values() for worker in several], suite))
        raise
    return workers


def _outfit(live: Live, release: Release, suite: Suite) -> Worker:
    port = suite.ports.take()
    try:
        return suite.outfit(live.page, release, port)
    except BaseException:
        suite.ports.give_back(port)
        raise


async def _start_one(live: Live, runtime: str, worker: Worker, suite: Suite) -> None:
    status = await suite.manager.start(worker)
    live.warning, live.at_once = "", concurrency(live.page, runtime, status)
    if listens_everywhere(status):
        said = f"the worker of {live.page.name} answers on all interfaces ({status.removeprefix('listening on ')})"
        hint = f'listen on "127.0.0.1:" + the port, {suite.point_out(live.page)}'
        if suite.mode is Mode.PROD:
            raise NotReady(f"{said}, open to the network beside the proxy", hint)
        live.warning = f"{said}; in production it is refused: {hint}"
        log.warning("%s", live.warning)


async def _switch(
    record: Deployment, releases: Mapping[str, Release], workers: Mapping[str, list[Worker]], suite: Suite
) -> None:
    with record.stage("switch"):
        old = {}
        for name, release in releases.items():
            live = suite.lives[name]
            old[name] = live.workers
            live.release, live.workers, live.reason = release, tuple(workers[name]), ""
            live.files = suite.files(live.page, release, bool(record.order.holds))
        await suite.proxies.switch(suite.table, list(releases))
    for name, release in releases.items():
        live = suite.lives[name]
        retire(live, old[name], suite)
        _point(record.order, live, release, suite)
    record.outcome = Outcome.SWITCHED
    _remember(record, suite)


def _point(order: Order, live: Live, release: Release, suite: Suite) -> None:
    """Keep which release is current, previous and pinned; a full disk costs only this memory, not the switch."""
    slug = live.page.slug
    try:
        before = suite.store.pointers(slug)
        pinned = order.holds or (before.pinned if live.page.name in order.afresh else None)
        previous = before.current if before.current != release.digest else before.previous
        suite.store.point(slug, Pointers(current=release.digest, previous=previous, pinned=pinned))
        running = {release.digest, *(worker.release for retired in live.draining for worker in retired.workers)}
        suite.store.retain(slug, running)
    except (OSError, StoreError) as error:
        log.warning("the release of %s serves, but this could not be recorded: %s", live.page.name, error)


async def _settled(order: Order, suite: Suite) -> None:
    """The sources are what serves already: an old reason for a failure is over, and so is a pin."""
    cleared = False
    for name in order.pages:
        live = suite.lives[name]
        cleared |= bool(live.reason)
        live.reason = ""
        if live.release and order.cause in (Cause.DEPLOY, Cause.SAVE):
            before = suite.store.pointers(live.page.slug)
            if before.pinned:
                suite.store.point(live.page.slug, replace(before, pinned=None))
    if cleared:
        await suite.proxies.switch(suite.table, [])


async def _failed(record: Deployment, suite: Suite) -> None:
    text = "\n".join(part for part in (record.error, record.hint and f"-> {record.hint}", record.output) if part)
    for name in record.order.pages:
        if name in suite.lives:
            suite.lives[name].reason = text
    await suite.proxies.switch(suite.table, [])
    _remember(record, suite)


def retire(live: Live, workers: tuple[Worker, ...], suite: Suite) -> None:
    """Let workers that are out of the table finish what they have, then stop them; returns at once."""
    if not workers:
        return
    retired = Retired(workers)
    live.draining.append(retired)
    for oldest in live.draining[:-DRAINING_RELEASES]:
        oldest.hurry.set()
    suite.spawn(_drain(live, retired, suite))


async def _drain(live: Live, retired: Retired, suite: Suite) -> None:
    ports = [worker.port for worker in retired.workers]
    drained = asyncio.ensure_future(suite.proxies.drained(ports, suite.server.drain_timeout))
    hurried = asyncio.ensure_future(retired.hurry.wait())
    await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not (drained.done() and drained.result()):
        await suite.proxies.close(ports)
    drained.cancel()
    hurried.cancel()
    await _stop(retired.workers, suite)
    live.draining.remove(retired)


async def _stop(workers: Collection[Worker], suite: Suite) -> None:
    """End workers and free their ports, which only a worker that is gone gives back."""
    for worker, ended in zip(
        workers, await asyncio.gather(*map(suite.manager.stop, workers), return_exceptions=True), strict=True
    ):
        if isinstance(ended, BaseException):
            log.warning("the worker of %s on port %d may still run: %s", worker.page, worker.port, ended)
        else:
            suite.ports.give_back(worker.port)


def _remember(record: Deployment, suite: Suite) -> None:
    for name in record.order.pages:
        if name in suite.lives:
            suite.lives[name].last = record
    try:
        suite.history.append(record.as_json())
    except OSError as error:
        log.warning("the history could not be written: %s", error)


@contextlib.asynccontextmanager
async def _locked(pages: Collection[str], suite: Suite) -> AsyncIterator[None]:
    """The locks of all pages, always taken in the order of their names, so that two sets cannot wait for each other."""
    async with contextlib.AsyncExitStack() as stack:
        for name in sorted(pages):
            if name not in suite.lives:
                raise BuildError(f"{name} has been removed while it was deployed")
            await stack.enter_async_context(suite.lives[name].lock)
        yield


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end even when the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
