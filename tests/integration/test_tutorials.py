"""Every tutorial, typed as it is written: its files saved, its commands run, its output compared."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.programs import free_port, go
from tests.running import PATIENCE, ROOT

pytestmark = pytest.mark.process

TUTORIALS = sorted((ROOT / "docs/tutorial").glob("*.md"))
_BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A file to save, or a command to type and the lines that must be in what it prints."""

    file: str = ""
    text: str = ""
    command: str = ""
    expected: tuple[str, ...] = ()


def steps(tutorial: str) -> Iterator[Step]:
    for kind, file, text in _BLOCK.findall(tutorial):
        if kind != "console":
            assert file, f"a block of {kind} names no file"
            yield Step(file=file, text=text)
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, *expected = part.rstrip("\n").split("\n")
            yield Step(command=command, expected=tuple(expected))


class Terminal:
    """A user's session: a directory, a home of its own, and tqsd as a command."""

    def __init__(self, home: Path) -> None:
        binaries = home / "bin"
        binaries.mkdir(parents=True)
        program = binaries / "tqsd"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tqsd "$@"\n')
        program.chmod(0o755)
        self.directory = home
        self.port = free_port()
        self.environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "GOCACHE": subprocess.run(
                [go(), "env", "GOCACHE"], capture_output=True, text=True, check=True
            ).stdout.strip(),
            **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))},
        }
        self.dev: subprocess.Popen[bytes] | None = None

    def save(self, step: Step) -> None:
        path = self.directory / step.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)

    def type(self, step: Step) -> None:
        if step.command.startswith("cd "):
            self.directory /= step.command.removeprefix("cd ")
        elif step.command == "tqsd dev":
            self.serve()
        else:
            self.expect(step)

    def serve(self) -> None:
        log = self.directory / "../dev.log"
        with log.open("wb") as output:
            command = ["tqsd", "dev", "--listen", f"127.0.0.1:{self.port}"]
            self.dev = subprocess.Popen(command, cwd=self.directory, env=self.environment, stdout=output, stderr=output)
        until = time.monotonic() + PATIENCE
        while b"is served at" not in log.read_bytes():
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)

    def expect(self, step: Step) -> None:
        """Type the command, again where it asks a site that is just changing, until it prints what is written."""
        asks = step.command.startswith(("curl", "tqsd status", "tqsd logs"))
        until = time.monotonic() + (PATIENCE if asks else 0)
        command = step.command.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        while True:
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            printed = done.stdout + done.stderr
            if all(line in printed for line in step.expected) and (asks or done.returncode == 0):
                return
            assert time.monotonic() < until, f"$ {step.command}\n{printed}\ninstead of\n" + "\n".join(step.expected)
            time.sleep(0.05)

    def close(self) -> None:
        if self.dev:
            self.dev.send_signal(signal.SIGINT)
            assert self.dev.wait(60) == 0


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_works_as_it_is_written(tutorial: Path, tmp_path: Path) -> None:
    if tutorial.stem == "command" and not shutil.which("node"):
        pytest.skip("node is not installed")
    with contextlib.closing(Terminal(tmp_path / "home")) as terminal:
        for step in steps(tutorial.read_text()):
            if step.file:
                terminal.save(step)
            else:
                terminal.type(step)


def test_there_is_a_tutorial_for_each_runtime() -> None:
    assert {path.stem for path in TUTORIALS} >= {"go", "python", "command", "static"}
