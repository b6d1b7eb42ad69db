"""Start, await and end a lab's processes, all of them together, and choose their ports.

Every process runs under `provisioner.keeper` (started by command), so its whole tree ends with the lab.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from chain.ports import free_ports
from market.errors import OcxError, Permanent

__all__ = ["Service", "Services", "environment", "foreground", "free_ports"]


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


class Services(ABC):
    """A context manager of services that stand and fall together; a lab says in `_start` which.

    `described` is the file in its folder that is there exactly while all of them are up.
    """

    described: str

    def __init__(self, directory: Path) -> None:
        self._dir = Path(directory).resolve()
        self._services: dict[str, Service] = {}
        self._lock, self._stopped = threading.Lock(), False

    def __enter__(self) -> Self:
        """Start everything; after a failure nothing is left."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self.stop()

    def stop(self) -> None:
        """End every process; logs and disks stay for the curious."""
        (self._dir / self.described).unlink(missing_ok=True)
        with self._lock:
            self._stopped = True
            services = list(self._services.values())
            self._services.clear()
        for service in services:
            service.begin_stop()
        for service in services:
            service.finish_stop()

    def wait(self) -> None:
        """Block until one of the processes ends, which raises `Permanent`."""
        while True:
            for name, service in self._services.items():
                if service.has_ended():
                    raise Permanent(f"{name} ended by itself", hint=f"See {self._dir / name}.out.")
            time.sleep(0.2)

    @abstractmethod
    def _start(self) -> None:
        """Start the services of this lab, each by `_run`."""

    def _run(self, name: str, command: Sequence[object], env: Mapping[str, str]) -> Service:
        """Start one, unless the lab was stopped meanwhile."""
        with self._lock:
            if self._stopped:
                raise Permanent(f"{name} is not started: the lab was stopped")
            self._services[name] = Service(name, command, self._dir / f"{name}.out", env)
            return self._services[name]


def foreground(name: str, make: Callable[[], Services]) -> int:
    """Run a lab until SIGTERM or Ctrl-C; the exit code. A failure is told in one line."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with make() as lab:
            lab.wait()
    except KeyboardInterrupt:
        return 0
    except OcxError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
