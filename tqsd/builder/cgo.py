"""Parts in C that a build with CGO_ENABLED=0 leaves out: some packages do without, others fail when they are used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqsd.builder.imports import parse_head
from tqsd.errors import BuildError

HINT = "code in C needs `build: {cgo: true}` in the page's page.yaml"
# Packages that compile without C and then refuse to work, and what does the same without C.
_USELESS = {
    "github.com/mattn/go-sqlite3": "modernc.org/sqlite",
    "github.com/marcboeker/go-duckdb": "",
    "github.com/duckdb/duckdb-go/v2": "",
}


def parts_left_out(listed: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Of the packages that `go list -deps` told of, with CGO_ENABLED=0: those outside Go itself with parts in C."""
    found = []
    for package in listed:
        directory = package.get("Dir")
        if directory and not package.get("Standard") and not package.get("CgoFiles"):
            ignored = (Path(directory, name) for name in package.get("IgnoredGoFiles", ()))
            if any(_is_in_c(path) for path in ignored):
                found.append(package["ImportPath"])
    return tuple(found)


def refuse_useless(page: str, packages: Iterable[str]) -> None:
    """Raise BuildError for a package that is of no use without its parts in C."""
    for package in packages:
        if package in _USELESS:
            other = f", or use {_USELESS[package]}, which needs no C" if _USELESS[package] else ""
            raise BuildError(f"{page} uses {package}, which does not work without C", f"{HINT}{other}")


def _is_in_c(path: Path) -> bool:
    try:
        return "C" in parse_head(path.read_text(errors="replace")).imports
    except OSError:
        return False
