#!/usr/bin/python
"""Ansible module: end every process of a user, and remove every file and queue the user owns, anywhere.

A file goes; a folder goes once it is empty, and where others' files lie in it, it is given to root instead,
so that nothing of others is removed. The user's subordinate ids (containers) count as the user. Fails
unless, at the end, nothing is left. Without the user there is nothing to do.
"""

from __future__ import annotations

import os
import pwd
import signal
import stat
import time
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: ssh_host_wipe
short_description: Remove every process, file and queue of a user
options:
  user: {description: Name of the user., type: str, required: true}
  searched: {description: Folders to look through., type: list, elements: str, required: true}
"""

_ROUNDS = 3
_SECONDS = 10.0
_LEFT_OUT = {
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "nfs",
    "nfs4",
    "cifs",
    "fuse.sshfs",
    "devpts",
    "securityfs",
}
_IPC = {"shm": "-m", "sem": "-s", "msg": "-q"}


def ids_of(user: str) -> list[range]:
    """The user's id and subordinate ids; empty if there is no such user."""
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return []
    if uid == 0:
        raise ValueError(f"{user} is root")
    found = [range(uid, uid + 1)]
    try:
        with open("/etc/subuid", encoding="utf-8") as file:
            lines = [line.strip().split(":") for line in file]
    except FileNotFoundError:
        lines = []
    for words in lines:
        if len(words) == 3 and words[0] in (user, str(uid)):
            found.append(range(int(words[1]), int(words[1]) + int(words[2])))
    return found


class Owned:
    """What belongs to some ids on this machine, right now."""

    def __init__(self, ids: list[range], searched: list[str]) -> None:
        self._ids, self._searched = ids, searched

    def _ours(self, uid: int) -> bool:
        return any(uid in some for some in self._ids)

    def processes(self) -> list[int]:
        """Processes that run as one of the ids, really or effectively; dead ones are left out."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/status", encoding="utf-8", errors="replace") as file:
                    fields = dict(line.split(":", 1) for line in file if ":" in line)
            except (FileNotFoundError, ProcessLookupError):
                continue
            alive = fields.get("State", "").strip()[:1] not in ("Z", "X")
            if alive and any(self._ours(int(uid)) for uid in fields["Uid"].split()):
                found.append(int(name))
        return found

    def files(self) -> Iterator[tuple[str, bool]]:
        """Path of everything owned, the deepest first, and whether it is a folder."""
        left_out = _mounted_elsewhere()
        seen: set[tuple[int, int]] = set()
        for top in self._searched:
            if os.path.isdir(top):
                yield from self._below(top.rstrip("/") or "/", left_out, seen)

    def _below(self, top: str, left_out: set[str], seen: set[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in left_out]
            for name in folders + names:
                path = os.path.join(folder, name)
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue
                identity = (status.st_dev, status.st_ino)
                if self._ours(status.st_uid) and (identity not in seen or not stat.S_ISDIR(status.st_mode)):
                    seen.add(identity)
                    found.append((path, stat.S_ISDIR(status.st_mode)))
        return reversed(found)

    def queues(self) -> list[tuple[str, str]]:
        """System V memory, semaphores and message queues: the option of ipcrm, and the id."""
        found = []
        for kind, option in _IPC.items():
            try:
                with open(f"/proc/sysvipc/{kind}", encoding="utf-8") as file:
                    names, *rows = [line.split() for line in file]
            except (FileNotFoundError, ValueError):
                continue
            for row in rows:
                uids = {int(row[names.index(name)]) for name in ("uid", "cuid")}
                if any(self._ours(uid) for uid in uids):
                    found.append((option, row[1]))
        return found


def _mounted_elsewhere() -> set[str]:
    """Where file systems are mounted that hold no files of this machine."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        mounts = [line.split() for line in file]
    return {words[1].replace("\\040", " ") for words in mounts if words[2] in _LEFT_OUT}


def end_processes(owned: Owned) -> int:
    """Kill all processes until there is none; returns how many there were."""
    ended: set[int] = set()
    deadline = time.monotonic() + _SECONDS
    while (alive := owned.processes()) and time.monotonic() < deadline:
        for pid in alive:
            ended.add(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    return len(ended)


def remove_files(owned: Owned) -> dict[str, int]:
    """Remove what is owned; returns how much there was."""
    count = {"files": 0, "folders": 0, "folders_kept_for_others": 0}
    for path, is_folder in owned.files():
        try:
            if not is_folder:
                os.unlink(path)
                count["files"] += 1
                continue
            os.rmdir(path)
            count["folders"] += 1
        except FileNotFoundError:
            continue
        except OSError:
            os.lchown(path, 0, 0)
            os.chmod(path, 0o700)
            count["folders_kept_for_others"] += 1
    return count


def main() -> None:
    """Run the module."""
    arguments = {
        "user": {"type": "str", "required": True},
        "searched": {"type": "list", "elements": "str", "required": True},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    try:
        ids = ids_of(module.params["user"])
    except ValueError as error:
        module.fail_json(msg=f"cannot wipe: {error}")
    owned = Owned(ids, module.params["searched"])
    found = {"processes": 0, "files": 0, "folders": 0, "folders_kept_for_others": 0, "queues": 0}
    if module.check_mode or not ids:
        module.exit_json(changed=bool(ids), found=found, left={"processes": 0, "files": 0, "queues": 0})
    for _round in range(_ROUNDS):
        found["processes"] += end_processes(owned)
        for name, number in remove_files(owned).items():
            found[name] += number
        for option, number in owned.queues():
            found["queues"] += module.run_command(["ipcrm", option, number])[0] == 0
        left = {
            "processes": len(owned.processes()),
            "files": sum(1 for _path in owned.files()),
            "queues": len(owned.queues()),
        }
        if not any(left.values()):
            module.exit_json(changed=any(found.values()), found=found, left=left)
    module.fail_json(msg=f"something of {module.params['user']} is left: {left}", found=found, left=left)


if __name__ == "__main__":
    main()
