"""What a worker is given on its way: its environment, its directories, its secrets, the program in its slot."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from tqsd.config import Mode
from tqsd.environment import worker_environment
from tqsd.errors import DeployError
from tqsd.launcher import launcher
from tqsd.page import Page, Runtime
from tqsd.place import Place
from tqsd.release import Release
from tqsd.secret import Secrets
from tqsd.worker import Worker

log = logging.getLogger(__name__)


def outfit(place: Place, page: Page, release: Release, port: int, variables: Mapping[str, str]) -> Worker:
    """The worker that runs `release` on `port`, its directories made and its secrets lent.

    variables  what the site, the page and, in dev, .env set
    Raises DeployError for a secret that is missing in production, and where the disk fails.
    """
    try:
        return _outfit(place, page, release, port, variables)
    except OSError as error:
        where = error.filename or place.paths.var
        hint = f"see `df -h {where}` and `ls -ld {where}`"
        raise DeployError(f"{page.name} cannot be given its directories: {error.strerror}", hint) from error


def _outfit(place: Place, page: Page, release: Release, port: int, variables: Mapping[str, str]) -> Worker:
    directories = (
        place.paths.state_of(page.slug),
        place.paths.cache_of(page.slug),
        place.paths.credentials_of(page.slug),
    )
    for directory in directories:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _lend_secrets(place, page, variables)
    environment = worker_environment(page, port, place.mode, directories, os.environ, variables)
    if page.settings.worker_concurrency:
        environment["TQS_CONCURRENCY"] = str(page.settings.worker_concurrency)
    return Worker(
        page=page.name,
        slug=page.slug,
        port=port,
        release=release.digest,
        executable=release.executable,
        directory=place.site,
        environment=environment,
        ready_timeout=page.settings.start_timeout,
        stop_timeout=page.settings.stop_timeout,
        launcher=launcher(release, place.paths) if release.runtime == Runtime.PYTHON else (),
        probe=page.settings.health if release.runtime == Runtime.COMMAND else "",
    )


def _lend_secrets(place: Place, page: Page, variables: Mapping[str, str]) -> None:
    missing = Secrets(place.paths).lend(page.settings.secrets, place.paths.credentials_of(page.slug))
    if place.mode is Mode.DEV:
        missing = [name for name in missing if name not in variables]
    if not missing:
        return
    names = ", ".join(missing)
    said = f"{page.name} needs the secret{'s' if len(missing) > 1 else ''} {names}, not set on this machine"
    if place.mode is Mode.PROD:
        raise DeployError(said, f"tqsd secret set {missing[0]}")
    log.warning("%s: `tqsd secret set %s`, or a line %s=... in .env", said, missing[0], missing[0])
