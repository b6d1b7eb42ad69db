"""Endpoints that lie: each stands in front of a node and tells something else than that does."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from collections.abc import Callable
from typing import Any, Self

from eth_utils.crypto import keccak

__all__ = ["Between", "Liar", "Lie", "behind", "censor", "deny", "invent_events", "spend"]


class Between:
    """An HTTP server in front of a node's loopback port, for calls one by one and in batches."""

    def __init__(self, port: int) -> None:
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Asks `answer` about every call."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Answer one message."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = json.loads(body)
                many = isinstance(asked, list)
                told = [between.answer(port, call) for call in (asked if many else [asked])]
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, port: int, call: dict[str, Any]) -> dict[str, Any]:
        """One call, as the node answers it."""
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            line.request("POST", "/", json.dumps(call), {"Content-Type": "application/json"})
            told: dict[str, Any] = json.loads(line.getresponse().read())
        finally:
            line.close()
        return told


Lie = Callable[[dict[str, Any], Any], Any]
"""From a call and the node's true result: what is told in its place."""


class Liar(Between):
    """Tells what `lie` makes of the node's results; with `keeps`, no transaction goes further than to it.

    Of what it kept it says that it was done: in the newest block but `depth`, and that hash is the true one.
    """

    def __init__(self, port: int, lie: Lie = lambda call, told: told, *, keeps: bool = False) -> None:
        super().__init__(port)
        self.lie, self.keeps, self.depth = lie, keeps, 5
        self.kept: dict[str, str] = {}

    def answer(self, port: int, call: dict[str, Any]) -> dict[str, Any]:
        """One call."""
        method, params = call["method"], call["params"]
        if self.keeps and method == "eth_sendRawTransaction":
            hash_ = "0x" + keccak(hexstr=params[0]).hex()
            self.kept[hash_] = params[0]
            return {"jsonrpc": "2.0", "id": call["id"], "result": hash_}
        if method == "eth_getTransactionReceipt" and params[0] in self.kept:
            return {"jsonrpc": "2.0", "id": call["id"], "result": self._invented(port, params[0])}
        told = super().answer(port, call)
        return told | {"result": self.lie(call, told["result"])} if "result" in told else told

    def _invented(self, port: int, hash_: str) -> dict[str, Any]:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber"}
        newest = int(super().answer(port, ask | {"params": ["latest", False]})["result"]["number"], 16)
        block = super().answer(port, ask | {"params": [hex(max(1, newest - self.depth)), False]})["result"]
        return {
            "transactionHash": hash_,
            "blockHash": block["hash"],
            "blockNumber": block["number"],
            "gasUsed": "0x5208",
            "status": "0x1",
            "logs": [],
            "contractAddress": None,
        }


def censor(call: dict[str, Any], told: Any) -> Any:
    """There are no events."""
    return [] if call["method"] == "eth_getLogs" else told


def invent_events(call: dict[str, Any], told: Any) -> Any:
    """Every event happened twice."""
    if call["method"] != "eth_getLogs":
        return told
    return told + [entry | {"logIndex": hex(int(entry["logIndex"], 16) + 1000)} for entry in told]


def deny(call: dict[str, Any], told: Any) -> Any:
    """There are no receipts."""
    return None if call["method"] == "eth_getTransactionReceipt" else told


def behind(call: dict[str, Any], told: Any) -> Any:
    """No lie: it has no block yet, and says so."""
    return "0x0" if call["method"] == "eth_blockNumber" else deny(call, told)


def spend(call: dict[str, Any], told: Any) -> Any:
    """Every account has used many more nonces, and for nothing of ours."""
    if call["method"] == "eth_getTransactionCount":
        return hex(int(told, 16) + 10)
    return deny(call, told)
