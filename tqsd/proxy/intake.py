"""From the bytes of a request head to what the proxy does with it, remembered by those very bytes."""

from __future__ import annotations

from typing import Any, Final

from tqsd.http1.cache import Cache
from tqsd.http1.forward import STRANGER, Peer, to_worker
from tqsd.http1.head import RequestHead, parse_request
from tqsd.http1.reply import Reply
from tqsd.proxy.balancer import Balancer, Pool
from tqsd.proxy.table import Settings, Table
from tqsd.proxy.wanted import Wanted
from tqsd.route import BadPath, NotAllowed, Route, RouteTable

_SPENT: Final[list[Any]] = []


class Request:
    """A request that was read and routed. Shared by all requests with the same head: nothing of one of them is in it.

    Either `pool` is to serve it, or `refusal` is its answer.
    """

    __slots__ = (
        "forward", "framing", "has_id", "head", "idempotent", "max_body", "persistent", "plain",
        "pool", "raw", "refusal", "route", "wanted",
    )  # fmt: skip

    @property
    def accept(self) -> bytes:
        """What the sender takes, in lower case; empty when it does not say."""
        lines = self.raw.lower().split(b"\r\n")
        return b",".join(line[7:] for line in lines if line.startswith(b"accept:"))

    def __init__(self, head: RequestHead, raw: bytes) -> None:
        self.head = head
        self.raw = raw
        self.framing = head.framing
        self.persistent = head.persistent
        self.idempotent = head.idempotent
        # What comes back may be passed on as it is, and remembered by its bytes
        self.plain = head.persistent and not (head.http10 or head.websocket or head.method == b"HEAD")
        self.forward = b""  # the head for the worker, but for its tail
        self.has_id = False  # `forward` holds an X-Request-Id
        self.max_body: int | None = None
        self.pool: Pool | None = None
        self.route = ""  # the pool's, as it was matched
        self.wanted: Wanted | None = None  # which file, once that was asked
        self.refusal: Reply | None = None


NO_REQUEST: Final = Request(RequestHead(b"", b"", b"", http10=False), b"")  # where none was read


class Intake:
    """Reads requests by the table in force; forgets what it knows when routes or settings change."""

    __slots__ = (
        "_balancer", "_ending", "_matches", "forwarded", "heads", "id_prefix", "not_found", "refused", "routes",
        "settings",
    )  # fmt: skip

    def __init__(self, balancer: Balancer, table: Table, id_prefix: bytes) -> None:
        self._balancer = balancer
        self._ending = False
        self.id_prefix = id_prefix  # of every X-Request-Id; their count follows it
        self.forwarded = 0
        self.refused = 0
        self.heads: dict[Peer, Cache[bytes, Request]] = {peer: Cache(2048, 2048) for peer in Peer}
        self._matches: Cache[tuple[bytes, bytes, bytes], Route | NotAllowed | None] = Cache(4096, 3)
        self.adopt(table)

    def adopt(self, table: Table) -> None:
        self.routes: RouteTable = table.routes
        self.settings: Settings = table.settings
        self.not_found = table.not_found
        self._matches.drop()
        for cache in self.heads.values():
            cache.drop()

    def end(self) -> None:
        """From now on every request is its connection's last."""
        self._ending = True
        for cache in self.heads.values():
            cache.drop()

    def read(self, raw: bytes, peer: Peer) -> Request:
        """The request of a whole head. Raises BadHead."""
        head = parse_request(raw, self.settings.max_target)
        if self._ending:
            head.persistent = False
        request = Request(head, raw)
        self._route(request, peer)
        head.lines = head.claims = _SPENT  # they are in `forward` now
        return request

    def _route(self, request: Request, peer: Peer) -> None:
        head = request.head
        try:
            found = self._match(head)
        except BadPath as fault:
            request.refusal, request.persistent = Reply(400, f"Not a path: {fault}."), False
            return
        if found is None:
            request.refusal = Reply(404, "No page serves this path.", html=self.not_found)
        elif isinstance(found, NotAllowed):
            request.refusal = Reply(405, "The page here does not take this method.", allow=found.allow)
        elif found.max_body is not None and head.length > found.max_body:
            request.refusal = Reply(413, f"This page takes at most {found.max_body} bytes.")
        else:
            request.pool = self._balancer.pools[found.page]
            request.route = found.route
            request.max_body = found.max_body
            request.forward = to_worker(head, request.raw, peer, _target(head, found))
            request.has_id = head.identified and peer is not STRANGER

    def _match(self, head: RequestHead) -> Route | NotAllowed | None:
        key = (head.path, head.method, head.host)
        if key in self._matches:
            return self._matches[key]
        path = b"/" if head.target == b"*" else head.path  # OPTIONS * is a question to the page at "/"
        found = self.routes.match(path, head.method, host_name(head.host))
        if len(head.path) + len(head.method) + len(head.host) < 512:
            self._matches.remember(key, found)
        return found


def _target(head: RequestHead, route: Route) -> bytes:
    if not route.strip_prefix or head.target == b"*":
        return head.target
    path, mark, query = head.target.partition(b"?")
    return route.stripped(path) + mark + query


def host_name(host: bytes) -> bytes:
    """A Host field as routes know it: lower case, no port, no final dot."""
    name = host if host.endswith(b"]") else host.rpartition(b":")[0] or host
    return name.lower().removesuffix(b".")
