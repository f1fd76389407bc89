"""What deployments work on and with: the pages as they run now, and the adapters that do the IO."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from tqsd.builder import Builder
from tqsd.config import Mode, ServerSettings
from tqsd.deployment import Deployment
from tqsd.manager import WorkerManager
from tqsd.page import Page
from tqsd.release import Pointers, Release
from tqsd.slots import Ports, Slots
from tqsd.table import BROKEN, SERVING, STARTING, route_entry
from tqsd.worker import Worker


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


class Releases(Protocol):
    """The release store, as far as a deployment needs it."""

    def pointers(self, slug: str) -> Pointers: ...
    def point(self, slug: str, pointers: Pointers) -> None: ...
    def retain(self, slug: str, running: set[str]) -> None: ...


class Records(Protocol):
    def append(self, record: dict[str, Any]) -> None: ...


@dataclass(slots=True)
class Suite:
    """Everything that belongs to one site being served. See the module."""

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
    slots: Slots = field(init=False)
    lives: dict[str, Live] = field(default_factory=dict)
    behind: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.slots = Slots(self.manager, self.ports, self.outfit)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let `work` go on behind a deployment."""
        task = asyncio.create_task(work)
        self.behind.add(task)
        task.add_done_callback(self.behind.discard)
        return task
