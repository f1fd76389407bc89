"""Secrets: files that only the suite can read, lent to the workers of the pages that name them.

<etc>/secrets/NAME        what somebody set, mode 0600 in a directory 0700
<run>/credentials/<slug>/ what a page's workers may read: $CREDENTIALS_DIRECTORY, as systemd calls it
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from tqsd.errors import UsageError
from tqsd.state import Paths, write_file

LIMIT = 1 << 20  # bytes; systemd takes no more for one credential (systemd.exec(5), LoadCredential=)


class Secrets:
    """The secrets of one suite."""

    def __init__(self, paths: Paths) -> None:
        self._directory = paths.etc / "secrets"

    def names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self._directory.iterdir() if is_name(entry.name))
        except FileNotFoundError:
            return []

    def set(self, name: str, value: bytes) -> None:
        """Keep `value`, whole or not at all. Raises UsageError for what no secret can be, OSError for a full disk."""
        if not is_name(name):
            raise UsageError(
                f"{name!r} is no name for a secret", "letters, digits and _, not a digit first: DB_PASSWORD"
            )
        if not value or len(value) > LIMIT:
            raise UsageError(f"the value of {name} is {'empty' if not value else 'longer than 1 MiB'}")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        write_file(self._directory / name, value, mode=0o600)

    def remove(self, name: str) -> None:
        """Forget a secret. Raises UsageError when there is none of that name."""
        try:
            (self._directory / name).unlink()
        except (FileNotFoundError, OSError):
            raise UsageError(f"there is no secret {name}", f"set: {', '.join(self.names()) or 'none'}") from None

    def lend(self, names: Iterable[str], place: Path) -> list[str]:
        """Make `place` hold exactly these secrets, readable by its owner alone; returns those that are not set."""
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        missing = []
        wanted = set(names)
        for name in sorted(wanted):
            try:
                write_file(place / name, (self._directory / name).read_bytes(), mode=0o400)
            except FileNotFoundError:
                missing.append(name)
        for entry in os.scandir(place):
            if entry.name not in wanted or entry.name in missing:
                os.unlink(entry.path)
        return missing


def is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name) is not None
