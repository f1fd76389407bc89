"""The proxies as the watcher sees them: who is there, which table each applied, which old workers each still uses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Collection, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from tqsd.state import write_json

PATIENCE = 0.2  # seconds a proxy may take to acknowledge before the switch goes on without it
HELLO = 2.0  # seconds to wait for proxies to come back after a restart of the watcher

log = logging.getLogger(__name__)


class _Proxy:
    """One connected proxy. `busy` are the ports outside its table on which it may still have exchanges."""

    __slots__ = ("acks", "busy", "pid", "writer")

    def __init__(self, pid: int, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.writer = writer
        self.busy: set[int] = set()
        self.acks: dict[int, asyncio.Future[None]] = {}

    def tell(self, message: dict[str, Any]) -> None:
        if not self.writer.is_closing():
            self.writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")


class Proxies:
    """Brings one table to every proxy, so that no two of them answer with old and new at once."""

    def __init__(self, table_file: Path) -> None:
        self._file = table_file
        self._table: dict[str, Any] = {}
        self._connected: set[_Proxy] = set()
        self._sequence = count(1)
        self._changed = asyncio.Condition()
        self._switching = asyncio.Lock()

    @property
    def table(self) -> dict[str, Any]:
        return self._table

    def adopt(self, table: dict[str, Any]) -> None:
        """Take over the table an earlier watcher left, for proxies that say hello before the first switch."""
        self._table = table

    def pids(self) -> list[int]:
        return sorted(proxy.pid for proxy in self._connected)

    async def switch(self, next_table: Callable[[], dict[str, Any]], pages: Sequence[str]) -> None:
        """Make the next table the one that every proxy applies; returns when they have, or were silent for PATIENCE.

        One switch after the other; the table is asked for when it is its turn. With several proxies the requests of
        `pages` are held on all before the first applies. The file comes first: a proxy that starts in between reads it.
        """
        async with self._switching:
            await self._switch(next_table(), pages)

    async def _switch(self, table: dict[str, Any], pages: Sequence[str]) -> None:
        try:
            write_json(self._file, table)
        except OSError as error:  # proxies that run get it all the same; only one that starts now would miss it
            log.warning("%s could not be written: %s", self._file, error)
        gone = _ports(self._table) - _ports(table)
        self._table = table
        if len(self._connected) > 1 and pages:
            await self._tell_all({"do": "hold", "pages": list(pages)})
        for proxy in self._connected:
            proxy.busy |= gone
        await self._tell_all({"do": "apply", "table": table})

    async def drained(self, ports: Collection[int], timeout: float) -> bool:
        """Wait until no proxy has an exchange on `ports` any more; False when `timeout` seconds passed before."""
        wanted = set(ports)

        def idle() -> bool:
            return not any(proxy.busy & wanted for proxy in self._connected)

        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(idle)
        except TimeoutError:
            return False
        return True

    async def close(self, ports: Collection[int]) -> None:
        """End what is still in flight on `ports`: WebSockets with a close frame 1001, the rest by closing."""
        await self._tell_all({"do": "close", "ports": sorted(ports)})

    async def settled(self) -> None:
        """Returns when a proxy has said hello and what it still uses, at the latest after HELLO seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELLO), self._changed:
                await self._changed.wait_for(lambda: bool(self._connected))

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one proxy's connection until it ends. A proxy that is gone holds nothing back."""
        proxy: _Proxy | None = None
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if message["do"] == "hello":
                    proxy = self._welcome(message, writer)
                elif proxy is not None:
                    self._hear(proxy, message)
                await self._tell_waiters()
        except (ConnectionError, ValueError, KeyError) as error:
            log.warning("a proxy's connection ended: %s", error)
        finally:
            if proxy is not None:
                self._connected.discard(proxy)
                for ack in proxy.acks.values():
                    if not ack.done():
                        ack.set_result(None)
            writer.close()
            await self._tell_waiters()

    def _welcome(self, hello: dict[str, Any], writer: asyncio.StreamWriter) -> _Proxy:
        proxy = _Proxy(hello["pid"], writer)
        proxy.busy = set(hello["draining"])
        self._connected.add(proxy)
        if self._table:
            proxy.tell({"do": "apply", "seq": next(self._sequence), "table": self._table})
        return proxy

    def _hear(self, proxy: _Proxy, message: dict[str, Any]) -> None:
        if message["do"] == "drained":
            proxy.busy.discard(message["port"])
        elif message["do"] == "ack":
            if "draining" in message:
                proxy.busy = set(message["draining"])
            ack = proxy.acks.pop(message["seq"], None)
            if ack and not ack.done():
                ack.set_result(None)

    async def _tell_waiters(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _tell_all(self, message: dict[str, Any]) -> None:
        sequence = next(self._sequence)
        acks = []
        for proxy in self._connected:
            ack = proxy.acks[sequence] = asyncio.get_running_loop().create_future()
            proxy.tell({**message, "seq": sequence})
            acks.append(ack)
        if acks:
            _, silent = await asyncio.wait(acks, timeout=PATIENCE)
            if silent:
                log.warning("%d of %d proxies did not acknowledge %r in time", len(silent), len(acks), message["do"])


def _ports(table: dict[str, Any]) -> set[int]:
    return {target["port"] for route in table.get("routes", ()) for target in route["targets"]}
