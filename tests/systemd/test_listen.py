from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.process

# Becomes what a service manager starts: sockets from 3 on, and the variables, with its own pid where "own" is written.
_START = """
import json, os, sys
fds = [os.dup(int(fd)) for fd in sys.argv[2:]]
for number, fd in enumerate(fds):
    os.dup2(fd, 3 + number)
for name, value in json.loads(sys.argv[1]).items():
    os.environ[name] = value.replace("own", str(os.getpid()))
from tqsd.systemd.listen import listeners
def told():
    return {name: [[s.getsockname()[1], s.getblocking(), s.get_inheritable()] for s in found]
            for name, found in listeners().items()}
left = lambda: [name for name in os.environ if name.startswith("LISTEN_")]
print(json.dumps([told(), left(), told()]))
"""


def started(sockets: list[socket.socket], **environment: str) -> Any:
    """What `listeners` gives, which variables are left, and what a second call gives."""
    fds = [listening.fileno() for listening in sockets]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")}
    command = [sys.executable, "-c", _START, json.dumps(environment), *map(str, fds)]
    output = subprocess.run(command, pass_fds=fds, capture_output=True, check=True, env=clean).stdout
    return json.loads(output)


def test_sockets_are_found_by_name_and_only_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        found = started([one, two], LISTEN_PID="own", LISTEN_FDS="2", LISTEN_FDNAMES="http:control")
        assert found == [{"http": [[first, False, False]], "control": [[second, False, False]]}, [], {}]
        found = started([one, two], LISTEN_PID="own", LISTEN_FDS="2", LISTEN_FDNAMES="http:http")
        assert found[0] == {"http": [[first, False, False], [second, False, False]]}
        assert started([one], LISTEN_PID="own", LISTEN_FDS="1")[0] == {"unknown": [[first, False, False]]}


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": "own"}, {"LISTEN_PID": "own", "LISTEN_FDS": "x"}],
)
def test_sockets_for_somebody_else_are_left_alone(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert started([one], **environment) == [{}, [], {}]
