from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tqsd.errors import BuildError, StoreError
from tqsd.release import Manifest, Pointers, Release, short_hash
from tqsd.store import MANIFEST, Store, full


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "releases")


def manifest_of(name: str, built: float = 0.0, page: str = "api/users") -> Manifest:
    return Manifest(page, short_hash(name), "go", built, 1, "users", "go1.27.3")


def stored(store: Store, name: str, built: float = 0.0) -> Release:
    with store.staging("api-users") as staging:
        (staging / "users").write_text(name)
        (staging / "data").mkdir(mode=0o700)
        (staging / "data" / "posts.json").write_text("[]")
        return store.put(manifest_of(name, built), staging)


def entries(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "releases" / "api-users").iterdir()}


def test_a_release_is_found_as_it_was_put(store: Store, tmp_path: Path) -> None:
    release = stored(store, "one")
    assert release == store.get("api-users", short_hash("one"))
    assert release.page == "api/users"
    assert release.directory == tmp_path / "releases/api-users" / release.digest
    assert release.executable.read_text() == "one"
    assert os.access(release.executable, os.X_OK)
    assert (release.directory / "data").stat().st_mode & 0o777 == 0o755
    assert store.manifest(release) == manifest_of("one")
    assert entries(tmp_path) == {release.digest}


def test_a_relative_store_gives_absolute_paths(tmp_path: Path) -> None:
    release = stored(Store(Path(os.path.relpath(tmp_path))), "one")
    assert release.directory.is_absolute()
    assert release.executable.is_absolute()


def test_of_two_releases_with_one_digest_the_first_stays(store: Store, tmp_path: Path) -> None:
    first = stored(store, "one", built=1.0)
    stored(store, "one", built=2.0)
    manifest = store.manifest(first)
    assert manifest is not None
    assert manifest.built == 1.0
    assert entries(tmp_path) == {first.digest}


def test_a_failure_while_writing_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def fail() -> None:
        with store.staging("api-users") as staging:
            (staging / "users").write_text("half")
            raise BuildError("no")

    with pytest.raises(BuildError):
        fail()
    assert entries(tmp_path) == set()


def test_an_os_error_while_writing_names_the_place(store: Store) -> None:
    says = r"cannot write a release in .*api-users.*No such file"
    with pytest.raises(StoreError, match=says) as caught, store.staging("api-users") as staging:
        (staging / "missing" / "file").write_text("")
    assert caught.value.hint


def test_an_unknown_release_is_none(store: Store) -> None:
    assert store.get("api-users", short_hash("one")) is None
    assert store.get("api-users", "../../etc") is None
    assert store.list("api-users") == []


@pytest.mark.parametrize("damage", ["no manifest", "half a manifest", "another page", "no executable", "wrong digest"])
def test_a_damaged_release_is_absent_and_can_be_put_again(store: Store, tmp_path: Path, damage: str) -> None:
    release = stored(store, "one")
    manifest = release.directory / MANIFEST
    text = manifest.read_text()
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "half a manifest":
        manifest.write_text(text[: len(text) // 2])
    elif damage == "another page":
        manifest.write_text(text.replace("api/users", "api/posts"))
    elif damage == "wrong digest":
        manifest.write_text(text.replace(release.digest, short_hash("two")))
    else:
        release.executable.unlink()
    assert store.get("api-users", release.digest) is None
    assert store.list("api-users") == []
    assert stored(store, "one") == release
    assert release.executable.read_text() == "one"
    assert entries(tmp_path) == {release.digest}


def test_releases_are_listed_newest_first(store: Store) -> None:
    old, new, middle = stored(store, "old", 1.0), stored(store, "new", 3.5), stored(store, "middle", 3.25)
    assert store.list("api-users") == [new, middle, old]


def test_pointers_are_kept_and_damaged_ones_are_none(store: Store, tmp_path: Path) -> None:
    assert store.pointers("api-users") == Pointers()
    pointers = Pointers(current=short_hash("one"), previous=None, pinned="?")
    store.point("api-users", pointers)
    assert store.pointers("api-users") == pointers
    file = tmp_path / "releases/api-users/page.json"
    for text in ('{"format": 2, "current": "x"}', "{", "[]", '{"format": 1, "current": 7}'):
        file.write_text(text)
        assert store.pointers("api-users") == Pointers()


def test_old_releases_go_but_not_what_matters(store: Store, tmp_path: Path) -> None:
    releases = [stored(store, str(number), number) for number in range(10)]
    store.point("api-users", Pointers(releases[0].digest, releases[1].digest, releases[2].digest))
    (releases[4].directory / MANIFEST).unlink()
    store.retain("api-users", {releases[3].digest}, keep=2)
    kept = [releases[number] for number in (9, 8, 3, 2, 1, 0)]
    assert store.list("api-users") == kept
    assert entries(tmp_path) == {release.digest for release in kept} | {"page.json"}


def test_a_page_without_releases_has_nothing_to_retain(store: Store) -> None:
    store.retain("api-users", set())


def test_a_sweep_removes_what_a_dead_process_left_and_only_that(store: Store, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from tqsd.store import Store\n"
        f"with Store(pathlib.Path({str(tmp_path / 'releases')!r})).staging('api-users') as staging:\n"
        "    (staging / 'users').write_text('half')\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    release = stored(store, "one")
    assert len(entries(tmp_path)) == 2
    with store.staging("api-users") as living:
        store.sweep()
        assert entries(tmp_path) == {release.digest, living.name}


def test_a_sweep_of_a_store_that_does_not_exist_yet_is_fine(store: Store) -> None:
    store.sweep()


def test_a_full_disk_is_named_with_how_full_it_is(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine does not let root mount")
    store = Store(disk)
    try:
        kept = stored(store, "kept")
        says = os.strerror(errno.ENOSPC)
        with pytest.raises(StoreError, match=says) as caught, store.staging("api-users") as staging:
            (staging / "users").write_bytes(b"x" * (2 << 20))
        assert f"the disk mounted at {disk} has 0 of 1 MiB left" in caught.value.hint
        assert store.list("api-users") == [kept]
        assert [path.name for path in (disk / "api-users").iterdir()] == [kept.digest]
        (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        with pytest.raises(StoreError, match=says):
            store.point("api-users", Pointers(current=kept.digest))
        assert store.pointers("api-users") == Pointers()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_how_full_a_disk_is_is_told_for_paths_that_do_not_exist_too(tmp_path: Path) -> None:
    assert "MiB left" in full(tmp_path / "not" / "there")
