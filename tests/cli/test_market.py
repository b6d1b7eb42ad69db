"""The market through `ocx` on a real chain: what works, and what is refused in one line with nothing lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.acts import free, free_start, iso
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


# ---- tenders ---------------------------------------------------------------------------------------------


def test_tender_from_request_to_lease_and_claim(market: Market) -> None:
    before = {person.name: free(person) for person in (market.north, market.south, market.buyer)}
    locked = market.buyer.does("credits balance")["locked"]
    number = market.request("--sign both")
    assert market.buyer.does("credits balance")["locked_for"]["requests"] > 0
    north, south = market.nodes["north"][0], market.nodes["south"][0]
    market.north.does(f"tender bid {number} --offer {market.offers['north']} --node {north} --rate 4")
    market.south.does(f"tender bid {number} --offer {market.offers['south']} --node {south} --rate 3.5")
    shown = market.buyer.does(f"tender show {number}")
    assert [bid["rate"] for bid in shown["bids"]] == [None, None]

    market.warp(31)
    market.north.does(f"tender reveal {number}")
    market.south.does(f"tender reveal {number}")
    market.warp(31)
    [won] = market.buyer.does(f"tender award {number}")["leases"]
    assert (won["rate"], won["nodes"]) == (3_500_000, [south])
    market.north.does(f"tender claim {number}")
    market.south.does(f"tender claim {number}")

    shown = market.buyer.does(f"tender show {number} --why")
    assert shown["stage"] == "awarded"
    assert shown["leases"] == [won["lease"]]
    assert [bid["rate"] for bid in shown["bids"]] == [3_500_000, 4_000_000]
    assert {"RequestPosted", "BidCommitted", "BidRevealed", "TenderAwarded"} <= {
        entry["event"] for entry in shown["history"]
    }
    assert all(entry["tx"].startswith("0x") and entry["time"] for entry in shown["history"])
    assert any("each is paid its own bid" in line and "0x" in line for line in shown["why"])

    lease = won["lease"]
    assert "buyer" in market.south.is_refused(f"lease sign {lease}")
    market.buyer.does(f"lease sign {lease}")
    market.south.does(f"lease sign {lease}")
    assert market.buyer.does(f"lease show {lease}")["state"] == "signed"
    reserve = market.buyer.does(f"lease cancel {lease}")["reserve"]
    after = {person.name: free(person) for person in (market.north, market.south, market.buyer)}
    assert after["north"] == before["north"]
    assert after["south"] == before["south"] + reserve
    assert after["buyer"] == before["buyer"] - reserve
    assert market.buyer.does("credits balance")["locked"] == locked


def test_salt_is_kept_privately_before_the_bid_is_sent(market: Market) -> None:
    number = market.request()
    node = market.nodes["north"][0]
    bid = market.north.does(f"tender bid {number} --offer {market.offers['north']} --node {node} --rate 4")
    kept = Path(bid["kept_in"])
    assert kept.stat().st_mode & 0o077 == 0
    assert len(bytes.fromhex(json.loads(kept.read_text())["salt"])) == 32
    assert "cancel" in market.buyer.is_refused(f"tender cancel {number}")


def test_reveal_that_does_not_match_is_refused_and_the_right_one_still_works(market: Market) -> None:
    number = market.request()
    node = market.nodes["north"][0]
    bid = market.north.does(f"tender bid {number} --offer {market.offers['north']} --node {node} --rate 4")
    assert "early" in market.north.is_refused(f"tender reveal {number}")
    market.warp(31)
    forged = json.loads(Path(bid["kept_in"]).read_text())
    forged["bid"]["rate"] = 2_500_000
    other = market.north.folder / "forged.json"
    other.write_text(json.dumps(forged))
    assert "commit" in market.north.is_refused(f"tender reveal {number} --bid {other}")
    assert market.north.does(f"tender reveal {number}")["rate"] == 4_000_000


def test_reveal_from_another_machine_says_where_the_salt_must_be(market: Market) -> None:
    number = market.request()
    node = market.nodes["north"][0]
    market.north.does(f"tender bid {number} --offer {market.offers['north']} --node {node} --rate 4")
    line = market.south.is_refused(f"tender reveal {number} --org north")
    assert "--state" in line


def test_late_reveal_is_refused_and_the_buyer_gets_everything_back(market: Market) -> None:
    before = free(market.buyer)
    number = market.request()
    node = market.nodes["north"][0]
    market.north.does(f"tender bid {number} --offer {market.offers['north']} --node {node} --rate 4")
    market.warp(61)
    assert "late" in market.north.is_refused(f"tender reveal {number}")
    assert "late" in market.south.is_refused(
        f"tender bid {number} --offer {market.offers['south']} --node {market.nodes['south'][0]} --rate 4"
    )
    assert market.buyer.does(f"tender award {number}")["stage"] == "unfilled"
    assert free(market.buyer) == before


def test_tender_without_a_bid_can_be_taken_back(market: Market) -> None:
    before = free(market.buyer)
    number = market.request()
    assert free(market.buyer) < before
    market.buyer.does(f"tender cancel {number}")
    assert free(market.buyer) == before


def test_early_award_is_refused(market: Market) -> None:
    number = market.request()
    assert "early" in market.buyer.is_refused(f"tender award {number}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--offer {south} --node {north_node} --rate 4", "not an open offer"),
        ("--offer {north} --node {south_node} --rate 4", "not of offer"),
        ("--offer {north} --node {north_node} --rate 11", "ceiling"),
        ("--offer {north} --node {north_node} --rate 1", "floor"),
    ],
)
def test_bid_that_could_not_be_revealed_is_refused_before_it_costs_a_deposit(
    market: Market, options: str, said: str
) -> None:
    number = market.request()
    before = free(market.north)
    places = {
        "north": market.offers["north"],
        "south": market.offers["south"],
        "north_node": market.nodes["north"][0],
        "south_node": market.nodes["south"][0],
    }
    assert said in market.north.is_refused(f"tender bid {number} {options.format(**places)}")
    assert free(market.north) == before


# ---- windows ---------------------------------------------------------------------------------------------


def test_overlapping_windows_cannot_both_be_bought(market: Market) -> None:
    node = market.nodes["north"][1]
    start = free_start(market, node, 600)
    offer = market.offers["north"]
    market.buyer.does(f"offer buy {offer} --node {node} --start {start} --for 300s")
    before = free(market.buyer)
    line = market.buyer.is_refused(f"offer buy {offer} --node {node} --start {start} --for 600s")
    assert "skipped" in line or "free" in line
    assert free(market.buyer) == before


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("--start 2020-01-01T00:00Z --end 2020-01-02T00:00Z", "ended"),
        ("--start +2h --end now", "start"),
        ("--start +2h --end 2020-01-02T00:00Z", "start"),
        ("--start 2026-01-01T00:00 --for 1h", "no zone"),
        ("--start now", "--for"),
        ("--start now --for 1h --end +1h", "--for"),
        ("--start now --for 0h", "duration"),
        ("--start yesterday --for 1h", "not a time"),
    ],
)
def test_impossible_window_is_refused_everywhere(market: Market, window: str, said: str) -> None:
    post = f"request post --class bm.large --ceiling 10 {window}"
    assert said in market.buyer.is_refused(post)
    node = market.nodes["north"][0]
    assert said in market.north.is_refused(f"offer publish --node {node} --floor 1 {window}")
    assert said in market.buyer.is_refused(f"offer buy {market.offers['north']} --node {node} {window}")


def test_offer_rounds_inward_and_request_outward(market: Market) -> None:
    now = market.buyer.does("network show")["now"]
    start, end = now // 10 * 10 + 1005, now // 10 * 10 + 1095
    span = f"--start {iso(start)} --end {iso(end)}"
    node = market.nodes["north"][0]
    offered = market.north.does(f"offer publish --node {node} --floor 1 {span}")
    wanted = market.buyer.does(
        f"request post --class bm.large --ceiling 1 --commit-for 5s --reveal-for 5s {span}"
    )
    assert (offered["start"], offered["end"]) == (start + 5, end - 5)
    assert (wanted["start"], wanted["end"]) == (start - 5, end + 5)
    market.north.does(f"offer cancel {offered['offer']}")
    assert market.north.does(f"offer show {offered['offer']}")["state"] == "cancelled"
    market.buyer.does(f"tender cancel {wanted['request']}")


def test_offer_whose_window_is_over_is_closed_by_anyone_and_its_deposit_returns(market: Market) -> None:
    before = free(market.north)
    node = market.nodes["north"][0]
    offer = market.north.does(f"offer publish --node {node} --floor 1 --start now --for 20s")["offer"]
    assert "not over yet" in market.buyer.is_refused(f"offer expire {offer}")
    market.warp(31)
    assert market.buyer.does(f"offer expire {offer}")["offer"] == offer
    assert market.buyer.does(f"offer show {offer}")["state"] == "expired"
    assert free(market.north) == before


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("member list", "handle"),
        ("node list", "node"),
        ("offer list --all", "offer"),
        ("request list --all", "request"),
        ("tender list --all", "next"),
        ("lease list", "state"),
    ],
)
def test_lists_come_as_json_as_values_and_as_tables(market: Market, command: str, field: str) -> None:
    market.request()
    rows = market.buyer.does(command)
    assert all(field in row for row in rows)
    values = market.buyer.run(f"{command} --format value").stdout.splitlines()
    assert len(values) == len(rows)
    assert market.buyer.run(command).exit_code == 0


# ---- money and rights ------------------------------------------------------------------------------------


def test_insufficient_credits_are_told_with_both_numbers(market: Market) -> None:
    before = free(market.buyer)
    line = market.buyer.is_refused(
        "request post --class bm.large --start now --for 10h --ceiling 1000 --commit-for 5s --reveal-for 5s"
    )
    assert "free" in line
    assert free(market.buyer) == before
    both = re.compile(
        r"holds (100|99)\.\d{6} credits, not 1,000\.000000"
    )  # other tests spend of the same wallet
    assert both.search(market.buyer.is_refused(f"credits transfer {market.council_address} 1000"))
    assert both.search(market.buyer.is_refused("credits deposit 1000"))
    assert "free" in market.buyer.is_refused("credits withdraw 100000")


def test_withdrawal_goes_to_the_payout_address_and_history_tells_it(market: Market) -> None:
    before = free(market.south)
    done = market.south.does("credits withdraw 1.5")
    assert free(market.south) == before - 1_500_000
    last = market.south.does("credits history")[-1]
    assert (last["event"], last["amount"]) == ("Withdrawn", 1_500_000)
    assert last["tx"] == done["transactions"][0]["tx_hash"]
    market.south.does("credits deposit 1.5")


def test_seller_cannot_buy_and_buyer_cannot_sell(market: Market) -> None:
    offer, node = market.offers["north"], market.nodes["north"][0]
    assert "role" in market.south.is_refused(f"offer buy {offer} --node {node} --for 1h")
    assert "another organisation" in market.buyer.is_refused(f"node retire {node}")


def test_key_without_a_right_or_an_organisation_is_refused(market: Market, tmp_path: Path) -> None:
    clerk = Person("clerk", tmp_path, market.buyer.connection)
    address = clerk.does("wallet create --light")["address"]
    order = f"offer buy {market.offers['north']} --node {market.nodes['north'][0]} --start +5h --for 1h"
    assert "member" in clerk.is_refused(order)
    assert "ocx member set" in clerk.is_refused("credits balance")
    market.buyer.does(f"member set {address} --rights sign --limit 5")
    assert "right" in clerk.is_refused(order)
    market.buyer.does(f"member set {address} --rights buy --limit 5")
    assert "limit" in clerk.is_refused(order)
    accounts = {item["account"]: item for item in market.buyer.does("member show buyer")["accounts"]}
    assert (accounts[address]["rights"], accounts[address]["limit"]) == (["buy"], 5_000_000)
    market.buyer.does(f"member remove {address}")
    assert "member" in clerk.is_refused(order)


def test_council_changes_roles_and_an_admin_where_credits_are_paid_out_to(market: Market) -> None:
    own, other = market.south.does("wallet show")["address"], market.council_address
    node = market.nodes["south"][0]
    market.council.does("member set-roles south --roles buyer")
    order = f"offer publish --node {node} --floor 1 --start now --for 1h"
    assert "ocx member set-roles" in market.south.is_refused(order)
    market.council.does("member set-roles south --roles seller")
    market.south.does(f"member payout {other}")
    holds = market.south.exchange().credits.balance_of
    before = holds(other)
    market.south.does("credits withdraw 2")
    assert holds(other) == before + 2_000_000
    market.south.does(f"member payout {own}")
    market.council.does(f"credits transfer {own} 2")
    market.south.does("credits deposit 2")


def test_only_the_council_admits_mints_and_suspends(market: Market, tmp_path: Path) -> None:
    address = market.buyer.does("wallet show")["address"]
    for command in (
        f"member admit x {address} --roles buyer",
        f"credits mint {address} 1",
        "member suspend north",
    ):
        assert "council" in market.buyer.is_refused(command)


def test_suspension_blocks_new_orders_only(market: Market) -> None:
    market.council.does("member suspend north")
    node = market.nodes["north"][0]
    assert "suspended" in market.north.is_refused(
        f"offer publish --node {node} --floor 1 --start now --for 1h"
    )
    market.north.does("credits withdraw 1")
    market.council.does("member unsuspend north")
    market.north.does("credits deposit 1")


def test_unknown_organisation_role_and_right_are_named(market: Market) -> None:
    address = market.buyer.does("wallet show")["address"]
    assert "'nobody'" in market.buyer.is_refused("credits balance nobody")
    assert "role 'king'" in market.council.is_refused(f"member admit x {address} --roles king")
    assert "right 'fly'" in market.buyer.is_refused(f"member set {address} --rights fly")
    assert "ocx lease list" in market.buyer.is_refused("lease show 4711")
