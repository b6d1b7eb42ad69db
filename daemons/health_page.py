"""The page on which a program says how it is: a document, and metrics for Prometheus, on a loopback port."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from daemons.secrets import redact
from market.errors import Permanent

__all__ = ["HealthServer"]


class HealthServer:
    """The document on `http://127.0.0.1:<port>/`: 200 when its `ok` is true, else 503; metrics on `/metrics`.

    `port` 0 takes a free one; `Permanent` if it cannot be used. Both are made anew for each reader, in a
    thread of the page's own.
    """

    def __init__(
        self, port: int, document: Callable[[], dict[str, Any]], metrics: Callable[[], bytes] = bytes
    ) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Send what is asked for."""
                if self.path == "/metrics":
                    self._send(200, CONTENT_TYPE_LATEST, metrics())
                    return
                told = document()
                body = redact(json.dumps(told, sort_keys=True)).encode()
                self._send(200 if told["ok"] else 503, "application/json", body)

            def _send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        try:
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise Permanent(
                f"the health port {port} cannot be used: {error.strerror}", hint="Choose another health_port."
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
