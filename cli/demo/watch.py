"""The witnesses' part of the play: they enter, watch, and what they saw becomes verdicts and pay.

Three organisations, each with a node of its own, started by command. What is told of verdicts is read from
the chain, as anybody could.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from chain.exchange import Exchange
from chain.generated import events
from chain.history import Entry, history
from chain.published import judges
from cli.demo.cast import SLA_ID, STAKE, WITNESSES, witness_settings
from cli.demo.stage import Party, Stage, poll
from cli.render import credits_text, time_text
from market.errors import Permanent
from market.verdicts import Sla

__all__ = ["Watch"]


@dataclass
class Watch:
    """The witnesses, and what becomes public of their work; `observer` reads the chain."""

    stage: Stage
    parties: dict[str, Party]
    observer: Callable[[], Exchange]
    answers: dict[int, str] = field(default_factory=dict)
    """What was answered to the question about each lease."""
    over: Event = field(default_factory=Event)
    """Set when there is nothing more to be told."""
    _told: set[tuple[bytes, int]] = field(default_factory=set)

    def register_sla(self, sla: Sla, party: Party) -> None:
        """Anyone may; the demo's tenders count on its number."""
        tiers = " ".join(f"--tier {t.below_ppm / 1e4:g}:{t.penalty_ppm / 1e4:g}" for t in sla.tiers)
        words = ", ".join(f"below {t.below_ppm / 1e4:g} % {t.penalty_ppm / 1e4:g} %" for t in sla.tiers)
        guest = "--guest" if sla.guest else ""
        made = party.ocx(
            f"sla register {tiers} {guest}", step=f"registers SLA {SLA_ID}: {words} of an epoch's price back"
        )
        if made["sla"] != SLA_ID:
            raise Permanent(f"the SLA got number {made['sla']}, not {SLA_ID}")

    # ---- the nodes -------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a witness's node (from this thread: it lives as long); it waits until its key is known."""
        party = self.parties[name]
        config = party.folder / "witness.yaml"
        config.write_text(witness_settings(party.folder, party.connection), "utf-8")
        self.stage.start(
            f"{name}-node", [sys.executable, "-m", "cli.main", "witness", "run", "--config", config]
        )

    def join(self, name: str, signer: str) -> None:
        """Put up the stake."""
        self.parties[name].ocx(
            f"witness join --signer {signer} --stake {STAKE}",
            step=f"joins the witnesses with a stake of {STAKE}",
        )

    def stakes(self, orgs: dict[str, int]) -> dict[str, int]:
        """What each witness has at stake, microcredits."""
        witnesses, _ = judges(self.observer())
        return {name: witnesses.witness(orgs[name]).stake for name in WITNESSES if name in orgs}

    def await_drawable(self, orgs: dict[str, int], ahead: int) -> None:
        """Wait until all may sit for a lease that is signed `ahead` seconds from now or later (W2)."""
        witnesses, _ = judges(self.observer())
        joined = max(witnesses.witness(orgs[name]).joined for name in WITNESSES)
        since = witnesses.grid().start(joined + 1)
        poll("the witnesses to be eligible", lambda: self.observer().now() + ahead >= since, self.stage, 60)

    def await_proof(self, lease: int) -> None:
        """Wait until a quorum has said what it saw delivered."""
        began = self.stage.elapsed()
        witnesses, _ = judges(self.observer())
        guests = poll(f"the proof of lease {lease}", lambda: witnesses.guests_of(lease), self.stage, 60)
        seats = witnesses.committee(lease, 0)
        words = f"lease {lease}: {seats.quorum} of {len(seats.seats)} witnesses saw its host key"
        if any(int(guest, 16) for guest in guests):
            words += ", and who signs in it"
        self.stage.note("chain", words, self.stage.elapsed() - began)

    def ask(self, lease: int, party: Party, since: int, until: int) -> None:
        """A party asks how available the machine was; each witness answers from its private log (D7)."""
        inquiries = self.observer().inquiries
        if inquiries is None:
            raise Permanent("this exchange has no inquiries")
        question = f"whether it was up for more than 99.9 % of {until - since} s"
        asked = party.ocx(
            f"sla ask {lease} --from {time_text(since)} --to {time_text(until)} --above 99.9 --no-wait",
            step=f"lease {lease}: asks its witnesses {question}",
        )
        began, number = self.stage.elapsed(), int(asked["inquiry"])
        poll("the witnesses' answer", lambda: inquiries.inquiry(number).result, self.stage, 60)
        said = inquiries.inquiry(number)
        counts = f"{said.no.bit_count()} say no, {said.yes.bit_count()} yes"
        words = f"lease {lease}: of the witnesses {counts}; the answer is {said.result.name.lower()}"
        self.answers[lease] = said.result.name.lower()
        self.stage.note("chain", words, self.stage.elapsed() - began)

    # ---- what becomes of it ----------------------------------------------------------------------------

    def verdicts(self, lease: int) -> list[events.VerdictGiven]:
        """All verdicts on a lease so far, oldest first."""
        return [
            entry.event
            for entry in self._public(lease, [events.VerdictGiven])
            if isinstance(entry.event, events.VerdictGiven)
        ]

    def follow(self, leases: list[int], customer: Party) -> None:
        """Tell of verdicts and pay until `over`; the customer works the first verdict out again."""
        checked = False
        while True:
            last = self.over.is_set()
            self.hear(leases)
            found = next((item for lease in leases for item in self.verdicts(lease)), None)
            if found is not None and not checked:
                checked = True
                customer.ocx(
                    f"witness verify {found.lease} {found.epoch}",
                    step=f"lease {found.lease}: works the verdict out again from what is public",
                )
            if last:
                return
            self.stage.check_alive()
            self.over.wait(0.5)

    def hear(self, leases: list[int]) -> None:
        """Tell of every verdict and pay that is new."""
        for lease in leases:
            for entry in self._public(lease, [events.VerdictGiven, events.WitnessPaid]):
                if (key := (entry.tx_hash, entry.log_index)) not in self._told:
                    self._told.add(key)
                    self.stage.note("chain", self._words(entry), 0, ["0x" + entry.tx_hash.hex()])

    def _public(self, lease: int, kinds: list[type]) -> list[Entry]:
        exchange = self.observer()
        return history(exchange, [judges(exchange)[1]], "lease", lease, kinds=kinds)

    def _words(self, entry: Entry) -> str:
        event = entry.event
        if isinstance(event, events.VerdictGiven):
            up = 100 * (event.judged - event.counted) / event.judged
            span = len(event.down)
            what = (
                f"epoch {event.epoch}" if span == 1 else f"epochs {event.epoch - span + 1} to {event.epoch}"
            )
            return (
                f"lease {event.lease}, {what}: the witnesses find it {up:.0f} % up; "
                f"{credits_text(event.penalty)} goes back to the buyer"
            )
        assert isinstance(event, events.WitnessPaid)  # noqa: S101  nothing else was asked for
        amount = credits_text(event.amount)
        return f"lease {event.lease}: witness {event.org} is paid {amount} for {event.epochs} epochs"
