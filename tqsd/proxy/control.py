"""The connection to the watcher: one JSON object per line, both ways."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tqsd.proxy.loop import IN, Connection, Loop, log

_READ: Final = 262144


class Control(Connection):
    """Hands each message of the watcher to `take`; `lost` is called once when the watcher has gone."""

    __slots__ = ("_lost", "_parts", "_take")

    def __init__(self, loop: Loop, fd: int, take: Callable[[dict[str, Any]], None], lost: Callable[[], None]) -> None:
        super().__init__(loop, fd, IN)
        self._take = take
        self._lost = lost
        self._parts: list[bytes] = []  # of a line whose end has not come

    def say(self, **message: Any) -> None:
        self.put(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def readable(self) -> None:
        try:
            data = os.read(self.fd, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._parts.append(line)
            whole = b"".join(self._parts)
            self._parts = []
            self._read(whole)
        if rest:
            self._parts.append(rest)

    def _read(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            self._take(message)
        except (ValueError, KeyError, TypeError) as error:
            log(3, f"the watcher sent something that cannot be followed: {error!r}")

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._lost()


def connect(directory: Path) -> int | None:
    """A non-blocking descriptor connected to proxy.sock in `directory`; None when no watcher listens there.

    A socket's path holds 108 bytes (unix(7)), a site's may be longer: it is named through its opened directory.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        opened = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        stream.close()
        return None
    try:
        failed = stream.connect_ex(f"/proc/self/fd/{opened}/proxy.sock")
    finally:
        os.close(opened)
    if failed not in (0, errno.EINPROGRESS):
        stream.close()
        return None
    with contextlib.suppress(OSError):
        return stream.detach()
    return None
