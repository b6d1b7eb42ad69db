"""A power failure: a machine goes dark behind its cloud's back, and cannot be switched on.

At the bare metal the power is pulled at the machine's BMC, so Ironic goes on believing that it is on; what
Ironic is asked then, and answers, is its operator's to see. The fake cloud has a fuse for the same.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from cli.demo.lab.agent import call
from cli.demo.lab.ironic_setup import IronicClient
from market.errors import Permanent

__all__ = ["FakeOutage", "Outage", "RedfishOutage"]

_LIMIT = 60.0


class Outage(ABC):
    """What happens to the power of the machine a provider has leased out; each act returns words for it."""

    @abstractmethod
    def cut(self) -> str:
        """The power goes."""

    @abstractmethod
    def try_on(self) -> str:
        """The provider's operator tries to switch the machine on, in vain."""

    @abstractmethod
    def restore(self) -> str:
        """The power is back, and the machine is switched on."""


class FakeOutage(Outage):
    """Of the fake cloud that an agent's configuration names; each act is a process of its own."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def cut(self) -> str:
        names = self._fuse("cut")
        return f"the power of {names} fails, behind its cloud's back"

    def try_on(self) -> str:
        return "the machine cannot be switched on: its fuse is out"

    def restore(self) -> str:
        return f"the power of {self._fuse('restore') or 'the machine'} is back"

    def _fuse(self, act: str) -> str:
        command = [sys.executable, "-m", "cli.demo.lab.fuse", str(self._config), act]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if done.returncode:
            raise Permanent(f"the fake cloud's fuse cannot be {act}: {done.stderr.strip()[-300:]}")
        return " and ".join(done.stdout.split())


class RedfishOutage(Outage):
    """Of the machine that carries an owner's mark in the lab's Ironic."""

    def __init__(self, lab: dict[str, Any]) -> None:
        self._lab, self._node = lab, dict[str, Any]()
        self._ironic = IronicClient(lab["ironic_url"], lab["username"], _secret(lab["password_file"]))

    def cut(self) -> str:
        nodes = self._ironic.call("GET", "/v1/nodes?detail=true")["nodes"]
        leased = [node for node in nodes if node["extra"].get("ocx_key") or node["instance_uuid"]]
        if len(leased) != 1:
            raise Permanent(f"one of Ironic's machines should be leased out, not {len(leased)}")
        self._node = leased[0]
        self._fuse.touch()
        login = f"{self._lab['bmc_username']}:{_secret(self._lab['bmc_password_file'])}"
        url = f"{self._lab['bmc_url']}{self._system}/Actions/ComputerSystem.Reset"
        basic = base64.b64encode(login.encode()).decode()
        call("POST", url, {"ResetType": "ForceOff"}, {"Authorization": f"Basic {basic}"})
        believes = self._now()["power_state"]
        return f"pulls the power of {self._node['name']} at its BMC; Ironic believes: {believes}"

    def try_on(self) -> str:
        node = self._switch_on()
        error = str(node["last_error"] or "")
        if not error:
            raise Permanent(f"{node['name']} was switched on without power")
        return f"asks Ironic to switch {node['name']} on; its BMC refuses"

    def restore(self) -> str:
        self._fuse.unlink()
        node = self._switch_on()
        if node["power_state"] != "power on":
            raise Permanent(f"{node['name']} does not come on: {node['last_error']}")
        return f"has power again, and asks Ironic to switch {node['name']} on"

    @property
    def _system(self) -> str:
        return str(self._node["driver_info"]["redfish_system_id"])

    @property
    def _fuse(self) -> Path:
        return Path(self._lab["no_power"]) / self._system.rpartition("/")[2]

    def _now(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ironic.call("GET", f"/v1/nodes/{self._node['uuid']}")
        return found

    def _switch_on(self) -> dict[str, Any]:
        """Ask Ironic to switch it on; the node once Ironic is done with that."""
        path = f"/v1/nodes/{self._node['uuid']}/states/power"
        self._ironic.call("PUT", path, {"target": "power on"})
        deadline = time.monotonic() + _LIMIT
        while (node := self._now())["reservation"] or node["target_power_state"]:
            if time.monotonic() > deadline:
                raise Permanent(f"Ironic is not done with the power of {node['name']}")
            time.sleep(0.1)
        return node


def _secret(path: str) -> str:
    return Path(path).read_text("utf-8").strip()
