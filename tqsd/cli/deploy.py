"""tqsd deploy: build pages and bring them into service."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tqsd.cli.options import as_json, site_and_paths, site_option, who


@click.command("deploy", short_help="Build pages and bring them into service.")
@click.argument("pages", nargs=-1, metavar="[PAGE]...")
@site_option
@as_json
def command(pages: tuple[str, ...], start: Path, as_json: bool) -> None:
    """Build PAGEs, or all whose sources differ from what serves, and switch to the new releases.

    In production the pages of one call switch together or not at all. Ends a rollback's hold on them.
    """
    from tqsd.cli.outcome import show
    from tqsd.control.client import ask

    _, paths = site_and_paths(start)
    answer = ask(paths, {"do": "deploy", "pages": list(pages), "who": who()}, changes=True)
    sys.exit(show(answer, as_json, nothing="every page serves its present sources already"))
