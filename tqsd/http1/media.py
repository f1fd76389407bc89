"""Media types by the ending of a name: a table of our own, so that they are the same on every machine."""

from __future__ import annotations

from typing import Final, NamedTuple


class Media(NamedTuple):
    """What a file is. `packed`: it is compressed as it stands, so nobody keeps a compressed variant beside it."""

    type: bytes
    packed: bool = False


_UTF8: Final = b"; charset=utf-8"
_OTHER: Final = Media(b"application/octet-stream")
_TEXT: Final = {
    b"text/css": b"css",
    b"text/csv": b"csv",
    b"text/html": b"html htm",
    b"text/javascript": b"js mjs",  # RFC 9239
    b"text/markdown": b"md",
    b"text/plain": b"txt",
    b"text/vtt": b"vtt",
}
_OPEN: Final = {
    b"application/atom+xml": b"atom",
    b"application/json": b"json map",
    b"application/manifest+json": b"webmanifest",
    b"application/rss+xml": b"rss",
    b"application/vnd.ms-fontobject": b"eot",
    b"application/wasm": b"wasm",
    b"application/xhtml+xml": b"xhtml",
    b"application/xml": b"xml",
    b"font/otf": b"otf",
    b"font/ttf": b"ttf",
    b"image/bmp": b"bmp",
    b"image/svg+xml": b"svg",
    b"image/vnd.microsoft.icon": b"ico",
}
_PACKED: Final = {
    b"application/gzip": b"gz",
    b"application/octet-stream": b"br",
    b"application/pdf": b"pdf",
    b"application/zip": b"zip",
    b"application/zstd": b"zst",
    b"audio/aac": b"aac",
    b"audio/flac": b"flac",
    b"audio/mp4": b"m4a",
    b"audio/mpeg": b"mp3",
    b"audio/ogg": b"ogg oga opus",
    b"font/woff": b"woff",
    b"font/woff2": b"woff2",
    b"image/avif": b"avif",
    b"image/gif": b"gif",
    b"image/jpeg": b"jpg jpeg",
    b"image/jxl": b"jxl",
    b"image/png": b"png apng",
    b"image/webp": b"webp",
    b"video/mp4": b"mp4 m4v",
    b"video/ogg": b"ogv",
    b"video/webm": b"webm",
}
_MEDIA: Final = {
    **{ending: Media(name + _UTF8) for name, endings in _TEXT.items() for ending in endings.split()},
    **{ending: Media(name) for name, endings in _OPEN.items() for ending in endings.split()},
    **{ending: Media(name, True) for name, endings in _PACKED.items() for ending in endings.split()},
}


def media_of(name: bytes) -> Media:
    """What a file of this name is."""
    return _MEDIA.get(name.rpartition(b".")[2].lower(), _OTHER) if b"." in name else _OTHER
