"""What all wrappers share: reading a view, preparing a call, and turning ABI tuples into dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import Any, ClassVar, TypeVar, get_type_hints

from chain.abi import Abi
from chain.rpc import Rpc
from chain.wire import BlockId
from market.errors import OcxError
from market.specs import Spec
from market.windows import SlotWindow

__all__ = ["Call", "Contract", "bitmap", "spec_tuple", "struct", "window_tuple"]

T = TypeVar("T")
_LABEL = 120
"""Characters of a call's arguments that its label shows at most."""
_NUMBERED = frozenset(("LeaseId", "AwardId", "OfferId", "RequestId", "AuctionId"))
"""Solidity's types of what is numbered on from generation to generation."""
_KINDS: dict[type, tuple[Any, ...]] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction that nobody has sent yet: where to, what, and how people call it."""

    to: str
    data: bytes
    label: str


class Contract:
    """A contract of the exchange at an address, read through the door."""

    NAME: ClassVar[str]

    def __init__(self, address: str, rpc: Rpc, older: Sequence[tuple[int, str]] = ()) -> None:
        """`older`: the same contract of earlier generations, the oldest first, with the last number of each.

        Leases, awards, offers and requests are numbered on from one generation to the next: a call that names
        one goes where it is, every other call to the newest, at `address`.
        """
        self.address = address
        self.abi = Abi.load(self.NAME)
        self._rpc = rpc
        self._older = tuple(older)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of every generation, the oldest first."""
        return (*(address for _, address in self._older), self.address)

    def address_of(self, number: int) -> str:
        """Where the lease, award, offer or request of that number is."""
        return next((address for last, address in self._older if number <= last), self.address)

    def __repr__(self) -> str:
        return f"<{self.NAME} at {self.address}>"

    def _view(self, fn: str, *args: Any, block: BlockId = "latest", sender: str | None = None) -> Any:
        """What a function returns at a block; a revert raises its typed error."""
        data = self._rpc.eth_call(self._place(fn, args), self.abi.encode_call(fn, args), block, sender)
        return self.abi.decode_result(fn, data)

    def _views(self, fn: str, args: Sequence[Any], *, block: BlockId) -> dict[Any, Any]:
        """What a function of one argument returns for each of several, in few messages; refused ones are
        left out."""
        calls = [(self._place(fn, (arg,)), self.abi.encode_call(fn, (arg,))) for arg in args]
        answers = zip(args, self._rpc.eth_calls(calls, block) if calls else [], strict=True)
        return {
            arg: self.abi.decode_result(fn, data) for arg, data in answers if not isinstance(data, OcxError)
        }

    def _call(self, fn: str, *args: Any) -> Call:
        shown = ", ".join(_short(arg) for arg in args)
        if len(shown) > _LABEL:
            shown = f"{shown[: _LABEL - 3]}..."
        return Call(self._place(fn, args), self.abi.encode_call(fn, args), f"{self.NAME}.{fn}({shown})")

    def _place(self, fn: str, args: Sequence[Any]) -> str:
        """Which generation a call goes to."""
        if not self._older:
            return self.address
        numbers = (
            arg
            for item, arg in zip(self.abi.function(fn).inputs, args, strict=True)
            if item.get("internalType") in _NUMBERED
        )
        return next((self.address_of(number) for number in numbers), self.address)

    def _view_for(self, number: int | None, fn: str, *, block: BlockId) -> Any:
        """What a function without arguments returns in that number's generation, or in the newest."""
        place = self.address if number is None else self.address_of(number)
        return self.abi.decode_result(fn, self._rpc.eth_call(place, self.abi.encode_call(fn), block))

    def _numbers(self, count: str) -> list[int]:
        """The numbers of all generations; `count` names the view that says the last one of each."""
        firsts = (1, *(last + 1 for last, _ in self._older))
        ask = self.abi.encode_call(count)
        lasts = [self.abi.decode_result(count, self._rpc.eth_call(at, ask)) for at in self.addresses]
        return [
            number for first, last in zip(firsts, lasts, strict=True) for number in range(first, last + 1)
        ]


def struct(kind: type[T], values: Sequence[Any]) -> T:
    """The dataclass `kind` from a struct's values, which stand in the same order.

    Enums, specs and windows become their classes; everything else is left as the ABI gave it.
    """
    return kind(*(_as(wanted, value) for wanted, value in zip(_kinds(kind), values, strict=True)))


def spec_tuple(spec: Spec) -> tuple[int, ...]:
    """A spec in the order of the Solidity struct."""
    return (spec.cores, spec.memory_mib, spec.disk_gib, spec.gpus, spec.network_mbps)


def window_tuple(window: SlotWindow) -> tuple[int, int]:
    """A window in the order of the Solidity struct."""
    return (window.start_slot, window.end_slot)


def bitmap(places: Sequence[int]) -> int:
    """The bitmap that has the bits of `places` set."""
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits


def _kinds(kind: type[Any]) -> tuple[Any, ...]:
    if kind not in _KINDS:
        hints = get_type_hints(kind)
        _KINDS[kind] = tuple(hints[field.name] for field in fields(kind))
    return _KINDS[kind]


def _as(wanted: Any, value: Any) -> Any:
    if wanted is Spec or wanted is SlotWindow:
        return wanted(*value)
    if isinstance(wanted, type) and issubclass(wanted, IntEnum | IntFlag):
        return wanted(value)
    return value


def _short(arg: Any) -> str:
    if isinstance(arg, bytes):
        text = arg.rstrip(b"\0")
        return text.decode() if 0 < len(text) < 32 and text.isascii() else f"0x{arg.hex()[:8]}.."
    if isinstance(arg, list | tuple):
        return "[" + ", ".join(_short(item) for item in arg) + "]"
    return str(arg)
