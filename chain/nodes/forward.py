"""A port of this machine's loopback that leads to the same port of a namespace's own loopback.

So a node's JSON-RPC is reached alike whether it has a namespace or not, and is open to nobody else. Each
accepted connection is carried by two threads; for measuring an engine's speed use nodes without namespaces.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from chain.nodes.space import enter

__all__ = ["Forward"]


class Forward:
    """Listens until closed; connections end when either side hangs up."""

    def __init__(self, port: int, space: int) -> None:
        self._port, self._space = port, space
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True, name=f"forward {port}").start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        """This thread lives in the namespace; the listener stays where it was made."""
        enter(self._space)
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._carry(near)

    def _carry(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._port), 5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        for line in (near, far):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for line in (source, sink):
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
