"""What a resource is: its spec, its class, and the canonical bytes of its document.

A spec is five measured sizes in fixed units; a class is a free name in 32 bytes, so new kinds of resources
need no new contract; the document is the full measured description, of which the chain holds only a hash.

This module makes bytes, never hashes: the hash is the chain's (`chain/`). It reads no files.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TypeAlias

from market.errors import InvalidInput

__all__ = ["Json", "Spec", "canonical_document", "class_id", "class_name", "parse_spec"]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"
"""A value a document may hold: JSON without floats."""

MAX_SIZE = (1 << 32) - 1
"""The largest size a spec may state: it fits every field on chain."""

_MAX_DEPTH = 64
_MAX_EXACT = (1 << 53) - 1
_FIELDS = {
    "cores": ("cores", {"": 1}),
    "memory": ("memory_mib", {"": 1, "mib": 1, "gib": 1024, "tib": 1024**2}),
    "disk": ("disk_gib", {"": 1, "gib": 1, "tib": 1024}),
    "gpus": ("gpus", {"": 1}),
    "network": ("network_mbps", {"": 1, "mbps": 1, "gbps": 1000}),
}
_AMOUNT = re.compile(r"(\d+)\s*([A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spec:
    """Measured size of a resource; in a request, the least that is needed (0: does not matter)."""

    cores: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    gpus: int = 0
    network_mbps: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes the chain could not hold."""
        for field in fields(self):
            size = getattr(self, field.name)
            if not 0 <= size <= MAX_SIZE:
                raise InvalidInput(f"{field.name} of {size} is out of range", hint=f"give 0 to {MAX_SIZE}")

    def covers(self, other: Spec) -> bool:
        """Whether this is at least as large as `other` in every field; equal covers."""
        return all(getattr(self, field.name) >= getattr(other, field.name) for field in fields(self))

    def __str__(self) -> str:
        """The text `parse_spec` reads back, with the unit of every size."""
        return (
            f"cores={self.cores},memory={self.memory_mib}MiB,disk={self.disk_gib}GiB,"
            f"gpus={self.gpus},network={self.network_mbps}Mbps"
        )


def parse_spec(text: str) -> Spec:
    """A spec from text such as `cores=64,memory=1024GiB,disk=480GiB,gpus=8,network=25000`.

    Bare numbers are in the field's own unit (MiB, GiB, Mbit/s); what is not named is 0. Decimal units
    (GB) are refused, because a spec is promised in binary ones.
    """
    sizes: dict[str, int] = {}
    for item in text.split(","):
        name, separator, amount = (part.strip() for part in item.partition("="))
        if not separator or name not in _FIELDS:
            raise InvalidInput(
                f"'{item.strip()}' is not part of a spec",
                hint=f"write it like cores=64,memory=1024GiB; the names are {', '.join(_FIELDS)}",
            )
        field, units = _FIELDS[name]
        if field in sizes:
            raise InvalidInput(f"the spec gives {name} twice", hint="give each name once")
        sizes[field] = _parse_amount(name, amount, units)
    return Spec(**sizes)


def _parse_amount(name: str, amount: str, units: dict[str, int]) -> int:
    match = _AMOUNT.fullmatch(amount)
    unit = match.group(2).lower() if match else ""
    if match is None or len(match.group(1)) > 12 or unit not in units:
        known = ", ".join(unit for unit in units if unit) or "none"
        raise InvalidInput(
            f"'{amount}' is not a size for {name}", hint=f"give a whole number; units: {known}"
        )
    return int(match.group(1)) * units[unit]


def class_id(name: str) -> bytes:
    """The 32 bytes of a class name: UTF-8, padded on the right with zeros, at most 31 bytes of text."""
    raw = _utf8(name, "the class name")
    if not 0 < len(raw) <= 31 or not name.isprintable() or name != name.strip():
        raise InvalidInput(
            f"'{name}' cannot be a class name",
            hint="give 1 to 31 bytes of printable text without spaces around it",
            size=len(raw),
        )
    return raw.ljust(32, b"\0")


def class_name(raw: bytes) -> str:
    """The name behind a class id; InvalidInput if the bytes are not what `class_id` makes."""
    text = raw.rstrip(b"\0")
    try:
        name = text.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("the class id is not UTF-8 text", class_id=raw.hex()) from error
    if class_id(name) != raw:
        raise InvalidInput("the class id is not a padded name of 32 bytes", class_id=raw.hex())
    return name


def canonical_document(document: dict[str, Json]) -> bytes:
    """The one byte string of a document, so that everybody who holds it gets the same hash.

    Keys sorted, no white space, UTF-8: what RFC 8785 gives for JSON without floats. Floats and integers past
    2**53 are refused (two languages would print them differently), as are keys that are not text.
    """
    if not isinstance(document, dict):
        raise InvalidInput("a document must be an object", hint="give a mapping with text keys")
    return _utf8(
        json.dumps(_canonical(document, "document", 0), ensure_ascii=False, separators=(",", ":")),
        "the document",
    )


def _canonical(value: object, where: str, depth: int) -> Json:
    if depth > _MAX_DEPTH:
        raise InvalidInput(f"the document is nested deeper than {_MAX_DEPTH}", hint="is it part of itself?")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return _canonical_int(value, where)
    if isinstance(value, list | tuple):
        return [_canonical(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return _canonical_object(value, where, depth)
    raise InvalidInput(
        f"{where} is of type {type(value).__name__}, which a document cannot hold",
        hint="use whole numbers or text",
    )


def _canonical_int(value: int, where: str) -> int:
    if abs(value) > _MAX_EXACT:
        raise InvalidInput(f"{where} is a number past 2**53", hint="write it as text")
    return int(value)


def _canonical_object(value: dict[object, object], where: str, depth: int) -> dict[str, Json]:
    keys = [key for key in value if isinstance(key, str)]
    if len(keys) != len(value):
        raise InvalidInput(f"{where} has a key that is not text", hint="use text keys")
    keys.sort(key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    return {key: _canonical(value[key], f"{where}.{key}", depth + 1) for key in keys}


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} holds characters that UTF-8 cannot", hint="remove lone surrogates"
        ) from error
