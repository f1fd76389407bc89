"""The connection of a client: it owns the exchange and does what the exchange says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from tqsd.http1.forward import Peer
from tqsd.proxy.exchange import Exchange
from tqsd.proxy.loop import HIGH, IN, Connection, Flow
from tqsd.proxy.state import ANSWERING, CLOSE, DONE, IDLE, MORE, OVER, ROUTE, TUNNEL, WAITING, Step

if TYPE_CHECKING:
    from tqsd.proxy.balancer import Pool
    from tqsd.proxy.dispatch import Dispatch
    from tqsd.proxy.feed import Feed, Unread
    from tqsd.proxy.upstream import Upstream

HEAD_READ: Final = 65536
CONTENT_READ: Final = 262144  # only while content is pumped: the buffer is allocated for every read
_LINGER: Final = 2.0  # seconds a client gets to take in our last reply while it still sends
_GRACE: Final = 1.0  # seconds, when the proxy ends, for the request of a client that was busy just now

read = os.read


class Client(Connection):
    __slots__ = (
        "_closing",
        "_dispatch",
        "_ended",
        "_head_begun",
        "_stalled",
        "exchange",
        "queue",
        "upstream",
        "waiting_since",
    )

    def __init__(self, dispatch: Dispatch, fd: int, peer: Peer, address: bytes) -> None:
        super().__init__(dispatch.loop, fd, IN)
        self._dispatch = dispatch
        self.exchange = Exchange(self, dispatch.intake, peer, address)
        self.upstream: Upstream | Feed | Unread | None = None
        self.queue: Pool | None = None  # where its request waits
        self.waiting_since = 0.0  # when this request began to wait for a worker; 0 when it did not
        self.deadline = self.loop.now + dispatch.settings.head_timeout
        self._head_begun = True  # the deadline is that of a head, not of an idle connection
        self._stalled = False  # it does not read its answers, so its next request has to wait
        self._closing = False  # nothing but writing, then waiting for its end, is left to do
        self._ended = False  # it sends no more
        self.loop.heed_deadlines()
        dispatch.opened()

    def readable(self) -> None:
        exchange = self.exchange
        try:
            data = read(self.fd, HEAD_READ if exchange.sent else CONTENT_READ)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if data:
            step = exchange.from_client(data)
            if step is ROUTE:
                step = self._dispatch.place(self)
                if step is not MORE:
                    self.advance(step)
            elif step is MORE:
                self._still_coming()
            else:
                self.advance(step)
        else:
            self._end()

    def _end(self) -> None:
        self._ended = True
        self.pause()
        step = self.exchange.client_ended()
        if step is CLOSE and not self.pending:
            self._let_go()
            self.close()
        elif step is not MORE:
            self.advance(step)

    def _still_coming(self) -> None:
        """Bytes came and more are to come: of a head, of content, or of a request whose turn has not come."""
        exchange = self.exchange
        settings = self._dispatch.settings
        state = exchange.state
        if state is IDLE:
            if not self._head_begun:
                self._head_begun = True
                self.deadline = self.loop.now + settings.head_timeout
        elif state is WAITING or (exchange.sent and exchange.buffer):
            if len(exchange.buffer) > HEAD_READ:
                self.pause()
        elif state is not OVER:
            self.started()

    def started(self) -> None:
        """A worker is at work: how long may it be silent?"""
        state = self.exchange.state
        settings = self._dispatch.settings
        silence = settings.stream_timeout if state is ANSWERING or state is TUNNEL else settings.response_timeout
        self.deadline = self.loop.now + (silence if self.exchange.sent else settings.stream_timeout)

    def advance(self, step: Step) -> None:
        """Do what the exchange says, until it waits for bytes."""
        while step is not MORE:
            if step is ROUTE:
                if self.upstream is not None:  # it ended, and the request may be sent again
                    self._let_go()
                    self._dispatch.counters.resent += 1
                step = self._dispatch.place(self)
            elif step is DONE:
                self._let_go()
                self.deadline = self.loop.now + self._dispatch.settings.idle_timeout
                self._head_begun = False
                self.waiting_since = 0.0
                if len(self.pending) > HIGH:
                    self._stalled = True
                    self.pause()
                    return
                if not self.mask & IN:
                    self.unpause()
                if not self.exchange.buffer:
                    return
                step = self.exchange.resume()
                if step is MORE:
                    self._still_coming()
            elif step is CLOSE:
                self._let_go()
                self._close_politely()
                return
            else:
                self.abort()
                return

    def source(self) -> Flow | None:
        return self.upstream

    def _let_go(self) -> None:
        upstream = self.upstream
        if upstream is not None:
            self.upstream = None
            upstream.release(self.exchange.reusable)
        elif self.queue is not None:
            self._dispatch.leave(self)

    def _close_politely(self) -> None:
        self._closing = True
        self.deadline = self.loop.now + (self._dispatch.settings.stream_timeout if self.pending else _LINGER)
        if not self._ended:
            self.watch(self.mask | IN)
        if not self.pending:
            self._say_end()

    def _say_end(self) -> None:
        """Bytes that nobody reads would make close() a reset, which destroys the reply on its way (RFC 9112 9.6)."""
        if self._ended or not self.exchange.unread:
            self.close()
        else:
            self.deadline = self.loop.now + _LINGER
            self.finish()

    def written(self) -> None:
        if self._closing:
            self._say_end()
        elif self._stalled:
            self._stalled = False
            self.unpause()
            self.advance(self.exchange.resume())
        elif self.upstream is not None:
            self.started()

    def unpause(self) -> None:
        if not self._ended and (self.exchange.state is IDLE or len(self.exchange.buffer) <= HEAD_READ):
            self.watch(self.mask | IN)

    def expired(self) -> None:
        if self._closing:
            self.close()
            return
        self.advance(self.exchange.expire())

    def abort(self) -> None:
        self.exchange.cut()
        self._let_go()
        self.reset()

    def end_soon(self) -> None:
        """The proxy is to end: this exchange is the connection's last. A request just under way still gets in."""
        self.exchange.persistent = False
        if self.exchange.state is not IDLE or self._closing:
            return
        settings = self._dispatch.settings
        patience = settings.head_timeout if self._head_begun else settings.idle_timeout
        self.deadline = min(self.deadline, self.deadline - patience + _GRACE)
        if self.deadline <= self.loop.now:
            self.readable()
            if self.exchange.state is IDLE and not self.closed:
                self.advance(self.exchange.expire())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.exchange.forget()
            self._dispatch.closed()

    def trust(self) -> None:
        """The settings have changed: is this client still believed, or now?"""
        self.exchange.trust(self._dispatch.peer(self.exchange.address.decode()))
