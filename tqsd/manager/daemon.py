"""One of tqsd's own services as a child process, kept alive and given its sockets the way systemd does it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence

from tqsd.manager.embedded import PAUSES, how_it_ended
from tqsd.manager.notifications import Notifications

FIRST = 3  # the number of the first socket passed, SD_LISTEN_FDS_START
_ABOVE = 64  # sockets are moved up here before they take their places, so that none is overwritten
_PASS = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"'

Sockets = Sequence[tuple[str, socket.socket]]  # with their names, as in LISTEN_FDNAMES


class Daemon:
    """Runs `python -m module`; when it ends by itself it is started again, with pauses that grow while it fails.

    sockets  called at every start; the sockets it returns stay open here
    log      gets every line the service writes, and one when it ended
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        sockets: Callable[[], Sockets],
        notifications: Notifications,
        log: Callable[[str], None],
    ) -> None:
        self.ready = asyncio.Event()
        self._module = module
        self._environment = environment
        self._sockets = sockets
        self._notifications = notifications
        self._log = log
        self._pid = 0
        self._failures = 0
        self._stopping = False
        self._gone = asyncio.Event()
        self._gone.set()
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._again = None
        self._gone.clear()
        sockets = self._sockets()
        moved = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE) for _, s in sockets]
        mine, theirs = os.pipe()
        actions: list[tuple[int, int, int]] = [(os.POSIX_SPAWN_DUP2, theirs, out) for out in (1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, handle, FIRST + n) for n, handle in enumerate(moved)]
        environment = {
            **self._environment,
            "LISTEN_FDS": str(len(sockets)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in sockets),
            "NOTIFY_SOCKET": self._notifications.address,
        }
        # A session of its own: Ctrl-C in the terminal reaches only the process that keeps the order of the end.
        command = (
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            "/bin/sh",
            "-c",
            _PASS,
            "sh",
            sys.executable,
            "-m",
            self._module,
        )
        try:
            self._pid = os.posix_spawnp(command[0], command, environment, file_actions=actions, setsid=True)
        finally:
            for handle in (*moved, theirs):
                os.close(handle)
        self._notifications.watch(self._pid, self._hear)
        os.set_blocking(mine, False)
        self._loop.add_reader(mine, self._read, mine, bytearray())
        pidfd = os.pidfd_open(self._pid)
        self._loop.add_reader(pidfd, self._ended, pidfd)

    async def stop(self, timeout: float) -> None:
        """SIGTERM, after `timeout` seconds SIGKILL; returns when it is gone."""
        self._stopping = True
        if self._again:
            self._again.cancel()
            self._gone.set()
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), timeout)
            return
        self.signal(signal.SIGKILL)
        await self._gone.wait()

    def signal(self, number: signal.Signals) -> None:
        if self._pid:
            os.kill(self._pid, number)

    def _hear(self, told: dict[str, str]) -> None:
        if told.get("READY") == "1":
            self._failures = 0
            self.ready.set()

    def _read(self, handle: int, partial: bytearray) -> None:
        try:
            chunk = os.read(handle, 65536)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.remove_reader(handle)
            os.close(handle)
        *lines, rest = (bytes(partial) + chunk).split(b"\n")
        partial[:] = rest[-65536:]
        for line in lines:
            self._log(line.decode(errors="replace"))

    def _ended(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._notifications.forget(self._pid)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        self.ready.clear()
        if self._stopping:
            self._gone.set()
            return
        self._failures += 1
        pause = PAUSES[min(self._failures, len(PAUSES)) - 1]
        self._log(f"<4>{self._module} {how_it_ended(os.waitstatus_to_exitcode(status))}; starting it again")
        self._again = self._loop.call_later(pause, self.start)
