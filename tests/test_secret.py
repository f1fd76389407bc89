from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tqsd.errors import UsageError
from tqsd.secret import LIMIT, Secrets
from tqsd.state import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.dev(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_kept_where_only_its_owner_reads_it(paths: Paths) -> None:
    secrets = Secrets(paths)
    secrets.set("DB_PASSWORD", b"hunter2\n")
    assert secrets.names() == ["DB_PASSWORD"]
    assert mode(paths.etc / "secrets") == 0o700
    assert mode(paths.etc / "secrets/DB_PASSWORD") == 0o600


def test_a_page_is_lent_what_it_names_and_nothing_else(paths: Paths) -> None:
    secrets = Secrets(paths)
    secrets.set("A", b"1")
    secrets.set("B", b"2")
    place = paths.credentials_of("api")
    assert secrets.lend(["A", "MISSING"], place) == ["MISSING"]
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"A": b"1"}
    assert (mode(place), mode(place / "A")) == (0o700, 0o400)


def test_what_a_page_no_longer_names_is_taken_back(paths: Paths) -> None:
    secrets = Secrets(paths)
    secrets.set("A", b"1")
    secrets.set("B", b"2")
    place = paths.credentials_of("api")
    secrets.lend(["A", "B"], place)
    secrets.set("B", b"3")
    secrets.remove("A")
    assert secrets.lend(["A", "B"], place) == ["A"]
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"B": b"3"}


@pytest.mark.parametrize("name", ["", "../x", "a b", "1A", "A/B", "A" * 256, "A\n"])
def test_a_name_that_is_none_is_refused(paths: Paths, name: str) -> None:
    with pytest.raises(UsageError):
        Secrets(paths).set(name, b"x")
    assert Secrets(paths).names() == []


@pytest.mark.parametrize("value", [b"", b"x" * (LIMIT + 1)])
def test_an_empty_or_huge_value_is_refused(paths: Paths, value: bytes) -> None:
    with pytest.raises(UsageError):
        Secrets(paths).set("A", value)


def test_removing_an_unknown_secret_says_which_there_are(paths: Paths) -> None:
    Secrets(paths).set("A", b"1")
    for name in ("B", "..", "../../etc", ""):
        with pytest.raises(UsageError) as caught:
            Secrets(paths).remove(name)
        assert caught.value.hint == "set: A"
    assert os.listdir(paths.etc / "secrets") == ["A"]
