"""Wires that are cut between validators: around one, and down the middle."""

from __future__ import annotations

import time

import pytest

from chain.nodes import space
from tests.network.faults.judge import chain_keeps_its_word
from tests.network.faults.stage import Stage
from tests.provisioner.world import wait_for

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not space.work_here(), reason="only root can cut the wires of namespaces"),
]


def test_one_cut_off_makes_no_progress_and_its_clients_go_elsewhere(four: Stage) -> None:
    """Its JSON-RPC answers all the while, and stands first in the connection files of some callers."""
    four.wires.part(["v1"], ["v2", "v3", "v4"])
    height = four.head("v1")
    began = time.monotonic()
    four.wait(lambda found: (found.height or 0) >= height + 10, "10 blocks further")
    assert four.head("v1") <= height + 1, "one of four makes one block at most"
    told = wait_for(
        "its first client",
        lambda: [
            told
            for told in four.journal.since(began)
            if told.who == "payer1" and told.block_number > height + 1
        ],
        120,
    )
    four.note("one cut off", its_first_client_told_after=told[0].at - began)
    began = time.monotonic()
    four.wires.mend()
    four.recovered("one cut off", began)
    chain_keeps_its_word(four)


def test_split_down_the_middle_nobody_is_told_anything_that_is_taken_back(four: Stage) -> None:
    four.wires.part(["v1", "v2"], ["v3", "v4"])
    height = four.height()
    heads = four.stand(5, *four.names)
    assert max(heads.values()) <= height + 2, "half of the validators make two blocks at most"
    began = time.monotonic()
    four.wires.mend()
    four.recovered("2:2 split", began)
    chain_keeps_its_word(four)
