"""The epoll loop: raw descriptors, one thread, one clock reading and at most one sweep of deadlines per turn.

Level-triggered, one read for each event: reading on until EAGAIN would cost an exception per request. Descriptors stay
registered; epoll_ctl is called only when what is waited for changes.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final, Protocol

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
NEVER: Final = float("inf")
HIGH: Final = 262144  # bytes that may wait for a slow reader before the other side is not read any more
SWEEP: Final = 1.0  # seconds between two looks at the deadlines
_BATCH: Final = 512

write = os.write


def log(level: int, message: str) -> None:
    """One line on stderr, as sd-daemon(3) has it: 3 error, 4 warning, 6 information, 7 for debugging."""
    sys.stderr.write(f"<{level}>{message}\n")
    sys.stderr.flush()


class Source:
    """A descriptor in the loop. It belongs to the source, which closes it."""

    __slots__ = ("closed", "deadline", "fd", "loop", "mask")

    def __init__(self, loop: Loop, fd: int, mask: int) -> None:
        self.loop = loop
        self.fd = fd
        self.mask = mask
        self.closed = False
        self.deadline = NEVER  # when `expired` is due, by the loop's clock
        loop.add(self)

    def readable(self) -> None:
        """There is something to read, an end, or an error."""

    def flush(self) -> None:
        """There is room to write."""

    def expired(self) -> None:
        """The deadline has passed."""

    def abort(self) -> None:
        """End it now, with all that depends on it."""
        self.close()

    def watch(self, mask: int) -> None:
        if mask != self.mask and not self.closed:
            self.mask = mask
            self.loop.epoll.modify(self.fd, mask)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.loop.remove(self)
            os.close(self.fd)


class Flow(Protocol):
    """Bytes that come from somewhere, as fast as they are taken."""

    def pause(self) -> None: ...

    def unpause(self) -> None: ...


class Connection(Source):
    """A stream that takes all that is put; what the other end is too slow for is kept and written later.

    Errors of writing are no news: the end or error that the loop reports next says the same, after what can still be
    read. `source` is where the bytes that are put here come from: it is paused while too much is kept.
    """

    __slots__ = ("finishing", "pending")

    def __init__(self, loop: Loop, fd: int, mask: int) -> None:
        super().__init__(loop, fd, mask)
        self.pending = b""
        self.finishing = False

    def source(self) -> Flow | None:
        """Where the bytes that are put here come from."""
        return None

    def put(self, data: bytes, /) -> None:
        if self.pending:
            self.pending += data
        else:
            try:
                written = write(self.fd, data)
            except BlockingIOError:
                written = 0
            except OSError:
                return
            if written == len(data):
                return
            self.pending = data[written:]
            self.watch(self.mask | OUT)
        if len(self.pending) > HIGH:
            source = self.source()
            if source is not None:
                source.pause()

    def flush(self) -> None:
        if self.pending:
            try:
                written = write(self.fd, self.pending)
            except BlockingIOError:
                return
            except OSError:
                written = len(self.pending)
            self.pending = self.pending[written:]
            if self.pending:
                return
        self.watch(self.mask & ~OUT)
        source = self.source()
        if self.finishing:
            self._shut()
        self.written()
        if source is not None:  # last: it may put more at once
            source.unpause()

    def written(self) -> None:
        """All that was put has been written."""

    def pause(self) -> None:
        self.watch(self.mask & ~IN)

    def unpause(self) -> None:
        self.watch(self.mask | IN)

    def finish(self) -> None:
        self.finishing = True
        if not self.pending:
            self._shut()

    def _shut(self) -> None:
        self.finishing = False
        on_socket(self.fd, lambda stream: stream.shutdown(socket.SHUT_WR))

    def reset(self) -> None:
        """Close so that the other end sees an error, never an orderly end."""
        if not self.closed:
            linger = struct.pack("ii", 1, 0)
            on_socket(self.fd, lambda stream: stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger))
            self.close()


def on_socket(fd: int, call: Callable[[socket.socket], object]) -> None:
    """Do what only a socket object can; an error means that the other end was faster."""
    stream = socket.socket(fileno=fd)
    try:
        call(stream)
    except OSError:
        pass
    finally:
        stream.detach()


class Loop:
    """Calls sources when they are ready and timers when they are due, until `stop`."""

    __slots__ = ("_order", "_stopped", "_sweeping", "_timers", "_wake_at", "epoll", "now", "sources")

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.sources: list[Source | None] = []  # by descriptor
        self.now = time.monotonic()
        self._sweeping = False
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wake_at = NEVER
        self._stopped = False

    def add(self, source: Source) -> None:
        fd = source.fd
        if fd >= len(self.sources):
            self.sources.extend([None] * (fd + 64 - len(self.sources)))
        self.sources[fd] = source
        self.epoll.register(fd, source.mask)

    def remove(self, source: Source) -> None:
        self.sources[source.fd] = None

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, `seconds` from now; 0 means at the end of this turn."""
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), call))
        self._wake_at = self._timers[0][0]

    def heed_deadlines(self) -> None:
        """Look at all deadlines every second, from now on and until no source has one."""
        if not self._sweeping:
            self._sweeping = True
            self.after(SWEEP, self._sweep)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        poll = self.epoll.poll
        sources = self.sources
        clock = time.monotonic
        while not self._stopped:
            wait = -1.0 if self._wake_at == NEVER else max(0.0, self._wake_at - clock())
            events = poll(wait, _BATCH)
            self.now = clock()
            for fd, event in events:
                source = sources[fd]
                if source is None:
                    continue
                try:
                    if event == IN:
                        source.readable()
                        continue
                    if event & OUT:
                        source.flush()
                    if event != OUT and not source.closed:
                        source.readable()
                except Exception:
                    _report(source)
            if self._wake_at <= self.now:
                self._call_timers()
        self.epoll.close()

    def _call_timers(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self.now:
            heapq.heappop(timers)[2]()
        self._wake_at = timers[0][0] if timers else NEVER

    def _sweep(self) -> None:
        now = self.now
        self._sweeping = False
        for source in self.sources:
            if source is None or source.deadline == NEVER:
                continue
            self.heed_deadlines()
            if source.deadline <= now:
                try:
                    source.expired()
                except Exception:
                    _report(source)


def _report(source: Source) -> None:
    """A mistake of ours ends one connection, not the proxy."""
    log(3, f"internal error on a {type(source).__name__.lower()}: " + traceback.format_exc().replace("\n", " | "))
    source.abort()
