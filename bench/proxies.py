"""The proxies that bench/peers.py compares, each in front of the same backend, with one worker, on one CPU."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.programs import HERE, Missing, build_go, free_port, installed, running, wait_until_it_answers
from tqsd.config import Mode, PageSettings, ServerSettings
from tqsd.page import Page, Runtime
from tqsd.table import SERVING, route_entry, table
from tqsd.worker import Worker

PROXY_CPU = 0

# Logs off everywhere, connections to the backend kept open everywhere, and the same X-Forwarded-* headers set.
NGINX = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; tcp_nodelay on;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off;
    }}
  }}
}}
"""
CADDY = """
{{
	admin off
	auto_https off
	storage file_system {directory}
}}
http://127.0.0.1:{port} {{
	reverse_proxy 127.0.0.1:{backend} {{
		transport http {{
			keepalive_idle_conns 1024
			keepalive_idle_conns_per_host 512
			compression off
		}}
	}}
}}
"""

Running = contextlib.AbstractContextManager["Proxy"]


class Proxy:
    """One running proxy: where it listens, and the process whose CPU time counts (with its children's)."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process


@contextlib.contextmanager
def tqsd(backend: int, directory: Path) -> Iterator[Proxy]:
    """tqsd's own proxy, alone, with one page for everything, started as systemd would: by an open listening socket."""
    page = Page("index", directory, "/", Runtime.GO, PageSettings())
    worker = Worker(page="index", slug="index", port=backend, release="bench")
    route = route_entry(page, [worker], SERVING, "")
    (directory / "table.json").write_text(json.dumps(table(1, Mode.PROD, ServerSettings(), [route], None)))
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        handle = listener.fileno()
        # LISTEN_PID must be the process's own id, and the socket its descriptor 3 (sd_listen_fds(3)).
        script = f'exec 3<&{handle}; export LISTEN_PID=$$; exec "$@"'
        command = ["sh", "-c", script, "sh", sys.executable, "-m", "tqsd.proxy.main"]
        environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "TQS_RUN": str(directory)}
        with running(command, PROXY_CPU, environment, pass_fds=[handle], cwd=HERE.parent) as process:
            yield Proxy(listener.getsockname()[1], process)


@contextlib.contextmanager
def reverse_proxy(backend: int, directory: Path) -> Iterator[Proxy]:
    """Go's httputil.ReverseProxy, tuned."""
    port = free_port()
    command = [build_go(HERE / "reverseproxy"), str(port), str(backend)]
    with running(command, PROXY_CPU, {"GOMAXPROCS": "1"}) as process:
        yield Proxy(port, process)


@contextlib.contextmanager
def caddy(backend: int, directory: Path) -> Iterator[Proxy]:
    port, settings = free_port(), directory / "Caddyfile"
    settings.write_text(CADDY.format(directory=directory, port=port, backend=backend))
    command = [installed("caddy", "caddy"), "run", "--config", str(settings), "--adapter", "caddyfile"]
    with running(command, PROXY_CPU, {"GOMAXPROCS": "1", "HOME": str(directory)}) as process:
        yield Proxy(port, process)


@contextlib.contextmanager
def nginx(backend: int, directory: Path) -> Iterator[Proxy]:
    port, settings = free_port(), directory / "nginx.conf"
    settings.write_text(NGINX.format(directory=directory, port=port, backend=backend))
    with running([installed("nginx", "nginx-light"), "-c", str(settings)], PROXY_CPU) as process:
        yield Proxy(port, process)


PROXIES: dict[str, Callable[[int, Path], Running]] = {
    "tqsd": tqsd,
    "Go ReverseProxy": reverse_proxy,
    "Caddy": caddy,
    "nginx": nginx,
}


@contextlib.contextmanager
def all_running(backend: int, directory: Path) -> Iterator[tuple[dict[str, Proxy], list[str]]]:
    """Every proxy this machine can run, by name and ready, and what is missing for the others."""
    ready: dict[str, Proxy] = {}
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        for name, start in PROXIES.items():
            own = directory / start.__name__
            own.mkdir()
            try:
                proxy = stack.enter_context(start(backend, own))
            except Missing as error:
                missing.append(str(error))
                continue
            wait_until_it_answers(f"http://127.0.0.1:{proxy.port}/", proxy.process)
            ready[name] = proxy
        yield ready, missing
