"""Hosts that Ansible converges: each with a network, files, processes and users of its own, and an sshd.

They are the ansible plugin's hosts (`cli.demo.lab.host`: an overlay in memory over this machine's files) with
a network namespace each, on one Ethernet that nobody else sees. They have no systemd. One more namespace on
that Ethernet is the operator's desk: what is run there reaches the hosts, this test process does not. All of
it ends with the process that made it, however that ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chain.nodes import space
from cli.demo.lab.host import HostLab
from provisioner.keeper import die_with_parent

__all__ = ["DESK", "Hosts"]

_NET = "10.77.0."
DESK = f"{_NET}1"
"""Address of the operator's desk."""
_HIDDEN = ("/root/.cache", "/root/.ocx", "/opt", "/var/lib/ocx")
_ASK = 'exec 3<>"/dev/tcp/$0/22" && head -c 4 <&3'


class Hosts(HostLab):
    """A context manager: inside it the hosts answer SSH at port 22 of their own addresses.

    `directory` gets logs and the operator's key. Their names are also their inventory names.
    """

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        super().__init__(directory, hosts=len(names))
        self._names = tuple(names)
        self._spaces: space.Spaces | None = None

    @staticmethod
    def missing() -> str | None:
        """Why such hosts cannot be had here; None: they can."""
        if (why := HostLab.missing()) is not None:
            return why
        if shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return "hosts with a network of their own need the program ip"
        return None if space.work_here() else "this machine refuses wires between network namespaces"

    def address(self, name: str) -> str:
        """A host's address on their Ethernet."""
        return f"{_NET}{11 + self._names.index(name)}"

    def space(self, name: str) -> int:
        """The open file that is a host's network namespace."""
        assert self._spaces is not None
        return self._spaces.of(name)

    def at_desk(
        self, command: Sequence[object], *, env: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[str]:
        """Start a command at the operator's desk; it ends with this thread. `more` is Popen's."""
        there, bound = self.space("desk"), die_with_parent()

        def prepare() -> None:
            space.enter(there)
            bound()

        words = [str(word) for word in command]
        environment = {**os.environ, **(env or {})}
        return subprocess.Popen(words, env=environment, text=True, preexec_fn=prepare, **more)

    def run_at_desk(
        self,
        command: Sequence[object],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
        errors: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The same, and wait for its end; all it says is in `stdout`, or what it complains of in `errors`."""
        with (errors or Path(os.devnull)).open("wb") as log:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
            with self.at_desk(
                command, env=env, **pipes, stderr=log if errors else subprocess.STDOUT
            ) as process:
                try:
                    said, _ = process.communicate(timeout=timeout)
                except BaseException:
                    process.kill()
                    raise
        return subprocess.CompletedProcess(process.args, process.returncode, said, "")

    def ssh_arguments(self) -> list[str]:
        """Options with which `ssh` at the desk gets in anywhere here and trusts no other host key."""
        known = self._dir / "known_hosts"
        return ["-F", "none", "-i", str(self._dir / "operator"), "-o", f"UserKnownHostsFile={known}"]

    def stop(self) -> None:
        """End the hosts and let go of their network."""
        super().stop()
        if self._spaces is not None:
            self._spaces.close()
            self._spaces = None

    # ---- what differs from hosts that share the network ------------------------------------------------

    def _start(self) -> None:
        places = {"desk": DESK, **{name: self.address(name) for name in self._names}}
        self._spaces = space.Spaces(list(places), list(places.values()))
        super()._start()
        lines = [f"{host['address']} {host['host_key']}\n" for host in self.hosts]
        (self._dir / "known_hosts").write_text("".join(lines))

    def _places(self) -> Iterator[dict[str, Any]]:
        ours = {Path(sys.executable), Path(sys.executable).resolve(), Path(__file__).resolve()}
        above = sorted({str(folder) for path in ours for folder in path.parents})
        for name in self._names:
            yield {
                "name": name,
                "address": self.address(name),
                "port": 22,
                "tenant_port": 2222,
                "guest_port": 2223,
                "hidden": _HIDDEN,
                # Services are not root, and read the checkout and its Python.
                "boot": [["chmod", "o+x", *above]],
                "memory": "1g",
            }

    def _entry(self, name: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.space(name)}", "--"]

    def _answers(self, host: dict[str, Any]) -> bool:
        return self.run_at_desk(["timeout", "2", "bash", "-c", _ASK, host["address"]]).stdout == "SSH-"
