"""What changed on disk: watchdog's events, without the noise of editors, in groups of one save each.

An event never decides anything: it says where to look again. So a lost, doubled or reordered event costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import os
import time
import warnings
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

SETTLE = 0.02  # seconds; only groups the several events of one save, the build starts with the first group
# A new directory is told of again: what was written into it before its own watch began has no event (inotify(7)).
SECOND_LOOK = 0.5  # seconds
# What editors, file managers and compilers leave for a moment beside the file they write.
NOISE_FILES = (
    "*~",
    ".#*",
    "#*#",
    "*.sw[a-z]",
    "*.tmp",
    "4913",
    ".goutputstream-*",
    "*___jb_*___",
    ".DS_Store",
    "*.pyc",
)
NOISE_FOLDERS = frozenset({".git", ".hg", ".tqsd", "__pycache__", "node_modules", ".idea", ".vscode", ".venv"})
_READS = frozenset({"opened", "closed_no_write"})  # reading a file, as every build does, is no change
_NEW = frozenset({"created", "moved"})


def is_noise(path: PurePath) -> bool:
    """Whether a path never holds anything a page is made of."""
    return not NOISE_FOLDERS.isdisjoint(path.parts) or any(fnmatch.fnmatch(path.name, p) for p in NOISE_FILES)


def covering(directories: Iterable[Path], site: Path) -> dict[Path, bool]:
    """The watches that see all of `directories`: path -> whether it is watched with everything below.

    Inside the site that is one watch for each top-level directory, because each watch costs threads; outside, and in
    what is noise otherwise, the directory alone. A directory beneath a watched one needs none of its own.
    """
    watches: dict[Path, bool] = {}
    for directory in sorted(directories):
        if directory == site:
            watches[site] = False
        elif site in directory.parents and not is_noise(directory.relative_to(site)):
            watches[site / directory.relative_to(site).parts[0]] = True
        elif not any(deep and above in directory.parents for above, deep in watches.items()):
            watches.setdefault(directory, False)
    return watches


@dataclass(frozen=True, slots=True)
class Save:
    """The paths one save touched, and when (time.monotonic) its first event came."""

    paths: frozenset[Path]
    first: float


class Changes(FileSystemEventHandler):
    """Watches directories and yields saves. Use `watch` as often as the set of directories changes."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._observer: BaseObserver = Observer()
        self._watched: dict[Path, tuple[bool, ObservedWatch]] = {}
        self._paths: set[Path] = set()
        self._first = 0.0
        self._any = asyncio.Event()

    def start(self) -> None:
        # watchdog 7 sees a nested new directory twice when it is quick, and warns that its second watch is the same.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        self._observer.start()

    def watch(self, directories: Iterable[Path]) -> list[str]:
        """Watch exactly these directories; returns what could not be watched, and why."""
        wanted = {path: deep for path, deep in covering(directories, self._site).items() if path.is_dir()}
        refused = []
        for path in [path for path, (deep, _) in self._watched.items() if wanted.get(path) is not deep]:
            _, watch = self._watched.pop(path)
            with contextlib.suppress(KeyError, OSError):  # a directory that is gone took its watch along
                self._observer.unschedule(watch)
        for path, deep in wanted.items():
            if path in self._watched:
                continue
            try:
                self._watched[path] = deep, self._observer.schedule(self, str(path), recursive=deep)
            except OSError as error:
                refused.append(f"{path} cannot be watched: {error.strerror} (see fs.inotify.max_user_watches)")
        return refused

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()

    async def saves(self) -> AsyncIterator[Save]:
        """Each save as one group, SETTLE after its first event."""
        while True:
            await self._any.wait()
            await asyncio.sleep(SETTLE)
            self._any.clear()
            paths, self._paths = frozenset(self._paths), set()
            yield Save(paths, self._first)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog in a thread of its own."""
        if event.event_type in _READS:
            return
        paths = [Path(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path]
        if event.is_directory and event.event_type == "modified":
            return  # says only that an entry changed, which has an event of its own
        telling = [path for path in paths if not is_noise(path) or path.parent in self._watched]
        if telling:
            with contextlib.suppress(RuntimeError):  # the loop has ended; so will this thread
                self._loop.call_soon_threadsafe(self._note, telling, time.monotonic())
                if event.is_directory and event.event_type in _NEW:
                    self._loop.call_soon_threadsafe(self._note_again, telling)

    def _note_again(self, paths: list[Path]) -> None:
        self._loop.call_later(SECOND_LOOK, lambda: self._note(paths, time.monotonic()))

    def _note(self, paths: list[Path], when: float) -> None:
        if not self._any.is_set():
            self._first = when
            self._any.set()
        self._paths.update(paths)
