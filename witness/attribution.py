"""Whose fault is it? From what one witness saw of one machine in one round, to one outcome with its reason.

Pure: no input or output, no clock. The rules, in order (W7, W8, W10):

1. we could not ask -> path: a witness never blames others for its own trouble;
2. the service answers rightly, and the guest signed if the SLA asks for it -> up;
3. the service answers rightly, the guest did not sign -> buyer: the machine is there, the responder is not;
4. another host key -> provider, that is another machine; or, if this guest signed, its tenant made a new key
   -> buyer;
5. our own network does not work, by the references -> path;
6. the chain holds the buyer's signed wish that it be off -> buyer;
7. the host lives (it answers wrongly, refuses, connects, echoes, or its guest signs), the service does not
   -> buyer;
8. else -> provider.

What this cannot tell: a provider can answer for a dead host with a refusal or an echo of its own, and a buyer
can silence a living one with a firewall. That is why SLAs above the lowest tier ask for the guest's
signature, which neither can forge, and why canaries exist (docs/witness-model.md). A provider's own word
never shifts blame; it is kept as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chain.leaves import Outcome
from witness.probes.control import ControlSeen
from witness.probes.guest import GuestSeen
from witness.probes.seen import Finding, Seen

__all__ = ["Evidence", "Found", "Reason", "attribute"]


class Reason(StrEnum):
    """Why a measurement came out as it did; logged with it, and told to both parties."""

    ANSWERS = "answers"
    LATE = "late"
    CLOCK = "clock"
    OURS = "ours"
    NO_REACH = "no-reach"
    NO_RECEIPT = "no-receipt"
    NEW_KEY = "new-key"
    OFF_BY_BUYER = "off-by-buyer"
    SERVICE = "service"
    OTHER_MACHINE = "other-machine"
    OFF = "off"
    EDGE = "edge"
    SILENT = "silent"


MEANING = {
    Reason.ANSWERS: "the service answers as it should",
    Reason.LATE: "the measurement began too late: this witness was overloaded",
    Reason.CLOCK: "this witness did not trust its clock",
    Reason.OURS: "this witness could not ask",
    Reason.NO_REACH: "this witness's own network did not work",
    Reason.NO_RECEIPT: "the service answers, the responder in the machine does not",
    Reason.NEW_KEY: "another SSH host key, on the same machine: its guest signed",
    Reason.OFF_BY_BUYER: "it is off, as the buyer asked in writing",
    Reason.SERVICE: "the host lives, its service does not answer as it should",
    Reason.OTHER_MACHINE: "a machine with another host key answers",
    Reason.OFF: "nothing answers; the provider's control plane says it is off, and no buyer asked for that",
    Reason.EDGE: "nothing answers, nor does the provider's own network edge",
    Reason.SILENT: "nothing answers",
}
"""Each reason in words."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen. None: was not asked, or cannot be.

    `own_address`: the address is this machine's alone, so that whoever refuses or echoes there is its system;
    at one that is forwarded or shared (a NAT's, our own loopback) only what the service or the guest says is
    a sign of life. `reach`: whether our own network works, by references that are not the provider's; None:
    there are none. `power_off`: the chain holds the buyer's wish that it be off.
    """

    service: Seen
    own_address: bool = True
    guest: GuestSeen | None = None
    guest_required: bool = False
    reach: bool | None = None
    power_off: bool = False
    echo: Seen | None = None
    control: ControlSeen | None = None
    edge: Seen | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of one measurement, and why."""

    outcome: Outcome
    reason: Reason


def attribute(seen: Evidence) -> Found:
    """Judge one measurement by the rules above."""
    signed = seen.guest is not None and seen.guest.seen.right
    if seen.service.finding is Finding.OURS:
        return Found(Outcome.PATH, Reason.OURS)
    if seen.service.right:
        return _of_answering(seen, signed)
    if seen.service.finding is Finding.OTHER_KEY:
        return (
            Found(Outcome.BUYER, Reason.NEW_KEY) if signed else Found(Outcome.PROVIDER, Reason.OTHER_MACHINE)
        )
    lives = signed or _shows_life(seen)
    if not lives and not seen.reach:
        return Found(Outcome.PATH, Reason.NO_REACH)
    if seen.power_off:
        return Found(Outcome.BUYER, Reason.OFF_BY_BUYER)
    if lives:
        return Found(Outcome.BUYER, Reason.SERVICE)
    return Found(Outcome.PROVIDER, _of_silence(seen))


def _shows_life(seen: Evidence) -> bool:
    """Whether the host is there, by what came back besides a right answer."""
    if seen.service.finding is Finding.WRONG:
        return True
    return seen.own_address and (seen.service.answers or (seen.echo is not None and seen.echo.right))


def _of_answering(seen: Evidence, signed: bool) -> Found:
    if signed or not seen.guest_required:
        return Found(Outcome.UP, Reason.ANSWERS)
    if seen.guest is not None and seen.guest.seen.finding is Finding.OURS:
        return Found(Outcome.PATH, Reason.OURS)
    return Found(Outcome.BUYER, Reason.NO_RECEIPT)


def _of_silence(seen: Evidence) -> Reason:
    """What else is known of a machine that is down by its provider's fault."""
    if seen.control is not None and seen.control.seen.right:
        return Reason.OFF if seen.control.power == "off" else Reason.SILENT
    if seen.edge is not None and not seen.edge.right:
        return Reason.EDGE
    return Reason.SILENT
