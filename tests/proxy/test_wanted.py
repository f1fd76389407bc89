from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.proxy.wanted import Place, Wanted, place_of
from tqsd.route import BadPath


@pytest.mark.parametrize(
    ("path", "route", "place"),
    [
        (b"/", "/", (b"index.html",)),
        (b"/a.css", "/", (b"a.css",)),
        (b"/assets", "/assets", ()),
        (b"/assets/", "/assets", (b"index.html",)),
        (b"/assets/a/b.css", "/assets", (b"a", b"b.css")),
        (b"/assets/docs/", "/assets", (b"docs", b"index.html")),
        (b"/assets/%61%20b%25.css", "/assets", (b"a b%.css",)),
        (b"/assets/%C3%A4.css", "/assets", ("ä.css".encode(),)),
        (b"/%61ssets/b", "/assets", (b"b",)),
        (b"/.well-known/acme-challenge/x", "/", (b".well-known", b"acme-challenge", b"x")),
        (b"/a/page.yaml", "/", (b"a", b"page.yaml")),
    ],
)
def test_a_path_is_a_place_below_the_route(path: bytes, route: str, place: Place) -> None:
    assert place_of(path, route) == place


@pytest.mark.parametrize(
    "path",
    [
        b"/.git/config",
        b"/.env",
        b"/a/.htpasswd",
        b"/a/.well-known/x",
        b"/.well-known/.x",
        b"/page.yaml",
        b"/%70age.yaml",
        b"/a//b",
        b"//",
        b"//etc/passwd",
        b"/a%2Fb",
        b"/%2Fetc%2Fpasswd",
        b"/node_modules/x.js",
        b"/a/__pycache__/x.pyc",
        b"/style.css~",
        b"/%23style.css%23",
        b"/x.tmp",
    ],
)
def test_what_a_release_would_not_hold_is_served_nowhere(path: bytes) -> None:
    assert place_of(path, "/") is None


@given(st.lists(st.sampled_from([b"a", b"..", b".", b"%2e%2e", b"%2f", b"", b".x", b"%2E", b"~"]), max_size=6))
def test_no_path_leads_upward(segments: list[bytes]) -> None:
    try:
        place = place_of(b"/" + b"/".join(segments), "/")
    except BadPath:
        return
    assert not {b"..", b".", b""} & set(place or ())
    assert not any(b"/" in name for name in place or ())


def test_one_request_wants_one_representation_of_one_file() -> None:
    raw = b"GET /assets/a.css HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n"
    wanted = Wanted(raw, b"GET", b"/assets/a.css", "/assets")
    assert (wanted.place, wanted.codings, wanted.whole) == ((b"a.css",), (b"br",), True)
    assert Wanted(raw, b"GET", b"/assets/a.png", "/assets").codings == ()
    assert not Wanted(raw, b"HEAD", b"/assets/a.css", "/assets").whole
    assert not Wanted(raw[:-2] + b"Range: bytes=0-1\r\n\r\n", b"GET", b"/assets/a.css", "/assets").whole
