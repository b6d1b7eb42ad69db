"""Whom the agent wants let in, from what the chain says; the agent itself is in tests/network/nodes."""

from __future__ import annotations

from typing import Any

from chain.nodes.admission.agent import wanted
from chain.nodes.admission.register import Registered
from chain.nodes.description import Node
from tests.chain.nodes.founding import description, node

FOUNDERS = frozenset(str(node(number)["address"]).lower() for number in range(1, 5))


def _listed(number: int, roles: int = 1, endpoint: str | None = None) -> Registered:
    raw = node(number)
    return Registered(
        name=f"org{number}-{raw['address'][2:8].lower()}",
        handle=f"org{number}",
        org=number,
        roles=roles,
        suspended=False,
        address=raw["address"],
        public_key=bytes.fromhex(raw["public_key"]),
        endpoint=f"{raw['host']}:30303" if endpoint is None else endpoint,
    )


def _address(number: int) -> str:
    return str(node(number)["address"]).lower()


def _names(nodes: tuple[Node, ...]) -> list[str]:
    return [each.name for each in nodes]


def _wanted(*listed: Registered, validators: frozenset[str] = FOUNDERS, own: int = 1, **fields: Any) -> Any:
    return wanted(description(**fields), listed, validators, {_address(own)})


def test_who_is_listed_and_has_a_role_is_let_in() -> None:
    found = _wanted(_listed(8), _listed(9, roles=0))
    assert _names(found.followers) == [_listed(8).name]
    assert [each.enode for each in found.followers] == [Node.model_validate(node(8)).enode]


def test_who_is_listed_no_more_is_let_in_no_more() -> None:
    assert _wanted(followers=[node(8)]).followers == ()
    assert _wanted(_listed(8, roles=0), followers=[node(8)]).followers == ()


def test_a_validator_is_never_cut_off_whatever_the_list_says() -> None:
    sealing = FOUNDERS | {_address(8)}
    assert _names(_wanted(validators=sealing, followers=[node(8)]).followers) == ["v8"]
    taken = _listed(8, endpoint="192.0.2.2:30303")  # the place of a founder
    assert _names(_wanted(taken, validators=sealing, followers=[node(8)]).followers) == ["v8"]


def test_a_founder_that_seals_no_more_and_is_not_listed_has_left() -> None:
    three = FOUNDERS - {_address(4)}
    found = _wanted(validators=three)
    assert found.left == ("v4",)
    assert "v4" not in _names(found.others(found.node("v1")))
    assert _wanted(_listed(4), validators=three).left == ()
    assert _wanted(validators=FOUNDERS, left=["v4"]).left == ()


def test_ones_own_node_stays_in_ones_own_description() -> None:
    three = FOUNDERS - {_address(4)}
    assert _wanted(validators=three, own=4).left == ()
    assert _names(_wanted(own=8, followers=[node(8)]).followers) == ["v8"]


def test_a_node_that_moves_keeps_its_name() -> None:
    found = _wanted(_listed(8, endpoint="192.0.2.99:4000"), followers=[node(8)])
    assert [(each.name, each.host, each.p2p_port) for each in found.followers] == [("v8", "192.0.2.99", 4000)]


def test_what_is_no_place_and_what_is_anothers_place_lets_nobody_in() -> None:
    nonsense = [_listed(8, endpoint=text) for text in ("", "host", "a b:1", "192.0.2.8:0", "192.0.2.8:99999")]
    for listed in [*nonsense, _listed(9, endpoint="192.0.2.1:30303")]:
        assert _wanted(listed).followers == ()


def test_nothing_to_change_changes_nothing() -> None:
    before = _wanted(_listed(8))
    again = wanted(before, [_listed(8)], FOUNDERS, {_address(1)})
    assert again == before
