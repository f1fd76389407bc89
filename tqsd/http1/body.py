"""Followers of content that is passed on raw: they say where it ends, and never change it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol

from tqsd.http1.field import FIELD_BYTES, PLAIN_LINE, BadHead, field_line
from tqsd.http1.head import CHUNKED, LENGTH, Framing

_HEX: Final = b"0123456789abcdefABCDEF"
_MAX_SIZE_LINE: Final = 1024  # bytes; an extension is nobody's but a nuisance for the worker
_MAX_TRAILERS: Final = 16384  # bytes, all of them


class BadBody(ValueError):
    """Content whose framing is broken; where the message ends cannot be known any more."""


class Follower(Protocol):
    """Follows the content of one message. `size` counts what it has carried so far, in bytes and decoded."""

    size: int

    def feed(self, data: bytes, content: list[bytes] | None = None) -> int:
        """Take the next bytes; return the offset just past the content's end, or -1 while it goes on.

        The decoded content is appended to `content` where one is given. Raises BadBody.
        """


def follow(framing: Framing, length: int) -> Follower:
    """The follower of a message with content, whose head said how it is framed."""
    if framing is CHUNKED:
        return Chunked()
    return Length(length) if framing is LENGTH else UntilClose()


class Length:
    """A Follower of content of known length."""

    __slots__ = ("_left", "size")

    def __init__(self, length: int) -> None:
        self.size = 0
        self._left = length

    def feed(self, data: bytes, content: list[bytes] | None = None) -> int:
        take = min(self._left, len(data))
        self.size += take
        self._left -= take
        if content is not None:
            content.append(data[:take])
        return -1 if self._left else take

    def skip(self, count: int) -> bool:
        """Take the next `count` bytes without seeing them, at most what is left; True at the content's end."""
        self.size += count
        self._left -= count
        return not self._left


class UntilClose:
    """A Follower of content that only the end of the connection ends."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def feed(self, data: bytes, content: list[bytes] | None = None) -> int:
        self.size += len(data)
        if content is not None:
            content.append(data)
        return -1


class _Part(StrEnum):
    SIZE = "size"
    DATA = "data"
    AFTER_DATA = "after-data"
    TRAILERS = "trailers"


_SIZE: Final = _Part.SIZE
_DATA: Final = _Part.DATA
_AFTER_DATA: Final = _Part.AFTER_DATA


class Chunked:
    """A Follower of a chunked body (RFC 9112 7.1)."""

    __slots__ = ("_left", "_line", "_part", "_trailers", "size")

    def __init__(self) -> None:
        self.size = 0
        self._part = _SIZE
        self._left = 0
        self._line = b""  # a line whose end has not come yet
        self._trailers = 0

    def feed(self, data: bytes, content: list[bytes] | None = None) -> int:
        at, end = 0, len(data)
        while at < end:
            if self._part is _DATA:
                take = min(self._left, end - at)
                if content is not None:
                    content.append(data[at : at + take])
                self._left -= take
                self.size += take
                at += take
                if not self._left:
                    self._part = _AFTER_DATA
                continue
            if self._part is _AFTER_DATA and not self._line and data.startswith(b"\r\n", at):
                self._part = _SIZE
                at += 2
                continue
            newline = data.find(b"\n", at)
            if newline < 0:
                self._keep(data[at:])
                return -1
            line = self._line + data[at:newline]
            self._line = b""
            at = newline + 1
            if not line.endswith(b"\r"):
                raise BadBody("a line of a chunked body ends in a bare LF")
            if self._finish(line[:-1]):
                return at
        return -1

    def _keep(self, rest: bytes) -> None:
        self._line += rest
        if len(self._line) > (_MAX_TRAILERS if self._part is _Part.TRAILERS else _MAX_SIZE_LINE):
            raise BadBody("a line of a chunked body is too long")
        if self._part is _AFTER_DATA and self._line != b"\r":
            raise BadBody("a chunk is longer than its size")

    def _finish(self, line: bytes) -> bool:
        """Take a whole line; True when it was the body's last."""
        if self._part is _AFTER_DATA:
            if line:
                raise BadBody("a chunk is longer than its size")
            self._part = _SIZE
        elif self._part is _SIZE:
            self._left = _chunk_size(line)
            self._part = _DATA if self._left else _Part.TRAILERS
        elif line:
            self._trailers += len(line) + 2
            _check_trailer(line, self._trailers)
        else:
            return True
        return False


def _chunk_size(line: bytes) -> int:
    digits, semicolon, extension = line.partition(b";")
    # No white space before the semicolon or at the end (RFC 9112 7.1.1 calls it bad), and int() would take much more.
    if not digits or len(digits) > 15 or digits.translate(None, _HEX):
        raise BadBody("not a chunk size")
    if semicolon and (len(line) > _MAX_SIZE_LINE or extension.translate(None, FIELD_BYTES)):
        raise BadBody("not a chunk extension")
    return int(digits, 16)


def _check_trailer(line: bytes, total: int) -> None:
    if total > _MAX_TRAILERS:
        raise BadBody("too many trailers")
    try:
        known = field_line(line)
    except BadHead as fault:
        raise BadBody(fault.why) from None
    if known is not PLAIN_LINE:  # RFC 9110 6.5.1: framing, routing and the like are not for trailers
        raise BadBody("a field that must not be a trailer")


class Frames:
    """Follows the WebSocket frames of one direction (RFC 6455 5.2), so that a frame of ours can go between two."""

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""  # of a frame whose header is not whole yet
        self._left = 0  # bytes of the current frame's payload still to come

    @property
    def between(self) -> bool:
        """Nothing of the next frame has come yet."""
        return not self._left and not self._header

    def feed(self, data: bytes, stop: bool = False) -> int:
        """Take the next bytes; with `stop`, only up to the next frame boundary. Returns how many were taken."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                take = min(self._left, end - at)
                self._left -= take
                at += take
            else:
                at += self._read_header(data, at)
            if stop and self.between:
                break
        return at

    def _read_header(self, data: bytes, at: int) -> int:
        """Take bytes of a header, at most to its end; returns how many."""
        held = len(self._header)
        header = self._header + data[at : at + 14 - held]
        self._header = header
        if len(header) < 2:
            return len(header) - held
        length = header[1] & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        size = 2 + extended + (4 if header[1] & 0x80 else 0)
        if len(header) < size:
            return len(header) - held
        self._left = int.from_bytes(header[2 : 2 + extended]) if extended else length
        self._header = b""
        return size - held
