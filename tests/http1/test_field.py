from __future__ import annotations

import pytest

from tqsd.http1 import field
from tqsd.http1.field import PLAIN_LINE, BadHead, field_line


@pytest.mark.parametrize(
    ("line", "kind", "value"),
    [
        (b"Host: a", field.HOST, b"a"),
        (b"HOST:a", field.HOST, b"a"),
        (b"content-LENGTH: \t5\t ", field.CONTENT_LENGTH, b"5"),
        (b"Keep-Alive: 5", field.DROPPED, b"5"),
        (b"X-Forwarded-For: a", field.FORWARDED_FOR, b"a"),
        (b"X-Forwarded-Anything: a", field.FORWARDED, b"a"),
        (b"X-Real-IP: a", field.FORWARDED, b"a"),
        (b"Content_Length: 5", field.DROPPED, b"5"),
        (b"X_Forwarded_For: a", field.DROPPED, b"a"),
        (b"Transfer-Encoding:", field.TRANSFER_ENCODING, b""),
    ],
)
def test_fields_for_the_proxy_are_known_however_they_are_spelt(line: bytes, kind: bytes, value: bytes) -> None:
    for _ in range(2):
        assert field_line(line) == (kind, value)
        assert field_line(line)[0] is kind


@pytest.mark.parametrize("line", [b"Accept: */*", b"X_Own: 1", b"Hosts: a", b"Cookie: a=b; c=\xff", b"Empty:"])
def test_all_others_just_pass(line: bytes) -> None:
    for _ in range(2):
        assert field_line(line) is PLAIN_LINE


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_no_control_byte_passes(byte: int) -> None:
    for line in (b"X: a%bb" % bytes([byte]), b"X%b: a" % bytes([byte])):
        with pytest.raises(BadHead):
            field_line(line)
