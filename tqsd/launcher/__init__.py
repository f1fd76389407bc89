"""The launcher: the small program that runs a Python page. It is `__main__.py` here; the rest of tqsd only starts it.

It runs in the page's interpreter, where nothing else of tqsd can be imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tqsd.release import Release
from tqsd.state import Paths


def launcher(release: Release, paths: Paths) -> tuple[str, ...]:
    """The words that start the launcher for `release`: in its own virtual environment, else in this interpreter."""
    python = str(paths.venvs / release.venv / "bin/python") if release.venv else sys.executable
    return python, str(Path(__file__).parent)
