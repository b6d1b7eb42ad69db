"""The buyer's power request: what a wallet signs so that its machines may be switched off, and on again (W8).

An organisation's member signs `PowerRequest` as EIP-712 typed data. The type string, exactly:

    PowerRequest(uint32 lease,uint8 action,uint64 nonce,uint40 time)

under the domain `name "OCX", version "1", chainId, verifyingContract`, where the contract is the `Leases`
that the lease was opened in. A contract that is handed the request later hashes the same. So `recover` is as
strict as OpenZeppelin's `ECDSA.recover`: 65 bytes r, s, v; v 27 or 28; s in the lower half of the order. Such
a contract must look at `time` as well as at `nonce`: a provider could keep a request to switch off back for
the day on which its machine fails.

This module must not speak to a chain: whether the signer may, and whether the nonce is new, the caller knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from chain import typed_data
from chain.wallet import Wallet
from market.errors import InvalidInput, Refused

__all__ = ["Action", "PowerRequest", "digest", "recover", "sign"]

_TYPES = {
    "PowerRequest": [
        {"name": "lease", "type": "uint32"},
        {"name": "action", "type": "uint8"},
        {"name": "nonce", "type": "uint64"},
        {"name": "time", "type": "uint40"},
    ]
}
_WIDTHS = {"lease": 32, "action": 8, "nonce": 64, "time": 40}


class Action(IntEnum):
    """What is asked, by its number in the signed request; 0 is no action, so that a forgotten one fails."""

    ON = 1
    OFF = 2
    REBOOT = 3


@dataclass(frozen=True, slots=True)
class PowerRequest:
    """One request for all delivered machines of a lease.

    `nonce` grows with every request for a lease (unix milliseconds are a good choice), `time` is when it was
    signed, in unix seconds.
    """

    lease: int
    action: Action
    nonce: int
    time: int

    def to_json(self) -> dict[str, Any]:
        """For the wire; the action by its word."""
        return {**asdict(self), "action": self.action.name.lower()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> PowerRequest:
        """From the wire; InvalidInput if it is malformed."""
        try:
            action = Action[str(raw["action"]).upper()]
        except KeyError as error:
            words = ", ".join(item.name.lower() for item in Action)
            raise InvalidInput("the power request names no action", hint=f"It is one of: {words}.") from error
        numbers = {name: raw.get(name) for name in ("lease", "nonce", "time")}
        for name, value in numbers.items():
            if type(value) is not int or not 0 <= value < 1 << _WIDTHS[name]:
                raise InvalidInput(f"the {name} of a power request is a whole number below 2^{_WIDTHS[name]}")
        return cls(action=action, **numbers)  # type: ignore[arg-type]


def sign(wallet: Wallet, request: PowerRequest, chain_id: int, leases: str) -> bytes:
    """The wallet's signature of 65 bytes; `leases` is the address of the lease's contract."""
    return wallet.sign_typed_data(typed_data.domain(chain_id, leases), _TYPES, _message(request))


def digest(request: PowerRequest, chain_id: int, leases: str) -> bytes:
    """The 32 bytes that are signed."""
    return typed_data.digest(typed_data.domain(chain_id, leases), _TYPES, _message(request))


def recover(request: PowerRequest, signature: bytes, chain_id: int, leases: str) -> str:
    """The account that signed this very request for this very contract.

    Refused if the signature is malformed, or one that a contract would not take. A signature of something
    else gives some other account: compare.
    """
    malformed = Refused("the signature of the power request is malformed", hint="Sign it again.")
    return typed_data.recover(digest(request, chain_id, leases), signature, malformed)


def _message(request: PowerRequest) -> dict[str, Any]:
    return {**asdict(request), "action": int(request.action)}
