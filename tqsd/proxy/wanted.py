"""What a request wants of a page that is served from a directory of files."""

from __future__ import annotations

from typing import Final

from tqsd.http1.cache import Cache
from tqsd.http1.media import media_of
from tqsd.http1.representation import Asked
from tqsd.route import decoded, segments_of

INDEX: Final = b"index.html"
_SETTINGS: Final = (b"page.yaml",)
_WELL_KNOWN: Final = b".well-known"  # RFC 8615
_FOREIGN: Final = frozenset([b"node_modules", b"__pycache__"])
_LEFT_BY_EDITORS: Final = (b"~", b".tmp", b".pyc")

Place = tuple[bytes, ...]  # names, from the directory down to the file; empty for the directory itself

_places: Cache[tuple[bytes, str], Place | None] = Cache(4096, 2)


class Wanted:
    """`place` is None where nothing is ever served; its last name is INDEX for a path that ends in a slash.

    `whole`: all of the content, whatever the client has already. `codings`: those in which a variant is good, too.
    """

    __slots__ = ("asked", "codings", "media", "place", "to_head", "whole")

    def __init__(self, raw: bytes, method: bytes, path: bytes, route: str) -> None:
        self.asked = Asked(raw)
        self.to_head = method == b"HEAD"
        self.whole = self.asked.simple and not self.to_head
        key = (path, route)
        if key in _places:
            self.place = _places[key]
        else:
            self.place = place_of(path, route)
            if len(path) < 512:
                _places.remember(key, self.place)
        self.media = media_of(self.place[-1] if self.place else b"")
        self.codings = () if self.media.packed else self.asked.codings


def place_of(path: bytes, route: str) -> Place | None:
    """The place of a raw path that matched `route`, below what serves the route; None where nothing is served.

    Hidden files are not, but for /.well-known/, nor settings, dependencies and what editors leave: what a release
    would not have.
    """
    place = tuple(decoded(path)[len(segments_of(route)) :])
    if place and not place[-1]:
        place = (*place[:-1], INDEX)
    return place if is_served(place) else None


def is_served(place: Place) -> bool:
    """Whether a file may be served by its names alone."""
    if place == _SETTINGS:
        return False
    for depth, name in enumerate(place):
        if (
            not name or b"/" in name or b"\0" in name or name in _FOREIGN
        ):  # %2F is no separator, but the kernel has only that
            return False
        if name.startswith(b".") and (depth or name != _WELL_KNOWN):
            return False
        if name.endswith(_LEFT_BY_EDITORS) or (name.startswith(b"#") and name.endswith(b"#")):
            return False
    return True
