"""No single endpoint's word is final where others can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chain.events import Event, EventReader
from chain.nonces import Entry, Status
from chain.opinions import agreed_logs, are_confirmed
from chain.rpc import Rpc
from chain.sender import NotMined, Sender
from market.errors import Temporary
from tests.chain.liar import Between, Liar, Lie, behind, censor, deny, invent_events, spend
from tests.chain.network import TILL, Network, add_call, label, wallet


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closed at the end."""
    with ExitStack() as opened:
        yield opened


def _rpc(network: Network, *first: Between, honest: int = 2) -> Rpc:
    """These endpoints, then so many honest ones (all are the same node)."""
    urls = [each.url for each in first]
    urls += [network.node.url, f"http://localhost:{network.node.port}"][:honest]
    return Rpc(network.connection.model_copy(update={"rpc_urls": tuple(urls)}))


def _added(network: Network, rpc: Rpc, folder: Path) -> list[int]:
    """The amounts that a reader of events hears of."""
    heard: list[int] = []

    def hear(_: object, event: Event) -> None:
        if event.payload.name == "Added":
            heard.append(event.payload.args["amount"])

    reader = EventReader(rpc, folder / "events.sqlite", [network.till], "r", decode=TILL.decode_event)
    reader.poll(hear)
    return heard


def _add(network: Network, folder: Path) -> None:
    sender = Sender(network.rpc(), wallet(1), folder / "honest")
    sender.send(network.till, add_call(7, "seven"))
    sender.close()


def _under_way(network: Network, folder: Path) -> Entry:
    """A transaction that no block holds yet."""
    sender = Sender(network.rpc(), wallet(2), folder)
    entry = sender.send(network.till, add_call(5, "five"), intent="five", wait=False)
    sender.close()
    return entry


def test_a_receipt_that_only_one_endpoint_has_is_not_believed(
    network: Network, tmp_path: Path, stack: ExitStack
) -> None:
    """And what it kept to itself reaches the chain through the others once it is stuck."""
    liar = stack.enter_context(Liar(network.node.port, keeps=True))
    sender = Sender(_rpc(network, liar), wallet(2), tmp_path / "s", wait_limit=2.0, stuck_after=600.0)
    with pytest.raises(NotMined):
        sender.send(network.till, add_call(5, "five"), intent="five")
    assert len(liar.kept) == 1 and network.times(label("five")) == 0
    sender.close()
    again = Sender(_rpc(network, liar), wallet(2), tmp_path / "s", stuck_after=0.1)
    receipt = again.send(network.till, add_call(5, "five"), intent="five")
    assert network.times(label("five")) == 1
    true = network.node.rpc().receipt(receipt.tx_hash)
    assert true is not None
    again.close()


def test_a_nonce_is_not_given_up_on_one_endpoints_word(
    slow_network: Network, tmp_path: Path, stack: ExitStack
) -> None:
    """Else the act goes out a second time while its first transaction lives."""
    network, entry = slow_network, _under_way(slow_network, tmp_path)
    liar = stack.enter_context(Liar(network.node.port, spend))
    again = Sender(_rpc(network, liar), wallet(2), tmp_path)
    again.recover()
    assert again.journal.get(entry.id).live
    network.node.mine(1)
    assert again.wait(entry, limit=10).status == 1
    assert network.times(label("five")) == 1
    again.close()


def test_the_only_endpoints_word_of_a_nonce_is_taken(
    slow_network: Network, tmp_path: Path, stack: ExitStack
) -> None:
    network, entry = slow_network, _under_way(slow_network, tmp_path)
    liar = stack.enter_context(Liar(network.node.port, spend))
    again = Sender(_rpc(network, liar, honest=0), wallet(2), tmp_path)
    assert [lost.id for lost in again.recover().lost] == [entry.id]
    assert again.journal.get(entry.id).status is Status.LOST
    again.close()


@pytest.mark.parametrize(("second", "first_is"), [(deny, "unreachable"), (behind, "up")])
def test_who_is_behind_contradicts_nobody(
    network: Network, tmp_path: Path, stack: ExitStack, second: Lie, first_is: str
) -> None:
    sender = Sender(network.rpc(), wallet(1), tmp_path)
    receipt = sender.send(network.till, add_call(7, "seven"))
    sender.close()
    liar = stack.enter_context(Liar(network.node.port, second))
    urls = (network.node.url, liar.url)
    rpc = Rpc(network.connection.model_copy(update={"rpc_urls": urls}))
    assert are_confirmed(rpc, [receipt]) == [False]
    assert [each["state"] for each in rpc.endpoints()] == [first_is, "up"]


@pytest.mark.parametrize("lie", [censor, invent_events])
def test_events_that_one_of_three_tells_otherwise_are_those_of_the_other_two(
    network: Network, tmp_path: Path, stack: ExitStack, lie: Lie
) -> None:
    _add(network, tmp_path)
    liar = stack.enter_context(Liar(network.node.port, lie))
    assert _added(network, _rpc(network, liar), tmp_path) == [7]


@pytest.mark.parametrize("lie", [censor, invent_events])
def test_so_are_those_of_the_one_block_that_follows_the_last_one_read(
    network: Network, tmp_path: Path, stack: ExitStack, lie: Lie
) -> None:
    """An agent reads block by block; what it passes over once it never hears of."""
    liar = stack.enter_context(Liar(network.node.port, lie))
    rpc, heard = _rpc(network, liar), []
    reader = EventReader(rpc, tmp_path / "e.sqlite", [network.till], "r", decode=TILL.decode_event)
    reader.poll(lambda _, event: heard.append(event.payload.name))
    _add(network, tmp_path)
    head = network.node.rpc().head()
    assert reader.position() == head.number - 1
    reader.poll(lambda _, event: heard.append(event.payload.name), head=head)
    assert heard == ["Added"] and reader.position() == head.number


def test_who_has_not_got_the_block_yet_has_no_say_in_its_events(
    network: Network, tmp_path: Path, stack: ExitStack
) -> None:
    """Its empty answer looks like that of one who keeps events back."""
    _add(network, tmp_path)
    liar = stack.enter_context(Liar(network.node.port, censor))
    late = stack.enter_context(Liar(network.node.port, lambda call, told: behind(call, censor(call, told))))
    with pytest.raises(Temporary, match="or have none of it yet"):
        _added(network, _rpc(network, liar, late, honest=0), tmp_path)


def test_of_two_endpoints_that_tell_different_events_neither_is_believed(
    network: Network, tmp_path: Path, stack: ExitStack
) -> None:
    _add(network, tmp_path)
    liar = stack.enter_context(Liar(network.node.port, censor))
    with pytest.raises(Temporary, match="different events"):
        _added(network, _rpc(network, liar, honest=1), tmp_path)


def test_the_only_endpoint_is_taken_at_its_word(network: Network, tmp_path: Path, stack: ExitStack) -> None:
    _add(network, tmp_path)
    liar = stack.enter_context(Liar(network.node.port, censor))
    head = network.node.rpc().head().number
    assert agreed_logs(_rpc(network, liar, honest=0), [network.till], 0, head) == []
