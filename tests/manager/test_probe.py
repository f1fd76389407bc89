"""What makes a worker ready that does not tell, held against real processes on real ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from tests.builder.sites import free_port, until
from tqsd.manager.listeners import Listener, _listed, listeners, reached, sockets_of
from tqsd.manager.probe import Probe

pytestmark = pytest.mark.process

BEGIN = "import os, signal, socket, sys, time\nport = int(sys.argv[1])\n"
LISTENS = BEGIN + "s = socket.create_server(('127.0.0.1', port))\n"
HTTP = """
def serve(answer):
    while True:
        connection, _ = s.accept()
        head = b""
        while b"\\r\\n\\r\\n" not in head:
            more = connection.recv(4096)
            if not more:
                break
            head += more
        connection.sendall(answer(head.split(b" ")[1].decode()))
        connection.close()
"""
ANSWERS = LISTENS + HTTP + "serve(lambda path: sys.argv[2].replace('PATH', path).encode())\n"
SILENT = LISTENS + "signal.pause()\n"
FORKS = BEGIN + "if os.fork():\n    signal.pause()\ns = socket.create_server(('127.0.0.1', port))\nsignal.pause()\n"
LATE = BEGIN + "sys.stdin.readline()\ns = socket.create_server(('127.0.0.1', port))\nsignal.pause()\n"
NOTHING = "import signal\nsignal.pause()\n"


@contextlib.contextmanager
def program(source: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", source, *map(str, words)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()


def ready(process: subprocess.Popen[bytes], port: int, health: str = "none") -> str:
    """The address the probe finds; fails with what it misses."""

    async def ask() -> str:
        said: list[str] = []
        async with asyncio.timeout(60):
            probing = asyncio.create_task(Probe(process.pid, port, health).ready(said.append))
            return await probing

    return asyncio.run(ask())


def problem(process: subprocess.Popen[bytes], port: int, health: str = "none") -> str:
    """The first thing that the probe misses; fails when it misses nothing."""

    async def ask() -> str:
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        probing = asyncio.create_task(Probe(process.pid, port, health).ready(said.set_result))
        async with asyncio.timeout(60):
            await asyncio.wait([probing, said], return_when=asyncio.FIRST_COMPLETED)
        assert not probing.done(), probing.result()
        probing.cancel()
        return await said

    return asyncio.run(ask())


def listens(port: int) -> Callable[[], bool]:
    return lambda: any(listener.port == port for listener in listeners())


def test_a_worker_is_ready_when_it_listens_on_its_port() -> None:
    port = free_port()
    with program(SILENT, port) as process:
        assert ready(process, port) == f"127.0.0.1:{port}"


def test_it_is_found_when_it_begins_to_listen_late() -> None:
    port = free_port()
    with program(LATE, port) as process:
        assert problem(process, port) == "listens on no port yet"
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert ready(process, port) == f"127.0.0.1:{port}"


def test_a_listener_of_a_child_counts() -> None:
    port = free_port()
    with program(FORKS, port) as process:
        assert ready(process, port) == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("address", "found"),
    [("0.0.0.0", "0.0.0.0:{port}"), ("::", "[::]:{port}"), ("::ffff:127.0.0.1", "127.0.0.1:{port}")],
)
@pytest.mark.parametrize("health", ["none", "tcp"])
def test_other_addresses_that_loopback_reaches_are_told_as_they_are(address: str, found: str, health: str) -> None:
    port = free_port()
    family = "socket.AF_INET6" if ":" in address else "socket.AF_INET"
    source = BEGIN + f"s = socket.socket({family})\ns.bind(({address!r}, port))\ns.listen()\nsignal.pause()\n"
    with program(source, port) as process:
        assert ready(process, port, health) == found.format(port=port)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("::1", "listens on [::1]:{port}, not on 127.0.0.1:{port}"),
        ("::", "listens for IPv6 only, not on 127.0.0.1:{port}"),
    ],
)
def test_listening_where_loopback_does_not_reach_is_told(address: str, said: str) -> None:
    port = free_port()
    source = BEGIN + (
        "s = socket.socket(socket.AF_INET6)\ns.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
        f"s.bind(({address!r}, port))\ns.listen()\nsignal.pause()\n"
    )
    with program(source, port) as process:
        assert problem(process, port) == said.format(port=port)


def test_a_hard_coded_port_is_told_with_what_to_read() -> None:
    port, other = free_port(), free_port()
    with program(SILENT, other) as process:
        assert problem(process, port) == f"listens on port {other}, not on {port}: read $PORT"


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_stranger_on_the_port_makes_nobody_ready(address: str) -> None:
    port = free_port()
    with program(SILENT.replace("127.0.0.1", address), port), program(NOTHING) as process:
        until(listens(port))
        assert problem(process, port) == f"another program listens on {address}:{port}"


def test_a_stranger_that_takes_the_ipv4_connections_makes_nobody_ready() -> None:
    port = free_port()
    only6 = BEGIN + (
        "s = socket.socket(socket.AF_INET6)\ns.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
        "s.bind(('::', port))\ns.listen()\nsignal.pause()\n"
    )
    with program(SILENT, port), program(only6, port) as process:
        until(lambda: len([listener for listener in listeners() if listener.port == port]) == 2)
        assert problem(process, port) == f"listens on [::]:{port}, not on 127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("health", "answer", "said"),
    [
        ("auto", "HTTP/1.1 200 OK\r\n\r\n", ""),
        ("auto", "HTTP/1.0 404 Not Found\r\n\r\nPATH", ""),
        ("auto", "HTTP/1.1 405\r\n\r\n", ""),
        ("auto", "HTTP/1.1 500 Oh\r\n\r\n", "GET /health answers 500"),
        ("auto", "HTTP/1.1 503 Oh\r\n\r\n", "GET /health answers 503"),
        ("auto", "SSH-2.0-OpenSSH_9\r\n", "GET /health gives no HTTP answer"),
        ("auto", "HTTP", "GET /health gives no HTTP answer"),
        ("auto", "", "GET /health gives no answer"),
        ("none", "HTTP/1.1 503 Oh\r\n\r\n", ""),
        ("tcp", "HTTP/1.1 503 Oh\r\n\r\n", ""),
        ("/alive", "HTTP/1.1 204 OK\r\n\r\n", ""),
        ("/alive", "HTTP/1.1 404 Not\r\n\r\n", "GET /alive answers 404"),
        ("/alive", "HTTP/1.1 302 There\r\n\r\n", "GET /alive answers 302"),
    ],
)
def test_health_means_what_is_set(health: str, answer: str, said: str) -> None:
    port = free_port()
    with program(ANSWERS, port, answer) as process:
        if said:
            assert problem(process, port, health) == said
        else:
            assert ready(process, port, health) == f"127.0.0.1:{port}"


def test_a_page_that_accepts_and_says_nothing_is_unhealthy() -> None:
    port = free_port()
    with program(SILENT, port) as process:
        assert problem(process, port, "auto") == "GET /health gives no answer"


def test_it_is_ready_once_it_is_healthy() -> None:
    port = free_port()
    source = LISTENS + HTTP + "codes = iter('500 503 500'.split())\n"
    source += "serve(lambda path: f'HTTP/1.1 {next(codes, 200)} x\\r\\n\\r\\n'.encode())\n"
    with program(source, port) as process:
        assert ready(process, port, "auto") == f"127.0.0.1:{port}"


def test_a_process_that_is_gone_holds_no_sockets() -> None:
    with program(NOTHING) as process:
        pid = process.pid
    assert sockets_of(pid) == set()


def test_the_kernel_and_proc_tell_the_same_listeners() -> None:
    with contextlib.ExitStack() as stack:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::"), (socket.AF_INET6, "::1")):
            one = stack.enter_context(socket.socket(family))
            one.bind((address, 0))
            one.listen()
            mine = Listener(ip_address(address), one.getsockname()[1], os.fstat(one.fileno()).st_ino)
            for found in (listeners(), [*_listed("/proc/net/tcp"), *_listed("/proc/net/tcp6")]):
                assert mine in found
            assert mine.inode in sockets_of(os.getpid())
            assert str(mine) in (f"127.0.0.1:{mine.port}", f"[{address}]:{mine.port}")


def test_the_exact_address_takes_a_connection_before_the_wildcard_and_ipv4_before_ipv6() -> None:
    exact, wild, six, far = (
        Listener(ip_address(address), 80, number)
        for number, address in enumerate(("127.0.0.1", "0.0.0.0", "::", "10.0.0.1"))
    )
    assert reached([far, six, wild, exact], 80) == [exact]
    assert reached([six, wild], 80) == [wild]
    assert reached([six, far], 80) == [six]
    assert reached([wild, wild], 80) == [wild, wild]
    assert reached([wild, exact], 81) == []
