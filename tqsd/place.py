"""Where one suite works: its site, its mode, and its directories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqsd.config import Mode
from tqsd.state import Paths


@dataclass(frozen=True, slots=True)
class Place:
    """`urls` says where the site answers, as far as that is known."""

    site: Path
    mode: Mode
    paths: Paths
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """The place that a service is told by TQS_SITE, TQS_MODE, TQS_ETC, TQS_VAR, TQS_CACHE, TQS_RUN, TQS_LISTEN."""

        def path(name: str) -> Path:
            return Path(environment[name])

        paths = Paths(etc=path("TQS_ETC"), var=path("TQS_VAR"), cache=path("TQS_CACHE"), run=path("TQS_RUN"))
        urls = tuple(environment.get("TQS_LISTEN", "").split())
        return cls(path("TQS_SITE"), Mode(environment["TQS_MODE"]), paths, urls)

    def told(self) -> dict[str, str]:
        """The variables that `of` reads."""
        return {
            "TQS_SITE": str(self.site),
            "TQS_MODE": self.mode.value,
            "TQS_ETC": str(self.paths.etc),
            "TQS_VAR": str(self.paths.var),
            "TQS_CACHE": str(self.paths.cache),
            "TQS_RUN": str(self.paths.run),
            "TQS_LISTEN": " ".join(self.urls),
        }
