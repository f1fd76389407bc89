"""Measurements as Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.peers import LATENCY, TRAFFIC, median, ratio

STAGES = ("settle", "build", "start", "switch")


def machine() -> str:
    """One line about where the figures come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return f"{len(models)} x {processor}, Linux {platform.release()}, Python {platform.python_version()}"


def edit(result: dict[str, Any]) -> str:
    rows = []
    for page, one in result["pages"].items():
        rows.append([f"**{page}: save to first new answer**", *_spread(one["seen"])])
        rows += [[stage, *_spread(one["stages"][stage])] for stage in STAGES if stage in one["stages"]]
    text = _table([f"{result['edits']} edits, ms", "median", "90 %", "longest"], rows)
    requests = sum(sum(one["requests"].values()) for one in result["pages"].values())
    failed = sum(one["failed"] for one in result["pages"].values())
    return f"### From save to answer\n\n{text}\n\n{failed} of {requests} requests failed meanwhile.\n"


def swaps(result: dict[str, Any]) -> str:
    rows = []
    for page, one in result["pages"].items():
        seen, waits = one["load"], one["waits"]
        counts = [sum(seen["requests"].values()), seen["failed"], seen["server_closes"], len(seen["socket_closes"])]
        times = [waits["wait_p99_ms"], waits["wait_max_ms"]]
        rows.append([page, *map(str, counts), str(waits["waited"]), *(f"{time:.1f}" for time in times)])
    head = ["page", "requests", "failed", "connections closed", "sockets closed", "waited", "p99, ms", "longest, ms"]
    return f"### {result['swaps']} switches under full load\n\n{_table(head, rows)}\n"


def peers(result: dict[str, Any]) -> str:
    """One table: a row for each traffic and figure, a column for each proxy, ratios to tqsd in brackets."""
    names = list(result["rows"][LATENCY])
    figures = [(traffic.name, f"{traffic.title}: CPU per request, µs", "cpu_us", 1) for traffic in TRAFFIC]
    figures += [(traffic.name, f"{traffic.title}: requests/s", "per_second", 0) for traffic in TRAFFIC]
    figures += [(LATENCY, f"3200 requests/s: {name}, ms", name, 2) for name in ("p50", "p99")]
    rows = []
    for key, title, figure, digits in figures:
        of = result["rows"][key]
        cells = [f"{median(of[name], figure):.{digits}f}" for name in names]
        for column, name in enumerate(names[1:], 1):
            cells[column] += f" ({ratio(of[name], of[names[0]], figure):.2f}x)"
        rows.append([title, *cells])
    text = _table([f"medians of {result['rounds']} rounds", *names], rows)
    missing = "".join(f"Not compared, because it is missing here: {what}\n" for what in result["missing"])
    return f"### Beside other proxies\n\n{text}\n\nIn brackets: how many times the figure of {names[0]}.\n{missing}"


def _spread(values: Sequence[float]) -> list[str]:
    ordered = sorted(values)
    ninth = ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)]
    return [f"{value:.0f}" for value in (statistics.median(ordered), ninth, ordered[-1])]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
