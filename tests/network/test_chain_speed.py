"""The chain's measurements on four real validators, too short to mean anything: they come to their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.chain.mix import Mix
from bench.chain.soak import Soak
from bench.chain.speed import Speed
from bench.chain.stage import ChainStage, open_chain
from bench.chain.watch import Watch

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def stage() -> Iterator[ChainStage]:
    """Four validators, two shops and two buyers."""
    with open_chain(sellers=2, buyers=2, machines=2) as made:
        yield made


def test_twenty_seconds_of_load_lose_no_call_and_tell_what_grew(stage: ChainStage) -> None:
    with Watch(stage.urls[0], kept=600) as watch:
        report = Soak(stage, watch, Mix(stage), rate=3.0, every=4.0).play(20.0)
    assert report.complete, report.notes
    rows = {row.what: row.value for row in report.rows}
    assert rows["calls confirmed"] == 60
    for name in ("v1", "v2", "v3", "v4", "client"):
        assert rows[f"{name}: memory at the end"] > 10 and f"{name}: disk, fitted" in rows
    assert rows["v1: disk at the end"] > 1


def test_client_and_bound_are_measured_in_one_run(stage: ChainStage) -> None:
    with Watch(stage.urls[0]) as watch:
        report = Speed(stage, watch, seconds=3.0, room=20, accounts=8, alone=1).measure(rounds=1)
    rows = {row.what: row for row in report.rows}
    assert rows["maximum: gas"].peer is not None
    assert rows["50% of maximum: call to confirmed, p99"].value > 0
    assert rows["at the maximum: CPU a call"].value > 0
    assert rows["  eth_sendRawTransaction"].value > 0
    assert "signatures by CoinCurveECCBackend" in report.notes
    assert not [note for note in report.notes if "failed" in note]
