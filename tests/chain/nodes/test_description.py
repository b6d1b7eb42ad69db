"""network.yaml is refused where it would make no network, and says what it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain.nodes.description import load, parse
from chain.nodes.render import network_yaml
from market.errors import InvalidInput
from tests.chain.nodes.founding import description, node, raw


def test_network_yaml_reads_back_as_what_it_was_made_from(tmp_path: Path) -> None:
    odd = description(
        network='a "<&> network\u2028', followers=[node(9, organisation="O'Neill & Söhne: <x>")]
    )
    path = tmp_path / "network.yaml"
    path.write_text(network_yaml(odd), "utf-8")
    assert load(path) == odd


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engine": "raft"}, "engine"),
        ({"chain_id": "7"}, "chain_id"),
        ({"block_time": 0}, "block_time"),
        ({"validators": []}, "validators"),
        ({"colour": "red"}, "colour"),
        ({"validators": [node(1), node(1, name="v2", host="192.0.2.2")]}, "same public key"),
        ({"validators": [node(1), node(2, name="v1")]}, "same name"),
        ({"validators": [node(1), node(2, host="192.0.2.1")]}, "same host and p2p_port"),
        ({"validators": [node(1, address=node(2)["address"])]}, "the address of that public key is"),
        ({"validators": [node(1, name="../v1")]}, "name"),
        ({"validators": [node(1, host="a host")]}, "host"),
        ({"validators": [node(1, p2p_port=70000)]}, "p2p_port"),
        ({"validators": [node(1, organisation='x\n[Ethstats]\nURL = "a:b@c"')]}, "must be printable"),
    ],
)
def test_what_makes_no_network_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(raw() | change)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no network description"):
        load(tmp_path / "network.yaml")


@pytest.mark.parametrize(
    ("engine", "validators", "quorum", "confirmations"),
    [("clique", 4, 3, 3), ("clique", 5, 3, 3), ("clique", 1, 1, 1), ("qbft", 4, 3, 0), ("qbft", 7, 5, 0)],
)
def test_how_many_must_work_and_how_many_blocks_to_wait_for(
    engine: str, validators: int, quorum: int, confirmations: int
) -> None:
    found = description(validators, engine=engine)
    assert (found.quorum, found.confirmations) == (quorum, confirmations)
