"""The lab's machines on paper: what the Redfish ones tell of themselves, and Ironic's `fake-hardware` ones.

Machines of `fake-hardware` are for the many tests of Ironic's state machine and of what is written on nodes:
every call works, a deployment takes a tenth of a second, and nothing is behind it. One guest stands at the
address of them all, so each "answers" SSH, whatever Ironic says. What a tenant would find on its disk is
tested on the Redfish machines.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

__all__ = ["bmc_settings", "fake_hardware", "fake_node", "system", "write_guest"]

_CORES, _SOCKETS, _MEMORY_GIB, _DISKS_GIB = 64, 2, 1024, {"vda": 480, "vdb": 3840}
_LINK_MBPS, _CONTROLLER = 25000, "1"
_FIRMWARE = {"bios_version": "1.2", "boot_mode": "uefi", "secure_boot": False}
_FAKE_SIZE = {"cpus": 16, "memory_mb": 65536, "local_gb": 400, "network_mbps": 10000, "cpu_arch": "x86_64"}


def system(number: int, address: str, ssh_port: int, http_port: int, guest_port: int) -> dict[str, Any]:
    """One Redfish machine's hardware, new at every start of the lab."""
    identity = str(uuid.uuid4())
    mac = f"52:54:00:{identity[0:2]}:{identity[2:4]}:{number:02x}"
    return {
        "uuid": identity,
        "name": f"node-{number}",
        "serial_number": f"LAB-{identity[:8].upper()}",
        "power_state": "Off",
        "external_notifier": True,
        "nics": [{"mac": mac, "ip": address, "speed_mbps": _LINK_MBPS}],
        "firmware": _FIRMWARE,
        "cpus": _CORES,
        "sockets": _SOCKETS,
        "cpu_model": "OCX Lab CPU",
        "memory_gib": _MEMORY_GIB,
        "disks": _DISKS_GIB,
        "ports": {"ssh": ssh_port, "http": http_port, "guest": guest_port},
    }


def bmc_settings(systems: list[dict[str, Any]]) -> dict[str, Any]:
    """What sushy-tools must be configured with, so that its fake systems are these."""
    disks = {
        one["uuid"]: [
            {"Id": name, "Name": name, "CapacityBytes": gib << 30, "Protocol": "NVMe"}
            for name, gib in one["disks"].items()
        ]
        for one in systems
    }
    member = {"MemberId": "0", "Name": "disks", "SpeedGbps": 12}
    controller = {"Id": _CONTROLLER, "Name": "disks", "StorageControllers": [member]}
    return {
        "SUSHY_EMULATOR_FAKE_DRIVER": True,
        "SUSHY_EMULATOR_VMEDIA_VERIFY_SSL": False,
        "SUSHY_EMULATOR_FAKE_SYSTEMS": systems,
        "SUSHY_EMULATOR_STORAGE": {
            one["uuid"]: [{**controller, "Drives": list(one["disks"])}] for one in systems
        },
        "SUSHY_EMULATOR_DRIVES": {(identity, _CONTROLLER): drives for identity, drives in disks.items()},
        "SUSHY_EMULATOR_VOLUMES": {(identity, _CONTROLLER): [] for identity in disks},
    }


def fake_hardware(number: int) -> dict[str, Any]:
    """One machine's identity, new at every start of the lab."""
    identity = str(uuid.uuid4())
    return {
        "name": f"fake-{number}",
        "uuid": identity,
        "serial_number": f"FAKE-{identity[:8].upper()}",
        "mac": f"52:54:01:{identity[0:2]}:{identity[2:4]}:{number:02x}",
    }


def fake_node(hardware: dict[str, Any], resource_class: str, extra: dict[str, Any]) -> dict[str, Any]:
    """The body that enrols it."""
    return {
        "name": hardware["name"],
        "driver": "fake-hardware",
        "resource_class": resource_class,
        "console_interface": "fake-graphical",
        "deploy_interface": "fake",
        "properties": {
            **_FAKE_SIZE,
            "capabilities": "boot_mode:uefi",
            "system_uuid": hardware["uuid"],
            "serial_number": hardware["serial_number"],
        },
        "extra": extra,
    }


def write_guest(disk: Path) -> None:
    """The config drive of the guest at the fake machines' address; nobody's key is on it."""
    path = disk / "config/openstack/latest/meta_data.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"hostname": "fake", "uuid": str(uuid.uuid4()), "public_keys": {}}))
