from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tqsd.control import SOCKETS, connect, listen
from tqsd.control.client import Refused, ask
from tqsd.control.proxies import Proxies
from tqsd.control.server import ControlServer, Emit
from tqsd.errors import DeployError, Unreachable
from tqsd.state import Paths


async def answer(message: dict[str, Any], emit: Emit) -> dict[str, Any]:
    emit("working")
    return {"heard": message["do"]}


async def refuse(message: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise DeployError("cannot", "try harder")


async def stumble(message: dict[str, Any], emit: Emit) -> dict[str, Any]:
    raise RuntimeError("a bug")


def served(site: Path, question: Callable[[Paths], Any]) -> Any:
    """The result of `question`, asked from a thread while the sockets are served."""
    paths = Paths.dev(site)
    paths.create()

    async def serve() -> Any:
        listeners = {name: [listen(paths.run / f"{name}.sock", 0o600)] for name in SOCKETS}
        verbs = {"deploy": answer, "refuse": refuse, "stumble": stumble}
        server = ControlServer(Proxies(paths.table), {"status": answer}, verbs)
        await server.listen(listeners)
        try:
            return await asyncio.to_thread(question, paths)
        finally:
            server.close()

    return asyncio.run(serve())


def test_a_question_gets_its_progress_and_its_answer(tmp_path: Path) -> None:
    events: list[str] = []
    done = served(tmp_path, lambda paths: ask(paths, {"do": "deploy"}, events.append, changes=True))
    assert (done, events) == ({"heard": "deploy"}, ["working"])


def test_what_changes_something_is_not_known_on_the_status_socket(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not known on this socket"):
        served(tmp_path, lambda paths: ask(paths, {"do": "deploy"}))


def test_an_error_comes_back_with_its_hint(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        served(tmp_path, lambda paths: ask(paths, {"do": "refuse"}, changes=True))
    assert (caught.value.message, caught.value.hint, caught.value.exit_status) == ("cannot", "try harder", 1)


def test_a_bug_is_told_as_one_and_the_server_goes_on(tmp_path: Path) -> None:
    def twice(paths: Paths) -> Any:
        with pytest.raises(Refused, match="internal error"):
            ask(paths, {"do": "stumble"}, changes=True)
        return ask(paths, {"do": "status"})

    assert served(tmp_path, twice) == {"heard": "status"}


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b"\xff\n", b"3\n"])
def test_nonsense_gets_an_answer_too(tmp_path: Path, line: bytes) -> None:
    def send(paths: Paths) -> Any:
        with connect(paths.run / "control.sock") as connection:
            connection.sendall(line)
            return json.loads(connection.makefile().readline())

    assert served(tmp_path, send)["exit"] == 2


def test_without_a_watcher_the_error_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        ask(Paths.dev(tmp_path), {"do": "status"})
    assert caught.value.exit_status == 3
    assert "tqsd dev" in caught.value.hint


def test_a_site_may_lie_deeper_than_a_socket_address_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    assert served(deep, lambda paths: ask(paths, {"do": "status"})) == {"heard": "status"}
