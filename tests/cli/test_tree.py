"""`ocx member` in the tree: departments and budgets, brokers, keys that move or are recovered."""

from __future__ import annotations

from itertools import count

import pytest

from tests.cli.conftest import Market, Person

_NUMBERS = count(1)


def _person(market: Market, name: str) -> tuple[Person, str]:
    person = Person(name, market.buyer.folder.parent / name, market.buyer.connection)
    return person, str(person.does("wallet create --light")["address"])


@pytest.fixture
def lab(market: Market) -> tuple[Person, str, int]:
    """A department of the buyer, its admin, and its number."""
    name = f"lab-{next(_NUMBERS)}"
    head, address = _person(market, name)
    org = market.buyer.does(f"member admit {name} {address} --roles buyer --under buyer --department")["org"]
    return head, address, org


def test_a_department_stands_below_its_party_with_a_budget(
    market: Market, lab: tuple[Person, str, int]
) -> None:
    head, _, org = lab
    market.buyer.does(f"member budget {org} 5")
    row = next(item for item in head.does("member tree") if item["org"] == org)
    buyer = next(item for item in head.does("member tree") if item["handle"] == "buyer")
    assert (row["kind"], row["party"], row["budget"]) == ("department", buyer["org"], "5.000000")
    assert row["handle"].startswith("  ")
    assert "admin" in head.is_refused(f"member budget {org} 6")
    assert "council" in market.buyer.is_refused(
        f"member admit own {market.buyer.wallet().address} --roles buyer --under buyer"
    )


def test_a_key_moves_with_all_that_it_is(market: Market, lab: tuple[Person, str, int]) -> None:
    head, old, org = lab
    _, new = _person(market, f"{head.name}-next")
    head.does(f"member rotate-key {new}")
    accounts = {item["account"]: item for item in market.buyer.does(f"member show {org}")["accounts"]}
    assert set(accounts) == {new}
    assert "admin" in accounts[new]["rights"]
    assert "member" in head.is_refused(f"member rotate-key {old}")


def test_a_broker_is_granted_and_gives_it_back(market: Market, lab: tuple[Person, str, int]) -> None:
    head, _, org = lab
    broker, address = _person(market, f"{head.name}-broker")
    head.does(f"member grant {address} --rights buy --limit 3")
    assert head.exchange().members.member_of(org, address).limit == 3_000_000
    assert "admin" in head.is_refused(f"member grant {address} --rights admin --limit 3")
    broker.does(f"member revoke {org}")
    assert head.exchange().members.member_of(org, address).org == 0


def test_a_lost_key_is_recovered_after_the_delay(market: Market, lab: tuple[Person, str, int]) -> None:
    head, lost, org = lab
    _, new = _person(market, f"{head.name}-found")
    command = f"member recover {org} {lost} {new}"
    assert market.council.does(command)["step"] == "announced"
    market.warp(3)
    assert market.council.does(command)["step"] == "done"
    assert market.council.exchange().members.member(new).org == org
