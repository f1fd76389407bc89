"""Small real sites of Python pages, and the packages that they require."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from tests.builder.sites import Site
from tqsd.builder.python import PythonBuilder, PythonRecipe
from tqsd.config import BuildSettings, PageSettings
from tqsd.page import Page, Runtime, route_of

APP = "async def app(scope, receive, send): ...\n"


class PythonSite(Site):
    """A site of Python pages. Packages come from its directory `packages`, and from nowhere else."""

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self.venvs = root / ".tqsd" / "venvs"
        super().__init__(root, files, module="")

    def new_builder(self) -> PythonBuilder:  # type: ignore[override]
        return PythonBuilder(self.root, self.store, PythonRecipe(self.root, self.venvs, pip_environment(self.packages)))

    @property
    def packages(self) -> Path:
        return self.root.parent / "packages"

    def page(self, name: str, **build: object) -> Page:
        directory = (self.root / "pages" / name).resolve()
        settings = PageSettings(build=BuildSettings(**build))  # type: ignore[arg-type]
        return Page(name, directory, route_of(name), Runtime.PYTHON, settings)


def pip_environment(packages: Path) -> dict[str, str]:
    """Where pip finds the wheels in `packages` and nothing else, and there is no uv."""
    packages.mkdir(parents=True, exist_ok=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return {**own, "PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages)}


def add_wheel(packages: Path, name: str, source: str, version: str = "1.0", needs: str = "") -> Path:
    """A wheel with one module, of the same name."""
    packages.mkdir(parents=True, exist_ok=True)
    wheel = packages / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", source)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
        archive.writestr(
            f"{name}-{version}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return wheel
