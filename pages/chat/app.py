"""A chat: ASGI without a framework. Its page at /chat, its WebSocket at /chat/socket.

All who are connected to this worker hear each other. With more workers (`pm.max_children`) they would need something in
between, Redis say.
"""

from pathlib import Path

PAGE = (Path(__file__).parent / "chat.html").read_bytes()
present = set()  # the `send` of every open WebSocket


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    elif scope["path"].rstrip("/") == "/chat":
        await answer(send, 200, b"text/html; charset=utf-8", PAGE)
    else:
        await answer(send, 404, b"text/plain; charset=utf-8", b"there is only /chat\n")


async def talk(scope, receive, send):
    await receive()
    if scope["path"] != "/chat/socket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    present.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text") or ""
            for listener in list(present):
                await listener({"type": "websocket.send", "text": text})
    finally:
        present.discard(send)


async def lifespan(receive, send):
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, status, kind, body):
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
