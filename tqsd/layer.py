"""Layers of settings: one YAML file each, read with the line of every key, the stronger laid over the weaker.

All problems of a file are found at once, each with its line, its key and, for a misspelt key, the likely one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tqsd.config import Settings
from tqsd.errors import ConfigError, Problem

Key = tuple[str, ...]  # "server", "listen"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one file sets, and no defaults.

    where   the file as people know it: "config/tqsd.yaml"
    values  plain data by the names of the keys in files
    lines   where each key is in the file
    """

    where: str
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)

    def below(self, *key: str) -> Layer:
        """What it sets beneath `key`, as a layer of its own."""
        values: Any = self.values
        for part in key:
            values = values.get(part, {})
        depth = len(key)
        return Layer(self.where, values, {k[depth:]: line for k, line in self.lines.items() if k[:depth] == key})

    def place(self, key: Key) -> str:
        """Where it sets `key`, or what `key` is part of: "config/tqsd.yaml:12"."""
        while key not in self.lines:
            key = key[:-1]
        return f"{self.where}:{self.lines[key]}"


Model = TypeVar("Model", bound=Settings)


def parse(model: type[Model], text: str, where: str) -> Model:
    """The settings of a single YAML file. Raises ConfigError."""
    return settle(model, [read_layer(model, text, where)])


def read_layer(model: type[Settings], text: str, where: str) -> Layer:
    """What a YAML file for `model` sets. Raises ConfigError, one Problem per mistake: "where:line: key", and why."""
    try:
        return _read(model, text, where)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, where)]) from None
    except RecursionError:
        raise ConfigError([Problem(where, "is nested too deeply", "an anchor inside itself?")]) from None


def _read(model: type[Settings], text: str, where: str) -> Layer:
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        values = yaml.safe_load(text)
    except (ValueError, OverflowError, TypeError) as error:  # a number or a date that Python cannot hold, an odd key
        raise ConfigError([Problem(where, f"holds what cannot be read: {error}", "put it in quotes")]) from None
    if values is None:
        return Layer(where)
    if not isinstance(values, dict):
        raise ConfigError([Problem(f"{where}:1", "settings must be `key: value` lines")])
    twice = list(_repeated_keys(tree, where))
    if twice:
        raise ConfigError(twice)
    try:
        sound = model.model_validate(values)
    except ValidationError as error:
        raise ConfigError([_problem(model, tree, item, where) for item in error.errors()]) from None
    return Layer(where, sound.model_dump(exclude_unset=True, by_alias=True), dict(_lines(tree, ())))


def settle(model: type[Model], layers: Sequence[Layer]) -> Model:
    """What the layers say together: a later one wins, key by key, and what none sets has its default."""
    values: Mapping[str, Any] = {}
    for layer in layers:
        values = _laid_over(layer.values, values)
    return model.model_validate(values)


def origin(layers: Sequence[Layer], key: Key) -> str:
    """Which layer the value of `key` comes from: "config/tqsd.yaml:12", or "default"."""
    for layer in reversed(layers):
        values: Any = layer.values
        for part in key:
            if not isinstance(values, Mapping) or part not in values:
                break
            values = values[part]
        else:
            return layer.place(key)
    return "default"


def _laid_over(values: Mapping[str, Any], beneath: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with what they leave out taken from `beneath`, also inside nested settings such as `env:`."""
    merged = {**beneath, **values}
    for key, lower in beneath.items():
        if isinstance(lower, dict) and isinstance(upper := values.get(key), dict):
            merged[key] = _laid_over(upper, lower)
    return merged


def _syntax_problem(error: yaml.YAMLError, where: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    text = str(getattr(error, "problem", None) or error).replace("\n", " ")
    return Problem(f"{where}{line}", f"not valid YAML: {text}", "YAML indents with spaces, and needs one after `:`")


def _repeated_keys(node: yaml.Node | None, where: str) -> Iterator[Problem]:
    """YAML's safe loader lets the last of two equal keys win; for settings that hides a mistake."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in seen:
                yield Problem(f"{where}:{line}: {name}", f"set twice, first on line {seen[name]}")
            seen[name] = line
            yield from _repeated_keys(value, where)


def _lines(node: yaml.Node | None, above: Key) -> Iterator[tuple[Key, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*above, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)


def _problem(model: type[Settings], tree: yaml.Node | None, item: Any, where: str) -> Problem:
    # pydantic also names the validators and, of a union, the kinds it tried.
    path = tuple(part for part in item["loc"] if not isinstance(part, str) or not re.search(r"[\[(]", part))
    key = ".".join(str(part) for part in path)
    message = re.sub(r"^Value error, ", "", item["msg"])
    hint = ""
    if item["type"] == "extra_forbidden":
        message = "unknown key"
        close = difflib.get_close_matches(str(path[-1]), _keys(model, path[:-1]), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(_keys(model, path[:-1]))}"
    elif "input" in item and isinstance(item["input"], (str, int, float, bool)):
        message += f", not {item['input']!r}"
    return Problem(f"{where}:{_line(tree, path)}: {key}", message, hint)


def _line(node: yaml.Node | None, path: tuple[Any, ...]) -> int:
    line = node.start_mark.line + 1 if node else 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    for part in path:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        if field is None:
            return []
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        nested = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        if nested is None:
            return []
        model = nested
    return sorted(field.alias or name for name, field in model.model_fields.items())
