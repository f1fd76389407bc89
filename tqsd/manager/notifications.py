"""The receiving end of sd_notify(3): datagrams like READY=1, told to whoever waits for that process."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

Hear = Callable[[dict[str, str]], None]  # gets NAME -> value of one datagram
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)


class Notifications:
    """Listens at `address`. Only a watched process itself is heard, not its children: NotifyAccess=main."""

    def __init__(self) -> None:
        self._hears: dict[int, Hear] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # An abstract address that the kernel chooses: no file to leave behind, no limit on the length of a path.
        self._socket.bind("")
        self.address = "@" + self._socket.getsockname()[1:].decode()
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def watch(self, pid: int, hear: Hear) -> None:
        self._hears[pid] = hear

    def forget(self, pid: int) -> None:
        """To be called when the process is gone, before its number can belong to another."""
        self._hears.pop(pid, None)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        while True:
            try:
                message, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            for _, kind, content in ancillary:
                if kind == socket.SCM_CREDENTIALS and (hear := self._hears.get(_CREDENTIALS.unpack(content)[0])):
                    lines = message.decode(errors="replace").splitlines()
                    hear(dict(line.split("=", 1) for line in lines if "=" in line))
