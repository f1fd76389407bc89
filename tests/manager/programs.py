"""Small real workers for the manager tests: Python programs that do one thing each, and two ways to be ready."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.builder.sites import free_port
from tqsd.worker import Worker

_BEGIN = f"#!{sys.executable}\nimport os, signal, socket, sys, time\n"
NOTIFIES = (
    _BEGIN
    + """
def notify(text):
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(text.encode(), "\\0" + address[1:] if address[0] == "@" else address)
def ready():
    notify("READY=1\\nSTATUS=listening")
def elsewhere():
    notify("STATUS=listens on port 9, not on 14001: read $PORT")
def stranger():
    if not os.fork():
        ready()
        os._exit(0)
"""
)
LISTENS = (
    _BEGIN
    + """
sockets = []
def listen(port):
    sockets.append(socket.create_server(("127.0.0.1", port)))
def ready():
    listen(int(os.environ["PORT"]))
def elsewhere():
    listen(0)
def stranger():
    lives, life = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():  # no child of the worker's, but it ends with it
            os.close(life)
            ready()
            os.read(lives, 1)
        os._exit(0)
    os.wait()
"""
)

PROGRAMS = {
    "ready": "ready()\nsignal.pause()\n",
    "exits": "print('no database', flush=True)\nsys.exit(3)\n",
    "leaves": (
        "parent = os.getpid()\nif not os.fork():\n    while os.getppid() == parent:\n        time.sleep(0.01)\n"
        "    ready()\n    signal.pause()\n"
    ),
    "silent": "print('still loading', flush=True)\nsignal.pause()\n",
    "elsewhere": "elsewhere()\nsignal.pause()\n",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nready()\nwhile True: signal.pause()\n",
    "family": (
        "pid = os.fork()\n"
        "if not pid:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    signal.pause()\n"
        "print('child', pid, flush=True)\nready()\nsignal.pause()\n"
    ),
    "stranger": "stranger()\nsignal.pause()\n",
    "flood": "ready()\nos.write(1, b'x' * 3_000_000)\nprint('\\nflooded', flush=True)\nsignal.pause()\n",
    "shows": (
        "print('cwd', os.getcwd(), flush=True)\nprint('release', os.environ['TQS_RELEASE'], flush=True)\n"
        "print('argv0', sys.argv[0], flush=True)\nprint('names', *sorted(os.environ), flush=True)\n"
        "ready()\nsignal.pause()\n"
    ),
}


class Programs:
    """The workers of one test, on one port; `probed` ones listen there and say nothing."""

    def __init__(self, directory: Path, probed: bool = False) -> None:
        self.directory = directory
        self.probed = probed
        self.port = free_port()
        self.status = f"listening on 127.0.0.1:{self.port}" if probed else "listening"

    def program(self, name: str) -> Path:
        path = self.directory / "programs with space" / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text((LISTENS if self.probed else NOTIFIES) + PROGRAMS[name])
            path.chmod(0o755)
        return path

    def worker(self, name: str, **changes: object) -> Worker:
        values: dict[str, object] = {
            "page": name,
            "slug": name,
            "port": self.port,
            "release": "r1",
            "executable": self.program(name),
            "directory": self.directory,
            "environment": {"PATH": os.environ["PATH"], "TQS_PAGE": name, "PORT": str(self.port)},
            "probe": "none" if self.probed else "",
        }
        return Worker(**{**values, **changes})  # type: ignore[arg-type]
