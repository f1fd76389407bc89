from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tqsd.release import Input, Manifest, Release, digest_of, is_digest

INPUTS = {"pages/a/main.go": Input(3, 5, "aa"), "/srv/lib/lib.go": Input(7, 9, "bb")}
MANIFEST = Manifest(
    page="a",
    release=digest_of("go", "go1.27.3", ["-race"], INPUTS),
    runtime="go",
    built=1764000000.25,
    build_ms=212,
    executable="a",
    toolchain="go1.27.3",
    flags=("-race",),
    inputs=INPUTS,
    packages=("internal/web", "/srv/lib"),
    shape="0123456789abcdef",
)


def test_a_release_is_written_as_its_digest() -> None:
    assert str(Release("a", "0123456789abcdef", Path("/r"), Path("/r/a"))) == "0123456789abcdef"


def test_a_digest_is_sixteen_hex_digits() -> None:
    assert is_digest(MANIFEST.release)
    for other in ("", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef\n", "../../etc/passwd", None):
        assert not is_digest(other)


def test_the_digest_depends_on_names_and_contents_never_on_times_or_order() -> None:
    same = {"/srv/lib/lib.go": Input(7, 1, "bb"), "pages/a/main.go": Input(3, 1, "aa")}
    assert digest_of("go", "go1.27.3", ("-race",), same) == MANIFEST.release
    others = [
        digest_of("python", "go1.27.3", ["-race"], INPUTS),
        digest_of("go", "go1.28", ["-race"], INPUTS),
        digest_of("go", "go1.27.3", [], INPUTS),
        digest_of("go", "go1.27.3", ["-ra", "ce"], INPUTS),
        digest_of("go", "go1.27.3", ["-race"], {**INPUTS, "pages/a/main.go": Input(3, 5, "ab")}),
        digest_of("go", "go1.27.3", ["-race"], {**INPUTS, "pages/a/new": Input(0, 5, "cc")}),
        digest_of(
            "go",
            "go1.27.3",
            ["-race"],
            {"pages/a/main.g": Input(3, 5, "oaa"), "/srv/lib/lib.go": INPUTS["/srv/lib/lib.go"]},
        ),
    ]
    assert MANIFEST.release not in others
    assert len(set(others)) == len(others)


def test_a_manifest_survives_json() -> None:
    assert Manifest.from_json(json.loads(json.dumps(MANIFEST.to_json()))) == MANIFEST


@pytest.mark.parametrize("key", sorted(MANIFEST.to_json()))
def test_a_manifest_without_one_of_its_keys_is_refused(key: str) -> None:
    value = MANIFEST.to_json()
    del value[key]
    with pytest.raises(ValueError, match="not a manifest"):
        Manifest.from_json(value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 2), ("release", "../x"), ("page", None), ("inputs", {"a": [1]}), ("inputs", []), ("built", "soon")],
)
def test_a_manifest_of_nonsense_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"manifest|float"):
        Manifest.from_json({**MANIFEST.to_json(), key: value})


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        MANIFEST.page = "b"  # type: ignore[misc]
    assert replace(MANIFEST, page="b") != MANIFEST
