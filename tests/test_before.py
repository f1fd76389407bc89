from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.builder.sites import until
from tqsd.before import run_before
from tqsd.config import DeploySettings, PageSettings
from tqsd.errors import BeforeError
from tqsd.page import Page, Runtime
from tqsd.release import Release

pytestmark = pytest.mark.process


@pytest.fixture
def release(tmp_path: Path) -> Release:
    directory = tmp_path / "release"
    directory.mkdir()
    return Release("shop", "0123456789abcdef", directory, directory / "shop")


def page(before: Any, timeout: float = 60.0) -> Page:
    settings = PageSettings(deploy=DeploySettings(before=before, before_timeout=timeout))
    return Page("shop", Path("/pages/shop"), "/shop", Runtime.GO, settings)


def run(release: Release, before: Any, tell: Callable[[str], None] = print, timeout: float = 60.0) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE": "here"}
    directory = release.directory.parent
    asyncio.run(run_before(page(before, timeout), release, environment, directory, tell))


def error(release: Release, before: Any, timeout: float = 60.0) -> BeforeError:
    with pytest.raises(BeforeError) as caught:
        run(release, before, timeout=timeout)
    return caught.value


def is_over(pid: int) -> Callable[[], bool]:
    return lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_runs_the_releases_own_file_in_the_sites_directory_with_the_workers_environment(release: Release) -> None:
    migrate = release.directory / "migrate"
    migrate.write_text('#!/bin/sh\npwd\necho "$0" "$@" $DATABASE $TQS_RELEASE\necho "$TQS_DIRECTORY"\n')
    migrate.chmod(0o755)
    (release.directory / "schema.sql").write_text("")
    lines: list[str] = []
    run(release, ["migrate", "schema.sql", "up"], lines.append)
    place = release.directory
    assert lines == [str(place.parent), f"{place}/migrate {place}/schema.sql up here {release.digest}", str(place)]


def test_its_lines_are_told_as_they_come(release: Release) -> None:
    run(
        release,
        ["sh", "-c", "echo begun; until [ -e begun ]; do sleep 0.01; done"],
        lambda line: (release.directory.parent / line).touch(),
    )


def test_a_failure_carries_the_status_and_the_last_lines(release: Release) -> None:
    failed = error(release, ["sh", "-c", "seq 30; echo no such table >&2; exit 4"])
    assert failed.message == "`deploy.before` of shop ended with exit status 4"
    assert "tqsd deploy shop" in failed.hint
    assert failed.output.splitlines() == [*map(str, range(12, 31)), "no such table"]


def test_a_command_killed_by_a_signal_has_failed(release: Release) -> None:
    assert error(release, ["sh", "-c", "kill -9 $$"]).message == "`deploy.before` of shop was killed by SIGKILL"


def test_one_that_hangs_is_killed_with_its_children(release: Release) -> None:
    failed = error(release, ["sh", "-c", "sleep 1000 & echo $! > pid; echo waits for a lock; wait"], timeout=2)
    assert failed.message == "`deploy.before` of shop did not end within 2 s and was killed"
    assert "before_timeout" in failed.hint
    assert failed.output == "waits for a lock"
    until(is_over(int((release.directory.parent / "pid").read_text())))


def test_one_that_is_cancelled_is_killed_with_its_children(release: Release) -> None:
    async def story() -> None:
        began = asyncio.Event()
        before = page(["sh", "-c", "sleep 1000 & echo $! > pid; echo began; wait"])
        environment = {"PATH": os.environ["PATH"]}
        task = asyncio.create_task(
            run_before(before, release, environment, release.directory.parent, lambda _: began.set())
        )
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    until(is_over(int((release.directory.parent / "pid").read_text())))


def test_what_cannot_be_started_is_told_with_its_key(release: Release) -> None:
    failed = error(release, ["nosuchmigrate", "up"])
    assert failed.message.startswith("shop: `deploy.before` starts with `nosuchmigrate`")
    assert "deploy.before: [sh, -c," in error(release, ["a", "&&", "b"]).hint
    (release.directory / "migrate.sh").write_text("")
    assert "`chmod +x` it" in error(release, ["./migrate.sh"]).hint


def test_a_directory_that_is_gone_is_an_error_of_the_command(release: Release) -> None:
    async def story() -> None:
        await run_before(page(["true"]), release, {"PATH": os.environ["PATH"]}, Path("/nowhere"), print)

    with pytest.raises(BeforeError, match="could not be started: No such file or directory"):
        asyncio.run(story())
