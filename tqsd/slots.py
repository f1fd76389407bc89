"""Slots that wait for a release: a page whose program takes long to load has done so when its release is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from tqsd.errors import TqsdError
from tqsd.manager import WorkerManager
from tqsd.page import Page
from tqsd.release import Release
from tqsd.worker import Worker

LIMIT = 4  # of one site


class Ports(Protocol):
    def take(self) -> int: ...
    def give_back(self, port: int) -> None: ...


class Slots:
    """At most one slot for a page, at most LIMIT for all; the one whose page was armed longest ago goes first."""

    def __init__(self, manager: WorkerManager, ports: Ports, outfit: Callable[[Page, Release, int], Worker]) -> None:
        self._manager = manager
        self._ports = ports
        self._outfit = outfit
        self._armed: dict[str, Worker] = {}

    async def arm(self, page: Page, release: Release) -> None:
        """Start a slot for `page`, fitted out as for `release`. A failure is silent: the start proper will tell."""
        if page.name in self._armed:
            return
        port = 0
        try:
            port = self._ports.take()
            slot = self._armed[page.name] = _empty(self._outfit(page, release, port))
            await self._manager.arm(slot)
        except TqsdError:
            self._armed.pop(page.name, None)
            self._ports.give_back(port)  # 0 was none
        await self.drop(list(self._armed)[:-LIMIT])

    async def take(self, page: Page, release: Release) -> Worker | None:
        """The worker that starts in the page's slot; None when there is none, or it was fitted out differently."""
        slot = self._armed.get(page.name)
        if slot is None:
            return None
        worker = self._outfit(page, release, slot.port)
        if replace(_empty(worker), launcher=slot.launcher) != slot:  # a launcher that differs minds that itself
            await self.drop([page.name])
            return None
        del self._armed[page.name]
        return worker

    async def drop(self, pages: Iterable[str]) -> None:
        """End the slots of these pages and free their ports."""
        for name in pages:
            slot = self._armed.pop(name, None)
            if slot is not None:
                await self._manager.stop(slot)
                self._ports.give_back(slot.port)


def _empty(worker: Worker) -> Worker:
    return replace(worker, release="", executable=None)
