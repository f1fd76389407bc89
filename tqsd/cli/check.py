"""tqsd check: find every mistake in the settings and pages, without running anything."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.command("check", short_help="Find mistakes in settings and pages.")
@site_option
@as_json
def command(start: Path, as_json: bool) -> None:
    """Read config/tqsd.yaml, .env and every page, and list all mistakes with file, line and a hint.

    Exit status 0 when all is well, 1 when something is wrong.
    """
    from dataclasses import asdict

    from tqsd.dotenv import FILE as DOTENV
    from tqsd.dotenv import parse_dotenv
    from tqsd.errors import ConfigError, Problem
    from tqsd.site import Configuration, discover, read_settings, read_text

    site, paths = site_and_paths(start)
    problems: list[Problem] = []
    configuration = Configuration()
    try:
        configuration = read_settings(site, paths.etc)
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        if (site / DOTENV).is_file():
            parse_dotenv(read_text(site / DOTENV, DOTENV))
    except ConfigError as error:
        problems.extend(error.problems)
    discovery = discover(site, configuration)
    problems.extend(discovery.problems)
    if as_json:
        print_json({"site": str(site), "pages": len(discovery.pages), "problems": [asdict(p) for p in problems]})
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if not problems:
            click.echo(f"{len(discovery.pages)} pages, no mistakes")
    sys.exit(1 if problems else 0)
