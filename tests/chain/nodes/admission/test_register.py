"""Who is let in by the members' list, whatever an admin wrote there."""

from __future__ import annotations

from typing import Any

import pytest

from chain.nodes.admission.register import Registered, followers
from chain.nodes.description import NetworkDescription, parse
from tests.chain.nodes.founding import description, node, raw


def listed(number: int, **fields: Any) -> Registered:
    """What `Members` says of a node; the same number is the same key as in `founding`."""
    one = node(number)
    return Registered(
        **{
            "name": f"org{number}-{one['address'][2:8].lower()}",
            "handle": f"org{number}",
            "org": number,
            "roles": 1,
            "suspended": False,
            "address": one["address"],
            "public_key": bytes.fromhex(one["public_key"]),
            "endpoint": f"192.0.2.{number}:30303",
            **fields,
        }
    )


def _names(found: NetworkDescription, *nodes: Registered, keep: tuple[str, ...] = ()) -> list[str]:
    result = followers(found, nodes, keep)
    parse(found.model_dump() | {"followers": [each.model_dump() for each in result]})
    return [each.name for each in result]


def test_who_has_a_role_is_let_in_and_who_has_none_is_not() -> None:
    five, six = listed(5), listed(6, roles=0)
    assert _names(description(), five, six) == [five.name]


def test_who_is_suspended_keeps_its_node() -> None:
    """Suspension blocks new orders and nothing else."""
    assert _names(description(), listed(5, suspended=True)) != []


def test_a_founder_is_not_named_twice() -> None:
    assert _names(description(), listed(2)) == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "x",
        ":30303",
        "192.0.2.9:",
        "192.0.2.9:0",
        "192.0.2.9:70000",
        "192.0.2.9:-1",
        "a b:1",
        "h:1\n",
        "h:١",
    ],
)
def test_an_endpoint_that_is_none_keeps_nobody_else_out(endpoint: str) -> None:
    assert _names(description(), listed(5, endpoint=endpoint), listed(6)) == [listed(6).name]


def test_an_address_of_ipv6_is_one() -> None:
    [found] = followers(description(), [listed(5, endpoint="[2001:db8::5]:30303")])
    assert (found.host, found.p2p_port) == ("2001:db8::5", 30303)


def test_who_lists_a_founders_place_is_left_out() -> None:
    assert _names(description(), listed(5, endpoint="192.0.2.1:30303")) == []


def test_a_newcomer_takes_no_place_from_whom_we_know() -> None:
    """Whatever the order on the list, which removals change."""
    known = parse(raw(followers=[node(5)]))
    thief = listed(6, endpoint="192.0.2.5:30303")
    assert _names(known, thief, listed(5)) == ["v5"]


def test_whom_we_know_keeps_its_name_and_moves() -> None:
    known = parse(raw(followers=[node(5)]))
    [found] = followers(known, [listed(5, endpoint="198.51.100.5:30304")])
    assert (found.name, found.host, found.p2p_port) == ("v5", "198.51.100.5", 30304)


def test_who_is_no_longer_listed_is_out_unless_it_is_our_own() -> None:
    known = parse(raw(followers=[node(5), node(6)]))
    assert _names(known) == []
    assert _names(known, keep=("v6",)) == ["v6"]


def test_two_of_one_name_are_told_apart() -> None:
    five, six = listed(5), listed(6, name=listed(5).name, handle="org5")
    names = _names(description(), five, six)
    assert names[0] == five.name and len(set(names)) == 2
