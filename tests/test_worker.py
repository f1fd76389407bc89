from __future__ import annotations

import pytest

from tqsd.worker import TRANSITIONS, WorkerEvent, WorkerState, advance, listens_everywhere


def test_every_state_has_a_row_and_every_row_leads_to_a_state() -> None:
    assert set(TRANSITIONS) == set(WorkerState)
    assert {state for row in TRANSITIONS.values() for state in row.values()} <= set(WorkerState)


def test_from_every_state_a_worker_can_be_gone() -> None:
    for start in WorkerState:
        reached, frontier = {start}, [start]
        while frontier:
            new = set(TRANSITIONS[frontier.pop()].values()) - reached
            reached |= new
            frontier += new
        assert WorkerState.GONE in reached


def test_only_a_worker_that_was_ready_is_brought_back() -> None:
    assert advance(WorkerState.STARTING, WorkerEvent.ENDED) is WorkerState.GONE
    assert advance(WorkerState.READY, WorkerEvent.ENDED) is WorkerState.RESTARTING


def test_an_impossible_event_is_an_error() -> None:
    with pytest.raises(ValueError, match="a worker that is gone cannot be notified"):
        advance(WorkerState.GONE, WorkerEvent.NOTIFIED)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("listening on 127.0.0.1:14001", False),
        ("listening on [::1]:14001", False),
        ("listening on 0.0.0.0:14001", True),
        ("listening on [::]:14001", True),
        ("", False),
        ("loading [::]", False),
    ],
)
def test_a_status_tells_whether_strangers_reach_the_worker(status: str, expected: bool) -> None:
    assert listens_everywhere(status) is expected
