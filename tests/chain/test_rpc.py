"""Which endpoints are believed: the right network, alive and fresh."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from chain.abi import Reverted
from chain.connection import ConnectionFile
from chain.rpc import ChainStale, Rpc, RpcBusy, RpcRefused, RpcUnreachable, WrongNetwork
from chain.sender import Sender
from chain.wire import Endpoint
from market.errors import Refused
from tests.chain.liar import Between, Liar
from tests.chain.network import LIMIT, TILL, Network, Relay, add_call, anvil, deploy, free_port, wallet

TOO_MUCH = keccak(text="TooMuch(uint256,uint256)")[:4]


def changed(network: Network, **fields: Any) -> ConnectionFile:
    return ConnectionFile(**(network.connection.model_dump() | fields))


def test_the_right_network_answers(network: Network) -> None:
    rpc = network.rpc()
    head = rpc.head()
    assert head == rpc.block(head.number)
    assert head.base_fee is None
    assert rpc.chain_time() == head.timestamp
    assert abs(head.timestamp - time.time()) < 120


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"chain_id": 7}, "chain id"),
        ({"genesis_hash": "0x" + "11" * 32}, "genesis hash"),
        ({"directory_code_hash": "0x" + "11" * 32}, "code at Directory"),
        ({"directory": "0x" + "ab" * 20}, "code at Directory"),
    ],
)
def test_a_connection_file_of_another_network_or_deployment_is_refused(
    network: Network, fields: dict[str, Any], what: str
) -> None:
    with pytest.raises(WrongNetwork, match=what) as caught:
        Rpc(changed(network, **fields)).head()
    assert caught.value.evidence["expected"] != caught.value.evidence["got"]
    assert "\n" not in str(caught.value)


def test_nobody_there_is_temporary_and_shows_no_credentials(network: Network) -> None:
    url = f"http://user:topsecret@127.0.0.1:{free_port()}/v3/apikey"
    with pytest.raises(RpcUnreachable) as caught:
        Rpc(changed(network, rpc_urls=[url])).head()
    assert "127.0.0.1" in str(caught.value)
    assert "topsecret" not in repr(caught.value.evidence) + str(caught.value)
    assert "apikey" not in repr(caught.value.evidence) + str(caught.value)


def test_credentials_in_the_url_are_used_but_the_node_need_not_ask_for_them(network: Network) -> None:
    url = network.node.url.replace("http://", "http://user:pass@")
    assert Rpc(changed(network, rpc_urls=[url])).head()


def test_many_questions_are_answered_in_order_and_one_refusal_spoils_no_other(network: Network) -> None:
    rpc = network.rpc()
    bad = {"to": network.till, "data": "0x" + add_call(LIMIT + 1, "a").hex()}
    asked = [("eth_chainId", [])] * 120 + [("eth_call", [bad, "latest"]), ("eth_blockNumber", [])]
    answers = rpc.call_many(asked)
    assert answers[:120] == [hex(31337)] * 120
    assert isinstance(answers[120], Reverted)
    assert int(answers[121], 16) == rpc.head().number


def test_a_node_that_takes_no_batches_is_asked_one_by_one(network: Network) -> None:
    from chain.line import Line

    class Single(Line):
        def make_batch_request(self, requests: Any) -> Any:
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}

    endpoint = Endpoint(network.node.url, 10.0)
    endpoint._made = Single(network.node.url, None, 3.0, 10.0)
    answers = endpoint.request_many([("eth_chainId", []), ("eth_blockNumber", [])])
    assert answers[0]["result"] == hex(31337)
    assert int(answers[1]["result"], 16) >= 0


def test_an_endpoint_of_another_chain_is_passed_over(network: Network) -> None:
    with anvil("--chain-id", "99") as other:
        rpc = Rpc(changed(network, rpc_urls=[other.url, network.node.url]))
        assert rpc.call("eth_chainId") == hex(31337)
        assert "chain id" in str(rpc.endpoints()[0]["fault"])


def test_an_endpoint_that_dies_is_replaced_and_taken_back_when_it_returns(network: Network) -> None:
    ticks = iter(range(0, 100_000, 40))  # each look at the clock is 40 s later: no rest lasts longer
    with Relay(network.node.port) as first, Relay(network.node.port) as second:
        rpc = Rpc(changed(network, rpc_urls=[first.url, second.url]), monotonic=lambda: float(next(ticks)))
        assert rpc.head()
        first.stop()
        assert rpc.head()
        assert rpc.endpoints()[0]["fault"]
        second.stop()
        with pytest.raises(RpcUnreachable) as caught:
            rpc.head()
        assert set(caught.value.evidence["endpoints"]) == {first.url, second.url}  # type: ignore[call-overload]
        first.start()
        assert rpc.head()
        assert rpc.endpoints()[0]["fault"] is None


def test_an_endpoint_that_hangs_is_waited_for_once_while_another_answers(network: Network) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and says nothing
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        later = 0.0
        rpc = Rpc(
            changed(network, rpc_urls=[url, network.node.url]),
            timeout=2.0,
            monotonic=lambda: time.monotonic() + later,
        )
        assert rpc.head()
        for _ in range(3):
            later += 60  # past every rest: it is examined again, aside
            began = time.monotonic()
            assert rpc.head()
            assert time.monotonic() - began < 1.0
        assert [item["state"] for item in rpc.endpoints()] == ["unreachable", "up"]


def test_a_clock_that_is_an_hour_ahead_is_overruled_by_a_head_that_keeps_pace(network: Network) -> None:
    now = time.monotonic()
    rpc = Rpc(
        network.connection.model_copy(update={"block_time": 1.0}),
        stale_after=30.0,
        pace_span=10.0,
        recheck=0.0,
        clock=lambda: time.time() + 3600,
        monotonic=lambda: now,
    )
    with pytest.raises(ChainStale, match="s old"):
        rpc.head()
    stamp = network.node.rpc().head().timestamp
    for second in range(1, 13):
        now += 1
        network.node.ask("evm_setNextBlockTimestamp", stamp + second)
        network.node.mine()
        if second < 10:
            with pytest.raises(ChainStale):
                rpc.head()
    assert rpc.head()
    now += 31  # and now it stands still
    with pytest.raises(ChainStale):
        rpc.head()


def test_the_only_endpoint_is_tried_again_at_once(network: Network) -> None:
    with Relay(network.node.port) as only:
        rpc = Rpc(changed(network, rpc_urls=[only.url]))
        only.stop()
        for _ in range(3):
            with pytest.raises(RpcUnreachable):
                rpc.head()
        only.start()
        assert rpc.head()


def test_another_chain_on_the_same_port_is_noticed(tmp_path: Path) -> None:
    with anvil() as node:
        network = deploy(node, tmp_path)
        rpc = network.rpc(recheck=0.0)
        assert rpc.head()
        node.stop()
        with pytest.raises(RpcUnreachable):
            rpc.head()
        node.start()
        with pytest.raises(WrongNetwork):
            rpc.head()


def test_a_hanging_endpoint_is_given_up_after_the_timeout(network: Network) -> None:
    rpc = network.rpc(timeout=0.3)
    assert rpc.head()
    network.node.freeze()
    began = time.monotonic()
    with pytest.raises(RpcUnreachable):
        rpc.head()
    assert time.monotonic() - began < 5
    network.node.thaw()
    assert rpc.head()


def test_a_chain_that_stands_still_is_told_by_its_age(network: Network) -> None:
    late = network.rpc(stale_after=60.0, clock=lambda: time.time() + 3600)
    with pytest.raises(ChainStale, match="s old"):
        late.head()
    assert network.rpc(stale_after=None, clock=lambda: time.time() + 3600).head()


def test_an_endpoint_that_is_behind_is_passed_over(network: Network, tmp_path: Path) -> None:
    with anvil("--fork-url", network.node.url) as behind:
        network.node.mine(20)
        rpc = Rpc(changed(network, rpc_urls=[behind.url, network.node.url]), max_lag_blocks=5)
        assert rpc.head().number == network.node.rpc().head().number
        assert "behind" in str(rpc.endpoints()[0]["fault"])


def test_a_head_from_the_future_is_passed_over_for_one_that_is_not(network: Network) -> None:
    """A node whose clock is wrong makes such blocks; alone it is believed, as our clock may be wrong."""

    def early(call: dict[str, Any], told: Any) -> Any:
        if call["method"] != "eth_getBlockByNumber" or call["params"][0] != "latest":
            return told
        return told | {"timestamp": hex(int(told["timestamp"], 16) + 3600)}

    with Liar(network.node.port, early) as liar:
        rpc = Rpc(changed(network, rpc_urls=[liar.url, network.node.url]), stale_after=60.0)
        network.node.mine()
        assert rpc.head().timestamp < time.time() + 60
        assert "in the future" in str(rpc.endpoints()[0]["fault"])
        alone = Rpc(changed(network, rpc_urls=[liar.url]), stale_after=60.0)
        assert alone.head().timestamp > time.time() + 3000


def test_a_node_that_has_only_just_started_is_asked_for_receipts_again(
    network: Network, tmp_path: Path
) -> None:
    class Starting(Between):
        refuses = 3

        def answer(self, port: int, call: dict[str, Any]) -> dict[str, Any]:
            if call["method"] == "eth_getTransactionReceipt" and self.refuses:
                self.refuses -= 1
                error = {"code": -32000, "message": "transaction indexing is in progress"}
                return {"jsonrpc": "2.0", "id": call["id"], "error": error}
            return super().answer(port, call)

    with Starting(network.node.port) as node:
        rpc = Rpc(changed(network, rpc_urls=[node.url]))
        with pytest.raises(RpcBusy, match="only just started"):
            rpc.receipt(bytes(32))
        sender = Sender(rpc, wallet(1), tmp_path)
        assert sender.send(network.till, add_call(5, "x")).status and not node.refuses
        sender.close()


def test_reverts_become_typed_errors(network: Network) -> None:
    rpc = network.rpc()
    with pytest.raises(Reverted, match="too loud"):
        rpc.eth_call(network.till, TILL.encode_call("scold", ["too loud"]))
    with pytest.raises(Reverted, match="division by zero"):
        rpc.eth_call(network.till, TILL.encode_call("halve", [1, 0]))
    with pytest.raises(Reverted) as caught:
        rpc.eth_call(network.till, add_call(LIMIT + 1, "x"))
    assert caught.value.evidence["selector"] == TOO_MUCH


def test_a_nodes_own_no_is_no_revert(network: Network) -> None:
    with pytest.raises(RpcRefused, match="eth_sendRawTransaction") as caught:
        network.rpc().call("eth_sendRawTransaction", ["0x1234"])
    assert isinstance(caught.value, Refused)


def test_calls_can_be_pinned_to_a_block(network: Network, tmp_path: Path) -> None:
    rpc = network.rpc()
    receipt = Sender(rpc, wallet(1), tmp_path).send(network.till, add_call(5, "x"))
    for block, total in ((receipt.block_number - 1, 0), (receipt.block_number, 5)):
        answer = rpc.eth_call(network.till, TILL.encode_call("total"), block)
        assert TILL.decode_result("total", answer) == total


def test_a_receipt_tells_when_and_what_was_logged(network: Network, tmp_path: Path) -> None:
    rpc = network.rpc()
    receipt = Sender(rpc, wallet(1), tmp_path).send(network.till, add_call(5, "x"))
    assert receipt.block_time == rpc.block(receipt.block_number).timestamp
    event = TILL.decode_event(receipt.logs[0].topics, receipt.logs[0].data)
    assert event is not None
    assert event.args["amount"] == 5
    assert rpc.get_logs([network.till], 0, receipt.block_number) == list(receipt.logs)
    assert rpc.receipt(b"\1" * 32) is None


def test_a_receipt_of_a_block_that_was_taken_back_is_not_buried(network: Network, tmp_path: Path) -> None:
    patient = Rpc(ConnectionFile(**(network.connection.model_dump() | {"confirmations": 2})))
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    before = network.node.ask("evm_snapshot")
    receipt = sender.send(network.till, add_call(1, "a"))
    assert patient.are_buried([receipt]) == [False]
    network.node.mine(2)
    assert patient.are_buried([receipt, receipt]) == [True, True]
    network.node.ask("evm_revert", before)
    network.node.mine(9)
    assert patient.are_buried([receipt]) == [False]


def test_the_head_that_counts_is_what_the_newest_one_was_before(network: Network) -> None:
    patient = Rpc(ConnectionFile(**(network.connection.model_dump() | {"confirmations": 2})))
    network.node.mine(4)
    newest, counts = patient.heads()
    assert counts == patient.block(newest.number - 2)
    assert patient.heads() == (newest, counts)
    network.node.mine()
    assert [block.number for block in patient.heads()] == [newest.number + 1, counts.number + 1]
    assert network.rpc().heads() == (network.rpc().head(), network.rpc().head())
