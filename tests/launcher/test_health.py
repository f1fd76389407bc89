"""What counts as an answer, told by bytes."""

from __future__ import annotations

import asyncio

import pytest

from tests.builder.sites import free_port
from tqsd.launcher.health import find_problem

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def asked(health: str, answer: bytes | None) -> tuple[str, bytes]:
    """What is wrong with a server that gives this answer (None: none at all), and what it was asked."""
    request = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal request
        request = await reader.readuntil(b"\r\n\r\n")
        for byte in answer or b"":
            writer.write(bytes([byte]))
            await writer.drain()
        if answer is None:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", free_port()) as server:
        port = server.sockets[0].getsockname()[1]
        problem = await find_problem(port, health)
    return problem, request


@pytest.mark.parametrize(
    ("health", "answer", "problem"),
    [
        ("auto", OK, ""),
        ("", OK, ""),
        ("auto", OK.replace(b"200", b"499"), ""),
        ("auto", OK.replace(b"200", b"500"), "GET /health answers 500"),
        ("/up?now=1", OK.replace(b"200", b"299"), ""),
        ("/up", OK.replace(b"200", b"300"), "GET /up answers 300"),
        ("/up", b"HTTP/1.0 204 \r\n\r\n", ""),
        ("auto", b"", "GET /health gives no answer"),
        ("auto", b"HTTP/1.1 2", "GET /health gives no HTTP answer"),
        ("auto", b"HTTP/1.1 xyz\r\n\r\n", "GET /health gives no HTTP answer"),
        ("auto", b"SSH-2.0-OpenSSH_9\r\n", "GET /health gives no HTTP answer"),
        ("auto", None, "GET /health gives no answer"),
    ],
)
def test_the_first_bytes_of_the_answer_decide(health: str, answer: bytes | None, problem: str) -> None:
    assert asyncio.run(asked(health, answer))[0] == problem


def test_the_request_names_the_worker_and_ends_the_connection() -> None:
    _, request = asyncio.run(asked("/up", OK))
    assert request.startswith(b"GET /up HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nConnection: close\r\n" in request


@pytest.mark.parametrize("health", ["none", "tcp"])
def test_nothing_is_asked_where_the_open_port_is_enough(health: str) -> None:
    assert asyncio.run(find_problem(1, health)) == ""


def test_a_port_where_nobody_listens_gives_no_answer() -> None:
    assert asyncio.run(find_problem(free_port(), "auto")) == "GET /health gives no answer"
