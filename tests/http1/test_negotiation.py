from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.negotiation import ENDINGS, codings


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        (b"", ()),
        (b"identity", ()),
        (b"deflate", ()),
        (b"gzip", (b"gzip",)),
        (b"x-gzip", (b"gzip",)),
        (b"gzip, deflate, br, zstd", (b"br", b"zstd", b"gzip")),
        (b"gzip;q=1.0, br;q=0.5", (b"gzip", b"br")),
        (b"gzip ; q=0.8 ,br; q=0.9", (b"br", b"gzip")),
        (b"br;q=0, gzip", (b"gzip",)),
        (b"*", (b"br", b"zstd", b"gzip")),
        (b"*;q=0.5, gzip", (b"gzip", b"br", b"zstd")),
        (b"*;q=0, gzip", (b"gzip",)),
        (b"gzip;q=0.5, identity", ()),
        (b"gzip;q=0.5, identity;q=0.5", (b"gzip",)),
        (b"gzip, identity;q=0", (b"gzip",)),
        (b"gzip;q=2, br;q=x, zstd;level=3", ()),
        (b"gzip,,, br", (b"br", b"gzip")),
        (b"gzip;q=1.0000", ()),
    ],
)
def test_codings_are_those_that_are_taken_as_gladly_as_none(accept: bytes, found: tuple[bytes, ...]) -> None:
    assert codings(accept) == found


@given(st.binary(max_size=60))
def test_no_bytes_are_too_strange(accept: bytes) -> None:
    assert set(codings(accept)) <= set(ENDINGS)
