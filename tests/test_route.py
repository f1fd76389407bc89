from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.route import BadPath, NotAllowed, Route, RouteTable, decoded


def table(*routes: str, **more: Any) -> RouteTable:
    """Pages named by their routes."""
    return RouteTable([{"page": route, "route": route, **more} for route in routes])


def page(routes: RouteTable, path: str, method: str = "GET", host: str = "a") -> str | None:
    found = routes.match(path.encode(), method.encode(), host.encode())
    assert not isinstance(found, NotAllowed)
    return found.page if found else None


SITE = table("/", "/api", "/api/users", "/docs/a b", "/grün", "/100%")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/other", "/"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/api/x", "/api"),
        ("/apiary", "/"),
        ("/api/users", "/api/users"),
        ("/api/users/42", "/api/users"),
        ("/api/%75sers", "/api/users"),
        ("/%61pi/%75s%65rs/", "/api/users"),
        ("/api%2Fusers", "/"),
        ("/api/users%2F42", "/api"),
        ("//api", "/"),
        ("/api//users", "/api"),
        ("/API", "/"),
        ("/docs/a%20b/c", "/docs/a b"),
        ("/docs/a+b", "/"),
        ("/gr%C3%BCn", "/grün"),
        ("/100%25", "/100%"),
        ("/100%2525", "/"),
        ("/...", "/"),
        ("/.well-known/x", "/"),
        ("/a.b/..c", "/"),
    ],
)
def test_the_longest_route_that_is_a_prefix_by_segments_wins(path: str, expected: str) -> None:
    assert page(SITE, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/.",
        "/..",
        "/a/./b",
        "/a/../b",
        "/a/%2e",
        "/%2E%2e/b",
        "/.%2e",
        "/a\\b",
        "/a%5Cb",
        "/%00",
        "/a%00b",
        "/%",
        "/%4",
        "/%zz",
        "/a%ff",
        "/%C3%28",
        "/%ed%a0%80",
    ],
)
def test_a_path_with_two_readings_matches_nothing(path: str) -> None:
    with pytest.raises(BadPath):
        SITE.match(path.encode(), b"GET", b"a")


def test_without_an_index_page_a_path_may_match_nothing() -> None:
    assert page(table("/api"), "/other") is None
    assert page(table(), "/") is None


def test_methods_share_a_route_and_the_rest_gets_allow() -> None:
    routes = RouteTable(
        [
            {"page": "read", "route": "/a", "methods": ["GET"]},
            {"page": "write", "route": "/a", "methods": ["POST", "PUT"]},
            {"page": "deep", "route": "/a/b"},
        ]
    )
    assert page(routes, "/a") == "read"
    assert page(routes, "/a", "HEAD") == "read"
    assert page(routes, "/a/x", "PUT") == "write"
    assert page(routes, "/a/b", "DELETE") == "deep"
    assert routes.match(b"/a", b"DELETE", b"a") == NotAllowed(b"GET, HEAD, POST, PUT")


def test_a_page_for_a_host_goes_before_one_for_all() -> None:
    routes = RouteTable(
        [
            {"page": "all", "route": "/a"},
            {"page": "mine", "route": "/a", "hosts": ["Mine.Example"], "methods": ["GET"]},
            {"page": "deep", "route": "/a/b", "hosts": ["mine.example"]},
        ]
    )
    assert page(routes, "/a", host="mine.example") == "mine"
    assert page(routes, "/a", "POST", host="mine.example") == "all"
    assert page(routes, "/a/b", host="mine.example") == "deep"
    assert page(routes, "/a/b", host="other.example") == "all"


def test_the_routes_segments_can_be_cut_off() -> None:
    def stripped(route: str, path: str) -> bytes:
        return Route("page", route).stripped(path.encode())

    assert stripped("/api/users", "/api/users") == b"/"
    assert stripped("/api/users", "/api/users/") == b"/"
    assert stripped("/api/users", "/%61pi/users/4%2F2") == b"/4%2F2"
    assert stripped("/", "/a/b") == b"/a/b"


@given(st.lists(st.text(max_size=5), max_size=6))
def test_a_path_is_found_again_when_every_byte_is_encoded(names: list[str]) -> None:
    segments = [name.replace("/", "").replace("\\", "").replace("\0", "") for name in names]
    segments = [name for name in segments if name.strip(".")]
    path = "".join("/" + "".join(f"%{byte:02x}" for byte in name.encode(errors="replace")) for name in segments) or "/"
    route = "/" + "/".join(name.encode(errors="replace").decode() for name in segments)
    assert page(table(route), path) == route


@given(st.binary(max_size=60))
def test_no_bytes_break_the_matching(tail: bytes) -> None:
    try:
        segments = decoded(b"/" + tail)
    except BadPath:
        return
    assert b"." not in segments
    assert b".." not in segments
