"""tqsd routes: which URL is served by which page."""

from __future__ import annotations

from pathlib import Path

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.command("routes", short_help="Show which URL each page serves.")
@site_option
@as_json
def command(start: Path, as_json: bool) -> None:
    """Show which URL each page serves, as the site is on disk now."""
    from tqsd.site import discover, read_settings

    site, paths = site_and_paths(start)
    discovery = discover(site, read_settings(site, paths.etc))
    pages = sorted(discovery.pages.values(), key=lambda page: (page.route, page.name))
    if as_json:
        print_json(
            [
                {
                    "route": page.route,
                    "page": page.name,
                    "runtime": page.runtime,
                    "methods": list(page.settings.methods),
                    "hosts": list(page.settings.hosts),
                }
                for page in pages
            ]
        )
        return
    width = max((len(page.route) for page in pages), default=0)
    for page in pages:
        methods = " ".join(page.settings.methods) or "any method"
        click.echo(f"{page.route:<{width}}  pages/{page.name}  {page.runtime}  {methods}")
    for problem in discovery.problems:
        click.echo(f"! {problem}", err=True)
