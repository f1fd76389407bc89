"""tqsd serve: production on a machine without systemd, in one process tree."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from tqsd.cli.options import Verb, site_and_paths, site_option
from tqsd.config import Mode
from tqsd.errors import ConfigError, Problem, TqsdError


def listen_option(verb: Verb) -> Verb:
    return click.option(
        "--listen",
        "addresses",
        multiple=True,
        metavar="HOST:PORT",
        help="Where to listen instead of server.listen in config/tqsd.yaml; may be repeated.",
    )(verb)


@click.command("serve", short_help="Serve the site in production, without systemd.")
@site_option
@listen_option
def command(start: Path, addresses: tuple[str, ...]) -> None:
    """Serve the site in production without systemd: in a container, or under another init.

    New versions are deployed by `tqsd deploy`, not on save; clients see no compiler output.
    On a machine with systemd use `tqsd install`.
    """
    run(start, addresses, Mode.PROD)


def run(start: Path, addresses: tuple[str, ...], mode: Mode) -> None:
    """Host the site around `start` until a signal ends it. Raises TqsdError when it cannot begin."""
    from tqsd.builder.toolchain import find_toolchain
    from tqsd.cli.host import Host, Hosting, bind, only_one, url
    from tqsd.cli.terminal import Lines
    from tqsd.environment import not_passed
    from tqsd.log import LogFile
    from tqsd.page import Runtime
    from tqsd.place import Place
    from tqsd.site import discover, read_settings

    site, paths = site_and_paths(start)
    configuration = read_settings(site, paths.etc)
    settings, discovery = configuration.settings, discover(site, configuration)
    if not discovery.pages and not discovery.broken:
        raise TqsdError(
            f"{site} has no pages yet",
            f"create {site / 'pages/index/main.go'}, or copy a whole example with `tqsd init --example DIR`",
        )
    if any(page.runtime is Runtime.GO for page in discovery.pages.values()):
        find_toolchain(site, os.environ)
    listen = _addresses(addresses) or settings.server.listen
    hosting = Hosting(Place(site, mode, paths), settings.server.drain_timeout, settings.server.proxies)
    with only_one(hosting):
        listeners = [bind(address, mode) for address in listen]
        lines = Lines(log=LogFile(paths.log))

        def started() -> None:
            lines.plain(_greeting(site, [url(listener) for listener in listeners]))
            for page in sorted(discovery.pages.values(), key=lambda page: page.route):
                lines.plain(f"  {page.route:<24} pages/{page.name}")
            for problem in discovery.problems:
                lines.plain(f"  ! {problem}")
            if mode is Mode.DEV and (names := not_passed(os.environ)):
                lines.plain(f"\nnot passed on to pages: {', '.join(names)} (put what they need into .env)\n")

        async def serve() -> None:
            await Host(hosting, listeners, lines).run(started)

        try:
            asyncio.run(serve())
        finally:
            for listener in listeners:
                listener.close()
            lines.close()


def _addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    from pydantic import ValidationError

    from tqsd.config import ServerSettings

    if not addresses:
        return ()
    try:
        return ServerSettings(listen=addresses).listen
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError([Problem("--listen", message)]) from None


def _greeting(site: Path, urls: list[str]) -> str:
    shown = site.name if site == Path.cwd() else os.path.relpath(site)
    return f"\n{shown} is served at {' and '.join(urls)}\n"
