"""The lab itself: which processes there are, and how its machines come to be available."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pwd
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cli.demo.lab.hardware import bmc_settings, fake_hardware, fake_node, system, write_guest
from cli.demo.lab.ironic_setup import IronicClient, lab_venv, prepare_database, write_config, write_htpasswd
from cli.demo.lab.service import Services, free_ports

__all__ = ["Lab"]

_USER, _BMC_USER = "ocx", "bmc"
_HOST = "127.0.0.1"
_IMAGE = b"OCX lab operating system image 1\n" * 4096
_IMAGES = {"os.raw": _IMAGE, "other.raw": b"OCX lab operating system image 2\n" * 4096}
_FAKE_CLASS = "bm.small"


class Lab(Services):
    """A context manager: entered, its machines are `available` in a running Ironic; left, all is gone.

    `directory` gets logs, state and `lab.json` (the `description`). `machines` is how many; each is enrolled
    with `resource_class`, and with its fixed address in `extra` as `ocx_address`, `ocx_ssh_port`,
    `ocx_http_port` and `ocx_guest_port`. With `first_clean` off, new machines skip their first cleaning
    (8 s); all later ones are real. `fake_machines` more are of Ironic's driver `fake-hardware`, in the class
    `bm.small` (see `cli.demo.lab.hardware`). `ironic_options` are settings of Ironic's own, by section. `say`
    hears of progress, one line each.

    Entering blocks (13 s on two cores; measured) and raises `Permanent` if something does not start.
    """

    described = "lab.json"

    def __init__(
        self,
        directory: Path,
        *,
        machines: int = 2,
        resource_class: str = "bm.large",
        first_clean: bool = True,
        fake_machines: int = 0,
        ironic_options: Mapping[str, Mapping[str, Any]] | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        super().__init__(directory)
        self._count, self._class = machines, resource_class
        self._fake_count, self._options = fake_machines, ironic_options
        self._first_clean, self._say = first_clean, say
        self.description: dict[str, Any] = {}
        """What `lab.json` holds: ironic_url, username, password_file, image_url, image_sha256, images (by
        name: source and sha256), deploy_iso, bmc_url, bmc_username, bmc_password_file, no_power (the folder
        where a file named after a system's UUID keeps it from being switched on), machines with node_name,
        node_uuid, address, ssh_port, http_port, class, disk, and fake_machines with the same but http_port
        and disk."""

    def stop_ironic(self) -> None:
        """Kill Ironic, as a power cut would; `start_ironic` brings it back with its database."""
        service = self._services.pop("ironic")
        service.begin_stop()
        service.finish_stop()

    def start_ironic(self) -> None:
        """Start Ironic and return when it answers (4 s)."""
        program = Path(__file__).with_name("run_ironic.py")
        command = [self._venv / "bin/python", "-P", program, "--config-file", self._config]
        self._serve("ironic", command, f"{self._ironic_url}/v1/")

    # ---- for tests -------------------------------------------------------------------------------------

    def settings(self, *, fake: bool = False, **more: Any) -> dict[str, Any]:
        """Settings of an Ironic plugin that sells these machines, or with `fake` the fake ones."""
        told = self.description
        settings: dict[str, Any] = {
            "site": "lab",
            "endpoint": told["ironic_url"],
            "username": told["username"],
            "password_file": told["password_file"],
            "image_source": told["image_url"],
            "image_sha256": told["image_sha256"],
            "classes": [_FAKE_CLASS if fake else self._class],
            "ssh_user": pwd.getpwuid(os.geteuid()).pw_name,
            "request_timeout": 20.0,
            "claim_timeout": 3.0,
            "poll": 0.1 if fake else 0.3,
        }
        if fake:  # fake-hardware has no disk, so none of its cleaning steps erases one
            settings["wipe_steps"] = []
        return {**settings, **more}

    def client(self) -> IronicClient:
        """The lab's own access to Ironic, as another user of it."""
        return IronicClient(self._ironic_url, _USER, self._passwords[_USER])

    def servers(self, key: str) -> list[str]:
        """Ids of the nodes that carry an operation key, asked of Ironic itself."""
        fields = "uuid,extra,instance_info"
        nodes = self.client().call("GET", f"/v1/nodes?fields={fields}&limit=1000")["nodes"]

        def carries(node: dict[str, Any]) -> bool:
            held = (node["instance_info"] or {}).get("ocx_key") or {}
            return key in (node["extra"].get("ocx_key"), *held.values())

        return [str(node["uuid"]) for node in nodes if carries(node)]

    def set_firmware(self, machine: int, **facts: Any) -> None:
        """Flash a machine: its BMC tells these from now on. bios_version, boot_mode, secure_boot."""
        folder = self._dir / "bmc-state/firmware"
        folder.mkdir(exist_ok=True)
        partial = folder / "part"
        partial.write_text(json.dumps(facts))
        partial.rename(folder / f"{self._systems[machine]['uuid']}.json")

    # ---- start-up --------------------------------------------------------------------------------------

    def _start(self) -> None:
        started = time.monotonic()

        def say(line: str) -> None:
            self._say(f"lab: {time.monotonic() - started:5.1f} s  {line}")

        self._prepare()
        services = [self.start_ironic, self._start_farm, self._start_bmcs]
        self._at_once([*services, self._start_guest] if self._fakes else services)
        say("Ironic, the BMCs and the farm are up")
        calls = [functools.partial(self._enrol, one) for one in self._systems]
        fake_calls = [functools.partial(self._enrol_fake, hardware) for hardware in self._fakes]
        nodes = self._at_once([*calls, *fake_calls])
        say(f"{len(nodes)} machines are available")
        self._describe(nodes[: len(calls)], nodes[len(calls) :])

    def _at_once(self, calls: list[Callable[[], Any]]) -> list[Any]:
        """Run all calls at the same time. An error or Ctrl-C ends the services, and with them the others."""
        with ThreadPoolExecutor(min(16, max(1, len(calls)))) as pool:
            try:
                return list(pool.map(lambda call: call(), calls))
            except BaseException:
                self.stop()
                raise

    def _serve(self, name: str, command: list[object], url: str) -> None:
        """Start a service and return when it answers at `url`."""
        path = f"{self._venv / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
        self._run(name, command, {"PATH": path}).wait_until_it_answers(url)

    def _prepare(self) -> None:
        """Ports, secrets, configuration files and the database: everything before the first process."""
        self._venv = lab_venv()
        self._dir.mkdir(parents=True, exist_ok=True)
        (self._dir / "lab.json").unlink(missing_ok=True)
        (self._dir / "bmc-state/no-power").mkdir(parents=True, exist_ok=True)
        ports = free_ports()
        self._farm_port, bmc_port, ironic_port = next(ports), next(ports), next(ports)
        self._ironic_url, self._bmc_url = f"http://{_HOST}:{ironic_port}", f"http://{_HOST}:{bmc_port}"
        self._files_url = f"http://{_HOST}:{self._farm_port}/files"
        self._config = write_config(self._dir, ironic_port, self._files_url, self._options)
        self._passwords = {}
        for user, name in ((_USER, "htpasswd"), (_BMC_USER, "bmc-htpasswd")):
            self._passwords[user] = secrets.token_urlsafe(24)
            secret = self._dir / f"{user}-password"
            secret.touch(mode=0o600)
            secret.write_text(self._passwords[user])
            write_htpasswd(self._venv, self._dir / name, user, self._passwords[user])
        (self._dir / "http/deploy.iso").write_bytes(b"stands for the deploy ramdisk\n".ljust(4096, b"\0"))
        for name, content in _IMAGES.items():
            (self._dir / "http" / name).write_bytes(content)
        prepare_database(self._venv, self._config)
        self._systems = [
            system(number, _HOST, next(ports), next(ports), next(ports))
            for number in range(1, self._count + 1)
        ]
        self._fakes = [fake_hardware(number) for number in range(1, self._fake_count + 1)]
        self._fake_ports = {"ssh": next(ports), "http": next(ports)}
        self._write_farm_config()
        self._write_bmc_config(bmc_port)

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
            "SUSHY_EMULATOR_STATE_DIR": str(self._dir / "bmc-state"),
            "SUSHY_EMULATOR_AUTH_FILE": str(self._dir / "bmc-htpasswd"),
            "EXTERNAL_NOTIFICATION_URL": f"http://{_HOST}:{self._farm_port}/bmc",
            **bmc_settings(self._systems),
        }
        lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
        (self._dir / "bmc.conf").write_text("".join(lines))

    def _start_farm(self) -> None:
        command = [sys.executable, "-m", "cli.demo.lab.farm", self._dir / "farm.json"]
        self._serve("farm", command, f"{self._files_url}/deploy.iso")

    def _start_bmcs(self) -> None:
        program = Path(__file__).with_name("bmc.py")
        command = [self._venv / "bin/python", "-P", program, self._dir / "bmc.conf"]
        self._serve("bmc", command, f"{self._bmc_url}/redfish/v1/")

    def _start_guest(self) -> None:
        disk = self._dir / "fake-disk"
        write_guest(disk)
        ports = ["--ssh-port", self._fake_ports["ssh"], "--http-port", self._fake_ports["http"]]
        command = [sys.executable, "-m", "provisioner.guest", "--disk", disk, "--host", _HOST, *ports]
        self._serve("guest", command, f"http://{_HOST}:{self._fake_ports['http']}/")

    def _enrol_fake(self, hardware: dict[str, Any]) -> dict[str, Any]:
        extra = {"ocx_address": _HOST, "ocx_ssh_port": self._fake_ports["ssh"], "ocx_guest_port": 0}
        body = fake_node(hardware, _FAKE_CLASS, extra)
        return self.client().enrol(body, first_clean=False, inspect=False, ports=[hardware["mac"]])

    def _enrol(self, one: dict[str, Any]) -> dict[str, Any]:
        driver_info = {
            "redfish_address": self._bmc_url,
            "redfish_username": _BMC_USER,
            "redfish_password": self._passwords[_BMC_USER],
            "redfish_system_id": f"/redfish/v1/Systems/{one['uuid']}",
            "deploy_iso": f"{self._files_url}/deploy.iso",
        }
        ports = one["ports"]
        body = {
            "name": one["name"],
            "driver": "redfish",
            "console_interface": "redfish-graphical",
            "resource_class": self._class,
            "driver_info": driver_info,
            "extra": {
                "ocx_address": _HOST,
                "ocx_ssh_port": ports["ssh"],
                "ocx_http_port": ports["http"],
                "ocx_guest_port": ports["guest"],
            },
        }
        return self.client().enrol(body, first_clean=self._first_clean)

    def _describe(self, nodes: list[dict[str, Any]], fakes: list[dict[str, Any]]) -> None:
        machines = [
            {
                "node_name": one["name"],
                "node_uuid": node["uuid"],
                "address": _HOST,
                "ssh_port": one["ports"]["ssh"],
                "http_port": one["ports"]["http"],
                "class": self._class,
                "disk": str(self._dir / "disks" / one["uuid"]),
            }
            for one, node in zip(self._systems, nodes, strict=True)
        ]
        fake_machines = [
            {
                "node_name": node["name"],
                "node_uuid": node["uuid"],
                "address": _HOST,
                "ssh_port": self._fake_ports["ssh"],
                "class": _FAKE_CLASS,
            }
            for node in fakes
        ]
        images = {
            name.removesuffix(".raw"): {
                "source": f"{self._files_url}/{name}",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in _IMAGES.items()
        }
        self.description = {
            "ironic_url": self._ironic_url,
            "username": _USER,
            "password_file": str(self._dir / f"{_USER}-password"),
            "image_url": f"{self._files_url}/os.raw",
            "image_sha256": images["os"]["sha256"],
            "deploy_iso": f"{self._files_url}/deploy.iso",
            "images": images,
            "bmc_url": self._bmc_url,
            "bmc_username": _BMC_USER,
            "bmc_password_file": str(self._dir / f"{_BMC_USER}-password"),
            "no_power": str(self._dir / "bmc-state/no-power"),
            "machines": machines,
            "fake_machines": fake_machines,
        }
        partial = self._dir / "lab.json.part"
        partial.write_text(json.dumps(self.description, indent=1) + "\n")
        partial.rename(self._dir / "lab.json")
