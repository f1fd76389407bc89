"""Command pages as a user has them: node, Python, shells; served, edited, broken, rolled back."""

from __future__ import annotations

import http.client
import shutil
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.running import PATIENCE, Running, running, write

pytestmark = pytest.mark.process

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")

NODE = """const http = require('http');
http.createServer((request, response) => {{
  let length = 0;
  request.on('data', (chunk) => {{ length += chunk.length; }});
  request.on('end', () => response.end(`{text} ${{request.method}} ${{length}}`));
}}).listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => {{ console.log('{text} says bye'); process.exit(0); }});
"""
PYTHON = """import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"{text}"
        self.send_response(404 if self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
{before}
http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Answer).serve_forever()
"""
RUN = f"run: [{sys.executable}, program.py]\n"
QUICK = "start_timeout: 3s\nstop_timeout: 500ms\n"


def python(text: str, before: str = "", port: str = 'int(os.environ["PORT"])') -> str:
    return PYTHON.format(text=text, before=before, port=port)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site/pages").mkdir(parents=True)
    return tmp_path / "site"


def workers(here: Running, page: str) -> list[psutil.Process]:
    """The main processes of a page's workers, slots not yet."""
    found = []
    for process in psutil.Process(here.process.pid).children():
        try:
            if process.environ().get("TQS_PAGE") == page and process.name() != "sh":
                found.append(process)
        except psutil.Error:
            continue
    return found


@needs_node
def test_a_node_page_is_served_edited_rolled_back_and_comes_back_when_it_is_killed(site: Path) -> None:
    write(site, {"pages/node/server.js": NODE.format(text="one"), "pages/node/page.yaml": "run: node server.js\n"})
    with running(site) as here:
        here.wait_for_answer("/node", "one GET 0")
        assert here.request("POST", "/node", b"12345")[2] == "one POST 5"
        (site / "pages/node/server.js").write_text(NODE.format(text="two"))
        here.wait_for_answer("/node", "two GET 0")
        here.wait_for_log("one says bye")
        assert here.tqsd("rollback", "node").returncode == 0
        assert here.get("/node")[1] == "one GET 0"
        (worker,) = here.wait("only the new worker is left", lambda: len(w := workers(here, "node")) == 1 and w)
        worker.kill()
        worker.wait(PATIENCE)
        here.wait_for_answer("/node", "one GET 0")
        here.wait("the crash is counted", lambda: here.status("node")["crashes"] == 1)
        assert here.stop() == 0


@needs_node
def test_no_post_meets_a_connection_that_node_is_just_closing(site: Path) -> None:
    """Node ends connections that were unused for 5 s, without a word before."""
    write(site, {"pages/node/server.js": NODE.format(text="node"), "pages/node/page.yaml": "run: node server.js\n"})
    answers: list[str] = []

    def post_twice(pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=PATIENCE)
        for wait in (0.0, pause):
            threading.Event().wait(wait)
            connection.request("POST", "/node", b"x")
            response = connection.getresponse()
            answers.append(f"{response.status} {response.read().decode()}")
        connection.close()

    with running(site) as here:
        here.wait_for_answer("/node", "node GET 0")
        clients = [threading.Thread(target=post_twice, args=(4.9 + number * 0.01,)) for number in range(24)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert answers == ["200 node POST 1"] * 48


@needs_node
def test_what_a_build_makes_is_served_and_what_it_says_is_shown(site: Path) -> None:
    build = "fs.writeFileSync('made.js', fs.readFileSync('source.js', 'utf8').replace('TEXT', process.env.TQS_PAGE))"
    write(
        site,
        {
            "pages/node/source.js": NODE.format(text="made by TEXT"),
            "pages/node/build.js": f"const fs = require('fs'); {build};\n",
            "pages/node/page.yaml": "build: node build.js\nrun: node made.js\n",
        },
    )
    with running(site) as here:
        here.wait_for_answer("/node", "made by node GET 0")
        assert not (site / "pages/node/made.js").exists()
        (site / "pages/node/build.js").write_text("nonsense;\n")
        problem = here.wait("the failure is told", lambda: here.status("node")["problem"])
        assert "`node build.js` ended with exit status 1" in problem
        assert "pages/node/build.js:1" in problem
        assert "ReferenceError: nonsense is not defined" in problem
        assert here.get("/node")[1] == "made by node GET 0"


def test_a_hard_coded_port_is_explained_and_the_old_version_serves_on(site: Path) -> None:
    write(site, {"pages/a/program.py": python("good"), "pages/a/page.yaml": RUN + QUICK})
    with running(site) as here:
        here.wait_for_answer("/a", "good")
        (site / "pages/a/program.py").write_text(python("lost", port="0"))
        here.wait_for_log("tqsd: not ready yet: listens on port ")
        problem = here.wait("the reason is told", lambda: here.status("a")["problem"])
        assert "was not ready within 3 s: it listens on port " in problem
        assert "read $PORT" in problem
        assert here.get("/a")[1] == "good"


@needs_node
def test_what_node_listens_on_by_default_is_a_warning_in_dev(site: Path) -> None:
    source = NODE.format(text="open").replace(", '127.0.0.1'", "")
    write(site, {"pages/node/server.js": source, "pages/node/page.yaml": "run: node server.js\n"})
    with running(site) as here:
        here.wait_for_answer("/node", "open GET 0")
        warning = here.wait("it is warned", lambda: here.status("node")["warning"])
        assert "answers on all interfaces" in warning
        assert "in pages/node" in warning


def test_a_program_that_ends_at_once_shows_what_it_said(site: Path) -> None:
    write(site, {"pages/a/program.py": python("a", before="sys.exit('no database')"), "pages/a/page.yaml": RUN + QUICK})
    with running(site) as here:
        problem = here.wait("the reason is told", lambda: here.status("a")["problem"])
        assert "ended with exit status 1 before it was ready" in problem
        assert "no database" in problem


def test_a_program_whose_child_answers_is_served_and_ends_with_it(site: Path) -> None:
    fork = "pid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    sys.exit()"
    write(site, {"pages/a/program.py": python("child", before=fork), "pages/a/page.yaml": RUN + QUICK})
    with running(site) as here:
        here.wait_for_answer("/a", "child")
        (worker,) = workers(here, "a")
        (child,) = worker.children()
        assert here.stop() == 0
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_program_that_crashes_again_and_again_is_started_again_and_again(site: Path) -> None:
    crash = "import threading\nthreading.Timer(0.2, os._exit, [3]).start()"
    write(site, {"pages/a/program.py": python("short", before=crash), "pages/a/page.yaml": RUN + QUICK})
    with running(site) as here:
        here.wait("it has crashed again and again", lambda: here.status("a")["crashes"] >= 3)
        assert "ended with exit status 3 and is started again" in here.log()
        (site / "pages/a/program.py").write_text(python("sound"))
        here.wait_for_answer("/a", "sound")


def test_a_shell_script_is_a_page_and_gets_the_port_and_its_own_files(site: Path) -> None:
    script = '#!/bin/sh\necho "serving $TQS_PAGE"\ncd "$TQS_DIRECTORY/public"\n'
    script += f"exec {sys.executable} -m http.server $PORT --bind 127.0.0.1\n"
    write(
        site,
        {
            "pages/sh/start.sh": script,
            "pages/sh/public/sh/hello.txt": "hello from sh",
            "pages/sh/page.yaml": "run: ./start.sh\n",
            "pages/words/words/hello.txt": "hello from words",
            "pages/words/page.yaml": f"run: {sys.executable} -m http.server --bind 127.0.0.1 --directory ./ $PORT\n",
        },
    )
    with running(site) as here:
        problem = here.wait("the reason is told", lambda: here.status("sh")["problem"])
        assert "start.sh, with which `run` starts, is not executable" in problem
        (site / "pages/sh/start.sh").chmod(0o755)
        here.wait_for_answer("/sh/hello.txt", "hello from sh")
        here.wait_for_log("serving sh")
        here.wait_for_answer("/words/hello.txt", "hello from words")
