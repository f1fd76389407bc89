"""Real workers of small Python pages: releases written by hand, run by the launcher, kept by a real manager."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tests.builder.sites import free_port
from tqsd.launcher import launcher
from tqsd.manager.embedded import EmbeddedManager
from tqsd.release import Release
from tqsd.state import Paths
from tqsd.worker import Worker

PATIENCE = 60.0  # seconds; only ever waited in full when something is broken

ASGI = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body = f"{scope['path']} by {os.environ['TQS_RELEASE']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
WSGI = """
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode(), b" ", body]
"""


class Pages:
    """A site with one page, `chat`, and the manager of its workers; `lines` is what they wrote."""

    def __init__(self, root: Path, manager: EmbeddedManager, lines: list[str]) -> None:
        self.site = root / "site"
        self.site.mkdir()
        self.paths = Paths.dev(self.site)
        self.manager = manager
        self.lines = lines

    def worker(self, files: str | dict[str, str], venv: str = "", **variables: str) -> Worker:
        """A worker of a release of these files (or of one app.py), with these variables besides the usual ones."""
        port = free_port()
        directory = self.site / "releases" / str(port)
        for name, text in ({"app.py": files} if isinstance(files, str) else files).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        release = Release("chat", f"{port:016d}", directory, directory / "app.py", "python", venv)
        usual = {"PATH": os.environ["PATH"], "TQS_PAGE": "chat", "TQS_PORT": str(port), "TQS_HEALTH": "auto"}
        return Worker(
            page="chat",
            slug="chat",
            port=port,
            release=release.digest,
            executable=release.executable,
            directory=self.site,
            environment={**usual, **variables},
            launcher=launcher(release, self.paths),
        )

    async def seen(self, start: str) -> str:
        """The first line that a worker wrote with this beginning."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines:
                    if line.startswith(start):
                        return line
                await asyncio.sleep(0.005)


async def get(
    worker: Worker, path: str = "/", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    """Status, body and headers of the answer to a GET, or to a POST of `body`."""

    def ask() -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers

    return await asyncio.to_thread(ask)


Story = Callable[[Pages], Awaitable[None]]


def told(root: Path, story: Story) -> None:
    """Run a story with pages of its own; nothing is left of them."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE), _pages(root) as pages:
            await story(pages)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def _pages(root: Path) -> AsyncIterator[Pages]:
    lines: list[str] = []
    manager = EmbeddedManager(lambda _, line: lines.append(line))
    try:
        yield Pages(root, manager, lines)
    finally:
        await manager.close()
