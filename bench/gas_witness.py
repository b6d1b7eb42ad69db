"""What watching costs: a lease that was down for an epoch, three witnesses, from the draw to the last credit.

Like `bench.gas_script` it only acts and notes. Two epochs of the lease are down, one after the other: the
first claim on a machine makes its words of storage, the second one changes them. Leases that were up appear
in a witness's root only, so that their number can cost nothing; ticks over 1 to 1,000 of them show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from bench.gas_script import EVIDENCE, GENESIS, RATE, SLOT, Calls
from bench.stage import Stage, leases_of, wallet
from chain.contracts.base import Call
from chain.contracts.leases import Delivery
from chain.contracts.members import Role
from chain.contracts.verdicts import Evidence
from chain.exchange import Exchange
from chain.leaves import EpochLeaves, Leaf, Opening
from chain.wire import Receipt
from market.errors import Bug
from market.verdicts import Sla, Tier
from market.windows import SlotWindow

__all__ = ["MARGINAL", "STEADY", "VIOLATED", "WitnessScript", "marginal", "steady", "violated"]

WATCHERS = 3
DOWN = ((1 << 40) - 1) << 20
"""Forty of sixty rounds."""

ALL = (1 << 60) - 1
COUNTS = (1, 10, 100, 1000)
EPOCHS = 2
"""Epochs of the lease; both are down."""

TICK_DOWN = "Witnesses.tick (a leaf is opened)"
TICK_TWO = "Witnesses.tick (two leaves are opened)"
CLAIM_FIRST = "Verdicts.claim (a machine's first)"
CLAIM = "Verdicts.claim (later)"
PAY = "Verdicts.pay (3 seats, fees return, the lease is settled)"
VIOLATED = "one violated SLA, 3 witnesses, draw to withdrawals, like for like"
MARGINAL = "marginal violated lease: its claim, and its leaf in 2 ticks"
STEADY = "tick, {:,} compliant lease(s)"


def violated(calls: Mapping[str, int]) -> int:
    """Draw, the three ticks that carry the leaf, claim, and pay of three seats, which settles the lease.

    That credits all five parties, so nobody has a withdrawal of its own to make.
    """
    once = sum(calls[name] for name in ("Witnesses.draw", CLAIM_FIRST, PAY))
    return once + WATCHERS * calls[TICK_DOWN]


def marginal(calls: Mapping[str, int]) -> int:
    """One more lease in an epoch in which others are down as well, with a quorum of two."""
    return calls[CLAIM] + 2 * (calls[TICK_TWO] - calls[TICK_DOWN])


def steady(calls: Mapping[str, int]) -> dict[int, int]:
    """A tick by the number of leases that were up in the epoch it opens."""
    return {count: calls[_compliant_tick(count)] for count in COUNTS}


def _compliant_tick(count: int) -> str:
    return f"Witnesses.tick ({count} compliant lease{'s' * (count > 1)})"


@dataclass
class _Watcher:
    """An organisation that witnesses, with its signer and what it has committed to."""

    org: int
    signer: Exchange
    said: dict[int, EpochLeaves] = field(default_factory=dict)

    def opening(self, epoch: int) -> EpochLeaves | None:
        return self.said.get(epoch)


class WitnessScript:
    """One run on a fresh stage whose chain began at `GENESIS`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._calls: Calls = {}
        self._second = GENESIS + 600
        council = stage.council
        if council.witnesses is None or council.verdicts is None:
            raise Bug("the stage has an exchange without witnesses")
        self._witnesses, self._verdicts = council.witnesses, council.verdicts
        self._seller = stage.admit("seller", Role.SELLER, 10**12)
        self._buyer = stage.admit("buyer", Role.BUYER, 10**12)
        self._watchers = [self._watcher(f"watcher {n}") for n in range(WATCHERS)]
        self._epoch = self._witnesses.epoch()
        self._first = GENESIS // self._epoch + 2

    def play(self) -> Calls:
        """All acts; gas by name."""
        self._to(self._first * self._epoch)
        lease, other = self._lease(1, named=True), self._lease(2, named=False)
        self._watch(lease, other)
        self._close(lease)
        return self._calls

    # ---- beginnings ----

    def _watcher(self, name: str) -> _Watcher:
        party = self._stage.admit(name, Role.WITNESS, 10**10)
        signer = self._stage.client(f"{name} signs")
        self._do("Witnesses.join", party.client, self._witnesses.join(wallet(f"{name} signs").address, 10**9))
        return _Watcher(party.org, signer)

    def _lease(self, machine: int, *, named: bool) -> int:
        """Bought, signed, drawn, delivered and accepted within minutes of its first epoch's first second."""
        seller, buyer, council = self._seller, self._buyer, self._stage.council
        sla = Sla((Tier(990_000, 100_000), Tier(900_000, 250_000, 3), Tier(500_000, 1_000_000, 2)))
        self._do("Verdicts.registerSla" if named else "", buyer.client, self._verdicts.register_sla(sla))
        self._do("", seller.client, seller.register(machine))
        window = SlotWindow(self._second // SLOT, self._second // SLOT + EPOCHS)
        self._do("", seller.client, seller.publish(window, [machine], RATE, RATE, sla=1))
        bought = self._do(
            "Book.buyNow (1 resource, with an SLA)" if named else "",
            buyer.client,
            buyer.client.book.buy_now(machine, [machine], window),
        )
        lease = leases_of(bought)[0]
        self._do("", seller.client, council.leases.sign(lease))
        self._do("Witnesses.draw" if named else "", buyer.client, self._witnesses.draw(lease, 0))
        delivery = Delivery(1, *(keccak(text=what) for what in ("connection", "host key", "document")))
        self._do("", seller.client, council.leases.deliver(lease, delivery))
        for watcher, name in zip(
            self._watchers[: 2 if named else 0], ("first", "with a quorum"), strict=False
        ):
            stood = council.leases.lease(lease).delivery
            seen = self._witnesses.seen(lease, 1, stood, [wallet("guest").address])
            self._do(f"Witnesses.seen ({name})", watcher.signer, seen)
        if not named:
            self._do("", buyer.client, council.leases.accept(lease, 1))
        return lease

    # ---- the epochs ----

    def _watch(self, lease: int, other: int) -> None:
        """The first lease is down in both epochs, the other one in the second; then nothing is."""
        first = self._first
        self._say(first, [Leaf(lease, 0, ALL, DOWN, EVIDENCE)])
        self._tick(first, "Witnesses.tick (first)")
        self._say(first + 1, [Leaf(lease, 0, ALL, DOWN, EVIDENCE), Leaf(other, 0, ALL, DOWN, EVIDENCE)])
        self._tick(first + 1, TICK_DOWN)
        self._say(first + 2, _compliant(1))
        self._tick(first + 2, TICK_TWO)
        self._claim(lease, first, CLAIM_FIRST)
        for number, count in enumerate(COUNTS[1:], 3):
            self._say(first + number, _compliant(count))
            self._tick(first + number, _compliant_tick(COUNTS[number - 3]))
            if number == 3:
                self._claim(lease, first + 1, CLAIM)
        last = first + len(COUNTS) + 2
        self._say(last, [])
        self._tick(last, _compliant_tick(COUNTS[-1]))

    def _say(self, epoch: int, leaves: list[Leaf]) -> None:
        for watcher in self._watchers:
            watcher.said[epoch] = EpochLeaves(tuple(leaves), keccak(text=f"salt {watcher.org} {epoch}"))

    def _tick(self, epoch: int, name: str) -> None:
        """Every watcher's; the first one's gas is noted (they differ by a few bytes of calldata)."""
        self._to(max((epoch + 1) * self._epoch + 600, self._second + 10))
        for number, watcher in enumerate(self._watchers):
            now, before = watcher.said[epoch], watcher.opening(epoch - 1)
            opening, chunk = (before.opening, before.chunks[:1]) if before else (Opening(), ())
            call = self._witnesses.tick(
                epoch, now.commitment(watcher.org, epoch), opening, [leaf for part in chunk for leaf in part]
            )
            self._do("" if number else name, watcher.signer, call)

    def _claim(self, lease: int, epoch: int, name: str) -> None:
        """With a quorum of two, by the buyer, in the first minutes in which claims are open."""
        seats = self._witnesses.committee(lease, 0).seats
        by_org = {watcher.org: watcher for watcher in self._watchers}
        evidence = []
        for seat, org in enumerate(seats[:2]):
            published = by_org[org].said[epoch].published(lease, 0)
            if published is None:
                raise Bug("a leaf with a down round is not among those published")
            evidence.append(Evidence(epoch, seat, published))
        client = self._buyer.client
        self._do(name, client, self._verdicts.claim(lease, 0, epoch, evidence))

    def _close(self, lease: int) -> None:
        client = self._seller.client
        self._do(PAY, client, self._verdicts.pay(lease, 0))

    # ---- acts ----

    def _do(self, name: str, client: Exchange, call: Call) -> Receipt:
        """Send ten seconds later; note the gas unless the name is empty."""
        self._second += 10
        self._stage.node.ask("evm_setNextBlockTimestamp", hex(self._second))
        receipt = client.send(call)
        if name:
            self._calls[name] = receipt.gas_used
        return receipt

    def _to(self, second: int) -> None:
        self._second = second
        self._stage.pass_to(second)


def _compliant(count: int) -> list[Leaf]:
    """So many machines that were up all the time."""
    return [Leaf(number, 0, ALL, 0, EVIDENCE) for number in range(1, count + 1)]
