"""Pages that change together, under the load of many clients on several proxies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.dev import load, save
from tests.running import ROOT, running

pytestmark = [pytest.mark.process, pytest.mark.load]

SETS = 5
PAGES = ("fast", "asgi")


def test_a_set_switches_as_one_on_three_proxies_and_nobody_gets_a_mixed_answer(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "bench/site", site, ignore=shutil.ignore_patterns(".tqsd", "slow", "node", "wsgi", "files"))
    (site / "config/tqsd.yaml").write_text("server: {proxies: 3, drain_timeout: 5}\n")
    with running(site, "serve") as here:
        for page in PAGES:
            here.wait(f"{page} serves", lambda page=page: here.status(page)["state"] == "serving")  # type: ignore[misc]
        assert len(here.json("status")["proxies"]) == 3
        paths = ",".join(f"/{page}" for page in PAGES)
        with load(here.url, "-get", paths, "-keep", "12", "-fresh", "6", "-rate", "100", "-together") as clients:
            clients.wait_until_ready()
            for number in range(2, SETS + 2):
                for page in PAGES:
                    save(site, page, number)
                deployed = here.tqsd("deploy")
                assert deployed.returncode == 0, deployed.stderr
                for page in PAGES:
                    clients.first_answer(f"/{page}", number)
            save(site, "fast", SETS + 2)
            (site / "pages/asgi/version.py").write_text("VERSION = \n")
            assert here.tqsd("deploy").returncode == 1
            result = clients.finish()
        assert result["failed"] == 0, result["first_failures"]
        assert result["stale"] == 0
        newest = {path: max(map(int, seen)) for path, seen in result["first_answers"].items()}
        assert newest == {f"/{page}": SETS + 1 for page in PAGES}
        records = [record["pages"] for record in here.json("history", "-n", "100") if record["cause"] == "deploy"]
        assert records == [sorted(PAGES)] * (SETS + 1)
