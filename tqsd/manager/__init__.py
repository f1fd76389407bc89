"""Where workers run. `WorkerManager` is the contract; one conformance suite holds every implementation to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from tqsd.worker import Exit, Worker


class WorkerManager(Protocol):
    """Starts and stops workers, keeps the ready ones alive, and knows which there are.

    The same port never belongs to two workers at once: callers lease ports, managers trust them.
    """

    async def arm(self, worker: Worker) -> None:
        """Prepare a slot for `worker.page` on `worker.port`; idempotent. Its release may be unknown."""

    async def start(self, worker: Worker) -> str:
        """Run `worker`, in its slot if one was armed; return its status text once it said READY=1.

        Raises NotReady, with the last log lines, when it ended or stayed silent for `ready_timeout`; nothing of
        it is left then. A worker that was ready and ends by itself is brought back on the same port, at first at
        once, then with growing pauses, until `stop`. Cancelling the call stops the worker.
        """

    async def stop(self, worker: Worker) -> None:
        """End the worker or slot on `worker.port`: SIGTERM, after `stop_timeout` SIGKILL, its children too.

        Returns once the whole of it is gone; a worker that is gone already is fine.
        """

    async def list(self) -> list[Worker]:
        """The workers and slots that exist now, also those of an earlier life of the caller."""

    def exits(self) -> AsyncIterator[Exit]:
        """Yields the unexpected ends of workers that had been ready, from the call on."""
