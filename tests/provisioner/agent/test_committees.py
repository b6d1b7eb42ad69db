"""Leases with an SLA, from the agent's side: two of them, lived through at once on a chain of short epochs.

One is proven by its committee, switched off and on by its buyer, drawn while it runs, and paid for. Nobody
confirms the other. The witnesses here only say what they saw delivered; they measure nothing.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chain.contracts.book import OfferTerms
from chain.contracts.members import Role
from chain.exchange import Exchange
from chain.gateway import GatewayClient
from chain.generated import events as ledger
from chain.generated.enums import Committee, EndReason
from chain.lease_endpoints import MachineStatus, Told, host_key_hash, host_port
from chain.power import Action
from chain.wire import Block
from market.errors import Refused
from market.verdicts import Sla, Tier
from market.windows import SlotWindow
from provisioner.agent.power_records import PowerRecorder
from tests.chain.network import anvil, wallet
from tests.provisioner.asking import Tenancy
from tests.provisioner.responding import answers, ask, question
from tests.provisioner.world import FAR, PARAMS, Buyer, Provider, Running, World, wait_for

pytestmark = pytest.mark.timeout(240)

EPOCH = 4
SHORT = dataclasses.replace(
    PARAMS, epoch=EPOCH, rounds=4, restore_time=1, power_time=60, accept_time=18, wipe_time=20
)
SECONDS = 36


@dataclass
class Story:
    """What was seen, by name; and who took part."""

    world: World
    buyer: Buyer
    witnesses: list[Exchange]
    lease: int = 0
    silent: int = 0
    found: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Both leases, lived through."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        world = World(node, tmp_path_factory.mktemp("sla"), SHORT)
        witnesses = [_witness(world, number) for number in range(3)]
        buyer, provider, stranger = world.buyer(), world.provider("bm.sla"), world.buyer()
        offer = _offer_with_sla(world, provider)
        world.begin()
        told = Story(world, buyer, witnesses)
        cloud = {"guests": True, "guest_while_pid": os.getpid()}
        with Running(provider.settings(cloud=cloud)) as running:
            told.lease = buyer.buy(provider, SECONDS, offer=offer)
            told.silent = buyer.buy(provider, SECONDS, places=(1,), offer=offer)
            _live(told, running, provider, stranger)
        yield told


def _witness(world: World, number: int) -> Exchange:
    """An organisation in the pool; the exchange of its signing key."""
    party = world.admit("witness", Role.WITNESS)
    signer = wallet(5000 + number)
    assert party.exchange.witnesses
    world.do(party.exchange.witnesses.join(signer.address, SHORT.min_stake), party.exchange)
    return world.open(signer, f"signer-{number}")


def _offer_with_sla(world: World, provider: Provider) -> int:
    """The provider's machines, with a promise."""
    exchange = provider.exchange
    assert exchange.verdicts
    world.do(exchange.verdicts.register_sla(Sla((Tier(900_000, 500_000, 2),), guest=True)), exchange)
    now, before = int(time.time()) // PARAMS.slot, exchange.book.offer_count()
    terms = OfferTerms(SlotWindow(now, now + 1800), 1_000_000, 2_000_000, sla=1)
    world.do(exchange.book.publish(terms, provider.resources), exchange)
    return int(wait_for("the offer", lambda: (n := exchange.book.offer_count()) > before and n))


def _live(told: Story, running: Running, provider: Provider, stranger: Buyer) -> None:
    """Live through both leases, from the outside."""
    exchange, found, lease = told.buyer.exchange, told.found, told.lease
    for number in (lease, told.silent):
        told.buyer.wait_state(number, "delivered")
    drawn = wait_for("the committee", lambda: exchange.leases.lease(lease).committee is Committee.DRAWN)
    found["drawn"] = drawn, exchange.witnesses.committee(lease, 0)  # type: ignore[union-attr]

    where = running.server.url, running.server.key_hash
    seat = _client(told.witnesses[0], where)
    found["endpoints"] = seat.endpoints(lease)
    found["delivered"] = told.buyer.events(ledger.LeaseDelivered, lease)[-1]
    guest = host_port(found["endpoints"].endpoints[0].guest)
    wait_for("the responder", lambda: answers(guest))
    found["guest"] = ask(guest, question())["guest"]
    found["on"] = wait_for("a reading", lambda: _power(seat.status(lease), "on"))
    for number in (lease, told.silent):
        with pytest.raises(Refused, match="none that this account buys or witnesses"):
            stranger.gateway(*where).endpoints(number)

    for witness in told.witnesses[:2]:
        kept = witness.leases.lease(lease)
        witness.send(witness.witnesses.seen(lease, 1, kept.delivery, [found["guest"]]))  # type: ignore[union-attr]
    found["proven"] = told.buyer.wait_state(lease, "active")
    found["buyer"] = told.buyer.gateway(*where).endpoints(lease)
    found["sealed"], _ = told.buyer.gateway(*where).connection(lease)
    found["guests"] = exchange.witnesses.guests_of(lease)  # type: ignore[union-attr]

    tenancy = Tenancy(told.buyer, provider, told.buyer.gateway(*where), lease)
    tenancy.do(Action.OFF)
    found["off"] = wait_for("a reading", lambda: _power(seat.status(lease), "off"))
    found["recorded off"] = exchange.verdicts.power_of(lease)  # type: ignore[union-attr]
    found["evidence"] = running.agent.asks.kept.power_requests(lease)
    tenancy.do(Action.ON)
    found["on again"] = wait_for("a reading", lambda: _power(seat.status(lease), "on"))
    found["recorded on"] = exchange.verdicts.power_of(lease)  # type: ignore[union-attr]
    _record_twice(found, running, lease)

    told.found["condition"] = wait_for(
        "health to tell", lambda: running.conditions().get("delivery-unproven"), 30
    )
    _end(told, running)


def _client(exchange: Exchange, where: tuple[str, bytes]) -> GatewayClient:
    """A witness at the gateway: with its signing key, which is nobody's member."""
    assert exchange.wallet
    return GatewayClient(*where, exchange.wallet, exchange.connection.chain_id, exchange.connection.directory)


def _power(told: tuple[MachineStatus, ...], word: str) -> MachineStatus | None:
    """The status of the only machine, once its power is so."""
    return told[0] if told[0].power == word else None


def _record_twice(found: dict[str, Any], running: Running, lease: int) -> None:
    """The second agent of a provider, whose journal knows nothing, comes to the same request."""
    second = Exchange(
        running.exchange.connection,
        wallet(7000),
        running.store.path.parent / "second",
        rpc=running.exchange.rpc,
    )
    recorder = PowerRecorder(second, running.store, clock=time.time)
    last = running.agent.asks.kept.power_requests(lease)[-1]
    recorder.record(last)
    found["twice"] = running.store.journal(f"power/{lease}")[-1]
    old = dataclasses.replace(last, nonce=(last.nonce or 0) - 1)
    with pytest.raises(Refused):
        recorder.record(old)


def _end(told: Story, running: Running) -> None:
    """Until the agent is through with both."""
    exchange, found = told.buyer.exchange, told.found
    told.buyer.wait_state(told.silent, "defaulted", limit=60)
    found["silent"] = exchange.leases.lease(told.silent)
    wait_for("money that is final", lambda: exchange.settlement.account(told.lease).paid, 60)
    found["first draw"] = exchange.rpc.head(), exchange.leases.lease(told.lease)
    told.buyer.wait_state(told.lease, "completed", limit=60)
    for number in (told.lease, told.silent):
        wait_for(f"the end of {number}", lambda n=number: running.lease(n) is None, 90)
        found[f"paid {number}"] = exchange.verdicts.next_pay(number)  # type: ignore[union-attr]
        found[f"account {number}"] = exchange.settlement.account(number)
    found["health"] = running.health()


# ---- what was seen -------------------------------------------------------------------------------------


def test_the_agent_has_the_committee_drawn_at_once_where_all_may_sit(story: Story) -> None:
    drawn, committee = story.found["drawn"]
    assert drawn and len(committee.seats) == 3 and committee.quorum == 2


def test_seat_and_buyer_are_told_the_same_endpoints_as_the_chain(story: Story) -> None:
    told: Told = story.found["endpoints"]
    assert told == story.found["buyer"]
    delivered = story.found["delivered"]
    assert told.connection_hash == delivered.connection_hash
    assert host_key_hash(told.endpoints) == delivered.host_key


def test_a_proof_of_the_committee_accepts_with_the_key_of_the_guest(story: Story) -> None:
    assert story.found["proven"] == "active"
    assert [guest.lower() for guest in story.found["guests"]] == [story.found["guest"]]


def test_the_control_plane_tells_power_its_age_and_who_wanted_it_so(story: Story) -> None:
    on, off, again = (story.found[name] for name in ("on", "off", "on again"))
    assert (on.state, on.requested_off) == ("ready", False)
    assert off.requested_off and not again.requested_off
    assert all(item.age is not None and item.age < 10 for item in (on, off, again))


def test_a_power_request_is_on_the_chain_before_the_machine_is_off_and_is_kept(story: Story) -> None:
    [(begun, until)] = story.found["recorded off"]
    assert until > 1 << 39 and begun <= story.found["evidence"][-1].ended
    [(begun_again, ended)] = story.found["recorded on"]
    assert begun_again == begun < ended < 1 << 39
    assert story.found["evidence"][-1].signature is not None


def test_what_another_agent_recorded_is_not_recorded_twice(story: Story) -> None:
    step, _, _, result, error = story.found["twice"]
    assert step.startswith("record on") and error is None and "another agent" in result


def test_final_money_is_drawn_while_the_lease_runs(story: Story) -> None:
    head, lease = story.found["first draw"]
    assert isinstance(head, Block) and head.timestamp < lease.end * PARAMS.slot


def test_nobody_confirmed_the_other_so_it_is_unproven_wiped_and_over(story: Story) -> None:
    assert "neither accepted nor proven" in story.found["condition"]
    silent = story.world.council.leases.lease(story.silent)
    assert silent.reason is EndReason.UNPROVEN and silent.wiped_at


def test_in_the_end_all_is_settled_and_paid(story: Story) -> None:
    for number in (story.lease, story.silent):
        assert story.found[f"paid {number}"][1] is True
        assert story.found[f"account {number}"].closed and story.found[f"account {number}"].fee == 0
    assert story.found["health"]["errors"] == []
