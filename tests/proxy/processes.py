"""A running proxy, and what it works with: workers, a watcher and clients, all with real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds until a test gives up waiting; nothing takes that long
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:], '-m', 'tqsd.proxy.main'])"
)


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`, which is asked again and again."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.005)
    raise AssertionError(f"waited in vain until {what}")


class Proxy:
    """A proxy process on a socket of its own. `url` style access: `connect()` gives a Client."""

    def __init__(self, run: Path, listening: socket.socket, *options: str, **environment: str) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self.run = run
        self.listening = listening
        self._log = open(run / "log", "wb+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(listening.fileno()), *options],
            pass_fds=[listening.fileno()],
            stderr=self._log,
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "TQS_RUN": str(run), **environment},
        )

    def connect(self) -> Client:
        return Client(self.listening.getsockname())

    def log(self) -> str:
        return (self.run / "log").read_text()

    def saw(self, text: str) -> None:
        """Wait until the log says so."""
        until(lambda: text in self.log(), f"the proxy logs {text!r}; it logged {self.log()!r}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(PATIENCE)

    def report(self) -> dict[str, Any]:
        """What SIGUSR1 makes it write."""
        self.saw("table ")  # before it has one, the signal would end it
        before = self.log().count('{"requests"')
        self.signal(signal.SIGUSR1)
        until(lambda: self.log().count('{"requests"') > before, "the proxy reports")
        line = [line for line in self.log().splitlines() if line.startswith('{"requests"')][-1]
        report: dict[str, Any] = json.loads(line)
        return report

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self.listening.close()


def tcp_listener() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.setblocking(False)
    return listening


class Client:
    """A client that knows just enough HTTP to tell one answer from the next."""

    def __init__(self, address: Any) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str = "/", fields: str = "") -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n".encode())

    def post(self, content: bytes, path: str = "/") -> None:
        self.send(
            b"POST %b HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(content)) + content
        )

    def answer(self) -> tuple[int, bytes]:
        """Status and content of the next answer; its length must be given."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        self.head = head
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        self.buffer = rest
        while len(self.buffer) < length:
            self._more()
        content, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(head[9:12]), content

    def ask(self, path: str = "/") -> tuple[int, bytes]:
        self.get(path)
        return self.answer()

    def read_until(self, text: bytes) -> None:
        while text not in self.buffer:
            self._more()

    def rest(self) -> bytes:
        """All that comes until the connection ends; a reset raises ConnectionResetError."""
        while data := self.socket.recv(65536):
            self.buffer += data
        return self.buffer

    def is_quiet(self) -> bool:
        """Nothing has come, not even an end."""
        return not self.buffer and not select.select([self.socket], [], [], 0)[0]

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {self.buffer!r}")
        self.buffer += data

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()


class Connection:
    """One connection of a worker: it reads requests, and the test decides what happens to them."""

    def __init__(self, stream: socket.socket) -> None:
        self.socket = stream
        self.buffer = b""

    def request(self) -> tuple[bytes, bytes] | None:
        """Head and content of the next request; None when the connection ended."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(self.buffer) < length:
            if not self.more():
                return None
        content, self.buffer = self.buffer[:length], self.buffer[length:]
        return head, content

    def more(self) -> bool:
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, content: bytes) -> None:
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

    def ended(self) -> bool:
        """Wait until the other end closes, whatever it still sends."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True


Behaviour = Callable[[Connection, bytes, bytes], None]


def says(name: str) -> Behaviour:
    return lambda connection, head, content: connection.answer(name.encode())


class Worker:
    """A worker: a thread per connection, each request given to `behaviour(connection, head, content)`.

    `heads` are all request heads it has seen, `connections` how many it accepted.
    """

    def __init__(self, behaviour: Behaviour, port: int = 0) -> None:
        self.behaviour = behaviour
        self.heads: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listening.accept()
            except OSError:
                return
            stream.settimeout(PATIENCE)
            self.connections += 1
            self._open.append(stream)
            thread = threading.Thread(target=self._serve, args=(stream,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, stream: socket.socket) -> None:
        connection = Connection(stream)
        with contextlib.suppress(OSError):
            while request := connection.request():
                self.heads.append(request[0])
                self.behaviour(connection, *request)
        stream.close()

    def end(self) -> None:
        """As if the process was killed: nothing listens, every connection is reset."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join()
        for stream in self._open:
            with contextlib.suppress(OSError):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()


class Clogged:
    """A port whose queue is full, so that a connection stays half open until `accept` makes room."""

    def __init__(self) -> None:
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(0)
        self.listening.settimeout(20)
        self.port: int = self.listening.getsockname()[1]
        self.fillers = [socket.socket() for _ in range(4)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(self.listening.getsockname())

    def accept(self) -> Connection:
        """Take connections until one of them brings a request."""
        for filler in self.fillers:
            filler.close()
        while True:
            connection = Connection(self.listening.accept()[0])
            connection.socket.settimeout(20)
            if connection.request():
                return connection
            connection.socket.close()

    def end(self) -> None:
        for open_socket in (*self.fillers, self.listening):
            open_socket.close()


class Watcher:
    """The other end of a proxy's control connection."""

    def __init__(self, run: Path) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._path = run / "proxy.sock"
        self._path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX)
        directory = os.open(run, os.O_PATH)
        self._listening.bind(f"/proc/self/fd/{directory}/proxy.sock")
        os.close(directory)
        self._listening.listen()
        self._listening.settimeout(PATIENCE)
        self._stream: socket.socket | None = None
        self._lines: Iterator[str] = iter(())
        self._sequence = 0

    def welcome(self) -> dict[str, Any]:
        """Accept a proxy; returns its hello."""
        self._stream, _ = self._listening.accept()
        self._stream.settimeout(PATIENCE)
        self._lines = iter(self._stream.makefile(encoding="utf-8"))
        return self.hear()

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(next(self._lines))
        return message

    def say(self, do: str, **message: Any) -> int:
        self._sequence += 1
        assert self._stream is not None
        self._stream.sendall(json.dumps({"do": do, "seq": self._sequence, **message}).encode() + b"\n")
        return self._sequence

    def tell(self, do: str, **message: Any) -> list[dict[str, Any]]:
        """Say it and wait for the ack; returns what else was heard before it."""
        sequence = self.say(do, **message)
        heard = []
        while True:
            answer = self.hear()
            if answer["do"] == "ack" and answer["seq"] == sequence:
                return heard
            heard.append(answer)

    def leave(self) -> None:
        """End the connection as a crash would; the socket stays for the next one."""
        if self._stream is not None:
            self._lines = iter(())
            self._stream.shutdown(socket.SHUT_RDWR)
            self._stream.close()
            self._stream = None

    def end(self) -> None:
        self.leave()
        self._listening.close()
