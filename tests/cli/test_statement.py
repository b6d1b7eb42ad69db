"""Burning credits, and a month of them as table, JSON and CSV, on a real chain."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.statement import guarded
from tests.cli.acts import assert_adds_up, buy, deliver, month, summed
from tests.cli.conftest import Market, found
from tests.engine import begun

pytestmark = pytest.mark.timeout(120)


def rows_of(text: str) -> list[dict[str, str]]:
    """A CSV statement's rows, which must stand on lines as RFC 4180 has them."""
    assert text.count("\r\n") == text.count("\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One where nobody else traded: statements are about everything."""
    with begun() as node:
        yield found(node, tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def leases(market: Market, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """A lease of north's that is settled, and one of a tender whose other bidder never revealed."""
    first = buy(market, market.nodes["north"][0], length=600)
    deliver(market, first)
    market.buyer.does(f"lease accept {first}")
    market.warp(50)
    market.buyer.does(f"lease end {first}")
    market.warp(10)
    evidence = tmp_path_factory.mktemp("wiped") / "evidence"
    evidence.write_text("wiped")
    market.north.does(f"lease wipe {first} --evidence {evidence}")

    number = market.request()
    node, other = market.nodes["south"][0], market.nodes["north"][1]
    market.south.does(f"tender bid {number} --offer {market.offers['south']} --node {node} --rate 4")
    market.north.does(f"tender bid {number} --offer {market.offers['north']} --node {other} --rate 5")
    market.warp(31)
    market.south.does(f"tender reveal {number}")
    market.warp(31)
    [won] = market.buyer.does(f"tender award {number}")["leases"]
    market.south.does(f"tender claim {number}")
    return first, won["lease"]


def test_each_side_is_told_the_same_and_all_of_it_adds_up(market: Market, leases: tuple[int, int]) -> None:
    first, won = leases
    told = {}
    for person in (market.buyer, market.north, market.south):
        told[person.name] = person.does(f"credits statement --month {month(market)} --started-hours")
        assert_adds_up(person, told[person.name])
    bought = {row["lease"]: row for row in told["buyer"]["leases"]}
    [sold] = [row for row in told["north"]["leases"] if row["lease"] == first]
    shown = market.buyer.does(f"lease show {first}")
    assert bought[first]["paid"] == sold["earned"] == shown["paid"] > 0
    assert (bought[first]["role"], sold["role"]) == ("buyer", "provider")
    assert (bought[first]["handle"], sold["handle"]) == ("north", "buyer")
    assert (sold["class"], sold["machines"], sold["rate"]) == ("bm.large", 1, shown["rate"])
    assert sold["billed_seconds"] == shown["ended_at"] - shown["billed_from"]
    assert sold["started_hours"] == 1
    assert bought[first]["locked_change"] == 0
    assert bought[won]["moved"] == bought[won]["locked_change"] > 0


def test_deposit_of_a_bid_that_was_not_revealed_is_told_as_lost(
    market: Market, leases: tuple[int, int]
) -> None:
    stated = market.north.does(f"credits statement --month {month(market)}")
    [lost] = [row for row in stated["others"] if row["what"] == "lost"]
    assert lost["amount"] == -lost["locked_change"] > 0
    assert lost["note"].startswith("deposit of request ")


def test_deposit_of_a_winner_that_cannot_cover_its_bond_is_told_as_lost(market: Market) -> None:
    number = market.request()
    node = market.nodes["south"][2]
    market.south.does(f"tender bid {number} --offer {market.offers['south']} --node {node} --rate 4")
    market.warp(31)
    market.south.does(f"tender reveal {number}")
    free = market.south.does("credits balance")["free"]
    market.south.does(f"credits withdraw {free // 1_000_000}.{free % 1_000_000:06d}")
    market.warp(31)
    assert market.buyer.does(f"tender award {number}")["leases"] == []
    stated = market.south.does(f"credits statement --month {month(market)}")
    [lost] = [row for row in stated["others"] if row["what"] == "lost"]
    assert lost["note"] == f"deposit of request {number}"
    assert (stated["closing"]["free"], lost["free_change"]) == (0, 0)
    market.south.does("credits deposit 800")


def test_every_row_names_a_transaction_that_is_on_the_chain(market: Market, leases: tuple[int, int]) -> None:
    stated = market.buyer.does(f"credits statement --month {month(market)}")
    hashes = {tx for row in stated["leases"] for tx in row["transactions"]}
    hashes |= {row["tx"] for row in stated["others"]}
    assert {posting["tx"] for row in stated["leases"] for posting in row["postings"]} <= hashes
    known = {row["tx"] for row in market.buyer.does("credits history")}
    assert known <= hashes
    assert all(market.node.ask("eth_getTransactionReceipt", tx)["status"] == "0x1" for tx in hashes)


def test_mint_into_a_members_wallet_is_told_with_its_reference_and_changes_no_balance(
    market: Market, leases: tuple[int, int]
) -> None:
    address = market.south.does("wallet show")["address"]
    before = market.south.does(f"credits statement --month {month(market)}")["closing"]
    market.council.does(f"credits mint {address} 7", "--ref", "=SUM(A1)")
    stated = market.south.does(f"credits statement --month {month(market)}")
    assert stated["closing"] == before
    assert {"what": "mint", "amount": 7_000_000, "note": "=SUM(A1)"}.items() <= stated["others"][-1].items()
    text = market.south.run(f"credits statement --month {month(market)} --csv -").stdout_bytes.decode()
    assert rows_of(text)[-2]["note"] == "'=SUM(A1)"


def test_csv_adds_up_in_microcredits_and_says_that_the_month_is_not_over(
    market: Market, leases: tuple[int, int], tmp_path: Path
) -> None:
    file = tmp_path / "month.csv"
    command = f"credits statement buyer --month {month(market)} --started-hours --csv {file}"
    result = market.council.run(command)
    assert result.exit_code == 0, result.stderr
    assert "is not over" in result.stderr
    rows = rows_of(file.read_bytes().decode())
    opening, *between, closing = rows
    for part in ("free", "locked"):
        change = summed(between, f"{part}_change_micro")
        assert int(opening[f"{part}_micro"]) + change == int(closing[f"{part}_micro"])
    assert (opening["row"], closing["row"]) == ("opening", "closing")
    assert "not over" in closing["note"]
    line = next(row for row in between if row["lease"] == str(leases[0]))
    micro = int(line["paid_micro"])
    assert line["paid"] == f"{micro // 1_000_000}.{micro % 1_000_000:06d}"
    assert line["started_hours"] == "1"
    assert len(set(line["transactions"].split())) >= 2
    assert "exists" in market.council.is_refused(command)
    assert file.read_bytes().decode().startswith("row,time,lease,role,")


def test_table_is_for_people(market: Market, leases: tuple[int, int]) -> None:
    result = market.buyer.run(f"credits statement --month {month(market)}")
    assert result.exit_code == 0, result.stderr
    assert "is not over" in result.stderr
    assert "north" in result.stdout
    assert "bm.large" in result.stdout
    assert "opening" in result.stdout


def test_earlier_month_is_empty_and_a_month_to_come_or_none_at_all_is_refused(market: Market) -> None:
    stated = market.buyer.does("credits statement --month 2020-02")
    assert (stated["leases"], stated["others"], stated["complete"]) == ([], [], True)
    assert stated["closing"]["total"] == 0
    assert "has not begun" in market.buyer.is_refused("credits statement --month 2999-01")
    for wrong in ("2026-13", "2026-1", "November", "2026-11-01", "2026-00"):
        assert "is not a month" in market.buyer.is_refused(f"credits statement --month {wrong}")
    assert "CSV and JSON" in market.buyer.is_refused("credits statement --month 2020-02 --csv -")


def test_council_burns_its_own_credits_against_a_reference(market: Market) -> None:
    market.council.does(f"credits mint {market.council_address} 5 --ref in")
    supply = market.council.exchange().credits.total_supply()
    burnt = market.council.does("credits burn 2 --ref payout-17")
    assert burnt["total_supply"] == supply - 2_000_000
    assert (burnt["amount"], burnt["ref"]) == (2_000_000, "payout-17")
    assert "holds 3.000000" in market.council.is_refused("credits burn 3.5 --ref payout-18")
    assert "more than 0" in market.council.is_refused("credits burn 0 --ref payout-18")
    assert "31 bytes" in market.council.is_refused("credits burn 1 --ref", "x" * 32)
    market.council.does(f"credits mint {market.buyer.does('wallet show')['address']} 1 --ref in")
    assert "council" in market.buyer.is_refused("credits burn 1 --ref mine")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM", "\t=1", "\r=1", "＝1", "|cmd", "\u00a0=1"])
def test_text_that_begins_like_a_formula_is_guarded(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "north", "0xabc", "1.5", "a=b"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text
