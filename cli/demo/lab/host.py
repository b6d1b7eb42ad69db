"""Hosts that stand for servers with an operating system: a real sshd, a real `/etc`, real users.

Each host is a set of Linux namespaces (mounts, processes, hostname) on top of this machine's own root file
system, seen through an overlay that lives in memory: what happens in it never reaches the machine. Only the
network is shared, so every host listens at loopback ports of its own. A host's first process ends with
whoever started the lab, and with it go its processes, its mounts and all it wrote, even after kill -9.

`python -m cli.demo.lab.host --dir DIR --hosts N` runs some in the foreground until SIGTERM or Ctrl-C, and
writes `DIR/hosts.json` when all are up. Linux and root only. Never for tenants: a host shares the kernel,
and can read every file of the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cli.demo.lab.service import Services, foreground, free_ports
from market.errors import Permanent
from provisioner.keeper import die_with_parent

__all__ = ["HostLab", "main"]

_ADDRESS = "127.0.0.1"
_SPEC = {"cores": 8, "memory_mib": 16384, "disk_gib": 80, "network_mbps": 10000}
_MOUNTS = {"dev": "/dev", "sys": "/sys"}
_SEARCHED = ["/dev/shm", "/etc", "/home", "/opt", "/run", "/srv", "/tmp", "/usr/local", "/var"]  # noqa: S108 - looked through, not used
_PYTHONS = "/usr/bin:/usr/local/bin"
"""Where a Python is that everybody may run."""
_MAX_FILES = "256m"
_CAN_DO = """\
set -e
mount -t tmpfs probe /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
"""
_SSHD_CONFIG = """\
Include /etc/ssh/sshd_config.d/*.conf
ListenAddress {address}
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/operator_keys
PermitRootLogin prohibit-password
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile /run/sshd.pid
PrintMotd no
Subsystem sftp internal-sftp
"""


class HostLab(Services):
    """A context manager: entered, its hosts answer SSH; left, nothing of them is there any more.

    `directory` gets logs, the operator's SSH key and the ansible plugin's state. Entering blocks (under a
    second; measured) and raises `Permanent` where hosts cannot be had, saying what is missing.
    """

    described = "hosts.json"

    def __init__(self, directory: Path, hosts: int = 1) -> None:
        super().__init__(directory)
        self._count = hosts
        self.hosts: list[dict[str, Any]] = []
        """The hosts: name, address, port (of the operator's sshd), tenant_port, guest_port, host_key, pid (of
        the first process)."""

    @staticmethod
    def missing() -> str | None:
        """Why hosts cannot be had here; None: they can."""
        if os.geteuid() != 0:
            return "hosts of their own need root"
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        for program in ("unshare", "sshd", "ssh", "ssh-keygen", "useradd"):
            if shutil.which(program, path=path) is None:
                return f"hosts of their own need the program {program}"
        probe = subprocess.run(
            ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c", _CAN_DO],
            capture_output=True,
            text=True,
            check=False,
        )
        if probe.returncode:
            said = " ".join(probe.stderr.split()) or "no reason given"
            return (
                f"hosts of their own need namespaces and overlay mounts, which this machine refuses: {said}"
            )
        return None

    # ---- for those who use the hosts -------------------------------------------------------------------

    def settings(self, *, state: Path | None = None, **more: Any) -> dict[str, Any]:
        """Settings of an ansible plugin that sells the hosts as the shipped SSH host.

        `state` is its state folder (one per agent), `more` replaces whole settings. Address and port of a
        machine may be changed to lead through something between plugin and host.
        """
        machines = [
            {
                "name": host["name"],
                "class": "ssh.small",
                "host": host["address"],
                "port": host["port"],
                "user": "root",
                "host_key": host["host_key"],
                "spec": dict(_SPEC),
                "python": os.path.realpath(sys.executable),
                "vars": self._variables(host),
            }
            for host in self.hosts
        ]
        return {
            "site": "lab",
            "state": str(state or self._dir / "state"),
            "machines": machines,
            "ssh_private_key": {"file": str(self._dir / "operator")},
            "connect_timeout": 5.0,
            **more,
        }

    def _variables(self, host: dict[str, Any]) -> dict[str, Any]:
        """What the shipped role must know of a host without systemd and PAM."""
        return {
            "ssh_host_port": host["tenant_port"],
            "ssh_host_responder_port": host["guest_port"],
            "ssh_host_responder_python": shutil.which("python3", path=_PYTHONS) or sys.executable,
            "ssh_host_listen_address": host["address"],
            "ssh_host_systemd": False,
            "ssh_host_use_pam": False,
            "ssh_host_reload_command": "kill -HUP $(cat /run/sshd.pid)",
            "ssh_host_searched": _SEARCHED,
        }

    def root(self, name: str) -> Path:
        """The root folder of a host, seen from outside."""
        return Path(f"/proc/{next(host for host in self.hosts if host['name'] == name)['pid']}/root")

    def servers(self, key: str) -> int:
        """How many hosts carry a key, by their own files and not by any plugin's word."""
        carried = 0
        for host in self.hosts:
            with contextlib.suppress(FileNotFoundError):
                lease = json.loads((self.root(host["name"]) / "etc/ocx/lease.json").read_text())
                carried += lease["key"] == key
        return carried

    # ---- start-up --------------------------------------------------------------------------------------

    def _start(self) -> None:
        if (missing := self.missing()) is not None:
            raise Permanent(missing, hint="Run the lab as root on a Linux machine that allows mounts.")
        self._dir.mkdir(parents=True, exist_ok=True)
        (self._dir / "hosts.json").unlink(missing_ok=True)
        operator = self._dir / "operator"
        if not operator.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", operator], check=True)
        for number, place in enumerate(self._places(), 1):
            self._start_host({"name": f"host-{number}", **place})
        self.hosts = [self._up(name) for name in self._services]
        partial = self._dir / "hosts.json.part"
        partial.write_text(json.dumps({"hosts": self.hosts, "settings": self.settings()}, indent=1) + "\n")
        partial.rename(self._dir / "hosts.json")

    def _places(self) -> Iterator[dict[str, Any]]:
        """Where each host listens.

        It may also have a `name`, `hidden` folders of the machine that it does not see, commands it starts
        at `boot`, and `memory` for what it writes.
        """
        ports = free_ports()
        for _ in range(self._count):
            yield {
                "address": _ADDRESS,
                "port": next(ports),
                "tenant_port": next(ports),
                "guest_port": next(ports),
            }

    def _entry(self, _name: str) -> list[str]:
        """What a host's command begins with."""
        return []

    def _answers(self, host: dict[str, Any]) -> bool:
        """Whether its sshd answers."""
        return _says_ssh(host["address"], host["port"])

    def _start_host(self, place: dict[str, Any]) -> None:
        name = place["name"]
        folder = self._dir / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        spec = {**place, "operator_key": (self._dir / "operator.pub").read_text()}
        (folder / "spec.json").write_text(json.dumps(spec))
        space = [
            *self._entry(name),
            "unshare",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
        ]
        command = [*space, sys.executable, "-m", "cli.demo.lab.host", "--inside", folder]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self._run(name, command, {"PATH": path})

    def _up(self, name: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait until a host answers SSH; returns what it says of itself."""
        deadline, service, up = time.monotonic() + timeout, self._services[name], self._dir / name / "up.json"
        while time.monotonic() < deadline and not service.has_ended():
            if up.exists():
                host: dict[str, Any] = json.loads(up.read_text())
                if self._answers(host):
                    return host
            time.sleep(0.05)
        said = " ".join((self._dir / f"{name}.out").read_text(errors="replace").split()[-60:])
        raise Permanent(f"{name} did not start", hint=f"It said: {said or 'nothing'}")


def _says_ssh(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 2) as connection:
        connection.settimeout(2)
        return connection.recv(4) == b"SSH-"
    return False


# ---- inside a host's namespaces ------------------------------------------------------------------------


def _inside(folder: Path) -> int:
    """The first process of a host: make its root, start its sshd, and reap until that ends."""
    spec = json.loads((folder / "spec.json").read_text())
    outer_pid = int(os.readlink("/proc/self"))
    socket.sethostname(spec["name"])
    outside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    root = _make_root(folder, spec.get("memory", _MAX_FILES))
    os.chroot(root)
    os.chdir("/")
    host_key = _furnish(spec)
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "/usr/sbin/sshd"
    _say_up(outside, {**spec, "host_key": host_key, "pid": outer_pid})
    plain = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    for command in spec.get("boot", ()):
        subprocess.Popen(command, env=plain, preexec_fn=die_with_parent())
    process = subprocess.Popen([sshd, "-D", "-e"], env=plain, preexec_fn=die_with_parent())
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            return os.waitstatus_to_exitcode(status)


def _make_root(folder: Path, memory: str) -> Path:
    """Mount an overlay in memory over this machine's root; the namespaces' end unmounts it."""
    disk, root = folder / "disk", folder / "disk/root"
    disk.mkdir()
    _mount("tmpfs", disk, "tmpfs", f"size={memory},mode=0700")
    for name in ("upper", "work", "root"):
        (disk / name).mkdir()
    _mount("overlay", root, "overlay", f"lowerdir=/,upperdir={disk}/upper,workdir={disk}/work")
    _mount("proc", root / "proc", "proc")
    for name, source in _MOUNTS.items():
        _mount(source, root / name, None, flags=_MS_BIND | _MS_REC)
    for name, mode in {"run": "0755", "tmp": "1777", "dev/shm": "1777"}.items():
        _mount("tmpfs", root / name, "tmpfs", f"mode={mode}")
    return root


_MS_BIND, _MS_REC = 0x1000, 0x4000


def _mount(source: str, target: Path, kind: str | None, options: str = "", flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [source.encode(), str(target).encode(), kind.encode() if kind else None]
    if libc.mount(*words, ctypes.c_ulong(flags), options.encode()) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot mount {source}: {os.strerror(error)}", str(target))


def _furnish(spec: dict[str, Any]) -> str:
    """Give a new host its own host key, sshd configuration and operator; returns the host key."""
    ssh = Path("/etc/ssh")
    for old in (*ssh.glob("ssh_host_*"), *ssh.glob("sshd_config.d/*")):
        old.unlink()
    hidden = ["/etc/ocx", "/root/.ssh", "/root/.ansible", *spec.get("hidden", ())]
    for old in map(Path, hidden):
        shutil.rmtree(old, ignore_errors=True)
    for start_up in Path("/root").glob(".bash*"):
        start_up.unlink()
    (ssh / "sshd_config.d").mkdir(exist_ok=True)
    key = ssh / "ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", spec["name"], "-f", key], check=True)
    (ssh / "operator_keys").write_text(spec["operator_key"])
    (ssh / "sshd_config").write_text(_SSHD_CONFIG.format(**spec))
    Path("/etc/hostname").write_text(spec["name"] + "\n")
    Path("/run/sshd").mkdir(mode=0o755)
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def _say_up(outside: int, host: dict[str, Any]) -> None:
    """Tell the lab, through a folder that was opened before this process got a root of its own."""
    fd = os.open("up.json.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=outside)
    with open(fd, "w", encoding="utf-8") as file:
        json.dump(host, file)
    os.rename("up.json.part", "up.json", src_dir_fd=outside, dst_dir_fd=outside)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line described at the top of this module."""
    parser = argparse.ArgumentParser(prog="python -m cli.demo.lab.host", description=__doc__)
    parser.add_argument("--dir", type=Path, help="folder for logs, keys and hosts.json")
    parser.add_argument("--hosts", type=int, default=1, help="how many hosts")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.inside:
        return _inside(args.inside)
    if args.dir is None:
        parser.error("--dir is missing")
    return foreground("hosts", lambda: HostLab(args.dir, args.hosts))


if __name__ == "__main__":
    raise SystemExit(main())
