"""A deployment as an operator has it: a desk with an inventory and keys, and plays that converge hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chain.nodes.forward import Forward
from cli.demo.stage import Party, Stage, Step
from tests.network.ansible.hosts import Hosts

__all__ = ["Deployment", "Desk"]

_SHARED = {
    "ansible_user": "root",
    "ansible_python_interpreter": sys.executable,
    "ocx_install": "none",
    "ocx_program": str(Path(sys.executable).with_name("ocx")),
    "ocx_service_manager": "process",
}


class Desk(Stage):
    """Where the members' people sit: their processes have the desk's network. Never entered: `close` it."""

    def __init__(self, folder: Path, hosts: Hosts) -> None:
        super().__init__(folder, lambda _seconds, _step: None)
        self._hosts = hosts
        (folder / "logs").mkdir(parents=True)

    def start(
        self,
        name: str,
        command: Sequence[object],
        env: Mapping[str, str] | None = None,
        *,
        talk: bool = False,
    ) -> subprocess.Popen[str]:
        """See `Stage.start`."""
        with (self.folder / "logs" / f"{name}.log").open("wb") as log:
            talking = {"stdin": subprocess.PIPE if talk else subprocess.DEVNULL, "stderr": log}
            talking["stdout"] = subprocess.PIPE if talk else log
            process = self._hosts.at_desk(command, env=env, **talking)
        self._processes[name] = process
        return process

    def close(self) -> None:
        """End every process."""
        for process in self._processes.values():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._processes.clear()


@dataclass
class Deployment:
    """Hosts, an inventory for them, and whoever works at the desk. Made in `folder`, which must be short."""

    hosts: Hosts
    folder: Path
    rpc_port: int
    variables: dict[str, dict[str, Any]]
    """Of each host in the inventory."""
    groups: dict[str, list[str]]
    shared: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.desk = Desk(self.folder / "desk", self.hosts)
        self.record = self.folder / "network"
        self.changes: list[str] = []
        """What the last `converge` changed."""
        self._forward: Forward | None = None

    def close(self) -> None:
        """End what runs at the desk."""
        if self._forward is not None:
            self._forward.close()
        self.desk.close()

    def write_inventory(self) -> Path:
        """The inventory as it is now."""
        hosts = {
            name: {"ansible_host": self.hosts.address(name), **variables}
            for name, variables in self.variables.items()
        }
        shared = {
            **_SHARED,
            "ansible_ssh_common_args": " ".join(self.hosts.ssh_arguments()),
            "chain_node_rpc_port": self.rpc_port,
            **self.shared,
        }
        children = {group: {"hosts": dict.fromkeys(names)} for group, names in self.groups.items()}
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": shared, "children": children}}))
        return path

    def converge(self, *words: str) -> dict[str, int]:
        """Run `ocx deploy` with these options; how much it changed on each host."""
        inventory = self.write_inventory()
        command = [sys.executable, "-m", "cli.main", "deploy", "--json", "--yes", "--inventory", inventory]
        env = {"ANSIBLE_HOME": str(self.folder / "ansible"), "OCX_STATE": str(self.folder / "state")}
        log = self.folder / "deploy.log"
        done = self.hosts.run_at_desk([*command, *words], env=env, timeout=1200, errors=log)
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{log.read_text('utf-8')[-2000:]}"
        report = json.loads(done.stdout)
        self.changes = [f"{each['host']}: {each['task']}" for each in report["changes"]]
        return {each["host"]: each["changed"] for each in report["hosts"]}

    def on(self, name: str, command: str, timeout: float = 120) -> str:
        """What a shell command on a host says; it must succeed."""
        place = f"root@{self.hosts.address(name)}"
        words = ["ssh", *self.hosts.ssh_arguments(), "-o", "BatchMode=yes", place, command]
        done = self.hosts.run_at_desk(words, timeout=timeout)
        assert done.returncode == 0, f"{name}: {command}: {done.stdout}"
        return done.stdout.strip()

    def ocx(self, name: str, words: str, service: str = "chain") -> Any:
        """The result of an `ocx` command that is given on a host, with what a service there has."""
        home = f"/etc/ocx/{service}"
        settings = {
            "OCX_CONNECTION": f"{home}/connection.yaml",
            "OCX_WALLET": f"{home}/wallet.json",
            "OCX_PASSPHRASE_FILE": f"{home}/passphrase",
            "OCX_STATE": f"/var/lib/ocx/{service}/cli",
            "OCX_FORMAT": "json",
            "OCX_YES": "1",
        }
        env = " ".join(f"{key}={value}" for key, value in settings.items())
        user = "setpriv --reuid ocx --regid ocx --init-groups"
        return json.loads(self.on(name, f"{user} env {env} {self.program} {words}"))

    def open_desk(self, through: str) -> None:
        """Have the JSON-RPC of a host's node answer at the desk and for this process, at the same port."""
        place = f"root@{self.hosts.address(through)}"
        there = f"{self.rpc_port}:127.0.0.1:{self.rpc_port}"
        options = ["-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-N", "-L", there]
        self.desk.start("tunnel", ["ssh", *self.hosts.ssh_arguments(), *options, place])
        self._forward = Forward(self.rpc_port, self.hosts.space(through))

    def party(self, name: str, clerks: int = 1) -> Party:
        """One of the members' people, with a folder of their own at the desk."""
        return Party(self.desk, name, clerks)

    @property
    def program(self) -> str:
        """The program on the hosts."""
        return str(self.shared.get("ocx_program", _SHARED["ocx_program"]))

    @property
    def steps(self) -> list[Step]:
        """What was done at the desk."""
        return self.desk.steps
