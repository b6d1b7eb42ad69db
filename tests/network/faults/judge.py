"""After all faults: what callers were told, what clouds built, and what the chain says, side by side."""

from __future__ import annotations

from collections import Counter
from typing import Any

from chain.generated import events as ledger
from chain.generated.enums import LeaseState
from chain.nodes.description import Node
from chain.rpc import Rpc
from tests.network.faults.journal import Told
from tests.network.faults.stage import Stage
from tests.provisioner.world import wait_for

__all__ = ["chain_keeps_its_word", "everything_adds_up"]

_BUILT = (LeaseState.TERMINATED, LeaseState.COMPLETED)


def chain_keeps_its_word(stage: Stage, names: list[str] | None = None) -> int:
    """Every node has every confirmed transaction in the block that its caller was told; how many there are.

    Nodes must agree on the newest block that counts, and so on all before it.
    """
    told = list(stage.journal.told)
    nodes = [stage.node(name) for name in names or stage.names]
    deepest = max((each.block_number for each in told), default=0)
    wait_for("all nodes to be that far", lambda: _counts(stage, nodes) >= deepest, 120)
    height = _counts(stage, nodes)
    hashes = {node.name: _rpc(node).block(height).hash for node in nodes}
    assert len(set(hashes.values())) == 1, f"nodes disagree on block {height}: {hashes}"
    for node in nodes:
        _has_all(node, told)
    assert not stage.journal.faults, stage.journal.faults
    return len(told)


def everything_adds_up(stage: Stage) -> dict[str, int]:
    """Nothing is lost and nothing doubled; counts for the report. Callers must have come to their end.

    They read their last lines at the head, and what is judged is what counts: the head must become that.
    """
    height, first = stage.height(), [stage.node(stage.names[0])]
    wait_for("the heads to count", lambda: _counts(stage, first) >= height, 120)
    confirmed = chain_keeps_its_word(stage)
    everything = _events(stage)
    _each_deposit_once(stage, everything)
    leases = _each_lease_once(stage, everything)
    _money(stage, everything)
    return {"confirmed": confirmed, "leases": leases, "head": stage.height()}


def _counts(stage: Stage, nodes: list[Node]) -> int:
    """The newest block that counts on all of them."""
    return min(stage.head(node.name) for node in nodes) - stage.description.confirmations


def _rpc(node: Node) -> Rpc:
    return Rpc.for_deployment([node.rpc_url])


def _has_all(node: Node, told: list[Told]) -> None:
    rpc = _rpc(node)
    for told_one, found in zip(told, rpc.receipts([each.tx_hash for each in told]), strict=True):
        assert found is not None, f"{node.name} lost {told_one.intent}"
        there = (found.block_number, found.block_hash)
        assert there == (told_one.block_number, told_one.block_hash), f"{node.name} moved {told_one.intent}"


def _events(stage: Stage) -> list[Any]:
    """All events of the exchange, by the block that counts."""
    node = stage.node(stage.names[0])
    last = _counts(stage, [node])
    rpc = _rpc(node)
    exchange = stage.world.council
    logs = rpc.get_logs(exchange.addresses(), 0, last)
    return [event for log in logs if (event := ledger.decode(log.topics, log.data)) is not None]


def _each_deposit_once(stage: Stage, everything: list[Any]) -> None:
    """Amounts never come again, so each says which act it was."""
    meant = {each.amount: each.intent for each in stage.journal.told if each.amount}
    callers = {party.address for party in stage.parties}
    found = Counter(
        event.amount for event in everything if isinstance(event, ledger.Deposited) and event.from_ in callers
    )
    doubled = {meant.get(amount, amount): times for amount, times in found.items() if times > 1}
    assert not doubled, f"done twice: {doubled}"
    assert set(meant) == set(found), f"told and not done, or done and not told: {set(meant) ^ set(found)}"


def _each_lease_once(stage: Stage, everything: list[Any]) -> int:
    """What was bought, what was opened, what was built and what was released is the same."""
    lives = {life.lease: life for life in stage.journal.lives}
    opened = Counter(event.lease for event in everything if isinstance(event, ledger.LeaseOpened))
    assert set(opened.values()) <= {1} and set(opened) == set(lives), f"{opened} against {sorted(lives)}"
    lost = {life.lease: life.lost or "not over" for life in lives.values() if life.lost or not life.over}
    assert not lost, f"lost: {lost}"
    for kind in (ledger.LeaseSigned, ledger.LeaseDelivered, ledger.LeaseWiped):
        told = Counter(event.lease for event in everything if isinstance(event, kind))
        assert told == opened, f"{kind.__name__}: {told}"
    boots: dict[str, int] = {}
    for witness in stage.witnesses:
        assert witness.carried() == set(), "machines without a lease"
        boots |= witness.boots()
    assert boots == {life.key: 1 for life in lives.values()}, f"machines built: {boots}"
    _no_slot_twice(everything)
    states = {lease: stage.world.council.leases.state_of(lease) for lease in lives}
    assert all(state in _BUILT for state in states.values()), states
    return len(lives)


def _no_slot_twice(everything: list[Any]) -> None:
    booked: dict[int, set[int]] = {}
    for event in everything:
        if isinstance(event, ledger.SlotsBooked):
            slots = set(range(event.start, event.end))
            assert not slots & booked.setdefault(event.resource, set()), f"booked twice: {event}"
            booked[event.resource] |= slots
        elif isinstance(event, ledger.SlotsReleased):
            booked[event.resource] -= set(range(event.start, event.end))


def _money(stage: Stage, everything: list[Any]) -> None:
    """Credits are where their owners have them, and nowhere else."""
    council = stage.world.council
    credits, escrow = council.credits, council.escrow
    owners = [council.sender.address, escrow.address, *(party.address for party in stage.parties)]
    assert sum(credits.balance_of(owner) for owner in owners) == credits.total_supply() == 10**15
    assert credits.balance_of(escrow.address) == escrow.total()
    free = sum(escrow.free(org) for org in range(len(stage.parties) + 2))
    held = _held(everything)
    assert free + sum(held.values()) == escrow.total()
    assert {opener for opener, amount in held.items() if amount} <= {council.book.address}, (
        f"in leases: {held}"
    )
    flows = {ledger.Deposited: 1, ledger.Withdrawn: -1}
    moved = sum(flows.get(type(event), 0) * getattr(event, "amount", 0) for event in everything)
    assert moved == escrow.total()


def _held(everything: list[Any]) -> Counter[str]:
    """What each contract holds for somebody: the book for open offers, the settlement for leases."""
    held: Counter[str] = Counter()
    for event in everything:
        if isinstance(event, ledger.Locked):
            held[event.opener] += event.amount
        elif isinstance(event, ledger.Unlocked | ledger.Paid | ledger.Passed):
            held[event.opener] -= event.amount
            if isinstance(event, ledger.Passed):
                held[event.to] += event.amount
    return held
