"""How geth is told to run one node: its command lines, and what it takes over IPC only.

A node's folder holds its files (`chain.nodes.render`), its key (`chain.nodes.keys`), `data/` with the chain,
and geth's log. All paths on command lines are relative to it, as geth's IPC socket must have a short name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chain.nodes.line import IpcLine
from chain.wire import RpcRefused

__all__ = ["IPC", "init_command", "is_initialised", "is_open", "prepare", "run_command"]

IPC = Path("data", "geth.ipc")
"""Where, in a node's folder, its IPC socket is."""

_COMMON = ("--datadir", "data", "--state.scheme", "hash", "--cache", "128")
"""State by hash, so that each block's can be written at once (geth.toml). MiB of cache must be said here:
geth takes a network it does not know for the public one, and half a gigabyte of disk for each node."""


def is_initialised(folder: Path) -> bool:
    """Whether the folder has a chain already."""
    return (folder / "data" / "geth" / "chaindata" / "CURRENT").exists()


def init_command(engine: Path) -> Sequence[str]:
    """Writes block 0; harmless where it is written already, refused by geth where it is another one."""
    return [str(engine), *_COMMON, "--verbosity", "2", "init", "genesis.json"]


def run_command(engine: Path, address: str) -> Sequence[str]:
    """Runs the node in the foreground, its key open, so that it can be told to make blocks."""
    command = [str(engine), "--config", "geth.toml", *_COMMON, "--verbosity", "3"]
    command += ["--snapshot=false", "--nat", "none"]
    command += ["--nodekey", "nodekey", "--keystore", "keystore", "--ipcpath", str(IPC)]
    command += ["--miner.etherbase", address, "--unlock", address]
    return [*command, "--password", "passphrase", "--allow-insecure-unlock"]


def prepare(folder: Path, timeout: float = 5.0) -> None:
    """Make gas free on a running node; RpcUnreachable while it does not answer yet."""
    with IpcLine(folder / IPC, timeout) as line:
        line.call("miner_setGasPrice", "0x0")


def is_open(line: IpcLine) -> bool:
    """Whether the node's key is open; told to seal before that it fails once and does not try again."""
    [address, *_] = line.call("eth_accounts") or [None]
    try:
        line.call("eth_sign", address, "0x00")
    except RpcRefused:
        return False
    return True
