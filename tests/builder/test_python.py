"""Releases of Python pages: what lies in them, when there is a new one, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builder.python_sites import APP, PythonSite, add_wheel
from tests.builder.sites import PATIENCE
from tqsd.errors import BuildError
from tqsd.page import Page
from tqsd.release import Release

pytestmark = pytest.mark.process

SITE = {
    "pages/chat/app.py": f"from shared import db\n{APP}",
    "pages/chat/rooms.py": "",
    "pages/chat/templates/room.html": "<p>",
    "pages/chat/page.yaml": "",
    "pages/chat/.env": "",
    "shared/db.py": "NAME = 1\n",
    "shared/schema.sql": "",
    "shared/other/far.py": "",
}


@pytest.fixture
def site(tmp_path: Path) -> PythonSite:
    return PythonSite(tmp_path / "site", SITE)


def names(release: Release) -> set[str]:
    files = (path for path in release.directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(release.directory).as_posix() for path in files}


def test_a_release_holds_the_page_and_the_site_s_modules_that_it_imports(site: PythonSite) -> None:
    release = site.build("chat")
    own = {"app.py", "rooms.py", "templates/room.html"}
    assert names(release) == own | {".manifest.json", ".imports", ".site/shared/db.py", ".site/shared/schema.sql"}
    assert release.executable == release.directory / "app.py"
    assert (release.runtime, release.venv) == ("python", "")


def test_its_sources_are_compiled_and_python_neither_compares_nor_writes(site: PythonSite) -> None:
    release = site.build("chat")
    for path in release.directory.rglob("*.py"):
        path.write_text("raise SystemExit('this was read')\n")
    before = sorted(release.directory.rglob("*"))
    code = "import sys; sys.path[:0] = sys.argv[1:]; import app; print(app.db.NAME)"
    places = [str(release.directory), str(release.directory / ".site")]
    command = [sys.executable, "-c", code, *places]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=site.root)
    assert (ran.stdout, ran.stderr) == ("1\n", "")
    assert sorted(release.directory.rglob("*")) == before


def test_the_same_sources_give_the_same_release_and_other_ones_another(site: PythonSite) -> None:
    first = site.build("chat")
    assert site.build("chat") == first
    assert not site.builder.stale(site.page("chat"), first)
    site.write("shared/db.py", "NAME = 2\n")
    assert site.builder.stale(site.page("chat"), first)
    second = site.build("chat")
    assert second.digest != first.digest
    assert (first.directory / ".site/shared/db.py").read_text() == "NAME = 1\n"
    site.write("shared/db.py", "NAME = 1\n")
    assert site.build("chat") == first


@pytest.mark.parametrize("name", ["shared/other/far.py", "shared/new.py", "README.md", "pages/other/app.py"])
def test_what_it_does_not_import_changes_nothing(site: PythonSite, name: str) -> None:
    release = site.build("chat")
    site.write(name, "changed = True\n")
    assert not site.builder.stale(site.page("chat"), release)


@pytest.mark.parametrize("name", ["shared/schema.sql", "pages/chat/rooms.py", "pages/chat/new.txt"])
def test_what_it_is_made_of_makes_it_stale(site: PythonSite, name: str) -> None:
    release = site.build("chat")
    site.write(name, "changed = True\n")
    assert site.builder.stale(site.page("chat"), release)


def test_the_directories_of_its_modules_are_watched_also_by_the_next_process(site: PythonSite) -> None:
    release = site.build("chat")
    assert site.root / "shared" in site.builder.watches(site.page("chat"), release)
    assert site.root / "shared" in site.new_builder().watches(site.page("chat"), release)


def test_every_syntax_error_is_told_with_its_place_and_its_line(site: PythonSite) -> None:
    site.write("pages/chat/rooms.py", "\n\nx = (1,\n")
    site.write("shared/db.py", "if True:\n    def f(:\n        pass\n")
    with pytest.raises(BuildError) as caught:
        site.build("chat")
    assert caught.value.message == "chat does not compile: pages/chat/rooms.py:3: '(' was never closed"
    assert caught.value.output.splitlines() == [
        "pages/chat/rooms.py:3: '(' was never closed",
        "    x = (1,",
        "        ^",
        "shared/db.py:2: invalid syntax",
        "    def f(:",
        "          ^",
    ]
    assert site.left_over() == []


def test_a_source_in_an_unknown_encoding_is_told(site: PythonSite) -> None:
    (site.root / "pages/chat/rooms.py").write_bytes(b"NAME = '\xff'\n")
    with pytest.raises(BuildError, match=r"pages/chat/rooms\.py.*(utf-8|encoding)"):
        site.build("chat")


def test_a_page_without_app_py_says_what_to_add(tmp_path: Path) -> None:
    site = PythonSite(tmp_path / "site", {"pages/chat/main.py": ""})
    with pytest.raises(BuildError) as caught:
        site.build("chat")
    assert caught.value.message == "chat has no app.py"


def test_a_module_that_comes_to_another_page_makes_the_old_release_stale(site: PythonSite) -> None:
    release = site.build("chat")
    site.write("pages/chat/app.py", f"from pages.users import db\n{APP}")
    site.write("pages/users/app.py", "")
    site.write("pages/users/db.py", "")
    assert site.builder.stale(site.page("chat"), release)
    with pytest.raises(BuildError, match=r"pages/chat/app\.py:1: pages\.users\.db belongs to the page users"):
        site.build("chat")


def required(site: PythonSite, text: str, **build: object) -> Page:
    site.write("pages/chat/requirements.txt", text)
    return site.page("chat", **build)


def test_requirements_give_the_release_a_virtual_environment(site: PythonSite) -> None:
    add_wheel(site.packages, "tiny", "VALUE = 7\n")
    release = site.build(required(site, "tiny\n"))
    python = site.venvs / release.venv / "bin/python"
    shown = subprocess.run([python, "-c", "import tiny; print(tiny.VALUE)"], capture_output=True, text=True, check=True)
    assert shown.stdout == "7\n"
    assert (release.directory / ".venv").read_text().strip() == release.venv
    assert site.build("chat") == release


def test_other_requirements_or_another_index_are_another_release(site: PythonSite) -> None:
    add_wheel(site.packages, "tiny", "")
    site.write("requirements/base.txt", "tiny\n")
    page = required(site, "-r ../../requirements/base.txt\n")
    first = site.build(page)
    assert site.root / "requirements" in site.builder.watches(page, first)
    site.write("requirements/base.txt", "tiny==1.0\n")
    assert site.builder.stale(page, first)
    second = site.build(page)
    assert second.venv != first.venv
    assert site.builder.stale(required(site, "-r ../../requirements/base.txt\n", sdist=True), second)


def test_a_virtual_environment_that_was_deleted_is_made_again(site: PythonSite) -> None:
    add_wheel(site.packages, "tiny", "")
    release = site.build(required(site, "tiny\n"))
    (site.venvs / release.venv).rename(site.root / "away")
    assert site.build("chat") == release
    assert (site.venvs / release.venv / "bin/python").exists()


def test_requirements_that_cannot_be_installed_give_no_release(site: PythonSite) -> None:
    with pytest.raises(BuildError, match=r"the requirements of chat cannot be installed: .*nothing_like_it"):
        site.build(required(site, "nothing_like_it\n"))
    assert site.left_over() == []
    assert list(site.venvs.iterdir()) == []
