"""What a Go build says and leaves when it fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.builder.sites import QUIET, USES_WEB, WEB, Site, output_of, until
from tqsd.builder.go import GoBuilder
from tqsd.errors import BuildError, StoreError
from tqsd.store import Store

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("target", "says"),
    [("/etc/passwd", "leads out of the site"), ("nowhere", "leads nowhere"), ("../../shared", "leads to a directory")],
)
def test_links_that_cannot_be_copied_are_refused(tmp_path: Path, target: str, says: str) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET, "shared/x": ""})
    (tmp_path / "pages/a/link").symlink_to(target)
    with pytest.raises(BuildError, match=f"pages/a/link {says}"):
        site.build("a")


def test_too_many_bytes_beside_the_sources_are_refused_by_the_biggest_name(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    with (tmp_path / "pages/a/film.mp4").open("wb") as film:
        film.truncate(70 << 20)
    with pytest.raises(BuildError, match="70 MiB") as caught:
        site.build("a")
    assert "film.mp4" in caught.value.hint
    assert site.store.list("a") == []
    assert site.left_over() == []


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        ({"main.go": "package main\n\nfunc main() {\n\tx()\n}\n"}, "pages/a/main.go:4:2: undefined: x", ""),
        ({"main.go": "package main\n\nfunc main( {\n}\n"}, "pages/a/main.go:3:12: syntax error", ""),
        ({"main.go": ""}, "pages/a/main.go:1:", ""),
        ({"main.go": "package users\n\nfunc main() {}\n"}, "pages/a/main.go is package users", "package main"),
        ({"main.go": "package main\n"}, "function main is undeclared", "func main()"),
        ({"a_test.go": "package main\n"}, "no Go sources besides tests", "main.go"),
        ({"main.go": "//go:build ignore\n\npackage main\n"}, "excludes itself", "//go:build lines"),
        ({"main.go": QUIET + '\nimport "os"\n'}, "pages/a/main.go:5:1: syntax error: imports must appear before", ""),
        ({"main.go": 'package main\n\nimport "C"\n\nfunc main() {}\n'}, "excludes itself", "build: {cgo: true}"),
        (
            {"main.go": QUIET.replace("func", 'import "example.org/x"\n\nfunc')},
            "main.go:3:8: no required",
            "go get example.org/x",
        ),
        (
            {"main.go": QUIET.replace("func", 'import "site/web"\n\nfunc')},
            "pages/a/main.go:3:8: package site/web is not",
            "",
        ),
    ],
)
def test_a_page_that_does_not_build_says_where_and_what_to_do(
    tmp_path: Path, files: dict[str, str], message: str, hint: str
) -> None:
    site = Site(tmp_path, {f"pages/a/{name}": text for name, text in files.items()})
    with pytest.raises(BuildError) as caught:
        site.build("a")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert str(tmp_path) not in caught.value.output
    assert site.store.list("a") == []
    assert site.left_over() == []


def test_an_error_in_a_shared_package_is_placed_there_and_its_repair_is_noticed(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": USES_WEB, "internal/web/web.go": WEB % "nope"})
    with pytest.raises(BuildError, match=r"a does not build: internal/web/web\.go:3:29: undefined: nope"):
        site.build("a")
    assert site.builder.watches(site.page("a"), None) == {tmp_path / "internal/web"}
    site.write("internal/web/web.go", WEB % '"well"')
    assert output_of(site.build("a")) == "well"


def test_a_missing_package_is_watched_where_it_would_be(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": USES_WEB})
    with pytest.raises(BuildError, match="site/internal/web"):
        site.build("a")
    assert site.builder.watches(site.page("a"), None) == {tmp_path / "internal/web"}
    site.write("internal/web/web.go", WEB % '"there"')
    assert output_of(site.build("a")) == "there"


def test_a_newer_go_than_there_is_is_asked_for_by_name(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET}, module="module site\n\ngo 1.999\n")
    with pytest.raises(BuildError, match=r"go\.mod requires go >= 1\.999") as caught:
        site.build("a")
    assert "install Go 1.999 or newer" in caught.value.hint


def test_a_toolchain_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    page = site.page("a", toolchain="go1.999.0")
    with pytest.raises(
        BuildError, match=r"the Go that `build\.toolchain` names cannot be had: .*go1\.999\.0"
    ) as caught:
        site.build(page)
    assert "build: {toolchain: local}" in caught.value.hint


def test_the_toolchain_that_is_there_may_be_named(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    release = site.build("a")
    manifest = site.store.manifest(release)
    assert manifest is not None
    assert site.build(site.page("a", toolchain=manifest.toolchain)).digest == release.digest
    assert site.build(site.page("a", toolchain="auto")).digest == release.digest


def with_a_database(tmp_path: Path, module: str, mock: str) -> Site:
    """A site that uses a package with parts in C, in place of the one that would be downloaded."""
    there = tmp_path / "db"
    site = Site(
        tmp_path / "site",
        {"pages/a/main.go": f'package main\n\nimport db "{module}"\n\nfunc main() {{ println(db.Name()) }}\n'},
        module=f"module site\n\ngo 1.21\n\nrequire {module} v1.0.0\n\nreplace {module} => {there}\n",
    )
    for name, text in {
        "go.mod": f"module {module}\n\ngo 1.21\n",
        "db.go": 'package db\n\n// int one() { return 1; }\nimport "C"\n\nfunc Name() int { return int(C.one()) }\n',
        "mock.go": mock,
    }.items():
        there.mkdir(exist_ok=True)
        (there / name).write_text(text)
    return site


def test_a_package_that_compiles_without_c_and_then_refuses_to_work_is_explained(tmp_path: Path) -> None:
    mock = "//go:build !cgo\n\npackage db\n\nfunc Name() int { panic(0) }\n"
    site = with_a_database(tmp_path, "github.com/mattn/go-sqlite3", mock)
    with pytest.raises(BuildError, match=r"a uses github\.com/mattn/go-sqlite3, which does not work") as caught:
        site.build("a")
    assert "build: {cgo: true}" in caught.value.hint
    assert "modernc.org/sqlite" in caught.value.hint
    assert output_of(site.build(site.page("a", cgo=True))) == "1"


def test_what_does_not_compile_for_want_of_c_has_a_hint(tmp_path: Path) -> None:
    site = with_a_database(tmp_path, "example.org/db", "package db\n")
    with pytest.raises(BuildError, match=r"undefined: db\.Name") as caught:
        site.build("a")
    assert "build: {cgo: true}" in caught.value.hint
    assert output_of(site.build(site.page("a", cgo=True))) == "1"


def test_without_go_mod_the_hint_makes_one(tmp_path: Path) -> None:
    main = QUIET.replace("func", 'import "example.org/x"\n\nfunc')
    site = Site(tmp_path, {"pages/a/main.go": main}, module="")
    with pytest.raises(BuildError) as caught:
        site.build("a")
    assert caught.value.hint == "go mod init site && go get example.org/x"


def test_cancelling_kills_the_compiler_with_its_children_and_leaves_nothing(tmp_path: Path) -> None:
    lines = "\n".join(f"func f{i}() int {{ return {i} }}" for i in range(20000))
    site = Site(tmp_path, {"pages/a/main.go": f"package main\n\nfunc main() {{}}\n\n{lines}\n"})

    async def cancel_while_it_compiles() -> set[int]:
        build = asyncio.ensure_future(site.builder.build(site.page("a")))
        seen: set[int] = set()
        while not build.done():
            family = psutil.Process().children(recursive=True)
            seen |= {process.pid for process in family}
            if any(name_of_process(process) == "compile" for process in family):
                break
            await asyncio.sleep(0.005)
        build.cancel()
        with pytest.raises(asyncio.CancelledError):
            await build
        return seen

    seen = asyncio.run(cancel_while_it_compiles())
    assert seen
    until(lambda: not any(psutil.pid_exists(pid) for pid in seen))
    assert site.store.list("a") == []
    assert site.left_over() == []


def name_of_process(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    with pytest.raises(BuildError, match=r"a did not build within 0\.001 s"):
        site.build(site.page("a", timeout="1ms"))
    assert site.left_over() == []


def test_a_full_disk_is_named_and_keeps_nothing_half_written(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        builder = GoBuilder(tmp_path, Store(disk / "releases"), tmp_path / "cache")
        with pytest.raises(StoreError) as caught:
            asyncio.run(builder.build(site.page("a")))
        assert "no space left on device" in caught.value.message
        assert f"the disk mounted at {disk} has" in caught.value.hint
        assert list((disk / "releases" / "a").iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_page_that_vanished_is_an_error_and_stale(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    release, page = site.build("a"), site.page("a")
    shutil.rmtree(page.directory)
    assert site.builder.stale(page, release)
    with pytest.raises(BuildError, match="cannot read pages/a: No such file"):
        site.build(page)
