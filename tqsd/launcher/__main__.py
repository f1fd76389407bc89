"""A slot for a Python page, and then its worker: `python DIRECTORY VENV VENVS PYTHON RELEASE PLACE...`.

VENV is the digest of the virtual environment that this is, VENVS the directory of all, PYTHON the interpreter that
runs tqsd, RELEASE a release of the page's, PLACE where the server's packages are if not here. While it waits, the
server is imported already, and what that release imports from elsewhere. The line `release executable` on standard
input makes it that release's worker; the end of input, or SIGTERM, ends the slot.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    # Until there is a server nothing has to be finished. Not by an exception: code of a page could catch that.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    gc.disable()  # what is imported stays
    venv, venvs, own, earlier, *places = sys.argv[1:]
    seen = sys.path[1:]  # the first is this directory
    # The page's own packages go first, so that a page with another version of one of ours has that for all.
    sys.path[:] = [*seen, *(place for place in places if place not in seen)]
    from tqsd.launcher import IMPORTS, OWN, SITE, VENV, interpreter  # noqa: PLC0415 - not to be found before
    from tqsd.launcher.server import serve  # noqa: PLC0415

    sys.path[:] = seen
    before = set(sys.modules)
    for name in _read_text(f"{earlier}/{IMPORTS}").split():
        with contextlib.suppress(Exception, SystemExit):  # the page will get the same, if it imports that still
            importlib.import_module(name)
    ahead = {name.partition(".")[0] for name in set(sys.modules) - before}
    gc.freeze()
    line = _read_line()
    release, _, executable = os.fsdecode(line).rstrip("\n").partition(" ")
    directory = os.path.dirname(executable)
    wanted = _read_text(f"{directory}/{VENV}") or OWN
    if wanted != venv or _hides(ahead, directory, f"{directory}/{SITE}"):
        _begin_again(line, interpreter(venvs, wanted, own), [sys.argv[0], wanted, venvs, own, os.devnull, *places])
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.environ["TQS_RELEASE"] = release
    sys.argv[:] = [executable]
    serve(directory)


def _read_line() -> bytes:
    """The line on standard input. Ends this process if there is none."""
    line = b""
    while not line.endswith(b"\n"):
        some = os.read(0, 8192)
        if not some:
            os._exit(0)
        line += some
    return line


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _hides(names: set[str], *places: str) -> bool:
    """Whether one of the modules imported ahead would come from these directories instead."""
    return any(
        os.path.exists(f"{place}/{name}{end}") for place in places for name in names for end in (".py", "/__init__.py")
    )


def _begin_again(line: bytes, python: str, words: list[str]) -> NoReturn:
    """Take the line to another interpreter: requirements or modules have changed since this slot was armed."""
    reader, writer = os.pipe()
    os.write(writer, line)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
    try:
        os.execv(python, [python, *words])
    except OSError as error:
        sys.exit(f"the virtual environment of this release is damaged: {python}: {error.strerror}\n-> tqsd deploy")


if __name__ == "__main__":
    main()
