"""Audits: what Python measures, hashes and signs passes on chain, and what is changed in it does not.

One witness's epoch, as a node would have it: a key, samples at its secret times, receipts of a responder,
leaves and trees of `chain.leaves`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from coincurve import PrivateKey
from eth_utils.crypto import keccak

from chain.contracts.audits import Audits, Page
from chain.contracts.leases import Delivery
from chain.contracts.members import Role
from chain.generated import errors
from chain.leaves import (
    NOTHING,
    EpochLeaves,
    Leaf,
    Opening,
    Outcome,
    Sample,
    Tree,
    canary_hash,
    epoch_key,
    guest_digest,
    offset_ms,
    salt_of,
    samples_root,
)
from market.errors import Refused
from market.windows import SlotWindow
from tests.agreement.arena import GENESIS, Arena
from tests.agreement.watch import WATCHED, Seat, Watch
from tests.chain.network import anvil
from witness.probes.guest import signer_of

MASTER = bytes(range(32))
RESPONDER = PrivateKey(keccak(text="born in the guest"))
GUESTED = 1
DOWN = 0b111
MEASURED = (1 << 28) - 1


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A deployment with three witnesses, whose buyer is an auditor, too."""
    with anvil("--timestamp", str(GENESIS)) as node:
        watch = Watch(Arena(node, tmp_path_factory.mktemp("arena"), WATCHED))
        arena = watch.arena
        both = Role.BUYER | Role.AUDITOR
        arena.act(arena.founder, arena.exchange.members.set_roles(watch.buyer.org, both))
        arena.save()
        yield watch


class Epoch:
    """What the first seat measured of a lease's machine in one epoch, ticked and opened."""

    def __init__(self, watch: Watch, kind: int = GUESTED, lease: int = 0) -> None:
        self.watch, self.arena = watch, watch.arena
        if not lease:
            self.arena.undo()
        assert watch.arena.exchange.audits is not None
        self.audits: Audits = watch.arena.exchange.audits
        self.grid, self.seat = watch.grid, watch.seats[0]
        self.lease = lease or watch.lease(kind, slots=6, delay=10)
        self.epoch = self.grid.epoch_of(self.arena.now) + 1
        self.key = epoch_key(MASTER, self.epoch)
        self.samples = [self.sample(number) for number in range(self.grid.rounds)]

    def sample(self, number: int) -> Sample:
        """As it was measured, a hair after its secret time."""
        start = self.grid.round_start(self.epoch, number) * 1000
        at = start + offset_ms(self.grid, self.key, self.lease, 0, number) + number
        if not MEASURED >> number & 1:
            return Sample(number, at, Outcome.PATH)
        if DOWN >> number & 1:
            return Sample(number, at, Outcome.PROVIDER)
        nonce = keccak(text=f"nonce {number}")
        digest = guest_digest(self.lease, 0, self.epoch, number, self.seat.signer, nonce)
        signed = RESPONDER.sign_recoverable(digest, hasher=None)
        return Sample(number, at, Outcome.UP, nonce, signed[:64] + bytes([signed[64] + 27]))

    @property
    def page(self) -> EpochLeaves:
        """All leaves: the machine's, and some of other leases."""
        leaf = Leaf(self.lease, 0, MEASURED, DOWN, samples_root(self.samples))
        others = [Leaf(self.lease + n, n % 3, 1, n & 1, keccak(text=str(n))) for n in range(1, 6)]
        return EpochLeaves((leaf, *others), salt_of(self.key))

    def commit(self, seat: Seat, page: EpochLeaves) -> None:
        """Commit to it, in the epoch after."""
        self.arena.now = max(self.arena.now, self.grid.start(self.epoch + 1))
        commitment = page.commitment(seat.org, self.epoch)
        self.arena.act(seat.signer, self.watch.witnesses.tick(self.epoch, commitment, Opening(), ()))

    def open(self, seat: Seat, page: EpochLeaves) -> None:
        """Open it, in the epoch after that."""
        self.arena.now = max(self.arena.now, self.grid.start(self.epoch + 2))
        first = next(iter(page.chunks), ())
        tick = self.watch.witnesses.tick(self.epoch + 1, keccak(text="next"), page.opening, first)
        self.arena.act(seat.signer, tick)

    def audited(self, number: int) -> str:
        """What an audit of a round ends with: 'passed', or why it failed."""
        page = self.page
        self.commit(self.seat, page)
        self.open(self.seat, page)
        call = self.audits.audit(self.seat.org, self.epoch, self.lease, 0, number)
        [asked] = [e for e in self.arena.act(self.watch.buyer.account, call) if e.NAME == "AuditOpened"]
        rooted = page.rooted(self.lease, 0)
        assert rooted is not None
        proof = Tree.of(self.samples).proof(number)
        answer = self.audits.answer(asked.audit, self.key, page.opening, rooted, self.samples[number], proof)
        said = self.arena.act(self.seat.signer, answer)
        [end] = [event for event in said if event.NAME in ("AuditPassed", "AuditFailed")]
        return "passed" if end.NAME == "AuditPassed" else end.why.rstrip(b"\0").decode()


def signer_of_key() -> bytes:
    """The responder's address."""
    digest = bytes(32)
    signed = RESPONDER.sign_recoverable(digest, hasher=None)
    return signer_of(digest, signed[:64] + bytes([signed[64] + 27]))


@pytest.mark.parametrize("number", [0, 3, 27, 29])
def test_what_python_measured_passes(watch: Watch, number: int) -> None:
    assert Epoch(watch).audited(number) == "passed"


@pytest.mark.parametrize(
    ("number", "change", "why"),
    [
        (5, {"at": -1}, "time"),
        (5, {"at": WATCHED.tolerance_ms + 1}, "time"),
        (5, {"outcome": Outcome.PROVIDER}, "outcome"),
        (1, {"outcome": Outcome.UP}, "outcome"),
        (5, {"outcome": Outcome.PATH}, "outcome"),
    ],
)
def test_what_does_not_fit_is_slashed(watch: Watch, number: int, change: dict[str, int], why: str) -> None:
    epoch = Epoch(watch)
    sample = epoch.samples[number]
    at = sample.at - number + change["at"] if "at" in change else sample.at
    epoch.samples[number] = replace(sample, at=at, outcome=change.get("outcome", sample.outcome))
    before = watch.witnesses.witness(epoch.seat.org).stake
    assert epoch.audited(number) == why
    after = watch.witnesses.witness(epoch.seat.org).stake
    assert after == before - before * WATCHED.slash_ppm // 1_000_000


def test_the_last_millisecond_of_the_tolerance_passes(watch: Watch) -> None:
    epoch = Epoch(watch)
    sample = epoch.samples[5]
    epoch.samples[5] = replace(sample, at=sample.at - 5 + WATCHED.tolerance_ms)
    assert epoch.audited(5) == "passed"


@pytest.mark.parametrize("forged", [False, True])
def test_a_responders_receipt_is_wanted_once_it_is_proven(watch: Watch, forged: bool) -> None:
    epoch = Epoch(watch, lease=guested_lease(watch))
    if forged:
        epoch.samples[5] = replace(epoch.samples[5], nonce=NOTHING)
    assert epoch.audited(5) == ("receipt" if forged else "passed")


def guested_lease(watch: Watch) -> int:
    """A lease whose responders a quorum has seen."""
    arena, x = watch.arena, watch.arena.exchange
    arena.undo()
    start = arena.now // arena.params.slot
    window = SlotWindow(start, start + 6)
    buy = x.book.buy_now(watch.offers[GUESTED], watch.machines, window)
    bought = arena.act(watch.buyer.account, buy)
    lease = int(next(event.lease for event in bought if event.NAME == "LeaseOpened"))
    arena.act(watch.seller.account, x.leases.sign(lease))
    arena.act(watch.buyer.account, watch.witnesses.draw(lease, 0))
    delivery = Delivery(0b11, b"c" * 32, b"k" * 32, b"s" * 32)
    arena.act(watch.seller.account, x.leases.deliver(lease, delivery))
    guests = ["0x" + signer_of_key().hex()] * 2
    for seat in watch.seats[:2]:
        seen = watch.witnesses.seen(lease, 0b11, x.leases.lease(lease).delivery, guests)
        arena.act(seat.signer, seen)
    return lease


def test_a_page_read_back_shows_a_missed_canary(watch: Watch) -> None:
    epoch = Epoch(watch, kind=0)
    down, salt = ((1 << 12) - 1) << 10, keccak(text="salt")
    commit = epoch.audits.commit_canary(epoch.lease, 0, epoch.epoch, down, salt)
    [committed] = watch.arena.act(watch.buyer.account, commit)
    assert committed.hash == canary_hash(epoch.lease, 0, epoch.epoch, down, salt)
    page = epoch.page
    epoch.commit(epoch.seat, page)
    epoch.open(epoch.seat, page)
    reveal = epoch.audits.reveal_canary(committed.canary, epoch.lease, 0, epoch.epoch, down, salt)
    with pytest.raises(errors.Audits_BadCanary):
        watch.arena.act(watch.buyer.account, reveal)
    watch.arena.now = watch.grid.start(epoch.epoch + 4)
    watch.arena.act(watch.buyer.account, reveal)
    shown = Page(epoch.seat.org, page.opening.root, page.opening.salt, page.chunks)
    with pytest.raises(Refused):
        watch.arena.act(
            watch.seller.account, epoch.audits.miss_canary(committed.canary, replace(shown, chunks=()))
        )
    said = watch.arena.act(watch.seller.account, epoch.audits.miss_canary(committed.canary, shown))
    assert "CanaryMissed" in [event.NAME for event in said]
    canary = epoch.audits.canary_of(committed.canary)
    assert (canary.lease, canary.epoch, canary.down) == (epoch.lease, epoch.epoch, down)
