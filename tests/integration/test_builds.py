"""What `build:` settings do, by `tqsd build` as somebody types it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.programs import go as go_command
from tests.running import tqsd, write

pytestmark = pytest.mark.process

MODULE = "example.test/acme/secret.git"
USES = f"""package main

import (
	"net/http"
	"os"

	secret "{MODULE}"
)

func main() {{
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {{ w.Write([]byte(secret.Word)) }})
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}}
"""


def git(directory: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.test"]
    subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine whose git finds example.test in a directory, as a line in ~/.netrc or a key would let it."""
    source = tmp_path / "repositories/acme/secret"
    write(source, {"go.mod": f"module {MODULE}\n\ngo 1.21\n", "secret.go": 'package secret\n\nconst Word = "sesame"\n'})
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "first")
    git(source, "tag", "v1.0.0")
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "file://{tmp_path}/repositories/"]\n\tinsteadOf = https://example.test/\n')
    return {
        "GIT_CONFIG_GLOBAL": str(config),
        "GOPROXY": "off",
        "GOFLAGS": "-modcacherw",
        "GOMODCACHE": str(tmp_path / "modules"),
    }


def test_a_private_module_comes_from_its_own_server_when_it_is_named(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    site = tmp_path / "site"
    write(site, {"pages/index/main.go": USES, "go.mod": f"module site\n\ngo 1.21\n\nrequire {MODULE} v1.0.0\n"})
    go = go_command()
    own = {**environment, "GOPRIVATE": "example.test", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run([go, "mod", "tidy"], cwd=site, env=own, check=True, capture_output=True)
    shutil.rmtree(tmp_path / "modules")

    refused = tqsd("build", cwd=site, env=environment)
    assert refused.returncode == 1
    assert "example.test" in refused.stderr

    write(site, {"config/tqsd.yaml": "defaults: {build: {private: [example.test/acme/*]}}\n"})
    built = tqsd("build", cwd=site, env=environment)
    assert built.returncode == 0, built.stderr
    assert "index  release " in built.stdout
