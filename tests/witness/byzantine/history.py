"""What was played, for questions: what each witness saw, said, lost and earned."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chain.contracts.audits import Audits
from chain.generated import events as ledger
from chain.pages import Opened, opened
from chain.published import judges
from market.rounds import Span
from tests.witness.byzantine.cast import ABSENT, GRID, Plan
from tests.witness.byzantine.stage import Stage
from tests.witness.proxy import Banner, Cut, Dead, Delay, Fault, Flood, HalfOpen, Loss, Refuse, Slow

__all__ = ["DOWN", "FEE", "SILENCE", "ZOO", "History", "Seen", "files"]

FEE = 1_000
"""What a seat is paid for a tick."""
SILENCE = {"silent", "edge"}
"""Reasons of a witness to which nothing answers: the second is told while the provider's gateway is away."""
UP, SERVICE = (1, {"answers"}), (3, {"service"})
DOWN = (2, SILENCE)
ZOO: dict[str, tuple[Fault, tuple[int, set[str]]]] = {
    "delay": (Delay(0.03), UP),
    "loss": (Loss(0.1), UP),
    "banner": (Banner(b"SSH-1.5-other\r\n"), SERVICE),  # the machine is there: what runs on it is wrong
    "flood": (Flood(), SERVICE),
    "slow": (Slow(20), DOWN),
    "refuse": (Refuse(), DOWN),
    "half-open": (HalfOpen(), DOWN),
    "dead": (Dead(), DOWN),
    "cut": (Cut(), DOWN),
}
"""Faults of a server for a whole epoch, and what an honest witness finds: outcome and reason."""
Seen = tuple[int, str]
"""Outcome and reason of one measurement."""


@dataclass
class History:
    """What was played; `joined` the first epoch, `s` that of the signing, `o` that of the outage.

    `killed`: who was, and the epoch that it had committed to before. `restarted`: what else was, in order.
    """

    stage: Stage
    joined: int = 0
    s: int = 0
    o: int = 0
    killed: list[tuple[str, int]] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)

    @property
    def audits(self) -> Audits:
        """The contract."""
        audits = self.stage.exchange.audits
        assert audits is not None
        return audits

    def told(self, name: str, epoch: int) -> Opened:
        """What a witness published of an epoch."""
        org = self.stage.org(name)
        return opened(self.stage.exchange, GRID, [org], Span(epoch, epoch))[org, epoch]

    def down(self, name: str, plan: Plan, spot: str, epoch: int) -> int:
        """How many rounds a witness published as down."""
        leaf = self.told(name, epoch).leaf(plan.lease, plan.place(spot))
        return 0 if leaf is None else leaf.down.bit_count()

    def seen(self, name: str, plan: Plan, spot: str, epoch: int) -> list[Seen]:
        """What a witness noted for itself, round by round; what it could not tell is left out."""
        with files(self.stage, name, "witness.db") as db:
            rows = db.execute(
                "SELECT outcome, reason FROM sample"
                " WHERE lease = ? AND place = ? AND epoch = ? AND outcome < 4",
                (plan.lease, plan.place(spot), epoch),
            )
            return [(int(outcome), str(reason)) for outcome, reason in rows]

    def slashed(self) -> dict[str, list[bytes]]:
        """Reasons by name."""
        told: dict[str, list[bytes]] = {}
        for event in self.stage.events(ledger.WitnessSlashed):
            told.setdefault(self.stage.name_of(event.org), []).append(event.reason.rstrip(b"\0"))
        return told

    def paid(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Epochs and amounts by lease and name."""
        names = {plan.lease: plan.name for plan in self.stage.plans}
        return {
            (names[event.lease], self.stage.name_of(event.org)): (event.epochs, event.amount)
            for event in self.stage.events(ledger.WitnessPaid)
        }

    def owed(self) -> dict[tuple[str, str], tuple[int, int]]:
        """What every seat has earned that ticked in all epochs from its draw on."""
        witnesses, found = judges(self.stage.exchange)[0], {}
        for plan in self.stage.plans:
            committee = witnesses.committee(plan.lease, 0)
            for name in map(self.stage.name_of, committee.seats):
                epochs = self.o + 1 - committee.drawn
                if name not in ABSENT:
                    found[plan.name, name] = (epochs, epochs * FEE)
        return found

    def fines(self) -> dict[tuple[str, int], int]:
        """Who gets the fine of every epoch that was not ticked."""
        owing = {
            (name, epoch): self.stage.buyer.org for name in ABSENT for epoch in range(self.s, self.o + 1)
        }
        return owing | {(name, self.joined): 0 for name in ABSENT}


@contextmanager
def files(stage: Stage, name: str, file: str) -> Iterator[sqlite3.Connection]:
    path = stage.cast[name].folder / "state" / file
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        yield db
    finally:
        db.close()
