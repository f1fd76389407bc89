from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tqsd.errors import TqsdError
from tqsd.state import PortLeases, read_json, write_file, write_json


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_file(path, b"one")
    write_file(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["state"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()  # a directory cannot be replaced by a file
    with pytest.raises(OSError, match="directory"):
        write_file(tmp_path / "state", b"x")
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"format": 2}', b"\xff\xfe"])
def test_a_damaged_or_foreign_file_reads_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    assert read_json(tmp_path / "state", 1) is None
    assert read_json(tmp_path / "absent", 1) is None


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "state", {"format": 1, "ü": [1]})
    assert read_json(tmp_path / "state", 1) == {"format": 1, "ü": [1]}


def test_a_leased_port_is_not_given_twice_on_one_machine(tmp_path: Path) -> None:
    one, other = (PortLeases(tmp_path / "leases", range(20001, 20003)) for _ in range(2))
    first = one.take()
    second = other.take()
    assert {first, second} == {20001, 20002}
    with pytest.raises(TqsdError, match="no free port"):
        one.take()
    other.give_back(second)
    assert one.take() == second
    assert not other.claim(second)
    one.close()
    assert other.claim(first)
    other.close()


def test_a_port_where_a_stranger_listens_is_passed_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        leases = PortLeases(tmp_path / "leases", range(port, port + 1))
        with pytest.raises(TqsdError, match="no free port"):
            leases.take()
        assert leases.held() == frozenset()
        leases.close()


def test_a_lease_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom tqsd.state import PortLeases\n"
        "leases = PortLeases(pathlib.Path(sys.argv[1]), range(20001, 20002))\n"
        "print(leases.take(), flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "leases")]
    leases = PortLeases(tmp_path / "leases", range(20001, 20002))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"20001\n"
        assert not leases.claim(20001)
        owner.kill()
    assert leases.claim(20001)
    leases.close()
