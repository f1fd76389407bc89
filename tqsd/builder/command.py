"""Command pages: any program. A release is the page's files, what `build.command` made beside them, and `.run`."""

from __future__ import annotations

import os
import re
import shlex
import signal
import textwrap
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqsd.builder.copies import Made, Material
from tqsd.builder.execution import ended, execute
from tqsd.builder.sources import everything
from tqsd.builder.toolchain import low_priority
from tqsd.builder.words import absolute, inner, obstacle
from tqsd.errors import BuildError, ConfigError
from tqsd.page import Page
from tqsd.release import short_hash
from tqsd.site import PAGE_SETTINGS, read_settings
from tqsd.state import PAGES
from tqsd.store import full

RUN = ".run"  # no dot file of a page is ever copied, so it takes no file's place
_TAIL = 100  # lines of a failed build's output that are kept
_SHOWN = 80  # characters of a command in a message
_NO_PROGRAM = 127  # how a shell, and npm, end then
_PATH = "/usr/local/bin:/usr/bin:/bin"

# A worker's directory is the site's root, so what the words name in the release needs its whole path.
_SCRIPT = """#!/bin/sh
# Made by tqsd of `run:` in {source}
here=${{0%/*}}
TQS_DIRECTORY=$here
export TQS_DIRECTORY
exec {words}
"""
_PORT = re.compile(r"\$(?:(?:TQS_)?PORT\b|\{(?:TQS_)?PORT\})")
# Variables by which a service manager speaks to tqsd, not to what tqsd starts.
_OURS = re.compile(r"(TQS_|LISTEN_|WATCHDOG_|NOTIFY_SOCKET$)")

# What builds say, and what to do then.
_HINTS = (
    (r"`npm ci` command can only install with an existing package-lock", "run `npm install` once beside it"),
    (
        r"ENOTFOUND|EAI_AGAIN|[Cc]ould not resolve host|failure in name resolution",
        "is the network reachable from here?",
    ),
)


class CommandRecipe:
    """See Recipe.

    `build.command` runs in the staging directory with the user's own environment, and CACHE_DIRECTORY: a directory
    of the page's alone below `cache` that outlives its builds, for what a compiler wants to find again
    (`cargo build --target-dir "$CACHE_DIRECTORY"`).
    """

    def __init__(self, site: Path, cache: Path) -> None:
        self._site = site.resolve()
        self._cache = cache

    def gather(self, page: Page) -> Material:
        settings = page.settings
        copies = {path.relative_to(page.directory).as_posix(): path for path in everything(page, self._site)}
        programs = sorted(place for place, path in copies.items() if os.access(path, os.X_OK))
        flags = {
            "build": settings.build.command,
            "run": settings.run,
            "executable": programs,  # so that `chmod +x` alone makes another release
            "script": [short_hash(_SCRIPT)],
        }
        return Material(copies, flags=tuple(f"{name}={shlex.join(words)}" for name, words in flags.items()))

    async def make(self, page: Page, material: Material, staging: Path) -> Made:
        if page.settings.build.command:
            await self._build(page, staging)
        words = page.settings.run
        self._check("run", words, page, staging, self._path(page))
        script = _SCRIPT.format(
            source=ascii(f"{PAGES}/{page.name}/{PAGE_SETTINGS}")[1:-1],
            words=" ".join(_shell_word(word, staging) for word in words),
        )
        place = staging / RUN
        place.unlink(missing_ok=True)  # whatever the build put there
        place.write_text(script)
        return Made(RUN)

    async def _build(self, page: Page, staging: Path) -> None:
        build = page.settings.build
        environment = self._environment(page, staging)
        self._check("build.command", build.command, page, staging, environment.get("PATH", _PATH))
        words = [*low_priority(), *absolute(build.command[:1], staging), *build.command[1:]]
        tail: deque[str] = deque(maxlen=_TAIL)
        try:
            status = await execute(words, staging, environment, build.timeout, tail.append)
        except TimeoutError:
            hint = "raise `build: {timeout: ...}` in its page.yaml"
            message = f"{page.name} did not build within {build.timeout:g} s"
            raise BuildError(message, hint, self._placed(tail, page, staging)) from None
        if status:
            output = self._placed(tail, page, staging)
            command = textwrap.shorten(shlex.join(build.command), _SHOWN, placeholder=" ...")
            message = f"{page.name} does not build: `{command}` {ended(status)}"
            raise BuildError(message, _hint(status, output, staging), output)

    def _check(self, key: str, words: Sequence[str], page: Page, staging: Path, path: str) -> None:
        if found := obstacle(key, words, staging, path):
            raise BuildError(f"{page.name}: {found[0]}", found[1])

    def _path(self, page: Page) -> str:
        """The PATH that the page's workers will have."""
        if "PATH" in page.settings.env:
            return page.settings.env["PATH"]
        try:
            site = read_settings(self._site).settings.env
        except ConfigError:
            site = {}
        return site.get("PATH") or os.environ.get("PATH", _PATH)

    def _environment(self, page: Page, staging: Path) -> dict[str, str]:
        """The user's own, as for other compilers; nothing of the page's, whose secrets no build needs."""
        cache = self._cache / "build" / page.slug
        cache.mkdir(parents=True, exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
        if not own.get("HOME"):
            own["HOME"] = str(cache)
        return {
            **own,
            "PWD": str(staging),
            "TQS_PAGE": page.name,
            "TQS_SITE": str(self._site),
            "CACHE_DIRECTORY": str(cache),
        }

    def _placed(self, lines: Iterable[str], page: Page, staging: Path) -> str:
        """What the build said, with the page's files named as seen from the site's root."""
        return "\n".join(lines).replace(str(staging), f"{PAGES}/{page.name}").strip()


def _shell_word(word: str, staging: Path) -> str:
    """A word as the script has it: a file of the release by its path there, and $PORT as the port."""
    if place := inner(word, staging):
        return f'"$here"/{shlex.quote(place)}'
    pieces = _PORT.split(word)
    return '"$PORT"'.join(shlex.quote(piece) if piece else "" for piece in pieces) or "''"


def _hint(status: int, output: str, staging: Path) -> str:
    if re.search(r"ENOSPC|[Nn]o space left on device", output):
        return f"{full(staging)}; make room there"
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "memory ran out: give the machine more, or build fewer pages at once"
    if status == _NO_PROGRAM and (found := re.search(r"(\S+): (?:command )?not found", output)):
        return f"install {found[1]}, or write its whole path"
    return next((hint for pattern, hint in _HINTS if re.search(pattern, output)), "")
