from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.body import BadBody, Chunked, Follower, Frames, Length, follow
from tqsd.http1.head import Framing


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def chunked(parts: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part)
    return body + b"0\r\n" + trailers + b"\r\n"


def run(follower: Follower, given_pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The decoded content, and what was left over behind the end."""
    content: list[bytes] = []
    for number, piece in enumerate(given_pieces):
        end = follower.feed(piece, content)
        if end >= 0:
            return b"".join(content), piece[end:] + b"".join(given_pieces[number + 1 :])
    raise AssertionError("the content has no end")


@given(
    parts=st.lists(st.binary(max_size=50), max_size=5),
    extension=st.sampled_from([b"", b";a", b';a="b c"']),
    trailers=st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: 1\r\nB: 2\r\n"]),
    cuts=st.lists(st.integers(0, 500), max_size=6),
)
def test_chunks_end_where_they_end_however_they_are_cut(
    parts: list[bytes], extension: bytes, trailers: bytes, cuts: list[int]
) -> None:
    body = chunked(parts, extension, trailers)
    follower = Chunked()
    content, rest = run(follower, pieces(body + b"next", cuts))
    assert content == b"".join(parts)
    assert rest == b"next"
    assert follower.size == len(content)


@given(parts=st.lists(st.binary(min_size=1, max_size=50), max_size=5), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_chunks_mean_what_they_mean_to_h11(parts: list[bytes], cuts: list[int]) -> None:
    body = chunked(parts)
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    oracle.next_event()
    theirs = b""
    while isinstance(event := oracle.next_event(), h11.Data):
        theirs += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert run(Chunked(), pieces(body, cuts)) == (theirs, b"")


@given(data=st.binary(max_size=100), cuts=st.lists(st.integers(0, 100), max_size=4))
def test_broken_chunks_are_found_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    def outcome(given_pieces: list[bytes]) -> bytes | None:
        try:
            return run(Chunked(), [*given_pieces, b"\r\n\r\n\r\n0\r\n\r\n"])[0]
        except (BadBody, AssertionError):
            return None

    assert outcome([data]) == outcome(pieces(data, cuts))


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_known_lengths_end_where_they_end(size: int) -> None:
    data = b"0123456789next"
    follower = follow(Framing.LENGTH, 10)
    assert run(follower, [data[at : at + size] for at in range(0, len(data), size)]) == (b"0123456789", b"next")
    assert follower.size == 10


def test_what_goes_another_way_counts_as_well() -> None:
    content = Length(10)
    assert content.feed(b"123") == -1
    assert not content.skip(6)
    assert content.skip(1)
    assert content.size == 10


def test_content_until_close_has_no_end_of_its_own() -> None:
    follower = follow(Framing.UNTIL_CLOSE, 0)
    content: list[bytes] = []
    assert follower.feed(b"abc", content) == follower.feed(b"0\r\n\r\n", content) == -1
    assert content == [b"abc", b"0\r\n\r\n"]
    assert follower.size == 8


# WebSocket frames (RFC 6455 5.2)

FRAMES = [
    b"\x81\x05hello",
    b"\x89\x00",
    b"\x82\x7e\x01\x00" + b"x" * 256,
    b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + b"x" * 65536,
    b"\x81\x85\x01\x02\x03\x04abcde",
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_place_between_two_frames_is_known(frame: bytes, size: int) -> None:
    frames = Frames()
    assert frames.between
    for at in range(0, len(frame), size):
        piece = frame[at : at + size]
        assert frames.feed(piece) == len(piece)
        assert frames.between is (at + size >= len(frame))


@given(order=st.lists(st.sampled_from(FRAMES[:3]), min_size=1, max_size=4), cut=st.integers(0, 1000))
def test_a_stop_is_made_at_the_next_boundary(order: list[bytes], cut: int) -> None:
    stream = b"".join(order)
    cut %= len(stream)
    frames = Frames()
    frames.feed(stream[:cut])
    if frames.between:
        return
    boundaries = [sum(map(len, order[:count])) for count in range(len(order) + 1)]
    taken = frames.feed(stream[cut:], stop=True)
    assert cut + taken == min(boundary for boundary in boundaries if boundary > cut)
    assert frames.between
