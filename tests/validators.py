"""Starts the one network of validators that `pytest --engine clique` plays on, and ends it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from chain.nodes import layout, local

__all__ = ["FOLDER", "start", "stop"]

FOLDER = "OCX_TEST_VALIDATORS"
"""The variable that names its folder to every process of the run."""


def start(folder: Path) -> None:
    """Start it; it lives no longer than this process."""
    layout.found(folder, 4, spaces=False, now=int(time.time()))
    local.start(folder, while_pid=os.getpid())
    local.wait_until(folder, lambda found: bool(found.good and found.height), what="up")
    os.environ[FOLDER] = str(folder)


def stop() -> None:
    """End it, if this process started it, and leave nothing of it."""
    if (folder := os.environ.pop(FOLDER, None)) is not None:
        local.stop(Path(folder))
        shutil.rmtree(folder, ignore_errors=True)
