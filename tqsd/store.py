"""The release store: each page's releases, written aside and renamed in, and which of them is current.

<releases>/<slug>/<digest>/   one release: its manifest, its executable, copies of the page's other files
<releases>/<slug>/page.json   current, previous, pinned
<releases>/<slug>/.new-*      a release being written, or one being deleted; locked by its writer

A release is whole or not there: readers need no lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tqsd.errors import StoreError
from tqsd.page import slug as slug_of
from tqsd.release import FORMAT, Manifest, Pointers, Release, is_digest
from tqsd.state import read_json, sync_directory, write_json

MANIFEST = ".manifest.json"  # no dot file of a page is ever copied, so a page may have a manifest.json of its own
_POINTERS = "page.json"
_ASIDE = ".new-"
_POINTERS_FORMAT = 1
_MANY = 50  # files of a release; syncfs(2) takes 0.1 s for 5000, for which fsync(2) of each takes 3 s


class Store:
    """Owns one directory of releases. Raises StoreError where the disk fails; nothing half-written is ever found."""

    def __init__(self, releases: Path) -> None:
        self._releases = releases

    @contextlib.contextmanager
    def staging(self, slug: str) -> Iterator[Path]:
        """An empty directory to write a release of `slug` into; gone at the end of the block unless `put` took it."""
        home = self._releases / slug
        with _reported(home, "write a release"):
            home.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=home))
        try:
            with _reported(staging, "write a release"), _locked(staging):
                yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def put(self, manifest: Manifest, staging: Path) -> Release:
        """Make what lies in `staging` the release that `manifest` names. One of that digest, already there, stands."""
        slug = slug_of(manifest.page)
        target = self._releases / slug / manifest.release
        with _reported(target, "store a release"):
            if (known := self.get(slug, manifest.release)) is not None:
                return known
            write_json(staging / MANIFEST, manifest.to_json())
            if manifest.executable:
                (staging / manifest.executable).chmod(0o755)
            _sync_tree(staging)
            _discard(target)  # a damaged one
            try:
                staging.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                    raise
            sync_directory(target.parent)
        release = self.get(slug, manifest.release)
        if release is None:
            raise StoreError(f"the release {manifest.release} of {manifest.page} was damaged while it was stored")
        return release

    def get(self, slug: str, digest: str) -> Release | None:
        """The release, or None when it is absent or damaged."""
        manifest = self._manifest(slug, digest)
        return self._release(manifest) if manifest is not None else None

    def manifest(self, release: Release) -> Manifest | None:
        return self._manifest(slug_of(release.page), release.digest)

    def list(self, slug: str) -> list[Release]:
        """The sound releases of a page, newest first."""
        found = [manifest for digest in self._digests(slug) if (manifest := self._manifest(slug, digest))]
        found.sort(key=lambda manifest: (manifest.built, manifest.release), reverse=True)
        return [self._release(manifest) for manifest in found]

    def pointers(self, slug: str) -> Pointers:
        """Which releases are current, previous and pinned; none are when that was never recorded or is damaged."""
        with _reported(self._releases, "read which release is current"):
            value = read_json(self._releases / slug / _POINTERS, _POINTERS_FORMAT) or {}
        named = {name: text for name in Pointers.__slots__ if isinstance(text := value.get(name), str)}
        return Pointers(**named)

    def point(self, slug: str, pointers: Pointers) -> None:
        home = self._releases / slug
        with _reported(home, "record which release is current"):
            home.mkdir(parents=True, exist_ok=True)
            write_json(home / _POINTERS, {"format": _POINTERS_FORMAT, **asdict(pointers)})

    def venvs(self) -> set[str]:
        """The digests of the virtual environments that kept releases run in."""
        slugs = [home.name for home in self._releases.glob("*") if home.is_dir()]
        return {release.venv for slug in slugs for release in self.list(slug) if release.venv}

    def retain(self, slug: str, running: set[str], keep: int = 5) -> None:
        """Delete all but the `keep` newest releases and those that run, are current, previous or pinned."""
        pointers = self.pointers(slug)
        wanted = {release.digest for release in self.list(slug)[:keep]} | running
        wanted |= {digest for digest in (pointers.current, pointers.previous, pointers.pinned) if digest}
        with _reported(self._releases / slug, "delete an old release"):
            for digest in self._digests(slug):
                if digest not in wanted:
                    _discard(self._releases / slug / digest)

    def sweep(self) -> None:
        """Remove what an earlier process left half-written; what a living one writes is locked, and stays."""
        for left in self._releases.glob(f"*/{_ASIDE}*"):
            with contextlib.suppress(OSError), _locked(left):
                shutil.rmtree(left, ignore_errors=True)

    def _manifest(self, slug: str, digest: str) -> Manifest | None:
        if not is_digest(digest):
            return None
        directory = self._releases / slug / digest
        try:
            manifest = Manifest.from_json(read_json(directory / MANIFEST, FORMAT) or {})
        except (OSError, ValueError):
            return None
        sound = manifest.release == digest and slug_of(manifest.page) == slug
        runs = not manifest.executable or (directory / manifest.executable).is_file()
        return manifest if sound and runs else None

    def _release(self, manifest: Manifest) -> Release:
        directory = self._releases.absolute() / slug_of(manifest.page) / manifest.release
        executable = directory / manifest.executable
        return Release(manifest.page, manifest.release, directory, executable, manifest.runtime, manifest.venv)

    def _digests(self, slug: str) -> Sequence[str]:
        try:
            return [entry.name for entry in (self._releases / slug).iterdir() if is_digest(entry.name)]
        except FileNotFoundError:
            return []


def full(path: Path) -> str:
    """How full the disk of `path` is, and which one that is."""
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    mount = path.resolve()
    while not mount.is_mount():
        mount = mount.parent
    return f"the disk mounted at {mount} has {usage.free >> 20} of {usage.total >> 20} MiB left"


@contextlib.contextmanager
def _reported(path: Path, task: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {task} in {path}: {error.strerror or error}", _hint(error, path)) from error


def _hint(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            return f"{full(path)}; make room there, then try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"it must be writable for the user with id {os.geteuid()}: see `ls -ld {path.parent}`"
    return f"see `ls -la {path.parent}`"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory; the kernel drops it however the holder ends. Raises OSError if another has it."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _discard(directory: Path) -> None:
    """Delete a release; its name goes first and at once, so that a half-deleted one is never found."""
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=directory.parent))
    try:
        directory.rename(aside)  # rename(2) takes the place of an empty directory
    except FileNotFoundError:
        pass
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    """Bring a tree to the disk, its directories readable by the user of a worker."""
    places: list[Path] = []
    for directory, _, names in os.walk(root, topdown=False):
        Path(directory).chmod(0o755)
        files = [Path(directory, name) for name in names]
        # A build may leave links that lead nowhere, and pipes, on which open(2) would wait.
        places += [file for file in files if file.is_file() and not file.is_symlink()]
        places.append(Path(directory))
    if len(places) > _MANY:
        _sync_disk(root)
        return
    for place in places:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sync_disk(path: Path) -> None:
    """Bring all of the file system that `path` is on to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(handle)
