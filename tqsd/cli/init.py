"""tqsd init: make a site."""

from __future__ import annotations

import re
from pathlib import Path

import click

from tqsd.cli.new import STARTER, lay_out, page_files
from tqsd.errors import UsageError

SAMPLE_PARTS = ("pages", "config", "shared", "go.mod")


@click.command("init", short_help="Make a new site.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--runtime",
    type=click.Choice(["go", "python", "command", "static"]),
    default="go",
    show_default=True,
    help="What the first page is written in.",
)
@click.option("--example", is_flag=True, help="Copy a whole example site: APIs, webhooks, a chat, static files.")
def command(directory: Path, runtime: str, example: bool) -> None:
    """Make a site in DIRECTORY: settings, a first page and a go.mod. Nothing that exists is overwritten."""
    files = sample_files() if example else starter_files(directory, runtime)
    present = [str(name) for name in files if (directory / name).exists()]
    if present:
        raise UsageError(
            f"{directory} has {', '.join(present[:3])} already", "choose a new directory; nothing was written"
        )
    lay_out(directory, files)
    click.echo(f"made a site in {directory}")
    click.echo(f"next:  cd {directory} && tqsd dev")


def starter_files(directory: Path, runtime: str) -> dict[Path, Path | str]:
    """The smallest site: where each file goes, and its content or the file to copy."""
    module = re.sub(r"[^a-z0-9._-]", "-", directory.resolve().name.lower()).strip("-._") or "site"
    return {
        Path("config/tqsd.yaml"): STARTER / "tqsd.yaml",
        Path("go.mod"): f"module {module}\n\ngo 1.22\n",
        Path(".gitignore"): STARTER / "gitignore",
        **page_files("index", runtime),
    }


def sample_files() -> dict[Path, Path | str]:
    """The example site: from the installed package, or from the checkout that tqsd runs from."""
    package = Path(__file__).parent.parent
    root = package / "sample" if (package / "sample").is_dir() else package.parent
    files: dict[Path, Path | str] = {Path(".gitignore"): STARTER / "gitignore"}
    for part in SAMPLE_PARTS:
        found = [root / part] if (root / part).is_file() else sorted((root / part).rglob("*"))
        files.update(
            {path.relative_to(root): path for path in found if path.is_file() and "__pycache__" not in path.parts}
        )
    return files
