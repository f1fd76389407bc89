from __future__ import annotations

import pytest

from tqsd.http1.media import media_of


@pytest.mark.parametrize(
    ("name", "media"),
    [
        (b"index.html", b"text/html; charset=utf-8"),
        (b"INDEX.HTM", b"text/html; charset=utf-8"),
        (b"app.min.js", b"text/javascript; charset=utf-8"),
        (b"style.css", b"text/css; charset=utf-8"),
        (b"logo.svg", b"image/svg+xml"),
        (b"photo.JPEG", b"image/jpeg"),
        (b"a.wasm", b"application/wasm"),
        (b"app.js.map", b"application/json"),
        (b"style.css.br", b"application/octet-stream"),
        (b"style.css.gz", b"application/gzip"),
        (b"LICENSE", b"application/octet-stream"),
        (b"css", b"application/octet-stream"),
        (b"a.unheard-of", b"application/octet-stream"),
        (b"a.", b"application/octet-stream"),
    ],
)
def test_the_ending_of_a_name_says_what_a_file_is(name: bytes, media: bytes) -> None:
    assert media_of(name).type == media


def test_only_what_is_not_compressed_already_has_variants() -> None:
    assert not any(media_of(name).packed for name in (b"a.html", b"a.svg", b"a.wasm", b"a.ico", b"LICENSE"))
    assert all(media_of(name).packed for name in (b"a.png", b"a.woff2", b"a.css.br", b"a.mp4", b"a.zip"))
