from __future__ import annotations

import json

import pytest

from tqsd.http1.head import RequestHead
from tqsd.http1.reply import PHRASES, Reply


def split(reply: bytes) -> tuple[bytes, bytes]:
    head, _, content = reply.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % len(content) in head
    return head, content


@pytest.mark.parametrize("status", PHRASES)
def test_every_status_has_its_phrase(status: int) -> None:
    head, content = split(Reply(status, "Why.").render(None, b"", persistent=False))
    assert head.startswith(f"HTTP/1.1 {status} {PHRASES[status]}\r\n".encode())
    assert head.endswith(b"\r\nConnection: close")
    assert content == f"{status} {PHRASES[status]}\nWhy.\n".encode()


def test_a_reply_carries_what_its_status_asks_for() -> None:
    head, _ = split(Reply(405, "", allow=b"GET, HEAD").render(None, b"", persistent=True))
    assert b"\r\nAllow: GET, HEAD" in head
    head, _ = split(Reply(503, "", retry_after=5).render(None, b"", persistent=True))
    assert b"\r\nRetry-After: 5" in head
    assert b"\r\nConnection" not in head


def test_head_gets_the_length_and_nothing_else() -> None:
    reply = Reply(404, "Why.").render(RequestHead(b"HEAD", b"/", b"/", http10=False), b"", persistent=True)
    assert reply.endswith(b"\r\n\r\n")
    assert b"Content-Length: 19" in reply


def test_a_client_of_1_0_is_told_that_it_may_stay() -> None:
    reply = Reply(404, "").render(RequestHead(b"GET", b"/", b"/", http10=True), b"", persistent=True)
    assert b"\r\nConnection: keep-alive\r\n" in reply


def test_the_sites_own_page_goes_to_all_but_those_who_want_json() -> None:
    reply = Reply(404, "Why.", html="<p>Ours")
    for accept in (b"text/html", b"*/*", b""):
        assert split(reply.render(None, accept, persistent=False))[1] == b"<p>Ours"
    content = json.loads(split(reply.render(None, b"application/json", persistent=False))[1])
    assert content == {"status": 404, "title": "Not Found", "detail": "Why."}


def test_text_in_html_is_only_text() -> None:
    _, content = split(Reply(503, "<b>&amp;").render(None, b"text/html", persistent=False))
    assert b"<pre>&lt;b&gt;&amp;amp;</pre>" in content
