from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from tqsd.proxy.opened import open_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "top").write_text("top")
    (root / "a/b/deep").write_text("deep")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return root


def read(root: Path, *place: str, sources: bool = False) -> str | None:
    """What lies there: its content, "/" for a directory, None for what is not opened."""
    try:
        opened = open_below(os.fsencode(root), tuple(map(os.fsencode, place)), sources)
    except OSError:
        return None
    try:
        return os.read(opened.fd, 100).decode() if opened.is_file else "/"
    finally:
        opened.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> object:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


def test_files_and_directories_are_opened_at_any_depth(root: Path) -> None:
    assert read(root, "top") == "top"
    assert read(root, "a", "b", "deep") == "deep"
    assert read(root, "a") == "/"
    assert read(root, "a", "b") == "/"


@pytest.mark.parametrize(
    "place", [("none",), ("a", "none"), ("none", "top"), ("top", "x"), ("a", "b", "deep", "x"), ("x" * 300,)]
)
def test_what_is_not_there_is_not_opened(root: Path, place: tuple[str, ...]) -> None:
    assert read(root, *place) is None


def test_a_link_leads_to_files_below_the_same_directory(root: Path) -> None:
    (root / "relative").symlink_to("a/b/deep")
    (root / "a/up").symlink_to("../top")
    (root / "absolute").symlink_to(root / "top")
    (root / "chain").symlink_to("relative")
    assert read(root, "relative") == "deep"
    assert read(root, "a", "up") == "top"
    assert read(root, "absolute") == "top"
    assert read(root, "chain") == "deep"


def test_a_link_never_leads_out(root: Path) -> None:
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "secret").symlink_to("../outside/secret")
    (root / "chain").symlink_to("secret")
    (root / "out").symlink_to("../outside")
    (root / "around").symlink_to("out/../outside/secret")
    (root / "parent").symlink_to("..")
    (root.parent / "root2").mkdir()
    (root.parent / "root2/x").write_text("x")
    (root / "neighbour").symlink_to("../root2/x")
    for name in ("passwd", "secret", "chain", "out", "around", "parent", "neighbour"):
        assert read(root, name) is None, name
    assert read(root, "out", "secret") is None
    assert read(root, "parent", "outside", "secret") is None


def test_a_link_to_a_directory_is_not_followed(root: Path) -> None:
    (root / "link").symlink_to("a/b")
    assert read(root, "link") is None
    assert read(root, "link", "deep") is None


def test_a_link_does_not_show_what_is_hidden(root: Path) -> None:
    (root / ".env").write_text("TOKEN=1")
    (root / "page.yaml").write_text("")
    (root / "env").symlink_to(".env")
    (root / "settings").symlink_to("page.yaml")
    assert read(root, "env") is None
    assert read(root, "settings") is None


def test_links_in_a_circle_and_into_the_void_are_nothing(root: Path) -> None:
    (root / "circle").symlink_to("circle")
    (root / "void").symlink_to("nowhere")
    assert read(root, "circle") is None
    assert read(root, "void") is None


def test_the_root_itself_may_be_reached_through_a_link(root: Path) -> None:
    (root.parent / "entry").symlink_to(root)
    (root / "link").symlink_to("top")
    assert read(root.parent / "entry", "top") == "top"
    assert read(root.parent / "entry", "link") == "top"


def test_pipes_and_sockets_are_no_files_and_block_nobody(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        directory = os.open(root, os.O_PATH)
        listening.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
        (root / "to-pipe").symlink_to("pipe")
        assert read(root, "pipe") is None
        assert read(root, "to-pipe") is None
        assert read(root, "socket") is None


def test_devices_are_no_files(root: Path) -> None:
    (root / "zero").symlink_to("/dev/zero")
    assert read(root, "zero") is None
    assert read(Path("/dev"), "zero") is None


def test_other_pages_among_sources_are_not_part_of_this_one(root: Path) -> None:
    for mark in ("page.yaml", "main.go", "app.py"):
        page = root / f"has-{mark}"
        (page / "below").mkdir(parents=True)
        (page / mark).write_text("")
        (page / "below/x").write_text("x")
        (root / "link").unlink(missing_ok=True)
        (root / "link").symlink_to(page / mark)
        assert read(root, page.name, sources=True) is None
        assert read(root, page.name, mark, sources=True) is None
        assert read(root, page.name, "below", "x", sources=True) is None
        assert read(root, "link", sources=True) is None
        assert read(root, page.name, "below", "x") == "x"  # in a release it is just a directory


@pytest.mark.parametrize("name", ["vendor", "_drafts", "testdata"])
def test_directories_that_are_never_pages_belong_to_this_one(root: Path, name: str) -> None:
    (root / name / "lib").mkdir(parents=True)
    (root / name / "main.go").write_text("package main")
    (root / name / "x").write_text("x")
    (root / name / "lib/app.py").write_text("")
    assert read(root, name, "x", sources=True) == "x"
    assert read(root, name, "lib", "app.py", sources=True) is None


def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere_else(root: Path) -> None:
    (root / "a/secret").write_text("mine")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "a", root / "aside")
            os.symlink("../outside", root / "a")
            os.unlink(root / "a")
            os.rename(root / "aside", root / "a")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        seen = {read(root, "a", "secret") for _ in range(3000)}
    finally:
        stop.set()
        swapping.join()
    assert seen <= {"mine", None}


def test_a_link_that_changes_meanwhile_leads_nowhere_else(root: Path) -> None:
    (root / "link").symlink_to("top")
    stop = threading.Event()

    def swap() -> None:
        for target in ("../outside/secret", "top") * 100000:
            if stop.is_set():
                return
            os.symlink(target, root / "aside")
            os.rename(root / "aside", root / "link")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        seen = {read(root, "link") for _ in range(3000)}
    finally:
        stop.set()
        swapping.join()
    assert seen <= {"top", None}
