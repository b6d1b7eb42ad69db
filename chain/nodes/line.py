"""One conversation over a Unix socket: lines of JSON to a node's IPC socket or to a keeper.

The IPC socket is where a node is governed, so it lies in the node's folder and nowhere on a network. Paths
may be longer than the kernel's 108 bytes for a socket's name. It must not decide what a failure means.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from chain.wire import RpcUnreachable, node_error

__all__ = ["IpcLine", "connected", "listening", "request"]

_LIMIT = 64 << 20


class IpcLine:
    """JSON-RPC with one node over its IPC socket; RpcUnreachable after `timeout` seconds."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self._path = path
        self._socket = connected(path, timeout)
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, method: str, *params: Any) -> Any:
        """The result of one method; the node's own "no" raises RpcRefused."""
        [result] = self.call_many([(method, params)])
        return result

    def call_many(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of several methods, in order, in one message; the first "no" is raised."""
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(requests)
        ]
        answers = {item["id"]: item for item in self._exchange(body)}
        results = []
        for number, (method, _) in enumerate(requests):
            answer = answers[number]
            if answer.get("error") is not None:
                raise node_error(method, answer["error"])
            results.append(answer.get("result"))
        return results

    def _exchange(self, body: Any) -> Any:
        try:
            self._socket.sendall(json.dumps(body).encode() + b"\n")
            line, self._left = _read_line(self._socket, self._left)
            return json.loads(line)
        except (OSError, ValueError) as error:
            raise RpcUnreachable(f"the node behind {self._path} does not answer: {error}") from error


def request(path: Path, message: Any, timeout: float = 30.0) -> Any:
    """Say one thing to a keeper and hear its answer; RpcUnreachable if nobody is there."""
    with connected(path, timeout) as line:
        try:
            line.sendall(json.dumps(message).encode() + b"\n")
            return json.loads(_read_line(line, b"")[0])
        except (OSError, ValueError) as error:
            raise RpcUnreachable(f"nobody answers behind {path}: {error}") from error


def connected(path: Path, timeout: float) -> socket.socket:
    """A socket connected to the one at `path`; RpcUnreachable if nobody listens there."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(timeout)
    try:
        with _short(path) as name:
            line.connect(name)
    except OSError as error:
        line.close()
        raise RpcUnreachable(f"nobody listens at {path}: {error}") from error
    return line


def listening(path: Path) -> socket.socket:
    """A socket that listens at `path`, for this user alone; what is left there of a dead one is removed."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    with _short(path) as name:
        server.bind(name)
    path.chmod(0o600)
    server.listen()
    return server


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A short name for a socket's path, however long that is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _read_line(line: socket.socket, left: bytes) -> tuple[bytes, bytes]:
    """What comes before the next end of line, and what came after it."""
    parts = [left]
    size = len(left)
    while b"\n" not in parts[-1]:
        part = line.recv(1 << 16)
        if not part:
            raise ConnectionError("the other side hung up")
        parts.append(part)
        size += len(part)
        if size > _LIMIT:
            raise ValueError("the answer is too long")
    whole, _, rest = b"".join(parts).partition(b"\n")
    return whole, rest
