"""The table: the whole routing state, as the watcher sends it and as table.json holds it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tqsd.route import RouteTable

FORMAT = 1

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadTable(ValueError):
    """A table that cannot be applied; the one in force stays."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long the proxy waits (seconds) and how much it takes (bytes, or a count)."""

    head_timeout: float
    idle_timeout: float
    connect_timeout: float
    response_timeout: float
    stream_timeout: float
    queue_timeout: float
    queue_length: int
    first_build_timeout: float
    drain_timeout: float
    max_head: int
    max_target: int
    max_connections: int
    trusted_proxies: tuple[Network, ...]

    def trusts(self, address: str) -> bool:
        """Is this client's X-Forwarded-* believed? Loopback always is."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        return ip.is_loopback or any(ip in network for network in self.trusted_proxies)


@dataclass(frozen=True, slots=True)
class Row:
    """What changes about a page's route while the route itself stays."""

    page: str
    state: str
    reason: str
    concurrency: int
    targets: tuple[tuple[int, str], ...]  # port, release
    held: bool  # somebody wants its requests to wait
    files: bytes  # the directory of a page that the proxy serves itself; empty for all others


@dataclass(frozen=True, slots=True)
class Table:
    version: int
    mode: str
    settings: Settings
    not_found: str
    routes: RouteTable
    rows: tuple[Row, ...]

    @classmethod
    def from_plain(cls, plain: Any) -> Table:
        """Read the JSON object. Raises BadTable."""
        try:
            if plain["format"] != FORMAT:
                raise BadTable(f"table format {plain['format']!r}, not {FORMAT}")
            return cls(
                version=int(plain["version"]),
                mode=str(plain["mode"]),
                settings=_settings(plain["server"]),
                not_found=plain.get("not_found") or "",
                routes=RouteTable(plain["routes"]),
                rows=tuple(_row(row) for row in plain["routes"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadTable(f"not a table: {error!r}") from error

    def routes_like(self, other: Table) -> bool:
        """Would every request be read and routed as by `other`? Then only targets differ."""
        return (self.settings, self.not_found, self.routes.routes) == (
            other.settings,
            other.not_found,
            other.routes.routes,
        )


def _settings(server: Mapping[str, Any]) -> Settings:
    networks = tuple(ipaddress.ip_network(text, strict=False) for text in server["trusted_proxies"])
    names = [name for name in Settings.__dataclass_fields__ if name != "trusted_proxies"]
    return Settings(**{name: server[name] for name in names}, trusted_proxies=networks)


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        page=row["page"],
        state=row["state"],
        reason=row.get("reason") or "",
        concurrency=int(row["concurrency"]),
        targets=tuple((int(target["port"]), str(target["release"])) for target in row["targets"]),
        held=bool(row.get("held")),
        files=(row.get("files") or "").encode(errors="surrogateescape"),
    )
