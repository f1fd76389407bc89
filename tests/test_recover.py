from __future__ import annotations

import asyncio

from tests.fakes import FakeSuite, page, release
from tqsd.recover import recover
from tqsd.release import Pointers, Release
from tqsd.worker import Worker


def find(slug: str, digest: str) -> Release | None:
    return release(slug, digest) if digest != "lost" else None


def recovered(suite: FakeSuite) -> set[str]:
    async def story() -> set[str]:
        async with asyncio.timeout(10):
            table = {"routes": [{"page": "api", "targets": [{"port": 14001, "release": "r1"}]}]}
            missing = await recover(suite, table, find, suite.ports, settled)
            await suite.quiet()
            return missing

    return asyncio.run(story())


async def settled() -> None:
    await asyncio.sleep(0)


def a_worker(name: str, port: int, digest: str) -> Worker:
    return Worker(name, name, port, digest)


def test_a_worker_in_the_table_serves_on() -> None:
    suite = FakeSuite(page("api"))
    suite.manager.running = {14001: a_worker("api", 14001, "r1")}
    assert recovered(suite) == set()
    assert suite.lives["api"].release == release("api", "r1")
    assert suite.ports.held == {14001}
    assert suite.manager.log == []


def test_what_a_cut_deployment_left_is_retired() -> None:
    suite = FakeSuite(page("api"))
    suite.manager.running = {
        14001: a_worker("api", 14001, "r1"),
        14002: a_worker("api", 14002, "r2"),  # started, never switched to
        14003: a_worker("gone", 14003, "g1"),  # its page is no more
        14004: a_worker("api", 14004, ""),  # a slot
    }
    recovered(suite)
    assert sorted(suite.manager.running) == [14001]


def test_a_page_without_workers_is_started_from_its_current_release() -> None:
    suite = FakeSuite(page("api"))
    suite.store.kept = {"api": Pointers(current="r7")}
    assert recovered(suite) == {"api"}
    assert suite.lives["api"].release == release("api", "r7")


def test_a_page_whose_release_is_lost_is_left_to_the_build() -> None:
    suite = FakeSuite(page("api"))
    suite.store.kept = {"api": Pointers(current="lost")}
    assert recovered(suite) == set()
    assert suite.lives["api"].release is None


def test_a_pool_that_lost_a_member_is_filled_again() -> None:
    suite = FakeSuite(page("api", max_children=2))
    suite.manager.running = {14001: a_worker("api", 14001, "r1")}
    assert recovered(suite) == {"api"}
