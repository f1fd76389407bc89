"""The proxy process: `python -m tqsd.proxy.main`.

LISTEN_FDS brings the listening sockets, named "http"; TQS_RUN is the directory of proxy.sock and table.json.
Connections are accepted from the moment there is a table; until then they wait in the sockets' own queues, where
another proxy on the same sockets may take them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from tqsd.proxy.control import Control, connect
from tqsd.proxy.dispatch import Dispatch
from tqsd.proxy.listener import Listener
from tqsd.proxy.loop import IN, Loop, Source, log
from tqsd.proxy.table import Table
from tqsd.systemd.listen import listeners
from tqsd.systemd.notify import notify

_PATIENCE: Final = 0.25  # seconds for the watcher's first table, before the file's is taken
_RECONNECT: Final = (0.1, 1.0)  # seconds between attempts: the first, and the longest
_CLOSING: Final = 3.0  # seconds between the close frames of a drain that took too long and the end


class Proxy:
    """One proxy: its sockets, its watcher, its table, its end."""

    def __init__(self, listening: list[socket.socket], directory: Path) -> None:
        self.loop = Loop()
        self._listening = listening
        self._listeners: list[Listener] = []
        self._file = directory / "table.json"
        self._seen: tuple[int, int, int] | None = None  # of the table file, as last read
        self._directory = directory
        self._control: Control | None = None
        self._pause = _RECONNECT[0]
        self._watched = False  # a watcher has been heard at least once
        self._ending = False
        self._id_prefix = b"%b-" % os.urandom(5).hex().encode()
        self._dispatch: Dispatch | None = None

    def run(self) -> None:
        """Serve until a signal ends it."""
        _Signals(self)
        self._connect()
        self.loop.after(_PATIENCE, self._without_watcher)
        notify("READY=1")
        self.loop.run()

    # The table

    def _without_watcher(self) -> None:
        if self._dispatch is None:
            self._read_file()

    def _read_file(self) -> bool:
        """Apply the table file if it has changed and is newer than the table in force; holds stay."""
        try:
            status = os.stat(self._file)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen:
                return False
            self._seen = seen
            table = Table.from_plain(json.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            log(4, f"{self._file.name} cannot be read: {error}")
            return False
        if self._dispatch is not None and table.version <= self._dispatch.table.version:
            return False
        self._adopt(table)
        return True

    def _adopt(self, table: Table) -> None:
        if self._dispatch is None:
            self._dispatch = dispatch = Dispatch(self.loop, table, self._id_prefix)
            dispatch.drained = self._drained
            dispatch.newer_table = self._read_file
            dispatch.room = self._room
            if not self._ending:
                self._listeners = [Listener(dispatch, listening) for listening in self._listening]
        else:
            self._dispatch.apply(table)
        log(7, f"table {table.version}: {len(table.rows)} pages")

    def _room(self) -> None:
        if not self._ending:
            for listener in self._listeners:
                listener.start()
        elif self._dispatch is not None and not self._dispatch.clients:
            self.loop.stop()

    # The watcher

    def _connect(self) -> None:
        fd = connect(self._directory)
        if fd is None:
            self._reconnect_later()
            return
        self._pause = _RECONNECT[0]
        self._control = Control(self.loop, fd, self._take, self._lost)
        version = self._dispatch.table.version if self._dispatch else 0
        self._control.say(do="hello", pid=os.getpid(), version=version, draining=self._draining())

    def _draining(self) -> list[int]:
        return [target.port for target in self._dispatch.balancer.draining] if self._dispatch else []

    def _reconnect_later(self) -> None:
        self.loop.after(self._pause, self._connect)
        self._pause = min(self._pause * 2, _RECONNECT[1])
        if self._dispatch is None:
            self._read_file()

    def _lost(self) -> None:
        log(4, "the watcher is gone; serving on with the table at hand")
        self._control = None
        if self._dispatch is not None:
            self._dispatch.balancer.release()
            self._dispatch.unhold()
        self._reconnect_later()

    def _drained(self, port: int) -> None:
        if self._control is not None:
            self._control.say(do="drained", port=port)

    def _take(self, message: dict[str, Any]) -> None:
        do = message["do"]
        if do == "apply":
            table = Table.from_plain(message["table"])
            self._apply(table)
        elif self._dispatch is not None:
            if do == "hold":
                self._dispatch.hold(message["pages"])
            elif do == "unhold":
                self._dispatch.unhold(message["pages"])
            elif do == "close":
                self._dispatch.end_exchanges(message["ports"])
        if self._control is not None:
            self._control.say(do="ack", seq=message["seq"], draining=self._draining())

    def _apply(self, table: Table) -> None:
        if self._dispatch is None or table.version != self._dispatch.table.version:
            self._adopt(table)
        if self._dispatch is not None:
            self._dispatch.unhold()

    # The end

    def signalled(self, number: int) -> None:
        if number == signal.SIGUSR1:
            report = self._dispatch.report() if self._dispatch else {}
            sys.stderr.write(json.dumps(report) + "\n")
            sys.stderr.flush()
        elif self._ending or self._dispatch is None:
            self.loop.stop()
        else:
            self._end(self._dispatch)

    def _end(self, dispatch: Dispatch) -> None:
        """Take no more connections; end when the last client has its answer, at the latest after drain_timeout."""
        self._ending = True
        notify("STOPPING=1")
        for listener in self._listeners:
            listener.close()
        dispatch.intake.end()
        log(6, f"ending; {dispatch.clients} clients are connected")
        for client in dispatch.each_client():
            client.end_soon()
        self.loop.after(dispatch.settings.drain_timeout, dispatch.end_exchanges)
        self.loop.after(dispatch.settings.drain_timeout + _CLOSING, self.loop.stop)
        self._room()


class _Signals(Source):
    """Turns signals into loop events: Python's own handlers run between any two bytecodes."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        receiving, sending = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        super().__init__(proxy.loop, receiving, IN)
        signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda number, frame: None)

    def readable(self) -> None:
        for number in os.read(self.fd, 512):
            self._proxy.signalled(number)


def main() -> int:
    directory = os.environ.get("TQS_RUN")
    listening = listeners().get("http", [])
    if not directory or not listening:
        log(3, "the proxy is started with TQS_RUN and with listening sockets named http (LISTEN_FDS)")
        return 1
    Proxy(listening, Path(directory)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
