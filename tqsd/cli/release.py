"""tqsd release: end a hold."""

from __future__ import annotations

from pathlib import Path

import click

from tqsd.cli.options import site_and_paths, site_option


@click.command("release", short_help="Let held requests go on.")
@click.argument("pages", nargs=-1, required=True, metavar="PAGE...")
@site_option
def command(pages: tuple[str, ...], start: Path) -> None:
    """Let the requests of PAGEs that `tqsd hold` stopped go on."""
    from tqsd.control.client import ask

    _, paths = site_and_paths(start)
    answer = ask(paths, {"do": "release", "pages": list(pages)}, changes=True)
    for page in answer["pages"]:
        click.echo(f"{page}: {'released' if page in answer['changed'] else 'was not held'}")
