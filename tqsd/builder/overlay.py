"""What is laid over a page's sources for its build: the package that says READY, and a go.mod where there is none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

READY = "zz_tqsd_ready"  # the package that is added to every page's module, and the file of the page that imports it
READY_MARK = b"zz_tqsd_ready.(*probe).run"  # a function of it, by the name that every executable with it contains
READY_FILE = f"{READY}.go"


@dataclass(frozen=True, slots=True)
class Module:
    """The Go module a page is in; `go_mod` is the text of its go.mod when it has none of its own."""

    root: Path
    name: str
    go_mod: str = ""


@contextlib.contextmanager
def overlay(page: Path, module: Module) -> Iterator[Path]:
    """A file for `go build -overlay` (go help build), valid for the block. Nothing is written beside the sources."""
    with tempfile.TemporaryDirectory(prefix="tqsd-go-") as place:
        imports = Path(place, "main.go")
        imports.write_text(f'package main\n\nimport _ "{module.name}/{READY}"\n')
        added = {page / READY_FILE: imports, module.root / READY / "ready.go": ready_file()}
        if module.go_mod:
            added[module.root / "go.mod"] = Path(place, "go.mod")
            added[module.root / "go.mod"].write_text(module.go_mod)
        file = Path(place, "overlay.json")
        file.write_text(json.dumps({"Replace": {str(path): str(source) for path, source in added.items()}}))
        yield file


def ready_file() -> Path:
    """The source of the package that is added."""
    return Path(__file__).parent / "ready/ready.go"


@cache
def ready_hash() -> str:
    return hashlib.sha256(ready_file().read_bytes()).hexdigest()
