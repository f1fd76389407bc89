"""The process behind `tqsd dev` and `tqsd serve`: it plays PID 1.

It holds the listening sockets, the control sockets and the workers, starts the same proxy and watcher that systemd
would start, and brings them back when they end. So either of them can be killed and nobody is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tqsd.cli.terminal import Lines
from tqsd.config import Mode
from tqsd.control import CONTROL, PROXY, SOCKETS, STATUS, listen
from tqsd.errors import TqsdError, UsageError
from tqsd.manager.daemon import Daemon, Sockets
from tqsd.manager.embedded import EmbeddedManager
from tqsd.manager.notifications import Notifications
from tqsd.manager.remote import serve
from tqsd.state import Paths

BACKLOG = 4096  # connections that wait while a proxy restarts
WATCHER_STOP = 10.0  # seconds
_MODES = {PROXY: 0o600, STATUS: 0o600, CONTROL: 0o600}


@dataclass(frozen=True, slots=True)
class Hosting:
    """What one host serves, and how."""

    site: Path
    paths: Paths
    mode: Mode
    drain_timeout: float  # seconds


@contextlib.contextmanager
def only_one(hosting: Hosting) -> Iterator[None]:
    """Hold the site's lock. Raises TqsdError when another tqsd serves this site already."""
    if "\n" in str(hosting.site):
        raise UsageError("the path of the site contains a line break", "move the site to another place")
    hosting.paths.create()
    path = hosting.paths.run / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "?"
            raise TqsdError(
                f"tqsd already serves {hosting.site} (process {pid})",
                "see it with `tqsd status`; end it with Ctrl-C there",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def bind(address: str) -> socket.socket:
    """A listening socket for HOST:PORT. Raises TqsdError that says who has the port."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by accepted connections
    try:
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(address, int(port), error) from None
    return listener


def _not_bound(address: str, port: int, error: OSError) -> TqsdError:
    host = address.rpartition(":")[0]
    if error.errno == errno.EADDRINUSE:
        by = _holder(port)
        return TqsdError(
            f"{address} is already taken{f' by {by}' if by else ''}",
            f"end that program, or take another port: --listen {host}:{port + 1 if port < 65535 else 8080}",
        )
    if error.errno == errno.EACCES:
        return TqsdError(f"this user may not listen on {address}", f"take a port above 1023: --listen {host}:8080")
    return TqsdError(
        f"cannot listen on {address}: {error.strerror}", "use an address of this machine, like 127.0.0.1:8080"
    )


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may see it."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


async def host(hosting: Hosting, listeners: Sequence[socket.socket], lines: Lines, started: Callable[[], None]) -> int:
    """Serve until SIGINT or SIGTERM, then drain and end; a second signal ends at once. Returns the exit status.

    started  called once, when the site answers
    """
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    run = hosting.paths.run
    hosting.paths.table.unlink(missing_ok=True)  # of an earlier life; its workers are gone
    control = [(name, listen(run / f"{name}.sock", _MODES[name])) for name in SOCKETS]
    manager = EmbeddedManager(lambda worker, text: lines.say(worker.page, text))
    notifications = Notifications()
    serving: set[asyncio.Task[None]] = set()

    def watcher_sockets() -> Sockets:
        ours, theirs = socket.socketpair()
        task = asyncio.create_task(serve(manager, ours))
        serving.add(task)
        task.add_done_callback(serving.discard)
        # Closed here once it was passed on, so that the watcher's end is the only one.
        asyncio.get_running_loop().call_soon(theirs.close)
        return [*control, ("manager", theirs)]

    environment = _environment(hosting, listeners)
    proxy = Daemon(
        "tqsd.proxy.main",
        environment,
        lambda: [("http", listener) for listener in listeners],
        notifications,
        lambda line: lines.say("tqsd", line),
    )
    watcher = Daemon(
        "tqsd.watch.main", environment, watcher_sockets, notifications, lambda line: lines.say("tqsd", line)
    )
    proxy.start()
    watcher.start()
    ending = asyncio.ensure_future(signals.get())
    greeting = asyncio.create_task(_greet(proxy, watcher, started))
    await ending
    greeting.cancel()
    lines.say("tqsd", f"<6>ending: requests under way have {hosting.drain_timeout:g} s; once more ends at once")
    orderly = asyncio.ensure_future(_end(hosting, proxy, watcher, manager))
    again = asyncio.ensure_future(signals.get())
    await asyncio.wait({orderly, again}, return_when=asyncio.FIRST_COMPLETED)
    if not orderly.done():
        for daemon in (proxy, watcher):
            daemon.signal(signal.SIGKILL)
        manager.kill()
        await orderly
    again.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    notifications.close()
    for name, listener in control:
        listener.close()
        (run / f"{name}.sock").unlink(missing_ok=True)
    hosting.paths.table.unlink(missing_ok=True)
    return 0


async def _greet(proxy: Daemon, watcher: Daemon, started: Callable[[], None]) -> None:
    await proxy.ready.wait()
    await watcher.ready.wait()
    started()


async def _end(hosting: Hosting, proxy: Daemon, watcher: Daemon, manager: EmbeddedManager) -> None:
    """Requests first, then what serves them."""
    await proxy.stop(hosting.drain_timeout + 5)
    await watcher.stop(WATCHER_STOP)
    await manager.close()


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _environment(hosting: Hosting, listeners: Sequence[socket.socket]) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "TQS_SITE": str(hosting.site),
        "TQS_MODE": hosting.mode.value,
        "TQS_ETC": str(hosting.paths.etc),
        "TQS_VAR": str(hosting.paths.var),
        "TQS_CACHE": str(hosting.paths.cache),
        "TQS_LISTEN": " ".join(map(url, listeners)),
        "TQS_RUN": str(hosting.paths.run),
    }
