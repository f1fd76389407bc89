"""The proxy's own replies, as text, JSON or HTML by the request's Accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from tqsd.http1.forward import CLOSE, KEEP_ALIVE
from tqsd.http1.head import RequestHead

PHRASES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


class Reply:
    """A reply of ours: a status, one sentence or the compiler's lines, and the fields that go with that status."""

    __slots__ = ("allow", "html", "retry_after", "status", "why")

    def __init__(self, status: int, why: str, allow: bytes = b"", retry_after: int = 0, html: str = "") -> None:
        self.status = status
        self.why = why
        self.allow = allow  # the value of Allow, for 405
        self.retry_after = retry_after  # seconds; 0: no such field
        self.html = html  # the whole page to show instead of ours, to those who take HTML

    def render(self, request: RequestHead | None, accept: bytes, persistent: bool) -> bytes:
        """The bytes to send. `request` is None when it could not be read; a HEAD request gets no content.

        `accept` is the value of its Accept field in lower case, or empty.
        """
        kind, content = self._content(accept)
        phrase = PHRASES[self.status].encode()
        head = [b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n" % (self.status, phrase, kind)]
        head.append(b"Content-Length: %d\r\nCache-Control: no-store\r\n" % len(content))
        if self.allow or self.status == 405:  # RFC 9110 15.5.6
            head.append(b"Allow: %b\r\n" % self.allow)
        if self.retry_after:
            head.append(b"Retry-After: %d\r\n" % self.retry_after)
        if not persistent:
            head.append(CLOSE)
        elif request is not None and request.http10:
            head.append(KEEP_ALIVE)
        head.append(b"\r\n")
        if request is None or request.method != b"HEAD":
            head.append(content)
        return b"".join(head)

    def _content(self, accept: bytes) -> tuple[bytes, bytes]:
        phrase = PHRASES[self.status]
        if b"text/html" in accept or (self.html and b"json" not in accept):
            return b"text/html; charset=utf-8", (self.html or self._page()).encode()
        if b"json" in accept:
            value = {"status": self.status, "title": phrase, "detail": self.why}
            return b"application/problem+json", json.dumps(value, ensure_ascii=False).encode()
        return b"text/plain; charset=utf-8", f"{self.status} {phrase}\n{self.why}\n".encode()

    def _page(self) -> str:
        title = f"{self.status} {PHRASES[self.status]}"
        return (
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
            f"<h1>{title}</h1>\n<pre>{_escape(self.why)}</pre>\n"
        )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
