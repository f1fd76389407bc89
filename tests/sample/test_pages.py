from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
from pathlib import Path

import pytest

from bench.programs import go
from tests.sample.programs import ROOT, built, run_go, worker
from tqsd.config import MachineSettings
from tqsd.site import discover, read_settings

ROUTES = {
    "index": "/",
    "api/users": "/api/users",
    "api/posts": "/api/posts",
    "api/v1/users": "/api/v1/users",
    "api/v1/orders": "/api/v1/orders",
    "webhooks/github": "/webhooks/github",
    "webhooks/stripe": "/webhooks/stripe",
}
OTHERS = {"assets": "/assets", "chat": "/chat", "clock": "/clock", "guestbook": "/guestbook"}  # not in Go
JSON = {"Content_Type": "application/json"}


def test_the_settings_of_the_sample_are_sound_and_none_differs_from_its_default() -> None:
    assert read_settings(ROOT).settings == MachineSettings()


def test_every_page_of_the_sample_is_found() -> None:
    discovery = discover(ROOT, read_settings(ROOT))
    assert {name: page.route for name, page in discovery.pages.items()} == {**ROUTES, **OTHERS}
    assert not discovery.problems


def test_the_sample_needs_nothing_but_the_standard_library() -> None:
    assert not (ROOT / "go.sum").exists()
    for source in (ROOT / "pages").rglob("*.go"):
        imports = re.findall(r'^(?:import|\t) ?"([^"]+)"$', source.read_text(), re.M)
        assert all("." not in name and name.partition("/")[0] != "tqsd" for name in imports), source


@pytest.mark.process
@pytest.mark.parametrize("module", [".", "bench/load", "bench/site", "bench/reverseproxy"])
def test_go_finds_nothing_to_say_about_the_sources(module: str) -> None:
    vet = run_go(ROOT / module, "vet", "./pages/..." if module == "." else "./...")
    assert not vet.returncode, vet.stderr


@pytest.mark.process
def test_the_go_sources_are_formatted() -> None:
    gofmt = Path(go()).with_name("gofmt")
    if not gofmt.exists():
        pytest.skip("this Go comes without gofmt")
    listed = subprocess.run([gofmt, "-l", ROOT / "pages", ROOT / "bench"], capture_output=True, text=True, check=True)
    assert not listed.stdout


@pytest.mark.process
def test_the_go_tests_of_the_pages_pass() -> None:
    tested = run_go(ROOT, "test", "./pages/...")
    assert not tested.returncode, tested.stdout + tested.stderr


@pytest.mark.process
@pytest.mark.parametrize("page", ROUTES)
def test_a_worker_of_each_page_answers_its_route_and_ends_on_sigterm(page: str, tmp_path: Path) -> None:
    with worker(built(ROOT, page, tmp_path), ROOT) as running:
        assert running.ask(ROUTES[page]).status in (200, 405)
        assert running.ask("/nothing/here").status == 404


@pytest.mark.process
def test_the_home_page_links_to_routes_that_exist(tmp_path: Path) -> None:
    with worker(built(ROOT, "index", tmp_path), ROOT) as running:
        page = running.ask("/").body
    shown = set(re.findall(r"<code>(/[^<]*)</code>", page))
    assert len(shown) > len(ROUTES)
    for path in shown:
        assert any(path.startswith(route) for route in {**ROUTES, **OTHERS}.values() if route != "/"), path


@pytest.mark.process
def test_users_are_created_read_and_deleted_over_http(tmp_path: Path) -> None:
    with worker(built(ROOT, "api/users", tmp_path), ROOT) as running:
        body = b'{"name": "Ada", "email": "ada@example.org"}'
        created = running.ask("/api/users", "POST", body, **JSON)
        assert created.status == 201
        place = created.headers["Location"]
        assert json.loads(running.ask(place).body)["name"] == "Ada"
        assert running.ask("/api/users", "POST", body, **JSON).status == 409
        assert running.ask(place, "DELETE").status == 204
        assert running.ask(place).status == 404


@pytest.mark.process
def test_posts_come_from_the_file_beside_the_executable(tmp_path: Path) -> None:
    executable = built(ROOT, "api/posts", tmp_path)
    (executable.parent / "posts.json").write_text('[{"slug": "only", "title": "Only"}]')
    with worker(executable, ROOT) as running:
        assert [post["slug"] for post in json.loads(running.ask("/api/posts").body)] == ["only"]


@pytest.mark.process
def test_orders_are_priced_by_the_settings_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    settings = (ROOT / "config/settings.yaml").read_text().replace("tax_percent: 20", "tax_percent: 10")
    (tmp_path / "config/settings.yaml").write_text(settings)
    with worker(built(ROOT, "api/v1/orders", tmp_path), tmp_path) as running:
        assert running.ask("/health").status == 204
        order = running.ask("/api/v1/orders", "POST", b'{"items": [{"sku": "mug", "quantity": 4}]}', **JSON)
        assert json.loads(order.body)["total_cents"] == 5500
        (tmp_path / "config/settings.yaml").write_text("currency: [EUR]\n")
        assert running.ask("/health").status == 500


@pytest.mark.process
def test_a_github_webhook_needs_the_secret_and_the_signature(tmp_path: Path) -> None:
    executable = built(ROOT, "webhooks/github", tmp_path)
    payload = b'{"repository": {"full_name": "ada/engine"}}'
    signature = "sha256=" + hmac.new(b"s3cret", payload, hashlib.sha256).hexdigest()
    with worker(executable, ROOT) as running:
        refused = running.ask("/webhooks/github", "POST", payload, X_Hub_Signature_256=signature)
        assert refused.status == 503
        assert "GITHUB_WEBHOOK_SECRET is not set" in refused.body
    with worker(executable, ROOT, GITHUB_WEBHOOK_SECRET="s3cret") as running:
        assert running.ask("/webhooks/github", "POST", payload, X_Hub_Signature_256=signature).status == 202
        assert running.ask("/webhooks/github", "POST", payload + b" ", X_Hub_Signature_256=signature).status == 401
