"""tqsd build: compile pages into the release store without deploying them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.command("build", short_help="Compile pages without deploying them.")
@click.argument("pages", nargs=-1, metavar="[PAGE]...")
@site_option
@as_json
def command(pages: tuple[str, ...], start: Path, as_json: bool) -> None:
    """Compile PAGEs (all of them without one) into the release store. What serves is not touched.

    A page whose release is there already is not compiled again, so this also warms up a new machine.
    """
    from tqsd.builder.runtimes import Runtimes
    from tqsd.cli import report
    from tqsd.errors import BuildError, UsageError
    from tqsd.site import discover, read_settings
    from tqsd.store import Store

    site, paths = site_and_paths(start)
    paths.create()
    discovery = discover(site, read_settings(site, paths.etc))
    names = [page.removeprefix("pages/").strip("/") for page in pages] or sorted(discovery.pages)
    for name in names:
        if name not in discovery.pages:
            raise UsageError(f"there is no page {name}", f"pages: {', '.join(sorted(discovery.pages)) or 'none yet'}")
    builder = Runtimes(site, Store(paths.releases), paths)
    results = []
    for name in names:
        try:
            release = asyncio.run(builder.build(discovery.pages[name]))
        except BuildError as error:
            results.append({"page": name, "release": None, "error": error.message, "output": error.output})
            if not as_json:
                report(error)
        else:
            results.append({"page": name, "release": release.digest, "error": "", "output": ""})
            if not as_json:
                click.echo(f"{name}  release {release.digest}")
    if as_json:
        print_json(results)
    sys.exit(1 if any(result["error"] for result in results) else 0)
