"""tqsd dev: serve the site while you work on it."""

from __future__ import annotations

from pathlib import Path

import click

from tqsd.cli.options import site_option
from tqsd.cli.serve import listen_option, run
from tqsd.config import Mode


@click.command("dev", short_help="Serve the site while you work on it.")
@site_option
@listen_option
def command(start: Path, addresses: tuple[str, ...]) -> None:
    """Serve the site while you work on it: every save builds and switches its page.

    A page that does not compile keeps serving its last good version; the reason is shown here, in `tqsd status`,
    and in the browser when there is no good version yet. Ctrl-C ends it and leaves nothing running.
    """
    run(start, addresses, Mode.DEV)
