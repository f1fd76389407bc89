"""Whether a worker that does not tell is ready: it listens on its port itself, and it is healthy.

What `health` means is the same as for Go pages, see ready.go in the builder.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from tqsd.manager.listeners import Listener, listeners, reached, sockets_of

# Nothing tells that another process has begun to listen, so it is looked for again and again; seconds.
_PAUSE = 0.002  # at least
_SHARE = 0.1  # of the time that it has taken so far: what is looked for is found so much too late at most
_LISTEN_PAUSE = 0.05  # at most, while nothing listens: a look costs 60 microseconds
_HEALTH_PAUSE = 0.2  # at most, while unhealthy: each look is a request to the page
_PATIENCE = 1.0  # before the first word about what is missing, and between two
_SILENCE = 2.0  # no answer for so long is none

_NOTHING = "listens on no port yet"


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked of one worker: its main process, its port, and its health."""

    pid: int
    port: int
    health: str  # auto, none, tcp or a path

    async def ready(self, tell: Callable[[str], None]) -> str:
        """Returns the address where the worker listens once it is ready; until then `tell` gets what is missing."""
        clock = asyncio.get_running_loop().time
        start = clock()
        due, told = start + _PATIENCE, ""
        while True:
            thorough = clock() >= due
            try:
                address, problem = await self._look(thorough)
            except OSError as error:  # out of file descriptors, for a moment
                address, problem = "", f"cannot be looked at: {error}"
            if not problem:
                return address
            if clock() >= due and (thorough or problem != _NOTHING):
                due = clock() + _PATIENCE
                if problem != told:
                    told = problem
                    tell(problem)
            pause = max(_PAUSE, _SHARE * (clock() - start))
            await asyncio.sleep(min(pause, _HEALTH_PAUSE if address else _LISTEN_PAUSE))

    async def _look(self, thorough: bool) -> tuple[str, str]:
        """The address, if it listens there, and what keeps it from being ready, if anything does.

        Whose a socket is takes walking through processes: asked for only when it matters.
        """
        there = listeners()
        here = reached(there, self.port)
        if not here and not thorough:
            return "", _NOTHING
        inodes = await asyncio.to_thread(sockets_of, self.pid)
        own = [listener for listener in there if listener.inode in inodes]
        mine = next((listener for listener in here if listener in own), None)
        if mine is None:
            return "", self._elsewhere(own, here)
        return str(mine), await self._ask_health(mine)

    def _elsewhere(self, own: list[Listener], here: list[Listener]) -> str:
        if own:
            # The one on its port but at the wrong address says most.
            other = max(own, key=lambda listener: listener.port == self.port)
            if other.port == self.port:
                return f"listens on {other}, not on 127.0.0.1:{self.port}"
            return f"listens on port {other.port}, not on {self.port}: read $PORT"
        return f"another program listens on {here[0]}" if here else _NOTHING

    async def _ask_health(self, mine: Listener) -> str:
        match self.health:
            case "none" | "tcp":
                return await self._connect() if mine.address.version == 6 else ""
            case "auto":
                return await self._get("/health", lambda code: code < 500)
        return await self._get(self.health, lambda code: code // 100 == 2)

    async def _connect(self) -> str:
        with socket.socket() as connection:
            connection.setblocking(False)
            try:
                async with asyncio.timeout(_SILENCE):
                    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
            except OSError:  # TimeoutError is one
                return f"listens for IPv6 only, not on 127.0.0.1:{self.port}"
        return ""

    async def _get(self, path: str, good: Callable[[int], bool]) -> str:
        """Ask the page for `path`; says what is wrong unless the status code of the answer is good."""
        loop, host, head = asyncio.get_running_loop(), f"127.0.0.1:{self.port}", b""
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tqsd\r\nConnection: close\r\n\r\n"
        with socket.socket() as connection:
            connection.setblocking(False)
            try:
                async with asyncio.timeout(_SILENCE):
                    await loop.sock_connect(connection, ("127.0.0.1", self.port))
            except OSError:
                return f"GET {path} cannot connect to {host}"
            try:
                async with asyncio.timeout(_SILENCE):
                    await loop.sock_sendall(connection, request.encode())
                    # Mostly the whole answer: what is left unread would end the connection by a reset.
                    while len(head) < 12 and (more := await loop.sock_recv(connection, 4096)):
                        head += more
            except OSError:
                pass
        if not head:
            return f"GET {path} gives no answer"
        code = head[9:12]
        if not head.startswith(b"HTTP/1.") or len(code) < 3 or not code.isdigit():
            return f"GET {path} gives no HTTP answer"
        return "" if good(int(code)) else f"GET {path} answers {int(code)}"
