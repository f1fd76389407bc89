"""What proxy tests are made of: a table, sinks that are lists, and the parts of one real exchange."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tqsd.http1.forward import Peer
from tqsd.proxy.balancer import Balancer
from tqsd.proxy.exchange import Exchange
from tqsd.proxy.intake import Intake
from tqsd.proxy.state import Step
from tqsd.proxy.table import Table

SERVER: dict[str, Any] = {
    "head_timeout": 10,
    "idle_timeout": 150,
    "connect_timeout": 1,
    "response_timeout": 60,
    "stream_timeout": 300,
    "queue_timeout": 30,
    "queue_length": 1024,
    "first_build_timeout": 120,
    "drain_timeout": 30,
    "max_head": 32768,
    "max_target": 8192,
    "max_connections": 10000,
    "trusted_proxies": [],
}


def row(page: str = "index", route: str = "/", ports: tuple[int, ...] = (14001,), **changes: Any) -> dict[str, Any]:
    """One page of a table."""
    return {
        "page": page,
        "route": route,
        "methods": [],
        "hosts": [],
        "strip_prefix": False,
        "max_body": None,
        "concurrency": 256,
        "files": "",
        "state": "serving",
        "reason": "",
        "targets": [{"port": port, "release": f"r{port}"} for port in ports],
        **changes,
    }


def plain_table(*rows: dict[str, Any], version: int = 1, mode: str = "dev", **server: Any) -> dict[str, Any]:
    """A table as the watcher sends it."""
    return {
        "format": 1,
        "version": version,
        "mode": mode,
        "server": {**SERVER, **server},
        "not_found": None,
        "routes": list(rows) or [row()],
    }


class ListSink:
    """A side of an exchange that keeps what it is given."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.finished = False

    def put(self, data: bytes, /) -> None:
        self.parts.append(data)

    def finish(self) -> None:
        self.finished = True

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


class Sides:
    """An exchange between two list sinks, given the worker as soon as it asks for one.

    `step` is the last step that was not MORE; whole inputs may be fed in pieces of any size.
    """

    def __init__(self, *rows: dict[str, Any], peer: Peer = Peer.STRANGER, size: int = 0, **server: Any) -> None:
        table = Table.from_plain(plain_table(*rows, **server))
        self.balancer = Balancer()
        self.balancer.apply(table)
        self.intake = Intake(self.balancer, table, b"id-")
        self.client = ListSink()
        self.worker = ListSink()
        address = b"" if peer is Peer.LOCAL else b"192.0.2.1"
        self.exchange = Exchange(self.client, self.intake, peer, address)
        self.step = Step.MORE
        self._size = size

    def ask(self, data: bytes, attach: bool = True) -> Step:
        """The client sends; a request that came is given to the worker."""
        for piece in self._pieces(data):
            self._take(self.exchange.from_client(piece), attach)
        return self.step

    def answer(self, data: bytes, attach: bool = True) -> Step:
        """The worker sends."""
        for piece in self._pieces(data):
            self._take(self.exchange.from_worker(piece), attach)
        return self.step

    def _take(self, step: Step, attach: bool) -> None:
        while step is not Step.MORE:
            self.step = step
            if step is Step.ROUTE and attach:
                step = self.exchange.attach(self.worker)
            elif step is Step.DONE:
                step = self.exchange.resume()
            else:
                break

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        size = self._size or len(data) or 1
        return (data[at : at + size] for at in range(0, len(data), size))
