"""The page at /wsgi: its version, and at /wsgi/echo the body of a POST."""

from version import VERSION


def app(environ, start_response):
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = content if environ["PATH_INFO"] == "/wsgi/echo" else b"%d\n" % VERSION
    start_response("200 OK", [("X-Version", str(VERSION)), ("Content-Length", str(len(body)))])
    return [body]
