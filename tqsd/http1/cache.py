"""A bounded memory of what bytes mean."""

from __future__ import annotations

from itertools import islice
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")
Meaning = TypeVar("Meaning")
# In turn, so that the n-th line of equal heads is not passed over for ever: the number of lines divides not both.
_PAUSES: Final = (31, 37)


class Cache(dict[Key, Meaning], Generic[Key, Meaning]):
    """A dict of at most `entries` keys, each of at most `size` bytes: the two together bound its memory.

    Once it has been full it takes one new key in 35, and drops its older half to make room: keys that never come
    again then cost next to nothing, and one that does come again is soon in.
    """

    __slots__ = ("_entries", "_pause", "_size", "_skip", "_was_full")

    def __init__(self, entries: int, size: int) -> None:
        super().__init__()
        self._entries = entries
        self._size = size
        self._was_full = False
        self._skip = 0  # so many keys are passed over before the next is taken
        self._pause = _PAUSES[0]

    def remember(self, key: Key, meaning: Meaning) -> None:
        if self._skip:
            self._skip -= 1
            return
        if self._was_full:
            self._skip = self._pause
            self._pause = sum(_PAUSES) - self._pause
        if len(key) > self._size:  # type: ignore[arg-type]
            return
        if len(self) >= self._entries:
            self._was_full = True
            for old in list(islice(self, self._entries // 2)):
                del self[old]
        self[key] = meaning

    def drop(self) -> None:
        """Forget everything; the object stays, so those who hold it see it empty."""
        self.clear()
        self._was_full = False
        self._skip = 0
