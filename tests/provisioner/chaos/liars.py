"""Endpoints that lie: in between an agent and its node, they show an old chain, or lead to another one."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import yaml

from tests.provisioner.world import Provider

__all__ = ["Lagging", "endpoints"]


def endpoints(provider: Provider, *urls: str) -> None:
    """Make these the endpoints of a provider's connection file."""
    path: Path = provider.folder / "connection.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"rpc_urls": list(urls)}))


class Lagging:
    """A node that shows the chain as it was at block `at`; None: as it is. It takes transactions."""

    def __init__(self, port: int) -> None:
        """In front of the node on that loopback port."""
        self.at: int | None = None
        lagging = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Passes every call on, with the newest block replaced."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Answer as the node would have at that block."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = json.loads(body)
                many = isinstance(asked, list)
                told = [lagging.answer(port, call) for call in (asked if many else [asked])]
                answer = json.dumps(told if many else told[0]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Lagging:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, port: int, call: dict[str, Any]) -> dict[str, Any]:
        """One call, as the node would have answered it then."""
        at = self.at
        if at is not None:
            call = call | {"params": [hex(at) if p in ("latest", "pending") else p for p in call["params"]]}
            asked = call["params"][0] if call["method"] == "eth_getBlockByNumber" else None
            if asked is not None and int(asked, 16) > at:
                return {"jsonrpc": "2.0", "id": call["id"], "result": None}
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            line.request("POST", "/", json.dumps(call), {"Content-Type": "application/json"})
            told: dict[str, Any] = json.loads(line.getresponse().read())
        finally:
            line.close()
        return told
