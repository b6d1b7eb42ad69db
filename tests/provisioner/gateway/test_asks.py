"""Who may ask what of a running machine at the gateway: refusals, each with words that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chain.contracts.members import MemberRight
from chain.power import Action, PowerRequest
from chain.wallet import Wallet
from market.errors import InvalidInput, OcxError, Refused, Temporary
from provisioner.gateway.asks import MOST_PER_HOUR, SKEW
from provisioner.store.asks import CONSOLE
from tests.chain.network import wallet
from tests.provisioner.agent.test_asks import ask_row
from tests.provisioner.asking import Bare, Tenancy, rent
from tests.provisioner.world import Buyer, Provider, Running, World


@pytest.fixture(scope="module")
def living(founded: tuple[World, list[Provider], list[Buyer]]) -> Iterator[tuple[Running, Tenancy]]:
    """An agent, its gateway, and a delivered lease of one machine."""
    provider, buyer = founded[1].pop(), founded[2][0]
    with Running(provider.settings()) as running:
        yield running, rent(running, provider, buyer, 600)


@pytest.fixture
def tenancy(living: tuple[Running, Tenancy]) -> Tenancy:
    """That lease."""
    return living[1]


def refused(tenancy: Tenancy, request: PowerRequest, kind: type[OcxError] = Refused, **signing: Any) -> str:
    """Hand in a request that must be refused; what the gateway says."""
    last = tenancy.client.power(tenancy.lease)
    with pytest.raises(kind) as caught:
        tenancy.client.ask_power(request, tenancy.signed(request, **signing))
    assert tenancy.client.power(tenancy.lease) == last, "nothing was kept of it"
    return caught.value.message


def test_a_request_counts_once(tenancy: Tenancy) -> None:
    request = tenancy.request(Action.ON)
    signature = tenancy.signed(request)
    tenancy.client.ask_power(request, signature)
    assert tenancy.wait_power("done")["nonce"] == request.nonce
    with pytest.raises(Refused, match="not larger than that of the last"):
        tenancy.client.ask_power(request, signature)
    assert "not larger" in refused(tenancy, tenancy.request(Action.OFF, nonce=request.nonce))
    assert "not larger" in refused(tenancy, tenancy.request(Action.OFF, nonce=0))


def test_a_nonce_far_ahead_would_lock_everybody_out(tenancy: Tenancy) -> None:
    ahead = int((time.time() + SKEW + 60) * 1000)
    assert "too large" in refused(tenancy, tenancy.request(Action.OFF, nonce=ahead))


@pytest.mark.parametrize("away", [-SKEW - 5, SKEW + 5])
def test_a_request_of_another_time_is_refused(tenancy: Tenancy, away: int) -> None:
    request = tenancy.request(Action.OFF, time=int(time.time()) + away)
    assert "by the provider's clock" in refused(tenancy, request)


def test_a_request_for_another_chain_or_contract_is_refused(tenancy: Tenancy) -> None:
    request = tenancy.request(Action.OFF)
    assert "not signed by" in refused(tenancy, request, chain=1)
    assert "not signed by" in refused(tenancy, request, leases="0x" + "cd" * 20)


def test_what_another_account_signed_is_refused(tenancy: Tenancy, stranger: Buyer) -> None:
    assert "not signed by" in refused(tenancy, tenancy.request(Action.OFF), by=stranger.exchange.wallet)


def test_what_was_signed_for_something_else_is_refused(tenancy: Tenancy) -> None:
    signature = tenancy.signed(tenancy.request(Action.ON, nonce=1))
    with pytest.raises(Refused, match="not signed by"):
        tenancy.client.ask_power(tenancy.request(Action.OFF), signature)
    with pytest.raises(Refused, match="malformed"):
        tenancy.client.ask_power(tenancy.request(Action.OFF), b"\1" * 65)


def test_a_request_for_another_lease_is_refused(tenancy: Tenancy) -> None:
    request = tenancy.request(Action.OFF, lease=tenancy.lease + 1)
    body = request.to_json() | {"signature": "0x" + tenancy.signed(request).hex()}
    with pytest.raises(Refused, match="is for lease"):
        tenancy.client._authorised("POST", f"/v1/leases/{tenancy.lease}/power", body)


@pytest.mark.parametrize(
    "change",
    [{"action": "explode"}, {"nonce": "1"}, {"time": 1 << 50}, {"signature": "0xzz"}, {"more": 1}],
)
def test_what_is_no_power_request_is_refused(tenancy: Tenancy, change: dict[str, Any]) -> None:
    request = tenancy.request(Action.OFF)
    body = request.to_json() | {"signature": "0x" + tenancy.signed(request).hex()} | change
    with pytest.raises(InvalidInput):
        tenancy.client._authorised("POST", f"/v1/leases/{tenancy.lease}/power", body)


@pytest.mark.parametrize("who", ["stranger", "clerk", "provider"])
def test_only_who_may_buy_for_the_buyer_asks_and_looks(
    living: tuple[Running, Tenancy], stranger: Buyer, buyer: Buyer, who: str
) -> None:
    running, tenancy = living
    clerk = wallet(987656)
    if who == "clerk":
        buyer.send(buyer.exchange.members.set_member(clerk.address, MemberRight.RELEASE))
    wallets = {"stranger": stranger.exchange.wallet, "clerk": clerk, "provider": running.exchange.wallet}
    by: Wallet | None = wallets[who]
    assert by
    network = tenancy.buyer.exchange.connection
    client = type(tenancy.client)(
        running.server.url, running.server.key_hash, by, network.chain_id, network.directory
    )
    request = tenancy.request(Action.OFF)
    resource = tenancy.provider.resources[0]
    calls: list[Callable[[], object]] = [
        lambda: client.ask_power(request, tenancy.signed(request, by=by)),
        lambda: client.power(tenancy.lease),
        lambda: client.ask_console(tenancy.lease, resource),
        lambda: client.console(tenancy.lease, resource),
    ]
    for call in calls:
        with pytest.raises(Refused, match="none of this account"):
            call()


def test_a_lease_is_rebooted_once_in_ten_seconds(tenancy: Tenancy) -> None:
    tenancy.do(Action.REBOOT)
    assert "rebooted within 10 s" in refused(tenancy, tenancy.request(Action.REBOOT), Temporary)
    tenancy.do(Action.ON)


def test_a_lease_asks_for_so_much_an_hour(living: tuple[Running, Tenancy], tenancy: Tenancy) -> None:
    running, _ = living
    kept, resource = running.agent.asks.kept, tenancy.provider.resources[0]
    for _ in range(MOST_PER_HOUR):
        added = kept.add(ask_row(tenancy.lease, time.time(), kind=CONSOLE, resource=99, wanted=(99,)))
        kept.fail(added.id, "test", time.time())
    with pytest.raises(Temporary, match="in an hour"):
        tenancy.client.ask_console(tenancy.lease, resource)


@pytest.mark.parametrize(
    "body", [{}, {"resource": "1", "action": "open"}, {"resource": 1, "action": "x"}, {"more": 1}]
)
def test_what_is_no_console_request_is_refused(tenancy: Tenancy, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        tenancy.client._authorised("POST", f"/v1/leases/{tenancy.lease}/console", body)


def test_there_is_no_console_of_a_node_that_is_not_of_the_lease(tenancy: Tenancy) -> None:
    for resource in (0, 12345):
        with pytest.raises(Refused, match="not one that was delivered"):
            tenancy.client.ask_console(tenancy.lease, resource)
    with pytest.raises(Refused, match="no such call"):
        tenancy.client._authorised("GET", f"/v1/leases/{tenancy.lease}/console/x")


def test_a_lease_that_is_not_delivered_or_is_over_has_no_power(provider: Provider, buyer: Buyer) -> None:
    settings = provider.settings(cloud={"provision_seconds": 2.0})
    with Running(settings) as running:
        lease = buyer.buy(provider, 60)
        client = buyer.gateway(running.server.url, running.server.key_hash)
        early = Tenancy(buyer, provider, client, lease)
        assert "not delivered yet" in refused(early, early.request(Action.OFF), Temporary)
        buyer.wait_state(lease, "delivered")
        early.do(Action.OFF)
        buyer.send(buyer.exchange.leases.end_early(lease))
        buyer.wait_state(lease, "ending", "terminated", "completed")
        assert f"lease {lease} is " in refused(early, early.request(Action.ON))
        with pytest.raises(Refused, match=f"lease {lease} is "):
            client.ask_console(lease, provider.resources[0])


def test_a_plugin_without_the_capability_is_named(provider: Provider, buyer: Buyer) -> None:
    running = Running(provider.settings())
    running.agent.clouds.plugins = {"fake": Bare.from_settings(provider.fake)}
    with running:
        tenancy = rent(running, provider, buyer, 300)
        said = refused(tenancy, tenancy.request(Action.OFF))
        assert said.endswith(
            f"node {provider.resources[0]} is run by the plugin fake, which cannot switch its power"
        )
        with pytest.raises(Refused, match="the plugin fake, which cannot open its console"):
            tenancy.client.ask_console(tenancy.lease, provider.resources[0])
