"""Python pages: a release is a copy of the page's files and of the site's own modules that these import, compiled."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import py_compile
import warnings
from collections.abc import Mapping
from importlib.util import cache_from_source
from pathlib import Path

from tqsd.builder.copies import CopyBuilder, Made, Material
from tqsd.builder.modules import ImportGraph
from tqsd.builder.sources import everything, name_of
from tqsd.builder.toolchain import to_the_end
from tqsd.builder.venv import Venvs, read_requirements
from tqsd.errors import BuildError
from tqsd.launcher import IMPORTS, SITE, VENV
from tqsd.page import Page
from tqsd.release import Release
from tqsd.store import Store

MAIN = "app.py"


class PythonRecipe:
    """See Recipe. The site's modules lie below .site/ in the release; the site itself is on no worker's path."""

    def __init__(self, site: Path, venvs: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is what pip and uv see; as a rule the present one."""
        self._site = site.resolve()
        self._graph = ImportGraph(self._site)
        self._venvs = Venvs(venvs.absolute(), self._site, environment)
        self._compiled: dict[str, dict[bytes, bytes]] = {}  # by page: hash of a source -> its code
        warnings.filterwarnings("ignore", category=SyntaxWarning)  # of the pages' sources, not of ours

    def gather(self, page: Page) -> Material:
        own = everything(page, self._site)
        if page.directory / MAIN not in own:
            raise BuildError(f"{page.name} has no {MAIN}", "add one that defines `app`, an ASGI or WSGI application")
        modules = self._graph.reach(page, own)
        requirements = read_requirements(page, self._site)
        included = requirements.files if requirements else ()
        copies = {path.relative_to(page.directory).as_posix(): path for path in own}
        copies |= {f"{SITE}/{path.relative_to(self._site).as_posix()}": path for path in modules.files}
        return Material(
            copies=copies,
            beside=tuple(path for path in included if path not in own),
            toolchain=f"python{platform.python_version()}",
            flags=(f"venv={requirements.digest}",) if requirements else (),
            packages=tuple(sorted({*modules.places, *(path.parent for path in included)} - {page.directory})),
        )

    async def make(self, page: Page, material: Material, staging: Path) -> Made:
        await to_the_end(asyncio.to_thread(self._compile, page, material.copies, staging))
        installed = self._graph.reach(page, everything(page, self._site)).installed
        (staging / IMPORTS).write_text("\n".join(installed))
        requirements = read_requirements(page, self._site)
        if requirements is None:
            return Made(MAIN)
        await self._venvs.provide(page, requirements)
        (staging / VENV).write_text(f"{requirements.digest}\n")
        return Made(MAIN, requirements.digest)

    async def restore(self, page: Page, release: Release) -> None:
        """Make the virtual environment of a release again if it has been deleted."""
        requirements = read_requirements(page, self._site)
        if requirements is not None and requirements.digest == release.venv:
            await self._venvs.provide(page, requirements)

    def _compile(self, page: Page, copies: Mapping[str, Path], staging: Path) -> None:
        """Put the code of every source beside it, so that no worker writes any. Raises BuildError for wrong ones."""
        known, fresh = self._compiled.get(page.name, {}), {}
        errors = []
        for place, path in copies.items():
            if path.suffix != ".py":
                continue
            source = staging / place
            key = hashlib.sha256(source.read_bytes()).digest()
            goal = Path(cache_from_source(str(source)))
            try:
                fresh[key] = known.get(key) or _code(source, goal, name_of(path, self._site))
            except py_compile.PyCompileError as error:
                errors.append(error)
                continue
            goal.parent.mkdir(exist_ok=True)
            goal.write_bytes(fresh[key])
        if errors:
            said = "\n".join(_described(error) for error in errors)
            raise BuildError(f"{page.name} does not compile: {said.partition(chr(10))[0]}", output=said)
        self._compiled[page.name] = fresh


class PythonBuilder(CopyBuilder):
    """The Builder of Python pages: what it gives has its virtual environment, even if that was deleted since."""

    def __init__(self, site: Path, store: Store, recipe: PythonRecipe) -> None:
        super().__init__(site, store, recipe)
        self._python = recipe

    async def build(self, page: Page) -> Release:
        release = await super().build(page)
        await self._python.restore(page, release)
        return release


def _code(source: Path, goal: Path, name: str) -> bytes:
    """The compiled `source`; its file is never compared to it, because a release does not change."""
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(goal), name, doraise=True, invalidation_mode=unchecked)
    return goal.read_bytes()


def _described(error: py_compile.PyCompileError) -> str:
    """Like a compiler says it: "pages/x/app.py:12: invalid syntax", and below it the line and the place in it."""
    reason = error.exc_value
    if not isinstance(reason, SyntaxError):
        return f"{error.file}: {reason}"
    lines = [f"{error.file}:{reason.lineno or 1}: {reason.msg}"]
    if reason.text:
        line = reason.text.rstrip("\n")
        lines.append(f"    {line.strip()}")
        lines.append(" " * (4 + (reason.offset or 1) - 1 - len(line) + len(line.lstrip())) + "^")
    return "\n".join(lines)
