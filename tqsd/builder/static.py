"""Static pages: a release is a copy of the page's files, and the proxies serve it themselves."""

from __future__ import annotations

from pathlib import Path

from tqsd.builder.copies import Made, Material
from tqsd.builder.sources import everything
from tqsd.page import Page


class StaticRecipe:
    """See Recipe."""

    def __init__(self, site: Path) -> None:
        self._site = site.resolve()

    def gather(self, page: Page) -> Material:
        return Material({path.relative_to(page.directory).as_posix(): path for path in everything(page, self._site)})

    async def make(self, page: Page, material: Material, staging: Path) -> Made:
        return Made()
