from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


def told(address: str | None) -> None:
    """Notify from a process that has this NOTIFY_SOCKET."""
    clean = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    if address is not None:
        clean["NOTIFY_SOCKET"] = address
    code = "from tqsd.systemd.notify import notify; notify('READY=1\\nSTATUS=running')"
    subprocess.run([sys.executable, "-c", code], env=clean, check=True)


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_the_state(tmp_path: Path, abstract: bool) -> None:
    address = f"@tqsd-{os.getpid()}-notify" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1) if abstract else address)
        manager.settimeout(20)
        told(address)
        assert manager.recv(100) == b"READY=1\nSTATUS=running"


def test_nothing_happens_where_nobody_listens(tmp_path: Path) -> None:
    told(None)
    told(str(tmp_path / "nobody"))
