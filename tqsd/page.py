"""A page: one directory of sources, the route it serves, and the names derived from both."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tqsd.config import PageSettings

_SLUG_LIMIT = 120
_SLUG_KEEP = 100
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789.")


class Runtime(StrEnum):
    GO = "go"
    PYTHON = "python"
    COMMAND = "command"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it was found on disk.

    name       its path below pages/, with "/" between segments: "api/users"
    directory  the absolute, resolved directory of its sources
    route      the URL prefix it serves, decoded, without a trailing slash: "/api/users"; "/" is the catch-all
    """

    name: str
    directory: Path
    route: str
    runtime: Runtime
    settings: PageSettings

    @property
    def slug(self) -> str:
        return slug(self.name)


def route_of(name: str) -> str:
    """The route of a page by its place: a last segment "index" serves its parent's path."""
    segments = name.split("/")
    if segments[-1] == "index":
        segments.pop()
    return "/" + "/".join(segments)


def slug(name: str) -> str:
    """The page's name as unit and directory names may carry it: one to one, at most 120 bytes.

    Segments are joined by "-"; `[a-z0-9.]` stand for themselves, any other UTF-8 byte is `_xx`. A dash in a
    slice name would be a level of its own (systemd.slice(5)), so a page's own dash is escaped as well.
    """
    escaped = "-".join(_escape(segment) for segment in name.split("/"))
    if len(escaped) <= _SLUG_LIMIT:
        return escaped
    return f"{escaped[:_SLUG_KEEP]}_h{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _escape(segment: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"_{byte:02x}" for byte in segment.encode())


def executable_name(name: str) -> str:
    """A readable file name for the page's executable, so that `ps` shows which page a worker serves."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name.rsplit("/", 1)[-1]).lstrip(".-") or "page"
