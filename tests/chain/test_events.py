"""The event reader: each event once, in order, whatever dies or is taken back meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.connection import ConnectionFile
from chain.events import Event, EventReader
from chain.rpc import Log, Rpc, RpcRefused, RpcUnreachable
from chain.sender import Sender
from market.errors import Bug, Permanent
from tests.chain.network import TILL, Network, Relay, add_call, die_with_parent, wallet


class Book:
    """Effects of the events: one row per `Added`, in the database of the reader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE IF NOT EXISTS added (block INTEGER, total INTEGER, at INTEGER)")

    @staticmethod
    def handle(db: sqlite3.Connection, event: Event) -> None:
        if event.payload.name == "Added":
            row = (event.block_number, event.payload.args["total"], event.block_time)
            db.execute("INSERT INTO added VALUES (?, ?, ?)", row)

    @staticmethod
    def rewind(db: sqlite3.Connection, block: int) -> None:
        db.execute("DELETE FROM added WHERE block > ?", (block,))

    def totals(self) -> list[int]:
        with sqlite3.connect(self.path) as db:
            return [row[0] for row in db.execute("SELECT total FROM added ORDER BY rowid")]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "book.sqlite")


@pytest.fixture
def sender(network: Network, tmp_path: Path) -> Iterator[Sender]:
    made = Sender(network.rpc(), wallet(1), tmp_path / "sender")
    yield made
    made.close()


def reader(network: Network, book: Book, rpc: Rpc | None = None, **options: Any) -> EventReader:
    options = {"decode": TILL.decode_event, **options}
    return EventReader(rpc or network.rpc(), book.path, [network.till], "book", **options)


def add(sender: Sender, network: Network, times: int = 1) -> None:
    for _ in range(times):
        sender.send(network.till, add_call(1, "a"))


def test_every_event_is_handled_once_and_in_order(network: Network, sender: Sender, book: Book) -> None:
    reading = reader(network, book)
    add(sender, network, 3)
    assert reading.lag() == network.rpc().head().number + 1
    assert reading.poll(Book.handle) == 3
    assert reading.poll(Book.handle) == 0
    add(sender, network, 2)
    assert reader(network, book).poll(Book.handle) == 2
    assert book.totals() == [1, 2, 3, 4, 5]
    assert reader(network, book).position() == network.rpc().head().number
    assert reading.lag() == 0


def test_an_event_tells_when_and_where(network: Network, sender: Sender, book: Book) -> None:
    receipt = sender.send(network.till, add_call(1, "a"))
    seen: list[Event] = []
    reader(network, book).poll(lambda db, event: seen.append(event))
    assert (seen[0].tx_hash, seen[0].block_time) == (receipt.tx_hash, receipt.block_time)
    assert (seen[0].block_number, seen[0].log_index) == (receipt.block_number, 0)
    assert (seen[0].address, seen[0].block_hash) == (network.till, receipt.block_hash)


def test_two_readers_of_one_database_do_not_meet(network: Network, sender: Sender, book: Book) -> None:
    add(sender, network)
    store = sqlite3.connect(book.path, isolation_level=None)
    for name in ("one", "two"):
        other = EventReader(network.rpc(), store, [network.till], name, decode=TILL.decode_event)
        assert other.poll(Book.handle) == 1
    assert book.totals() == [1, 1]


def test_what_the_handler_raises_leaves_nothing_half_done(
    network: Network, sender: Sender, book: Book
) -> None:
    add(sender, network, 3)

    def fails_at_two(db: sqlite3.Connection, event: Event) -> None:
        Book.handle(db, event)
        if event.payload.args["total"] == 2:
            raise ValueError("no")

    reading = reader(network, book)
    with pytest.raises(ValueError, match="no"):
        reading.poll(fails_at_two)
    assert book.totals() == []
    assert reading.position() == -1
    reading.poll(Book.handle)
    assert book.totals() == [1, 2, 3]


@pytest.mark.parametrize("fatal", [1, 2, 4])
def test_a_reader_killed_between_two_effects_goes_on_as_if_nothing_was(
    network: Network, sender: Sender, book: Book, fatal: int
) -> None:
    add(sender, network, 4)

    def die(db: sqlite3.Connection, event: Event) -> None:
        Book.handle(db, event)
        if event.payload.args["total"] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        die_with_parent()
        reader(network, book, first_range=2, most_range=2).poll(die)

    killed = multiprocessing.get_context("fork").Process(target=run)
    killed.start()
    killed.join(30)
    assert killed.exitcode == -signal.SIGKILL
    assert len(book.totals()) < fatal
    reader(network, book).poll(Book.handle)
    assert book.totals() == [1, 2, 3, 4]


def test_blocks_taken_back_are_undone_to_the_last_common_one(
    network: Network, sender: Sender, book: Book
) -> None:
    reading = reader(network, book)
    add(sender, network)
    reading.poll(Book.handle, Book.rewind)
    snapshot = network.node.ask("evm_snapshot")
    for _ in range(2):
        add(sender, network)
        reading.poll(Book.handle, Book.rewind)
    assert book.totals() == [1, 2, 3]
    network.node.ask("evm_revert", snapshot)
    assert reading.poll(Book.handle, Book.rewind) == 0, "nothing can be judged before the chain grows again"
    other = Sender(network.rpc(), wallet(2), book.path.parent / "other")
    for amount in (10, 20, 30):
        other.send(network.till, add_call(amount, "b"))
    reading.poll(Book.handle, Book.rewind)
    assert book.totals() == [1, 11, 31, 61]


def test_a_reorganisation_in_the_node_is_noticed(network: Network, sender: Sender, book: Book) -> None:
    reading = reader(network, book)
    for _ in range(4):
        add(sender, network)
        reading.poll(Book.handle, Book.rewind)
    network.node.ask("anvil_reorg", 2, [])
    reading.poll(Book.handle, Book.rewind)
    assert book.totals() == [1, 2]


class Counting(Rpc):
    """Remembers which methods were called."""

    def __init__(self, connection: ConnectionFile) -> None:
        super().__init__(connection)
        self.asked: list[str] = []

    def call(self, method: str, params: Any = ()) -> Any:
        self.asked.append(method)
        return super().call(method, params)


def test_the_next_block_costs_one_question_if_its_head_is_known(
    network: Network, sender: Sender, book: Book
) -> None:
    counting = Counting(network.connection)
    reading = reader(network, book, counting)
    add(sender, network)
    reading.poll(Book.handle, Book.rewind)
    add(sender, network)
    head = counting.head()
    counting.asked.clear()
    assert reading.poll(Book.handle, Book.rewind, head=head) == 1
    assert reading.poll(Book.handle, Book.rewind, head=head) == 0
    assert counting.asked == ["eth_getLogs"]
    assert book.totals() == [1, 2]


def test_a_known_head_that_is_no_child_of_the_last_block_is_read_the_long_way(
    network: Network, sender: Sender, book: Book
) -> None:
    reading = reader(network, book)
    for _ in range(4):
        add(sender, network)
        reading.poll(Book.handle, Book.rewind, head=network.rpc().head())
    gone = network.rpc().head()
    network.node.ask("anvil_reorg", 2, [])
    reading.poll(Book.handle, Book.rewind, head=network.rpc().head())
    assert book.totals() == [1, 2]
    add(sender, network)
    network.node.mine(2)
    assert reading.poll(Book.handle, Book.rewind, head=gone)
    assert reading.lag() == 0, "an old head is no reason to stay behind"


def test_without_a_common_block_all_is_undone_and_read_again(
    network: Network, sender: Sender, book: Book
) -> None:
    snapshot = network.node.ask("evm_snapshot")
    add(sender, network, 2)
    reading = reader(network, book)
    reading.poll(Book.handle, Book.rewind)
    network.node.ask("evm_revert", snapshot)
    other = Sender(network.rpc(), wallet(2), book.path.parent / "other")
    for amount in (10, 20, 30):
        other.send(network.till, add_call(amount, "b"))
    assert reading.poll(Book.handle, Book.rewind) == 3
    assert book.totals() == [10, 30, 60]


def test_a_reader_that_cannot_undo_says_so(network: Network, sender: Sender, book: Book) -> None:
    snapshot = network.node.ask("evm_snapshot")
    add(sender, network)
    reading = reader(network, book)
    reading.poll(Book.handle)
    network.node.ask("evm_revert", snapshot)
    network.node.mine(3)
    with pytest.raises(Permanent, match="took back blocks"):
        reading.poll(Book.handle)


def test_a_node_that_is_merely_behind_is_no_reorganisation(
    network: Network, sender: Sender, book: Book
) -> None:
    add(sender, network, 3)
    reader(network, book).poll(Book.handle)

    class Behind(Rpc):
        def head(self) -> Any:
            return self.block(super().head().number - 2)

    late = reader(network, book, Behind(network.connection))
    assert late.poll(Book.handle) == 0
    assert book.totals() == [1, 2, 3]


def test_only_confirmed_blocks_count(network: Network, sender: Sender, book: Book) -> None:
    patient = ConnectionFile(**(network.connection.model_dump() | {"confirmations": 2}))
    add(sender, network)
    reading = reader(network, book, Rpc(patient))
    assert reading.poll(Book.handle) == 0
    network.node.mine(2)
    assert reading.poll(Book.handle) == 1


class Narrow(Rpc):
    """A node that refuses more than `limit` blocks at once, and remembers what it was asked."""

    limit = 5

    def get_logs(self, addresses: Any, from_block: int, to_block: int, topics: Any = ()) -> list[Log]:
        self.asked.append(to_block - from_block + 1)
        if to_block - from_block >= self.limit:
            raise RpcRefused("range too large", code=-32000)
        return super().get_logs(addresses, from_block, to_block, topics)

    def __init__(self, connection: ConnectionFile) -> None:
        super().__init__(connection)
        self.asked: list[int] = []


def test_a_range_the_node_refuses_is_halved_until_it_fits(
    network: Network, sender: Sender, book: Book
) -> None:
    add(sender, network)
    network.node.mine(60)
    add(sender, network)
    narrow = Narrow(network.connection)
    assert reader(network, book, narrow, first_range=64).poll(Book.handle) == 2
    assert book.totals() == [1, 2]
    assert narrow.asked[:5] == [64, 32, 16, 8, 4]
    assert sum(size > narrow.limit for size in narrow.asked) < 10, "it learns from being refused"


def test_ranges_grow_while_the_node_is_quick(network: Network, sender: Sender, book: Book) -> None:
    network.node.mine(60)
    add(sender, network)
    wide = Narrow(network.connection)
    wide.limit = 10_000
    assert reader(network, book, wide, first_range=4, most_range=16).poll(Book.handle) == 1
    assert wide.asked[:4] == [4, 8, 16, 16]


def test_a_single_block_the_node_refuses_is_an_error(network: Network, book: Book) -> None:
    broken = Narrow(network.connection)
    broken.limit = 0
    with pytest.raises(RpcRefused, match="range too large"):
        reader(network, book, broken).poll(Book.handle)


def test_a_database_of_another_chain_is_refused(network: Network, book: Book) -> None:
    reader(network, book)
    other = ConnectionFile(**(network.connection.model_dump() | {"genesis_hash": "0x" + "11" * 32}))
    with pytest.raises(Permanent, match="another chain"):
        reader(network, book, Rpc(other))


def test_an_endpoint_that_dies_and_comes_back_loses_no_event(
    network: Network, sender: Sender, book: Book
) -> None:
    with Relay(network.node.port) as relay:
        through = ConnectionFile(**(network.connection.model_dump() | {"rpc_urls": [relay.url]}))
        reading = reader(network, book, Rpc(through))
        add(sender, network)
        reading.poll(Book.handle)
        relay.stop()
        add(sender, network)
        with pytest.raises(RpcUnreachable):
            reading.poll(Book.handle)
        relay.start()
        assert reading.poll(Book.handle) == 1
        assert book.totals() == [1, 2]


def test_events_of_others_are_left_out(network: Network, sender: Sender, book: Book) -> None:
    add(sender, network)
    reading = reader(network, book, decode=lambda topics, data: None)
    assert reading.poll(Book.handle) == 0
    with pytest.raises(Bug, match="everybody"):
        EventReader(network.rpc(), book.path, [], "none")


def test_a_connection_that_commits_by_itself_is_a_bug(network: Network, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.sqlite") as db, pytest.raises(Bug, match="isolation_level"):
        EventReader(network.rpc(), db, [network.till], "x")
