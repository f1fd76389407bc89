from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.field import BadHead
from tqsd.http1.head import Framing, RequestHead, ResponseHead, parse_request, parse_response

MAX_TARGET = 8192


def request(head: str) -> RequestHead:
    """The request of a head written with "|" for CRLF."""
    return parse_request(head.replace("|", "\r\n").encode("latin-1"), MAX_TARGET)


def response(head: str, to_head: bool = False) -> ResponseHead:
    return parse_response(head.replace("|", "\r\n").encode("latin-1"), to_head)


# Each is one way in which two parsers have disagreed somewhere.
REFUSED = {
    "no version": ("GET /|Host: a||", 400),
    "two spaces": ("GET  / HTTP/1.1|Host: a||", 400),
    "a tab": ("GET\t/ HTTP/1.1|Host: a||", 400),
    "a space at the end": ("GET / HTTP/1.1 |Host: a||", 400),
    "lower case version": ("GET / http/1.1|Host: a||", 400),
    "version 1.2": ("GET / HTTP/1.2|Host: a||", 505),
    "version 2.0": ("PRI * HTTP/2.0||", 505),
    "version 0.9": ("GET / HTTP/0.9||", 505),
    "version with a second digit": ("GET / HTTP/1.10|Host: a||", 400),
    "no method": (" / HTTP/1.1|Host: a||", 400),
    "a method with a colon": ("GE:T / HTTP/1.1|Host: a||", 400),
    "connect": ("CONNECT a:443 HTTP/1.1|Host: a:443||", 501),
    "a relative target": ("GET a HTTP/1.1|Host: a||", 400),
    "a star for GET": ("GET * HTTP/1.1|Host: a||", 400),
    "a fragment": ("GET /#a HTTP/1.1|Host: a||", 400),
    "a control byte in the target": ("GET /\x01 HTTP/1.1|Host: a||", 400),
    "a byte beyond ASCII in the target": ("GET /\xe9 HTTP/1.1|Host: a||", 400),
    "another scheme": ("GET ftp://a/ HTTP/1.1|Host: a||", 400),
    "a user in the target": ("GET http://u@a/ HTTP/1.1|Host: a||", 400),
    "no authority in the target": ("GET http:///x HTTP/1.1|Host: a||", 400),
    "a Host that is not the target's": ("GET http://a/ HTTP/1.1|Host: b||", 400),
    "a target too long": (f"GET /{'a' * MAX_TARGET} HTTP/1.1|Host: a||", 414),
    "no host": ("GET / HTTP/1.1||", 400),
    "an empty host": ("GET / HTTP/1.1|Host:||", 400),
    "two hosts": ("GET / HTTP/1.1|Host: a|Host: a||", 400),
    "two hosts in 1.0": ("GET / HTTP/1.0|Host: a|Host: a||", 400),
    "a host with a path": ("GET / HTTP/1.1|Host: a/b||", 400),
    "a host with a user": ("GET / HTTP/1.1|Host: u@a||", 400),
    "two hosts in one": ("GET / HTTP/1.1|Host: a, b||", 400),
    "a host with a bad port": ("GET / HTTP/1.1|Host: a:8o||", 400),
    "a space before the colon": ("GET / HTTP/1.1|Host: a|X : 1||", 400),
    "a folded line": ("GET / HTTP/1.1|Host: a|X: 1| 2||", 400),
    "a folded first line": ("GET / HTTP/1.1| Host: a||", 400),
    "an empty name": ("GET / HTTP/1.1|Host: a|: 1||", 400),
    "a line without a colon": ("GET / HTTP/1.1|Host: a|X||", 400),
    "a name beyond ASCII": ("GET / HTTP/1.1|Host: a|X\xe9: 1||", 400),
    "a NUL": ("GET / HTTP/1.1|Host: a|X: \x00||", 400),
    "a DEL": ("GET / HTTP/1.1|Host: a|X: \x7f||", 400),
    "a bare CR": ("GET / HTTP/1.1|Host: a|X: 1\rY: 2||", 400),
    "a bare LF": ("GET / HTTP/1.1|Host: a|X: 1\nY: 2||", 400),
    "a bare LF in the request line": ("GET / HTTP/1.1\nHost: a||", 400),
    "both lengths": ("POST / HTTP/1.1|Host: a|Content-Length: 3|Transfer-Encoding: chunked||", 400),
    "both lengths, length last": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Content-Length: 0||", 400),
    "two lengths": ("POST / HTTP/1.1|Host: a|Content-Length: 3|Content-Length: 4||", 400),
    "two equal lengths": ("POST / HTTP/1.1|Host: a|Content-Length: 3|content-length: 3||", 400),
    "a list of lengths": ("POST / HTTP/1.1|Host: a|Content-Length: 3, 3||", 400),
    "a length with a sign": ("POST / HTTP/1.1|Host: a|Content-Length: +3||", 400),
    "a negative length": ("POST / HTTP/1.1|Host: a|Content-Length: -3||", 400),
    "a length with an underscore": ("POST / HTTP/1.1|Host: a|Content-Length: 1_0||", 400),
    "a length in hex": ("POST / HTTP/1.1|Host: a|Content-Length: 0x3||", 400),
    "an empty length": ("POST / HTTP/1.1|Host: a|Content-Length:||", 400),
    "a length in other digits": ("POST / HTTP/1.1|Host: a|Content-Length: \xb2||", 400),
    "a length too long": (f"POST / HTTP/1.1|Host: a|Content-Length: {'1' * 19}||", 400),
    "another coding": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip||", 400),
    "two codings": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||", 400),
    "chunked twice": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||", 400),
    "a coding with a parameter": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked;q=1||", 400),
    "a coding behind a comma": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: ,chunked||", 400),
    "an empty coding": ("POST / HTTP/1.1|Host: a|Transfer-Encoding:||", 400),
    "a vertical tab before the coding": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: \x0bchunked||", 400),
    "a coding in 1.0": ("POST / HTTP/1.0|Host: a|Transfer-Encoding: chunked||", 400),
    "another expectation": ("POST / HTTP/1.1|Host: a|Expect: 200-ok||", 417),
    "a hidden Host": ("GET / HTTP/1.1|Host: a|Connection: close, host||", 400),
    "a hidden length": ("POST / HTTP/1.1|Host: a|Content-Length: 1|Connection: Content-Length||", 400),
    "a hidden coding": ("POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Connection: transfer-encoding||", 400),
    "a hidden address": ("GET / HTTP/1.1|Host: a|Connection: X-Forwarded-For||", 400),
    "a hidden credential": ("GET / HTTP/1.1|Host: a|Connection: authorization||", 400),
    "an option that is no token": ("GET / HTTP/1.1|Host: a|Connection: a b||", 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_ambiguous_request_is_refused(case: str) -> None:
    head, status = REFUSED[case]
    for _ in range(2):  # what was refused once must not be remembered as good
        with pytest.raises(BadHead) as caught:
            request(head)
        assert caught.value.status == status


def test_a_plain_request_is_read() -> None:
    read = request("GET /a/b?c=d HTTP/1.1|Host: Example.com:80|Accept: */*|Empty:||")
    assert (read.method, read.target, read.path, read.host) == (b"GET", b"/a/b?c=d", b"/a/b", b"Example.com:80")
    assert (read.framing, read.persistent, read.http10) == (Framing.NONE, True, False)
    assert read.lines == [b"Host: Example.com:80", b"Accept: */*", b"Empty:"]


@pytest.mark.parametrize(
    ("host", "valid"),
    [("a", True), ("a-b.example:8080", True), ("127.0.0.1", True), ("[::1]:80", True), ("a_b", True), ("a:", True)],
)
def test_hosts_of_all_kinds_are_known(host: str, valid: bool) -> None:
    assert request(f"GET / HTTP/1.1|Host: {host}||").host == host.encode()


@pytest.mark.parametrize(
    ("fields", "framing", "length"),
    [
        ("", Framing.NONE, 0),
        ("Content-Length: 0|", Framing.NONE, 0),
        ("Content-Length:\t007 |", Framing.LENGTH, 7),
        ("Transfer-Encoding: Chunked|", Framing.CHUNKED, 0),
    ],
)
def test_the_framing_of_a_request_is_found(fields: str, framing: Framing, length: int) -> None:
    read = request(f"POST / HTTP/1.1|Host: a|{fields}|")
    assert (read.framing, read.length) == (framing, length)


@pytest.mark.parametrize(
    ("version", "connection", "persistent"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: Keep-Alive|", True),
        ("1.1", "Connection: CLOSE|", False),
        ("1.1", "Connection: keep-alive|Connection: x, close|", False),
        ("1.0", "", False),
        ("1.0", "Connection: ,keep-alive,|", True),
        ("1.0", "Connection: keep-alive, close|", False),
    ],
)
def test_persistence_follows_version_and_connection(version: str, connection: str, persistent: bool) -> None:
    assert request(f"GET / HTTP/{version}|Host: a|{connection}|").persistent is persistent


@pytest.mark.parametrize(
    ("target", "origin"),
    [("http://a/b?c", b"/b?c"), ("HTTPS://A?c", b"/?c"), ("http://a", b"/")],
)
def test_an_absolute_target_becomes_a_path(target: str, origin: bytes) -> None:
    read = request(f"GET {target} HTTP/1.1|Host: a||")
    assert (read.target, read.path) == (origin, origin.partition(b"?")[0])


def test_a_server_wide_question_is_read() -> None:
    assert request("OPTIONS * HTTP/1.1|Host: a||").target == b"*"
    assert request("OPTIONS http://a HTTP/1.1|Host: a||").target == b"*"


def test_an_expectation_of_1_0_is_ignored() -> None:
    assert request("POST / HTTP/1.0|Expect: 100-continue|Content-Length: 1||").lines == [b"Content-Length: 1"]
    assert b"Expect: 100-continue" in request("POST / HTTP/1.1|Host: a|Expect: 100-continue||").lines


@pytest.mark.parametrize(
    ("status_and_fields", "to_head", "framing", "length"),
    [
        ("200 OK|", False, Framing.UNTIL_CLOSE, 0),
        ("200 OK|Content-Length: 5|", False, Framing.LENGTH, 5),
        ("200 OK|Content-Length: 5|", True, Framing.NONE, 0),
        ("200 OK|Content-Length: 0|", False, Framing.NONE, 0),
        ("200 OK|Transfer-Encoding: chunked|", False, Framing.CHUNKED, 0),
        ("200 OK|Transfer-Encoding: chunked|", True, Framing.NONE, 0),
        ("204 No Content|Transfer-Encoding: chunked|", False, Framing.NONE, 0),
        ("304 Not Modified|Content-Length: 5|", False, Framing.NONE, 0),
        ("103 Early Hints|", False, Framing.NONE, 0),
        ("101 Switching|", False, Framing.TUNNEL, 0),
    ],
)
def test_the_framing_of_a_response_is_found(
    status_and_fields: str, to_head: bool, framing: Framing, length: int
) -> None:
    read = response(f"HTTP/1.1 {status_and_fields}|", to_head)
    assert (read.framing, read.length) == (framing, length)


@pytest.mark.parametrize(
    ("head", "unchanged"),
    [
        ("HTTP/1.1 200 OK|Content-Length: 1||", True),
        ("HTTP/1.1 200 |Content-Length: 1||", True),
        ("HTTP/1.1 200|Content-Length: 1||", False),
        ("HTTP/1.0 200 OK|Content-Length: 1||", False),
        ("HTTP/1.1 200 OK|Content-Length: 1|Keep-Alive: 5||", False),
        ("HTTP/1.1 200 OK|Content-Length: 1|Connection: close||", False),
        ("HTTP/1.1 204 OK|Content-Length: 0||", False),
    ],
)
def test_a_response_that_needs_no_change_is_known(head: str, unchanged: bool) -> None:
    assert response(head).unchanged is unchanged


# h11 as the oracle: what it writes and reads as one message, we read the same way

TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20).filter(
    lambda value: not any(0x7F <= ord(character) <= 0x9F for character in value)
)
FIELDS = st.lists(st.tuples(TOKENS.map(lambda name: f"X-{name}"), VALUES), max_size=8)
PATHS = st.text("abcXYZ0123456789-._~!$&'()*+,;=:@/%?", max_size=30).map(lambda path: f"/{path}")


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    target=PATHS,
    fields=FIELDS,
    length=st.none() | st.integers(0, 10**9),
    chunked=st.booleans(),
)
def test_what_h11_sends_is_read_as_h11_reads_it(
    method: str, target: str, fields: list[tuple[str, str]], length: int | None, chunked: bool
) -> None:
    headers = [("Host", "example.com"), *fields]
    if length is not None:
        headers.append(("Content-Length", str(length)))
    elif chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    head = h11.Connection(h11.CLIENT).send(h11.Request(method=method, target=target, headers=encoded))
    assert head is not None
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(head)
    theirs = oracle.next_event()
    assert isinstance(theirs, h11.Request)
    ours = parse_request(head, MAX_TARGET)
    assert (ours.method, ours.target, ours.persistent) == (theirs.method, theirs.target, True)
    kept = {name for name, _ in theirs.headers if b"_" not in name and not name.startswith(b"x-forwarded-")}
    names = [line.partition(b":")[0].lower() for line in ours.lines]
    values = [line.partition(b":")[2].strip(b" \t") for line in ours.lines]
    pairs = [(name, value) for name, value in zip(names, values, strict=True) if name in kept]
    claimed = {b"x-real-ip", b"x-request-id"}
    assert pairs == [(name, value) for name, value in theirs.headers if name in kept - claimed]
    expected = Framing.LENGTH if length else Framing.CHUNKED if chunked and length is None else Framing.NONE
    assert (ours.framing, ours.length) == (expected, length or 0)


@given(status=st.integers(200, 599), fields=FIELDS, length=st.none() | st.integers(0, 10**9), chunked=st.booleans())
def test_an_answer_of_h11_is_framed_as_h11_frames_it(
    status: int, fields: list[tuple[str, str]], length: int | None, chunked: bool
) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.next_event()
    server.next_event()
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    if length is not None:
        headers.append((b"Content-Length", str(length).encode()))
    elif chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    head = server.send(h11.Response(status_code=status, headers=headers))
    assert head is not None
    ours = parse_response(head, to_head=False)
    assert ours.status == status
    assert ours.persistent
    if status in (204, 304) or (length == 0):
        assert ours.framing is Framing.NONE
    elif length:
        assert (ours.framing, ours.length) == (Framing.LENGTH, length)
    else:
        assert ours.framing is Framing.CHUNKED  # h11 chunks what has no length


@given(head=st.binary(max_size=200))
def test_no_bytes_break_the_parser(head: bytes) -> None:
    for read in (lambda raw: parse_request(raw, MAX_TARGET), lambda raw: parse_response(raw, to_head=False)):
        try:
            read(head + b"\r\n\r\n")
        except BadHead:
            continue
