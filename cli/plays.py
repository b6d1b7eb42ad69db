"""Runs a playbook of ansible/ on an inventory for `ocx deploy`, and tells what happens as it happens.

ansible-runner works in a process of its own under a keeper, in a folder that is gone afterwards; nothing of
the play survives this process. Secrets are read by Ansible itself (vault) and come neither here nor into any
argument. This module must not ask or print.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.data import data_path
from market.errors import InvalidInput, Permanent

__all__ = ["Inventory", "Run", "read_inventory", "run"]

_INVENTORY_SECONDS = 120
_END_SECONDS = 30
_OURS = ("OCX_ENGINE", "OCX_ENGINE_CACHE")
"""Where the chain's engine is, which the role chain_node copies."""


@dataclass(frozen=True)
class Run:
    """What to play, on what."""

    playbook: str
    """File name in ansible/."""
    inventory: Path
    """File or folder; what Ansible takes."""
    limit: str = ""
    """Ansible's pattern of hosts; empty: all."""
    tags: tuple[str, ...] = ()
    """Only these roles; empty: all."""
    check: bool = False
    """Change nothing, say what would be changed."""
    diff: bool = False
    """Tell before and after of what changes."""
    vault_password_file: Path | None = None
    """Where Ansible finds the password of what is encrypted."""

    @property
    def _shared(self) -> list[str]:
        limit = ["--limit", self.limit] if self.limit else []
        file = self.vault_password_file
        return limit + (["--vault-password-file", str(file.absolute())] if file else [])

    @property
    def words(self) -> list[str]:
        """As arguments of ansible-playbook."""
        tags = ["--tags", ",".join(self.tags)] if self.tags else []
        flags = [name for name, on in (("--check", self.check), ("--diff", self.diff)) if on]
        return self._shared + tags + flags

    @property
    def inventory_words(self) -> list[str]:
        """As arguments of ansible-inventory."""
        return ["--inventory", str(self.inventory.absolute()), *self._shared]


Inventory = dict[str, list[str]]
"""Hosts by group, in the inventory's order; those of a group's children, too."""


def read_inventory(run: Run) -> Inventory:
    """The hosts a run is about. InvalidInput if Ansible cannot read the inventory."""
    command = ["ansible-inventory", *run.inventory_words, "--list"]
    try:
        done = subprocess.run(
            command,
            env=_environment() | {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "True"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INVENTORY_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise Permanent("ansible is not installed", hint="install ocx with the extra `ansible`") from None
    except subprocess.TimeoutExpired:
        raise InvalidInput(
            f"the inventory {run.inventory} was not read within {_INVENTORY_SECONDS} s",
            hint="see what hangs: ansible-inventory --list",
        ) from None
    if done.returncode:
        why = _complaint(done.stderr)
        raise InvalidInput(
            f"the inventory {run.inventory} cannot be read: {why}",
            hint="give --vault-password-file FILE"
            if "vault secrets" in why
            else "correct it; ocx deploy --example prints one to begin with",
        )
    groups: dict[str, Any] = json.loads(done.stdout)
    return {name: list(dict.fromkeys(_members(groups, name))) for name in groups if name != "_meta"}


def _complaint(said: str) -> str:
    """What Ansible dislikes of an inventory; it tries every form there is, and YAML is the one we show."""
    lines = [line for line in said.splitlines() if "'yaml' plugin:" in line]
    lines = lines or [line for line in said.splitlines() if "ERROR" in line] or said.splitlines()[:3]
    why = " ".join(" ".join(lines[:1]).split()).removeprefix("[ERROR]: ")
    return why.rpartition("plugin: ")[2][:400].rstrip(".")


def _members(groups: dict[str, Any], name: str) -> Iterator[str]:
    group = groups.get(name, {})
    yield from group.get("hosts", ())
    for child in group.get("children", ()):
        yield from _members(groups, child)


@contextlib.contextmanager
def run(wanted: Run, *, forks: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Begin a run; its events, one by one, until it has ended. Leaving the block ends it at once.

    The last event is `end`; without it the run broke, and a last event `broke` says what was printed.
    """
    with tempfile.TemporaryDirectory(prefix="ocx-deploy-") as name:
        folder = Path(name)
        (folder / "env").mkdir()
        request = {
            "dir": name,
            "ident": "deploy",
            "project": str(data_path("ansible")),
            "playbook": str(data_path("ansible") / wanted.playbook),
            "inventory": str(wanted.inventory.absolute()),
            "extravars": None,
            "questions": shlex.join(wanted.words),
            "passwords": {},
            "forks": forks,
            "environment": {
                "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "ssh"),
            },
            "keep_output": False,
        }
        with (folder / "log").open("w+", encoding="utf-8") as log, _started(log) as process:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101 - pipes asked for
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(json.dumps(request))
            yield _events(process.stdout, log)


def _events(lines: Any, log: Any) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in lines:
        event = json.loads(line)
        yield event
    if event.get("event") != "end":
        log.seek(0)
        yield {"event": "broke", "text": log.read()[-2000:]}


@contextlib.contextmanager
def _started(log: Any) -> Iterator[subprocess.Popen[str]]:
    """The process of a run under its keeper, in a session of its own; leaving the block ends it all.

    Where a play starts services on this very machine (`ansible_connection: local`), they outlive its end.
    """
    keeper = [sys.executable, "-m", "provisioner.keeper", "--while-pid", str(os.getpid()), "--spare", "--"]
    process = subprocess.Popen(
        [*keeper, sys.executable, "-m", "provisioner.play"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(),
        text=True,
        start_new_session=True,
    )
    try:
        yield process
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)  # told now, it would end the services it started
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _environment() -> dict[str, str]:
    """The operator's, with ssh agent and Ansible's settings; of ours only what is no secret."""
    kept = {name: text for name, text in os.environ.items() if name in _OURS or not name.startswith("OCX_")}
    programs = Path(sys.executable).parent
    return {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        **kept,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_ROLES_PATH": str(data_path("ansible") / "roles"),
        "PATH": f"{programs}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin",
    }
