"""Leases whose end moves while they run: nothing may go by the end that was agreed first."""

from __future__ import annotations

import time

from chain.contracts.book import OfferTerms
from chain.contracts.leases import Trait
from chain.generated import events as ledger
from chain.generated.enums import EndReason, Fault
from market.windows import SlotWindow
from tests.provisioner.world import PARAMS, Buyer, Provider, Running, wait_for


def second(slot: int) -> int:
    """When a slot begins."""
    return slot * PARAMS.slot


def test_an_extended_lease_keeps_its_machine_and_its_access_beyond_the_old_end(
    provider: Provider, buyer: Buyer
) -> None:
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 10)
        buyer.wait_state(lease, "delivered")
        buyer.accept(lease)
        chain = buyer.exchange
        old = chain.leases.lease(lease).end
        more = buyer.send(chain.amendments.extend(lease, old + 5, 2_000_000))
        assert [e.end for e in more if isinstance(e, ledger.LeaseExtended)] == [old + 5]
        # The agent looks at the old end; a moment later it must have left everything as it is.
        wait_for("the old end to pass", lambda: chain.now() >= second(old) + 3)
        assert buyer.state(lease) == "active"
        [status] = provider.plugin().list_owned().values()
        assert status.state.value == "ready"
        assert chain.leases.lease(lease).wiped_at == 0
        document = buyer.open(buyer.gateway(running.server.url, running.server.key_hash), lease)
        assert [e.resource for e in document.resources] == [provider.resources[0]]
        told = running.lease(lease)
        assert told is not None and told["step"] == "Wait"
        kept = running.store.lease_window(lease)
        assert kept is not None and kept[0].end_slot == old + 5

        buyer.wait_state(lease, "completed", limit=30)
        assert chain.leases.lease(lease).wiped_at >= second(old + 5)
        assert provider.plugin().list_owned() == {}
        wait_for("the end of the business", lambda: lease not in running.store.open_leases())
        account = chain.settlement.account(lease)
        assert account.closed and account.bond == 0


def test_a_lease_taken_back_is_wiped_at_its_time_and_not_before(provider: Provider, buyer: Buyer) -> None:
    chain, now = provider.exchange, int(time.time()) // PARAMS.slot
    terms = OfferTerms(SlotWindow(now, now + 600), 1_000_000, 2_000_000, traits=Trait.RECLAIMABLE)
    sent = chain.events(chain.send(chain.book.publish(terms, provider.resources)))
    [offer] = [e.offer for e in sent if isinstance(e, ledger.OfferPublished)]
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 300, offer=offer)
        buyer.wait_state(lease, "delivered")
        buyer.accept(lease)
        at = chain.now() + PARAMS.reclaim_notice + 4
        chain.send(chain.amendments.reclaim(lease, at))
        wait_for("the end to come near", lambda: chain.now() >= at - 3)
        assert chain.now() < at and buyer.state(lease) == "active"
        [status] = provider.plugin().list_owned().values()
        assert status.state.value == "ready"
        buyer.open(buyer.gateway(running.server.url, running.server.key_hash), lease)

        buyer.wait_state(lease, "terminated", limit=30)
        kept = chain.leases.lease(lease)
        assert kept.ended_at == at <= kept.wiped_at < at + 20
        assert chain.leases.end_of(lease) == (EndReason.RECLAIMED, Fault.PROVIDER)
        assert provider.plugin().list_owned() == {}
        wait_for("the end of the business", lambda: lease not in running.store.open_leases())
        assert chain.settlement.account(lease).bond == 0
