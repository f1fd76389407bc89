from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tqsd.builder.words import absolute, inner, obstacle


@pytest.fixture
def release(tmp_path: Path) -> Path:
    directory = tmp_path / "release with space"
    for name in ("server.js", "bin/tool", "start/x", "sp ace.js", "-dash"):
        place = directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("#!/bin/sh\n")
    (directory / "bin/tool").chmod(0o755)
    (tmp_path / "outside.js").write_text("")
    return directory


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("server.js", "server.js"),
        ("./server.js", "server.js"),
        ("bin//tool", "bin/tool"),
        ("bin/../server.js", "server.js"),
        ("sp ace.js", "sp ace.js"),
        ("-dash", "-dash"),
        ("start/", "start"),
        ("./start", "start"),
        ("./", "."),
        ("start", ""),
        (".", ""),
        ("", ""),
        ("missing", ""),
        ("../outside.js", ""),
        ("..", ""),
        ("/bin/sh", ""),
        ("--config=server.js", ""),
        ("x" * 5000, ""),
    ],
)
def test_a_word_names_what_lies_in_the_release_and_nothing_else(release: Path, word: str, place: str) -> None:
    assert inner(word, release) == place


def test_words_that_name_files_become_absolute(release: Path) -> None:
    words = ["node", "server.js", "--port", "80"]
    assert absolute(words, release) == ["node", f"{release}/server.js", "--port", "80"]


def said(release: Path, *words: str, path: str = os.environ["PATH"]) -> tuple[str, str]:
    found = obstacle("run", words, release, path)
    assert found, words
    return found


def test_nothing_is_said_against_what_can_run(release: Path) -> None:
    for words in (["sh", "server.js"], ["bin/tool"], ["./bin/tool"], [sys.executable], ["sh", "-c", "a && b | c"]):
        assert obstacle("run", words, release, os.environ["PATH"]) is None, words


def test_an_operator_of_the_shell_is_told_with_the_line_to_write(release: Path) -> None:
    message, hint = said(release, "npm", "ci", "&&", "npm", "run", "a b")
    assert message == "`run` has the word `&&`, but no shell reads it"
    assert hint == """let one: `run: [sh, -c, "npm ci && npm run 'a b'"]`"""


def test_a_program_that_is_nowhere_is_named_with_its_key(release: Path) -> None:
    message, hint = said(release, "nodd", "server.js")
    assert message == "`run` starts with `nodd`, which is neither a file of the page nor a program on PATH"
    assert "install nodd" in hint
    assert said(release, "sh", path="/nowhere")[0].startswith("`run` starts with `sh`")
    assert said(release, "cd", "x", path="/nowhere")[1] == 'let one: `run: [sh, -c, "cd x"]`'
    assert "env:" in said(release, "A=1", "node")[1]
    assert "build.command" in said(release, "node_modules/.bin/next")[1]
    assert "build.command" in said(release, "./start")[1]
    assert said(release, "../outside.js")
    assert said(release, "/nowhere/at/all")


def test_a_script_that_is_not_executable_is_told_with_both_ways_out(release: Path) -> None:
    message, hint = said(release, "./server.js", "x")
    assert message == "server.js, with which `run` starts, is not executable"
    assert hint == "`chmod +x` it, or write `run: node ./server.js x`"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("#!/bin/sh\r\n", "ends with a carriage return"),
        ("#!/usr/bin/env ruby\r\n", "ends with a carriage return"),
        ("#!/nowhere/ruby -w\n", "is for /nowhere/ruby, which is not there"),
        ("#!\n", "is for , which is not there"),
        ("#!{release}/bin/python3\n", "by the directory of the build"),
    ],
)
def test_a_first_line_that_exec_cannot_use_is_explained(release: Path, line: str, message: str) -> None:
    tool = release / "bin/tool"
    tool.write_bytes(line.format(release=release).encode())
    assert message in said(release, "bin/tool")[0]
