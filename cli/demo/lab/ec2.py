"""The EC2 half of the lab: an EC2 that answers on loopback, and machines that exist only as processes.

The API is moto's (`run_moto`), the machines are guests (`ec2_farm`): each listens at a loopback address of
its own, lets the keys of its user data in, and ends with its instance.

    with Ec2Lab(directory) as lab:
        plugin = load("aws", lab.settings())
        lab.servers("key")

`python -m cli.demo.lab.ec2 --dir DIR` does the same until SIGTERM; `DIR/ec2.json` is there once it is up.
Whatever ends the lab, SIGKILL included, ends every process of it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pwd
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cli.demo.lab.agent import call
from cli.demo.lab.ironic_setup import lab_venv
from cli.demo.lab.service import Services, foreground, free_ports

__all__ = ["Ec2Lab", "main"]

_REGION = "eu-central-1"
_IMAGE = "ami-760aaa0f"
_STRICT = {
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
}
_LIVE = ("pending", "running", "stopping", "stopped")


class Ec2Lab(Services):
    """A context manager: entered, an EC2 answers at `url`; left, all its machines are gone.

    `directory` gets logs, the machines' disks, `credentials.json` and `ec2.json` (the `description`). `units`
    is how many instances of each class are for sale. `say` hears of progress, one line each. Entering blocks
    (some 3 s on two cores) and raises `Permanent` if something does not start.
    """

    described = "ec2.json"

    def __init__(
        self, directory: Path, *, units: int = 4, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        super().__init__(directory)
        self._units, self._say = units, say
        self.url = ""
        """Where EC2 and STS answer."""
        self.description: dict[str, Any] = {}
        """What `ec2.json` holds: `settings` of the aws plugin."""

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of the aws plugin for this lab, which sells `vm.small` and `vm.large`; `more` replaces."""
        return {**self.description["settings"], **more}

    # ---- looking past the plugin -----------------------------------------------------------------------

    def servers(self, key: str) -> int:
        """How many instances with this key are not terminated or about to be, asked of moto itself."""
        return sum(1 for i in self.instances() if i["tags"].get("ocx:key") == key and i["state"] in _LIVE)

    def instances(self) -> list[dict[str, Any]]:
        """Every instance of every account: id, account, region, state, address, boots, tags, user_data."""
        found: list[dict[str, Any]] = self._ask("GET", "instances")["instances"]
        return found

    def calls(self) -> list[str]:
        """The actions of all requests to AWS since the start."""
        return [entry["action"] for entry in self._ask("GET", "calls")]

    # ---- making trouble --------------------------------------------------------------------------------

    def inject(self, *faults: dict[str, Any]) -> None:
        """Replace the planted faults, each `{action, code, message?, status?, when?, skip?, times?}`.

        `action` is a pattern of EC2 actions (`RunInstances|Describe.*`), `when` one of `before` (nothing
        happens), `after` (it happens all the same) and `half` (it happens, and half the answer arrives).
        Without any, all is well again.
        """
        self._ask("PUT", "faults", list(faults))

    def options(self, *, client_tokens: bool = False, hide_seconds: float = 0.0) -> None:
        """Whether launches honour their ClientToken, and how long new instances stay invisible."""
        self._ask("PUT", "options", {"client_tokens": client_tokens, "hide_seconds": hide_seconds})

    def interrupt(self, instance: str, *, to: str = "terminated", code: str = "Server.Interrupted") -> None:
        """Let AWS itself end (`terminated`) or stop (`stopped`) an instance, with this state reason."""
        self._ask("POST", "interrupt", {"id": instance, "to": to, "code": code, "message": "lab"})

    def show_on_console(self, instance: str, text: str) -> None:
        """Replace what an instance's console shows."""
        self._ask("PUT", f"instances/{instance}", {"console": text})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return call(method, f"{self.url}/_lab/{path}", body)

    # ---- start-up --------------------------------------------------------------------------------------

    def _start(self) -> None:
        started = time.monotonic()
        venv = lab_venv()
        (self._dir / "disks").mkdir(parents=True, exist_ok=True)
        (self._dir / "ec2.json").unlink(missing_ok=True)
        ports = free_ports()
        port, ssh_port, http_port, guest_port = next(ports), next(ports), next(ports), next(ports)
        self.url = f"http://127.0.0.1:{port}"
        access_key = f"LAB{secrets.token_hex(8).upper()}"
        self._write_credentials(access_key)
        block = f"127.{64 + secrets.randbelow(128)}"
        moto = self._write("moto.json", {"port": port, "access_key": access_key, "block": block})
        disks = str(self._dir / "disks")
        config = {"url": self.url, "disks": disks, "ssh_port": ssh_port, "http_port": http_port}
        farm = self._write("farm.json", config)
        program = Path(__file__).with_name("run_moto.py")
        env = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} | _STRICT
        api = self._run("moto", [venv / "bin/python", "-P", program, moto], env)
        api.wait_until_it_answers(f"{self.url}/_lab/instances")
        self._run("farm", [sys.executable, "-m", "cli.demo.lab.ec2_farm", farm], env)
        self._describe(ssh_port, guest_port)
        self._say(f"lab: {time.monotonic() - started:5.1f} s  EC2 answers at {self.url}")

    def _describe(self, ssh_port: int, guest_port: int) -> None:
        ports = {"ssh_port": ssh_port, "responder_port": guest_port}
        common = {"image": _IMAGE, "count": self._units, **ports}
        small = {"class": "vm.small", "instance_type": "t3.small", "rate_per_hour": 20_000}
        large = {"class": "vm.large", "instance_type": "m5.large", "rate_per_hour": 96_000, "root_gib": 50}
        settings = {
            "provider": "lab",
            "region": _REGION,
            "products": [small | common, large | common],
            "ssh_user": pwd.getpwuid(os.geteuid()).pw_name,
            "ssh_cidrs": ["127.0.0.0/8"],
            "endpoint_url": self.url,
            "credentials": {"file": str(self._dir / "credentials.json")},
            "launch_timeout": 60.0,
            "release_timeout": 60.0,
            "request_timeout": 15.0,
            "console_timeout": 5.0,
            "patience": 1.0,
            "poll": 0.1,
        }
        self.description = {"settings": settings}
        self._write("ec2.json", self.description)

    def _write_credentials(self, access_key: str) -> None:
        path = self._dir / "credentials.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"AccessKeyId": access_key, "SecretAccessKey": secrets.token_hex(20)}))

    def _write(self, name: str, value: Any) -> Path:
        """A JSON file that is there whole or not at all."""
        path = self._dir / name
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(value, indent=1) + "\n")
        return partial.rename(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line described at the top of this module."""
    parser = argparse.ArgumentParser(prog="python -m cli.demo.lab.ec2", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder for logs, disks and ec2.json")
    parser.add_argument("--units", type=int, default=4, help="how many instances of each class are for sale")
    args = parser.parse_args(argv)
    say = functools.partial(print, flush=True)
    return foreground("lab", lambda: Ec2Lab(args.dir, units=args.units, say=say))


if __name__ == "__main__":
    raise SystemExit(main())
