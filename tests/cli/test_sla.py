"""`ocx sla` on a watched lease: an outage, one that a minority saw, a recorded power-off, a silent epoch."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.contracts.inquiries import Answer
from chain.power import Action
from cli.parse import past_time, percent
from market.errors import InvalidInput
from tests.cli.acts import assert_adds_up, month
from tests.cli.watched import EPOCH, GRID, ROUNDS, Watched, watched

pytestmark = pytest.mark.timeout(120)
OUTAGE = range(5, 15)
BELOW = "--tier 99:10:1 --tier 70:50"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Three witnesses in the pool, an SLA, an offer that promises it; nothing has happened yet."""
    with watched(tmp_path_factory.mktemp("sla"), int(time.time())) as here:
        yield here


@pytest.fixture(scope="module")
def sla(world: Watched) -> int:
    """A registered SLA."""
    return int(world.market.south.does(f"sla register {BELOW}")["sla"])


@pytest.fixture(scope="module")
def first(world: Watched, sla: int) -> int:
    """Epochs `first` to `first + 4` are lived through; claims on `first + 1` are open. The first epoch."""
    market = world.market
    node = market.nodes["south"][0]
    offer = market.south.does(f"offer publish --node {node} --for 20h --floor 2 --buy-now 5 --sla {sla}")
    world.go(world.epoch + 2)
    e = world.open(sla, int(offer["offer"]), node, 14 * EPOCH)
    world.tick(e, [(), (), ()])
    world.tick(e + 1, [OUTAGE, OUTAGE, ()])
    world.switch(Action.OFF)
    world.go(e + 2, 42)
    world.switch(Action.ON)
    world.tick(e + 2, [(3, 4), (), ()])
    return e


@pytest.fixture(scope="module")
def claimed(world: Watched, first: int) -> dict[str, object]:
    """The claim on the outage, as the command printed it."""
    world.tick(first + 3, [OUTAGE, (), ()])
    lease = world.lease
    early = world.market.north.is_refused(f"sla claim {lease} {first + 2}")
    assert re.search("not open.* now", early)
    return dict(world.market.north.does(f"sla claim {lease} {first + 1}"))


@pytest.fixture(scope="module")
def minority(world: Watched, first: int, claimed: dict[str, object]) -> None:
    """Epoch `first + 3`, in which one of three saw an outage, is published."""
    world.tick(first + 4, [(), (), ()])


@pytest.fixture(scope="module")
def silent(world: Watched, first: int, minority: None) -> None:
    """Epoch `first + 4` is over, and two of three never published it."""
    world.tick(first + 5, [(), None, ()], opens=(True, False, False))
    world.go(first + 7)


def epoch_of(world: Watched, epoch: int) -> dict[str, object]:
    """One row of the report."""
    rows = world.market.buyer.does(f"sla report {world.lease}")["epochs"]
    [row] = [item for item in rows if item["first"] <= epoch <= item["epoch"]]
    return dict(row)


def test_the_same_terms_have_the_same_number(world: Watched, sla: int, tmp_path: Path) -> None:
    file = tmp_path / "sla.yaml"
    file.write_text("tiers:\n- {below: 99, penalty: 10, breach_after: 1}\n- {below: 70, penalty: 50}\n")
    again = world.market.buyer.does(f"sla register --file {file}")
    assert (again["sla"], again["new"]) == (sla, False)
    assert sla in [row["sla"] for row in world.market.buyer.does("sla list")]
    shown = world.market.buyer.does(f"sla show {sla}")
    assert shown["tiers"][0] == {"below_ppm": 990_000, "penalty_ppm": 100_000, "breach_after": 1}
    assert (shown["epoch_seconds"], shown["rounds"]) == (EPOCH, ROUNDS)


@pytest.mark.parametrize("terms", ["--tier 99", "--tier 99:x", "--tier 70:50 --tier 99:10", "", "--tier 0:1"])
def test_terms_that_are_none_are_refused(world: Watched, terms: str) -> None:
    world.market.buyer.is_refused(f"sla register {terms}")


def test_a_claim_turns_published_leaves_into_a_penalty(
    world: Watched, first: int, claimed: dict[str, object]
) -> None:
    """Ten of twenty rounds down, two forgiven: 60 %, the worst tier."""
    assert (claimed["judged"], claimed["counted"], claimed["seats"]) == (20, 8, 2)
    assert (claimed["penalty_ppm"], claimed["fault"], claimed["breach"]) == (500_000, "provider", True)
    hourly, micro = 5 * EPOCH / 3600, 1_000_000
    assert claimed["penalty"] == pytest.approx(hourly * micro / 2, rel=0.001)
    again = world.market.north.is_refused(f"sla claim {world.lease} {first + 1}")
    assert "would change nothing" in again


def test_an_appeal_waits_for_the_council_and_its_time_lock(
    world: Watched, first: int, claimed: dict[str, object]
) -> None:
    """Not upheld: the penalty is the buyer's, the breach stands, the bond goes to the fund."""
    market, lease = world.market, world.lease
    filed = market.south.does(f"sla appeal {lease} {first + 1}")
    assert (filed["amount"], filed["bond"]) == (claimed["penalty"], 1000)
    assert market.south.does("credits balance")["locked_for"]["appeals"] == 1000
    assert "appeals 0.001000" in market.south.run("credits balance").stdout
    assert world.unaccounted() == 0
    assert epoch_of(world, first + 1)["verdict"] == "penalty, under appeal"
    assert "the council has until" in market.north.is_refused(f"sla lapse {filed['appeal']}")
    command = f"sla decide {filed['appeal']} --to-buyer 100"
    assert market.council.does(command)["step"] == "announced"
    assert "time lock waits" in market.council.is_refused(command)
    market.warp(3)
    assert market.council.does(command)["step"] == "done"
    assert "no open appeal" in market.council.is_refused(command)
    assert market.south.does("credits balance")["locked_for"]["appeals"] == 0
    [row] = market.buyer.does(f"sla report {lease}")["appeals"]
    assert (row["state"], row["to_buyer"], row["by"]) == ("not upheld", claimed["penalty"], "south")


def test_the_report_says_provider_with_seats_and_transactions(
    world: Watched, first: int, claimed: dict[str, object]
) -> None:
    row = epoch_of(world, first + 1)
    assert (row["fault"], row["penalty"]) == ("provider", claimed["penalty"])
    assert str(row["verdict"]).startswith("penalty")
    assert (row["availability_ppm"], row["counted"], row["forgiven"]) == (600_000, 8, 2)
    assert any(line.startswith("provider: ") and "rounds 5-14" in line for line in row["why"])
    assert row["verdict_txs"] == [claimed["transactions"][0]["tx_hash"]]
    assert [len(seat["txs"]) for seat in row["seats"]] == [2, 2, 2]
    assert [int(seat["down"], 16).bit_count() for seat in row["seats"]] == [10, 10, 0]


def test_recorded_power_off_is_the_buyers(world: Watched, first: int, claimed: dict[str, object]) -> None:
    """Rounds 1 to 8 of epoch `first + 2`; what a minority saw in them is not even the path's."""
    row = epoch_of(world, first + 2)
    assert (row["fault"], row["counted"], row["path"]) == ("buyer", 0, 0)
    assert row["suspended"] == ROUNDS - row["judged"] > 0
    power = world.market.buyer.does(f"sla report {world.lease}")["power"]
    assert [(item["action"], item["fault"]) for item in power] == [("off", "buyer"), ("on", "buyer")]


def test_what_a_minority_saw_is_the_paths(world: Watched, first: int, minority: None) -> None:
    row = epoch_of(world, first + 3)
    assert (row["fault"], row["counted"], row["path"], row["penalty"]) == ("path", 0, 10, 0)
    assert any(
        "1 of 3 witnesses saw it down" in line and "a quorum of 2 did not" in line for line in row["why"]
    )


def test_an_epoch_too_few_published_is_undetermined(world: Watched, first: int, silent: None) -> None:
    row = epoch_of(world, first + 4)
    assert row["availability_ppm"] is None and row["fault"] == "nobody"
    assert "1 of 3 witnesses published" in row["undetermined"]


def test_verify_says_whose_fault_it_was_and_shows_the_leaves(
    world: Watched, first: int, silent: None
) -> None:
    told = [world.market.north.does(f"witness verify {world.lease} {first + n}") for n in (1, 3, 4)]
    assert [item["fault"] for item in told] == ["provider", "path", "nobody"]
    assert [item["availability_ppm"] for item in told] == [600_000, 1_000_000, None]
    assert "path: 1 of 3 witnesses saw it down in rounds 5-14" in " ".join(told[1]["why"])
    assert all(len(seat["txs"]) == 2 for seat in told[0]["seats"])


def test_the_plot_shows_what_the_report_says(
    world: Watched, first: int, claimed: dict[str, object], tmp_path: Path
) -> None:
    from PIL import Image

    file = tmp_path / "plot.png"
    result = world.market.buyer.run(f"sla report {world.lease} --png {file}")
    assert result.exit_code == 0, result.stderr
    [line] = [line for line in result.stdout.splitlines() if line.strip().startswith(f"{first + 1}  2")]
    assert line.split("|")[1] == "." * 5 + "gg" + "x" * 8 + "." * 5
    assert "60 % up, penalty 50 %: provider" in line
    with Image.open(file) as picture:
        picture.load()
        assert picture.format == "PNG" and (196, 60, 52) in {c for _, c in picture.getcolors(1 << 20)}


def test_without_pillow_the_command_says_how_to_get_it(
    world: Watched, claimed: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    told = world.market.buyer.is_refused(f"sla report {world.lease} --png {tmp_path / 'x.png'}")
    assert "pip install 'ocx[plot]'" in told


def test_why_a_lease_is_where_it_is_names_fault_and_evidence(
    world: Watched, first: int, claimed: dict[str, object], silent: None
) -> None:
    lines = world.market.buyer.does(f"lease show {world.lease} --why")["why"]
    tx = claimed["transactions"][0]["tx_hash"]
    assert any("at fault: provider" in line and f"epoch {first + 1}" in line and tx in line for line in lines)
    assert any("switched off" in line and "at fault: buyer" in line for line in lines)
    assert any("path: 1 of 3 witnesses" in line for line in lines)
    [line] = [line for line in lines if "undetermined in" in line]
    assert f"epoch {first + 4}, so nothing is taken off: 1 of 3 witnesses published it" in line


def test_a_committee_answers_what_it_is_asked(world: Watched, first: int, claimed: dict[str, object]) -> None:
    start, end = GRID.start(first + 1), GRID.end(first + 1)
    exchange = world.market.buyer.exchange()
    assert exchange.inquiries
    number = exchange.inquiries.count() + 1

    def witnesses() -> None:
        deadline = time.monotonic() + 20
        while exchange.inquiries.count() < number and time.monotonic() < deadline:
            time.sleep(0.05)
        world.answer(number, 0, Answer.NO, 500_000, 20)
        world.answer(number, 1, Answer.NO, 500_000, 20)

    answering = threading.Thread(target=witnesses)
    answering.start()
    try:
        told = world.market.buyer.does(f"sla ask {world.lease} --from {start} --to {end} --above 99.5")
    finally:
        answering.join()
    assert (told["result"], told["no"], told["yes"], told["above_ppm"]) == ("no", 2, 0, 995_000)
    said = [seat["said"] for seat in told["seats"]]
    assert said == ["no, 50 % of 20 rounds", "no, 50 % of 20 rounds", "nothing yet"]
    assert world.market.buyer.does(f"sla inquiry {number}")["result"] == "no"
    [row] = world.market.buyer.does(f"sla report {world.lease}")["inquiries"]
    assert (row["result"], row["above"]) == ("no", "99.5 %")


def test_a_window_outside_the_lease_is_refused(world: Watched, first: int, claimed: object) -> None:
    told = world.market.south.is_refused(f"sla ask {world.lease} --from -9h --above 99")
    assert "lies outside the lease" in told
    world.market.south.is_refused(f"sla ask {world.lease} --from now --to -1s --above 99")


def test_silent_committee_s_inquiry_is_closed_as_unknown(world: Watched, first: int, claimed: object) -> None:
    asked = world.market.south.does(f"sla ask {world.lease} --from -2m --above 99 --no-wait")
    assert asked["result"] == "open"
    world.go(world.epoch + 3)
    closed = world.market.north.does(f"sla inquiry {asked['inquiry']} --close")
    assert closed["result"] == "unknown"


def test_a_buyer_ends_for_breach_and_the_witnesses_are_paid(
    world: Watched, first: int, claimed: dict[str, object]
) -> None:
    lease = world.lease
    world.go(world.epoch + 3)  # by then the breach's span is final
    world.market.buyer.does(f"sla end {lease}")
    shown = world.market.buyer.does(f"lease show {lease} --why")
    assert (shown["end_reason"], shown["fault"]) == ("breach", "provider")
    assert any("at fault: provider (final verdicts in a row" in line for line in shown["why"])
    assert any("of the bond went to the buyer; at fault: provider" in line for line in shown["why"])
    world.go(world.epoch + 5)
    paid = world.market.north.does(f"sla pay {lease}")
    assert paid["amount"] == sum(row["amount"] for row in paid["paid_to"]) > 0
    told = world.market.buyer.does(f"sla report {lease}")
    assert sum(row["amount"] for row in told["pay"]) == paid["amount"]


def test_statements_of_all_sides_tell_the_same_penalties_and_fees(
    world: Watched, first: int, claimed: dict[str, object]
) -> None:
    market = world.market
    told = {}
    for person in (market.buyer, market.south, *world.admins):
        told[person.name] = person.does(f"credits statement --month {month(market)} --started-hours")
        assert_adds_up(person, told[person.name])
    rows = {
        name: next(row for row in stated["leases"] if row["lease"] == world.lease)
        for name, stated in told.items()
        if any(row["lease"] == world.lease for row in stated["leases"])
    }
    buyer, provider = rows.pop("buyer"), rows.pop("south")
    assert buyer["paid"] == provider["earned"] > 0
    assert buyer["given_back"] == provider["given_back"] > 0
    assert buyer["penalties"] == -provider["penalties"] > 0
    assert {row["role"] for row in rows.values()} == {"witness"}
    assert sum(row["fees"] for row in rows.values()) == -buyer["fees"] - provider["fees"] > 0
    assert buyer["billed_seconds"] == provider["billed_seconds"] > 0


@pytest.mark.parametrize(("text", "ppm"), [("99.95", 999_500), ("100%", 1_000_000), ("0.0001 %", 1)])
def test_percentages_are_read_exactly(text: str, ppm: int) -> None:
    assert percent(text) == ppm


@pytest.mark.parametrize("text", ["100.1", "-1", "99.99999", "0", "half", "nan", "inf"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        percent(text)


def test_a_past_time_may_be_told_as_so_long_ago() -> None:
    assert past_time("-2h", 10_000) == 2_800 and past_time("now", 10_000) == 10_000
