"""From a response head to what the client gets of it; heads are remembered by their very bytes."""

from __future__ import annotations

from typing import Final

from tqsd.http1.cache import Cache
from tqsd.http1.forward import CLOSE, KEEP_ALIVE, to_client
from tqsd.http1.head import CHUNKED, UNTIL_CLOSE, ResponseHead, parse_response
from tqsd.http1.reply import Reply
from tqsd.proxy.intake import NO_REQUEST, Request

remembered: Final[Cache[bytes, ResponseHead]] = Cache(2048, 2048)


def read_answer(head: bytes, request: Request) -> ResponseHead:
    """The answer of a whole head. Raises BadHead."""
    answer = parse_response(head, request.head.method == b"HEAD")
    if request.plain:
        remembered.remember(head, answer)
    return answer


def ends_connection(answer: ResponseHead, request: Request) -> bool:
    """The client can tell the end of this content only by the end of the connection."""
    return answer.framing is UNTIL_CLOSE or is_decoded(answer, request)


def is_decoded(answer: ResponseHead, request: Request) -> bool:
    """HTTP/1.0 knows no chunks (RFC 9112 7)."""
    return answer.framing is CHUNKED and request.head.http10


def render(answer: ResponseHead, request: Request, persistent: bool) -> bytes:
    """The head for the client."""
    out = to_client(answer)
    if is_decoded(answer, request):
        unknown = (b"transfer-encoding", b"trailer")
        lines = out.split(b"\r\n")
        out = b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in unknown)
    if answer.status < 200:
        return out + b"\r\n"
    if not persistent:
        return out + CLOSE + b"\r\n"
    return out + KEEP_ALIVE + b"\r\n" if request.head.http10 else out + b"\r\n"


def render_reply(reply: Reply, request: Request, persistent: bool) -> bytes:
    """A reply of ours, as the sender of the request takes it."""
    if request is NO_REQUEST:
        return reply.render(None, b"", persistent)
    return reply.render(request.head, request.accept, persistent)
