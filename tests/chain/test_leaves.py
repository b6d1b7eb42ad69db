"""Leaves, trees, commitments, keys: hashes a contract can check, and secrets that stay apart."""

from __future__ import annotations

import hashlib

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain import leaves
from chain.leaves import CHUNK, NOTHING, EpochLeaves, Leaf, Opening, Outcome, Sample, Tree
from market.errors import InvalidInput
from market.rounds import Grid

MASTER = bytes(range(32))


def leaf(lease: int, place: int = 0, down: int = 1) -> Leaf:
    return Leaf(lease, place, 0b111, down, keccak(text=f"{lease}.{place}"))


def test_a_leaf_is_hashed_as_the_contract_encodes_it() -> None:
    item = leaf(7, 3)
    types = ["uint32", "uint8", "uint256", "uint256", "bytes32"]
    assert item.hash == keccak(encode(types, item.to_abi()))


def test_a_sample_is_hashed_as_the_contract_encodes_it() -> None:
    sample = Sample(9, 1_800_000_000_123, Outcome.PROVIDER, b"n" * 32, b"s" * 65)
    types = ["uint16", "uint64", "uint8", "bytes32", "bytes32"]
    assert sample.hash == keccak(encode(types, [9, 1_800_000_000_123, 2, b"n" * 32, keccak(b"s" * 65)]))


@given(st.integers(0, 70), st.data())
def test_every_item_of_a_tree_has_a_proof_and_no_other_has(count: int, data: st.DataObject) -> None:
    hashes = [keccak(n.to_bytes(4, "big")) for n in range(count)]
    tree = Tree(hashes)
    if not count:
        assert tree.root == NOTHING
        return
    index = data.draw(st.integers(0, count - 1))
    assert leaves.verify(tree.root, hashes[index], tree.proof(index))
    assert not leaves.verify(tree.root, keccak(b"other"), tree.proof(index))
    with pytest.raises(InvalidInput):
        tree.proof(count)


def test_an_odd_node_goes_up_as_it_is() -> None:
    one, two, three = (keccak(bytes([n])) for n in range(3))
    pair = keccak(b"".join(sorted((one, two))))
    assert Tree([one, two, three]).root == keccak(b"".join(sorted((pair, three))))


def test_only_down_leaves_are_published_sorted_and_in_chunks() -> None:
    given_ = [leaf(n, down=int(n % 2)) for n in range(1, 2 * CHUNK + 4)]
    epoch = EpochLeaves(tuple(reversed(given_)), bytes(32))
    assert [len(chunk) for chunk in epoch.chunks] == [CHUNK, 2]
    flat = [item for chunk in epoch.chunks for item in chunk]
    assert flat == [item for item in given_ if item.down]
    assert leaves.chunks_of(given_) == epoch.chunks
    assert leaves.root_of(given_) == epoch.opening.root


def test_a_published_leaf_is_shown_by_its_chunk() -> None:
    epoch = EpochLeaves(tuple(leaf(n) for n in range(1, 200)), bytes(32))
    shown = epoch.published(180, 0)
    assert shown is not None
    assert shown.chunk == 1
    assert shown.holds()
    assert epoch.published(200, 0) is None


def test_a_leaf_without_down_rounds_is_not_published_but_under_the_root() -> None:
    epoch = EpochLeaves((leaf(1), leaf(2, down=0)), bytes(32))
    assert epoch.published(2, 0) is None
    rooted = epoch.rooted(2, 0)
    assert rooted is not None
    assert leaves.verify(epoch.opening.root, rooted.leaf.hash, rooted.proof)


def test_a_commitment_binds_organisation_epoch_chunks_root_and_salt() -> None:
    epoch = EpochLeaves((leaf(1), leaf(2)), b"s" * 32)
    other = EpochLeaves((leaf(1), leaf(2)), b"t" * 32)
    fewer = EpochLeaves((leaf(1), leaf(2, down=0)), b"s" * 32)
    commitments = {epoch.commitment(5, 9), epoch.commitment(6, 9), epoch.commitment(5, 8)}
    commitments |= {other.commitment(5, 9), fewer.commitment(5, 9)}
    assert len(commitments) == 5
    assert epoch.opening.commitment(5, 9) == epoch.commitment(5, 9)
    assert Opening().is_nothing
    assert not epoch.opening.is_nothing


@pytest.mark.parametrize(
    "values", [(1, 0, 0b1, 0b10), (1, 0, 1 << 256, 0), (1, 256, 1, 1), (0, 0, 1, 1), (1, 0, 1, -1)]
)
def test_what_is_no_leaf_is_refused(values: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput):
        Leaf(*values)


def test_two_leaves_for_one_machine_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two leaves"):
        EpochLeaves((leaf(1), leaf(1, down=0)), bytes(32))


def test_epoch_keys_differ_and_none_shows_another() -> None:
    keys = {leaves.epoch_key(MASTER, epoch) for epoch in range(50)}
    assert len(keys) == 50
    assert leaves.salt_of(leaves.epoch_key(MASTER, 1)) == keccak(b"OCX salt 1" + leaves.epoch_key(MASTER, 1))
    with pytest.raises(InvalidInput):
        leaves.epoch_key(b"short", 1)


def test_offsets_lie_within_the_round_and_spread_over_it() -> None:
    grid, key = Grid(3600, 60), leaves.epoch_key(MASTER, 4)
    offsets = [leaves.offset_ms(grid, key, 7, place, n) for place in range(3) for n in range(60)]
    assert all(0 <= offset < 60_000 for offset in offsets)
    assert min(offsets) < 3_000
    assert max(offsets) > 57_000
    packed = key + encode(["uint32"], [7])[-4:] + b"\x02" + b"\x00\x05"
    assert offsets[2 * 60 + 5] == int.from_bytes(keccak(packed), "big") % 60_000


def test_the_guest_signs_who_asks_when_and_about_what() -> None:
    witness = "0x" + "ab" * 20
    digest = leaves.guest_digest(1, 2, 3, 4, witness, b"n" * 32)
    packed = b"OCX guest 1" + bytes.fromhex("0000000102000000030004") + b"\xab" * 20 + b"n" * 32
    assert digest == hashlib.sha256(packed).digest()
    with pytest.raises(InvalidInput):
        leaves.guest_digest(1, 2, 3, 4, witness, b"short")
