"""An honest witness with an address of its own, as its network would give it one.

    python -m tests.witness.byzantine.own_address ADDRESS witness run --config FILE

It is the real `ocx`; only its connections to loopback come from ADDRESS (any of 127.0.0.0/8), so that a proxy
can tell organisations apart as a network between them would: by where their packets come from.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import cli.main

__all__ = ["come_from"]

_NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""Linux: the port is chosen when it connects, so that one port may serve towards many servers."""


def come_from(own: str) -> None:
    """From now on, every connection of this process to loopback comes from that address."""
    plain: Any = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_INET and self.type == socket.SOCK_STREAM and _is_ours(self, address):
            self.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
            self.bind((own, 0))
        plain(self, address)

    socket.socket.connect = connect  # type: ignore[assignment,method-assign]


def _is_ours(connecting: socket.socket, address: Any) -> bool:
    """Whether it goes to loopback, from no address that anybody chose."""
    return str(address[0]).startswith("127.") and connecting.getsockname()[0] == "0.0.0.0"  # noqa: S104


if __name__ == "__main__":
    come_from(sys.argv.pop(1))
    cli.main.main()
