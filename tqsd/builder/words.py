"""The words of a command in a page's settings: which of them mean files of its release, and what forbids to run them.

No shell reads them, so `npm ci && npm run build` would give npm the word `&&`: that is told before anything runs.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

_OPERATORS = frozenset(("&&", "||", "|", "&", ">", ">>", "<", "2>&1"))
_BUILTINS = frozenset(("cd", "exec", "export", "source", ".", "if", "while", "for", "set", "ulimit", "umask"))
_INTERPRETERS = {".js": "node", ".mjs": "node", ".cjs": "node", ".php": "php", ".pl": "perl", ".py": "python3"}
_INTERPRETERS |= {".rb": "ruby", ".sh": "sh", ".bash": "bash"}
_HEAD = 256  # bytes of a `#!` line that the kernel reads


def inner(word: str, directory: Path) -> str:
    """The file of a release that a word names by a relative path, normalised; empty when it names none.

    A directory counts only when it is written with a slash: in `npm start` the word is none, whatever lies there.
    """
    path = os.path.normpath(word)
    if not word or path.startswith("/") or path.split("/")[0] == "..":
        return ""
    place = os.path.join(directory, path)
    return path if os.path.isfile(place) or ("/" in word and os.path.isdir(place)) else ""


def absolute(words: Sequence[str], directory: Path) -> list[str]:
    """The words, those that name files of the release by their absolute paths."""
    return [str(directory / place) if (place := inner(word, directory)) else word for word in words]


def obstacle(key: str, words: Sequence[str], directory: Path, path: str) -> tuple[str, str] | None:
    """Why the command of the setting `key` cannot run, and what to do; None when nothing is known against it.

    directory  the release, with all that a build made
    path       the PATH that it will have
    """
    if operator := next((word for word in words if word in _OPERATORS), ""):
        return f"`{key}` has the word `{operator}`, but no shell reads it", _let_a_shell(key, words)
    program = words[0]
    place = inner(program, directory)
    if not place or os.path.isdir(directory / place):
        found = shutil.which(program, path=path) if "/" not in program or program.startswith("/") else None
        return None if found else _not_found(key, words)
    if not os.access(directory / place, os.X_OK):
        by = _INTERPRETERS.get(Path(place).suffix, "sh")
        rest = shlex.join(words)
        return f"{place}, with which `{key}` starts, is not executable", f"`chmod +x` it, or write `{key}: {by} {rest}`"
    return _bad_first_line(place, directory)


def _not_found(key: str, words: Sequence[str]) -> tuple[str, str]:
    program = words[0]
    message = f"`{key}` starts with `{program}`, which is neither a file of the page nor a program on PATH"
    if program in _BUILTINS:
        return message, _let_a_shell(key, words)
    if "=" in program:
        return message, "set variables by `env:` in page.yaml"
    if "/" in program:
        return message, "a page's node_modules, dot files and sub-pages are not copied: make it by `build.command`"
    return message, f"install {program}, or write the whole path of it"


def _let_a_shell(key: str, words: Sequence[str]) -> str:
    line = " ".join(word if word in _OPERATORS else shlex.quote(word) for word in words)
    return f"let one: `{key}: [sh, -c, {json.dumps(line, ensure_ascii=False)}]`"


def _bad_first_line(place: str, directory: Path) -> tuple[str, str] | None:
    """What is wrong with the `#!` line of a script; exec(2) would only say that there is no such file."""
    with open(directory / place, "rb") as file:
        head = file.read(_HEAD).partition(b"\n")[0]
    if not head.startswith(b"#!"):
        return None
    if head.endswith(b"\r"):
        return (
            f"the first line of {place} ends with a carriage return",
            f"save it with Unix line ends: dos2unix {place}",
        )
    line = os.fsdecode(head[2:]).strip()
    interpreter = line.partition(" ")[0]
    if line.startswith(f"{directory}/"):  # written by an installer for the place where it ran
        return (
            f"{place} names its interpreter by the directory of the build, which a release leaves",
            f"start with the interpreter: `{line.removeprefix(f'{directory}/')} {place}`",
        )
    if not os.access(interpreter, os.X_OK):
        return f"{place} is for {interpreter}, which is not there", f"install it, or correct the first line of {place}"
    return None
