from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builder.sites import MODULE, PLAIN, QUIET, USES_WEB, WEB, Site, output_of
from tqsd.builder.go import GoBuilder
from tqsd.builder.overlay import READY_MARK
from tqsd.config import Mode
from tqsd.store import Store

pytestmark = pytest.mark.process


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


def built_elsewhere(root: Path, **variables: str) -> str:
    """The digest of page a of the site at `root`, built by a process with these variables."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from tests.builder.sites import Site\n"
        "site = Site(pathlib.Path(sys.argv[1]), {}, module='')\n"
        "print(site.build('a'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


def test_a_site_behind_a_link_builds_whatever_pwd_says(tmp_path: Path) -> None:
    real = Site(tmp_path / "real", {"pages/a/main.go": QUIET})
    link = tmp_path / "link"
    link.symlink_to("real")
    release = real.store.get("a", built_elsewhere(link, PWD=str(link)))
    assert release is not None
    assert READY_MARK in release.executable.read_bytes()


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


def test_in_production_the_caches_are_the_suites_own(tmp_path: Path) -> None:
    builder = GoBuilder(tmp_path, Store(tmp_path / "releases"), tmp_path / "cache", Mode.PROD)
    environment = builder._environment
    assert environment["GOCACHE"] == str(tmp_path / "cache/go-build")
    assert environment["GOMODCACHE"] == str(tmp_path / "cache/go-mod")


def test_a_compiler_that_ran_out_of_memory_is_run_again_with_less(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET})
    tool = site.write("tool", '#!/bin/sh\n[ "$GOGC" = off ] && kill -9 $$\nexec "$@"\n')
    tool.chmod(0o755)
    release = site.store.get("a", built_elsewhere(tmp_path, GOFLAGS=f"-toolexec={tool}"))
    assert release is not None
    assert output_of(release) == "first"


def test_vendored_packages_are_followed(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {
            "pages/a/main.go": 'package main\n\nimport "example.org/lib"\n\nfunc main() { println(lib.Name) }\n',
            "pages/a/more_unix.go": "//go:build unix\n\npackage main\n",
            "vendor/modules.txt": "# example.org/lib v1.0.0\n## explicit; go 1.21\nexample.org/lib\n",
            "vendor/example.org/lib/lib.go": 'package lib\n\nconst Name = "vendored"\n',
        },
        MODULE + "\nrequire example.org/lib v1.0.0\n",
    )
    release = site.build("a")
    assert output_of(release) == "vendored"
    site.write("vendor/example.org/lib/lib.go", 'package lib\n\nconst Name = "changed"\n')
    assert site.builder.stale(site.page("a"), release)
    again = site.store.get("a", built_elsewhere(tmp_path, GOFLAGS="-mod=vendor"))
    assert again is not None
    assert output_of(again) == "changed"


def test_code_in_c_is_compiled_when_asked_for(tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    main = 'package main\n\n// static int seven(void) { return 7; }\nimport "C"\n\nfunc main() { println(C.seven()) }\n'
    site = Site(tmp_path, {"pages/a/main.go": main})
    assert output_of(site.build(site.page("a", cgo=True))) == "7"


def test_an_edit_to_a_page_of_its_own_below_does_not_concern_the_page_above(tmp_path: Path) -> None:
    site = Site(tmp_path, {"pages/a/main.go": QUIET, "pages/a/b/main.go": QUIET})
    above, below = site.build("a"), site.build("a/b")
    site.write("pages/a/b/main.go", QUIET.replace("first", "other"))
    assert not site.builder.stale(site.page("a"), above)
    assert site.builder.stale(site.page("a/b"), below)
