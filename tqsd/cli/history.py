"""tqsd history: every deployment, how long each stage took, and why it failed."""

from __future__ import annotations

import time
from pathlib import Path

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.command("history", short_help="List past deployments.")
@click.argument("page", required=False)
@click.option(
    "-n", "limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many, the newest last."
)
@site_option
@as_json
def command(page: str | None, limit: int, start: Path, as_json: bool) -> None:
    """List the deployments of the site, or of PAGE. Works whether or not tqsd runs."""
    from tqsd.cli.outcome import summary
    from tqsd.history import History

    _, paths = site_and_paths(start)
    name = page.removeprefix("pages/").strip("/") if page else None
    records = History(paths.history).read(limit, name)
    if as_json:
        print_json(records)
        return
    for record in records:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["time"]))
        by = f" by {record['who']}" if record["who"] else ""
        click.echo(f"{when}  {record['cause']}{by}  {summary(record)}")
    if not records:
        click.echo("no deployments yet")
