from __future__ import annotations

from tests.proxy.crossing import Crossing
from tests.proxy.rig import SERVER


def test_every_request_has_the_whole_patience_of_the_queue(crossing: Crossing) -> None:
    crossing.dispatch.hold(["index"])
    for _ in range(2):
        crossing.browser.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        crossing.client.readable()
        assert crossing.client.queue
        assert crossing.client.deadline == crossing.loop.now + SERVER["queue_timeout"]
        crossing.loop.now = crossing.client.deadline
        crossing.client.expired()
        assert crossing.browser.recv(1000).startswith(b"HTTP/1.1 503 ")
        assert not crossing.client.queue


def test_each_stage_of_a_request_has_its_own_deadline(crossing: Crossing) -> None:
    client, now = crossing.client, crossing.loop.now
    assert client.deadline == now + SERVER["head_timeout"]
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n12"
    crossing.browser.sendall(request[:-1])
    crossing.turn()
    assert client.deadline == now + SERVER["stream_timeout"]
    crossing.browser.sendall(request[-1:])
    client.readable()
    assert client.deadline == now + SERVER["response_timeout"]
    worker, _ = crossing.listening.accept()
    with worker:
        worker.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1")
        crossing.turn()
        assert client.deadline == now + SERVER["stream_timeout"]
        worker.sendall(b"2")
        crossing.turn()
    assert client.deadline == now + SERVER["idle_timeout"]
    crossing.browser.sendall(b"GET")
    client.readable()
    assert client.deadline == now + SERVER["head_timeout"]
    crossing.loop.now += 1
    crossing.browser.sendall(b" /")
    client.readable()
    assert client.deadline == now + SERVER["head_timeout"]


def test_a_client_that_is_gone_leaves_nothing_behind(crossing: Crossing) -> None:
    target = crossing.ask().target
    crossing.browser.close()
    crossing.client.readable()
    assert crossing.client.closed
    assert target.inflight == 0
    assert not target.idle
    assert crossing.dispatch.clients == 0
