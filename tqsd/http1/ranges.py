"""Parts of content (RFC 9110 14)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

MOST: Final = 16  # ranges of one request; RFC 9110 14.2 warns of those who ask for more
_SPEC: Final = re.compile(rb"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})")

Range = tuple[int, int]  # the offset and the number of bytes


def read_ranges(value: bytes, size: int) -> list[Range] | None:
    """The satisfiable ranges of a Range field for content of `size` bytes, in the order asked.

    None: the field is to be ignored, because it is none, or asks for too much or for the same bytes twice. An empty
    list: none of its ranges can be satisfied.
    """
    unit, equals, specs = value.partition(b"=")
    members = [member.strip(b" \t") for member in specs.split(b",", MOST * 2)]
    members = [member for member in members if member]
    if unit.lower() != b"bytes" or not equals or not members or len(members) > MOST:
        return None
    found = []
    for member in members:
        spec = _SPEC.fullmatch(member)
        if spec is None or (spec[2] and int(spec[2]) < int(spec[1])):
            return None
        if spec[3]:
            count = min(int(spec[3]), size)
            first = size - count
        else:
            first = int(spec[1])
            count = min(int(spec[2]) + 1 if spec[2] else size, size) - first
        if count > 0:
            found.append((first, count))
    if not size:  # nothing of nothing cannot be written as a Content-Range
        return None
    ordered = sorted(found)
    overlap = any(one[0] + one[1] > other[0] for one, other in pairwise(ordered))
    return None if overlap else found


def content_range(part: Range, size: int) -> bytes:
    """The value of Content-Range (RFC 9110 14.4)."""
    return b"bytes %d-%d/%d" % (part[0], part[0] + part[1] - 1, size)


def multipart(parts: list[Range], size: int, kind: bytes, boundary: bytes) -> tuple[int, list[bytes | Range]]:
    """Content of several ranges (RFC 9110 14.6): its length, and its pieces in order; a Range is bytes of the file."""
    pieces: list[bytes | Range] = []
    length = 0
    before = b"--"
    for part in parts:
        line = b"%b%b\r\nContent-Type: %b\r\nContent-Range: " % (before, boundary, kind)
        head = line + content_range(part, size) + b"\r\n\r\n"
        pieces += (head, part)
        length += len(head) + part[1]
        before = b"\r\n--"
    end = b"\r\n--%b--\r\n" % boundary
    return length + len(end), [*pieces, end]
