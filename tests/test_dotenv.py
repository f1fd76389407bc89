from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.dotenv import parse_dotenv
from tqsd.errors import ConfigError, Problem


def odd(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_dotenv(text)
    return [str(problem) for problem in caught.value.problems]


def test_lines_are_read_as_a_shell_would_without_expanding_anything() -> None:
    text = "\n".join(
        [
            "# a comment",
            "",
            "PLAIN=value",
            "export EXPORTED=yes",
            "  SPACED =  around  ",
            "EMPTY=",
            "HASH=a#b # a comment",
            "SINGLE='$HOME \\n # no comment'",
            'DOUBLE="a \\"quote\\", $HOME\\nand a line"  # a comment',
            "URL=postgres://u:p@h/db?x=1&y='2'",
        ]
    )
    assert parse_dotenv(text) == {
        "PLAIN": "value",
        "EXPORTED": "yes",
        "SPACED": "around",
        "EMPTY": "",
        "HASH": "a#b",
        "SINGLE": "$HOME \\n # no comment",
        "DOUBLE": 'a "quote", $HOME\nand a line',
        "URL": "postgres://u:p@h/db?x=1&y='2'",
    }


def test_a_quoted_value_may_span_lines() -> None:
    assert parse_dotenv('KEY="-----BEGIN\nabc\n-----END"\nNEXT=1\n') == {
        "KEY": "-----BEGIN\nabc\n-----END",
        "NEXT": "1",
    }


def test_windows_line_ends_are_no_part_of_a_value() -> None:
    assert parse_dotenv("A=1\r\nB='2'\r\n") == {"A": "1", "B": "2"}


def test_a_later_line_wins() -> None:
    assert parse_dotenv("A=1\nA=2\n") == {"A": "2"}


def test_every_odd_line_is_named() -> None:
    text = 'GOOD=1\nno equals sign\n1BAD=x\nOPEN=\'never closed\nAFTER=1\nTWO="a" b\nPORT=3000\n'
    assert odd(text) == [
        ".env:2: is not NAME=value",
        ".env:3: is not NAME=value",
        ".env:4: OPEN: its closing ' is missing",
        ".env:6: TWO: something follows the closing quote",
        ".env:7: PORT: is set by tqsd itself",
    ]


@given(st.text(alphabet="AB_=\"'\\#\n\r \t$x\0", max_size=60))
def test_no_text_crashes_it_or_gives_a_name_that_is_none(text: str) -> None:
    variables: dict[str, str] = {}
    problems: tuple[Problem, ...] = ()
    try:
        variables = parse_dotenv(text)
    except ConfigError as error:
        problems = error.problems
    assert all(name.isidentifier() and "\0" not in value for name, value in variables.items())
    assert all(problem.where.startswith(".env:") for problem in problems)
