"""A council of two of three: what one of them orders is proposed, the second one's word carries it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import PARAMS, Person
from tests.engine import Chain, begun


@dataclass
class Governed:
    """An exchange, those who govern it, and somebody who does not."""

    node: Chain
    ada: Person
    bob: Person
    eve: Person
    stranger: Person


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    """Founded by one of them with `ocx network deploy --seat`."""
    folder = tmp_path_factory.mktemp("governed")
    people = [Person(name, folder / name) for name in ("ada", "bob", "eve", "stranger")]
    for person in people:
        person.does("wallet create --light")
    (folder / "params.yaml").write_text(PARAMS)
    seats = " ".join(f"--seat {person.wallet().address}" for person in people[:3])
    with begun() as node:
        deployed = people[0].does(
            f"network deploy --rpc-url {node.urls[0]} --block-time {node.block_time:g} "
            f"--confirmations {node.confirmations} {seats} --params {folder / 'params.yaml'} "
            f"--out {folder / 'net'}"
        )
        for person in people:
            person.connection = Path(deployed["connection"])
        yield Governed(node, *people)


def address(person: Person) -> str:
    return person.wallet().address


def test_two_of_three_govern(governed: Governed) -> None:
    shown = governed.stranger.does("council show")
    assert shown["accounts"] == [address(person) for person in (governed.ada, governed.bob, governed.eve)]
    assert shown["threshold"] == 2
    assert governed.eve.does("network show")["council"] == shown["council"]


def test_the_same_command_of_a_second_one_carries_it_out(governed: Governed) -> None:
    admit = f"member admit uni {address(governed.stranger)} --roles buyer"
    proposed = governed.ada.does(admit)
    assert proposed["waits_for"] == "council"
    assert governed.ada.does("member list") == []
    assert "asked for this already" in governed.ada.is_refused(admit)
    admitted = governed.bob.does(admit)
    assert admitted["handle"] == "uni"
    assert governed.stranger.does("council show " + str(proposed["proposal"]))["state"] == "executed"


def test_a_proposal_is_shown_with_what_it_does_and_approved_by_number(governed: Governed) -> None:
    number = governed.bob.does(f"credits mint {address(governed.eve)} 5 --ref invoice-7")["proposal"]
    [waiting] = governed.eve.does("council list")
    assert (waiting["proposal"], waiting["call"], waiting["approved_by"]) == (
        number,
        "Credits.mint",
        [address(governed.bob)],
    )
    assert 5_000_000 in waiting["arguments"].values()
    assert governed.eve.does(f"council approve {number}")["state"] == "executed"
    assert governed.eve.does("wallet show")["wallet_credits"] == 5_000_000
    assert governed.eve.does("council list") == []


def test_an_approval_can_be_taken_back(governed: Governed) -> None:
    number = governed.ada.does(f"credits mint {address(governed.ada)} 1000")["proposal"]
    governed.ada.does(f"council revoke {number}")
    assert governed.eve.does(f"council approve {number}")["waits_for"] == "council"
    assert governed.ada.does("wallet show")["wallet_credits"] == 0
    governed.eve.does(f"council revoke {number}")


def test_who_is_not_of_it_can_neither_propose_nor_approve(governed: Governed) -> None:
    assert "council" in governed.stranger.is_refused(f"credits mint {address(governed.stranger)} 5")
    number = governed.ada.does(f"credits mint {address(governed.bob)} 3")["proposal"]
    governed.stranger.is_refused(f"council approve {number}")


def test_what_would_be_refused_is_not_proposed(governed: Governed) -> None:
    before = governed.ada.does("council show")["proposals"]
    admit = f"member admit uni {address(governed.bob)} --roles buyer"
    assert "handle" in governed.ada.is_refused(admit)
    assert governed.ada.does("council show")["proposals"] == before


def test_a_new_council_takes_over_and_what_was_proposed_before_lapses(governed: Governed) -> None:
    old = governed.ada.does(f"credits mint {address(governed.bob)} 4")["proposal"]
    change = f"council set --threshold 1 --seat {address(governed.eve)} --seat {address(governed.stranger)}"
    governed.ada.does(change)
    governed.bob.does(change)
    assert governed.eve.does(f"council show {old}")["state"] == "of an earlier council"
    assert "council" in governed.ada.is_refused(f"credits mint {address(governed.ada)} 1")
    minted = governed.stranger.does(f"credits mint {address(governed.stranger)} 2")
    assert minted["amount"] == 2_000_000


def test_seats_that_make_no_council_are_refused(governed: Governed, tmp_path: Path) -> None:
    deploy = f"network deploy --rpc-url {governed.node.urls[0]} --out {tmp_path / 'net'} "
    ada, bob = address(governed.ada), address(governed.bob)
    assert "agree 3 times" in governed.ada.is_refused(f"{deploy} --seat {ada} --seat {bob} --threshold 3")
    assert "one seat" in governed.ada.is_refused(f"{deploy} --seat {ada} --seat {ada}")
    assert "exclude" in governed.ada.is_refused(f"{deploy} --seat {ada} --council {bob}")
