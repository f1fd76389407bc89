"""What clients notice, under load of every kind, of swaps, edits and kills: nothing, or exactly what is promised."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.dev import load, save, traffic
from tests.running import ROOT, Running, running
from tqsd.control.client import ask
from tqsd.state import Paths

pytestmark = [pytest.mark.process, pytest.mark.load]

SWAPS = 10  # per page; `make bench` does a hundred
PAGES = ("fast", "slow", "asgi", "wsgi", "node", "files")


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """The benchmark site with the page that the test is about, the fast one without, and the one with WebSockets."""
    named = request.node.callspec.params["page"] if hasattr(request.node, "callspec") else "fast"
    wanted = {named, "socket"}
    wanted |= {"slow"} if "drains" in request.node.name else set()
    site = tmp_path / "site"
    others = {path.name for path in (ROOT / "bench/site/pages").iterdir()} - {*wanted, "internal"}
    shutil.copytree(ROOT / "bench/site", site, ignore=shutil.ignore_patterns(".tqsd", *others))
    with running(site) as here:
        for page in wanted:
            here.wait(f"{page} serves", lambda page=page: here.status(page)["state"] == "serving")  # type: ignore[misc]
        yield here


def version(here: Running, page: str, number: int) -> None:
    save(here.site, page, number)


def assert_nothing_was_noticed(result: dict[str, Any], page: str = "fast") -> None:
    assert result["failed"] == 0, result["first_failures"]
    assert result["server_closes"] == 0
    if page != "asgi":  # whose own WebSockets are told to go away
        assert result["socket_closes"] == []
    kinds = {"keep", "fresh"}
    kinds |= {"post"} if "-post" in traffic(page) else set()
    kinds |= {"upload", "socket"} if "-stream" in traffic(page) else set()
    assert kinds <= {kind for kind, n in result["requests"].items() if n}


@pytest.mark.parametrize("page", PAGES)
def test_swaps_between_ready_releases_fail_nothing_and_close_nothing(here: Running, page: str) -> None:
    version(here, page, 2)
    here.wait("the second version serves", lambda: here.status(page)["previous"])
    with load(here.url, *traffic(page), "-any-version") as clients:
        clients.wait_until_ready()
        for _ in range(SWAPS):
            answer = ask(Paths.dev(here.site), {"do": "rollback", "page": page}, changes=True)
            assert answer["deployments"][0]["outcome"] == "switched", answer
        assert_nothing_was_noticed(clients.finish(), page)


@pytest.mark.parametrize("page", ["fast", "slow", "asgi", "node", "files"])
def test_edits_fail_nothing_and_no_answer_is_old_after_the_first_new(here: Running, page: str) -> None:
    with load(here.url, *traffic(page), "-rate", "100") as clients:
        clients.wait_until_ready()
        for number in (2, 3, 4):
            version(here, page, number)
            clients.first_answer(dict(zip(*[iter(traffic(page))] * 2, strict=True))["-get"], number)
        assert_nothing_was_noticed(clients.finish(), page)


def test_a_killed_worker_costs_no_get_and_no_post_is_sent_twice(here: Running) -> None:
    kills = 3
    with load(here.url, "-get", "/fast", "-post", "/fast/echo", "-posts", "4", "-rate", "200") as clients:
        clients.wait_until_ready()
        for _ in range(kills):
            (worker,) = here.wait("a worker", lambda: here.workers("fast"))
            worker.kill()
            worker.wait(30)
            here.wait("its page answers again", lambda: here.get("/fast")[0] == 200)
        result = clients.finish()
    kinds = {kind for kind, n in result["failures"].items() if n}
    assert kinds <= {"post"}, result["first_failures"]
    assert result["failures"].get("post", 0) <= kills * 4
    assert all("502" in failure["what"] for failure in result["first_failures"]), result["first_failures"]
    received = (Paths.dev(here.site).state_of("fast") / "ids").read_text().split()
    assert len(received) == len(set(received)), "a POST reached the page twice"
    here.wait("the crashes are counted", lambda: here.status("fast")["crashes"] == kills)


def test_nobody_notices_a_killed_watcher_and_the_next_one_has_the_same_picture(here: Running) -> None:
    before = {page: here.status(page)["workers"] for page in ("fast", "socket")}
    with load(here.url, *traffic("fast"), "-rate", "100") as clients:
        clients.wait_until_ready()
        watcher = here.child("tqsd.watch.main")
        watcher.kill()
        watcher.wait(30)
        here.wait("a new watcher answers", lambda: here.tqsd("status").returncode == 0)
        assert {page: here.status(page)["workers"] for page in before} == before
        version(here, "fast", 2)
        clients.first_answer("/fast", 2)
        assert_nothing_was_noticed(clients.finish())


def test_a_killed_proxy_refuses_no_connection(here: Running) -> None:
    with load(here.url, "-get", "/fast", "-posts", "0", "-rate", "200") as clients:
        clients.wait_until_ready()
        proxy = here.child("tqsd.proxy.main")
        proxy.kill()
        proxy.wait(30)
        here.wait("requests are answered again", lambda: here.get("/fast")[0] == 200)
        result = clients.finish()
    assert not [f for f in result["first_failures"] if "refused" in f["what"]]
    assert result["failed"] <= 17  # at most the one exchange that each client had inside the proxy


def test_what_drains_is_waited_for_at_the_end(here: Running) -> None:
    with load(here.url, "-get", "/slow", "-keep", "4", "-fresh", "0", "-head", "0") as clients:
        clients.wait_until_ready()
        os.kill(here.process.pid, signal.SIGINT)
        here.process.wait(60)
        result = clients.finish()
    answered_until_the_end = [f for f in result["first_failures"] if "EOF" in f["what"]]
    assert not answered_until_the_end, result["first_failures"]


def test_a_websocket_of_the_edited_page_is_closed_as_going_away(here: Running) -> None:
    (here.site / "config/tqsd.yaml").write_text("server: {drain_timeout: 1}\n")
    with load(here.url, "-get", "/fast", "-socket", "/socket", "-rate", "50") as clients:
        clients.wait_until_ready()
        version(here, "socket", 2)
        assert clients.wait_for_close() == 1001
