from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import page, release
from tqsd.config import Mode
from tqsd.errors import DeployError
from tqsd.outfit import outfit
from tqsd.place import Place
from tqsd.secret import Secrets
from tqsd.state import Paths


def place(tmp_path: Path, mode: Mode = Mode.PROD) -> Place:
    return Place(tmp_path, mode, Paths.dev(tmp_path))


def test_a_worker_gets_its_directories_and_the_secrets_it_names(tmp_path: Path) -> None:
    here = place(tmp_path)
    Secrets(here.paths).set("KEY", b"sesame")
    worker = outfit(here, page("api", secrets=["KEY"]), release("api", "r1"), 14001, {"A": "1"})
    assert (Path(worker.environment["CREDENTIALS_DIRECTORY"]) / "KEY").read_bytes() == b"sesame"
    assert Path(worker.environment["STATE_DIRECTORY"]).is_dir()
    assert (worker.port, worker.environment["A"], worker.directory) == (14001, "1", tmp_path)


def test_a_missing_secret_is_refused_in_production_alone(tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        outfit(place(tmp_path), page("api", secrets=["KEY"]), release("api", "r1"), 14001, {})
    assert caught.value.hint == "tqsd secret set KEY"
    outfit(place(tmp_path, Mode.DEV), page("api", secrets=["KEY"]), release("api", "r1"), 14001, {})


def test_a_disk_that_fails_is_a_reason_for_the_deployment_and_no_crash(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.paths.create()
    (here.paths.var / "state").write_text("in the way")
    with pytest.raises(DeployError, match="api cannot be given its directories"):
        outfit(here, page("api"), release("api", "r1"), 14001, {})
