"""`python -m bench [edit] [swaps] [peers]`: measure these or all, print Markdown, keep JSON in bench/results/."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from bench import edit, peers, report, swaps
from bench.programs import RESULTS, Missing

# what -> measure thoroughly, measure quickly, show
BENCHES: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], str]]] = {
    "edit": (edit.measure, lambda: edit.measure(edits=5), report.edit),
    "swaps": (swaps.measure, lambda: swaps.measure(swaps=10), report.swaps),
    "peers": (peers.measure, lambda: peers.measure(rounds=1, seconds=1), report.peers),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"any of {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it runs, not for figures")
    parser.add_argument("--show", action="store_true", help="print the figures of the last run again")
    words = parser.parse_args()
    if unknown := set(words.what) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    RESULTS.mkdir(exist_ok=True)
    status = 0
    for what in words.what or BENCHES:
        measure, measure_quickly, show = BENCHES[what]
        file = RESULTS / f"{what}.json"
        try:
            if not words.show:
                print(f"{what} ...", file=sys.stderr, flush=True)
                result = measure_quickly() if words.quick else measure()
                file.write_text(json.dumps({"machine": report.machine(), **result}) + "\n")
            kept = json.loads(file.read_text())
        except Missing as error:
            print(f"{what}: this machine has no {error}", file=sys.stderr)
            status = 1
        except FileNotFoundError:
            print(f"{what}: not measured yet", file=sys.stderr)
            status = 1
        else:
            print(f"{show(kept)}\n{kept['machine']}\n", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
