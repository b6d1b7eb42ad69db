"""The machines of the lab: power, boot, and everything that answers on them.

`python -m cli.demo.lab.farm FARM.json` hears of every power and boot change from the BMCs (sushy-tools PUTs
the system here), and gives a machine that is on what it boots: the deploy agent from virtual media, or the
guest from a disk that was deployed. Power-off ends it. It also serves the files of `http_root`: the deploy
image, the operating system image, and what Ironic publishes for virtual media.

It must not talk to Ironic other than through the machines' agents.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cli.demo.lab.agent import IMAGE, DeployAgent, call

__all__ = ["FarmConfig", "Machine", "main"]

_AGENT = re.compile(r"/agents/([0-9a-f-]{36})/v1/commands/?")


@dataclasses.dataclass(frozen=True)
class FarmConfig:
    """What FARM.json says; addresses are on loopback."""

    port: int
    """Port of the farm's own HTTP server."""
    ironic_url: str
    bmc_url: str
    bmc_username: str
    bmc_password_file: str
    http_root: str
    """Folder served at `/files/`."""
    disks: str
    """Folder of the machines' disk folders."""
    machines: list[dict[str, Any]]
    """uuid, macs, address, ssh_port and http_port of each machine."""


class Machine:
    """One machine: what runs on it follows from what its BMC says."""

    def __init__(self, config: FarmConfig, entry: dict[str, Any]) -> None:
        self._config, self._entry, self._lock = config, entry, threading.Lock()
        self.disk = Path(config.disks) / entry["uuid"]
        self.disk.mkdir(parents=True, exist_ok=True)
        self.agent: DeployAgent | None = None
        self._guest: subprocess.Popen[bytes] | None = None

    def follow(self, system: dict[str, Any]) -> None:
        """Make what runs match the BMC's state. Returns once what lost its power is gone."""
        inserted = ((system.get("boot_image") or {}).get("Cd") or [None])[0]
        is_on = system.get("power_state") == "On"
        boots_media = bool(is_on and system.get("boot_device") == "Cd" and inserted)
        boots_disk = bool(is_on and system.get("boot_device") != "Cd" and (self.disk / IMAGE).exists())
        with self._lock:
            if not is_on:
                self._lose_power()
            elif self._is_idle():
                if boots_media:
                    self._boot_agent()
                elif boots_disk:
                    self._boot_guest()

    def _is_idle(self) -> bool:
        agent_runs = self.agent is not None and self.agent.is_up
        return not agent_runs and (self._guest is None or self._guest.poll() is not None)

    def _lose_power(self) -> None:
        if self.agent:
            self.agent.stop()
            self.agent = None
        if self._guest:
            self._guest.terminate()
            self._guest.wait(15)
            self._guest = None

    def _boot_agent(self) -> None:
        url = f"http://127.0.0.1:{self._config.port}/agents/{self._entry['uuid']}"
        self.agent = DeployAgent(
            self._config.ironic_url, self._entry["macs"], self.disk, url, self._press_power_button
        )
        self.agent.start()

    def _boot_guest(self) -> None:
        ports = {"--ssh-port": self._entry["ssh_port"], "--http-port": self._entry["http_port"]}
        where = {"--disk": self.disk, "--host": self._entry["address"], "--while-pid": os.getpid()}
        options = [str(word) for pair in {**where, **ports}.items() for word in pair]
        self._guest = subprocess.Popen(
            [sys.executable, "-m", "provisioner.guest", *options], stdin=subprocess.DEVNULL
        )

    def _press_power_button(self) -> None:
        password = Path(self._config.bmc_password_file).read_text().strip()
        basic = base64.b64encode(f"{self._config.bmc_username}:{password}".encode()).decode()
        url = f"{self._config.bmc_url}/redfish/v1/Systems/{self._entry['uuid']}/Actions/ComputerSystem.Reset"
        call("POST", url, {"ResetType": "ForceOff"}, {"Authorization": f"Basic {basic}"})


class _Handler(SimpleHTTPRequestHandler):
    """BMC notifications (PUT), agent commands (GET, POST) and files (GET, HEAD)."""

    protocol_version = "HTTP/1.1"
    machines: dict[str, Machine]

    def do_PUT(self) -> None:
        """A BMC says that something about its system changed."""
        system = self._body()
        self.machines[system["uuid"]].follow(system)
        self._answer(200, {})

    def do_GET(self) -> None:
        """The commands of an agent, or a file."""
        if self.path.startswith("/files/"):
            super().do_GET()
        elif agent := self._agent():
            self._answer(200, {"commands": agent.commands()})
        else:
            self._answer(404, {"faultstring": "no agent runs there"})

    def do_POST(self) -> None:
        """Ironic commands an agent."""
        body, agent = self._body(), self._agent()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if agent is None:
            self._answer(404, {"faultstring": "no agent runs there"})
        elif query.get("agent_token") != [agent.token]:
            self._answer(401, {"faultstring": "invalid agent token"})
        else:
            self._answer(200, agent.command(body["name"], body.get("params") or {}))

    def _agent(self) -> DeployAgent | None:
        match = _AGENT.match(self.path)
        machine = self.machines.get(match.group(1)) if match else None
        agent = machine.agent if machine else None
        return agent if agent and agent.is_up else None

    def translate_path(self, path: str) -> str:
        """Files lie below `/files/`."""
        return super().translate_path(path.removeprefix("/files"))

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def _answer(self, code: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: agents and guests have the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    """Run the farm until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    config = FarmConfig(**json.loads(Path(sys.argv[1]).read_text()))
    _Handler.machines = {entry["uuid"]: Machine(config, entry) for entry in config.machines}

    def handler(*args: Any) -> _Handler:
        return _Handler(*args, directory=config.http_root)

    _Server(("127.0.0.1", config.port), handler).serve_forever()


if __name__ == "__main__":
    main()
