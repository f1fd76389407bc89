"""Options that several verbs share."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tqsd.state import Paths, find_site

if TYPE_CHECKING:
    from tqsd.config import Mode

Verb = TypeVar("Verb", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value instead of text.")


def site_option(verb: Verb) -> Verb:
    return click.option(
        "--site",
        "start",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=".",
        metavar="DIR",
        help="The site; without it the one around the current directory.",
    )(verb)


def site_and_paths(start: Path) -> tuple[Path, Paths]:
    site = find_site(start)
    return site, Paths.dev(site)


def again(mode: Mode, options: str) -> str:
    """The command to type for another try, for somebody who came by `make dev` too."""
    if os.environ.get("MAKELEVEL"):
        return f"make dev ARGS='{options}'"
    return f"tqsd {'dev' if mode == 'dev' else 'serve'} {options}"


def who() -> str:
    """The user who gives an order, for the history."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
