"""A proxy between a plugin and its cloud that does what networks and clouds do: it delays, hangs, cuts, lies.

In front of an HTTP API it sees requests and answers; `Fault`s choose among them by a pattern on `METHOD path
body`. In front of anything else (SSH) one connection counts as one request. Watchers are told of each request
before it is forwarded and after its answer came from the cloud, and may kill whoever asked.

It must not know any cloud, and never changes a request.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import http.client
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Self
from xml.etree import ElementTree

__all__ = ["Fault", "FaultProxy", "Kind", "Moment"]


class Kind(enum.Enum):
    """What goes wrong with one request."""

    REFUSE = "refuse"
    """The connection is cut before a byte is read, as if nobody listened."""
    RESET = "reset"
    """The request is read and not forwarded; the connection is cut: it fails before the effect."""
    CUT = "cut"
    """The request is forwarded, its answer is not: it fails after the effect."""
    HALF = "half"
    """The answer breaks off in the middle of the body it announced."""
    SHORT = "short"
    """The answer's body is half as long as it should be, and says so: no longer JSON or XML."""
    PARTIAL = "partial"
    """A well-formed answer whose lists have lost their second half, at least one entry."""
    ERROR_500 = "500"
    ERROR_503 = "503"
    """The answer is an error; the request is not forwarded."""
    DELAY = "delay"
    """The request is forwarded after `seconds`."""
    HANG = "hang"
    """The request is not forwarded and not answered until the fault is cleared."""
    HANG_AFTER = "hang-after"
    """The request is forwarded; its answer is held until the fault is cleared."""


class Moment(enum.Enum):
    """When a watcher is told."""

    BEFORE = "before"
    """The request is here and the cloud has not seen it."""
    AFTER = "after"
    """The cloud has answered and the caller has not seen it."""


@dataclasses.dataclass
class Fault:
    """What goes wrong with the next `times` requests that match, after `skip` of them were let through."""

    kind: Kind
    match: str = ""
    skip: int = 0
    times: int = 1
    seconds: float = 0.0
    after: int = 0
    """Without HTTP: how many bytes of the cloud's a connection carries before `HALF` cuts it."""


@dataclasses.dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path} {self.body.decode('utf-8', 'replace')}".rstrip()


Watcher = Callable[[int, str, Moment], None]
"""Told the number of the request (from 1), its line, and the moment."""


class FaultProxy:
    """Loopback ports that lead to the targets, one each; a context manager.

    `http` False: bytes are passed on as they come, and a connection is a request whose line is `TCP`.
    """

    def __init__(self, *targets: tuple[str, int], http: bool = True) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._cleared = threading.Event()
        self._faults: list[Fault] = []
        self._random: tuple[random.Random, float, tuple[Kind, ...]] | None = None
        self._open: set[socket.socket] = set()
        self._closed = False
        self.lines: list[str] = []
        """The lines of all requests so far."""
        self.suffered: list[tuple[Kind, str]] = []
        """Which faults were suffered by which requests."""
        self.watcher: Watcher | None = None
        self._listeners = {socket.create_server(("127.0.0.1", 0), backlog=64): each for each in targets}
        self.ports = [int(listener.getsockname()[1]) for listener in self._listeners]
        """Where it listens, in the order of the targets."""

    def __enter__(self) -> Self:
        for listener, target in self._listeners.items():
            threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self.clear()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut_all()

    def plant(self, *faults: Fault) -> None:
        """Let things go wrong."""
        with self._lock:
            self._cleared.clear()
            self._faults += faults

    def at_random(self, seed: int, share: float, kinds: tuple[Kind, ...], seconds: float = 0.2) -> None:
        """Let the `share` of all requests go wrong, by a seeded choice; hangs end after `seconds`."""
        with self._lock:
            self._cleared.clear()
            self._random = (random.Random(seed), share, kinds)
            self._seconds = seconds

    def clear(self) -> None:
        """Let nothing go wrong any more; what hangs goes on."""
        with self._lock:
            self._faults.clear()
            self._random = None
            self._cleared.set()

    def reset(self) -> None:
        """As if new: no faults, no watcher, no requests."""
        self.clear()
        self.watcher = None
        self.lines, self.suffered = [], []

    def cut_all(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            connections = list(self._open)
        for each in connections:
            _slam(each)

    # ---- connections -----------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, target: tuple[str, int]) -> None:
        while not self._closed:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._guarded, args=(near, target), daemon=True).start()

    def _guarded(self, near: socket.socket, target: tuple[str, int]) -> None:
        serve = self._serve_http if self._http else self._serve_tcp
        with self._lock:
            self._open.add(near)
        try:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                serve(near, target)
        finally:
            with self._lock:
                self._open.discard(near)
            _slam(near)

    def _serve_http(self, near: socket.socket, target: tuple[str, int]) -> None:
        with near.makefile("rb") as reader:
            while (request := _read_request(reader)) is not None:
                if not self._answer(near, request, target):
                    return

    def _answer(self, near: socket.socket, request: _Request, target: tuple[str, int]) -> bool:
        """Serve one request; whether the connection may serve another."""
        number, fault = self._note(request.line)
        kind = fault.kind if fault else None
        self._tell(number, request.line, Moment.BEFORE)
        if kind in (Kind.REFUSE, Kind.RESET):
            return False
        if kind in (Kind.HANG, Kind.DELAY):
            self._hold(fault)
            if kind is Kind.HANG:
                return False
        if kind in (Kind.ERROR_500, Kind.ERROR_503):
            near.sendall(_error(int(kind.value)))
            return True
        status, headers, body = _forward(request, target)
        self._tell(number, request.line, Moment.AFTER)
        if kind is Kind.HANG_AFTER:
            self._hold(fault)
        if kind in (Kind.CUT, Kind.HANG_AFTER):
            return False
        whole = len(body)
        if kind is Kind.SHORT:
            body = body[: whole // 2]
            whole = len(body)
        elif kind is Kind.PARTIAL:
            body = partial(body)
            whole = len(body)
        elif kind is Kind.HALF:
            body = body[: whole // 2]
        near.sendall(_head(status, headers, whole) + (b"" if request.method == "HEAD" else body))
        return kind is not Kind.HALF

    def _serve_tcp(self, near: socket.socket, target: tuple[str, int]) -> None:
        number, fault = self._note("TCP")
        kind = fault.kind if fault else None
        self._tell(number, "TCP", Moment.BEFORE)
        if kind in (Kind.REFUSE, Kind.RESET, Kind.ERROR_500, Kind.ERROR_503):
            return
        if kind in (Kind.HANG, Kind.DELAY):
            self._hold(fault)
            if kind is Kind.HANG:
                return
        far = socket.create_connection(target, 10)
        far.settimeout(None)
        with self._lock:
            self._open.add(far)
        limit = fault.after if fault and kind is Kind.HALF else None
        try:
            up = threading.Thread(target=_copy, args=(near, far, None), daemon=True)
            up.start()
            _copy(far, near, limit)
            if limit is None:
                up.join()
            self._tell(number, "TCP", Moment.AFTER)
        finally:
            with self._lock:
                self._open.discard(far)
            _slam(far)

    # ---- faults ----------------------------------------------------------------------------------------

    def _note(self, line: str) -> tuple[int, Fault | None]:
        with self._lock:
            self.lines.append(line)
            number, chosen = len(self.lines), self._choose(line)
            if chosen is not None:
                self.suffered.append((chosen.kind, line))
        return number, chosen

    def _choose(self, line: str) -> Fault | None:
        for fault in self._faults:
            if fault.times <= 0 or not re.search(fault.match, line, re.DOTALL):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            return fault
        if self._random is not None:
            dice, share, kinds = self._random
            if dice.random() < share:
                return Fault(dice.choice(kinds), seconds=self._seconds)
        return None

    def _hold(self, fault: Fault | None) -> None:
        seconds = fault.seconds if fault and fault.seconds else None
        if fault and fault.kind is Kind.DELAY:
            time.sleep(seconds or 0.2)
        else:
            self._cleared.wait(seconds)

    def _tell(self, number: int, line: str, moment: Moment) -> None:
        if self.watcher is not None:
            self.watcher(number, line, moment)


def _forward(request: _Request, target: tuple[str, int]) -> tuple[int, list[tuple[str, str]], bytes]:
    """Ask the cloud; status, headers and body of its answer."""
    connection = http.client.HTTPConnection(*target, timeout=120)
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "expect"):
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


def partial(body: bytes) -> bytes:
    """A well-formed answer with half of its lists; what is neither JSON nor XML is only shortened."""
    with contextlib.suppress(ValueError):
        return json.dumps(_halved(json.loads(body))).encode()
    with contextlib.suppress(ElementTree.ParseError):
        root = ElementTree.fromstring(body)  # noqa: S314  the cloud of the test itself
        for parent in list(root.iter()):
            items = parent.findall("*")
            if items and all(item.tag.endswith("item") for item in items):
                for item in items[len(items) // 2 :]:
                    parent.remove(item)
        return ElementTree.tostring(root)
    return body[: len(body) // 2]


def _halved(value: object) -> object:
    if isinstance(value, dict):
        return {name: _halved(inner) for name, inner in value.items()}
    return [_halved(inner) for inner in value[: len(value) // 2]] if isinstance(value, list) else value


def _read_request(reader: object) -> _Request | None:
    """One request, None at the end of the connection."""
    start = reader.readline(65536)  # type: ignore[attr-defined]
    if not start.strip():
        return None
    method, path, _ = start.decode("latin-1").split(" ", 2)
    message = http.client.parse_headers(reader)  # type: ignore[arg-type]
    headers = list(message.items())
    if (message.get("Transfer-Encoding") or "").lower() == "chunked":
        body = _chunks(reader)
    else:
        body = reader.read(int(message.get("Content-Length") or 0))  # type: ignore[attr-defined]
    return _Request(method, path, headers, body)


def _chunks(reader: object) -> bytes:
    body = b""
    while size := int(reader.readline().split(b";")[0], 16):  # type: ignore[attr-defined]
        body += reader.read(size)  # type: ignore[attr-defined]
        reader.readline()  # type: ignore[attr-defined]
    reader.readline()  # type: ignore[attr-defined]
    return body


def _head(status: int, headers: list[tuple[str, str]], length: int) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
    gone = ("connection", "transfer-encoding", "content-length")
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in gone]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1")


def _error(status: int) -> bytes:
    body = b"the cloud is in trouble"
    return _head(status, [("Content-Type", "text/plain")], len(body)) + body


def _copy(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    """Pass bytes on until the end, or until `limit` of them."""
    left = limit
    with contextlib.suppress(OSError):
        while (left is None or left > 0) and (part := source.recv(65536)):
            sink.sendall(part if left is None else part[:left])
            left = None if left is None else left - len(part)
        if limit is None:
            sink.shutdown(socket.SHUT_WR)


def _slam(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
