"""The files a release is made of: what they hold, which of them a page gives to its release, and how they get there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from tqsd.errors import BuildError
from tqsd.page import Page
from tqsd.release import Input
from tqsd.site import PAGE_SETTINGS, is_skipped, own_files
from tqsd.watch.changes import is_noise

COPY_LIMIT = 64 << 20  # bytes that one page may put beside its executable
WELL_KNOWN = ".well-known"  # RFC 8615; the one hidden directory that is served
_FRESH = 50_000_000  # ns; file times move in steps of up to 10 ms, within one a second change would go unseen


class Contents:
    """What files hold. Each is read once for as long as it stays the same."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[tuple[int, int, int], Input]] = {}

    def read(self, path: Path) -> Input:
        """Size, time and hash of a file. Raises OSError."""
        status = path.stat()
        stamp = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        with path.open("rb") as file:
            found = Input(status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())
        if time.time_ns() - status.st_ctime_ns > _FRESH:
            self._read[path] = stamp, found
        return found

    def inputs(self, files: Mapping[str, Path]) -> dict[str, Input]:
        """All of `files` by name, without those that have vanished. Raises BuildError for one that cannot be read."""
        found = {}
        for name, path in files.items():
            try:
                found[name] = self.read(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise unreadable(name, error) from error
        return found

    def unchanged(self, files: Mapping[str, Path], inputs: Mapping[str, Input]) -> bool:
        """Whether `files` are those of `inputs` and hold the same; reads only where size or time differ."""
        if files.keys() != inputs.keys():
            return False
        for name, path in files.items():
            status = path.stat()
            known = inputs[name]
            if (status.st_size, status.st_mtime_ns) == (known.size, known.mtime_ns):
                continue
            if status.st_size != known.size or self.read(path).sha256 != known.sha256:
                return False
        return True


def name_of(path: Path, site: Path) -> str:
    """How a manifest calls a file or directory: relative to the site where it lies inside, else absolute."""
    return path.relative_to(site).as_posix() if path.is_relative_to(site) else path.as_posix()


def accompanying(page: Path, site: Path) -> list[Path]:
    """The files that lie beside a page's executable: its own, but no Go sources, settings or editors' leftovers.

    Raises BuildError for what cannot be copied: links that lead out of the site or to a directory, or are broken.
    """
    found = []
    for path in own_files(page):
        inner = path.relative_to(page)
        if path.suffix == ".go" or inner == Path(PAGE_SETTINGS) or is_noise(inner):
            continue
        if not any(is_skipped(folder) for folder in inner.parts[:-1]) and is_copied(path, site):
            found.append(path)
    return found


def everything(page: Page, site: Path) -> list[Path]:
    """The files of a page that is copied whole: its own, but no settings or editors' leftovers. Raises BuildError."""
    files = list(own_files(page.directory))
    well_known = page.directory / WELL_KNOWN
    if well_known.is_dir() and not well_known.is_symlink():
        files += own_files(well_known)
    own = ((path, path.relative_to(page.directory)) for path in files)
    return [p for p, inner in own if inner != Path(PAGE_SETTINGS) and not is_noise(inner) and is_copied(p, site)]


def copy(copies: Mapping[str, Path], page: Page, target: Path) -> None:
    """Copy files to their places in a release, with their modes. Raises BuildError when they are too many bytes."""
    sizes = {place: path.stat().st_size for place, path in copies.items()}
    total = sum(sizes.values())
    if total > COPY_LIMIT:
        biggest = max(sizes, key=lambda place: sizes[place])
        raise BuildError(
            f"{page.name} has {total >> 20} MiB of files to copy, more than {COPY_LIMIT >> 20} MiB",
            f"the biggest is {biggest} with {sizes[biggest] >> 20} MiB: "
            "keep it outside the page and read it from the site's directory",
        )
    for place, path in copies.items():
        goal = target / place
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, goal)
        status = path.stat()
        goal.chmod(stat.S_IMODE(status.st_mode) & 0o777)
        # A static page's ETags are made of size and time (proxy/files.py). The source's second keeps them over releases
        # that did not change the file; the checksum tells apart what a tool has given the same time.
        second = status.st_mtime_ns // 1_000_000_000
        os.utime(goal, ns=(status.st_atime_ns, second * 1_000_000_000 + _checksum(goal) % 1_000_000_000))


def _checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total = zlib.crc32(block, total)
    return total


def unreadable(name: str, error: OSError) -> BuildError:
    return BuildError(f"cannot read {name}: {error.strerror or error}", f"see `ls -l {name}`")


def is_copied(path: Path, site: Path) -> bool:
    """Whether a file of the site may lie in a release. Raises BuildError for a link that cannot be followed there."""
    name = name_of(path, site)
    try:
        name.encode()
    except UnicodeEncodeError:
        printable = os.fsencode(name).decode(errors="replace")
        raise BuildError(f"the name of {printable} is not valid UTF-8", "rename it") from None
    if not path.is_symlink():
        return path.is_file()  # sockets and pipes stay where they are
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        raise BuildError(f"the link {name} leads nowhere", "remove it, or put back what it leads to") from None
    if not real.is_relative_to(site):
        raise BuildError(f"the link {name} leads out of the site, to {real}", "copy the file into the page")
    if real.is_dir():
        raise BuildError(f"the link {name} leads to a directory", "copy that into the page, or link its files")
    return real.is_file()
