"""What buyers ask of running machines is carried out: really, through kill -9, and by one agent."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from chain.exchange import Exchange
from chain.power import Action, PowerRequest, recover
from market.leases import LeaseFacts
from provisioner.agent.asks import PATIENCE, Asks
from provisioner.agent.clouds import Clouds
from provisioner.agent.operations import Operations, Retries
from provisioner.plugin import State
from provisioner.store.asks import CONSOLE, POWER, Ask, AskStore
from provisioner.store.store import Store
from tests.provisioner.agent.test_steps import AWARDED, DELIVERED, ME, SIGNED, view
from tests.provisioner.asking import SECRET_URL, Tenancy, WithUrl, answers, client_of, free_port, rent
from tests.provisioner.world import Buyer, Process, Provider, Running, World, health_file, wait_for


@pytest.fixture(scope="module")
def living(founded: tuple[World, list[Provider], list[Buyer]]) -> Iterator[tuple[Running, Tenancy]]:
    """An agent whose machines have guests, and a lease of both of them."""
    provider, buyer = founded[1].pop(), founded[2][0]
    cloud = {"guests": True, "guest_while_pid": os.getpid()}
    with Running(provider.settings(cloud=cloud)) as running:
        yield running, rent(running, provider, buyer, 600, (0, 1))


@pytest.fixture(scope="module")
def plain(founded: tuple[World, list[Provider], list[Buyer]]) -> Iterator[tuple[Running, Tenancy]]:
    """An agent whose machines have no guests, and a lease of one of them."""
    provider, buyer = founded[1].pop(), founded[2][0]
    with Running(provider.settings()) as running:
        yield running, rent(running, provider, buyer, 600)


def ask_row(lease: int, at: float, **changes: Any) -> Ask:
    """An ask as the gateway writes it down."""
    fields: dict[str, Any] = {
        "lease": lease,
        "kind": POWER,
        "resource": 0,
        "action": "off",
        "account": "0x" + "00" * 20,
        "at": at,
        "wanted": (1,),
    }
    return Ask(**(fields | changes))


@pytest.mark.parametrize("behind", [AWARDED, SIGNED])
def test_an_agent_whose_head_is_behind_drops_no_ask(tmp_path: Path, behind: LeaseFacts) -> None:
    asks = _offline(tmp_path)
    kept = asks.kept.add(ask_row(7, 0.0))
    assert asks.look(view(behind), behind.created_at + 5) is None
    assert asks.kept.pending(7) == [kept]


def test_what_is_asked_of_a_lease_that_is_over_is_dropped(tmp_path: Path) -> None:
    asks = _offline(tmp_path)
    asks.kept.add(ask_row(7, 0.0))
    assert asks.look(view(DELIVERED), DELIVERED.end) is None
    last = asks.kept.newest(7, POWER)
    assert last is not None and (last.state, last.detail) == ("dropped", "the lease is ending")


def _offline(folder: Path) -> Asks:
    """The asks of an agent that has no cloud, and does not get as far as asking the chain anything."""
    exchange = cast(Exchange, None)
    store, operations = Store(folder / "agent.db"), Operations(1, lambda: None, time.monotonic)
    retries = Retries(time.monotonic)
    clocks = {"clock": time.time, "monotonic": time.monotonic}
    clouds = Clouds({}, exchange, store, operations, retries, inspect_every=60, look_every=60, **clocks)
    return Asks(exchange, store, clouds, operations, retries, me=ME, wake=lambda: None, **clocks)


def test_off_ends_ssh_on_all_machines_of_the_lease_and_on_brings_it_back(
    living: tuple[Running, Tenancy],
) -> None:
    running, tenancy = living
    document = tenancy.buyer.open(tenancy.client, tenancy.lease)
    assert all(answers(endpoint) for endpoint in document.resources)
    told = tenancy.do(Action.OFF)
    assert told["done"] == tenancy.provider.resources
    assert not any(answers(endpoint) for endpoint in document.resources)
    for place in (0, 1):
        assert running.agent.clouds.plugins["fake"].status(tenancy.key(place)).state is State.READY
    wait_for("health to know", lambda: (running.lease(tenancy.lease) or {})["power"])
    assert running.health()["ok"] and running.health()["errors"] == []
    tenancy.do(Action.ON)
    assert all(answers(endpoint) for endpoint in document.resources)
    wait_for("health to know", lambda: not (running.lease(tenancy.lease) or {"power": 1})["power"])


def test_reboot_boots_again_with_the_same_host_key(living: tuple[Running, Tenancy]) -> None:
    running, tenancy = living
    before = tenancy.buyer.open(tenancy.client, tenancy.lease)
    listening = (tenancy.console().text or "").count("Server listening")
    tenancy.do(Action.REBOOT)
    assert (tenancy.console().text or "").count("Server listening") == listening + 1
    assert all(answers(endpoint) for endpoint in before.resources)


def test_the_signed_requests_stay_as_evidence_that_anybody_can_check(plain: tuple[Running, Tenancy]) -> None:
    running, tenancy = plain
    for action in (Action.OFF, Action.ON):
        tenancy.do(action)
    kept = running.agent.asks.kept.power_requests(tenancy.lease)[-2:]
    assert [(item.action, item.state) for item in kept] == [("off", "done"), ("on", "done")]
    chain = tenancy.buyer.exchange.connection.chain_id
    for item in kept:
        assert item.nonce and item.time and item.signature and item.contract
        request = PowerRequest(item.lease, Action[item.action.upper()], item.nonce, item.time)
        assert recover(request, item.signature, chain, item.contract) == tenancy.buyer.address


def test_a_later_request_takes_the_place_of_one_that_is_not_done(plain: tuple[Running, Tenancy]) -> None:
    running, tenancy = plain
    plugin = tenancy.provider.plugin()
    plugin.inject("set_power", "hang")
    tenancy.ask(Action.OFF)
    name = f"ask/{tenancy.lease}/{tenancy.provider.resources[0]}"
    wait_for("the call", lambda: running.agent.operations.is_running(name, POWER))
    tenancy.ask(Action.ON)
    before = running.agent.asks.kept.power_requests(tenancy.lease)[-2]
    assert (before.action, before.state) == ("off", "superseded")
    plugin.clear_faults()
    tenancy.wait_power("done")
    assert plugin.is_on(tenancy.key())


def test_a_cloud_that_is_away_for_a_while_is_asked_again(plain: tuple[Running, Tenancy]) -> None:
    running, tenancy = plain
    tenancy.provider.plugin().inject("set_power", "temporary", 3)
    tenancy.do(Action.OFF)
    tenancy.do(Action.ON)
    wait_for("no trouble", lambda: running.health()["errors"] == [])


@pytest.mark.parametrize(
    ("fault", "told"), [("permanent", "refuses for good"), ("crash", "the provider has an internal problem")]
)
def test_what_cannot_be_done_is_told_with_its_reason(
    plain: tuple[Running, Tenancy], fault: str, told: str
) -> None:
    running, tenancy = plain
    tenancy.provider.plugin().inject("set_power", fault)
    tenancy.ask(Action.OFF)
    assert told in tenancy.wait_power("failed")["detail"]
    assert tenancy.provider.plugin().is_on(tenancy.key())
    tenancy.do(Action.ON)
    steps = [entry[0] for entry in running.store.journal(tenancy.key())]
    assert {"power off", "power on"} <= set(steps)


def test_what_was_not_done_in_time_is_given_up(plain: tuple[Running, Tenancy]) -> None:
    running, tenancy = plain
    old = time.time() - PATIENCE - 1
    running.agent.asks.kept.add(ask_row(tenancy.lease, old, wanted=tuple(tenancy.provider.resources[:1])))
    running.agent.asks.nudge(tenancy.lease)
    assert "not done within 600 s" in tenancy.wait_power("failed")["detail"]
    assert tenancy.provider.plugin().is_on(tenancy.key())


def test_a_killed_agent_goes_on_with_what_was_asked_and_a_reboot_happens_at_least_once(
    provider: Provider, buyer: Buyer
) -> None:
    settings = provider.settings(gateway={"port": free_port()})
    plugin = provider.plugin()
    agent = Process(provider.folder / "agent.yaml")
    with agent.running():
        wait_for("the agent to run", lambda: health_file(settings).get("organisation"))
        lease = buyer.buy(provider, 300)
        buyer.wait_state(lease, "delivered")
        tenancy = Tenancy(buyer, provider, client_of(settings, buyer), lease)
        plugin.inject("set_power", "hang")
        tenancy.ask(Action.OFF)
        wait_for("the call", lambda: _begun(settings.database, tenancy.key()))
        agent.kill()
        plugin.clear_faults()
        assert plugin.is_on(tenancy.key())
        agent.start()
        wait_for("it to be off", lambda: not plugin.is_on(tenancy.key()))
        wait_for("the gateway", lambda: health_file(settings).get("pid") == agent.pid)
        tenancy.wait_power("done")
        boots = tenancy.boots()
        plugin.inject("set_power", "kill-after")
        tenancy.ask(Action.REBOOT)
        wait_for("the reboot", lambda: tenancy.boots() == boots + 1)
        agent.kill()
        agent.start()
        wait_for("the gateway", lambda: health_file(settings).get("pid") == agent.pid)
        tenancy.wait_power("done")
        assert tenancy.boots() == boots + 2
        assert agent.stop() == 0


def _begun(database: Path, key: str) -> bool:
    return any(entry[0] == "power off" for entry in Store(database).journal(key))


def test_the_end_of_the_lease_drops_what_is_asked_and_forgets_the_console(
    provider: Provider, buyer: Buyer
) -> None:
    with Running(provider.settings()) as running:
        tenancy = rent(running, provider, buyer, 300)
        tenancy.console()
        kept = running.agent.asks.kept
        assert kept.sealed(tenancy.lease, provider.resources[0])
        provider.plugin().inject("set_power", "hang")
        tenancy.ask(Action.OFF)
        buyer.send(buyer.exchange.leases.end_early(tenancy.lease))
        told = tenancy.wait_power("dropped")
        assert told["detail"].startswith("the lease is ")
        assert kept.sealed(tenancy.lease, provider.resources[0]) is None
        provider.plugin().clear_faults()
        wait_for("the wipe", lambda: buyer.exchange.leases.lease(tenancy.lease).wiped_at, 20)
        assert tenancy.power()["state"] == "dropped"


def test_a_console_reaches_the_buyer_alone_and_is_nowhere_in_clear(
    provider: Provider, buyer: Buyer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    running = Running(provider.settings())
    running.agent.clouds.plugins = {"fake": WithUrl.from_settings(provider.fake)}
    with running:
        tenancy = rent(running, provider, buyer, 300)
        document = tenancy.console()
        assert (document.lease, document.resource) == (tenancy.lease, provider.resources[0])
        assert (document.kind, document.url, document.text) == ("vnc", SECRET_URL, None)
        files = list(running.store.path.parent.glob("agent.db*"))
        assert len(files) >= 1
        for told in [caplog.text.encode(), *(path.read_bytes() for path in files)]:
            assert b"sesame-open" not in told
        again = tenancy.client.console(tenancy.lease, provider.resources[0])["sealed"]
        assert tenancy.console() == document
        assert tenancy.client.console(tenancy.lease, provider.resources[0])["sealed"] != again
        tenancy.client.ask_console(tenancy.lease, provider.resources[0], close=True)
        told_ = tenancy.client.console(tenancy.lease, provider.resources[0])
        assert told_["sealed"] is None and told_["request"]["action"] == "close"


def test_the_other_agent_of_the_provider_carries_it_out_when_one_is_gone(
    provider: Provider, buyer: Buyer
) -> None:
    with Running(provider.settings("first")) as first:
        tenancy = rent(first, provider, buyer, 300)
    store = Store(provider.settings("first").database)
    resource = provider.resources[0]
    AskStore(store).add(ask_row(tenancy.lease, time.time(), wanted=(resource,)))
    with Running(provider.settings("second", keystore="second", state_dir="state-first")) as second:
        wait_for("it to be off", lambda: not provider.plugin().is_on(tenancy.key()))
        wait_for("the record", lambda: not second.agent.asks.kept.pending(tenancy.lease))
        newest = second.agent.asks.kept.newest(tenancy.lease, POWER)
        assert newest is not None and newest.state == "done"
        holder = buyer.exchange.leases.lease(tenancy.lease).fence_holder
        assert holder == first.agent.address != second.agent.address


def test_two_agents_that_see_the_same_ask_carry_it_out_once(provider: Provider, buyer: Buyer) -> None:
    second_settings = provider.settings("second", keystore="second", state_dir="state-first")
    with Running(provider.settings("first")) as first, Running(second_settings) as second:
        tenancy = rent(first, provider, buyer, 300)
        wait_for("both to have looked", lambda: second.lease(tenancy.lease))
        for booted in (2, 3, 4):
            ask = ask_row(tenancy.lease, time.time(), action="reboot", wanted=(provider.resources[0],))
            first.agent.asks.kept.add(ask)
            for running in (first, second):
                running.agent.asks.nudge(tenancy.lease)
            wait_for("the reboot", lambda: not first.agent.asks.kept.pending(tenancy.lease))
            assert tenancy.boots() == booted


# ---- the table ---------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> AskStore:
    """A table of its own."""
    return AskStore(Store(tmp_path / "agent.db"))


def test_one_of_many_agents_gets_an_ask(kept: AskStore) -> None:
    ask = kept.add(ask_row(1, 100.0))
    begin, got = threading.Barrier(8), []

    def claim(me: str) -> None:
        begin.wait()
        if kept.claim(ask, me, 100.0, 200.0):
            got.append(me)

    threads = [threading.Thread(target=claim, args=(f"agent-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_claim_lapses_and_may_be_let_go_and_is_kept_through_a_restart(kept: AskStore) -> None:
    ask = kept.add(ask_row(1, 100.0))
    assert kept.claim(ask, "a", 100.0, 200.0)
    assert kept.claim(ask, "a", 101.0, 201.0), "the same agent, started again"
    assert not kept.claim(ask, "b", 201.0 - 0.1, 300.0)
    assert kept.claim(ask, "b", 201.0, 300.0)
    kept.let_go(ask.id, "a")
    assert not kept.claim(ask, "a", 202.0, 300.0)
    kept.let_go(ask.id, "b")
    assert kept.claim(ask, "a", 202.0, 300.0)


def test_a_later_ask_waits_for_the_agent_that_is_at_the_earlier_one(kept: AskStore) -> None:
    first = kept.add(ask_row(1, 100.0))
    assert kept.claim(first, "a", 100.0, 200.0)
    second = kept.add(ask_row(1, 101.0, action="on"))
    assert not kept.claim(first, "a", 101.0, 200.0), "it is not pending any more"
    assert not kept.claim(second, "b", 101.0, 200.0)
    kept.let_go(first.id, "a")
    assert kept.claim(second, "b", 101.0, 200.0)


def test_an_ask_is_done_when_it_is_done_to_every_machine(kept: AskStore) -> None:
    ask = kept.add(ask_row(1, 100.0, wanted=(3, 5)))
    assert not kept.progress(ask.id, 5, 101.0)
    assert kept.pending(1)[0].done == (5,)
    assert kept.progress(ask.id, 3, 102.0)
    newest = kept.newest(1, POWER)
    assert newest is not None and (newest.state, newest.done, newest.ended) == ("done", (3, 5), 102.0)


def test_what_ended_stays_as_it_ended(kept: AskStore) -> None:
    ask = kept.add(ask_row(1, 100.0, kind=CONSOLE, resource=1))
    kept.end(1, "the lease is completed", 101.0)
    kept.fail(ask.id, "late", 102.0)
    assert not kept.progress(ask.id, 1, 103.0, b"sealed")
    newest = kept.newest(1, CONSOLE, 1)
    assert newest is not None and (newest.state, newest.ended) == ("dropped", 101.0)
    assert kept.sealed(1, 1) is None
