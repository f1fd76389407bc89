"""Which worker gets a request, and which requests wait: decisions only, no connection is touched here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from tqsd.http1.reply import Reply
from tqsd.proxy.table import Row, Settings, Table

REFUSED_FOR = 0.015  # seconds a target is left alone after it refused a connection: a worker restarts in about 30 ms


class Target:
    """A worker as the proxy sees it. `idle` holds its open connections that no exchange uses, the freshest last."""

    __slots__ = ("draining", "idle", "inflight", "pool", "port", "refused_until", "release")

    def __init__(self, port: int, release: str, pool: Pool) -> None:
        self.port = port
        self.release = release
        self.pool = pool
        self.inflight = 0  # exchanges
        self.draining = False
        self.refused_until = 0.0
        self.idle: list[Any] = []


class Pool:
    """The targets of one page, and the requests that wait for one of them, each with the time it began to wait.

    A page with `files` has no targets: the proxy serves it from that directory.
    """

    __slots__ = (
        "concurrency",
        "files",
        "gone",
        "held",
        "ordered",
        "page",
        "reason",
        "state",
        "targets",
        "turn",
        "waiting",
    )

    def __init__(self, page: str) -> None:
        self.page = page
        self.state = "starting"
        self.reason = ""
        self.concurrency = 1
        self.targets: list[Target] = []
        self.files = b""
        self.turn = 0
        self.held = False  # requests wait: during a switch, or because somebody ordered it
        self.ordered = False
        self.gone = False  # the page is in no table any more; who waits here asks the new one
        self.waiting: OrderedDict[Any, float] = OrderedDict()


class Balancer:
    """All pools of the table in force, and the targets that left it and still have something in flight."""

    __slots__ = ("draining", "mode", "pools", "settings", "version")

    def __init__(self) -> None:
        self.version = 0
        self.mode = "prod"
        self.settings: Settings | None = None
        self.pools: dict[str, Pool] = {}
        self.draining: list[Target] = []

    def choose(self, pool: Pool, now: float) -> Target | None:
        """The target with the least in flight, equal ones in turn; None when none may have a request now."""
        targets = pool.targets
        if pool.held or not targets:
            return None
        limit = pool.concurrency
        if len(targets) == 1:
            only = targets[0]
            return only if only.inflight < limit and only.refused_until <= now else None
        best: Target | None = None
        turn = pool.turn
        for target in targets[turn:] + targets[:turn]:
            if target.inflight < limit and target.refused_until <= now:
                limit = target.inflight
                best = target
        pool.turn = (turn + 1) % len(targets)
        return best

    def refusal(self, pool: Pool, settings: Settings) -> Reply | None:
        """Why a request that found no target may not even wait; None when it may."""
        if not pool.targets and pool.state == "broken":
            return self.broken(pool)
        if len(pool.waiting) >= settings.queue_length:
            return Reply(503, "Too many requests wait for this page.", retry_after=1)
        return None

    def broken(self, pool: Pool) -> Reply:
        if self.mode == "dev":
            return Reply(503, pool.reason, retry_after=5)
        return Reply(503, f"This page is out of order. Reference: {pool.reason}", retry_after=30)

    def patience(self, pool: Pool, settings: Settings) -> float:
        """Seconds that a request may wait here."""
        first_build = not pool.targets and pool.state == "starting"
        return settings.first_build_timeout if first_build else settings.queue_timeout

    def retryable(self, pool: Pool) -> bool:
        """Requests wait here for no other reason than that targets refused a connection a moment ago."""
        if not pool.waiting or pool.held:
            return False
        return any(target.refused_until and target.inflight < pool.concurrency for target in pool.targets)

    def apply(self, table: Table) -> list[Target]:
        """Make `table` the one in force, in one step; returns the targets that leave it and so begin to drain.

        A target stays the same object when its port and release do, also one that was draining already.
        """
        known = {(t.port, t.release): t for pool in self.pools.values() for t in pool.targets}
        known |= {(t.port, t.release): t for t in self.draining}
        pools = {row.page: self._pool(row, known) for row in table.rows}
        for page, pool in self.pools.items():
            if page not in pools:
                pool.gone, pool.targets, pool.files, pool.held = True, [], b"", False
        named = {id(target) for pool in pools.values() for target in pool.targets}
        leaving = [t for t in known.values() if id(t) not in named and not t.draining]
        for target in known.values():
            target.draining = id(target) not in named
        self.draining = [target for target in known.values() if target.draining]
        self.pools, self.version, self.mode, self.settings = pools, table.version, table.mode, table.settings
        return leaving

    def _pool(self, row: Row, known: dict[tuple[int, str], Target]) -> Pool:
        pool = self.pools.get(row.page) or Pool(row.page)
        pool.state, pool.reason, pool.concurrency, pool.files = row.state, row.reason, row.concurrency, row.files
        pool.targets = [known.get(key) or Target(*key, pool) for key in row.targets]
        pool.turn = 0
        pool.ordered = row.held
        pool.held = pool.held or row.held
        for target in pool.targets:
            target.pool = pool
        return pool

    def hold(self, pages: Iterable[str]) -> None:
        """New requests of these pages wait; pages that the table does not name are nobody's."""
        for page in pages:
            if page in self.pools:
                self.pools[page].held = True

    def unhold(self, pages: Iterable[str] | None = None) -> None:
        """End the holds of these pages, or all, but for those that somebody ordered."""
        for pool in self.pools.values():
            if pages is None or pool.page in pages:
                pool.held = pool.ordered

    def release(self) -> None:
        """End all holds: who ordered them is gone."""
        for pool in self.pools.values():
            pool.ordered = pool.held = False

    def drained(self) -> list[Target]:
        """The draining targets with nothing in flight, each told once."""
        done = [target for target in self.draining if not target.inflight]
        if done:
            self.draining = [target for target in self.draining if target.inflight]
        return done
