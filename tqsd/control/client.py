"""The command line's side of the control sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tqsd.control import CONTROL, LINE_LIMIT, STATUS, connect
from tqsd.errors import TqsdError, Unreachable
from tqsd.state import Paths


class Refused(TqsdError):
    """What the watcher answered instead of doing it."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(reply["error"], reply["hint"])
        self.exit_status = reply["exit"]
        self.output = reply.get("output", "")


def ask(
    paths: Paths, message: dict[str, Any], event: Callable[[str], None] = lambda _: None, changes: bool = False
) -> dict[str, Any]:
    """The watcher's answer; `event` gets each line of progress. Raises Unreachable, or Refused with the reason."""
    path = paths.run / f"{CONTROL if changes else STATUS}.sock"
    try:
        connection = connect(path)
    except PermissionError:
        raise Unreachable("this user may not ask the running tqsd", f"see the group of {path}") from None
    except OSError:
        raise Unreachable("tqsd is not running for this site", "start it with `tqsd dev` or `tqsd serve`") from None
    with connection, connection.makefile("rwb") as lines:
        lines.write(json.dumps(message).encode() + b"\n")
        lines.flush()
        while line := lines.readline(LINE_LIMIT):
            reply = json.loads(line)
            if "event" in reply:
                event(reply["event"])
            elif "done" in reply:
                return dict(reply["done"])
            else:
                raise Refused(reply)
    raise Unreachable("tqsd ended before it answered", "ask again: it restarts its watcher by itself")
