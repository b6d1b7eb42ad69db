"""One HTTP line to one node: JSON-RPC calls, one or many in one message, over connections that threads share.

It must not decide what an answer means, and it must not follow a redirect: a node is where the connection
file says.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3

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

    Raises `HttpStatus`, `urllib3.exceptions.HTTPError`, OSError, or ValueError for what is no JSON.
    """

    def __init__(self, url: str, auth: tuple[str, str] | None, connect: float, read: float) -> None:
        parts = urlsplit(url)
        options: dict[str, Any] = {}
        if parts.scheme == "https":
            options = {"cert_reqs": "CERT_REQUIRED", "ca_certs": certifi.where()}
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json"}
        if auth is not None:
            self._headers |= urllib3.make_headers(basic_auth=":".join(auth))
        self._pool = urllib3.connection_from_url(
            url, maxsize=_LINES, timeout=urllib3.Timeout(connect=connect, read=read), **options
        )
        self._ids = itertools.count(1)

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
        answer = self._pool.urlopen(
            "POST", self._path, body=json.dumps(message), headers=self._headers, retries=False, redirect=False
        )
        if answer.status >= 300:
            raise HttpStatus(answer.status)
        return json.loads(answer.data)
