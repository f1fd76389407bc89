"""A file as an answer: which of its bytes go to the client, and with which head."""

from __future__ import annotations

import contextlib
import re
from typing import Final, NamedTuple

from tqsd.http1.cache import Cache
from tqsd.http1.conditional import FIELDS, Conditions
from tqsd.http1.date import write_date
from tqsd.http1.media import Media
from tqsd.http1.negotiation import codings
from tqsd.http1.ranges import Range, content_range, multipart, read_ranges

_LINE: Final = re.compile(rb"\r\n(%b|range):([^\r\n]*)" % b"|".join(FIELDS), re.IGNORECASE)
_ENCODING: Final = re.compile(rb"\r\naccept-encoding:([^\r\n]*)")
_PHRASES: Final = {
    200: b"OK",
    206: b"Partial Content",
    304: b"Not Modified",
    308: b"Permanent Redirect",
    404: b"Not Found",
    412: b"Precondition Failed",
    416: b"Range Not Satisfiable",
}

Pieces = list[bytes | Range]  # of content; a Range is bytes of the file


class Asked:
    """What a request head says about the representation it wants."""

    __slots__ = ("codings", "conditions", "range", "simple")

    def __init__(self, raw: bytes) -> None:
        lower = raw.lower()
        accepted = _ENCODING.findall(lower) if b"\r\naccept-encoding:" in lower else ()
        self.codings = codings(b",".join(accepted)) if accepted else ()
        self.range: bytes | None = None
        self.conditions: Conditions | None = None
        self.simple = b"\r\nif-" not in lower and b"\r\nrange:" not in lower  # it wants the whole, whatever its state
        if not self.simple:
            fields: dict[bytes, bytes] = {}
            for spelled, line in _LINE.findall(raw):
                name, value = spelled.lower(), line.strip(b" \t")
                fields[name] = fields[name] + b", " + value if name in fields else value  # RFC 9110 5.3
            self.range = fields.pop(b"range", None)
            self.conditions = Conditions(fields) if fields else None


class Representation(NamedTuple):
    """A file, or a compressed variant of one, in one version.

    `coding` is empty or one of negotiation.ENDINGS, `version` tells this version from all others of the same size and
    coding, `modified` is in seconds. `settled`: it will never again be another version with the same of both.
    """

    media: Media
    coding: bytes
    size: int
    version: int
    modified: int
    settled: bool = True

    @property
    def etag(self) -> bytes:
        return b'"%x-%x%b"' % (self.version, self.size, b"-" + self.coding if self.coding else b"")

    def answer(self, asked: Asked, to_head: bool, boundary: bytes) -> tuple[bytes, Pieces]:
        """The head for this request, and the pieces of its content."""
        status = 200
        etag = self.etag
        conditions = asked.conditions
        if conditions is not None:
            status = conditions.status(etag, self.modified)
        if status == 304:
            return self._head(304, b""), []
        if status == 412:
            return _empty(412, b""), []
        parts = None
        wanted = None if to_head else asked.range  # RFC 9110 14.2: defined for GET only
        if wanted is not None and (conditions is None or conditions.allow_range(etag, self.modified)):
            parts = read_ranges(wanted, self.size)
        if parts is None:
            return self.whole(), [(0, self.size)]
        if not parts:
            return _empty(416, b"Content-Range: bytes */%d\r\n" % self.size), []
        if len(parts) == 1:
            fields = b"Content-Type: %b\r\nContent-Range: %b\r\n" % (
                self.media.type,
                content_range(parts[0], self.size),
            )
            return self._head(206, b"%bContent-Length: %d\r\n" % (fields, parts[0][1])), [parts[0]]
        length, pieces = multipart(parts, self.size, self.media.type, boundary)
        kind = b"Content-Type: multipart/byteranges; boundary=%b\r\n" % boundary
        return self._head(206, b"%bContent-Length: %d\r\n" % (kind, length)), pieces

    def whole(self) -> bytes:
        """The head of 200 with all of the content."""
        head = _wholes.get(self)
        if head is None:
            head = self._head(200, self._content + b"Accept-Ranges: bytes\r\n")
            _wholes.remember(self, head)
        return head

    def not_found(self) -> bytes:
        """The head of 404, with all of the content."""
        return self._replace(settled=False)._head(404, self._content)

    @property
    def _content(self) -> bytes:
        return b"Content-Type: %b\r\nContent-Length: %d\r\n" % (self.media.type, self.size)

    def _head(self, status: int, fields: bytes) -> bytes:
        """A head with `fields`, and with what every answer about this representation says."""
        end = _ends.get(self)
        if end is None:
            end = self._end()
            _ends.remember(self, end)
        return b"HTTP/1.1 %d %b\r\n%b%b" % (status, _PHRASES[status], fields, end)

    def _end(self) -> bytes:
        lines = []
        if self.coding:
            lines.append(b"Content-Encoding: %b\r\n" % self.coding)
        if not self.media.packed:
            lines.append(b"Vary: Accept-Encoding\r\n")
        if self.settled:
            lines.append(b"ETag: %b\r\n" % self.etag)
            with contextlib.suppress(OverflowError, ValueError):  # a file system can hold any year
                lines.append(b"Last-Modified: %b\r\n" % write_date(self.modified))
        # It may be kept, and is asked for again each time: the answer then is a 304
        lines.append(b"Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\r\n")
        return b"".join(lines)


_wholes: Cache[Representation, bytes] = Cache(4096, len(Representation._fields))
_ends: Cache[Representation, bytes] = Cache(4096, len(Representation._fields))


def length(pieces: Pieces) -> int:
    """How many bytes they are."""
    if len(pieces) == 1 and isinstance(pieces[0], tuple):
        return pieces[0][1]
    return sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)


def redirect(target: bytes) -> bytes:
    """The answer that sends a client to another path for good, as long as it is not kept."""
    return _empty(308, b"Location: %b\r\n" % target)


def _empty(status: int, fields: bytes) -> bytes:
    end = b"Content-Length: 0\r\nCache-Control: no-store\r\n\r\n"
    return b"HTTP/1.1 %d %b\r\n%b%b" % (status, _PHRASES[status], fields, end)
