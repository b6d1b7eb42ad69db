"""What is wrong with an installation of the Ansible plugin: one line each, with what to do."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from market.errors import OcxError
from provisioner.plugins.ansible.door import Door, Keys, open_keys
from provisioner.plugins.ansible.memory import Memory
from provisioner.plugins.ansible.runs import runner_environment
from provisioner.plugins.ansible.settings import AnsibleSettings, Machine

__all__ = ["problems"]

_SYNTAX_SECONDS = 60


def problems(settings: AnsibleSettings) -> list[str]:
    """Everything that is missing or wrong. Blocking: a second for each playbook; changes no machine."""
    return [*_programs(), *_state(settings), *_playbooks(settings), *_machines(settings)]


def _programs() -> Iterator[str]:
    if importlib.util.find_spec("ansible_runner") is None:
        yield "ansible-runner is not installed; install ocx with the extra `ansible`"
    if shutil.which("ssh") is None:
        yield "ssh is not installed; install openssh-client"


def _state(settings: AnsibleSettings) -> Iterator[str]:
    folder = Path(settings.state).expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield f"the state folder {settings.state} cannot be written; give {folder} to the agent's user"
    names = {machine.name for machine in settings.machine_list}
    for key, machine in Memory(settings).claims().items():
        if machine not in names:
            yield f"{machine} carries {key}, but the settings do not name it; put it back until that is over"


def _playbooks(settings: AnsibleSettings) -> Iterator[str]:
    program = shutil.which(
        "ansible-playbook", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    )
    if program is None:
        yield "ansible-playbook is not installed; install ocx with the extra `ansible`"
    for product in settings.product_list.values():
        for phase in ("setup", "cleanup"):
            path = settings.playbook(product, phase)
            if not path.is_file():
                yield f"the product {product.name} has no playbook {path}; write it, or correct its `{phase}`"
            elif program is not None:
                yield from _syntax(settings, program, path)


def _syntax(settings: AnsibleSettings, program: str, path: Path) -> Iterator[str]:
    command = [program, "--syntax-check", "-i", "localhost,", str(path)]
    command += ["--ask-vault-pass"] if settings.vault_password is not None else []
    try:
        vault = settings.vault_password.read() + "\n" if settings.vault_password is not None else ""
        done = subprocess.run(
            command,
            cwd=settings.project_dir,
            env=runner_environment(settings),
            input=vault,
            capture_output=True,
            start_new_session=True,
            text=True,
            timeout=_SYNTAX_SECONDS,
            check=False,
        )
    except OcxError as error:
        yield str(error)
        return
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"ansible-playbook cannot check {path}: {error}"
        return
    if done.returncode:
        yield f"{path} cannot be run; correct it: {' '.join(done.stderr.split())[:400]}"


def _machines(settings: AnsibleSettings) -> Iterator[str]:
    if not settings.machine_list:
        yield "there is nothing to sell; name some machines in the settings"
        return
    try:
        with open_keys(settings) as keys, ThreadPoolExecutor(settings.parallel) as pool:
            found = list(pool.map(lambda machine: _machine(keys, machine), settings.machine_list))
    except OcxError as error:
        yield str(error)
        return
    yield from (problem for problem in found if problem)


def _machine(keys: Keys, machine: Machine) -> str | None:
    try:
        with Door(keys, machine) as door:
            door.ask("read")
            measured = door.ask("measure")
    except OcxError as error:
        return str(error)
    if not (measured["system_uuid"] or machine.host_key or machine.hardware_id):
        return f"nothing tells {machine.name} from other machines; set its hardware_id or host_key"
    return None
