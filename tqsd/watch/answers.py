"""What the watcher answers on its control sockets: `status`, `deploy`, `rollback` and the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from tqsd.config import Mode
from tqsd.control.proxies import Proxies
from tqsd.control.server import Answer, Emit
from tqsd.deployment import Cause, Deployment, Order, Outcome
from tqsd.errors import DeployError, UsageError
from tqsd.suite import Live
from tqsd.table import BROKEN
from tqsd.watch.watcher import Watcher


class Answers:
    """One method per question; each gets the message and a way to tell progress, and returns plain data."""

    def __init__(self, watcher: Watcher, proxies: Proxies) -> None:
        self._watcher = watcher
        self._proxies = proxies
        self._since = time.time()

    def readers(self) -> dict[str, Answer]:
        return {"status": self.status}

    def verbs(self) -> dict[str, Answer]:
        return {
            "deploy": self.deploy,
            "rollback": self.rollback,
            "restart": self.restart,
            "hold": self.hold,
            "release": self.release,
        }

    async def status(self, message: dict[str, Any], emit: Emit) -> dict[str, Any]:
        watcher = self._watcher
        place = watcher.place
        return {
            "site": str(place.site),
            "mode": place.mode.value,
            "since": round(self._since, 3),
            "urls": list(place.urls),
            "proxies": self._proxies.pids(),
            "problems": [str(problem) for problem in watcher.sight.problems],
            "pages": [self._page(live) for _, live in sorted(watcher.suite.lives.items())],
        }

    async def deploy(self, message: dict[str, Any], emit: Emit) -> dict[str, Any]:
        """Build and switch the named pages, or all whose sources differ. In production as one set."""
        await self._watcher.rediscover(come_and_go=True)
        names = self._names(message["pages"])
        if not message["pages"]:
            names = [n for n in names if self._watcher.is_stale(n) or self._watcher.suite.lives[n].reason]
        sets = [tuple(names)] if self._watcher.place.mode is Mode.PROD and names else [(name,) for name in names]
        orders = [self._watcher.order_of(pages, Cause.DEPLOY, message.get("who", "")) for pages in sets]
        return await self._carry_out(orders)

    async def restart(self, message: dict[str, Any], emit: Emit) -> dict[str, Any]:
        """New workers of the release that serves, ready before the old ones go."""
        orders = []
        for name in self._names(message["pages"]):
            release = self._watcher.suite.lives[name].release
            if release is None:
                raise DeployError(f"{name} serves no release that could be restarted", f"tqsd deploy {name}")
            orders.append(Order((name,), Cause.RESTART, message.get("who", ""), {name: release}, frozenset({name})))
        return await self._carry_out(orders)

    async def rollback(self, message: dict[str, Any], emit: Emit) -> dict[str, Any]:
        """Serve an earlier release without a build, and stay there until the content changes or somebody deploys."""
        (name,) = self._names([message["page"]])
        live = self._watcher.suite.lives[name]
        kept = [release.digest for release in self._watcher.store.list(live.page.slug)]
        serving = live.release.digest if live.release else ""
        digest = self._choose(name, kept, message.get("release"), serving)
        release = self._watcher.store.get(live.page.slug, digest)
        if release is None:
            raise DeployError(f"release {digest} of {name} is damaged", f"choose another: {', '.join(kept)}")
        holds = self._watcher.sources_release(live)
        order = Order((name,), Cause.ROLLBACK, message.get("who", ""), {name: release}, holds=holds)
        return await self._carry_out([order])

    async def hold(self, message: dict[str, Any], emit: Emit) -> dict[str, Any]:
        """Let new requests of pages wait in the proxies, until `release` or their patience ends."""
        return await self._set_held(self._names(message["pages"]), True)

    async def release(self, message: dict[str, Any], emit: Emit) -> dict[str, Any]:
        """Let the requests of held pages go on."""
        return await self._set_held(self._names(message["pages"]), False)

    async def _set_held(self, names: list[str], held: bool) -> dict[str, Any]:
        suite = self._watcher.suite
        changed = [name for name in names if suite.lives[name].held is not held]
        for name in changed:
            suite.lives[name].held = held
        if changed:
            await suite.proxies.switch(suite.table, [])
        return {"pages": names, "changed": changed}

    def _choose(self, name: str, kept: Sequence[str], wanted: str | None, serving: str) -> str:
        live = self._watcher.suite.lives[name]
        if wanted:
            matching = [digest for digest in kept if digest.startswith(wanted)]
            if len(matching) != 1:
                what = "is not kept" if not matching else "could be several"
                raise UsageError(f"release {wanted} of {name} {what}", f"kept: {', '.join(kept) or 'none'}")
            return matching[0]
        previous = self._watcher.suite.store.pointers(live.page.slug).previous
        if previous and previous in kept and previous != serving:
            return previous
        others = [digest for digest in kept if digest != serving]
        if not others:
            raise DeployError(f"{name} has no earlier release to go back to", "see `tqsd status`")
        return others[0]

    async def _carry_out(self, orders: list[Order]) -> dict[str, Any]:
        records = await asyncio.gather(*map(self._watcher.order, orders), return_exceptions=True)
        done: list[Deployment] = []
        for order, record in zip(orders, records, strict=True):
            if isinstance(record, asyncio.CancelledError):
                pages = ", ".join(order.pages)
                raise DeployError(
                    f"a newer change of {pages} took the place of this {order.cause}", "see `tqsd status`"
                )
            if isinstance(record, BaseException):
                raise record
            done.append(record)
        return {
            "deployments": [record.as_json() for record in done],
            "failed": any(record.outcome is Outcome.FAILED for record in done),
        }

    def _names(self, wanted: Sequence[str]) -> list[str]:
        """Pages by name or by route; all of them for none. Raises UsageError for an unknown one."""
        lives = self._watcher.suite.lives
        if not wanted:
            return sorted(lives)
        names = []
        for word in wanted:
            plain = word.removeprefix("pages/").strip("/")
            name = plain if plain in lives else next((n for n, live in lives.items() if live.page.route == word), None)
            if name is None:
                raise UsageError(f"there is no page {word}", f"pages: {', '.join(sorted(lives)) or 'none yet'}")
            names.append(name)
        return sorted(set(names))

    def _page(self, live: Live) -> dict[str, Any]:
        pointers = self._watcher.suite.store.pointers(live.page.slug)
        name = live.page.name
        ordered = self._watcher.orders.get(name)
        return {
            "page": name,
            "route": live.page.route,
            "runtime": live.page.runtime.value,
            "state": "failed" if live.state == BROKEN else live.state,
            "deploying": ordered is not None and not ordered.done(),
            "release": live.release.digest if live.release else None,
            "previous": pointers.previous,
            "pinned": pointers.pinned is not None,
            "held": live.held,
            "stale": self._watcher.is_stale(name),
            "workers": [{"port": worker.port, "release": worker.release} for worker in live.workers],
            "draining": sum(len(retired.workers) for retired in live.draining),
            "crashes": self._watcher.crashes.get(name, 0),
            "problem": live.reason,
            "warning": live.warning,
            "last": live.last.as_json() if live.last else None,
        }
