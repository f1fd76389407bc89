from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tqsd.proxy.loop import HIGH, IN, NEVER, OUT, Connection, Loop


class Pipe(Connection):
    """A connection that keeps what it reads; `b"fail"` is a mistake of ours, `b"stop"` ends the loop."""

    def __init__(self, loop: Loop, stream: socket.socket) -> None:
        super().__init__(loop, stream.detach(), IN)
        self.got = b""
        self.is_written = False
        self.is_expired = False

    def readable(self) -> None:
        data = os.read(self.fd, 65536)
        self.got += data
        if data == b"fail":
            raise ZeroDivisionError
        if data == b"stop":
            self.loop.stop()

    def written(self) -> None:
        self.is_written = True

    def expired(self) -> None:
        self.is_expired = True
        self.deadline = NEVER


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    for source in loop.sources:
        if source is not None:
            source.close()
    loop.epoll.close()


def pair(loop: Loop) -> tuple[Pipe, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(20)
    return Pipe(loop, ours), theirs


def run(loop: Loop, stopping: socket.socket) -> None:
    stopping.sendall(b"stop")
    loop.run()


class Filling(Pipe):
    """A connection whose source puts more as soon as all is written, and ends it with the last."""

    chunks = 3

    def source(self) -> Filling:
        return self

    def unpause(self) -> None:
        if self.chunks:
            self.chunks -= 1
            self.put(b"x" * 10_000_000)
            if not self.chunks:
                self.finish()


def test_a_source_may_put_more_as_soon_as_there_is_room(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(20)
    filling = Filling(loop, ours)
    filling.put(b"x" * 10_000_000)
    received = 0
    while data := theirs.recv(1 << 20):
        received += len(data)
        filling.flush()
    assert received == 40_000_000
    theirs.close()


def test_timers_come_in_their_order(loop: Loop) -> None:
    called: list[int] = []
    loop.after(0.02, loop.stop)
    loop.after(0.01, lambda: called.append(3))
    loop.after(0.0, lambda: called.append(1))
    loop.after(0.0, lambda: called.append(2))
    loop.run()
    assert called == [1, 2, 3]


def test_a_mistake_ends_one_connection_and_not_the_loop(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    failing, first = pair(loop)
    working, second = pair(loop)
    with first, second:
        first.sendall(b"fail")
        run(loop, second)
        assert failing.closed
        assert not working.closed
        assert first.recv(10) == b""
    error = capfd.readouterr().err
    assert error.startswith("<3>internal error on a pipe")
    assert error.count("\n") == 1


def test_what_the_other_end_is_too_slow_for_is_written_later(loop: Loop) -> None:
    connection, other = pair(loop)
    content = os.urandom(3 << 20)
    with other:
        connection.put(content[:100])
        assert not connection.pending
        connection.put(content[100:])
        assert connection.pending
        assert connection.mask == IN | OUT
        connection.put(b"end")
        connection.finish()
        received = b""
        while not connection.is_written:
            received += other.recv(65536)
            connection.flush()
        while data := other.recv(65536):
            received += data
        assert received == content + b"end"
        assert connection.mask == IN


def test_the_source_of_too_much_is_not_read_until_it_is_written(loop: Loop) -> None:
    class Sided(Pipe):
        def source(self) -> Connection | None:
            return feeding

    feeding, _feeder = pair(loop)
    ours, other = socket.socketpair()
    ours.setblocking(False)
    slow = Sided(loop, ours)
    with other, _feeder:
        while len(slow.pending) <= HIGH:
            slow.put(b"x" * 65536)
        assert feeding.mask == 0
        while slow.pending:
            other.recv(1 << 20)
            slow.flush()
        assert feeding.mask == IN


def test_writing_to_an_end_that_is_gone_is_no_error(loop: Loop) -> None:
    connection, other = pair(loop)
    other.close()
    connection.put(b"x")
    connection.put(b"x")
    connection.finish()
    assert not connection.closed


def test_a_deadline_is_noticed_and_only_once(loop: Loop) -> None:
    connection, other = pair(loop)
    patient, second = pair(loop)
    with other, second:
        connection.deadline = loop.now + 0.01
        patient.deadline = loop.now + 1000
        loop.heed_deadlines()
        loop.after(1.5, loop.stop)
        loop.run()
        assert connection.is_expired
        assert not patient.is_expired
