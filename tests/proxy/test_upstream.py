from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.proxy.rig import plain_table, row
from tqsd.http1.forward import Peer
from tqsd.proxy.client import Client
from tqsd.proxy.dispatch import Dispatch
from tqsd.proxy.loop import Loop
from tqsd.proxy.table import Table
from tqsd.proxy.upstream import Upstream

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Crossing:
    """A client and a worker around a dispatch whose loop the test turns by hand."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.loop = Loop()
        port = self.listening.getsockname()[1]
        self.dispatch = Dispatch(self.loop, Table.from_plain(plain_table(row(ports=(port,)))), b"id-")
        ours, self.browser = socket.socketpair()
        ours.setblocking(False)
        self.client = Client(self.dispatch, ours.detach(), Peer.STRANGER, b"192.0.2.1")

    def ask(self, method: bytes = b"GET") -> Upstream:
        self.browser.sendall(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.client.readable()
        assert self.client.upstream
        return self.client.upstream

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


@pytest.fixture
def crossing() -> Iterator[Crossing]:
    crossing = Crossing()
    yield crossing
    crossing.end()


def test_a_connection_is_kept_for_the_next_request(crossing: Crossing) -> None:
    first = crossing.ask()
    worker, _ = crossing.listening.accept()
    with worker:
        crossing.answer(worker)
        assert first.target.idle == [first]
        assert crossing.ask() is first


def test_a_connection_unused_for_long_is_closed_but_never_one_in_use(crossing: Crossing) -> None:
    upstream = crossing.ask()
    worker, _ = crossing.listening.accept()
    with worker:
        crossing.answer(worker)
        crossing.ask()
        crossing.loop.now += 1000
        upstream.expired()
        assert not upstream.closed
        crossing.answer(worker)
        crossing.loop.now += 1000
        upstream.expired()
        assert upstream.closed
        assert not upstream.target.idle


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
def test_what_must_not_be_sent_twice_goes_over_a_connection_that_is_surely_open(
    crossing: Crossing, method: bytes
) -> None:
    first = crossing.ask()
    worker, _ = crossing.listening.accept()
    with worker:
        crossing.answer(worker)
        assert crossing.ask(method) is first
        crossing.answer(worker)
        crossing.loop.now += 2
        second = crossing.ask(method)
        assert second is not first
        other, _ = crossing.listening.accept()
        with other:
            crossing.answer(other)
            other.shutdown(socket.SHUT_WR)
            assert crossing.ask(method) not in (first, second)
            assert second.closed


def test_an_unused_connection_that_talks_or_ends_is_closed(crossing: Crossing) -> None:
    upstream = crossing.ask()
    worker, _ = crossing.listening.accept()
    with worker:
        crossing.answer(worker)
        worker.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        upstream.readable()
        assert upstream.closed
        assert not upstream.target.idle
        assert upstream.target.inflight == 0
