"""Static pages as a user has them: saved in dev, released in production, and swapped under load."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.proxy.processes import Proxy, Watcher, tcp_listener, until
from tests.proxy.rig import plain_table, row
from tests.running import Running, running, write

pytestmark = pytest.mark.process

SWAPS = 100


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    files = {
        "style.css": "one",
        "index.html": "<h1>top</h1>",
        "docs/index.html": "<h1>docs</h1>",
        "docs/404.html": "deep",
        ".well-known/security.txt": "Contact: mailto:x@example.org",
        ".env": "TOKEN=1",
    }
    write(site, {"config/tqsd.yaml": "", **{f"pages/assets/{name}": text for name, text in files.items()}})
    return site


def etag(here: Running, path: str) -> str:
    """The ETag of a file, once it has one."""
    return str(here.wait("it has a version", lambda: here.request("GET", path)[1].get("ETag")))


def test_in_dev_a_save_is_there_with_the_next_request(site: Path) -> None:
    style = site / "pages/assets/style.css"
    with running(site) as here:
        here.wait_for_answer("/assets/style.css", "one")
        for number in range(20):
            style.write_text(f"version {number}")
            assert here.get("/assets/style.css") == (200, f"version {number}")
        (site / "pages/assets/new.css").write_text("new")
        assert here.get("/assets/new.css") == (200, "new")
        style.unlink()
        assert here.get("/assets/style.css")[0] == 404


def test_the_same_is_served_in_dev_and_in_production(site: Path) -> None:
    inside = site / "pages/assets/link.css"
    inside.symlink_to("style.css")
    expected = {
        "/assets/": (200, "<h1>top</h1>"),
        "/assets/docs/": (200, "<h1>docs</h1>"),
        "/assets/link.css": (200, "one"),
        "/assets/.well-known/security.txt": (200, "Contact: mailto:x@example.org"),
    }
    for verb in ("dev", "serve"):
        with running(site, verb) as here:
            here.wait_for_answer("/assets/style.css", "one")
            assert {path: here.get(path) for path in expected} == expected, verb
            assert here.get("/assets/.env")[0] == 404
            assert here.get("/assets/docs")[0] == 308


def test_in_production_a_deployment_changes_what_changed_and_keeps_the_versions_of_the_rest(site: Path) -> None:
    style = site / "pages/assets/style.css"
    with running(site, "serve") as here:
        here.wait_for_answer("/assets/style.css", "one")
        before = {path: etag(here, path) for path in ("/assets/style.css", "/assets/docs/")}
        status = style.stat()
        style.write_text("two")
        os.utime(style, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # as good as the time of the first
        assert here.get("/assets/style.css") == (200, "one")
        assert here.tqsd("deploy").returncode == 0
        assert here.get("/assets/style.css") == (200, "two")
        after = {path: etag(here, path) for path in before}
        assert after["/assets/docs/"] == before["/assets/docs/"]
        assert after["/assets/style.css"] != before["/assets/style.css"]
        assert here.get("/assets/docs/", **{"If-None-Match": before["/assets/docs/"]})[0] == 304
        assert here.tqsd("rollback", "assets").returncode == 0
        assert here.get("/assets/style.css") == (200, "one")
        assert etag(here, "/assets/style.css") == before["/assets/style.css"]


# Swaps under load


class Releases:
    """Numbered releases of one page, each in a directory of its own, and which of them may answer when.

    A release may answer from the moment its table is sent, and must from the moment that is acknowledged.
    """

    def __init__(self, directory: Path) -> None:
        self.sent = self.acknowledged = 0
        self.failures: list[str] = []
        self.answers = 0
        self._directory = directory
        self._lock = threading.Lock()

    def make(self, number: int) -> Path:
        release = self._directory / str(number)
        release.mkdir()
        for name, lines in (("small.txt", 100), ("big.txt", 40_000)):
            (release / name).write_bytes(b"%09d\n" % number * lines)
            os.utime(release / name, (1_600_000_000 + number, 1_600_000_000 + number))
        return release

    def check(self, oldest: int, content: bytes, size: int) -> None:
        """An answer to a request that was sent when `oldest` was acknowledged."""
        newest = self.sent
        numbers = set(content.split(b"\n")[1:-1])  # the first and the last line may be cut
        with self._lock:
            self.answers += 1
            if len(content) != size or len(numbers) != 1 or not oldest <= int(numbers.pop()) <= newest:
                self.failures.append(f"{len(content)} of {size} bytes, {numbers}, {oldest} to {newest}")


def read_on(proxy: Proxy, releases: Releases, stop: threading.Event, fresh: bool) -> None:
    """Ask for files until `stop`, on one connection or always on a new one."""
    client = proxy.connect()
    try:
        while not stop.is_set():
            for name, field, size in (
                ("small.txt", "", 1000),
                ("big.txt", "", 400_000),
                ("big.txt", "Range: bytes=100005-250004\r\n", 150_000),
                ("small.txt", 'If-None-Match: "x"\r\n', 1000),
            ):
                oldest = releases.acknowledged
                client.get(f"/assets/{name}", field)
                status, content = client.answer()
                if status not in (200, 206):
                    releases.failures.append(f"{status} {content!r}")
                releases.check(oldest, content, size)
                if fresh:
                    client.close()
                    client = proxy.connect()
    except (OSError, EOFError) as error:
        releases.failures.append(repr(error))
    finally:
        client.close()


@pytest.mark.load
def test_a_hundred_swaps_under_load_fail_nothing_and_mix_nothing(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    watcher = Watcher(tmp_path / "run")
    proxy = Proxy(tmp_path / "run", tcp_listener())
    stop = threading.Event()
    clients = [threading.Thread(target=read_on, args=(proxy, releases, stop, number == 0)) for number in range(6)]

    def apply(number: int) -> None:
        files = row("assets", "/assets", (), files=str(releases.make(number)))
        releases.sent = number
        watcher.tell("apply", table=plain_table(files, version=number, mode="prod"))
        releases.acknowledged = number

    try:
        watcher.welcome()
        apply(1)
        for client in clients:
            client.start()
        for number in range(2, SWAPS + 2):
            answered = releases.answers
            if number % 2:
                watcher.tell("hold", pages=["assets"])
            apply(number)
            until(
                lambda answered=answered: releases.answers > answered + 10 or releases.failures, "clients are answered"
            )
        stop.set()
        for client in clients:
            client.join()
        assert not releases.failures, releases.failures[:5]
        assert proxy.report()["connections"] > len(clients)
    finally:
        stop.set()
        proxy.end()
        watcher.end()
