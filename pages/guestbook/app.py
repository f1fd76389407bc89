"""A guestbook: WSGI, with an SQLite database in $STATE_DIRECTORY, which outlives every release.

GET /guestbook lists what people wrote, POST adds the text of its body.
"""

import os
import sqlite3
from pathlib import Path

DATABASE = Path(os.environ["STATE_DIRECTORY"]) / "guestbook.db"
LIMIT = 1000  # bytes


def app(environ, start_response):
    if environ["PATH_INFO"].rstrip("/") not in ("", "/guestbook"):
        return reply(start_response, "404 Not Found", "there is only /guestbook\n")
    with sqlite3.connect(DATABASE, timeout=5) as book:
        book.execute("CREATE TABLE IF NOT EXISTS entries (text TEXT NOT NULL)")
        if environ["REQUEST_METHOD"] == "POST":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            text = environ["wsgi.input"].read(min(length, LIMIT + 1)).decode(errors="replace").strip()
            if not text or length > LIMIT:
                return reply(start_response, "400 Bad Request", f"write 1 to {LIMIT} bytes\n")
            book.execute("INSERT INTO entries VALUES (?)", (text,))
            return reply(start_response, "201 Created", "thank you\n")
        rows = book.execute("SELECT text FROM entries ORDER BY rowid DESC LIMIT 100")
        return reply(start_response, "200 OK", "".join(f"{text}\n" for (text,) in rows))


def reply(start_response, status, text):
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
