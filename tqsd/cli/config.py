"""tqsd config: the settings that hold, and where each comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from tqsd.cli.options import as_json, print_json, site_and_paths, site_option


@click.command("config", short_help="Show the settings that hold, and where each comes from.")
@click.argument("page", required=False)
@click.option("--origin", is_flag=True, help="Say of each value which file and line it comes from.")
@click.option(
    "--schema",
    type=click.Choice(["site", "page", "machine"]),
    help="Print the JSON schema of config/tqsd.yaml, page.yaml, or the machine's tqsd.yaml.",
)
@site_option
@as_json
def command(page: str | None, origin: bool, schema: str | None, start: Path, as_json: bool) -> None:
    """Show all settings of the site, or of PAGE, defaults included.

    They come from config/tqsd.yaml, a page's page.yaml, and the tqsd.yaml of this machine, which wins.
    """
    from tqsd import layer
    from tqsd.config import MachineSettings, PageSettings, Settings, SiteSettings
    from tqsd.errors import ConfigError, UsageError
    from tqsd.site import discover, read_settings

    if schema:
        models: dict[str, type[Settings]] = {"site": SiteSettings, "page": PageSettings, "machine": MachineSettings}
        print_json(models[schema].model_json_schema())
        return
    site, paths = site_and_paths(start)
    configuration = read_settings(site, paths.etc)
    layers, settings = list(configuration.layers), configuration.settings.model_dump(mode="json", by_alias=True)
    settings = {key: value for key, value in settings.items() if key not in ("defaults", "pages")}
    if page is not None:
        discovery = discover(site, configuration)
        name = page.removeprefix("pages/").strip("/")
        if problems := discovery.problems_of(name):
            raise ConfigError(problems)
        if name not in discovery.pages:
            raise UsageError(f"there is no page {name}", f"pages: {', '.join(sorted(discovery.pages)) or 'none yet'}")
        layers = discovery.layers[name]
        settings = discovery.pages[name].settings.model_dump(mode="json", by_alias=True)
    if as_json and not origin:
        print_json(settings)
        return
    rows = [(key, value, layer.origin(layers, key)) for key, value in leaves(settings)]
    if as_json:
        print_json([{"key": ".".join(key), "value": value, "origin": where} for key, value, where in rows])
        return
    lines = [f"{'.'.join(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value, _ in rows]
    width = min(max(map(len, lines)), 60)
    for line, (_, _, where) in zip(lines, rows, strict=True):
        click.echo(f"{line:<{width}}  # {where}" if origin else line)


def leaves(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each setting by its whole key; an empty mapping is a value of its own."""
    for key, below in value.items():
        if isinstance(below, dict) and below:
            yield from leaves(below, (*above, key))
        else:
            yield (*above, key), below
