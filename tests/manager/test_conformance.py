"""The contract of WorkerManager, held against every implementation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.manager.programs import worker
from tqsd.errors import NotReady
from tqsd.manager import WorkerManager
from tqsd.manager.embedded import EmbeddedManager
from tqsd.manager.remote import RemoteManager, serve
from tqsd.worker import Worker

pytestmark = pytest.mark.process

Lines = list[str]
Story = Callable[[WorkerManager, Path, Lines], Awaitable[None]]


@contextlib.asynccontextmanager
async def embedded(lines: Lines) -> AsyncIterator[WorkerManager]:
    manager = EmbeddedManager(lambda _, line: lines.append(line))
    try:
        yield manager
    finally:
        await manager.close()


@contextlib.asynccontextmanager
async def remote(lines: Lines) -> AsyncIterator[WorkerManager]:
    ours, theirs = socket.socketpair()
    async with embedded(lines) as manager:
        serving = asyncio.create_task(serve(manager, theirs))
        client = await RemoteManager.connect(ours)
        try:
            yield client
        finally:
            await client.close()
            await serving


@pytest.fixture(params=[embedded, remote], ids=["embedded", "remote"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    def tell(story: Story) -> None:
        async def run() -> None:
            lines: Lines = []
            async with asyncio.timeout(60), request.param(lines) as manager:
                await story(manager, tmp_path, lines)

        asyncio.run(run())

    return tell


async def seen(lines: Lines, start: str) -> str:
    async with asyncio.timeout(20):
        while True:
            for line in lines:
                if line.startswith(start):
                    return line
            await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_start_returns_the_status_once_the_worker_is_ready(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        assert await manager.start(worker(path, "ready")) == "listening"
        assert [(w.page, w.port, w.release) for w in await manager.list()] == [("ready", 14001, "r1")]

    told(story)


def test_a_slot_is_listed_and_becomes_the_worker(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        full = worker(path, "shows")
        await manager.arm(Worker(full.page, full.slug, full.port, directory=path, environment=full.environment))
        await manager.arm(Worker(full.page, full.slug, full.port, directory=path, environment=full.environment))
        assert [w.release for w in await manager.list()] == [""]
        await manager.start(full)
        assert [w.release for w in await manager.list()] == ["r1"]

    told(story)


def test_a_slot_that_is_not_needed_can_be_stopped(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        slot = worker(path, "ready")
        await manager.arm(slot)
        await manager.stop(slot)
        assert await manager.list() == []

    told(story)


def test_a_worker_gets_its_directory_its_environment_and_its_own_path(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        shows = worker(path, "shows")
        await manager.start(shows)
        assert await seen(lines, "cwd") == f"cwd {path}"
        assert await seen(lines, "release") == "release r1"
        assert await seen(lines, "argv0") == f"argv0 {shows.executable}"
        names = set((await seen(lines, "names")).split()[1:])
        assert names - {"LC_CTYPE", "PWD", "OLDPWD", "_"} == {"NOTIFY_SOCKET", "PATH", "TQS_PAGE", "TQS_RELEASE"}

    told(story)


def test_a_worker_that_ends_at_once_is_not_ready_and_leaves_nothing(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        with pytest.raises(NotReady) as caught:
            await manager.start(worker(path, "exits"))
        assert "ended with exit status 3 before it was ready" in caught.value.message
        assert caught.value.output == "no database"
        assert await manager.list() == []

    told(story)


def test_a_silent_worker_is_not_ready_in_time_and_is_ended(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        with pytest.raises(NotReady) as caught:
            await manager.start(worker(path, "silent", ready_timeout=1.0))
        assert "was not ready within 1 s" in caught.value.message
        assert caught.value.output == "still loading"
        assert await manager.list() == []

    told(story)


def test_the_reason_a_worker_gives_is_in_the_error(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        with pytest.raises(NotReady) as caught:
            await manager.start(worker(path, "tells", ready_timeout=1.0))
        assert "it listens on 127.0.0.1:9, not on 14001" in caught.value.message
        assert "$PORT" in caught.value.hint

    told(story)


def test_a_program_that_is_missing_is_not_ready(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        gone = worker(path, "ready")
        assert gone.executable
        gone.executable.unlink()
        with pytest.raises(NotReady, match="before it was ready"):
            await manager.start(gone)

    told(story)


def test_ready_counts_only_from_the_main_process(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        with pytest.raises(NotReady, match="was not ready within"):
            await manager.start(worker(path, "stranger", ready_timeout=1.0))

    told(story)


def test_a_cancelled_start_leaves_no_worker(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        starting = asyncio.create_task(manager.start(worker(path, "silent")))
        await seen(lines, "still loading")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        while await manager.list():
            await asyncio.sleep(0.005)

    told(story)


def test_stop_ends_a_worker_and_a_gone_one_is_fine(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        ready = worker(path, "ready")
        await manager.start(ready)
        await manager.stop(ready)
        await manager.stop(ready)
        assert await manager.list() == []

    told(story)


def test_a_worker_that_ignores_sigterm_is_killed_after_its_timeout(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        stubborn = worker(path, "stubborn", stop_timeout=0.2)
        await manager.start(stubborn)
        await manager.stop(stubborn)
        assert await manager.list() == []

    told(story)


def test_the_children_of_a_worker_end_with_it(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        family = worker(path, "family")
        await manager.start(family)
        child = int((await seen(lines, "child")).split()[1])
        await manager.stop(family)
        while alive(child):
            await asyncio.sleep(0.005)

    told(story)


def test_a_crashed_worker_is_told_of_and_comes_back_on_its_port(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        shows = worker(path, "family")
        exits = manager.exits()
        waiting = asyncio.ensure_future(anext(exits))
        await manager.start(shows)
        os.kill(parent_of(int((await seen(lines, "child")).split()[1])), signal.SIGKILL)
        end = await waiting
        assert (end.page, end.port, end.release, end.restarts) == ("family", 14001, "r1", 1)
        assert end.reason == "was killed by SIGKILL"
        lines.clear()
        await seen(lines, "child")
        assert [w.port for w in await manager.list()] == [14001]

    told(story)


def test_a_flood_of_output_neither_blocks_nor_grows(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, path: Path, lines: Lines) -> None:
        await manager.start(worker(path, "flood"))
        await seen(lines, "flooded")
        assert max(len(line) for line in lines) <= 8192

    told(story)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
