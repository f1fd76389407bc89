"""How a page becomes a release. `Builder` is the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tqsd.page import Page
from tqsd.release import Release


class Builder(Protocol):
    """Builds the pages of one site into its release store."""

    async def build(self, page: Page) -> Release:
        """The release that the page's present content gives; nothing is compiled when the store has it already.

        Raises BuildError when the page is at fault, StoreError when the disk is. Then, and when the call is
        cancelled, the compiler is gone with all its children, and nothing half-made is left.
        """

    def stale(self, page: Page, release: Release) -> bool:
        """Whether `build` would give another release: something it is made of changed, appeared or vanished.

        Cheap: a file is only read when its size or time differs from those in the manifest.
        """

    def watches(self, page: Page, release: Release | None) -> frozenset[Path]:
        """The directories outside the page's own whose entries concern it; they need not exist yet."""
