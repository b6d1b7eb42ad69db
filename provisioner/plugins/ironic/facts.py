"""What the exchange is told of a node: its size, its identity, its firmware, as Ironic measured them.

The firmware's facts are read through Ironic, which asks the machine's controller over Redfish and keeps the
answers: the version of the BIOS among the node's firmware components, boot mode and secure boot on the node.
It asks anew when a node becomes manageable, before and after each cleaning, and, for boot mode and secure
boot, at each power synchronisation. So at a hand-over they are no older than the wipe before it. Asking the
controller directly would be fresher by that much, and would put the controller's password into the agent,
which needs it for nothing else and could then do anything to the machine.

Pure functions. This module must not know about keys and leases.
"""

from __future__ import annotations

from typing import Any

from market.specs import Spec
from provisioner.plugin import Inspected
from provisioner.plugins.ironic.api import Node
from provisioner.plugins.ironic.settings import IronicSettings

__all__ = ["firmware_of", "inspected"]

_VOLATILE = ("boot", "bmc_address", "bmc_v6address")
"""Parts of an inventory that say where a machine stands, or how it happened to boot, not what it is."""


def firmware_of(node: Node, parts: dict[str, str]) -> dict[str, Any]:
    """The three facts of `provisioner.capabilities.Firmware`; `parts` are versions by component."""
    capabilities = _capabilities(node["properties"].get("capabilities"))
    secure: Any = node["secure_boot"]
    if secure is None and capabilities.get("secure_boot") in ("true", "false"):
        secure = capabilities["secure_boot"] == "true"
    mode = node["boot_mode"] or capabilities.get("boot_mode")
    return {
        "bios_version": parts.get("bios") or None,
        "boot_mode": mode if mode in ("uefi", "bios") else None,
        "secure_boot": secure,
    }


def _capabilities(text: Any) -> dict[str, str]:
    """`a:1,b:2` by name."""
    pairs = (item.partition(":") for item in str(text or "").split(","))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def inspected(
    node: Node,
    inventory: dict[str, Any] | None,
    traits: list[str],
    parts: dict[str, str],
    settings: IronicSettings,
) -> Inspected | None:
    """What the exchange is told about a node; None if its hardware cannot be told apart from others."""
    found, properties = inventory or {}, node["properties"]
    vendor = found.get("system_vendor") or {}
    system = vendor.get("system_uuid") or properties.get("system_uuid")
    serial = vendor.get("serial_number") or properties.get("serial_number")
    if not system and not serial:
        return None
    document = {
        "kind": "ironic",
        "name": node["name"],
        "node": node["uuid"],
        "resource_class": node["resource_class"],
        "properties": {k: v for k, v in properties.items() if k != "capabilities"},
        "inventory": {k: v for k, v in found.items() if k not in _VOLATILE},
        "firmware": firmware_of(node, parts),
        "traits": traits,
    }
    return Inspected(
        name=node["name"] or node["uuid"],
        local_id=node["uuid"],
        class_name=node["resource_class"],
        spec=_spec(properties, found),
        site=settings.site,
        hardware_id=f"{str(system or '').lower()}/{serial or ''}",
        document=_without_floats(document),
        owner=node["owner"],
    )


def _spec(properties: dict[str, Any], inventory: dict[str, Any]) -> Spec:
    """Sizes from the node's properties, where inspection and operator put them, else the inventory.

    Disks: all the inventory knows of, as `local_gb` is only where the system goes, less 1 (Ironic keeps that
    for partitions).
    """
    links = [int(link.get("speed_mbps") or 0) for link in inventory.get("interfaces") or []]
    memory = (inventory.get("memory") or {}).get("physical_mb") or 0
    disks = [int(disk.get("size") or 0) for disk in inventory.get("disks") or []]
    return Spec(
        cores=int(properties.get("cpus") or (inventory.get("cpu") or {}).get("count") or 0),
        memory_mib=int(properties.get("memory_mb") or memory),
        disk_gib=sum(disks) >> 30 or int(properties.get("local_gb") or 0),
        gpus=int(properties.get("gpus") or 0),
        network_mbps=int(properties.get("network_mbps") or max(links, default=0)),
    )


def _without_floats(value: Any) -> Any:
    """The same JSON, floats written as text: a document's hash must not depend on how a float prints."""
    if isinstance(value, dict):
        return {str(name): _without_floats(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_floats(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value
