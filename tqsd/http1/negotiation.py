"""Which compressed variant of a file a client takes (RFC 9110 12.5.3)."""

from __future__ import annotations

import re
from typing import Final

from tqsd.http1.cache import Cache

ENDINGS: Final = {b"br": b".br", b"zstd": b".zst", b"gzip": b".gz"}  # the smallest result first
_MEMBER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9a-z-]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")

_known: Cache[bytes, tuple[bytes, ...]] = Cache(256, 256)


def codings(accept: bytes) -> tuple[bytes, ...]:
    """The codings of ENDINGS that an Accept-Encoding field, in lower case, takes as gladly as none; the best first."""
    found = _known.get(accept)
    if found is None:
        found = _codings(accept)
        _known.remember(accept, found)
    return found


def _codings(accept: bytes) -> tuple[bytes, ...]:
    weights: dict[bytes, float] = {}
    for part in accept.split(b","):
        member = _MEMBER.fullmatch(part.strip(b" \t"))
        if member is not None:
            name = member[1].removeprefix(b"x-")  # RFC 9110 8.4.1.3: x-gzip is gzip
            weights[name] = float(member[2] or 1)
    others = weights.get(b"*", 0.0)
    plain = weights.get(b"identity", 0.0)
    taken = {name: weights.get(name, others) for name in ENDINGS}
    return tuple(sorted((n for n, weight in taken.items() if weight and weight >= plain), key=lambda n: -taken[n]))
