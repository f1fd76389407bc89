"""The watcher: turns saves into orders. Which page a save touches, whether its content changed, what it replaces."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqsd.config import DeployWhen, Mode, PageSettings, SiteSettings
from tqsd.deploy import Cause, Deployment, Live, Order, Outcome, Suite, deploy, withdraw
from tqsd.errors import ConfigError, Problem
from tqsd.page import Page
from tqsd.release import Release
from tqsd.site import MARKS, PAGE_SETTINGS, Discovery, discover, own_files, read_settings
from tqsd.state import PAGES, SETTINGS, Paths
from tqsd.store import Store
from tqsd.watch.changes import Changes, Save

MODULE_FILES = ("go.mod", "go.sum", "go.work", "go.work.sum")
# Settings that only the table carries; a change of any other needs new workers.
TABLE_SETTINGS = {"route", "methods", "hosts", "strip_prefix", "max_body"}

log = logging.getLogger(__name__)

Fingerprint = frozenset[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how this watcher works."""

    site: Path
    mode: Mode
    paths: Paths
    urls: tuple[str, ...] = ()  # where the site answers


class Watcher:
    """Keeps the suite at what the site's sources say. `orders` are the deployments under way, by page."""

    def __init__(self, place: Place, suite: Suite, store: Store, changes: Changes) -> None:
        self.place = place
        self.suite = suite
        self.store = store
        self.changes = changes
        self.settings = SiteSettings()
        self.discovery = Discovery()
        self.problems: tuple[Problem, ...] = ()  # of config/tqsd.yaml
        self.orders: dict[str, asyncio.Task[Deployment]] = {}
        self.crashes: dict[str, int] = {}
        self._seen: dict[str, Fingerprint] = {}
        self._told: frozenset[Problem] = frozenset()

    @property
    def on_save(self) -> bool:
        when = self.settings.deploy or (DeployWhen.ON_SAVE if self.place.mode is Mode.DEV else DeployWhen.ON_COMMAND)
        return when is DeployWhen.ON_SAVE

    def look(self) -> None:
        """Read settings and pages afresh into `lives`, for the start; later `follow` keeps up."""
        self._read()
        self.suite.lives = {name: Live(page) for name, page in self.discovery.pages.items()}
        for live in self.suite.lives.values():
            self._seen[live.page.name] = self._fingerprint(live)

    async def begin(self, missing: Iterable[str]) -> None:
        """Order what has to happen at the start: releases without workers start, new and changed pages build."""
        missing = set(missing)
        for name, live in self.suite.lives.items():
            release = live.release
            if release is not None and (self._is_current(live, release, unknown=True) or not self.on_save):
                if name in missing:
                    self.order(Order((name,), Cause.START, releases={name: release}, again=True))
            else:
                self.order(Order((name,), Cause.START))
        self._watch()

    async def follow(self) -> None:
        """React to saves until cancelled."""
        async for save in self.changes.saves():
            try:
                await self._take(save)
            except OSError as error:  # a directory that vanishes while it is read has an event of its own
                log.warning("a change could not be followed: %s", error)

    async def mourn(self) -> None:
        """Tell of workers that ended by themselves; bringing them back is their manager's work."""
        async for end in self.suite.manager.exits():
            self.crashes[end.page] = self.crashes.get(end.page, 0) + 1
            tail = f"\n{end.output}" if end.output else ""
            log.error("%s: the worker on port %d %s and is started again%s", end.page, end.port, end.reason, tail)

    def order(self, order: Order) -> asyncio.Task[Deployment]:
        """Begin a deployment; one of the same pages that has not switched yet gives way to it."""
        for name in order.pages:
            if name in self.orders:
                self.orders[name].cancel()
        task = asyncio.create_task(self._run(order))
        for name in order.pages:
            self.orders[name] = task
        task.add_done_callback(lambda done: self._over(order, done))
        return task

    def is_stale(self, name: str) -> bool:
        """Whether the sources of a page differ from the release that serves."""
        live = self.suite.lives[name]
        return live.release is None or self.suite.builder.stale(live.page, live.release)

    def sources_release(self, live: Live) -> str:
        """The release that the present sources would give, if the store has it; else "?"."""
        for release in self.store.list(live.page.slug):
            if not self.suite.builder.stale(live.page, release):
                return release.digest
        return "?"

    async def _run(self, order: Order) -> Deployment:
        pages = ", ".join(order.pages)
        if not order.releases:
            log.info("%s: building", pages)
        record = await deploy(order, self.suite)
        if record.outcome is Outcome.SWITCHED:
            took = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in record.stages.items() if ms >= 0.5)
            log.info("%s: serving release %s (%s)", pages, ", ".join(record.releases.values()), took)
        elif record.outcome is Outcome.UNCHANGED:
            log.info("%s: release %s serves already", pages, ", ".join(record.releases.values()))
        else:
            serving = all(self.suite.lives[n].workers for n in order.pages if n in self.suite.lives)
            rest = "the old version serves on" if serving else "the page answers 503"
            text = "\n".join(filter(None, (record.error, record.output, record.hint and f"-> {record.hint}")))
            log.error("%s: %s (%s)", pages, text, rest)
        self._watch()
        return record

    def _over(self, order: Order, task: asyncio.Task[Deployment]) -> None:
        for name in order.pages:
            if self.orders.get(name) is task:
                del self.orders[name]
        if not task.cancelled() and (error := task.exception()):
            log.error("%s: internal error: %r", ", ".join(order.pages), error, exc_info=error)

    async def _take(self, save: Save) -> None:
        if not self.place.site.is_dir():
            log.error("%s has moved away; what runs serves on until it is back", self.place.site)
            return
        if any(self._is_structural(path) for path in save.paths):
            await self.rediscover(come_and_go=self.on_save)
        if not self.on_save:
            return
        for name in self._touched(save.paths):
            live = self.suite.lives[name]
            seen = self._fingerprint(live)
            if seen != self._seen.get(name):
                self._seen[name] = seen
                if self._has_news(live):
                    self.order(Order((name,), Cause.SAVE, settle=time.monotonic() - save.first))

    def _has_news(self, live: Live) -> bool:
        """Whether the content differs from what serves, failed, or is being built: a mere touch is no news."""
        return (
            live.page.name in self.orders
            or bool(live.reason)
            or live.release is None
            or not self._is_current(live, live.release, unknown=False)
        )

    def _is_current(self, live: Live, release: Release, unknown: bool) -> bool:
        """Whether the sources gave `release`, or are those that somebody rolled back from.

        unknown  the answer for a rollback from sources that gave no release, so that nothing tells if they are the same
        """
        pinned = self.suite.store.pointers(live.page.slug).pinned
        if not pinned:
            return not self.suite.builder.stale(live.page, release)
        held = self.store.get(live.page.slug, pinned)
        return unknown if held is None else not self.suite.builder.stale(live.page, held)

    def _is_structural(self, path: Path) -> bool:
        """Whether a change there can add, remove or change a page, not only its content."""
        pages = self.place.site / PAGES
        if path.name in MARKS and path.exists():
            return not any(live.page.directory == path.parent for live in self.suite.lives.values())
        settings = self.place.site / SETTINGS
        if path in (settings, settings.parent) or path.name in (PAGE_SETTINGS, *MARKS):
            return True
        return path == pages or (pages in path.parents and (path.is_dir() or not path.exists()))

    def _touched(self, paths: Iterable[Path]) -> Iterator[str]:
        for name, live in self.suite.lives.items():
            places = {live.page.directory, *self.suite.builder.watches(live.page, live.release)}
            if any(places & {path, *path.parents} or path.name in MODULE_FILES for path in paths):
                yield name

    def _fingerprint(self, live: Live) -> Fingerprint:
        """Sizes and times of everything the page may be made of; equal ones mean that nothing was saved in between."""
        files = list(own_files(live.page.directory)) if live.page.directory.is_dir() else []
        for directory in self.suite.builder.watches(live.page, live.release):
            if directory.is_dir():
                files += [Path(entry.path) for entry in os.scandir(directory) if entry.is_file()]
        files += [self.place.site / name for name in MODULE_FILES]
        return frozenset(_stamps(files))

    def _read(self) -> None:
        try:
            self.settings = read_settings(self.place.site)
            self.problems = ()
        except ConfigError as error:
            self.problems = error.problems
        self.discovery = discover(self.place.site, self.settings)
        self.suite.server = self.settings.server
        told, self._told = self._told, frozenset((*self.problems, *self.discovery.problems))
        for problem in self._told - told:
            log.error("%s", problem)

    async def rediscover(self, come_and_go: bool) -> None:
        """Read settings and pages again and bring the suite in line.

        come_and_go  whether new pages are deployed and removed ones withdrawn; on-command that waits for the command
        """
        before, settings = self.discovery, self.settings
        self._read()
        lives, found, broken = self.suite.lives, self.discovery.pages, self.discovery.broken
        if settings.server.listen != self.settings.server.listen:
            log.warning("server.listen has changed: that takes effect at the next start")
        orders = []
        for name in lives.keys() & found.keys():
            live = lives[name]
            if settings.env != self.settings.env or _needs_workers(live.page, found[name]):
                holds = not self.on_save or self.suite.store.pointers(live.page.slug).pinned
                kept = {name: live.release} if live.release and holds else {}
                orders.append(Order((name,), Cause.SETTINGS, releases=kept, again=True))
            live.page = found[name]
        if come_and_go:
            await self._withdraw([name for name in lives if name not in found and name not in broken])
            for name in found.keys() - lives.keys():
                lives[name] = Live(found[name])
                log.info("%s: new, serves %s", name, found[name].route)
                orders.append(Order((name,), Cause.SAVE))
        if (before, settings) != (self.discovery, self.settings):
            await self.suite.proxies.switch(self.suite.table, [])
        for order in orders:
            self._seen[order.pages[0]] = self._fingerprint(lives[order.pages[0]])
            if self.on_save or order.releases:
                self.order(order)
        self._watch()

    async def _withdraw(self, names: list[str]) -> None:
        for name in names:
            log.info("%s: removed", name)
            if name in self.orders:
                self.orders[name].cancel()
        if names:
            await withdraw(names, self.suite)

    def _watch(self) -> None:
        site = self.place.site
        directories = {site, site / PAGES, site / SETTINGS.parent}
        for live in self.suite.lives.values():
            directories |= self.suite.builder.watches(live.page, live.release)
        for refused in self.changes.watch(directories):
            log.warning("%s", refused)


def _needs_workers(old: Page, new: Page) -> bool:
    def lasting(settings: PageSettings) -> dict[str, object]:
        return settings.model_dump(exclude=TABLE_SETTINGS)

    return lasting(old.settings) != lasting(new.settings)


def _stamps(files: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        yield str(file), status.st_size, status.st_mtime_ns
