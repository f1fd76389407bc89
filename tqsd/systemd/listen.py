"""Sockets that the service manager opened for us: sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket

_FIRST = 3  # SD_LISTEN_FDS_START


def listeners() -> dict[str, list[socket.socket]]:
    """The sockets passed to this very process, by name; a second call, or another process, gets none.

    They do not block (O_NONBLOCK belongs to the open file, which another process may share and have cleared) and are
    closed on exec.
    """
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return {}
    found: dict[str, list[socket.socket]] = {}
    for index in range(int(count)):
        passed = socket.socket(fileno=_FIRST + index)
        passed.setblocking(False)
        passed.set_inheritable(False)
        name = names[index] if index < len(names) and names[index] else "unknown"
        found.setdefault(name, []).append(passed)
    return found
