"""Virtual environments: made once for all who ask, whole or not at all, and deleted when nobody needs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest

from tests.builder.python_sites import PythonSite, add_wheel, pip_environment
from tests.builder.sites import until
from tqsd.builder.venv import MARK, Venvs, read_requirements, retain
from tqsd.errors import BuildError, StoreError, TqsdError
from tqsd.page import Page

pytestmark = pytest.mark.process

SLOW = "import time\ntime.sleep(3600)\n"
BACKEND = """
import zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "only_source-1.0"
    with zipfile.ZipFile(f"{directory}/{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("only_source.py", "VALUE = 3")
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\\nName: only-source\\nVersion: 1.0\\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return f"{name}-py3-none-any.whl"
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def site(tmp_path: Path) -> PythonSite:
    site = PythonSite(tmp_path / "site", {})
    add_wheel(site.packages, "tiny", "VALUE = 7\n")
    return site


def venvs(site: PythonSite, **variables: str) -> Venvs:
    return Venvs(site.venvs, site.root, {**pip_environment(site.packages), **variables})


def requiring(site: PythonSite, text: str, name: str = "chat", **build: object) -> Page:
    site.write(f"pages/{name}/requirements.txt", text)
    return site.page(name, **build)


async def provide(site: PythonSite, page: Page, **variables: str) -> Path:
    requirements = read_requirements(page, site.root)
    assert requirements
    await venvs(site, **variables).provide(page, requirements)
    return site.venvs / requirements.digest


def add_source(packages: Path, name: str, backend: str) -> None:
    """A source package, which pip would have to build, by the `backend` in it."""
    place = packages.parent / f"{name}-1.0"
    place.mkdir()
    (place / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (place / "pyproject.toml").write_text(PROJECT)
    (place / "backend.py").write_text(backend)
    with tarfile.open(packages / f"{name}-1.0.tar.gz", "w:gz") as archive:
        archive.add(place, place.name)


def test_pages_with_the_same_requirements_share_one_that_is_made_once(site: PythonSite) -> None:
    pages = [requiring(site, "tiny\n", name) for name in ("one", "two", "three")]

    async def together() -> set[Path]:
        return set(await asyncio.gather(*(provide(site, page) for page in pages)))

    (place,) = asyncio.run(together())
    assert (place / MARK).exists()
    created = (place / "pyvenv.cfg").stat().st_mtime_ns
    assert asyncio.run(provide(site, pages[0])) == place
    assert (place / "pyvenv.cfg").stat().st_mtime_ns == created


def test_the_digest_is_made_of_every_file_that_counts(site: PythonSite) -> None:
    site.write("pages/base.txt", "tiny\n-c limits.txt\n")
    site.write("pages/limits.txt", "tiny<2\n")
    page = requiring(site, "# ours\n--requirement=../base.txt  # theirs\n-r../base.txt\nhttps://example.org/a.whl\n")
    first = read_requirements(page, site.root)
    assert first
    assert [path.name for path in first.files] == ["requirements.txt", "base.txt", "limits.txt"]
    site.write("pages/limits.txt", "tiny<3\n")
    second = read_requirements(page, site.root)
    assert second
    assert second.digest != first.digest
    other = read_requirements(site.page("chat", index="https://example.org/simple"), site.root)
    assert other
    assert other.digest != second.digest
    assert read_requirements(site.page("none"), site.root) is None


def test_a_wheel_in_the_page_is_installed_and_counts(site: PythonSite) -> None:
    add_wheel(site.root / "pages/chat/wheels", "local", "VALUE = 1\n")
    page = requiring(site, "./wheels/local-1.0-py3-none-any.whl\n")
    place = asyncio.run(provide(site, page))
    assert subprocess.run([place / "bin/python", "-c", "import local"], check=False).returncode == 0
    add_wheel(site.root / "pages/chat/wheels", "local", "VALUE = 2\n")
    again = read_requirements(page, site.root)
    assert again
    assert again.digest != place.name


@pytest.mark.parametrize("line", ["-e .", "--editable ../lib", ".", "./lib"])
def test_a_directory_is_refused_because_it_would_change_unseen(site: PythonSite, line: str) -> None:
    site.write("pages/chat/lib/setup.py", "")
    with pytest.raises(BuildError) as caught:
        read_requirements(requiring(site, f"tiny\n{line}\n"), site.root)
    assert caught.value.message.startswith(f"pages/chat/requirements.txt:2: {line} is a directory")


def test_a_file_that_is_missing_is_named(site: PythonSite) -> None:
    with pytest.raises(BuildError, match=r"cannot read pages/chat/more\.txt: No such file"):
        read_requirements(requiring(site, "-r more.txt\n"), site.root)


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("nothing_like_it\n", "No matching distribution found for nothing_like_it", "spelt right"),
        ("tiny==2.0\n", "No matching distribution found for tiny==2.0", "such a version"),
        ("only_source\n", "No matching distribution found for only_source", "build: {sdist: true}"),
        ("tiny==1.0\ntiny==2.0\n", "Cannot install tiny==1.0 and tiny==2.0", "loosen"),
        ("tiny = 1\n", "Invalid requirement: 'tiny = 1'", "write it like"),
    ],
)
def test_what_cannot_be_installed_is_explained(site: PythonSite, text: str, reason: str, hint: str) -> None:
    add_source(site.packages, "only-source", BACKEND)
    with pytest.raises(BuildError) as caught:
        asyncio.run(provide(site, requiring(site, text)))
    assert caught.value.message.startswith(f"the requirements of chat cannot be installed: {reason}")
    assert hint in caught.value.hint
    assert caught.value.output
    assert list(site.venvs.iterdir()) == []


def test_an_index_that_cannot_be_reached_is_explained(site: PythonSite) -> None:
    page = requiring(site, "tiny\n", index="http://127.0.0.1:9/simple")
    nothing = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
    with pytest.raises(BuildError) as caught:
        asyncio.run(provide(site, page, **nothing))
    assert "cannot be reached" in caught.value.hint


def test_a_source_is_built_when_that_is_allowed(site: PythonSite) -> None:
    add_source(site.packages, "only-source", BACKEND)
    place = asyncio.run(provide(site, requiring(site, "only-source\n", sdist=True)))
    assert subprocess.run([place / "bin/python", "-c", "import only_source"], check=False).returncode == 0


def test_uv_is_preferred_where_it_is_on_path(site: PythonSite, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    uv = programs / "uv"
    uv.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n'
        f'if [ "$1" = venv ]; then shift $(($# - 1)); exec {sys.executable} -m venv --without-pip "$1"; fi\n'
    )
    uv.chmod(0o755)
    page = requiring(site, "tiny\n", index="https://example.org/simple")
    asyncio.run(provide(site, page, PATH=f"{programs}:/usr/bin:/bin"))
    first, second = (tmp_path / "asked").read_text().splitlines()
    assert first.startswith("venv ")
    assert second.startswith("pip install ")
    assert "--only-binary :all: --index-url https://example.org/simple -r" in second


def test_a_cancelled_or_late_installation_leaves_nothing_behind(site: PythonSite) -> None:
    add_source(site.packages, "slow", SLOW)
    here = psutil.Process()

    async def cancel() -> None:
        page = requiring(site, "slow\n", sdist=True)
        making = asyncio.create_task(provide(site, page))
        await asyncio.to_thread(until, lambda: any("build_wheel" in words for words in _children(here)))
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making

    asyncio.run(cancel())
    until(lambda: not _children(here))
    assert list(site.venvs.iterdir()) == []
    with pytest.raises(BuildError) as caught:
        asyncio.run(provide(site, requiring(site, "slow\n", sdist=True, timeout=0.2)))
    assert "within 0.2 s" in caught.value.message
    assert list(site.venvs.iterdir()) == []


def _children(process: psutil.Process) -> list[str]:
    """The commands of its living children."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(child.cmdline()))
    return found


def test_one_left_half_made_is_made_anew(site: PythonSite) -> None:
    page = requiring(site, "tiny\n")
    requirements = read_requirements(page, site.root)
    assert requirements
    (site.venvs / requirements.digest / "lib").mkdir(parents=True)
    place = asyncio.run(provide(site, page))
    assert (place / "bin/python").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_is_explained(site: PythonSite) -> None:
    add_wheel(site.packages, "big", f"VALUE = {'7' * 3_000_000!r}\n")
    site.venvs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(site.venvs)], check=True)
    try:
        with pytest.raises(TqsdError) as caught:
            asyncio.run(provide(site, requiring(site, "big\n")))
    finally:
        subprocess.run(["umount", str(site.venvs)], check=True)
    assert isinstance(caught.value, StoreError)
    assert "MiB left" in caught.value.hint


def test_those_that_no_release_names_are_deleted_unless_they_were_used_just_now(site: PythonSite) -> None:
    for name in ("wanted", "old", "young", "torn"):
        (site.venvs / name / "lib").mkdir(parents=True)
    for name in ("wanted", "old", "young"):
        (site.venvs / name / MARK).write_text("")
    for name in ("wanted", "old"):
        os.utime(site.venvs / name / MARK, (1, 1))
    retain(site.venvs, {"wanted"})
    assert {place.name for place in site.venvs.iterdir()} == {"wanted", "young"}
    shutil.rmtree(site.venvs)
    retain(site.venvs, set())
