"""Small real stand-ins for what a deployment works with: they keep the contracts and remember what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqsd.config import Mode, PageSettings, ServerSettings
from tqsd.errors import BuildError, NotReady, TqsdError
from tqsd.page import Page, Runtime
from tqsd.release import Pointers, Release
from tqsd.suite import Live, Suite
from tqsd.table import table
from tqsd.worker import Exit, Worker


def page(name: str, **settings: Any) -> Page:
    return Page(name, Path("/site/pages") / name, f"/{name}", Runtime.GO, PageSettings(**settings))


def release(name: str, digest: str) -> Release:
    return Release(name, digest, Path("/store") / digest, Path("/store") / digest / "worker")


@dataclass
class FakeBuilder:
    """Gives what `sources` says for each page: a digest, or the BuildError to raise. `gate` makes builds wait."""

    sources: dict[str, str | BuildError] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    cancelled: list[str] = field(default_factory=list)

    async def build(self, page: Page) -> Release:
        try:
            if self.gate:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(page.name)
            raise
        source = self.sources[page.name]
        if isinstance(source, BuildError):
            raise source
        return release(page.name, source)

    def stale(self, page: Page, release: Release) -> bool:
        return self.sources[page.name] != release.digest

    def watches(self, page: Page, release: Release | None) -> frozenset[Path]:
        return frozenset()


@dataclass
class FakeManager:
    """Keeps workers in a dictionary. Releases named in `refused` never get ready; `status` is what workers say."""

    running: dict[int, Worker] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    status: str = "listening on 127.0.0.1:1"
    log: list[str] = field(default_factory=list)

    async def arm(self, worker: Worker) -> None:
        self.running.setdefault(worker.port, worker)

    async def start(self, worker: Worker) -> str:
        self.log.append(f"start {worker.page} {worker.release}")
        if worker.release in self.refused:
            raise NotReady(f"{worker.page} was not ready", output="boom")
        self.running[worker.port] = worker
        return self.status

    async def stop(self, worker: Worker) -> None:
        self.log.append(f"stop {worker.page} {worker.release}")
        self.running.pop(worker.port, None)

    async def list(self) -> list[Worker]:
        return list(self.running.values())

    async def exits(self) -> AsyncIterator[Exit]:
        await asyncio.Event().wait()
        yield Exit("", 0, "", "", 0)


@dataclass
class FakeProxies:
    """Remembers every table; `busy` are ports that are never drained until they are closed."""

    tables: list[dict[str, Any]] = field(default_factory=list)
    held: list[list[str]] = field(default_factory=list)
    busy: set[int] = field(default_factory=set)
    closed: list[int] = field(default_factory=list)

    async def switch(self, next_table: Callable[[], dict[str, Any]], pages: list[str]) -> None:
        await asyncio.sleep(0)
        self.tables.append(next_table())
        self.held.append(pages)

    async def drained(self, ports: Collection[int], timeout: float) -> bool:
        while self.busy & set(ports):
            await asyncio.Event().wait()
        return True

    async def close(self, ports: Collection[int]) -> None:
        self.closed.extend(ports)
        self.busy -= set(ports)


@dataclass
class FakePorts:
    held: set[int] = field(default_factory=set)

    def take(self) -> int:
        port = next(port for port in range(14000, 15000) if port not in self.held)
        self.held.add(port)
        return port

    def give_back(self, port: int) -> None:
        self.held.discard(port)

    def claim(self, port: int) -> bool:
        self.held.add(port)
        return True


@dataclass
class FakeStore:
    kept: dict[str, Pointers] = field(default_factory=dict)
    fails: bool = False

    def pointers(self, slug: str) -> Pointers:
        return self.kept.get(slug, Pointers())

    def point(self, slug: str, pointers: Pointers) -> None:
        if self.fails:
            raise OSError("disk full")
        self.kept[slug] = pointers

    def retain(self, slug: str, running: set[str]) -> None:
        pass


@dataclass
class FakeRecords:
    records: list[dict[str, Any]] = field(default_factory=list)

    def append(self, record: dict[str, Any]) -> None:
        self.records.append(record)


@dataclass
class FakeMigrations:
    """What `deploy.before` runs: remembers which releases served then. `gate` makes it wait, `error` fail."""

    suite: Suite
    ran: list[tuple[str, str, int]] = field(default_factory=list)  # page, release, workers of it that existed
    gate: asyncio.Event | None = None
    error: TqsdError | None = None

    async def run(self, page: Page, release: Release) -> None:
        workers = [worker for worker in await self.suite.manager.list() if worker.release == release.digest]
        self.ran.append((page.name, release.digest, len(workers)))
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error


class FakeSuite(Suite):
    """A Suite of fakes, with the pages it is given."""

    builder: FakeBuilder
    manager: FakeManager
    proxies: FakeProxies
    ports: FakePorts
    store: FakeStore
    history: FakeRecords

    def __init__(self, *pages: Page, mode: Mode = Mode.DEV) -> None:
        super().__init__(
            mode=mode,
            server=ServerSettings(),
            builder=FakeBuilder(),
            manager=FakeManager(),
            proxies=FakeProxies(),
            ports=FakePorts(),
            store=FakeStore(),
            history=FakeRecords(),
            outfit=lambda page, release, port: Worker(page.name, page.slug, port, release.digest, release.executable),
            table=self.next_table,
            before=self.run_before,
            files=lambda page, release, held: "",
            point_out=lambda page: f"in pages/{page.name}/main.go:7",
            lives={page.name: Live(page) for page in pages},
        )
        self.migrations = FakeMigrations(self)

    async def run_before(self, page: Page, release: Release) -> None:
        await self.migrations.run(page, release)

    def next_table(self) -> dict[str, Any]:
        entries = [live.entry(lambda reason: reason) for live in self.lives.values()]
        return table(len(self.proxies.tables) + 1, self.mode, self.server, entries, None)

    async def quiet(self) -> None:
        """Until nothing goes on behind the deployments."""
        while self.behind:
            await asyncio.wait(self.behind)

    def served(self) -> dict[str, list[str]]:
        """What the proxies' last table says: page -> the releases of its targets."""
        return {r["page"]: [t["release"] for t in r["targets"]] for r in self.proxies.tables[-1]["routes"]}
