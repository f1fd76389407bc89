"""Which page serves a request: the longest route that is a prefix of its path, segment by segment.

Paths are compared decoded and forwarded as sent: `%75sers` is `users`, `%2F` never separates, an empty segment matches
nothing, a trailing slash makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_TRIPLET = re.compile(rb"%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DOTS = (b".", b"..")


class BadPath(ValueError):
    """A path that two programs could read in two ways; it gets 400 before any page sees it."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a page serves. No methods or no hosts means all of them; hosts are lower case, without a port."""

    page: str
    route: str
    methods: tuple[bytes, ...] = ()
    hosts: frozenset[bytes] = frozenset()
    strip_prefix: bool = False
    max_body: int | None = None

    @classmethod
    def from_plain(cls, row: Mapping[str, Any]) -> Route:
        """Read one row of a table, as JSON gives it; raises KeyError for a row without page or route."""
        methods = [method.encode() for method in row.get("methods", ())]
        if b"GET" in methods and b"HEAD" not in methods:
            methods.append(b"HEAD")  # RFC 9110 9.3.2: HEAD is GET without the content
        return cls(
            page=row["page"],
            route=row["route"],
            methods=tuple(methods),
            hosts=frozenset(host.lower().encode("idna") for host in row.get("hosts", ())),
            strip_prefix=bool(row.get("strip_prefix")),
            max_body=row.get("max_body"),
        )

    def takes(self, method: bytes) -> bool:
        return not self.methods or method in self.methods

    def stripped(self, path: bytes) -> bytes:
        """`path` without this route's own segments; at least "/"."""
        depth = len(segments_of(self.route))
        return b"/" + b"/".join(path.split(b"/")[depth + 1 :])


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """Pages are here, but none takes the method; `allow` is the value of the Allow field (RFC 9110 15.5.6)."""

    allow: bytes


class _Node:
    __slots__ = ("branches", "routes", "sole")

    def __init__(self) -> None:
        self.branches: dict[bytes, _Node] = {}
        self.routes: list[Route] = []
        self.sole: Route | None = None  # the one route here, when it takes all methods and hosts

    def add(self, route: Route) -> None:
        self.routes.append(route)
        self.sole = route if len(self.routes) == 1 and not (route.methods or route.hosts) else None

    def choose(self, method: bytes, host: bytes) -> Route | NotAllowed | None:
        """A page named for this host goes before one for all hosts; None when there is neither."""
        named = [route for route in self.routes if host in route.hosts]
        candidates = named + [route for route in self.routes if not route.hosts]
        for route in candidates:
            if route.takes(method):
                return route
        if not candidates:
            return None
        return NotAllowed(b", ".join(dict.fromkeys(method for route in candidates for method in route.methods)))


class RouteTable:
    """The routes of a site, found in time that grows with the depth of the table and never with its size."""

    __slots__ = ("_root", "routes")

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.routes = tuple(Route.from_plain(row) for row in rows)
        self._root = _Node()
        for route in self.routes:
            node = self._root
            for segment in segments_of(route.route):
                node = node.branches.setdefault(segment, _Node())
            node.add(route)

    def match(self, path: bytes, method: bytes, host: bytes) -> Route | NotAllowed | None:
        """The page for a raw path (no query); None when no page matches. Raises BadPath.

        A host that a page does not name makes it invisible: a shorter route may match. A method it does not take is
        its answer: NotAllowed.
        """
        node: _Node | None = self._root
        passed = [self._root]
        for segment in decoded(path):
            node = node.branches.get(segment) if node else None
            if node is None:
                break
            if node.routes:
                passed.append(node)
        for node in reversed(passed):
            found = node.sole or node.choose(method, host)
            if found is not None:
                return found
        return None


def segments_of(route: str) -> list[bytes]:
    """The decoded segments of a page's route: "/" has none."""
    return [segment.encode() for segment in route.split("/") if segment]


def decoded(path: bytes) -> list[bytes]:
    """The segments of a raw path, percent-decoded once. Raises BadPath."""
    if b"\\" in path:
        raise BadPath("a backslash in the path")
    segments = path.split(b"/")[1:]
    if b"%" in path:
        if _STRAY_PERCENT.search(path):
            raise BadPath("a percent sign without two hex digits")
        segments = [_decode(segment) for segment in segments]
    if b"/." in path or b"%" in path:
        for segment in segments:
            if segment in _DOTS:
                raise BadPath("a dot segment in the path")
    return segments


def _decode(segment: bytes) -> bytes:
    if b"%" not in segment:
        return segment
    plain = _TRIPLET.sub(lambda triplet: bytes.fromhex(triplet[1].decode()), segment)
    if b"\0" in plain or b"\\" in plain:
        raise BadPath("an encoded NUL or backslash in the path")
    try:
        plain.decode()
    except UnicodeDecodeError:
        raise BadPath("the path is not UTF-8") from None
    return plain
