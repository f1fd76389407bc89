"""The sockets between watcher, proxies and the command line: one JSON object per line.

A proxy connects to proxy.sock and stays; its messages are described in docs/life-of-a-change.md. The command line asks
one question per connection, on status.sock what only reads and on control.sock what changes something:

    {"do": "rollback", "page": "api/users"}
    -> {"event": "..."} ...                                     progress, any number
    -> {"done": {...}}                                          the answer, or
    -> {"error": "...", "hint": "...", "exit": 1}               what went wrong
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

PROXY, STATUS, CONTROL = "proxy", "status", "control"
SOCKETS = (PROXY, STATUS, CONTROL)
LINE_LIMIT = 64 << 20  # bytes; the table of ten thousand pages has about two million


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """An address of the unix socket `path` that fits sockaddr_un (108 bytes), however deep its directory lies."""
    handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)


def listen(path: Path, mode: int) -> socket.socket:
    """A listening unix socket at `path`, replacing a dead one; `mode` says who may connect."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    path.unlink(missing_ok=True)
    with short_path(path) as address:
        listener.bind(address)
    path.chmod(mode)
    listener.listen(128)
    return listener


def connect(path: Path) -> socket.socket:
    """A connection to the unix socket `path`. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
