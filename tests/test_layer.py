from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tqsd.config import MachineSettings, PageSettings, SiteSettings
from tqsd.errors import ConfigError, Problem
from tqsd.layer import origin, parse, read_layer, settle

# Every key with a value that it takes, and some that are always wrong.
PAGE: dict[str, Any] = {
    "runtime": "go",
    "route": "/api",
    "methods": ["GET", "HEAD"],
    "hosts": ["example.org"],
    "strip_prefix": True,
    "health": "/health",
    "env": {"LOG": "debug", "N": 3},
    "secrets": ["DB_PASSWORD"],
    "run": "node server.js",
    "build": {"command": "make", "cgo": True, "tags": ["x"], "ldflags": "-X a=b", "timeout": "5m"},
    "deploy": {"before": "./migrate up", "before_timeout": "1m"},
    "watch": ["shared/**/*.json"],
    "max_body": "10m",
    "start_timeout": 30,
    "stop_timeout": "15s",
    "pm.max_children": 2,
    "pm.worker_concurrency": 8,
}
SITE: dict[str, Any] = {
    "server": {
        "listen": ["127.0.0.1:8080"],
        "head_timeout": "10s",
        "max_head": "32k",
        "trusted_proxies": ["10.0.0.0/8"],
    },
    "defaults": PAGE,
    "env": {"A": "1"},
    "deploy": "on-save",
}
WRONG = [
    None,
    "",
    "x y",
    -1,
    10**30,
    0.5,
    float("nan"),
    True,
    [],
    [None],
    {},
    {"a": {"b": []}},
    "\0",
    "9" * 5000,
    [[1]],
]


def problems_of(model: Any, text: str) -> tuple[Problem, ...]:
    try:
        parse(model, text, "file.yaml")
    except ConfigError as error:
        return error.problems
    return ()


def mistakes(text: str, model: Any = SiteSettings) -> list[str]:
    return sorted(str(problem) for problem in problems_of(model, text))


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [above] if above else []
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += paths(below, (*above, key))
    return found


@given(st.randoms(use_true_random=False), st.sampled_from([(SiteSettings, SITE), (PageSettings, PAGE)]))
@settings(deadline=None, max_examples=150)
def test_a_mutated_file_is_read_or_names_the_mutated_key(
    chance: random.Random, case: tuple[Any, dict[str, Any]]
) -> None:
    model, sound = case
    value = yaml.safe_load(yaml.safe_dump(sound))
    path = chance.choice(paths(value))
    inner = value
    for part in path[:-1]:
        inner = inner[part]
    key, wrong = path[-1], chance.choice(WRONG)
    if isinstance(inner, dict) and chance.random() < 0.3:
        inner[f"{key}x"] = inner.pop(key)
        named = f"{key}x"
    else:
        inner[key] = wrong
        named = key
    top = str(path[min(1, len(path) - 1)] if path[0] == "defaults" else path[0])
    for problem in problems_of(model, yaml.safe_dump(value)):
        assert problem.where.startswith("file.yaml")
        assert top in problem.where or str(named) in problem.where or "cannot be read" in problem.message


@given(st.text(max_size=200))
@settings(deadline=None)
def test_no_text_at_all_crashes_the_reader(text: str) -> None:
    assert all(problem.where.startswith("file.yaml") for problem in problems_of(SiteSettings, text))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {b: *a}",
        "a: " * 5000,
        "[" * 5000,
        "server: !!python/object:os.system x",
        f"server: {{max_connections: {'9' * 5000}}}",
        "env: {1: x, 1: y}",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "deploy: 2026-99-99",
        "\x00",
        "server: 2020-13-45T99:99:99Z",
    ],
)
def test_odd_yaml_is_a_mistake_and_no_crash(text: str) -> None:
    assert mistakes(text)


def test_a_value_says_which_file_and_line_it_comes_from() -> None:
    site = read_layer(MachineSettings, "server:\n  head_timeout: 5\nenv:\n  A: x\n  B: y\n", "config/tqsd.yaml")
    machine = read_layer(MachineSettings, "env:\n  B: z\n", "/etc/tqserver/tqsd.yaml")
    layers = [site, machine]
    assert settle(MachineSettings, layers).env == {"A": "x", "B": "z"}
    assert origin(layers, ("server", "head_timeout")) == "config/tqsd.yaml:2"
    assert origin(layers, ("env", "A")) == "config/tqsd.yaml:4"
    assert origin(layers, ("env", "B")) == "/etc/tqserver/tqsd.yaml:2"
    assert origin(layers, ("server", "idle_timeout")) == "default"


def test_a_short_form_says_where_it_stands() -> None:
    layer = read_layer(PageSettings, "route: /x\nbuild: make -j2\n", "page.yaml")
    assert settle(PageSettings, [layer]).build.command == ("make", "-j2")
    assert origin([layer], ("build", "command")) == "page.yaml:2"


def test_a_part_of_a_layer_keeps_its_lines() -> None:
    layer = read_layer(SiteSettings, "defaults:\n  env:\n    A: 1\n", "config/tqsd.yaml").below("defaults")
    assert origin([layer], ("env", "A")) == "config/tqsd.yaml:3"


def test_the_schema_of_the_settings_is_generated_from_the_model() -> None:
    schema = MachineSettings.model_json_schema()
    assert {"server", "defaults", "env", "deploy", "pages"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False


def test_variables_that_tqsd_sets_itself_are_refused() -> None:
    assert mistakes("env: {PORT: 3000}") == ["file.yaml:1: env: PORT is set by tqsd itself"]
    assert mistakes("env: {TQS_PAGE: x}", PageSettings) == ["file.yaml:1: env: TQS_PAGE is set by tqsd itself"]


@pytest.mark.parametrize("pattern", ["/etc/*", "../x/*.json", "**/*.json", "*/x", ""])
def test_a_pattern_to_watch_begins_with_a_directory_of_the_site(pattern: str) -> None:
    (said,) = mistakes(f"watch: ['{pattern}']", PageSettings)
    assert "watch" in said


def test_a_command_that_no_shell_could_split_is_a_mistake() -> None:
    (said,) = mistakes("run: node 'server.js", PageSettings)
    assert said.startswith("file.yaml:1: run: not a command: No closing quotation")


def test_pages_are_named_in_the_machines_file(tmp_path: Path) -> None:
    layer = read_layer(MachineSettings, "pages:\n  api/users:\n    pm.max_children: 4\n", "tqsd.yaml")
    assert settle(PageSettings, [layer.below("pages", "api/users")]).max_children == 4
