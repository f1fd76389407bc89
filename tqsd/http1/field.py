"""Field lines, read strictly (RFC 9112 5): what one line means depends on its bytes alone, so it is remembered.

What is ambiguous is refused. The worker behind us parses the same bytes again, and any difference between the two
readings is somebody's way in.
"""

from __future__ import annotations

import re
from typing import Final

from tqsd.http1.cache import Cache

TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # RFC 9110 5.6.2
FIELD_BYTES: Final = bytes([9, *range(32, 127), *range(128, 256)])  # RFC 9110 5.5: no control bytes but the tab

# RFC 3986 3.2.2 without percent-encoding and sub-delims, which no name in use has
AUTHORITY: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")

# Fields that mean something to a proxy. A kind is one object, to be compared with `is`; PLAIN is all the others.
PLAIN: Final = b""
HOST: Final = b"host"
CONTENT_LENGTH: Final = b"content-length"
TRANSFER_ENCODING: Final = b"transfer-encoding"
CONNECTION: Final = b"connection"
UPGRADE: Final = b"upgrade"
EXPECT: Final = b"expect"
FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED_PROTO: Final = b"x-forwarded-proto"
FORWARDED_HOST: Final = b"x-forwarded-host"
REQUEST_ID: Final = b"x-request-id"
FORWARDED: Final = b"forwarded"  # the rest of what a proxy before us may say about the client
DROPPED: Final = b"dropped"  # goes no further

CLAIMS: Final = frozenset([FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, REQUEST_ID, FORWARDED])

_KINDS: Final[dict[bytes, bytes]] = {
    **{kind: kind for kind in (HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, EXPECT)},
    **{kind: kind for kind in CLAIMS},
    b"x-real-ip": FORWARDED,
    # RFC 9110 7.6.1, and the fields of its 11.7, which are for a proxy and not for the worker
    **dict.fromkeys((b"keep-alive", b"proxy-connection", b"te", b"http2-settings"), DROPPED),
    **dict.fromkeys((b"proxy-authenticate", b"proxy-authorization", b"proxy-authentication-info"), DROPPED),
}
# Whoever names one of these in Connection wants us to hide it from the next reader. RFC 9110 7.6.1 forbids it.
_NEVER_NOMINATED: Final = frozenset(
    [name for name, kind in _KINDS.items() if kind is not DROPPED and kind is not UPGRADE]
) | frozenset([b"authorization", b"cookie", b"content-type", b"content-encoding", b"cache-control", b"trailer"])

Line = tuple[bytes, bytes]  # the field's kind, and its value when it is not PLAIN

PLAIN_LINE: Final[Line] = (PLAIN, b"")

_names: Cache[bytes, bytes] = Cache(2048, 64)
known_lines: Final[Cache[bytes, Line]] = Cache(8192, 512)


class BadHead(ValueError):
    """A head that is refused: the status it earns and a few words why."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


def field_line(line: bytes) -> Line:
    """What a line means; PLAIN_LINE itself when it just passes. Raises BadHead."""
    return known_lines.get(line) or read_field_line(line)


def read_field_line(line: bytes) -> Line:
    """As `field_line`, for a line that is not remembered yet."""
    name, colon, value = line.partition(b":")
    if not colon or value.translate(None, FIELD_BYTES):
        raise BadHead("not a field line")
    kind = _names.get(name)
    if kind is None:
        kind = _kind(name)
        _names.remember(name, kind)
    if not kind:
        known_lines.remember(line, PLAIN_LINE)
        return PLAIN_LINE
    known = (kind, value.strip(b" \t"))
    if kind is HOST and not AUTHORITY.fullmatch(known[1]):
        raise BadHead("the Host field is not a host")
    if kind is not REQUEST_ID:  # it never comes again
        known_lines.remember(line, known)
    return known


def _kind(name: bytes) -> bytes:
    if not name or name.translate(None, TOKEN):  # also a space before the colon, and a folded line (RFC 9112 5.1, 5.2)
        raise BadHead("not a field name")
    lower = name.lower()
    kind = _KINDS.get(lower)
    if kind is None and lower.startswith(b"x-forwarded-"):
        kind = FORWARDED
    if kind is None and b"_" in lower and _kind(lower.replace(b"_", b"-")):
        kind = DROPPED  # CGI and WSGI cannot tell X_Forwarded_For from X-Forwarded-For
    return kind or PLAIN


def content_length(value: bytes, earlier: int | None) -> int:
    """The length in bytes. Raises BadHead, also for a second one, which RFC 9110 8.6 allows even where they agree."""
    # bytes.isdigit() knows ASCII only; int() alone would take "+1", "1_0" and white space
    if earlier is not None or not value.isdigit() or len(value) > 18:
        raise BadHead("not one Content-Length")
    return int(value)


def transfer_coding(value: bytes, earlier: bytes | None) -> bytes:
    """Chunked is the only coding we follow. Raises BadHead."""
    if earlier is not None or value.lower() != b"chunked":
        raise BadHead("Transfer-Encoding is not exactly chunked")
    return value


def connection_options(values: list[bytes]) -> tuple[bytes, ...]:
    """The options of all Connection fields, in lower case (RFC 9110 7.6.1). Raises BadHead."""
    parts = b",".join(values).lower().split(b",")
    options = tuple(option for option in (part.strip(b" \t") for part in parts) if option)
    for option in options:
        if option.translate(None, TOKEN) or option in _NEVER_NOMINATED or option.startswith(b"x-forwarded-"):
            raise BadHead("Connection names what it must not remove")
    return options
