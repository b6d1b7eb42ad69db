"""The Ironic plugin: a walk through Ironic's own state machine, one idempotent step at a time.

Every step looks at the node first, so a call may join, at any point, what another call, thread or process
began. How a node is taken is in `build`, how it is given back in `release`, what its tenant may do in
`tenant`; what is written on it in `nodes`, and what it measures in `facts`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from market.errors import OcxError, Permanent
from provisioner.capabilities import Console, ConsoleAccess, Firmware, Power, PowerAction
from provisioner.plugin import (
    Connection,
    Inspected,
    Order,
    Provisioner,
    State,
    Status,
    WipeEvidence,
    read_settings,
)
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import IronicApi, Node
from provisioner.plugins.ironic.build import Builder
from provisioner.plugins.ironic.facts import firmware_of, inspected
from provisioner.plugins.ironic.release import Releaser
from provisioner.plugins.ironic.settings import IronicSettings
from provisioner.plugins.ironic.tenant import TenantActions
from provisioner.plugins.ironic.walk import Walk

__all__ = ["IronicPlugin"]


class IronicPlugin(Provisioner, Power, Console, Firmware):
    """Bare metal through Ironic; see the module's docstring."""

    def __init__(
        self,
        settings: IronicSettings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock` tells unix seconds, `monotonic` measures seconds, `wait` waits seconds."""
        self._settings = settings
        self._api = IronicApi(settings)
        walk = Walk(settings, self._api, clock=clock, monotonic=monotonic, wait=wait)
        self._walk = walk
        self._builder, self._releaser, self._tenant = Builder(walk), Releaser(walk), TenantActions(walk)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Provisioner.from_settings`; the settings are those of `IronicSettings`."""
        return cls(read_settings(IronicSettings, "ironic", settings))

    # ---- reading ---------------------------------------------------------------------------------------

    def inspect(self) -> list[Inspected]:
        """See `Provisioner.inspect`.

        Nodes that have a resource class and an identity, are not retired or in maintenance, and are free
        (`available`) or carry a key of ours. Sorted by name.
        """
        result = []
        for node in sorted(self._ours(), key=lambda n: (n["name"] or "", n["uuid"])):
            free = node["provision_state"] == "available" and not node["instance_uuid"]
            if marks.key_of(node) is None and not (free and not node["maintenance"] and not node["retired"]):
                continue
            uuid = node["uuid"]
            inventory, traits = self._api.inventory(uuid), self._api.traits(uuid)
            machine = inspected(node, inventory, traits, self._api.firmware(uuid), self._settings)
            if machine is not None:
                result.append(machine)
        return result

    def firmware(self, local_id: str) -> dict[str, Any]:
        """See `Firmware.firmware`; how fresh the facts are is in `facts`."""
        node = self._api.node(local_id)
        if node is None:
            raise Permanent(f"Ironic has no node {local_id}")
        return firmware_of(node, self._api.firmware(node["uuid"]))

    def status(self, key: str) -> Status:
        """See `Provisioner.status`."""
        node = self._walk.find(key)
        if node is None:
            return Status(State.ABSENT, "no node carries this key")
        return marks.status_of(node, self._settings.ssh_user)

    def list_owned(self) -> dict[str, Status]:
        """See `Provisioner.list_owned`."""
        owned = ((marks.key_of(node), node) for node in self._api.nodes(marks.FIELDS))
        return {key: marks.status_of(node, self._settings.ssh_user) for key, node in owned if key}

    def check(self) -> list[str]:
        """See `Provisioner.check`."""
        problems = [] if shutil.which("ssh-keyscan") else ["ssh-keyscan is missing; install openssh-client"]
        try:
            self._api.version()
            machines = self._ours()
        except OcxError as error:
            return [*problems, str(error)]
        if not machines:
            problems.append("no node has a resource class that is for sale; set resource_class on some")
        for node in machines:
            problems += self._problems_of(node)
        return problems

    def _problems_of(self, node: Node) -> list[str]:
        name, problems = marks.label(node), []
        if marks.address_of(node) is None:
            problems.append(f"{name} has no address; set ocx_address (and ocx_ssh_port) in its extra")
        if node["maintenance"]:
            problems.append(f"{name} is in maintenance; repair it and end its maintenance")
        if node["automated_clean"] is False:
            problems.append(f"{name} would not be wiped; run: baremetal node set {name} --automated-clean")
        if self._api.inventory(node["uuid"]) is None and "system_uuid" not in node["properties"]:
            problems.append(f"{name} was never inspected; run `baremetal node inspect` on it")
        return problems

    def _ours(self) -> list[Node]:
        """Nodes of a class that is for sale."""
        classes = self._settings.classes
        every = self._api.nodes(marks.FIELDS)
        return [n for n in every if n["resource_class"] and (not classes or n["resource_class"] in classes)]

    # ---- changing --------------------------------------------------------------------------------------

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`; `Builder.provision` says more."""
        return self._builder.provision(order)

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`; `Releaser.release` says more."""
        return self._releaser.release(key)

    def set_power(self, key: str, action: PowerAction) -> None:
        """See `Power.set_power`."""
        self._tenant.set_power(key, action)

    def is_on(self, key: str) -> bool:
        """See `Power.is_on`."""
        return self._tenant.is_on(key)

    def open_console(self, key: str) -> ConsoleAccess:
        """See `Console.open_console`."""
        return self._tenant.open_console(key)

    def close_console(self, key: str) -> None:
        """See `Console.close_console`."""
        self._tenant.close_console(key)
