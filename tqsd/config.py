"""Settings: YAML text in, frozen values out. Every default is written once, here.

`parse` reports all problems of a file at once, each with its line, its key and, for a misspelt key, the likely one.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tqsd.errors import ConfigError, Problem

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SIZES = {"": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}


def _with_unit(value: Any, units: dict[str, Any], example: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", value.strip())
    if not match or match[2].lower() not in units:
        raise ValueError(f"write it like {example}")
    return float(match[1]) * units[match[2].lower()]


def _seconds(value: Any) -> Any:
    return _with_unit(value, _UNITS, "30, 30s, 250ms or 2m")


def _size(value: Any) -> Any:
    number = _with_unit(value, _SIZES, "4096, 64k, 10m or 1g")
    return int(number) if isinstance(number, float) else number


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86400 * 365)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=255)]
Method = Annotated[str, Field(pattern=r"^[A-Z][A-Z-]*$", max_length=32)]


class Mode(StrEnum):
    DEV = "dev"
    PROD = "prod"


class DeployWhen(StrEnum):
    ON_SAVE = "on-save"
    ON_COMMAND = "on-command"


class Settings(BaseModel):
    """Frozen, and strict about keys: what tqsd does not know is a mistake, not an extra."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ServerSettings(Settings):
    """The proxy: where it listens, how long it waits, how much it takes: seconds and bytes."""

    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    head_timeout: Seconds = 10.0
    idle_timeout: Seconds = 150.0  # longer than the 120 s that Caddy keeps a pooled connection
    connect_timeout: Seconds = 1.0
    response_timeout: Seconds = 60.0
    stream_timeout: Seconds = 300.0
    queue_timeout: Seconds = 30.0
    queue_length: Annotated[int, Field(ge=0)] = 1024
    first_build_timeout: Seconds = 120.0
    drain_timeout: Seconds = 30.0
    max_head: Annotated[Size, Field(ge=1024, le=1 << 20)] = 32 << 10
    max_target: Annotated[Size, Field(ge=256, le=1 << 16)] = 8 << 10
    max_connections: Annotated[int, Field(ge=1)] = 10000
    trusted_proxies: tuple[str, ...] = ()

    @field_validator("listen")
    @classmethod
    def _addresses(cls, listen: tuple[str, ...]) -> tuple[str, ...]:
        if not listen:
            raise ValueError("name at least one address, like 127.0.0.1:8080")
        for address in listen:
            host, _, port = address.rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
                raise ValueError(f"{address!r} is not HOST:PORT, like 127.0.0.1:8080 or [::1]:8080")
        return listen


def _inside(glob: str) -> str:
    if glob.startswith("/") or ".." in glob.split("/") or not glob.strip("/"):
        raise ValueError(f"{glob!r} is not a pattern below the site, like shared/**/*.json")
    return glob


Glob = Annotated[str, AfterValidator(_inside)]


def _words(value: Any) -> Any:
    """A command as a list of words, also from one line of them; no shell reads it."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"not a command: {error}") from None


def _no_nul(words: tuple[str, ...]) -> tuple[str, ...]:
    if any("\0" in word for word in words):
        raise ValueError("holds a NUL byte")
    return words


Command = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_no_nul)]


class BuildSettings(Settings):
    """How a page is built. `build: make` is short for `build: {command: make}`."""

    command: Command = ()
    cgo: bool = False
    race: bool = False
    tags: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")], ...] = ()
    ldflags: str = ""
    index: str = ""
    sdist: bool = False
    timeout: Seconds = 600.0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"command": value} if isinstance(value, (str, list)) else value


class DeploySettings(Settings):
    """What a deployment of a page does besides: `before` runs between its build and its start."""

    before: Command = ()
    before_timeout: Seconds = 300.0


class PageSettings(Settings):
    """One page. The same keys under `defaults:` in config/tqsd.yaml hold for every page that does not set them."""

    runtime: Annotated[str, Field(pattern=r"^(go|python|command|static)$")] | None = None
    route: Annotated[str, Field(pattern=r"^/")] | None = None
    methods: tuple[Method, ...] = ()
    hosts: tuple[str, ...] = ()
    strip_prefix: bool = False
    health: Annotated[str, Field(pattern=r"^(auto|none|tcp|/\S*)$")] = "auto"
    env: dict[Name, str] = {}
    secrets: tuple[Name, ...] = ()
    run: Command = ()
    build: BuildSettings = BuildSettings()
    deploy: DeploySettings = DeploySettings()
    watch: tuple[Glob, ...] = ()
    max_body: Size | None = None
    start_timeout: Seconds = 30.0
    stop_timeout: Seconds = 15.0
    max_children: Annotated[int, Field(ge=1, le=1000, alias="pm.max_children")] = 1
    worker_concurrency: Annotated[int | None, Field(ge=1, le=100_000, alias="pm.worker_concurrency")] = None

    @field_validator("env", mode="before")
    @classmethod
    def _plain_values(cls, env: Any) -> Any:
        if not isinstance(env, dict):
            return env
        plain = {}
        for name, value in env.items():
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise ValueError(f"{name} must be text or a number; put it in quotes")
            if "\0" in str(value):
                raise ValueError(f"{name} holds a NUL byte")
            plain[str(name)] = str(value)
        return plain


class SiteSettings(Settings):
    """config/tqsd.yaml."""

    server: ServerSettings = ServerSettings()
    defaults: PageSettings = PageSettings()
    env: dict[str, str] = {}
    deploy: DeployWhen | None = None  # None: on-save in dev, on-command when installed

    _plain_values = field_validator("env", mode="before")(PageSettings._plain_values.__func__)  # type: ignore[attr-defined]


Model = TypeVar("Model", bound=Settings)


def parse(model: type[Model], text: str, where: str, beneath: Settings | None = None) -> Model:
    """The settings of one YAML file; keys it leaves out come from `beneath`.

    Raises ConfigError with one Problem per mistake: "where:line: key" and what is wrong with it.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, where)]) from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError([Problem(f"{where}:1", "settings must be `key: value` lines")])
    twice = list(_repeated_keys(tree, where))
    if twice:
        raise ConfigError(twice)
    if beneath is not None:
        values = _laid_over(values, beneath.model_dump(exclude_unset=True, by_alias=True))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError([_problem(model, tree, item, where) for item in error.errors()]) from None


def _laid_over(values: dict[Any, Any], beneath: dict[str, Any]) -> dict[Any, Any]:
    """`values` with what they leave out taken from `beneath`, also inside nested settings such as `env:`."""
    merged = {**beneath, **values}
    for key, lower in beneath.items():
        if isinstance(lower, dict) and isinstance(values.get(key), dict):
            merged[key] = _laid_over(values[key], lower)
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
            if key.value in seen:
                yield Problem(f"{where}:{line}: {key.value}", f"set twice, first on line {seen[key.value]}")
            seen[str(key.value)] = line
            yield from _repeated_keys(value, where)


def _problem(model: type[Settings], tree: yaml.Node | None, item: Any, where: str) -> Problem:
    path = tuple(part for part in item["loc"] if part != "[key]")
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
