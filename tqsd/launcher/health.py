"""Whether a worker answers as TQS_HEALTH asks, found out the way every client would: by a request to its port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

SILENCE = 2.0  # seconds; no answer for so long is none
_FIRST_PAUSE = 0.001  # seconds
_LAST_PAUSE = 0.2  # seconds; each look is a request to the page
_PATIENCE = 1.0  # seconds before the first word about what is missing


async def until_healthy(port: int, health: str, tell: Callable[[str], None]) -> None:
    """Returns once the worker on `port` is healthy; `tell` gets to know what is missing."""
    start, pause = time.monotonic(), _FIRST_PAUSE
    while problem := await find_problem(port, health):
        if time.monotonic() - start >= _PATIENCE:
            tell(problem)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LAST_PAUSE)


async def find_problem(port: int, health: str) -> str:
    """Why the worker is not healthy; empty when it is. It listens already.

    health  `auto` (or empty): /health answers anything but 5xx; a path: it answers 2xx; `none`, `tcp`: nothing is asked
    """
    if health in ("none", "tcp"):
        return ""
    path = health if health.startswith("/") else "/health"
    try:
        async with asyncio.timeout(SILENCE):
            code = await _ask(port, path)
    except (OSError, TimeoutError):
        return f"GET {path} gives no answer"
    except ValueError:
        return f"GET {path} gives no HTTP answer"
    good = code // 100 == 2 if path == health else code < 500
    return "" if good else f"GET {path} answers {code}"


async def _ask(port: int, path: str) -> int:
    """The status code of a GET. Raises ValueError for what is no HTTP answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: tqsd\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        line = b""
        while len(line) < 12 and (some := await reader.read(4096)):  # mostly the whole answer
            line += some
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not line:
        raise ConnectionError
    if len(line) < 12 or not line.startswith(b"HTTP/1."):
        raise ValueError
    return int(line[9:12])
