"""Giving requests to workers: a kept connection, a new one, or a place in the page's queue; or to `files`."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from tqsd.http1.cache import Cache
from tqsd.http1.forward import Peer
from tqsd.http1.head import NONE
from tqsd.proxy.balancer import REFUSED_FOR, Balancer, Pool, Target
from tqsd.proxy.client import Client
from tqsd.proxy.counters import Counters
from tqsd.proxy.files import Files
from tqsd.proxy.intake import Intake, Request
from tqsd.proxy.loop import Loop
from tqsd.proxy.state import MORE, ROUTE, WAITING, Step
from tqsd.proxy.table import Table
from tqsd.proxy.upstream import Upstream, connect

_CUT_AFTER: Final = 2.0  # seconds a WebSocket that is to close has to finish the frame it is in


class Dispatch:
    """Owns what all connections share: the table in force, the pools, the counters.

    `drained(port)` is told when a target that left the table has nothing in flight; `newer_table()` applies the table
    file when it is newer and says whether it did; `room()` is told when a client has closed.
    """

    __slots__ = (
        "_peers",
        "_retry_due",
        "_waking",
        "balancer",
        "clients",
        "counters",
        "drained",
        "files",
        "intake",
        "loop",
        "newer_table",
        "room",
        "settings",
        "table",
    )

    def __init__(self, loop: Loop, table: Table, id_prefix: bytes) -> None:
        self.loop = loop
        self.table = table
        self.settings = table.settings
        self.balancer = Balancer()
        self.balancer.apply(table)
        self.intake = Intake(self.balancer, table, id_prefix)
        self.files = Files(self.balancer, self.intake)
        self.counters = Counters()
        self.clients = 0
        self.drained: Callable[[int], None] = lambda port: None
        self.newer_table: Callable[[], bool] = lambda: False
        self.room: Callable[[], None] = lambda: None
        self._peers: Cache[str, Peer] = Cache(1024, 64)
        self._waking: set[Pool] = set()
        self._retry_due = False

    def opened(self) -> None:
        self.clients += 1
        self.counters.connections += 1

    def closed(self) -> None:
        self.clients -= 1
        self.room()

    def peer(self, address: str) -> Peer:
        """How far a client is believed; `address` is empty for a unix socket."""
        if not address:
            return Peer.LOCAL
        peer = self._peers.get(address)
        if peer is None:
            peer = Peer.TRUSTED if self.settings.trusts(address) else Peer.STRANGER
            self._peers.remember(address, peer)
        return peer

    # One request

    def place(self, client: Client) -> Step:
        """Give the client's request to a worker, or let it wait, or refuse it."""
        request = client.exchange.request
        pool = request.pool
        assert pool is not None
        if not pool.waiting:
            choose = self.balancer.choose
            now = self.loop.now
            while (target := choose(pool, now)) is not None:
                step = self._start(client, request, target)
                if step is not None:
                    return step
            if pool.files and not pool.held:
                return self.files.answer(client, pool.files)
        return client.exchange.reroute() if pool.gone else self._wait(client, pool)

    def _start(self, client: Client, request: Request, target: Target) -> Step | None:
        """None when the target refuses a connection: nothing of the request has left then."""
        idle = target.idle
        upstream: Upstream | None
        if idle and request.idempotent and not client.exchange.resends:
            upstream = idle.pop()
        else:
            upstream = self._fresh(target)
            if upstream is None:
                self._mark_refused(target)
                return None
        target.inflight += 1
        upstream.client = client
        client.upstream = upstream
        if upstream.connecting:
            client.deadline = self._patience_ends(client, target.pool)
            return MORE
        step = client.exchange.attach(upstream)
        if request.framing is NONE:
            client.deadline = self.loop.now + self.settings.response_timeout
        else:
            client.started()
        return step

    def _fresh(self, target: Target) -> Upstream | None:
        """A connection that is surely open: one used a moment ago, or a new one.

        A worker may close an unused connection at the very moment we write on it. A GET is then sent again; a POST
        must not be, and gets 502. So it takes no chance with a connection that a worker's keep-alive timeout may be
        about to end; one for each POST would leave too many ports in TIME_WAIT.
        """
        if target.idle:
            upstream: Upstream = target.idle.pop()
            if upstream.is_fresh():
                return upstream
            if not upstream.closed:
                target.idle.append(upstream)
        return connect(self, target)

    def attach(self, client: Client, upstream: Upstream) -> None:
        """The connection that `client` waited for is open."""
        step = client.exchange.attach(upstream)
        client.started()
        client.unpause()
        client.advance(step)

    def refused(self, client: Client, upstream: Upstream) -> None:
        """The connection that `client` waited for did not come about."""
        client.upstream = None
        upstream.release(reusable=False)
        self._mark_refused(upstream.target)
        client.advance(ROUTE)

    def _mark_refused(self, target: Target) -> None:
        target.refused_until = self.loop.now + REFUSED_FOR
        self.newer_table()

    # Requests that wait

    def _wait(self, client: Client, pool: Pool) -> Step:
        refusal = self.balancer.refusal(pool, self.settings)
        if refusal is not None:
            return client.exchange.refuse(refusal)
        client.deadline = self._patience_ends(client, pool)
        if client.deadline <= self.loop.now:
            return client.exchange.expire()
        client.queue = pool
        pool.waiting[client] = client.waiting_since
        self._retry_soon(pool)
        return MORE

    def _patience_ends(self, client: Client, pool: Pool) -> float:
        """When this request has waited long enough, counted from the first time it had to."""
        client.waiting_since = client.waiting_since or self.loop.now
        return client.waiting_since + self.balancer.patience(pool, self.settings)

    def leave(self, client: Client) -> None:
        """The client has left, or is out of patience."""
        if client.queue is not None:
            del client.queue.waiting[client]
            client.queue = None

    def freed(self, target: Target) -> None:
        """An exchange of this target is over."""
        if target.draining:
            self.tell_drained()
        self.wake(target.pool)

    def wake(self, pool: Pool) -> None:
        """Look at this queue at the end of the turn."""
        if not self._waking:
            self.loop.after(0.0, self._serve_woken)
        self._waking.add(pool)

    def _serve_woken(self) -> None:
        pools, self._waking = self._waking, set()
        for pool in pools:
            self._serve(pool)

    def _serve(self, pool: Pool) -> None:
        waiting = pool.waiting
        while waiting:
            client: Client = next(iter(waiting))
            if pool.gone:
                self.leave(client)
                client.advance(client.exchange.reroute())
            elif pool.files and not pool.held:
                self.counters.waits.add(self.loop.now - waiting[client])
                self.leave(client)
                answered = self.files.answer(client, pool.files)
                client.unpause()
                client.advance(answered)
            elif not pool.targets and pool.state == "broken":
                self.leave(client)
                client.advance(client.exchange.refuse(self.balancer.broken(pool)))
            else:
                target = self.balancer.choose(pool, self.loop.now)
                if target is None:
                    break
                step = self._start(client, client.exchange.request, target)
                if step is None:
                    continue
                self.counters.waits.add(self.loop.now - waiting[client])
                if client.exchange.state is not WAITING:
                    client.unpause()
                self.leave(client)
                client.advance(step)
        self._retry_soon(pool)

    def _retry_soon(self, pool: Pool) -> None:
        """A worker that ended is back on its port within some 30 ms, and nobody tells us."""
        if not self._retry_due and self.balancer.retryable(pool):
            self._retry_due = True
            self.loop.after(REFUSED_FOR, self._retry)

    def _retry(self) -> None:
        self._retry_due = False
        for pool in self.balancer.pools.values():
            if self.balancer.retryable(pool):
                self._serve(pool)

    # The whole table

    def apply(self, table: Table) -> None:
        """Replace the table in force. What is in flight goes on; what waits looks again."""
        waiting = [pool for pool in self.balancer.pools.values() if pool.waiting]
        changed = not table.routes_like(self.table)
        leaving = self.balancer.apply(table)
        if changed:
            self.intake.adopt(table)
        if table.settings != self.settings:
            self.settings = table.settings
            self._peers.drop()
            for client in self.each_client():
                client.trust()
        self.table = table
        for target in leaving:
            for upstream in list(target.idle):
                upstream.close()
        self.tell_drained()
        for pool in waiting:
            self.wake(pool)

    def hold(self, pages: list[str]) -> None:
        self.balancer.hold(pages)

    def unhold(self, pages: list[str] | None = None) -> None:
        self.balancer.unhold(pages)
        for pool in self.balancer.pools.values():
            if pool.waiting:
                self.wake(pool)

    def end_exchanges(self, ports: Container[int] | None = None) -> None:
        """End what is in flight on these draining targets; on all targets when `ports` is None."""
        for client in self.each_client():
            upstream = client.upstream
            target = upstream.target if isinstance(upstream, Upstream) else None
            if ports is None or (target and target.draining and target.port in ports):
                client.deadline = min(client.deadline, self.loop.now + _CUT_AFTER)
                client.advance(client.exchange.go_away())

    def tell_drained(self) -> None:
        for target in self.balancer.drained():
            self.drained(target.port)

    def each_client(self) -> list[Client]:
        return [source for source in self.loop.sources if isinstance(source, Client)]

    def report(self) -> dict[str, int | float]:
        counters, waits = self.counters, self.counters.waits
        requests = self.intake.forwarded
        return {
            "requests": requests,
            "refused": self.intake.refused,
            "connections": counters.connections,
            "clients": self.clients,
            "in_flight": sum(client.upstream is not None for client in self.each_client()),
            "waiting": sum(len(pool.waiting) for pool in self.balancer.pools.values()),
            "resent": counters.resent,
            "waited": waits.count,
            "wait_p99_ms": round(waits.quantile(0.99, requests), 3),
            "wait_max_ms": round(waits.longest, 3),
        }
