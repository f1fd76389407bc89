"""`deploy.before`: a command that runs once per deployment, between build and start; a migration, mostly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from tqsd.builder.execution import ended, execute
from tqsd.builder.words import absolute, obstacle
from tqsd.errors import BeforeError
from tqsd.page import Page
from tqsd.release import Release

_TAIL = 20  # lines of output in the error


async def run_before(
    page: Page, release: Release, environment: Mapping[str, str], directory: Path, tell: Callable[[str], None]
) -> None:
    """Run the page's `deploy.before` to its end, with the files of `release`; `tell` gets its output line by line.

    environment  of the page's workers
    directory    where it runs, as the workers do: the site's root

    Raises BeforeError when it cannot be started, fails, is killed or takes longer than `before_timeout`. However this
    ends, also by cancellation, the command and all its children are gone then.
    """
    settings = page.settings.deploy
    tail: deque[str] = deque(maxlen=_TAIL)

    def hear(line: str) -> None:
        tail.append(line)
        tell(line)

    def failed(what: str, hint: str) -> BeforeError:
        return BeforeError(f"`deploy.before` of {page.name} {what}", hint, "\n".join(tail))

    words = absolute(settings.before, release.directory)
    variables = {**environment, "TQS_RELEASE": release.digest, "TQS_DIRECTORY": str(release.directory)}
    if found := obstacle("deploy.before", settings.before, release.directory, environment.get("PATH", "")):
        raise BeforeError(f"{page.name}: {found[0]}", found[1])
    try:
        status = await execute(words, directory, variables, settings.before_timeout, hear)
    except TimeoutError:
        hint = "raise `deploy: {before_timeout: ...}` in its page.yaml"
        raise failed(f"did not end within {settings.before_timeout:g} s and was killed", hint) from None
    except OSError as error:
        raise failed(f"could not be started: {error.strerror}", "see `free -h`") from error
    if status:
        raise failed(ended(status), f"nothing was replaced; correct it, or try it again: `tqsd deploy {page.name}`")
