"""What the proxy counts, and how long requests waited for a worker."""

from __future__ import annotations

import math
from typing import Final

_FIRST: Final = 0.1  # milliseconds; the first bucket ends here
_PER_OCTAVE: Final = 8  # so a bucket is 9 % wide


class Waits:
    """Times from a request's head to its worker. Those that did not wait are counted, and are zero."""

    __slots__ = ("_buckets", "count", "longest")

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0  # milliseconds
        self._buckets = [0] * 200

    def add(self, seconds: float) -> None:
        wait = seconds * 1000
        self.count += 1
        self.longest = max(self.longest, wait)
        self._buckets[_bucket(wait)] += 1

    def quantile(self, share: float, requests: int) -> float:
        """The wait in milliseconds that `share` of all `requests` did not exceed, waiting or not; 9 % coarse."""
        beyond = requests - math.ceil(share * requests)
        for index in range(len(self._buckets) - 1, -1, -1):
            beyond -= self._buckets[index]
            if beyond < 0:
                return min(self.longest, _FIRST * 2 ** (index / _PER_OCTAVE))
        return 0.0


def _bucket(wait: float) -> int:
    if wait <= _FIRST:
        return 0
    return min(199, math.ceil(math.log2(wait / _FIRST) * _PER_OCTAVE))


class Counters:
    __slots__ = ("connections", "resent", "waits")

    def __init__(self) -> None:
        self.connections = 0  # accepted so far
        self.resent = 0  # requests given to a second worker, or to the same again
        self.waits = Waits()
