"""Real servers on loopback for the witness's tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.keeper import die_with_parent

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sshd:
    """A running OpenSSH server: its port, and the fingerprints of its host keys by kind."""

    port: int
    keys: dict[str, str]


def until(done: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something holds; AssertionError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd with three kinds of host keys, that lets nobody in."""
    command, port, keys = sshd_command(tmp_path_factory.mktemp("sshd"), ("ed25519", "ecdsa", "rsa"))
    with subprocess.Popen(command, preexec_fn=die_with_parent(), stderr=subprocess.DEVNULL) as process:
        until(lambda: accepts(port))
        yield Sshd(port, keys)
        process.terminate()


def sshd_command(folder: Path, kinds: Sequence[str]) -> tuple[list[str], int, dict[str, str]]:
    """How to start an sshd that lets nobody in: its command, its port and its fingerprints by kind of key."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip("no sshd here")
    Path("/run/sshd").mkdir(exist_ok=True)
    keys, lines, port = {}, [], free_port()
    for kind in kinds:
        file = folder / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file], check=True)
        shown = subprocess.run(["ssh-keygen", "-lf", file], check=True, capture_output=True, text=True)
        keys[kind] = shown.stdout.split()[1]
        lines.append(f"HostKey {file}")
    lines += [f"Port {port}", "ListenAddress 127.0.0.1", "UsePAM no", f"PidFile {folder / 'pid'}"]
    lines += ["MaxStartups 1000", "LogLevel ERROR"]
    (folder / "config").write_text("\n".join(lines) + "\n")
    return [program, "-D", "-e", "-f", str(folder / "config")], port, keys


@dataclass(frozen=True)
class Responder:
    """The real responder of templates/guest: its port and the folder of its key."""

    port: int
    state: Path


@pytest.fixture(scope="session")
def responder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Responder]:
    """The responder as it runs in a guest."""
    folder, port = tmp_path_factory.mktemp("responder"), free_port()
    program = ROOT / "templates" / "guest" / "ocx_responder.py"
    command = [
        sys.executable,
        str(program),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--state",
        str(folder),
    ]
    with subprocess.Popen(command, preexec_fn=die_with_parent(), stderr=subprocess.DEVNULL) as process:
        until(lambda: accepts(port))
        yield Responder(port, folder)
        process.terminate()
