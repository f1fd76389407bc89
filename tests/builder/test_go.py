from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.builder.sites import MODULE, PLAIN, QUIET, Site, output_of, until
from tqsd.builder.go import GoBuilder
from tqsd.config import Mode
from tqsd.errors import BuildError, StoreError
from tqsd.store import Store

pytestmark = pytest.mark.process

WEB = "package web\n\nfunc Name() string { return %s }\n"
USES_WEB = 'package main\n\nimport "site/internal/web"\n\nfunc main() { println(web.Name()) }\n'


def test_a_page_becomes_a_release_that_runs(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/api/users/main.go": QUIET})
    release = site.build("api/users")
    assert output_of(release) == "first"
    assert release.executable.name == "users"
    assert release.page == "api/users"
    assert site.left_over() == []


def test_the_same_content_is_not_compiled_again(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    release = site.build("a")
    before = release.executable.stat()
    os.utime(tmp_path / "pages/a/main.go", (1, 1))
    site.builder = site.new_builder()
    assert site.build("a") == release
    assert release.executable.stat() == before
    assert not site.builder.stale(site.page("a"), release)


def test_content_that_comes_back_finds_its_old_release(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    first = site.build("a")
    site.write("pages/a/main.go", QUIET.replace("first", "other"))
    other = site.build("a")
    assert output_of(other) == "other"
    site.write("pages/a/main.go", QUIET)
    assert site.build("a") == first
    assert [release.digest for release in site.store.list("a")] == [other.digest, first.digest]


@pytest.mark.parametrize("name", ["with space", "größe", "[id]", "aux", "a+b'c", "-dash", "x_linux/y.z", "main.go"])
def test_any_page_name_builds(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path, {f"pages/{name}/main.go": QUIET, f"pages/{name}/odd name.go": "package main\n"})
    assert output_of(site.build(name)) == "first"


def test_a_site_without_go_mod_builds_with_its_own_packages(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": USES_WEB, "internal/web/web.go": WEB % '"generic"'}, module="")
    site.write("internal/web/generic.go", "package web\n\nfunc first[T any](all []T) T { return all[0] }\n")
    assert output_of(site.build("a")) == "generic"
    assert not (tmp_path / "go.mod").exists()


def test_a_go_mod_above_a_site_without_one_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module stray\n\ngo 1.999\n")
    (tmp_path / "go.work").write_text("go 1.999\n")
    site = Site(tmp_path / "site", {"pages/a/main.go": USES_WEB, "internal/web/web.go": WEB % '"own"'}, module="")
    assert output_of(site.build("a")) == "own"


def test_a_site_behind_a_link_builds_whatever_pwd_says(tmp_path: Path) -> None:
    real = Site(tmp_path / "real", {"pages/a/main.go": QUIET})
    link = tmp_path / "link"
    link.symlink_to("real")
    program = (
        "import asyncio, pathlib\n"
        "from tests.builder.sites import Site\n"
        f"site = Site(pathlib.Path({str(link)!r}), {{}})\n"
        "print(asyncio.run(site.builder.build(site.page('a'))))\n"
    )
    environment = {**os.environ, "PWD": str(link), "PYTHONPATH": os.getcwd()}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=link, env=environment, capture_output=True, text=True, check=True
    )
    release = real.store.get("a", ran.stdout.strip())
    assert release is not None
    assert b"main.(*tqsdProbe).run" in release.executable.read_bytes()


def test_a_shared_package_concerns_only_the_pages_that_import_it(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {"pages/a/main.go": USES_WEB, "pages/b/main.go": QUIET, "internal/web/web.go": WEB % '"one"'},
    )
    a, b = site.build("a"), site.build("b")
    assert site.builder.watches(site.page("a"), a) == {tmp_path / "internal/web"}
    assert site.builder.watches(site.page("b"), b) == frozenset()
    site.write("internal/web/web.go", WEB % '"two"')
    for builder in (site.builder, site.new_builder()):
        assert builder.stale(site.page("a"), a)
        assert not builder.stale(site.page("b"), b)
    assert output_of(site.build("a")) == "two"
    assert site.build("b") == b


def test_a_package_behind_a_package_is_followed_and_remembered_across_restarts(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {
            "pages/a/main.go": USES_WEB,
            "internal/web/web.go": 'package web\n\nimport "site/deep"\n\nfunc Name() string { return deep.Name }\n',
            "deep/deep.go": 'package deep\n\nconst Name = "deep"\n',
        },
    )
    release = site.build("a")
    builder = site.new_builder()
    assert builder.watches(site.page("a"), release) == {tmp_path / "internal/web", tmp_path / "deep"}
    site.write("deep/more.go", "package deep\n")
    assert builder.stale(site.page("a"), release)


def test_embedded_files_are_inputs_also_new_ones(tmp_path: Path) -> None:
    reads = (
        'package web\n\nimport (\n\t"embed"\n)\n\n//go:embed "static" x/*.txt\nvar files embed.FS\n\n'
        'func Name() string {\n\tall, _ := files.ReadDir("static")\n\treturn all[len(all)-1].Name()\n}\n'
    )
    site = Site(
        tmp_path,
        {
            "pages/a/main.go": USES_WEB,
            "internal/web/web.go": reads,
            "internal/web/static/a.css": "a",
            "internal/web/x/x.txt": "x",
        },
    )
    release = site.build("a")
    assert output_of(release) == "a.css"
    assert tmp_path / "internal/web/static" in site.builder.watches(site.page("a"), release)
    site.write("internal/web/static/b.css", "b")
    assert site.builder.stale(site.page("a"), release)
    assert output_of(site.build("a")) == "b.css"


def test_replace_nested_modules_and_workspaces_are_followed(tmp_path: Path) -> None:
    lib = {"lib/go.mod": "module example.org/lib\n\ngo 1.21\n", "lib/lib.go": 'package lib\n\nconst Name = "lib"\n'}
    uses = 'package main\n\nimport "example.org/lib"\n\nfunc main() { println(lib.Name) }\n'
    needs = "\nrequire example.org/lib v0.0.0\n\nreplace example.org/lib => "
    for name, files, module in (
        ("replace", {"pages/a/main.go": uses}, MODULE + needs + "../lib\n"),
        ("nested", {"pages/a/main.go": uses, "pages/a/go.mod": MODULE + needs + "../../../lib\n"}, MODULE),
        ("work", {"pages/a/main.go": uses, "go.work": "go 1.21\n\nuse (\n\t.\n\t../lib\n)\n"}, MODULE),
    ):
        site = Site(tmp_path / name / "site", files, module)
        for path, text in lib.items():
            site.write(f"../{path}", text)
        release = site.build("a")
        assert output_of(release) == "lib"
        assert site.builder.watches(site.page("a"), release) == {tmp_path / name / "lib"}
        site.write("../lib/lib.go", lib["lib/lib.go"].replace('"lib"', '"new"'))
        assert site.builder.stale(site.page("a"), release)
        assert output_of(site.build("a")) == "new"


def test_internal_packages_of_the_page_itself_build(tmp_path: Path) -> None:
    main = 'package main\n\nimport "site/pages/a/internal/own"\n\nfunc main() { println(own.Name) }\n'
    site = Site(
        tmp_path, {"pages/a/main.go": main, "pages/a/internal/own/own.go": 'package own\n\nconst Name = "own"\n'}
    )
    release = site.build("a")
    assert output_of(release) == "own"
    assert site.builder.watches(site.page("a"), release) == frozenset()
    site.write("pages/a/internal/own/own.go", 'package own\n\nconst Name = "two"\n')
    assert site.builder.stale(site.page("a"), release)


def test_files_for_other_systems_and_tests_are_left_out(tmp_path: Path) -> None:
    wrong = "package main\n\nfunc init() { nonsense() }\n"
    site = Site(
        tmp_path,
        {
            "pages/a/main.go": QUIET,
            "pages/a/main_test.go": wrong,
            "pages/a/x_windows.go": wrong,
            "pages/a/tool.go": "//go:build ignore\n\n" + wrong.replace("main", "tool", 1),
            "pages/a/tagged.go": '//go:build extra\n\npackage main\n\nfunc init() { println("extra") }\n',
        },
    )
    assert output_of(site.build("a")) == "first"
    assert output_of(site.build(site.page("a", tags=("extra",)))).split() == ["extra", "first"]


def test_build_settings_make_another_release(tmp_path: Path) -> None:
    main = 'package main\n\nvar version = "none"\n\nfunc main() { println(version) }\n'
    site = Site(tmp_path, {"pages/a/main.go": main})
    plain = site.build("a")
    page = site.page("a", ldflags="-X main.version=7")
    assert site.builder.stale(page, plain)
    assert output_of(site.build(page)) == "7"


def test_other_files_lie_beside_the_executable_with_their_modes(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {
            "pages/a/main.go": QUIET,
            "pages/a/a": "a file of the executable's name",
            "pages/a/manifest.json": "{}",
            "pages/a/page.yaml": "pm.max_children: 2\n",
            "pages/a/data/posts.json": "[]",
            "pages/a/main.go~": "",
            "pages/a/sub/main.go": QUIET,
            "pages/a/sub/of-the-other-page": "",
            "shared/logo.svg": "<svg/>",
        },
    )
    (tmp_path / "pages/a/manifest.json").chmod(0o600)
    (tmp_path / "pages/a/logo.svg").symlink_to("../../shared/logo.svg")
    release = site.build("a")
    held = {str(path.relative_to(release.directory)) for path in release.directory.rglob("*") if path.is_file()}
    assert held == {".manifest.json", "a", "a_", "data/posts.json", "manifest.json", "logo.svg"}
    assert release.executable.name == "a_"
    assert not (release.directory / "logo.svg").is_symlink()
    assert (release.directory / "manifest.json").stat().st_mode & 0o777 == 0o600
    site.write("pages/a/page.yaml", "pm.max_children: 3\n")
    site.write("pages/a/sub/main.go", PLAIN)
    assert not site.builder.stale(site.page("a"), release)
    site.write("pages/a/data/new.json", "[]")
    assert site.builder.stale(site.page("a"), release)


def test_a_vanished_file_makes_the_release_stale(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET, "pages/a/posts.json": "[]", "pages/a/more.go": "package main\n"})
    release = site.build("a")
    for name in ("posts.json", "more.go"):
        path = tmp_path / "pages/a" / name
        text = path.read_text()
        path.unlink()
        assert site.builder.stale(site.page("a"), release)
        path.write_text(text)
        assert not site.builder.stale(site.page("a"), release)


def test_a_go_mod_that_appears_or_changes_makes_the_release_stale(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET}, module="")
    release = site.build("a")
    site.write("go.mod", MODULE)
    assert site.builder.stale(site.page("a"), release)
    release = site.build("a")
    site.write("go.mod", MODULE + "\n// changed\n")
    assert site.builder.stale(site.page("a"), release)


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
        ({"main.go": "//go:build ignore\n\npackage main\n"}, "excludes itself", "cgo"),
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


def test_sources_that_change_while_they_are_compiled_never_get_the_name_of_others(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})

    async def change_while_it_compiles() -> str:
        build = asyncio.ensure_future(site.builder.build(site.page("a")))
        while not site.left_over():
            await asyncio.sleep(0.001)
        site.write("pages/a/main.go", QUIET.replace("first", "later"))
        return output_of(await build)

    assert asyncio.run(change_while_it_compiles()) == "later"
    assert len(site.store.list("a")) == 1


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


def test_in_production_the_caches_are_the_suites_own(tmp_path: Path) -> None:
    builder = GoBuilder(tmp_path, Store(tmp_path / "releases"), tmp_path / "cache", Mode.PROD)
    environment = builder._environment
    assert environment["GOCACHE"] == str(tmp_path / "cache/go-build")
    assert environment["GOMODCACHE"] == str(tmp_path / "cache/go-mod")
