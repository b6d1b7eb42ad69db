"""Start, await and end the lab's processes, and choose their ports.

Every process runs under `provisioner.keeper` (started by command), so its whole tree ends with the lab.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from market.errors import Permanent

__all__ = ["Service", "environment", "free_ports"]

_PORTS = range(20000, 32000)


def free_ports() -> Iterator[int]:
    """Different loopback ports nobody listens at, below the range the kernel hands out by itself."""
    start = _PORTS.start + secrets.randbelow(len(_PORTS))
    for port in chain(range(start, _PORTS.stop), range(_PORTS.start, start)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            probe.close()
            yield port
    raise Permanent("there is no free loopback port left")


def environment() -> dict[str, str]:
    """This process's environment, but byte code is kept: without it Ironic needs 7 s of CPU more to start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Service:
    """One process of the lab and all it starts; its output goes to `log`."""

    def __init__(self, name: str, command: Sequence[object], log: Path, env: Mapping[str, str]) -> None:
        self._name, self._log = name, log
        keeper = [sys.executable, "-m", "provisioner.keeper", "--while-pid", str(os.getpid()), "--"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*keeper, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environment(), **env},
                start_new_session=True,
            )

    def wait_until_it_answers(self, url: str, timeout: float = 90.0) -> None:
        """Poll until there is any HTTP answer. Raises `Permanent` with the log's end if it does not start."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        tail = " ".join(self._log.read_text(errors="replace").split()[-60:])
        raise Permanent(f"{self._name} did not start", hint=f"{self._log} ends: {tail}")

    def has_ended(self) -> bool:
        """True once the process is gone."""
        return self._process.poll() is not None

    def begin_stop(self) -> None:
        """Tell the keeper to end the tree; state is throw-away, so nothing is asked politely."""
        self._process.terminate()

    def finish_stop(self, timeout: float = 15.0) -> None:
        """Wait until the tree is gone."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
