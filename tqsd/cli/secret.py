"""tqsd secret: what pages may know and no file of the site may hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.group("secret", short_help="Keep passwords and keys for pages.")
def command() -> None:
    """Keep passwords and keys of this machine, outside the site.

    A page reads a secret that its page.yaml names, `secrets: [DB_PASSWORD]`, as the file DB_PASSWORD in the directory
    $CREDENTIALS_DIRECTORY. Other pages cannot.
    """


@command.command("set", short_help="Set a secret, from a prompt or from standard input.")
@click.argument("name")
@site_option
def set_(name: str, start: Path) -> None:
    """Set the secret NAME. Its value is asked for, or read from standard input: `tqsd secret set KEY < key.pem`.

    Never from the command line, which every user of the machine can see.
    """
    from tqsd.secret import LIMIT, Secrets

    site, paths = site_and_paths(start)
    if sys.stdin.isatty():
        value = click.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True).encode()
    else:
        value = sys.stdin.buffer.read(LIMIT + 2).removesuffix(b"\n")
    Secrets(paths).set(name, value)
    users = _users(site, paths.etc, name)
    click.echo(f"{name} is set")
    if users:
        click.echo(f"next:  tqsd restart {' '.join(users)}")
    else:
        click.echo(f"next:  name it in a page's page.yaml: `secrets: [{name}]`")


@command.command("list", short_help="List the names of the secrets that are set.")
@site_option
@as_json
def list_(start: Path, as_json: bool) -> None:
    """List the secrets that are set, and those that pages name and nobody has set. Values are never shown."""
    from tqsd.secret import Secrets

    site, paths = site_and_paths(start)
    known = Secrets(paths).names()
    wanted = _wanted(site, paths.etc)
    rows: list[dict[str, Any]] = [
        {"name": name, "set": name in known, "pages": sorted(wanted.get(name, ()))}
        for name in sorted({*known, *wanted})
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = "set" if row["set"] else "MISSING"
        click.echo(f"{row['name']}  {state}  {', '.join(row['pages']) or 'no page names it'}")
    if not rows:
        click.echo("no secrets yet: tqsd secret set NAME")


@command.command("rm", short_help="Forget a secret.")
@click.argument("name")
@site_option
def remove(name: str, start: Path) -> None:
    """Forget the secret NAME. Workers that run keep what they have read."""
    from tqsd.secret import Secrets

    site, paths = site_and_paths(start)
    Secrets(paths).remove(name)
    click.echo(f"{name} is forgotten")
    for page in _users(site, paths.etc, name):
        click.echo(f"{page} still names it", err=True)


def _wanted(site: Path, etc: Path) -> dict[str, list[str]]:
    """Secret -> the pages that name it."""
    from tqsd.site import discover, read_settings

    wanted: dict[str, list[str]] = {}
    for page in discover(site, read_settings(site, etc)).pages.values():
        for name in page.settings.secrets:
            wanted.setdefault(name, []).append(page.name)
    return wanted


def _users(site: Path, etc: Path, name: str) -> list[str]:
    return _wanted(site, etc).get(name, [])
