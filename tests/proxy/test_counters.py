from __future__ import annotations

import pytest

from tqsd.proxy.counters import Waits


def test_requests_that_did_not_wait_count_as_zero() -> None:
    waits = Waits()
    assert waits.quantile(0.99, 1000) == 0.0
    for _ in range(5):
        waits.add(0.2)
    assert waits.quantile(0.99, 1000) == 0.0
    assert waits.quantile(0.99, 100) == pytest.approx(200, rel=0.1)
    assert waits.longest == pytest.approx(200)


def test_a_quantile_is_right_to_within_a_bucket() -> None:
    waits = Waits()
    for milliseconds in range(1, 1001):
        waits.add(milliseconds / 1000)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert waits.quantile(share, 1000) == pytest.approx(share * 1000, rel=0.1)
    assert waits.quantile(1.0, 1000) == 1000
    assert waits.count == 1000
