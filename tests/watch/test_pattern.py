from __future__ import annotations

from pathlib import Path

from tqsd.watch.pattern import anchors, matching


def test_patterns_name_files_below_the_site(tmp_path: Path) -> None:
    for name in ("shared/a.json", "shared/deep/b.json", "shared/c.txt", "other/d.json", "top.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "shared/folder.json").mkdir()
    found = {path.relative_to(tmp_path).as_posix() for path in matching(tmp_path, ["shared/**/*.json", "*.json"])}
    assert found == {"shared/a.json", "shared/deep/b.json", "top.json"}


def test_a_file_that_may_come_is_looked_for_below_what_stands_before_the_first_wildcard(tmp_path: Path) -> None:
    patterns = ["shared/**/*.json", "config/rules/*.yaml", "config/app.yaml", "*.json"]
    assert list(anchors(tmp_path, patterns)) == [
        tmp_path / "shared",
        tmp_path / "config/rules",
        tmp_path / "config",
        tmp_path,
    ]
