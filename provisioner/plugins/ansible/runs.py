"""Runs of plays: their folders, their processes, and how they went.

A run is named after the key it is for, its phase and its attempt. Its folder in `state/runs/` holds the
inventory, the variables and the result; old ones are deleted. Its processes end with the
agent, and whoever watches one keeps the machine's lock until they have.

This module must not know what the marks mean, nor when a run is due.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from chain.data import data_path
from market.errors import Permanent
from provisioner.plugins.ansible.door import Keys, ssh_options
from provisioner.plugins.ansible.settings import AnsibleSettings, Machine

__all__ = ["Play", "Result", "fingerprint", "run_ident", "run_play", "runner_environment"]

log = logging.getLogger(__name__)

_MAX_SOCKET_PATH = 60
_MAX_FILES = 5000
_MAX_CHANGED = 100
_LOOK_EVERY = 2.0


@dataclasses.dataclass(frozen=True)
class Play:
    """One run that is due."""

    ident: str
    """Its name; see `run_ident`."""
    playbook: Path
    variables: dict[str, Any]
    """Extra variables of the operator's; no secrets."""
    strange: dict[str, Any]
    """Extra variables that others wrote; they win, and are never taken for a template."""
    timeout: float
    """Seconds it may take."""


@dataclasses.dataclass
class Result:
    """How a run went."""

    status: str = "broken"
    """`ok`, `failed`, `unreachable`, `timeout`, `stopped` (the caller asked for it), `refused` (Ansible
    cannot run this playbook at all) or `broken` (it ended without a word)."""
    detail: str = ""
    """Why it is not `ok`; without secrets."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What its tasks said by `set_stats`."""
    recap: dict[str, int] = dataclasses.field(default_factory=dict)
    """How many tasks were ok, changed, failed, ..."""
    changed: list[str] = dataclasses.field(default_factory=list)
    """Names of the tasks that changed something, at most 100."""
    tasks: int = 0
    """How many tasks began."""


def run_ident(key: str, phase: str, attempt: int) -> str:
    """The name of a run: the same key, phase and attempt always give the same."""
    return f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-{phase}-{attempt}"


def fingerprint(project: Path, playbook: Path) -> dict[str, str]:
    """SHA-256 of a playbook, and of everything beside it and in the project's roles."""
    files = {playbook}
    for folder in (playbook.parent, project / "roles"):
        if folder != project:
            files |= {path for path in folder.rglob("*") if path.is_file()}
    whole = hashlib.sha256()
    for path in sorted(files)[:_MAX_FILES]:
        name = os.path.relpath(path, project)
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return {
        "playbook_sha256": hashlib.sha256(playbook.read_bytes()).hexdigest(),
        "project_sha256": whole.hexdigest(),
    }


def runner_environment(settings: AnsibleSettings) -> dict[str, str]:
    """The environment of Ansible: nothing of the agent's that could be a secret, and `environment`."""
    kept = ("HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "USER", "LOGNAME")
    given = {name: os.environ[name] for name in kept if name in os.environ}
    programs = Path(sys.executable).parent
    roles = [settings.project_dir / "roles", data_path("ansible") / "roles"]
    return {
        "LANG": "C.UTF-8",
        **given,
        "PATH": f"{programs}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin",
        "ANSIBLE_ROLES_PATH": ":".join(dict.fromkeys(map(str, roles))),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_NOCOLOR": "1",
        **settings.environment,
    }


def run_play(
    keys: Keys,
    machine: Machine,
    play: Play,
    *,
    keep_open: int,
    stop: Callable[[], bool],
    monotonic: Callable[[], float],
) -> Result:
    """Run a play on a machine and wait for it. Blocking; ends the play if this raises or `stop` says so.

    `stop` is asked every two seconds. The descriptor `keep_open` stays open until all processes of the run
    are gone, even if this process is killed.
    """
    with _folder(keys.settings, play.ident) as folder:
        request = _prepare(keys, machine, play, folder)
        result = Result()
        try:
            with (folder / "log").open("wb") as errors, _started(keys.settings, errors, keep_open) as process:
                assert process.stdin is not None and process.stdout is not None  # noqa: S101 - pipes asked for
                with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                    pipe.write(json.dumps(request).encode())
                watch = _Watch(keys, machine, play, result)
                deadline = monotonic() + play.timeout
                while watch.read(process.stdout):
                    if monotonic() > deadline:
                        return _ended(result, "timeout", f"it took longer than {play.timeout:.0f} s")
                    if stop():
                        return _ended(result, "stopped", "it was stopped")
            watch.conclude((folder / "log").read_text(errors="replace"))
        finally:
            with _private(folder / "result.json") as file:
                json.dump({**dataclasses.asdict(result), "facts": sorted(result.facts)}, file, indent=1)
            shutil.rmtree(request["environment"]["ANSIBLE_SSH_CONTROL_PATH_DIR"], ignore_errors=True)
        return result


def _ended(result: Result, status: str, detail: str) -> Result:
    result.status, result.detail = status, detail
    return result


class _Watch:
    """Reads what a run tells."""

    def __init__(self, keys: Keys, machine: Machine, play: Play, result: Result) -> None:
        self._keys, self._name, self._play, self._result = keys, f"{machine.name}: {play.ident}", play, result
        self._buffer, self._end = b"", dict[str, Any]()
        self._failures: list[tuple[str, str]] = []
        self._text = ""

    def read(self, pipe: Any) -> bool:
        """Wait for news, at most two seconds; False once there will be none."""
        if not select.select([pipe], [], [], _LOOK_EVERY)[0]:
            return True
        data = os.read(pipe.fileno(), 65536)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._note(json.loads(line))
        return bool(data)

    def _note(self, told: dict[str, Any]) -> None:
        result, event = self._result, told["event"]
        name = self._keys.scrub(str(told.get("name", "")))[:200]
        if event == "task":
            result.tasks += 1
            log.info("%s: task %d: %s", self._name, result.tasks, name)
        elif event == "stats":
            result.recap, result.facts = told["recap"], told["facts"]
        elif event == "text":
            self._text += f" {told['text']}"
        elif event == "end":
            self._end = told
        elif event in ("failed", "unreachable") and "message" in told:
            self._failures.append((event, f"{name}: {self._keys.scrub(told['message'])[:300]}"))
        elif event == "ok" and told["changed"] and len(result.changed) < _MAX_CHANGED:
            result.changed.append(name)

    def conclude(self, said: str) -> None:
        """Judge the run once it has ended; `said` is what it printed beside its events."""
        result, kinds = self._result, {kind for kind, _text in self._failures}
        if self._end.get("status") == "successful":
            result.status = "ok"
        elif self._failures:
            result.status = "unreachable" if kinds == {"unreachable"} else "failed"
            result.detail = self._failures[-1][1]
        elif self._end.get("status") == "failed":
            result.status = "failed" if result.tasks else "refused"
            result.detail = self._keys.scrub(self._text)[-400:] or "Ansible gives no reason"
        else:
            result.detail = self._keys.scrub(said)[-300:] or "its processes ended without a word"


@contextlib.contextmanager
def _started(settings: AnsibleSettings, errors: Any, keep_open: int) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a run under its keeper; leaving the block ends the whole tree."""
    keeper = [sys.executable, "-m", "provisioner.keeper", "--while-pid", str(os.getpid()), "--"]
    process = subprocess.Popen(
        [*keeper, sys.executable, "-m", "provisioner.play"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=runner_environment(settings),
        pass_fds=(keep_open,),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _runs(settings: AnsibleSettings) -> Path:
    return Path(settings.state).expanduser().absolute() / "runs"


@contextlib.contextmanager
def _folder(settings: AnsibleSettings, ident: str) -> Iterator[Path]:
    """The folder of a run, locked while it goes on; old ones are deleted first."""
    runs = _runs(settings)
    try:
        runs.mkdir(parents=True, mode=0o700, exist_ok=True)
        _rotate(runs, settings.keep_runs - 1)
        folder = runs / ident
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        lock = (folder / "lock").open("w")
    except OSError as error:
        hint = "Make the folder named by the setting state writable."
        raise Permanent(f"the state folder cannot be used: {error}", hint=hint) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _rotate(runs: Path, keep: int) -> None:
    """Delete all but the newest runs; one that goes on is left alone."""
    folders = sorted(
        (path for path in runs.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for folder in folders[: max(0, len(folders) - keep)]:
        with contextlib.suppress(FileNotFoundError, BlockingIOError), (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _forget(folder)


def _forget(folder: Path) -> None:
    """Delete a run's folder, and the sockets it had elsewhere."""
    with contextlib.suppress(OSError):
        shutil.rmtree((folder / "sockets").readlink(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _sockets(folder: Path) -> Path:
    """A folder for ssh's sockets, whose paths must be short; its name stays in the run's folder."""
    if len(str(folder)) <= _MAX_SOCKET_PATH:
        return folder / "sockets"
    path = Path(tempfile.mkdtemp(prefix="ocx-ansible-"))
    (folder / "sockets").symlink_to(path)
    return path


def _prepare(keys: Keys, machine: Machine, play: Play, folder: Path) -> dict[str, Any]:
    """Write inventory and variables of a run; returns what its process is told."""
    settings, questions = keys.settings, []
    ssh = " ".join(_quoted(word) for word in ssh_options(settings, machine, folder / "known_hosts"))
    host = {
        "ansible_host": machine.host,
        "ansible_port": machine.port,
        "ansible_user": machine.user,
        "ansible_become": machine.user != "root",
        "ansible_python_interpreter": _python(machine),
        "ansible_ssh_private_key_file": keys.private_key_path,
        "ansible_ssh_common_args": ssh,
    }
    (folder / "env").mkdir()
    with _private(folder / "inventory.json") as file:
        json.dump({"all": {"hosts": {machine.name: host}}}, file, indent=1)
    with _private(folder / "variables.yml") as file:
        file.write(_yaml(play))
    if settings.become_password is not None:
        questions.append("--ask-become-pass")
    if settings.vault_password is not None:
        questions.append("--ask-vault-pass")
    environment = {
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "home" / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(_sockets(folder)),
        "ANSIBLE_TIMEOUT": str(max(1, round(settings.connect_timeout))),
    }
    return {
        "dir": str(folder),
        "ident": play.ident,
        "project": str(settings.project_dir),
        "playbook": str(play.playbook),
        "inventory": str(folder / "inventory.json"),
        "extravars": str(folder / "variables.yml"),
        "questions": " ".join(questions),
        "passwords": keys.passwords(),
        "forks": settings.forks,
        "environment": environment,
        "keep_output": settings.keep_output,
    }


def _python(machine: Machine) -> str:
    """Ansible wants a path, or to look itself."""
    return machine.python if "/" in machine.python else "auto_silent"


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word


def _yaml(play: Play) -> str:
    """Variables for Ansible. What strangers wrote is never a template; what the operator wrote may be one."""
    strange = [f"{name}: {_unsafe(value)}" for name, value in play.strange.items()]
    own = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in play.variables.items()]
    return "\n".join(["---", *strange, *own, ""])


def _unsafe(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_unsafe(item) for item in value) + "]"
    return f"!unsafe {json.dumps(value)}" if isinstance(value, str) else json.dumps(value)


def _private(path: Path) -> TextIO:
    """Open a new file that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
