"""The launcher while it waits, and what it becomes: the interpreter is always that of the release."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builder.python_sites import PythonSite, add_wheel, pip_environment
from tests.builder.sites import Notified, free_port
from tests.launcher.pages import ASGI, PATIENCE, Pages, get, told
from tqsd.builder.venv import Venvs, read_requirements
from tqsd.errors import NotReady
from tqsd.launcher import OWN, launcher, server_places
from tqsd.release import Release
from tqsd.state import Paths
from tqsd.worker import Worker

pytestmark = pytest.mark.process

BESIDE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [repr((PREFIX, tiny.VALUE)).encode()]
"""


def words(venv: str = "") -> tuple[str, ...]:
    release = Release("chat", "0" * 16, Path("/nowhere"), Path("/nowhere/app.py"), "python", venv)
    return launcher(release, Paths.dev(Path("/nowhere")))


@pytest.fixture
def slot() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_slot_ends_with_its_input(slot: subprocess.Popen[bytes]) -> None:
    assert slot.communicate(timeout=PATIENCE)[0] == b""
    assert slot.returncode == 0


def test_a_slot_that_gets_half_a_line_ends(slot: subprocess.Popen[bytes]) -> None:
    assert slot.communicate(b"release", timeout=PATIENCE)[0] == b""
    assert slot.returncode == 0


def test_a_slot_ends_on_sigterm(slot: subprocess.Popen[bytes]) -> None:
    ready = Path(f"/proc/{slot.pid}/status")

    def catches_sigterm() -> bool:
        caught = next(line for line in ready.read_text().splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))

    while not catches_sigterm():
        os.sched_yield()
    slot.send_signal(signal.SIGTERM)
    assert slot.wait(PATIENCE) == 0
    assert slot.stdout
    assert slot.stdout.read() == b""


def test_the_words_name_the_interpreter_of_the_release() -> None:
    own, other = words(), words("abc")
    assert own[0] == sys.executable
    assert own[2] == OWN
    assert other[0] == "/nowhere/.tqsd/var/venvs/abc/bin/python"
    assert (other[2], other[3:]) == ("abc", own[3:])
    assert set(server_places()) <= set(own)


def test_a_worker_shows_that_its_loop_turns(tmp_path: Path) -> None:
    notified = Notified(str(tmp_path / "notify"))
    (tmp_path / "app.py").write_text(ASGI)
    port = free_port()
    environment = {
        "TQS_PAGE": "chat",
        "TQS_PORT": str(port),
        "TQS_HEALTH": "auto",
        "NOTIFY_SOCKET": notified.address,
        "WATCHDOG_USEC": "50000",
    }
    process = subprocess.Popen(words(), stdin=subprocess.PIPE, env=environment, cwd=tmp_path)
    try:
        assert process.stdin
        process.stdin.write(f"r1 {tmp_path}/app.py\n".encode())
        process.stdin.close()
        messages = [notified.next() for _ in range(5)]
        assert messages[2:] == [["READY=1", f"STATUS=listening on 127.0.0.1:{port}"], ["WATCHDOG=1"], ["WATCHDOG=1"]]
    finally:
        process.kill()
        process.wait()
        notified.socket.close()


def with_venv(pages: Pages, text: str) -> str:
    """The digest of a virtual environment with these requirements, made."""
    site = PythonSite(pages.site, {"pages/chat/requirements.txt": text})
    page = site.page("chat")
    requirements = read_requirements(page, site.root)
    assert requirements
    venvs = Venvs(pages.paths.venvs, site.root, pip_environment(site.packages))
    asyncio.run(venvs.provide(page, requirements))
    return requirements.digest


def files(venv: str) -> dict[str, str]:
    shown = "import sys, tiny\nPREFIX = sys.prefix.rpartition('/')[2]\n"
    return {"app.py": shown + BESIDE, ".venv": f"{venv}\n"}


async def make(pages: Pages, text: str) -> str:
    return await asyncio.to_thread(with_venv, pages, text)


def test_a_page_with_requirements_sees_these_and_none_of_tqsd_s_packages(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        add_wheel(tmp_path / "packages", "tiny", "VALUE = 7\n")
        venv = await make(pages, "tiny\n")
        worker = pages.worker(files(venv), venv)
        await pages.manager.start(worker)
        assert (await get(worker))[1] == repr((venv, 7))
        greedy = f"import sys\nassert all('site-packages' not in p or {venv!r} in p for p in sys.path)\nimport yaml\n"
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(pages.worker({**files(venv), "app.py": greedy}, venv))
        assert "add the package that has `yaml` to pages/chat/requirements.txt" in caught.value.output

    told(tmp_path, story)


def test_the_page_s_own_version_of_a_package_of_the_server_counts(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        add_wheel(tmp_path / "packages", "sdnotify", "class SystemdNotifier:\n    socket = None\n    notify = print\n")
        venv = await make(pages, "sdnotify\n")
        source = f"import sdnotify\nprint(sdnotify.__file__)\n{ASGI}"
        with pytest.raises(NotReady):  # this one tells nobody
            await pages.manager.start(replace(pages.worker({"app.py": source, ".venv": venv}, venv), ready_timeout=5.0))
        assert any(f"/{venv}/lib" in line for line in pages.lines)

    told(tmp_path, story)


@pytest.mark.parametrize("before", ["", "other"])
def test_a_slot_of_another_interpreter_begins_again_in_the_right_one(tmp_path: Path, before: str) -> None:
    async def story(pages: Pages) -> None:
        add_wheel(tmp_path / "packages", "tiny", "VALUE = 7\n")
        add_wheel(tmp_path / "packages", "other", "")
        armed = await make(pages, "other\n") if before else ""
        venv = await make(pages, "tiny\n")
        worker = pages.worker(files(venv), venv)
        await pages.manager.arm(slot_of(pages, worker, armed))
        await pages.manager.start(worker)
        assert (await get(worker))[1] == repr((venv, 7))

    told(tmp_path, story)


def test_a_slot_of_a_virtual_environment_serves_a_release_without_one(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        add_wheel(tmp_path / "packages", "other", "")
        worker = pages.worker(ASGI)
        await pages.manager.arm(slot_of(pages, worker, await make(pages, "other\n")))
        await pages.manager.start(worker)
        assert (await get(worker))[0] == 200

    told(tmp_path, story)


AHEAD = f"""
import sys
was_there = "plistlib" in sys.modules
import plistlib
print("seen", was_there, plistlib.__file__)
{ASGI}"""


def test_what_an_earlier_release_imported_from_elsewhere_is_there_before_the_line(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        earlier = pages.worker({".imports": "nothing_like_it\nthis.is.none\nplistlib"})
        worker = pages.worker(AHEAD)
        await pages.manager.arm(replace(worker, launcher=_after(pages, earlier)))
        await pages.manager.start(worker)
        assert (await pages.seen("seen")).startswith("seen True ")

    told(tmp_path, story)


def test_a_module_of_the_page_s_own_is_never_hidden_by_one_imported_before(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        earlier = pages.worker({".imports": "plistlib"})
        worker = pages.worker({"app.py": AHEAD, "plistlib.py": "", ".imports": "plistlib"})
        await pages.manager.arm(replace(worker, launcher=_after(pages, earlier)))
        await pages.manager.start(worker)
        assert await pages.seen("seen") == f"seen False {worker.executable and worker.executable.parent}/plistlib.py"

    told(tmp_path, story)


def _after(pages: Pages, earlier: Worker) -> tuple[str, ...]:
    assert earlier.executable
    directory = earlier.executable.parent
    return launcher(Release("chat", "1" * 16, directory, earlier.executable, "python"), pages.paths)


def test_a_virtual_environment_that_is_gone_is_told(tmp_path: Path) -> None:
    async def story(pages: Pages) -> None:
        worker = pages.worker(files("0123456789abcdef"))
        with pytest.raises(NotReady) as caught:
            await pages.manager.start(worker)
        assert "the virtual environment of this release is damaged" in caught.value.output
        assert "-> tqsd deploy" in caught.value.output

    told(tmp_path, story)


def slot_of(pages: Pages, worker: Worker, venv: str) -> Worker:
    """The slot for a worker, armed when its page had another virtual environment."""
    release = Release("chat", "1" * 16, Path("/nowhere"), Path("/nowhere/app.py"), "python", venv)
    return replace(worker, release="", executable=None, launcher=launcher(release, pages.paths))
