"""The command line. One file per verb; imports inside the verbs, so that `tqsd --version` stays quick."""

from __future__ import annotations

import importlib
from typing import Any

import click

from tqsd import __version__
from tqsd.errors import TqsdError

VERBS = (
    "init",
    "new",
    "dev",
    "serve",
    "check",
    "config",
    "routes",
    "status",
    "logs",
    "build",
    "deploy",
    "rollback",
    "restart",
    "hold",
    "release",
    "history",
    "exec",
    "secret",
)


class _Verbs(click.Group):
    """Loads a verb's module when it is needed, and turns a TqsdError into two lines and its exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"tqsd.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TqsdError as error:
            report(error)
            ctx.exit(error.exit_status)


def report(error: TqsdError) -> None:
    """An error as people read it: what happened, what the compiler or the worker said, what to do next."""
    click.secho(f"tqsd: {error.message}", fg="red", err=True)
    output = getattr(error, "output", "")
    if output:
        click.echo(output, err=True)
    if error.hint:
        click.secho(f"  -> {error.hint}", fg="yellow", err=True)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tqsd", message="%(prog)s %(version)s")
def main() -> None:
    """Serve small web programs from a folder of pages: save a file, and the new version serves.

    \b
    tqsd init mysite && cd mysite    make a site
    tqsd dev                         serve it while you work on it
    tqsd status                      see what serves, and what failed

    A page is a directory below pages/ with a main.go: pages/api/users/ serves /api/users.
    """
