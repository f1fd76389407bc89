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
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import psutil

from tqsd.cli.options import again
from tqsd.cli.terminal import Lines
from tqsd.config import Mode
from tqsd.control import SOCKETS, listen
from tqsd.errors import TqsdError, UsageError
from tqsd.manager.daemon import Daemon, Sockets
from tqsd.manager.embedded import EmbeddedManager
from tqsd.manager.notifications import Notifications
from tqsd.manager.remote import serve
from tqsd.place import Place

BACKLOG = 4096  # connections that wait while a proxy restarts
_WATCHER_STOP = 10.0  # seconds
_CLOSING = 5.0  # seconds for a proxy to close what is left when its time to drain is over


@dataclass(frozen=True, slots=True)
class Hosting:
    """What one host serves, and how."""

    place: Place
    drain_timeout: float  # seconds
    proxies: int = 1


@contextlib.contextmanager
def only_one(hosting: Hosting) -> Iterator[None]:
    """Hold the site's lock. Raises TqsdError when another tqsd serves this site already."""
    if "\n" in str(hosting.place.site):
        raise UsageError("the path of the site contains a line break", "move the site to another place")
    hosting.place.paths.create()
    path = hosting.place.paths.run / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "?"
            raise TqsdError(
                f"tqsd already serves {hosting.place.site} (process {pid})",
                "see it with `tqsd status`; end it with Ctrl-C there",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def bind(address: str, mode: Mode) -> socket.socket:
    """A listening socket for HOST:PORT. Raises TqsdError that says who has the port, and what to type instead."""
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
        raise _not_bound(address, int(port), error, mode) from None
    return listener


def _not_bound(address: str, port: int, error: OSError, mode: Mode) -> TqsdError:
    host = address.rpartition(":")[0]
    if error.errno == errno.EADDRINUSE:
        by = _holder(port)
        other = again(mode, f"--listen {host}:{port + 1 if port < 65535 else 8080}")
        return TqsdError(
            f"{address} is already taken{f' by {by}' if by else ''}", f"end that program, or take another port: {other}"
        )
    if error.errno == errno.EACCES:
        other = again(mode, f"--listen {host}:8080")
        return TqsdError(f"this user may not listen on {address}", f"take a port above 1023: {other}")
    other = again(mode, "--listen 127.0.0.1:8080")
    return TqsdError(f"cannot listen on {address}: {error.strerror}", f"use an address of this machine: {other}")


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may see it."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


class Host:
    """One site being served: what `tqsd dev` holds while its proxy and watcher come and go. Made inside a loop."""

    def __init__(self, hosting: Hosting, listeners: Sequence[socket.socket], lines: Lines) -> None:
        self._hosting = hosting
        self._listeners = listeners
        self._lines = lines
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._signals.put_nowait, number)
        hosting.place.paths.table.unlink(missing_ok=True)  # of an earlier life; its workers are gone
        self._control = [(name, listen(hosting.place.paths.run / f"{name}.sock", 0o600)) for name in SOCKETS]
        self._manager = EmbeddedManager(lambda worker, text: lines.say(worker.page, text))
        self._notifications = Notifications()
        self._serving: set[asyncio.Task[None]] = set()
        self._proxies = [
            self._daemon("tqsd.proxy.main", lambda: [("http", listener) for listener in listeners])
            for _ in range(hosting.proxies)
        ]
        self._watcher = self._daemon("tqsd.watch.main", self._watcher_sockets)

    async def run(self, started: Callable[[], None]) -> None:
        """Serve until a signal, then drain and end; a second one ends at once. `started` is called once it serves."""
        for proxy in self._proxies:
            proxy.start()
        self._watcher.start()
        greeting = asyncio.create_task(self._greet(started))
        await self._signals.get()
        greeting.cancel()
        patience = f"{self._hosting.drain_timeout:g} s"
        self._lines.say("tqsd", f"<6>ending: requests under way have {patience}; once more ends at once")
        orderly = asyncio.create_task(self._end())
        again = asyncio.create_task(self._signals.get())
        await asyncio.wait({orderly, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not orderly.done():
            for proxy in self._proxies:
                proxy.signal(signal.SIGKILL)
            self._watcher.signal(signal.SIGKILL)
            self._manager.kill()
        await orderly

    async def _greet(self, started: Callable[[], None]) -> None:
        for proxy in self._proxies:
            await proxy.ready.wait()
        await self._watcher.ready.wait()
        started()

    async def _end(self) -> None:
        """Requests first, then what serves them, then what both were reached by."""
        patience = self._hosting.drain_timeout + _CLOSING
        await asyncio.gather(*(proxy.stop(patience) for proxy in self._proxies))
        await self._watcher.stop(_WATCHER_STOP)
        await self._manager.close()
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._notifications.close()
        for name, listener in self._control:
            listener.close()
            (self._hosting.place.paths.run / f"{name}.sock").unlink(missing_ok=True)
        self._hosting.place.paths.table.unlink(missing_ok=True)
        shutil.rmtree(self._hosting.place.paths.credentials, ignore_errors=True)

    def _daemon(self, module: str, sockets: Callable[[], Sockets]) -> Daemon:
        environment = _environment(replace(self._hosting.place, urls=tuple(map(url, self._listeners))))
        return Daemon(module, environment, sockets, self._notifications, lambda line: self._lines.say("tqsd", line))

    def _watcher_sockets(self) -> Sockets:
        """The control sockets, and a new way to the manager for each new watcher."""
        ours, theirs = socket.socketpair()
        task = asyncio.create_task(serve(self._manager, ours))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        # Closed here once it was passed on, so that the watcher's end is the only one and its death is noticed.
        asyncio.get_running_loop().call_soon(theirs.close)
        return [*self._control, ("manager", theirs)]


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _environment(place: Place) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        **place.told(),
    }
