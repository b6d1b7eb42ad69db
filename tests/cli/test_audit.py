"""`ocx audit` on a watched lease: rounds opened or not, an outage made on purpose, an odd seat."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import render
from tests.cli.conftest import Person
from tests.cli.watched import ROUNDS, Watched, watched

pytestmark = pytest.mark.timeout(120)
OUTAGE = range(3, 15)
STAKE = 5_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Three witnesses in the pool."""
    with watched(tmp_path_factory.mktemp("audit"), int(time.time())) as here:
        yield here


@pytest.fixture(scope="module")
def first(world: Watched) -> int:
    """A lease that all saw up through epoch `first`, and one epoch more. The first epoch."""
    market = world.market
    sla = market.south.does("sla register --tier 99:10:1")["sla"]
    node = market.nodes["south"][0]
    offer = market.south.does(f"offer publish --node {node} --for 20h --floor 2 --buy-now 5 --sla {sla}")
    world.go(world.epoch + 2)
    first = world.open(int(sla), int(offer["offer"]), node, 1400)
    world.tick(first, [(), (), ()])
    return first


@pytest.fixture(scope="module")
def auditor(world: Watched, first: int) -> Person:
    """Who rents the machine, once the council has made it an auditor."""
    buyer, lease = world.market.buyer, world.lease
    assert "only an auditor" in buyer.is_refused(f"audit canary commit {lease} {first + 2} 0 10")
    assert "only an auditor" in buyer.is_refused(f"audit open {handle(world, 0)} {lease} {first} 7")
    world.market.council.does("member set-roles buyer --roles buyer,auditor")
    return buyer


@pytest.fixture(scope="module")
def canary(world: Watched, auditor: Person, first: int) -> int:
    """Committed to in epoch `first + 1`: an outage in the next, which the third seat does not report."""
    kept = auditor.does(f"audit canary commit {world.lease} {first + 2} {OUTAGE.start} {len(OUTAGE)}")
    assert Path(kept["kept_in"]).stat().st_mode & 0o777 == 0o600
    return int(kept["canary"])


@pytest.fixture(scope="module")
def audits(world: Watched, auditor: Person, first: int, canary: int) -> tuple[int, int]:
    """One of the first seat, which answers, and one of the second, which does not: both of `first + 1`."""
    world.tick(first + 1, [(), (), ()])
    world.tick(first + 2, [OUTAGE, OUTAGE, ()])
    one, two = (
        auditor.does(f"audit open {handle(world, seat)} {world.lease} {first + 1} 7") for seat in (0, 1)
    )
    assert one["org"] == world.orgs[world.seats[0]] and one["deadline"] > world.now
    return int(one["audit"]), int(two["audit"])


@pytest.fixture(scope="module")
def answered(world: Watched, audits: tuple[int, int]) -> int:
    """The audit of the first seat, once it has opened what it committed to."""
    world.open_up(audits[0], 0, ())
    return audits[0]


@pytest.fixture(scope="module")
def overdue(world: Watched, auditor: Person, first: int, answered: int, audits: tuple[int, int]) -> int:
    """The audit of the second seat, when its time is over; epoch `first + 2` is published by then."""
    assert "may be answered until" in auditor.is_refused(f"audit fail {audits[1]}")
    world.tick(first + 3, [(), (), ()])
    world.go(first + 5)
    return audits[1]


@pytest.fixture(scope="module")
def revealed(world: Watched, auditor: Person, first: int, canary: int, overdue: int) -> dict[str, int]:
    """The canary's outage is told once its epoch is final."""
    assert "revealed too early" in auditor.is_refused(f"audit canary reveal {canary}")
    world.go(first + 6)
    return dict(auditor.does(f"audit canary reveal {canary}"))


def handle(world: Watched, seat: int) -> str:
    """What the organisation of a seat is called."""
    return f"eye-{world.seats[seat]}"


def stake(world: Watched, seat: int) -> int:
    """What a seat's organisation has at stake, microcredits."""
    return int(world.market.north.does(f"witness show {handle(world, seat)}")["stake"])


def test_a_witness_that_opens_what_it_measured_passes(world: Watched, answered: int) -> None:
    shown = world.market.north.does(f"audit show {answered}")
    assert (shown["state"], shown["result"], shown["round"]) == ("closed", "passed", 7)
    assert stake(world, 0) == STAKE
    assert f"audit {answered} is closed" in world.market.north.is_refused(f"audit fail {answered}")


def test_anybody_has_a_witness_slashed_that_did_not_answer(world: Watched, overdue: int) -> None:
    anybody = world.market.north
    [row] = anybody.does("audit list")
    assert (row["audit"], row["state"], row["handle"]) == (overdue, "unanswered", handle(world, 1))
    assert render.time_text(row["deadline"]) in anybody.run("audit list").stdout
    closed = anybody.run(f"audit fail {overdue} --yes")
    assert re.search(r"^slashed +2\.500000$", closed.stdout, re.MULTILINE)
    assert stake(world, 1) == STAKE // 2
    assert anybody.does(f"audit show {overdue}")["result"] == "unanswered"
    assert anybody.does("audit list") == []
    assert [item["audit"] for item in anybody.does("audit list --all")] == [overdue, overdue - 1]


def test_who_did_not_report_a_canary_is_slashed(
    world: Watched, canary: int, first: int, revealed: dict[str, int]
) -> None:
    assert (revealed["lease"], revealed["epoch"], revealed["rounds"]) == (world.lease, first + 2, len(OUTAGE))
    anybody, missed = world.market.north, handle(world, 2)
    assert "does not show" in anybody.is_refused(f"audit canary miss {canary} {handle(world, 0)}")
    before = stake(world, 2)
    assert anybody.does(f"audit canary miss {canary} {missed}")["slashed"] == before // 2
    assert stake(world, 2) == before - before // 2
    assert "was counted already" in anybody.is_refused(f"audit canary miss {canary} {missed}")


def test_a_seat_unlike_a_quorum_of_the_others_is_an_outlier(
    world: Watched, first: int, revealed: dict[str, int]
) -> None:
    """In one epoch: remembered, not slashed."""
    anybody, odd = world.market.north, handle(world, 2)
    found = anybody.does(f"audit outlier {odd} {world.lease} {first + 2}")
    assert (found["outliers"], found["slashed"]) == (1, 0)
    assert anybody.does(f"witness show {odd}")["outliers"] == 1
    assert "was counted already" in anybody.is_refused(f"audit outlier {odd} {world.lease} {first + 2}")
    like = anybody.is_refused(f"audit outlier {handle(world, 0)} {world.lease} {first + 2}")
    assert "does not show" in like


def test_who_neither_audits_nor_rents_may_only_look(
    world: Watched, first: int, audits: tuple[int, int]
) -> None:
    north = world.market.north
    asked = north.is_refused(f"audit open {handle(world, 0)} {world.lease} {first + 1} 8")
    assert "only an auditor" in asked
    late = f"audit canary commit {world.lease} {world.epoch + 5} 0 10"
    assert f"does not rent lease {world.lease}" in north.is_refused(late)


def test_a_canary_is_revealed_from_where_it_was_committed(
    world: Watched, canary: int, audits: tuple[int, int]
) -> None:
    assert "not in the state directory" in world.market.north.is_refused(f"audit canary reveal {canary}")


def test_a_round_is_audited_once_and_only_where_there_is_something_to_open(
    world: Watched, auditor: Person, first: int, audits: tuple[int, int]
) -> None:
    who, lease = handle(world, 0), world.lease
    assert "was counted already" in auditor.is_refused(f"audit open {who} {lease} {first + 1} 7")
    open_ = f"audit open {who} {lease}"
    assert "cannot be audited now" in auditor.is_refused(f"{open_} {world.epoch} 7")
    assert "cannot be audited now" in auditor.is_refused(f"{open_} {first + 1} 7 --place 1")
    assert "did not sit" in auditor.is_refused(f"audit open north {lease} {first + 1} 7")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("audit open eye-0 {lease} {first} {rounds}", "rounds 0 to 19"),
        ("audit open nobody {lease} {first} 7", "nobody"),
        ("audit show 0", "no audit 0"),
        ("audit show 99", "no audit 99"),
        ("audit fail 99", "no audit 99"),
        ("audit canary commit {lease} {late} 3 9", "10 to 20 rounds"),
        ("audit canary commit {lease} {late} 11 10", "10 to 20 rounds"),
        ("audit canary commit {lease} {first} 3 10", "has begun"),
        ("audit canary commit 99 {late} 3 10", "no such lease"),
        ("audit canary reveal 99", "no canary 99"),
        ("audit canary miss 99 eye-0", "no canary 99"),
        ("audit canary miss 1 nobody", "nobody"),
        ("audit outlier nobody {lease} {first}", "nobody"),
    ],
)
def test_bad_input_is_refused_in_words(
    world: Watched, auditor: Person, canary: int, first: int, command: str, words: str
) -> None:
    late = world.epoch + 5
    text = command.format(lease=world.lease, first=first, late=late, rounds=ROUNDS)
    assert words in auditor.is_refused(text)
