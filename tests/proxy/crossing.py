"""A client and a worker around a dispatch whose loop, and clock, the test turns by hand."""

from __future__ import annotations

import select
import socket

from tests.proxy.rig import plain_table, row
from tqsd.http1.forward import Peer
from tqsd.proxy.client import Client
from tqsd.proxy.dispatch import Dispatch
from tqsd.proxy.loop import Loop
from tqsd.proxy.table import Table
from tqsd.proxy.upstream import Upstream

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Crossing:
    """`listening` is the worker's port, `browser` the client's end of its connection."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(20)
        self.loop = Loop()
        port = self.listening.getsockname()[1]
        self.dispatch = Dispatch(self.loop, Table.from_plain(plain_table(row(ports=(port,)))), b"id-")
        ours, self.browser = socket.socketpair()
        ours.setblocking(False)
        self.browser.settimeout(20)
        self.client = Client(self.dispatch, ours.detach(), Peer.STRANGER, b"192.0.2.1")

    def ask(self, method: bytes = b"GET") -> Upstream:
        self.browser.sendall(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.client.readable()
        upstream = self.client.upstream
        assert upstream
        while upstream.connecting:
            select.select([], [upstream.fd], [])
            upstream.flush()
        return upstream

    def turn(self) -> None:
        """Let the client's connection, or its worker's if there is one, read what has come."""
        if self.client.upstream is None:
            self.client.readable()
            return
        self.client.upstream.readable()

    def answer(self, worker: socket.socket) -> None:
        worker.sendall(ANSWER)
        assert self.client.upstream
        self.client.upstream.readable()
        assert self.browser.recv(1000) == ANSWER

    def end(self) -> None:
        for source in self.loop.sources:
            if source is not None:
                source.close()
        self.loop.epoll.close()
        self.browser.close()
        self.listening.close()
