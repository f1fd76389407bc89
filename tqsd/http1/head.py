"""Heads of requests and responses: bytes in, checked values out. What is ambiguous is refused (RFC 9112)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from tqsd.http1 import field
from tqsd.http1.cache import Cache
from tqsd.http1.field import FIELD_BYTES, PLAIN_LINE, TOKEN, BadHead, Line, known_lines, read_field_line

_TARGET_BYTES: Final = bytes(byte for byte in range(33, 127) if byte not in b'#"<>')
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*)(.*)", re.DOTALL)
_IDEMPOTENT: Final = frozenset([b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"])  # RFC 9110 9.2.2


class Framing(StrEnum):
    """How the end of a message's content is known (RFC 9112 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until-close"
    TUNNEL = "tunnel"


# Enum attributes are looked up slowly in Python 3.11
NONE: Final = Framing.NONE
LENGTH: Final = Framing.LENGTH
CHUNKED: Final = Framing.CHUNKED
UNTIL_CLOSE: Final = Framing.UNTIL_CLOSE
TUNNEL: Final = Framing.TUNNEL

# Of a request line: method, target in origin form, its path, authority, is it HTTP/1.0, does it pass as it came
Start = tuple[bytes, bytes, bytes, bytes, bool, bool]
# Of a status line: status, reason, is it HTTP/1.0, does it pass as it came
Status = tuple[int, bytes, bool, bool]

_starts: Cache[bytes, Start] = Cache(4096, 512)
_statuses: Cache[bytes, Status] = Cache(256, 128)


class RequestHead:
    """A request head that holds. `lines` go to the worker, in order; `claims` only from a sender that is believed.

    `unchanged`: request line and lines go there as they came.
    """

    __slots__ = (
        "claims", "framing", "host", "http10", "identified", "length", "lines", "method",
        "nominated", "path", "persistent", "target", "unchanged", "websocket",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, path: bytes, http10: bool) -> None:
        self.method = method
        self.target = target  # "/path?query", or "*"
        self.path = path
        self.http10 = http10
        self.persistent = not http10  # RFC 9112 9.3
        self.host = b""
        self.framing = NONE
        self.length = 0  # of the content in bytes, when framing is LENGTH
        self.websocket = False
        self.identified = False  # there is an X-Request-Id among the lines; a claim as well
        self.lines: list[bytes] = []
        self.claims: list[tuple[Line, bytes]] = []  # what a proxy before us says about the client
        self.nominated: tuple[bytes, ...] = ()  # names that Connection removes, in lower case
        self.unchanged = False

    @property
    def idempotent(self) -> bool:
        return self.method in _IDEMPOTENT


class ResponseHead:
    """A response head that holds. `unchanged`: it may be passed on as it came; `whole`: so may it with its content."""

    __slots__ = (
        "framing", "http10", "length", "lines", "nominated", "persistent", "raw", "reason", "status",
        "unchanged", "websocket", "whole",
    )  # fmt: skip

    def __init__(self, raw: bytes, lines: list[bytes], start: Status) -> None:
        self.raw = raw
        self.lines = lines
        self.status, self.reason, self.http10, self.unchanged = start
        self.persistent = not self.http10
        self.framing = NONE
        self.length = 0  # of the content in bytes, when framing is LENGTH
        self.nominated: tuple[bytes, ...] = ()
        self.websocket = False
        self.whole = False


def parse_request(head: bytes, max_target: int) -> RequestHead:
    """The request of a whole head, up to and including its empty line. Raises BadHead."""
    lines = head[:-4].split(b"\r\n")
    start = _starts.get(lines[0])
    if start is None:
        start = _request_line(lines[0])
        _starts.remember(lines[0], start)
    method, target, path, authority, http10, as_it_came = start
    if len(target) > max_target:
        raise BadHead("the request target is too long", 414)
    del lines[0]
    request = RequestHead(method, target, path, http10)
    request.lines = lines
    special: list[tuple[Line, bytes]] = []
    get = known_lines.get
    for line in lines:
        known = get(line) or read_field_line(line)
        if known is not PLAIN_LINE:
            special.append((known, line))
    if len(special) == 1 and special[0][0][0] is field.HOST:
        request.host = special[0][0][1]
        request.unchanged = as_it_came
    else:
        request.unchanged = _sort_special(request, special) and as_it_came
    if authority and authority.lower() != request.host.lower():
        # RFC 9112 3.2.2 gives the target precedence; a Host that differs is a sender with something to hide
        raise BadHead("Host does not match the request target")
    return request


_KEPT: Final = frozenset([field.CONTENT_LENGTH, field.TRANSFER_ENCODING, field.EXPECT])


def _sort_special(request: RequestHead, special: list[tuple[Line, bytes]]) -> bool:
    """Take in the lines that mean something to a proxy; whether all of them go to the worker."""
    hosts = 0
    ours: list[tuple[Line, bytes]] = []
    removed: list[bytes] = []
    for known, line in special:
        kind = known[0]
        if kind is field.HOST:
            hosts += 1
            request.host = known[1]
            continue
        if kind is field.REQUEST_ID:
            request.identified = True
            continue
        if kind in field.CLAIMS:
            request.claims.append((known, line))
        elif kind is not field.DROPPED:
            ours.append((known, line))
        if kind not in _KEPT:
            removed.append(line)
    # RFC 9112 3.2: one valid Host in 1.1; an older client may have none
    if hosts > 1 or (hosts == 0 and not request.http10):
        raise BadHead("a request needs exactly one Host field")
    if removed:
        request.lines = [line for line in request.lines if line not in removed]
    if ours:
        _read_special(request, ours)
    return not removed


def _read_special(request: RequestHead, special: list[tuple[Line, bytes]]) -> None:
    length = coding = upgrade = None
    connection: list[bytes] = []
    for (kind, value), line in special:
        if kind is field.CONTENT_LENGTH:
            length = field.content_length(value, length)
        elif kind is field.TRANSFER_ENCODING:
            coding = field.transfer_coding(value, coding)
        elif kind is field.CONNECTION:
            connection.append(value)
        elif kind is field.UPGRADE:
            upgrade = value.lower() if upgrade is None else b""
        else:
            _expect(request, value, line)
    if coding is not None:
        # RFC 9112 6.1 and 6.3: both is how requests are smuggled, and 1.0 knows no codings
        if length is not None or request.http10:
            raise BadHead("Transfer-Encoding with Content-Length, or in HTTP/1.0")
        request.framing = CHUNKED
    elif length:
        request.framing, request.length = LENGTH, length
    if connection:
        options = _persistence(request, connection)
        asked = upgrade == b"websocket" and b"upgrade" in options
        # RFC 9110 7.8, RFC 6455 4.1: only WebSocket; any other Upgrade is hop-by-hop and simply removed
        request.websocket = asked and request.method == b"GET" and not request.http10 and request.framing is NONE


def _expect(request: RequestHead, value: bytes, line: bytes) -> None:
    if request.http10:  # RFC 9110 10.1.1: to be ignored in 1.0
        request.lines.remove(line)
    elif value.lower() != b"100-continue":
        raise BadHead("the expectation cannot be met", 417)


def _request_line(line: bytes) -> Start:
    words = line.split(b" ")
    if len(words) != 3:
        raise BadHead("not a request line")
    method, target, version = words
    if not method or method.translate(None, TOKEN):
        raise BadHead("not a method")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version):
            raise BadHead("only HTTP/1.1 and HTTP/1.0 are spoken here", 505)
        raise BadHead("not an HTTP version")
    if not target or target.translate(None, _TARGET_BYTES):
        raise BadHead("not a request target")
    if method == b"CONNECT":
        raise BadHead("this is no forward proxy", 501)
    authority = b""
    if not target.startswith(b"/") and (target, method) != (b"*", b"OPTIONS"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not field.AUTHORITY.fullmatch(absolute[1]):
            raise BadHead("not a request target")
        authority, target = absolute[1], absolute[2]
        if not target.startswith(b"/"):  # RFC 9112 3.2.1 and 3.2.4
            target = b"*" if method == b"OPTIONS" and not target else b"/" + target
    http10 = version == b"HTTP/1.0"
    return method, target, target.partition(b"?")[0], authority, http10, not http10 and target is words[1]


def parse_response(head: bytes, to_head: bool) -> ResponseHead:
    """The response of a whole head; `to_head`: it answers HEAD. Raises BadHead, whose status means nothing here."""
    lines = head[:-4].split(b"\r\n")
    start = _statuses.get(lines[0])
    if start is None:
        start = _status_line(lines[0])
        _statuses.remember(lines[0], start)
    del lines[0]
    response = ResponseHead(head, lines, start)
    length = coding = upgrade = None
    connection: list[bytes] = []
    removed: list[bytes] = []
    get = known_lines.get
    for line in lines:
        known = get(line) or read_field_line(line)
        if known is PLAIN_LINE:
            continue
        kind, value = known
        if kind is field.CONTENT_LENGTH:
            length = field.content_length(value, length)
        elif kind is field.TRANSFER_ENCODING:
            coding = field.transfer_coding(value, coding)
        elif kind is field.CONNECTION:
            connection.append(value)
        elif kind is field.UPGRADE:
            upgrade = value.lower() if upgrade is None else b""
        if kind in _REMOVED_FROM_RESPONSE:
            removed.append(line)
    if removed:
        response.unchanged = False
        response.lines = [line for line in lines if line not in removed]
    if coding is not None and (length is not None or response.http10):
        raise BadHead("Transfer-Encoding with Content-Length, or in HTTP/1.0")
    if connection:
        response.websocket = b"upgrade" in _persistence(response, connection) and upgrade == b"websocket"
    _frame_response(response, length, coding, to_head)
    framing = response.framing
    response.whole = response.unchanged and response.status >= 200 and (framing is LENGTH or framing is NONE)
    return response


_REMOVED_FROM_RESPONSE: Final = frozenset([field.CONNECTION, field.UPGRADE, field.DROPPED])


def _frame_response(response: ResponseHead, length: int | None, coding: bytes | None, to_head: bool) -> None:
    """RFC 9112 6.3, in its order."""
    status = response.status
    if status < 200 or status == 204:
        if status == 101:
            response.framing = TUNNEL
        if length is not None or coding is not None:  # RFC 9110 8.6, RFC 9112 6.1: must not be there
            framing = (field.CONTENT_LENGTH, field.TRANSFER_ENCODING)
            response.lines = [line for line in response.lines if read_field_line(line)[0] not in framing]
            response.unchanged = False
    elif to_head or status == 304:
        pass
    elif coding is not None:
        response.framing = CHUNKED
    elif length is None:
        response.framing = UNTIL_CLOSE
        response.persistent = False
    elif length:
        response.framing, response.length = LENGTH, length


def _status_line(line: bytes) -> Status:
    version, status, reason = line[:9], line[9:12], line[12:]
    if version not in (b"HTTP/1.1 ", b"HTTP/1.0 ") or reason[:1] not in (b" ", b""):
        raise BadHead("not a status line")
    if len(status) != 3 or not status.isdigit() or not 100 <= int(status) <= 599:  # RFC 9110 15
        raise BadHead("not a status code")
    if reason.translate(None, FIELD_BYTES):
        raise BadHead("a control byte in the status line")
    http10 = version == b"HTTP/1.0 "
    # RFC 9112 4: the space stands even before an empty reason
    return int(status), reason[1:], http10, bool(reason) and not http10


def _persistence(head: RequestHead | ResponseHead, connection: list[bytes]) -> tuple[bytes, ...]:
    """RFC 9112 9.3: close wins; keep-alive is how 1.0 asks for more. Returns all options."""
    options = field.connection_options(connection)
    if b"close" in options:
        head.persistent = False
    elif b"keep-alive" in options:
        head.persistent = True
    head.nominated = tuple(option for option in options if option not in (b"close", b"keep-alive", b"upgrade"))
    return options
