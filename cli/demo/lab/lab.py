"""The lab itself: which processes there are, and how its machines come to be available."""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli.demo.lab.ironic_setup import IronicClient, lab_venv, prepare_database, write_config, write_htpasswd
from cli.demo.lab.service import Service, free_ports
from market.errors import Permanent

__all__ = ["Lab"]

_USER, _BMC_USER = "ocx", "bmc"
_HOST = "127.0.0.1"
_IMAGE = b"OCX lab operating system image 1\n" * 4096
_CORES, _SOCKETS, _MEMORY_GIB, _DISKS_GIB = 64, 2, 1024, {"vda": 480, "vdb": 3840}


class Lab:
    """A context manager: entered, its machines are `available` in a running Ironic; left, all is gone.

    `directory` gets logs, state and `lab.json` (the `description`). `machines` is how many; each is enrolled
    with `resource_class`, and with its fixed address in `extra` as `ocx_address`, `ocx_ssh_port` and
    `ocx_http_port`. With `first_clean` off, new machines skip their first cleaning (8 s); all later ones
    are real. `say` hears of progress, one line each.

    Entering blocks (13 s on two cores; measured) and raises `Permanent` if something does not start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        machines: int = 2,
        resource_class: str = "bm.large",
        first_clean: bool = True,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._dir, self._count, self._class = Path(directory).resolve(), machines, resource_class
        self._first_clean, self._say = first_clean, say
        self._services: dict[str, Service] = {}
        self._lock, self._stopped = threading.Lock(), False
        self.description: dict[str, Any] = {}
        """What `lab.json` holds: ironic_url, username, password_file, image_url, image_sha256, deploy_iso,
        and machines with node_name, node_uuid, address, ssh_port, http_port, class, disk."""

    def __enter__(self) -> Self:
        """Start everything and write `lab.json`."""
        started = time.monotonic()
        try:
            self._start(started)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self.stop()

    def stop(self) -> None:
        """End every process of the lab; logs and disks stay for the curious."""
        (self._dir / "lab.json").unlink(missing_ok=True)
        with self._lock:
            self._stopped = True
            services = list(self._services.values())
            self._services.clear()
        for service in services:
            service.begin_stop()
        for service in services:
            service.finish_stop()

    def wait(self) -> None:
        """Block until one of the lab's processes ends, which raises `Permanent`."""
        while True:
            for name, service in self._services.items():
                if service.has_ended():
                    raise Permanent(f"{name} ended by itself", hint=f"See {self._dir / name}.out.")
            time.sleep(0.2)

    def stop_ironic(self) -> None:
        """Kill Ironic, as a power cut would; `start_ironic` brings it back with its database."""
        service = self._services.pop("ironic")
        service.begin_stop()
        service.finish_stop()

    def start_ironic(self) -> None:
        """Start Ironic and return when it answers (4 s)."""
        program = Path(__file__).with_name("run_ironic.py")
        command = [self._venv / "bin/python", "-P", program, "--config-file", self._config]
        self._run("ironic", command, f"{self._ironic_url}/v1/")

    # ---- start-up --------------------------------------------------------------------------------------

    def _start(self, started: float) -> None:
        def say(line: str) -> None:
            self._say(f"lab: {time.monotonic() - started:5.1f} s  {line}")

        self._prepare()
        self._at_once([self.start_ironic, self._start_farm, self._start_bmcs])
        say("Ironic, the BMCs and the farm are up")
        nodes = self._at_once([functools.partial(self._enrol, system) for system in self._systems])
        say(f"{len(nodes)} machines are available")
        self._describe(nodes)

    def _at_once(self, calls: list[Callable[[], Any]]) -> list[Any]:
        """Run all calls at the same time. An error or Ctrl-C ends the services, and with them the others."""
        with ThreadPoolExecutor(max(1, len(calls))) as pool:
            try:
                return list(pool.map(lambda call: call(), calls))
            except BaseException:
                self.stop()
                raise

    def _run(self, name: str, command: list[object], url: str) -> None:
        """Start a service and return when it answers at `url`."""
        path = f"{self._venv / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
        with self._lock:
            if self._stopped:
                raise Permanent(f"{name} is not started: the lab was stopped")
            service = self._services[name] = Service(name, command, self._dir / f"{name}.out", {"PATH": path})
        service.wait_until_it_answers(url)

    def _prepare(self) -> None:
        """Ports, secrets, configuration files and the database: everything before the first process."""
        self._venv = lab_venv()
        self._dir.mkdir(parents=True, exist_ok=True)
        (self._dir / "lab.json").unlink(missing_ok=True)
        (self._dir / "bmc-state").mkdir(exist_ok=True)
        ports = free_ports()
        self._farm_port, bmc_port, ironic_port = next(ports), next(ports), next(ports)
        self._ironic_url, self._bmc_url = f"http://{_HOST}:{ironic_port}", f"http://{_HOST}:{bmc_port}"
        self._files_url = f"http://{_HOST}:{self._farm_port}/files"
        self._config = write_config(self._dir, ironic_port, self._files_url)
        self._passwords = {}
        for user, name in ((_USER, "htpasswd"), (_BMC_USER, "bmc-htpasswd")):
            self._passwords[user] = secrets.token_urlsafe(24)
            secret = self._dir / f"{user}-password"
            secret.touch(mode=0o600)
            secret.write_text(self._passwords[user])
            write_htpasswd(self._venv, self._dir / name, user, self._passwords[user])
        (self._dir / "http/deploy.iso").write_bytes(b"stands for the deploy ramdisk\n".ljust(4096, b"\0"))
        (self._dir / "http/os.raw").write_bytes(_IMAGE)
        prepare_database(self._venv, self._config)
        self._systems = [self._system(number, ports) for number in range(1, self._count + 1)]
        self._write_farm_config()
        self._write_bmc_config(bmc_port)

    def _system(self, number: int, ports: Any) -> dict[str, Any]:
        """One machine's hardware, new at every start of the lab."""
        identity = str(uuid.uuid4())
        return {
            "uuid": identity,
            "name": f"node-{number}",
            "serial_number": f"LAB-{identity[:8].upper()}",
            "power_state": "Off",
            "external_notifier": True,
            "nics": [{"mac": f"52:54:00:{identity[0:2]}:{identity[2:4]}:{number:02x}", "ip": _HOST}],
            "cpus": _CORES,
            "sockets": _SOCKETS,
            "cpu_model": "OCX Lab CPU",
            "memory_gib": _MEMORY_GIB,
            "disks": _DISKS_GIB,
            "ports": {"ssh": next(ports), "http": next(ports)},
        }

    def _write_farm_config(self) -> None:
        machines = [
            {
                "uuid": s["uuid"],
                "macs": [nic["mac"] for nic in s["nics"]],
                "address": _HOST,
                "ssh_port": s["ports"]["ssh"],
                "http_port": s["ports"]["http"],
            }
            for s in self._systems
        ]
        config = {
            "port": self._farm_port,
            "ironic_url": self._ironic_url,
            "bmc_url": self._bmc_url,
            "bmc_username": _BMC_USER,
            "bmc_password_file": str(self._dir / f"{_BMC_USER}-password"),
            "http_root": str(self._dir / "http"),
            "disks": str(self._dir / "disks"),
            "machines": machines,
        }
        (self._dir / "farm.json").write_text(json.dumps(config, indent=1))

    def _write_bmc_config(self, port: int) -> None:
        settings = {
            "SUSHY_EMULATOR_LISTEN_IP": _HOST,
            "SUSHY_EMULATOR_LISTEN_PORT": port,
            "SUSHY_EMULATOR_FAKE_DRIVER": True,
            "SUSHY_EMULATOR_STATE_DIR": str(self._dir / "bmc-state"),
            "SUSHY_EMULATOR_AUTH_FILE": str(self._dir / "bmc-htpasswd"),
            "SUSHY_EMULATOR_VMEDIA_VERIFY_SSL": False,
            "SUSHY_EMULATOR_FAKE_SYSTEMS": self._systems,
            "SUSHY_EMULATOR_STORAGE": {system["uuid"]: [] for system in self._systems},
            "EXTERNAL_NOTIFICATION_URL": f"http://{_HOST}:{self._farm_port}/bmc",
        }
        lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
        (self._dir / "bmc.conf").write_text("".join(lines))

    def _start_farm(self) -> None:
        command = [sys.executable, "-m", "cli.demo.lab.farm", self._dir / "farm.json"]
        self._run("farm", command, f"{self._files_url}/deploy.iso")

    def _start_bmcs(self) -> None:
        program = Path(__file__).with_name("bmc.py")
        command = [self._venv / "bin/python", "-P", program, self._dir / "bmc.conf"]
        self._run("bmc", command, f"{self._bmc_url}/redfish/v1/")

    def _enrol(self, system: dict[str, Any]) -> dict[str, Any]:
        client = IronicClient(self._ironic_url, _USER, self._passwords[_USER])
        driver_info = {
            "redfish_address": self._bmc_url,
            "redfish_username": _BMC_USER,
            "redfish_password": self._passwords[_BMC_USER],
            "redfish_system_id": f"/redfish/v1/Systems/{system['uuid']}",
            "deploy_iso": f"{self._files_url}/deploy.iso",
        }
        ports = system["ports"]
        body = {
            "name": system["name"],
            "driver": "redfish",
            "resource_class": self._class,
            "driver_info": driver_info,
            "extra": {"ocx_address": _HOST, "ocx_ssh_port": ports["ssh"], "ocx_http_port": ports["http"]},
        }
        return client.enrol(body, first_clean=self._first_clean)

    def _describe(self, nodes: list[dict[str, Any]]) -> None:
        machines = [
            {
                "node_name": system["name"],
                "node_uuid": node["uuid"],
                "address": _HOST,
                "ssh_port": system["ports"]["ssh"],
                "http_port": system["ports"]["http"],
                "class": self._class,
                "disk": str(self._dir / "disks" / system["uuid"]),
            }
            for system, node in zip(self._systems, nodes, strict=True)
        ]
        self.description = {
            "ironic_url": self._ironic_url,
            "username": _USER,
            "password_file": str(self._dir / f"{_USER}-password"),
            "image_url": f"{self._files_url}/os.raw",
            "image_sha256": hashlib.sha256(_IMAGE).hexdigest(),
            "deploy_iso": f"{self._files_url}/deploy.iso",
            "machines": machines,
        }
        partial = self._dir / "lab.json.part"
        partial.write_text(json.dumps(self.description, indent=1) + "\n")
        partial.rename(self._dir / "lab.json")
