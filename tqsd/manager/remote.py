"""The watcher's end of a manager that lives in another process, and that process's end: the five verbs as JSON lines.

{"id": 1, "do": "start", "worker": {...}}  ->  {"id": 1, "status": "listening on ..."}
                                           or  {"id": 1, "message": "...", "hint": "...", "output": "..."}
{"exit": {...}} comes by itself. When the connection ends, starts that it asked for are cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqsd.errors import NotReady, TqsdError
from tqsd.manager import WorkerManager
from tqsd.worker import Exit, Worker

_LIMIT = 1 << 20  # bytes of one message; the last log lines of a worker are the largest part of any


class RemoteManager:
    """A WorkerManager that asks the one at the other end of `connection`. Make it with `connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self._queues: set[asyncio.Queue[Exit]] = set()
        self._receiving = asyncio.create_task(self._receive(reader))

    @classmethod
    async def connect(cls, connection: socket.socket) -> RemoteManager:
        return cls(*await asyncio.open_unix_connection(sock=connection, limit=_LIMIT))

    async def arm(self, worker: Worker) -> None:
        await self._call("arm", worker)

    async def start(self, worker: Worker) -> str:
        return str((await self._call("start", worker))["status"])

    async def stop(self, worker: Worker) -> None:
        await self._call("stop", worker)

    async def list(self) -> list[Worker]:
        return [_worker(value) for value in (await self._call("list", None))["workers"]]

    async def exits(self) -> AsyncIterator[Exit]:
        queue: asyncio.Queue[Exit] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)

    async def closed(self) -> None:
        """Returns when the other end is gone."""
        await asyncio.wait([self._receiving])

    async def close(self) -> None:
        self._writer.close()
        await self.closed()

    async def _call(self, verb: str, worker: Worker | None) -> dict[str, Any]:
        if self._receiving.done():
            raise TqsdError("the process that owns the workers is gone")
        self._last += 1
        identity = self._last
        answer = self._calls[identity] = asyncio.get_running_loop().create_future()
        _send(self._writer, {"id": identity, "do": verb, "worker": worker and _plain(worker)})
        try:
            reply: dict[str, Any] = await answer
        except asyncio.CancelledError:
            _send(self._writer, {"id": identity, "do": "cancel", "worker": None})
            raise
        finally:
            del self._calls[identity]
        if "message" in reply:
            raise NotReady(reply["message"], reply["hint"], reply["output"])
        return reply

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "exit" in message:
                    for queue in self._queues:
                        queue.put_nowait(Exit(**message["exit"]))
                elif (call := self._calls.get(message["id"])) and not call.done():
                    call.set_result(message)
        except (ConnectionError, ValueError):
            pass  # the end of the connection, told to every caller below
        for call in self._calls.values():
            if not call.done():
                call.set_exception(TqsdError("the process that owns the workers is gone"))


async def serve(manager: WorkerManager, connection: socket.socket) -> None:
    """Answer a RemoteManager's calls from `manager` until the connection ends."""
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LIMIT)
    calls: dict[int, asyncio.Task[None]] = {}
    exits = asyncio.create_task(_forward_exits(manager, writer))
    try:
        while line := await reader.readline():
            message = json.loads(line)
            identity = message["id"]
            if message["do"] == "cancel":
                if identity in calls:
                    calls[identity].cancel()
                continue
            calls[identity] = asyncio.create_task(_answer(manager, writer, message))
            calls[identity].add_done_callback(functools.partial(_forget, calls, identity))
    except ConnectionError:
        pass  # the watcher was killed: the same as an orderly end
    finally:
        pending = [exits, *calls.values()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        writer.close()


def _forget(calls: dict[int, asyncio.Task[None]], identity: int, _: asyncio.Task[None]) -> None:
    del calls[identity]


async def _answer(manager: WorkerManager, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    reply: dict[str, Any] = {"id": message["id"]}
    worker = message["worker"] and _worker(message["worker"])
    try:
        match message["do"]:
            case "arm":
                await manager.arm(worker)
            case "start":
                reply["status"] = await manager.start(worker)
            case "stop":
                await manager.stop(worker)
            case "list":
                reply["workers"] = [_plain(worker) for worker in await manager.list()]
    except TqsdError as error:
        reply |= {"message": error.message, "hint": error.hint, "output": getattr(error, "output", "")}
    _send(writer, reply)


async def _forward_exits(manager: WorkerManager, writer: asyncio.StreamWriter) -> None:
    async with contextlib.aclosing(manager.exits()) as exits:  # type: ignore[type-var]
        async for end in exits:
            _send(writer, {"exit": asdict(end)})


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")


def _plain(worker: Worker) -> dict[str, Any]:
    return {
        **asdict(worker),
        "directory": str(worker.directory),
        "executable": worker.executable and str(worker.executable),
    }


def _worker(value: dict[str, Any]) -> Worker:
    executable = value["executable"]
    return Worker(
        **{
            **value,
            "directory": Path(value["directory"]),
            "executable": executable and Path(executable),
            "launcher": tuple(value["launcher"]),
        }
    )
