"""The deploy ramdisk of a lab machine: Ironic's agent protocol without a kernel under it.

A machine that boots its deploy image from virtual media gets one `DeployAgent`. It looks itself up in Ironic
by the MAC addresses of its machine, takes its token, sends heartbeats, and runs the commands Ironic sends:
writing an image really downloads it and checks its hash, cleaning really deletes the disk.

This is our own agent, not ironic-python-agent: it proves Ironic's side of the protocol only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.demo.lab.iso import unpack_config_drive

__all__ = ["IMAGE", "DeployAgent", "call"]

IMAGE = "image.raw"
"""Name of the file that stands for the boot disk's content."""

_HEARTBEAT = 0.4
_CHUNK = 1 << 20
_HARDWARE = "LabHardware"
_CLEAN_STEP = {
    "step": "erase_devices_metadata",
    "priority": 99,
    "interface": "deploy",
    "reboot_requested": False,
    "abortable": True,
}
_DEPLOY_STEP = {"step": "noop", "priority": 0, "interface": "deploy", "reboot_requested": False}
"""Without any deploy step Ironic asks for ever."""


def call(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """One JSON request on loopback. Raises OSError (urllib's errors are ones)."""
    data = None if body is None else json.dumps(body).encode()
    head = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, head, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = response.read()
    return json.loads(answer) if answer else None


class DeployAgent(threading.Thread):
    """One boot of the deploy ramdisk on one machine; ends when told to `stop`.

    `disk` is the machine's disk folder, `callback_url` where Ironic reaches `command`, `power_off` presses
    the machine's power button.
    """

    def __init__(
        self, ironic_url: str, macs: list[str], disk: Path, callback_url: str, power_off: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True)
        self._ironic, self._macs, self._disk = ironic_url, macs, disk
        self._callback_url, self._power_off = callback_url, power_off
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._commands: list[dict[str, Any]] = []
        self.token: str | None = None

    def stop(self) -> None:
        """The machine lost power."""
        self._stopped.set()

    @property
    def is_up(self) -> bool:
        """True until the machine loses power."""
        return not self._stopped.is_set()

    def run(self) -> None:
        """Look up, then send heartbeats until the power goes."""
        node = self._look_up()
        while node and not self._stopped.is_set():
            beat = {"callback_url": self._callback_url, "agent_version": "13.0.0", "agent_token": self.token}
            try:
                self._ask("POST", f"/v1/heartbeat/{node}", beat)
            except OSError as error:
                print(f"agent of {node}: heartbeat: {error}", flush=True)
            self._stopped.wait(_HEARTBEAT)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return call(method, self._ironic + path, body, {"X-OpenStack-Ironic-API-Version": "1.78"})

    def _look_up(self) -> str | None:
        """Ironic's id for this machine; asks until Ironic expects an agent there."""
        while not self._stopped.is_set():
            try:
                answer = self._ask("GET", f"/v1/lookup?addresses={','.join(self._macs)}")
            except OSError:
                self._stopped.wait(0.2)
            else:
                self.token = answer["config"]["agent_token"]
                return str(answer["node"]["uuid"])
        return None

    def commands(self) -> list[dict[str, Any]]:
        """Everything that was commanded since boot, with results."""
        with self._lock:
            return list(self._commands)

    def command(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        """Run one command of Ironic's and return its record; a failure is a record too."""
        verb = name.rpartition(".")[2]
        record: dict[str, Any] = {"id": str(uuid.uuid4()), "command_name": verb, "command_params": params}
        try:
            result = self._run_verb(verb, params)
        except Exception as error:  # noqa: BLE001 - whatever it is, Ironic has to hear of it
            text = f"{type(error).__name__}: {error}"
            print(f"agent: {verb} failed: {text}", flush=True)
            failure = {"type": type(error).__name__, "code": 500, "message": text, "details": text}
            record |= {"command_status": "FAILED", "command_error": failure, "command_result": None}
        else:
            record |= {"command_status": "SUCCEEDED", "command_error": None, "command_result": result}
        with self._lock:
            self._commands.append(record)
        return record

    def _run_verb(self, verb: str, params: dict[str, Any]) -> dict[str, Any]:
        versions = {"hardware_manager_version": {_HARDWARE: "1"}}
        if verb == "get_clean_steps":
            return {"clean_steps": {_HARDWARE: [_CLEAN_STEP]}, **versions}
        if verb == "get_deploy_steps":
            return {"deploy_steps": {_HARDWARE: [_DEPLOY_STEP]}, **versions}
        if verb == "execute_clean_step":
            erase(self._disk)
            return {"clean_result": None, "clean_step": params["step"]}
        if verb == "execute_deploy_step":
            if params["step"]["step"] == "write_image":
                self._write_image(**params["step"]["args"])
            return {"deploy_result": None, "deploy_step": params["step"]}
        if verb == "get_partition_uuids":
            return {"root uuid": "", "efi system partition uuid": ""}
        if verb == "power_off":
            threading.Timer(0.05, self._power_off).start()
        return {"result": None}

    def _write_image(self, image_info: dict[str, Any], configdrive: str | None = None, **_: Any) -> None:
        """Download, verify, and only then make it the machine's disk."""
        algorithm = image_info.get("os_hash_algo") or "sha256"
        wanted = image_info.get("os_hash_value") or image_info.get("checksum")
        digest = hashlib.new(algorithm)
        partial = self._disk / f"{IMAGE}.part"
        with (
            urllib.request.urlopen(image_info["urls"][0], timeout=60) as source,
            partial.open("wb") as target,
        ):
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != wanted:
            partial.unlink()
            raise ValueError(f"the image does not match its {algorithm}")
        for folder in ("config", "host"):
            shutil.rmtree(self._disk / folder, ignore_errors=True)
        if configdrive:
            unpack_config_drive(configdrive, self._disk / "config")
        partial.rename(self._disk / IMAGE)


def erase(disk: Path) -> None:
    """Delete everything on the disk: image, config drive, host keys, what the tenant left."""
    deadline = time.monotonic() + 5
    while any(disk.iterdir()):
        for entry in disk.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if time.monotonic() > deadline:
            raise TimeoutError(f"something keeps writing to {disk}")
