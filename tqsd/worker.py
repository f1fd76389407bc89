"""A worker: one process serving one release of one page on one port, and the states it goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Worker:
    """What a manager needs to run one worker.

    A slot is a worker whose `release` and `executable` are not known yet. `directory` is the working directory
    (the site's root); `environment` is the whole environment, nothing is inherited beside it. `launcher` is the
    program that waits in the slot and runs the executable; without one the executable becomes the worker itself.
    `probe` is how its manager finds out that it is ready ("auto", "tcp", "none" or a path); empty for a worker that
    says READY=1.
    """

    page: str
    slug: str
    port: int
    release: str = ""
    executable: Path | None = None
    directory: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    ready_timeout: float = 30.0  # seconds from start to READY=1
    stop_timeout: float = 15.0  # seconds from SIGTERM to SIGKILL
    launcher: tuple[str, ...] = ()
    probe: str = ""


class WorkerState(StrEnum):
    ARMED = "armed"  # a slot: in its place, waiting to be told its release
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it ended by itself and its manager is bringing it back
    STOPPING = "stopping"
    GONE = "gone"


class WorkerEvent(StrEnum):
    RELEASED = "released"  # told which release to run
    NOTIFIED = "notified"  # said READY=1
    ENDED = "ended"  # the process is gone
    RETRIED = "retried"  # the manager started it again
    STOPPED = "stopped"  # asked to end


TRANSITIONS: Mapping[WorkerState, Mapping[WorkerEvent, WorkerState]] = {
    WorkerState.ARMED: {
        WorkerEvent.RELEASED: WorkerState.STARTING,
        WorkerEvent.STOPPED: WorkerState.STOPPING,
        WorkerEvent.ENDED: WorkerState.GONE,
    },
    WorkerState.STARTING: {
        WorkerEvent.NOTIFIED: WorkerState.READY,
        WorkerEvent.STOPPED: WorkerState.STOPPING,
        WorkerEvent.ENDED: WorkerState.GONE,  # a worker that never was ready is not restarted
    },
    WorkerState.READY: {
        WorkerEvent.NOTIFIED: WorkerState.READY,
        WorkerEvent.STOPPED: WorkerState.STOPPING,
        WorkerEvent.ENDED: WorkerState.RESTARTING,
    },
    WorkerState.RESTARTING: {
        WorkerEvent.RETRIED: WorkerState.RESTARTING,
        WorkerEvent.NOTIFIED: WorkerState.READY,
        WorkerEvent.ENDED: WorkerState.RESTARTING,
        WorkerEvent.STOPPED: WorkerState.STOPPING,
    },
    WorkerState.STOPPING: {
        WorkerEvent.NOTIFIED: WorkerState.STOPPING,  # READY crossed the stop on its way
        WorkerEvent.STOPPED: WorkerState.STOPPING,
        WorkerEvent.ENDED: WorkerState.GONE,
    },
    WorkerState.GONE: {},
}


def advance(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """The state after `event`; raises ValueError for an event that cannot happen in `state`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ValueError(f"a worker that is {state} cannot be {event}") from None


@dataclass(frozen=True, slots=True)
class Exit:
    """The unexpected end of a worker that had been ready."""

    page: str
    port: int
    release: str
    reason: str  # "exit status 3", "killed by SIGKILL"
    restarts: int  # how often in a row, this one included
    output: str = ""  # its last log lines


def is_wsgi(status: str) -> bool:
    """Whether a worker's status text says that it runs a WSGI application, as our launcher tells."""
    return status.endswith(" as WSGI")


def listens_everywhere(status: str) -> bool:
    """Whether a worker's status text says that it listens on all interfaces instead of loopback only."""
    address = status.removeprefix("listening on ").partition(" ")[0]
    return status.startswith("listening on ") and address.rpartition(":")[0] in ("0.0.0.0", "[::]", "*")
