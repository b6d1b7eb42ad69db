"""`Council`: several accounts of whom enough must agree (contracts/interfaces/ICouncil.sol)."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from chain.contracts.base import Call, Contract, struct
from chain.wire import BlockId

__all__ = ["Council", "Proposal"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """ICouncil.Proposal; bit i of `approvals` is the member at place i."""

    target: str
    expires: int
    term: int
    executed: bool
    approvals: int
    data: bytes


class Council(Contract):
    """Proposals of the council and who agreed. It stands before the others as one account."""

    NAME = "Council"

    def members(self, *, block: BlockId = "latest") -> list[str]:
        return [str(member) for member in self._view("members", block=block)]

    def is_member(self, account: str, *, block: BlockId = "latest") -> bool:
        return bool(self._view("isMember", account, block=block))

    def threshold(self, *, block: BlockId = "latest") -> int:
        return int(self._view("threshold", block=block))

    def term(self, *, block: BlockId = "latest") -> int:
        return int(self._view("term", block=block))

    def proposal_count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("proposalCount", block=block))

    def proposal(self, number: int, *, block: BlockId = "latest") -> Proposal:
        return struct(Proposal, self._view("proposal", number, block=block))

    def propose(self, call: Call) -> Call:
        """The proposal that the council make this call; the label says what it wraps."""
        wrapped = self._call("propose", call.to, call.data)
        return Call(wrapped.to, wrapped.data, f"Council.propose({call.label})")

    def approve(self, number: int, proposal: Proposal) -> Call:
        """Agree to this very proposal: refused if another one stands under its number."""
        what = keccak(abi_encode(["address", "bytes"], [proposal.target, proposal.data]))
        return self._call("approve", number, what)

    def revoke(self, number: int) -> Call:
        return self._call("revoke", number)

    def set_members(self, members: list[str], threshold: int) -> Call:
        """For the council itself, through `propose`."""
        return self._call("setMembers", members, threshold)
