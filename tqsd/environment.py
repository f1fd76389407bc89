"""The environment a worker is promised: whole, the same embedded and under systemd, and nothing by accident."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tqsd.config import Mode
from tqsd.page import Page

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")


def worker_environment(
    page: Page, port: int, mode: Mode, directories: tuple[Path, Path], own: Mapping[str, str], site: Mapping[str, str]
) -> dict[str, str]:
    """All variables of one worker; later ones win: inherited, the site's `env:`, the page's, and what tqsd promises.

    directories  the page's state and cache directory, the only places it may write
    own          the environment of tqsd itself, of which only INHERITED is passed on
    """
    state, cache = directories
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **{name: own[name] for name in INHERITED if name in own},
        **site,
        **page.settings.env,
        "PORT": str(port),
        "TQS_PORT": str(port),
        "TQS_PAGE": page.name,
        "TQS_ROUTE": page.route,
        "TQS_MODE": mode.value,
        "TQS_HEALTH": page.settings.health,
        "STATE_DIRECTORY": str(state),
        "CACHE_DIRECTORY": str(cache),
    }
