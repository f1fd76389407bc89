"""tqsd status: what serves, what failed and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.command("status", short_help="Show what serves, and what failed.")
@site_option
@as_json
def command(start: Path, as_json: bool) -> None:
    """Show every page with its release, its workers and, where something failed, the reason.

    Exit status 3 when tqsd does not run for this site.
    """
    from tqsd.control.client import ask

    _, paths = site_and_paths(start)
    answer = ask(paths, {"do": "status"})
    if as_json:
        print_json(answer)
        return
    click.echo(f"{answer['site']}  {answer['mode']}  {' '.join(answer['urls'])}  {len(answer['pages'])} pages")
    width = max((len(page["route"]) for page in answer["pages"]), default=0)
    for page in answer["pages"]:
        click.echo(_line(page, width))
        for text in filter(None, (page["problem"], page["warning"])):
            click.echo("\n".join(f"    {line}" for line in text.splitlines()))
    for problem in answer["problems"]:
        click.echo(f"! {problem}")


def _line(page: dict[str, Any], width: int) -> str:
    notes = []
    if page["held"]:
        notes.append(f"requests wait until `tqsd release {page['page']}`")
    if page["deploying"]:
        notes.append("deploying")
    if page["pinned"]:
        notes.append("held after a rollback" + (", sources differ" if page["stale"] else ""))
    elif page["stale"] and page["release"] and not page["deploying"]:
        notes.append("sources differ")
    if page["problem"]:
        notes.append("the present sources do not serve")
    if page["draining"]:
        notes.append(f"{page['draining']} draining")
    if page["crashes"]:
        notes.append(f"{page['crashes']} crashes")
    workers = f"{len(page['workers'])} worker{'s' if len(page['workers']) != 1 else ''}"
    release = page["release"] or "-"
    return f"{page['route']:<{width}}  {page['state']:<8}  {release:<16}  {workers}  {'; '.join(notes)}".rstrip()
