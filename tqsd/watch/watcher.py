"""The watcher: turns saves into orders. Which pages a save touches, whether their content changed, what it replaces."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tqsd.config import DeployWhen, Mode
from tqsd.deploy import deploy, withdraw
from tqsd.deployment import Cause, Deployment, Order, Outcome
from tqsd.dotenv import FILE as DOTENV
from tqsd.page import Page, Runtime
from tqsd.place import Place
from tqsd.release import Release
from tqsd.site import MARKS, PAGE_SETTINGS, own_files
from tqsd.state import PAGES, SETTINGS
from tqsd.store import Store
from tqsd.suite import Live, Suite
from tqsd.watch.changes import Changes, Save
from tqsd.watch.pattern import anchors, matching
from tqsd.watch.sight import Sight, needs_build, needs_workers

MODULE_FILES = ("go.mod", "go.sum", "go.work", "go.work.sum")
# In production a save is often one of many: a checkout of another commit. They become one set.
QUIET = 1.0  # seconds without a further save
GIT_AT_WORK = Path(".git/index.lock")
GIT_PATIENCE = 60.0  # seconds

log = logging.getLogger(__name__)

Fingerprint = frozenset[tuple[str, int, int]]


class Watcher:
    """Keeps the suite at what the site's sources say. `orders` are the deployments under way, by page."""

    def __init__(self, sight: Sight, suite: Suite, store: Store, changes: Changes) -> None:
        self.place: Place = sight.place
        self.sight = sight
        self.suite = suite
        self.store = store
        self.changes = changes
        self.orders: dict[str, asyncio.Task[Deployment]] = {}
        self.crashes: dict[str, int] = {}
        self._seen: dict[str, Fingerprint] = {}  # what pages were made of when they were ordered
        self._beside: dict[str, Fingerprint] = {}  # what the files were that pages watch without being made of them
        self._due: set[str] = set()  # pages that changed and wait for quiet
        self._quiet: asyncio.Task[None] | None = None

    @property
    def on_save(self) -> bool:
        default = DeployWhen.ON_SAVE if self.place.mode is Mode.DEV else DeployWhen.ON_COMMAND
        return (self.sight.settings.deploy or default) is DeployWhen.ON_SAVE

    def look(self) -> None:
        """Read settings and pages afresh into `lives`, for the start; later `follow` keeps up."""
        self.sight.read()
        self.suite.server = self.sight.settings.server
        self.suite.lives = {name: Live(page) for name, page in self.sight.discovery.pages.items()}
        for name, live in self.suite.lives.items():
            self._seen[name] = self._fingerprint(live)
            self._beside[name] = self._files_beside(live)

    async def begin(self, missing: Iterable[str]) -> None:
        """Order what has to happen at the start: releases without workers start, new and changed pages build."""
        missing = set(missing)
        for name, live in self.suite.lives.items():
            release = live.release
            if release is not None and (self._is_current(live, release, unknown=True) or not self.on_save):
                if name in missing:
                    self.order(Order((name,), Cause.START, releases={name: release}, afresh=frozenset({name})))
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

    def order_of(self, names: Collection[str], cause: Cause, who: str = "", settle: float = 0.0) -> Order:
        """An order that brings pages to their present sources; without a build where only files they watch changed."""
        kept, afresh = {}, set()
        for name in names:
            live = self.suite.lives[name]
            beside, self._beside[name] = self._beside.get(name), self._files_beside(live)
            if beside != self._beside[name]:
                afresh.add(name)
                if live.release is not None and not self._has_news(live):
                    kept[name] = live.release
        if cause is Cause.SAVE and len(kept) == len(names):
            cause = Cause.WATCH
        return Order(tuple(sorted(names)), cause, who, kept, frozenset(afresh), settle=settle)

    def is_stale(self, name: str) -> bool:
        """Whether the sources of a page, or the files it watches, differ from what serves."""
        live = self.suite.lives[name]
        if live.release is None or self.suite.builder.stale(live.page, live.release):
            return True
        return self._beside.get(name, frozenset()) != self._files_beside(live)

    def sources_release(self, live: Live) -> str:
        """The release that the present sources would give, if the store has it; else "?"."""
        for release in self.store.list(live.page.slug):
            if not self.suite.builder.stale(live.page, release):
                return release.digest
        return "?"

    async def _run(self, order: Order) -> Deployment:
        pages = ", ".join(order.pages)
        if len(order.releases) < len(order.pages):
            log.info("%s: building", pages)
        record = await deploy(order, self.suite)
        if record.outcome is Outcome.SWITCHED:
            took = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in record.stages.items() if ms >= 0.5)
            log.info("%s: serving release %s (%s)", pages, ", ".join(record.releases.values()), took)
        elif record.outcome is Outcome.UNCHANGED:
            log.info("%s: release %s serves already", pages, ", ".join(record.releases.values()))
        else:
            serving = all(self.suite.lives[n].serves for n in order.pages if n in self.suite.lives)
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
        changed = [name for name in self._touched(save.paths) if self._changed(self.suite.lives[name])]
        if self.place.mode is Mode.PROD:
            self._wait_for_quiet(changed)
            return
        for name in changed:
            self.order(self.order_of([name], Cause.SAVE, settle=time.monotonic() - save.first))

    def _changed(self, live: Live) -> bool:
        """Whether a page that a save touched has to be deployed."""
        name = live.page.name
        if self._beside.get(name) != self._files_beside(live):
            return True
        seen = self._fingerprint(live)
        if seen == self._seen.get(name):
            return False
        self._seen[name] = seen
        return self._has_news(live)

    def _wait_for_quiet(self, changed: Iterable[str]) -> None:
        self._due.update(changed)
        if self._due:
            if self._quiet:
                self._quiet.cancel()
            self._quiet = self.suite.spawn(self._deploy_when_quiet())

    async def _deploy_when_quiet(self) -> None:
        """Deploy all that is due as one set, together with the sets that it would cut short."""
        await asyncio.sleep(QUIET)
        until = time.monotonic() + GIT_PATIENCE
        while (self.place.site / GIT_AT_WORK).exists():
            if time.monotonic() > until:
                log.warning(
                    "%s is still there: left over by a git that was killed? deploying all the same", GIT_AT_WORK
                )
                break
            await asyncio.sleep(QUIET)
        names = {name for name in self._due if name in self.suite.lives}
        self._due.clear()
        for name, task in self.orders.items():
            if any(self.orders.get(other) is task for other in names):
                names.add(name)
        if names:
            self.order(self.order_of(names, Cause.SAVE))

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
        pages, settings = self.place.site / PAGES, self.place.site / SETTINGS
        within = [live.page for live in self.suite.lives.values() if live.page.directory in path.parents]
        if path.name in MARKS and path.exists():
            return not any(page.directory == path.parent and page.runtime is MARKS[path.name] for page in within)
        if path in (settings, settings.parent, self.place.site / DOTENV, self.place.paths.etc / SETTINGS.name):
            return True
        if path.name in (PAGE_SETTINGS, *MARKS):
            return True
        return path == pages or (pages in path.parents and (path.is_dir() or not path.exists() or not within))

    def _touched(self, paths: Iterable[Path]) -> Iterator[str]:
        for name, live in self.suite.lives.items():
            places = {live.page.directory, *self.suite.builder.watches(live.page, live.release)}
            places.update(anchors(self.place.site, live.page.settings.watch))
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

    def _files_beside(self, live: Live) -> Fingerprint:
        return frozenset(_stamps(matching(self.place.site, live.page.settings.watch)))

    async def rediscover(self, come_and_go: bool) -> None:
        """Read settings and pages again and bring the suite in line.

        come_and_go  whether new pages are deployed and removed ones withdrawn; on-command that waits for the command
        """
        sight, lives = self.sight, self.suite.lives
        before, settings = sight.discovery, sight.settings
        variables = {name: sight.variables(live.page) for name, live in lives.items()}
        sight.read()
        self.suite.server = sight.settings.server
        found, broken = sight.discovery.pages, sight.discovery.broken
        if settings.server.listen != sight.settings.server.listen:
            log.warning("server.listen has changed: that takes effect at the next start")
        orders: list[Order] = []
        for name in lives.keys() & found.keys():
            old, lives[name].page = lives[name].page, found[name]
            changed = sight.variables(found[name]) != variables[name]
            orders += self._orders_for_settings(lives[name], old, changed)
        if come_and_go:
            await self._withdraw([name for name in lives if name not in found and name not in broken])
            for name in found.keys() - lives.keys():
                lives[name] = Live(found[name])
                log.info("%s: new, serves %s", name, found[name].route)
                if self.place.mode is Mode.PROD and self.on_save:
                    self._wait_for_quiet([name])
                else:
                    orders.append(Order((name,), Cause.SAVE))
        if (before, settings) != (sight.discovery, sight.settings):
            await self.suite.proxies.switch(self.suite.table, [])
        for order in orders:
            for name in order.pages:
                self._seen[name] = self._fingerprint(lives[name])
            self.order(order)
        self._watch()

    def _orders_for_settings(self, live: Live, old: Page, changed_variables: bool) -> Iterator[Order]:
        """What a page's changed settings ask for. Where sources do not deploy by themselves, its release is kept."""
        page, name = live.page, live.page.name
        kept = not self.on_save or bool(self.suite.store.pointers(page.slug).pinned)
        releases = {name: live.release} if live.release and kept else {}
        builds = needs_build(old, page)
        if (changed_variables or needs_workers(old, page)) and (builds or page.runtime is not Runtime.STATIC):
            if self.on_save or releases:
                yield Order((name,), Cause.SETTINGS, releases=releases, afresh=frozenset({name}))
        elif builds and not kept:
            yield Order((name,), Cause.SETTINGS)

    async def _withdraw(self, names: list[str]) -> None:
        for name in names:
            log.info("%s: removed", name)
            if name in self.orders:
                self.orders[name].cancel()
        if names:
            await withdraw(names, self.suite)

    def _watch(self) -> None:
        site = self.place.site
        directories = {site, site / PAGES, site / SETTINGS.parent, self.place.paths.etc}
        for live in self.suite.lives.values():
            directories |= self.suite.builder.watches(live.page, live.release)
            directories.update(anchors(site, live.page.settings.watch))
        for refused in self.changes.watch(directories):
            log.warning("%s", refused)


def _stamps(files: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        yield str(file), status.st_size, status.st_ctime_ns  # which chmod changes as well
