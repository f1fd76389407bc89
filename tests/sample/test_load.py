from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from bench.dev import load
from bench.programs import build_go
from tests.sample.programs import PATIENCE, ROOT, built, run_go, worker

SITE = ROOT / "bench/site"
pytestmark = pytest.mark.process


def test_the_go_tests_of_the_load_generator_pass() -> None:
    tested = run_go(ROOT / "bench/load", "test", "./...")
    assert not tested.returncode, tested.stdout + tested.stderr


def test_all_kinds_of_traffic_find_a_sound_page_sound(tmp_path: Path) -> None:
    fast = built(SITE, "fast", tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    with worker(fast, SITE, STATE_DIRECTORY=str(state)) as running:
        flags = ("-get", "/fast", "-post", "/fast/echo", "-stream", "/fast", "-think", "5ms")
        with load(running.url, *flags) as traffic:
            traffic.wait_until_ready()
            assert traffic.first_answer("/fast", 1)
            result = traffic.finish()
    assert (result["failed"], result["first_failures"], result["server_closes"]) == (0, [], 0)
    assert {"keep", "fresh", "head", "post", "upload"} <= set(result["requests"])
    assert result["first_answers"]["/fast"].keys() == {"1"}
    ids = (state / "ids").read_text().split()
    assert len(ids) == len(set(ids)) == result["requests"]["post"]


def test_a_socket_that_outlives_its_worker_is_told_so(tmp_path: Path) -> None:
    only_socket = ("-keep", "0", "-fresh", "0", "-head", "0", "-socket", "/socket")
    with (
        worker(built(SITE, "socket", tmp_path), SITE) as running,
        load(running.url, *only_socket) as traffic,
    ):
        traffic.wait_until_ready()
        running.process.terminate()
        assert traffic.wait_for_close() == 1001
        result = traffic.finish()
    assert [close["code"] for close in result["socket_closes"]] == [1001]


def test_server_sent_events_carry_the_version(tmp_path: Path) -> None:
    with (
        worker(built(SITE, "socket", tmp_path), SITE) as running,
        urllib.request.urlopen(f"{running.url}/socket/events", timeout=PATIENCE) as events,
    ):
        assert events.headers["Content-Type"] == "text/event-stream"
        lines = [events.readline() for _ in range(6)]
    assert lines == [b"id: 1\n", b"data: 1\n", b"\n", b"id: 2\n", b"data: 1\n", b"\n"]


def test_the_load_ends_by_itself_when_told_for_how_long(tmp_path: Path) -> None:
    with worker(built(SITE, "slow", tmp_path), SITE) as running:
        command = [build_go(ROOT / "bench/load"), "-url", running.url, "-get", "/slow", "-time", "300ms"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    result = json.loads(done.stdout)
    assert result["failed"] == 0
    assert result["latency_ms"]["keep"]["p50"] >= 100
