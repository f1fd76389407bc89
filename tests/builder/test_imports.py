from __future__ import annotations

from pathlib import Path

import pytest

from tqsd.builder.imports import SourceReader, module_name, nearest, parse_head, sources_of
from tqsd.config import PageSettings
from tqsd.page import Page, Runtime

TRICKY = """// Package comment: import "not/this"
/* func type var
import "nor/this" */
//go:build linux && !cgo

package main // main

import "fmt"
import (
	m "math"
	_ `embed`
	. "a/b" /* "c" */; "d"
)

//go:embed static "with space.txt" `raw`
//go:embed all:hidden
var x = "import \\"e\\""

func f() { _ = "//go:embed no" }
"""


def test_a_head_is_read_whatever_stands_in_its_comments() -> None:
    head = parse_head(TRICKY)
    assert head.package == "main"
    assert head.imports == ["fmt", "math", "embed", "a/b", "d"]
    assert head.embeds == ["static", "with space.txt", "raw", "all:hidden"]
    assert head.is_conditional


@pytest.mark.parametrize("text", ["", "\x00", "package", "import", '"', "/*", "{}" * 100, "\ufeffpackage"])
def test_nonsense_has_a_head_without_a_package(text: str) -> None:
    assert parse_head(text).package == ""


@pytest.mark.parametrize(
    ("text", "conditional"),
    [
        ("package main\n", False),
        ('package main\n\nimport "C"\n', True),
        ("// +build linux\n\npackage main\n", True),
        ("package main\n\n//go:embed x\nvar x string\n", False),
    ],
)
def test_what_decides_whether_a_file_is_compiled_is_seen(text: str, conditional: bool) -> None:
    assert parse_head(text).is_conditional is conditional


def test_a_body_or_a_comment_does_not_change_the_shape(tmp_path: Path) -> None:
    reader = SourceReader(tmp_path, "off")
    page = Page("a", tmp_path / "pages/a", "/a", Runtime.GO, PageSettings())
    page.directory.mkdir(parents=True)
    main = page.directory / "main.go"

    def shape(text: str) -> str:
        main.write_text(text)
        return reader.read(page, [], []).shape

    first = shape('package main\n\nimport "os"\n\nfunc main() {}\n')
    assert shape('package main\n\n// new\nimport "os"\n\nfunc main() { os.Exit(1) }\n') == first
    for other in (
        'package main\n\nimport "io"\n\nfunc main() {}\n',
        'package other\n\nimport "os"\n\nfunc main() {}\n',
        '//go:build x\n\npackage main\n\nimport "os"\n\nfunc main() {}\n',
        'package main\n\nimport "os"\n\n//go:embed x\nfunc main() {}\n',
    ):
        assert shape(other) != first
    shape('package main\n\nimport "os"\n\nfunc main() {}\n')
    (tmp_path / "go.mod").write_text("module site\n")
    assert reader.read(page, [], []).shape != first


def test_tests_hidden_and_foreign_files_are_no_sources(tmp_path: Path) -> None:
    for name in ("a.go", "a_test.go", "_b.go", ".c.go", "d.s", "e.txt", "f.h"):
        (tmp_path / name).write_text("")
    (tmp_path / "g.go").mkdir()
    assert [path.name for path in sources_of(tmp_path)] == ["a.go", "d.s", "f.h"]
    assert list(sources_of(tmp_path / "missing")) == []


def test_embed_patterns_take_files_directories_and_escapes(tmp_path: Path) -> None:
    for name in ("x/1.txt", "x/.2.txt", "x/y/3.txt", "a1.css", "a2.css", "b1.css", "[odd].txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def taken(pattern: str) -> list[str]:
        (tmp_path / "main.go").write_text(f"package main\n\n//go:embed {pattern}\nvar x embed.FS\n")
        return sorted(str(path.relative_to(tmp_path)) for path in SourceReader(tmp_path, "off").embedded(tmp_path))

    assert taken("x") == ["x/.2.txt", "x/1.txt", "x/y/3.txt"]
    assert taken("a*.css b?.css") == ["a1.css", "a2.css", "b1.css"]
    assert taken("[^a]1.css") == ["b1.css"]
    assert taken('"\\\\[odd\\\\].txt"') in (["[odd].txt"], [])
    assert taken("`\\[odd\\].txt`") == ["[odd].txt"]
    assert taken("../up /etc missing") == []


def test_the_nearest_directory_with_a_file_is_found_up_to_a_top(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "go.mod").write_text('module "quoted/name" // comment\n')
    assert nearest("go.mod", below) == tmp_path
    assert nearest("go.mod", below, tmp_path) == tmp_path
    assert nearest("go.mod", below, tmp_path / "a") is None
    assert module_name(tmp_path / "go.mod") == "quoted/name"
    assert module_name(tmp_path / "missing") == ""
