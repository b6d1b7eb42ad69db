"""The guest: what answers on a machine that has no kernel of its own.

A fake machine and a lab machine stand for hardware; this program stands for the operating system on its
disk. It is a real process tree on loopback: an `sshd` that lets the keys of the config drive in, and an
HTTP server that says who it is. Only the kernel is not its own, and where it may (root), it takes its
hostname from the config drive in a namespace of its own.

`python -m provisioner.guest --disk DIR --ssh-port P --http-port P [--while-pid PID]` boots from DIR:
`DIR/config/openstack/latest/meta_data.json` is the config drive; the SSH host key is born in `DIR/host/`
at the first boot and stays there until the disk is wiped. Of the cloud-config beside it (`user_data`) the
responder's files are written and its unit is started, as cloud-init and systemd would. One guest at a time
holds `DIR/lock`. SIGTERM, the end of PID, or the end of either server ends the whole tree. Lets in the Unix
user that runs it.

Never for production tenants: they would share the kernel and the user of the provider.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import dataclasses
import fcntl
import gzip
import http.server
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import yaml

from market.errors import Permanent, Temporary
from provisioner import keeper, responder

__all__ = ["Guest", "host_key", "main", "unix_user", "write_config"]

_META = Path("config/openstack/latest/meta_data.json")
_USER_DATA = _META.with_name("user_data")
_CLONE_NEWUTS = 0x04000000
_LOCKED = 75
_SSHD_CONFIG = """\
ListenAddress {host}
Port {port}
HostKey {disk}/host/ssh_host_ed25519_key
AuthorizedKeysFile {disk}/host/authorized_keys
AllowUsers {user}
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
PidFile none
PrintMotd no
Subsystem sftp internal-sftp
"""


def write_config(
    disk: Path, meta_data: dict[str, Any], cloud_config: Mapping[str, Any] | None = None
) -> None:
    """Write the config drive of a disk; replaces an earlier one."""
    path = disk / _META
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(meta_data, indent=1))
    told = "#cloud-config\n" + json.dumps(dict(cloud_config or {})) + "\n"
    (disk / _USER_DATA).write_text(told)


def host_key(disk: Path) -> str | None:
    """The SSH host key born on this disk as `ssh-ed25519 AAAA...`; None before the first boot."""
    try:
        words = (disk / "host/ssh_host_ed25519_key.pub").read_text().split()
    except FileNotFoundError:
        return None
    return " ".join(words[:2])


def unix_user() -> str:
    """The user a guest of this process lets in: the one that runs it, whatever the environment says."""
    return pwd.getpwuid(os.geteuid()).pw_name


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest seen from outside, by whoever holds the power switch."""

    disk: Path
    ssh_port: int
    http_port: int
    host: str = "127.0.0.1"

    def power_on(self, *, while_pid: int | None = None, timeout: float = 15.0) -> None:
        """Boot from the disk and return once SSH answers; a running guest is left alone.

        Blocking: some 0.3 s. The guest outlives the caller, but not `while_pid`. Raises `Temporary` if it
        does not come up within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        command = [sys.executable, "-m", "provisioner.guest", *self._arguments(while_pid)]
        with (self.disk / "console.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_plain_environment(),
                start_new_session=True,
            )
        while not self.answers():
            if child.poll() not in (None, _LOCKED) or time.monotonic() > deadline:
                raise Temporary(
                    f"the guest on {self.disk.name} did not boot",
                    hint=f"Its console says: {self.console_tail()}",
                )
            time.sleep(0.05)
        _leave_to_init(child)

    def _arguments(self, while_pid: int | None) -> list[str]:
        ports = ["--ssh-port", str(self.ssh_port), "--http-port", str(self.http_port), "--host", self.host]
        watch = ["--while-pid", str(while_pid)] if while_pid else []
        return ["--disk", str(self.disk), *ports, *watch]

    def is_on(self) -> bool:
        """True while a guest holds the disk's lock."""
        try:
            with (self.disk / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def answers(self) -> bool:
        """True if this disk's own guest is on and an SSH server answers at its port."""
        if not self.is_on():
            return False
        try:
            with socket.create_connection((self.host, self.ssh_port), 2) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def power_off(self, timeout: float = 10.0) -> None:
        """End the guest's whole process tree; nothing happens if it is off.

        Blocking: until it is gone. Raises `Permanent` if it is still there after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while self.is_on():
            if time.monotonic() > deadline:
                raise Permanent(f"the guest on {self.disk.name} cannot be stopped", hint="Kill it by hand.")
            with contextlib.suppress(ValueError, OSError):
                os.kill(int((self.disk / "lock").read_text()), signal.SIGTERM)
            time.sleep(0.02)

    def console(self, most: int = 64 * 1024) -> str:
        """What the guest printed, its last `most` bytes; empty if it never booted."""
        try:
            with (self.disk / "console.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - most))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def console_tail(self) -> str:
        """Last line the guest printed."""
        lines = self.console().strip().splitlines()
        return lines[-1] if lines else "nothing"


def _plain_environment() -> dict[str, str]:
    """What a guest may know of its host's environment: nothing that could be a secret of the provider's."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _leave_to_init(child: subprocess.Popen[bytes]) -> None:
    """Reap the child in the background, so that a long-lived caller collects no zombies."""
    threading.Thread(target=child.wait, daemon=True).start()


def _first_boot(disk: Path, meta: dict[str, Any], host: str, port: int) -> Path:
    """Make host key, authorized keys and sshd configuration; returns the configuration's path."""
    etc = disk / "host"
    etc.mkdir(mode=0o700, exist_ok=True)
    if not (etc / "ssh_host_ed25519_key.pub").exists():
        (etc / "ssh_host_ed25519_key").unlink(missing_ok=True)
        key = ["-f", str(etc / "ssh_host_ed25519_key"), "-C", str(meta.get("hostname", ""))]
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", *key], check=True)
    keys = meta.get("public_keys") or {}
    (etc / "authorized_keys").write_text("".join(f"{line.strip()}\n" for line in keys.values()))
    config = etc / "sshd_config"
    config.write_text(_SSHD_CONFIG.format(host=host, port=port, disk=disk, user=unix_user()))
    return config


def _take_hostname(name: str) -> None:
    """Set the hostname in a UTS namespace of its own; without the right to, keep the host's name."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS) == 0:
        socket.sethostname(name)
    else:
        print(f"guest: no namespace of its own; the hostname stays {socket.gethostname()}", flush=True)


def _web(host: str, port: int, facts: dict[str, Any]) -> None:
    """Serve `facts` as JSON on every path, from a daemon thread."""
    body = json.dumps(facts).encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the console is for what goes wrong."""

    server = http.server.ThreadingHTTPServer((host, port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _find_sshd() -> str:
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        raise Permanent("there is no sshd on this machine", hint="Install openssh-server.")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return sshd


def _hold(lock: TextIO) -> bool:
    """Take the disk's lock. Whoever looks at it holds it for an instant, so a second is allowed."""
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _start_responder(disk: Path, host: str) -> None:
    """Install and start the responder if the cloud-config brings it; its end is not the guest's end."""
    unit = disk / "root" / responder.UNIT.lstrip("/")
    if not unit.exists():
        _write_files(disk)
    if not unit.exists():
        return
    [command] = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    words = [*shlex.split(command)[1:], "--host", host, "--state", str(disk / "host/responder")]
    words[0] = str(disk / "root" / words[0].lstrip("/"))
    subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL, preexec_fn=keeper.die_with_parent())


def _write_files(disk: Path) -> None:
    """What cloud-init does of a cloud-config's `write_files`, below `DIR/root/`; the responder's only."""
    try:
        told = yaml.safe_load((disk / _USER_DATA).read_text())
    except FileNotFoundError:
        return
    for file in (told or {}).get("write_files") or []:
        if file["path"] in (responder.PROGRAM, responder.UNIT):
            path = disk / "root" / file["path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            packed = file.get("encoding") == "gz+b64"
            text = gzip.decompress(base64.b64decode(file["content"])) if packed else file["content"].encode()
            path.write_bytes(text)


def _boot(args: argparse.Namespace) -> Sequence[subprocess.Popen[bytes]]:
    """Start sshd; the HTTP server joins once sshd has been forked from a single-threaded process."""
    disk: Path = args.disk
    meta = json.loads((disk / _META).read_text())
    config = _first_boot(disk, meta, args.host, args.ssh_port)
    hostname = str(meta.get("hostname") or meta.get("name") or "guest")
    _take_hostname(hostname)
    sshd = subprocess.Popen(
        [_find_sshd(), "-D", "-e", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        preexec_fn=keeper.die_with_parent(),
    )
    key = host_key(disk)
    _start_responder(disk, args.host)
    _web(args.host, args.http_port, {"hostname": hostname, "uuid": meta.get("uuid"), "host_key": key})
    return [sshd]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line described at the top of this module."""
    parser = argparse.ArgumentParser(prog="python -m provisioner.guest", description=__doc__)
    parser.add_argument("--disk", type=Path, required=True, help="the machine's disk, a folder")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--ssh-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--while-pid", type=int, help="live no longer than this process")
    args = parser.parse_args(argv)
    args.disk = args.disk.resolve()
    with (args.disk / "lock").open("a+") as lock:
        if not _hold(lock):
            return _LOCKED
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return keeper.keep(lambda: _boot(args), args.while_pid)


if __name__ == "__main__":
    raise SystemExit(main())
