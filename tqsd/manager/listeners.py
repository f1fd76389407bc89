"""The listening TCP sockets of this machine, and those that a process or one of its children holds."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import psutil

_LOOPBACK = IPv4Address("127.0.0.1")
_LISTEN = 10  # TCP_LISTEN, tcp_states.h
# sock_diag(7): nlmsghdr with SOCK_DIAG_BY_FAMILY and NLM_F_REQUEST | NLM_F_DUMP, then struct inet_diag_req_v2.
_ASK = struct.Struct("=IHHII BBBBI 48x")
_HEADER = struct.Struct("=IHHII")
_NETLINK_SOCK_DIAG, _BY_FAMILY, _DUMP, _ERROR, _DONE = 4, 20, 0x301, 2, 3


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes connections; `inode` is its number in the links of /proc/PID/fd."""

    address: IPv4Address | IPv6Address
    port: int
    inode: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether 127.0.0.1 reaches it; an IPv6 wildcard may have been told to take no IPv4."""
        return self.address.is_unspecified or self.address == _LOOPBACK


def listeners() -> list[Listener]:
    """All of them. The kernel is asked for listening sockets only.

    That takes 60 microseconds however many connections are in TIME_WAIT; /proc/net/tcp would list those as well. But
    some sandboxes have no netlink, there it has to do.
    """
    try:
        return [*_ask(socket.AF_INET), *_ask(socket.AF_INET6)]
    except OSError:
        return [*_listed("/proc/net/tcp"), *_listed("/proc/net/tcp6")]


def reached(among: Iterable[Listener], port: int) -> list[Listener]:
    """Those that a connection to 127.0.0.1 and `port` can come to: the exact address wins, and IPv4 before IPv6."""
    local = [listener for listener in among if listener.port == port and listener.is_local]
    local.sort(key=lambda listener: (listener.address.version, listener.address.is_unspecified))
    return [listener for listener in local if listener.address == local[0].address]


def sockets_of(pid: int) -> set[int]:
    """The inodes of all sockets that a process and its descendants hold, as far as this user may see them."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return {inode for one in (process, *process.children(recursive=True)) for inode in _sockets(one.pid)}
    return set()


def _sockets(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                link = os.readlink(f"/proc/{pid}/fd/{name}")
                if link.startswith("socket:["):
                    yield int(link[8:-1])


def _ask(family: int) -> Iterator[Listener]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.sendto(
            _ASK.pack(_ASK.size, _BY_FAMILY, _DUMP, 0, 0, family, socket.IPPROTO_TCP, 0, 0, 1 << _LISTEN), (0, 0)
        )
        while True:
            answer = kernel.recv(1 << 16)
            start = 0
            while start < len(answer):
                length, kind, *_ = _HEADER.unpack_from(answer, start)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError("sock_diag is not to be had here")
                yield _listener(answer[start + _HEADER.size : start + length])
                start += length + 3 & ~3


def _listener(message: bytes) -> Listener:
    """Of a struct inet_diag_msg: family, 3 bytes, source port, port, source address ... inode at 68."""
    size = 4 if message[0] == socket.AF_INET else 16
    (port,) = struct.unpack_from(">H", message, 4)
    (inode,) = struct.unpack_from("=I", message, 68)
    return Listener(_plain(message[8 : 8 + size]), port, inode)


def _listed(path: str) -> Iterator[Listener]:
    """Of /proc/net/tcp: "0: 0100007F:36B1 00000000:0000 0A ... inode", addresses as words of the machine's order."""
    with contextlib.suppress(FileNotFoundError), open(path) as lines:
        next(lines)
        for line in lines:
            fields = line.split()
            if int(fields[3], 16) == _LISTEN:
                address, port = fields[1].split(":")
                words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
                yield Listener(_plain(struct.pack(f"={len(words)}I", *words)), int(port, 16), int(fields[9]))


def _plain(packed: bytes) -> IPv4Address | IPv6Address:
    address = ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address
