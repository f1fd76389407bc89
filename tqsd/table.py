"""The table: the whole routing state as plain data, as proxies apply it and as table.json keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tqsd.config import Mode, ServerSettings
from tqsd.page import Page, Runtime
from tqsd.worker import Worker, is_wsgi

FORMAT = 1
# Requests at once per worker, before they queue, where `pm.worker_concurrency` does not say it.
CONCURRENCY = {Runtime.GO: 256, Runtime.PYTHON: 64, Runtime.COMMAND: 64, Runtime.STATIC: 1}
WSGI_CONCURRENCY = 1  # a WSGI application may keep state of the one request it answers

SERVING, STARTING, BROKEN = "serving", "starting", "broken"


def concurrency(page: Page, runtime: str, status: str) -> int:
    """How many requests at once a worker of this runtime gets that told this status when it was ready."""
    return page.settings.worker_concurrency or (WSGI_CONCURRENCY if is_wsgi(status) else CONCURRENCY[Runtime(runtime)])


def route_entry(page: Page, workers: Sequence[Worker], state: str, reason: str) -> dict[str, Any]:
    """One page's entry: how requests match it, and who answers them.

    concurrency  how many requests at once each worker gets
    files        the directory that a static page is served from, by the proxies themselves
    held         whether requests wait until somebody releases the page
    """
    settings = page.settings
    return {
        "page": page.name,
        "route": page.route,
        "methods": list(settings.methods),
        "hosts": list(settings.hosts),
        "strip_prefix": settings.strip_prefix,
        "max_body": settings.max_body,
        "concurrency": concurrency(page, page.runtime, ""),
        "files": "",
        "held": False,
        "state": state,
        "reason": reason,
        "targets": [{"port": worker.port, "release": worker.release} for worker in workers],
    }


def broken_entry(page: str, route: str, reason: str) -> dict[str, Any]:
    """The entry of a page whose settings cannot be read: its route answers why."""
    return {
        "page": page,
        "route": route,
        "methods": [],
        "hosts": [],
        "strip_prefix": False,
        "max_body": None,
        "concurrency": 1,
        "files": "",
        "held": False,
        "state": BROKEN,
        "reason": reason,
        "targets": [],
    }


def table(
    version: int, mode: Mode, server: ServerSettings, entries: Sequence[dict[str, Any]], not_found: str | None
) -> dict[str, Any]:
    """The table of this `version`; `not_found` is the site's own 404 page, if it has one."""
    settings = server.model_dump(mode="json", exclude={"listen", "proxies"})
    return {
        "format": FORMAT,
        "version": version,
        "mode": mode.value,
        "server": settings,
        "not_found": not_found,
        "routes": list(entries),
    }
