"""tqsd exec: a command with a page's environment."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tqsd.cli.options import site_and_paths, site_option


@click.command(
    "exec",
    short_help="Run a command with a page's environment.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("page")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--prod", is_flag=True, help="As in production: without .env, and every secret must be set.")
@site_option
def command(page: str, words: tuple[str, ...], prod: bool, start: Path) -> None:
    """Run COMMAND as the workers of PAGE run: in the site's directory, with the page's variables, secrets and
    directories. $TQS_DIRECTORY is its current release, and the programs of a Python page's requirements are on $PATH.

    \b
    tqsd exec api/users -- python -m migrate
    tqsd exec api/users -- sh -c 'sqlite3 "$STATE_DIRECTORY/app.db" .tables'
    """
    from tqsd.config import Mode
    from tqsd.errors import ConfigError, TqsdError, UsageError
    from tqsd.outfit import outfit
    from tqsd.place import Place
    from tqsd.store import Store
    from tqsd.watch.sight import Sight

    site, paths = site_and_paths(start)
    place = Place(site, Mode.PROD if prod else Mode.DEV, paths)
    paths.create()
    sight = Sight(place)
    sight.read()
    name = page.removeprefix("pages/").strip("/")
    if problems := sight.discovery.problems_of(name):
        raise ConfigError(problems)
    found = sight.discovery.pages.get(name)
    if found is None:
        raise UsageError(f"there is no page {name}", f"pages: {', '.join(sorted(sight.discovery.pages)) or 'none yet'}")
    store = Store(paths.releases)
    release = store.get(found.slug, store.pointers(found.slug).current or "")
    if release is None:
        raise UsageError(f"{name} has never been deployed", f"tqsd dev, or tqsd deploy {name}")
    environment = dict(outfit(place, found, release, 0, sight.variables(found)).environment)
    for variable in ("PORT", "TQS_PORT", "TQS_HEALTH"):
        environment.pop(variable, None)
    environment |= {"TQS_RELEASE": release.digest, "TQS_DIRECTORY": str(release.directory)}
    if release.venv:
        environment["VIRTUAL_ENV"] = str(paths.venvs / release.venv)
        environment["PATH"] = f"{paths.venvs / release.venv / 'bin'}{os.pathsep}{environment['PATH']}"
    os.chdir(site)
    try:
        os.execvpe(words[0], words, environment)
    except OSError as error:
        raise TqsdError(f"{words[0]} cannot be run: {error.strerror}", "is it on the page's PATH?") from None
