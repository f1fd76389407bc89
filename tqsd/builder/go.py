"""Go pages: compiled by the site's own Go, with one file added that tells when the page is ready."""

from __future__ import annotations

import contextlib
import mmap
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqsd.builder import cgo
from tqsd.builder.imports import SourceReader, Sources, module_name, nearest, sources_of
from tqsd.builder.overlay import READY, READY_FILE, READY_MARK, Module, overlay, ready_hash
from tqsd.builder.sources import copy, name_of
from tqsd.builder.toolchain import (
    ASK_TIMEOUT,
    Outcome,
    Toolchain,
    find_toolchain,
    first_error,
    go_environment,
    hint_for,
    in_thread,
    listed_values,
    relative_output,
    run,
)
from tqsd.config import Mode
from tqsd.errors import BuildError, StoreError
from tqsd.page import Page, executable_name
from tqsd.release import Manifest, Release, digest_of, short_hash
from tqsd.store import Store, full

_MODULE = "site"  # what a site without go.mod is taken for
_MEMORY_LIMIT = "1GiB"  # below it the compiler collects no garbage, which is faster
_ATTEMPTS = 2  # at a page that changes while it is compiled


@dataclass(frozen=True, slots=True)
class _Known:
    """The directories of code outside its own that a page needs, as long as its sources have this shape.

    c_parts  packages whose parts in C are left out
    """

    shape: str = ""
    packages: tuple[Path, ...] = ()
    c_parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """One build: what of, and with what."""

    page: Page
    toolchain: Toolchain
    flags: tuple[str, ...]
    known: _Known
    sources: Sources

    @property
    def digest(self) -> str:
        return digest_of(self.page.runtime, self.toolchain.version, self.flags, self.sources.inputs)


class GoBuilder:
    """Builds Go pages; in dev with the user's own caches of builds and modules, else with those below `cache`."""

    def __init__(self, site: Path, store: Store, cache: Path, mode: Mode = Mode.DEV) -> None:
        self._site = site.resolve()
        self._store = store
        self._environment = go_environment(cache, mode)
        self._reader = SourceReader(self._site, self._environment.get("GOWORK", ""))
        self._toolchains: dict[tuple[str, Path], Toolchain] = {}
        self._known: dict[str, _Known] = {}  # by page
        self._ignored: dict[str, tuple[str, frozenset[str]]] = {}  # by page: for which files asked, and the answer

    async def build(self, page: Page) -> Release:
        """See Builder.build."""
        try:
            for _ in range(_ATTEMPTS):
                plan = await self._plan(page)
                release = self._store.get(page.slug, plan.digest) or await self._make(plan)
                if release is not None:
                    return release
        except OSError as error:  # no room for temporary files, no memory for a process
            raise BuildError(f"{page.name} could not be built: {error}", "see `df -h` and `free -h`") from error
        raise BuildError(f"{page.name} changed again and again while it was compiled", "save it once more")

    def stale(self, page: Page, release: Release) -> bool:
        """See Builder.stale."""
        manifest = self._store.manifest(release)
        if manifest is None:
            return True
        try:
            toolchain = self._find_toolchain(page)
        except BuildError:
            pass  # without a compiler there is nothing newer to be had from another one
        else:
            if (manifest.toolchain, manifest.flags) != (toolchain.version, _flags(page, toolchain)):
                return True
        try:
            return not self._reader.unchanged(page, self._packages(manifest), manifest.inputs)
        except (OSError, BuildError):
            return True

    def watches(self, page: Page, release: Release | None) -> frozenset[Path]:
        """See Builder.watches. Left out are those above the page: a go.mod or go.work there concerns every page."""
        places: set[Path] = set()
        for package in self._recall(page, release).packages:
            places.add(package)
            with contextlib.suppress(BuildError, OSError):
                places.update(path.parent for path in self._reader.embedded(package))
            if module := nearest("go.mod", package):
                places.add(module)
        own = page.directory
        return frozenset(place for place in places if not (place.is_relative_to(own) or own.is_relative_to(place)))

    def _find_toolchain(self, page: Page) -> Toolchain:
        """The Go that the page asks for; what it asks may depend on the go.mod above it."""
        wanted = page.settings.build.toolchain
        place = self._site if wanted == "local" else page.directory
        known = self._toolchains.get((wanted, place))
        if known is None or not (known.is_current() and wanted != "auto"):
            environment = {**self._environment, "GOTOOLCHAIN": wanted}
            known = self._toolchains[wanted, place] = find_toolchain(
                place, environment, max(ASK_TIMEOUT, page.settings.build.timeout)
            )
        return known

    async def _plan(self, page: Page) -> _Plan:
        """What a build of the page would take now; `go list` runs only when it could say something new."""
        toolchain = await in_thread(self._find_toolchain, page)
        flags = _flags(page, toolchain)
        known = self._recall(page, None)
        sources = await self._read(page, toolchain, flags, known.packages)
        if sources.shape != known.shape:
            known, complete = await self._list_packages(_Plan(page, toolchain, flags, known, sources))
            sources = await self._read(page, toolchain, flags, known.packages)
            known = replace(known, shape=sources.shape if complete else "")
        self._known[page.name] = known
        return _Plan(page, toolchain, flags, known, sources)

    async def _read(self, page: Page, toolchain: Toolchain, flags: Sequence[str], packages: Sequence[Path]) -> Sources:
        return await in_thread(self._reader.read, page, packages, [toolchain.version, *flags])

    async def _read_again(self, plan: _Plan) -> _Plan:
        sources = await self._read(plan.page, plan.toolchain, plan.flags, plan.known.packages)
        return replace(plan, sources=sources)

    def _recall(self, page: Page, release: Release | None) -> _Known:
        """What the last build learned, else what `release`, or the current one, was made of."""
        if page.name in self._known:
            return self._known[page.name]
        release = release or self._store.get(page.slug, self._store.pointers(page.slug).current or "")
        manifest = self._store.manifest(release) if release else None
        return _Known(manifest.shape, self._packages(manifest)) if manifest else _Known()

    def _packages(self, manifest: Manifest) -> tuple[Path, ...]:
        return tuple(self._site / name for name in manifest.packages)

    async def _list_packages(self, plan: _Plan) -> tuple[_Known, bool]:
        """The directories of code outside the page's that it is compiled with, and whether that is all of them.

        Code of the standard library and of the module cache does not count: it never changes.
        """
        page, toolchain = plan.page, plan.toolchain
        with overlay(plan.page.directory, self._module(plan)) as laid_over:
            fields = "-json=Dir,ImportPath,Standard,CgoFiles,IgnoredGoFiles,Error,DepsErrors"
            arguments = ["list", "-e", "-deps", fields, f"-overlay={laid_over}", *_selection(page)]
            outcome = await self._go(plan, [*arguments, *await self._file_arguments(plan)])
        if outcome.status:
            raise self._failure(plan, outcome)
        listed = list(listed_values(outcome.output))
        places = {Path(package["Dir"]) for package in listed if "Dir" in package and not package.get("Standard")}
        kept = {place for place in places if not place.is_relative_to(toolchain.modules) and place.name != READY}
        kept.discard(page.directory)
        complete = not any("Error" in package or "DepsErrors" in package for package in listed)
        if not complete:
            kept |= self._missing(plan)
        c_parts = () if _uses_cgo(page) else cgo.parts_left_out(listed)
        cgo.refuse_useless(page.name, c_parts)
        return _Known(packages=tuple(sorted(kept)), c_parts=c_parts), complete

    def _missing(self, plan: _Plan) -> set[Path]:
        """Where packages of the page's module would have to be: watched, so that one which appears is noticed."""
        module = self._module(plan)
        within = f"{module.name}/"
        return {module.root / name.removeprefix(within) for name in plan.sources.imports if name.startswith(within)}

    async def _file_arguments(self, plan: _Plan) -> list[str]:
        """The page's Go files that belong to this build, and ours, as arguments.

        Files are named because a package path allows no spaces, brackets or letters beyond ASCII. But named files
        are compiled whatever their name or //go:build says, so Go is asked first, where that could matter.
        """
        page, go = plan.page, plan.sources.go
        if not go:
            raise BuildError(f"{page.name} has no Go sources besides tests", "add a main.go with `package main`")
        ignored: frozenset[str] = frozenset()
        if any(head.is_conditional or "_" in name for name, head in go.items()):
            ignored = await self._ask_ignored(plan)
        chosen = [name for name in go if name not in ignored]
        where = name_of(page.directory, self._site)
        if not chosen:
            raise BuildError(
                f"every Go file of {page.name} excludes itself from this build",
                cgo.HINT if _lacks_cgo(plan) else "see the //go:build lines and the names of the files",
            )
        for name in chosen:
            if go[name].package not in ("main", ""):
                raise BuildError(
                    f"{where}/{name} is package {go[name].package}, but a page is package main",
                    f"write `package main` in {name}, or move it to a directory of its own and import it",
                )
        return [*(f"./{name}" for name in chosen), f"./{READY_FILE}"]

    async def _ask_ignored(self, plan: _Plan) -> frozenset[str]:
        page, go = plan.page, plan.sources.go
        question = short_hash(
            [plan.toolchain.version, plan.flags, [(n, h.statements, h.directives) for n, h in go.items()]]
        )
        asked, answer = self._ignored.get(page.name, ("", frozenset()))
        if asked != question:
            with tempfile.TemporaryDirectory(prefix="tqsd-go-") as place:
                for name in go:
                    Path(place, name).symlink_to(page.directory / name)
                Path(place, "go.mod").write_text(f"module {_MODULE}\n")
                arguments = ["list", "-e", "-find", "-json=IgnoredGoFiles", *_selection(page), "."]
                outcome = await self._go(plan, arguments, Path(place), GOWORK="off")
            if outcome.status:
                raise self._failure(plan, outcome)
            answer = frozenset(
                name for listed in listed_values(outcome.output) for name in listed.get("IgnoredGoFiles", ())
            )
            self._ignored[page.name] = question, answer
        return answer

    async def _make(self, plan: _Plan) -> Release | None:
        """Compile and store the release; None when the sources changed meanwhile, so that it would not be theirs."""
        page, begin = plan.page, time.monotonic()
        with self._store.staging(page.slug) as staging:
            executable = staging / _free_name(plan)
            try:
                await self._compile(plan, executable)
                beside = {path.relative_to(page.directory).as_posix(): path for path in plan.sources.beside}
                await in_thread(copy, beside, page, staging)
            except (BuildError, FileNotFoundError):
                if (await self._read_again(plan)).digest == plan.digest:
                    raise
                return None
            again = await self._read_again(plan)
            if again.digest != plan.digest:
                return None
            manifest = Manifest(
                page=page.name,
                release=plan.digest,
                runtime=page.runtime,
                built=time.time(),
                build_ms=round((time.monotonic() - begin) * 1000),
                executable=executable.name,
                toolchain=plan.toolchain.version,
                flags=plan.flags,
                inputs=again.sources.inputs,
                packages=tuple(name_of(package, self._site) for package in plan.known.packages),
                shape=plan.known.shape,
            )
            return await in_thread(self._store.put, manifest, staging)

    async def _compile(self, plan: _Plan, executable: Path) -> None:
        files = await self._file_arguments(plan)
        with overlay(plan.page.directory, self._module(plan)) as laid_over:
            arguments = ["build", *_arguments(plan.page), f"-overlay={laid_over}", "-o", str(executable), *files]
            outcome = await self._go(plan, arguments, GOGC="off")
            if outcome.was_killed:
                outcome = await self._go(plan, arguments)
        if outcome.status:
            raise self._failure(plan, outcome)
        if not await in_thread(_contains, executable, READY_MARK):
            raise BuildError(f"{plan.page.name} was built without {READY}", "is -overlay among your GOFLAGS?")

    async def _go(
        self, plan: _Plan, arguments: Sequence[str], directory: Path | None = None, **variables: str
    ) -> Outcome:
        page = plan.page
        directory = directory or page.directory
        environment = {
            **self._environment,
            **plan.toolchain.platform,
            "CGO_ENABLED": f"{_uses_cgo(page):d}",
            "GOMEMLIMIT": _MEMORY_LIMIT,
            **({"GOPRIVATE": ",".join(page.settings.build.private)} if page.settings.build.private else {}),
            "PWD": str(directory),  # by another name of the directory, Go would not find the overlay's files in it
            **variables,
        }
        if self._lacking_module(page) is not None:
            environment["GOWORK"] = "off"
        timeout = page.settings.build.timeout
        try:
            return await run([str(plan.toolchain.go), *arguments], directory, environment, timeout)
        except TimeoutError:
            raise BuildError(
                f"{page.name} did not build within {timeout:g} s", "raise `build: {timeout: ...}` in its page.yaml"
            ) from None

    def _module(self, plan: _Plan) -> Module:
        """The module that the page is in. Raises BuildError when go.work leaves it in none."""
        page = plan.page
        if (lacking := self._lacking_module(page)) is not None:
            return Module(lacking, _MODULE, f"module {_MODULE}\n\n{plan.toolchain.language_line}\n")
        root = nearest("go.mod", page.directory)
        if root is None:
            where = name_of(page.directory, self._site)
            raise BuildError(f"{where} is in no module, but there is a go.work", "add a go.mod, and `go work use` it")
        return Module(root, module_name(root / "go.mod") or _MODULE)

    def _lacking_module(self, page: Page) -> Path | None:
        """The directory that gets a go.mod for the build, None if the page's site has one or a go.work."""
        top = self._site if page.directory.is_relative_to(self._site) else None
        if nearest("go.mod", page.directory, top) or nearest("go.work", page.directory, top):
            return None
        return top or page.directory

    def _failure(self, plan: _Plan, outcome: Outcome) -> BuildError | StoreError:
        page = plan.page
        if found := re.search(r"(/[^\s:]+): no space left on device", outcome.errors):
            return StoreError(f"{page.name} does not build: {found[0]}", f"{full(Path(found[1]))}; make room there")
        output = relative_output(outcome.errors or outcome.output, page.directory, self._site)
        output = output.replace("command-line-arguments", name_of(page.directory, self._site))
        return BuildError(f"{page.name} does not build: {first_error(output)}", self._hint(plan, output), output)

    def _hint(self, plan: _Plan, output: str) -> str:
        hint = hint_for(output)
        if hint.startswith("go get") and self._lacking_module(plan.page) is not None:
            hint = f"go mod init {_MODULE} && {hint}"
        if not hint and _lacks_cgo(plan):
            hint = cgo.HINT
        if not hint and any(path.suffix != ".go" for path in sources_of(plan.page.directory)):
            hint = "C and assembler files are compiled in packages of their own only: move them to one, import that"
        return hint


def _uses_cgo(page: Page) -> bool:
    return page.settings.build.cgo or page.settings.build.race  # the race detector is C


def _lacks_cgo(plan: _Plan) -> bool:
    own = any("C" in head.imports for head in plan.sources.go.values())
    return not _uses_cgo(plan.page) and (own or bool(plan.known.c_parts))


def _selection(page: Page) -> list[str]:
    """The arguments that decide which files are compiled."""
    build = page.settings.build
    return [*([f"-tags={','.join(build.tags)}"] if build.tags else []), *(["-race"] if build.race else [])]


def _arguments(page: Page) -> list[str]:
    return ["-buildvcs=false", f"-ldflags=-s -w {page.settings.build.ldflags}".rstrip(), *_selection(page)]


def _flags(page: Page, toolchain: Toolchain) -> tuple[str, ...]:
    """All that shapes the executable besides its sources and the toolchain's version."""
    cgo = _uses_cgo(page)
    return (*toolchain.flags(cgo), f"CGO_ENABLED={cgo:d}", *_arguments(page), f"{READY}={ready_hash()}")


def _free_name(plan: _Plan) -> str:
    """A name for the executable that none of the files beside it has."""
    name = executable_name(plan.page.name)
    taken = {path.relative_to(plan.page.directory).parts[0] for path in plan.sources.beside}
    while name in taken:
        name += "_"
    return name


def _contains(executable: Path, mark: bytes) -> bool:
    with executable.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(mark) >= 0
