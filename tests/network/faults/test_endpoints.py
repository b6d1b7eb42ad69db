"""An agent whose first endpoints lag or lie, while leases are bought: the others are believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.chain.liar import Liar, censor, invent_events
from tests.network.faults.judge import chain_keeps_its_word
from tests.network.faults.stage import Stage
from tests.provisioner.chaos.liars import Lagging, endpoints

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


def _other_chain(call: dict[str, Any], told: Any) -> Any:
    return hex(4711) if call["method"] == "eth_chainId" else told


def _other_code(call: dict[str, Any], told: Any) -> Any:
    return "0x6001600155" if call["method"] == "eth_getCode" else told


def test_a_node_that_lags_is_of_another_chain_or_has_forged_code_is_passed_over(four: Stage) -> None:
    port = four.node("v1").rpc_port
    with ExitStack() as stack:
        old = stack.enter_context(Lagging(port))
        old.at = four.head("v1") - 20
        liars = [old, *(stack.enter_context(Liar(port, lie)) for lie in (_other_chain, _other_code))]
        with _agent_asks(four, *(liar.url for liar in liars)):
            _next_lease_is_delivered(four, "endpoints that lag, of another chain, with forged code")
            states = [each["state"] for each in four.agents[0].health()["endpoints"]]
            assert states[:3] == ["behind", "wrong-network", "wrong-network"] and "up" in states[3:]
    chain_keeps_its_word(four)


@pytest.mark.parametrize("lie", [censor, invent_events])
def test_a_node_that_lies_of_events_and_keeps_transactions_to_itself_is_outvoted(
    four: Stage, lie: Any
) -> None:
    """It acknowledges each transaction, hands it to nobody, and has a receipt for it."""
    with Liar(four.node("v1").rpc_port, lie, keeps=True) as liar:
        with _agent_asks(four, liar.url):
            _next_lease_is_delivered(four, f"an endpoint that lies: {lie.__name__}, keeps transactions")
        assert liar.kept, "the agent asked somebody else"
    chain_keeps_its_word(four)


@contextmanager
def _agent_asks(stage: Stage, *urls: str) -> Iterator[None]:
    """The first provider's agent asks these first, and the validators after them."""
    honest = [stage.node(name).rpc_url for name in stage.names]
    _restart(stage, *urls, *honest)
    try:
        yield
    finally:
        _restart(stage, *honest)


def _restart(stage: Stage, *urls: str) -> None:
    stage.agents[0].stop()
    endpoints(stage.providers[0], *urls)
    stage.agents[0].start()


def _next_lease_is_delivered(stage: Stage, fault: str) -> None:
    """A lease bought from now on, of the provider whose agent is lied to."""
    org, began = stage.providers[0].org, time.monotonic()
    known = {life.lease for life in stage.journal.lives}

    def delivered() -> bool:
        fresh = [life for life in stage.journal.lives if life.lease not in known and life.provider == org]
        return any(life.delivered for life in fresh)

    stage.journal.until(delivered, "a lease to be delivered", 240)
    stage.note(fault, lease_delivered_after=time.monotonic() - began)
