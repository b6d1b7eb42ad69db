"""The organisation's encryption keys: the one that is published, the one that comes next, and those before.

Connection data stay sealed to the key that was published when they were delivered, so a key that was replaced
is kept as long as such a lease may be looked at. This module must not speak to a chain.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from market.errors import InvalidInput, Refused

__all__ = ["next_file", "open_sealed", "promote", "ring"]


def next_file(path: Path) -> Path:
    """Where the key that comes after the one at `path` lies until it is published."""
    return path.with_name(f"{path.name}.next")


def ring(path: Path) -> list[Path]:
    """Every key file there is, in the order in which to try them: current, next, older ones newest first."""
    older = [file for file in path.parent.glob(f"{path.stem}.*{path.suffix}") if file != path]
    older.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    return [file for file in (path, next_file(path)) if file.exists()] + older


def promote(path: Path) -> Path | None:
    """The next key becomes the current one; where the one before is kept, None if there was none.

    May be repeated after a crash in the middle: no key is ever overwritten.
    """
    from cli.keys import public_half

    fresh, kept = next_file(path), None
    if not fresh.exists():
        raise InvalidInput(
            f"there is no next key {fresh}", hint="begin again: ocx member rotate-encryption-key"
        )
    if path.exists():
        kept = path.with_name(f"{path.stem}.{public_half(path).hex()[:16]}{path.suffix}")
        os.replace(path, kept)
    os.replace(fresh, path)
    return kept


def open_sealed(path: Path, passphrase: Callable[[], str], sealed: bytes) -> bytes:
    """What a sealed box holds, by whichever key of the ring it was sealed to.

    The passphrase is asked for once and tried on each file. Refused if none opens it, InvalidInput if there
    is no key at all or one is damaged.
    """
    from chain.sealed import BoxKey

    files = ring(path) or [path]
    known: list[str] = []

    def once() -> str:
        if not known:
            known.append(passphrase())
        return known[0]

    refusals: list[Refused] = []
    for file in files:
        try:
            return BoxKey.load(file, once).open(sealed)
        except Refused as error:
            refusals.append(error)
    locked = [file.name for file, error in zip(files, refusals, strict=True) if "passphrase" in error.message]
    if len(files) == 1:
        raise refusals[0]
    why = f"; the passphrase is wrong for {', '.join(locked)}" if locked else ""
    raise Refused(
        f"none of the {len(files)} encryption keys in {path.parent} opens the sealed data{why}",
        hint="they were sealed to another key, or changed on the way; name its file with --key",
    )
