from __future__ import annotations

import socket

import pytest

from tests.proxy.crossing import Crossing


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
