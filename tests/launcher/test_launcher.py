"""The launcher as slot and worker: what a Python page may rely on."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.launcher.pages import ASGI, WSGI, Pages, get, told
from tqsd.errors import NotReady
from tqsd.worker import Worker, is_wsgi

pytestmark = pytest.mark.process

ANSWER = """
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(body).encode()})
"""


def asgi(lines: str, top: str = "") -> str:
    """An application that answers a request with the `body` that these lines make."""
    inner = "\n".join(f"    {line}" for line in lines.splitlines())
    start = "async def app(scope, receive, send):\n    if scope['type'] == 'lifespan':\n        return\n"
    return f"{top}\n{start}{inner}{ANSWER}"


def pid_of(worker: Worker) -> int:
    found = [
        process.pid for process in psutil.Process().children() if process.environ().get("TQS_PORT") == str(worker.port)
    ]
    return found[0]


def test_an_asgi_application_is_served(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(ASGI)
        assert await pages.manager.start(worker) == f"listening on 127.0.0.1:{worker.port}"
        status, body, headers = await get(worker, "/chat/room")
        assert (status, body) == (200, f"/chat/room by {worker.release}")
        assert "server" not in headers
        assert headers["date"].endswith(" GMT")

    told(tmp_path, story)


def test_a_wsgi_application_is_served_and_told(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(WSGI)
        status = await pages.manager.start(worker)
        assert is_wsgi(status)
        assert (await get(worker, "/chat", body=b"posted"))[:2] == (200, "/chat posted")

    told(tmp_path, story)


def test_a_small_answer_does_not_wait_for_the_one_before_to_be_acknowledged(tmp_path: Path) -> None:
    source = """
import os, socket

def no_delay():
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as connection:
                connection.getpeername()
                yield connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        except OSError:
            pass

def app(environ, start_response):
    start_response("200 OK", [])
    return [repr(set(no_delay())).encode()]
"""

    async def story(pages: Pages) -> None:
        worker = pages.worker(source)
        await pages.manager.start(worker)
        assert (await get(worker, "/chat"))[:2] == (200, "{1}")

    told(tmp_path, story)


@pytest.mark.parametrize(("variables", "most"), [({}, 1), ({"TQS_CONCURRENCY": "3"}, 3)])
def test_a_wsgi_application_gets_as_many_requests_at_once_as_it_may(
    tmp_path: Path, variables: dict[str, str], most: int
) -> None:
    source = f"""
import threading
met, lock, inside, peak = threading.Barrier({most}), threading.Lock(), 0, 0

def app(environ, start_response):
    global inside, peak
    if environ["PATH_INFO"] == "/busy":
        with lock:
            inside += 1
            peak = max(peak, inside)
        met.wait(30)
        with lock:
            inside -= 1
    start_response("200 OK", [])
    return [str(peak).encode()]
"""

    async def story(pages: Pages) -> None:
        worker = pages.worker(source, **variables)
        await pages.manager.start(worker)
        await asyncio.gather(*(get(worker, "/busy") for _ in range(6)))
        assert (await get(worker))[1] == str(most)

    told(tmp_path, story)


def test_a_page_finds_its_place(tmp_path: Path) -> None:
    shows = "print('shown', [os.getcwd(), sys.argv, sys.path[:2], sys.stdin.read(), __name__], flush=False)"
    source = f"import os, sys\n{shows}\n{ASGI}"

    async def story(pages: Pages) -> None:
        worker = pages.worker(source)
        await pages.manager.start(worker)
        release = str(worker.executable and worker.executable.parent)
        expected = [str(pages.site), [str(worker.executable)], [release, f"{release}/.site"], "", "app"]
        assert await pages.seen("shown") == f"shown {expected}"

    told(tmp_path, story)


def test_the_page_s_modules_go_before_the_site_s_and_the_site_itself_is_on_no_path(tmp_path: Path) -> None:
    files = {
        "app.py": f"import both, theirs\nprint('found', both.WHOSE, theirs.WHOSE)\n{ASGI}",
        "both.py": "WHOSE = 'page'",
        ".site/both.py": "WHOSE = 'site'",
        ".site/theirs.py": "WHOSE = 'site'",
    }

    async def story(pages: Pages) -> None:
        (pages.site / "theirs.py").write_text("WHOSE = 'changed later'")
        await pages.manager.start(pages.worker(files))
        assert await pages.seen("found") == "found page site"
        (pages.site / "unnamed.py").write_text("")
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(pages.worker(f"__import__('unna' + 'med')\n{ASGI}"))
        assert "write `import unnamed`" in caught.value.output

    told(tmp_path, story)


def test_the_names_of_the_launcher_s_own_modules_are_free(tmp_path: Path) -> None:
    names = ("server", "application", "health", "launcher", "worker")
    files = {f"{name}.py": f"WHOSE = 'page {name}'" for name in names}
    shows = "".join(f"import {name}; print({name}.WHOSE)\n" for name in names)

    async def story(pages: Pages) -> None:
        await pages.manager.start(pages.worker({**files, "app.py": shows + ASGI}))
        assert [line for line in pages.lines if line.startswith("page")] == [f"page {name}" for name in names]

    told(tmp_path, story)


def test_lines_come_at_once(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(asgi("print('asked for', scope['path']); body = ''"))
        await pages.manager.start(worker)
        await get(worker, "/now")
        await pages.seen("asked for /now")

    told(tmp_path, story)


def test_an_exception_in_a_request_is_told_with_the_file_as_it_is_in_the_site(tmp_path: Path) -> None:
    files = {
        "app.py": asgi("body = lib.fail() if scope['path'] == '/fail' else ''", "import lib, shared.deep"),
        "lib.py": "import shared.deep\ndef fail():\n    shared.deep.fail()",
        ".site/shared/deep.py": "def fail():\n    raise RuntimeError('no luck')",
    }

    async def story(pages: Pages) -> None:
        worker = pages.worker(files)
        await pages.manager.start(worker)
        assert (await get(worker, "/fail"))[0] == 500
        await pages.seen("RuntimeError: no luck")
        text = "\n".join(pages.lines)
        assert "ERROR: Exception in ASGI application\nTraceback" in text
        assert 'File "pages/chat/lib.py", line 3, in fail' in text
        assert 'File "shared/deep.py", line 2, in fail' in text
        assert (await get(worker))[0] == 200

    told(tmp_path, story)


def test_logging_that_is_configured_by_the_page_does_not_silence_the_server(tmp_path: Path) -> None:
    top = "import logging.config\nlogging.config.dictConfig({'version': 1})"

    async def story(pages: Pages) -> None:
        worker = pages.worker(asgi("body = '' if scope['path'] == '/health' else 1 / 0", top))
        await pages.manager.start(worker)
        assert (await get(worker))[0] == 500
        await pages.seen("ZeroDivisionError")

    told(tmp_path, story)


def test_the_client_that_the_proxy_names_is_believed(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(asgi("body = scope['client'][0], scope['scheme']"))
        await pages.manager.start(worker)
        forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        assert (await get(worker, headers=forwarded))[1] == "('192.0.2.7', 'https')"

    told(tmp_path, story)


def test_a_head_as_long_as_the_proxy_allows_is_taken(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(asgi("body = sum(len(value) for _, value in scope['headers']) > 1_000_000"))
        await pages.manager.start(worker)
        long = {f"X-{number}": "x" * 50_000 for number in range(21)}
        assert (await get(worker, headers=long))[1] == "True"

    told(tmp_path, story)


ECHO = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        print("socket ended", message["code"])
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})
"""


def test_websockets_work_and_are_told_that_the_worker_ends(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(ECHO)
        await pages.manager.start(worker)
        async with connect(f"ws://127.0.0.1:{worker.port}/chat", proxy=None) as chat:
            await chat.send("hello")
            assert await chat.recv() == "HELLO"
            stopping = asyncio.create_task(pages.manager.stop(worker))
            with pytest.raises(ConnectionClosed) as caught:
                await chat.recv()
            await stopping
        assert caught.value.rcvd
        assert caught.value.rcvd.code in (1001, 1012)

    told(tmp_path, story)


LIFE = """
import asyncio, contextlib

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan ended")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        print("slow one begins")
        await go.wait()
    if scope["path"] == "/go":
        go.set()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

go = asyncio.Event()
"""


def test_sigterm_lets_requests_finish_and_then_ends_the_lifespan(tmp_path: Path) -> None:
    source = LIFE.replace("await go.wait()", "await asyncio.sleep(0.5)")

    async def story(pages: Pages) -> None:
        worker = pages.worker(source)
        await pages.manager.start(worker)
        asking = asyncio.create_task(get(worker, "/slow"))
        await pages.seen("slow one begins")
        await pages.manager.stop(worker)
        assert (await asking)[:2] == (200, "done")
        assert "lifespan ended" in pages.lines

    told(tmp_path, story)


def test_a_failing_startup_is_told(tmp_path: Path) -> None:
    fails = "await receive()\n        await send({'type': 'lifespan.startup.failed', 'message': 'no database at 5432'})"
    source = asgi("body = ''").replace("return", fails)

    async def story(pages: Pages) -> None:
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(pages.worker(source))
        assert "no database at 5432" in caught.value.output

    told(tmp_path, story)


def test_a_killed_worker_is_brought_back_on_its_port(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(ASGI)
        exits = pages.manager.exits()
        ending = asyncio.ensure_future(anext(exits))
        await pages.manager.start(worker)
        os.kill(pid_of(worker), signal.SIGKILL)
        assert (await ending).reason == "was killed by SIGKILL"
        while True:
            try:
                assert (await get(worker))[0] == 200
                return
            except ConnectionError:
                await asyncio.sleep(0.005)

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("health", "first", "missing"),
    [
        ("auto", 500, "GET /health answers 500"),
        ("", 503, "GET /health answers 503"),
        ("/alive", 404, "GET /alive answers 404"),
        ("/alive", 302, "GET /alive answers 302"),
    ],
)
def test_it_is_ready_when_it_is_healthy(tmp_path: Path, health: str, first: int, missing: str) -> None:
    source = f"""
import pathlib
async def app(scope, receive, send):
    status = 200 if pathlib.Path("well").exists() else {first}
    await send({{"type": "http.response.start", "status": status, "headers": []}})
    await send({{"type": "http.response.body"}})
"""

    async def story(pages: Pages) -> None:
        worker = pages.worker(source, TQS_HEALTH=health)
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(replace(worker, ready_timeout=2.0))
        assert caught.value.message.endswith(f": {missing}")
        (pages.site / "well").write_text("")
        await pages.manager.start(worker)

    told(tmp_path, story)


@pytest.mark.parametrize(("health", "status"), [("none", 500), ("tcp", 500), ("auto", 404), ("auto", 401), ("/a", 204)])
def test_it_is_ready_as_it_is_asked_to_be(tmp_path: Path, health: str, status: int) -> None:
    source = asgi("body = ''").replace("200", str(status))

    async def story(pages: Pages) -> None:
        await pages.manager.start(pages.worker(source, TQS_HEALTH=health))

    told(tmp_path, story)


def test_a_server_that_is_run_at_import_is_the_reason_told(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker("import http.server\nhttp.server.HTTPServer(('127.0.0.1', 0), None).serve_forever()")
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(replace(worker, ready_timeout=1.0))
        assert "still imports app.py; does it run a server itself?" in caught.value.message

    told(tmp_path, story)
