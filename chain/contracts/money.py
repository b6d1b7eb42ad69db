"""`Credits`, `Escrow` and `Settlement`: the money (contracts/interfaces/). All amounts are microcredits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct
from chain.wire import BlockId
from market.billing import Step
from market.specs import class_id

__all__ = ["FUND", "Account", "Credits", "Escrow", "Settlement"]

FUND = 0
"""The organisation number of the council's fund in Escrow."""


class Credits(Contract):
    """The ERC-20."""

    NAME = "Credits"

    def balance_of(self, account: str, *, block: BlockId = "latest") -> int:
        return int(self._view("balanceOf", account, block=block))

    def allowance(self, owner: str, spender: str, *, block: BlockId = "latest") -> int:
        return int(self._view("allowance", owner, spender, block=block))

    def total_supply(self, *, block: BlockId = "latest") -> int:
        return int(self._view("totalSupply", block=block))

    def mint(self, to: str, amount: int, ref: str) -> Call:
        return self._call("mint", to, amount, class_id(ref))

    def burn(self, amount: int, ref: str) -> Call:
        return self._call("burn", amount, class_id(ref))

    def nonce(self, owner: str, *, block: BlockId = "latest") -> int:
        """The number of the owner's next permit."""
        return int(self._view("nonces", owner, block=block))

    def permit(
        self, owner: str, spender: str, amount: int, deadline: int, signature: tuple[int, bytes, bytes]
    ) -> Call:
        """Bring a signed permit, v, r and s, to the chain; anyone may (docs/credits.md)."""
        return self._call("permit", owner, spender, amount, deadline, *signature)

    def transfer(self, to: str, amount: int) -> Call:
        return self._call("transfer", to, amount)

    def approve(self, spender: str, amount: int) -> Call:
        return self._call("approve", spender, amount)


class Escrow(Contract):
    """Free balances and purpose accounts."""

    NAME = "Escrow"

    def free(self, org: int, *, block: BlockId = "latest") -> int:
        return int(self._view("free", org, block=block))

    def balance(self, opener: str, account: bytes, *, block: BlockId = "latest") -> int:
        return int(self._view("balance", opener, account, block=block))

    def total(self, *, block: BlockId = "latest") -> int:
        return int(self._view("total", block=block))

    def can_lock(self, org: int, by: str, amount: int, *, block: BlockId = "latest") -> bool:
        return bool(self._view("canLock", org, by, amount, block=block))

    def deposit(self, org: int, amount: int) -> Call:
        return self._call("deposit", org, amount)

    def withdraw(self, amount: int) -> Call:
        return self._call("withdraw", amount)

    def give(self, to: int, amount: int) -> Call:
        return self._call("give", to, amount)

    def withdraw_fund(self, to: str, amount: int) -> Call:
        return self._call("withdrawFund", to, amount)

    def sweep(self) -> Call:
        return self._call("sweep")


@dataclass(frozen=True, slots=True)
class Account:
    """ISettlement.Account: the money of one lease.

    `paid` is the accrual spoken for: drawn, put aside as a penalty (`pending`, of the span `pending_span`
    that ends at `pending_until`; `owed` of earlier ones), or in dispute. `fee`: witness fees of both sides,
    `fee_paid` what witnesses got of them. `steps`: how often the rate changed.
    """

    buyer_by: str
    price: int
    provider_by: str
    bond: int
    paid: int
    owed: int
    pending_span: int
    units: int
    closed: bool
    steps: int
    pending: int
    disputed: int
    pending_until: int
    first_start: int
    fee: int
    fee_paid: int
    start_sum: int


class Settlement(Contract):
    """Price, accrual, bond and witness fees of leases; moved by `Leases` and `Verdicts` alone."""

    NAME = "Settlement"

    def quantum(self, *, block: BlockId = "latest") -> int:
        return int(self._view("quantum", block=block))

    def account(self, lease: int, *, block: BlockId = "latest") -> Account:
        return struct(Account, self._view("account", lease, block=block))

    def accounts(self, leases: Sequence[int], *, block: BlockId = "latest") -> dict[int, Account]:
        """The money of several leases in few messages; what the chain refuses is left out."""
        return {n: struct(Account, item) for n, item in self._views("account", leases, block=block).items()}

    def steps_of(self, lease: int, *, block: BlockId = "latest") -> tuple[Step, ...]:
        """Later rates of a lease that was extended, oldest first."""
        return tuple(Step(*item) for item in self._view("stepsOf", lease, block=block))

    def accrued(self, lease: int, rate: int, until: int, last: bool, *, block: BlockId = "latest") -> int:
        return int(self._view("accrued", lease, rate, until, last, block=block))

    def span_price(self, lease: int, rate: int, start: int, until: int, *, block: BlockId = "latest") -> int:
        """What one machine of a lease costs between two seconds, by accrual."""
        return int(self._view("spanPrice", lease, rate, start, until, block=block))
