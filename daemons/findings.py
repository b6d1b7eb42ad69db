"""What is missing in an installation, found before it is needed: each finding says what, and what to do.

A finding is either missing (the program cannot do its duty without it) or advice. Everything is only read:
nothing is sent, registered or made. What every program needs is looked at here: its key, its folder, its
network; each adds what is its own.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from chain import connection as connection_file
from chain.connection import ConnectionFile
from chain.rpc import Rpc
from chain.wire import Block
from daemons.secrets import redact
from market.errors import OcxError

__all__ = ["Finding", "Findings", "endpoints", "folder", "guarded", "kept"]

_FULL, _LOW = 64 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: `severity` is `missing` (must be put right) or `advice`."""

    severity: str
    what: str
    todo: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.what}; {self.todo}"


Findings = Iterator[Finding]


def guarded(what: str, look: Callable[[], Findings]) -> list[Finding]:
    """All findings of one part, also if it breaks off, so that one answer names everything."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except OcxError as error:
        todo = (error.hint or f"see to {what}").rstrip(".")
        found.append(Finding("missing", error.message.rstrip("."), todo[:1].lower() + todo[1:]))
    except Exception as error:  # noqa: BLE001  one part's own mistake must not hide the other findings
        told = " ".join(f"{what} cannot be checked: {type(error).__name__}: {error}".split())
        found.append(Finding("missing", told, f"see to {what}; if they are right, report the error"))
    return [Finding(item.severity, redact(item.what), redact(item.todo)) for item in found]


Thing = TypeVar("Thing")


def kept(thing: Callable[[], Thing], into: list[Thing]) -> Findings:
    """Put what is opened here (a key, a connection file) into `into`; what stops it is the finding."""
    into.append(thing())
    yield from ()


def folder(path: Path, holds: str) -> Findings:
    """Whether a state folder can be written, is closed to others (it holds `holds`), and has room."""
    nearest = path
    while not nearest.exists():
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK):
        yield Finding("missing", f"{path} cannot be written", "create it for the program's user")
    elif path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("missing", f"{path} is open to others, and holds {holds}", f"chmod 700 {path}")
    free = shutil.disk_usage(nearest).free
    if free < _LOW:
        severity = "missing" if free < _FULL else "advice"
        yield Finding(severity, f"only {free >> 20} MiB are free for {path}", "make room: 1 GiB or more")


def endpoints(connection: ConnectionFile, newest: list[Block]) -> Findings:
    """Which of the network's endpoints are of use; puts the newest block any of them knows into `newest`."""
    heads: dict[str, Block] = {}
    for url in connection.rpc_urls:
        shown = connection_file.redact(url)
        try:
            one = connection.model_copy(update={"rpc_urls": (url,)})
            heads[shown] = Rpc(one, stale_after=None).verify()
        except OcxError as error:
            yield Finding("advice", f"{shown} is of no use: {error.message}", "correct rpc_urls or that node")
    if not heads:
        yield Finding("missing", "no endpoint of rpc_urls can be used", "start a node, or correct rpc_urls")
        return
    if len(connection.rpc_urls) == 1:
        yield Finding(
            "advice", "there is one endpoint only", "add a second node to rpc_urls: one alone may lag or lie"
        )
    best = max(heads.values(), key=lambda block: block.number)
    for shown, head in heads.items():
        if best.number - head.number > 5:
            behind = f"{shown} is {best.number - head.number} blocks behind another endpoint"
            yield Finding("advice", behind, "see whether that node has peers and room on its disk")
    newest.append(best)
