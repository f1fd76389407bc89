"""What a plain page says to its service manager, by the source that is compiled into it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.sites import PLAIN, Notified, Site, free_port, running, until
from tqsd.builder.overlay import ready_file
from tqsd.builder.toolchain import find_toolchain

pytestmark = pytest.mark.process

# Answers /health by the number in $ANSWER, or by the file $HEALTH once that exists; "silent" never answers.
HEALTH = """package main

import (
	"net/http"
	"os"
	"strconv"
	"time"
)

func health(w http.ResponseWriter, r *http.Request) {
	answer := os.Getenv("ANSWER")
	if text, err := os.ReadFile(os.Getenv("HEALTH")); err == nil {
		answer = string(text)
	}
	if answer == "silent" {
		time.Sleep(time.Hour)
	}
	code, _ := strconv.Atoi(answer)
	w.WriteHeader(code)
}

func main() {
	http.HandleFunc("/health", health)
	http.HandleFunc("/alive", health)
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
"""
# Listens on each address in $LISTEN, with the network before it: "tcp4 0.0.0.0:80,tcp 127.0.0.1:81".
LISTENS = """package main

import (
	"net"
	"os"
	"strings"
)

func main() {
	for _, where := range strings.Fields(os.Getenv("LISTEN")) {
		network, address, _ := strings.Cut(where, "/")
		listener, err := net.Listen(network, address)
		if err != nil {
			panic(err)
		}
		defer listener.Close()
	}
	os.Stdin.Read(make([]byte, 1))
	select {}
}
"""
# Calls its own things by every name that the added source might want for itself.
GREEDY = """package main

import "net/http"
import "os"

func net()     {}
func time()    {}
func strings() {}
func syscall() {}
func io()      {}
func strconv() {}
func min()     {}
func close()   {}
func copy()    {}
func append()  {}
func len()     {}
func init()    {}

func main() { http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil) }
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    pages = {"plain": PLAIN, "health": HEALTH, "listens": LISTENS, "greedy": GREEDY}
    return Site(tmp_path_factory.mktemp("site"), {f"pages/{name}/main.go": text for name, text in pages.items()})


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[Notified]:
    notified = Notified(str(tmp_path / "notify"))
    yield notified
    notified.socket.close()


def ready(port: int, host: str = "127.0.0.1") -> list[str]:
    return ["READY=1", f"STATUS=listening on {host}:{port}"]


@pytest.mark.parametrize("page", ["plain", "greedy"])
def test_a_plain_page_says_ready_once_it_answers(site: Site, notified: Notified, page: str) -> None:
    port = free_port()
    with running(site.build(page), notified, port):
        assert notified.next() == ready(port)
        socket.create_connection(("127.0.0.1", port)).close()
        assert notified.nothing_waits()


def test_abstract_sockets_are_notified_too(site: Site) -> None:
    port = free_port()
    notified = Notified(f"@tqsd-test-{port}")
    with running(site.build("plain"), notified, port):
        assert notified.next() == ready(port)
    notified.socket.close()


def test_a_stranger_on_the_port_does_not_make_it_ready(site: Site, notified: Notified) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with running(site.build("listens"), notified, port, TQS_HEALTH="tcp"):
            assert notified.next() == ["STATUS=listens on no port yet"]
            assert notified.nothing_waits()


def test_another_port_is_named(site: Site, notified: Notified) -> None:
    port, other = free_port(), free_port()
    with running(site.build("listens"), notified, port, LISTEN=f"tcp/127.0.0.1:{other}"):
        assert notified.next() == [f"STATUS=listens on 127.0.0.1:{other}, not on {port}"]


def test_an_address_that_127_0_0_1_does_not_reach_is_named(site: Site, notified: Notified) -> None:
    port = free_port()
    with running(site.build("listens"), notified, port, LISTEN=f"tcp/127.0.0.2:{port}"):
        assert notified.next() == [f"STATUS=listens on 127.0.0.2:{port}, not on 127.0.0.1:{port}"]


@pytest.mark.parametrize(("listen", "host"), [("tcp4/0.0.0.0:{}", "0.0.0.0"), ("tcp/:{}", "[::]")])
def test_all_interfaces_are_told(site: Site, notified: Notified, listen: str, host: str) -> None:
    if host == "[::]" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    port, other = free_port(), free_port()
    addresses = f"tcp/127.0.0.1:{other} {listen.format(port)}"
    with running(site.build("listens"), notified, port, LISTEN=addresses, TQS_HEALTH="none"):
        assert notified.next() == ready(port, host)


def test_a_page_that_gets_healthy_says_ready_then(site: Site, notified: Notified, tmp_path: Path) -> None:
    port = free_port()
    health = tmp_path / "health"
    with running(site.build("health"), notified, port, ANSWER="500", HEALTH=str(health)):
        assert notified.next() == ["STATUS=GET /health answers 500"]
        health.write_text("200")
        assert notified.next() == ready(port)


def test_silence_is_unhealthy(site: Site, notified: Notified) -> None:
    with running(site.build("health"), notified, free_port(), ANSWER="silent"):
        assert notified.next() == ["STATUS=GET /health gives no answer"]


@pytest.mark.parametrize(
    ("health", "answer", "is_ready"),
    [
        ("auto", "204", True),
        ("auto", "302", True),
        ("auto", "401", True),
        ("auto", "404", True),
        ("auto", "405", True),
        ("auto", "503", False),
        ("none", "503", True),
        ("tcp", "503", True),
        ("/alive", "200", True),
        ("/alive", "404", False),
        ("/alive", "302", False),
    ],
)
def test_health_means_what_is_set(site: Site, notified: Notified, health: str, answer: str, is_ready: bool) -> None:
    port = free_port()
    path = health if health.startswith("/") else "/health"
    with running(site.build("health"), notified, port, TQS_HEALTH=health, ANSWER=answer):
        assert notified.next() == (ready(port) if is_ready else [f"STATUS=GET {path} answers {answer}"])


def test_the_watchdog_is_fed_only_while_the_page_is_healthy(site: Site, notified: Notified, tmp_path: Path) -> None:
    port = free_port()
    health = tmp_path / "health"
    variables = {"ANSWER": "200", "HEALTH": str(health), "WATCHDOG_USEC": "200000"}
    with running(site.build("health"), notified, port, **variables):
        assert notified.next() == ready(port)
        assert notified.next() == ["WATCHDOG=1"]
        health.write_text("500")
        while (message := notified.next()) == ["WATCHDOG=1"]:
            pass
        assert message == ["STATUS=GET /health answers 500"]
        health.write_text("200")
        assert notified.next() == [f"STATUS=listening on 127.0.0.1:{port}"]
        assert notified.next() == ["WATCHDOG=1"]


def test_a_watchdog_of_another_process_is_not_fed(site: Site, notified: Notified) -> None:
    port = free_port()
    with running(site.build("plain"), notified, port, WATCHDOG_USEC="1000", WATCHDOG_PID="1") as process:
        assert notified.next() == ready(port)
        assert process.poll() is None
        assert notified.nothing_waits()


def test_without_a_manager_it_stays_silent(site: Site, tmp_path: Path) -> None:
    port = free_port()
    environment = {"PORT": str(port), "TQS_PORT": str(port)}
    process = subprocess.Popen([site.build("plain").executable], env=environment)
    try:
        until(lambda: answers(port))
    finally:
        process.kill()
        process.wait()


def test_the_program_ends_when_it_wants_to(site: Site, notified: Notified, tmp_path: Path) -> None:
    brief = Site(tmp_path, {"pages/a/main.go": "package main\n\nfunc main() {}\n"})
    with running(brief.build("a"), notified, free_port()) as process:
        assert process.wait(30) == 0


def test_the_added_source_is_formatted_and_vetted(site: Site, tmp_path: Path) -> None:
    toolchain = find_toolchain(site.root, site.builder._environment)
    formatted = subprocess.run(
        [toolchain.go.with_name("gofmt"), "-l", ready_file()], capture_output=True, text=True, check=True
    )
    assert formatted.stdout == ""
    (tmp_path / "ready.go").write_text(ready_file().read_text())
    (tmp_path / "go.mod").write_text("module vetted\n\ngo 1.16\n")
    subprocess.run([toolchain.go, "vet", "."], cwd=tmp_path, check=True, timeout=120)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
