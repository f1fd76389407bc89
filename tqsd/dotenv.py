"""The file .env at a site's root: variables that hold on a developer's machine only, and are never committed.

NAME=value, one a line. `export` in front, # comments, and 'single' or "double" quotes are as in a shell, but nothing
is expanded. A value in quotes may span lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tqsd.config import reserved
from tqsd.errors import ConfigError, Problem

FILE = ".env"
_BLANK = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|$)")
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r"[^\n]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a .env file. Raises ConfigError with one Problem for each line that is odd."""
    variables: dict[str, str] = {}
    problems: list[Problem] = []
    for line, name, value, odd in _entries(text.replace("\r\n", "\n")):
        problem = odd or reserved(name) or ("holds a NUL byte" if "\0" in value else "")
        if problem:
            problems.append(Problem(f"{FILE}:{line}" + (f": {name}" if name else ""), problem))
        else:
            variables[name] = value
    if problems:
        raise ConfigError(problems)
    return variables


def _entries(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line number, name and value of each entry, or what is wrong with the line."""
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            if blank.end() == at:
                return
            at = blank.end()
            continue
        line = text.count("\n", 0, at) + 1
        name = _NAME.match(text, at)
        if name is None:
            yield line, "", "", "is not NAME=value"
            at = _next_line(text, at)
            continue
        at = name.end()
        quote = text[at : at + 1]
        if quote and quote in "\"'":
            quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
            if quoted is None:
                yield line, name[1], "", f"its closing {quote} is missing"
                at = _next_line(text, at)
                continue
            value = quoted[1] if quote == "'" else _ESCAPE.sub(lambda e: _ESCAPES.get(e[1], e[1]), quoted[1])
            rest = _BLANK.match(text, quoted.end())
            yield line, name[1], value, "" if rest else "something follows the closing quote"
            at = rest.end() if rest else _next_line(text, quoted.end())
        else:
            plain = _PLAIN.match(text, at)
            assert plain
            yield line, name[1], re.sub(r"(^|[ \t]+)#.*", "", plain[0]).strip(), ""
            at = plain.end()


def _next_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
