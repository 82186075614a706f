"""A PACS with troubles: a relay before a real one that breaks off, refuses, asks for a login, is silent."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


class Relay(ThreadingHTTPServer):
    """Passes requests on to a PACS.

    Attributes:
        broken_after: bytes of an answer with files after which the connection is cut; None for never.
        slow_after: bytes of such an answer after which no more comes for a minute; None for never.
        failing: part of the paths that are answered by 500; None for none.
        refused: methods that are answered by 405.
        login: `user:password` that is asked for; None for none.
        silent: seconds before each answer.
        down: whether each connection is closed without an answer.
        asked: requests so far, as (method, path).
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.broken_after: int | None = None
        self.slow_after: int | None = None
        self.failing: str | None = None
        self.refused: frozenset[str] = frozenset()
        self.login: str | None = None
        self.silent = 0.0
        self.down = False
        self.asked: list[tuple[str, str]] = []

    @property
    def dicomweb(self) -> str:
        """Its address of DICOMweb."""
        return f"http://127.0.0.1:{self.server_address[1]}/dicom-web"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no trouble of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: Relay

    def do_GET(self) -> None:
        self._pass_on()

    do_POST = do_DELETE = do_GET  # noqa: N815, names of the library

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _pass_on(self) -> None:
        relay = self.server
        relay.asked.append((self.command, self.path))
        time.sleep(relay.silent)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if relay.down:
            self.close_connection = True
            return
        expected = relay.login and "Basic " + base64.b64encode(relay.login.encode()).decode()
        if expected and self.headers.get("Authorization") != expected:
            self._answer(401, {}, b"")
        elif relay.failing is not None and relay.failing in self.path:
            self._answer(500, {}, b"")
        elif self.command in relay.refused:
            self._answer(405, {}, b"")
        else:
            session = requests.Session()
            session.trust_env = False
            kept = {k: v for k, v in self.headers.items() if k.lower() in ("accept", "content-type")}
            found = session.request(
                self.command, relay.target + self.path, data=body, headers=kept, timeout=60
            )
            self._answer(
                found.status_code, {"Content-Type": found.headers.get("Content-Type", "")}, found.content
            )

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        files = headers.get("Content-Type", "").startswith("multipart")
        cut = self.server.broken_after if files else None
        if cut is not None and cut < len(body):
            self.wfile.write(body[:cut])
            self.close_connection = True
            self.connection.close()
            return
        slow = self.server.slow_after if files else None
        if slow is not None and slow < len(body):
            self.wfile.write(body[:slow])
            self.wfile.flush()
            body = body[slow:]
            end = time.monotonic() + 60
            while self.server.slow_after is not None and time.monotonic() < end:
                time.sleep(0.1)
        self.wfile.write(body)


@contextmanager
def relayed(target: str) -> Iterator[Relay]:
    """A relay to an address (without a path) for as long as the block lasts."""
    with Relay(target) as relay:
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
