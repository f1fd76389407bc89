from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from tests.builder.sites import until
from tqsd.builder.sources import Contents, accompanying, copy, everything, name_of
from tqsd.config import PageSettings
from tqsd.errors import BuildError
from tqsd.page import Page, Runtime


def test_content_that_changes_within_one_step_of_the_clock_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = Contents()
    seen = set()
    for text in ("aaaa", "bbbb", "cccc"):
        path.write_text(text)
        os.utime(path, ns=(1, 1))
        seen.add(contents.read(path).sha256)
    assert len(seen) == 3


def test_a_touched_file_is_unchanged_and_an_equal_time_does_not_hide_another_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    contents = Contents()
    files = {"file": path}
    inputs = contents.inputs(files)
    os.utime(path, (1, 1))
    assert contents.unchanged(files, inputs)
    path.write_text("longer")
    os.utime(path, ns=(inputs["file"].mtime_ns, inputs["file"].mtime_ns))
    assert not contents.unchanged(files, inputs)
    assert not contents.unchanged({}, inputs)
    assert not contents.unchanged({**files, "new": path}, inputs)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    contents = Contents()
    changed = path.stat().st_ctime_ns
    until(lambda: time.time_ns() > changed + 100_000_000)
    before = contents.read(path)
    assert contents.read(path) is before


def test_names_are_relative_inside_the_site_only() -> None:
    assert name_of(Path("/srv/site/pages/a"), Path("/srv/site")) == "pages/a"
    assert name_of(Path("/srv/lib/x.go"), Path("/srv/site")) == "/srv/lib/x.go"


def test_pipes_and_editors_leftovers_are_not_copied(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("kept.txt", "kept.txt~", "#kept.txt#", "4913", ".kept.txt.swp", "main.go", "page.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "testdata").mkdir()
    (tmp_path / "testdata" / "case.json").write_text("")
    assert accompanying(tmp_path, tmp_path) == [tmp_path / "kept.txt"]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("")
    with pytest.raises(BuildError, match="not valid UTF-8"):
        accompanying(tmp_path, tmp_path)


def test_a_page_that_is_copied_whole_takes_its_well_known_files_along(tmp_path: Path) -> None:
    directory = tmp_path / "pages/assets"
    for name in ("style.css", ".env", ".well-known/security.txt", ".well-known/.hidden", "page.yaml", "x.css~"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("")
    page = Page("assets", directory, "/assets", Runtime.STATIC, PageSettings())
    assert everything(page, tmp_path) == [directory / "style.css", directory / ".well-known/security.txt"]


def test_a_copy_has_the_second_of_its_source_and_a_time_of_its_own_content(tmp_path: Path) -> None:
    page = Page("assets", tmp_path, "/assets", Runtime.STATIC, PageSettings())
    times = set()
    for number, text in enumerate(("body {}", "body {}", "main {}")):
        source, release = tmp_path / f"{number}.css", tmp_path / f"release{number}"
        source.write_text(text)
        source.chmod(0o640)
        os.utime(source, ns=(1, 1_600_000_000_500_000_000 + number))
        copy({"a/style.css": source}, page, release)
        status = (release / "a/style.css").stat()
        assert (release / "a/style.css").read_text() == text
        assert status.st_mtime_ns // 1_000_000_000 == 1_600_000_000
        assert stat.S_IMODE(status.st_mode) == 0o640
        times.add((text, status.st_mtime_ns))
    assert len(times) == 2
    assert len({when for _, when in times}) == 2
