"""One request and its response crossing the proxy, then the next one on the same connection.

Bytes go in from the client and from the worker; what is to be sent goes out by `put` of two sinks; the Step returned
says what the owner of the connections has to do next (see state.py). Nothing here waits, connects or knows the time.
"""

from __future__ import annotations

from typing import Final

from tqsd.http1.body import BadBody, Follower, Frames, Length, follow
from tqsd.http1.field import TOKEN, BadHead
from tqsd.http1.forward import Peer
from tqsd.http1.head import NONE, UNTIL_CLOSE, ResponseHead
from tqsd.http1.reply import Reply
from tqsd.proxy.answer import ends_connection, is_decoded, read_answer, remembered, render, render_reply
from tqsd.proxy.intake import NO_REQUEST, Intake
from tqsd.proxy.state import (
    ABORT,
    ANSWERING,
    ASKED,
    CLOSE,
    DONE,
    IDLE,
    MORE,
    NOWHERE,
    OVER,
    ROUTE,
    TUNNEL,
    WAITING,
    Sink,
    Step,
)  # fmt: skip

_END: Final = b"\r\n\r\n"
_MAX_RESPONSE_HEAD: Final = 65536
_MAX_RESENDS: Final = 3  # a request that ends every worker it meets must not meet them all
_GOING_AWAY: Final = b"\x88\x02\x03\xe9"  # RFC 6455 5.5.1 and 7.4.1: a close frame with status 1001


class Exchange:
    """Lives as long as its client's connection and holds one exchange at a time.

    `address` is what X-Forwarded-For says of the client, empty for Peer.LOCAL.
    """

    __slots__ = (
        "_answer", "_answer_content", "_content", "_frames", "_half", "_heads", "_intake", "_leaving", "_peer",
        "_tail", "address", "buffer", "client", "heard", "persistent", "request", "resends", "reusable",
        "sent", "state", "unread", "worker",
    )  # fmt: skip

    def __init__(self, client: Sink, intake: Intake, peer: Peer, address: bytes) -> None:
        self.client = client
        self.worker = NOWHERE
        self.state = IDLE
        self.request = NO_REQUEST
        self.buffer = b""  # from the client, not used yet
        self.sent = True  # the request came whole and went to the worker
        self.persistent = True  # the client's connection outlives the exchange
        self.heard = b""  # the worker's head, as far as it has come
        self.resends = 0  # how often the request went to another worker
        self.unread = False  # at the end: the client may still send what nobody reads
        self.reusable = False  # the worker's connection is fit for another exchange
        self._intake = intake
        self.address = address
        self._half = False  # one end has ended its side, the other may go on
        self._leaving = False  # the tunnel ends at the next frame
        self._content: Follower | None = None  # of the request
        self._answer: ResponseHead | None = None
        self._answer_content: Follower | None = None
        self._frames: Frames | None = None
        self.trust(peer)

    def trust(self, peer: Peer) -> None:
        """From the next request on, believe this client as `peer` is believed."""
        self._peer = peer
        self._heads = self._intake.heads[peer]
        self._tail = self.address + b"\r\nX-Request-Id: " + self._intake.id_prefix

    # What the client sends

    def from_client(self, data: bytes) -> Step:
        if self.state is not IDLE:
            return self._more(data)
        if self.buffer:
            data = self.buffer + data
            self.buffer = b""
        request = self._heads.get(data)
        if request is None:
            step = self._read(data)
            if step is not ROUTE:
                return step
            request = self.request
        else:
            self.request = request
        self.persistent = request.persistent
        self.sent = request.framing is NONE
        self.resends = 0
        if request.refusal is not None:
            return self.refuse(request.refusal)
        self.state = WAITING
        return ROUTE

    def resume(self) -> Step:
        """After DONE: begin with the next request, if it has come already."""
        return self.from_client(b"") if self.buffer else MORE

    def _read(self, data: bytes) -> Step:
        """Read a head that is not remembered; ROUTE when `request` is the one that has come."""
        while data.startswith(b"\r\n"):  # RFC 9112 2.2: empty lines before a request line are to be ignored
            data = data[2:]
        end = data.find(_END) + 4
        if end < 4 or end > self._intake.settings.max_head:
            return self._unfinished(data, end)
        try:
            self.request = self._intake.read(data[:end], self._peer)
        except BadHead as fault:
            return self._refuse_unread(fault.status, fault.why)
        self._heads.remember(self.request.raw, self.request)
        self.buffer = data[end:]
        return ROUTE

    def _more(self, data: bytes) -> Step:
        state = self.state
        if state is TUNNEL:
            self.worker.put(data)
        elif state is not OVER:
            if state is WAITING or self.sent:
                self.buffer += data
            else:
                return self._pass_content(data, b"")
        return MORE

    def _unfinished(self, data: bytes, end: int) -> Step:
        """A head whose end has not come, or too late: refused as soon as it cannot become a good one."""
        settings = self._intake.settings
        if data and ((data[0] not in TOKEN and data != b"\r") or data.count(b"\n") != data.count(b"\r\n")):
            return self._refuse_unread(400, "not an HTTP request")
        if max(len(data), end) >= settings.max_head:
            words = data.partition(b"\r\n")[0].split(b" ", 2)
            if len(words) > 1 and len(words[1]) > settings.max_target:
                return self._refuse_unread(414, "the request target is too long")
            return self._refuse_unread(431, "the request head is too long")
        self.buffer = data
        return MORE

    def _refuse_unread(self, status: int, why: str) -> Step:
        """Where one message ends and the next begins is unknown now: the connection cannot be used again."""
        self.request = NO_REQUEST
        self.sent = False
        return self.refuse(Reply(status, f"{why[0].upper()}{why[1:]}."))

    def reroute(self) -> Step:
        """While WAITING: read the request again, because the table it was routed by is gone."""
        self.state = IDLE
        self.buffer = self.request.raw + self.buffer
        return self.from_client(b"")

    def attach(self, worker: Sink) -> Step:
        """Give the request that ROUTE announced to a worker whose connection is open."""
        request = self.request
        self.worker = worker
        self.state = ASKED
        intake = self._intake
        intake.forwarded += 1
        if request.has_id:
            out = request.forward + self.address + _END
        else:
            out = b"%b%b%x\r\n\r\n" % (request.forward, self._tail, intake.forwarded)
        if self.sent:
            worker.put(out)
            return MORE
        self._content = follow(request.framing, request.head.length)
        data = self.buffer
        self.buffer = b""
        return self._pass_content(data, out)

    def _pass_content(self, data: bytes, before: bytes) -> Step:
        content = self._content
        assert content is not None
        try:
            end = content.feed(data)
        except BadBody as fault:
            return self._break_off(Reply(400, f"The request is broken: {fault}."))
        limit = self.request.max_body
        if limit is not None and content.size > limit:
            return self._break_off(Reply(413, f"This page takes at most {limit} bytes."))
        if end >= 0:
            self.sent = True
            self.buffer = data[end:]
            data = data[:end]
        self.worker.put(before + data)
        return MORE

    def _break_off(self, reply: Reply) -> Step:
        self.persistent = False
        return self.refuse(reply) if self.state is ASKED else self.cut()

    def client_ended(self) -> Step:
        """The client sends no more."""
        state = self.state
        if state is IDLE or state is OVER:
            return CLOSE
        if state is TUNNEL:
            return self._end_half(self.worker)
        if self.sent and not self.persistent:
            self._half = True
            return MORE
        return self.cut()

    # What the worker sends

    def from_worker(self, data: bytes) -> Step:
        state = self.state
        if state is ASKED:
            return self._read_answer(data)
        if state is ANSWERING:
            return self._pass_answer(data, b"")
        if state is TUNNEL:
            return self._pass_frames(data)
        return MORE

    def _read_answer(self, data: bytes) -> Step:
        request = self.request
        if self.heard:
            data = self.heard + data
            self.heard = b""
        plain = request.plain
        while True:
            end = data.find(_END) + 4
            if end < 4:
                self.heard = data
                return MORE if len(data) < _MAX_RESPONSE_HEAD else self._bad_gateway("its head is too long")
            head = data[:end]
            answer = remembered.get(head) if plain else None
            if answer is None:
                try:
                    answer = read_answer(head, request)
                except BadHead as fault:
                    return self._bad_gateway(fault.why)
            if answer.whole and plain and self.sent and self.persistent and len(data) - end == answer.length:
                self.client.put(data)
                return self._finish(answer.persistent)
            data = data[end:]
            if answer.status >= 200:
                return self._answer_with(answer, data)
            if answer.status == 101:
                return self._switch(answer, data)
            self.resends = _MAX_RESENDS  # it has begun to work on it
            if not request.head.http10:  # RFC 9110 15.2
                self.client.put(render(answer, request, self.persistent))

    def _answer_with(self, answer: ResponseHead, data: bytes) -> Step:
        request = self.request
        if ends_connection(answer, request) or not self.sent:
            self.persistent = False
        out = render(answer, request, self.persistent)
        self._answer = answer
        if answer.framing is NONE:
            self.client.put(out)
            return self._finish(answer.persistent and not data)
        self.state = ANSWERING
        self._answer_content = follow(answer.framing, answer.length)
        return self._pass_answer(data, out)

    def _pass_answer(self, data: bytes, before: bytes) -> Step:
        answer, content, request = self._answer, self._answer_content, self.request
        assert answer is not None
        assert content is not None
        decoded: list[bytes] | None = [] if is_decoded(answer, request) else None
        try:
            end = content.feed(data, decoded)
        except BadBody as fault:
            return self._bad_gateway(str(fault)) if before else self.cut()
        out = b"".join(decoded) if decoded is not None else data if end < 0 else data[:end]
        if before or out:
            self.client.put(before + out)
        return MORE if end < 0 else self._finish(answer.persistent and end == len(data))

    def passed(self, count: int) -> Step:
        """The next `count` bytes of an answer of known length have gone to the client by another way."""
        assert self._answer is not None
        assert isinstance(self._answer_content, Length)
        return self._finish(self._answer.persistent) if self._answer_content.skip(count) else MORE

    def _bad_gateway(self, why: str) -> Step:
        return self.refuse(Reply(502, f"The page sent something that is not HTTP: {why}."))

    def worker_ended(self, cleanly: bool) -> Step:
        """The worker sends no more: `cleanly` by the end of its stream, or by an error."""
        state = self.state
        request = self.request
        if state is TUNNEL:
            return self._end_half(self.client) if cleanly else self.cut()
        if state is not ASKED:
            until_close = state is ANSWERING and self._answer is not None and self._answer.framing is UNTIL_CLOSE
            return self._finish(False) if cleanly and until_close else self.cut()
        # RFC 9110 9.2.2: only what may be done twice is sent twice, and only if nothing came back
        if not self.heard and request.framing is NONE and self.resends < _MAX_RESENDS and request.idempotent:
            self.resends += 1
            self.worker = NOWHERE
            self.state = WAITING
            return ROUTE
        return self.refuse(Reply(502, "The page ended before it had answered."))

    # The tunnel

    def _switch(self, answer: ResponseHead, data: bytes) -> Step:
        request = self.request
        if not request.head.websocket or not answer.websocket:
            return self._bad_gateway("a switch of protocols that was not asked for")
        self.state = TUNNEL
        self._frames = Frames()
        self.client.put(render(answer, request, True))
        if self.buffer:
            self.worker.put(self.buffer)
            self.buffer = b""
        return self._pass_frames(data) if data else MORE

    def _pass_frames(self, data: bytes) -> Step:
        assert self._frames is not None
        end = self._frames.feed(data, stop=self._leaving)
        self.client.put(data[:end])
        return self._leave() if self._leaving else MORE

    def _leave(self) -> Step:
        if self._frames is None or not self._frames.between:
            return MORE
        self.client.put(_GOING_AWAY)
        self._finish(False)
        return CLOSE

    def _end_half(self, other: Sink) -> Step:
        other.finish()
        if self._half:
            self._finish(False)
            return CLOSE
        self._half = True
        return MORE

    # Ends

    def go_away(self) -> Step:
        """End what is under way, because its worker is to end: a WebSocket at the next frame, anything else now."""
        self.persistent = False
        if self.state is TUNNEL:
            self._leaving = True
            return self._leave()
        if self.state in (WAITING, ASKED):
            return self.refuse(Reply(503, "This page is being replaced.", retry_after=1))
        return self.cut()

    def expire(self) -> Step:
        """Time is up for what is waited for now."""
        state = self.state
        if state is IDLE:
            if not self.buffer:
                self.state = OVER
                return CLOSE
            return self._refuse_unread(408, "the request did not come in time")
        if state is WAITING:
            return self.refuse(Reply(503, "No worker of this page became free in time.", retry_after=5))
        if state is ASKED:
            if self.sent:
                return self.refuse(Reply(504, "The page did not answer in time."))
            return self._break_off(Reply(408, "The request did not come in time."))
        return self.cut()

    def forget(self) -> None:
        """Its connections are closed; without this they would be a cycle, and left to the garbage collector."""
        self.client = self.worker = NOWHERE
        self.request = NO_REQUEST

    def refuse(self, reply: Reply) -> Step:
        """Answer with a reply of ours; nothing of another answer may have been sent."""
        self._intake.refused += 1
        if not self.sent:
            self.persistent = False
        self.client.put(render_reply(reply, self.request, self.persistent))
        return self._finish(False)

    def cut(self) -> Step:
        """End it unfinished, so that nobody takes it for whole."""
        self._finish(False)
        self.state = OVER
        return ABORT

    def _finish(self, reusable: bool) -> Step:
        request = self.request
        self.reusable = reusable and self.sent
        self.worker = NOWHERE
        self.request = NO_REQUEST
        if self.persistent and self.sent:
            self.state = IDLE
            return DONE
        self.unread = request is NO_REQUEST or request.persistent or not self.sent or bool(self.buffer)
        self.state = OVER
        return CLOSE
