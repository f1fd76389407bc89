from __future__ import annotations

from pathlib import Path

import pytest

from tqsd.errors import ConfigError, UsageError
from tqsd.site import Configuration, Discovery, discover, own_files, read_settings
from tqsd.state import find_site

MAIN = "package main\n\nfunc main() {}\n"


def a_site(root: Path, *pages: str, **files: str) -> Path:
    (root / "config").mkdir(parents=True, exist_ok=True)
    for page in pages:
        (root / "pages" / page).mkdir(parents=True)
        (root / "pages" / page / "main.go").write_text(MAIN)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


def found(root: Path) -> Discovery:
    return discover(root, Configuration())


def routes(root: Path) -> dict[str, str]:
    return {name: page.route for name, page in found(root).pages.items()}


def test_a_page_serves_the_path_of_its_place(tmp_path: Path) -> None:
    a_site(tmp_path, "api/users", "api/v1/users", "webhooks/github")
    assert routes(tmp_path) == {
        "api/users": "/api/users",
        "api/v1/users": "/api/v1/users",
        "webhooks/github": "/webhooks/github",
    }


def test_index_as_last_segment_serves_its_parent(tmp_path: Path) -> None:
    a_site(tmp_path, "index", "index/about", "shop/index")
    assert routes(tmp_path) == {"index": "/", "index/about": "/index/about", "shop/index": "/shop"}


def test_pages_nest_and_a_folder_without_a_mark_is_no_page(tmp_path: Path) -> None:
    a_site(tmp_path, "api", "api/deep/er")
    assert routes(tmp_path) == {"api": "/api", "api/deep/er": "/api/deep/er"}


@pytest.mark.parametrize("name", [".hidden", "_draft", "testdata", "vendor", "node_modules", "internal", "cmd"])
def test_reserved_names_are_never_pages(tmp_path: Path, name: str) -> None:
    a_site(tmp_path, name, f"{name}/inner", "ok")
    assert routes(tmp_path) == {"ok": "/ok"}


def test_names_with_spaces_and_unicode_are_pages(tmp_path: Path) -> None:
    a_site(tmp_path, "straße/zwei wörter")
    assert routes(tmp_path) == {"straße/zwei wörter": "/straße/zwei wörter"}


def test_two_pages_on_one_url_are_reported_and_the_natural_one_serves(tmp_path: Path) -> None:
    a_site(tmp_path, "shop", "store")
    (tmp_path / "pages/store/page.yaml").write_text("route: /shop\n")
    discovery = found(tmp_path)
    assert list(discovery.pages) == ["shop"]
    (problem,) = discovery.problems
    assert problem.page == "store"
    assert "/shop already belongs to pages/shop" in str(problem)


def test_disjoint_methods_may_share_a_route(tmp_path: Path) -> None:
    a_site(tmp_path, "read", "write")
    (tmp_path / "pages/read/page.yaml").write_text("route: /things\nmethods: [GET, HEAD]\n")
    (tmp_path / "pages/write/page.yaml").write_text("route: /things\nmethods: [POST]\n")
    assert routes(tmp_path) == {"read": "/things", "write": "/things"}
    assert not found(tmp_path).problems


def test_a_broken_page_yaml_breaks_only_its_page(tmp_path: Path) -> None:
    a_site(tmp_path, "good", "bad")
    (tmp_path / "pages/bad/page.yaml").write_text("heath: none\nmethods: 3\n")
    discovery = found(tmp_path)
    assert list(discovery.pages) == ["good"]
    assert discovery.broken == {"bad": "/bad"}
    assert {str(p) for p in discovery.problems_of("bad")} == {
        "pages/bad/page.yaml:1: heath: unknown key (did you mean health?)",
        "pages/bad/page.yaml:2: methods: Input should be a valid tuple, not 3",
    }


def test_an_unreadable_page_yaml_is_a_problem_of_its_page(tmp_path: Path) -> None:
    a_site(tmp_path, "good", "bad")
    (tmp_path / "pages/bad/page.yaml").mkdir()
    (problem,) = found(tmp_path).problems
    assert problem.page == "bad"
    assert "cannot be read" in problem.message


def test_settings_that_are_not_text_are_refused(tmp_path: Path) -> None:
    a_site(tmp_path)
    (tmp_path / "config/tqsd.yaml").write_bytes(b"server: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_settings(tmp_path)


def test_a_link_to_a_directory_is_reported_not_followed(tmp_path: Path) -> None:
    a_site(tmp_path, "real")
    (tmp_path / "pages/loop").symlink_to(tmp_path / "pages")
    discovery = found(tmp_path)
    assert list(discovery.pages) == ["real"]
    assert "not followed" in discovery.problems[0].message


def test_a_site_without_pages_is_empty(tmp_path: Path) -> None:
    assert not found(a_site(tmp_path)).pages


def test_every_directory_of_a_site_finds_it_by_walking_up(tmp_path: Path) -> None:
    site = a_site(tmp_path / "site", "api/users")
    assert find_site(site / "pages/api/users") == site.resolve()


def test_outside_a_site_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_site(tmp_path)
    assert "tqsd init" in caught.value.hint


def test_a_site_behind_a_link_is_found_at_its_real_place(tmp_path: Path) -> None:
    site = a_site(tmp_path / "real", "index")
    (tmp_path / "link").symlink_to(site)
    assert find_site(tmp_path / "link/pages") == site.resolve()


def test_the_files_of_a_page_leave_out_its_sub_pages(tmp_path: Path) -> None:
    a_site(tmp_path, "api", "api/sub", "api/group/deep")
    for name in ("api/static/a.css", "api/internal/x/x.go", "api/.git/HEAD", "api/group/note.txt"):
        (tmp_path / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pages" / name).write_text("x")
    files = [str(path.relative_to(tmp_path / "pages/api")) for path in own_files(tmp_path / "pages/api")]
    assert files == ["group/note.txt", "internal/x/x.go", "main.go", "static/a.css"]
