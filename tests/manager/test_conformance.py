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

from tests.manager.programs import Programs
from tqsd.errors import NotReady
from tqsd.manager import WorkerManager
from tqsd.manager.embedded import EmbeddedManager
from tqsd.manager.remote import RemoteManager, serve
from tqsd.worker import Worker, WorkerState

pytestmark = pytest.mark.process

Lines = list[str]
Story = Callable[[WorkerManager, Programs, Lines], Awaitable[None]]


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


@pytest.fixture(params=[False, True], ids=["notifies", "probed"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Programs:
    return Programs(tmp_path, probed=request.param)


@pytest.fixture(params=[embedded, remote], ids=["embedded", "remote"])
def told(request: pytest.FixtureRequest, programs: Programs) -> Callable[[Story], None]:
    def tell(story: Story) -> None:
        async def run() -> None:
            lines: Lines = []
            async with asyncio.timeout(60), request.param(lines) as manager:
                await story(manager, programs, lines)

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
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        assert await manager.start(programs.worker("ready")) == programs.status
        assert [(w.page, w.port, w.release) for w in await manager.list()] == [("ready", programs.port, "r1")]

    told(story)


def test_a_slot_is_listed_and_becomes_the_worker(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        full = programs.worker("shows")
        await manager.arm(
            Worker(full.page, full.slug, full.port, directory=programs.directory, environment=full.environment)
        )
        await manager.arm(
            Worker(full.page, full.slug, full.port, directory=programs.directory, environment=full.environment)
        )
        assert [w.release for w in await manager.list()] == [""]
        await manager.start(full)
        assert [w.release for w in await manager.list()] == ["r1"]

    told(story)


def test_a_slot_that_is_not_needed_can_be_stopped(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        slot = programs.worker("ready")
        await manager.arm(slot)
        await manager.stop(slot)
        assert await manager.list() == []

    told(story)


def test_a_worker_gets_its_directory_its_environment_and_its_own_path(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        shows = programs.worker("shows")
        await manager.start(shows)
        assert await seen(lines, "cwd") == f"cwd {programs.directory}"
        assert await seen(lines, "release") == "release r1"
        assert await seen(lines, "argv0") == f"argv0 {shows.executable}"
        names = set((await seen(lines, "names")).split()[1:])
        assert names - {"LC_CTYPE", "PWD", "OLDPWD", "_"} == {
            "NOTIFY_SOCKET",
            "PATH",
            "PORT",
            "TQS_PAGE",
            "TQS_RELEASE",
        }

    told(story)


def test_a_worker_that_ends_at_once_is_not_ready_and_leaves_nothing(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        with pytest.raises(NotReady) as caught:
            await manager.start(programs.worker("exits"))
        assert "ended with exit status 3 before it was ready" in caught.value.message
        assert caught.value.output == "no database"
        assert await manager.list() == []

    told(story)


def test_a_worker_that_goes_to_the_background_is_not_ready_and_is_told_to_stay(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        with pytest.raises(NotReady, match="ended with exit status 0 before it was ready") as caught:
            await manager.start(programs.worker("leaves"))
        assert "in the foreground" in caught.value.hint
        assert await manager.list() == []

    told(story)


def test_a_silent_worker_is_not_ready_in_time_and_is_ended(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        with pytest.raises(NotReady) as caught:
            await manager.start(programs.worker("silent", ready_timeout=1.0))
        assert "was not ready within 1 s" in caught.value.message
        assert caught.value.output == "still loading"
        assert await manager.list() == []

    told(story)


def test_the_reason_a_worker_gives_is_in_the_error(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        with pytest.raises(NotReady) as caught:
            await manager.start(programs.worker("elsewhere", ready_timeout=3.0))
        assert "was not ready within 3 s: it listens on port " in caught.value.message
        assert "$PORT" in caught.value.hint

    told(story)


def test_a_program_that_is_missing_is_not_ready(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        gone = programs.worker("ready")
        assert gone.executable
        gone.executable.unlink()
        with pytest.raises(NotReady, match="before it was ready"):
            await manager.start(gone)

    told(story)


def test_a_worker_whose_directory_is_gone_is_not_ready(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        with pytest.raises(NotReady, match="could not be started: No such file or directory"):
            await manager.start(programs.worker("ready", directory=Path("/nowhere")))
        assert await manager.list() == []

    told(story)


def test_the_path_of_a_worker_is_for_the_worker_alone(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        own = {"PATH": "/nowhere", "PORT": str(programs.port)}
        assert await manager.start(programs.worker("ready", environment=own)) == programs.status

    told(story)


def test_what_a_stranger_does_makes_no_worker_ready(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        with pytest.raises(NotReady, match="was not ready within"):
            await manager.start(programs.worker("stranger", ready_timeout=1.0))

    told(story)


def test_a_cancelled_start_leaves_no_worker(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        starting = asyncio.create_task(manager.start(programs.worker("silent")))
        await seen(lines, "still loading")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        while await manager.list():
            await asyncio.sleep(0.005)

    told(story)


def test_stop_ends_a_worker_and_a_gone_one_is_fine(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        ready = programs.worker("ready")
        await manager.start(ready)
        await manager.stop(ready)
        await manager.stop(ready)
        assert await manager.list() == []

    told(story)


def test_a_worker_that_ignores_sigterm_is_killed_after_its_timeout(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        stubborn = programs.worker("stubborn", stop_timeout=0.2)
        await manager.start(stubborn)
        await manager.stop(stubborn)
        assert await manager.list() == []

    told(story)


def test_the_children_of_a_worker_end_with_it(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        family = programs.worker("family")
        await manager.start(family)
        child = int((await seen(lines, "child")).split()[1])
        await manager.stop(family)
        while alive(child):
            await asyncio.sleep(0.005)

    told(story)


def test_a_crashed_worker_is_told_of_and_comes_back_on_its_port(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        shows = programs.worker("family")
        exits = manager.exits()
        waiting = asyncio.ensure_future(anext(exits))
        await manager.start(shows)
        os.kill(parent_of(int((await seen(lines, "child")).split()[1])), signal.SIGKILL)
        end = await waiting
        assert (end.page, end.port, end.release, end.restarts) == ("family", programs.port, "r1", 1)
        assert end.reason == "was killed by SIGKILL"
        lines.clear()
        await seen(lines, "child")
        assert [w.port for w in await manager.list()] == [programs.port]

    told(story)


def test_a_worker_that_came_back_becomes_ready_again(programs: Programs) -> None:
    async def story() -> None:
        lines: Lines = []
        async with asyncio.timeout(60):
            manager = EmbeddedManager(lambda _, line: lines.append(line))
            waiting = asyncio.ensure_future(anext(manager.exits()))
            await manager.start(programs.worker("family"))
            os.kill(parent_of(int((await seen(lines, "child")).split()[1])), signal.SIGKILL)
            await waiting
            while manager._children[programs.port].state is not WorkerState.READY:
                await asyncio.sleep(0.005)
            await manager.close()

    asyncio.run(story())


def test_a_flood_of_output_neither_blocks_nor_grows(told: Callable[[Story], None]) -> None:
    async def story(manager: WorkerManager, programs: Programs, lines: Lines) -> None:
        await manager.start(programs.worker("flood"))
        await seen(lines, "flooded")
        assert max(len(line) for line in lines) <= 8192

    told(story)


def test_a_probed_worker_may_say_itself_that_it_is_ready(tmp_path: Path) -> None:
    async def story() -> None:
        async with asyncio.timeout(60), embedded([]) as manager:
            assert await manager.start(Programs(tmp_path).worker("ready", probe="auto")) == "listening"

    asyncio.run(story())


def test_what_a_probe_misses_is_logged_while_it_waits(tmp_path: Path) -> None:
    async def story() -> None:
        lines: Lines = []
        programs = Programs(tmp_path, probed=True)
        async with asyncio.timeout(60), embedded(lines) as manager:
            starting = asyncio.create_task(manager.start(programs.worker("elsewhere")))
            line = await seen(lines, "tqsd: not ready yet")
            assert line.endswith(f", not on {programs.port}: read $PORT")
            await manager.stop(programs.worker("elsewhere"))
            with pytest.raises(NotReady):
                await starting

    asyncio.run(story())


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
