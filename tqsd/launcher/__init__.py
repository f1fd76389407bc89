"""The launcher: the small program that runs a Python page. It is `__main__.py` here; the rest of tqsd only starts it.

It runs in the page's interpreter, where nothing else of tqsd can be imported once it serves.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the launcher itself imports none of it
    from tqsd.release import Release
    from tqsd.state import Paths

OWN = "-"  # in place of a virtual environment's digest: the interpreter that runs tqsd
VENV = ".venv"  # in a release, the digest of its virtual environment; no dot file of a page is ever copied
SITE = ".site"  # in a release, the site's own modules
IMPORTS = ".imports"  # in a release, the names of modules that its page imports from elsewhere, one a line
_SERVER = ("tqsd", "uvicorn", "h11", "click", "websockets", "a2wsgi", "sdnotify")


def launcher(release: Release, paths: Paths) -> tuple[str, ...]:
    """The words that start the launcher for `release`: in its own virtual environment, else in this interpreter.

    They serve the page's next release as well, and then are quick if it has the same requirements and imports.
    """
    venvs, venv = str(paths.venvs), release.venv or OWN
    start = interpreter(venvs, venv, sys.executable), str(Path(__file__).parent)
    return *start, venv, venvs, sys.executable, str(release.directory), *server_places()


def interpreter(venvs: str, venv: str, own: str) -> str:
    """The interpreter of a virtual environment."""
    return own if venv == OWN else f"{venvs}/{venv}/bin/python"


@cache
def server_places() -> tuple[str, ...]:
    """The directories of packages from which tqsd has its server, for interpreters that would not find it."""
    found = [importlib.util.find_spec(name) for name in _SERVER]
    return tuple(dict.fromkeys(str(Path(spec.origin).parent.parent) for spec in found if spec and spec.origin))
