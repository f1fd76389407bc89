"""Pages that behave badly: each is explained, and none of them touches what serves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.running import answers, running, write

pytestmark = pytest.mark.process

QUICK = "start_timeout: 2s\nstop_timeout: 500ms\n"
SILENT = 'package main\n\nimport "time"\n\nfunc main() { time.Sleep(time.Hour) }\n'
EXITS = 'package main\n\nimport "log"\n\nfunc main() { log.Fatal("no database") }\n'
EVERYWHERE = answers("open").replace('"127.0.0.1:"+os', '":"+os')
WRONG_PORT = answers("lost").replace('"127.0.0.1:"+os.Getenv("PORT")', '"127.0.0.1:0"').replace('\t"os"\n', "")
STUBBORN = (
    answers("stubborn 1")
    .replace("func main() {", "func main() {\n\tsignal.Ignore(syscall.SIGTERM)")
    .replace('\t"os"\n', '\t"os"\n\t"os/signal"\n\t"syscall"\n')
)
FLOOD = answers("flood").replace("func main() {", "func main() {\n\tgo func() { for { fmt.Println(`noise`) } }()")
SICK = answers("sick").replace(
    "func main() {",
    'func main() {\n\thttp.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })',
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write(tmp_path / "site", {"pages/index/main.go": answers("home 1"), "pages/index/page.yaml": QUICK})
    return tmp_path / "site"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(EXITS, "ended with exit status 1 before it was ready", id="ends at once"),
        pytest.param(SILENT, "was not ready within 2 s", id="never listens"),
        pytest.param(WRONG_PORT, "listens on 127.0.0.1:", id="listens elsewhere"),
        pytest.param(SICK, "/health answers 500", id="is unhealthy"),
    ],
)
def test_a_new_version_that_does_not_get_ready_leaves_the_old_one(site: Path, source: str, reason: str) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        (site / "pages/index/main.go").write_text(source)
        here.wait("the reason is told", lambda: reason in here.status("index")["problem"])
        assert here.get("/")[1] == "home 1"
        assert len(here.workers("index")) == 1
        if source == EXITS:
            assert "no database" in here.status("index")["problem"]
        (site / "pages/index/main.go").write_text(answers("home 2"))
        here.wait_for_answer("/", "home 2")


def test_listening_on_all_interfaces_is_a_warning_with_the_line_in_dev(site: Path) -> None:
    write(site, {"pages/open/main.go": EVERYWHERE})
    with running(site) as here:
        here.wait_for_answer("/open", "open")
        warning = here.status("open")["warning"]
        assert "answers on all interfaces" in warning
        assert "pages/open/main.go:11" in warning
        assert "all interfaces" in here.log()


def test_listening_on_all_interfaces_is_refused_in_production(site: Path) -> None:
    write(site, {"pages/open/main.go": EVERYWHERE})
    with running(site, "serve") as here:
        here.wait("it is refused", lambda: "all interfaces" in here.status("open")["problem"])
        assert here.get("/open")[0] == 503
        assert not here.workers("open")


def test_a_worker_that_ignores_sigterm_is_killed(site: Path) -> None:
    (site / "pages/index/main.go").write_text(STUBBORN)
    with running(site) as here:
        here.wait_for_answer("/", "stubborn 1")
        (old,) = here.workers("index")
        (site / "pages/index/main.go").write_text(STUBBORN.replace("stubborn 1", "stubborn 2"))
        here.wait_for_answer("/", "stubborn 2")
        old.wait(60)
        assert here.stop() == 0


def test_a_flood_of_output_harms_nobody(site: Path) -> None:
    write(site, {"pages/flood/main.go": FLOOD})
    with running(site) as here:
        here.wait_for_answer("/flood", "flood")
        (site / "pages/index/main.go").write_text(answers("home 2"))
        here.wait_for_answer("/", "home 2")
        assert here.stop() == 0


def test_a_crash_loop_backs_off_and_recovers_with_the_next_version(site: Path) -> None:
    end = "go func() { time.Sleep(50 * time.Millisecond); os.Exit(3) }()"
    crashing = answers("once").replace("func main() {", f"func main() {{\n\t{end}")
    (site / "pages/index/main.go").write_text(crashing.replace('\t"os"\n', '\t"os"\n\t"time"\n'))
    with running(site) as here:
        here.wait("it has crashed again and again", lambda: here.json("status")["pages"][0]["crashes"] >= 3)
        assert "ended with exit status 3 and is started again" in here.log()
        (site / "pages/index/main.go").write_text(answers("home 2"))
        here.wait_for_answer("/", "home 2")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_while_a_release_is_stored_leaves_the_old_one(site: Path, tmp_path: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        here.wait("its deployment is recorded", lambda: here.status("index")["last"])
        releases = site / ".tqsd/var/releases/index"
        aside = tmp_path / "aside"
        releases.rename(aside)
        releases.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(releases)], check=True)
        try:
            (site / "pages/index/main.go").write_text(answers("home 2"))
            problem = here.wait("the full disk is told", lambda: here.status("index")["problem"])
            assert "MiB left" in problem
            assert here.get("/")[1] == "home 1"
            assert os.listdir(releases) == []
        finally:
            subprocess.run(["umount", str(releases)], check=True)
        releases.rmdir()
        aside.rename(releases)
        (site / "pages/index/main.go").write_text(answers("home 3"))
        here.wait_for_answer("/", "home 3")
