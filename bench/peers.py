"""What one request costs: tqsd's proxy beside Go's ReverseProxy, Caddy and nginx.

All run at the same time, the proxies on CPU 0, the load and a backend that answers at once on CPU 1, and take turns
under load: a round is one short run of each, so that what disturbs the machine disturbs all alike. A figure is the
median of the rounds, a ratio the median of the rounds' ratios. CPU time per request is the figure to trust; requests
per second also depend on what the load tool gets of its CPU.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.programs import HERE, build_c, build_go, free_port, installed, running, wait_until_it_answers
from bench.proxies import Proxy, all_running

LOAD_CPU = 1
LATENCY = "latency"  # beside the names of TRAFFIC
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Cookie": "session=9f2c1a7be0d44f0c8a; theme=dark",
}
UNIQUE = """
local sent, run = 0, tostring({})
request = function()
  sent = sent + 1
  wrk.headers["Cookie"] = "session=" .. run .. sent .. "; theme=dark"
  return wrk.format()
end
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind of traffic. `unique`: no request head comes twice; with `answers`, no response head either."""

    name: str
    title: str
    connections: int
    unique: bool = False
    answers: bool = False
    close: bool = False


TRAFFIC = (
    Traffic("repeating", "keep-alive, the same heads again and again", 64),
    Traffic("unique", "keep-alive, every request head different", 64, unique=True),
    Traffic("never", "keep-alive, every head different both ways", 64, unique=True, answers=True),
    Traffic("close", "a new connection for each request", 32, close=True),
)


def measure(rounds: int = 5, seconds: int = 2) -> dict[str, Any]:
    """All figures as plain data: for each traffic and proxy the values of every round. Raises Missing without wrk."""
    wrk, load, canned = installed("wrk", "wrk"), build_go(HERE / "load"), build_c(HERE / "canned.c")
    backend = free_port()
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as temporary, running([canned, str(backend)], LOAD_CPU) as process:
        directory = Path(temporary)
        wait_until_it_answers(f"http://127.0.0.1:{backend}/", process)
        with all_running(backend, directory) as (proxies, missing):
            for number in range(rounds):
                for traffic in TRAFFIC:
                    for name, proxy in _in_turn(proxies, number):
                        row = _saturate(wrk, traffic, proxy, seconds, directory)
                        rows.setdefault(traffic.name, {}).setdefault(name, []).append(row)
                for name, proxy in _in_turn(proxies, number):
                    rows.setdefault(LATENCY, {}).setdefault(name, []).append(_latency(load, proxy, seconds))
    return {"rounds": rounds, "seconds": seconds, "missing": missing, "rows": rows}


def _in_turn(proxies: dict[str, Proxy], number: int) -> list[tuple[str, Proxy]]:
    """The proxies, each round beginning with another one."""
    order = list(proxies.items())
    return order[number % len(order) :] + order[: number % len(order)]


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU time of the process and its children."""
    parent = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def _saturate(wrk: str, traffic: Traffic, proxy: Proxy, seconds: int, directory: Path) -> dict[str, float]:
    """As many requests as go through: CPU time per request in microseconds, and requests per second."""
    headers = BROWSER | ({"Connection": "close"} if traffic.close else {})
    command = ["taskset", "-c", str(LOAD_CPU), wrk, "-t1", f"-c{traffic.connections}", f"-d{seconds}s"]
    command += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    if traffic.unique:
        script = directory / "unique.lua"
        script.write_text(UNIQUE)
        command += ["-s", str(script)]
    command.append(f"http://127.0.0.1:{proxy.port}/{'vary' if traffic.answers else ''}")
    before = _cpu(proxy.process)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = _cpu(proxy.process) - before
    requests, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    errors = re.search(r"Socket errors: .*|Non-2xx.*", said)
    if errors or not requests or not rate:
        raise RuntimeError(f"{proxy.process.args!r}: {errors[0] if errors else said}")
    return {"cpu_us": used / int(requests[1]) * 1e6, "per_second": float(rate[1])}


def _latency(load: str, proxy: Proxy, seconds: int) -> dict[str, float]:
    """Milliseconds from request to answer at 3200 requests per second, which leaves every proxy time to spare."""
    command = ["taskset", "-c", str(LOAD_CPU), load, "-url", f"http://127.0.0.1:{proxy.port}", "-get", "/"]
    command += ["-keep", "64", "-fresh", "0", "-head", "0", "-rate", "50", "-time", f"{seconds}s"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(said.stdout)
    if result["failed"]:
        raise RuntimeError(f"{proxy.process.args!r}: {result['first_failures']}")
    return {name: result["latency_ms"]["keep"][name] for name in ("p50", "p99")}


def median(rows: list[dict[str, float]], figure: str) -> float:
    return statistics.median(row[figure] for row in rows)


def ratio(rows: list[dict[str, float]], base: list[dict[str, float]], figure: str) -> float:
    """The median over the rounds of this row's figure divided by the base's of the same round."""
    return statistics.median(row[figure] / other[figure] for row, other in zip(rows, base, strict=True))
