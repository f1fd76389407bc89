from __future__ import annotations

from tqsd.http1.cache import Cache


def test_a_cache_never_grows_beyond_its_bounds() -> None:
    cache: Cache[bytes, int] = Cache(10, 4)
    for number in range(10000):
        cache.remember(b"%d" % number, number)
        assert len(cache) <= 10
    cache.remember(b"longer", 1)
    assert b"longer" not in cache


def test_the_newest_keys_survive_an_eviction() -> None:
    cache: Cache[bytes, int] = Cache(4, 4)
    for number in range(4):
        cache.remember(b"%d" % number, number)
    for _ in range(7):
        cache.remember(b"new", 4)
    assert list(cache) == [b"2", b"3", b"new"]


def test_keys_that_come_again_get_in_among_keys_that_never_do() -> None:
    for together in range(1, 30):
        cache: Cache[bytes, int] = Cache(64, 16)
        again = [b"again %d" % number for number in range(together)]
        seen: set[bytes] = set()
        for number in range(4000):
            for key in [b"%d" % number, *again]:
                if key in cache:
                    seen.add(key)
                else:
                    cache.remember(key, number)
        assert seen == set(again)


def test_a_dropped_cache_is_empty_and_takes_everything_again() -> None:
    cache: Cache[bytes, int] = Cache(2, 4)
    for number in range(9):
        cache.remember(b"%d" % number, number)
    cache.drop()
    assert not cache
    cache.remember(b"a", 1)
    assert cache == {b"a": 1}
