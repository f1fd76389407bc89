from __future__ import annotations

import pytest

from tqsd.http1.forward import Peer, to_client, to_worker
from tqsd.http1.head import parse_request, parse_response


def forwarded(fields: bytes, peer: Peer = Peer.STRANGER, target: bytes = b"/") -> bytes:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    return to_worker(parse_request(raw, 8192), raw, peer, target)


def test_a_head_for_the_worker_ends_where_the_address_belongs() -> None:
    assert forwarded(b"") == (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-For: "
    )
    assert forwarded(b"", Peer.LOCAL) == b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http"


def test_the_target_is_the_callers() -> None:
    assert forwarded(b"", target=b"/other?x").startswith(b"GET /other?x HTTP/1.1\r\n")


@pytest.mark.parametrize("peer", [Peer.TRUSTED, Peer.LOCAL])
def test_claims_of_the_trusted_are_passed_on(peer: Peer) -> None:
    head = forwarded(b"X-Forwarded-For: 1\r\nx-forwarded-for: 2\r\nX-Forwarded-Port: 443\r\n", peer)
    assert b"\r\nX-Forwarded-For: 1, 2" in head
    assert b"\r\nX-Forwarded-Port: 443\r\n" in head
    assert head.lower().count(b"x-forwarded-for") == 1


def test_nominated_fields_go_no_further_wherever_they_stand() -> None:
    head = forwarded(b"x-a: 1\r\nConnection: X-A\r\nX-A: 2\r\nX-B: 3\r\nConnection: x-c\r\nX-C: 4\r\n")
    assert b"x-a" not in head.lower()
    assert b"x-c" not in head.lower()
    assert b"X-B: 3" in head


def test_a_head_for_the_client_speaks_1_1_and_keeps_order_and_case() -> None:
    response = parse_response(
        b"HTTP/1.0 404\r\nSet-Cookie: a\r\nX-Hop: 1\r\nconnection: close, x-hop\r\nset-cookie: b\r\n\r\n", to_head=False
    )
    assert to_client(response) == b"HTTP/1.1 404 \r\nSet-Cookie: a\r\nset-cookie: b\r\n"
