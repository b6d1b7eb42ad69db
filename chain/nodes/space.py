"""Network namespaces for nodes on one machine, so that each has an address and a wire of its own.

All of it (the nodes' namespaces, and one with the bridge between them) is held by open files of the process
that made it and has no names: when that process is gone, however it ended, nothing is left. The machine's own
network is never touched. Linux and root only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from market.errors import Permanent

__all__ = ["Spaces", "enter", "inside", "work_here"]

_CLONE_NEWNET = 0x40000000
_T = TypeVar("_T")


def _libc(call: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, call)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def enter(space: int) -> None:
    """Move this thread (in a `preexec_fn`: the child) into the namespace behind an open file."""
    _libc("setns", space, _CLONE_NEWNET)


def inside(space: int | None, action: Callable[[], _T]) -> _T:
    """Do something in a namespace (None: in a new one), in a thread that ends with it."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _libc("unshare", _CLONE_NEWNET) if space is None else enter(space)
            results.append(action())
        except Exception as error:  # noqa: BLE001  handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def work_here() -> bool:
    """Whether this process may make namespaces with wires between them."""
    if os.geteuid() != 0:
        return False
    with contextlib.suppress(OSError, Permanent), Spaces(["a"], ["10.99.0.1"]):
        return True
    return False


class Spaces:
    """A namespace for each name, with its address on one Ethernet (/24); closed, all are gone."""

    def __init__(self, names: Sequence[str], addresses: Sequence[str]) -> None:
        self._spaces: dict[str, int] = {}
        self._switch = _new_space()
        self._open = [self._switch]
        self.wires = {name: f"w{number}" for number, name in enumerate(names)}
        try:
            _ip(self._switch, "link add bridge type bridge forward_delay 0", "link set bridge up")
            for name, address in zip(names, addresses, strict=True):
                self._add(name, address)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Spaces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, name: str) -> int:
        """The open file that is a name's namespace."""
        return self._spaces[name]

    def close(self) -> None:
        """Let go of everything; what has no process in it is gone then."""
        while self._open:
            os.close(self._open.pop())

    def _add(self, name: str, address: str) -> None:
        space = self._spaces[name] = _new_space()
        self._open.append(space)
        wire = self.wires[name]
        there = f"/proc/{os.getpid()}/fd/{space}"
        _ip(
            self._switch,
            f"link add {wire} type veth peer name eth0 netns {there}",
            f"link set {wire} master bridge up",
        )
        _ip(space, "link set lo up", f"address add {address}/24 dev eth0", "link set eth0 up")


def _new_space() -> int:
    return inside(None, lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))


def _ip(space: int, *commands: str) -> None:
    """Run iproute2's commands, all in one go, in a namespace."""
    done = subprocess.run(
        ["ip", "-batch", "-"],
        input="\n".join(commands) + "\n",
        preexec_fn=lambda: enter(space),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Permanent(f"network namespaces cannot be wired: {done.stderr.strip()}")
