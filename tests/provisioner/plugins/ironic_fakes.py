"""What the tests on fake-hardware share: a node each, plugins for it, and Ironic's own word on it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cli.demo.lab import Lab
from cli.demo.lab.ironic_setup import IronicClient
from provisioner.plugin import Order
from provisioner.plugins.ironic import IronicPlugin

_numbers = itertools.count(1)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for a condition with a deadline; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return value


@dataclass
class Bare:
    """One node of fake-hardware, for one test."""

    lab: Lab
    uuid: str
    client: IronicClient = field(init=False)
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = self.lab.client()

    def plugin(self, **more: Any) -> IronicPlugin:
        """A plugin of its own, as another agent has it."""
        return IronicPlugin.from_settings(self.lab.settings(fake=True, **more))

    def order(self, key: str | None = None, **more: Any) -> Order:
        """An order for this node under a new key."""
        fresh = key or f"fake-lease-{next(_numbers)}"
        self.keys.append(fresh)
        return Order(fresh, self.uuid, "tenant", ("ssh-ed25519 AAAA",), 0, 3600, **more)

    def node(self) -> dict[str, Any]:
        """The node as Ironic has it."""
        answer: dict[str, Any] = self.client.call("GET", f"/v1/nodes/{self.uuid}")
        return answer

    def set(self, field_: str, value: Any) -> None:
        """Set a field behind the plugin's back; None removes it."""
        change = {"op": "remove"} if value is None else {"op": "add", "value": value}
        self.client.call("PATCH", f"/v1/nodes/{self.uuid}", [{"path": f"/{field_}", **change}])

    def move(self, target: str, wanted: str, **more: Any) -> None:
        """Have Ironic do it, behind the plugin's back."""
        self.client.call("PUT", f"/v1/nodes/{self.uuid}/states/provision", {"target": target, **more})
        until(lambda: self.is_still(wanted))

    def is_still(self, state: str) -> bool:
        """Whether the node is in a state and nothing works on it."""
        node = self.node()
        return node["provision_state"] == state and not node["reservation"]

    def lab_keys(self) -> list[str]:
        """Keys of this test that the node still carries."""
        node = self.node()
        held = ((node["instance_info"] or {}).get("ocx_key") or {}).values()
        return [key for key in self.keys if key in (node["extra"].get("ocx_key"), *held)]

    def tidy(self) -> None:
        """Bring the node back, whatever a test left."""
        node = self.node()
        if node["maintenance"]:
            self.client.call("DELETE", f"/v1/nodes/{self.uuid}/maintenance")
        if node["automated_clean"] is not True:
            self.set("automated_clean", True)
        if node["protected"]:
            self.set("protected", False)
        plugin = self.plugin()
        for key in self.lab_keys():
            plugin.release(key)
        left = self.node()
        assert (left["provision_state"], left["instance_uuid"]) == ("available", None)
        assert not {"ocx_key", "ocx_order", "ocx_ready", "ocx_leaving"} & set(left["extra"])
