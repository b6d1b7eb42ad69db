"""Runs on a machine that is for sale, as root: keeps the marks of a lease there, and measures the machine.

The plugin sends this file over SSH and talks to it in lines of JSON, one request and one answer each; it
ends at the end of its input, or when it heard nothing for a minute. Nothing stays installed. What lies in
the mark folder (`/etc/ocx`) is the truth about the machine for every agent that can log in:

- `lease.json`: the key that has the machine, its phase, and what a later call needs to go on;
- `lock`: held (flock) by the one connection whose play may run; it is free when that connection ends;
- `release.wanted`: the key somebody wants released, so that a setup that runs for it stops;
- `released/`: for every key that was ever here, the evidence of its wipe, and, of old ones, only a line.

It must import nothing outside the standard library, and run on Python 3.8.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

_SILENCE_SECONDS = 60
_KEPT_RECORDS = 500
_GIB = 1 << 30
_MEMORY_STEP_MIB = 256
_GPU_CLASSES = ("0x0302", "0x1200")


class Marks:
    """The mark folder of this machine."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock: int | None = None

    def read(self, key: str | None = None) -> dict[str, Any]:
        """The lease, whether its release is wanted, and the record of `key` if that was released here."""
        lease = self._lease()
        wanted = lease is not None and self._text("release.wanted") == lease.get("key")
        return {"lease": lease, "wanted": wanted, "released": self._record(key) if key else None}

    def lock(self, wait: float) -> dict[str, Any]:
        """Try for `wait` seconds to become the connection whose play may run."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        deadline = time.monotonic() + wait
        fd = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock = fd
                return {"locked": True}
            if time.monotonic() >= deadline:
                os.close(fd)
                return {"locked": False}
            time.sleep(0.05)

    def mark(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Write the lease; refused if another key has the machine, or if the lease's was released."""
        now = self.read(lease["key"])
        other = now["lease"] is not None and now["lease"].get("key") != lease["key"]
        if self._lock is None or other or now["released"]:
            return {"marked": False, **now}
        self._save("lease.json", json.dumps(lease))
        return {"marked": True}

    def want(self, key: str) -> dict[str, Any]:
        """Ask for the release of `key`; nothing happens unless it has the machine."""
        lease = self._lease()
        if lease is not None and lease.get("key") == key:
            self._save("release.wanted", key)
        return self.read(key)

    def free(self, record: dict[str, Any]) -> dict[str, Any]:
        """Record the wipe of a key, then take its marks away, in this order; harmless if done before."""
        key = record["key"]
        if self._lock is None:
            return {"freed": False}
        os.makedirs(self._path("released"), mode=0o700, exist_ok=True)
        if self._record(key) is None:
            self._save(f"released/{_digest(key)}.json", json.dumps(record))
        lease = self._lease()
        if lease is not None and lease.get("key") == key:
            self._remove("lease.json")
        if self._text("release.wanted") == key:
            self._remove("release.wanted")
        self._shorten()
        return {"freed": True, "released": self._record(key)}

    def _record(self, key: str) -> dict[str, Any] | None:
        record = self._load(f"released/{_digest(key)}.json")
        if record is not None:
            return record
        for line in (self._text("released/old") or "").splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == _digest(key):
                return {"key": key, "wiped_at": int(words[1]), "facts": {"shortened": True}}
        return None

    def _shorten(self) -> None:
        """Of all but the newest records, keep one line."""
        paths = glob.glob(self._path("released/*.json"))
        paths.sort(key=os.path.getmtime)
        for path in paths[: max(0, len(paths) - _KEPT_RECORDS)]:
            with open(path, encoding="utf-8") as record:
                wiped_at = int(json.load(record)["wiped_at"])
            with open(self._path("released/old"), "a", encoding="utf-8") as old:
                old.write(f"{os.path.basename(path)[:-5]} {wiped_at}\n")
                old.flush()
                os.fsync(old.fileno())
            os.unlink(path)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _text(self, name: str) -> str | None:
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _lease(self) -> dict[str, Any] | None:
        """The lease's mark; one that no plugin of ours wrote cannot be read."""
        lease = self._load("lease.json")
        ours = lease is None or {"key", "phase"} <= set(lease)
        return lease if ours else {"key": None, "phase": "unreadable"}

    def _load(self, name: str) -> dict[str, Any] | None:
        text = self._text(name)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {"key": None, "phase": "unreadable"}

    def _save(self, name: str, text: str) -> None:
        """Replace a file so that a power cut leaves the old or the new one."""
        path = self._path(name)
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{path}.new", path)
        self._sync_folder(path)

    def _remove(self, name: str) -> None:
        os.unlink(self._path(name))
        self._sync_folder(self._path(name))

    def _sync_folder(self, path: str) -> None:
        fd = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def measure() -> dict[str, Any]:
    """What this machine is. Memory, of which kernels keep a varying part, is rounded down."""
    dmi = {name: _first_line(f"/sys/class/dmi/id/{name}") for name in ("product_uuid", "product_serial")}
    return {
        "system_uuid": dmi["product_uuid"].lower(),
        "serial": dmi["product_serial"],
        "vendor": _first_line("/sys/class/dmi/id/sys_vendor"),
        "product": _first_line("/sys/class/dmi/id/product_name"),
        "architecture": os.uname().machine,
        "cpu_model": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_mib": _memory_mib() // _MEMORY_STEP_MIB * _MEMORY_STEP_MIB,
        "disk_gib": _disk_gib(),
        "gpus": sum(
            _first_line(p).startswith(_GPU_CLASSES) for p in glob.glob("/sys/bus/pci/devices/*/class")
        ),
        "network_mbps": _network_mbps(),
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""


def _memory_mib() -> int:
    words = _first_line("/proc/meminfo").split()
    return int(words[1]) // 1024 if len(words) == 3 and words[0] == "MemTotal:" else 0


def _disk_gib() -> int:
    """All disks that are hardware; where there is none (a container), the root file system."""
    disks = [path for path in glob.glob("/sys/block/*") if os.path.exists(f"{path}/device")]
    size = sum(512 * int(_first_line(f"{disk}/size") or 0) for disk in disks)
    root = os.statvfs("/")
    return (size or root.f_blocks * root.f_frsize) // _GIB


def _network_mbps() -> int:
    """The fastest link that is hardware."""
    speeds = [
        _first_line(f"{path}/speed")
        for path in glob.glob("/sys/class/net/*")
        if os.path.exists(f"{path}/device")
    ]
    return max([int(speed) for speed in speeds if speed.isdigit()], default=0)


def _answer(marks: Marks, request: dict[str, Any]) -> dict[str, Any]:
    do = request.pop("do")
    if do == "measure":
        return measure()
    methods: dict[str, Callable[..., dict[str, Any]]] = {
        "read": marks.read,
        "lock": marks.lock,
        "mark": marks.mark,
        "want": marks.want,
        "free": marks.free,
    }
    return methods[do](**request)


def main() -> None:
    """Serve requests until the end of the input."""
    signal.alarm(_SILENCE_SECONDS)
    marks = Marks(json.loads(sys.stdin.buffer.readline())["folder"])
    print("ocx ready", flush=True)
    for line in sys.stdin.buffer:
        signal.alarm(_SILENCE_SECONDS)
        try:
            answer = _answer(marks, json.loads(line))
        except OSError as error:
            answer = {"error": f"{error.strerror or error}: {error.filename}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
