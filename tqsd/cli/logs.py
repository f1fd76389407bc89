"""tqsd logs: what pages and tqsd itself have said."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from tqsd.cli.options import as_json, site_and_paths, site_option


@click.command("logs", short_help="Show what pages have written.")
@click.argument("pages", nargs=-1, metavar="[PAGE]...")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n", "limit", default=100, show_default=True, type=click.IntRange(min=0), help="How many lines, the newest last."
)
@site_option
@as_json
def command(pages: tuple[str, ...], follows: bool, limit: int, start: Path, as_json: bool) -> None:
    """Show the last lines of all pages and of tqsd, or of PAGEs alone; "tqsd" names tqsd itself.

    Works whether or not tqsd runs.
    """
    from tqsd.log import follow, read

    _, paths = site_and_paths(start)
    sources = {page.removeprefix("pages/").strip("/") for page in pages}
    show(read(paths.log, limit, sources), as_json)
    if follows:
        try:
            show(follow(paths.log, sources), as_json)
        except KeyboardInterrupt:
            sys.exit(0)


def show(entries: Iterable[dict[str, Any]], as_json: bool) -> None:
    from tqsd.cli.terminal import Style, has_colours

    style = Style(has_colours(sys.stdout))
    for entry in entries:
        if as_json:
            click.echo(json.dumps(entry, ensure_ascii=False))
        else:
            when = time.strftime("%m-%d %H:%M:%S", time.localtime(entry["time"]))
            click.echo(f"{when}  {style.line(entry['source'], entry['level'], entry['text'])}", nl=False)
        sys.stdout.flush()
