"""Gas limits: found once, proven at each call, and found anew when they do not do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chain.abi import Reverted
from chain.fees import gas_with_margin
from chain.rpc import Rpc
from chain.trial import Trial
from tests.chain.network import LIMIT, TILL, Network, add_call, anvil, deploy, wallet

SENDER = wallet(1).address


class Counting(Rpc):
    """Notes which methods are asked for."""

    asked: list[str]

    def _ask(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        self.asked = [*getattr(self, "asked", []), *(method for method, _ in requests)]
        return super()._ask(requests)

    def since(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


def test_the_second_call_of_a_function_is_tried_with_one_run_and_gets_no_less_gas(network: Network) -> None:
    rpc = Counting(network.connection)
    trial = Trial(rpc, SENDER)
    first = trial.gas_for(network.till, add_call(1, "a"), 0)
    assert rpc.since() == ["eth_call", "eth_estimateGas", "eth_getBlockByNumber"]
    assert trial.gas_for(network.till, add_call(2, "a"), 0) == first
    assert rpc.since() == ["eth_call"]


def test_a_limit_that_does_not_do_is_found_anew_and_kept(network: Network) -> None:
    rpc = Counting(network.connection)
    trial = Trial(rpc, SENDER)
    call = add_call(1, "a")
    trial._known[(network.till, call[:4])] = (22_000, 30_000_000)  # not even what starting costs
    found = trial.gas_for(network.till, call, 0)
    needed = rpc.estimate_gas(network.till, call, SENDER)
    assert found == gas_with_margin(needed, 30_000_000)
    rpc.since()
    assert trial.gas_for(network.till, call, 0) == found
    assert rpc.since() == ["eth_call"]


def test_a_revert_is_told_by_its_type_with_and_without_a_known_limit(network: Network) -> None:
    trial = Trial(network.rpc(), SENDER)
    for _ in range(2):
        with pytest.raises(Reverted) as caught:
            trial.gas_for(network.till, add_call(LIMIT + 1, "a"), 0)
        assert caught.value.evidence["selector"]
        trial.gas_for(network.till, add_call(1, "a"), 0)


def test_where_gas_has_a_price_it_is_estimated_each_time(tmp_path: Any) -> None:
    with anvil() as node:
        network = deploy(node, tmp_path, gas_price=1000)
        rpc = Counting(network.connection)
        trial = Trial(rpc, SENDER)
        for _ in range(2):
            trial.gas_for(network.till, add_call(1, "a"), 0)
            assert "eth_estimateGas" in rpc.since()


def test_a_deployment_is_estimated_each_time(network: Network) -> None:
    rpc = Counting(network.connection)
    trial = Trial(rpc, SENDER)
    for _ in range(2):
        trial.gas_for(None, TILL.encode_deploy([LIMIT]), 0)
        assert "eth_estimateGas" in rpc.since()
