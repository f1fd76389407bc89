"""What a head becomes when it is passed on: hop-by-hop fields go, what we know about the sender is added."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tqsd.http1 import field
from tqsd.http1.cache import Cache
from tqsd.http1.head import RequestHead, ResponseHead


class Peer(StrEnum):
    """Who sits at the other end of a client connection, and so whether its X-Forwarded-* are believed."""

    STRANGER = "stranger"
    TRUSTED = "trusted"  # loopback, or one of trusted_proxies
    LOCAL = "local"  # a unix socket: trusted, and without an address


STRANGER: Final = Peer.STRANGER
LOCAL: Final = Peer.LOCAL

CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"


_endings: Cache[bytes, bytes] = Cache(512, 256)  # by host: what is added to a request that claims nothing itself


def to_worker(request: RequestHead, raw: bytes, peer: Peer, target: bytes) -> bytes:
    """The request's head for the worker, without what differs from request to request; `raw` is how it came.

    The sender's address (none for LOCAL), then possibly an X-Request-Id, then the empty line are to follow it
    directly: for others than LOCAL it ends inside the X-Forwarded-For field.
    """
    nominated = request.nominated
    if request.identified and peer is STRANGER:
        nominated += (field.REQUEST_ID,)
    elif request.unchanged and peer is not LOCAL and target is request.target:
        return raw[:-2] + (_endings.get(request.host) or _ending(request.host))
    lines = [request.method + b" " + target + b" HTTP/1.1", *without_nominated(request.lines, nominated)]
    if request.http10 and not request.host:
        lines.append(b"Host:")  # RFC 9112 3.2: sent empty when there is no authority
    if request.websocket:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    chain = proto = host = b""
    if request.claims and peer is not STRANGER:
        for (kind, value), line in request.claims:
            if kind is field.FORWARDED_FOR:
                chain = _listed(chain, value)
            elif kind is field.FORWARDED_PROTO:
                proto = _listed(proto, value)
            elif kind is field.FORWARDED_HOST:
                host = _listed(host, value)
            else:
                lines.append(line)
    if host or request.host:
        lines.append(b"X-Forwarded-Host: " + (host or request.host))
    lines.append(b"X-Forwarded-Proto: " + (proto or b"http"))
    if peer is not LOCAL:
        lines.append(b"X-Forwarded-For: " + chain + b", " if chain else b"X-Forwarded-For: ")
    elif chain:
        lines.append(b"X-Forwarded-For: " + chain)
    return b"\r\n".join(lines)


def _ending(host: bytes) -> bytes:
    ending = b"X-Forwarded-Host: %b\r\nX-Forwarded-Proto: http\r\nX-Forwarded-For: " % host
    _endings.remember(host, ending)
    return ending


def _listed(earlier: bytes, value: bytes) -> bytes:
    """RFC 9110 5.3: lines of one name are one list."""
    return earlier + b", " + value if earlier else value


def to_client(response: ResponseHead) -> bytes:
    """The response's head for the client, without a Connection field of ours and the empty line that are to follow."""
    if response.unchanged:
        return response.raw[:-2]
    lines = [b"HTTP/1.1 %d %b" % (response.status, response.reason)]
    lines += without_nominated(response.lines, response.nominated)
    if response.websocket and response.status == 101:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    lines.append(b"")
    return b"\r\n".join(lines)


def without_nominated(lines: list[bytes], nominated: tuple[bytes, ...]) -> list[bytes]:
    """RFC 9110 7.6.1: what Connection names goes no further than the Connection field itself."""
    if not nominated:
        return lines
    return [line for line in lines if line.partition(b":")[0].lower() not in nominated]
