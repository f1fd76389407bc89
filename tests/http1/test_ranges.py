from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.ranges import MOST, Range, content_range, multipart, read_ranges


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=0-", [(0, 100)]),
        (b"bytes=10-19", [(10, 10)]),
        (b"BYTES=10-19", [(10, 10)]),
        (b"bytes=99-", [(99, 1)]),
        (b"bytes=90-1000", [(90, 10)]),
        (b"bytes=-1", [(99, 1)]),
        (b"bytes=-1000", [(0, 100)]),
        (b"bytes= 0-1 , 4-5\t,-2", [(0, 2), (4, 2), (98, 2)]),
        (b"bytes=50-59,0-9", [(50, 10), (0, 10)]),
        (b"bytes=0-1,500-", [(0, 2)]),
        (b"bytes=0-1,,2-3,", [(0, 2), (2, 2)]),
    ],
)
def test_ranges_are_found_in_the_order_asked(value: bytes, ranges: list[Range]) -> None:
    assert read_ranges(value, 100) == ranges


@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=100-200,300-", b"bytes=-0"])
def test_ranges_beyond_the_end_cannot_be_satisfied(value: bytes) -> None:
    assert read_ranges(value, 100) == []


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=5-4",
        b"bytes=0-1,5-4",
        b"bytes=+1-2",
        b"bytes=1_0-20",
        b"bytes=0x1-2",
        b"bytes=1-2-3",
        b"bytes=--1",
        b"bytes = 0-1",
        b"bytes=0 - 1",
        b"lines=0-1",
        b"bytes=0-1;q=1",
        b"bytes=1000000000000000000-",
        b"bytes=0-1, bytes=2-3",
        b"bytes=\xb2-3",
    ],
)
def test_what_is_no_range_is_ignored(value: bytes) -> None:
    assert read_ranges(value, 100) is None


@pytest.mark.parametrize("value", [b"bytes=0-10,10-20", b"bytes=0-,-1", b"bytes=5-6,5-6", b"bytes=0-9,40-49,3-4"])
def test_the_same_bytes_twice_are_not_given(value: bytes) -> None:
    assert read_ranges(value, 100) is None


def test_too_many_ranges_are_ignored() -> None:
    def value(count: int) -> bytes:
        return b"bytes=" + b",".join(b"%d-%d" % (at * 2, at * 2) for at in range(count))

    assert len(read_ranges(value(MOST), 10**6) or []) == MOST
    assert read_ranges(value(MOST + 1), 10**6) is None
    assert read_ranges(value(10000), 10**6) is None


def test_of_nothing_no_range_is_given() -> None:
    assert read_ranges(b"bytes=0-", 0) is None
    assert read_ranges(b"bytes=-5", 0) is None


numbers = st.integers(min_value=0, max_value=60)
specs = st.one_of(
    st.builds(lambda first, more: (first, first + more), numbers, numbers),
    st.builds(lambda first: (first, None), numbers),
    st.builds(lambda count: (None, count), numbers),
)


def written(spec: tuple[int | None, int | None]) -> bytes:
    return b"-".join(b"" if number is None else b"%d" % number for number in spec)


def positions(spec: tuple[int | None, int | None], size: int) -> list[int]:
    first, last = spec
    if first is None:
        return list(range(size))[-(last or 0) :] if last else []
    return list(range(size))[first : None if last is None else last + 1]


@given(st.lists(specs, min_size=1, max_size=5), st.integers(min_value=1, max_value=50))
def test_ranges_are_the_bytes_that_were_asked_for(asked: list[tuple[int | None, int | None]], size: int) -> None:
    found = read_ranges(b"bytes=" + b",".join(map(written, asked)), size)
    wanted = [positions(spec, size) for spec in asked]
    wanted = [part for part in wanted if part]
    flat = [position for part in wanted for position in part]
    if len(flat) != len(set(flat)):
        assert found is None
    else:
        assert found is not None
        assert [list(range(first, first + count)) for first, count in found] == wanted


@given(st.binary(max_size=40), st.integers(min_value=0, max_value=10**19))
def test_no_bytes_are_too_strange(value: bytes, size: int) -> None:
    for first, count in read_ranges(b"bytes=" + value, size) or []:
        assert 0 <= first < first + count <= size


def test_a_part_says_where_it_belongs() -> None:
    assert content_range((10, 5), 100) == b"bytes 10-14/100"


def test_several_parts_are_one_content_of_known_length() -> None:
    content = bytes(range(100))
    length, pieces = multipart([(0, 2), (50, 3)], 100, b"text/plain", b"BOUNDARY")
    whole = b"".join(piece if isinstance(piece, bytes) else content[piece[0] : sum(piece)] for piece in pieces)
    assert len(whole) == length
    assert whole == (
        b"--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/100\r\n\r\n\x00\x01"
        b"\r\n--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 50-52/100\r\n\r\n\x32\x33\x34"
        b"\r\n--BOUNDARY--\r\n"
    )
