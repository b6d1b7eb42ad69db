"""O7: kinds of resources that nobody thought of before, from the cloud to the delivery."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chain.network import die_with_parent
from tests.cli.conftest import Market, config_of
from tests.cli.test_access import agent_where, living, with_key
from tests.provisioner.world import wait_for

__all__ = ["living"]

pytestmark = [pytest.mark.timeout(240), pytest.mark.warps("begin ten minutes ago")]

NOTHING = {"cores": 0, "memory_mib": 0, "disk_gib": 0, "gpus": 0, "network_mbps": 0}
KINDS: dict[str, dict[str, Any]] = {
    "fpga.u280": NOTHING | {"name": "card-7", "class": "fpga.u280", "memory_mib": 8192},
    "volume.nvme": NOTHING | {"name": "vol-7", "class": "volume.nvme", "disk_gib": 2000},
}


@contextmanager
def agent(market: Market, config: Path) -> Iterator[None]:
    """North's agent, with a gateway that the ledger names."""
    command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", str(config), "--json"]
    process = subprocess.Popen(
        command,
        env=os.environ | market.north.environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        url = agent_where(process)["url"]
        market.north.does(f"member gateway {url} --tls-cert {market.north.folder / 'agent' / 'gateway.crt'}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def new_cloud(market: Market) -> Path:
    """A configuration of north with one thing of each new kind, and nothing else."""
    content = json.loads(config_of(market.north).read_text())
    cloud = {"state": str(market.north.folder / "new.db"), "machines": list(KINDS.values())}
    content["plugins"] = [{"name": "fake", "settings": cloud}]
    path = market.north.folder / "new.yaml"
    path.write_text(json.dumps(content | {"cycle": 0.2, "look_every": 0.5, "setup_wait": 0}))
    return path


def test_a_class_never_seen_is_registered_offered_tendered_leased_and_delivered(living: Market) -> None:
    contracts = living.council.does("network show")["contracts"]
    with_key(living.buyer)
    config = new_cloud(living)
    registered = living.north.does(f"node register --config {config}")["registered"]
    nodes = {item["name"]: item["resource"] for item in registered}
    for machine in KINDS.values():
        order = f"offer publish --node {nodes[machine['name']]} --start now --for 2h --floor 2 --buy-now 8"
        living.north.does(order)

    with agent(living, config):
        tenders = {
            kind: living.buyer.does(
                f"request post --class {kind} --spec {spec} --start +60s --for 100s --ceiling 10 "
                "--commit-for 15s --reveal-for 15s"
            )["request"]
            for kind, spec in (("fpga.u280", "memory=8GiB"), ("volume.nvme", "disk=2000GiB"))
        }
        for kind, number in tenders.items():
            wait_for("a bid", lambda number=number: living.buyer.does(f"tender show {number}")["bids"], 30)
            wait_for("the award", lambda number=number: _awarded(living, number), 60)
            [lease] = living.buyer.does(f"tender show {number}")["leases"]
            living.buyer.does(f"lease watch {lease} --until delivered --timeout 60s")
            living.buyer.does(f"lease accept {lease}")
            shown = living.buyer.does(f"lease show {lease}")
            assert shown["nodes"] == [nodes[KINDS[kind]["name"]]]
    assert living.council.does("network show")["contracts"] == contracts, "no new contract"


def _awarded(market: Market, number: int) -> bool:
    """Whether it is; where nobody did it yet, the buyer tries to."""
    if market.buyer.does(f"tender show {number}")["stage"] == "awarded":
        return True
    market.buyer.run(f"tender award {number}", OCX_YES="1")
    return False
