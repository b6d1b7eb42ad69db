"""Redfish BMCs: sushy-tools' emulator with its fake systems, quick and with an inventory.

Runs in the lab's own virtual environment as a script: `python bmc.py CONFIG`. Beside the stock fake driver:
power actions are immediate (stock: 1 to 11 random seconds), and processors, memory, disks, the links' speed
and the serial number come from the system's entry in the configuration, so that Ironic's inspection works.
What the firmware says of itself (BIOS version, boot mode, secure boot) comes from there, too, until the file
`firmware/UUID.json` beside the state says otherwise: writing it is how the lab flashes another firmware.
While there is a file `no-power/UUID` beside the state, the machine cannot be switched on.
"""

# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from cheroot.wsgi import Server
from flask import Response
from sushy_tools import error
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver

_OFF = ("Off", "ForceOff", "GracefulShutdown")


class LabDriver(fakedriver.FakeDriver):
    """A fake system that reports the hardware it was configured with."""

    def set_power_state(self, identity: str, state: str) -> None:
        """Apply a power action now; none but off works without power."""
        fuse = Path(self._config["SUSHY_EMULATOR_STATE_DIR"]) / "no-power" / self._get(identity)["uuid"]
        if state not in _OFF and fuse.exists():
            raise error.Conflict("the chassis has no power: the system cannot be switched on")
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

    def _firmware(self, identity: str) -> dict[str, Any]:
        """What the firmware says of itself: bios_version, boot_mode, secure_boot."""
        system = self._get(identity)
        flashed = Path(self._config["SUSHY_EMULATOR_STATE_DIR"]) / "firmware" / f"{system['uuid']}.json"
        return {**system["firmware"], **(json.loads(flashed.read_text()) if flashed.exists() else {})}

    def get_versions(self, identity: str) -> dict[str, str]:
        """Versions of the firmware's parts."""
        return {"BiosVersion": str(self._firmware(identity)["bios_version"])}

    def get_boot_mode(self, identity: str) -> str:
        """`UEFI` or `Legacy`."""
        return "Legacy" if self._firmware(identity)["boot_mode"] == "bios" else "UEFI"

    def get_secure_boot(self, identity: str) -> bool:
        """Whether only signed systems boot."""
        return bool(self._firmware(identity)["secure_boot"])

    def get_simple_storage_collection(self, identity: str) -> dict[str, Any]:
        """One controller with all disks."""
        disks = self._get(identity)["disks"]
        devices = [{"Name": name, "CapacityBytes": gib << 30} for name, gib in disks.items()]
        return {"virtio": {"Id": "virtio", "Name": "virtio", "DeviceList": devices}}


def add_what_templates_lack(response: Response) -> Response:
    """A system's serial number and a link's speed: sushy-tools' templates have no place for them."""
    page = response.get_json(silent=True) if response.is_json else None
    kind = str(page.get("@odata.type", "")) if isinstance(page, dict) else ""
    systems = emulator.app.config["SUSHY_EMULATOR_FAKE_SYSTEMS"]
    if isinstance(page, dict) and "ComputerSystem.v1" in kind:
        serials = {s["uuid"]: s["serial_number"] for s in systems}
        response.set_data(json.dumps({**page, "SerialNumber": serials.get(page.get("UUID"))}))
    if isinstance(page, dict) and "EthernetInterface.v1" in kind:
        speeds = {nic["mac"]: nic["speed_mbps"] for s in systems for nic in s["nics"]}
        response.set_data(json.dumps({**page, "SpeedMbps": speeds.get(page.get("MACAddress"))}))
    return response


def main() -> None:
    """Serve the systems named in the configuration file until killed."""
    fakedriver.FakeDriver = LabDriver
    emulator.app.configure(config_file=sys.argv[1])
    emulator.app.after_request(add_what_templates_lack)
    config = emulator.app.config
    address = (config["SUSHY_EMULATOR_LISTEN_IP"], config["SUSHY_EMULATOR_LISTEN_PORT"])
    Server(address, emulator.app, numthreads=8).safe_start()


if __name__ == "__main__":
    main()
