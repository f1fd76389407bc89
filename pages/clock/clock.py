"""What time it is, by a program that knows nothing of tqsd but $PORT."""

import datetime
import http.server
import os
import signal
import sys


class Clock(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass  # tqsd's proxy knows of every request


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Clock).serve_forever()
