"""What the site says now: its settings, its pages, its .env. Where a file has a mistake, what it said before holds."""

from __future__ import annotations

import logging

from tqsd.config import Mode, PageSettings, SiteSettings
from tqsd.dotenv import FILE, parse_dotenv
from tqsd.errors import ConfigError, Problem
from tqsd.page import Page
from tqsd.place import Place
from tqsd.site import Configuration, Discovery, discover, read_settings, read_text

# Settings that a page's workers are started with; a change needs new ones.
_OF_WORKERS = {"env", "secrets", "health", "stop_timeout", "max_children", "worker_concurrency"}
_OF_BUILDS = {"build", "run", "runtime"}

log = logging.getLogger(__name__)


class Sight:
    """The site as it was last read."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.configuration = Configuration()
        self.discovery = Discovery()
        self._dotenv: dict[str, str] = {}
        self._mistakes: tuple[Problem, ...] = ()  # in what is not a page's
        self._told: frozenset[Problem] = frozenset()

    @property
    def settings(self) -> SiteSettings:
        return self.configuration.settings

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (*self._mistakes, *self.discovery.problems)

    def read(self) -> None:
        """Read all of it again, and tell of each mistake once."""
        mistakes: list[Problem] = []
        try:
            self.configuration = read_settings(self.place.site, self.place.paths.etc)
        except ConfigError as error:
            mistakes.extend(error.problems)
        try:
            self._dotenv = self._read_dotenv()
        except ConfigError as error:
            mistakes.extend(error.problems)
        self._mistakes = tuple(mistakes)
        self.discovery = discover(self.place.site, self.configuration)
        told, self._told = self._told, frozenset(self.problems)
        for problem in self._told - told:
            log.error("%s", problem)

    def variables(self, page: Page) -> dict[str, str]:
        """What the site, the page and, in dev, .env set for a page's workers."""
        return {**self.settings.env, **page.settings.env, **self._dotenv}

    def _read_dotenv(self) -> dict[str, str]:
        path = self.place.site / FILE
        return parse_dotenv(read_text(path, FILE)) if self.place.mode is Mode.DEV and path.is_file() else {}


def needs_workers(old: Page, new: Page) -> bool:
    """Whether a page's new settings take effect only in new workers."""
    return _differ(old, new, _OF_WORKERS)


def needs_build(old: Page, new: Page) -> bool:
    """Whether a page's new settings may give another release."""
    return old.runtime is not new.runtime or _differ(old, new, _OF_BUILDS)


def _differ(old: Page, new: Page, names: set[str]) -> bool:
    def part(settings: PageSettings) -> dict[str, object]:
        return settings.model_dump(include=names)

    return part(old.settings) != part(new.settings)
