from __future__ import annotations

from typing import Any

import pytest

from tests.proxy.rig import plain_table, row
from tqsd.proxy.balancer import REFUSED_FOR, Balancer, Target
from tqsd.proxy.table import Settings, Table


def balancer(*rows: dict[str, Any], **more: Any) -> Balancer:
    made = Balancer()
    made.apply(Table.from_plain(plain_table(*rows, **more)))
    return made


def settings(made: Balancer) -> Settings:
    assert made.settings is not None
    return made.settings


def ports(targets: list[Target]) -> list[int]:
    return sorted(target.port for target in targets)


def test_equal_targets_take_turns() -> None:
    made = balancer(row(ports=(1, 2, 3)))
    pool = made.pools["index"]
    chosen = [made.choose(pool, 0.0) for _ in range(6)]
    assert [target.port for target in chosen if target] == [1, 2, 3, 1, 2, 3]


def test_the_target_with_the_least_in_flight_is_chosen() -> None:
    made = balancer(row(ports=(1, 2, 3)))
    pool = made.pools["index"]
    for target, inflight in zip(pool.targets, (5, 2, 4), strict=True):
        target.inflight = inflight
    assert [made.choose(pool, 0.0) for _ in range(3)] == [pool.targets[1]] * 3


@pytest.mark.parametrize("count", [1, 2])
def test_full_or_refusing_targets_are_left_alone(count: int) -> None:
    made = balancer(row(ports=tuple(range(1, count + 1)), concurrency=2))
    pool = made.pools["index"]
    for target in pool.targets:
        target.inflight = 2
    assert made.choose(pool, 0.0) is None
    assert not made.retryable(pool)
    for target in pool.targets:
        target.inflight = 1
        target.refused_until = REFUSED_FOR
    pool.waiting["request"] = 0.0
    assert made.choose(pool, REFUSED_FOR / 2) is None
    assert made.retryable(pool)
    assert made.choose(pool, REFUSED_FOR)


def test_a_held_page_gives_nothing_out() -> None:
    made = balancer()
    pool = made.pools["index"]
    made.hold(["index", "unknown"])
    assert made.choose(pool, 0.0) is None
    made.unhold(["other"])
    assert made.choose(pool, 0.0) is None
    made.unhold()
    assert made.choose(pool, 0.0)


def test_a_target_stays_the_same_object_while_port_and_release_do() -> None:
    made = balancer(row(ports=(1, 2)))
    pool, first = made.pools["index"], made.pools["index"].targets[0]
    changed = row(ports=(1,))
    changed["targets"].append({"port": 2, "release": "newer"})
    leaving = made.apply(Table.from_plain(plain_table(changed, version=2)))
    assert made.pools["index"] is pool
    assert pool.targets[0] is first
    assert ports(leaving) == [2]
    assert pool.targets[1] is not leaving[0]
    assert made.version == 2


def test_a_target_that_left_drains_until_it_is_idle_and_is_told_once() -> None:
    made = balancer(row(ports=(1, 2)))
    busy, idle = made.pools["index"].targets
    busy.inflight = 1
    assert ports(made.apply(Table.from_plain(plain_table(row(ports=(3,)))))) == [1, 2]
    assert busy.draining
    assert made.drained() == [idle]
    assert made.drained() == []
    assert made.apply(Table.from_plain(plain_table(row(ports=(4,))))) != [busy]
    busy.inflight = 0
    assert ports(made.drained()) == [1, 3]


def test_a_target_that_comes_back_does_not_drain_any_more() -> None:
    made = balancer(row(ports=(1,)))
    target = made.pools["index"].targets[0]
    target.inflight = 1
    made.apply(Table.from_plain(plain_table(row(ports=(2,)))))
    made.apply(Table.from_plain(plain_table(row(ports=(1,)))))
    assert made.pools["index"].targets == [target]
    assert not target.draining
    assert ports(made.draining) == [2]


def test_a_removed_page_is_gone_and_a_new_one_of_its_name_is_another() -> None:
    made = balancer(row("a", "/a"))
    pool = made.pools["a"]
    made.hold(["a"])
    made.apply(Table.from_plain(plain_table(row("b", "/b", ports=(2,)))))
    assert pool.gone
    assert not pool.targets
    made.apply(Table.from_plain(plain_table(row("a", "/a"))))
    assert made.pools["a"] is not pool


def test_who_may_wait_and_how_long() -> None:
    made = balancer(
        row("starting", "/1", ports=(), state="starting"),
        row("broken", "/2", ports=(), state="broken", reason="why"),
        row("old", "/3", state="broken", reason="why"),
        row("empty", "/4", ports=()),
        queue_length=1,
    )
    pools = made.pools
    assert made.patience(pools["starting"], settings(made)) == 120
    assert {made.patience(pools[page], settings(made)) for page in ("old", "empty")} == {30}
    for page in ("starting", "old", "empty"):
        assert made.refusal(pools[page], settings(made)) is None
    refusal = made.refusal(pools["broken"], settings(made))
    assert refusal
    assert refusal.why == "why"
    pools["empty"].waiting["request"] = 0.0
    refusal = made.refusal(pools["empty"], settings(made))
    assert refusal
    assert refusal.retry_after


def test_production_tells_an_id_and_not_the_reason_in_full() -> None:
    made = balancer(row(ports=(), state="broken", reason="4711"), mode="prod")
    refusal = made.refusal(made.pools["index"], settings(made))
    assert refusal
    assert refusal.why == "This page is out of order. Reference: 4711"
