"""tqsd hold: let the requests of pages wait."""

from __future__ import annotations

from pathlib import Path

import click

from tqsd.cli.options import site_and_paths, site_option


@click.command("hold", short_help="Let new requests of pages wait.")
@click.argument("pages", nargs=-1, required=True, metavar="PAGE...")
@site_option
def command(pages: tuple[str, ...], start: Path) -> None:
    """Let new requests of PAGEs wait in the proxies, while you move a database, say. What is under way goes on.

    A request waits as long as `server.queue_timeout` allows, then it gets 503. `tqsd release` lets them go on; so
    does the end of the watcher.
    """
    from tqsd.control.client import ask

    _, paths = site_and_paths(start)
    answer = ask(paths, {"do": "hold", "pages": list(pages)}, changes=True)
    for page in answer["pages"]:
        click.echo(f"{page}: {'held' if page in answer['changed'] else 'held already'}")
    click.echo(f"next:  tqsd release {' '.join(answer['pages'])}")
