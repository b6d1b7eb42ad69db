"""The agent's own clock is wrong: what is done goes by the chain's clock, and health tells the difference."""

from __future__ import annotations

import re

import pytest

from tests.provisioner.world import KEY, Buyer, Provider, Running, Skew, wait_for

pytestmark = pytest.mark.timeout(150)

PROVIDERS = 2

HOUR = 3600


@pytest.mark.parametrize(("wrong", "word"), [(HOUR, "ahead of"), (-HOUR, "behind")])
def test_with_a_clock_an_hour_wrong_leases_go_on_as_ever_and_health_tells(
    provider: Provider, buyer: Buyer, wrong: int, word: str
) -> None:
    with Running(provider.settings(setup_wait=15), skew=Skew(wall=wrong)) as running:
        lease = buyer.buy(provider, 60)
        client = buyer.gateway(running.server.url, running.server.key_hash)
        wait_for("the signature", lambda: buyer.exchange.leases.lease(lease).signed_at)
        client.put_setup(lease, [KEY], "mine")  # a challenge and a token of a gateway whose clock is wrong
        buyer.wait_state(lease, "delivered")
        assert buyer.open(client, lease).lease == lease
        told = wait_for("health to tell", lambda: running.conditions().get("clock-offset"))
        assert re.search(rf"our clock is (359\d|360\d) s {word} the chain's", told)
        assert running.health()["ok"]
        buyer.accept(lease)
        running.skew.wall = 0.0  # somebody sets it right
        wait_for("health to see it", lambda: "clock-offset" not in running.conditions())
        assert buyer.state(lease) == "active" and len(provider.plugin().list_owned()) == 1
        buyer.send(buyer.exchange.leases.end_early(lease))
        wait_for("the wipe", lambda: buyer.exchange.leases.lease(lease).wiped_at)
        assert running.health()["unforeseen_errors"] == 0
