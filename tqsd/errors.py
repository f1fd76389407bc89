"""Every error tqsd raises on purpose: what happened, what to do next, and the exit status it earns.

TqsdError
 +- UsageError        the command cannot mean anything here (exit 2)
 +- Unreachable       no running tqsd answers for this site (exit 3)
 +- ConfigError       a setting or a page's layout is wrong; carries all problems at once
 +- BuildError        a page did not build; carries the compiler's output
 +- NotReady          a worker did not become ready; carries its last log lines
 +- BeforeError     the command that a page has run before its start failed; carries its last lines
 +- StoreError        a release could not be stored or found
 +- DeployError       a deployment stopped; nothing changed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it is, what it is, and how to put it right."""

    where: str  # "config/tqsd.yaml:12: server.listen", or a page's directory
    message: str
    hint: str = ""
    page: str = ""  # the page it breaks; empty when it concerns the whole site

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class TqsdError(Exception):
    """A failure that tqsd understands: `message` says what happened, `hint` what to do next."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TqsdError):
    exit_status = 2


class Unreachable(TqsdError):
    exit_status = 3


class ConfigError(TqsdError):
    """Settings that do not hold; `problems` lists every one of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class BuildError(TqsdError):
    """A page that did not build; `output` is what the compiler said, paths relative to the site."""

    def __init__(self, message: str, hint: str = "", output: str = "") -> None:
        super().__init__(message, hint)
        self.output = output


class NotReady(TqsdError):
    """A worker that did not become ready; `output` holds its last log lines."""

    def __init__(self, message: str, hint: str = "", output: str = "") -> None:
        super().__init__(message, hint)
        self.output = output


class BeforeError(TqsdError):
    """A `deploy.before` that failed, was too slow or was killed; `output` holds its last lines."""

    def __init__(self, message: str, hint: str = "", output: str = "") -> None:
        super().__init__(message, hint)
        self.output = output


class StoreError(TqsdError):
    pass


class DeployError(TqsdError):
    pass
