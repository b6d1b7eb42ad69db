"""The sender against a real chain: nothing lost, nothing sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain.abi import Reverted
from chain.sender import Sender
from tests.chain.network import LIMIT, Network, add_call, label, wallet


def test_a_mined_intent_is_not_sent_again_but_its_receipt_returned(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    first = sender.send(network.till, add_call(5, "a"), intent="a")
    again = sender.send(network.till, add_call(5, "a"), intent="a")
    assert first == again
    assert first.status == 1
    assert len(first.logs) == 1
    assert network.times(label("a")) == 1


def test_a_revert_is_told_before_anything_is_sent(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    with pytest.raises(Reverted, match="0x") as caught:
        sender.send(network.till, add_call(LIMIT + 1, "a"), intent="a")
    assert caught.value.evidence["selector"]
    assert sender.journal.history() == []
