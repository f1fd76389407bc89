"""Telling the service manager about ourselves: sd_notify(3)."""

from __future__ import annotations

import os

import sdnotify  # type: ignore[import-untyped]


def notify(state: str) -> None:
    """Send `state`, like "READY=1", to NOTIFY_SOCKET; nothing happens where there is none or nobody listens."""
    if os.environ.get("NOTIFY_SOCKET"):
        notifier = sdnotify.SystemdNotifier()
        notifier.notify(state)
        if notifier.socket is not None:
            notifier.socket.close()
