from __future__ import annotations

from pathlib import Path

from tests.fakes import page
from tqsd.config import Mode
from tqsd.environment import not_passed, worker_environment

PLACES = Path("/state"), Path("/cache"), Path("/credentials")


def test_a_worker_gets_what_is_promised_and_nothing_else() -> None:
    own = {"PATH": "/bin", "HOME": "/h", "SECRET_OF_THE_SHELL": "x", "LANG": "de_DE.UTF-8"}
    environment = worker_environment(page("api"), 14001, Mode.DEV, PLACES, own, {})
    assert environment == {
        "PATH": "/bin",
        "HOME": "/h",
        "LANG": "de_DE.UTF-8",
        "PORT": "14001",
        "TQS_PORT": "14001",
        "TQS_PAGE": "api",
        "TQS_ROUTE": "/api",
        "TQS_MODE": "dev",
        "TQS_HEALTH": "auto",
        "STATE_DIRECTORY": "/state",
        "CACHE_DIRECTORY": "/cache",
        "CREDENTIALS_DIRECTORY": "/credentials",
    }


def test_what_is_promised_wins_over_every_variable() -> None:
    environment = worker_environment(page("api"), 14001, Mode.PROD, PLACES, {}, {"A": "site", "PORT": "1"})
    assert (environment["A"], environment["PORT"]) == ("site", "14001")


def test_what_a_shell_does_not_pass_on_is_named_without_what_only_tells_of_the_shell() -> None:
    own = {"PATH": "/bin", "HOME": "/h", "TERM": "x", "SSH_AUTH_SOCK": "s", "XDG_SEAT": "0", "_": "x", "DATABASE": "d"}
    assert not_passed(own) == ["DATABASE"]
