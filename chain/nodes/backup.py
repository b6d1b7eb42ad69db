"""A back-up of one node in one file, and the way back.

In it are the node's key, encrypted with a passphrase (keystore version 3, scrypt), network.yaml, and
connection.yaml if there is one. The chain need not be in it, as the others have it; with it a node is level
sooner. Who has no passphrase learns from it what network.yaml says. This module must not start or stop nodes.

A validator that was restored beside its still running original would sign twice at one height. So it gets a
mark, `consensus.sealing.RESTORED`, and begins to seal only once the chain has shown its key to be idle.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from chain.nodes import geth, keys, layout, render
from chain.nodes.consensus.sealing import RESTORED
from chain.nodes.description import NetworkDescription, Node, load, parse
from chain.wallet import write_private
from market.errors import InvalidInput, Refused

__all__ = ["Backup", "back_up", "read", "restore"]

_FACTS, _KEY, _NETWORK, _CONNECTION = "backup.json", "key.json", "network.yaml", "connection.yaml"
_CHAIN = PurePosixPath("data/geth")
_NOT = ("LOCK", "nodekey", "transactions.rlp", "nodes")
"""Of geth's own folder: what belongs to a run and not to the chain."""
_LARGEST = 8 << 20
_STRONG, _LIGHT = 1 << 18, 1 << 12
"""Rounds of scrypt."""


@dataclass(frozen=True)
class Backup:
    """What a back-up file says it holds; `created` is unix seconds."""

    network: str
    chain_id: int
    node: str
    address: str
    created: int
    with_chain: bool


def back_up(
    folder: Path,
    node: Node,
    out: Path,
    passphrase: str,
    *,
    now: int,
    with_chain: bool,
    light: bool = False,
) -> Backup:
    """Write the back-up of a node of a folder; whole or not at all, for its owner alone.

    Refused if `with_chain` and the node runs, as its files would not fit together. `light` makes guessing the
    passphrase about 64 times cheaper: for tests only.
    """
    if out.exists():
        raise InvalidInput(f"{out} exists already", hint="choose another --out")
    if not passphrase:
        raise InvalidInput("the passphrase is empty", hint="choose one: it is all that protects the key")
    home = layout.node_folder(folder, node)
    secret = keys.private(home)
    if keys.at(home).address != node.address:
        raise InvalidInput(f"the key in {home} is not that of node {node.name}")
    description = load(layout.description_path(folder))
    facts = Backup(description.network, description.chain_id, node.name, node.address, now, with_chain)
    rounds = _LIGHT if light else _STRONG
    texts = {
        _FACTS: json.dumps({"version": 1, **facts.__dict__}, indent=2, sort_keys=True),
        _KEY: json.dumps(create_keyfile_json(secret, passphrase.encode(), kdf="scrypt", iterations=rounds)),
        _NETWORK: layout.description_path(folder).read_text("utf-8"),
    }
    if (connection := folder / _CONNECTION).exists():
        texts[_CONNECTION] = connection.read_text("utf-8")
    part = out.with_name(out.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=3) as archive:
                for name, text in texts.items():
                    _add(archive, name, text.encode(), now)
                if with_chain:
                    _add_chain(archive, home, node.name)
            raw.flush()
            os.fsync(raw.fileno())
        part.rename(out)
    finally:
        part.unlink(missing_ok=True)
    return facts


def _add(archive: tarfile.TarFile, name: str, data: bytes, now: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), now, 0o600
    archive.addfile(entry, io.BytesIO(data))


def _add_chain(archive: tarfile.TarFile, home: Path, name: str) -> None:
    if not geth.is_initialised(home):
        raise Refused(f"node {name} has no chain yet", hint="leave --with-chain out")
    with _idle(home, name):
        for path in sorted((home / _CHAIN).rglob("*")):
            inside = path.relative_to(home)
            if path.is_file() and inside.parts[len(_CHAIN.parts)] not in _NOT and path.name != "LOCK":
                archive.add(path, str(inside), recursive=False)


@contextmanager
def _idle(home: Path, name: str) -> Iterator[None]:
    """Hold the lock geth holds while it runs."""
    with (home / _CHAIN / "LOCK").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"node {name} runs, so its files do not fit together",
                hint=f"stop it (ocx network stop {name}), or leave --with-chain out",
            ) from None
        yield


def read(file: Path) -> Backup:
    """What a back-up file says of itself; InvalidInput if it is none."""
    return _read(file)[0]


def _read(file: Path) -> tuple[Backup, Mapping[str, str]]:
    texts: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for entry in archive:
                if entry.name.startswith("data/"):
                    break
                content = archive.extractfile(entry)
                if content is None or entry.size > _LARGEST or entry.name not in _KNOWN:
                    raise InvalidInput(f"{file} is no back-up of a node: it holds {entry.name!r}")
                texts[entry.name] = content.read().decode()
        facts = json.loads(texts[_FACTS])
        if facts.pop("version") != 1:
            raise InvalidInput(f"{file} is of a version this program does not know")
        return Backup(**facts), texts
    except FileNotFoundError:
        raise InvalidInput(f"there is no {file}") from None
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{file} is no back-up of a node, or damaged: {error}") from error


_KNOWN = (_FACTS, _KEY, _NETWORK, _CONNECTION)


def restore(file: Path, folder: Path, passphrase: Callable[[], str]) -> Backup:
    """Put the node of a back-up into a folder; cut short, the same call goes on.

    Refused if the passphrase is wrong or the node is there already, InvalidInput if the folder is another
    network's.
    """
    facts, texts = _read(file)
    description = _description(file, facts, texts)
    node = description.node(facts.node)
    there = layout.description_path(folder)
    if there.exists():
        node = _same_network(load(there), description, node)
    home = layout.node_folder(folder, node)
    if (home / "nodekey").exists():
        raise Refused(
            f"{home} has a node already", hint="restore into another --dir, or move that folder away first"
        )
    if home.exists() and not (home / RESTORED).exists():
        raise Refused(f"{home} holds something, but no node's key", hint="move that folder away first")
    secret = _open(texts[_KEY], passphrase())
    if keys.public(secret).address != node.address:
        raise InvalidInput(f"{file} holds another key than that of {node.name}")
    write_private(home / RESTORED, f"from a back-up of {facts.created}\n", replace=True)
    for stale in (home / "data", home / "keystore"):
        shutil.rmtree(stale, ignore_errors=True)
    (home / "passphrase").unlink(missing_ok=True)
    if facts.with_chain:
        _extract_chain(file, home)
    for name, path in ((_NETWORK, there), (_CONNECTION, folder / _CONNECTION)):
        if name in texts and not path.exists():
            write_private(path, texts[name])
    keys.put(home, secret)
    return facts


def _description(file: Path, facts: Backup, texts: Mapping[str, str]) -> NetworkDescription:
    import yaml

    found = parse(yaml.safe_load(texts[_NETWORK]), f"network.yaml in {file}")
    if found.node(facts.node).address != facts.address:
        raise InvalidInput(f"{file} is damaged: its network.yaml names another key for {facts.node}")
    return found


def _same_network(there: NetworkDescription, ours: NetworkDescription, node: Node) -> Node:
    if render.block_0(there) != render.block_0(ours):
        raise InvalidInput(
            f"that folder is of another network, {there.network}; the back-up is of {ours.network}",
            hint="choose another --dir",
        )
    for each in there.nodes:
        if each.address == node.address:
            return each
    raise Refused(
        f"network.yaml there does not know {node.name}, whose key the back-up holds",
        hint="restore into an empty --dir, or have the node admitted first",
    )


def _open(text: str, passphrase: str) -> bytes:
    try:
        return bytes(decode_keyfile_json(json.loads(text), passphrase.encode()))
    except ValueError as error:
        if "MAC" in str(error):
            raise Refused("wrong passphrase for this back-up", hint="try again") from None
        raise InvalidInput("the key in this back-up is damaged") from error
    except (KeyError, TypeError, NotImplementedError) as error:
        raise InvalidInput("the key in this back-up is damaged") from error


def _extract_chain(file: Path, home: Path) -> None:
    """Only plain files below `data/geth` are taken, whatever else an archive may hold."""
    try:
        with tarfile.open(file, "r:gz") as archive:
            for entry in archive:
                inside = PurePosixPath(entry.name)
                if entry.name in _KNOWN:
                    continue
                if not entry.isreg() or not inside.is_relative_to(_CHAIN) or ".." in inside.parts:
                    raise InvalidInput(f"{file} is no back-up of a node: it holds {entry.name!r}")
                target = home / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(entry)
                if content is not None:
                    with target.open("wb") as copy:
                        shutil.copyfileobj(content, copy)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InvalidInput(f"{file} cannot be read to its end: {error}") from error
