from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.builder.sites import until
from tqsd.builder.toolchain import (
    Outcome,
    find_toolchain,
    first_error,
    hint_for,
    low_priority,
    relative_output,
    run,
    to_the_end,
)

pytestmark = pytest.mark.process


def an_environment(path: str) -> dict[str, str]:
    return {**os.environ, "PATH": path, "GOTOOLCHAIN": "local"}


def real_go() -> Path:
    return find_toolchain(Path("/"), an_environment(os.environ["PATH"])).go


def test_the_real_go_is_found_behind_a_script_or_a_link(tmp_path: Path) -> None:
    go = real_go()
    assert go.read_bytes()[:4] == b"\x7fELF"
    shim = tmp_path / "go"
    shim.write_text(f"#!{sys.executable}\nimport os, sys\nos.execv({str(go)!r}, ['go', *sys.argv[1:]])\n")
    shim.chmod(0o755)
    assert find_toolchain(tmp_path, an_environment(str(tmp_path))).go == go
    shim.unlink()
    shim.symlink_to(go)
    assert find_toolchain(tmp_path, an_environment(str(tmp_path))).go == go


def test_without_a_go_that_works_the_hint_says_how_to_get_one(tmp_path: Path) -> None:
    shim = tmp_path / "go"
    shim.write_text("#!/bin/sh\necho 'go: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    without_wheel = (
        "import os, sys\nfrom pathlib import Path\nsys.modules['go'] = None\n"
        "from tqsd.builder.toolchain import find_toolchain\nfrom tqsd.errors import BuildError\n"
        "try:\n    find_toolchain(Path('/'), {'PATH': sys.argv[1]})\n"
        "except BuildError as error:\n    print(error.message, error.hint, sep='\\n')\n"
    )
    for path, message in ((tmp_path, f"{shim} does not work: go: command not found"), ("/dev", "Go is not installed")):
        command = [sys.executable, "-c", without_wheel, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[0] == message
        assert ran.stdout.splitlines()[1].endswith("or install Go from https://go.dev/dl")


def test_a_toolchain_that_was_replaced_is_not_current(tmp_path: Path) -> None:
    root = tmp_path / "goroot"
    (root / "bin").mkdir(parents=True)
    go = root / "bin" / "go"

    def install(version: str) -> None:
        go.write_text(
            "#!/bin/sh\n"
            f'echo \'{{"GOROOT": "{root}", "GOVERSION": "{version}", "GOHOSTOS": "linux", "GOHOSTARCH": "amd64",'
            ' "GOMODCACHE": "/m", "GOFLAGS": "-mod=mod", "CC": "gcc"}\'\n'
        )
        go.chmod(0o755)

    install("go1.99.1")
    toolchain = find_toolchain(tmp_path, an_environment(f"{root / 'bin'}:{os.environ['PATH']}"))
    assert (toolchain.version, toolchain.go) == ("go1.99.1", go)
    assert toolchain.language_line == "go 1.99"
    assert toolchain.flags(cgo=False) == ["GOOS=linux", "GOARCH=amd64", "GOFLAGS=-mod=mod"]
    assert toolchain.flags(cgo=True)[-1] == "CC=gcc"
    assert toolchain.is_current()
    install("go1.99.2")
    os.utime(go, (1, 1))
    assert not toolchain.is_current()
    go.unlink()
    assert not toolchain.is_current()


def test_a_command_is_run_where_and_with_what_it_is_told(tmp_path: Path) -> None:
    command = ["sh", "-c", "pwd; echo $WHAT >&2; nice; exit 3"]
    outcome = asyncio.run(run(command, tmp_path, {"PATH": os.environ["PATH"], "WHAT": "that"}, 30))
    assert (outcome.status, outcome.errors) == (3, "that\n")
    assert outcome.output.split() == [str(tmp_path), str(min(os.nice(0) + (10 if low_priority() else 0), 19))]


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(TimeoutError):
        asyncio.run(run(["sh", "-c", script], tmp_path, dict(os.environ), 0.5))
    child = int((tmp_path / "pid").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_killed_command_takes_its_children_along_and_is_told_apart(tmp_path: Path) -> None:
    script = f"sleep 1000 >/dev/null 2>&1 & echo $! > {tmp_path}/pid; kill -9 $$"
    outcome = asyncio.run(run(["sh", "-c", script], tmp_path, dict(os.environ), 30))
    assert outcome.was_killed
    child = int((tmp_path / "pid").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    assert Outcome(1, "", "site: compile: signal: killed").was_killed
    assert not Outcome(1, "", "undefined: x").was_killed


def test_work_that_must_not_be_left_half_done_ends_before_it_is_cancelled() -> None:
    async def cancel_twice() -> list[str]:
        done: list[str] = []
        goes_on = asyncio.Event()

        async def work() -> None:
            await goes_on.wait()
            done.append("work")

        task = asyncio.ensure_future(to_the_end(work()))
        for _ in range(2):
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return done

    assert asyncio.run(cancel_twice()) == ["work"]


def test_what_go_says_is_placed_as_seen_from_the_site(tmp_path: Path) -> None:
    for name in ("pages/a/main.go", "internal/web/web.go", "go.mod"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    said = (
        "# command-line-arguments\n./main.go:4:2: undefined: x\nmain.go:5:1: y\n../../internal/web/web.go:1:1: z\n"
        f"{tmp_path}/pages/a/main.go:7: w\n\tother.go:1:1: v\n"
        "go: ../../go.mod requires go >= 2\n/usr/lib/go/x.go:1: u\n"
    )
    assert relative_output(said, tmp_path / "pages/a", tmp_path) == (
        "# command-line-arguments\npages/a/main.go:4:2: undefined: x\npages/a/main.go:5:1: y\n"
        "internal/web/web.go:1:1: z\npages/a/main.go:7: w\n\tother.go:1:1: v\n"
        "go: go.mod requires go >= 2\n/usr/lib/go/x.go:1: u"
    )


def test_the_first_error_is_the_first_line_that_names_a_place() -> None:
    assert first_error("# site/a\nnote\na.go:1:2: x\nb.go:3: y") == "a.go:1:2: x"
    assert first_error("# site/a\ngo: no modules") == "go: no modules"
    assert first_error("") == "no reason given"


def test_known_errors_have_hints() -> None:
    assert hint_for("no required module provides package example.org/x; to add it:") == "go get example.org/x"
    assert hint_for("missing go.sum entry for module") == "go mod tidy"
    assert hint_for("undefined: x") == ""
