"""What runs in a folder, and waiting for it to be otherwise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path


def alive_in(folder: Path) -> dict[int, str]:
    """Process ids and command lines of what works in a folder or names it; zombies are dead."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                inside = (entry / "cwd").resolve().is_relative_to(folder)
                if words and (inside or f"{folder} " in words):
                    found[int(entry.name)] = words
    return found


def wait_for(wanted: Callable[[], object], what: str, timeout: float = 60) -> None:
    """Poll until it is so; a failure says what was waited for."""
    deadline = time.monotonic() + timeout
    while not wanted():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
