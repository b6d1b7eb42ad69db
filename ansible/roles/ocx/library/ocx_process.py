"""Ansible module: a program that runs under `ocx-supervise`, on hosts without systemd.

Level-triggered: it compares what should run with what runs, so that a play that was cut short can be given
again. What runs is told by a file in `folder` and by /proc, never by the file alone. Linux; the standard
library and Ansible only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: ocx_process
short_description: Keep a program running without systemd
description: Starts, restarts or ends a program under C(ocx-supervise).
options:
  name: {description: What the service is called., type: str, required: true}
  state: {description: Whether it shall run., type: str, choices: [started, absent], default: started}
  command: {description: Program and arguments; no secrets., type: list, elements: str}
  user: {description: Who it runs as., type: str, default: root}
  fingerprint: {description: Another one than at the start means start anew., type: str, default: ""}
  supervisor: {description: Path of C(ocx-supervise)., type: str, required: true}
  folder: {description: Where it is noted what runs., type: str, default: /run/ocx}
  log: {description: File for what it writes., type: str, default: /dev/null}
  record: {description: File that says there is such a service., type: str, required: true}
  stop_seconds: {description: Time it has to end by itself., type: int, default: 40}
author: OCX
"""
EXAMPLES = """
- ocx_process:
    name: ocx-witness
    command: [/opt/ocx/venv/bin/ocx, witness, run, --config, /etc/ocx/witness/witness.yaml]
    user: ocx
    supervisor: /opt/ocx/bin/ocx-supervise
    record: /etc/ocx/services/ocx-witness
"""
RETURN = """
pid: {description: Process of the supervisor; 0 if it does not run., type: int, returned: always}
"""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "name": {"required": True},
    "state": {"choices": ["started", "absent"], "default": "started"},
    "command": {"type": "list", "elements": "str", "default": []},
    "user": {"default": "root"},
    "fingerprint": {"default": ""},
    "supervisor": {"required": True},
    "folder": {"default": "/run/ocx"},
    "log": {"default": "/dev/null"},
    "record": {"required": True},
    "stop_seconds": {"type": "int", "default": 40},
}


class Service:
    """One service: the note about it, and its processes."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._wanted = wanted
        self._note = Path(wanted["folder"]) / f"{wanted['name']}.json"
        self._record = Path(wanted["record"])
        self._noted: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._noted = json.loads(self._note.read_text())

    @property
    def noted(self) -> bool:
        """Whether anything says that there is such a service."""
        return self._note.exists() or self._record.exists()

    @property
    def pid(self) -> int:
        """The supervisor's process; 0 if it does not run."""
        pid = int(self._noted.get("pid", 0))
        return pid if pid and _born(pid) == self._noted.get("born") else 0

    @property
    def current(self) -> bool:
        """Whether what runs is what was asked for."""
        return (
            bool(self.pid)
            and self._record.exists()
            and self._noted.get("fingerprint") == self._wanted["fingerprint"]
        )

    def start(self) -> None:
        """Start the supervisor in a session of its own, and note it."""
        wanted = self._wanted
        self._record.write_text(f"{wanted['fingerprint']}\n")
        self._note.parent.mkdir(mode=0o755, exist_ok=True)
        Path(wanted["log"]).parent.mkdir(mode=0o755, exist_ok=True)
        with open(wanted["log"], "ab") as log:
            process = subprocess.Popen(
                [wanted["supervisor"], wanted["user"], *wanted["command"]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        self._noted = {
            "pid": process.pid,
            "born": _born(process.pid),
            "fingerprint": wanted["fingerprint"],
        }
        part = self._note.with_suffix(".part")
        part.write_text(json.dumps(self._noted))
        part.rename(self._note)

    def stop(self) -> None:
        """End the service: politely, and after `stop_seconds` its whole session."""
        pid = self.pid
        if pid:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + self._wanted["stop_seconds"]
            while self.pid and time.monotonic() < deadline:
                time.sleep(0.05)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self._note.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        self._noted = {}


def _born(pid: int) -> str | None:
    """When a process began, so that another with its number is not taken for it; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def main() -> None:
    """What Ansible runs."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    service, started = Service(module.params), module.params["state"] == "started"
    changed = not service.current if started else service.noted
    if changed and not module.check_mode:
        service.stop()
        if started:
            service.start()
    module.exit_json(changed=changed, pid=service.pid)


if __name__ == "__main__":
    main()
