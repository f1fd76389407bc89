"""Where a site and its state live, the one writer of files, and the leases of ports.

The quick verbs import this and no settings: pydantic alone would take all of the time they may take.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import socket
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqsd.errors import TqsdError, UsageError

SETTINGS = Path("config/tqsd.yaml")
PAGES = Path("pages")
PORTS = range(14000, 27000)  # below the ephemeral ports, which outgoing connections take (ip_local_port_range)
_LEASES = ("/run/lock/tqsd-ports", "/tmp/tqsd-ports")


def find_site(start: Path) -> Path:
    """The nearest directory at or above `start` that is a site, resolved. Raises UsageError when there is none."""
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / SETTINGS).is_file() or (directory / PAGES).is_dir():
            return directory
    raise UsageError(
        f"no site at {start} or above it: a site has {SETTINGS} or a {PAGES}/ directory",
        "make one with `tqsd init mysite && cd mysite`, or name one with --site DIR",
    )


@dataclass(frozen=True, slots=True)
class Paths:
    """The four roots of a suite; their layout is the same for `tqsd dev` and for an installed suite."""

    etc: Path
    var: Path
    cache: Path
    run: Path

    @classmethod
    def dev(cls, site: Path) -> Paths:
        own = site / ".tqsd"
        return cls(etc=own / "etc", var=own / "var", cache=own / "cache", run=own / "run")

    @property
    def releases(self) -> Path:
        return self.var / "releases"

    @property
    def venvs(self) -> Path:
        return self.var / "venvs"

    @property
    def history(self) -> Path:
        return self.var / "history.jsonl"

    @property
    def log(self) -> Path:
        return self.var / "log" / "tqsd.jsonl"

    @property
    def credentials(self) -> Path:
        return self.run / "credentials"

    @property
    def table(self) -> Path:
        return self.run / "table.json"

    def state_of(self, slug: str) -> Path:
        return self.var / "state" / slug

    def cache_of(self, slug: str) -> Path:
        return self.cache / "pages" / slug

    def credentials_of(self, slug: str) -> Path:
        return self.credentials / slug

    def create(self) -> None:
        for path in (self.etc, self.var, self.cache, self.run):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `content` whole or not at all: a temporary file beside it, fsync, rename, fsync of the folder.

    Raises OSError; the old file stands then and no temporary one is left.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` outlive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")


def read_json(path: Path, format_version: int) -> dict[str, Any] | None:
    """The object in a state file, or None when there is none, it is damaged, or it has another format version."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("format") == format_version else None


class PortLeases:
    """Worker ports of this machine, each held by one suite at a time.

    A lease is a lock on the port's byte of one file shared by all suites (open file description locks, fcntl(2)):
    the kernel drops it when its owner ends, however it ends, so a lease can never be stale.
    """

    def __init__(self, file: Path | None = None, ports: range = PORTS) -> None:
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666) if file else _open_shared()
        self._ports = ports
        self._held: set[int] = set()

    def take(self) -> int:
        """A port that no suite leases and nobody listens on. Raises TqsdError when there is none."""
        start = random.randrange(len(self._ports))
        for offset in range(len(self._ports)):
            port = self._ports[(start + offset) % len(self._ports)]
            if port not in self._held and self.claim(port):
                if _is_free(port):
                    return port
                self.give_back(port)
        raise TqsdError(
            f"no free port for a worker between {self._ports.start} and {self._ports.stop - 1}",
            "see who listens there: ss -ltnp",
        )

    def claim(self, port: int) -> bool:
        """Lease this very port, as a suite does for workers that outlived its watcher; False if another holds it."""
        try:
            self._lock(fcntl.F_WRLCK, port)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        self._held.add(port)
        return True

    def give_back(self, port: int) -> None:
        if port in self._held:
            self._held.discard(port)
            self._lock(fcntl.F_UNLCK, port)

    def held(self) -> frozenset[int]:
        return frozenset(self._held)

    def close(self) -> None:
        self._held.clear()
        os.close(self._handle)

    def _lock(self, kind: int, port: int) -> None:
        # struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid (0 for open file description locks)
        fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, port, 1, 0))


def _open_shared() -> int:
    for name in _LEASES:
        with contextlib.suppress(OSError):
            return _open_for_all(name)
    raise TqsdError(f"cannot open a file for port leases, tried {' and '.join(_LEASES)}")


def _open_for_all(name: str) -> int:
    # Without O_CREAT first: fs.protected_regular refuses O_CREAT on another user's file in a sticky directory.
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(name, flags)
    except FileNotFoundError:
        handle = os.open(name, flags | os.O_CREAT, 0o666)
        with contextlib.suppress(OSError):
            os.fchmod(handle, 0o666)
        return handle


def _is_free(port: int) -> bool:
    return all(_binds(family, host, port) for family, host in _wildcards())


def _wildcards() -> Iterator[tuple[int, str]]:
    yield socket.AF_INET, "0.0.0.0"
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
        yield socket.AF_INET6, "::"


def _binds(family: int, host: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
