"""At most so many builds at once, and the one asked for last goes first: it is the one somebody waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tqsd.builder import Builder
from tqsd.page import Page
from tqsd.release import Release


class BuildQueue:
    """A Builder that lets `lanes` builds of another one run at a time."""

    def __init__(self, builder: Builder, lanes: int) -> None:
        self._builder = builder
        self._free = lanes
        self._waiting: list[asyncio.Future[None]] = []

    async def build(self, page: Page) -> Release:
        async with self._lane():
            return await self._builder.build(page)

    def stale(self, page: Page, release: Release) -> bool:
        return self._builder.stale(page, release)

    def watches(self, page: Page, release: Release | None) -> frozenset[Path]:
        return self._builder.watches(page, release)

    @contextlib.asynccontextmanager
    async def _lane(self) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the lane came as the caller gave up: pass it on
                    self._pass_on()
                else:
                    self._waiting.remove(turn)
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.pop().set_result(None)
        else:
            self._free += 1
