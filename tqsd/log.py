"""The log of a suite without a journal: one JSON object per line, in a file that is bounded.

{"time": 1764000000.0, "source": "api/users", "level": 6, "text": "..."}; levels are those of syslog(3), sources are
pages, or "tqsd" itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

LIMIT = 8 << 20  # bytes; then the file becomes the older one of two


def entry(time: float, source: str, level: int, text: str) -> str:
    """A line of the log."""
    return (
        json.dumps({"time": round(time, 3), "source": source, "level": level, "text": text}, ensure_ascii=False) + "\n"
    )


class LogFile:
    """A stream to write entries to, whole lines at a time. Raises OSError."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._limit = limit
        self._file = path.open("a", encoding="utf-8", errors="replace")

    def write(self, text: str) -> None:
        self._file.write(text)
        if self._file.tell() > self._limit:
            os.replace(self._path, older(self._path))
            full, self._file = self._file, self._path.open("a", encoding="utf-8", errors="replace")
            full.close()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def read(path: Path, limit: int, sources: Collection[str]) -> list[dict[str, Any]]:
    """The last `limit` entries, of `sources` if any are named, oldest first."""
    last: deque[dict[str, Any]] = deque(maxlen=limit)
    for file in (older(path), path):
        try:
            with file.open("rb") as lines:
                last.extend(_wanted(lines, sources))
        except FileNotFoundError:
            continue
    return list(last)


def follow(path: Path, sources: Collection[str]) -> Iterator[dict[str, Any]]:
    """Entries as they are written from now on; never ends by itself."""
    changed = threading.Event()

    class Changed(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            changed.set()

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    observer = Observer()
    observer.schedule(Changed(), str(path.parent))
    observer.start()
    file = path.open("rb")
    file.seek(0, os.SEEK_END)
    try:
        while True:
            changed.clear()
            yield from _wanted(_whole_lines(file), sources)
            with contextlib.suppress(FileNotFoundError):  # between the two steps of becoming the older one
                if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                    yield from _wanted(_whole_lines(file), sources)
                    file.close()
                    file = path.open("rb")
                    continue
            changed.wait()
    finally:
        file.close()
        observer.stop()
        observer.join()


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(at)
            return
        yield line


def _wanted(lines: Iterable[bytes], sources: Collection[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue  # cut by a crash
        if not sources or found["source"] in sources:
            yield found
