"""Real servers that can be killed and started again on their ports: a web server, an sshd, a responder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provisioner.keeper import die_with_parent
from tests.witness.conftest import ROOT, accepts, free_port, sshd_command, until

__all__ = ["Server", "guest_server", "ssh_server", "web_server"]


class Server:
    """A program that listens on a port of its own."""

    def __init__(self, port: int, command: Sequence[str | Path], folder: Path) -> None:
        self.port, self._command, self._folder = port, command, folder
        self.process = self._started()

    def restart(self) -> None:
        """kill -9, and start anew."""
        self.kill()
        self.process = self._started()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            preexec_fn=die_with_parent(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: accepts(self.port))
        return process


def web_server(folder: Path) -> Server:
    """A web server that lists a folder."""
    # The server's own queue of five is full at once when all witnesses ask.
    program = "import sys, http.server as h; h.ThreadingHTTPServer.request_queue_size = 1024;"
    program += (
        "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    port = free_port()
    return Server(port, [sys.executable, "-c", program, str(port)], folder)


def ssh_server(folder: Path) -> tuple[Server, str]:
    """An sshd, and the fingerprint of its key."""
    command, port, keys = sshd_command(folder, ("ed25519",))
    return Server(port, command, folder), keys["ed25519"]


def guest_server(folder: Path) -> Server:
    """The responder as it runs in a guest; its key stays in the folder."""
    port = free_port()
    program = ROOT / "templates" / "guest" / "ocx_responder.py"
    named = ["--host", "127.0.0.1", "--port", str(port), "--state", str(folder)]
    return Server(port, [sys.executable, program, *named], folder)
