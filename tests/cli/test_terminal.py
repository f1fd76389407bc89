from __future__ import annotations

import io
import threading

from tqsd.cli.terminal import Lines


class Paused(io.StringIO):
    """A terminal that takes nothing until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def write(self, text: str) -> int:
        self.goes_on.wait(30)
        return super().write(text)


def test_lines_carry_their_source_and_lose_their_level() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.say("api/users", "hello")
    lines.say("tqsd", "<3>broken")
    lines.say("tqsd", "<7>only for debugging")
    lines.plain("as it is")
    lines.close()
    assert out.getvalue() == "api/users | hello\ntqsd      | broken\nas it is\n"


def test_a_paused_terminal_stops_nobody_and_costs_only_lines() -> None:
    out = Paused()
    lines = Lines(out)
    for number in range(30_000):
        lines.say("flood", str(number))
    out.goes_on.set()
    lines.close(timeout=30)
    assert "lines were dropped" in out.getvalue()
    assert "flood    | 0\n" in out.getvalue()
