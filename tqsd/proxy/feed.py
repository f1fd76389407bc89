"""What stands where a client's connection to a worker would, when no worker answers it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tqsd.http1.representation import Pieces
from tqsd.proxy.loop import OUT
from tqsd.proxy.state import MORE, Step

if TYPE_CHECKING:
    from tqsd.proxy.client import Client

_CHUNK: Final = 1048576  # bytes of a file at once; then other clients have their turn


class Feed:
    """Sends the pieces of an answer whose head was sent, as fast as the client takes them. `fd` belongs to it."""

    __slots__ = ("_client", "_fd", "_pieces")

    def __init__(self, client: Client, fd: int, pieces: Pieces) -> None:
        self._client = client
        self._fd = fd
        self._pieces = pieces[::-1]

    def pause(self) -> None:
        """Nothing is sent while something waits to be written."""

    def unpause(self) -> None:
        if self._fd >= 0:
            step = self.send()
            if step is not MORE:
                self._client.advance(step)

    def send(self) -> Step:
        """Send the next of it."""
        client, pieces = self._client, self._pieces
        exchange = client.exchange
        room = _CHUNK
        while room > 0 and not client.pending:
            piece = pieces.pop()
            if isinstance(piece, bytes):
                step = exchange.from_worker(piece)
            else:
                offset, left = piece
                try:
                    count = os.sendfile(client.fd, self._fd, offset, min(left, room))
                except BlockingIOError:
                    pieces.append(piece)
                    break
                except OSError:
                    return exchange.cut()
                if not count:  # it is shorter now than it was said to be
                    return exchange.cut()
                if count < left:
                    pieces.append((offset + count, left - count))
                room -= count
                step = exchange.passed(count)
            if step is not MORE:
                return step
        client.watch(client.mask | OUT)
        return MORE

    def release(self, reusable: bool) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Unread:
    """A sink for the content of a request that is answered without it; `come` is called once all of it is there."""

    __slots__ = ("_client", "_come", "_over")

    def __init__(self, client: Client, come: Callable[[], None]) -> None:
        self._client = client
        self._come = come
        self._over = False

    def put(self, data: bytes, /) -> None:
        if self._client.exchange.sent:  # but the exchange is in the middle of passing it on
            self._client.loop.after(0.0, self._end)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._come()

    def finish(self) -> None:
        pass

    def pause(self) -> None:
        pass

    def unpause(self) -> None:
        pass

    def release(self, reusable: bool) -> None:
        self._over = True
