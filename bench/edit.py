"""From the save of a file to the first answer of the new version, as a client sees it, with `tqsd dev`.

A client asks for the page about once a millisecond. Before, between and after, its time is that of `tqsd history`:
settle, build, start, switch.
"""

from __future__ import annotations

import time
from typing import Any

from bench.dev import load, serving

PAGE = "fast"
PAUSE = 0.2  # seconds from one new version to the next edit


def measure(edits: int = 20) -> dict[str, Any]:
    """Milliseconds of each edit: from save to first new answer, and by stage."""
    seen = []
    with serving([PAGE, "slow", "socket"]) as dev:
        client = ("-get", f"/{PAGE}", "-keep", "1", "-fresh", "0", "-head", "0", "-think", "1ms")
        with load(dev.url, *client) as traffic:
            traffic.wait_until_ready()
            for version in range(2, edits + 2):
                saved = time.time_ns()
                dev.save(PAGE, version)
                seen.append((traffic.first_answer(f"/{PAGE}", version) - saved) / 1e6)
                time.sleep(PAUSE)
            result = traffic.finish()
        records = [r for r in dev.history(PAGE) if (r["cause"], r["outcome"]) == ("save", "switched")]
    stages: dict[str, list[float]] = {}
    for record in records:
        for stage, took in record["stages"].items():
            stages.setdefault(stage, []).append(took)
    return {"edits": edits, "seen": seen, "stages": stages, "requests": result["requests"], "failed": result["failed"]}
