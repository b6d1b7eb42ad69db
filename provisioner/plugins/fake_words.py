"""What the fake cloud's rows are in the words of the plugin interface. Nothing here changes a row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from market.specs import Spec
from provisioner.plugin import Inspected, Order

__all__ = ["boot_log", "inspected", "same_order"]


def same_order(first: dict[str, Any], order: Order) -> bool:
    """Whether a key is used as it was first; the window may move."""
    return (first["hostname"], first["ssh_public_keys"]) == (order.hostname, list(order.ssh_public_keys))


def inspected(machine: Mapping[str, Any], local_id: str) -> Inspected:
    """What the exchange is told about one machine."""
    sizes = {n: int(machine[n]) for n in ("cores", "memory_mib", "disk_gib", "gpus", "network_mbps")}
    serial = f"FAKE-{local_id[:8]}"
    document = {"kind": "fake", "name": machine["name"], "system_uuid": local_id, "serial": serial, **sizes}
    return Inspected(
        name=machine["name"],
        local_id=local_id,
        class_name=machine["class"],
        spec=Spec(**sizes),
        site=machine["site"],
        hardware_id=f"{local_id}/{serial}",
        document=document,
    )


def boot_log(row: sqlite3.Row) -> str:
    """What a machine without a guest would have printed."""
    hostname = json.loads(row["purchase"])["hostname"]
    boots = [f"{row['name']}: boot {n + 1} from disk\n{hostname}: sshd is up\n" for n in range(row["boots"])]
    return "".join(boots) + ("" if row["power"] else f"{row['name']}: power off\n")
