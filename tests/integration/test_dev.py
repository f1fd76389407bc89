"""`tqsd dev` as somebody uses it: pages come, change, break, are mended, and go."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.running import Running, answers, running, tqsd, write
from tqsd.state import Paths

pytestmark = pytest.mark.process


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    write(site, {"pages/index/main.go": answers("home 1"), "pages/api/users/main.go": answers("users 1")})
    write(site, {"config/tqsd.yaml": "server: {drain_timeout: 5}\n", "go.mod": "module site\n\ngo 1.21\n"})
    return site


def edit(site: Path, page: str, text: str) -> None:
    (site / "pages" / page / "main.go").write_text(answers(text))


def built_executables(site: Path) -> list[Path]:
    return sorted(Paths.dev(site).releases.glob("index/*/index"))


def newest(here: Running) -> dict[str, object]:
    """The last deployment of the page at /."""
    record: dict[str, object] = here.json("history", "index", "-n", "1")[0]
    return record


def test_a_save_serves_and_a_mistake_keeps_the_old_version(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        here.wait_for_answer("/api/users/42", "users 1")
        edit(site, "index", "home 2")
        here.wait_for_answer("/", "home 2")

        (site / "pages/index/main.go").write_text(answers("home 3").replace("fmt.Fprint(", "fmt.Frint("))
        here.wait("the mistake is told", lambda: here.status("index")["problem"])
        assert here.get("/")[1] == "home 2"
        status = here.tqsd("status").stdout
        assert "pages/index/main.go:10" in status
        assert "undefined: fmt.Frint" in status
        assert "undefined: fmt.Frint" in here.log()
        assert "the old version serves on" in here.log()

        edit(site, "index", "home 4")
        here.wait_for_answer("/", "home 4")
        assert not here.status("index")["problem"]
        stages = newest(here)["stages"]
        assert isinstance(stages, dict)
        assert set(stages) == {"settle", "build", "start", "switch"}
        assert here.get("/api/users")[1] == "users 1"


def test_a_first_version_that_does_not_compile_is_explained_to_whoever_asks(site: Path) -> None:
    write(site, {"pages/broken/main.go": "package main\n\nfunc main() { x }\n"})
    with running(site) as here:
        here.wait("the build fails", lambda: here.status("broken")["problem"])
        status, text = here.get("/broken")
        assert status == 503
        assert "undefined: x" in text
        status, text = here.get("/broken", Accept="application/json")
        assert status == 503
        assert "undefined: x" in json.dumps(json.loads(text))
        here.wait_for_answer("/", "home 1")
        edit(site, "broken", "mended")
        here.wait_for_answer("/broken", "mended")


def test_pages_are_added_renamed_and_removed_live(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        write(site, {"pages/shop/main.go": answers("shop")})
        here.wait_for_answer("/shop", "shop")
        (site / "pages/shop").rename(site / "pages/store")
        here.wait_for_answer("/store", "shop")
        here.wait_for_answer("/shop", "home 1")
        shutil.rmtree(site / "pages/store")
        here.wait_for_answer("/store", "home 1")
        here.wait("its worker is gone", lambda: not here.workers("store"))
        write(site, {"pages/a b/ü/main.go": answers("odd name")})
        here.wait_for_answer("/a%20b/%C3%BC", "odd name")


def test_settings_apply_live_and_a_bad_file_changes_nothing(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/api/users", "users 1")
        page = site / "pages/api/users/page.yaml"
        page.write_text("route: /people\n")
        here.wait_for_answer("/people", "users 1")
        here.wait_for_answer("/api/users", "home 1")
        page.write_text("rout: /x\n")
        here.wait("the mistake is told", lambda: here.json("status")["problems"])
        assert "page.yaml:1: rout: unknown key (did you mean route?)" in here.tqsd("status").stdout
        assert here.get("/people")[1] == "users 1"
        page.write_text("methods: [POST]\n")
        here.wait("other methods are refused", lambda: here.get("/api/users")[0] == 405)
        page.unlink()
        here.wait_for_answer("/api/users", "users 1")


def test_a_changed_variable_swaps_the_workers(site: Path) -> None:
    source = answers("x").replace('"x"', 'os.Getenv("GREETING")')
    write(site, {"pages/env/main.go": source, "pages/env/page.yaml": "env: {GREETING: hello}\n"})
    with running(site) as here:
        here.wait_for_answer("/env", "hello")
        (site / "pages/env/page.yaml").write_text("env: {GREETING: bye}\n")
        here.wait_for_answer("/env", "bye")
        (site / "pages/env/page.yaml").unlink()
        (site / "config/tqsd.yaml").write_text("env: {GREETING: good night}\n")
        here.wait_for_answer("/env", "good night")


def test_a_problem_is_told_once_and_settings_may_come_later(site: Path) -> None:
    shutil.rmtree(site / "config")
    write(site, {"pages/bad/main.go": answers("bad"), "pages/bad/page.yaml": "colour: red\n"})
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        write(site, {"config/tqsd.yaml": "server: {idle_timeout: soon}\n"})
        here.wait_for_log("server.idle_timeout")
        write(site, {"pages/new/main.go": answers("new")})
        here.wait_for_answer("/new", "new")
        assert (
            here.log().count("pages/bad/page.yaml:1: colour: unknown key") == 2
        )  # at the start by both, and never again
        assert here.log().count("config/tqsd.yaml:1: server.idle_timeout") == 1


def test_a_rollback_holds_until_the_content_changes(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        edit(site, "index", "home 2")
        here.wait_for_answer("/", "home 2")
        done = here.tqsd("rollback", "index")
        assert done.returncode == 0, done.stderr
        assert here.get("/")[1] == "home 1"
        assert newest(here)["cause"] == "rollback"
        assert here.log().count("index: building") == 2  # for home 1 and home 2, not for the rollback
        os.utime(site / "pages/index/main.go")  # a touch is no change
        edit(site, "api/users", "users 2")
        here.wait_for_answer("/api/users", "users 2")
        assert here.get("/")[1] == "home 1"
        assert "held after a rollback, sources differ" in here.tqsd("status").stdout
        workers = here.status("index")["workers"]
        (site / "pages/index/page.yaml").write_text("env: {A: 1}\n")  # settings are no content
        here.wait("its workers are replaced", lambda: here.status("index")["workers"] != workers)
        assert here.get("/")[1] == "home 1"
        edit(site, "index", "home 3")
        here.wait_for_answer("/", "home 3")
        assert not here.status("index")["pinned"]


def test_a_rollback_from_sources_that_never_compiled_ends_with_their_mending(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        edit(site, "index", "home 2")
        here.wait_for_answer("/", "home 2")
        (site / "pages/index/main.go").write_text("package main\n\nfunc main() { x }\n")
        here.wait("the mistake is told", lambda: here.status("index")["problem"])
        assert here.tqsd("rollback", "index").returncode == 0
        assert here.get("/")[1] == "home 1"
        edit(site, "index", "home 3")
        here.wait_for_answer("/", "home 3")


def test_deploy_ends_a_rollback_and_restart_changes_only_the_workers(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        edit(site, "index", "home 2")
        here.wait_for_answer("/", "home 2")
        here.tqsd("rollback", "index")
        before = here.status("index")
        assert here.tqsd("restart", "index").returncode == 0
        after = here.status("index")
        assert after["release"] == before["release"]
        assert after["workers"] != before["workers"]
        assert after["pinned"]
        assert here.tqsd("deploy", "index").returncode == 0
        here.wait_for_answer("/", "home 2")
        assert here.tqsd("deploy").stdout.strip() == "every page serves its present sources already"
        assert here.tqsd("rollback", "nowhere").returncode == 2


def test_editing_a_shared_package_rebuilds_only_the_pages_that_import_it(site: Path) -> None:
    importing = (
        answers("x").replace('"net/http"', '"net/http"\n\t"site/pages/internal/words"').replace('"x"', "words.Word")
    )
    write(
        site, {"pages/internal/words/words.go": 'package words\n\nconst Word = "one"\n', "pages/w/main.go": importing}
    )
    with running(site) as here:
        here.wait_for_answer("/w", "one")
        here.wait_for_answer("/", "home 1")
        index = here.status("index")["workers"]
        (site / "pages/internal/words/words.go").write_text('package words\n\nconst Word = "two"\n')
        here.wait_for_answer("/w", "two")
        assert here.status("index")["workers"] == index


def test_twenty_writes_in_a_row_end_in_one_release_of_the_newest(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        for number in range(20):
            edit(site, "index", f"try {number}")
            time.sleep(0.005)  # the pace of the input itself, nothing is waited for
        here.wait_for_answer("/", "try 19")
        switched = [r for r in here.json("history", "index") if r["outcome"] == "switched" and r["cause"] == "save"]
        assert len(switched) == 1


def test_a_save_during_a_build_takes_its_place(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        edit(site, "index", "early")
        here.wait("the build runs", lambda: here.status("index")["deploying"])
        edit(site, "index", "late")
        here.wait_for_answer("/", "late")


def test_editors_that_save_by_renaming_and_their_leftovers(site: Path) -> None:
    page = site / "pages/index"
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        (page / "main.go").rename(page / "main.go~")  # as vim does with backupcopy=no
        (page / ".main.go.swp").write_bytes(b"\0")
        (page / "main.go").write_text(answers("home 2"))
        here.wait_for_answer("/", "home 2")
        (page / "4913").write_text("")
        (page / "main.go.tmp").write_text(answers("home 3"))
        (page / "main.go.tmp").rename(page / "main.go")
        here.wait_for_answer("/", "home 3")
        assert not here.status("index")["problem"]


def test_a_site_behind_a_link_gets_ready_and_follows_its_files(site: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(site)
    with running(tmp_path / "link", env={"PWD": str(tmp_path / "link")}) as here:
        here.wait_for_answer("/", "home 1")
        edit(site, "index", "home 2")
        here.wait_for_answer("/", "home 2")


def test_without_a_go_mod_pages_are_served_too(site: Path) -> None:
    (site / "go.mod").unlink()
    with running(site) as here:
        here.wait_for_answer("/", "home 1")


def test_a_site_that_moves_away_serves_on_until_it_is_back(site: Path, tmp_path: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        site.rename(tmp_path / "elsewhere")
        assert here.get("/")[1] == "home 1"
        (tmp_path / "elsewhere").rename(site)
        edit(site, "index", "home 2")
        assert here.get("/")[0] == 200
        assert here.stop() == 0


def test_the_end_leaves_no_process_socket_or_lock(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        processes = [here.child("tqsd.proxy.main"), here.child("tqsd.watch.main"), *here.workers("index")]
        assert len(processes) == 3
        assert here.stop() == 0
        assert not any(process.is_running() for process in processes)
        assert os.listdir(Paths.dev(site).run) == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", here.port))


def test_a_second_start_says_who_serves_already(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        second = tqsd("dev", "--site", str(site))
        assert second.returncode == 1
        assert f"already serves {site}" in second.stderr
        assert str(here.process.pid) in second.stderr


def test_a_start_after_a_kill_takes_everything_over(site: Path) -> None:
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        children = here.workers("index")
        releases = {path: path.stat().st_mtime_ns for path in built_executables(site)}
        here.process.kill()
        here.process.wait()
        for child in children:
            child.wait(30)
    with running(site) as here:
        here.wait_for_answer("/", "home 1")
        assert {path: path.stat().st_mtime_ns for path in built_executables(site)} == releases  # nothing was compiled


def test_a_taken_port_names_its_holder_and_a_way_out(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = tqsd("dev", "--site", str(site), "--listen", f"127.0.0.1:{port}", env={"MAKELEVEL": ""})
        made = tqsd("dev", "--site", str(site), "--listen", f"127.0.0.1:{port}", env={"MAKELEVEL": "1"})
    assert f"make dev ARGS='--listen 127.0.0.1:{port + 1}'" in made.stderr
    assert done.returncode == 1
    assert f"127.0.0.1:{port} is already taken by" in done.stderr
    assert f"tqsd dev --listen 127.0.0.1:{port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_site_says_what_to_create(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    done = tqsd("dev", "--site", str(tmp_path))
    assert done.returncode == 1
    assert "has no pages yet" in done.stderr
    assert "pages/index/main.go" in done.stderr


def test_outside_a_site_every_verb_says_how_to_make_one(tmp_path: Path) -> None:
    for verb in ("dev", "status", "routes", "check", "history"):
        done = tqsd(verb, cwd=tmp_path)
        assert done.returncode == 2
        assert "tqsd init" in done.stderr


def test_a_new_site_is_made_served_and_never_overwritten(tmp_path: Path) -> None:
    made = tqsd("init", str(tmp_path / "mysite"))
    assert made.returncode == 0
    again = tqsd("init", str(tmp_path / "mysite"))
    assert again.returncode == 2
    assert "nothing was written" in again.stderr
    with running(tmp_path / "mysite") as here:
        here.wait("the first page answers", lambda: "It works" in here.get("/")[1])
        assert here.get("/nowhere")[0] == 404
    git = subprocess.run(["git", "-C", str(tmp_path / "mysite"), "init", "-q"], check=False)
    if git.returncode == 0:
        status = subprocess.run(
            ["git", "-C", str(tmp_path / "mysite"), "status", "--porcelain"], capture_output=True, text=True, check=True
        )
        assert ".tqsd" not in status.stdout


def test_production_deploys_on_command_and_tells_strangers_nothing(site: Path) -> None:
    with running(site, "serve") as here:
        here.wait_for_answer("/", "home 1")
        here.wait_for_answer("/api/users", "users 1")
        edit(site, "index", "home 2")
        write(site, {"pages/api/users/main.go": "package main\n\nfunc main() { x }\n"})
        failed = here.tqsd("deploy")
        assert failed.returncode == 1
        assert "undefined: x" in failed.stderr
        assert (here.get("/")[1], here.get("/api/users")[1]) == ("home 1", "users 1")
        edit(site, "api/users", "users 2")
        assert here.tqsd("deploy").returncode == 0
        assert (here.get("/")[1], here.get("/api/users")[1]) == ("home 2", "users 2")
        write(site, {"pages/new/main.go": "package main\n\nfunc main() { secretName }\n"})
        shutil.rmtree(site / "pages/api/users")
        here.wait_for_answer("/", "home 2")
        assert here.get("/api/users")[1] == "users 2"  # until somebody says so
        assert here.tqsd("deploy").returncode == 1
        assert here.get("/api/users")[1] == "home 2"
        status, text = here.get("/new")
        assert status == 503
        assert "secretName" not in text
