"""Restricted offers: what a seller signs and hands out, so that some organisations may rent from it (P4).

A member signs `Order` as EIP-712 typed data. The type string, exactly:

    Order(uint32 seller,uint32 within,uint32 start,uint32 end,uint64 rate,uint32 minSlots,uint32 sla,
    uint8 traits,uint32[] resources,uint64 nonce,uint40 expires)

in one line, under the domain `name "OCX", version "1", chainId, verifyingContract`, where the contract is
`Orders`. A file of an order is JSON: these fields, the network's `chainId`, the contract's address, and the
signature. It is no secret that opens anything, but who has it and is within `within` can fill it.

This module must not speak to a chain: whether the signer may, and whether it was cancelled, the caller knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chain import typed_data
from chain.abi import checksum
from chain.wallet import Wallet
from market.errors import InvalidInput, Refused
from market.windows import SlotWindow

__all__ = ["Order", "SignedOrder", "digest", "recover", "sign"]

_FIELDS = (
    ("seller", "uint32"),
    ("within", "uint32"),
    ("start", "uint32"),
    ("end", "uint32"),
    ("rate", "uint64"),
    ("minSlots", "uint32"),
    ("sla", "uint32"),
    ("traits", "uint8"),
    ("resources", "uint32[]"),
    ("nonce", "uint64"),
    ("expires", "uint40"),
)
_TYPES = {"Order": [{"name": name, "type": kind} for name, kind in _FIELDS]}
_MOST = 64


@dataclass(frozen=True, slots=True)
class Order:
    """IOrders.Order; `start` and `end` are slots, `rate` microcredits per resource and hour.

    Organisations at or below `within` may rent pieces of at least `min_slots` until `expires` (unix seconds).
    """

    seller: int
    within: int
    start: int
    end: int
    rate: int
    min_slots: int
    sla: int
    traits: int
    resources: tuple[int, ...]
    nonce: int
    expires: int

    def __post_init__(self) -> None:
        """Refuse what no contract could read, or would ever fill."""
        for (name, kind), value in zip(_FIELDS, self.as_tuple(), strict=True):
            values = value if name == "resources" else (value,)
            bits = int(kind.removeprefix("uint").removesuffix("[]"))
            if not all(type(item) is int and 0 <= item < 1 << bits for item in values):
                raise InvalidInput(f"the {name} of an order is a whole number below 2^{bits}")
        if not self.seller or not self.within or not self.rate or self.start >= self.end:
            raise InvalidInput("an order has a seller, an organisation it is for, a rate and a window")
        if not 0 < len(self.resources) <= _MOST or list(self.resources) != sorted(set(self.resources)):
            raise InvalidInput(f"an order names 1 to {_MOST} resources, each once, in increasing order")

    @property
    def window(self) -> SlotWindow:
        """The whole of what is for rent."""
        return SlotWindow(self.start, self.end)

    def as_tuple(self) -> tuple[Any, ...]:
        """In the order of the Solidity struct."""
        head = (self.seller, self.within, self.start, self.end, self.rate, self.min_slots)
        return (*head, self.sla, self.traits, self.resources, self.nonce, self.expires)


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order as it is handed out: for which contract on which chain, and signed."""

    order: Order
    chain_id: int
    contract: str
    signature: bytes

    def to_json(self) -> str:
        """The text of its file."""
        values = (list(value) if isinstance(value, tuple) else value for value in self.order.as_tuple())
        fields = dict(zip((name for name, _ in _FIELDS), values, strict=True))
        place = {"chainId": self.chain_id, "contract": self.contract}
        signed = {"order": fields, **place, "signature": "0x" + self.signature.hex()}
        return json.dumps(signed, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SignedOrder:
        """From the text of a file; InvalidInput if it is none of an order."""
        try:
            raw = json.loads(text)
            fields = dict(raw["order"])
            values = [fields.pop(name) for name, _ in _FIELDS]
            values[8] = tuple(values[8])
            signature = bytes.fromhex(str(raw["signature"]).removeprefix("0x"))
            chain_id, contract = raw["chainId"], checksum(str(raw["contract"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("this is no file of an order", hint="ask its seller for it again") from error
        if fields or type(chain_id) is not int:
            raise InvalidInput("this is no file of an order", hint="ask its seller for it again")
        return cls(Order(*values), chain_id, contract, signature)

    @property
    def signer(self) -> str:
        """Who signed it; Refused if the signature is none the contract would take."""
        return recover(self.order, self.signature, self.chain_id, self.contract)


def sign(wallet: Wallet, order: Order, chain_id: int, contract: str) -> SignedOrder:
    """The order, signed; `contract` is the address of `Orders`."""
    signature = wallet.sign_typed_data(typed_data.domain(chain_id, contract), _TYPES, _message(order))
    return SignedOrder(order, chain_id, checksum(contract), signature)


def digest(order: Order, chain_id: int, contract: str) -> bytes:
    """The 32 bytes that are signed."""
    return typed_data.digest(typed_data.domain(chain_id, contract), _TYPES, _message(order))


def recover(order: Order, signature: bytes, chain_id: int, contract: str) -> str:
    """The account that signed this very order for this very contract.

    Refused if the signature is malformed, or one that the contract would not take. A signature of something
    else gives some other account: compare.
    """
    malformed = Refused("the signature of the order is malformed", hint="ask its seller for the file again")
    return typed_data.recover(digest(order, chain_id, contract), signature, malformed)


def _message(order: Order) -> dict[str, Any]:
    values = (list(value) if isinstance(value, tuple) else value for value in order.as_tuple())
    return dict(zip((name for name, _ in _FIELDS), values, strict=True))
