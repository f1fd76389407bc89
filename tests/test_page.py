from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.page import executable_name, route_of, slug

segments = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=40)
names = st.lists(segments, min_size=1, max_size=5).map("/".join)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("api/users", "api-users"),
        ("a-b/c", "a_2db-c"),
        ("Über uns", "_c3_9cber_20uns"),
        ("a_b", "a_5fb"),
        ("v1.2", "v1.2"),
    ],
)
def test_a_slug_escapes_all_that_a_unit_name_may_not_carry(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(names)
def test_a_slug_is_short_and_plain(name: str) -> None:
    assert len(slug(name)) <= 120
    assert re.fullmatch(r"[a-z0-9._-]+", slug(name))


@given(names, names)
def test_two_pages_never_share_a_slug(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)


def test_a_long_name_keeps_its_beginning_and_gets_a_digest() -> None:
    long = "a" * 200
    assert slug(long).startswith("a" * 100 + "_h")
    assert slug(long) != slug(long + "b")


@pytest.mark.parametrize(
    ("name", "route"),
    [("index", "/"), ("api/index", "/api"), ("index/about", "/index/about"), ("api/users", "/api/users")],
)
def test_the_route_is_the_place(name: str, route: str) -> None:
    assert route_of(name) == route


@given(names)
def test_an_executable_has_a_name_that_a_shell_would_take(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", executable_name(name))
