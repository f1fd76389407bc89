"""The one deploy path: build -> start -> ready -> switch; drain -> stop follow behind it.

First start, edit, `deploy`, `rollback` and `restart` all call `deploy`; an order that brings its releases begins at
"start". Until the switch a failure or a cancellation changes nothing: new workers are stopped, the old ones serve on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from tqsd.config import Mode
from tqsd.deployment import Cause, Deployment, Order, Outcome
from tqsd.errors import BuildError, NotReady, StoreError, TqsdError
from tqsd.page import Runtime
from tqsd.release import Pointers, Release
from tqsd.suite import Live, Retired, Suite
from tqsd.table import concurrency
from tqsd.worker import Worker, listens_everywhere

DRAINING_RELEASES = 3  # per page; one more, and the oldest is closed

log = logging.getLogger(__name__)


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
    if suite.mode is Mode.PROD:
        await suite.slots.drop(order.pages)
    elif order.cause is Cause.SAVE:
        _arm([name for name in order.pages if name in suite.lives], suite)  # for the next edit
    return record


async def withdraw(names: Collection[str], suite: Suite) -> None:
    """Take pages out of the table; their workers finish what they have and stop."""
    gone = [suite.lives.pop(name) for name in names]
    await suite.slots.drop(names)
    await suite.proxies.switch(suite.table, [])
    for live in gone:
        retire(live, live.workers, suite)


async def _build(order: Order, suite: Suite) -> dict[str, Release]:
    names = [name for name in order.pages if name not in order.releases]
    if not names:
        return {}
    _arm(names, suite)
    builds = {name: asyncio.ensure_future(suite.builder.build(suite.lives[name].page)) for name in names}
    try:
        await asyncio.gather(*builds.values())
    finally:
        for build in builds.values():
            build.cancel()
        await asyncio.wait(builds.values())
    return {name: build.result() for name, build in builds.items()}


def _arm(names: Collection[str], suite: Suite) -> None:
    """Let the slots of Python pages load while their release is built."""
    for live in (suite.lives[name] for name in names):
        if live.page.runtime is Runtime.PYTHON and live.release and live.release.runtime == Runtime.PYTHON:
            suite.spawn(suite.slots.arm(live.page, live.release))


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
                worker = await suite.slots.take(live.page, release) or _outfit(live, release, suite)
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
