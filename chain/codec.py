"""Turns logs and revert data into the typed classes of `chain.generated`.

The generated modules hold one class per event and per custom error and nothing else; how such a class is
filled from bytes stands here, once. This module knows no contract and must not speak to a chain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from enum import IntEnum
from typing import Any, ClassVar, Never, Self, dataclass_transform

import eth_abi
from eth_abi.exceptions import DecodingError

from chain.abi import checksum
from chain.words import Decoder, compile_decoder
from market.errors import Permanent, Refused

__all__ = ["ContractError", "Event", "Parameter", "decode_error", "decode_event"]


@dataclass(frozen=True)
class Parameter:
    """One argument of an event or a custom error.

    `name` is the Python field, `abi_type` the ABI type (structs flattened to tuples), `enum` the class of an
    enum argument. Of an indexed argument of dynamic size a log only holds the hash, so its value is 32 bytes.
    """

    name: str
    abi_type: str
    indexed: bool = False
    enum: type[IntEnum] | None = None

    @property
    def coded_type(self) -> str:
        """The ABI type as it stands in the log or the revert data."""
        dynamic = self.abi_type in ("string", "bytes") or self.abi_type[-1] in ")]"
        return "bytes32" if self.indexed and dynamic else self.abi_type

    def convert(self, value: Any) -> Any:
        """A decoded value as the rest of the house wants it: checksummed addresses, enums as members."""
        kind = self.coded_type
        if isinstance(value, tuple) and kind.endswith("]"):
            return tuple(self._convert_one(kind[: kind.index("[")], item) for item in value)
        return self._convert_one(kind, value)

    def _convert_one(self, kind: str, value: Any) -> Any:
        if kind == "address":
            return checksum(value)
        return value if self.enum is None else self.enum(value)


@dataclass_transform(frozen_default=True)
class Event:
    """Base of the generated events, each a frozen dataclass with one field per argument.

    They behave as `dataclasses` would make them, which compiles six functions for each of a hundred classes:
    a fifth of a second whenever a process starts. Here all share one of each.
    `NAME` is the Solidity name, `TOPIC` the 32 bytes a log of it starts with, `CONTRACTS` the contracts that
    emit it and `CONTRACT` the first of them.
    """

    NAME: ClassVar[str]
    TOPIC: ClassVar[bytes]
    CONTRACT: ClassVar[str]
    CONTRACTS: ClassVar[tuple[str, ...]]
    PARAMETERS: ClassVar[tuple[Parameter, ...]]
    _names: ClassVar[tuple[str, ...]]
    _indexed: ClassVar[tuple[Parameter, ...]]
    _plain: ClassVar[tuple[Parameter, ...]]
    _quick: ClassVar[tuple[Decoder | None, Decoder | None]]

    def __init_subclass__(cls) -> None:
        """Sort the parameters once, not at each log."""
        cls._names = tuple(item.name for item in cls.PARAMETERS)
        cls._indexed = tuple(item for item in cls.PARAMETERS if item.indexed)
        cls._plain = tuple(item for item in cls.PARAMETERS if not item.indexed)
        cls._quick = _quick(cls._indexed), _quick(cls._plain)

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self._names
        given = dict(zip(names, values, strict=False)) | named
        if len(values) + len(named) != len(names) or given.keys() != set(names):
            raise TypeError(f"{type(self).__name__} takes {', '.join(names) or 'no values'}")
        vars(self).update((name, given[name]) for name in names)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"
        )

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __setattr__(self, name: str, value: Any) -> Never:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> Never:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @classmethod
    def decode(cls, topics: Sequence[bytes], data: bytes) -> Self:
        """The event behind a log of this kind; raises `Permanent` if the log does not fit the class."""
        values = _decode(cls._indexed, b"".join(topics[1:]), cls.NAME, cls._quick[0])
        values |= _decode(cls._plain, data, cls.NAME, cls._quick[1])
        return cls(**values)


class ContractError(Refused):
    """Base of the generated custom errors: a contract said no, with evidence.

    Each argument is an attribute and also stands in `evidence`. `MESSAGE` and `HINT` come from the NatSpec of
    the error (`@notice` and `@dev`), or the message from its name.
    """

    NAME: ClassVar[str]
    SELECTOR: ClassVar[bytes]
    MESSAGE: ClassVar[str]
    HINT: ClassVar[str | None]
    PARAMETERS: ClassVar[tuple[Parameter, ...]]

    def __init__(self, **evidence: object) -> None:
        facts = ", ".join(f"{name.strip('_')} {_readable(value)}" for name, value in evidence.items())
        message = self.MESSAGE.rstrip(".")
        super().__init__(f"{message} ({facts})" if facts else message, hint=self.HINT, **evidence)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The error behind revert data without its selector; raises `Permanent` if they do not fit."""
        return cls(**_decode(cls.PARAMETERS, data, cls.NAME))


def decode_event(registry: Mapping[bytes, type[Event]], topics: Sequence[bytes], data: bytes) -> Event | None:
    """The event behind a log, or None if no class of `registry` has its first topic."""
    kind = registry.get(bytes(topics[0])) if topics else None
    return None if kind is None else kind.decode(topics, data)


def decode_error(registry: Mapping[bytes, type[ContractError]], data: bytes) -> ContractError | None:
    """The error behind revert data, or None if no class of `registry` has their selector."""
    kind = registry.get(data[:4])
    return None if kind is None else kind.decode(data[4:])


def _quick(parameters: Sequence[Parameter]) -> Decoder | None:
    return compile_decoder([{"type": item.coded_type} for item in parameters])


def _decode(
    parameters: Sequence[Parameter], data: bytes, what: str, quick: Decoder | None = None
) -> dict[str, Any]:
    try:
        values = quick(data) if quick is not None else None
        if values is None:
            values = eth_abi.decode([item.coded_type for item in parameters], data)
        return {item.name: item.convert(value) for item, value in zip(parameters, values, strict=True)}
    except (DecodingError, ValueError) as error:
        raise Permanent(
            f"the data of {what} cannot be decoded: {error}",
            hint="The contract may be of another version than this ocx",
            data=data,
        ) from error


def _readable(value: object) -> str:
    """Evidence for people: names packed in bytes32 as text, other bytes as hex, enum members by name."""
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        if len(value) == 32 and re.fullmatch(rb"[ -~]+", text):
            return repr(text.decode("ascii"))
        return "0x" + value.hex()
    return str(value)
