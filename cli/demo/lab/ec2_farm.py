"""The machines of the EC2 lab: a guest for every instance that runs.

`python -m cli.demo.lab.ec2_farm FARM.json` hears of every change from the lab's EC2 (`run_moto`), boots a
guest from an instance's user data at its address, ends it when the instance stops or terminates, and only
then says so: what EC2 calls terminated has no process left and no disk.

It must not use EC2's own API.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from cli.demo.lab.agent import call

__all__ = ["main"]

_BOOT_SECONDS = 20.0


class Instance(threading.Thread):
    """What runs for one instance; follows what EC2 says of it."""

    def __init__(self, config: dict[str, Any], instance: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._config, self._id = config, instance["id"]
        self._disk = Path(config["disks"]) / self._id
        self._console = Path(config["disks"]) / f"{self._id}.console"
        self._wanted, self._news = instance, threading.Condition()
        self._guest: subprocess.Popen[bytes] | None = None
        self._boots = instance["boots"]

    def follow(self, instance: dict[str, Any]) -> None:
        """EC2 says something new of the instance."""
        with self._news:
            if instance != self._wanted:
                self._wanted = instance
                self._news.notify()

    def run(self) -> None:
        """Make what runs match what EC2 says, until the instance has ended."""
        done: dict[str, Any] = {}
        while done.get("state") != "terminated":
            with self._news:
                self._news.wait_for(lambda last=done: self._wanted != last)  # type: ignore[misc]
                done = self._wanted
            try:
                self._make(done)
            except (OSError, ValueError, KeyError) as error:
                print(f"farm: {self._id}: {type(error).__name__}: {error}", flush=True)

    def _make(self, instance: dict[str, Any]) -> None:
        state = instance["state"]
        if state == "pending":
            self._boot(instance)
            self._tell(state="running", console=self._printed())
        elif state == "running" and instance["boots"] != self._boots:
            self._boots = instance["boots"]
            self._boot(instance)
        elif state in ("stopping", "stopped"):
            self._end()
            self._tell(state="stopped")
        elif state in ("shutting-down", "terminated"):
            self._end()
            shutil.rmtree(self._disk, ignore_errors=True)
            self._tell(state="terminated")

    def _boot(self, instance: dict[str, Any]) -> None:
        """Start a guest, in place of the one that runs; return once SSH answers."""
        self._end()
        told = yaml.safe_load(base64.b64decode(instance["user_data"])) or {}
        keys = {f"key-{n}": line for n, line in enumerate(told.get("ssh_authorized_keys") or [])}
        meta = {"uuid": self._id, "hostname": told.get("hostname") or self._id, "public_keys": keys}
        path = self._disk / "config/openstack/latest/meta_data.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(meta))
        path.with_name("user_data").write_bytes(base64.b64decode(instance["user_data"]))
        ports = {"--ssh-port": self._config["ssh_port"], "--http-port": self._config["http_port"]}
        where = {"--disk": self._disk, "--host": instance["address"], "--while-pid": os.getpid()}
        options = [str(word) for pair in {**where, **ports}.items() for word in pair]
        with self._console.open("ab") as console:
            self._guest = subprocess.Popen(
                [sys.executable, "-m", "provisioner.guest", *options],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while not _answers(instance["address"], self._config["ssh_port"]):
            if self._guest.poll() is not None or time.monotonic() > deadline:
                raise OSError("the guest did not boot")
            time.sleep(0.02)
        self._print_host_keys()

    def _print_host_keys(self) -> None:
        """Print the SSH host keys on the console as cloud-init does."""
        shown = (self._disk / "host/ssh_host_ed25519_key.pub").read_text().strip()
        with self._console.open("a") as console:
            lines = ["-----BEGIN SSH HOST KEY KEYS-----", shown, "-----END SSH HOST KEY KEYS-----"]
            console.writelines(f"{line}\n" for line in lines)

    def _printed(self) -> str:
        return self._console.read_text(errors="replace")[-65536:]

    def _end(self) -> None:
        if self._guest is not None:
            self._guest.terminate()
            self._guest.wait(15)
            self._guest = None

    def _tell(self, **progress: Any) -> None:
        call("PUT", f"{self._config['url']}/_lab/instances/{self._id}", progress)


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2) as connection:
        connection.settimeout(2)
        return connection.recv(4) == b"SSH-"
    return False


def main() -> None:
    """Run the farm until SIGTERM, or until the lab's EC2 is gone."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    config = json.loads(Path(sys.argv[1]).read_text())
    farm: dict[str, Instance] = {}
    version = -1
    while True:
        told = call("GET", f"{config['url']}/_lab/instances?after={version}")
        version = told["version"]
        for instance in told["instances"]:
            known = farm.get(instance["id"])
            if known is None and instance["state"] != "terminated":
                known = farm[instance["id"]] = Instance(config, instance)
                known.start()
            if known is not None:
                known.follow(instance)


if __name__ == "__main__":
    main()
