"""Whether a machine is, at hand-over, what the chain says it is; and if not, in which fields.

The chain holds the hash of the document a machine was registered with, and its size. The documents behind the
hashes are kept here as they are measured, so that a difference can be named. This module sends nothing and
changes no cloud.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from chain.contracts.inventory import Resource
from market.errors import Permanent
from market.specs import canonical_document
from provisioner.catalogue import document_hash
from provisioner.plugin import Inspected
from provisioner.store.store import Store

__all__ = ["Documents", "changes", "must_be_as_registered"]

_TABLE = "CREATE TABLE IF NOT EXISTS document (hash BLOB PRIMARY KEY, content BLOB NOT NULL)"
_MOST = 5
"""So many differences are told; the rest is counted."""
_MISSING = object()


class Documents:
    """Every document that was ever measured, by its hash, in the agent's store. For several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: set[bytes] = set()
        store.db.execute(_TABLE)

    def keep(self, found: Inspected) -> None:
        """Remember what was measured."""
        hash_ = document_hash(found)
        if hash_ not in self._kept:
            row = (hash_, canonical_document(found.document))
            self._store.db.execute("INSERT OR IGNORE INTO document VALUES (?, ?)", row)
            self._kept.add(hash_)

    def get(self, hash_: bytes) -> dict[str, Any] | None:
        """The document with this hash; None if it was never measured here."""
        row = self._store.db.execute("SELECT content FROM document WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))


def must_be_as_registered(found: Inspected, resource: int, known: Resource, documents: Documents) -> None:
    """Raise `Permanent`, naming what changed, unless the machine is what the chain has registered."""
    if document_hash(found) == known.document_hash and found.spec == known.spec:
        return
    told = changes({f"spec.{k}": v for k, v in asdict(known.spec).items()}, _spec(found))
    before = documents.get(known.document_hash)
    if before is not None:
        told += changes(before, found.document)
    elif document_hash(found) != known.document_hash:
        told.append("its description (the one that was registered is not known here)")
    shown = ", ".join(told[:_MOST]) + (f" and {len(told) - _MOST} more" if len(told) > _MOST else "")
    raise Permanent(
        f"{found.name} (node {resource}) is not what was registered: {shown or 'its description differs'}",
        hint="It is not handed over. Look at it; if it is right as it is: ocx node register, then "
        "ocx provider retry.",
        resource=resource,
        changes=told,
    )


def _spec(found: Inspected) -> dict[str, Any]:
    return {f"spec.{name}": value for name, value in asdict(found.spec).items()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Which fields differ, in words, sorted: `firmware.bios_version 1.2 -> 1.3`."""
    old, new = dict(_leaves(before, "")), dict(_leaves(now, ""))
    names = sorted(
        name for name in old.keys() | new.keys() if old.get(name, _MISSING) != new.get(name, _MISSING)
    )
    return [f"{name} {_word(old.get(name, _MISSING))} -> {_word(new.get(name, _MISSING))}" for name in names]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value


def _word(value: Any) -> str:
    if value is _MISSING:
        return "(absent)"
    return "(unknown)" if value is None else str(value)[:60]
