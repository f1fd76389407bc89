from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes import FakeSuite, page, release
from tqsd.config import Mode
from tqsd.deploy import deploy, withdraw
from tqsd.deployment import Cause, Order, Outcome
from tqsd.errors import BeforeError, BuildError, DeployError
from tqsd.page import Page
from tqsd.release import Pointers, Release
from tqsd.worker import Worker


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story()

    asyncio.run(bounded())


def save(*pages: str) -> Order:
    return Order(pages, Cause.SAVE)


def rollback(name: str, digest: str, holds: str = "?") -> Order:
    return Order((name,), Cause.ROLLBACK, releases={name: release(name, digest)}, holds=holds)


def test_a_first_deployment_builds_starts_and_switches() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        record = await deploy(save("api"), suite)
        assert record.outcome is Outcome.SWITCHED
        assert suite.served() == {"api": ["r1"]}
        assert list(record.stages) == ["settle", "build", "start", "switch"]
        assert suite.store.pointers("api") == Pointers(current="r1")
        assert suite.history.records[-1]["releases"] == {"api": "r1"}

    run(story)


def test_the_old_workers_stop_behind_the_switch_and_give_their_ports_back() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        await deploy(save("api"), suite)
        suite.builder.sources = {"api": "r2"}
        await deploy(save("api"), suite)
        await suite.quiet()
        assert suite.manager.log == ["start api r1", "start api r2", "stop api r1"]
        assert suite.ports.held == {worker.port for worker in suite.lives["api"].workers}
        assert suite.store.pointers("api") == Pointers(current="r2", previous="r1")

    run(story)


def test_a_build_that_fails_changes_nothing_and_says_why() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        await deploy(save("api"), suite)
        suite.builder.sources = {"api": BuildError("api does not compile", "fix it", "main.go:3: oops")}
        record = await deploy(save("api"), suite)
        assert record.outcome is Outcome.FAILED
        assert suite.served() == {"api": ["r1"]}
        assert "main.go:3: oops" in suite.lives["api"].reason
        assert suite.history.records[-1]["error"] == "api does not compile"

    run(story)


def test_the_fix_clears_the_reason_even_when_it_is_the_release_that_serves() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        await deploy(save("api"), suite)
        suite.builder.sources = {"api": BuildError("no")}
        await deploy(save("api"), suite)
        suite.builder.sources = {"api": "r1"}
        record = await deploy(save("api"), suite)
        assert record.outcome is Outcome.UNCHANGED
        assert suite.lives["api"].reason == ""
        assert suite.manager.log == ["start api r1"]

    run(story)


def test_a_worker_that_is_not_ready_changes_nothing_and_its_port_comes_back() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        await deploy(save("api"), suite)
        suite.builder.sources, suite.manager.refused = {"api": "r2"}, {"r2"}
        record = await deploy(save("api"), suite)
        await suite.quiet()
        assert (record.outcome, record.output) == (Outcome.FAILED, "boom")
        assert suite.served() == {"api": ["r1"]}
        assert len(suite.ports.held) == 1

    run(story)


def test_a_set_switches_in_one_table() -> None:
    async def story() -> None:
        suite = FakeSuite(page("a"), page("b"))
        suite.builder.sources = {"a": "a1", "b": "b1"}
        await deploy(save("a", "b"), suite)
        assert len(suite.proxies.tables) == 1
        assert suite.served() == {"a": ["a1"], "b": ["b1"]}
        assert suite.proxies.held == [["a", "b"]]

    run(story)


@pytest.mark.parametrize("failing", ["build", "start"])
def test_one_failing_member_keeps_the_whole_set_back(failing: str) -> None:
    async def story() -> None:
        suite = FakeSuite(page("a"), page("b"))
        suite.builder.sources = {"a": "a1", "b": "b1"}
        await deploy(save("a", "b"), suite)
        suite.builder.sources = {"a": "a2", "b": BuildError("no") if failing == "build" else "b2"}
        suite.manager.refused = {"b2"}
        await deploy(save("a", "b"), suite)
        await suite.quiet()
        assert suite.served() == {"a": ["a1"], "b": ["b1"]}
        assert {worker.release for worker in await suite.manager.list()} == {"a1", "b1"}

    run(story)


def test_a_rollback_builds_nothing_and_pins() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        for digest in ("r1", "r2"):
            suite.builder.sources = {"api": digest}
            await deploy(save("api"), suite)
        suite.builder.sources = {"api": BuildError("must not be built")}
        record = await deploy(rollback("api", "r1", holds="r2"), suite)
        assert "build" not in record.stages or record.stages["build"] < 1
        assert suite.served() == {"api": ["r1"]}
        assert suite.store.pointers("api") == Pointers(current="r1", previous="r2", pinned="r2")

    run(story)


def test_a_restart_keeps_the_pin_and_a_deploy_ends_it() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        await deploy(save("api"), suite)
        suite.builder.sources = {"api": "r2"}
        await deploy(save("api"), suite)
        await deploy(rollback("api", "r1", holds="r2"), suite)
        again = Order(("api",), Cause.RESTART, releases={"api": release("api", "r1")}, afresh=frozenset({"api"}))
        await deploy(again, suite)
        assert suite.store.pointers("api").pinned == "r2"
        await deploy(Order(("api",), Cause.DEPLOY), suite)
        assert suite.store.pointers("api") == Pointers(current="r2", previous="r1")

    run(story)


def test_cancelling_a_build_leaves_no_trace() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources, suite.builder.gate = {"api": "r1"}, asyncio.Event()
        task = asyncio.create_task(deploy(save("api"), suite))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert suite.builder.cancelled == ["api"]
        assert not suite.proxies.tables
        assert not suite.history.records

    run(story)


def test_cancelling_during_the_switch_finishes_it_first() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}
        entered = asyncio.Event()
        switch = suite.proxies.switch

        async def slow(next_table: Callable[[], dict[str, Any]], pages: list[str]) -> None:
            entered.set()
            await asyncio.sleep(0.01)
            await switch(next_table, pages)

        suite.proxies.switch = slow  # type: ignore[method-assign]
        task = asyncio.create_task(deploy(save("api"), suite))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert suite.served() == {"api": ["r1"]}
        assert suite.store.pointers("api").current == "r1"
        assert suite.history.records[-1]["outcome"] == "switched"

    run(story)


def test_a_fourth_draining_release_closes_the_oldest() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        ports = []
        for number in range(5):
            suite.builder.sources = {"api": f"r{number}"}
            await deploy(save("api"), suite)
            (worker,) = suite.lives["api"].workers
            ports.append(worker.port)
            suite.proxies.busy.add(worker.port)
        while not suite.proxies.closed:
            await asyncio.sleep(0)
        while len(suite.lives["api"].draining) > 3:
            await asyncio.sleep(0)
        assert suite.proxies.closed == ports[:1]
        assert "stop api r0" in suite.manager.log
        for task in suite.behind:
            task.cancel()

    run(story)


def test_a_worker_on_all_interfaces_is_a_warning_in_dev_and_refused_in_production() -> None:
    async def story() -> None:
        for mode in Mode:
            suite = FakeSuite(page("api"), mode=mode)
            suite.builder.sources, suite.manager.status = {"api": "r1"}, "listening on [::]:14000"
            record = await deploy(save("api"), suite)
            text = suite.lives["api"].warning or f"{record.error} {record.hint}"
            assert "all interfaces" in text
            assert "pages/api/main.go:7" in text
            assert record.outcome is (Outcome.SWITCHED if mode is Mode.DEV else Outcome.FAILED)

    run(story)


def test_a_pool_gets_all_its_workers_or_none() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api", max_children=3))
        suite.builder.sources = {"api": "r1"}
        await deploy(save("api"), suite)
        assert suite.served() == {"api": ["r1", "r1", "r1"]}

    run(story)


def test_a_full_disk_at_the_bookkeeping_does_not_undo_the_switch() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources, suite.store.fails = {"api": "r1"}, True
        record = await deploy(save("api"), suite)
        assert record.outcome is Outcome.SWITCHED
        assert suite.served() == {"api": ["r1"]}

    run(story)


def test_a_withdrawn_page_leaves_the_table_and_its_workers_stop() -> None:
    async def story() -> None:
        suite = FakeSuite(page("a"), page("b"))
        suite.builder.sources = {"a": "a1", "b": "b1"}
        await deploy(save("a", "b"), suite)
        await withdraw(["a"], suite)
        await suite.quiet()
        assert suite.served() == {"b": ["b1"]}
        assert {worker.page for worker in await suite.manager.list()} == {"b"}

    run(story)


def test_a_page_that_vanishes_while_it_is_deployed_fails_alone() -> None:
    async def story() -> None:
        suite = FakeSuite(page("a"))
        suite.builder.sources, suite.builder.gate = {"a": "a1"}, asyncio.Event()
        task = asyncio.create_task(deploy(save("a"), suite))
        await asyncio.sleep(0)
        await withdraw(["a"], suite)
        suite.builder.gate.set()
        record = await task
        assert record.outcome is Outcome.FAILED
        assert "removed" in record.error

    run(story)


MIGRATES: dict[str, Any] = {"deploy": {"before": ["./migrate"]}}


def test_what_has_to_run_before_runs_once_between_build_and_start() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api", **MIGRATES))
        suite.builder.sources = {"api": "r1"}
        record = await deploy(save("api"), suite)
        assert suite.migrations.ran == [("api", "r1", 0)]
        assert list(record.stages) == ["settle", "build", "before", "start", "switch"]
        await deploy(save("api"), suite)  # the same release: nothing to prepare
        await deploy(Order(("api",), Cause.RESTART, releases={"api": release("api", "r1")}), suite)
        suite.builder.sources = {"api": "r2"}
        await deploy(save("api"), suite)
        await deploy(rollback("api", "r1", holds="r2"), suite)
        assert suite.migrations.ran == [("api", "r1", 0), ("api", "r2", 0)]

    run(story)


def test_a_migration_that_fails_changes_nothing_for_any_page_of_the_set() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api", **MIGRATES), page("web"))
        suite.builder.sources = {"api": "r1", "web": "w1"}
        await deploy(save("api", "web"), suite)
        suite.builder.sources = {"api": "r2", "web": "w2"}
        suite.migrations.error = BeforeError("the command before api ended with exit status 1", "", "no such table")
        record = await deploy(save("api", "web"), suite)
        assert record.outcome is Outcome.FAILED
        assert record.output == "no such table"
        assert suite.served() == {"api": ["r1"], "web": ["w1"]}

    run(story)


def test_a_migration_runs_to_its_end_when_a_newer_edit_takes_its_place() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api", **MIGRATES))
        suite.builder.sources = {"api": "r1"}
        suite.migrations.gate = asyncio.Event()
        task = asyncio.create_task(deploy(save("api"), suite))
        while not suite.migrations.ran:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        suite.migrations.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not suite.proxies.tables

    run(story)


def test_a_page_kept_at_its_release_is_restarted_beside_one_that_is_built() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"), page("web"))
        suite.builder.sources = {"api": "r1", "web": "w1"}
        await deploy(save("api", "web"), suite)
        suite.builder.sources = {"api": "r2", "web": BuildError("must not be built")}
        kept = {"web": release("web", "w1")}
        before = {worker.port for worker in suite.lives["web"].workers}
        record = await deploy(Order(("api", "web"), Cause.SAVE, releases=kept, afresh=frozenset({"web"})), suite)
        assert record.outcome is Outcome.SWITCHED
        assert suite.served() == {"api": ["r2"], "web": ["w1"]}
        assert before.isdisjoint(worker.port for worker in suite.lives["web"].workers)

    run(story)


def test_a_port_whose_worker_cannot_be_fitted_out_is_given_back() -> None:
    async def story() -> None:
        suite = FakeSuite(page("api"))
        suite.builder.sources = {"api": "r1"}

        def no_outfit(page: Page, release: Release, port: int) -> Worker:
            raise DeployError("api needs the secret KEY", "tqsd secret set KEY")

        suite.outfit = no_outfit
        record = await deploy(save("api"), suite)
        assert (record.error, record.hint) == ("api needs the secret KEY", "tqsd secret set KEY")
        assert not suite.ports.held

    run(story)
