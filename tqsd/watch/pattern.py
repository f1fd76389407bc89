"""The patterns of `watch:`: which files they name, and where to look for those that may come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path


def matching(site: Path, patterns: Iterable[str]) -> Iterator[Path]:
    """The files of a site that patterns of `watch:` name."""
    for pattern in patterns:
        yield from (path for path in site.glob(pattern) if path.is_file())


def anchors(site: Path, patterns: Iterable[str]) -> Iterator[Path]:
    """The directories below which patterns of `watch:` can match: what stands before their first wildcard."""
    for pattern in patterns:
        fixed: list[str] = []
        for part in pattern.split("/")[:-1]:
            if any(sign in part for sign in "*?["):
                break
            fixed.append(part)
        yield site.joinpath(*fixed)
