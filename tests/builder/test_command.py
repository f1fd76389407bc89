"""Releases of command pages: what lies in them, what their builds see, and what is said when they fail."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.builder.sites import PATIENCE, until
from tqsd.builder.copies import CopyBuilder
from tqsd.builder.runtimes import Runtimes
from tqsd.config import BuildSettings, PageSettings
from tqsd.errors import BuildError
from tqsd.page import Page, Runtime, route_of
from tqsd.release import Release
from tqsd.state import Paths
from tqsd.store import Store

pytestmark = pytest.mark.process

SHOWS = '#!/bin/sh\necho "$0"\nfor word; do echo "<$word>"; done\necho "$TQS_DIRECTORY"\npwd\n'


class Site:
    """A site in a directory with one command page, "a"."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths.dev(root)
        self.store = Store(self.paths.releases)
        self.builder = Runtimes(root, self.store, self.paths)
        self.page_directory = root / "pages/a"
        self.page_directory.mkdir(parents=True)

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.page_directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def page(self, run: Any, build: Any = (), timeout: float = PATIENCE, **settings: Any) -> Page:
        whole = PageSettings(run=run, build=BuildSettings(command=build, timeout=timeout), **settings)
        return Page("a", self.page_directory, route_of("a"), Runtime.COMMAND, whole)

    def build(self, run: Any, build: Any = (), **settings: Any) -> Release:
        return asyncio.run(self.builder.build(self.page(run, build, **settings)))

    def error(self, run: Any, build: Any = (), **settings: Any) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.build(run, build, **settings)
        assert not list(self.paths.releases.glob("*/.new-*")), "nothing half-made is left"
        return caught.value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "the site's root")


def output_of(release: Release, cwd: Path, **variables: str) -> list[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    command = [release.executable]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[:-1]


def test_a_release_holds_the_pages_files_and_starts_the_command_in_any_directory(site: Site, tmp_path: Path) -> None:
    site.write("bin/shows", SHOWS, 0o755)
    site.write("config file.json", "{}")
    release = site.build(["bin/shows", "config file.json", "it's", "", "a  b", "$HOME", "-x"])
    assert output_of(release, tmp_path) == [
        f"{release.directory}/bin/shows",
        f"<{release.directory}/config file.json>",
        "<it's>",
        "<>",
        "<a  b>",
        "<$HOME>",
        "<-x>",
        str(release.directory),
        str(tmp_path),
    ]


def test_the_port_is_put_where_the_words_say(site: Site, tmp_path: Path) -> None:
    site.write("shows", SHOWS, 0o755)
    words = ["shows", "127.0.0.1:$PORT", "${PORT}", "$TQS_PORT/x", "$PORTS", "$ PORT", "[$PORT,${TQS_PORT}]"]
    release = site.build(words)
    printed = output_of(release, tmp_path, PORT="14001", TQS_PORT="14001")[1:-2]
    assert printed == ["<127.0.0.1:14001>", "<14001>", "<14001/x>", "<$PORTS>", "<$ PORT>", "<[14001,14001]>"]


def test_a_shell_finds_the_release_by_its_variable(site: Site, tmp_path: Path) -> None:
    site.write("x", "")
    release = site.build(["sh", "-c", 'cd "$TQS_DIRECTORY" && pwd && ls'])
    assert output_of(release, tmp_path) == [str(release.directory), "x"]


def test_settings_dot_files_and_dependencies_are_not_copied(site: Site) -> None:
    for name in ("page.yaml", ".env", "node_modules/x/index.js", "lib/node_modules/y.js", "lib/z.js"):
        site.write(name, "")
    release = site.build(["true"])
    files = {path.relative_to(release.directory).as_posix() for path in release.directory.rglob("*") if path.is_file()}
    assert files == {".run", ".manifest.json", "lib/z.js"}


def test_the_same_content_is_built_once_and_each_part_of_it_counts(site: Site) -> None:
    site.write("x", "1")
    site.write("count", 'echo >> "$CACHE_DIRECTORY/count"', 0o755)
    count = site.paths.cache / "build/a/count"
    first = site.build(["true"], ["./count"])
    assert site.build(["true"], ["./count"]).digest == first.digest
    assert len(count.read_text()) == 1
    assert not site.builder.stale(site.page(["true"], ["./count"]), first)
    digests = {
        first.digest,
        site.build(["true", "x"], ["./count"]).digest,
        site.build(["true"], ["./count", "x"]).digest,
    }
    (site.page_directory / "x").chmod(0o755)
    digests.add(site.build(["true"], ["./count"]).digest)
    site.write("x", "2")
    digests.add(site.build(["true"], ["./count"]).digest)
    assert len(digests) == 5
    assert site.builder.stale(site.page(["true"], ["./count"]), first)
    assert len(count.read_text()) == 5


def test_what_a_build_makes_lies_in_the_release_and_the_sources_stay_clean(site: Site, tmp_path: Path) -> None:
    site.write("build.sh", "#!/bin/sh\nmkdir out && cp source out/program && chmod +x out/program\n", 0o755)
    site.write("source", SHOWS)
    release = site.build(["out/program"], ["build.sh"])
    assert output_of(release, tmp_path)[0] == f"{release.directory}/out/program"
    assert sorted(path.name for path in site.page_directory.iterdir()) == ["build.sh", "source"]


def test_a_build_sees_the_users_environment_and_nothing_of_tqsd_or_the_page(site: Site) -> None:
    script = "import json, os, sys; json.dump(dict(os.environ, cwd=os.getcwd()), open('environment', 'w'))"
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tests.builder.test_command import Site\n"
        "site = Site.__new__(Site)\nSite.__init__(site, Path(sys.argv[1]))\n"
        "release = site.build(['true'], [sys.executable, '-c', sys.argv[2]], env={'SECRET': 'x'}, secrets=['S'])\n"
        "print((release.directory / 'environment').read_text())\n"
    )
    own = {
        "PATH": os.environ["PATH"],
        "HOME": "/of the user/at home",
        "https_proxy": "http://proxy",
        "npm_config_registry": "http://registry",
        "NOTIFY_SOCKET": "@x",
        "LISTEN_FDS": "1",
        "TQS_RUN": "/run",
        "PYTHONPATH": os.getcwd(),
    }
    root = site.root.parent / "other"
    done = subprocess.run(
        [sys.executable, "-c", code, root, script], env=own, capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    cwd = seen.pop("cwd")
    assert cwd == seen.pop("PWD")
    assert ".new-" in cwd
    assert {name: seen[name] for name in ("HOME", "https_proxy", "npm_config_registry")} == {
        name: own[name] for name in ("HOME", "https_proxy", "npm_config_registry")
    }
    assert seen.keys() - own.keys() - {"LC_CTYPE"} == {"TQS_PAGE", "TQS_SITE", "CACHE_DIRECTORY"}
    assert own.keys() - seen.keys() == {"NOTIFY_SOCKET", "LISTEN_FDS", "TQS_RUN"}
    assert (seen["TQS_PAGE"], seen["TQS_SITE"]) == ("a", str(root))
    assert seen["CACHE_DIRECTORY"] == str(root / ".tqsd/cache/build/a")


def test_a_build_that_fails_shows_its_output_with_the_places_of_the_sources(site: Site) -> None:
    error = site.error(["true"], ["sh", "-c", "echo first; echo $PWD/x.js:1: bad >&2; exit 3"])
    assert error.message.startswith("a does not build: `sh -c")
    assert error.message.endswith("` ended with exit status 3")
    assert error.output == "first\npages/a/x.js:1: bad"


def test_a_long_command_is_shortened_in_the_message(site: Site) -> None:
    message = site.error(["true"], ["sh", "-c", "# many words\n" * 100 + "exit 3"]).message
    assert message.endswith(" ...` ended with exit status 3")
    assert "\n" not in message
    assert len(message) < 150


@pytest.mark.parametrize(
    ("script", "hint"),
    [
        ("kill -9 $$", "memory ran out"),
        ("echo x: No space left on device; exit 1", "make room there"),
        ("nosuchprogram", "install nosuchprogram, or write its whole path"),
        ("echo npm error code ENOTFOUND; exit 1", "network"),
    ],
)
def test_known_failures_of_a_build_have_hints(site: Site, script: str, hint: str) -> None:
    assert hint in site.error(["true"], ["sh", "-c", script]).hint


def test_only_the_last_lines_of_a_long_output_are_kept(site: Site) -> None:
    output = site.error(["true"], ["sh", "-c", "seq 100000; exit 1"]).output.splitlines()
    assert (len(output), output[-1]) == (100, "100000")


def test_a_build_that_takes_too_long_is_ended_and_shows_what_it_said(site: Site) -> None:
    script = 'sleep 1000 & echo $! > "$TQS_SITE/pid"; echo resolving; wait'
    error = site.error(["true"], ["sh", "-c", script], timeout=2)
    assert error.message == "a did not build within 2 s"
    assert error.output == "resolving"
    child = int((site.root / "pid").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_cancelled_build_leaves_no_process_and_no_file(site: Site) -> None:
    script = 'sleep 1000 & echo $! > "$TQS_SITE/pid.new"; mv "$TQS_SITE/pid.new" "$TQS_SITE/pid"; wait'

    async def story() -> None:
        building = asyncio.create_task(site.builder.build(site.page(["true"], ["sh", "-c", script])))
        async with asyncio.timeout(PATIENCE):
            while not (site.root / "pid").exists():
                await asyncio.sleep(0.005)
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building

    asyncio.run(story())
    child = int((site.root / "pid").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    assert not list(site.paths.releases.glob("*/.new-*"))


def test_commands_that_cannot_run_are_told_with_their_key_before_anything_starts(site: Site) -> None:
    site.write("server.sh", "#!/bin/sh\n")
    assert site.error(["nosuch", "x"]).message.startswith("a: `run` starts with `nosuch`")
    assert site.error(["true"], ["nosuch"]).message.startswith("a: `build.command` starts with `nosuch`")
    assert "&&" in site.error(["true"], ["npm", "ci", "&&", "npm", "test"]).message
    assert "`chmod +x` it" in site.error(["./server.sh"]).hint
    assert site.error(["true"], env={"PATH": "/nowhere"}).message.startswith("a: `run` starts with `true`")


def test_the_sites_own_path_counts(site: Site) -> None:
    tools = site.root / "tools"
    tools.mkdir()
    shutil.copy("/bin/sh", tools / "mysh")
    (site.root / "config").mkdir()
    (site.root / "config/tqsd.yaml").write_text(f'env: {{PATH: "{tools}:/usr/bin"}}\n')
    site.build(["mysh", "-c", "true"])
    (site.root / "config/tqsd.yaml").write_text("env: [nonsense")
    assert site.error(["mysh"]).hint


@pytest.mark.parametrize("files", [1, 100])
def test_what_a_build_leaves_besides_files_harms_nobody(site: Site, tmp_path: Path, files: int) -> None:
    script = f"seq {files} | xargs touch; mkdir -p e/mpty; mkfifo pipe; ln -s /nowhere dangling; ln -s . circle"
    script += "; ln -s /nowhere/x .run"
    release = site.build(["sh", "-c", "echo $TQS_DIRECTORY"], ["sh", "-c", script])
    assert output_of(release, tmp_path) == [str(release.directory)]
    assert not (release.directory / ".run").is_symlink()


def test_a_page_that_changes_while_it_is_built_is_built_again(site: Site) -> None:
    site.write("x", "1")
    script = '[ $(cat x) = 2 ] || echo 2 > "$TQS_SITE/pages/a/x"'
    release = site.build(["true"], ["sh", "-c", script])
    assert (release.directory / "x").read_text() == "2\n"


def test_a_page_of_another_runtime_before_is_stale(site: Site) -> None:
    site.write("x.css", "")
    static = Page("a", site.page_directory, "/a", Runtime.STATIC, PageSettings())
    release = asyncio.run(site.builder.build(static))
    assert site.builder.stale(site.page(["true"]), release)
    assert isinstance(site.builder._builders[Runtime.COMMAND], CopyBuilder)
