"""Virtual environments of Python pages: one for each set of requirements, shared by all pages that have the same.

They cannot be moved, so each is made in its place, under a lock, and counts once it holds the mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqsd.builder.sources import name_of, unreadable
from tqsd.builder.toolchain import Outcome, run, to_the_end
from tqsd.config import BuildSettings
from tqsd.errors import BuildError, StoreError
from tqsd.page import Page
from tqsd.release import short_hash
from tqsd.state import write_file
from tqsd.store import full

REQUIREMENTS = "requirements.txt"
MARK = ".complete"
_YOUNG = 3600.0  # seconds since its last use in which one is kept that no release names yet
_LOOK_AGAIN = 0.05  # seconds; a lock of another process has no event to wait for (flock(2))

_INCLUDES = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
# Variables that would lead pip elsewhere than to the environment it is asked for.
_MISLEADING = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER")

# What pip and uv say, and what to do then.
_SOURCE_ONLY = "there is no wheel of it for this Python: `build: {sdist: true}` in page.yaml lets its source be built"
_HINTS = (
    (r"building from source is disabled|no usable wheels|has no wheels with", _SOURCE_ONLY),
    (
        r"name resolution|NewConnectionError|Max retries exceeded|unreachable|[Cc]onnection refused|ConnectTimeout"
        r"|dns error|error sending request",
        "the package index cannot be reached: is there a network? a proxy (HTTPS_PROXY)? another index (build.index)?",
    ),
    (r"Invalid requirement|Couldn't parse requirement", "write it like `name`, `name==1.2` or `name>=1,<2`"),
    (r"No matching distribution found|no version of|not found in the", "is it spelt right? is there such a version?"),
    (r"ResolutionImpossible|unsatisfiable", "loosen one of these versions"),
    (r"gcc|Python\.h|subprocess-exited-with-error", "its source needs more to be built: apt install gcc python3-dev"),
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a page requires: its requirements.txt, with what that includes first of all in `files`.

    digest  the name of the virtual environment that has it all
    """

    file: Path
    files: tuple[Path, ...]
    digest: str


def read_requirements(page: Page, site: Path) -> Requirements | None:
    """The requirements of a page, None without the file. Raises BuildError for what cannot be in a release."""
    file = page.directory / REQUIREMENTS
    if not file.is_file():
        return None
    contents: dict[Path, bytes] = {}
    todo = [file]
    while todo:
        path = todo.pop()
        if path in contents:
            continue
        try:
            contents[path] = path.read_bytes()
        except OSError as error:
            raise unreadable(name_of(path, site), error) from error
        if path.suffix != ".whl":
            todo += _named_files(path, contents[path].decode(errors="replace"), page, site)
    build = page.settings.build
    hashes = [hashlib.sha256(content).hexdigest() for content in contents.values()]
    digest = short_hash([sys.executable, sys.version, build.index, build.sdist, hashes])
    return Requirements(file, tuple(contents), digest)


def _named_files(file: Path, text: str, page: Page, site: Path) -> Iterator[Path]:
    """The files of requirements or constraints that `file` includes, and the wheels it names by their paths."""
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).strip()  # noqa: PLW2901
        where = f"{name_of(file, site)}:{number}"
        if included := _INCLUDES.match(line):
            if "://" not in included[1]:
                yield Path(os.path.normpath(file.parent / included[1]))
            continue
        path = page.directory / line.partition(";")[0].strip()  # pip takes paths as seen from where it runs
        if _EDITABLE.match(line) or (line.startswith((".", "/")) and path.is_dir()):
            raise BuildError(
                f"{where}: {line} is a directory, which may change at any time",
                "move its package to the site's directory and import it by name, or name a wheel built from it",
            )
        if line.endswith(".whl") and "://" not in line and path.is_file():
            yield Path(os.path.normpath(path))


class Venvs:
    """The virtual environments below one directory."""

    def __init__(self, venvs: Path, site: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is what pip and uv see, with the user's settings for them; as a rule the present one."""
        self._venvs = venvs
        self._site = site
        own = os.environ if environment is None else environment
        self._environment = {name: value for name, value in own.items() if name not in _MISLEADING}

    async def provide(self, page: Page, requirements: Requirements) -> None:
        """Make the environment of `requirements`, unless it is there. Raises BuildError, or StoreError for a full disk.

        Whenever this does not return, pip is gone with all its children, and nothing of the environment counts.
        """
        place = self._venvs / requirements.digest
        if _is_complete(place):
            return
        async with _locked(place):
            if _is_complete(place):
                return
            try:
                await self._make(page, requirements, place)
                await to_the_end(asyncio.to_thread(_complete, place))
            except BaseException:
                await to_the_end(asyncio.to_thread(_remove, place))
                raise

    async def _make(self, page: Page, requirements: Requirements, place: Path) -> None:
        await to_the_end(asyncio.to_thread(_clear, place))
        build = page.settings.build
        log = place / "pip.log"
        try:
            async with asyncio.timeout(build.timeout):
                for command in self._commands(requirements.file, place, log, build):
                    outcome = await run(command, page.directory, self._environment, build.timeout)
                    if outcome.status:
                        raise self._failure(page, outcome, log)
        except TimeoutError:
            raise BuildError(
                f"the requirements of {page.name} were not installed within {build.timeout:g} s",
                "raise `build: {timeout: ...}` in its page.yaml",
            ) from None
        with contextlib.suppress(FileNotFoundError):
            log.unlink()

    def _commands(self, file: Path, place: Path, log: Path, build: BuildSettings) -> Iterator[list[str]]:
        python = str(place / "bin/python")
        chosen = [] if build.sdist else ["--only-binary", ":all:"]
        chosen += ["--index-url", build.index] if build.index else []
        if uv := shutil.which("uv", path=self._environment.get("PATH")):
            yield [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, "--allow-existing", str(place)]
            yield [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *chosen, "-r", str(file)]
        elif importlib.util.find_spec("pip"):
            yield [sys.executable, "-m", "venv", "--without-pip", str(place)]
            quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--root-user-action", "ignore"]
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--log", str(log), *quiet]
            yield [*pip, *chosen, "-r", str(file)]
        else:
            raise BuildError("neither uv nor pip is there to install requirements", "apt install python3-pip")

    def _failure(self, page: Page, outcome: Outcome, log: Path) -> BuildError | StoreError:
        output = (outcome.errors.strip() or outcome.output.strip()).replace(f"{self._site}/", "")
        message = f"the requirements of {page.name} cannot be installed: {_reason(output)}"
        said = f"{output}\n"
        with contextlib.suppress(OSError):
            said += log.read_text(errors="replace")
        if "No space left on device" in said:
            return StoreError(message, f"{full(self._venvs)}; make room there")
        if _is_source_only(said):
            return BuildError(message, _SOURCE_ONLY, output)
        return BuildError(message, next((hint for pattern, hint in _HINTS if re.search(pattern, said)), ""), output)


def _reason(output: str) -> str:
    """The line that says best why an installation failed: pip's last error, or the first cause that uv names."""
    causes = re.findall(r"^\s*(?:cause: |\u2570\u2500\u25b6 )(.+)", output, re.MULTILINE)
    errors = re.findall(r"^(?:ERROR|error): (?!ResolutionImpossible)(.+)", output, re.MULTILINE)
    return str([*causes[:1], *reversed(errors), output][0])


def _is_source_only(log: str) -> bool:
    """Whether pip found a source, but no wheel, of what it could not install; only its log tells."""
    missing = re.search(r"No matching distribution found for ([\w.-]+)", log)
    sources = re.findall(r"No sources permitted for [^:]*: \S*?([^/\s]+)(?=\s|$)", log)
    return missing is not None and any(_plain(source).startswith(f"{_plain(missing[1])}-") for source in sources)


def _plain(name: str) -> str:
    """A name of a package as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def retain(venvs: Path, wanted: Collection[str]) -> None:
    """Delete the environments that no release names; `wanted` are the digests of those that one does.

    One that is being made stays, and so does one used just now, whose release may be about to be stored.
    """
    for place in venvs.iterdir() if venvs.is_dir() else ():
        if place.name in wanted:
            continue
        with contextlib.suppress(OSError):
            if time.time() - (place / MARK).stat().st_mtime < _YOUNG:
                continue
        with _lock(place) as held:
            if held:
                _remove(place)


def _is_complete(place: Path) -> bool:
    """Whether an environment is there; asking is using it, see `retain`."""
    try:
        os.utime(place / MARK)
    except FileNotFoundError:
        return False
    return True


def _complete(place: Path) -> None:
    os.sync()  # some thousand files: the mark must not outlive them through a power cut
    write_file(place / MARK, b"")


def _remove(place: Path) -> None:
    _clear(place)
    place.rmdir()


def _clear(place: Path) -> None:
    """Delete what lies in a directory, the mark first."""
    (place / MARK).unlink(missing_ok=True)
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _locked(place: Path) -> AsyncIterator[None]:
    """Make a directory and hold its lock, whoever has it now."""
    while True:
        place.mkdir(parents=True, exist_ok=True)
        with _lock(place) as held:
            if held:
                yield
                return
        await asyncio.sleep(_LOOK_AGAIN)


@contextlib.contextmanager
def _lock(place: Path) -> Iterator[bool]:
    """Try to lock a directory; the kernel drops the lock however its holder ends. One deleted meanwhile has none."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = place.exists() and os.path.samestat(os.fstat(handle), place.stat())
    except OSError:
        held = False
    try:
        yield held
    finally:
        os.close(handle)
