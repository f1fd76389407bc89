"""The application of a page: `app` in its app.py; and, where there is none to serve, why, in the page's own terms."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

from tqsd.launcher import SITE

_MAIN = 'keep what runs a server or ends the program under `if __name__ == "__main__":`'
_SHAPES = "`async def app(scope, receive, send)` or `def app(environ, start_response)`"


class Interface(StrEnum):
    """How an application is called; the values are uvicorn's."""

    ASGI = "asgi3"
    ASGI2 = "asgi2"  # the double call of before 2019
    WSGI = "wsgi"


class Unusable(Exception):
    """There is no application to serve: `reason` says why, `told` where in the sources, `remedy` what to do."""

    def __init__(self, reason: str, remedy: str, told: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*(told or [reason]), f"-> {remedy}"]))
        self.reason = reason


class PageFiles:
    """Where a page's modules lie in its release, and what they are called in the site."""

    def __init__(self, directory: str, page: str) -> None:
        self.directory = directory
        self.page = f"pages/{page}"

    def shown(self, text: str) -> str:
        """`text` with the release's files named as they are in the site."""
        return text.replace(f"{self.directory}/{SITE}/", "").replace(f"{self.directory}/", f"{self.page}/")


def load(files: PageFiles) -> tuple[Any, Interface]:
    """Import the page's application. Raises Unusable."""
    sys.path[:0] = [files.directory, f"{files.directory}/{SITE}"]
    try:
        module = importlib.import_module("app")
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise Unusable(reason, _remedy(error, files), _traceback(error, files)) from None
    except SystemExit as error:
        raise Unusable(
            f"{files.page}/app.py ends the program when it is imported", _MAIN, _traceback(error, files)
        ) from None
    app = getattr(module, "app", None)
    if app is None:
        raise Unusable(f"{files.page}/app.py defines no `app`", _proposal(module))
    interface = interface_of(app)
    if interface is None:
        raise Unusable(f"`app` in {files.page}/app.py is {_described(app)}, not an application", _proposal(module))
    return app, interface


def interface_of(app: Any) -> Interface | None:
    """How `app` wants to be called, by its parameters; None if it cannot be an application."""
    if not callable(app):
        return None
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # written in C
        return None
    call = app if inspect.isroutine(app) or inspect.isclass(app) else type(app).__call__
    if inspect.iscoroutinefunction(inspect.unwrap(call)):
        return Interface.ASGI if _takes(signature, 3) else None
    names = signature.parameters.keys()
    counts = [count for count in (1, 2, 3) if _takes(signature, count)]
    if counts == [1] and "scope" in names:
        return Interface.ASGI2
    if inspect.isclass(app):  # most are frameworks' own, whose applications have yet to be made
        return Interface.WSGI if counts == [2] else None
    if 3 in counts and not names & {"environ", "start_response"}:
        return Interface.ASGI
    return Interface.WSGI if 2 in counts else None


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _described(app: Any) -> str:
    if inspect.isclass(app):
        return f"the class {app.__name__}"
    if inspect.isroutine(app):
        return f"a function of other parameters, {app.__name__}{inspect.signature(app)}"
    return f"of type {type(app).__name__}"


def _proposal(module: ModuleType) -> str:
    app = getattr(module, "app", None)
    if inspect.isclass(app):
        return f"make one of it: app = {app.__name__}(...)"
    for name, value in vars(module).items():
        if name != "app" and not inspect.isclass(value) and not name.startswith("_") and interface_of(value):
            return f"`{name}` looks like an application: write app = {name}"
    return f"add app = FastAPI(), app = Flask(__name__), or your own {_SHAPES}"


def _remedy(error: Exception, files: PageFiles) -> str:
    """What to do about an exception of an import."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(error.name, files)
    if isinstance(error, ImportError) and "no known parent package" in str(error):
        return "app.py is in no package: write `import x` in place of `from . import x`"
    return f"correct {files.page}, and save"


def _missing(name: str, files: PageFiles) -> str:
    top = name.partition(".")[0]
    place = Path(*name.split("."))
    if top in sys.stdlib_module_names:
        return f"this Python ({sys.executable}) was built without {top}"
    if place.is_dir() or place.with_suffix(".py").is_file():  # the working directory is the site's
        return f"{place} is in the site, but no file of the page names it: write `import {name}` in one"
    for root in (Path(files.directory), Path(files.directory, SITE)):
        if (root / top).exists() or (root / f"{top}.py").exists():
            return f"there is no {name} in {files.shown(f'{root}/{top}')}"
    return f"add the package that has `{top}` to {files.page}/requirements.txt"


def _traceback(error: BaseException, files: PageFiles) -> list[str]:
    """The lines of a traceback without frames of the launcher's and of packages."""
    told = traceback.TracebackException.from_exception(error)
    for part in _chain(told):
        own = [frame for frame in part.stack if frame.filename.startswith(f"{files.directory}{os.sep}")]
        part.stack = traceback.StackSummary.from_list(own)
    return files.shown("".join(told.format())).rstrip("\n").split("\n")


def _chain(told: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    while told is not None:
        yield told
        told = told.__cause__ or told.__context__
