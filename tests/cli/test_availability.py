"""`ocx offer availability`: the same answer from the chain and from a file, exact at every edge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.acts import iso
from tests.cli.conftest import Market, Person

HOUR = 3600
BEGIN = 1_800_000_000


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody without wallet and connection."""
    return Person("anna", tmp_path)


def hours(start: int, end: int) -> dict[str, int]:
    """A window in hours from the offer's begin, as it stands in files."""
    return {"start": BEGIN + start * HOUR, "end": BEGIN + end * HOUR}


def offer(**changes: Any) -> dict[str, Any]:
    """A day of two nodes; the first is booked from hour 10 to 12, its turnaround of one hour included."""
    nodes = [{"node": 3, "turnaround_slots": 1, "booked": [hours(10, 12)]}, {"node": 4}]
    return {"slot": HOUR, "now": BEGIN, **hours(0, 24), "nodes": nodes} | changes


def asks(person: Person, content: Any, options: str = "") -> dict[str, Any]:
    """What is said of a file."""
    path = person.folder / "offer.json"
    path.write_text(json.dumps(content))
    return dict(person.does(f"offer availability --file {path} {options}"))


def parts(answer: dict[str, Any], node: int = 3) -> list[tuple[int, int]]:
    """The free parts of a node in hours."""
    return [
        ((part["start"] - BEGIN) // HOUR, (part["end"] - BEGIN) // HOUR)
        for part in answer["free_parts"]
        if part["node"] == node
    ]


def whys(answer: dict[str, Any]) -> list[tuple[int, str]]:
    """Which node has which conflict."""
    return [(item["node"], item["why"]) for item in answer["conflicts"]]


def test_a_file_tells_what_is_free_to_the_slot(person: Person) -> None:
    answer = asks(person, offer())
    assert parts(answer) == [(0, 9), (12, 24)]
    assert parts(answer, 4) == [(0, 24)]
    assert whys(answer) == [(3, "booked")]


@pytest.mark.parametrize(
    ("options", "free", "why"),
    [
        ("--from +7h --for 2h", [(7, 9)], []),
        ("--from +7h --to +2h", [(7, 9)], []),
        ("--from +8h --for 2h", [(8, 9)], [(3, "turnaround")]),
        ("--from +9h --for 1h", [], [(3, "turnaround")]),
        ("--from +11h --for 1h", [], [(3, "booked")]),
        ("--from +12h --for 12h", [(12, 24)], []),
        ("--from +12h", [(12, 24)], []),
        ("--to +9h", [(0, 9)], []),
        ("--from +23h --for 2h", [(23, 24)], [(3, "outside")]),
        ("--from +90m --for 30m", [(1, 2)], []),
        ("--from +90m --for 31m", [(1, 3)], []),
    ],
)
def test_a_window_is_answered_for_itself(
    person: Person, options: str, free: list[tuple[int, int]], why: list[tuple[int, str]]
) -> None:
    answer = asks(person, offer(), f"--node 3 {options}")
    assert (parts(answer), whys(answer)) == (free, why)


@pytest.mark.parametrize(
    ("now", "free"),
    [(BEGIN - 1, (12, 24)), (BEGIN + 15 * HOUR - 1, (14, 24)), (BEGIN + 15 * HOUR, (15, 24))],
)
def test_the_current_slot_counts_until_its_last_second(
    person: Person, now: int, free: tuple[int, int]
) -> None:
    assert parts(asks(person, offer(now=now)))[-1] == free


def test_an_offer_that_is_over_or_closed_or_held_is_told_so(person: Person) -> None:
    over = asks(person, offer(now=BEGIN + 24 * HOUR))
    assert over["free_parts"] == []
    assert whys(over) == [(3, "past"), (3, "booked"), (4, "past")]
    closed = asks(person, offer(closed=True), "--node 4")
    assert (closed["free_parts"], whys(closed)) == ([], [(4, "closed")])
    held = asks(person, offer(nodes=[{"node": 4, "withdrawn": True}]))
    assert (held["free_parts"], whys(held)) == ([], [(4, "withdrawn")])


def test_shortest_and_longest_pieces_are_kept(person: Person) -> None:
    assert parts(asks(person, offer(min_slots=10))) == [(12, 24)]
    short = asks(person, offer(min_slots=10), "--node 4 --for 9h")
    assert (short["free_parts"], whys(short)) == ([], [(4, "short")])
    assert asks(person, offer(max_slots=5), "--node 4")["asked"] == hours(0, 5)


def test_what_it_prints_is_a_file_that_says_the_same(person: Person) -> None:
    printed = asks(person, offer(offer=7), "--from +3h --for 2h")
    assert asks(person, printed, "--from +3h --for 2h") == printed
    lying = printed | {"free_parts": [], "conflicts": [], "asked": hours(0, 1)}
    assert asks(person, lying, "--from +3h --for 2h") == printed


def test_bookings_in_a_file_may_overlap_and_round_outward(person: Person) -> None:
    runs = [hours(2, 5), hours(4, 6), {"start": BEGIN + 8 * HOUR + 1, "end": BEGIN + 9 * HOUR + 1}]
    answer = asks(person, offer(nodes=[{"node": 3, "booked": runs}]))
    assert parts(answer) == [(0, 2), (6, 8), (10, 24)]
    assert answer["nodes"][0]["booked"] == [hours(2, 6), hours(8, 10)]


def test_tables_and_values_say_the_same(person: Person) -> None:
    asks(person, offer())
    command = f"offer availability --file {person.folder / 'offer.json'}"
    values = person.run(f"{command} --format value").stdout.splitlines()
    assert values[0] == f"3\t{BEGIN}\t{BEGIN + 9 * HOUR}"
    assert len(values) == 3
    table = person.run(f"{command} --from +8h --for 2h --node 3").stdout
    assert "booked when this lease's turnaround would need it" in table


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no object"),
        ({}, "'slot'"),
        (offer(slot=0), "'slot'"),
        (offer(slot=True), "'slot'"),
        (offer(now="now"), "'now'"),
        (offer(end=BEGIN), "not before its end"),
        (offer(end=1 << 60), "'end'"),
        (offer(slot=1), "slots long"),
        (offer(nodes=[]), "no list of nodes"),
        (offer(nodes=[3]), "no object"),
        (offer(nodes=[{}]), "'node'"),
        (offer(nodes=[{"node": 3}, {"node": 3}]), "twice"),
        (offer(nodes=[{"node": 3, "turnaround_slots": 257}]), "node 3: 'turnaround_slots'"),
        (offer(nodes=[{"node": 3, "withdrawn": 1}]), "node 3: 'withdrawn'"),
        (offer(nodes=[{"node": 3, "booked": {}}]), "node 3: 'booked'"),
        (offer(nodes=[{"node": 3, "booked": [{"start": 1}]}]), "node 3: 'end'"),
        (offer(min_slots=5, max_slots=4), "pieces of 5 to 4"),
    ],
)
def test_a_bad_file_is_one_clear_error(person: Person, content: Any, said: str) -> None:
    path = person.folder / "offer.json"
    path.write_text(json.dumps(content))
    assert said in person.is_refused(f"offer availability --file {path}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--node 9", "its nodes are 3, 4"),
        ("--to +1h --for 1h", "two ends"),
        ("--from 2020-01-01T00:00Z --for 1h", "over"),
        ("--from +2h --to now", "not before its end"),
        ("--from soon", "not a time"),
        ("7", "number or --file"),
    ],
)
def test_an_impossible_question_is_refused(person: Person, options: str, said: str) -> None:
    path = person.folder / "offer.json"
    path.write_text(json.dumps(offer()))
    assert said in person.is_refused(f"offer availability --file {path} {options}")
    assert "number or --file" in person.is_refused("offer availability")


# ---- the chain ----


def test_chain_and_file_give_one_answer_and_a_lease_takes_exactly_its_slots(market: Market) -> None:
    number, node = market.offers["south"], market.nodes["south"][2]
    command = f"offer availability {number}"
    before = market.buyer.does(command, "--node", str(node))
    [whole] = before["free_parts"]
    start, end = whole["start"] + 200, whole["start"] + 260
    market.buyer.does(f"offer buy {number} --node {node} --start {iso(start)} --end {iso(end)}")

    after = market.buyer.does(command, "--node", str(node))
    booked = [item["booked"] for item in after["nodes"] if item["node"] == node]
    assert booked == [[{"start": start, "end": end}]]
    assert [(part["start"], part["end"]) for part in after["free_parts"]][-2:] == [
        (max(whole["start"], after["now"] // 10 * 10), start),
        (end, whole["end"]),
    ]
    shown = market.buyer.does(f"offer show {number}")
    assert [part for part in shown["free_parts"] if part["node"] == node][-1] == {
        "node": node,
        "start": end,
        "end": whole["end"],
    }

    everything = market.buyer.does(command)
    path = market.buyer.folder / "south.json"
    path.write_text(json.dumps(everything))
    assert market.buyer.does(f"offer availability --file {path}") == everything
    assert {part["node"] for part in everything["free_parts"]} == set(market.nodes["south"])


def test_an_offer_that_is_not_there_is_refused(market: Market) -> None:
    assert "offer" in market.buyer.is_refused("offer availability 9999")
