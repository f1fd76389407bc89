"""Which modules of the site a page needs, as its sources say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builder.python_sites import PythonSite
from tqsd.builder.modules import Import, ImportGraph, Modules, imports_of
from tqsd.builder.sources import everything
from tqsd.errors import BuildError

SHARED = {
    "shared/__init__.py": "",
    "shared/db.py": "from . import names\n",
    "shared/names.py": "",
    "shared/mail/__init__.py": "from .send import send\nfrom ..names import *\n",
    "shared/mail/send.py": "",
    "shared/mail/letter.txt": "",
    "shared/schema.sql": "",
    "plain/one.py": "import plain.two\n",
    "plain/two.py": "",
    "top.py": "import shared.names\n",
    "email/letter.py": "",
    "queue.py": "",
    "README.md": "",
}


def reached(root: Path, app: str, **others: str) -> Modules:
    files = {**SHARED, "pages/chat/app.py": app, **{f"pages/{name}": text for name, text in others.items()}}
    site = PythonSite(root, files)
    page = site.page("chat")
    return ImportGraph(root).reach(page, everything(page, root))


def modules(root: Path, app: str, **others: str) -> set[str]:
    """The Python files among those that are reached."""
    found = reached(root, app, **others).files
    return {path.relative_to(root).as_posix() for path in found if path.suffix == ".py"}


MAIL = {"shared/__init__.py", "shared/mail/__init__.py", "shared/mail/send.py", "shared/names.py"}
DB = {"shared/__init__.py", "shared/db.py", "shared/names.py"}


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("import os, sys, fastapi.routing", set()),
        ("import shared", {"shared/__init__.py"}),
        ("import shared.db", DB),
        ("from shared import db", DB),
        ("from shared.db import connect", DB),
        ("from shared import nothing", {"shared/__init__.py"}),
        ("def later():\n    import shared.db", DB),
        ("try:\n    import shared.db\nexcept ImportError:\n    pass", DB),
        ("import shared.mail as m", MAIL),
        ("from shared import *", {"shared/__init__.py", "shared/db.py", "shared/names.py"}),
        ("import plain.one", {"plain/one.py", "plain/two.py"}),
        ("from plain import one", {"plain/one.py", "plain/two.py"}),
        ("import top", {"top.py", "shared/__init__.py", "shared/names.py"}),
        ("import importlib\nimportlib.import_module('plain.two')", {"plain/two.py"}),
        ("from importlib import import_module\nimport_module('plain.two')", {"plain/two.py"}),
        ("__import__('top')", {"top.py", "shared/__init__.py", "shared/names.py"}),
        ("import importlib\nimportlib.import_module('a/../b\\0')", set()),
        ("from . import shared\nfrom .. import top", set()),
        ("import email.letter, queue", set()),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import top\nelse:\n    import plain.two",
            {"plain/two.py"},
        ),
        ("this is no Python", set()),
    ],
)
def test_the_modules_that_a_page_names_are_found(tmp_path: Path, app: str, expected: set[str]) -> None:
    assert modules(tmp_path, app) == expected


def test_the_page_s_own_files_go_first_and_are_followed(tmp_path: Path) -> None:
    own = {"chat/top.py": "", "chat/lib/__init__.py": "from . import part", "chat/lib/part.py": "import plain.two"}
    assert modules(tmp_path, "import top", **own) == {"plain/two.py"}


def test_a_directory_of_the_page_without_a_package_is_one_with_the_site_s(tmp_path: Path) -> None:
    assert modules(tmp_path, "import plain.two", **{"chat/plain/page.txt": ""}) == {"plain/two.py"}
    assert modules(tmp_path, "import shared.db", **{"chat/shared/page.txt": ""}) == DB


def test_other_files_beside_an_imported_module_belong_to_it(tmp_path: Path) -> None:
    for name in ("shared/data.db", "shared/data.db-wal", "shared/page.log", "shared/.hidden", "shared/edited.txt~"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = reached(tmp_path, "import shared.mail")
    beside = {path.relative_to(tmp_path).as_posix() for path in found.files if path.suffix != ".py"}
    assert beside == {"shared/schema.sql", "shared/mail/letter.txt"}
    assert not [path for path in reached(tmp_path, "import top").files if path.name == "README.md"]


def test_where_modules_lie_and_where_missing_ones_would_is_watched(tmp_path: Path) -> None:
    assert tmp_path / "plain" in reached(tmp_path, "import plain.two").places
    assert tmp_path / "plain" in reached(tmp_path, "from plain import three").places
    assert tmp_path / "later" in reached(tmp_path, "import later").places
    assert tmp_path / "pages/chat" not in reached(tmp_path, "import later").places


def test_what_comes_from_elsewhere_is_listed_if_it_is_imported_at_once(tmp_path: Path) -> None:
    app = (
        "import sqlite3, shared.db\nfrom fastapi.responses import JSONResponse\nimport own\nimport email.letter\n"
        "try:\n    import ujson\nexcept ImportError:\n    import json\n"
        "def later():\n    import heavy\nif __name__ == '__main__':\n    import uvicorn\n"
    )
    own = {"chat/own.py": "import httpx\n"}
    expected = {"sqlite3", "fastapi.responses", "email.letter", "ujson", "json", "httpx"}
    assert set(reached(tmp_path, app, **own).installed) == expected


@pytest.mark.parametrize("statement", ["from pages.users import db", "import pages.users.lib.deep"])
def test_a_module_of_another_page_is_refused(tmp_path: Path, statement: str) -> None:
    users = {"users/app.py": "", "users/db.py": "", "users/lib/deep.py": ""}
    with pytest.raises(BuildError) as caught:
        reached(tmp_path, f"\n{statement}\n", **users)
    assert caught.value.message.startswith("pages/chat/app.py:2: pages.users.")
    assert caught.value.message.endswith(" belongs to the page users")
    assert "to shared/" in caught.value.hint


def test_a_module_of_a_sub_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="belongs to the page chat/room"):
        reached(tmp_path, "from room import db", **{"chat/room/app.py": "", "chat/room/db.py": ""})


def test_modules_below_pages_that_are_no_page_s_may_be_shared(tmp_path: Path) -> None:
    others = {"internal/web.py": "", "chat/own.py": ""}
    assert modules(tmp_path, "import pages.internal.web", **others) == {"pages/internal/web.py"}
    assert modules(tmp_path, "import pages.chat.own", **others) == {"pages/chat/own.py"}


def test_a_module_that_leads_out_of_the_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.py").write_text("")
    site = tmp_path / "site"
    (site / "plain").mkdir(parents=True)
    (site / "plain/out.py").symlink_to(tmp_path / "out.py")
    with pytest.raises(BuildError, match="leads out of the site"):
        reached(site, "import plain.out")


def test_a_source_is_read_again_when_it_changes(tmp_path: Path) -> None:
    site = PythonSite(tmp_path, {**SHARED, "pages/chat/app.py": "import plain.two\n"})
    page, graph = site.page("chat"), ImportGraph(tmp_path)
    assert len(graph.reach(page, everything(page, tmp_path)).files) == 1
    site.write("plain/two.py", "import plain.one\n")
    assert len(graph.reach(page, everything(page, tmp_path)).files) == 2


@pytest.mark.parametrize(
    ("statement", "package", "targets"),
    [
        (Import(1, "a.b"), "", ["a.b"]),
        (Import(1, "a", ("b", "c")), "p", ["a", "a.b", "a.c"]),
        (Import(1, "", ("b",), 1), "p.q", ["p.q", "p.q.b"]),
        (Import(1, "a", ("b",), 2), "p.q", ["p.a", "p.a.b"]),
        (Import(1, "a", ("b",), 3), "p.q", []),
        (Import(1, "a", ("b",), 1), "", []),
    ],
)
def test_relative_names_are_those_of_the_package(statement: Import, package: str, targets: list[str]) -> None:
    assert statement.targets(package) == targets


@pytest.mark.parametrize("source", [b"\0", b"\xff\xfe", b"(" * 5000, b"# coding: nonsense\n"])
def test_what_is_no_python_imports_nothing(source: bytes) -> None:
    assert list(imports_of(source)) == []
