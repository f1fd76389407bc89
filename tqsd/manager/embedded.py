"""Workers as child processes of this one, for machines and sessions without systemd: `tqsd dev` and `tqsd serve`.

It keeps what systemd would keep: READY=1 by datagram, restart with growing pauses, SIGTERM then SIGKILL for the whole
process group, the last log lines. A worker always starts as a slot, a shell that waits for one line and then execs
the release (the same shape as the systemd slots), so that arming ahead and starting at once are one path.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from tqsd.errors import NotReady, TqsdError
from tqsd.manager.notifications import Notifications
from tqsd.manager.probe import Probe
from tqsd.worker import Exit, Worker, WorkerEvent, WorkerState, advance

PAUSES = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before the 1st, 2nd ... restart in a row
STEADY = 10.0  # seconds a worker must have served for its next crash to count as the first again
TAIL = 20  # log lines kept for a worker that fails
_LAST_READS = 16  # of 64 KiB: what a pipe can still hold when its writer has ended
LINE = 8192  # longer output lines are cut into pieces of this size, so that a flood without newlines stays bounded

# exec keeps the pid, so the datagram of the release comes from the pid that was spawned.
_WAIT = 'read -r TQS_RELEASE executable || exit 0; export TQS_RELEASE; exec "$executable" </dev/null'
_SLOT = ("/bin/sh", "-c", _WAIT)  # a worker with a launcher has that wait in its place
# The parent-death signal ends workers when this process is killed; it follows the starting thread (prctl(2)).
_SPAWN = (shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", "--")

Log = Callable[[Worker, str], None]


class _Child:
    """One worker as a child process: its state, its process, and who waits for what of it."""

    __slots__ = (
        "gone",
        "output",
        "partial",
        "probing",
        "process",
        "ready",
        "ready_at",
        "restarts",
        "state",
        "status",
        "timer",
        "worker",
    )

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.state = WorkerState.ARMED
        self.process: subprocess.Popen[bytes] | None = None
        self.status = ""  # the text of its last STATUS= line
        self.output: deque[str] = deque(maxlen=TAIL)
        self.partial = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None
        self.probing: asyncio.Task[None] | None = None
        self.ready_at = 0.0
        self.restarts = 0

    def cancel_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None

    def cancel_probe(self) -> None:
        if self.probing:
            self.probing.cancel()
            self.probing = None


class EmbeddedManager:
    """A WorkerManager whose workers are children of this process. Call `close` at the end; nothing is left then."""

    def __init__(self, log: Log) -> None:
        if not shutil.which(_SPAWN[0]):
            raise TqsdError("the program setpriv is missing", "install the package util-linux")
        self._log = log
        self._children: dict[int, _Child] = {}  # by port
        self._queues: set[asyncio.Queue[Exit]] = set()
        self._loop = asyncio.get_running_loop()
        self._notifications = Notifications()

    async def arm(self, worker: Worker) -> None:
        self._armed(worker)

    def _armed(self, worker: Worker) -> _Child:
        child = self._children.get(worker.port)
        if child is None:
            child = self._children[worker.port] = _Child(worker)
            self._spawn(child)
        return child

    async def start(self, worker: Worker) -> str:
        child = self._armed(worker)
        if child.state is not WorkerState.GONE:  # it could not be spawned then, and `ready` tells why
            child.worker = replace(worker, environment=child.worker.environment)
            child.state = advance(child.state, WorkerEvent.RELEASED)
            self._release(child)
            child.timer = self._loop.call_later(worker.ready_timeout, self._late, child)
        try:
            await asyncio.shield(child.ready)
        except asyncio.CancelledError:
            self._kill(child)
            raise
        except NotReady:
            await child.gone.wait()
            raise
        return child.status

    async def stop(self, worker: Worker) -> None:
        child = self._children.get(worker.port)
        if child is None:
            return
        child.cancel_timer()
        if child.state is WorkerState.RESTARTING and child.process is None:
            self._bury(child)
            return
        child.state = advance(child.state, WorkerEvent.STOPPED)
        if child.process:
            # Only the worker itself: its own children are its business until it is gone (KillMode=mixed).
            os.kill(child.process.pid, signal.SIGTERM)
            child.timer = self._loop.call_later(worker.stop_timeout, self._kill, child)
        await child.gone.wait()

    async def list(self) -> list[Worker]:
        return [child.worker for child in self._children.values() if child.state is not WorkerState.STOPPING]

    async def exits(self) -> AsyncIterator[Exit]:
        queue: asyncio.Queue[Exit] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)

    async def close(self) -> None:
        """Stop every worker and slot, and wait until all are gone."""
        workers = [child.worker for child in self._children.values()]
        await asyncio.gather(*(self.stop(worker) for worker in workers))
        self._notifications.close()

    def kill(self) -> None:
        """End every worker at once, as the last thing before this process ends."""
        for child in self._children.values():
            self._kill(child)

    def _spawn(self, child: _Child) -> None:
        worker = child.worker
        try:
            child.process = process = subprocess.Popen(
                (*_SPAWN, *(worker.launcher or _SLOT)),
                cwd=worker.directory,
                env={**worker.environment, "NOTIFY_SOCKET": self._notifications.address},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._failed(child, f"could not be started: {error.strerror} ({error.filename or worker.directory})")
            return
        self._notifications.watch(process.pid, functools.partial(self._hear, child))
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        self._loop.add_reader(process.stdout.fileno(), self._read, child, process)
        pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(pidfd, self._ended, child, process, pidfd)

    def _release(self, child: _Child) -> None:
        if child.process is None:
            return
        assert child.process.stdin
        line = f"{child.worker.release or '-'} {child.worker.executable}\n"
        with contextlib.suppress(BrokenPipeError), child.process.stdin:  # a slot that was killed: _ended tells
            child.process.stdin.write(os.fsencode(line))
        if child.worker.probe:
            child.probing = self._loop.create_task(self._probe(child, child.process.pid))

    async def _probe(self, child: _Child, pid: int) -> None:
        def tell(problem: str) -> None:
            child.status = problem
            self._log(child.worker, f"tqsd: not ready yet: {problem}")

        address = await Probe(pid, child.worker.port, child.worker.probe).ready(tell)
        child.probing = None
        child.status = f"listening on {address}"
        self._became_ready(child)

    def _hear(self, child: _Child, told: dict[str, str]) -> None:
        child.status = told.get("STATUS", child.status)
        if told.get("READY") == "1":
            child.cancel_probe()
            self._became_ready(child)

    def _became_ready(self, child: _Child) -> None:
        child.state = advance(child.state, WorkerEvent.NOTIFIED)
        if child.state is WorkerState.READY:
            child.cancel_timer()
            child.ready_at = self._loop.time()
            if not child.ready.done():
                child.ready.set_result(None)

    def _read(self, child: _Child, process: subprocess.Popen[bytes]) -> bool:
        """Take what the worker wrote; False when there is nothing now, or nothing any more."""
        assert process.stdout
        try:
            chunk = os.read(process.stdout.fileno(), 65536)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(process.stdout.fileno())
            process.stdout.close()
        *lines, child.partial = (child.partial + (chunk or b"\n")).split(b"\n")
        if len(child.partial) >= LINE:
            lines.append(child.partial)
            child.partial = b""
        for line in lines:
            for start in range(0, max(len(line), 1 if chunk else 0), LINE):
                text = line[start : start + LINE].decode(errors="replace").rstrip("\r")
                child.output.append(text)
                self._log(child.worker, text)
        return bool(chunk)

    def _ended(self, child: _Child, process: subprocess.Popen[bytes], pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        # Before the main process is reaped its pid, and so the group's number, cannot belong to anybody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._notifications.forget(process.pid)
        status = process.wait()
        assert process.stdout
        for _ in range(_LAST_READS):
            if process.stdout.closed or not self._read(child, process):
                break
        if not process.stdout.closed:  # a grandchild that left the group still holds the pipe
            self._loop.remove_reader(process.stdout.fileno())
            process.stdout.close()
        if process.stdin:
            process.stdin.close()
        child.process = None
        child.cancel_timer()
        child.cancel_probe()
        self._failed(child, how_it_ended(status))

    def _failed(self, child: _Child, reason: str) -> None:
        before = child.state
        child.state = advance(before, WorkerEvent.ENDED)
        if not child.ready.done():
            child.ready.set_exception(self._not_ready(child, f"{reason} before it was ready"))
            child.ready.exception()  # a slot that nobody started has nobody to read it
        if child.state is WorkerState.GONE:
            self._bury(child)
            return
        if before is WorkerState.READY and self._loop.time() - child.ready_at > STEADY:
            child.restarts = 0
        child.restarts += 1
        pause = PAUSES[min(child.restarts, len(PAUSES)) - 1]
        child.timer = self._loop.call_later(pause, self._restart, child)
        output = "\n".join(child.output)
        worker = child.worker
        for queue in self._queues:
            queue.put_nowait(Exit(worker.page, worker.port, worker.release, reason, child.restarts, output))

    def _restart(self, child: _Child) -> None:
        child.state = advance(child.state, WorkerEvent.RETRIED)
        self._spawn(child)
        if child.process:
            child.timer = self._loop.call_later(child.worker.ready_timeout, self._kill, child)
            self._release(child)

    def _late(self, child: _Child) -> None:
        if not child.ready.done():
            seconds = f"{child.worker.ready_timeout:g} s"
            child.ready.set_exception(self._not_ready(child, f"was not ready within {seconds}"))
        self._kill(child)

    def _kill(self, child: _Child) -> None:
        if child.process:
            if child.state is not WorkerState.RESTARTING:
                child.state = advance(child.state, WorkerEvent.STOPPED)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)

    def _bury(self, child: _Child) -> None:
        child.state = WorkerState.GONE
        child.cancel_timer()
        if self._children.get(child.worker.port) is child:
            del self._children[child.worker.port]
        child.gone.set()

    def _not_ready(self, child: _Child, what: str) -> NotReady:
        hint = "it has to stay in the foreground and to answer on $PORT" if what.startswith(how_it_ended(0)) else ""
        if child.status:
            what += f": it {child.status}" if child.status.startswith("listens") else f": {child.status}"
            hint = "listen on 127.0.0.1 and the port in $PORT" if "listens" in child.status else ""
        return NotReady(f"the new worker of {child.worker.page} {what}", hint, "\n".join(child.output))


def how_it_ended(status: int) -> str:
    """The end of a process in words; `status` as subprocess has it, negative for a signal."""
    if status >= 0:
        return f"ended with exit status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
