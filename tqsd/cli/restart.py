"""tqsd restart: new workers of the release that serves."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tqsd.cli.options import as_json, site_and_paths, site_option, who


@click.command("restart", short_help="Replace the workers of pages, without a build.")
@click.argument("pages", nargs=-1, required=True, metavar="PAGE...")
@site_option
@as_json
def command(pages: tuple[str, ...], start: Path, as_json: bool) -> None:
    """Replace the workers of PAGEs by new ones of the same release; no request fails meanwhile."""
    from tqsd.cli.outcome import show
    from tqsd.control.client import ask

    _, paths = site_and_paths(start)
    answer = ask(paths, {"do": "restart", "pages": list(pages), "who": who()}, changes=True)
    sys.exit(show(answer, as_json, nothing="nothing to restart"))
