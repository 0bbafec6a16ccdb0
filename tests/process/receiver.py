"""A customer's receiver of webhooks: remembers what came, and whether its signature is right.

It refuses to know what should come.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODw=="


class Call(NamedTuple):
    """One call as the receiver got it."""

    webhook_id: str
    event: dict[str, Any]
    signed: bool
    status: int


class Hooks:
    """A customer's receiver. `status`: what it answers."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.status = 200
        self.url = ""


@contextmanager
def receiver() -> Iterator[Hooks]:
    """A receiver in threads of this process."""
    hooks = Hooks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name, at = self.headers["Webhook-Id"], self.headers["Webhook-Timestamp"]
            digest = hmac.digest(base64.b64decode(SECRET[6:]), f"{name}.{at}.".encode() + body, hashlib.sha256)
            signed = self.headers["Webhook-Signature"] == "v1," + base64.b64encode(digest).decode()
            status = hooks.status
            hooks.calls.append(Call(name, json.loads(body), signed, status))
            time.sleep(0.002)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hooks.url = f"http://127.0.0.1:{server.server_address[1]}/hook?token=hidden"
    try:
        yield hooks
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
