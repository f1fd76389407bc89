from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path

import pytest

from bench import edit, report
from bench.peers import ratio
from bench.programs import HERE, Missing, build_c, free_port, installed, running, wait_until_it_answers
from tests.sample.programs import ROOT


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(Missing, match="no-such-proxy: apt-get install its-package"):
        installed("no-such-proxy", "its-package")


def test_a_ratio_compares_within_each_round_so_that_a_slow_round_does_not_count() -> None:
    ours, theirs = [10.0, 30.0, 10.0], [20.0, 60.0, 21.0]
    rows = [[{"cpu_us": value} for value in values] for values in (theirs, ours)]
    assert ratio(rows[0], rows[1], "cpu_us") == 2.0


def test_the_reports_are_markdown_tables() -> None:
    cost, time = [{"cpu_us": 10.0, "per_second": 5e4}], [{"p50": 0.1, "p99": 0.5}]
    rows = {name: {"tqsd": cost, "nginx": cost} for name in ("repeating", "unique", "never", "close")}
    peers = report.peers(
        {
            "rounds": 1,
            "rows": rows | {"latency": {"tqsd": time, "nginx": time}},
            "missing": ["caddy: apt-get install caddy"],
        }
    )
    assert "| keep-alive, every head different both ways: CPU per request, µs | 10.0 | 10.0 (1.00x) |" in peers
    assert "missing here: caddy: apt-get install caddy" in peers

    seen = {"seen": [200.0, 300.0, 250.0], "stages": {"build": [150.0]}, "requests": {"keep": 9}, "failed": 0}
    edits = {"edits": 3, "pages": {"fast": seen}}
    assert "| **fast: save to first new answer** | 250 | 300 | 300 |" in report.edit(edits)

    load = {"requests": {"keep": 9}, "failed": 0, "server_closes": 0, "socket_closes": []}
    waits = {"waited": 2, "wait_p99_ms": 1.25, "wait_max_ms": 3.0}
    swaps = report.swaps({"swaps": 100, "pages": {"fast": {"load": load, "waits": waits}}})
    assert "| fast | 9 | 0 | 0 | 0 | 2 | 1.2 | 3.0 |" in swaps


def test_a_bench_that_does_not_exist_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "bench", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no bench speed" in done.stderr


@pytest.mark.process
def test_the_canned_backend_repeats_its_heads_only_where_it_should(tmp_path: Path) -> None:
    try:
        canned = build_c(HERE / "canned.c", tmp_path)
    except Missing as missing:
        pytest.skip(f"this machine has no {missing}")
    port = free_port()
    with running([canned, str(port)]) as process:
        wait_until_it_answers(f"http://127.0.0.1:{port}/", process)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        heads: dict[str, list[str]] = {"/": [], "/vary": []}
        for path in ("/", "/vary", "/", "/vary"):
            connection.request("GET", path)
            with connection.getresponse() as answer:
                assert answer.read() == b"1\n"
                heads[path].append(str(answer.getheaders()))
        connection.close()
    assert len(set(heads["/"])) == 1
    assert len(set(heads["/vary"])) == 2


@pytest.mark.process
@pytest.mark.load
def test_an_edit_is_measured_from_the_save_to_the_first_new_answer() -> None:
    (result,) = edit.measure(edits=2, pages=("fast",))["pages"].values()
    assert result["failed"] == 0
    assert len(result["seen"]) == 2
    assert {"settle", "build", "start", "switch"} == result["stages"].keys()
    for seen, *stages in zip(result["seen"], *result["stages"].values(), strict=True):
        assert seen >= max(stages)
