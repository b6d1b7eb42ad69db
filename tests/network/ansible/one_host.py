"""A folder of this machine that stands for a host, and `ocx deploy` on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chain.connection import render
from chain.ports import free_ports
from chain.wallet import create

__all__ = ["PASSPHRASE", "Site"]

PASSPHRASE = "a passphrase nobody may read"
_OCX = Path(sys.executable).with_name("ocx")


@dataclass
class Site:
    """An inventory of one host that is a folder of this machine; its services need no systemd."""

    folder: Path
    gateway_port: int
    variables: dict[str, Any] = field(default_factory=dict)
    """More variables of the host, or others."""

    def __post_init__(self) -> None:
        """Write what lies on the control machine."""
        wallet = create(self.folder / "wallet.json", PASSPHRASE, light=True)
        self.address = wallet.address
        text = render(
            network="test",
            chain_id=1337,
            genesis_hash="0x" + "11" * 32,
            directory="0x5FbDB2315678afecb367f032d93F642f64180aa3",
            directory_code_hash="0x" + "22" * 32,
            rpc_urls=[f"http://127.0.0.1:{next(free_ports())}"],
        )
        (self.folder / "connection.yaml").write_text(text)

    @property
    def host(self) -> Path:
        """The folder that stands for the host."""
        return self.folder / "host"

    @property
    def inventory(self) -> Path:
        """The inventory, written anew."""
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ocx_install": "none",
            "ocx_program": str(_OCX),
            "ocx_service_manager": "process",
            "ocx_user": "root",
            "ocx_group": "root",
            "ocx_make_user": False,
            "ocx_home": str(self.host / "opt"),
            **{f"ocx_{name}": str(self.host / name) for name in ("etc", "var", "log", "run")},
        }
        provider = {
            "provider_agent_connection": str(self.folder / "connection.yaml"),
            "provider_agent_keystore": str(self.folder / "wallet.json"),
            "provider_agent_passphrase": PASSPHRASE,
            "provider_agent_gateway_host": "127.0.0.1",
            "provider_agent_gateway_port": self.gateway_port,
            "provider_agent_gateway_url": f"https://127.0.0.1:{self.gateway_port}",
            "provider_agent_plugins": [
                {"name": "fake", "settings": {"state": str(self.folder / "cloud.db"), "machines": []}}
            ],
            "provider_agent_verify": False,
        }
        path = self.folder / "inventory.yml"
        hosts = {"agent-1": {**provider, **self.variables}}
        path.write_text(yaml.safe_dump({"all": {"vars": shared}, "providers": {"hosts": hosts}}))
        return path

    def command(self, *more: str) -> list[str]:
        """The command on this inventory."""
        return [str(_OCX), "deploy", "--inventory", str(self.inventory), "--yes", *more]

    def deploy(self, *more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Give the command and wait for it."""
        done = subprocess.run(
            self.command(*more),
            env=os.environ | {"TMPDIR": str(self.folder / "tmp"), "OCX_PASSPHRASE": PASSPHRASE},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert PASSPHRASE not in done.stdout + done.stderr
        return done

    def told(self, *more: str, code: int = 0) -> dict[str, Any]:
        """The same; what it says as JSON."""
        told: dict[str, Any] = json.loads(self.deploy("--json", *more, code=code).stdout)
        return told

    @property
    def supervisor(self) -> int:
        """Process of the agent's supervisor; 0 if none is noted."""
        note = self.host / "run" / "ocx-provider.json"
        return int(json.loads(note.read_text())["pid"]) if note.exists() else 0
