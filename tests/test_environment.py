from __future__ import annotations

from pathlib import Path

from tests.fakes import page
from tqsd.config import Mode
from tqsd.environment import worker_environment

PLACES = Path("/state"), Path("/cache")


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
    }


def test_the_pages_own_variables_win_over_the_sites_but_never_over_the_promise() -> None:
    own_page = page("api", env={"A": "page", "PORT": "1"})
    environment = worker_environment(own_page, 14001, Mode.PROD, PLACES, {}, {"A": "site", "B": "site"})
    assert (environment["A"], environment["B"], environment["PORT"]) == ("page", "site", "14001")
