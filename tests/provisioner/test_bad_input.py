"""What goes wrong around an agent: it keeps running, health says what to do, and it goes on by itself.

Clouds that raise, hang or refuse, kills, and a node that dies are in agent/test_loop; an Ironic that is down
is in plugins/test_ironic_down. Here are the wrong network, missing rights and money, and a deadline that
passes while the agent is dead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from chain import wallet as wallets
from chain.contracts.members import MemberRight
from chain.generated import events as ledger
from chain.generated.enums import BidStatus, EndReason
from tests.provisioner.world import (
    OPERATOR,
    PARAMS,
    Buyer,
    Process,
    Provider,
    Running,
    World,
    health_file,
    wait_for,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def seller(founded: tuple[World, list[Provider], list[Buyer]]) -> Provider:
    """A provider for the tests here that leave no lease behind."""
    return founded[1].pop()


def rewrite(path: Path, **changes: Any) -> None:
    """Change fields of a connection file."""
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def test_with_the_connection_file_of_another_network_it_waits_and_says_so(seller: Provider) -> None:
    """Wrong chain id, genesis and deployment: nothing is read or sent until the file is right."""
    path = seller.folder / "connection.yaml"
    right = path.read_text()
    wrong = {"chain_id": 4711, "genesis_hash": "0x" + "12" * 32, "directory_code_hash": "0x" + "12" * 32}
    said = {
        "chain_id": "not 4711",
        "genesis_hash": "genesis hash",
        "directory_code_hash": "code at Directory",
    }
    for field, value in wrong.items():
        path.write_text(right)
        rewrite(path, **{field: value})
        with Running(seller.settings(field), well=False) as running:
            error = wait_for("health to tell", lambda running=running: running.health()["cycle_error"])
            assert said[field] in error and "Use the connection file" in error and "\n" not in error
            assert not running.health()["ok"] and running.health()["cycles"] == 0
    path.write_text(right)
    with Running(seller.settings("chain_id")) as running:
        wait_for("the agent to be well", lambda: running.health()["ok"])


def test_a_key_without_a_right_is_told_and_goes_on_once_it_has_it(
    world: World, provider: Provider, buyer: Buyer
) -> None:
    settings = provider.settings()
    members = provider.exchange.members
    with Running(settings) as running:
        address = running.agent.address
        wait_for("the agent to be well", lambda: running.health()["ok"])
        world.send(members.set_member(address, MemberRight.DELIVER | MemberRight.RELEASE), provider.exchange)
        lease = buyer.buy(provider, 30)
        told = wait_for(
            "the error", lambda: [e for e in running.health()["errors"] if e["what"] == f"lease/{lease}"]
        )[0]
        assert "lacks the right" in told["message"] and "ocx member set" in told["message"]
        assert not told["needs_a_person"]
        report = running.lease(lease)
        assert report and "lacks the right" in report["why"]
        world.send(members.set_member(address, OPERATOR), provider.exchange)
        buyer.wait_state(lease, "delivered")
        assert running.health()["ok"]
    assert len(buyer.events(ledger.LeaseSigned, lease)) == 1


def test_an_account_of_no_organisation_waits_until_it_is_added(world: World, seller: Provider) -> None:
    wallets.create(seller.folder / "newcomer.json", "let me in", light=True)
    members = seller.exchange.members
    with Running(seller.settings("newcomer", keystore="newcomer"), well=False) as running:
        error = wait_for("health to tell", lambda: running.health()["cycle_error"])
        assert "ocx member set" in error and not running.health()["ok"]
        world.send(members.set_member(running.agent.address, OPERATOR), seller.exchange)
        wait_for("the agent to be well", lambda: running.health()["ok"])


def test_without_credits_for_the_deposit_it_says_so_and_bids_once_it_has_them(
    world: World, seller: Provider, buyer: Buyer
) -> None:
    escrow, tender = seller.exchange.escrow, buyer.exchange.tender
    world.send(escrow.withdraw(escrow.free(seller.org)), seller.exchange)
    with Running(seller.settings("bidder")) as running:
        request = buyer.post(seller.machines[0]["class"], 20, commit=20, reveal=6)

        def told() -> str:
            health = running.health()
            return " ".join(
                [item["message"] for item in health["errors"]]
                + [item["why"] for item in health["tenders"] if item["request"] == request]
            )

        wait_for("health to tell", lambda: "credits" in told())
        assert "ocx credits deposit" in told() and running.health()["ok"]
        assert tender.tender(request).commits == 0
        world.send(world.council.escrow.deposit(seller.org, 10**9))
        wait_for("the bid", lambda: tender.bidder(request, seller.org).status is BidStatus.COMMITTED)


def test_dead_until_after_the_deadline_it_delivers_nothing_and_cleans_up(
    provider: Provider, buyer: Buyer
) -> None:
    settings = provider.settings(cloud={"provision_seconds": 60.0, "release_seconds": 0.2})
    plugin = provider.plugin()
    before = buyer.exchange.escrow.free(buyer.org)
    agent = Process(provider.folder / "agent.yaml")
    with agent.running():
        wait_for("the agent to run", lambda: health_file(settings).get("organisation"))
        lease = buyer.buy(provider, 3 * PARAMS.slot)
        bond = buyer.exchange.settlement.account(lease).bond
        wait_for("the build to begin", plugin.list_owned)
        agent.kill()
        buyer.wait_state(lease, "defaulted")
        agent.start()
        wait_for("the clean-up", lambda: plugin.list_owned() == {})
        wait_for("the record", lambda: buyer.exchange.leases.lease(lease).reason is EndReason.UNDELIVERED)
        wait_for("the end", lambda: lease not in [i["lease"] for i in health_file(settings)["leases"]])
        assert health_file(settings)["pid"] == agent.pid and health_file(settings)["ok"]
        assert agent.stop() == 0
    account = buyer.exchange.settlement.account(lease)
    assert (account.paid, account.bond) == (0, 0)
    assert buyer.exchange.escrow.free(buyer.org) == before + bond
    assert buyer.events(ledger.LeaseDelivered, lease) == []
