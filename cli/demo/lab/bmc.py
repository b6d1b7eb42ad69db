"""Redfish BMCs: sushy-tools' emulator with its fake systems, quick and with an inventory.

Runs in the lab's own virtual environment as a script: `python bmc.py CONFIG`. Beside the stock fake driver:
power actions are immediate (stock: 1 to 11 random seconds), and processors, memory, disks and the serial
number come from the system's entry in the configuration, so that Ironic's inspection works.
"""

# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import json
import sys
import time
from typing import Any

from cheroot.wsgi import Server
from flask import Response
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver


class LabDriver(fakedriver.FakeDriver):
    """A fake system that reports the hardware it was configured with."""

    def set_power_state(self, identity: str, state: str) -> None:
        """Apply a power action now."""
        super().set_power_state(identity, state)
        system = self._get(identity)
        if system.get("pending_power"):
            system["pending_power"]["apply_time"] = time.time()
            self._systems[system["uuid"]] = system
            self._get(identity)

    def get_total_memory(self, identity: str) -> int:
        """Memory in GiB."""
        return int(self._get(identity)["memory_gib"])

    def get_total_cpus(self, identity: str) -> int:
        """Cores."""
        return int(self._get(identity)["cpus"])

    def get_processors(self, identity: str) -> list[dict[str, Any]]:
        """One entry per socket."""
        system = self._get(identity)
        cores = system["cpus"] // system["sockets"]
        return [
            {
                "id": f"CPU{n}",
                "socket": f"CPU {n}",
                "vendor": "OCX",
                "model": system["cpu_model"],
                "cores": cores,
                "threads": cores,
            }
            for n in range(system["sockets"])
        ]

    def get_simple_storage_collection(self, identity: str) -> dict[str, Any]:
        """One controller with all disks."""
        disks = self._get(identity)["disks"]
        devices = [{"Name": name, "CapacityBytes": gib << 30} for name, gib in disks.items()]
        return {"virtio": {"Id": "virtio", "Name": "virtio", "DeviceList": devices}}


def add_serial_number(response: Response) -> Response:
    """Give a system's Redfish page the serial number that sushy-tools' template has no place for."""
    page = response.get_json(silent=True) if response.is_json else None
    if isinstance(page, dict) and "ComputerSystem.v1" in str(page.get("@odata.type", "")):
        systems = emulator.app.config["SUSHY_EMULATOR_FAKE_SYSTEMS"]
        serials = {s["uuid"]: s["serial_number"] for s in systems}
        response.set_data(json.dumps({**page, "SerialNumber": serials.get(page.get("UUID"))}))
    return response


def main() -> None:
    """Serve the systems named in the configuration file until killed."""
    fakedriver.FakeDriver = LabDriver
    emulator.app.configure(config_file=sys.argv[1])
    emulator.app.after_request(add_serial_number)
    config = emulator.app.config
    address = (config["SUSHY_EMULATOR_LISTEN_IP"], config["SUSHY_EMULATOR_LISTEN_PORT"])
    Server(address, emulator.app, numthreads=8).safe_start()


if __name__ == "__main__":
    main()
