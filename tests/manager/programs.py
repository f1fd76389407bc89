"""Small real workers for the manager tests: shell and Python programs that do one thing each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tqsd.worker import Worker

NOTIFY = f"""#!{sys.executable}
import os, signal, socket, sys, time
def notify(text):
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(text.encode(), "\\0" + address[1:] if address[0] == "@" else address)
"""

PROGRAMS = {
    "ready": "notify('READY=1\\nSTATUS=listening')\nsignal.pause()\n",
    "exits": "print('no database', flush=True)\nsys.exit(3)\n",
    "silent": "print('still loading', flush=True)\nsignal.pause()\n",
    "tells": "notify('STATUS=listens on 127.0.0.1:9, not on 14001')\nsignal.pause()\n",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnotify('READY=1')\nwhile True: signal.pause()\n",
    "family": (
        "pid = os.fork()\n"
        "if not pid:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    signal.pause()\n"
        "print('child', pid, flush=True)\nnotify('READY=1')\nsignal.pause()\n"
    ),
    "stranger": "if not os.fork():\n    notify('READY=1')\n    os._exit(0)\nsignal.pause()\n",
    "flood": "notify('READY=1')\nos.write(1, b'x' * 3_000_000)\nprint('\\nflooded', flush=True)\nsignal.pause()\n",
    "shows": (
        "print('cwd', os.getcwd(), flush=True)\nprint('release', os.environ['TQS_RELEASE'], flush=True)\n"
        "print('argv0', sys.argv[0], flush=True)\nprint('names', *sorted(os.environ), flush=True)\n"
        "notify('READY=1')\nsignal.pause()\n"
    ),
    "crashes": "notify('READY=1')\nsignal.pause()\n",
}


def program(directory: Path, name: str) -> Path:
    path = directory / "programs with space" / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text(NOTIFY + PROGRAMS[name])
        path.chmod(0o755)
    return path


def worker(directory: Path, name: str, port: int = 14001, **changes: object) -> Worker:
    environment = {"PATH": os.environ["PATH"], "TQS_PAGE": name}
    return Worker(
        page=name,
        slug=name,
        port=port,
        release="r1",
        executable=program(directory, name),
        directory=directory,
        environment=environment,
        **changes,  # type: ignore[arg-type]
    )
