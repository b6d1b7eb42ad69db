"""One history on real hosts: members found a chain by Ansible, trade on it, let a fifth in, and one leaves.

The tests are its chapters and go in this order; each begins where the one before ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from chain.ports import free_ports
from tests.network.ansible.deployment import Deployment
from tests.network.ansible.hosts import Hosts

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

SELLERS = ("north", "south")
FOUNDERS = ("east", "north", "south", "west")
NEWCOMER = "mid"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Five empty hosts, and an inventory by which four of them found a chain."""
    folder = tmp_path_factory.mktemp("site")
    with Hosts(folder / "hosts", (*FOUNDERS, NEWCOMER)) as hosts:
        made = Deployment(
            hosts,
            folder,
            rpc_port=next(free_ports()),
            variables={name: {} for name in FOUNDERS},
            groups={"chain_nodes": list(FOUNDERS), "chain_founders": list(FOUNDERS)},
            shared={"chain_node_network": "ours", "chain_node_slot": 10},
        )
        yield made
        made.close()


def _status(site: Deployment, name: str) -> dict[str, object]:
    command = (
        "setpriv --reuid ocx --regid ocx --init-groups {} network status --json --dir /var/lib/ocx/chain"
    )
    return dict(json.loads(site.on(name, command.format(site.program))))


def test_four_founders_make_one_chain_of_keys_that_never_left_their_hosts(site: Deployment) -> None:
    changed = site.converge()
    assert set(changed) == set(FOUNDERS) and all(changed.values())
    found = {name: _status(site, name) for name in FOUNDERS}
    for name, seen in found.items():
        assert sorted(seen["validators"]) == list(FOUNDERS), seen
        [own] = [node for node in seen["nodes"] if node["name"] == name]
        assert own["peers"] and own["height"] > 0
    keys = {site.on(name, f"sha256sum < /var/lib/ocx/chain/nodes/{name}/nodekey") for name in FOUNDERS}
    assert len(keys) == 4
    assert site.on("north", "ls /var/lib/ocx/chain/nodes") == "north"
    secret = site.on("north", "cat /var/lib/ocx/chain/nodes/north/nodekey")
    assert not any(secret in path.read_text() for path in site.record.rglob("*") if path.is_file())


def test_done_again_it_changes_nothing(site: Deployment) -> None:
    assert site.converge("--check") == dict.fromkeys(FOUNDERS, 0)
    assert site.converge() == dict.fromkeys(FOUNDERS, 0)
