"""The history: one JSON record per deployment, the newest last, bounded in size."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tqsd.state import write_file

LIMIT = 1 << 20  # bytes; then the older half goes
FORMAT = 1


class History:
    """Appends records and reads them back; a line that a crash left half written is skipped."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit

    def append(self, record: dict[str, Any]) -> None:
        """Add `record` durably. Raises OSError; what was there before stays readable."""
        line = json.dumps({"format": FORMAT, **record}, ensure_ascii=False).encode() + b"\n"
        with self._path.open("a+b") as file:
            size = file.tell()
            if size:
                file.seek(-1, os.SEEK_END)
                line = line if file.read() == b"\n" else b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if size > self._limit:
            content = self._path.read_bytes()
            write_file(self._path, content[content.find(b"\n", len(content) // 2) + 1 :])

    def read(self, limit: int, page: str | None = None) -> list[dict[str, Any]]:
        """The last `limit` records, of `page` if one is named, oldest first."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        records: list[dict[str, Any]] = []
        for line in reversed(lines):
            if len(records) == limit:
                break
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if page is None or page in record["pages"]:
                records.append(record)
        return records[::-1]
