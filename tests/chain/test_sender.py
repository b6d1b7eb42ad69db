"""The sender against a real chain: nothing lost, nothing sent twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from chain.abi import Reverted
from chain.connection import ConnectionFile
from chain.fees import Fees, sign, suggest
from chain.nonces import Journal, Status
from chain.rpc import Rpc, RpcUnreachable
from chain.sender import NotMined, Sender
from market.errors import InvalidInput, Permanent, Refused
from tests.chain.network import (
    LIMIT,
    TILL,
    Network,
    Relay,
    add_call,
    anvil,
    deploy,
    die_with_parent,
    label,
    wallet,
)


def process(network: Network, folder: Path, fatal: str, *intents: str) -> ForkProcess:
    """Another process that sends for wallet 1, and kills itself as hard as can be at the step `fatal`."""

    def die(step: str) -> None:
        if step == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        die_with_parent()
        sender = Sender(network.rpc(), wallet(1), folder, on_step=die)
        for intent in intents:
            sender.send(network.till, add_call(1, intent), intent=intent)

    started = multiprocessing.get_context("fork").Process(target=run)
    started.start()
    return started


def exit_code(ended: ForkProcess) -> int | None:
    """How it ended, once it has."""
    ended.join(60)
    return ended.exitcode


def foreign(network: Network, number: int, nonce: int, name: str) -> None:
    """Use a wallet's nonce behind its sender's back, as a second machine with the same key would."""
    rpc = network.rpc()
    attempt = sign(wallet(number), 31337, nonce, network.till, add_call(1, name), 0, 200_000, suggest(rpc))
    rpc.call("eth_sendRawTransaction", ["0x" + attempt.raw.hex()])


def in_background(act: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run `act` in a thread; its result or exception ends up in the list."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(act())
        except Exception as error:  # noqa: BLE001  handed to the test
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


def test_a_mined_intent_is_not_sent_again_but_its_receipt_returned(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    first = sender.send(network.till, add_call(5, "a"), intent="a")
    again = sender.send(network.till, add_call(5, "a"), intent="a")
    assert first == again
    assert first.status == 1
    assert len(first.logs) == 1
    assert network.times(label("a")) == 1


def test_without_an_intent_every_send_is_its_own(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    for _ in range(2):
        sender.send(network.till, add_call(5, "a"))
    assert network.times(label("a")) == 2


def test_a_revert_is_told_before_anything_is_sent(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    with pytest.raises(Reverted, match="0x") as caught:
        sender.send(network.till, add_call(LIMIT + 1, "a"), intent="a")
    assert caught.value.evidence["selector"]
    assert sender.journal.history() == []
    assert network.rpc().transaction_count(wallet(1).address, "pending") == 0


def test_a_revert_on_chain_is_told_by_its_reason_and_may_be_tried_anew(
    slow_network: Network, tmp_path: Path
) -> None:
    network = slow_network
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    shut = TILL.encode_call("shut", [network.rpc().head().number + 1])
    sender.send(network.till, shut, wait=False)
    entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False, gas=200_000)
    network.node.mine()
    with pytest.raises(Reverted) as caught:
        sender.wait(entry)
    assert caught.value.evidence["tx_hash"] == entry.latest.hash
    assert caught.value.evidence["selector"]
    assert sender.journal.get(entry.id).status is Status.REVERTED
    network.node.ask("evm_setAutomine", True)
    sender.send(network.till, TILL.encode_call("shut", [0]))
    assert sender.send(network.till, add_call(1, "a"), intent="a").status == 1


def test_what_was_mined_and_nobody_waited_for_does_not_pile_up(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    for number in range(12):
        sender.send(network.till, add_call(1, str(number)), intent=str(number), wait=False)
    assert len(sender.journal.live()) <= 2
    assert sender.journal.history()[-1].status is Status.MINED
    assert sender.send(network.till, add_call(1, "3"), intent="3").status == 1
    assert network.times(label("3")) == 1


def test_many_are_sent_before_the_first_is_mined(slow_network: Network, tmp_path: Path) -> None:
    network = slow_network
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    entries = [sender.send(network.till, add_call(1, "a"), wait=False) for _ in range(5)]
    assert [entry.nonce for entry in entries] == [0, 1, 2, 3, 4]
    network.node.mine()
    assert {sender.wait(entry).status for entry in entries} == {1}
    assert network.times(label("a")) == 5


@pytest.mark.parametrize("fatal", ["journalled", "broadcast", "sent", "mined"])
def test_a_process_killed_at_any_step_leaves_exactly_one_transaction(
    network: Network, tmp_path: Path, fatal: str
) -> None:
    assert exit_code(process(network, tmp_path, fatal, "a")) == -signal.SIGKILL
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    assert len(sender.recover().rebroadcast) == (1 if fatal == "journalled" else 0)
    assert sender.send(network.till, add_call(1, "a"), intent="a").status == 1
    assert network.times(label("a")) == 1
    assert sender.send(network.till, add_call(1, "b"), intent="b").status == 1
    assert sender.journal.live() == []


def test_what_a_killed_process_broadcast_is_known_when_blocks_are_slow(
    slow_network: Network, tmp_path: Path
) -> None:
    network = slow_network
    assert exit_code(process(network, tmp_path, "broadcast", "a")) == -signal.SIGKILL
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
    network.node.mine()
    assert sender.wait(entry).status == 1
    assert network.times(label("a")) == 1


def test_two_processes_with_one_key_lose_and_double_nothing(tmp_path: Path) -> None:
    with anvil("--block-time", "1") as node:
        network = deploy(node, tmp_path, block_time=1)
        own = [[f"{who}{n}" for n in range(4)] for who in "xy"]
        running = [process(network, tmp_path, "", *names, "shared") for names in own]
        assert [exit_code(each) for each in running] == [0, 0]
        for name in ("shared", *own[0], *own[1]):
            assert network.times(label(name)) == 1, name
        assert network.rpc().transaction_count(wallet(1).address) == 9


def test_threads_may_share_a_sender(slow_network: Network, tmp_path: Path) -> None:
    network = slow_network
    sender = Sender(network.rpc(), wallet(1), tmp_path)

    def three() -> list[int]:
        return [sender.send(network.till, add_call(1, "a"), wait=False).nonce for _ in range(3)]

    running = [in_background(three) for _ in range(3)]
    for thread, _ in running:
        thread.join(60)
    assert sorted(nonce for _, outcome in running for nonce in outcome[0]) == list(range(9))  # type: ignore[attr-defined]
    network.node.mine()
    assert network.times(label("a")) == 9


def test_a_process_killed_while_replacing_doubles_nothing(tmp_path: Path) -> None:
    with anvil() as node:
        network = deploy(node, tmp_path, gas_price=1000)
        node.fund(wallet(1).address)
        node.ask("evm_setAutomine", False)
        first = Sender(network.rpc(), wallet(1), tmp_path)
        entry = first.send(network.till, add_call(1, "a"), intent="a", wait=False)
        dearer = sign(wallet(1), 31337, 0, network.till, entry.data, 0, entry.gas, Fees(2000))
        first.journal.add_attempt(entry, dearer, 0.0)  # as it is when killed before the broadcast
        second = Sender(network.rpc(), wallet(1), tmp_path)
        assert len(second.recover().rebroadcast) == 1
        node.mine()
        assert second.send(network.till, add_call(1, "a"), intent="a").tx_hash == dearer.hash
        assert network.times(label("a")) == 1


def test_a_stuck_transaction_is_replaced_by_a_dearer_one(tmp_path: Path) -> None:
    with anvil() as node:
        network = deploy(node, tmp_path, gas_price=1000)
        node.fund(wallet(1).address)
        node.ask("evm_setAutomine", False)
        sender = Sender(network.rpc(), wallet(1), tmp_path, stuck_after=0.1)
        entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
        with pytest.raises(NotMined):
            sender.wait(entry, limit=2.5)
        prices = [attempt.price for attempt in sender.journal.get(entry.id).attempts]
        assert len(prices) >= 2
        assert all(later >= earlier * 9 / 8 for earlier, later in zip(prices, prices[1:], strict=False))
        node.mine()
        receipt = sender.send(network.till, add_call(1, "a"), intent="a")
        assert receipt.tx_hash == sender.journal.get(entry.id).latest.hash
        assert network.times(label("a")) == 1


def test_the_fee_market_is_served_where_the_price_is_left_to_the_chain(tmp_path: Path) -> None:
    with anvil(fee_market=True) as node:
        network = deploy(node, tmp_path, gas_price=None)
        node.fund(wallet(1).address)
        sender = Sender(network.rpc(), wallet(1), tmp_path, stuck_after=0.1)
        assert sender.send(network.till, add_call(1, "a")).status == 1
        node.ask("evm_setAutomine", False)
        entry = sender.send(network.till, add_call(1, "b"), wait=False)
        with pytest.raises(NotMined):
            sender.wait(entry, limit=1.5)
        attempts = sender.journal.get(entry.id).attempts
        assert len(attempts) >= 2
        assert attempts[1].tip is not None
        assert attempts[1].tip > (attempts[0].tip or 0)
        node.mine()
        assert sender.wait(entry).status == 1


def test_a_transaction_the_nodes_forgot_is_broadcast_again(slow_network: Network, tmp_path: Path) -> None:
    network = slow_network
    sender = Sender(network.rpc(), wallet(1), tmp_path, stuck_after=0.1)
    entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
    network.node.ask("anvil_dropAllTransactions")
    network.node.ask("evm_setAutomine", True)
    receipt = sender.wait(entry, limit=10)
    assert receipt.tx_hash == entry.latest.hash


def test_a_nonce_nobody_holds_is_filled(slow_network: Network, tmp_path: Path) -> None:
    network = slow_network
    sender = Sender(network.rpc(), wallet(1), tmp_path, stuck_after=0.1)
    hole = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
    entry = sender.send(network.till, add_call(1, "b"), intent="b", wait=False)
    network.node.ask("anvil_dropTransaction", "0x" + hole.latest.hash.hex())
    sender.journal.mark(hole, Status.REFUSED, "for the test")
    network.node.ask("evm_setAutomine", True)
    assert sender.wait(entry, limit=10).status == 1
    assert network.rpc().transaction_count(wallet(1).address) == 2


def test_a_nonce_used_elsewhere_before_is_stepped_over(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    foreign(network, 1, 0, "foreign")
    assert sender.send(network.till, add_call(1, "a")).status == 1
    foreign(network, 1, 2, "foreign")
    assert sender.send(network.till, add_call(1, "a")).status == 1
    assert network.times(label("a")) == 2


def test_an_intent_whose_nonce_was_taken_goes_out_with_another(slow_network: Network, tmp_path: Path) -> None:
    network = slow_network
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
    network.node.ask("anvil_dropAllTransactions")
    network.node.ask("evm_setAutomine", True)
    foreign(network, 1, 0, "foreign")
    receipt = sender.wait(entry, limit=10)
    assert receipt.status == 1
    assert sender.journal.get(entry.id).status is Status.LOST
    assert network.times(label("a")) == 1
    assert sender.send(network.till, add_call(1, "a"), intent="a") == receipt


def test_a_nonce_used_in_a_block_that_may_go_again_is_not_given_up(
    slow_network: Network, tmp_path: Path
) -> None:
    """Else, if that block goes and ours is mined after all, the act is done twice."""
    network = slow_network
    patient = ConnectionFile(**(network.connection.model_dump() | {"confirmations": 2}))
    sender = Sender(Rpc(patient), wallet(1), tmp_path)
    entry = sender.send(network.till, add_call(1, "a"), wait=False)
    network.node.ask("anvil_dropAllTransactions")
    foreign(network, 1, 0, "foreign")
    network.node.mine(2)
    with pytest.raises(NotMined):
        sender.wait(entry, limit=2.5)
    assert sender.journal.get(entry.id).live
    network.node.mine(1)
    assert sender._settle(sender.journal.get(entry.id)).status is Status.LOST


def test_what_the_chain_took_back_is_sent_again(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    snapshot = network.node.ask("evm_snapshot")
    sender.send(network.till, add_call(1, "a"), intent="a")
    network.node.ask("evm_revert", snapshot)
    assert network.times(label("a")) == 0
    sender.send(network.till, add_call(1, "b"), intent="b")
    assert network.times(label("a")) == network.times(label("b")) == 1


def test_a_mined_intent_the_chain_took_back_is_mined_anew(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path, stuck_after=0.1)
    snapshot = network.node.ask("evm_snapshot")
    sender.send(network.till, add_call(1, "a"), intent="a")
    network.node.ask("evm_revert", snapshot)
    assert sender.send(network.till, add_call(1, "a"), intent="a").status == 1
    assert network.times(label("a")) == 1


def test_confirmations_are_waited_for(slow_network: Network, tmp_path: Path) -> None:
    network = slow_network
    patient = ConnectionFile(**(network.connection.model_dump() | {"confirmations": 2}))
    sender = Sender(Rpc(patient), wallet(1), tmp_path)
    entry = sender.send(network.till, add_call(1, "a"), wait=False)
    network.node.mine()
    with pytest.raises(NotMined):
        sender.wait(entry, limit=0.2)
    network.node.mine(2)
    assert sender.wait(entry).status == 1


def test_an_account_without_money_for_gas_is_told_and_keeps_its_nonce(tmp_path: Path) -> None:
    with anvil() as node:
        network = deploy(node, tmp_path, gas_price=1000)
        sender = Sender(network.rpc(), wallet(1), tmp_path)
        with pytest.raises(Refused, match="(?i)insufficient funds"):
            sender.send(network.till, add_call(1, "a"), intent="a", gas=200_000)
        node.fund(wallet(1).address)
        assert sender.send(network.till, add_call(1, "a"), intent="a").status == 1
        assert network.rpc().transaction_count(wallet(1).address) == 1


def test_an_endpoint_that_dies_while_waiting_delays_and_loses_nothing(
    slow_network: Network, tmp_path: Path
) -> None:
    network = slow_network
    with Relay(network.node.port) as relay:
        through = ConnectionFile(**(network.connection.model_dump() | {"rpc_urls": [relay.url]}))
        sender = Sender(Rpc(through), wallet(1), tmp_path)
        entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
        relay.stop()
        with pytest.raises(NotMined) as caught:
            sender.wait(entry, limit=0.3)
        assert isinstance(caught.value.__cause__, RpcUnreachable)
        with pytest.raises(RpcUnreachable):
            sender.send(network.till, add_call(1, "b"), intent="b")
        thread, outcome = in_background(lambda: sender.wait(entry, limit=20))
        network.node.mine()
        relay.start()
        thread.join(25)
        assert getattr(outcome[0], "status", outcome[0]) == 1
        assert sender.journal.by_intent("b") is None


def test_an_endpoint_that_dies_before_the_broadcast_leaves_it_in_the_journal(
    network: Network, tmp_path: Path
) -> None:
    with Relay(network.node.port) as relay:
        through = ConnectionFile(**(network.connection.model_dump() | {"rpc_urls": [relay.url]}))
        sender = Sender(
            Rpc(through),
            wallet(1),
            tmp_path,
            on_step=lambda step: relay.stop() if step == "journalled" else None,
        )
        entry = sender.send(network.till, add_call(1, "a"), intent="a", wait=False)
        assert entry.status is Status.READY
        relay.start()
        after = Sender(Rpc(through), wallet(1), tmp_path)
        assert after.send(network.till, add_call(1, "b"), intent="b").status == 1
        assert network.times(label("a")) == 1


def test_a_journal_of_another_chain_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, b"\1" * 32, wallet(1).address)
    journal.close()
    journal.path.rename(tmp_path / f"2-{'01' * 8}-{wallet(1).address.lower()}.sqlite")
    with pytest.raises(Permanent, match="another chain or account"):
        Journal(tmp_path, 2, b"\1" * 32, wallet(1).address)


def test_an_argument_that_cannot_be_an_address_never_gets_far(network: Network, tmp_path: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    with pytest.raises(InvalidInput, match="not an address"):
        sender.send("0x12", b"")
    assert sender.journal.history() == []
