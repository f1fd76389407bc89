"""A bounded memory of what bytes mean."""

from __future__ import annotations

from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key")
Meaning = TypeVar("Meaning")
_GAPS = 18  # two steps together; see remember


class Cache(dict[Key, Meaning], Generic[Key, Meaning]):
    """A dict of at most `entries` keys, each of at most `size` bytes: the two together bound its memory.

    Once it has been full it takes one new key in nine, and drops its older half to make room: keys that never come
    again then cost next to nothing, and one that does come again is soon in.
    """

    __slots__ = ("_entries", "_gap", "_passed_over", "_size", "_was_full")

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self._entries = entries
        self._size = size
        self._was_full = False
        self._passed_over = 0
        self._gap = 7

    def remember(self, key: Key, meaning: Meaning) -> None:
        if len(key) > self._size:  # type: ignore[arg-type]
            return
        if self._was_full:
            self._passed_over += 1
            if self._passed_over < self._gap:
                return
            # Steps of 7 and 11 in turn: an even one would fall on the same line of equal heads again and again.
            self._passed_over = 0
            self._gap = _GAPS - self._gap
        if len(self) >= self._entries:
            self._was_full = True
            for old in list(islice(self, self._entries // 2)):
                del self[old]
        self[key] = meaning

    def drop(self) -> None:
        """Forget everything; the object stays, so those who hold it see it empty."""
        self.clear()
        self._was_full = False
