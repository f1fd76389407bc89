from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.crossing import Crossing
from tests.proxy.processes import Behaviour, Client, Clogged, Proxy, Watcher, Worker, says, tcp_listener
from tests.proxy.rig import plain_table, row


class Site:
    """Everything a test starts, ended with it: workers, a watcher, one proxy and its clients."""

    def __init__(self, run: Path, ending: ExitStack) -> None:
        self.run = run
        self._ending = ending
        self._version = 0

    def worker(self, behaviour: Behaviour | None = None, port: int = 0) -> Worker:
        worker = Worker(behaviour or says("hello"), port)
        self._ending.callback(worker.end)
        return worker

    def clogged(self) -> Clogged:
        clogged = Clogged()
        self._ending.callback(clogged.end)
        return clogged

    def watcher(self) -> Watcher:
        watcher = Watcher(self.run)
        self._ending.callback(watcher.end)
        return watcher

    def table(self, *rows: dict[str, Any], **server: Any) -> dict[str, Any]:
        """The next version of a table."""
        self._version += 1
        return plain_table(*rows, version=self._version, **server)

    def write(self, *rows: dict[str, Any], **server: Any) -> None:
        """Put a table where a proxy without a watcher finds it."""
        self.run.mkdir(parents=True, exist_ok=True)
        aside = self.run / "table.json.new"
        aside.write_text(json.dumps(self.table(*rows, **server)))
        aside.rename(self.run / "table.json")

    def start(self, *options: str, listening: socket.socket | None = None, **environment: str) -> Proxy:
        proxy = Proxy(self.run, listening or tcp_listener(), *options, **environment)
        self._ending.callback(proxy.end)
        return proxy

    def client(self, proxy: Proxy) -> Client:
        return self._ending.enter_context(proxy.connect())

    def serve(self, *workers: Worker, **server: Any) -> Proxy:
        """A proxy in front of these workers, all of one page."""
        self.write(row(ports=tuple(worker.port for worker in workers)), **server)
        return self.start()


@pytest.fixture
def crossing() -> Iterator[Crossing]:
    crossing = Crossing()
    yield crossing
    crossing.end()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as ending:
        yield Site(tmp_path / "run", ending)
