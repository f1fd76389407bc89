"""What people see: lines with their source in front, colours only on a terminal, and never a reason to stall."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from typing import Protocol, TextIO

import click

from tqsd.log import entry

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")
_LEVELS = {"3": "red", "4": "yellow", "6": None}
_ROOM = 10_000  # lines that wait for a slow terminal before some are dropped


def has_colours(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Writable(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> None: ...


class Lines:
    """Shows lines on `stream` and keeps them in `log`, if there is one."""

    def __init__(self, stream: TextIO | None = None, log: Writable | None = None) -> None:
        stream = stream or sys.stderr
        self._style = Style(has_colours(stream))
        self._shown = _Outlet(stream)
        self._kept = _Outlet(log) if log else None

    def say(self, source: str, text: str) -> None:
        """One line of `source`; a <3> or <4> in front (sd-daemon(3)) marks errors and warnings, <7> is left out."""
        if text.startswith("<7>"):
            return
        level = text[1] if text[:1] == "<" and text[2:3] == ">" and text[1] in _LEVELS else ""
        text = text[3:] if level else text
        self._shown.put(self._style.line(source, int(level or 6), text))
        if self._kept:
            self._kept.put(entry(time.time(), source, int(level or 6), text))

    def plain(self, text: str) -> None:
        self._shown.put(text + "\n")

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, as far as it is taken within `timeout` seconds."""
        for outlet in (self._shown, self._kept):
            if outlet:
                outlet.close(timeout)


class Style:
    """How a line of a source looks; the column of sources grows with the longest name."""

    def __init__(self, colours: bool) -> None:
        self._colours = colours
        self._width = 8

    def line(self, source: str, level: int, text: str) -> str:
        self._width = min(max(self._width, len(source)), 24)
        name = f"{source:<{self._width}}"
        if self._colours:
            name = click.style(name, fg=_COLOURS[sum(source.encode()) % len(_COLOURS)])
            colour = _LEVELS.get(str(level))
            text = click.style(text, fg=colour) if colour else text
        return f"{name} | {text}\n"


class _Outlet:
    """Writes from a thread of its own: a paused terminal or disk must not stop the process that owns the workers."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(_ROOM)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self, timeout: float) -> None:
        try:
            self._waiting.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._stream.write(f"({dropped} lines were dropped: they came faster than they could be written)\n")
                self._stream.write(line)
                if self._waiting.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                continue  # the terminal is gone, or the disk full for now; the site serves on
