"""`ocx provider check`: every finding names what is missing and what to do, before the first lease."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import yaml

from chain import wallet as wallets
from chain.contracts.members import MemberRight
from daemons.findings import Finding
from provisioner.check import examine
from provisioner.settings import Settings
from tests.chain.network import anvil, free_port
from tests.provisioner.world import OPERATOR, Provider, Running, World


def found(settings: Settings, severity: str = "missing", ahead: float = 0.0) -> list[str]:
    """The findings of one severity, with a clock so far ahead."""
    told = examine(settings, lambda: time.time() + ahead)
    assert all("\n" not in str(item) and item.todo for item in told)
    return [str(item) for item in told if item.severity == severity]


def endpoints(provider: Provider, *urls: str) -> None:
    """Make these the endpoints of its connection file."""
    path = provider.folder / "connection.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"rpc_urls": list(urls)}))


@pytest.fixture(scope="module")
def seller(founded: tuple[World, list[Provider], list[object]]) -> Provider:
    """A provider for the tests here."""
    return founded[1].pop()


@pytest.fixture
def settings(seller: Provider, world: World) -> Settings:
    """Its settings, the connection file as it should be."""
    endpoints(seller, world.node.url)
    return seller.settings()


def test_before_the_first_start_the_gateway_is_missing_and_the_rest_is_advice(
    settings: Settings,
) -> None:
    assert found(settings) == ["the organisation has no gateway; register it: ocx member gateway"]
    [advice] = found(settings, "advice")
    assert "one endpoint only" in advice


def test_a_gateway_that_is_registered_must_answer_with_its_key_once_the_agent_runs(
    world: World, seller: Provider, settings: Settings
) -> None:
    members = seller.exchange.members
    with Running(settings) as running:
        world.send(members.set_gateway(running.server.url, running.server.key_hash), seller.exchange)
        settings.state_dir.chmod(0o700)
        assert found(settings) == []
        world.send(members.set_gateway(running.server.url, b"\1" * 32), seller.exchange)
        assert any("key is not the registered one" in line for line in found(settings))
        world.send(members.set_gateway(running.server.url, running.server.key_hash), seller.exchange)
    assert any("does not answer" in line and "start the agent" in line for line in found(settings, "advice"))
    (settings.state_dir / "health.json").write_text("{}")
    assert any("buyers can reach" in line for line in found(settings))


def test_a_state_folder_open_to_others_is_found(settings: Settings) -> None:
    settings.state_dir.mkdir(exist_ok=True)
    settings.state_dir.chmod(0o755)
    assert any("chmod 700" in line for line in found(settings))
    settings.state_dir.chmod(0o700)
    assert not any("chmod 700" in line for line in found(settings))


def test_a_clock_that_is_wrong_is_found(settings: Settings) -> None:
    told = found(settings, ahead=3600)
    assert any(re.search(r"our clock is 36\d\d s ahead of the newest block's", line) for line in told)
    assert any("ahead of that of http" in line for line in found(settings, "advice", ahead=3600))
    assert not any("that of http" in line for line in found(settings, "advice"))
    assert any("behind" in line and "chrony" in line for line in found(settings, ahead=-3600))


def test_endpoints_that_are_down_or_of_another_chain_are_named_one_by_one(
    world: World, seller: Provider, settings: Settings
) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    with anvil("--chain-id", "4711") as wrong:
        endpoints(seller, world.node.url, down, wrong.url)
        told = found(settings, "advice")
        assert any(down in line and "does not answer" in line for line in told)
        assert any(wrong.url in line and "chain id" in line for line in told)
        assert not any("one endpoint only" in line for line in told)
        endpoints(seller, down, wrong.url)
        assert any("no endpoint of rpc_urls can be used" in line for line in found(settings))


def test_rights_seller_role_and_membership_are_found(
    world: World, seller: Provider, settings: Settings
) -> None:
    members, address = seller.exchange.members, wallets.address_of(settings.wallet.keystore)
    world.send(members.set_member(address, MemberRight.SIGN), seller.exchange)
    assert any("lacks the rights offer, deliver, release" in line for line in found(settings))
    world.send(members.set_member(address, OPERATOR, 1), seller.exchange)
    assert any("the limit of" in line and "--limit" in line for line in found(settings, "advice"))
    world.send(members.set_member(address, OPERATOR), seller.exchange)
    world.send(members.set_suspended(seller.org, True))
    assert any("suspended" in line for line in found(settings))
    world.send(members.set_suspended(seller.org, False))


def test_machines_that_are_not_registered_or_changed_are_found(world: World, seller: Provider) -> None:
    names = {"name": "newcomer", "class": seller.machines[0]["class"]}
    grown = [seller.machines[0] | {"cores": 128}, *seller.machines[1:], names]
    settings = seller.settings("grown", cloud={"machines": grown})
    told = found(settings, "advice")
    assert any(
        "1 machine(s) not registered (newcomer)" in line and "ocx node register" in line for line in told
    )
    assert any("1 machine(s) changed" in line for line in told)
    empty = seller.settings("empty", cloud={"machines": []})
    assert any("no machine at all" in line for line in found(empty))


def test_credits_that_do_not_cover_the_bonds_of_all_offers_are_found(
    world: World, seller: Provider, settings: Settings
) -> None:
    escrow = seller.exchange.escrow
    free = escrow.free(seller.org)
    world.send(escrow.withdraw(free - 1), seller.exchange)
    assert any(
        "do not cover the bonds" in line and "ocx credits deposit" in line
        for line in found(settings, "advice")
    )
    world.send(world.council.escrow.deposit(seller.org, free))


def test_a_connection_file_that_is_not_there_hides_nothing_else(seller: Provider, tmp_path: Path) -> None:
    settings = seller.settings("lost").model_copy(update={"connection": tmp_path / "none.yaml"})
    [line] = found(settings)
    assert "there is no connection file" in line and "ask an operator" in line


def test_a_finding_is_one_line() -> None:
    assert str(Finding("advice", "it could be better", "make it so")) == "it could be better; make it so"
