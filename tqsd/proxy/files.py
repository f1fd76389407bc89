"""Pages that the proxy serves itself, from a directory: each request opens its file anew, and no content is kept."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Final

from tqsd.http1.cache import Cache
from tqsd.http1.media import Media, media_of
from tqsd.http1.negotiation import ENDINGS
from tqsd.http1.reply import Reply
from tqsd.http1.representation import Pieces, Representation, length, redirect
from tqsd.proxy.balancer import Balancer
from tqsd.proxy.feed import Feed, Unread
from tqsd.proxy.intake import Intake
from tqsd.proxy.loop import log
from tqsd.proxy.opened import Opened, open_below
from tqsd.proxy.state import MORE, NOWHERE, WAITING, Step
from tqsd.proxy.wanted import Place, Wanted

if TYPE_CHECKING:
    from tqsd.proxy.client import Client

_AT_ONCE: Final = 32768  # bytes that are written together with the head; for more sendfile(2) is cheaper
_SETTLED: Final = 1_000_000_000  # ns; sooner after a change, another one could bear the same time
_TRIES: Final = 3  # at a file that shrinks between two system calls
_METHODS: Final = (b"GET", b"HEAD")
_NOT_THERE: Final = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV])
_NOT_ALLOWED: Final = frozenset([errno.EACCES, errno.EPERM])
_NOT_FOUND: Final = (b"404.html",)


class Files:
    """Answers requests from files. In dev the directory of a page is that of its sources, otherwise a release."""

    __slots__ = ("_balancer", "_boundary", "_intake", "_variants")

    def __init__(self, balancer: Balancer, intake: Intake) -> None:
        self._balancer = balancer  # which knows the mode in force
        self._intake = intake  # and this the site's page for what is not found
        self._boundary = os.urandom(15).hex().encode()
        self._variants: Cache[bytes, tuple[bytes, ...]] = Cache(4096, 512)  # by path in a release, which never changes

    def answer(self, client: Client, root: bytes) -> Step:
        """Answer the client's request, which waits, from the directory `root`."""
        exchange = client.exchange
        request = exchange.request
        wanted = request.wanted
        if wanted is None:
            head = request.head
            if head.method not in _METHODS:
                return exchange.refuse(Reply(405, "Files can only be read here.", allow=b"GET, HEAD"))
            wanted = request.wanted = Wanted(request.raw, head.method, head.path, request.route)
        if not exchange.sent:
            return self._after_content(client, root)
        for _ in range(_TRIES):
            step = self._try(client, root, wanted)
            if step is not None:
                return step
        return exchange.refuse(Reply(503, "This file is being written.", retry_after=1))

    def _after_content(self, client: Client, root: bytes) -> Step:
        """Content of a GET has no meaning (RFC 9110 9.3.1), but the next request comes behind it."""
        exchange = client.exchange

        def come() -> None:
            client.upstream = None
            step = self.answer(client, root)
            client.unpause()
            client.advance(step)

        unread = Unread(client, come)
        client.upstream = unread
        step = exchange.attach(unread)
        client.started()
        if step is MORE and not exchange.sent and b"\r\nexpect:" in exchange.request.raw.lower():
            return exchange.from_worker(b"HTTP/1.1 100 Continue\r\n\r\n")
        return step

    def _try(self, client: Client, root: bytes, wanted: Wanted) -> Step | None:
        """None when the file shrank before anything was sent."""
        place = wanted.place
        if place is None:
            return self._not_found(client, root, wanted)
        if not place:
            return _redirect(client)
        sources = self._balancer.mode == "dev"
        try:
            opened = open_below(root, place, sources)
        except OSError as error:
            return self._failed(client, root, wanted, error)
        if not opened.is_file:
            opened.close()
            is_index = client.exchange.request.head.path.endswith(b"/")
            return self._not_found(client, root, wanted) if is_index else _redirect(client)
        coding = b""
        if wanted.codings:
            variant = self._variant(root, place, wanted.codings, opened)
            if variant is not None:
                opened.close()
                opened, coding = variant
        found = _representation(wanted.media, coding, opened, sources)
        if wanted.whole:
            return _send(client, opened, found.whole(), [(0, found.size)])
        head, pieces = found.answer(wanted.asked, wanted.to_head, self._boundary)
        return _send(client, opened, head, [] if wanted.to_head else pieces)

    def _variant(
        self, root: bytes, place: Place, codings: tuple[bytes, ...], plain: Opened
    ) -> tuple[Opened, bytes] | None:
        """The best compressed variant that is there. One from an earlier second was made of an earlier file."""
        sources = self._balancer.mode == "dev"
        path = b"/".join((root, *place))
        there = None if sources else self._variants.get(path)
        if there is None:
            there = tuple(coding for coding, ending in ENDINGS.items() if os.access(path + ending, os.F_OK))
            if not sources:
                self._variants.remember(path, there)
        for coding in codings:
            if coding not in there:
                continue
            try:
                opened = open_below(root, (*place[:-1], place[-1] + ENDINGS[coding]), sources)
            except OSError:
                continue
            if opened.is_file and _second(opened) >= _second(plain):
                return opened, coding
            opened.close()
        return None

    # What is not there

    def _failed(self, client: Client, root: bytes, wanted: Wanted, error: OSError) -> Step | None:
        if error.errno in _NOT_THERE:
            return self._not_found(client, root, wanted)
        if error.errno in _NOT_ALLOWED:
            return client.exchange.refuse(Reply(403, "This file may not be read."))
        log(3, f"a file in {os.fsdecode(root)} cannot be opened: {error.strerror}")
        return client.exchange.refuse(Reply(503, "This file cannot be read now.", retry_after=1))

    def _not_found(self, client: Client, root: bytes, wanted: Wanted) -> Step | None:
        """The page's own 404.html goes before the site's."""
        sources = self._balancer.mode == "dev"
        try:
            opened = open_below(root, _NOT_FOUND, sources)
            if not opened.is_file:
                opened.close()
                raise IsADirectoryError
        except OSError:
            reply = Reply(404, "There is no such file.", html=self._intake.not_found)
            return client.exchange.refuse(reply)
        found = _representation(media_of(_NOT_FOUND[0]), b"", opened, sources)
        return _send(client, opened, found.not_found(), [] if wanted.to_head else [(0, found.size)])


def _representation(media: Media, coding: bytes, opened: Opened, sources: bool) -> Representation:
    """What a file is in this version.

    A version is a time: among sources that of the last change of any kind, which nobody can set. In a release it is
    that of the content, which the builder takes from the source with a checksum for its nanoseconds (see `copy`), so
    that a file that stays as it is has the same version in the next release.
    """
    status = opened.status
    version = status.st_ctime_ns if sources else status.st_mtime_ns
    settled = time.time_ns() - version >= _SETTLED
    return Representation(media, coding, status.st_size, version, _second(opened), settled)


def _second(opened: Opened) -> int:
    return opened.status.st_mtime_ns // 1_000_000_000


def _redirect(client: Client) -> Step:
    """To the same path with a slash behind it: links in a page are relative to that."""
    path, mark, query = client.exchange.request.head.target.partition(b"?")
    return _pass(client, redirect(path + b"/" + mark + query))


def _send(client: Client, opened: Opened, head: bytes, pieces: Pieces) -> Step | None:
    """Send an answer with pieces of the opened file, and close it; None when the file shrank before that."""
    if length(pieces) > _AT_ONCE:
        feed = Feed(client, opened.fd, pieces)
        client.upstream = feed
        step = _pass(client, head)
        client.started()
        return feed.send() if step is MORE else step
    try:
        for piece in pieces:
            if isinstance(piece, bytes):
                head += piece
            else:
                content = os.pread(opened.fd, piece[1], piece[0])
                if len(content) != piece[1]:
                    return None
                head += content
    finally:
        opened.close()
    return _pass(client, head)


def _pass(client: Client, data: bytes) -> Step:
    """Let the exchange answer with this, as if a worker had sent it."""
    exchange = client.exchange
    if exchange.state is WAITING:
        step = exchange.attach(NOWHERE)
        assert step is MORE
    return exchange.from_worker(data)
