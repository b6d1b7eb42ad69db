"""What a council of several accounts does: one of them proposes a call, enough of them approve, it is made.

A council of one is an account that sends its calls itself; nothing here concerns it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chain.abi import Abi
from chain.codec import ContractError
from chain.contracts.base import Call
from chain.contracts.council import Council, Proposal
from chain.exchange import Exchange
from chain.generated import errors
from chain.wire import BlockId
from market.errors import Refused

__all__ = ["Motion", "council_of", "decoded", "is_councils", "motion_for", "open_proposals"]

_NOT_THE_COUNCIL: Final[tuple[type[ContractError], ...]] = (
    errors.Council_NotCouncil,
    errors.Directory_NotCouncil,
    errors.Members_NotAbove,
    errors.Members_NotNodesAdmin,
    errors.AccessControlUnauthorizedAccount,
)
"""How contracts say that a call was the council's to make."""

_LOOKED_AT: Final = 200
"""How many of the newest proposals are searched for one that asks for the same call."""


@dataclass(frozen=True)
class Motion:
    """How a member of the council has a call made: by proposing it, or by approving who did.

    `number` is the proposal approved, 0 for a new one.
    """

    call: Call
    number: int


def council_of(exchange: Exchange, *, block: BlockId = "latest") -> Council | None:
    """The council's contract; None where one account is the council."""
    address = exchange.directory.council(block=block)
    return Council(address, exchange.rpc) if exchange.rpc.get_code(address, block) else None


def is_councils(error: Exception) -> bool:
    """Whether a contract refused a call for not being the council's."""
    return isinstance(error, _NOT_THE_COUNCIL)


def open_proposals(council: Council, now: int) -> dict[int, Proposal]:
    """What can still be approved, of the newest proposals; by number, the newest first."""
    newest, term = council.proposal_count(), council.term()
    numbers = range(newest, max(0, newest - _LOOKED_AT), -1)
    found = {number: council.proposal(number) for number in numbers}
    return {n: p for n, p in found.items() if not p.executed and p.term == term and now < p.expires}


def motion_for(exchange: Exchange, call: Call, account: str) -> Motion | None:
    """How this account has the council make a call; None if it is no member of a council of several.

    Refused if the account approved it already, so that the others are waited for; or as the call itself would
    be, before it is proposed.
    """
    council = council_of(exchange)
    if council is None or not council.is_member(account):
        return None
    place = council.members().index(account)
    for number, proposal in open_proposals(council, exchange.now()).items():
        if (proposal.target, proposal.data) != (call.to, call.data):
            continue
        if proposal.approvals >> place & 1:
            raise Refused(
                f"{account} asked for this already: proposal {number}",
                hint=f"others of the council approve it with: ocx council approve {number}",
                proposal=number,
            )
        return Motion(council.approve(number, proposal), number)
    # Nobody shall approve what would be refused.
    exchange.rpc.estimate_gas(call.to, call.data, council.address)
    return Motion(council.propose(call), 0)


def decoded(exchange: Exchange, target: str, data: bytes) -> tuple[str, str, dict[str, Any]]:
    """Contract, function and arguments by name of a call to this exchange; of any other, in hexadecimal.

    What goes through the time lock is told as what the time lock is to do, with the inner call decoded.
    """
    name = _name_of(exchange, target)
    found = Abi.load(name).decode_call(data) if name else None
    if found is None:
        return name or target, "0x" + data[:4].hex(), {"data": data[4:]}
    function, arguments = found
    if name == "TimelockController" and {"target", "data"} <= arguments.keys():
        inner = decoded(exchange, arguments["target"], arguments["data"])
        arguments = {f"{inner[0]}.{inner[1]}": inner[2], "delay": arguments.get("delay", 0)}
    return name, function, arguments


def _name_of(exchange: Exchange, address: str) -> str:
    """Which contract of the exchange stands at an address, of any version; "" if none."""
    directory = exchange.directory
    fixed = {directory.address: "Directory", directory.timelock(): "TimelockController"}
    if address in fixed:
        return fixed[address]
    if address == directory.council():
        return "Council"
    for name in directory.names():
        if address in [directory.at(name, n) for n in range(1, directory.versions(name) + 1)]:
            return name
    return ""
