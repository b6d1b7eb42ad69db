"""How little is asked of a node while something is waited for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chain.line import Line
from chain.pulse import Pulse
from chain.sender import Sender
from tests.chain.network import Network, add_call, wallet


def test_the_height_is_asked_once_for_all_who_wait_and_not_while_no_block_can_come(network: Network) -> None:
    now = [0.0]
    rpc = type(network.rpc())(network.connection.model_copy(update={"block_time": 2.0}))
    pulse = Pulse(rpc, lambda: now[0])
    first = pulse.height()
    network.node.mine()
    for now[0] in (0.1, 0.5, 1.39):  # a block came just now: the next is two seconds off
        assert pulse.height() == first
    now[0] = 1.41
    assert pulse.height() == first + 1
    now[0] = 3.0
    assert pulse.height() == first + 1
    network.node.mine()
    now[0] = 3.19
    assert pulse.height() == first + 1
    now[0] = 3.21
    assert pulse.height() == first + 2


def test_who_waits_asks_for_a_receipt_only_when_the_chain_has_grown(
    slow_network: Network, tmp_path: Path
) -> None:
    """Fifty looks at the clock without a block, then the block."""
    network = slow_network
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 50:
            network.node.mine()
        threading.Event().wait(0.005)

    sender = Sender(network.rpc(), wallet(1), tmp_path, clock=lambda: 0.0, sleep=sleep)
    entry = sender.send(network.till, add_call(1, "a"), wait=False)
    asked: Counter[str] = Counter()
    plain = Line.make_request

    def counted(self: Line, method: str, params: Sequence[Any]) -> Any:
        asked[method] += 1
        return plain(self, method, params)

    Line.make_request = counted  # type: ignore[method-assign]
    try:
        assert sender.wait(entry).status == 1
    finally:
        Line.make_request = plain  # type: ignore[method-assign]
    assert looks >= 50
    assert asked["eth_getTransactionReceipt"] <= 3


def test_who_waits_for_confirmations_looks_when_the_last_of_them_can_be_there(
    slow_network: Network, tmp_path: Path
) -> None:
    """Three blocks of a second each: after the receipt two and a half seconds pass in one go."""
    network = slow_network
    connection = network.connection.model_copy(update={"confirmations": 3, "block_time": 1.0})
    now = [0.0]
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        now[0] += seconds
        if len(naps) <= 2:
            network.node.mine(1 if len(naps) == 1 else 3)

    rpc = type(network.rpc())(connection, monotonic=lambda: now[0])
    sender = Sender(rpc, wallet(1), tmp_path, clock=lambda: now[0], monotonic=lambda: now[0], sleep=sleep)
    entry = sender.send(network.till, add_call(1, "a"), wait=False)
    assert sender.wait(entry).status == 1
    assert naps == pytest.approx([0.1, 2.5])
