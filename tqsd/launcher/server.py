"""The server of a Python page: uvicorn on a socket of ours. It says READY=1 once the application answers."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import time
from email.utils import formatdate
from types import FrameType
from typing import Any, NoReturn

import a2wsgi
import uvicorn
import uvicorn.lifespan.on
import uvicorn.protocols.http.h11_impl
from uvicorn.server import ServerState

from tqsd.launcher.application import Interface, PageFiles, Unusable, load
from tqsd.launcher.health import until_healthy
from tqsd.systemd.notify import notify

try:
    import uvicorn.protocols.websockets.websockets_sansio_impl

    WEBSOCKETS = "websockets-sansio"
except ImportError:  # uvicorn before 0.35
    import uvicorn.protocols.websockets.auto

    WEBSOCKETS = "auto"

# The proxy keeps unused connections for 60 s: this end must never be the first to close one, with a POST on its way.
_KEEP_ALIVE = 3600  # seconds
_MAX_HEAD = 2 << 20  # bytes; the limit that counts is the proxy's, at most 1 MiB
_WSGI_THREADS = 1  # an application may keep state of the one request it answers


def serve(directory: str) -> None:
    """Run the application of the release in `directory` until SIGTERM. Ends this process if there is none."""
    faulthandler.enable()
    sys.dont_write_bytecode = True  # a release never changes: what it holds was compiled with it
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    files = PageFiles(directory, os.environ["TQS_PAGE"])
    with asyncio.Runner() as runner:
        runner.get_loop()  # there before the application, which may bind something to it when it is imported
        notify("STATUS=still imports app.py; does it run a server itself?")
        try:
            app, interface = load(files)
            listener = _bound(int(os.environ["TQS_PORT"]))
        except Unusable as error:
            _refuse(error)
        gc.freeze()
        gc.enable()
        _tell_errors(files)
        server = _Server(_config(app, interface), " as WSGI" if interface is Interface.WSGI else "")
        signal.signal(signal.SIGTERM, server.handle_exit)
        notify("STATUS=still in the application's startup")
        try:
            runner.run(server.serve(sockets=[listener]))
        except SystemExit:  # the application's startup failed, which uvicorn has told
            _end()


class _State(ServerState):
    """Headers of every answer are made when one asks for them: uvicorn's own way is to wake up ten times a second."""

    _dated: tuple[int, list[tuple[bytes, bytes]]] = 0, []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        if self._dated[0] != now:
            self._dated = now, [(b"date", formatdate(now, usegmt=True).encode())]
        return self._dated[1]

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """What uvicorn sets at the start, none, is replaced."""


class _Server(uvicorn.Server):
    """uvicorn's server, but it tells when it is ready, shows that its loop turns, and sleeps while nobody asks."""

    def __init__(self, config: uvicorn.Config, kind: str) -> None:
        super().__init__(config)
        self.server_state = _State()
        self._kind = kind
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        if sockets and not self.should_exit:
            self._life = asyncio.create_task(self._live(sockets[0]))

    async def main_loop(self) -> None:
        if not self.should_exit:
            await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._life:
            self._life.cancel()
        await super().shutdown(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _live(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()
        await until_healthy(port, os.environ.get("TQS_HEALTH", ""), lambda problem: notify(f"STATUS={problem}"))
        notify(f"READY=1\nSTATUS=listening on {host}:{port}{self._kind}")
        while interval := _signs_of_life():
            await asyncio.sleep(interval)
            notify("WATCHDOG=1")


class _Format(logging.Formatter):
    """What uvicorn says, with the files of the page named as they are in the site."""

    def __init__(self, files: PageFiles) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self._files = files

    def format(self, record: logging.LogRecord) -> str:
        return self._files.shown(super().format(record)).replace("\n\n", "\n")


def _tell_errors(files: PageFiles) -> None:
    """Bring uvicorn's warnings and errors to stderr, whatever the application has done to the loggers it found."""
    logger = logging.getLogger("uvicorn.error")
    teller = logging.StreamHandler()
    teller.setFormatter(_Format(files))
    logger.handlers = [teller]
    logger.propagate = False
    logger.disabled = False


def _config(app: Any, interface: Interface) -> uvicorn.Config:
    if interface is Interface.WSGI:
        threads = int(os.environ.get("TQS_CONCURRENCY") or _WSGI_THREADS)
        app, interface = a2wsgi.WSGIMiddleware(app, workers=threads), Interface.ASGI
    return uvicorn.Config(
        app,
        interface=interface.value,
        loop="asyncio",
        http="h11",
        ws=WEBSOCKETS,
        workers=1,  # not what WEB_CONCURRENCY says
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        forwarded_allow_ips="127.0.0.1",
        timeout_keep_alive=_KEEP_ALIVE,
        h11_max_incomplete_event_size=_MAX_HEAD,
    )


def _bound(port: int) -> socket.socket:
    """A socket on the worker's port; uvicorn listens on it when the application has started. Raises Unusable."""
    # With its protocol named asyncio sets TCP_NODELAY on what it accepts: a head and a small body are two writes.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the one before may linger
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise Unusable(f"cannot listen on 127.0.0.1:{port}: {error.strerror}", "see who does: ss -ltnp") from None
    return listener


def _refuse(error: Unusable) -> NoReturn:
    notify(f"STATUS={error.reason}")
    print(error, file=sys.stderr)
    _end()


def _end() -> NoReturn:
    """End at once, whatever threads the application has started already."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _signs_of_life() -> float:
    """The seconds between two signs of life, 0 if nobody waits for them (sd_watchdog_enabled(3))."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    try:
        return int(os.environ.get("WATCHDOG_USEC", "")) / 2_000_000
    except ValueError:
        return 0
