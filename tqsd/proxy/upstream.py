"""A connection to a worker: used by one exchange at a time, kept open between them."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from tqsd.proxy.client import CONTENT_READ, HEAD_READ
from tqsd.proxy.loop import IN, NEVER, OUT, Connection, Flow
from tqsd.proxy.state import ANSWERING, ASKED, MORE

if TYPE_CHECKING:
    from tqsd.proxy.balancer import Target
    from tqsd.proxy.client import Client
    from tqsd.proxy.dispatch import Dispatch

_FRESH: Final = 1.0  # seconds after its use
_KEEP: Final = 60.0  # seconds an unused connection is kept

read = os.read


class Upstream(Connection):
    __slots__ = ("_dispatch", "client", "connecting", "target")

    def __init__(self, dispatch: Dispatch, fd: int, target: Target, connecting: bool) -> None:
        super().__init__(dispatch.loop, fd, OUT if connecting else IN)
        self._dispatch = dispatch
        self.target = target
        self.client: Client | None = None
        self.connecting = connecting
        if connecting:
            self.deadline = self.loop.now + dispatch.settings.connect_timeout

    def source(self) -> Flow | None:
        return self.client

    def readable(self) -> None:
        if self.connecting:
            self._connected()
            return
        client = self.client
        cleanly = True
        size = CONTENT_READ if client is not None and client.exchange.state is ANSWERING else HEAD_READ
        try:
            data = read(self.fd, size)
        except BlockingIOError:
            return
        except OSError:
            data, cleanly = b"", False
        if client is None:  # it closed an unused connection, or talks without being asked
            self.close()
            return
        exchange = client.exchange
        if data:
            step = exchange.from_worker(data)
            if step is MORE and exchange.state is not ASKED:
                client.started()
        else:
            self.pause()
            step = exchange.worker_ended(cleanly)
        if step is not MORE:
            client.advance(step)

    def flush(self) -> None:
        if self.connecting:
            self._connected()
        else:
            super().flush()

    def written(self) -> None:
        client = self.client
        if client is not None and client.exchange.state is not ASKED:
            client.started()

    def _connected(self) -> None:
        client = self.client
        stream = socket.socket(fileno=self.fd)
        failed = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        stream.detach()
        if failed or client is None:
            self.expired()
            return
        self.connecting = False
        self.deadline = NEVER
        self.watch(IN)
        self._dispatch.attach(client, self)

    def expired(self) -> None:
        """Unused for long, or not connected in time. What is in use has the deadline of its client."""
        client = self.client
        if client is None:
            self.close()
        elif self.connecting:
            self._dispatch.refused(client, self)

    def is_fresh(self) -> bool:
        """Of an unused connection: it was in use a second ago and is open now. Closes it when it is not open."""
        if self.deadline - _KEEP + _FRESH < self.loop.now:
            return False
        try:
            read(self.fd, 1)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.close()
        return False

    def abort(self) -> None:
        if self.client is not None:
            self.client.abort()
        else:
            self.close()

    def release(self, reusable: bool) -> None:
        """Its exchange is over."""
        target = self.target
        target.inflight -= 1
        self.client = None
        if reusable and not (target.draining or self.pending or self.closed or self.finishing):
            self.deadline = self.loop.now + _KEEP
            if self.mask != IN:
                self.watch(IN)
            target.idle.append(self)
        else:
            self.close()
        if target.pool.waiting or target.draining:
            self._dispatch.freed(target)

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self in self.target.idle:
                self.target.idle.remove(self)


def connect(dispatch: Dispatch, target: Target) -> Upstream | None:
    """Open a connection to a worker. None when it is refused."""
    try:
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:  # no descriptor is left
        return None
    address = ("127.0.0.1", target.port)
    state = stream.connect_ex(address)
    if state == errno.EINPROGRESS:  # connect(2): asking again tells how it ended, and on loopback it has
        state = stream.connect_ex(address)
    if state not in (0, errno.EISCONN, errno.EALREADY):
        stream.close()
        return None
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Upstream(dispatch, stream.detach(), target, connecting=state == errno.EALREADY)
