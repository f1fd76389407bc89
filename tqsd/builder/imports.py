"""What a Go page is made of, by what its sources say of themselves: imports, conditions, and the files they name."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqsd.builder.sources import Contents, accompanying, name_of, unreadable
from tqsd.page import Page
from tqsd.release import Input, short_hash

# What go/build takes for a source of a package (go help packages), and the file that ends a module.
SUFFIXES = frozenset(
    {
        ".go",
        ".c",
        ".cc",
        ".cpp",
        ".cxx",
        ".m",
        ".h",
        ".hh",
        ".hpp",
        ".hxx",
        ".f",
        ".F",
        ".for",
        ".f90",
        ".s",
        ".S",
        ".sx",
        ".swig",
        ".swigcxx",
        ".syso",
    }
)
MODULE_FILES = ("go.mod", "go.sum", "vendor/modules.txt")
_MODULE_NAMES = frozenset({"go.mod", "go.sum", "modules.txt", "go.work", "go.work.sum"})

_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|`[^`]*`|[^\W\d]\w*|\S', re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*//(?:go:build|go:embed|[ \t]*\+build)[ \t].*", re.MULTILINE)
_PATTERN = re.compile(r'"((?:\\.|[^"\\])*)"|`([^`]*)`|(\S+)')
_BODY = frozenset({"func", "type", "var", "const"})


@dataclass(frozen=True, slots=True)
class Head:
    """All of a Go file that decides which other files are compiled with it.

    statements  the tokens of its package clause and imports
    directives  its //go:build and //go:embed lines
    """

    statements: tuple[str, ...]
    directives: tuple[str, ...]

    @property
    def package(self) -> str:
        """The name in its package clause; empty when it has none."""
        return self.statements[1] if self.statements[:1] == ("package",) and len(self.statements) > 1 else ""

    @property
    def imports(self) -> list[str]:
        return [token[1:-1] for token in self.statements if token[0] in '"`']

    @property
    def is_conditional(self) -> bool:
        """Whether something in the file decides if it is compiled."""
        return "C" in self.imports or any(not line.startswith("//go:embed") for line in self.directives)

    @property
    def embeds(self) -> list[str]:
        """Its //go:embed patterns, relative to its directory."""
        lines = [line.split("go:embed", 1)[1] for line in self.directives if line.startswith("//go:embed")]
        return [next(filter(None, match), "") for line in lines for match in _PATTERN.findall(line)]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page was made of when it was read.

    inputs  all that its release is made of, by name
    go      its own Go files by name, without tests
    beside  the files to copy beside its executable
    shape   a digest of all that decides which packages it needs
    """

    inputs: Mapping[str, Input]
    go: Mapping[str, Head]
    beside: Sequence[Path]
    imports: frozenset[str]
    shape: str


class SourceReader:
    """Reads the sources of one site's Go pages; what has not changed since the last time is not read again."""

    def __init__(self, site: Path, workspace: str) -> None:
        """`workspace` is the variable GOWORK: empty, "off" or a file (go help work)."""
        self._site = site
        self._workspace = workspace
        self._contents = Contents()
        self._heads: dict[Path, tuple[str, Head]] = {}

    def read(self, page: Page, packages: Sequence[Path], settings: Sequence[str]) -> Sources:
        """The sources of a page that needs these packages; `settings` is what else decides which ones it needs.

        Raises BuildError for what cannot be read or copied.
        """
        files = self.files(page, packages)
        inputs = self._contents.inputs(files)
        heads = {name: self._head(files[name]) for name in inputs if name.endswith(".go")}
        modules = {name: put.sha256 for name, put in inputs.items() if files[name].name in _MODULE_NAMES}
        said = [(name, head.statements, head.directives) for name, head in heads.items()]
        own = [path for path in sources_of(page.directory) if path.suffix == ".go"]
        return Sources(
            inputs,
            {path.name: heads[name] for path in own if (name := name_of(path, self._site)) in heads},
            accompanying(page.directory, self._site),
            frozenset(name for head in heads.values() for name in head.imports),
            short_hash([list(settings), modules, said]),
        )

    def unchanged(self, page: Page, packages: Sequence[Path], inputs: Mapping[str, Input]) -> bool:
        """Whether the page is made of `inputs` still. Raises BuildError or OSError for what cannot be read."""
        return self._contents.unchanged(self.files(page, packages), inputs)

    def files(self, page: Page, packages: Sequence[Path]) -> dict[str, Path]:
        """Every file the page is made of, by name. Raises BuildError for what cannot be read or copied."""
        try:
            return {name_of(path, self._site): path for path in self._paths(page, packages) if path.is_file()}
        except OSError as error:
            raise unreadable(name_of(Path(error.filename or page.directory), self._site), error) from error

    def _paths(self, page: Page, packages: Sequence[Path]) -> list[Path]:
        found = accompanying(page.directory, self._site)
        for package in (page.directory, *packages):
            found += [*sources_of(package), *self.embedded(package)]
            if module := nearest("go.mod", package):
                found += [module / name for name in MODULE_FILES]
        if workspace := self._workspace_file(page.directory):
            found += [workspace, workspace.with_name(f"{workspace.name}.sum")]
        return sorted(set(found))

    def embedded(self, package: Path) -> Iterator[Path]:
        """The files that a package takes in by //go:embed."""
        for path in sources_of(package):
            if path.suffix == ".go":
                yield from _matches(package, self._head(path).embeds)

    def _head(self, path: Path) -> Head:
        try:
            sha256 = self._contents.read(path).sha256
            known = self._heads.get(path)
            if known is not None and known[0] == sha256:
                return known[1]
            content = path.read_bytes()
        except FileNotFoundError:
            return Head((), ())
        except OSError as error:
            raise unreadable(name_of(path, self._site), error) from error
        head = parse_head(content.decode("utf-8-sig", errors="replace"))
        self._heads[path] = hashlib.sha256(content).hexdigest(), head
        return head

    def _workspace_file(self, directory: Path) -> Path | None:
        if self._workspace:
            return Path(self._workspace) if self._workspace != "off" else None
        place = nearest("go.work", directory)
        return place / "go.work" if place else None


def parse_head(text: str) -> Head:
    statements = []
    for token in _TOKEN.findall(text):
        if token in _BODY:
            break
        if not token.startswith(("//", "/*")):
            statements.append(token)
    return Head(tuple(statements), tuple(line.strip() for line in _DIRECTIVE.findall(text)))


def sources_of(package: Path) -> Iterator[Path]:
    """The files directly in a package's directory that the compiler may read; its tests are none."""
    try:
        entries = sorted(package.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in entries:
        compiled = path.suffix in SUFFIXES and not path.name.startswith((".", "_")) and path.is_file()
        if compiled and not path.name.endswith("_test.go"):
            yield path


def _matches(package: Path, patterns: Iterable[str]) -> Iterator[Path]:
    """The files that //go:embed patterns take in; more rather than less (hidden ones in a directory too)."""
    for pattern in patterns:
        plain = re.sub(r"\\(.)", r"[\1]", pattern.removeprefix("all:")).replace("[^", "[!")
        if ".." in plain.split("/") or plain.startswith("/"):
            continue  # refused by the compiler
        for match in glob.iglob(plain, root_dir=package, include_hidden=True):
            path = package / match
            if path.is_dir():
                yield from (below for below in path.rglob("*") if below.is_file())
            elif path.is_file():
                yield path


def nearest(name: str, directory: Path, top: Path | None = None) -> Path | None:
    """The directory at or above `directory`, up to `top`, that holds a file `name`."""
    for place in (directory, *directory.parents):
        if (place / name).is_file():
            return place
        if place == top:
            break
    return None


def module_name(file: Path) -> str:
    """The module that a go.mod declares; empty when it cannot be told."""
    try:
        declared = re.search(r'^module\s+"?([^\s"]+)', file.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return ""
    return declared[1] if declared else ""
