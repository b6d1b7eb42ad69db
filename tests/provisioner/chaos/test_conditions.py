"""Every condition can hold and can end, says what to do, is documented, and is a metric of few labels."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chain.disk import DiskTrouble
from chain.rpc import ChainStale, RpcUnreachable, WrongNetwork
from daemons.health_page import HealthServer
from market.errors import Permanent, Temporary
from provisioner.agent.operations import Outcome, Retries
from provisioner.agent.operations import Running as Call
from provisioner.agent.vitals import Held
from provisioner.health.conditions import RULES, Conditions, Facts
from provisioner.health.page import report
from tests.provisioner.world import Buyer, Provider, Running, wait_for

PROVIDERS = 2

WELL: dict[str, Any] = {"idle": 0.1}


def endpoint(state: str) -> dict[str, Any]:
    """What `Rpc.endpoints` says of one that is not up."""
    return {"url": "http://node:1", "state": state, "block": 1, "fault": f"node:1 is {state}"}


def troubles(*errors: Exception, final: bool = False) -> dict[str, Any]:
    """What `Retries` says after these errors."""
    retries = Retries(lambda: 0.0)
    for number, error in enumerate(errors):
        retries.failed(f"ocx-{number}", error, final=final)
    return retries.troubles()


ILL: dict[str, tuple[dict[str, Any], str]] = {
    "chain-unreachable": ({"failure": RpcUnreachable("no endpoint can be used")}, "no endpoint"),
    "chain-stale": ({"failure": ChainStale("the newest block is 90 s old")}, "90 s old"),
    "wrong-chain": ({"failure": WrongNetwork("chain id is 2, not 1")}, "chain id"),
    "endpoint-down": ({"endpoints": [endpoint("unreachable")]}, "node:1"),
    "endpoint-behind": ({"endpoints": [endpoint("behind")]}, "node:1"),
    "cycle-failing": ({"failure": Temporary("is no member")}, "no member"),
    "stalled": ({"idle": 31.0}, "31 s ago"),
    "clock-offset": ({"clock_offset": -3600.2}, "3600 s behind the chain's"),
    "disk-full": ({"troubles": troubles(DiskTrouble("agent.db cannot be written"))}, "agent.db"),
    "disk-low": ({"disk_free": 32 << 20}, "32 MiB"),
    "cloud-refuses": ({"refusing": {"aws": "no rights"}, "unread": {"aws": "no rights"}}, "aws: no rights"),
    "cloud-unread": ({"unread": {"ironic": "does not answer"}}, "ironic: does not answer"),
    "call-hung": ({"hung": [Call("ocx-1", "provision", 0.0, 1.0)]}, "provision ocx-1"),
    "needs-a-person": ({"troubles": troubles(Permanent("never"), final=True)}, "ocx-0: never"),
    "machine-gone": ({"broken": [(7, 40, "is gone from its cloud")]}, "lease 7: resource 40"),
    "machine-failed": ({"broken": [(7, 40, "failed: no power")]}, "no power"),
    "delivery-unproven": ({"unproven": [(7, "delivered, and 9 s later")]}, "lease 7: delivered"),
    "machine-held": ({"held": [Held(40, "n1", "was lost", (3, 4))]}, "(offer 3, 4)"),
    "orphans": ({"orphans": 2}, "2 machine(s)"),
    "strangers": ({"strangers": 1}, "1 machine(s)"),
    "transactions-stuck": ({"stuck": 3}, "3 transaction(s)"),
    "no-gas": ({"gas_balance": 0}, "gas"),
}


def test_there_is_a_case_for_every_condition_and_a_line_in_the_book_of_faults() -> None:
    assert set(ILL) == {rule.name for rule in RULES}
    book = (Path(__file__).parents[3] / "docs" / "faults.md").read_text()
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in book] == []


@pytest.mark.parametrize("name", ILL)
def test_a_condition_holds_alone_keeps_its_beginning_and_ends(name: str) -> None:
    changes, words = ILL[name]
    conditions = Conditions()
    [found] = conditions.update(Facts(**(WELL | changes)), 100.0)
    assert (found.name, found.since) == (name, 100) and words in found.message and found.hint
    assert "\n" not in found.message
    [again] = conditions.update(Facts(**(WELL | changes)), 200.0)
    assert again.since == 100
    assert conditions.update(Facts(**WELL), 300.0) == []
    [anew] = conditions.update(Facts(**(WELL | changes)), 400.0)
    assert anew.since == 400


def test_metrics_tell_what_health_tells_and_nothing_of_tenants(provider: Provider, buyer: Buyer) -> None:
    with Running(provider.settings()) as running:
        agent = running.agent
        lease = buyer.buy(provider, 30)
        buyer.wait_state(lease, "delivered")
        wait_for("the record", lambda: running.health()["lease_states"].get("delivered"))
        server = HealthServer(0, running.health, agent.metrics.expose(running.health))
        server.start()
        page = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        page.request("GET", "/metrics")
        answer = page.getresponse()
        text = answer.read().decode()
        page.close()
        server.stop()
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
        key = agent.key(lease, provider.resources[0])
        assert key not in text and "127.0.0.1" not in text
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert samples["ocx_ok",] == 1 and samples["ocx_leases", "delivered"] == 1
        assert samples["ocx_cycles_total", "good"] > 0 and samples["ocx_steps_total", "Sign"] == 1
        assert samples["ocx_endpoints", "up"] == 1 and samples["ocx_condition", "disk-full"] == 0
        assert samples["ocx_operation_seconds_count", "fake", "provision"] == 1
        assert samples["ocx_operation_seconds_count", "chain", "sign"] == 1
        assert samples["ocx_award_to_plugin_ms_count",] == 1
        assert samples["ocx_free_balance_microcredits",] > 0 and samples["ocx_head_number",] > 0
        assert len(samples) < 400


def test_errors_are_counted_by_plugin_and_kind() -> None:
    from provisioner.health.metrics import Metrics

    metrics = Metrics()
    for error in (Temporary("later"), Permanent("never"), KeyError("x"), RpcUnreachable("away")):
        metrics.operation(Outcome("ocx-1", "provision", 0.0, 1.0, error=error), "aws")
    metrics.cycle(RpcUnreachable("away"))
    metrics.cycle(DiskTrouble("full"))
    metrics.cycle(KeyError("x"))
    read = metrics.registry.get_sample_value
    for word, times in {"temporary": 2, "permanent": 1, "unforeseen": 1}.items():
        labels = {"plugin": "aws", "kind": "provision", "error": word}
        assert read("ocx_operation_errors_total", labels) == times
    told = [read("ocx_cycles_total", {"outcome": word}) for word in ("good", "chain", "disk", "error")]
    assert told == [0, 1, 1, 1]


def test_health_is_well_without_conditions(provider: Provider) -> None:
    with Running(provider.settings()) as running:
        health = wait_for("a calm agent", lambda: (h := running.health()) and not h["conditions"] and h)
        assert health["ok"] and report(running.agent, running.skew.clock())["ok"]
