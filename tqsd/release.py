"""A release: one immutable build of one page, named by the digest of its inputs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1  # of the stored manifest
_DIGEST_LENGTH = 16  # hex digits


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it lies in the store; `executable` is below `directory`, both are absolute.

    A static page has no executable: it is `directory` itself then. `venv` is the digest of the virtual environment
    of a Python page with requirements.
    """

    page: str
    digest: str
    directory: Path
    executable: Path
    runtime: str = "go"
    venv: str = ""

    def __str__(self) -> str:
        return self.digest


@dataclass(frozen=True, slots=True)
class Pointers:
    """The digests that matter to a page. While it is pinned, `pinned` is what its sources gave, "?" when unknown."""

    current: str | None = None
    previous: str | None = None
    pinned: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """One file that went into a release: size in bytes, last change in ns since 1970, SHA-256 of its content in hex."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a release came to be; stored inside it.

    release     its digest
    built       seconds since 1970
    executable  relative to the release; empty for a static page
    toolchain   what compiled it: "go1.27.3"
    flags       all else that shapes the result
    inputs      path -> what it held; relative to the site where inside it, else absolute
    packages    directories of code outside the page that it was made of, written like inputs
    shape       a digest of all that decides what `packages` are; equal shapes have equal packages
    venv        the digest of the virtual environment a Python page runs in, if it has requirements
    """

    page: str
    release: str
    runtime: str
    built: float
    build_ms: int
    executable: str
    toolchain: str
    flags: tuple[str, ...] = ()
    inputs: Mapping[str, Input] = field(default_factory=dict, hash=False)
    packages: tuple[str, ...] = ()
    shape: str = ""
    venv: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "page": self.page,
            "release": self.release,
            "runtime": self.runtime,
            "built": self.built,
            "build_ms": self.build_ms,
            "executable": self.executable,
            "toolchain": self.toolchain,
            "flags": list(self.flags),
            "inputs": {name: [put.size, put.mtime_ns, put.sha256] for name, put in sorted(self.inputs.items())},
            "packages": list(self.packages),
            "shape": self.shape,
            "venv": self.venv,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """The manifest that `to_json` gave; raises ValueError for anything else."""
        try:
            manifest = cls(
                page=value["page"],
                release=value["release"],
                runtime=value["runtime"],
                built=float(value["built"]),
                build_ms=int(value["build_ms"]),
                executable=value["executable"],
                toolchain=value["toolchain"],
                flags=tuple(value["flags"]),
                inputs={name: Input(*numbers) for name, numbers in value["inputs"].items()},
                packages=tuple(value["packages"]),
                shape=value["shape"],
                venv=value["venv"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from None
        if not all(
            isinstance(text, str) for text in (manifest.page, manifest.executable, manifest.shape, manifest.venv)
        ):
            raise ValueError("not a manifest: a text is missing")
        if value.get("format") != FORMAT or not is_digest(manifest.release):
            raise ValueError("not a manifest of this format")
        return manifest


def is_digest(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{_DIGEST_LENGTH}}}", text) is not None


def digest_of(runtime: str, toolchain: str, flags: Iterable[str], inputs: Mapping[str, Input]) -> str:
    """The name of the release that these make: by the names and contents of the inputs, never by their times."""
    contents = sorted((name, put.sha256) for name, put in inputs.items())
    return short_hash([runtime, toolchain, list(flags), contents])


def short_hash(value: Any) -> str:
    """A digest of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]
