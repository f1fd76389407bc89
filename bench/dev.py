"""The benchmark site under `tqsd dev`, and traffic on it: both run for as long as a block lasts."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.programs import HERE, START, build_go, free_port, running

TQSD = (sys.executable, "-c", "from tqsd.cli import main; main()")  # the command, also where it is not installed


VERSIONS = {  # page -> the file that says its version, and what it holds
    "asgi": ("version.py", "VERSION = {}\n"),
    "wsgi": ("version.py", "VERSION = {}\n"),
    "node": ("version.js", "module.exports = {};\n"),
    "files": ("index.html", "{}\n"),
}
GO = ("version.go", "package main\n\nconst version = {}\n")
# What of the load each page takes; the rest of them take all of it but the WebSocket.
TRAFFIC = {
    "asgi": ("-get", "/asgi", "-post", "/asgi/echo", "-stream", "/asgi", "-socket", "/asgi/socket"),
    "wsgi": ("-get", "/wsgi", "-post", "/wsgi/echo"),
    "files": ("-get", "/files/", "-head", "0"),
}


def save(site: Path, page: str, version: int) -> None:
    """Write a page's new version aside and rename it into place, as editors do."""
    name, text = VERSIONS.get(page, GO)
    source = site / "pages" / page / name
    aside = source.with_name(f".{name}.new")
    aside.write_text(text.format(version))
    aside.replace(source)


def traffic(page: str) -> tuple[str, ...]:
    """The flags of a load on this page, and on the WebSocket of another when it has none."""
    return TRAFFIC.get(
        page, ("-get", f"/{page}", "-post", f"/{page}/echo", "-stream", f"/{page}", "-socket", "/socket")
    )


class Dev:
    """A copy of bench/site and the `tqsd dev` that serves it at `url`."""

    def __init__(self, site: Path, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.site = site
        self.url = f"http://127.0.0.1:{port}"
        self.process = process
        self.log = log

    def save(self, page: str, version: int) -> None:
        """What an editor does on save: the page's new version, written aside and renamed into place."""
        save(self.site, page, version)

    def tqsd(self, *words: str) -> Any:
        """What `tqsd WORDS --json` prints."""
        command = [*TQSD, *words, "--site", str(self.site), "--json"]
        done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"tqsd {' '.join(words)}: {done.stderr}{done.stdout}\n{self.log.read_text()}")
        return json.loads(done.stdout)

    def history(self, page: str) -> list[dict[str, Any]]:
        """The deployments of a page, the newest last."""
        return list(self.tqsd("history", page, "-n", "1000"))

    def switched(self, page: str) -> int:
        """How many deployments of a page have switched."""
        return sum(record["outcome"] == "switched" for record in self.history(page))

    def wait(self, what: str, happened: Callable[[], bool]) -> None:
        """Return once `happened()`. Raises RuntimeError when tqsd ended or START has passed."""
        deadline = time.monotonic() + START
        while not happened():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not happen:\n{self.log.read_text()}")
            time.sleep(0.02)

    def waits(self) -> dict[str, float]:
        """How long requests have waited in the proxy so far, as it tells when it gets SIGUSR1."""
        told = len(self._reports())
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "tqsd.proxy.main" in child.cmdline():
                child.send_signal(signal.SIGUSR1)
        self.wait("the proxy's report", lambda: len(self._reports()) > told)
        return self._reports()[-1]

    def _reports(self) -> list[dict[str, float]]:
        lines = [line[line.index("{") :] for line in self.log.read_text().splitlines() if '{"requests"' in line]
        return [json.loads(line) for line in lines if line.endswith("}")]


@contextlib.contextmanager
def serving(pages: Sequence[str]) -> Iterator[Dev]:
    """The site with these of its pages, once all of them serve their first version."""
    with tempfile.TemporaryDirectory() as temporary, (Path(temporary) / "log").open("wb") as log:
        site = Path(temporary) / "site"
        others = {page.name for page in (HERE / "site/pages").iterdir()} - {*pages, "internal"}
        shutil.copytree(HERE / "site", site, ignore=lambda directory, names: others & set(names) | {".tqsd"})
        port = free_port()
        command = [*TQSD, "dev", "--site", str(site), "--listen", f"127.0.0.1:{port}"]
        with running(command, cwd=HERE.parent, log=log) as process:
            dev = Dev(site, port, process, Path(log.name))
            # Asked by history, not by a request: that would wait for the build and count as a wait in the proxy.
            for page in pages:
                dev.wait(f"the first build of {page}", lambda page=page: dev.switched(page) > 0)  # type: ignore[misc]
            yield dev


class Load:
    """The load generator at work. Its first answer of each version of a page is known as soon as it came."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._news = threading.Condition()
        self._ready = False
        self._first: dict[tuple[str, int], int] = {}
        self._closes: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Return once every client has had an answer."""
        self._wait("every client has had an answer", lambda: self._ready)

    def first_answer(self, page: str, version: int) -> int:
        """When, in nanoseconds of Unix time, this version was first seen; waits for it."""
        self._wait(f"version {version} of {page}", lambda: (page, version) in self._first)
        return self._first[page, version]

    def wait_for_close(self) -> int:
        """The code with which the server closed a WebSocket; waits for the first."""
        self._wait("a WebSocket is closed", lambda: bool(self._closes))
        return self._closes[0]

    def finish(self) -> dict[str, Any]:
        """End the load; its result."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        result: dict[str, Any] = json.loads(self._process.stdout.read())
        return result

    def close(self) -> None:
        self._process.terminate()
        self._reader.join()

    def _wait(self, what: str, happened: Callable[[], bool]) -> None:
        with self._news:
            if not self._news.wait_for(happened, START):
                raise RuntimeError(f"not within {START} s: {what}")

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            words = line.decode().split()
            with self._news:
                if words == ["ready"]:
                    self._ready = True
                elif words[:1] == ["version"]:
                    self._first[words[1], int(words[2])] = int(words[3])
                elif words[:1] == ["closed"]:
                    self._closes.append(int(words[2]))
                else:
                    sys.stderr.buffer.write(line)
                self._news.notify_all()


@contextlib.contextmanager
def load(url: str, *flags: str) -> Iterator[Load]:
    """The load generator on a site until `finish()` or the end of the block."""
    command = [build_go(HERE / "load"), "-url", url, *flags]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process,
        contextlib.closing(Load(process)) as traffic,
    ):
        yield traffic
