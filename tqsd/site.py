"""The site on disk: its settings, its pages, and what is wrong with any of them. `state.find_site` says where it is."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqsd.config import MachineSettings, PageSettings, SiteSettings
from tqsd.errors import ConfigError, Problem
from tqsd.layer import Layer, read_layer, settle
from tqsd.page import Page, Runtime, route_of
from tqsd.state import PAGES, SETTINGS

PAGE_SETTINGS = "page.yaml"
MARKS = {"main.go": Runtime.GO, "app.py": Runtime.PYTHON}
# What only browsers take: with at least one of these, and nothing but these and ALSO_WEB, a directory is a static page.
WEB = frozenset(
    ".avif .css .eot .gif .htm .html .ico .jpeg .jpg .mp3 .mp4 .ogg .otf .png .svg .ttf .wasm .webm .webp .woff"
    " .woff2".split()
)
ALSO_WEB = frozenset(".br .csv .gz .js .json .map .md .mjs .pdf .txt .webmanifest .xml .zst".split())
NOT_FOUND = Path("config/errors/404.html")
_LISTEN = re.compile(r"""(ListenAndServe(TLS)?|Listen|Addr)\b[^\n]*["`](:|0\.0\.0\.0:|\[::\]:)""")
SKIPPED = frozenset({"testdata", "vendor", "node_modules", "internal", "cmd", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of a site and its machine: the values, and the layers they came from, the weakest first."""

    settings: SiteSettings = field(default_factory=SiteSettings)
    layers: tuple[Layer, ...] = ()

    def of_page(self, name: str, own: Layer | None) -> list[Layer]:
        """The layers of one page, the weakest first: defaults, its page.yaml, and what this machine says of it."""
        machine = [Layer(at.where, at.values["pages"][name], at.below("pages", name).lines) for at in self._for(name)]
        return [*(layer.below("defaults") for layer in self.layers), *([own] if own else []), *machine]

    def _for(self, page: str) -> list[Layer]:
        return [layer for layer in self.layers if page in layer.values.get("pages", {})]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What `discover` found: the sound pages, and for each unsound one its route and why it cannot serve.

    layers  of each sound page: where its settings come from
    """

    pages: dict[str, Page] = field(default_factory=dict)
    layers: dict[str, list[Layer]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)  # page name -> route
    problems: tuple[Problem, ...] = ()

    def problems_of(self, page: str) -> list[Problem]:
        return [problem for problem in self.problems if problem.page == page]


def read_settings(site: Path, etc: Path | None = None) -> Configuration:
    """The settings in config/tqsd.yaml, under those of this machine in tqsd.yaml in `etc`. Raises ConfigError.

    Neither file has to be there.
    """
    layers: list[Layer] = []
    problems: list[Problem] = []
    files: list[tuple[type[SiteSettings], Path, str]] = [(SiteSettings, site / SETTINGS, str(SETTINGS))]
    if etc:
        path = etc / SETTINGS.name
        files.append((MachineSettings, path, str(path.relative_to(site) if path.is_relative_to(site) else path)))
    for model, path, where in files:
        try:
            layers += [read_layer(model, read_text(path, where), where)] if path.exists() else []
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return Configuration(settle(MachineSettings, layers), tuple(layers))


def discover(site: Path, configuration: Configuration) -> Discovery:
    """All pages below pages/, with every problem found; a page with a problem never hides the others."""
    pages: list[Page] = []
    layers: dict[str, list[Layer]] = {}
    broken: dict[str, str] = {}
    problems: list[Problem] = []
    for directory, name in _candidates(site / PAGES, "", False, problems):
        try:
            own = _own_layer(directory, f"{PAGES}/{name}/{PAGE_SETTINGS}")
            layers[name] = configuration.of_page(name, own)
            pages.append(_page(directory, name, settle(PageSettings, layers[name])))
        except ConfigError as error:
            broken[name] = route_of(name)
            problems.extend(Problem(p.where, p.message, p.hint, name) for p in error.problems)
    problems.extend(_unknown_pages(configuration, {*layers, *broken}))
    sound, clashing = _without_clashes(pages)
    for page, problem in clashing:
        broken[page.name] = ""  # its route belongs to the other page
        problems.append(problem)
    return Discovery(
        {page.name: page for page in sound}, {page.name: layers[page.name] for page in sound}, broken, tuple(problems)
    )


def read_not_found(site: Path) -> str | None:
    """The site's own page for what is not found, if it has one that can be read."""
    try:
        return (site / NOT_FOUND).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def find_wildcard_listen(site: Path, page: Page) -> str:
    """Where a page's sources seem to listen on all interfaces: "in pages/x/main.go:12", or where to look."""
    for path in own_files(page.directory):
        if path.suffix == ".go":
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if _LISTEN.search(line):
                    return f"in {path.relative_to(site)}:{number}"
    return f"in {page.directory.relative_to(site)}"


def is_page(names: Iterable[str]) -> bool:
    """Whether a directory that holds entries of these names is a page."""
    return not {PAGE_SETTINGS, *MARKS}.isdisjoint(names)


def is_web(names: Iterable[str]) -> bool:
    """Whether files of these names are a static page; hidden ones do not count. Scripts alone could be a program."""
    plain = {name for name in names if not name.startswith(".") and name != PAGE_SETTINGS}
    suffixes = {os.path.splitext(name)[1].lower() for name in plain}
    return "package.json" not in plain and bool(suffixes & WEB) and suffixes <= WEB | ALSO_WEB


def is_skipped(name: str) -> bool:
    """Whether a directory of this name is never a page, nor holds one."""
    return name.startswith((".", "_")) or name in SKIPPED


def own_files(directory: Path) -> Iterator[Path]:
    """The files of a page in a stable order: all below its directory, but no sub-page, dot file or dependency folder.

    `internal`, `testdata` and other skipped names are no pages, but their files belong to the page that holds them.
    """
    with os.scandir(directory) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith(".") or entry.name in ("node_modules", "__pycache__"):
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
        elif is_skipped(entry.name) or not is_page(os.listdir(entry.path)):
            yield from own_files(Path(entry.path))


def _candidates(directory: Path, name: str, inside: bool, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    """`inside`: in another page, to which files for browsers belong unless a page.yaml says otherwise."""
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except FileNotFoundError:
        return  # no pages yet, or a directory that has just gone
    except OSError as error:
        problems.append(Problem(f"{PAGES}/{name}", f"cannot be read: {error.strerror}", "check its owner and mode"))
        return
    files = [entry.name for entry in entries if entry.is_file()]
    if name and (is_page(entry.name for entry in entries) or (not inside and is_web(files))):
        inside = True
        yield directory, name
    for entry in entries:
        if is_skipped(entry.name):
            continue
        below = f"{name}/{entry.name}" if name else entry.name
        if entry.is_symlink() and entry.is_dir():
            problems.append(
                Problem(f"{PAGES}/{below}", "a link to a directory is not followed", "move the sources themselves here")
            )
        elif entry.is_dir(follow_symlinks=False):
            yield from _candidates(directory / entry.name, below, inside, problems)


def _unknown_pages(configuration: Configuration, names: set[str]) -> Iterator[Problem]:
    for layer in configuration.layers:
        for name in layer.values.get("pages", {}):
            if name not in names:
                close = difflib.get_close_matches(name, sorted(names), n=1)
                hint = f"did you mean {close[0]}?" if close else "pages are named by their place below pages/"
                yield Problem(f"{layer.place(('pages', name))}: pages.{name}", "there is no such page", hint)


def _own_layer(directory: Path, where: str) -> Layer | None:
    path = directory / PAGE_SETTINGS
    return read_layer(PageSettings, read_text(path, where), where) if path.exists() else None


def _page(directory: Path, name: str, own: PageSettings) -> Page:
    where = f"{PAGES}/{name}"
    try:
        name.encode()
    except UnicodeEncodeError:
        printable = name.encode(errors="surrogateescape").decode(errors="replace")
        raise ConfigError([Problem(f"{PAGES}/{printable}", "the name is not valid UTF-8", "rename it")]) from None
    runtime = _runtime(directory, own, where)
    route = own.route.rstrip("/") or "/" if own.route else route_of(name)
    return Page(name, directory, route, runtime, own)


def _runtime(directory: Path, settings: PageSettings, where: str) -> Runtime:
    runtime = Runtime(settings.runtime) if settings.runtime else None
    if runtime is Runtime.COMMAND and not settings.run:
        hint = "set `run:` in its page.yaml, like `run: node server.js`"
        raise ConfigError([Problem(where, "is a command page without a command", hint)])
    if runtime:
        return runtime
    found = [(mark, runtime) for mark, runtime in MARKS.items() if (directory / mark).exists()]
    if settings.run:
        found.append(("`run:` in page.yaml", Runtime.COMMAND))
    if len(found) > 1:
        marks = " and ".join(mark for mark, _ in found)
        raise ConfigError([Problem(where, f"has {marks}", "say which one serves it by `runtime:` in page.yaml")])
    if found:
        return found[0][1]
    if is_web(entry.name for entry in os.scandir(directory) if entry.is_file()):
        return Runtime.STATIC
    hint = "add main.go or app.py, or set `run:`, or `runtime: static` to serve its files"
    raise ConfigError([Problem(where, "has a page.yaml, but nothing that could serve it", hint)])


def read_text(path: Path, where: str) -> str:
    """The text of a settings file that people call `where`. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(where, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8")]) from None
    except OSError as error:
        raise ConfigError([Problem(where, f"cannot be read: {error.strerror}", "check its owner and mode")]) from None


def _without_clashes(pages: list[Page]) -> tuple[list[Page], list[tuple[Page, Problem]]]:
    """Two pages may share a route only with disjoint methods or hosts; else the one whose place it is keeps it."""
    sound: list[Page] = []
    clashing: list[tuple[Page, Problem]] = []
    for page in sorted(pages, key=lambda page: (page.settings.route is not None, page.name)):
        rival = next((other for other in sound if _clash(page, other)), None)
        if rival is None:
            sound.append(page)
            continue
        problem = Problem(
            f"{PAGES}/{page.name}",
            f"{page.route} already belongs to {PAGES}/{rival.name}",
            "rename one of them, or set a different `route:`, `methods:` or `hosts:` in its page.yaml",
            page.name,
        )
        clashing.append((page, problem))
    return sorted(sound, key=lambda page: page.name), clashing


def _clash(one: Page, other: Page) -> bool:
    return one.route == other.route and all(
        not mine or not theirs or set(mine) & set(theirs)
        for mine, theirs in (
            (one.settings.methods, other.settings.methods),
            (one.settings.hosts, other.settings.hosts),
        )
    )
