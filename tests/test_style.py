"""The house rules that a machine can check: layers, sizes, words, linters."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tqsd"
FILES = sorted(PACKAGE.rglob("*.py"))

FILE_LINES = 400
FUNCTION_LINES = 50
ARGUMENTS = 6

# Imports go downward or stay on their layer; the most exact name wins.
LAYERS = {
    "tqsd": 0,
    "tqsd.errors": 0,
    "tqsd.config": 0,
    "tqsd.layer": 0,
    "tqsd.page": 0,
    "tqsd.worker": 0,
    "tqsd.release": 0,
    "tqsd.http1": 1,
    "tqsd.proxy.answer": 1,
    "tqsd.proxy.balancer": 1,
    "tqsd.proxy.counters": 1,
    "tqsd.proxy.exchange": 1,
    "tqsd.proxy.intake": 1,
    "tqsd.proxy.state": 1,
    "tqsd.proxy.table": 1,
    "tqsd.proxy.wanted": 1,
    "tqsd.route": 1,
    "tqsd.table": 1,
    "tqsd.environment": 1,
    "tqsd.manager": 2,
    "tqsd.systemd": 2,
    "tqsd.builder": 2,
    "tqsd.proxy": 2,
    "tqsd.watch.changes": 2,
    "tqsd.control": 2,
    "tqsd.site": 2,
    "tqsd.store": 2,
    "tqsd.state": 2,
    "tqsd.history": 2,
    "tqsd.log": 2,
    "tqsd.launcher": 2,
    "tqsd.place": 2,
    "tqsd.outfit": 2,
    "tqsd.before": 2,
    "tqsd.secret": 2,
    "tqsd.dotenv": 1,
    "tqsd.deploy": 3,
    "tqsd.deployment": 3,
    "tqsd.slots": 3,
    "tqsd.suite": 3,
    "tqsd.recover": 3,
    "tqsd.cli": 4,
    "tqsd.__main__": 4,
    "tqsd.proxy.main": 4,
    "tqsd.watch": 4,
}
ORCHESTRATION_MAY_SEE = {"tqsd.manager", "tqsd.builder"}  # the Protocols; adapters reach deploy as arguments
IMPURE = {"os", "socket", "asyncio", "time", "select", "threading", "subprocess"}
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|base|misc|supervisor)(_|$)")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer_of(module: str) -> int:
    while module not in LAYERS:
        module = module.rpartition(".")[0]
    return LAYERS[module]


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = ROOT / Path(*node.module.split(".")) / alias.name
                is_module = below.is_dir() or below.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_downward(path: Path) -> None:
    mine = layer_of(module_of(path))
    for name in imports_of(path):
        if name.startswith("tqsd"):
            assert layer_of(name) <= mine, f"{module_of(path)} (layer {mine}) imports {name} (layer {layer_of(name)})"
            if mine == 3:
                assert layer_of(name) != 2 or name in ORCHESTRATION_MAY_SEE, (
                    f"{module_of(path)} imports an adapter: {name}"
                )
        elif mine == 1:
            assert name.partition(".")[0] not in IMPURE, f"{module_of(path)} is pure, but imports {name}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_functions_and_argument_lists_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES
    for function in functions_of(path):
        where = f"{module_of(path)}.{function.name}"
        assert (function.end_lineno or 0) - function.lineno < FUNCTION_LINES, where
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        assert len([name for name in names if name not in ("self", "cls")]) <= ARGUMENTS, where


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert not BANNED_NAMES.search(path.stem)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            snake = re.sub(r"(?<!^)(?=[A-Z])", "_", node.name).lower()
            assert not BANNED_NAMES.search(snake), node.name


def test_nothing_below_the_top_asks_whether_there_is_a_systemd() -> None:
    for path in FILES:
        if layer_of(module_of(path)) in (0, 1, 3):
            code = ast.unparse(ast.parse(path.read_text()))
            tree = ast.parse(code)
            for node in ast.walk(tree):
                if isinstance(node, ast.If):
                    assert "systemd" not in ast.unparse(node.test), module_of(path)


def test_the_project_names_no_place_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    place = re.compile(r"/(?:home/[a-z]|root/|work/|srv/farm)")
    for name in listed.splitlines():
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".toml", ".yaml", ".go", ".html", "")
            and path.is_file()
            and path != Path(__file__)
        ):
            assert not place.search(path.read_text(errors="replace")), name


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=["ruff check", "ruff format", "mypy --strict"],
)
def test_linters_have_nothing_to_say(command: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
