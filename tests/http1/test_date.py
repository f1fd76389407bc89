from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.date import read_date, write_date


@given(st.integers(min_value=-62135596800, max_value=253402300799))
def test_what_is_written_is_read_again(seconds: int) -> None:
    assert read_date(write_date(seconds)) == seconds


@given(st.integers(min_value=0, max_value=4102444800))
def test_dates_are_written_as_the_standard_library_writes_them(seconds: int) -> None:
    assert write_date(seconds) == formatdate(seconds, usegmt=True).encode()


@pytest.mark.parametrize(
    "value",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_all_three_forms_of_a_date_are_read(value: bytes) -> None:
    assert read_date(value) == 784111777


def test_two_digits_of_a_year_are_of_this_century_before_seventy() -> None:
    assert read_date(b"Wednesday, 01-Jan-25 00:00:00 GMT") == 1735689600


def test_a_leap_second_is_the_second_before_it() -> None:
    assert read_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == read_date(b"Sat, 31 Dec 2016 23:59:59 GMT")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"now",
        b"1994-11-06T08:49:37Z",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 GMT ",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 06 Nix 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 25:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun Nov    08:49:37 1994",
    ],
)
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert read_date(value) is None


@given(st.binary(max_size=40))
def test_no_bytes_are_too_strange(value: bytes) -> None:
    read_date(value)
