"""Settings: the keys of config/tqsd.yaml and page.yaml as frozen values. Every default is written once, here.

layer.py reads them from files.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RESERVED = {"PORT", "NOTIFY_SOCKET", "STATE_DIRECTORY", "CACHE_DIRECTORY", "CREDENTIALS_DIRECTORY"}
_SIZES = {"": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}


def _with_unit(value: Any, units: dict[str, Any], example: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)", value.strip())
    if not match or match[2].lower() not in units:
        raise ValueError(f"write it like {example}")
    return float(match[1]) * units[match[2].lower()]


def _seconds(value: Any) -> Any:
    return _with_unit(value, _UNITS, "30, 30s, 250ms or 2m")


def _size(value: Any) -> Any:
    number = _with_unit(value, _SIZES, "4096, 64k, 10m or 1g")
    return int(number) if isinstance(number, float) else number


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86400 * 365)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0, le=1 << 62)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=255)]
Method = Annotated[str, Field(pattern=r"^[A-Z][A-Z-]*$", max_length=32)]


def _plain(text: str) -> str:
    if "\0" in text or "\n" in text:
        raise ValueError("holds a line break or a NUL byte")
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no address or network, like 10.0.0.1 or 10.0.0.0/8") from None
    return text


def _host(text: str) -> str:
    try:
        text.encode("idna")
    except UnicodeError:
        text = ""
    if not re.fullmatch(r"[^\s/:@?#]+", text):
        raise ValueError("write a host name without a port, like example.org")
    return text


def _route(text: str) -> str:
    segments = text.rstrip("/").split("/")[1:]
    if not text.startswith("/") or not {"", ".", ".."}.isdisjoint(segments) or re.search(r"[\0-\x1f\\?#%]", text):
        raise ValueError("write a path as people read it, like /api/users")
    return text


Plain = Annotated[str, AfterValidator(_plain)]


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
    proxies: Annotated[int, Field(ge=1, le=64)] = 1
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()

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
    first, *rest = glob.split("/")
    if not first or ".." in (first, *rest) or (rest and re.search(r"[*?[]", first)):
        raise ValueError(f"{glob!r} is no pattern that begins with a directory of the site, like shared/**/*.json")
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


def reserved(name: str) -> str:
    """Why a variable of this name cannot be set; empty when it can."""
    return "is set by tqsd itself" if name in _RESERVED or name.startswith("TQS_") else ""


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
    ldflags: Plain = ""
    private: tuple[Annotated[str, Field(pattern=r"^[^\s,]+$")], ...] = ()
    toolchain: Annotated[str, Field(pattern=r"^(local|auto|go[1-9][0-9]*\.[0-9]+(\.[0-9]+)?((rc|beta)[0-9]+)?)$")] = (
        "local"
    )
    index: Plain = ""
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
    route: Annotated[str, AfterValidator(_route)] | None = None
    methods: tuple[Method, ...] = ()
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
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
            if problem := reserved(str(name)):
                raise ValueError(f"{name} {problem}")
            plain[str(name)] = str(value)
        return plain


class SiteSettings(Settings):
    """config/tqsd.yaml."""

    server: ServerSettings = ServerSettings()
    defaults: PageSettings = PageSettings()
    env: dict[Name, str] = {}
    deploy: DeployWhen | None = None  # None: on-save in dev, on-command when installed

    _plain_values = field_validator("env", mode="before")(PageSettings._plain_values.__func__)  # type: ignore[attr-defined]


class MachineSettings(SiteSettings):
    """/etc/<suite>/tqsd.yaml: what holds on this machine, over what the site says. `pages` is by a page's name."""

    pages: dict[str, PageSettings] = {}
