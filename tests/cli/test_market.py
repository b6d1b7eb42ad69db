"""The market through `ocx` on a real chain: what works, and what is refused in one line with nothing lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chain.contracts.leases import Delivery
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


def iso(seconds: int) -> str:
    """Unix seconds as people write them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def free(person: Person) -> int:
    """Free balance of somebody's organisation."""
    return int(person.does("credits balance")["free"])


def buy(market: Market, node: int, start: str = "now", length: int = 300) -> int:
    """Buy a node of north's offer now; the lease."""
    offer = market.offers["north"]
    return int(market.buyer.does(f"offer buy {offer} --node {node} --start {start} --for {length}s")["lease"])


def free_start(market: Market, node: int, length: int) -> str:
    """When a node of north is free next for so long."""
    parts = market.buyer.does(f"offer show {market.offers['north']}")["free_parts"]
    starts = [
        part["start"] for part in parts if part["node"] == node and part["end"] - part["start"] > length
    ]
    return iso(min(starts))


def deliver(market: Market, lease: int) -> None:
    """What north's agent does: sign and deliver."""
    market.north.does(f"lease sign {lease}")
    exchange = market.north.exchange()
    exchange.send(exchange.leases.deliver(lease, Delivery(1, b"c" * 32, b"h" * 32, b"s" * 32)))
    exchange.sender.close()


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


# ---- money and rights ------------------------------------------------------------------------------------


def test_insufficient_credits_are_told_with_both_numbers(market: Market) -> None:
    before = free(market.buyer)
    line = market.buyer.is_refused(
        "request post --class bm.large --start now --for 10h --ceiling 1000 --commit-for 5s --reveal-for 5s"
    )
    assert "free" in line
    assert free(market.buyer) == before
    assert "holds 100.000000" in market.buyer.is_refused(f"credits transfer {market.council_address} 1000")
    assert "holds 100.000000" in market.buyer.is_refused("credits deposit 1000")
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


# ---- leases ----------------------------------------------------------------------------------------------


def test_lease_is_delivered_accepted_ended_wiped_and_settled(market: Market, tmp_path: Path) -> None:
    before = {person.name: free(person) for person in (market.north, market.buyer)}
    lease = buy(market, market.nodes["north"][2], length=600)
    price = market.buyer.does(f"lease show {lease}")["price"]
    assert "deliver" in market.buyer.is_refused(f"lease accept {lease}")
    deliver(market, lease)
    market.buyer.does(f"lease accept {lease}")
    assert market.buyer.does(f"lease show {lease}")["state"] == "active"
    market.warp(50)
    drawn = market.north.does(f"lease settle {lease}")
    assert drawn["paid"] > 0
    market.buyer.does(f"lease end {lease}")
    market.warp(10)
    assert market.buyer.does(f"lease show {lease}")["state"] == "ending"
    (tmp_path / "evidence").write_text("wiped")
    market.north.does(f"lease wipe {lease} --evidence {tmp_path / 'evidence'}")

    shown = market.buyer.does(f"lease show {lease} --why")
    assert shown["described"] == "terminated(buyer, early)"
    assert (shown["end_reason"], shown["fault"], shown["settled"]) == ("buyer_early", "nobody", True)
    assert shown["paid"] + shown["refunded"] == price
    assert shown["bond"] == shown["penalty"] == 0
    assert [entry["event"] for entry in shown["history"]][:3] == ["LeaseOpened", "Funded", "LeaseSigned"]
    signed = next(entry for entry in shown["history"] if entry["event"] == "LeaseSigned")
    assert any("the provider signed" in line and signed["tx"] in line for line in shown["why"])
    assert free(market.north) == before["north"] + shown["paid"]
    assert free(market.buyer) == before["buyer"] - shown["paid"]
    assert {"lease": lease, "state": "terminated"}.items() <= next(
        row for row in market.buyer.does("lease list --mine") if row["lease"] == lease
    ).items()


def test_rejected_delivery_ends_the_lease_with_its_reason(market: Market) -> None:
    node = market.nodes["north"][1]
    lease = buy(market, node, free_start(market, node, 600))
    deliver(market, lease)
    market.buyer.does(f"lease reject {lease} --reason wrong-disk")
    shown = market.buyer.does(f"lease show {lease}")
    ended = next(entry for entry in shown["history"] if entry["event"] == "LeaseEnded")
    assert ended["facts"]["note"] == "wrong-disk"
    assert shown["end_reason"] == "rejected"


def test_missed_signature_is_the_providers_default_and_anyone_settles_it(market: Market) -> None:
    node = market.nodes["south"][1]
    offer = market.offers["south"]
    lease = market.buyer.does(f"offer buy {offer} --node {node} --start now --for 600s")["lease"]
    market.warp(101)
    shown = market.buyer.does(f"lease show {lease} --why")
    assert (shown["state"], shown["fault"]) == ("defaulted", "provider")
    assert any("not yet recorded on chain" in line for line in shown["why"])
    assert "late" in market.south.is_refused(f"lease sign {lease}")
    market.north.does(f"lease expire {lease}")
    assert market.buyer.does(f"lease show {lease}")["penalty"] > 0


def test_watch_stops_at_the_state_asked_for_and_gives_up_in_time(market: Market) -> None:
    node = market.nodes["north"][1]
    lease = buy(market, node, free_start(market, node, 600))
    assert market.buyer.does(f"lease watch {lease} --until awarded")["state"] == "awarded"
    assert "still awarded" in market.buyer.is_refused(f"lease watch {lease} --until active --timeout 1s")
    market.buyer.does(f"lease cancel {lease}")
    assert "will not become active" in market.buyer.is_refused(f"lease watch {lease} --until active")


def test_plan_tells_what_is_locked_and_without_a_terminal_nothing_is_sent(market: Market) -> None:
    before = free(market.buyer)
    offer, node = market.offers["north"], market.nodes["north"][0]
    result = market.buyer.run(f"offer buy {offer} --node {node} --start +9h --for 1h")
    assert result.exit_code == 1
    assert "8.0" in result.stderr
    assert "credits at most; what is not billed comes back" in result.stderr
    assert "gas" in result.stderr
    assert free(market.buyer) == before


def test_tables_are_for_people(market: Market) -> None:
    text = market.buyer.run("member list").stdout
    assert "north" in text
    assert "seller" in text
    assert market.buyer.run("node list --format value").stdout.split()[0] == "1"
