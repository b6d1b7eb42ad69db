"""Encoding and decoding of contract calls, results, events and reverts.

It exists because web3's contract objects look every signature up again at each call; here selectors and
types are worked out once per contract. It must not speak to a chain and must not know any OCX contract.

Conventions: addresses are checksummed strings, `bytesN` are `bytes`, numbers are `int`. A struct may be
given as a tuple or as a mapping by component name, and comes back as a tuple or, from the `_named`
functions, as a dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

from chain.data import data_path
from chain.words import Decoder, compile_decoder
from market.errors import Bug, InvalidInput, Refused

__all__ = ["ZERO_ADDRESS", "Abi", "Function", "LoggedEvent", "Reverted", "checksum", "decode_revert"]

ZERO_ADDRESS = "0x" + "00" * 20

_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_PANICS = {
    0x01: "an assertion failed",
    0x11: "arithmetic over- or underflow",
    0x12: "division by zero",
    0x21: "bad enum value",
    0x32: "index out of bounds",
    0x41: "too much memory",
}


class Reverted(Refused):
    """A contract reverted with something no generated error class covers.

    Evidence: `data` (bytes, the revert data) and, where known, `reason`.
    """


@lru_cache(maxsize=65536)
def checksum(address: str) -> str:
    """The checksummed form of `address`; InvalidInput if it is none or its own checksum is wrong."""
    if not is_address(address) or not address.startswith("0x"):
        raise InvalidInput(f"{address!r} is not an address", hint="Give 0x and 40 hexadecimal digits.")
    right = str(to_checksum_address(address))
    mixed = address[2:] not in (address[2:].lower(), address[2:].upper())
    if mixed and address != right:
        raise InvalidInput(f"the address {address!r} has a wrong checksum", hint="Is a digit mistyped?")
    return right


@dataclass(frozen=True)
class Function:
    """One function of a contract, with everything that can be worked out beforehand."""

    name: str
    signature: str
    selector: bytes
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    input_types: tuple[str, ...]
    output_types: tuple[str, ...]
    decoder: Decoder | None = None
    """Of outputs that are words only; None where they are not."""


@dataclass(frozen=True)
class LoggedEvent:
    """An event decoded by the ABI alone: its name and its arguments by name."""

    name: str
    args: dict[str, Any]


@dataclass(frozen=True)
class _Event:
    name: str
    inputs: tuple[Mapping[str, Any], ...]


class Abi:
    """The interface of one contract: calls, results, events and deployment code."""

    def __init__(self, name: str, entries: Sequence[Mapping[str, Any]], bytecode: bytes = b"") -> None:
        self.name = name
        self.bytecode = bytecode
        self._functions: dict[str, Function] = {}
        self._events: dict[bytes, _Event] = {}
        self._topics: dict[str, bytes] = {}
        self._constructor: tuple[Mapping[str, Any], ...] = ()
        for entry in entries:
            self._add(entry)

    @classmethod
    def load(cls, name: str) -> Abi:
        """The contract `name` from the shipped artifacts; cached. InvalidInput if there is none."""
        return _load(name)

    @classmethod
    def from_artifact(cls, artifact: Mapping[str, Any]) -> Abi:
        """From a parsed artifact file with `abi` and `bytecode`."""
        code = str(artifact.get("bytecode", ""))
        name = str(artifact.get("contractName", "contract"))
        return cls(name, artifact["abi"], bytes.fromhex(code.removeprefix("0x")))

    def function(self, name: str) -> Function:
        """The function called `name`, or of signature `name` where it is overloaded."""
        try:
            return self._functions[name]
        except KeyError:
            raise Bug(f"{self.name} has no function {name!r}, or several of that name") from None

    def encode_call(self, fn: str, args: Sequence[Any] = ()) -> bytes:
        """Call data of `fn(*args)`; InvalidInput when a value does not fit its type."""
        function = self.function(fn)
        return function.selector + self._encode(function.inputs, function.input_types, args, fn)

    def decode_call(self, data: bytes) -> tuple[str, dict[str, Any]] | None:
        """The function behind call data and its arguments by name; None if it is none of this contract."""
        function = next((f for f in self._functions.values() if f.selector == data[:4]), None)
        if function is None:
            return None
        values = _decode(function.input_types, data[4:], f"{self.name}.{function.name}")
        return function.name, _name_values(function.inputs, values)

    def decode_result(self, fn: str, data: bytes) -> Any:
        """What `fn` returned: None, the value, or a tuple of several."""
        values = self._decode_outputs(fn, data)
        if not values:
            return None
        return values[0] if len(values) == 1 else values

    def decode_result_named(self, fn: str, data: bytes) -> dict[str, Any]:
        """What `fn` returned, by name; structs become dictionaries. A single struct is returned itself."""
        function = self.function(fn)
        named = _name_values(function.outputs, self._decode_outputs(fn, data))
        if len(named) == 1:
            only = next(iter(named.values()))
            if isinstance(only, dict):
                return only
        return named

    def encode_deploy(self, args: Sequence[Any] = ()) -> bytes:
        """Deployment code with the constructor's arguments; Bug if the artifact has no bytecode."""
        if not self.bytecode:
            raise Bug(f"the artifact of {self.name} holds no bytecode")
        types = tuple(_type_of(item) for item in self._constructor)
        return self.bytecode + self._encode(self._constructor, types, args, "constructor")

    def event_topic(self, name: str) -> bytes:
        """The first topic (32 bytes) of the event called `name`."""
        try:
            return self._topics[name]
        except KeyError:
            raise Bug(f"{self.name} has no event {name!r}") from None

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> LoggedEvent | None:
        """The event behind a log, or None if it is not one of this contract."""
        event = self._events.get(topics[0]) if topics else None
        if event is None:
            return None
        indexed = [item for item in event.inputs if item["indexed"]]
        plain = [item for item in event.inputs if not item["indexed"]]
        values = {
            item["name"]: _topic_value(item, topic) for item, topic in zip(indexed, topics[1:], strict=True)
        }
        decoded = _decode(tuple(_type_of(item) for item in plain), data, event.name)
        values |= _name_values(plain, decoded)
        return LoggedEvent(event.name, {item["name"]: values[item["name"]] for item in event.inputs})

    def _add(self, entry: Mapping[str, Any]) -> None:
        kind = entry["type"]
        if kind == "function":
            self._add_function(entry)
        elif kind == "event":
            topic = keccak(text=_signature(entry))
            self._events[topic] = _Event(entry["name"], tuple(entry["inputs"]))
            self._topics[entry["name"]] = topic
        elif kind == "constructor":
            self._constructor = tuple(entry["inputs"])

    def _add_function(self, entry: Mapping[str, Any]) -> None:
        inputs, outputs = tuple(entry["inputs"]), tuple(entry["outputs"])
        signature = _signature(entry)
        function = Function(
            name=entry["name"],
            signature=signature,
            selector=keccak(text=signature)[:4],
            inputs=inputs,
            outputs=outputs,
            input_types=tuple(_type_of(item) for item in inputs),
            output_types=tuple(_type_of(item) for item in outputs),
            decoder=compile_decoder(outputs),
        )
        overloaded = any(f.name == function.name for f in self._functions.values())
        if overloaded:
            self._functions.pop(function.name, None)
        else:
            self._functions[function.name] = function
        self._functions[signature] = function

    def _encode(
        self, inputs: Sequence[Mapping[str, Any]], types: tuple[str, ...], args: Sequence[Any], what: str
    ) -> bytes:
        if len(args) != len(inputs):
            raise Bug(f"{self.name}.{what} takes {len(inputs)} arguments, {len(args)} were given")
        values = [_plain(item, value) for item, value in zip(inputs, args, strict=True)]
        try:
            return abi_encode(types, values)
        except (EncodingError, OverflowError) as error:
            raise InvalidInput(f"an argument of {self.name}.{what} does not fit: {error}") from error

    def _decode_outputs(self, fn: str, data: bytes) -> tuple[Any, ...]:
        function = self.function(fn)
        if function.outputs and not data:
            raise Refused(
                f"{self.name}.{fn} returned nothing; there is no such contract at that address",
                hint="Check that the connection file belongs to this network.",
            )
        values = function.decoder(data) if function.decoder else None
        if values is not None:
            return values
        decoded = _decode(function.output_types, data, f"{self.name}.{fn}")
        return tuple(_pretty(item, value) for item, value in zip(function.outputs, decoded, strict=True))


@lru_cache(maxsize=64)
def _load(name: str) -> Abi:
    path = data_path("artifacts") / f"{name}.json"
    try:
        return Abi.from_artifact(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise InvalidInput(f"there is no contract {name!r} among the artifacts") from None


def decode_revert(data: bytes, message: str = "") -> Refused:
    """The typed error behind revert data; a generic `Reverted` when nobody knows it.

    `message` is what the node said, used only where the data say nothing.
    """
    if data[:4] == _ERROR_STRING and len(data) > 4:
        reason = str(_decode(("string",), data[4:], "Error")[0])
        return Reverted(f"the contract refused: {reason}", reason=reason, data=data)
    if data[:4] == _PANIC and len(data) >= 36:
        code = int.from_bytes(data[4:36], "big")
        reason = _PANICS.get(code, "unknown panic")
        return Reverted(
            f"the contract panicked: {reason} (0x{code:02x})", reason=reason, code=code, data=data
        )
    if not data:
        return Reverted(f"the contract reverted without a reason ({message or 'no data'})", data=data)
    return _generated_error(data) or Reverted(
        f"the contract reverted with an unknown error 0x{data[:4].hex()}",
        hint="The contracts may be newer than this version of ocx.",
        selector=data[:4],
        data=data,
    )


def _generated_error(data: bytes) -> Refused | None:
    """The class made from our contracts' ABI, or None where it is unknown or not generated yet."""
    try:
        from chain.generated import errors
    except ImportError:
        return None
    decoded: object = errors.decode_error(data)
    return decoded if isinstance(decoded, Refused) else None


def _type_of(item: Mapping[str, Any]) -> str:
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(_type_of(part) for part in item["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(_type_of(item) for item in entry['inputs'])})"


def _plain(item: Mapping[str, Any], value: Any) -> Any:
    """Structs given as mappings become tuples in the ABI's order; everything else is left alone."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return value
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [_plain(inner, element) for element in value]
    parts = item["components"]
    if isinstance(value, Mapping):
        missing = [part["name"] for part in parts if part["name"] not in value]
        if missing:
            raise Bug(f"the struct lacks {', '.join(missing)}")
        return tuple(_plain(part, value[part["name"]]) for part in parts)
    return tuple(_plain(part, element) for part, element in zip(parts, value, strict=True))


def _decode(types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
    try:
        return abi_decode(types, data)
    except DecodingError as error:
        raise Refused(
            f"the answer of {what} cannot be decoded: {error}",
            hint="The contract may be of another version than this ocx.",
        ) from error


def _pretty(item: Mapping[str, Any], value: Any) -> Any:
    """Addresses checksummed, at every depth; arrays stay tuples."""
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return tuple(_pretty(inner, element) for element in value)
    if kind == "address":
        return checksum(value)
    if kind == "tuple":
        return tuple(_pretty(part, v) for part, v in zip(item["components"], value, strict=True))
    return value


def _name_values(items: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    pairs = zip(items, values, strict=True)
    return {item["name"] or str(i): _named(item, value) for i, (item, value) in enumerate(pairs)}


def _named(item: Mapping[str, Any], value: Any) -> Any:
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return tuple(_named(inner, element) for element in value)
    if kind == "tuple":
        return _name_values(item["components"], value)
    return checksum(value) if kind == "address" else value


def _topic_value(item: Mapping[str, Any], topic: bytes) -> Any:
    """An indexed argument; of a dynamic one only the hash is in the log."""
    kind = str(item["type"])
    if kind in ("string", "bytes") or kind.endswith("]") or kind == "tuple":
        return topic
    return _named(item, _decode((kind,), topic, item["name"])[0])
