"""Logging in to a machine as its operator: a pinned host key, secrets that touch no disk, and the marks.

A `Door` is one SSH connection with `on_host` at its other end. Secrets are read when they are needed. The
private key is given to ssh and Ansible as a file that exists only in this process's memory
(`/proc/PID/fd/N`, mode 0600), so it is gone with the process, however that ends.

This module must not know what the marks mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from market.errors import InvalidInput, Permanent, Temporary
from provisioner.plugins.ansible.settings import AnsibleSettings, Machine

__all__ = ["Door", "Keys", "Unreachable", "open_keys", "ssh_options"]

_PROGRAM = Path(__file__).with_name("on_host.py").read_bytes
_ANSWER_SECONDS = 30.0
_ENVIRONMENT = ("HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER")
"""What ssh may know of the agent's environment: nothing that could be a secret."""
_BOOT = """\
import sys
line = b""
while not line.startswith(b"OCX "):
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(1)
exec(compile(sys.stdin.buffer.read(int(line.split()[1])), "on_host.py", "exec"))
"""
"""Skips lines up to the program: a password that sudo did not ask for must not be run."""


class Unreachable(Temporary):
    """The machine could not be read or written just now; nothing is known about it."""


class Keys:
    """The secrets of one call, and what must not be repeated in any message."""

    def __init__(self, settings: AnsibleSettings, private_key_path: str, secrets: Sequence[str]) -> None:
        self.settings, self.private_key_path = settings, private_key_path
        self._secrets = sorted({s for s in secrets if len(s) >= 4}, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """The text without any secret of this call, on one line."""
        text = " ".join(text.split())
        for secret in self._secrets:
            text = text.replace(" ".join(secret.split()), "***")
        return text

    def passwords(self) -> dict[str, str]:
        """The passwords Ansible will ask for, by the pattern of its question."""
        become, vault = self.settings.become_password, self.settings.vault_password
        found = {r"^BECOME password.*:\s*?$": become, r"^Vault password.*:\s*?$": vault}
        return {pattern: source.read() for pattern, source in found.items() if source is not None}


@contextlib.contextmanager
def open_keys(settings: AnsibleSettings) -> Iterator[Keys]:
    """Read the secrets, and offer them while the block runs."""
    private_key = settings.ssh_private_key.read()
    others = [s.read() for s in (settings.become_password, settings.vault_password) if s is not None]
    body = [line for line in private_key.splitlines() if not line.startswith("-----")]
    fd = os.memfd_create("ssh-private-key", os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, private_key.encode() + b"\n")
        yield Keys(settings, f"/proc/{os.getpid()}/fd/{fd}", [private_key, *body, *others])
    finally:
        os.close(fd)


def ssh_options(settings: AnsibleSettings, machine: Machine, known_hosts: Path) -> list[str]:
    """Arguments by which ssh trusts only the pinned host key, and asks nobody anything.

    Writes the pinned key into `known_hosts`, unless the operator keeps such a file.
    """
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": str(max(1, round(settings.connect_timeout))),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "LogLevel": "ERROR",
    }
    if machine.host_key:
        known_hosts.write_text(f"{machine.name} {machine.host_key}\n")
        kind = machine.host_key.split()[0]
        algorithms = "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind
        options |= {"HostKeyAlias": machine.name, "HostKeyAlgorithms": algorithms}
        options["UserKnownHostsFile"] = str(known_hosts)
    elif settings.known_hosts:
        options["UserKnownHostsFile"] = str(Path(settings.known_hosts).expanduser().absolute())
    else:
        raise InvalidInput(
            f"nobody says which host key the machine {machine.name} has",
            hint="Set its host_key to the first two words of its /etc/ssh/ssh_host_ed25519_key.pub.",
        )
    words = ["-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    return [*words, *settings.ssh_args]


class Door:
    """One connection to a machine; a context manager. Use each from one thread.

    Every method raises `Unreachable` if the machine does not answer.
    """

    def __init__(self, keys: Keys, machine: Machine) -> None:
        self._keys, self._settings, self._machine = keys, keys.settings, machine
        self._buffer, self._cleanup = b"", contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Log in and start `on_host`."""
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Hang up."""
        self.close()

    def _open(self) -> None:
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="ocx-ssh-")))
        options = ssh_options(self._settings, self._machine, folder / "known_hosts")
        remote = [self._machine.python, "-c", _BOOT]
        lines = b""
        if self._machine.user != "root" and (source := self._settings.become_password):
            remote, lines = ["sudo", "-S", "-p", "", *remote], source.read().encode() + b"\n"
        elif self._machine.user != "root":
            remote = ["sudo", "-n", *remote]
        self._errors = self._cleanup.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [
                    *("ssh", "-T", *options, "-i", self._keys.private_key_path),
                    *("-p", str(self._machine.port), "-l", self._machine.user, self._machine.host),
                    *("--", shlex.join(remote)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Permanent("ssh is not installed", hint="Install openssh-client.") from error
        program = _PROGRAM()
        head = json.dumps({"folder": self._settings.mark_dir}).encode()
        self._send(lines + b"OCX %d\n" % len(program) + program + head + b"\n")
        if self._line(self._settings.connect_timeout + _ANSWER_SECONDS) != b"ocx ready":
            raise self._lost("gives a strange answer")

    @property
    def line_fd(self) -> int:
        """The descriptor of the connection's sending end: the connection lasts while anybody has it open.

        Whoever inherits it keeps the machine's lock until it is gone.
        """
        assert self._process is not None and self._process.stdin is not None  # noqa: S101 - opened before
        return self._process.stdin.fileno()

    def ask(self, do: str, timeout: float = _ANSWER_SECONDS, **request: Any) -> dict[str, Any]:
        """One request to `on_host` and its answer."""
        self._send(json.dumps({"do": do, **request}).encode() + b"\n")
        line = self._line(timeout)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._lost("gives a strange answer")
        if "error" in answer:
            raise Unreachable(
                f"{self._machine.name} cannot keep its marks: {answer['error']}", retry_after=30
            )
        return answer

    def close(self) -> None:
        """Hang up; whatever lock this connection held is free."""
        if (process := self._process) is not None:
            self._process = None
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._cleanup.close()

    def _send(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self.line_fd, view) :]
        except OSError as error:
            raise self._lost("hung up") from error

    def _line(self, timeout: float) -> bytes:
        """The next line of the machine's output, without its end."""
        process, deadline = self._process, time.monotonic() + timeout
        assert process is not None and process.stdout is not None  # noqa: S101 - opened before
        fd = process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._lost(f"did not answer within {timeout:.0f} s")
            data = os.read(fd, 65536)
            if not data:
                raise self._lost("hung up")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _lost(self, what: str) -> Unreachable:
        """Why the connection is of no use, in ssh's own words, with what to do about it."""
        process = self._process
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
        self._errors.seek(0)
        said = self._keys.scrub(self._errors.read(20000).decode(errors="replace"))
        hint = next(
            (hint for sign, hint in _HINTS.items() if sign in said), "Check its network and its sshd."
        )
        where = f"{self._machine.name} ({self._machine.host}:{self._machine.port})"
        return Unreachable(f"{where} {what}: {said[-300:] or 'no reason given'}", hint=hint, retry_after=10)


_HINTS = {
    "host key": "Find out why its host key is another one; only then change host_key in the settings.",
    "Host key": "Find out why its host key is another one; only then change host_key in the settings.",
    "Permission denied": "Check user and ssh_private_key in the settings, and its authorized_keys.",
    "sudo": "Check become_password in the settings, and that the user may use sudo.",
    "not found": "Install Python on it, or set python in the machine's settings.",
    "SyntaxError": "It needs Python 3.8 or later; set python in the machine's settings.",
}
