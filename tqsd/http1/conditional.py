"""Conditional requests (RFC 9110 13), as far as they are about files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tqsd.http1.date import read_date

_TAG: Final = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS: Final = re.compile(rb"[ \t,]*" + _TAG + rb"(?:[ \t]*,[ \t,]*" + _TAG + rb")*[ \t,]*")
_EACH: Final = re.compile(_TAG)
_ANY: Final = frozenset([b"*"])

FIELDS: Final = (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range")


class Conditions:
    """What a request demands of the state of what it asks for. Dates that are none, and tags that are none, are out."""

    __slots__ = ("match", "modified_since", "none_match", "range", "unmodified_since")

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        """`fields` are those of FIELDS that the request has, each with its lines joined by commas."""
        self.match = _tags(fields.get(b"if-match"))
        self.none_match = _tags(fields.get(b"if-none-match"))
        self.modified_since = read_date(fields.get(b"if-modified-since", b""))
        self.unmodified_since = read_date(fields.get(b"if-unmodified-since", b""))
        self.range = fields.get(b"if-range")

    def status(self, etag: bytes, modified: int) -> int:
        """200, 304 or 412 for GET and HEAD (RFC 9110 13.2.2); `etag` is strong, `modified` in seconds."""
        if self.match is not None:
            if self.match is not _ANY and etag not in self.match:
                return 412
        elif self.unmodified_since is not None and modified > self.unmodified_since:
            return 412
        if self.none_match is not None:  # weak comparison: our tag may have become weak on its way
            unchanged = self.none_match is _ANY or etag in self.none_match or b"W/" + etag in self.none_match
            return 304 if unchanged else 200
        return 304 if self.modified_since is not None and modified <= self.modified_since else 200

    def allow_range(self, etag: bytes, modified: int) -> bool:
        """RFC 9110 13.1.5: a part only of the very version that the client has a part of."""
        return self.range is None or self.range == etag or read_date(self.range) == modified


def _tags(value: bytes | None) -> frozenset[bytes] | None:
    """The entity tags of a list, _ANY for "*"; None without the field."""
    if value is None:
        return None
    if value == b"*":
        return _ANY
    return frozenset(_EACH.findall(value)) if _TAGS.fullmatch(value) else frozenset()
