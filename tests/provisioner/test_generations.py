"""An upgrade drill: the rules change while a lease runs; one agent sees it out and serves new ones, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chain.contracts.book import OfferTerms
from chain.exchange import Exchange
from chain.generated import events as ledger
from chain.upgrade import Upgrade, deploy_next
from market.errors import InvalidInput, Refused
from market.windows import SlotWindow
from tests.engine import begun
from tests.provisioner.world import FAR, PARAMS, Buyer, Party, Provider, Running, World, wait_for


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An exchange of its own: nobody else's shall be upgraded."""
    with begun(FAR) as node:
        yield World(node, tmp_path_factory.mktemp("generations"))


def afresh(world: World, party: Party) -> Exchange:
    """What somebody sees who opens the exchange now."""
    assert party.exchange.wallet
    party.exchange.sender.close()
    return world.open(party.exchange.wallet, f"again-{party.org}")


def put_in_force(world: World) -> Upgrade:
    """Deploy the next generation, announce it, wait for the time lock, carry it out."""
    made = deploy_next(world.council, PARAMS)
    step, call = made.next_step(world.council)
    assert step == "announced"
    world.send(call)

    def ready() -> bool:
        try:
            return made.next_step(world.council)[0] == "done"
        except Refused:
            return False

    wait_for("the time lock", ready)
    world.send(made.next_step(world.council)[1])
    return made


def test_one_agent_serves_old_leases_and_new_ones(world: World) -> None:
    provider, buyer = world.provider("bm.old"), world.buyer()
    world.begin()
    with Running(provider.settings()):
        old = buyer.buy(provider, 120)
        buyer.wait_state(old, "delivered")
        buyer.accept(old)

    made = put_in_force(world)
    old_contract = buyer.exchange.leases.address
    buyer.exchange, provider.exchange = afresh(world, buyer), afresh(world, provider)
    assert buyer.exchange.leases.addresses == (old_contract, made.record.addresses["Leases"])
    assert buyer.exchange.leases.lease(old).buyer == buyer.org
    with pytest.raises(Refused, match="right"):  # its old offer is there, and sells nothing any more
        buyer.buy(provider, 60, delay=600)

    with Running(provider.settings()) as running:
        new = _bought_anew(provider, buyer, place=1)
        assert (new, buyer.exchange.leases.numbers()) == (made.base + 1, [old, made.base + 1])
        buyer.wait_state(new, "delivered")
        buyer.accept(new)
        for lease in (old, new):
            assert buyer.open(buyer.gateway(running.server.url, running.server.key_hash), lease)
            buyer.send(buyer.exchange.leases.end_early(lease))
            buyer.wait_state(lease, "terminated")
            wait_for(f"the end of {lease}", lambda lease=lease: lease not in running.store.open_leases())
            assert buyer.exchange.settlement.account(lease).closed
        assert provider.plugin().list_owned() == {}
        assert running.health()["ok"]


def test_a_generation_that_is_not_there_and_slots_of_another_length_are_refused(world: World) -> None:
    world.council.sender.close()
    assert world.council.wallet
    world.council = world.open(world.council.wallet, "council")
    with pytest.raises(InvalidInput, match="no generation 7"):
        _ = Exchange(world.council.connection, generation=7).leases
    with pytest.raises(InvalidInput, match="in every generation"):
        deploy_next(world.council, type(PARAMS)(slot=PARAMS.slot + 1))


def _bought_anew(provider: Provider, buyer: Buyer, place: int) -> int:
    """A lease of the new generation on one of the provider's machines."""
    resource = provider.resources[place]
    now = provider.exchange.now() // PARAMS.slot
    terms = OfferTerms(SlotWindow(now, now + 1800), 1_000_000, 2_000_000)
    told = provider.exchange.events(provider.exchange.send(provider.exchange.book.publish(terms, [resource])))
    [published] = [event for event in told if isinstance(event, ledger.OfferPublished)]
    call = buyer.exchange.book.buy_now(published.offer, [resource], buyer.window(60))
    [opened] = [event for event in buyer.send(call) if isinstance(event, ledger.LeaseOpened)]
    return opened.lease
