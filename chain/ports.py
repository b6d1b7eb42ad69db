"""Loopback ports for programs started here. Imports little: the environment of the lab uses it, too."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator
from itertools import chain as joined

from market.errors import Permanent

__all__ = ["free_ports"]

_PORTS = range(20000, 32000)


def free_ports() -> Iterator[int]:
    """Different loopback ports nobody listens at, below the range the kernel hands out by itself."""
    start = _PORTS.start + secrets.randbelow(len(_PORTS))
    for port in joined(range(start, _PORTS.stop), range(_PORTS.start, start)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            probe.close()
            yield port
    raise Permanent("there is no free loopback port left")
