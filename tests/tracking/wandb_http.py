"""HTTP for the W&B server of the tests: GraphQL, the file stream and uploads, over breakable connections."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote

from tests.tracking.wandb_artifacts import Artifacts

KEY = "k" * 40  # the API key that the server takes


class App(Protocol):
    """What answers the requests."""

    silent: threading.Event  # while set, requests are taken and never answered
    refusing: threading.Event  # while set, rows are answered with 403, which the client does not retry
    refused: int  # how often
    artifacts: Artifacts

    def answer(self, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]: ...

    def stream(self, run_id: str, post: Mapping[str, Any]) -> dict[str, Any]: ...

    def upload(self, run_id: str, name: str, content: bytes) -> None: ...


class HttpServer(ThreadingHTTPServer):
    """Serves an App on loopback, in a thread of its own."""

    app: App
    daemon_threads = True
    block_on_close = False

    def __init__(self, app: App, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.app = app
        self.connections: set[socket.socket] = set()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those that are open."""
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        body = self._body()
        while self.server.app.silent.is_set():
            self.server.app.silent.wait(0.05)
        if self.path.startswith("/files/") and self.server.app.refusing.is_set():
            self.server.app.refused += 1
            self._reply(403, b"{}")
            return
        if not self.path.startswith(("/graphql", "/files/")):
            self._reply(404, b"{}")
            return
        if self.headers["Authorization"] != f"Basic {b64encode(f'api:{KEY}'.encode()).decode()}":
            self._reply(401, b"{}")
            return
        try:
            answer = self._answer(json.loads(body))
        except Exception as error:  # anything but 400 would be retried for minutes
            self._reply(400, json.dumps({"errors": [{"message": repr(error)}]}).encode())
        else:
            self._reply(200, json.dumps(answer).encode())

    def do_PUT(self) -> None:
        body = self._body()
        _, kind, path = unquote(self.path).split("/", 2)
        if kind == "artifact":
            self._reply(200 if self.server.app.artifacts.upload(path, body) else 403, b"")
        else:
            run, name = path.split("/", 1)
            self.server.app.upload(run, name, body)
            self._reply(200, b"")

    def do_GET(self) -> None:
        self._reply(200, self.server.app.artifacts.download(unquote(self.path).removeprefix("/artifact/")))

    def _answer(self, post: dict[str, Any]) -> dict[str, Any]:
        app = self.server.app
        if self.path == "/graphql":
            operation = post.get("operationName") or re.findall(r"(?:query|mutation)\s+(\w+)", post["query"])[0]
            return {"data": app.answer(operation, post.get("variables") or {})}
        return app.stream(self.path.split("/")[-2], post)  # /files/ENTITY/PROJECT/RUN/file_stream

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
