from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tqsd.control.proxies import Proxies


class Proxy:
    """A proxy's end of the connection: reads what it is told, answers what the test wants."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, attending: asyncio.Task[None]
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.attending = attending

    @classmethod
    async def connect(cls, proxies: Proxies, pid: int, draining: list[int] | None = None) -> Proxy:
        ours, theirs = socket.socketpair()
        attending = asyncio.create_task(proxies.attend(*await asyncio.open_unix_connection(sock=theirs)))
        proxy = cls(*await asyncio.open_unix_connection(sock=ours), attending)
        proxy.say(do="hello", pid=pid, version=0, draining=draining or [])
        while pid not in proxies.pids():
            await asyncio.sleep(0)
        return proxy

    def say(self, **message: Any) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.reader.readline())
        return message

    async def follow(self, **more: Any) -> dict[str, Any]:
        """Hear one message and acknowledge it."""
        message = await self.hear()
        self.say(do="ack", seq=message["seq"], **more)
        return message

    async def leave(self) -> None:
        self.writer.close()
        await self.attending


def table(version: int, *ports: int) -> Callable[[], dict[str, Any]]:
    targets = [{"port": port, "release": "r"} for port in ports]
    return lambda: {"format": 1, "version": version, "routes": [{"page": "api", "targets": targets}]}


def run(path: Path, story: Callable[[Proxies], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story(Proxies(path / "table.json"))

    asyncio.run(bounded())


def test_a_proxy_that_says_hello_gets_the_table(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        await proxies.switch(table(1, 14001), [])
        proxy = await Proxy.connect(proxies, 10)
        assert (await proxy.hear())["table"]["version"] == 1
        await proxy.leave()

    run(tmp_path, story)


def test_the_file_is_written_before_any_proxy_applies(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxy = await Proxy.connect(proxies, 10)
        switching = asyncio.create_task(proxies.switch(table(5, 14001), ["api"]))
        assert (await proxy.hear())["do"] == "apply"
        assert json.loads((tmp_path / "table.json").read_text())["version"] == 5
        await proxy.leave()
        await switching

    run(tmp_path, story)


def test_several_proxies_hold_before_the_first_applies(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        one, other = await Proxy.connect(proxies, 10), await Proxy.connect(proxies, 11)
        switching = asyncio.create_task(proxies.switch(table(1, 14001), ["api"]))
        assert (await one.follow())["do"] == "hold"
        late = await other.hear()
        assert late["pages"] == ["api"]
        assert not switching.done()
        other.say(do="ack", seq=late["seq"])
        assert (await one.follow())["do"] == "apply"
        assert (await other.follow())["do"] == "apply"
        await switching
        await one.leave()
        await other.leave()

    run(tmp_path, story)


def test_a_silent_proxy_does_not_keep_the_switch(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxy = await Proxy.connect(proxies, 10)
        await proxies.switch(table(1, 14001), ["api"])
        await proxy.leave()

    run(tmp_path, story)


def test_a_proxy_that_dies_counts_as_done(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxy = await Proxy.connect(proxies, 10)
        first = asyncio.create_task(proxies.switch(table(1, 14001), []))
        await proxy.follow()
        await first
        second = asyncio.create_task(proxies.switch(table(2, 14002), []))
        await proxy.hear()
        await proxy.leave()
        await second
        assert await proxies.drained([14001], 5)
        assert proxies.pids() == []

    run(tmp_path, story)


def test_an_old_port_is_drained_when_every_proxy_says_so(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        one, other = await Proxy.connect(proxies, 10), await Proxy.connect(proxies, 11)
        for version, port in ((1, 14001), (2, 14002)):
            switching = asyncio.create_task(proxies.switch(table(version, port), []))
            await one.follow()
            await other.follow()
            await switching
        waiting = asyncio.create_task(proxies.drained([14001], 10))
        one.say(do="drained", port=14001)
        assert not await proxies.drained([14001], 0.05)
        assert not waiting.done()
        other.say(do="drained", port=14001)
        assert await waiting
        await one.leave()
        await other.leave()

    run(tmp_path, story)


def test_what_a_proxy_still_uses_after_a_restart_of_the_watcher_is_waited_for(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxy = await Proxy.connect(proxies, 10, draining=[14001])
        assert not await proxies.drained([14001], 0.05)
        proxy.say(do="drained", port=14001)
        assert await proxies.drained([14001], 10)
        await proxy.leave()

    run(tmp_path, story)


def test_switches_go_one_after_the_other_and_each_takes_the_table_of_its_turn(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxy = await Proxy.connect(proxies, 10)

        def next_table() -> dict[str, Any]:
            return table(proxies.table.get("version", 0) + 1)()

        both = [asyncio.create_task(proxies.switch(next_table, [])) for _ in range(2)]
        assert [(await proxy.follow())["table"]["version"] for _ in both] == [1, 2]
        await asyncio.gather(*both)
        await proxy.leave()

    run(tmp_path, story)


def test_nonsense_from_a_proxy_ends_its_connection_only(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxy = await Proxy.connect(proxies, 10)
        proxy.writer.write(b"{nonsense\n")
        assert await proxy.reader.readline() == b""
        await proxy.attending
        proxy.writer.close()
        assert proxies.pids() == []

    run(tmp_path, story)


def test_a_table_that_cannot_be_written_is_applied_all_the_same(tmp_path: Path) -> None:
    async def story(proxies: Proxies) -> None:
        proxies = Proxies(tmp_path / "absent" / "table.json")
        proxy = await Proxy.connect(proxies, 10)
        switching = asyncio.create_task(proxies.switch(table(1, 14001), []))
        assert (await proxy.follow())["table"]["version"] == 1
        await switching
        await proxy.leave()

    run(tmp_path, story)
