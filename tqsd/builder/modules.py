"""The site's own modules that a Python page imports, found by reading its sources; nothing of them is run.

A name means what Python takes it for with the page's directory first on its path, then the site's: the page's own
module, else the site's, else an installed one. Only the standard library goes before the site, so that a directory
called `email` or `queue` there changes nothing.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from tqsd.builder.sources import is_copied, name_of
from tqsd.errors import BuildError
from tqsd.page import Page
from tqsd.site import is_page
from tqsd.state import PAGES
from tqsd.watch.changes import is_noise

_PACKAGE = "__init__.py"
_SUFFIXES = (*EXTENSION_SUFFIXES, ".py")
# What programs write beside their modules is no part of a release, or each write would make another one.
_WRITTEN = ("*.db", "*.sqlite", "*.sqlite3", "*-wal", "*-shm", "*-journal", "*.log", "*.pid")


@dataclass(frozen=True, slots=True)
class Import:
    """An import as it is written; `from ..a import b` has level 2, module "a" and names ("b",).

    at_once  whether it is run when its module is, not only by a function or in a program of its own
    """

    line: int
    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    at_once: bool = True

    def targets(self, package: str) -> list[str]:
        """The modules it may mean in a module of `package`: first the one it names, then what it takes out of that."""
        parts = package.split(".") if package else []
        if self.level > len(parts):
            return []  # it leads out of the package, and fails when it is run
        above = parts[: len(parts) + 1 - self.level] if self.level else []
        base = ".".join([*above, *filter(None, [self.module])])
        return [base, *(f"{base}.{name}" for name in self.names)]


@dataclass(frozen=True, slots=True)
class Modules:
    """What a page imports.

    files      modules of the site, and the other files directly beside them
    places     the directories where those are looked for
    installed  names of modules that are neither the page's nor the site's, imported as soon as the page is
    """

    files: tuple[Path, ...]
    places: tuple[Path, ...]
    installed: tuple[str, ...]


class ImportGraph:
    """Follows the imports of one site's pages. A file that has not changed is not read again."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._read: dict[Path, tuple[tuple[int, int, int], tuple[Import, ...]]] = {}

    def reach(self, page: Page, own: Iterable[Path]) -> Modules:
        """The site's modules that a page's `own` files import, and those that these import.

        Raises BuildError for one that belongs to another page.
        """
        walk = _Walk(self._site, page)
        todo = [(path, _module_name(path, page.directory)) for path in own if path.suffix == ".py"]
        while todo:
            path, name = todo.pop()
            package = name if path.name == _PACKAGE else name.rpartition(".")[0]
            for statement in self._imports(path):
                where = f"{name_of(path, self._site)}:{statement.line}"
                walk.note_installed(statement)
                for target in statement.targets(package):
                    for meant in walk.members(target) if target.endswith(".*") else [target]:
                        todo += walk.take(meant, where)
        return walk.modules()

    def _imports(self, path: Path) -> tuple[Import, ...]:
        """What a file imports; nothing if it cannot be read as Python, which its compilation will tell."""
        try:
            status = path.stat()
            stamp = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            known = self._read.get(path)
            if known is None or known[0] != stamp:
                self._read[path] = known = stamp, tuple(imports_of(path.read_bytes()))
        except FileNotFoundError:
            return ()
        return known[1]


class _Walk:
    """What one page reaches."""

    def __init__(self, site: Path, page: Page) -> None:
        self._site = site
        self._page = page
        self._files: set[Path] = set()
        self._places: set[Path] = set()
        self._installed: dict[str, None] = {}
        self._seen: dict[str, tuple[Path | None, tuple[Path, ...]]] = {}

    def take(self, name: str, where: str) -> Iterator[tuple[Path, str]]:
        """The files of the site, new to this walk, that run when `name` is imported, each with its module's name."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            file, places = self._find(module)
            if file is None and not places:
                break
            if file is not None and self._is_news(file, module, where):
                yield file, module

    def members(self, name: str) -> list[str]:
        """The modules directly in the package that `name`, like "package.*", takes all of."""
        package = name.removesuffix(".*")
        _, places = self._find(package)
        return [f"{package}.{path.stem}" for place in places for path in sorted(place.glob("*.py"))]

    def modules(self) -> Modules:
        beside = {path for place in {file.parent for file in self._files} for path in self._beside(place)}
        return Modules(tuple(sorted(self._files | beside)), tuple(sorted(self._places)), tuple(self._installed))

    def note_installed(self, statement: Import) -> None:
        if statement.at_once and not statement.level and self._find(statement.module.partition(".")[0]) == (None, ()):
            self._installed[statement.module] = None

    def _find(self, name: str) -> tuple[Path | None, tuple[Path, ...]]:
        """The file of a module, None for a directory without one, and the directories of its submodules."""
        if name not in self._seen:
            self._seen[name] = self._look(name)
        return self._seen[name]

    def _look(self, name: str) -> tuple[Path | None, tuple[Path, ...]]:
        package, _, last = name.rpartition(".")
        if package:
            _, places = self._find(package)
        elif last in sys.stdlib_module_names:
            places = (self._page.directory,)
        else:
            places = (self._page.directory, self._site)
        for place in places:
            if (file := place / last / _PACKAGE).is_file():
                return file, (place / last,)
            for suffix in _SUFFIXES:
                if (file := place / f"{last}{suffix}").is_file():
                    return file, ()
        # All directories of that name together: a namespace package. Files may appear there, or in its place.
        outside = [place for place in places if not place.is_relative_to(self._page.directory)]
        self._places.update(place / last if place == self._site else place for place in outside)
        return None, tuple(place / last for place in places if (place / last).is_dir())

    def _is_news(self, file: Path, module: str, where: str) -> bool:
        if file in self._files:
            return False
        own, owner = self._page.directory, self._owner(file)
        if owner == own and module == _module_name(file, own):
            return False  # it lies in the release already, and is read like all of the page's files
        if owner not in (None, own):
            raise BuildError(
                f"{where}: {module} belongs to the page {name_of(owner, self._site / PAGES)}",
                f"move {name_of(file, self._site)} to shared/, and import it from there in both",
            )
        if is_copied(file, self._site):
            self._files.add(file)
            self._places.add(file.parent)
        return file in self._files

    def _owner(self, file: Path) -> Path | None:
        """The directory of the page that a file belongs to."""
        top = self._site / PAGES
        for place in file.parents if file.is_relative_to(top) else ():
            if place == top:
                break
            if is_page(os.listdir(place)):
                return place
        return None

    def _beside(self, directory: Path) -> Iterator[Path]:
        """The files directly in a directory that its modules may read. At the top of the site none are theirs."""
        if directory == self._site:
            return
        for entry in os.scandir(directory):
            path = Path(entry.path)
            if path.suffix == ".py" or entry.name.startswith(".") or not entry.is_file():
                continue
            written = is_noise(Path(entry.name)) or any(fnmatch.fnmatch(entry.name, pattern) for pattern in _WRITTEN)
            if not written and is_copied(path, self._site):
                yield path


def imports_of(source: bytes) -> Iterator[Import]:
    """All imports in a source, wherever they stand, but those for type checkers; none if it is no valid Python."""
    try:
        todo: list[tuple[ast.AST, bool]] = [(ast.parse(source), True)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    while todo:
        node, at_once = todo.pop()
        below = list(ast.iter_child_nodes(node))
        match node:
            case ast.Import(names=names):
                yield from (Import(node.lineno, alias.name, at_once=at_once) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                yield Import(node.lineno, module or "", tuple(alias.name for alias in names), level, at_once)
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _imports(function):
                module = name.lstrip(".")
                if all(part.isidentifier() for part in module.split(".")):
                    yield Import(node.lineno, module, (), len(name) - len(module), at_once)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                at_once = False
            case ast.If(test=test, orelse=orelse) if _last_name(test) == "TYPE_CHECKING":
                below = list(orelse)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                at_once = False
        todo += ((child, at_once) for child in reversed(below))


def _imports(function: ast.expr) -> bool:
    return _last_name(function) in ("import_module", "__import__")


def _last_name(node: ast.expr) -> str:
    """`name` of both `name` and `module.name`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _module_name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if file.name == _PACKAGE else parts)
