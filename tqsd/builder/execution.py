"""Running a command that a page's settings name: its lines as they come, and its end together with its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqsd.builder.toolchain import to_the_end

LINE = 2048  # bytes; longer output lines are cut into pieces, so that a flood without newlines stays bounded
_LAST_WORDS = 1.0  # seconds to read on after the end, while a child that left the session holds the pipe

# The parent-death signal: a migration must not go on when the next watcher has begun the same one.
_SPAWN = (shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", "--")


class _Lines:
    """Cuts a stream of bytes into lines of text."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._partial = b""
        self.ended = asyncio.Event()

    def feed(self, chunk: bytes) -> None:
        """What was read; nothing is the end."""
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) >= LINE or (self._partial and not chunk):
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            for start in range(0, max(len(line), 1), LINE):
                self._tell(line[start : start + LINE].decode(errors="replace").rstrip("\r"))
        if not chunk:
            self.ended.set()


async def execute(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    timeout: float,
    tell: Callable[[str], None],
) -> int:
    """Run a command to its end; returns its status, negative for a signal. `tell` gets its output line by line.

    Raises TimeoutError after `timeout` seconds, OSError when it cannot be started. However this ends, also by
    cancellation, the command and all its children have been killed.
    """
    loop = asyncio.get_running_loop()
    process = subprocess.Popen(
        [*_SPAWN, *command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        bufsize=0,
    )
    assert process.stdout
    pipe, pidfd = process.stdout.fileno(), os.pidfd_open(process.pid)
    os.set_blocking(pipe, False)
    lines, gone = _Lines(tell), asyncio.Event()
    loop.add_reader(pipe, _read, pipe, lines)
    loop.add_reader(pidfd, _end, pidfd, gone)
    try:
        async with asyncio.timeout(timeout):
            await gone.wait()
    finally:
        # Before it is reaped its pid, and so the group's number, cannot belong to anybody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            await to_the_end(_last_words(lines, gone))
        finally:
            loop.remove_reader(pipe)
            os.close(pidfd)
            process.stdout.close()
            process.wait()
    return process.returncode


def ended(status: int) -> str:
    """The end of a command in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    with contextlib.suppress(ValueError):  # a real-time signal
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"


def _read(pipe: int, lines: _Lines) -> None:
    with contextlib.suppress(BlockingIOError):
        chunk = os.read(pipe, 65536)
        if not chunk:
            asyncio.get_running_loop().remove_reader(pipe)
        lines.feed(chunk)


def _end(pidfd: int, gone: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(pidfd)
    gone.set()


async def _last_words(lines: _Lines, gone: asyncio.Event) -> None:
    await gone.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS):
            await lines.ended.wait()
