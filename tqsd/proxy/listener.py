"""A listening socket: accepts clients while there is room for them."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from typing import TYPE_CHECKING, Final

from tqsd.proxy.client import Client
from tqsd.proxy.loop import IN, Source, log

if TYPE_CHECKING:
    from tqsd.proxy.dispatch import Dispatch

_AT_ONCE: Final = 64
_PAUSE: Final = 0.5  # seconds without accepting after the machine ran out of something
_SHORT_OF: Final = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])


class Listener(Source):
    """Never closed while it waits: other proxies share the socket and its queue.

    EPOLLEXCLUSIVE wakes one of them for a connection, not all; the kernel lets it be set by adding only.
    """

    __slots__ = ("_dispatch", "_listening", "_socket")

    def __init__(self, dispatch: Dispatch, listening: socket.socket) -> None:
        self._dispatch = dispatch
        self._socket = listening
        self._listening = True
        if listening.family != socket.AF_UNIX:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        super().__init__(dispatch.loop, listening.fileno(), IN | select.EPOLLEXCLUSIVE)

    def readable(self) -> None:
        dispatch = self._dispatch
        for _ in range(_AT_ONCE):
            if dispatch.clients >= dispatch.settings.max_connections:
                self.stop()
                return
            try:
                stream, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SHORT_OF:
                    log(4, f"cannot accept connections: {error.strerror}")
                    self.stop()
                    self.loop.after(_PAUSE, self.start)
                    return
                continue  # that client has gone already (accept(2) lists what may be reported)
            stream.setblocking(False)
            text = address[0].removeprefix("::ffff:") if isinstance(address, tuple) else ""
            Client(dispatch, stream.detach(), dispatch.peer(text), text.encode())

    def stop(self) -> None:
        if self._listening:
            self._listening = False
            self.loop.epoll.unregister(self.fd)

    def start(self) -> None:
        if not self._listening and not self.closed:
            self._listening = True
            self.loop.epoll.register(self.fd, self.mask)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.stop()
            self.loop.sources[self.fd] = None
            with contextlib.suppress(OSError):
                self._socket.close()
