"""Releases that are copies of a page's files, with something made of them or not: all runtimes but Go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqsd.builder.sources import Contents, copy, name_of
from tqsd.builder.toolchain import in_thread
from tqsd.errors import BuildError
from tqsd.page import Page
from tqsd.release import Input, Manifest, Release, digest_of
from tqsd.store import Store

_ATTEMPTS = 2  # at a page that changes while it is built


@dataclass(frozen=True, slots=True)
class Material:
    """What a release is made of.

    copies      its place in the release -> the file to copy there
    beside      files that shape the release without lying in it
    toolchain   what makes it, with its version; empty where nothing is made
    flags       all else that shapes it
    packages    directories of code outside the page's that are part of it; they need not exist yet
    """

    copies: Mapping[str, Path]
    beside: tuple[Path, ...] = ()
    toolchain: str = ""
    flags: tuple[str, ...] = ()
    packages: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipe made: the executable, relative to the release, and the digest of its virtual environment."""

    executable: str = ""
    venv: str = ""


class Recipe(Protocol):
    """What one runtime does to make a release of copies."""

    def gather(self, page: Page) -> Material:
        """What the page's release would be made of now. Raises BuildError, or OSError for what cannot be read."""

    async def make(self, page: Page, material: Material, staging: Path) -> Made:
        """Finish the release in `staging`, where the copies lie already. Raises BuildError.

        Whatever it started is gone when this returns, raises or is cancelled.
        """


@dataclass(frozen=True, slots=True)
class _Plan:
    material: Material
    inputs: Mapping[str, Input]
    digest: str


class CopyBuilder:
    """A Builder that copies files and lets a recipe do the rest."""

    def __init__(self, site: Path, store: Store, recipe: Recipe) -> None:
        self._site = site.resolve()
        self._store = store
        self._recipe = recipe
        self._contents = Contents()
        self._packages: dict[str, tuple[Path, ...]] = {}  # by page, as the last build found them

    async def build(self, page: Page) -> Release:
        """See Builder.build."""
        try:
            for _ in range(_ATTEMPTS):
                plan = await in_thread(self._plan, page)
                self._packages[page.name] = plan.material.packages
                release = self._store.get(page.slug, plan.digest) or await self._make(page, plan)
                if release is not None:
                    return release
        except OSError as error:  # no room for temporary files, no memory for a process, a file that cannot be read
            raise BuildError(f"{page.name} could not be built: {error}", "see `df -h`, `free -h`, `ls -l`") from error
        raise BuildError(f"{page.name} changed again and again while it was built", "save it once more")

    def stale(self, page: Page, release: Release) -> bool:
        """See Builder.stale."""
        manifest = self._store.manifest(release)
        if manifest is None:
            return True
        try:
            material = self._recipe.gather(page)
            if (manifest.toolchain, manifest.flags) != (material.toolchain, material.flags):
                return True
            return not self._contents.unchanged(self._files(material), manifest.inputs)
        except (OSError, BuildError):
            return True

    def watches(self, page: Page, release: Release | None) -> frozenset[Path]:
        """See Builder.watches."""
        packages = self._packages.get(page.name)
        if packages is None:
            release = release or self._store.get(page.slug, self._store.pointers(page.slug).current or "")
            manifest = self._store.manifest(release) if release else None
            packages = tuple(self._site / name for name in manifest.packages) if manifest else ()
        return frozenset(place for place in packages if not place.is_relative_to(page.directory))

    def _plan(self, page: Page) -> _Plan:
        material = self._recipe.gather(page)
        inputs = self._contents.inputs(self._files(material))
        return _Plan(material, inputs, digest_of(page.runtime, material.toolchain, material.flags, inputs))

    def _files(self, material: Material) -> dict[str, Path]:
        return {self._name(path): path for path in (*material.copies.values(), *material.beside)}

    def _name(self, path: Path) -> str:
        return name_of(path, self._site)

    async def _make(self, page: Page, plan: _Plan) -> Release | None:
        """Make and store the release; None when the sources changed meanwhile, so that it would not be theirs."""
        begin = time.monotonic()
        with self._store.staging(page.slug) as staging:
            try:
                await in_thread(copy, plan.material.copies, page, staging)
                made = await self._recipe.make(page, plan.material, staging)
            except (BuildError, FileNotFoundError):
                if (await in_thread(self._plan, page)).digest == plan.digest:
                    raise
                return None
            again = await in_thread(self._plan, page)
            if again.digest != plan.digest:
                return None
            manifest = Manifest(
                page=page.name,
                release=plan.digest,
                runtime=page.runtime,
                built=time.time(),
                build_ms=round((time.monotonic() - begin) * 1000),
                executable=made.executable,
                toolchain=plan.material.toolchain,
                flags=plan.material.flags,
                inputs=again.inputs,
                packages=tuple(self._name(package) for package in plan.material.packages),
                venv=made.venv,
            )
            return await in_thread(self._store.put, manifest, staging)
