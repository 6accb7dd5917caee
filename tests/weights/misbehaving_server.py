"""A server on this machine that publishes one file and misbehaves as it is told."""

import re
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ETAG = '"first"'


class Server(ThreadingHTTPServer):
    """
    Publishes one content under every path, behaving as *plan* says.

    Attributes:
        content: what is published.
        etag: sent with it; "" sends none.
        plan: one behaviour for each request to come; well-behaved when it has run out.
        requests: the headers of every request so far.
        sent_bytes: bytes of body sent in all.
        released: lets stalled answers end.
    """

    daemon_threads = True

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.etag = ETAG
        self.plan: list[Behaviour] = []
        self.requests: list[dict[str, str]] = []
        self.sent_bytes = 0
        self.released = threading.Event()

    def url(self, name: str = "file") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        behaviour = self.server.plan.pop(0) if self.server.plan else well
        behaviour(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its signature)
        """Keep the tests' output clean."""

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.wfile.write(data)
        self.server.sent_bytes += len(data)


Behaviour = Callable[[Handler], None]


def well(handler: Handler) -> None:
    """Ranges, If-Range and 416, as a good server does."""
    content = handler.server.content
    wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if_range = handler.headers.get("If-Range", handler.server.etag)
    if not wanted or if_range != handler.server.etag:
        handler.head(200, len(content))
        handler.body(content)
        return
    start = int(wanted[1])
    if start >= len(content):
        handler.head(416, 0, Content_Range=f"bytes */{len(content)}")
        return
    content_range = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.head(206, len(content) - start, Content_Range=content_range)
    handler.body(content[start:])


def ignoring_ranges(handler: Handler) -> None:
    handler.head(200, len(handler.server.content))
    handler.body(handler.server.content)


def ignoring_if_range(handler: Handler) -> None:
    del handler.headers["If-Range"]
    well(handler)


def without_length(handler: Handler) -> None:
    handler.head(200, None)
    handler.body(handler.server.content)


def status(code: int) -> Behaviour:
    return lambda handler: handler.head(code, 0)


def redirect(target: str) -> Behaviour:
    return lambda handler: handler.head(302, 0, Location=target)


def web_page(handler: Handler) -> None:
    page = b"<html>Log in to the hotel's network</html>"
    handler.head(200, len(page), Content_Type="text/html; charset=utf-8")
    handler.body(page)


def cut_off_after(n_bytes: int, otherwise: Behaviour = well) -> Behaviour:
    """Promise all, send the first *n_bytes* of what was asked for, hang up."""

    def behave(handler: Handler) -> None:
        send = handler.body
        handler.body = lambda data: send(data[:n_bytes])
        otherwise(handler)

    return behave


def reset_after(n_bytes: int) -> Behaviour:
    """Send the beginning and break the connection with a TCP reset."""

    def behave(handler: Handler) -> None:
        handler.head(200, len(handler.server.content))
        handler.body(handler.server.content[:n_bytes])
        handler.wfile.flush()
        linger_none = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
        handler.connection.close()

    return behave


def stalled_after(n_bytes: int) -> Behaviour:
    """Send the beginning, then nothing, but stay connected."""

    def behave(handler: Handler) -> None:
        handler.head(200, len(handler.server.content))
        handler.body(handler.server.content[:n_bytes])
        handler.server.released.wait(20)

    return behave


def silent(handler: Handler) -> None:
    """Accept the request and say nothing."""
    handler.server.released.wait(20)


def slow(handler: Handler) -> None:
    """About 2 MB/s, in small pieces."""
    send = handler.body

    def in_pieces(data: bytes) -> None:
        for start in range(0, len(data), 1 << 14):
            send(data[start : start + (1 << 14)])
            handler.server.released.wait(0.008)

    handler.body = in_pieces
    well(handler)
