"""A network of local nodes: start it, ask it, stop it. Its processes are `chain.nodes.keeper`'s."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chain.nodes import layout, line
from chain.nodes.description import NetworkDescription, load
from chain.nodes.engine import find_engine
from chain.nodes.status import NetworkStatus, look
from chain.wire import RpcUnreachable
from market.errors import InvalidInput, Temporary

__all__ = ["ask_keeper", "is_kept", "start", "status", "stop", "wait_until"]

_WAIT = 60.0


def start(folder: Path, *, while_pid: int | None = None) -> NetworkDescription:
    """Start every node of a founded folder that does not run; harmless if all do.

    With `while_pid` the nodes live no longer than that process. InvalidInput says what hinders it.
    """
    description = layout.write_files(folder)
    if is_kept(folder):
        ask_keeper(folder, "start")
        return description
    find_engine()
    command = [sys.executable, "-m", "chain.nodes.keeper", str(folder)]
    command += [] if while_pid is None else ["--while-pid", str(while_pid)]
    log = folder / "keeper.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + _WAIT
    while not is_kept(folder):
        if keeper.poll() is not None or time.monotonic() > deadline:
            said = log.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise InvalidInput(f"the nodes cannot be started: {said[-1]}", hint=f"all of it is in {log}")
        time.sleep(0.05)
    return description


def is_kept(folder: Path) -> bool:
    """Whether a keeper answers for the folder."""
    try:
        ask_keeper(folder, "status")
    except RpcUnreachable:
        return False
    return True


def ask_keeper(folder: Path, do: str, nodes: Sequence[str] | None = None) -> dict[str, Any]:
    """What the keeper says of each node after doing `start`, `stop`, `kill` or nothing (`status`).

    `nodes` None means all. RpcUnreachable if there is no keeper.
    """
    message = {"do": do} if nodes is None else {"do": do, "nodes": list(nodes)}
    answer = line.request(layout.keeper_socket(folder), message, _WAIT)
    if "error" in answer:
        raise InvalidInput(answer["error"])
    found: dict[str, Any] = answer["nodes"]
    return found


def stop(folder: Path) -> bool:
    """End every node and the keeper; False if nothing ran."""
    try:
        line.request(layout.keeper_socket(folder), {"do": "end"}, _WAIT)
    except RpcUnreachable:
        return False
    deadline = time.monotonic() + _WAIT
    while _is_locked(folder):
        if time.monotonic() > deadline:
            raise Temporary(
                "the keeper does not end", hint="look at it: its log is keeper.log", retry_after=1
            )
        time.sleep(0.02)
    return True


def _is_locked(folder: Path) -> bool:
    """Whether a keeper lives, even if it hears no more."""
    with (folder / "keeper.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def status(folder: Path) -> NetworkStatus:
    """How the network is, seen from every node here."""
    description = load(layout.description_path(folder))
    try:
        kept = ask_keeper(folder, "status")
    except RpcUnreachable:
        kept = {}
    homes = {node.name: layout.node_folder(folder, node) for node in description.nodes}
    here = {name: home for name, home in homes.items() if home.is_dir()}
    states = {name: str(each["state"]) for name, each in kept.items()}
    notes = {name: str(each.get("note", "")) for name, each in kept.items()}
    return look(description, here, states, notes=notes)


def wait_until(
    folder: Path, wanted: Callable[[NetworkStatus], bool], *, timeout: float = _WAIT, what: str = "ready"
) -> NetworkStatus:
    """The first status that is as wanted; Temporary after `timeout` seconds says how it was instead."""
    deadline = time.monotonic() + timeout
    while True:
        found = status(folder)
        if wanted(found):
            return found
        if time.monotonic() > deadline:
            raise Temporary(
                f"the network is not {what} after {timeout:.0f} s: {found.summary}", retry_after=1
            )
        time.sleep(0.2)
