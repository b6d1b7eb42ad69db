"""Whose fault it is, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.leaves import Outcome
from witness.attribution import MEANING, Evidence, Reason, attribute
from witness.probes.control import ControlSeen
from witness.probes.guest import GuestSeen
from witness.probes.seen import Finding, Seen

RIGHT, WRONG, OTHER_KEY = Seen(Finding.RIGHT, connected=True), Seen(Finding.WRONG), Seen(Finding.OTHER_KEY)
REFUSED, SILENT, OURS, CUT = (
    Seen(item) for item in (Finding.REFUSED, Finding.SILENT, Finding.OURS, Finding.CUT)
)
HUNG, UNREACHABLE = Seen(Finding.SILENT, connected=True), Seen(Finding.UNREACHABLE)
SIGNED, UNSIGNED = GuestSeen(RIGHT, b"g" * 20), GuestSeen(SILENT)
OFF = ControlSeen(RIGHT, "off", requested_off=True)
DEAD = Evidence(SILENT, reach=True, echo=SILENT)

# ruff: noqa: E501  a table
CASES = {
    "a service that answers is up": (Evidence(RIGHT), Outcome.UP, Reason.ANSWERS),
    "with the guest's receipt where it is asked for": (
        Evidence(RIGHT, guest=SIGNED, guest_required=True), Outcome.UP, Reason.ANSWERS),
    "without it, the tenant's responder is missing": (
        Evidence(RIGHT, guest=UNSIGNED, guest_required=True), Outcome.BUYER, Reason.NO_RECEIPT),
    "unless it was us who could not ask": (
        Evidence(RIGHT, guest=GuestSeen(OURS), guest_required=True), Outcome.PATH, Reason.OURS),
    "our own trouble blames nobody": (Evidence(OURS, reach=True), Outcome.PATH, Reason.OURS),
    "another host key is another machine": (Evidence(OTHER_KEY, reach=True), Outcome.PROVIDER, Reason.OTHER_MACHINE),
    "unless this very guest signs: the tenant made a new key": (
        Evidence(OTHER_KEY, guest=SIGNED, reach=True), Outcome.BUYER, Reason.NEW_KEY),
    "a machine nobody hears of is the provider's": (DEAD, Outcome.PROVIDER, Reason.SILENT),
    "also where the network says so": (replace(DEAD, service=UNREACHABLE), Outcome.PROVIDER, Reason.SILENT),
    "not if we are cut off": (replace(DEAD, reach=False), Outcome.PATH, Reason.NO_REACH),
    "nor if we cannot know whether we are": (replace(DEAD, reach=None), Outcome.PATH, Reason.NO_REACH),
    "off as the buyer wished, by the chain": (replace(DEAD, power_off=True), Outcome.BUYER, Reason.OFF_BY_BUYER),
    "off as the buyer wished, by the provider's word alone": (
        replace(DEAD, control=OFF), Outcome.PROVIDER, Reason.OFF),
    "the provider's edge is gone with it": (replace(DEAD, edge=SILENT), Outcome.PROVIDER, Reason.EDGE),
    "the provider's edge answers": (replace(DEAD, edge=RIGHT), Outcome.PROVIDER, Reason.SILENT),
    "a host that refuses lives": (replace(DEAD, service=REFUSED), Outcome.BUYER, Reason.SERVICE),
    "a host that connects and hangs lives": (replace(DEAD, service=HUNG), Outcome.BUYER, Reason.SERVICE),
    "a host that echoes lives": (replace(DEAD, echo=RIGHT), Outcome.BUYER, Reason.SERVICE),
    "a guest that signs lives": (replace(DEAD, guest=SIGNED), Outcome.BUYER, Reason.SERVICE),
    "a service with another banner lives": (replace(DEAD, service=WRONG), Outcome.BUYER, Reason.SERVICE),
    "at a shared address a refusal is nobody's": (
        replace(DEAD, service=REFUSED, own_address=False), Outcome.PROVIDER, Reason.SILENT),
    "nor is an echo": (replace(DEAD, echo=RIGHT, own_address=False), Outcome.PROVIDER, Reason.SILENT),
    "nor a connection that is cut": (
        replace(DEAD, service=replace(CUT, connected=True), own_address=False), Outcome.PROVIDER, Reason.SILENT),
    "but what the guest signs is": (
        replace(DEAD, service=REFUSED, guest=SIGNED, own_address=False), Outcome.BUYER, Reason.SERVICE),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_whose_fault(case: str) -> None:
    evidence, outcome, reason = CASES[case]
    found = attribute(evidence)
    assert (found.outcome, found.reason) == (outcome, reason)


def test_every_reason_has_words() -> None:
    assert set(MEANING) == set(Reason)
