"""tqsd rollback: back to an earlier release, without a build."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tqsd.cli.options import as_json, site_and_paths, site_option, who


@click.command("rollback", short_help="Go back to an earlier release of a page.")
@click.argument("page")
@click.argument("release", required=False)
@site_option
@as_json
def command(page: str, release: str | None, start: Path, as_json: bool) -> None:
    """Serve the previous release of PAGE again, or the RELEASE named (the start of its name is enough).

    Nothing is compiled. The page stays there until its sources change or `tqsd deploy PAGE`.
    """
    from tqsd.cli.outcome import show
    from tqsd.control.client import ask

    _, paths = site_and_paths(start)
    answer = ask(paths, {"do": "rollback", "page": page, "release": release, "who": who()}, changes=True)
    sys.exit(show(answer, as_json, nothing=f"{page} serves that release already"))
