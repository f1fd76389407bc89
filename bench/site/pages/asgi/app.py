"""The page at /asgi: what the page at /fast does, and a WebSocket that echoes at /asgi/socket."""

import asyncio
import hashlib
import random

from version import VERSION

HEAD = [(b"x-version", str(VERSION).encode())]
BODY = b"%d\n" % VERSION


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await socket(receive, send)
    elif scope["type"] == "http":
        answer = ROUTES.get((scope["method"].replace("HEAD", "GET"), scope["path"]), missing)
        await answer(scope, receive, send)


async def version(scope, receive, send):
    await start(send, 200, (b"content-length", str(len(BODY)).encode()))
    await send({"type": "http.response.body", "body": BODY})


async def missing(scope, receive, send):
    await start(send, 404)
    await send({"type": "http.response.body", "body": b"not found\n"})


async def echo(scope, receive, send):
    """Send the body of the request back while it arrives."""
    length = dict(scope["headers"]).get(b"content-length")
    await start(send, 200, *([(b"content-length", length)] if length else []))
    while True:
        part = await receive()
        if part["type"] == "http.disconnect":
            return
        more = part.get("more_body", False)
        await send({"type": "http.response.body", "body": part.get("body", b""), "more_body": more})
        if not more:
            return


async def upload(scope, receive, send):
    """The SHA-256 of the request's body, in hex."""
    digest = hashlib.sha256()
    while True:
        part = await receive()
        if part["type"] == "http.disconnect":
            return
        digest.update(part.get("body", b""))
        if not part.get("more_body", False):
            break
    await start(send, 200)
    await send({"type": "http.response.body", "body": digest.hexdigest().encode()})


async def download(scope, receive, send):
    """40 random blocks, one each 50 ms; their SHA-256 goes ahead, because ASGI has no trailers everywhere."""
    parts = [random.randbytes(random.randint(1, 4096)) for _ in range(40)]
    await start(send, 200, (b"x-sha256", hashlib.sha256(b"".join(parts)).hexdigest().encode()))
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b""})


async def socket(receive, send):
    await receive()
    await send({"type": "websocket.accept", "headers": HEAD})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def start(send, status, *headers):
    await send({"type": "http.response.start", "status": status, "headers": [*HEAD, *headers]})


ROUTES = {
    ("GET", "/asgi"): version,
    ("POST", "/asgi/echo"): echo,
    ("POST", "/asgi/upload"): upload,
    ("GET", "/asgi/download"): download,
}
