from __future__ import annotations

import os
import re
import resource
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.proxy.conftest import Site
from tests.proxy.processes import Client, Connection, Proxy, Watcher, Worker, says, until
from tests.proxy.rig import row

pytestmark = pytest.mark.process

GOING_AWAY = b"\x88\x02\x03\xe9"


class Gate:
    """A behaviour that keeps requests until the test opens it, then answers `name`."""

    def __init__(self, name: str = "gated") -> None:
        self.name = name
        self.opened = threading.Event()
        self.waiting = 0
        self.left = 0

    def __call__(self, connection: Connection, head: bytes, content: bytes) -> None:
        self.waiting += 1
        self.opened.wait(20)
        connection.answer(self.name.encode())


def holding(site: Site, gate: Gate, **server: object) -> tuple[Proxy, Client]:
    """A proxy with one request in the hands of a worker that does not answer yet."""
    proxy = site.serve(site.worker(gate), **server)
    client = site.client(proxy)
    client.get()
    until(lambda: gate.waiting == 1, "the worker has the request")
    return proxy, client


# Starting


def test_a_proxy_without_a_watcher_serves_the_table_file(site: Site) -> None:
    worker = site.worker()
    client = site.client(site.serve(worker))
    assert client.ask() == (200, b"hello")
    assert client.ask() == (200, b"hello")
    assert worker.connections == 1
    assert b"X-Forwarded-For: 127.0.0.1" in worker.heads[0]


def test_a_proxy_without_a_table_lets_requests_wait_for_the_first(site: Site) -> None:
    watcher = site.watcher()
    proxy = site.start()
    assert watcher.welcome() == {"do": "hello", "pid": proxy.process.pid, "version": 0, "draining": []}
    client = site.client(proxy)
    client.get()
    watcher.tell("hold", pages=["index"])
    assert client.is_quiet()
    watcher.tell("apply", table=site.table(row(ports=(site.worker().port,))))
    assert client.answer() == (200, b"hello")


def test_the_table_of_the_watcher_goes_before_the_file(site: Site) -> None:
    old, new = site.worker(says("old")), site.worker(says("new"))
    watcher = site.watcher()
    site.write(row(ports=(old.port,)))
    client = site.client(site.start())
    watcher.welcome()
    watcher.tell("apply", table=site.table(row(ports=(new.port,))))
    assert client.ask() == (200, b"new")


def test_a_watcher_that_says_nothing_does_not_keep_a_proxy_from_serving(site: Site) -> None:
    watcher = site.watcher()
    client = site.client(site.serve(site.worker()))
    watcher.welcome()
    assert client.ask() == (200, b"hello")


def test_a_proxy_tells_the_service_manager_that_it_is_ready_before_it_has_a_table(site: Site, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        proxy = site.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(100) == b"READY=1"
        proxy.signal(signal.SIGTERM)
        assert proxy.ended() == 0


def test_a_proxy_needs_its_sockets(site: Site) -> None:
    proxy = site.start(LISTEN_FDNAMES="other")
    assert proxy.ended() == 1
    assert "LISTEN_FDS" in proxy.log()


def test_a_run_directory_may_have_a_long_name(site: Site) -> None:
    site.run = site.run / ("x" * 120)
    watcher = site.watcher()
    site.start()
    assert watcher.welcome()["do"] == "hello"


def test_a_running_proxy_imports_nothing_heavy(site: Site) -> None:
    site.write(row(ports=(site.worker().port,)))
    proxy = site.start("-X", "importtime")
    assert site.client(proxy).ask()[0] == 200
    proxy.signal(signal.SIGTERM)
    proxy.ended()
    imported = set(re.findall(r"\| +([a-z_A-Z0-9.]+)$", proxy.log(), re.MULTILINE))
    assert "tqsd.proxy.dispatch" in imported
    heavy = {"yaml", "pydantic", "jinja2", "dbus_fast", "asyncio", "click", "rich", "tqsd.config", "tqsd.page"}
    assert not {name for name in imported if name in heavy or name.partition(".")[0] in heavy}


# The watcher


def test_a_hold_keeps_requests_until_the_next_table(site: Site) -> None:
    old, new = site.worker(says("old")), site.worker(says("new"))
    watcher = site.watcher()
    proxy = site.start()
    client = site.client(proxy)
    watcher.welcome()
    watcher.tell("apply", table=site.table(row(ports=(old.port,)), row("other", "/other", ports=(old.port,))))
    watcher.tell("hold", pages=["index"])
    client.get()
    assert site.client(proxy).ask("/other") == (200, b"old")
    assert client.is_quiet()
    heard = watcher.tell("apply", table=site.table(row(ports=(new.port,))))
    assert client.answer() == (200, b"new")
    assert heard == [{"do": "drained", "port": old.port}]


def test_a_hold_may_be_taken_back(site: Site) -> None:
    watcher = site.watcher()
    client = site.client(site.start())
    watcher.welcome()
    watcher.tell("apply", table=site.table(row(ports=(site.worker().port,))))
    watcher.tell("hold", pages=["index", "unknown"])
    client.get()
    watcher.tell("unhold", pages=["index"])
    assert client.answer() == (200, b"hello")


def test_losing_the_watcher_releases_holds_and_the_proxy_comes_back(site: Site) -> None:
    gate = Gate("old")
    old, new = site.worker(gate), site.worker(says("new"))
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    first = site.client(proxy)
    watcher.tell("apply", table=site.table(row(ports=(old.port,))))
    first.get()
    until(lambda: gate.waiting, "the old worker has a request")
    assert watcher.tell("apply", table=site.table(row(ports=(new.port,)))) == []
    watcher.tell("hold", pages=["index"])
    second = site.client(proxy)
    second.get()
    assert second.is_quiet()
    watcher.leave()
    assert second.answer() == (200, b"new")
    assert watcher.welcome() == {"do": "hello", "pid": proxy.process.pid, "version": 2, "draining": [old.port]}
    gate.opened.set()
    assert first.answer() == (200, b"old")
    assert watcher.hear() == {"do": "drained", "port": old.port}


def test_a_table_that_cannot_be_read_changes_nothing(site: Site) -> None:
    watcher = site.watcher()
    proxy = site.start()
    client = site.client(proxy)
    watcher.welcome()
    watcher.tell("apply", table=site.table(row(ports=(site.worker().port,))))
    for broken in ({}, {"format": 2}, {**site.table(), "routes": [{"page": "x"}]}, {**site.table(), "server": {}}):
        watcher.say("apply", table=broken)
    watcher.say("nonsense")
    watcher.tell("unhold", pages=[])
    assert proxy.log().count("<3>") == 4
    assert client.ask() == (200, b"hello")


def test_requests_that_wait_for_a_removed_page_ask_the_new_table(site: Site) -> None:
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=site.table(row("a", "/a", ports=(), state="starting")))
    kept, lost = site.client(proxy), site.client(proxy)
    kept.get("/a/b")
    lost.get("/a")
    until(lambda: proxy.report()["clients"] == 2, "both clients are there")
    watcher.tell("apply", table=site.table(row("b", "/a/b", ports=(site.worker().port,))))
    assert kept.answer() == (200, b"hello")
    assert lost.answer()[0] == 404


def test_the_states_of_a_page_without_workers(site: Site) -> None:
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    broken = row(ports=(), state="broken", reason="main.go:1: <oops>")
    watcher.tell("apply", table=site.table(row(ports=(), state="starting")))
    waiting = site.client(proxy)
    waiting.get()
    assert waiting.is_quiet()
    watcher.tell("apply", table=site.table(broken))
    status, content = waiting.answer()
    assert (status, b"main.go:1: <oops>" in content) == (503, True)
    assert waiting.ask()[0] == 503
    watcher.tell("apply", table=site.table(broken, mode="prod"))
    status, content = waiting.ask()
    assert (status, b"Reference: main.go" in content) == (503, True)
    watcher.tell("apply", table=site.table({**broken, "targets": [{"port": site.worker().port, "release": "r"}]}))
    assert waiting.ask() == (200, b"hello")


def test_a_target_that_comes_back_drains_no_more(site: Site) -> None:
    gate = Gate()
    first, second = row(ports=(site.worker(gate).port,)), row(ports=(site.worker().port,))
    watcher = site.watcher()
    client = site.client(site.start())
    watcher.welcome()
    watcher.tell("apply", table=site.table(first))
    client.get()
    until(lambda: gate.waiting, "the worker has the request")
    watcher.tell("apply", table=site.table(second))
    watcher.tell("apply", table=site.table(first))
    gate.opened.set()
    assert client.answer() == (200, b"gated")
    assert client.ask() == (200, b"gated")
    assert watcher.tell("unhold", pages=[]) == []


def test_what_is_in_flight_on_a_draining_worker_can_be_ended(site: Site) -> None:
    def behave(connection: Connection, head: bytes, content: bytes) -> None:
        if b"/ws" in head:
            connection.send(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi")
        elif b"/half" in head:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        connection.ended()

    old = site.worker(behave)
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=site.table(row(ports=(old.port,))))
    socket_client, half, silent = (site.client(proxy) for _ in range(3))
    fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    socket_client.get("/ws", fields)
    half.get("/half")
    silent.get("/silent")
    socket_client.read_until(b"hi")
    half.read_until(b"half")
    until(lambda: len(old.heads) == 3, "all requests are there")
    watcher.tell("apply", table=site.table(row(ports=(site.worker().port,))))
    heard = watcher.tell("close", ports=[old.port])
    assert socket_client.rest().endswith(b"\x81\x02hi" + GOING_AWAY)
    assert silent.answer()[0] == 503
    with pytest.raises(ConnectionResetError):
        half.rest()
    assert heard == [{"do": "drained", "port": old.port}]


# Workers that come and go


def test_a_get_survives_a_worker_that_drops_it(site: Site) -> None:
    def drop_once(connection: Connection, head: bytes, content: bytes) -> None:
        if len(worker.heads) == 1:
            connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            connection.answer(b"again")

    worker = site.worker(drop_once)
    proxy = site.serve(worker)
    assert site.client(proxy).ask() == (200, b"again")
    assert len(worker.heads) == 2
    assert proxy.report()["resent"] == 1


def test_requests_wait_while_nobody_listens_and_none_is_lost(site: Site) -> None:
    worker = Worker(says("first"))
    proxy = site.serve(worker)
    clients = [site.client(proxy) for _ in range(5)]
    for client in clients:
        assert client.ask() == (200, b"first")
    worker.end()
    for client in clients[:3]:
        client.get()
    for client in clients[3:]:
        client.post(b"content")
    until(lambda: proxy.report()["in_flight"] == 0, "no request has a worker")
    site.worker(says("second"), worker.port)
    assert {client.answer() for client in clients} == {(200, b"second")}
    report = proxy.report()
    assert report["waited"] >= 5
    assert report["wait_max_ms"] >= report["wait_p99_ms"] > 0


def test_a_dead_worker_is_passed_over(site: Site) -> None:
    dead, alive = Worker(says("dead")), site.worker(says("alive"))
    dead.end()
    client = site.client(site.serve(dead, alive))
    assert [client.ask() for _ in range(6)] == [(200, b"alive")] * 6


def test_a_worker_that_does_not_accept_is_passed_over(site: Site) -> None:
    clogged, alive = site.clogged(), site.worker(says("alive"))
    site.write(row(ports=(clogged.port, alive.port)), connect_timeout=0.1)
    client = site.client(site.start())
    for _ in range(2):
        assert client.ask() == (200, b"alive")
        client.post(b"content")
        assert client.answer() == (200, b"alive")


def test_a_connection_that_takes_its_time_is_waited_for(site: Site) -> None:
    clogged = site.clogged()
    site.write(row(ports=(clogged.port,)), connect_timeout=20)
    proxy = site.start()
    client = site.client(proxy)
    client.post(b"x" * 200000)
    until(lambda: proxy.report()["in_flight"] == 1, "the proxy tries to connect")
    connection = clogged.accept()
    connection.answer(b"late")
    assert client.answer() == (200, b"late")
    connection.socket.close()


def test_a_refused_connection_makes_the_proxy_read_the_table_again(site: Site) -> None:
    old, new = Worker(says("old")), site.worker(says("new"))
    proxy = site.serve(old)
    client = site.client(proxy)
    assert client.ask() == (200, b"old")
    old.end()
    site.write(row(ports=(new.port,)))
    assert client.ask() == (200, b"new")


def test_a_post_that_reached_a_worker_is_not_sent_twice(site: Site) -> None:
    def die(connection: Connection, head: bytes, content: bytes) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)

    dying, other = site.worker(die), site.worker()
    client = site.client(site.serve(dying))
    client.post(b"content")
    assert client.answer()[0] == 502
    assert len(dying.heads) == 1
    assert not other.heads


def test_an_unused_connection_that_the_worker_closes_does_no_harm(site: Site) -> None:
    closed: list[bytes] = []

    def once(connection: Connection, head: bytes, content: bytes) -> None:
        connection.answer(b"once")
        connection.socket.shutdown(socket.SHUT_WR)
        connection.ended()
        closed.append(head)

    worker = site.worker(once)
    client = site.client(site.serve(worker))
    for _ in range(10):
        assert client.ask() == (200, b"once")  # the end may cross the next request, which then is sent again
    for _ in range(5):
        until(lambda: len(closed) == worker.connections, "every connection is closed on both sides")
        client.post(b"content")
        assert client.answer() == (200, b"once")


# Queues


def test_beyond_the_concurrency_requests_wait_for_their_turn(site: Site) -> None:
    gate = Gate()
    worker = site.worker(gate)
    site.write(row(ports=(worker.port,), concurrency=1), queue_length=2)
    proxy = site.start()
    clients = []
    for count in range(4):
        clients.append(site.client(proxy))
        clients[count].get()
        until(lambda count=count: proxy.report()["waiting"] == min(count, 2), "the request is there")
    status, _ = clients[3].answer()
    assert status == 503
    assert b"Retry-After: 1" in clients[3].head
    clients[1].close()
    until(lambda: proxy.report()["waiting"] == 1, "the client that left is noticed")
    gate.opened.set()
    assert clients[0].answer() == (200, b"gated")
    assert clients[2].answer() == (200, b"gated")
    assert len(worker.heads) == 2


def test_the_worker_with_the_least_to_do_gets_the_request(site: Site) -> None:
    gate = Gate()
    busy, free = site.worker(gate), site.worker(says("free"))
    proxy = site.serve(busy, free)
    first = site.client(proxy)
    while not gate.waiting:
        first.get()
        until(lambda: gate.waiting or not first.is_quiet(), "somebody has it")
        if not gate.waiting:
            first.answer()
    second = site.client(proxy)
    assert [second.ask() for _ in range(5)] == [(200, b"free")] * 5
    gate.opened.set()
    first.answer()


def test_waiting_has_an_end(site: Site) -> None:
    dead = Worker(says("dead"))
    dead.end()
    client = site.client(site.serve(dead, queue_timeout=0.2))
    status, _ = client.ask()
    assert status == 503
    assert b"Retry-After:" in client.head


# Clients


def test_a_client_that_leaves_is_felt_by_its_worker(site: Site) -> None:
    felt = threading.Event()

    def feel(connection: Connection, head: bytes, content: bytes) -> None:
        if connection.ended():
            felt.set()

    worker = site.worker(feel)
    client = site.client(site.serve(worker))
    client.get()
    until(lambda: worker.heads, "the worker has the request")
    client.close()
    assert felt.wait(20)


def test_a_client_that_half_closes_after_its_last_request_gets_its_answer(site: Site) -> None:
    gate = Gate()
    client = site.client(site.serve(site.worker(gate)))
    client.get("/", "Connection: close\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    until(lambda: gate.waiting, "the worker has the request")
    gate.opened.set()
    assert client.answer() == (200, b"gated")
    assert client.rest() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET / HT", 408), (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 408), (b"", None)],
)
def test_a_request_that_does_not_come_is_not_waited_for(site: Site, sent: bytes, status: int | None) -> None:
    proxy = site.serve(site.worker(), head_timeout=0.2, stream_timeout=0.2, response_timeout=0.2)
    client = site.client(proxy)
    client.send(sent)
    if status:
        assert client.answer()[0] == status
    assert client.rest() == b""


def test_an_unused_connection_is_closed_in_the_end(site: Site) -> None:
    client = site.client(site.serve(site.worker(), idle_timeout=0.2))
    assert client.ask() == (200, b"hello")
    assert client.rest() == b""


def test_an_answer_that_does_not_come_is_not_waited_for(site: Site) -> None:
    _, client = holding(site, gate := Gate(), response_timeout=0.2)
    assert client.answer()[0] == 504
    gate.opened.set()


def test_a_refusal_arrives_though_the_client_still_sends(site: Site) -> None:
    site.write(row(ports=(site.worker().port,), max_body=10))
    proxy = site.start()
    client = site.client(proxy)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3000000)
    assert client.answer()[0] == 413
    assert client.rest() == b""


def test_no_more_clients_are_accepted_than_the_limit_allows(site: Site) -> None:
    proxy = site.serve(site.worker(), max_connections=2)
    clients = [site.client(proxy) for _ in range(3)]
    assert clients[0].ask() == (200, b"hello")
    assert clients[1].ask() == (200, b"hello")
    clients[2].get()
    assert proxy.report()["clients"] == 2
    assert clients[2].is_quiet()
    clients[0].close()
    assert clients[2].answer() == (200, b"hello")


def test_a_proxy_out_of_descriptors_goes_on_when_there_are_some_again(site: Site) -> None:
    proxy = site.serve(site.worker())
    assert site.client(proxy).ask() == (200, b"hello")
    used = len(os.listdir(f"/proc/{proxy.process.pid}/fd"))
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (used + 3, used + 3))
    clients = [site.client(proxy) for _ in range(6)]
    proxy.saw("cannot accept connections")
    for client in clients[:5]:
        client.close()
    assert clients[5].ask() == (200, b"hello")


def test_a_client_on_a_unix_socket_is_believed(site: Site, tmp_path: Path) -> None:
    worker = site.worker()
    site.write(row(ports=(worker.port,)))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "http.sock"))
    listening.listen()
    client = site.client(site.start(listening=listening))
    client.get("/", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n")
    assert client.answer() == (200, b"hello")
    assert b"\r\nX-Forwarded-For: 192.0.2.7\r\n" in worker.heads[0]
    assert b"\r\nX-Forwarded-Proto: https\r\n" in worker.heads[0]


# Content


def test_long_content_passes_both_ways_at_once(site: Site) -> None:
    size = 8 << 20

    def echo(connection: Connection, head: bytes, content: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        passed = 0
        while passed < size:
            if not connection.buffer:
                connection.more()
            data, connection.buffer = connection.buffer, b""
            passed += len(data)
            connection.send(b"%x\r\n%b\r\n" % (len(data), data))
        connection.send(b"0\r\n\r\n")

    worker = site.worker(echo)
    client = site.client(site.serve(worker))
    content = os.urandom(1 << 16) * (size >> 16)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nX-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % size
    sender = threading.Thread(target=client.send, args=(head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, content),))
    sender.start()
    client.read_until(b"0\r\n\r\n")
    sender.join()


def test_a_client_that_does_not_read_stops_its_worker(site: Site) -> None:
    sent = [0]
    stopped = threading.Event()

    def pour(connection: Connection, head: bytes, content: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        connection.socket.settimeout(0.5)
        try:
            while sent[0] < 200000000:
                sent[0] += connection.socket.send(b"x" * 100000)
        except TimeoutError:
            stopped.set()

    proxy = site.serve(site.worker(pour))
    client = site.client(proxy)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.get()
    assert stopped.wait(20)
    assert sent[0] < 40000000


def test_events_arrive_one_by_one(site: Site) -> None:
    go_on = threading.Event()

    def stream(connection: Connection, head: bytes, content: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        go_on.wait(20)
        connection.send(b"data: 2\n\n")
        connection.socket.shutdown(socket.SHUT_WR)

    client = site.client(site.serve(site.worker(stream)))
    client.get()
    client.read_until(b"data: 1\n\n")
    go_on.set()
    assert client.rest().endswith(b"data: 1\n\ndata: 2\n\n")


def test_a_websocket_crosses_the_proxy_and_half_closes(site: Site) -> None:
    def echo(connection: Connection, head: bytes, content: bytes) -> None:
        connection.send(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while connection.more():
            connection.send(b"\x81" + bytes([len(connection.buffer)]) + connection.buffer)
            connection.buffer = b""
        connection.send(b"\x81\x03bye")
        connection.socket.shutdown(socket.SHUT_WR)

    client = site.client(site.serve(site.worker(echo)))
    client.get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n")
    client.read_until(b"\r\n\r\n")
    client.send(b"ping")
    client.read_until(b"\x81\x04ping")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest().endswith(b"\x81\x04ping\x81\x03bye")


# Ending


def test_an_ending_proxy_finishes_what_it_has_and_says_close(site: Site) -> None:
    proxy, client = holding(site, gate := Gate())
    idle = site.client(proxy)
    idle.socket.settimeout(20)
    until(lambda: proxy.report()["clients"] == 2, "both clients are there")
    proxy.signal(signal.SIGTERM)
    proxy.saw("ending")
    gate.opened.set()
    assert client.answer() == (200, b"gated")
    assert b"Connection: close" in client.head
    assert client.rest() == b""
    assert idle.rest() == b""
    assert proxy.ended() == 0


def test_a_request_that_reaches_an_ending_proxy_on_an_open_connection_is_answered(site: Site) -> None:
    proxy = site.serve(site.worker())
    client = site.client(proxy)
    assert client.ask() == (200, b"hello")
    proxy.signal(signal.SIGTERM)
    proxy.saw("ending")
    assert client.ask() == (200, b"hello")
    assert b"Connection: close" in client.head
    assert proxy.ended() == 0


def test_an_ending_proxy_leaves_new_connections_to_others(site: Site) -> None:
    proxy, client = holding(site, gate := Gate())
    proxy.signal(signal.SIGTERM)
    proxy.saw("ending")
    late = site.client(proxy)
    late.get()
    gate.opened.set()
    assert client.answer() == (200, b"gated")
    assert proxy.ended() == 0
    assert late.is_quiet()
    successor = Proxy(site.run / "second", proxy.listening.dup())
    (site.run / "second" / "table.json").write_bytes((site.run / "table.json").read_bytes())
    try:
        assert late.answer() == (200, b"gated")
    finally:
        successor.end()


def test_draining_has_an_end(site: Site) -> None:
    proxy, client = holding(site, gate := Gate(), drain_timeout=0.2)
    proxy.signal(signal.SIGTERM)
    assert client.answer()[0] == 503
    assert proxy.ended() == 0
    gate.opened.set()


def test_a_second_signal_ends_at_once(site: Site) -> None:
    proxy, client = holding(site, gate := Gate())
    proxy.signal(signal.SIGTERM)
    proxy.saw("ending")
    proxy.signal(signal.SIGINT)
    assert proxy.ended() == 0
    assert client.rest() == b""
    gate.opened.set()


# Under load


@pytest.mark.load
def test_no_request_is_lost_while_tables_change(site: Site) -> None:
    workers = [site.worker(says(f"worker {number}")) for number in range(3)]
    watcher: Watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=site.table(row(ports=(workers[0].port,))))
    failures: list[object] = []
    counts = [0] * 12
    over = threading.Event()

    def load(number: int) -> None:
        with proxy.connect() as client:
            while not over.is_set():
                try:
                    status, content = client.ask()
                except (OSError, EOFError) as error:
                    failures.append(error)
                    return
                if status != 200 or not content.startswith(b"worker "):
                    failures.append((status, content))
                counts[number] += 1

    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    for turn in range(40):
        until(lambda turn=turn: min(counts) > turn * 3 or failures, "everybody is served")
        watcher.tell("hold", pages=["index"])
        heard = watcher.tell("apply", table=site.table(row(ports=(workers[(turn + 1) % 3].port,))))
        while {"do": "drained", "port": workers[turn % 3].port} not in heard:
            heard.append(watcher.hear())
    over.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert proxy.report()["waited"] > 0
