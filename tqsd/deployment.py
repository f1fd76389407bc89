"""A deployment: what is ordered, how it went, and the record that is kept of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tqsd.errors import TqsdError
from tqsd.release import Release


class Cause(StrEnum):
    START = "start"
    SAVE = "save"
    SETTINGS = "settings"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    RESTART = "restart"
    WATCH = "watch"  # a file that the page watches has changed


class Outcome(StrEnum):
    SWITCHED = "switched"
    UNCHANGED = "unchanged"  # the sources gave the release that serves already
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """What to deploy and why. A page with a release in `releases` is not built.

    afresh  the pages that get new workers even for the release that serves
    """

    pages: tuple[str, ...]
    cause: Cause
    who: str = ""
    releases: Mapping[str, Release] = field(default_factory=dict)
    afresh: frozenset[str] = frozenset()
    holds: str = ""  # of a rollback: the release that the sources would give, "?" when there is none
    settle: float = 0.0  # seconds between the first event of a save and this order


@dataclass(slots=True)
class Deployment:
    """The record of one run: `stages` in milliseconds, and why it failed if it did."""

    order: Order
    began: float = field(default_factory=time.time)  # unix seconds
    stages: dict[str, float] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = Outcome.FAILED
    error: str = ""
    hint: str = ""
    output: str = ""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = round((time.perf_counter() - start) * 1000, 2)

    def failed(self, error: TqsdError) -> None:
        self.error, self.hint = error.message, error.hint
        self.output = getattr(error, "output", "")

    def as_json(self) -> dict[str, Any]:
        return {
            "time": round(self.began, 3),
            "pages": list(self.order.pages),
            "cause": self.order.cause,
            "who": self.order.who,
            "outcome": self.outcome,
            "releases": self.releases,
            "stages": self.stages,
            "error": self.error,
            "hint": self.hint,
            "output": self.output,
        }
