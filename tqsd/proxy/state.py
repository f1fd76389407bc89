"""The states of an exchange, what its owner is told to do, and the sinks its bytes go to.

    state      client bytes          worker bytes           worker ends                client ends
    IDLE       read a head           -                      -                          CLOSE
    WAITING    kept                  -                      -                          ABORT, unless half-closed
    ASKED      content -> worker     read a head            ROUTE again, or 502        ABORT, unless half-closed
    ANSWERING  content -> worker     content -> client      ABORT, or the answer's end ABORT, unless half-closed
    TUNNEL     -> worker             -> client              half-close -> client       half-close -> worker
    OVER       dropped               dropped                -                          CLOSE

A client that half-closes after a whole request it marked as its last (Connection: close, HTTP/1.0) still gets its
answer. Any other client that ends its side is taken for gone, as nginx and Go do: its worker sees the disconnect.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol


class State(StrEnum):
    IDLE = "idle"  # no request, or a part of its head
    WAITING = "waiting"  # the head is there, and no worker has it
    ASKED = "asked"  # a worker has it, and has not answered
    ANSWERING = "answering"  # the head of the answer has been passed on
    TUNNEL = "tunnel"  # bytes pass both ways as they come
    OVER = "over"  # nothing passes any more


class Step(StrEnum):
    """What the owner of the connections does next."""

    MORE = "more"  # wait for bytes
    ROUTE = "route"  # find the request a worker, then attach() it
    DONE = "done"  # answered; let the worker go, then resume()
    CLOSE = "close"  # let the worker go; close the client once all is written
    ABORT = "abort"  # end both connections now, so that a cut body is never taken for whole


# Enum attributes are looked up slowly in Python 3.11, and these are read for every event
IDLE: Final = State.IDLE
WAITING: Final = State.WAITING
ASKED: Final = State.ASKED
ANSWERING: Final = State.ANSWERING
TUNNEL: Final = State.TUNNEL
OVER: Final = State.OVER
MORE: Final = Step.MORE
ROUTE: Final = Step.ROUTE
DONE: Final = Step.DONE
CLOSE: Final = Step.CLOSE
ABORT: Final = Step.ABORT


class Sink(Protocol):
    """Where bytes for one side go."""

    def put(self, data: bytes, /) -> None:
        """Send `data` after all that was put before."""

    def finish(self) -> None:
        """Send no more: half-close after all that was put."""


class _Nowhere:
    """The sink of a side that is not there."""

    def put(self, data: bytes, /) -> None:
        pass

    def finish(self) -> None:
        pass


NOWHERE: Final[Sink] = _Nowhere()
