"""tqsd new: make a page."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import click

from tqsd.cli.options import site_and_paths, site_option
from tqsd.errors import UsageError

STARTER = Path(__file__).parent / "starter"


@click.command("new", short_help="Make a new page.")
@click.argument("path")
@click.option(
    "--runtime",
    type=click.Choice(["go", "python", "command", "static"]),
    default="go",
    show_default=True,
    help="How it is built and run; command is any program, node for a start.",
)
@site_option
def command(path: str, runtime: str, start: Path) -> None:
    """Make the page that serves PATH: `tqsd new /api/users` makes pages/api/users/. Nothing is overwritten."""
    from tqsd.page import route_of
    from tqsd.site import is_skipped
    from tqsd.state import PAGES

    site, _ = site_and_paths(start)
    name = path.removeprefix("pages/").strip("/") or "index"
    for segment in name.split("/"):
        if is_skipped(segment) or not segment:
            raise UsageError(
                f"{segment or path!r} cannot be part of a page's name", "letters, digits and dashes are fine"
            )
    files = page_files(name, runtime)
    if present := [str(file) for file in files if (site / file).exists()]:
        raise UsageError(f"there is {', '.join(present)} already", "nothing was written")
    lay_out(site, files)
    click.echo(f"made {PAGES}/{name}, which serves {route_of(name)}")
    for file in files:
        click.echo(f"  {file}")


def page_files(name: str, runtime: str) -> dict[Path, Path | str]:
    """The smallest page of a runtime: where each file goes, and its content."""
    from tqsd.page import route_of
    from tqsd.state import PAGES

    route = route_of(name)
    words = {
        "@NAME@": name,
        "@ROUTE@": route,
        "@BARE@": route.rstrip("/"),
        "@PATTERN@": "/{$}" if route == "/" else route,
    }
    files: dict[Path, Path | str] = {}
    for path in sorted((STARTER / runtime).iterdir()):
        text = path.read_text()
        for word, meant in words.items():
            text = text.replace(word, meant)
        files[PAGES / name / path.name.removesuffix(".tmpl")] = text
    return files


def lay_out(directory: Path, files: Mapping[Path, Path | str]) -> None:
    """Write files below `directory`, each from its content or as a copy."""
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            target.write_text(content)
