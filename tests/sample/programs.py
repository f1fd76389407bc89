"""Real Go programs for these tests: built once a session, run on a free port, ended by SIGTERM."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from bench.programs import build_go, free_port, go

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds, for a loaded machine


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: Message


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """One request; a status that is an error is an answer like any other."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return Answer(answer.status, answer.read().decode(), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(), error.headers)


@dataclass(frozen=True, slots=True)
class Worker:
    url: str
    process: subprocess.Popen[bytes]

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        return ask(self.url + path, method, body, **headers)


def run_go(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A go command in one of this repository's modules."""
    environment = {**os.environ, "GOWORK": "off"}
    return subprocess.run([go(), *words], cwd=directory, env=environment, capture_output=True, text=True, check=False)


def built(site: Path, page: str, into: Path) -> Path:
    """The executable of a page with the page's other files beside it, as a release has them."""
    directory = into / page.replace("/", "-")
    executable = Path(build_go(site, f"./pages/{page}", directory))
    for file in (site / "pages" / page).iterdir():
        if file.is_file() and file.suffix != ".go":
            shutil.copy(file, directory)
    return executable


@contextlib.contextmanager
def worker(executable: Path, site: Path, **environment: str) -> Iterator[Worker]:
    """A page's worker on a free port, as tqsd starts it, once it answers. It must end well on SIGTERM."""
    port = free_port()
    everything = {"PATH": os.environ["PATH"], "PORT": str(port), **environment}
    with subprocess.Popen([executable], cwd=site, env=everything) as process:
        try:
            running = Worker(f"http://127.0.0.1:{port}", process)
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    running.ask("/health")
                    break
                except OSError:
                    assert process.poll() is None, f"{executable} ended with {process.returncode}"
                    assert time.monotonic() < deadline, f"{executable} does not answer"
                    time.sleep(0.01)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        assert process.returncode == 0
