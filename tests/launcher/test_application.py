"""What is an application, and what a page is told that has none."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.pages import ASGI, WSGI, Pages, told
from tqsd.errors import NotReady
from tqsd.launcher.application import Interface, interface_of


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def asgi_by_a_future(scope: Any, receive: Any, send: Any) -> Any: ...
def wsgi(environ: Any, start_response: Any) -> Any: ...
def wsgi_with_more(environ: Any, start_response: Any, exc_info: Any = None) -> Any: ...
def double(scope: Any) -> Any: ...
def nothing() -> None: ...
def anything(*args: Any) -> Any: ...
async def coroutine_of_two(environ: Any, start_response: Any) -> None: ...


@functools.wraps(wsgi)
def wrapped(*args: Any, **named: Any) -> Any: ...


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


class Framework:
    def __init__(self, name: str, root: str = "", debug: bool = False) -> None: ...


class Keywords:
    def __init__(self, *, debug: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi, Interface.ASGI),
        (Asgi(), Interface.ASGI),
        (Asgi().__call__, Interface.ASGI),
        (asgi_by_a_future, Interface.ASGI),
        (functools.partial(asgi), Interface.ASGI),
        (anything, Interface.ASGI),
        (wsgi, Interface.WSGI),
        (wsgi_with_more, Interface.WSGI),
        (wrapped, Interface.WSGI),
        (Wsgi(), Interface.WSGI),
        (WsgiClass, Interface.WSGI),
        (double, Interface.ASGI2),
        (nothing, None),
        (coroutine_of_two, None),
        (Framework, None),
        (Keywords, None),
        (dict, None),
        ("app", None),
        (None, None),
    ],
)
def test_an_application_is_known_by_its_parameters(app: Any, interface: Interface | None) -> None:
    assert interface_of(app) is interface


FAILURES = [
    pytest.param(
        "x = 1\n",
        "pages/chat/app.py defines no `app`",
        "add app = FastAPI(), app = Flask(__name__), or your own",
        id="no app",
    ),
    pytest.param(
        WSGI.replace("def app", "def application"),
        "pages/chat/app.py defines no `app`",
        "`application` looks like an application: write app = application",
        id="another name",
    ),
    pytest.param(
        "app = 7\n", "`app` in pages/chat/app.py is of type int, not an application", "add app", id="a number"
    ),
    pytest.param(
        "def app(request): ...\n",
        "`app` in pages/chat/app.py is a function of other parameters, app(request), not an application",
        "add app",
        id="another function",
    ),
    pytest.param(
        "class app:\n    def __init__(self, name, root=''): ...\n".replace("app", "Api") + "app = Api\n",
        "`app` in pages/chat/app.py is the class Api, not an application",
        "make one of it: app = Api(...)",
        id="a class",
    ),
    pytest.param(
        "import nothing_like_it\n",
        "ModuleNotFoundError: No module named 'nothing_like_it'",
        "add the package that has `nothing_like_it` to pages/chat/requirements.txt",
        id="not installed",
    ),
    pytest.param(
        "import own.missing\n",
        "ModuleNotFoundError: No module named 'own.missing'",
        "there is no own.missing in pages/chat/own",
        id="missing in a package of its own",
    ),
    pytest.param(
        "from . import own\n",
        "ImportError: attempted relative import with no known parent package",
        "app.py is in no package: write `import x` in place of `from . import x`",
        id="relative",
    ),
    pytest.param(
        "import sys\nsys.exit(3)\n",
        "SystemExit: 3",
        'keep what runs a server or ends the program under `if __name__ == "__main__":`',
        id="exits",
    ),
    pytest.param("import own\nown.fail()\n", "RuntimeError: no database", "correct pages/chat, and save", id="raises"),
    pytest.param("def f(:\n", "SyntaxError: invalid syntax", "correct pages/chat, and save", id="syntax"),
    pytest.param(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[3600]).start()\n1 / 0\n",
        "ZeroDivisionError: division by zero",
        "correct pages/chat, and save",
        id="raises beside a thread",
    ),
]


@pytest.mark.process
@pytest.mark.parametrize(("source", "reason", "remedy"), FAILURES)
def test_a_page_without_an_application_is_told_why_and_what_to_do(
    tmp_path: Path, source: str, reason: str, remedy: str
) -> None:
    own = "def fail():\n    raise RuntimeError('no database')\n"

    async def story(pages: Pages) -> None:
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(pages.worker({"app.py": source, "own/__init__.py": own}))
        *_, told_reason, told_remedy = caught.value.output.splitlines()
        assert told_reason == reason
        assert told_remedy.startswith(f"-> {remedy}")
        assert "ended with exit status 1 before it was ready" in caught.value.message

    told(tmp_path, story)


@pytest.mark.process
def test_a_traceback_shows_the_page_s_files_alone(tmp_path: Path) -> None:
    files = {
        "app.py": "import shared.db\n" + ASGI,
        ".site/shared/db.py": "try:\n    int('{')\nexcept ValueError as it:\n    raise OSError from it",
    }

    async def story(pages: Pages) -> None:
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(pages.worker(files))
        lines = caught.value.output.splitlines()
        assert len(lines) <= 20
        places = [line.strip() for line in lines if line.strip().startswith("File")]
        assert places == [
            'File "shared/db.py", line 2, in <module>',
            'File "pages/chat/app.py", line 1, in <module>',
            'File "shared/db.py", line 4, in <module>',
        ]

    told(tmp_path, story)
