"""One HTTP line to one node: JSON-RPC calls, one or many in one message, over connections that threads share.

It exists because web3's own HTTP provider spends most of a call's time on looking up its session, and gives
each thread connections of its own. Loading web3 takes over a second, so import this module late. It must not
decide what an answer means, and it must not follow a redirect: a node is where the connection file says.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

import certifi
import urllib3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

__all__ = ["HttpStatus", "Line"]

_LINES = 8
"""Connections that are kept; more are opened while so many calls run, and closed afterwards."""


class HttpStatus(Exception):
    """The other side answered with an HTTP error and no JSON-RPC."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Line(JSONBaseProvider):
    """A web3 provider; safe among threads. Timeouts in seconds, to connect and for each wait for an answer.

    Raises `HttpStatus`, `urllib3.exceptions.HTTPError`, OSError, or ValueError for what is no JSON.
    """

    def __init__(self, url: str, auth: tuple[str, str] | None, connect: float, read: float) -> None:
        super().__init__()
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

    def make_request(self, method: RPCEndpoint, params: object) -> RPCResponse:
        """The whole answer to one call."""
        return cast(RPCResponse, self._post(self.encode_rpc_request(method, params)))

    def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, object]]
    ) -> list[RPCResponse] | RPCResponse:
        """The answers in the order of the calls; a node that takes no batches gives one answer, an error."""
        answer = self._post(self.encode_batch_rpc_request(requests))
        if not isinstance(answer, list):
            return cast(RPCResponse, answer)
        return sorted(answer, key=lambda item: int(item["id"] or 0))

    def _post(self, body: bytes) -> Any:
        answer = self._pool.urlopen(
            "POST", self._path, body=body, headers=self._headers, retries=False, redirect=False
        )
        if answer.status >= 300:
            raise HttpStatus(answer.status)
        return self.decode_rpc_response(answer.data)
