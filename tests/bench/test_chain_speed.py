"""The bookkeeping of the chain's measurements: latencies, rates, the mix, and what is taken for growth."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.chain.load import Latency, Load, Sample, latencies
from bench.chain.meter import Meter, metered
from bench.chain.mix import SHARES, Mix
from bench.chain.soak import size_of, slope
from bench.chain.speed import Pace
from bench.chain.stage import ChainStage, Shop
from bench.chain.watch import Seen, Watch
from chain.line import Line
from chain.wallet import Wallet
from chain.wire import Receipt
from market.windows import SlotWindow


class Chain:
    """Blocks as a node would tell them; `grow` adds one, on any block."""

    def __init__(self) -> None:
        self.blocks = [self._block(0, "g", "", [])]

    def _block(self, number: int, name: str, parent: str, txs: list[str]) -> dict[str, Any]:
        return {
            "number": hex(number),
            "hash": name,
            "parentHash": parent,
            "gasUsed": hex(1000 * len(txs)),
            "transactions": txs,
        }

    def grow(self, name: str, *txs: str, height: int | None = None) -> None:
        number = len(self.blocks) if height is None else height
        self.blocks[number:] = [self._block(number, name, self.blocks[number - 1]["hash"], list(txs))]

    def ask(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        [(method, params)] = calls
        if method == "eth_blockNumber":
            return [hex(len(self.blocks) - 1)]
        return [self.blocks[int(params[0], 16)]]


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def watch(chain: Chain) -> Watch:
    made = Watch("http://127.0.0.1:1", kept=4)
    made._node = chain  # type: ignore[assignment]
    made.look()
    return made


def test_a_block_is_noted_once_with_its_gas_and_transactions(chain: Chain, watch: Watch) -> None:
    chain.grow("a", "t1", "t2")
    watch.look()
    at = watch.place("t1")
    watch.look()
    assert at is not None and watch.place("t2") is at
    assert (at.number, at.gas, watch.gas, watch.mined()) == (1, 2000, 2000, 2)


def test_blocks_between_two_looks_are_all_noted(chain: Chain, watch: Watch) -> None:
    for name in "abc":
        chain.grow(name, f"t{name}")
    watch.look()
    found = [watch.place(f"t{name}") for name in "abc"]
    assert [each and each.number for each in found] == [1, 2, 3]


def test_what_stood_in_a_branch_that_gave_way_counts_where_it_stands_now(chain: Chain, watch: Watch) -> None:
    chain.grow("a", "t1", "t2")
    chain.grow("b", "t3")
    watch.look()
    chain.grow("A", "t3", height=1)
    chain.grow("B", "t1")
    chain.grow("C")
    watch.look()
    places = {name: watch.place(name) for name in ("t1", "t2", "t3")}
    assert {name: at and at.hash for name, at in places.items()} == {"t1": "B", "t2": None, "t3": "A"}
    assert (watch.replaced, watch.gas, watch.mined()) == (2, 2000, 2)


def test_only_the_last_blocks_are_kept_but_all_their_gas_is_counted(chain: Chain, watch: Watch) -> None:
    for number in range(10):
        chain.grow(f"b{number}", f"t{number}")
        watch.look()
    assert watch.place("t3") is None and watch.place("t9") is not None
    assert (len(watch.between(0, time.time() + 1)), watch.gas) == (4, 10_000)


def test_latency_counts_from_when_a_call_was_due_and_leaves_out_what_failed(
    chain: Chain, watch: Watch
) -> None:
    chain.grow("a", "t1")
    watch.look()
    at = watch.place("t1")
    assert at is not None
    good = Sample("deposit", due=at.at - 2.0, sent=at.at - 1.0, confirmed=at.at + 3.0, hash="t1")
    bad = Sample("deposit", due=at.at - 50.0, confirmed=at.at, error="no")
    mined, confirmed = latencies(Load(0.0, samples=[good, bad]), watch)
    assert mined.p50 == pytest.approx(2.0) and confirmed.p99 == pytest.approx(5.0)


def test_percentiles_of_a_hundred_are_those_of_their_places() -> None:
    found = Latency.of([float(n) for n in range(1, 101)])
    assert (found.p50, found.p95, found.p99) == (50.0, 95.0, 99.0)


def test_a_pace_counts_gas_after_the_first_block_only_and_adds_rounds_by_their_length() -> None:
    pace = Pace()
    pace.add([_seen(1, 10.0, 99_000_000, 9), _seen(2, 11.0, 4_000_000, 2), _seen(3, 12.0, 2_000_000, 1)])
    pace.add([_seen(7, 20.0, 0, 0), _seen(8, 26.0, 2_000_000, 1)])
    pace.add([_seen(9, 30.0, 5, 5)])
    assert (pace.gas_rate, pace.rate) == (1.0, 0.5)
    assert pace.rounds == [3_000_000, pytest.approx(333_333.3, rel=1e-3), 0]


def _seen(number: int, at: float, gas: int, transactions: int) -> Seen:
    return Seen(number, f"h{number}", "", at, gas, ("t",) * transactions)


def test_a_slope_is_that_of_the_line_that_fits_best() -> None:
    assert slope([0.0, 1.0, 2.0, 3.0], [5.0, 7.0, 9.0, 11.0]) == pytest.approx(2.0)
    assert slope([0.0, 1.0, 2.0], [0.0, 3.0, 0.0]) == pytest.approx(0.0)
    assert slope([1.0], [5.0]) == 0.0


def test_the_size_of_a_folder_is_what_its_files_take_on_disk(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 1_000_000)
    assert 0.99 <= size_of(tmp_path) <= 1.2


# ---- the mix -----------------------------------------------------------------------------------------------


def _party(org: int) -> Any:
    return SimpleNamespace(org=org, client=None)


def _stage(slots: int = 1000) -> ChainStage:
    shops = [
        Shop(_party(n), n, (10 * n, 10 * n + 1, 10 * n + 2), SlotWindow(100, 100 + slots)) for n in (1, 2)
    ]
    nothing: Any = None
    return ChainStage(nothing, nothing, nothing, nothing, shops, [_party(3), _party(4)])


def _mix(clock: Any = time.time) -> Mix:
    return Mix(_stage(), clock=clock)


def test_the_mix_is_a_hundred_parts_and_is_drawn_by_them() -> None:
    assert sum(SHARES.values()) == 100
    mix = _mix()
    drawn = Counter(mix.draw().kind for _ in range(4000))
    # Nobody posted a tender, so what would follow one became deposits.
    assert drawn["seal a bid"] == drawn["reveal a bid"] == 0
    for kind, share in (("publish an offer", 15), ("post", 5), ("deposit", 55)):
        assert drawn[kind] == pytest.approx(40 * share, rel=0.2)


def test_no_machine_is_bought_twice_in_a_slot_and_those_for_tenders_never() -> None:
    stage = _stage(slots=100)
    pieces = list(stage.pieces)
    assert len(pieces) == len({(machine, slot) for _, machine, slot in pieces}) == 2 * 2 * 100
    assert not {machine for _, machine, _ in pieces} & {12, 22}
    assert Mix(stage)._buy() is None, "another load sells from the same shelves"


def test_a_tender_is_bid_on_by_each_seller_once_and_revealed_when_bids_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    mix = _mix(lambda: now[0])
    opened = SimpleNamespace(request=7)
    monkeypatch.setattr("bench.chain.mix.events.TenderOpened", SimpleNamespace)
    monkeypatch.setattr("bench.chain.mix.decode_logs", lambda logs: [opened])
    receipt: Receipt = SimpleNamespace(logs=())  # type: ignore[assignment]
    mix._post().done(receipt)
    bids = [mix._seal(), mix._seal()]
    assert [bid and bid.party.org for bid in bids] == [1, 2] and mix._seal() is None
    for bid in bids:
        assert bid is not None
        bid.done(receipt)
    assert mix._reveal() is None
    now[0] += 23
    reveals = [mix._reveal(), mix._reveal(), mix._reveal()]
    assert [each and each.party.org for each in reveals] == [1, 2, None]


def test_nobody_bids_on_a_tender_that_is_about_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    mix = _mix(lambda: now[0])
    mix._unsealed.append((7, 1020.0, mix._stage.shops[0]))
    now[0] = 1011.0
    assert mix._seal() is None


# ---- the meter ---------------------------------------------------------------------------------------------


def test_a_part_counts_what_it_took_without_the_parts_it_called() -> None:
    fields = {"chainId": 1, "nonce": 0, "gas": 21_000, "gasPrice": 0, "value": 0, "data": b""}
    plain = Wallet.sign_transaction
    with metered() as meter:
        for _ in range(3):
            Wallet(b"\1" * 32).sign_transaction(fields)
        assert Wallet.sign_transaction is not plain
    assert Wallet.sign_transaction is plain
    assert meter.calls["sign"] == 3
    assert 0 < meter.cpu["sign"] <= meter.wall["sign"] + 0.1


def test_requests_are_counted_by_method_and_messages_as_they_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Line, "_post", lambda self, message: [{"id": each["id"]} for each in message])
    with metered() as meter:
        line = Line("http://127.0.0.1:1", None, 1.0, 1.0)
        threads = [
            threading.Thread(target=line.make_batch_request, args=([("a", []), ("b", [])],)) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (meter.messages, meter.requests) == (5, {"a": 5, "b": 5})


def test_meters_add_up() -> None:
    one, two = Meter(), Meter()
    for meter in (one, two):
        meter.add("sign", 0.5, 1.0)
        meter.sent(["a", "b"])
    one.merge(two)
    assert (one.calls["sign"], one.cpu["sign"], one.wall["sign"]) == (2, 1.0, 2.0)
    assert (one.messages, one.requests["a"]) == (2, 2)
