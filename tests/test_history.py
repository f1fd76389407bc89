from __future__ import annotations

from pathlib import Path

from tqsd.history import History


def test_records_come_back_oldest_first_and_by_page(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for number in range(4):
        history.append({"pages": ["a" if number % 2 else "b"], "number": number})
    assert [record["number"] for record in history.read(3)] == [1, 2, 3]
    assert [record["number"] for record in history.read(9, "a")] == [1, 3]


def test_without_a_file_there_are_no_records(tmp_path: Path) -> None:
    assert History(tmp_path / "absent").read(5) == []


def test_a_line_that_a_crash_cut_is_skipped_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = History(path)
    history.append({"pages": ["a"]})
    with path.open("ab") as file:
        file.write(b'{"pages": ["a')
    history.append({"pages": ["b"]})
    assert [record["pages"] for record in history.read(9)] == [["a"], ["b"]]


def test_the_file_stays_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = History(path, limit=2000)
    for number in range(200):
        history.append({"pages": ["a"], "number": number})
    assert path.stat().st_size < 2200
    assert history.read(1)[0]["number"] == 199
