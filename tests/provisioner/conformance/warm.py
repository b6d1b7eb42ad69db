"""A process that has imported everything and forks, so that a child works in milliseconds instead of seconds.

Agents that are killed thousands of times are started thousands of times; the imports alone would take two
seconds each. A `Warm` is started once; each `start` gives a real process of its own, which really dies by
SIGKILL. Its children end with it, and it ends with whoever started it.

The server has one thread, and must not open anything before it forks: a child shares nothing but code.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from pathlib import Path
from typing import Any, Self

__all__ = ["Child", "Warm"]

_ROOT = Path(__file__).parents[3]
IMPORTS = (
    "provisioner.run",
    "provisioner.plugins.fake",
    "tests.provisioner.conformance.programs",
    *("chain.line", "coincurve", "cryptography.hazmat.primitives.serialization", "eth_keyfile"),
    *("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography.x509", "Crypto.Hash.keccak"),
    *("uvicorn.lifespan.off", "uvicorn.loops.asyncio", "uvicorn.protocols.http.h11_impl"),
)
"""What every child may need, also what the product imports late; a plugin's own are named to `Warm`."""


class Child:
    """One forked process; `code` is None while it lives, negative for a signal."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self._warm, self.pid = warm, pid
        self._handle = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self._handle)
        self._reaping = threading.Lock()
        self._reaping = threading.Lock()
        self.code: int | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.code is None and not self._ended(0)

    def kill(self) -> None:
        """kill -9, and wait until it is gone. Harmless if it is gone already."""
        with self._reaping, contextlib.suppress(ProcessLookupError):
            if self.code is None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        signal.pidfd_send_signal(self._handle, number)

    def wait(self, limit: float) -> int:
        """Its exit code; negative for a signal. Raises `TimeoutError` after `limit` seconds."""
        if self.code is None:
            if not self._ended(limit):
                raise TimeoutError(f"process {self.pid} still runs after {limit} s")
            with self._reaping:  # a process is reaped once, whoever waits for it
                if self.code is None:
                    self.code = self._warm.reap(self.pid)
        return self.code

    def _ended(self, limit: float) -> bool:
        with self._reaping:
            if self.code is not None:
                return True
            handle = os.dup(self._handle)  # another thread may reap it meanwhile
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(limit * 1000))
        finally:
            os.close(handle)


class Warm:
    """The server's client; a context manager. Safe to use from several threads."""

    def __init__(self, *imports: str) -> None:
        self._imports = (*IMPORTS, *imports)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", __name__, *self._imports]
        environment = os.environ | {"PYTHONPATH": str(_ROOT)}
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, cwd=_ROOT
        )
        self._ask({})
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait()
        for pipe in (self._server.stdin, self._server.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def start(self, target: str, *args: Any, log: Path, **more: Any) -> Child:
        """Fork a process that calls `target` (`module:function`) with JSON arguments, output to `log`.

        It ends with code 0, or 1 after an exception, whose traceback is in `log`.
        """
        answer = self._ask({"start": target, "args": args, "kwargs": more, "log": str(log)})
        return Child(self, answer["pid"])

    def reap(self, pid: int) -> int:
        """Collect a child that ended."""
        return int(self._ask({"reap": pid})["code"])

    def _ask(self, question: dict[str, Any]) -> Any:
        with self._lock:
            assert self._server.stdin and self._server.stdout
            self._server.stdin.write(json.dumps(question) + "\n")
            self._server.stdin.flush()
            line = self._server.stdout.readline()
        assert line, "the warm process ended"
        return json.loads(line)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _serve(imports: list[str]) -> None:
    _die_with_parent()
    for name in imports:
        importlib.import_module(name)
    assert threading.active_count() == 1, "an import started a thread; forking would be unsafe"
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        question = json.loads(line)
        answer: dict[str, Any] = {}
        if "start" in question:
            answer["pid"] = _fork(question)
        elif "reap" in question:
            answer["code"] = os.waitstatus_to_exitcode(os.waitpid(question["reap"], 0)[1])
        print(json.dumps(answer), flush=True)


def _fork(question: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _die_with_parent()
        log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        module, _, name = question["start"].partition(":")
        getattr(importlib.import_module(module), name)(*question["args"], **question["kwargs"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
