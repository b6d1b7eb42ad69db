"""What measurements look with: a process's use of the machine, and when a block is first there. Nothing is
decided here, and what it costs is small beside what is measured.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.wire import as_number

__all__ = ["Blocks", "CountingRelay", "Node", "Usage"]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far, resident megabytes, and threads of one process."""

    cpu: float
    rss: float
    threads: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """As the kernel counts."""
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        )
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        return cls(cpu, int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]))


class Node:
    """A plain connection to a node, for one thread: several calls in one message."""

    def __init__(self, port: int) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        """The results in order; RuntimeError if the node says no."""
        body = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params}
            for n, (method, params) in enumerate(calls)
        ]
        self._line.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answers = sorted(json.loads(self._line.getresponse().read()), key=lambda item: int(item["id"]))
        for answer in answers:
            if "error" in answer:
                raise RuntimeError(str(answer["error"]))
        return [answer["result"] for answer in answers]


class Blocks:
    """Notes when each block is first at the node, to about ten milliseconds."""

    def __init__(self, port: int) -> None:
        self.seen: dict[int, float] = {}
        self._node = Node(port)
        self._new = threading.Condition()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Blocks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def wait(self) -> int:
        """Until the next block is there; its number."""
        with self._new:
            before = max(self.seen, default=0)
            while max(self.seen, default=0) <= before:
                if not self._new.wait(30):
                    raise TimeoutError("no block came for 30 s")
            return max(self.seen)

    def _look(self) -> None:
        while not self._done.wait(0.01):
            number = as_number(self._node.ask(("eth_blockNumber", []))[0])
            if number not in self.seen:
                with self._new:
                    self.seen[number] = time.time()
                    self._new.notify_all()


class CountingRelay:
    """A loopback port to a node that counts the messages through it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.messages = 0

    def __enter__(self) -> CountingRelay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, count: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if count:
                    self.messages += data.count(b"POST / ")
                sink.sendall(data)
        for end in (source, sink):
            end.close()
