"""Small real sites of Go pages, and what builds and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqsd.builder.go import GoBuilder
from tqsd.config import BuildSettings, PageSettings
from tqsd.page import Page, Runtime, route_of
from tqsd.release import Release
from tqsd.state import PortLeases
from tqsd.store import Store

_LEASES = PortLeases()
PATIENCE = 60.0  # seconds; only ever waited in full when something is broken
MODULE = "module site\n\ngo 1.21\n"
PLAIN = """package main

import (
	"net/http"
	"os"
)

func main() {
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
"""
QUIET = 'package main\n\nfunc main() { println("first") }\n'
WEB = "package web\n\nfunc Name() string { return %s }\n"
USES_WEB = 'package main\n\nimport "site/internal/web"\n\nfunc main() { println(web.Name()) }\n'


class Site:
    """A site in a directory, its store and its builder."""

    def __init__(self, root: Path, files: dict[str, str], module: str = MODULE) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.store = Store(root / ".tqsd" / "releases")
        if module:
            files = {"go.mod": module, **files}
        for name, text in files.items():
            self.write(name, text)
        self.builder = self.new_builder()

    def new_builder(self) -> GoBuilder:
        """A builder that remembers nothing, as after a restart."""
        return GoBuilder(self.root, self.store, self.root / ".tqsd" / "cache")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def page(self, name: str, **build: object) -> Page:
        directory = (self.root / "pages" / name).resolve()
        return Page(name, directory, route_of(name), Runtime.GO, PageSettings(build=BuildSettings(**build)))  # type: ignore[arg-type]

    def build(self, page: str | Page) -> Release:
        return asyncio.run(self.builder.build(self.page(page) if isinstance(page, str) else page))

    def left_over(self) -> list[Path]:
        return list((self.root / ".tqsd" / "releases").glob("*/.new-*"))


def output_of(release: Release, cwd: Path | None = None) -> str:
    """What a release that ends by itself prints."""
    ran = subprocess.run([release.executable], capture_output=True, text=True, check=True, timeout=PATIENCE, cwd=cwd)
    return (ran.stdout + ran.stderr).strip()


def until(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds; fails when it never does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def free_port() -> int:
    """A port that is this test run's alone."""
    return _LEASES.take()


class Notified:
    """A service manager's socket: the messages that one process sent."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(PATIENCE)

    def next(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def nothing_waits(self) -> bool:
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)


@contextlib.contextmanager
def running(release: Release, notified: Notified, port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the release, killed at the end of the block."""
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "TQS_PORT": str(port),
        "NOTIFY_SOCKET": notified.address,
        **variables,
    }
    process = subprocess.Popen([release.executable], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
