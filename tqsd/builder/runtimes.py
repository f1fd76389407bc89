"""A Builder for every page: each runtime has its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tqsd.builder import Builder
from tqsd.builder.command import CommandRecipe
from tqsd.builder.copies import CopyBuilder
from tqsd.builder.go import GoBuilder
from tqsd.builder.python import PythonBuilder, PythonRecipe
from tqsd.builder.static import StaticRecipe
from tqsd.config import Mode
from tqsd.page import Page, Runtime
from tqsd.release import Release
from tqsd.state import Paths
from tqsd.store import Store


class Runtimes:
    """Gives each page to the builder of its runtime."""

    def __init__(self, site: Path, store: Store, paths: Paths, mode: Mode = Mode.DEV) -> None:
        self._builders: Mapping[Runtime, Builder] = {
            Runtime.GO: GoBuilder(site, store, paths.cache, mode),
            Runtime.COMMAND: CopyBuilder(site, store, CommandRecipe(site, paths.cache)),
            Runtime.PYTHON: PythonBuilder(site, store, PythonRecipe(site, paths.venvs)),
            Runtime.STATIC: CopyBuilder(site, store, StaticRecipe(site)),
        }

    async def build(self, page: Page) -> Release:
        return await self._builders[page.runtime].build(page)

    def stale(self, page: Page, release: Release) -> bool:
        return release.runtime != page.runtime or self._builders[page.runtime].stale(page, release)

    def watches(self, page: Page, release: Release | None) -> frozenset[Path]:
        if release is not None and release.runtime != page.runtime:
            release = None
        return self._builders[page.runtime].watches(page, release)
