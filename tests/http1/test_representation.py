from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.date import write_date
from tqsd.http1.head import parse_response
from tqsd.http1.media import media_of
from tqsd.http1.representation import Asked, Representation, length, redirect

NOW = 1_700_000_000
CSS = Representation(media_of(b"a.css"), b"", 100, 0xABC, NOW)
ETAG = b'"abc-64"'


def asked(*lines: bytes) -> Asked:
    return Asked(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""]))


def answer(
    *lines: bytes, of: Representation = CSS, to_head: bool = False
) -> tuple[int, dict[bytes, bytes], list[object]]:
    """Status, fields and pieces."""
    head, pieces = of.answer(asked(*lines), to_head, b"BOUNDARY")
    parsed = parse_response(head, to_head)
    fields = dict(line.split(b": ", 1) for line in parsed.lines)
    if not to_head and parsed.status != 304:
        assert parsed.length == (length(pieces) if pieces else 0)
    return parsed.status, fields, list(pieces)


def test_a_whole_file_says_what_it_is_and_which_version() -> None:
    status, fields, pieces = answer()
    assert status == 200
    assert pieces == [(0, 100)]
    assert fields == {
        b"Content-Type": b"text/css; charset=utf-8",
        b"Content-Length": b"100",
        b"Accept-Ranges": b"bytes",
        b"Vary": b"Accept-Encoding",
        b"ETag": ETAG,
        b"Last-Modified": write_date(NOW),
        b"Cache-Control": b"no-cache",
        b"X-Content-Type-Options": b"nosniff",
    }


def test_a_variant_says_its_coding_and_has_a_tag_of_its_own() -> None:
    _, fields, _ = answer(of=CSS._replace(coding=b"br"))
    assert fields[b"Content-Encoding"] == b"br"
    assert fields[b"ETag"] == b'"abc-64-br"'
    assert fields[b"Content-Type"] == b"text/css; charset=utf-8"


def test_what_has_no_variants_does_not_vary() -> None:
    assert b"Vary" not in answer(of=CSS._replace(media=media_of(b"a.png")))[1]


def test_what_may_still_change_within_its_second_is_not_to_be_asked_for_again() -> None:
    status, fields, _ = answer(of=CSS._replace(settled=False))
    assert status == 200
    assert not {b"ETag", b"Last-Modified"} & fields.keys()


@pytest.mark.parametrize("year_one", [-(10**12), 10**12])
def test_a_year_that_no_date_can_hold_is_left_out(year_one: int) -> None:
    assert b"Last-Modified" not in answer(of=CSS._replace(modified=year_one))[1]


def test_what_the_client_has_is_not_sent_again() -> None:
    status, fields, pieces = answer(b"If-None-Match: " + ETAG)
    assert (status, pieces) == (304, [])
    assert fields.keys() == {b"ETag", b"Vary", b"Last-Modified", b"Cache-Control", b"X-Content-Type-Options"}
    assert answer(b"IF-NONE-MATCH:" + ETAG)[0] == 304
    assert answer(b'If-None-Match: "x"', b"If-None-Match: " + ETAG)[0] == 304
    assert answer(b"If-Modified-Since: " + write_date(NOW))[0] == 304
    assert answer(b"If-None-Match: " + ETAG, b"Range: bytes=0-1")[0] == 304


def test_what_is_not_as_it_must_be_is_not_sent() -> None:
    status, fields, pieces = answer(b'If-Match: "x"', b"Range: bytes=0-1")
    assert (status, pieces, fields[b"Content-Length"]) == (412, [], b"0")


def test_one_range_is_a_part() -> None:
    status, fields, pieces = answer(b"Range: bytes=10-19")
    assert (status, pieces) == (206, [(10, 10)])
    assert fields[b"Content-Range"] == b"bytes 10-19/100"
    assert fields[b"Content-Type"] == b"text/css; charset=utf-8"
    assert fields[b"ETag"] == ETAG


def test_several_ranges_are_a_multipart() -> None:
    status, fields, pieces = answer(b"Range: bytes=0-1,-2")
    assert (status, [piece for piece in pieces if isinstance(piece, tuple)]) == (206, [(0, 2), (98, 2)])
    assert fields[b"Content-Type"] == b"multipart/byteranges; boundary=BOUNDARY"
    assert b"Content-Range" not in fields


def test_a_range_beyond_the_end_is_told_the_size() -> None:
    status, fields, pieces = answer(b"Range: bytes=100-")
    assert (status, pieces) == (416, [])
    assert fields[b"Content-Range"] == b"bytes */100"


def test_a_range_of_another_version_is_answered_with_the_whole_of_this() -> None:
    assert answer(b"Range: bytes=0-1", b'If-Range: "x"')[0] == 200
    assert answer(b"Range: bytes=0-1", b"If-Range: " + ETAG)[0] == 206
    assert answer(b"Range: bytes=0-1", b"If-Range: " + write_date(NOW))[0] == 206
    assert answer(b"Range: bytes=500-", b'If-Range: "x"')[0] == 200


@pytest.mark.parametrize("lines", [(b"Range: bytes=0-1", b"Range: bytes=2-3"), (b"Range: words=1",), (b"Range:",)])
def test_what_is_no_range_field_is_ignored(lines: tuple[bytes, ...]) -> None:
    assert answer(*lines)[0] == 200


def test_head_knows_no_ranges() -> None:
    status, fields, _ = answer(b"Range: bytes=0-1", to_head=True)
    assert (status, fields[b"Content-Length"]) == (200, b"100")


def test_fields_are_found_whatever_their_spelling() -> None:
    assert asked(b"accept-ENCODING:  GZIP ", b"Accept-Encoding: br").codings == (b"br", b"gzip")
    assert asked(b"X-If-Match: x", b"X-Range: bytes=0-1").simple
    assert not asked(b"if-match: x").simple


def test_a_redirect_is_not_kept() -> None:
    parsed = parse_response(redirect(b"/a/?b"), False)
    assert parsed.status == 308
    assert b"Location: /a/?b" in parsed.lines
    assert b"Cache-Control: no-store" in parsed.lines


names = st.sampled_from(
    [b"Range", b"If-Range", b"If-Match", b"If-None-Match", b"If-Modified-Since", b"Accept-Encoding"]
)
values = st.one_of(
    st.binary(max_size=20).filter(lambda value: not {13, 10, 0} & set(value)),
    st.sampled_from([b"bytes=0-1", b"bytes=1-,0-0", b"bytes=500-", ETAG, write_date(NOW), b"*", b"gzip"]),
)


@given(st.lists(st.tuples(names, values), max_size=4), st.booleans(), st.sampled_from([0, 1, 100]))
def test_every_answer_is_strict_and_has_the_length_it_says(
    fields: list[tuple[bytes, bytes]], to_head: bool, size: int
) -> None:
    answer(*[b"%b: %b" % field for field in fields], of=CSS._replace(size=size), to_head=to_head)
