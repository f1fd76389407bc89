"""The environment a worker is promised: whole, the same embedded and under systemd, and nothing by accident."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tqsd.config import Mode
from tqsd.page import Page

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")


# Of a session, not of a program: nobody misses them in a page.
_SESSION = frozenset(
    "COLORTERM COLUMNS DISPLAY EDITOR HOSTNAME INVOCATION_ID JOURNAL_STREAM LESS LESSCLOSE LESSOPEN LINES LS_COLORS"
    " MAIL MANAGERPID NOTIFY_SOCKET OLDPWD PAGER PS1 PWD SHELL SHLVL TERM VIRTUAL_ENV VIRTUAL_ENV_PROMPT VISUAL"
    " WAYLAND_DISPLAY WINDOWID XAUTHORITY _".split()
)
_SESSIONS = tuple(
    "BASH_ CONDA_ DBUS_ DESKTOP_ GNOME_ GTK_ KDE_ LC_ MAKE MFLAGS SSH_ SYSTEMD_ TERM_ TMUX TQS_ VSCODE_ XDG_".split()
)


def not_passed(own: Mapping[str, str]) -> list[str]:
    """The variables of a shell that workers do not get, without those that only tell of the shell itself."""
    return sorted(n for n in own if n not in INHERITED and n not in _SESSION and not n.startswith(_SESSIONS))


def worker_environment(
    page: Page,
    port: int,
    mode: Mode,
    directories: tuple[Path, Path, Path],
    own: Mapping[str, str],
    variables: Mapping[str, str],
) -> dict[str, str]:
    """All variables of one worker; later ones win: inherited, `variables`, and what tqsd promises.

    directories  the page's state and cache directory, the only places it may write, and that of its secrets
    own          the environment of tqsd itself, of which only INHERITED is passed on
    variables    what the site, the page and, in dev, .env set
    """
    state, cache, credentials = directories
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **{name: own[name] for name in INHERITED if name in own},
        **variables,
        "PORT": str(port),
        "TQS_PORT": str(port),
        "TQS_PAGE": page.name,
        "TQS_ROUTE": page.route,
        "TQS_MODE": mode.value,
        "TQS_HEALTH": page.settings.health,
        "STATE_DIRECTORY": str(state),
        "CACHE_DIRECTORY": str(cache),
        "CREDENTIALS_DIRECTORY": str(credentials),
    }
