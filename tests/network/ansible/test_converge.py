"""One history on real hosts: members found a chain by Ansible, let a fifth in, trade on it, and one leaves.

The tests are its chapters and go in this order; each begins where the one before ended.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from chain.generated.enums import LeaseState
from chain.ports import free_ports
from tests.network.ansible.deployment import Deployment
from tests.network.ansible.hosts import Hosts
from tests.network.ansible.market import CUSTOMER, NEWCOMER, SELLERS, WITNESSES, Market

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

FOUNDERS = ("east", "north", "south", "west")
EVERYBODY = (*FOUNDERS, NEWCOMER)
_AS_OCX = "setpriv --reuid ocx --regid ocx --init-groups"
_CHAIN = "/var/lib/ocx/chain"


class History:
    """What the chapters share, and how far they came."""

    def __init__(self, site: Deployment) -> None:
        self.site, self.market, self.lease = site, Market(site), 0
        self.done: list[str] = []

    def after(self, chapter: str) -> None:
        """Fail at once where an earlier chapter did."""
        if chapter not in self.done:
            pytest.fail(f"the history broke off before: {chapter}", pytrace=False)

    def status(self, name: str) -> dict[str, Any]:
        """What a host's own node says of the network; good or not."""
        command = f"{_AS_OCX} {self.site.program} network status --json --dir {_CHAIN} || true"
        found: dict[str, Any] = json.loads(self.site.on(name, f"{{ {command}; }} 2>/dev/null"))
        return found


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Five empty hosts, and an inventory by which four of them found a chain and one makes its card."""
    folder = tmp_path_factory.mktemp("site")
    with Hosts(folder / "hosts", EVERYBODY) as hosts:
        site = Deployment(
            hosts,
            folder,
            rpc_port=next(free_ports()),
            variables={name: {} for name in EVERYBODY},
            groups={"chain_nodes": list(EVERYBODY), "chain_founders": list(FOUNDERS)},
            shared={"chain_node_network": "ours", "chain_node_slot": 10},
        )
        yield History(site)
        site.close()


def test_four_founders_make_one_chain_of_keys_that_never_left_their_hosts(history: History) -> None:
    site = history.site
    history.market.make_keys()
    changed = site.converge()
    assert set(changed) == set(EVERYBODY) and all(changed.values())
    found = {name: history.status(name) for name in FOUNDERS}
    for name, seen in found.items():
        assert sorted(seen["validators"]) == list(FOUNDERS), seen
        [own] = [node for node in seen["nodes"] if node["name"] == name]
        assert own["peers"] and own["height"] > 0
    assert site.on("north", f"ls {_CHAIN}/nodes") == "north"
    secrets = [site.on(name, f"cat {_CHAIN}/nodes/{name}/nodekey") for name in EVERYBODY]
    assert len(set(secrets)) == len(EVERYBODY)
    told = [path.read_text("utf-8") for path in site.record.rglob("*") if path.is_file()]
    assert not any(secret in text for secret in secrets for text in told)
    assert not site.on(NEWCOMER, f"ls {_CHAIN}").count("network.yaml"), "nobody invited it yet"
    history.done.append("founded")


def test_the_exchange_is_there_and_the_newcomer_joins_by_its_invitation(history: History) -> None:
    history.after("founded")
    history.site.open_desk("north")
    history.market.found()
    history.market.let_in()
    history.market.hire()
    changed = history.site.converge()
    assert all(changed[name] for name in EVERYBODY)
    seen = history.status(NEWCOMER)
    [own] = [node for node in seen["nodes"] if node["name"] == NEWCOMER]
    assert own["height"] > 0 and own["peers"] and not own["validator"]
    assert NEWCOMER not in seen["validators"] and sorted(seen["validators"]) == list(FOUNDERS)
    history.done.append("joined")


def test_done_again_it_changes_nothing_and_nothing_is_missing(history: History) -> None:
    history.after("joined")
    history.market.open()
    for name in SELLERS:
        history.site.variables[name]["provider_agent_verify"] = True
    for words in (("--check",), ()):
        assert history.site.converge(*words) == dict.fromkeys(EVERYBODY, 0), history.site.changes
    history.done.append("settled")


def test_a_lease_is_bought_delivered_and_watched_by_three_witnesses(history: History) -> None:
    history.after("settled")
    market = history.market
    market.stake()
    lease = history.lease = market.buy()
    assert market.receive(lease).startswith("I am ")
    pool = market.witnesses
    guests = market.wait("what the witnesses saw delivered", lambda: pool.guests_of(lease))
    seats = pool.committee(lease, 0)
    assert set(seats.seats) == {market.orgs[name] for name in WITNESSES}
    assert any(int(guest, 16) for guest in guests)
    for name in WITNESSES:
        market.wait(f"a tick of {name}", partial(market.ticks, name, lease))
    market.parties[CUSTOMER].ocx(f"lease end {lease}")
    market.await_state(lease, LeaseState.COMPLETED)
    account = market.exchange.settlement.account
    market.wait("its settlement", lambda: account(lease).closed)
    history.done.append("traded")


def test_one_leaves_and_nobody_lets_it_in_any_more(history: History) -> None:
    history.after("joined")
    site, market = history.site, history.market
    wallet = base64.b64encode(market.parties[NEWCOMER].wallet("admin").read_bytes()).decode()
    secret = (market.parties[NEWCOMER].folder / "passphrase").read_text("utf-8").strip()
    site.on(NEWCOMER, f"umask 077; echo {wallet} | base64 -d > /run/admin.json; echo {secret} > /run/secret")
    site.on(NEWCOMER, "chown ocx /run/admin.json /run/secret")
    env = "OCX_WALLET=/run/admin.json OCX_PASSPHRASE_FILE=/run/secret OCX_STATE=/var/lib/ocx/chain/cli"
    leave = f"{_AS_OCX} env {env} {site.program} network leave --yes --json --dir {_CHAIN}"
    left = json.loads(site.on(NEWCOMER, f"{leave} 2>/dev/null"))
    assert left["left"] == [NEWCOMER]
    site.variables[NEWCOMER] |= {"chain_node_purge": True, "witness_node_purge": True}
    site.converge("--limit", NEWCOMER, "--state", "absent")

    def gone() -> bool:
        seen = history.status("north")
        return all(NEWCOMER not in node["peers"] for node in seen["nodes"]) and seen["goes_on"]

    market.wait("the others to know it no more", gone)
    assert market.exchange.members.node_count() == 0
    history.done.append("left")


def test_hosts_are_empty_after_a_cleanup_and_it_too_changes_nothing_twice(history: History) -> None:
    history.after("founded")
    site = history.site
    purge = ("chain_node_purge", "provider_agent_purge", "witness_node_purge", "ocx_purge")
    site.shared |= dict.fromkeys(purge, True)
    site.converge("--state", "absent")
    for name in EVERYBODY:
        left = site.on(name, "ls -d /etc/ocx /opt/ocx /var/lib/ocx /run/ocx /var/log/ocx 2>/dev/null || true")
        running = site.on(name, "pgrep -af '[/]geth|network u[p]|provider ru[n]|witness ru[n]' || true")
        assert (left.replace("/etc/ocx", "").strip(), running) == ("", ""), name
    assert site.converge("--state", "absent") == dict.fromkeys(EVERYBODY, 0)
