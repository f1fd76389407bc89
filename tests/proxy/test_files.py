"""Pages that the proxy serves itself, by a real proxy process and, where bytes and turns count, by hand."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.conftest import Site
from tests.proxy.processes import Client, Proxy, until
from tests.proxy.rig import plain_table, row
from tqsd.http1.forward import Peer
from tqsd.proxy.client import Client as ProxyClient
from tqsd.proxy.dispatch import Dispatch
from tqsd.proxy.loop import Loop
from tqsd.proxy.table import Table

BIG = bytes(range(256)) * 40960  # 10 MiB: more than any socket takes at once
LONG_AGO = 1_600_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "docs").mkdir(parents=True)
    write(tree / "style.css", b"body {}")
    write(tree / "empty.txt", b"")
    write(tree / "index.html", b"<h1>top</h1>")
    write(tree / "docs/index.html", b"<h1>docs</h1>")
    write(tree / "docs/a.txt", b"a")
    write(tree / "big.bin", BIG)
    return tree


def write(path: Path, content: bytes, when: float = LONG_AGO) -> None:
    path.write_bytes(content)
    os.utime(path, (when, when))


def static(tree: Path, route: str = "/assets", page: str = "assets", **changes: Any) -> dict[str, Any]:
    return row(page, route, (), files=str(tree), **changes)


def serve(site: Site, tree: Path, route: str = "/assets", mode: str = "prod", **server: Any) -> Client:
    site.write(static(tree, route), mode=mode, **server)
    return site.client(site.start())


class Answer:
    def __init__(self, client: Client, content: bool = True) -> None:
        if content:
            self.status, self.content = client.answer()
        else:  # of HEAD
            client.read_until(b"\r\n\r\n")
            client.head, _, client.buffer = client.buffer.partition(b"\r\n\r\n")
            self.status, self.content = int(client.head[9:12]), b""
        lines = client.head.decode("latin-1").split("\r\n")[1:]
        fields = (line.split(": ", 1) for line in lines)
        self.fields = {name.lower(): value for name, value in fields}


def ask(client: Client, path: str, *fields: str, method: str = "GET") -> Answer:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *fields, "", ""]
    client.send("\r\n".join(lines).encode())
    return Answer(client, method != "HEAD")


# What is there


def test_files_are_served_below_the_route_with_their_types(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    answer = ask(client, "/assets/style.css")
    assert (answer.status, answer.content) == (200, b"body {}")
    assert answer.fields["content-type"] == "text/css; charset=utf-8"
    assert answer.fields["x-content-type-options"] == "nosniff"
    assert answer.fields["cache-control"] == "no-cache"
    assert ask(client, "/assets/empty.txt").content == b""
    assert ask(client, "/assets/docs/a.txt?v=2").content == b"a"
    assert ask(client, "/assets/big.bin").content == BIG


def test_a_page_may_be_the_catch_all(site: Site, tree: Path) -> None:
    client = serve(site, tree, "/")
    assert ask(client, "/").content == b"<h1>top</h1>"
    assert ask(client, "/docs/a.txt").content == b"a"


def test_names_may_hold_anything(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    for name, path in (("a b.txt", "a%20b.txt"), ("ä€.txt", "%C3%A4%E2%82%AC.txt"), ("100%.txt", "100%25.txt")):
        write(tree / name, name.encode())
        assert ask(client, f"/assets/{path}").content == name.encode()
    write(tree / "q?x#.txt", b"q")
    assert ask(client, "/assets/q%3Fx%23.txt").content == b"q"


def test_a_directory_is_its_index_behind_a_slash(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    assert ask(client, "/assets/").content == b"<h1>top</h1>"
    assert ask(client, "/assets/docs/").content == b"<h1>docs</h1>"
    for path, target in (
        ("/assets", "/assets/"),
        ("/assets?a=b", "/assets/?a=b"),
        ("/assets/docs", "/assets/docs/"),
        ("/assets/d%6Fcs?x=%20", "/assets/d%6Fcs/?x=%20"),
    ):
        answer = ask(client, path)
        assert (answer.status, answer.fields["location"]) == (308, target)


def test_what_is_not_a_file_is_not_there(site: Site, tree: Path) -> None:
    (tree / "bare").mkdir()
    (tree / "odd/index.html").mkdir(parents=True)
    write(tree / ".env", b"TOKEN=1")
    write(tree / "page.yaml", b"route: /x")
    (tree / "passwd").symlink_to("/etc/passwd")
    (tree / "out").symlink_to("/etc")
    os.mkfifo(tree / "pipe")
    client = serve(site, tree)
    for path in (
        "none bare/ odd/ style.css/ style.css/x docs/none .env page.yaml passwd out out/ out/passwd pipe a%2Fb"
        " docs//a.txt %2Fetc%2Fpasswd " + "x" * 300
    ).split():
        assert ask(client, f"/assets/{path}").status == 404, path
    assert ask(client, "/assets/../style.css").status == 400


def test_the_pages_own_404_page_goes_before_the_sites(site: Site, tree: Path) -> None:
    site.write(static(tree), mode="prod")
    client = site.client(site.start())
    answer = ask(client, "/assets/none", "Accept: text/html")
    assert (answer.status, b"There is no such file." in answer.content) == (404, True)
    write(tree / "404.html", b"<h1>mine</h1>")
    answer = ask(client, "/assets/none")
    assert (answer.status, answer.content) == (404, b"<h1>mine</h1>")
    assert answer.fields["content-type"] == "text/html; charset=utf-8"
    assert "etag" not in answer.fields
    assert ask(client, "/assets/none", "If-None-Match: *", "Range: bytes=0-1").content == b"<h1>mine</h1>"
    answer = ask(client, "/assets/none", method="HEAD")
    assert (answer.status, answer.fields["content-length"]) == (404, "13")
    assert ask(client, "/assets/404.html").status == 200


def test_the_sites_404_page_is_shown_where_the_page_has_none(site: Site, tree: Path) -> None:
    table = {**site.table(static(tree)), "not_found": "<h1>site</h1>"}
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=table)
    answer = ask(site.client(proxy), "/assets/none", "Accept: text/html")
    assert (answer.status, answer.content) == (404, b"<h1>site</h1>")


def test_files_are_read_only(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    for method in ("OPTIONS", "DELETE", "PROPFIND"):
        answer = ask(client, "/assets/style.css", method=method)
        assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
    client.post(b"content", "/assets/style.css")
    assert client.answer()[0] == 405


def test_head_is_get_without_content(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    for path in ("style.css", "big.bin", "docs/"):
        got = ask(client, f"/assets/{path}")
        head = ask(client, f"/assets/{path}", method="HEAD")
        assert (head.status, head.fields) == (got.status, got.fields)


# Versions


def test_a_client_that_has_it_is_told_so(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    fields = ask(client, "/assets/style.css").fields
    assert fields["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    etag = fields["etag"]
    assert ask(client, "/assets/style.css", f"If-None-Match: {etag}").status == 304
    assert ask(client, "/assets/style.css", "If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT").status == 304
    assert ask(client, "/assets/style.css", f"If-None-Match: {etag}", method="HEAD").status == 304
    assert ask(client, "/assets/style.css", 'If-Match: "other"').status == 412
    write(tree / "style.css", b"body {}", LONG_AGO + 1)
    answer = ask(client, "/assets/style.css", f"If-None-Match: {etag}")
    assert (answer.status, answer.content) == (200, b"body {}")


def test_a_copy_in_another_release_is_the_same_version(site: Site, tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other / "style.css", b"body {}")
    site.write(static(tree), static(other, "/other", "other"), mode="prod")
    client = site.client(site.start())
    assert ask(client, "/assets/style.css").fields["etag"] == ask(client, "/other/style.css").fields["etag"]


def test_among_sources_a_file_of_the_same_size_and_time_is_another_version(site: Site, tree: Path) -> None:
    client = serve(site, tree, mode="dev")

    def etag() -> str | None:
        return ask(client, "/assets/style.css").fields.get("etag")

    first = until(etag, "a second has passed since the change")
    write(tree / "style.css", b"main {}")
    second = until(etag, "a second has passed since the change")
    assert first != second


def test_what_has_just_changed_has_no_version_yet(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    write(tree / "style.css", b"new", time.time() + 3600)
    answer = ask(client, "/assets/style.css")
    assert answer.content == b"new"
    assert not {"etag", "last-modified"} & answer.fields.keys()


def test_a_save_is_there_with_the_next_request(site: Site, tree: Path) -> None:
    client = serve(site, tree, mode="dev")
    for number in range(50):
        write(tree / ".style.css.new", b"%d" % number)
        os.replace(tree / ".style.css.new", tree / "style.css")
        assert ask(client, "/assets/style.css").content == b"%d" % number


def test_a_directory_that_is_replaced_is_seen_at_once(site: Site, tree: Path, tmp_path: Path) -> None:
    client = serve(site, tree, mode="dev")
    assert ask(client, "/assets/style.css").content == b"body {}"
    tree.rename(tmp_path / "old")
    assert ask(client, "/assets/style.css").status == 404
    tree.mkdir()
    write(tree / "style.css", b"new")
    assert ask(client, "/assets/style.css").content == b"new"


def test_other_pages_among_the_sources_are_not_served(site: Site, tree: Path) -> None:
    write(tree / "docs/main.go", b"package main")
    client = serve(site, tree, mode="dev")
    for path in ("docs", "docs/", "docs/main.go", "docs/a.txt"):
        assert ask(client, f"/assets/{path}").status == 404, path


# Ranges


def test_a_part_of_a_file_is_that_part(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    for value, content in (
        ("5-9", BIG[5:10]),
        ("-5", BIG[-5:]),
        ("1000-", BIG[1000:]),
        ("100000-6000000", BIG[100000:6000001]),
    ):
        answer = ask(client, "/assets/big.bin", f"Range: bytes={value}")
        assert (answer.status, answer.content == content) == (206, True), value
    answer = ask(client, "/assets/big.bin", f"Range: bytes={len(BIG)}-")
    assert (answer.status, answer.fields["content-range"]) == (416, f"bytes */{len(BIG)}")


@pytest.mark.parametrize("ranges", [[(0, 5), (100, 110)], [(5_000_000, 9_000_000), (7, 7), (0, 4), (100_000, 400_000)]])
def test_several_parts_come_in_one_answer(site: Site, tree: Path, ranges: list[tuple[int, int]]) -> None:
    client = serve(site, tree)
    value = ", ".join(f"{first}-{last}" for first, last in ranges)
    answer = ask(client, "/assets/big.bin", f"Range: bytes={value}")
    assert answer.status == 206
    boundary = answer.fields["content-type"].partition("multipart/byteranges; boundary=")[2]
    expected = b"".join(
        b"\r\n--%b\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%b"
        % (boundary.encode(), first, last, len(BIG), BIG[first : last + 1])
        for first, last in ranges
    )
    assert answer.content == expected[2:] + b"\r\n--%b--\r\n" % boundary.encode()
    assert ask(client, "/assets/style.css").content == b"body {}"


def test_a_download_goes_on_only_with_the_same_version(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    etag = ask(client, "/assets/big.bin", method="HEAD").fields["etag"]
    assert ask(client, "/assets/big.bin", "Range: bytes=5-", f"If-Range: {etag}").status == 206
    write(tree / "big.bin", BIG[::-1], LONG_AGO + 5)
    answer = ask(client, "/assets/big.bin", "Range: bytes=5-", f"If-Range: {etag}")
    assert (answer.status, answer.content == BIG[::-1]) == (200, True)


# Variants


def test_the_best_variant_that_the_client_takes_is_sent(site: Site, tree: Path) -> None:
    write(tree / "style.css.br", b"brotli")
    write(tree / "style.css.gz", b"gzip")
    client = serve(site, tree)

    def of(accept: str) -> tuple[bytes, str | None]:
        answer = ask(client, "/assets/style.css", f"Accept-Encoding: {accept}")
        assert answer.fields["content-type"] == "text/css; charset=utf-8"
        assert answer.fields["vary"] == "Accept-Encoding"
        return answer.content, answer.fields.get("content-encoding")

    assert of("gzip, deflate, br, zstd") == (b"brotli", "br")
    assert of("gzip;q=1, br;q=0.9") == (b"gzip", "gzip")
    assert of("zstd") == (b"body {}", None)
    assert of("") == (b"body {}", None)
    tags = {ask(client, "/assets/style.css", f"Accept-Encoding: {a}").fields["etag"] for a in ("", "br", "gzip")}
    assert len(tags) == 3
    part = ask(client, "/assets/style.css", "Accept-Encoding: br", "Range: bytes=1-2")
    assert (part.status, part.content, part.fields["content-encoding"]) == (206, b"ro", "br")


def test_a_variant_asked_for_by_its_name_is_a_file_like_others(site: Site, tree: Path) -> None:
    write(tree / "style.css.gz", b"gzip")
    answer = ask(serve(site, tree), "/assets/style.css.gz", "Accept-Encoding: gzip")
    assert (answer.content, answer.fields["content-type"]) == (b"gzip", "application/gzip")
    assert "content-encoding" not in answer.fields


def test_a_variant_of_an_older_file_is_not_sent(site: Site, tree: Path) -> None:
    client = serve(site, tree, mode="dev")
    write(tree / "style.css.br", b"brotli", LONG_AGO - 1)
    assert ask(client, "/assets/style.css", "Accept-Encoding: br").content == b"body {}"
    write(tree / "style.css.br", b"brotli")
    assert ask(client, "/assets/style.css", "Accept-Encoding: br").content == b"brotli"


def test_a_variant_that_is_no_file_is_passed_over(site: Site, tree: Path) -> None:
    (tree / "style.css.br").mkdir()
    (tree / "style.css.zst").symlink_to("/etc/passwd")
    write(tree / "style.css.gz", b"gzip")
    assert ask(serve(site, tree), "/assets/style.css", "Accept-Encoding: br, zstd, gzip").content == b"gzip"


# Connections


def test_many_requests_at_once_are_answered_in_turn(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    paths = ["style.css", "big.bin", "docs/a.txt", "none", "docs", "big.bin", "empty.txt", "style.css"] * 3
    client.send(b"".join(b"GET /assets/%b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode() for path in paths))
    for path in paths:
        status, content = client.answer()
        assert status == {"none": 404, "docs": 308}.get(path, 200)
        if status == 200:
            assert content == (tree / path).read_bytes()


def test_content_of_a_get_is_taken_in_and_the_connection_goes_on(site: Site, tree: Path) -> None:
    client = serve(site, tree)
    head = b"GET /assets/style.css HTTP/1.1\r\nHost: a\r\n"
    client.send(head + b"Content-Length: 5\r\n\r\n12345" + head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert client.answer() == (200, b"body {}")
    client.send(b"0\r\n\r\n")
    assert client.answer() == (200, b"body {}")
    client.send(head + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    client.read_until(b"HTTP/1.1 100 Continue\r\n\r\n")
    client.buffer = b""
    client.send(b"12345")
    assert client.answer() == (200, b"body {}")
    client.send(head + b"Content-Length: 700000\r\n\r\n" + b"x" * 700000)
    assert client.answer() == (200, b"body {}")
    client.send(head + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n")
    assert client.answer()[0] == 400


def test_the_end_of_a_connection_comes_behind_the_file(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod")
    for request in (
        b"GET /assets/big.bin HTTP/1.0\r\n\r\n",
        b"GET /assets/big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ):
        client = site.client(proxy)
        client.send(request)
        assert client.rest().partition(b"\r\n\r\n")[2] == BIG
    client = site.client(proxy)
    client.send(b"GET /assets/big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest().partition(b"\r\n\r\n")[2] == BIG


def test_a_client_that_leaves_in_the_middle_leaves_nothing_open(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod")
    for _ in range(5):
        client = site.client(proxy)
        client.get("/assets/big.bin")
        client.socket.recv(1000)
        client.close()
    until(lambda: proxy.report()["clients"] == 0, "all clients are gone")
    assert not [link for link in descriptors(proxy) if "big.bin" in link]


def descriptors(proxy: Proxy) -> list[str]:
    directory = Path(f"/proc/{proxy.process.pid}/fd")
    return [os.readlink(directory / name) for name in os.listdir(directory)]


def test_a_client_that_reads_slowly_holds_up_nobody(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod")
    slow = site.client(proxy)
    slow.get("/assets/big.bin")
    until(lambda: proxy.report()["in_flight"] == 1, "the file is under way")
    quick = site.client(proxy)
    assert ask(quick, "/assets/style.css").content == b"body {}"
    assert ask(quick, "/assets/big.bin").content == BIG
    assert slow.answer() == (200, BIG)


def test_a_file_that_shrinks_under_way_ends_the_connection_as_broken(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod")
    client = site.client(proxy)
    client.get("/assets/big.bin")
    until(lambda: proxy.report()["in_flight"] == 1, "the file is under way")
    os.truncate(tree / "big.bin", 1000)
    with pytest.raises(ConnectionResetError):
        client.rest()


def test_a_file_that_grows_under_way_has_the_length_it_had(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod")
    client = site.client(proxy)
    client.get("/assets/big.bin")
    until(lambda: proxy.report()["in_flight"] == 1, "the file is under way")
    with (tree / "big.bin").open("ab") as file:
        file.write(b"more")
    assert client.answer() == (200, BIG)
    assert client.buffer == b""


def test_a_client_that_takes_nothing_is_ended(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod", stream_timeout=0.5)
    client = site.client(proxy)
    client.get("/assets/big.bin")
    until(lambda: proxy.report()["in_flight"] == 1, "the file is under way")
    until(lambda: proxy.report()["clients"] == 0, "the proxy gives up")
    with pytest.raises(ConnectionResetError):
        client.rest()


# Tables


def test_requests_of_a_held_page_wait(site: Site, tree: Path) -> None:
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=site.table(static(tree)))
    watcher.tell("hold", pages=["assets"])
    clients = [site.client(proxy) for _ in range(3)]
    for client in clients:
        client.get("/assets/style.css")
        client.get("/assets/big.bin")
    until(lambda: proxy.report()["waiting"] == 3, "all requests wait")
    assert all(client.is_quiet() for client in clients)
    watcher.tell("unhold", pages=["assets"])
    for client in clients:
        assert client.answer() == (200, b"body {}")
        assert client.answer() == (200, BIG)
    assert proxy.report()["waited"] >= 3


def test_a_new_table_changes_the_next_answer_and_none_that_is_under_way(site: Site, tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other / "big.bin", b"small now")
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=site.table(static(tree), mode="prod"))
    client = site.client(proxy)
    client.get("/assets/big.bin")
    until(lambda: proxy.report()["in_flight"] == 1, "the file is under way")
    watcher.tell("apply", table=site.table(static(other), mode="prod"))
    assert site.client(proxy).ask("/assets/big.bin") == (200, b"small now")
    for path in tree.glob("*.*"):
        path.unlink()
    assert client.answer() == (200, BIG)
    assert client.ask("/assets/big.bin") == (200, b"small now")


def test_a_page_may_become_a_program_and_files_again(site: Site, tree: Path) -> None:
    worker = site.worker()
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    client = site.client(proxy)
    for _ in range(2):
        watcher.tell("apply", table=site.table(row("assets", "/assets", (worker.port,))))
        assert client.ask("/assets/style.css") == (200, b"hello")
        watcher.tell("apply", table=site.table(static(tree)))
        assert client.ask("/assets/style.css") == (200, b"body {}")


def test_requests_that_wait_for_a_page_that_goes_are_routed_anew(site: Site, tree: Path) -> None:
    watcher = site.watcher()
    proxy = site.start()
    watcher.welcome()
    watcher.tell("apply", table=site.table(static(tree)))
    watcher.tell("hold", pages=["assets"])
    client = site.client(proxy)
    client.get("/assets/style.css")
    until(lambda: proxy.report()["waiting"] == 1, "the request waits")
    watcher.tell("apply", table=site.table(static(tree / "docs", "/", "docs")))
    assert client.answer()[0] == 404
    assert client.ask("/a.txt") == (200, b"a")


def test_a_page_that_is_broken_has_no_files(site: Site) -> None:
    site.write(row("assets", "/assets", (), state="broken", reason="a link leads out of the site"))
    status, content = site.client(site.start()).ask("/assets/style.css")
    assert (status, b"a link leads out" in content) == (503, True)


def test_a_proxy_that_ends_finishes_its_files(site: Site, tree: Path) -> None:
    proxy = site.start()
    site.write(static(tree), mode="prod")
    client = site.client(proxy)
    client.get("/assets/big.bin")
    until(lambda: proxy.report()["in_flight"] == 1, "the file is under way")
    proxy.process.terminate()
    proxy.saw("ending")
    assert client.answer() == (200, BIG)
    assert proxy.ended() == 0


# Turns and bytes, by hand


class Turning:
    """A client of a dispatch whose turns the test makes; `browser` is the client's end."""

    def __init__(self, tree: Path) -> None:
        self.loop = Loop()
        table = Table.from_plain(plain_table(static(tree), mode="prod"))
        self.dispatch = Dispatch(self.loop, table, b"id-")
        ours, self.browser = socket.socketpair()
        ours.setblocking(False)
        self.browser.settimeout(20)
        self.client = ProxyClient(self.dispatch, ours.detach(), Peer.STRANGER, b"192.0.2.1")

    def end(self) -> None:
        self.client.close()
        self.loop.epoll.close()
        self.browser.close()


@pytest.fixture
def turning(tree: Path) -> Iterator[Turning]:
    turning = Turning(tree)
    yield turning
    turning.end()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /assets/style.css HTTP/1.1\r\nHost: a\r\nIf-None-Match: x\r\nRange: bytes=1-\r\n\r\n",
        b"HEAD /assets/style.css HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /assets/none HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /assets/docs HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT /assets/docs HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_requests_mean_the_same_one_byte_at_a_time(turning: Turning, request_bytes: bytes) -> None:
    turning.browser.sendall(request_bytes)
    turning.client.readable()
    whole = turning.browser.recv(10000)
    for byte in request_bytes:
        turning.browser.sendall(bytes([byte]))
        turning.client.readable()
    assert turning.browser.recv(10000) == whole


def test_a_file_that_may_not_be_read_is_forbidden() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        (Path(directory) / "style.css").touch(0)
        turning = Turning(Path(directory))
        mine = os.geteuid()
        if mine == 0:
            os.seteuid(65534)  # root may read every file
        try:
            turning.browser.sendall(b"GET /assets/style.css HTTP/1.1\r\nHost: a\r\n\r\n")
            turning.client.readable()
        finally:
            os.seteuid(mine)
        assert turning.browser.recv(1000).startswith(b"HTTP/1.1 403 Forbidden\r\n")
        turning.end()


def test_a_file_shorter_than_the_kernel_says_is_not_sent(tree: Path) -> None:
    if not Path("/sys/kernel/uevent_seqnum").exists():
        pytest.skip("there is no sysfs here, whose files say they have a page of content and have not")
    turning = Turning(Path("/sys/kernel"))
    turning.browser.sendall(b"GET /assets/uevent_seqnum HTTP/1.1\r\nHost: a\r\n\r\n")
    turning.client.readable()
    assert turning.browser.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    turning.end()


def test_without_a_descriptor_the_client_is_asked_to_come_again(
    turning: Turning, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    turning.browser.sendall(b"GET /assets/style.css HTTP/1.1\r\nHost: a\r\n\r\n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        turning.client.readable()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    answer = turning.browser.recv(1000)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: 1\r\n" in answer
    assert "Too many open files" in capsys.readouterr().err


def test_a_big_file_is_sent_in_turns(turning: Turning) -> None:
    turning.browser.sendall(b"GET /assets/big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    turning.client.readable()
    received = b""
    turns = 0
    while len(received) < len(BIG):
        received += turning.browser.recv(1 << 20)
        turning.client.flush()
        turns += 1
    assert received.partition(b"\r\n\r\n")[2] == BIG[: len(received) - received.index(b"\r\n\r\n") - 4]
    assert turns > 10
