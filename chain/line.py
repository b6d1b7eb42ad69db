"""One HTTP line to one node: JSON-RPC calls, one or many in one message, over connections that threads share.

It must not decide what an answer means, and it must not follow a redirect: a node is where the connection
file says.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import select
import ssl
import threading
import weakref
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import certifi

__all__ = ["HttpStatus", "Line"]

_LINES = 8
"""Connections that are kept; more are opened while so many calls run, and closed afterwards."""


class HttpStatus(Exception):
    """The other side answered with an HTTP error and no JSON-RPC."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Line:
    """Safe among threads. Timeouts in seconds, to connect and for each wait for an answer.

    Raises `HttpStatus`, `http.client.HTTPException`, OSError, or ValueError for what is no JSON.
    """

    def __init__(self, url: str, auth: tuple[str, str] | None, connect: float, read: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = ssl.create_default_context(cafile=certifi.where()) if parts.scheme == "https" else None
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json"}
        if auth is not None:
            token = base64.b64encode(":".join(auth).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._connect, self._read = connect, read
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._ids = itertools.count(1)
        weakref.finalize(self, _close, self._idle)

    def make_request(self, method: str, params: Sequence[Any]) -> Any:
        """The whole answer to one call."""
        return self._post(self._request(method, params))

    def make_batch_request(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> Any:
        """The answers in the order of the calls; a node that takes no batches gives one answer, an error."""
        answer = self._post([self._request(method, params) for method, params in requests])
        return sorted(answer, key=lambda item: int(item["id"] or 0)) if isinstance(answer, list) else answer

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._ids)}

    def _post(self, message: object) -> Any:
        """A kept connection may have been closed just now; then once more over a new one.

        What is asked of a node may be asked twice: a transaction that it has already is known by its hash.
        """
        body = json.dumps(message).encode()
        kept = self._take()
        try:
            status, content = self._exchange(kept or self._open(), body)
        except ConnectionError:
            if kept is None:
                raise
            status, content = self._exchange(self._open(), body)
        if status >= 300:
            raise HttpStatus(status)
        return json.loads(content)

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        self._give(connection)
        return answer.status, content

    def _take(self) -> http.client.HTTPConnection | None:
        """A kept connection that was not closed meanwhile."""
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None or not _is_closed(kept):
                return kept
            kept.close()

    def _open(self) -> http.client.HTTPConnection:
        new = (
            http.client.HTTPConnection(self._host, self._port, timeout=self._connect)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=self._connect, context=self._tls)
        )
        try:
            new.connect()
            new.sock.settimeout(self._read)
        except BaseException:
            new.close()
            raise
        return new

    def _give(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < _LINES:
                self._idle.append(connection)
                return
        connection.close()


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the other side hung up: an idle connection has nothing to say but its end."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _close(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()
