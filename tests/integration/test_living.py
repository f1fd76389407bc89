"""A site that lives: variables, secrets, files that pages watch, migrations, sets, holds."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.running import PATIENCE, ROOT, TQSD, Running, answers, running, tqsd, write

pytestmark = pytest.mark.process

# Answers a variable, a secret and a file as they were when it started.
TELLS = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	word := os.Getenv("WORD")
	secret, _ := os.ReadFile(os.Getenv("CREDENTIALS_DIRECTORY") + "/KEY")
	file, _ := os.ReadFile("shared/words/today.txt")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s", word, secret, file)
	})
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    write(
        site,
        {
            "config/tqsd.yaml": "server: {drain_timeout: 5}\n",
            "go.mod": "module site\n\ngo 1.21\n",
            "pages/index/main.go": TELLS,
        },
    )
    return site


def deployments(here: Running, page: str = "index") -> list[tuple[str, str]]:
    return [(record["cause"], record["outcome"]) for record in here.json("history", page)]


def test_variables_come_from_dotenv_over_the_page_over_the_site_and_apply_live(site: Path) -> None:
    write(site, {"config/tqsd.yaml": "env: {WORD: site}\nserver: {drain_timeout: 5}\n"})
    with running(site) as here:
        here.wait_for_answer("/", "site||")
        write(site, {"pages/index/page.yaml": "env: {WORD: page}\n"})
        here.wait_for_answer("/", "page||")
        write(site, {".env": "export WORD='of .env'  # mine\n"})
        here.wait_for_answer("/", "of .env||")
        write(site, {".env": "WORD=other\nan odd line\nOPEN='\n"})
        here.wait_for_log(".env:2: is not NAME=value")
        here.wait_for_log(".env:3: OPEN: its closing ' is missing")
        assert here.get("/") == (200, "of .env||")
        assert ".env:2: is not NAME=value" in here.tqsd("check").stderr
        write(site, {".env": "WORD=mended\n"})
        here.wait_for_answer("/", "mended||")
        (site / ".env").unlink()
        here.wait_for_answer("/", "page||")


def test_what_the_shell_has_is_named_and_not_passed_on(site: Path) -> None:
    with running(site, env={"WORD": "of the shell", "DATABASE_URL": "x"}) as here:
        here.wait_for_answer("/", "||")
        (line,) = [line for line in here.log().splitlines() if line.startswith("not passed on to pages: ")]
        assert "DATABASE_URL" in line
        assert "WORD" in line
        assert "XDG_" not in line


def test_a_page_reads_the_secrets_it_names(site: Path) -> None:
    secret = subprocess.run(
        [*TQSD, "secret", "set", "KEY", "--site", str(site)],
        input=b"sesame\n",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert b"secrets: [KEY]" in secret.stdout
    with running(site) as here:
        here.wait_for_answer("/", "||")  # it is set, but this page does not name it
        write(site, {"pages/index/page.yaml": "secrets: [KEY, OTHER]\n"})
        here.wait_for_answer("/", "|sesame|")
        here.wait_for_log("index needs the secret OTHER, not set on this machine")
        listed = here.json("secret", "list")
        assert listed == [
            {"name": "KEY", "set": True, "pages": ["index"]},
            {"name": "OTHER", "set": False, "pages": ["index"]},
        ]
        script = 'cat "$CREDENTIALS_DIRECTORY/KEY"; pwd; echo $TQS_PAGE'
        shown = tqsd("exec", "index", "--site", str(site), "--", "sh", "-c", script)
        assert shown.stdout == f"sesame{site.resolve()}\nindex\n"
    assert not (site / ".tqsd/run/credentials").exists()
    assert "sesame" not in (site / ".tqsd/var/history.jsonl").read_text()


def test_a_secret_that_is_missing_stops_a_deployment_in_production(site: Path) -> None:
    write(site, {"pages/index/page.yaml": "secrets: [KEY]\n"})
    with running(site, "serve") as here:
        here.wait("the deployment fails", lambda: here.status("index")["problem"])
        assert "index needs the secret KEY, not set on this machine" in here.status("index")["problem"]
        assert "tqsd secret set KEY" in here.status("index")["problem"]
        assert here.get("/")[0] == 503


def test_a_watched_file_restarts_its_page_without_a_build(site: Path) -> None:
    write(site, {"pages/index/page.yaml": "watch: ['shared/**/*.txt']\n", "shared/words/today.txt": "one"})
    write(site, {"pages/other/main.go": answers("other")})
    with running(site) as here:
        here.wait_for_answer("/", "||one")
        here.wait_for_answer("/other", "other")
        release = here.status("index")["release"]
        write(site, {"shared/words/today.txt": "two"})
        here.wait_for_answer("/", "||two")
        here.wait("it is recorded", lambda: deployments(here)[-1] == ("watch", "switched"))
        assert here.status("index")["release"] == release
        assert deployments(here, "other") == [("start", "switched")]
        write(site, {"pages/index/page.yaml": "{}\n"})
        here.wait("the setting applies", lambda: "watch" not in here.json("config", "index")["watch"])


MIGRATE = """#!/bin/sh
echo "migrating $TQS_PAGE"
case "$(cat "$TQS_DIRECTORY/plan")" in
  fail) echo "no such table: users"; exit 3;;
  hang) exec sleep 1000;;
  die) kill -9 $$;;
esac
cat "$TQS_DIRECTORY/plan" >> "$STATE_DIRECTORY/done"
"""


@pytest.mark.parametrize(
    "plan, says",
    [
        ("fail", "exit status 3"),
        ("hang", "did not end within 1 s"),
        ("die", "SIGKILL"),
    ],
)
def test_a_migration_that_fails_hangs_or_is_killed_changes_nothing(site: Path, plan: str, says: str) -> None:
    write(
        site,
        {
            "pages/index/main.go": answers("one"),
            "pages/index/migrate": MIGRATE,
            "pages/index/plan": "1",
            "pages/index/page.yaml": "deploy: {before: ./migrate, before_timeout: 1s}\n",
        },
    )
    (site / "pages/index/migrate").chmod(0o755)
    done = site / ".tqsd/var/state/index/done"
    with running(site) as here:
        here.wait_for_answer("/", "one")
        here.wait_for_log("migrating index")
        assert done.read_text() == "1"
        write(site, {"pages/index/main.go": answers("two"), "pages/index/plan": plan})
        here.wait("it fails", lambda: here.status("index")["problem"])
        here.wait("it fails for this reason", lambda: says in here.status("index")["problem"])
        assert here.get("/") == (200, "one")
        write(site, {"pages/index/plan": "2"})
        here.wait_for_answer("/", "two")
        assert done.read_text() == "12"
        here.tqsd("rollback", "index")
        here.wait_for_answer("/", "one")
        assert done.read_text() == "12"


def test_requests_of_a_held_page_wait_until_it_is_released(site: Path) -> None:
    write(site, {"pages/index/main.go": answers("home"), "pages/other/main.go": answers("other")})
    with running(site) as here:
        here.wait_for_answer("/", "home")
        here.wait_for_answer("/other", "other")
        assert "index: held\n" in here.tqsd("hold", "index").stdout
        got: list[tuple[int, str]] = []
        waiting = threading.Thread(target=lambda: got.append(here.get("/")))
        waiting.start()
        assert here.get("/other") == (200, "other")
        write(site, {"pages/index/main.go": answers("home 2")})  # a deployment does not end the hold
        here.wait("it is deployed", lambda: deployments(here)[-1] == ("save", "switched"))
        assert here.status("index")["held"]
        assert "requests wait until `tqsd release index`" in here.tqsd("status").stdout
        assert not got
        assert here.tqsd("release", "index").stdout == "index: released\n"
        waiting.join(PATIENCE)
        assert got == [(200, "home 2")]
        assert here.tqsd("release", "index").stdout == "index: was not held\n"


def test_in_production_saves_become_one_set_when_it_is_quiet_and_git_is_done(site: Path) -> None:
    write(site, {"config/tqsd.yaml": "deploy: on-save\nserver: {drain_timeout: 5}\n"})
    write(site, {"pages/index/main.go": answers("a1"), "pages/other/main.go": answers("b1")})
    with running(site, "serve") as here:
        here.wait_for_answer("/", "a1")
        here.wait_for_answer("/other", "b1")
        (site / ".git").mkdir()
        (site / ".git/index.lock").touch()
        write(site, {"pages/index/main.go": answers("a2"), "pages/other/main.go": answers("b2")})
        here.wait("the change is seen", lambda: here.status("other")["stale"])
        assert here.get("/") == (200, "a1")
        (site / ".git/index.lock").unlink()
        here.wait_for_answer("/", "a2")
        assert here.get("/other") == (200, "b2")
        here.wait("it is recorded", lambda: here.json("history", "-n", "1")[0]["pages"] == ["index", "other"])


def test_one_failing_member_keeps_the_whole_set_from_switching(site: Path) -> None:
    write(site, {"pages/index/main.go": answers("a1"), "pages/other/main.go": answers("b1")})
    with running(site, "serve") as here:
        here.wait_for_answer("/", "a1")
        here.wait_for_answer("/other", "b1")
        write(
            site, {"pages/index/main.go": answers("a2"), "pages/other/main.go": "package main\n\nfunc main() { x }\n"}
        )
        failed = here.tqsd("deploy")
        assert failed.returncode == 1
        assert "pages/other/main.go:3:15: undefined: x" in failed.stderr
        assert (here.get("/"), here.get("/other")) == ((200, "a1"), (200, "b1"))
        alone = here.tqsd("deploy", "index")  # which does not wait for the one that failed
        assert alone.returncode == 0
        assert (here.get("/"), here.get("/other")) == ((200, "a2"), (200, "b1"))


def test_the_machine_wins_over_the_page_and_says_so(site: Path) -> None:
    write(site, {"pages/index/page.yaml": "env: {WORD: page}\n"})
    with running(site) as here:
        here.wait_for_answer("/", "page||")
        write(site, {".tqsd/etc/tqsd.yaml": "pages:\n  index:\n    env: {WORD: machine}\n  indx: {}\n"})
        here.wait_for_answer("/", "machine||")
        here.wait_for_log(".tqsd/etc/tqsd.yaml:4: pages.indx: there is no such page (did you mean index?)")
        shown = here.json("config", "index", "--origin")
        assert {"key": "env.WORD", "value": "machine", "origin": ".tqsd/etc/tqsd.yaml:3"} in shown
        assert here.tqsd("check").returncode == 1


def test_the_log_is_kept_and_followed(site: Path) -> None:
    write(site, {"pages/index/main.go": TELLS.replace("word :=", 'println("hello from the page"); word :=')})
    with running(site) as here:
        here.wait_for_answer("/", "||")
        here.wait("the log has it", lambda: "hello from the page" in here.tqsd("logs", "index").stdout)
        following = subprocess.Popen(
            [*TQSD, "logs", "-f", "-n", "0", "index", "--json", "--site", str(site)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        with following:
            assert following.stdout
            lines: list[bytes] = []
            reading = threading.Thread(target=lambda: lines.append(following.stdout.readline()))  # type: ignore[union-attr]
            reading.start()
            while reading.is_alive():  # until it listens, a restart may go by unheard
                here.tqsd("restart", "index")
            following.terminate()
        entry = json.loads(lines[0])
        assert (entry["source"], entry["text"]) == ("index", "hello from the page")
    after = tqsd("logs", "tqsd", "--site", str(site))
    assert "index: serving release" in after.stdout


def test_a_page_that_changes_its_runtime_serves_on_and_can_go_back(site: Path) -> None:
    write(site, {"pages/index/main.go": answers("in Go")})
    with running(site) as here:
        here.wait_for_answer("/", "in Go")
        write(site, {"pages/index/app.py": PYTHON})
        here.wait_for_log("has main.go and app.py (say which one serves it by `runtime:` in page.yaml)")
        assert here.get("/") == (200, "in Go")
        (site / "pages/index/main.go").unlink()
        here.wait_for_answer("/", "in Python")
        here.wait("it is recorded", lambda: here.status("index")["previous"])
        assert here.tqsd("rollback", "index").returncode == 0
        assert here.get("/") == (200, "in Go")
        assert here.tqsd("deploy", "index").returncode == 0
        assert here.get("/") == (200, "in Python")


PYTHON = """def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    return [b"in Python"]
"""


def ports(here: Running) -> set[int]:
    return {worker["port"] for worker in here.status("index")["workers"]}


def swapped(here: Running) -> bool:
    return ports(here).isdisjoint(here.ports_before)  # type: ignore[attr-defined]


# What is written into page.yaml or config/tqsd.yaml, and how it shows.
LIVE = [
    ("page", "env: {WORD: changed}", lambda here: here.get("/")[1] == "changed||"),
    ("page", "pm.max_children: 3", lambda here: len(here.status("index")["workers"]) == 3),
    ("page", "pm.worker_concurrency: 7", lambda here: '"concurrency":7' in table(here)),
    ("page", "methods: [GET, HEAD]", lambda here: here.request("DELETE", "/")[0] == 405),
    ("page", "hosts: [127.0.0.1]", lambda here: here.request("GET", "/", headers={"Host": "other"})[0] == 404),
    ("page", "max_body: 3", lambda here: here.request("POST", "/", b"four")[0] == 413),
    ("page", "health: tcp", swapped),
    ("page", "secrets: [NONE]", lambda here: "needs the secret NONE" in here.log()),
    ("page", "stop_timeout: 3s", swapped),
    ("page", "build: {ldflags: -X main.x=y}", swapped),
    ("site", "env: {WORD: of the site}", lambda here: here.get("/")[1] == "of the site||"),
    ("site", "server: {max_target: 300}", lambda here: here.get("/" + "x" * 400)[0] == 414),
    ("site", "server: {response_timeout: 30s}", lambda here: '"response_timeout":30.0' in table(here)),
    ("site", "server: {max_head: 2k}", lambda here: here.get("/", X="y" * 3000)[0] == 431),
    ("site", "defaults: {env: {WORD: by default}}", lambda here: here.get("/")[1] == "by default||"),
    ("site", "server: {listen: [127.0.0.1:1]}", lambda here: "takes effect at the next start" in here.log()),
]


def table(here: Running) -> str:
    return (here.site / ".tqsd/run/table.json").read_text()


def test_each_setting_applies_live_without_a_failed_request_and_a_bad_one_changes_nothing(site: Path) -> None:
    files = {"page": "pages/index/page.yaml", "site": "config/tqsd.yaml"}
    with running(site) as here:
        here.wait_for_answer("/", "||")
        failed: list[tuple[int, str]] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                answer = here.get("/")
                if answer[0] != 200:
                    failed.append(answer)

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        try:
            for kind, text, shows in LIVE:
                here.ports_before = ports(here)  # type: ignore[attr-defined]
                write(site, {files[kind]: text + "\n"})
                here.wait(f"{text} shows", lambda shows=shows: shows(here))  # type: ignore[misc]
                write(site, {files[kind]: text.replace(":", "x:", 1) + "\n"})
                key = text.partition(":")[0] + "x"
                here.wait(f"{key} is named", lambda key=key: f"{key}: unknown key" in here.log())  # type: ignore[misc]
                assert shows(here), f"a bad file changed {text}"
                write(site, {files[kind]: "{}\n"})
                here.wait("it is good again", lambda: not here.json("status")["problems"])
        finally:
            done.set()
            for thread in asking:
                thread.join(PATIENCE)
        assert not failed
