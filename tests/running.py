"""A real `tqsd dev` or `tqsd serve` on a site of the test's own, and ways to look at it from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
TQSD = (sys.executable, "-m", "tqsd")
PATIENCE = 120.0  # seconds; only a bound for what never comes, a cold compile on a busy machine takes its time

ANSWERS = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {{
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {{ fmt.Fprint(w, "{text}") }})
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}}
"""


def answers(text: str) -> str:
    """The source of a page that answers `text`."""
    return ANSWERS.format(text=text)


def write(site: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tqsd(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command of tqsd, run to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(
        [*TQSD, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


class Running:
    """A running site. Every wait is bounded by PATIENCE and shows the log when it is in vain."""

    def __init__(self, site: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.site = site
        self.process = process
        self._log = log
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self, what: str, happened: Callable[[], Any]) -> Any:
        """The first true value of `happened()`."""
        deadline = time.monotonic() + PATIENCE
        while not (value := happened()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen:\n{self.log()}")
            time.sleep(0.005)
        return value

    def wait_until_serving(self) -> None:
        def port() -> int:
            _, _, rest = self.log().partition("is served at http://127.0.0.1:")
            return int(rest.split()[0]) if rest else 0

        self.port = self.wait("the site is served", port)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of a GET."""
        status, _, body = self.request("GET", path, headers=headers)
        return status, body

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()

    def wait_for_answer(self, path: str, text: str) -> None:
        self.wait(f"{path} answers {text!r}", lambda: self.get(path)[1] == text)

    def wait_for_log(self, text: str) -> None:
        self.wait(f"the log says {text!r}", lambda: text in self.log())

    def tqsd(self, *words: str) -> subprocess.CompletedProcess[str]:
        return tqsd(*words, "--site", str(self.site))

    def json(self, *words: str) -> Any:
        done = self.tqsd(*words, "--json")
        return json.loads(done.stdout)

    def status(self, page: str) -> dict[str, Any]:
        pages: dict[str, dict[str, Any]] = {p["page"]: p for p in self.json("status")["pages"]}
        return pages[page]

    def child(self, module: str) -> psutil.Process:
        """The proxy or the watcher, by its module."""
        return next(p for p in psutil.Process(self.process.pid).children() if module in p.cmdline())

    def workers(self, page: str) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TQS_PAGE") == page and process.exe().startswith(str(self.site)):
                    found.append(process)
        return found

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


_warm: list[Path] = []  # the build cache of a site served earlier: in production each site compiles for itself


def _warm_up(site: Path) -> None:
    cache = site / ".tqsd/cache/go-build"
    if _warm and _warm[0].exists() and not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-al", str(_warm[0]), str(cache)], check=True)


def _keep_warm(site: Path) -> None:
    cache = site / ".tqsd/cache/go-build"
    if cache.exists():
        _warm[:] = [cache]


@contextlib.contextmanager
def running(site: Path, verb: str = "dev", wait: bool = True, env: dict[str, str] | None = None) -> Iterator[Running]:
    """`site` served for as long as the block lasts."""
    log = site.parent / f"{site.name}.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    if verb == "serve":
        _warm_up(site)
    command = [*TQSD, verb, "--site", str(site), "--listen", "127.0.0.1:0"]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        here = Running(site, process, log)
        try:
            if wait:
                here.wait_until_serving()
            yield here
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
            _keep_warm(site)
