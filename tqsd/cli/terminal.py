"""What people see: lines with their source in front, colours only on a terminal, and never a reason to stall."""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import TextIO

import click

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")
_LEVELS = {"3": "red", "4": "yellow", "6": None}
_ROOM = 10_000  # lines that wait for a slow terminal before some are dropped


def has_colours(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Lines:
    """Prints from a thread of its own: a paused terminal must not stop the process that owns the workers."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._colours = has_colours(self._stream)
        self._waiting: queue.Queue[str | None] = queue.Queue(_ROOM)
        self._dropped = 0
        self._width = 8
        self._thread = threading.Thread(target=self._print, name="lines", daemon=True)
        self._thread.start()

    def say(self, source: str, text: str) -> None:
        """One line of `source`; a <3> or <4> in front (sd-daemon(3)) marks errors and warnings, <7> is left out."""
        if text.startswith("<7>"):
            return
        level = text[1] if text[:1] == "<" and text[2:3] == ">" and text[1] in _LEVELS else ""
        text = text[3:] if level else text
        self._width = min(max(self._width, len(source)), 24)
        name = f"{source:<{self._width}}"
        if self._colours:
            name = click.style(name, fg=_COLOURS[sum(source.encode()) % len(_COLOURS)])
            text = click.style(text, fg=_LEVELS.get(level)) if _LEVELS.get(level) else text
        self._put(f"{name} | {text}\n")

    def plain(self, text: str) -> None:
        self._put(text + "\n")

    def close(self, timeout: float = 2.0) -> None:
        """Print what waits, as far as the terminal takes it within `timeout` seconds."""
        try:
            self._waiting.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _put(self, line: str) -> None:
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _print(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._stream.write(f"({dropped} lines were dropped: they came faster than they could be shown)\n")
                self._stream.write(line)
                if self._waiting.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                return  # the terminal is gone; the site serves on
