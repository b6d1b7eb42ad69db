"""The agent against a real chain and a cloud that survives it."""

from __future__ import annotations

from tests.provisioner.world import KEY, Buyer, Provider, Running, wait_for


def test_a_bought_lease_is_delivered_wiped_and_settled(provider: Provider, buyer: Buyer) -> None:
    settings = provider.settings()
    with Running(settings) as running:
        before = buyer.exchange.escrow.free(buyer.org), buyer.exchange.escrow.free(provider.org)
        lease = buyer.buy(provider, 8)
        buyer.wait_state(lease, "delivered")
        client = buyer.gateway(running.server.url, running.server.key_hash)
        document = buyer.open(client, lease)
        assert [e.resource for e in document.resources] == [provider.resources[0]]
        assert document.ssh_private_key is not None
        buyer.send(buyer.exchange.leases.accept(lease))
        buyer.wait_state(lease, "completed", limit=20)
        wait_for("the lease to be finished with", lambda: lease not in running.store.open_leases())
        account = buyer.exchange.settlement.account(lease)
        after = buyer.exchange.escrow.free(buyer.org), buyer.exchange.escrow.free(provider.org)
        assert account.closed and account.bond == 0 and account.paid > 0
        assert before[0] - after[0] == after[1] - before[1] == account.paid
        assert provider.plugin().list_owned() == {}
        print(running.health(), running.store.metric(lease))
