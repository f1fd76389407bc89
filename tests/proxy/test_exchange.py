from __future__ import annotations

import json

import pytest

from tests.proxy.rig import Sides, row
from tqsd.http1.forward import Peer
from tqsd.http1.reply import Reply
from tqsd.proxy.state import State, Step

GET = b"GET /users?id=1 HTTP/1.1\r\nHost: example.com\r\n\r\n"
FORWARDED = (
    b"GET /users?id=1 HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-Host: example.com\r\n"
    b"X-Forwarded-Proto: http\r\nX-Forwarded-For: 192.0.2.1\r\nX-Request-Id: id-1\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
GOING_AWAY = b"\x88\x02\x03\xe9"


@pytest.fixture(params=[0, 1, 3], ids=["whole", "bytes", "threes"])
def size(request: pytest.FixtureRequest) -> int:
    """How many bytes come at once."""
    value: int = request.param
    return value


def post(content: bytes, fields: bytes = b"") -> bytes:
    return b"POST /form HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(content), content)


def status(sides: Sides) -> int:
    return int(sides.client.data[9:12])


def test_a_request_crosses_and_its_answer_comes_back_as_it_was(size: int) -> None:
    sides = Sides(size=size)
    assert sides.ask(GET) is Step.ROUTE
    assert sides.worker.data == FORWARDED
    assert sides.answer(OK) is Step.DONE
    assert sides.client.data == OK
    assert sides.exchange.reusable
    assert sides.exchange.state is State.IDLE


def test_content_may_go_to_the_client_by_another_way() -> None:
    sides = Sides()
    sides.ask(GET + GET)
    head = OK[:-5]
    sides.answer(head)
    assert sides.exchange.passed(3) is Step.MORE
    sides.answer(b"l")
    assert sides.exchange.passed(1) is Step.DONE
    assert sides.client.data == head + b"l"
    assert sides.exchange.reusable
    assert sides.exchange.resume() is Step.ROUTE


def test_a_remembered_head_is_forwarded_like_the_first_one() -> None:
    sides = Sides()
    for number in range(1, 4):
        sides.worker.parts.clear()
        sides.ask(GET)
        sides.answer(OK)
        assert sides.worker.data == FORWARDED.replace(b"id-1", b"id-%d" % number)
    assert sides.client.data == OK * 3


def test_pipelined_requests_are_answered_one_after_the_other(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(GET + post(b"abc") + GET)
    assert sides.worker.data == FORWARDED
    sides.answer(OK)
    assert sides.worker.data.endswith(b"\r\n\r\nabc")
    sides.answer(OK)
    sides.answer(OK)
    assert sides.client.data == OK * 3
    assert sides.exchange.state is State.IDLE


@pytest.mark.parametrize(
    "content",
    [b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3;name=value\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"],
)
def test_chunked_content_passes_raw_in_both_directions(content: bytes, size: int) -> None:
    sides = Sides(size=size)
    sides.ask(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + content + GET)
    assert sides.worker.data.endswith(b"\r\n\r\n" + content)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    sides.answer(head + content)
    assert sides.client.data == head + content
    assert sides.exchange.reusable
    assert sides.exchange.state is State.ASKED  # with the request behind it


def test_an_answer_may_stream_while_the_request_still_does(size: int) -> None:
    sides = Sides(size=size)
    request = post(b"x" * 10)
    sides.ask(request[:-4])
    sides.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    assert sides.client.data.endswith(b"Connection: close\r\n\r\nab")
    sides.ask(request[-4:])
    assert sides.worker.data.endswith(b"x" * 10)
    assert sides.answer(b"cd") is Step.CLOSE
    assert sides.client.data.endswith(b"abcd")


def test_an_answer_that_ends_before_the_request_does_ends_the_connection(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(post(b"x" * 100)[:-50])
    assert sides.answer(OK) is Step.CLOSE
    assert b"Connection: close\r\n" in sides.client.data
    assert not sides.exchange.reusable


def test_bytes_behind_an_answer_make_the_workers_connection_useless(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(GET)
    sides.exchange.from_worker(OK + b"HTTP/1.1 200 OK\r\n")
    assert sides.client.data == OK
    assert not sides.exchange.reusable


@pytest.mark.parametrize(
    ("request_head", "answer"),
    [
        (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
    ],
)
def test_answers_without_content_end_with_their_head(request_head: bytes, answer: bytes, size: int) -> None:
    sides = Sides(size=size)
    sides.ask(request_head)
    assert sides.answer(answer) is Step.DONE
    assert sides.client.data == answer
    assert sides.exchange.reusable


def test_interim_answers_pass_and_the_final_one_follows(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(post(b"abc", b"Expect: 100-continue\r\n")[:-3])
    assert b"Expect: 100-continue\r\n" in sides.worker.data
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    sides.answer(interim)
    assert sides.client.data == interim
    sides.ask(b"abc")
    sides.answer(OK)
    assert sides.client.data == interim + OK


def test_a_client_of_1_0_gets_no_interim_answers_and_no_chunks(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert b" HTTP/1.1\r\nHost:\r\n" in sides.worker.data
    assert b"Expect" not in sides.worker.data
    sides.answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n")
    assert sides.answer(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nX: 1\r\n\r\n") is Step.CLOSE
    assert sides.client.data == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"
    assert sides.exchange.reusable


def test_a_client_of_1_0_may_ask_to_stay_connected(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert sides.answer(OK) is Step.DONE
    assert sides.client.data == OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")


def test_a_request_marked_as_the_last_one_ends_the_connection(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"Connection" not in sides.worker.data
    assert sides.answer(OK) is Step.CLOSE
    assert sides.client.data == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert sides.exchange.reusable


def test_content_without_a_length_ends_with_the_workers_connection(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(GET)
    sides.answer(b"HTTP/1.1 200 OK\r\n\r\nhel")
    sides.answer(b"lo")
    assert sides.exchange.worker_ended(cleanly=True) is Step.CLOSE
    assert sides.client.data == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
@pytest.mark.parametrize("cleanly", [True, False])
def test_cut_content_is_never_completed(answer: bytes, cleanly: bool, size: int) -> None:
    sides = Sides(size=size)
    sides.ask(GET)
    sides.answer(answer)
    assert sides.exchange.worker_ended(cleanly) is Step.ABORT
    assert sides.client.data == answer


def test_content_that_only_an_error_ended_counts_as_cut() -> None:
    sides = Sides()
    sides.ask(GET)
    sides.answer(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert sides.exchange.worker_ended(cleanly=False) is Step.ABORT


# What the worker may not send

BAD_ANSWERS = [
    b"garbage\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 099 Low\r\n\r\n",
    b"HTTP/1.1 600 High\r\n\r\n",
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000,
]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_an_answer_that_is_not_http_becomes_502(answer: bytes, size: int) -> None:
    sides = Sides(size=size or 65536)
    sides.ask(GET)
    assert sides.answer(answer) is Step.DONE
    assert status(sides) == 502
    assert not sides.exchange.reusable


def test_broken_chunks_cut_the_connection_once_something_was_sent() -> None:
    sides = Sides()
    sides.ask(GET)
    sides.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert sides.answer(b"zz\r\n") is Step.ABORT


def test_broken_chunks_become_502_while_nothing_was_sent() -> None:
    sides = Sides()
    sides.ask(GET)
    assert sides.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") is Step.DONE
    assert status(sides) == 502


# What is sent again, and what never

IDEMPOTENT = [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"]


@pytest.mark.parametrize("method", IDEMPOTENT)
def test_an_idempotent_request_without_content_goes_to_another_worker(method: bytes) -> None:
    sides = Sides()
    sides.ask(GET.replace(b"GET", method))
    assert sides.exchange.worker_ended(cleanly=False) is Step.ROUTE
    other = type(sides.worker)()
    sides.exchange.attach(other)
    assert other.data == sides.worker.data.replace(b"id-1", b"id-2")
    assert not sides.client.data


def test_a_request_that_ends_every_worker_is_given_up() -> None:
    sides = Sides()
    sides.ask(GET)
    for _ in range(3):
        assert sides.exchange.worker_ended(cleanly=False) is Step.ROUTE
        sides.exchange.attach(sides.worker)
    assert sides.exchange.worker_ended(cleanly=False) is Step.DONE
    assert status(sides) == 502


@pytest.mark.parametrize(
    "request_bytes",
    [post(b""), post(b"abc"), post(b"abc").replace(b"POST", b"PUT"), GET.replace(b"GET", b"PATCH")],
)
def test_a_request_that_may_have_been_carried_out_is_never_sent_twice(request_bytes: bytes) -> None:
    sides = Sides()
    sides.ask(request_bytes)
    assert sides.exchange.worker_ended(cleanly=False) is Step.DONE
    assert status(sides) == 502


@pytest.mark.parametrize("answer", [b"H", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_request_that_was_heard_is_never_sent_twice(answer: bytes) -> None:
    sides = Sides()
    sides.ask(GET)
    sides.answer(answer)
    assert sides.exchange.worker_ended(cleanly=True) is Step.DONE
    assert b"HTTP/1.1 502 Bad Gateway\r\n" in sides.client.data


# What the client may not send

BAD_CHUNKS = [
    b"\r\n",
    b"x\r\n",
    b"0x3\r\nabc\r\n",
    b"+3\r\nabc\r\n",
    b" 3\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"3 ;x\r\nabc\r\n",
    b"1_0\r\n",
    b"3\nabc\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"3\r\nabcX\r\n",
    b"3;a\x00b\r\nabc\r\n",
    b"3;a\rb\r\nabc\r\n",
    b"1000000000000000\r\n",
    b"3;" + b"a" * 2000 + b"\r\n",
    b"0\r\nX : 1\r\n\r\n",
    b"0\r\n folded\r\n\r\n",
    b"0\r\nContent-Length: 3\r\n\r\n",
    b"0\r\nX: 1\n\r\n",
    b"0\r\n" + b"X: 1\r\n" * 4000 + b"\r\n",
]


@pytest.mark.parametrize("content", BAD_CHUNKS)
def test_broken_chunks_of_a_request_are_refused(content: bytes, size: int) -> None:
    sides = Sides(size=size)
    sides.ask(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + content)
    assert sides.step is Step.CLOSE
    assert status(sides) == 400
    assert not sides.exchange.reusable


def test_broken_chunks_behind_the_answers_head_cut_the_connection() -> None:
    sides = Sides()
    sides.ask(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    sides.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert sides.ask(b"zz\r\n") is Step.ABORT


def test_content_beyond_the_pages_limit_is_refused(size: int) -> None:
    sides = Sides(row(max_body=3), size=size)
    sides.ask(post(b"abcd"))
    assert status(sides) == 413
    assert sides.step is Step.CLOSE
    assert not sides.worker.data


def test_content_up_to_the_pages_limit_passes(size: int) -> None:
    sides = Sides(row(max_body=3), size=size)
    sides.ask(post(b"abc") + b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    sides.answer(OK)
    sides.answer(OK)
    assert sides.client.data == OK * 2


def test_chunks_beyond_the_pages_limit_are_refused(size: int) -> None:
    sides = Sides(row(max_body=3), size=size)
    sides.ask(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n")
    assert status(sides) == 413
    assert sides.step is Step.CLOSE


def test_a_head_that_is_too_long_is_refused_however_it_comes(size: int) -> None:
    for request, expected in [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2000, 431),
        (b"GET /" + b"a" * 2000, 414),
        (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ]:
        sides = Sides(size=size, max_head=1024, max_target=512)
        if sides.ask(request) is Step.ROUTE:
            sides.answer(OK)
        assert status(sides) == expected


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\nHost: a\n\n", b" GET / HTTP/1.1\r\n", b"\nGET", b"\r\rGET / "],
)
def test_what_cannot_become_a_request_is_refused_at_once(request_bytes: bytes, size: int) -> None:
    sides = Sides(size=size)
    assert sides.ask(request_bytes) is Step.CLOSE
    assert status(sides) == 400


def test_empty_lines_before_a_request_are_ignored(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(b"\r\n\r\n" + GET)
    assert sides.worker.data == FORWARDED


def test_a_client_that_has_been_refused_is_not_listened_to(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(b"BAD\r\n\r\n" + GET)
    assert sides.client.data.count(b"HTTP/1.1 400 ") == 1
    assert not sides.worker.data


# Replies of our own

ROUTED = [row("a", "/a", methods=["POST"]), row("b", "/b", hosts=["b.example"])]


def test_a_path_without_a_page_gets_404_and_the_connection_stays(size: int) -> None:
    sides = Sides(*ROUTED, size=size)
    assert sides.ask(GET + GET) is Step.DONE
    assert sides.client.data.count(b"HTTP/1.1 404 Not Found\r\n") == 2


def test_a_method_that_no_page_takes_gets_405_with_allow() -> None:
    sides = Sides(*ROUTED)
    sides.ask(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(sides) == 405
    assert b"\r\nAllow: POST\r\n" in sides.client.data


def test_a_refused_request_with_content_ends_the_connection() -> None:
    sides = Sides(*ROUTED)
    assert sides.ask(post(b"abc")) is Step.CLOSE
    assert b"Connection: close\r\n" in sides.client.data


def test_a_refused_head_request_gets_no_content() -> None:
    sides = Sides(*ROUTED)
    sides.ask(GET.replace(b"GET", b"HEAD"))
    assert sides.client.data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [(b"text/html,*/*", b"text/html"), (b"application/json", b"application/problem+json"), (b"*/*", b"text/plain")],
)
def test_a_reply_of_ours_speaks_what_the_client_takes(accept: bytes, kind: bytes) -> None:
    sides = Sides(*ROUTED)
    sides.ask(b"GET /x HTTP/1.1\r\nHost: a\r\nAccept: %b\r\n\r\n" % accept)
    assert b"\r\nContent-Type: " + kind in sides.client.data
    head, _, content = sides.client.data.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d\r\n" % len(content) in head
    if b"json" in kind:
        assert json.loads(content)["status"] == 404


def test_a_reason_is_escaped_in_html() -> None:
    sides = Sides()
    sides.ask(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n")
    sides.exchange.refuse(Reply(503, "<script>&"))
    assert b"&lt;script&gt;&amp;" in sides.client.data


@pytest.mark.parametrize("path", [b"/a/../b", b"/%2e%2e/b", b"/a%00", b"/a\\b", b"/a%5cb", b"/%zz", b"/%ff", b"/%"])
def test_a_path_with_two_readings_is_refused(path: bytes) -> None:
    sides = Sides()
    assert sides.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path) is Step.CLOSE
    assert status(sides) == 400


def test_a_page_may_be_asked_without_its_prefix(size: int) -> None:
    for target, seen in [
        (b"/api/users", b"/"),
        (b"/api/users?x=/y", b"/?x=/y"),
        (b"/api/users/4%2F2/", b"/4%2F2/"),
        (b"/ap%69/users/x", b"/x"),
    ]:
        sides = Sides(row("u", "/api/users", strip_prefix=True), size=size)
        sides.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        assert sides.worker.data.startswith(b"GET %b HTTP/1.1\r\n" % seen)


# What is said about the client

CLAIMS = (
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n"
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: site.example\r\nX-Request-Id: abc\r\n"
    b"Forwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n\r\n"
)


def test_a_stranger_is_not_believed() -> None:
    sides = Sides()
    sides.ask(CLAIMS)
    assert sides.worker.data == (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-For: 192.0.2.1\r\n"
        b"X-Request-Id: id-1\r\n\r\n"
    )


def test_a_trusted_proxy_is_believed_and_its_own_address_is_added() -> None:
    sides = Sides(peer=Peer.TRUSTED)
    sides.ask(CLAIMS)
    assert sides.worker.data == (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n"
        b"X-Forwarded-Host: site.example\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.1\r\n\r\n"
    )


def test_a_unix_socket_is_believed_and_has_no_address() -> None:
    sides = Sides(peer=Peer.LOCAL)
    sides.ask(CLAIMS)
    assert b"\r\nX-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n\r\n" in sides.worker.data
    sides = Sides(peer=Peer.LOCAL)
    sides.ask(GET)
    assert sides.worker.data.endswith(b"X-Forwarded-Proto: http\r\nX-Request-Id: id-1\r\n\r\n")


def test_names_that_only_look_like_ours_in_cgi_go_no_further() -> None:
    sides = Sides(peer=Peer.TRUSTED)
    sides.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nContent_Length: 5\r\nX_Plain: 1\r\n\r\n")
    assert b"6.6.6.6" not in sides.worker.data
    assert b"Content_Length" not in sides.worker.data
    assert b"X_Plain: 1\r\n" in sides.worker.data


def test_hop_by_hop_fields_go_no_further_and_the_rest_stays_in_order() -> None:
    sides = Sides()
    sides.ask(
        b"GET / HTTP/1.1\r\nHost: a\r\ncookie: a=1\r\nKeep-Alive: 5\r\nCookie: b=2\r\nTE: trailers\r\nX-Own: 1\r\n"
        b"Connection: X-Own, keep-alive\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\n"
        b"Traceparent: 00-1\r\n\r\n"
    )
    assert sides.worker.data.startswith(
        b"GET / HTTP/1.1\r\nHost: a\r\ncookie: a=1\r\nCookie: b=2\r\nTraceparent: 00-1\r\nX-Forwarded-Host: a\r\n"
    )
    sides.answer(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nset-cookie: b\r\n"
        b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n"
    )
    assert sides.client.data == b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"


# WebSocket


def switched(size: int = 0) -> Sides:
    sides = Sides(size=size)
    sides.ask(UPGRADE)
    sides.answer(SWITCHING)
    return sides


def test_a_websocket_passes_both_ways(size: int) -> None:
    sides = switched(size)
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in sides.worker.data
    assert sides.client.data.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" in sides.client.data
    sides.ask(b"from the client")
    sides.answer(b"\x81\x05hello")
    assert sides.worker.data.endswith(b"from the client")
    assert sides.client.data.endswith(b"\x81\x05hello")


def test_a_websocket_ends_one_side_after_the_other() -> None:
    sides = switched()
    assert sides.exchange.client_ended() is Step.MORE
    assert sides.worker.finished
    sides.answer(b"\x81\x01x")
    assert sides.client.data.endswith(b"\x81\x01x")
    assert sides.exchange.worker_ended(cleanly=True) is Step.CLOSE
    assert sides.client.finished


@pytest.mark.parametrize(
    "request_head",
    [
        UPGRADE.replace(b"WebSocket", b"h2c"),
        UPGRADE.replace(b"GET", b"POST"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b", Upgrade", b""),
    ],
)
def test_only_websocket_is_switched_to(request_head: bytes) -> None:
    sides = Sides()
    sides.ask(request_head)
    assert b"pgrade" not in sides.worker.data
    sides.answer(SWITCHING)
    assert status(sides) == 502


def test_a_refused_websocket_is_an_ordinary_answer(size: int) -> None:
    sides = Sides(size=size)
    sides.ask(UPGRADE)
    sides.answer(OK)
    assert sides.client.data == OK
    assert sides.exchange.state is State.IDLE


def test_a_websocket_of_an_ending_worker_closes_between_two_frames(size: int) -> None:
    sides = switched(size)
    sides.answer(b"\x81\x7e\x01\x00" + b"x" * 100)
    assert sides.exchange.go_away() is Step.MORE
    assert sides.answer(b"y" * 156 + b"\x81\x05hello") is Step.CLOSE
    assert sides.client.data.endswith(b"x" * 100 + b"y" * 156 + GOING_AWAY)


def test_a_quiet_websocket_closes_at_once() -> None:
    sides = switched()
    sides.answer(b"\x81\x05hello")
    assert sides.exchange.go_away() is Step.CLOSE
    assert sides.client.data.endswith(b"hello" + GOING_AWAY)


# Ends


def test_a_waiting_or_unanswered_request_of_an_ending_worker_gets_503() -> None:
    for attach in (True, False):
        sides = Sides()
        sides.ask(GET, attach=attach)
        assert sides.exchange.go_away() is Step.CLOSE
        assert status(sides) == 503
        assert b"\r\nRetry-After: 1\r\n" in sides.client.data


def test_a_half_sent_answer_of_an_ending_worker_is_cut() -> None:
    sides = Sides()
    sides.ask(GET)
    sides.answer(OK[:-1])
    assert sides.exchange.go_away() is Step.ABORT


def test_a_client_that_leaves_is_gone_unless_its_request_was_its_last() -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for request, attach, expected in [
        (GET, False, Step.ABORT),
        (GET, True, Step.ABORT),
        (post(b"abc")[:-1], True, Step.ABORT),
        (last, False, Step.MORE),
        (last, True, Step.MORE),
        (b"GET / HTTP/1.0\r\n\r\n", True, Step.MORE),
        (b"GET / HT", True, Step.CLOSE),
        (b"", True, Step.CLOSE),
    ]:
        sides = Sides()
        sides.ask(request, attach=attach)
        assert sides.exchange.client_ended() is expected, request


@pytest.mark.parametrize(
    ("given", "attach", "expected"),
    [
        (b"GET / HT", True, 408),
        (GET, False, 503),
        (GET, True, 504),
        (post(b"abc")[:-1], True, 408),
    ],
)
def test_time_that_is_up_earns_a_reply(given: bytes, attach: bool, expected: int) -> None:
    sides = Sides()
    sides.ask(given, attach=attach)
    sides.exchange.expire()
    assert status(sides) == expected


def test_a_silent_connection_ends_without_a_word() -> None:
    sides = Sides()
    assert sides.exchange.expire() is Step.CLOSE
    assert not sides.client.data


def test_an_answer_that_stalls_is_cut() -> None:
    sides = Sides()
    sides.ask(GET)
    sides.answer(OK[:-1])
    assert sides.exchange.expire() is Step.ABORT


def test_a_waiting_request_can_be_read_again_by_a_new_table() -> None:
    sides = Sides()
    sides.ask(post(b"abc"), attach=False)
    assert sides.exchange.reroute() is Step.ROUTE
    sides.exchange.attach(sides.worker)
    assert sides.worker.data.endswith(b"\r\n\r\nabc")


def test_requests_of_an_ending_proxy_are_their_connections_last() -> None:
    sides = Sides()
    sides.ask(GET)
    sides.answer(OK)
    sides.intake.end()
    sides.ask(GET)
    assert sides.answer(OK) is Step.CLOSE
    assert b"Connection: close\r\n" in sides.client.data
