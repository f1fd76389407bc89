"""The watcher's side of the control sockets: hands proxies to `Proxies` and questions to one answering function."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tqsd.control import CONTROL, LINE_LIMIT, PROXY, STATUS
from tqsd.control.proxies import Proxies
from tqsd.errors import TqsdError

Emit = Callable[[str], None]
Answer = Callable[[dict[str, Any], Emit], Awaitable[dict[str, Any]]]

log = logging.getLogger(__name__)


class ControlServer:
    """Listens until closed. `readers` may be asked on status.sock, `verbs` (and readers) on control.sock."""

    def __init__(self, proxies: Proxies, readers: Mapping[str, Answer], verbs: Mapping[str, Answer]) -> None:
        self._proxies = proxies
        self._answers = {STATUS: readers, CONTROL: {**readers, **verbs}}
        self._servers: list[asyncio.Server] = []

    async def listen(self, listeners: Mapping[str, Sequence[socket.socket]]) -> None:
        attend = {PROXY: self._proxies.attend, STATUS: self._ask(STATUS), CONTROL: self._ask(CONTROL)}
        for name, attendant in attend.items():
            for listener in listeners.get(name, ()):
                self._servers.append(
                    await asyncio.start_unix_server(attendant, sock=listener, limit=LINE_LIMIT, backlog=128)
                )

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _ask(self, name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            def say(message: dict[str, Any]) -> None:
                if not writer.is_closing():
                    writer.write(json.dumps(message).encode() + b"\n")

            try:
                await self._one_question(name, await reader.readline(), say)
                await writer.drain()
            except ConnectionError:
                pass  # whoever asked has gone; what was asked for goes on
            finally:
                writer.close()

        return attend

    async def _one_question(self, name: str, line: bytes, say: Callable[[dict[str, Any]], None]) -> None:
        try:
            message = json.loads(line)
            answer = self._answers[name].get(message["do"])
        except (ValueError, TypeError, KeyError):
            say({"error": "not a question: one JSON object with a key `do` is expected", "hint": "", "exit": 2})
            return
        if answer is None:
            say({"error": f"{message['do']!r} is not known on this socket", "hint": "", "exit": 2})
            return
        try:
            say({"done": await answer(message, lambda text: say({"event": text}))})
        except TqsdError as error:
            reply = {"error": error.message, "hint": error.hint, "exit": error.exit_status}
            say({**reply, "output": getattr(error, "output", "")})
        except Exception as error:
            log.exception("a question could not be answered: %s", message["do"])
            say({"error": f"internal error: {error!r}", "hint": "its traceback is in the log", "exit": 1})
