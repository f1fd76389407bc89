from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.builder.sites import until
from tqsd.builder.execution import LINE, ended, execute

pytestmark = pytest.mark.process


def run(script: str, directory: Path, tell: Callable[[str], None] = print, timeout: float = 60) -> int:
    return asyncio.run(execute(["sh", "-c", script], directory, dict(os.environ), timeout, tell))


def gone(place: Path) -> Callable[[], bool]:
    pid = int(place.read_text())
    return lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_lines_come_in_order_from_both_streams_and_the_status_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    assert run("pwd; echo two >&2; echo; printf 'w\\r\\nlast'; exit 3", tmp_path, lines.append) == 3
    assert lines == [str(tmp_path), "two", "", "w", "last"]


def test_lines_come_while_the_command_runs(tmp_path: Path) -> None:
    def answer(line: str) -> None:
        (tmp_path / line).touch()

    assert run("echo seen; until [ -e seen ]; do sleep 0.01; done", tmp_path, answer) == 0


def test_a_flood_without_newlines_is_cut(tmp_path: Path) -> None:
    lines: list[str] = []
    run("head -c 1000000 /dev/zero | tr '\\0' x", tmp_path, lines.append)
    assert sum(map(len, lines)) == 1_000_000
    assert max(map(len, lines)) <= LINE


def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        run("sleep 1000 & echo $! > pid; wait", tmp_path, timeout=2)
    until(gone(tmp_path / "pid"))


def test_a_child_left_behind_ends_with_the_command(tmp_path: Path) -> None:
    assert run("sleep 1000 & echo $! > pid", tmp_path) == 0
    until(gone(tmp_path / "pid"))


def test_a_child_that_left_the_session_is_not_waited_for(tmp_path: Path) -> None:
    script = "setsid sh -c 'echo > left; exec sleep 1000' & echo $! > pid; until [ -e left ]; do sleep 0.01; done"
    assert run(script, tmp_path) == 0
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    async def story() -> None:
        began = asyncio.Event()
        script = "sleep 1000 & echo $! > pid; echo began; wait"
        command = execute(["sh", "-c", script], tmp_path, dict(os.environ), 60, lambda _: began.set())
        task = asyncio.create_task(command)
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    until(gone(tmp_path / "pid"))


def test_the_end_is_told_in_words(tmp_path: Path) -> None:
    assert ended(run("kill -9 $$", tmp_path)) == "was killed by SIGKILL"
    assert ended(run("kill -40 $$", tmp_path)) == "was killed by signal 40"
    assert ended(run("exit 4", tmp_path)) == "ended with exit status 4"
