"""Which branch is chosen, and when; the network itself is in test_network."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from chain.nodes.consensus import untie
from chain.nodes.consensus.untie import Head, Watch, losers


def _head(hash_: str, weight: int, peers: int = 3) -> Head:
    return Head(number=5, hash=hash_, weight=weight, signers=4, peers=peers)


def test_the_heavier_branch_is_chosen() -> None:
    assert losers({"v1": _head("0xa", 8), "v2": _head("0xb", 9), "v3": _head("0xb", 9)}) == ("v1",)


def test_of_equals_all_choose_the_same() -> None:
    assert losers({"v1": _head("0xb", 8), "v2": _head("0xa", 8)}) == ("v1",)
    assert losers({"v1": _head("0xa", 8), "v2": _head("0xb", 8)}) == ("v2",)


def test_one_branch_is_no_tie() -> None:
    assert losers({"v1": _head("0xa", 8), "v2": _head("0xa", 8)}) == losers({}) == ()


@pytest.mark.parametrize(
    ("then", "gives_way"),
    [
        ({"v1": _head("0xb", 8), "v2": _head("0xa", 8), "v3": _head("0xa", 8)}, ("v1",)),
        ({"v1": _head("0xb", 8), "v2": _head("0xc", 9), "v3": _head("0xa", 8)}, ()),
        ({"v1": _head("0xb", 8, 1), "v2": _head("0xa", 8, 1), "v3": _head("0xa", 8, 1)}, ()),
    ],
    ids=["stands", "moves", "split"],
)
def test_only_a_chain_that_stands_with_a_quorum_that_has_met_is_touched(
    then: dict[str, Head], gives_way: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {"v1": _head("0xb", 8), "v2": _head("0xa", 8), "v3": _head("0xa", 8)}
    seen = iter([first, then])
    rewound: list[str] = []
    monkeypatch.setattr(untie, "heads", lambda folders: next(seen))
    monkeypatch.setattr(untie, "rewind", lambda folders, found, late, depth: rewound.extend(late))
    watch = Watch(patience=0.0, hold=lambda name: contextlib.nullcontext())
    folders = {name: Path(name) for name in first}
    assert watch.look(folders) == ()
    assert watch.look(folders) == gives_way
    assert rewound == list(gives_way)
