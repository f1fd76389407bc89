from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tqsd.watch.changes import Changes, covering, is_noise


@pytest.mark.parametrize(
    "name",
    ["main.go~", ".main.go.swp", ".#main.go", "#main.go#", "4913", "main.go.tmp", "main.go___jb_tmp___", ".git/index"],
)
def test_what_editors_leave_is_noise(name: str) -> None:
    assert is_noise(Path("/site/pages/a") / name)


@pytest.mark.parametrize("name", ["main.go", "static/a.css", "tmp.go", "internal/x.go"])
def test_sources_are_no_noise(name: str) -> None:
    assert not is_noise(Path("/site/pages/a") / name)


def test_directories_of_the_site_share_the_watch_of_their_top() -> None:
    site = Path("/site")
    wanted = [site, site / "pages", site / "lib/a/b", site / "lib/c", Path("/other/mod"), Path("/other/mod2")]
    assert covering(wanted, site) == {
        site: False,
        site / "pages": True,
        site / "lib": True,
        Path("/other/mod"): False,
        Path("/other/mod2"): False,
    }


def watched(site: Path, act: Callable[[Changes], Awaitable[None]]) -> None:
    async def story() -> None:
        async with asyncio.timeout(20):
            changes = Changes(site)
            changes.watch([site, site / "pages"])
            changes.start()
            try:
                await act(changes)
            finally:
                changes.close()

    asyncio.run(story())


async def seen(changes: Changes, wanted: Path) -> None:
    """Until a save names `wanted`, or a directory above it, which is looked through whole."""
    async for save in changes.saves():
        if {wanted, *wanted.parents} & save.paths:
            return


def test_a_write_and_a_rename_over_it_are_both_seen(tmp_path: Path) -> None:
    page = tmp_path / "pages/a"
    page.mkdir(parents=True)
    (page / "main.go").write_text("one")

    async def act(changes: Changes) -> None:
        (page / "main.go").write_text("two")
        await seen(changes, page / "main.go")
        (page / ".new").write_text("three")
        os.replace(page / ".new", page / "main.go")
        await seen(changes, page / "main.go")

    watched(tmp_path, act)


def test_a_new_tree_and_what_is_written_into_it_later_are_seen(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()

    async def act(changes: Changes) -> None:
        deep = tmp_path / "pages/x/y"
        deep.mkdir(parents=True)
        await seen(changes, tmp_path / "pages/x")
        (deep / "main.go").write_text("x")
        await seen(changes, deep / "main.go")

    watched(tmp_path, act)


def test_many_writes_are_one_group(tmp_path: Path) -> None:
    page = tmp_path / "pages/a"
    page.mkdir(parents=True)

    async def act(changes: Changes) -> None:
        saves = changes.saves()
        for number in range(20):
            (page / f"{number}.go").write_text("x")
        names: set[str] = set()
        while len(names) < 20:
            names |= {path.name for path in (await anext(saves)).paths if path.suffix == ".go"}

    watched(tmp_path, act)


def test_reading_is_no_change(tmp_path: Path) -> None:
    page = tmp_path / "pages/a"
    page.mkdir(parents=True)
    (page / "main.go").write_text("one")

    async def act(changes: Changes) -> None:
        (page / "main.go").read_text()
        (page / "main.go~").write_text("backup")
        (page / "marker").write_text("x")
        save = await anext(changes.saves())
        assert {path.name for path in save.paths} == {"marker"}

    watched(tmp_path, act)


def test_a_directory_that_is_gone_can_be_watched_again(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "lib").mkdir()

    async def act(changes: Changes) -> None:
        changes.watch([tmp_path, tmp_path / "pages", tmp_path / "lib"])
        (tmp_path / "lib").rmdir()
        await seen(changes, tmp_path / "lib")
        changes.watch([tmp_path, tmp_path / "pages", tmp_path / "lib"])
        (tmp_path / "lib").mkdir()
        changes.watch([tmp_path, tmp_path / "pages", tmp_path / "lib"])
        (tmp_path / "lib/x.go").write_text("x")
        await seen(changes, tmp_path / "lib/x.go")

    watched(tmp_path, act)
