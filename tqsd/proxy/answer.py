"""From the bytes of a response head to what the client gets, remembered by those very bytes."""

from __future__ import annotations

from typing import Final

from tqsd.http1.cache import Cache
from tqsd.http1.forward import CLOSE, KEEP_ALIVE, to_client
from tqsd.http1.head import CHUNKED, LENGTH, NONE, UNTIL_CLOSE, ResponseHead, parse_response
from tqsd.proxy.intake import Request


class Answer:
    """A response head that was read. Shared by all equal heads."""

    __slots__ = ("_out", "framing", "length", "persistent", "status", "websocket", "whole")

    def __init__(self, head: ResponseHead) -> None:
        self.status = head.status
        self.framing = head.framing
        self.length = head.length  # of the content in bytes, when framing is LENGTH
        self.persistent = head.persistent  # the worker's connection outlives it
        self.websocket = head.websocket
        self._out = to_client(head)
        # Head and content may go on in one piece, as they came
        self.whole = head.unchanged and head.framing in (NONE, LENGTH) and head.status >= 200

    def ends_connection(self, request: Request) -> bool:
        """The client can tell the end of this content only by the end of the connection."""
        return self.framing is UNTIL_CLOSE or self.decoded(request)

    def decoded(self, request: Request) -> bool:
        """HTTP/1.0 knows no chunks (RFC 9112 7)."""
        return self.framing is CHUNKED and request.head.http10

    def render(self, request: Request, persistent: bool) -> bytes:
        """The head for the client."""
        out = self._out
        if self.decoded(request):
            unknown = (b"transfer-encoding", b"trailer")
            lines = out.split(b"\r\n")
            out = b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in unknown)
        if self.status < 200:
            return out + b"\r\n"
        if not persistent:
            return out + CLOSE + b"\r\n"
        return out + KEEP_ALIVE + b"\r\n" if request.head.http10 else out + b"\r\n"


remembered: Final[Cache[bytes, Answer]] = Cache(2048, 2048)


def read_answer(head: bytes, request: Request) -> Answer:
    """The answer of a whole head. Raises BadHead."""
    answer = Answer(parse_response(head, request.head.method == b"HEAD"))
    if request.plain:
        remembered.remember(head, answer)
    return answer
