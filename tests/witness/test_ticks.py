"""What a witness does next with its ticks, whatever happened to it before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chain.leaves import EpochLeaves, Leaf
from market.errors import Permanent
from witness.seals import Sealed, Seals
from witness.ticks import Facts, decide, due_epoch

E = 100
OURS, BEFORE, THEIRS, NONE = b"o" * 32, b"b" * 32, b"t" * 32, bytes(32)
CALM = Facts(
    now=7 * E + 50,
    epoch=E,
    joined=2,
    exit=0,
    settle=5,
    committed=NONE,
    committed_before=BEFORE,
    sealed=OURS,
    before=BEFORE,
    chunks=1,
    published=frozenset({0}),
    done=False,
)
"""In the middle of epoch 7: epoch 6 is due."""


def test_the_due_epoch_is_the_last_whole_one() -> None:
    assert [due_epoch(now, E) for now in (7 * E - 1, 7 * E, 8 * E - 1)] == [5, 6, 6]


def test_what_is_sealed_is_committed_and_what_was_committed_is_opened() -> None:
    move = decide(CALM)
    assert (move.what, move.epoch, move.opens) == ("tick", 6, True)


def test_nothing_is_sent_before_it_is_sealed() -> None:
    assert decide(replace(CALM, sealed=None)).what == "seal"


def test_an_epoch_is_sealed_only_once_its_last_measurements_are_in() -> None:
    early = replace(CALM, sealed=None, now=7 * E + 4)
    assert decide(early).what == "wait"
    assert decide(replace(early, now=7 * E + 5)).what == "seal"


def test_after_an_epoch_without_a_tick_nothing_is_opened() -> None:
    move = decide(replace(CALM, committed_before=NONE))
    assert (move.what, move.opens) == ("tick", False)


def test_what_another_program_committed_is_never_opened() -> None:
    assert decide(replace(CALM, committed_before=THEIRS)).what == "stuck"
    assert decide(replace(CALM, before=None)).what == "stuck"


def test_a_second_node_with_the_same_key_stands_still() -> None:
    assert decide(replace(CALM, committed=THEIRS)).what == "stuck"


def test_an_epoch_is_ticked_once() -> None:
    assert decide(replace(CALM, committed=OURS, done=True)).what == "wait"


def test_chunks_are_published_one_after_the_other_after_the_tick() -> None:
    large = replace(CALM, committed=OURS, chunks=3, published=frozenset({0}))
    assert (decide(large).what, decide(large).chunk) == ("publish", 1)
    assert decide(replace(large, published=frozenset({0, 1}))).chunk == 2
    assert decide(replace(large, published=frozenset({0, 1, 2}))).what == "wait"


def test_chunks_of_an_epoch_that_was_not_ours_are_left_alone() -> None:
    assert decide(replace(CALM, committed=OURS, chunks=3, committed_before=THEIRS)).what == "wait"


def test_it_ticks_from_the_epoch_it_joined_to_the_one_that_opens_its_last() -> None:
    assert decide(replace(CALM, joined=7)).what == "wait"
    assert decide(replace(CALM, exit=6)).what == "tick"
    assert decide(replace(CALM, exit=5)).what == "wait"
    assert decide(replace(CALM, joined=0)).what == "wait"


IDENTITY = {"chain": "1", "contract": "0x1", "org": "3"}


def sealed(epoch: int, down: int) -> Sealed:
    """A seal over one leaf."""
    leaves = EpochLeaves((Leaf(1, 0, 0b111, down),), b"s" * 32)
    return Sealed(epoch, leaves.opening, leaves.commitment(3, epoch), 1.5)


def test_an_epoch_is_sealed_for_good(tmp_path: Path) -> None:
    seals = Seals(tmp_path / "seals.db", IDENTITY)
    first = seals.keep(sealed(5, 0b001))
    assert seals.keep(sealed(5, 0b010)) == first == seals.get(5)
    seals.close()
    again = Seals(tmp_path / "seals.db", IDENTITY)
    assert again.get(5) == first and again.newest() == 5
    assert again.get(6) is None
    again.close()


def test_seals_of_another_witness_are_refused(tmp_path: Path) -> None:
    Seals(tmp_path / "seals.db", IDENTITY).close()
    with pytest.raises(Permanent, match="another witness or chain"):
        Seals(tmp_path / "seals.db", IDENTITY | {"org": "4"})
