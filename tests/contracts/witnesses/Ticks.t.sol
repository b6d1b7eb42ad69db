// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OrgId} from "../../../contracts/interfaces/Types.sol";
import {Trees} from "../../../contracts/libraries/Trees.sol";

/// @dev Three witnesses whose first tick is due in the next epoch; `e` is the epoch they measure in first.
abstract contract TickTest is WitnessBase {
    LeaseId internal constant LEASE = LeaseId.wrap(7);
    uint32 internal e;
    IWitnesses.Leaf[] internal none;

    function setUp() public override {
        super.setUp();
        _join(3);
        e = _epoch() + 1;
        _to(e + 1);
    }

    function _closed(uint32 epoch) internal {
        uint256 from = (uint256(epoch) + 1) * epochTime;
        vm.expectRevert(
            abi.encodeWithSelector(IWitnesses.Witnesses_TickClosed.selector, epoch, from, from + epochTime)
        );
    }

    function _notCommitted(uint256 n, uint32 epoch) internal {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotCommitted.selector, orgs[n], epoch));
    }

    function _badLeaves(uint256 index) internal {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_BadLeaves.selector, index));
    }

    function _empty() internal pure returns (IWitnesses.Opening memory) {}

    function _commit(uint256 n, uint32 epoch, bytes32 commitment) internal {
        vm.prank(signers[n]);
        witnesses.tick(epoch, commitment, _empty(), none);
    }
}

contract WitnessesTickTest is TickTest {
    function test_WhenInTime_CommitsAndTheNextOneCompletes() external {
        bytes32 commitment = _commitment(orgs[0], e, _opening(0, e));
        vm.expectEmit(address(witnesses));
        emit IWitnesses.Ticked(orgs[0], e, commitment, 0, 0, 0);
        _tick(0, e);
        assertEq(witnesses.commitmentOf(orgs[0], e), commitment);
        assertFalse(witnesses.ticked(orgs[0], e), "not before it is opened");
        assertEq(witnesses.seedOf(e + 1), 0, "no salt was opened");

        _to(e + 2);
        _tick(0, e + 1);
        assertTrue(witnesses.ticked(orgs[0], e));
        assertEq(witnesses.ticks(orgs[0], e, e + 1), 1);
        assertEq(witnesses.ticks(orgs[0], e + 1, e + 9), 0);
        witnesses.requireOpening(orgs[0], e, _opening(0, e));
    }

    /// W4: `[end(e), end(e) + epoch)`.
    function test_RevertWhen_EarlyOrLate() external {
        uint256 end = (uint256(e) + 1) * epochTime;
        vm.warp(end - 1);
        _closed(e);
        _commit(0, e, "c");
        vm.warp(end + epochTime);
        _closed(e);
        _commit(0, e, "c");
        vm.warp(end + epochTime - 1);
        _commit(0, e, "c");
        vm.warp(end);
        _closed(e + 1);
        _commit(0, e + 1, "c");
    }

    function test_RevertWhen_Twice() external {
        _tick(0, e);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_Ticked.selector, orgs[0], e));
        _commit(0, e, "other");
    }

    function test_RevertWhen_NotASigner() external {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotSigner.selector, admins[0]));
        vm.prank(admins[0]);
        witnesses.tick(e, "c", _empty(), none);
    }

    function test_RevertWhen_SomethingElseIsOpened() external {
        _tick(0, e);
        _to(e + 2);
        IWitnesses.Opening memory o = _opening(0, e);
        o.root = "other";
        _notCommitted(0, e);
        vm.prank(signers[0]);
        witnesses.tick(e + 1, "c", o, none);
        o = _opening(0, e);
        o.salt = "other";
        _notCommitted(0, e);
        vm.prank(signers[0]);
        witnesses.tick(e + 1, "c", o, none);
    }

    /// A lazy witness repeats what another one committed, and then what it opened: the organisation is in the hash.
    function test_RevertWhen_CopiedFromAnother() external {
        _tick(0, e);
        _commit(1, e, witnesses.commitmentOf(orgs[0], e));
        _to(e + 2);
        _tick(0, e + 1);
        IWitnesses.Opening memory o = _opening(0, e);
        _notCommitted(1, e);
        vm.prank(signers[1]);
        witnesses.tick(e + 1, "c", o, none);
    }

    /// The same opening for another epoch: the epoch is in the hash.
    function test_RevertWhen_AnOldOpeningIsUsedAgain() external {
        _tick(0, e);
        _to(e + 2);
        _tick(0, e + 1);
        _to(e + 3);
        IWitnesses.Opening memory o = _opening(0, e);
        _notCommitted(0, e + 1);
        vm.prank(signers[0]);
        witnesses.tick(e + 2, "c", o, none);
    }

    function test_WhenNotOpened_StaysIncomplete() external {
        _tick(0, e);
        _to(e + 2);
        _commit(0, e + 1, "c");
        assertFalse(witnesses.ticked(orgs[0], e));
    }

    function test_RevertWhen_SomethingIsOpenedWithoutASalt() external {
        _tick(0, e);
        _to(e + 2);
        IWitnesses.Opening memory o = _opening(0, e);
        o.salt = 0;
        _notCommitted(0, e);
        vm.prank(signers[0]);
        witnesses.tick(e + 1, "c", o, none);
    }

    /// A tick that was left out is gone: the epoch behind it can be opened by nobody.
    function test_WhenATickIsLeftOut_TwoEpochsAreIncomplete() external {
        _tick(0, e);
        _to(e + 3);
        _commit(0, e + 2, "c");
        assertEq(witnesses.ticks(orgs[0], e, e + 3), 0);
    }

    function test_After16Epochs_TheCommitmentIsForgotten() external {
        _tick(0, e);
        _to(e + 2);
        _tick(0, e + 1);
        _to(e + 16);
        assertNotEq(witnesses.commitmentOf(orgs[0], e), 0);
        witnesses.requireOpening(orgs[0], e, _opening(0, e));
        _to(e + 17);
        assertEq(witnesses.commitmentOf(orgs[0], e), 0);
        IWitnesses.Opening memory o = _opening(0, e);
        _notCommitted(0, e);
        witnesses.requireOpening(orgs[0], e, o);
        assertTrue(witnesses.ticked(orgs[0], e), "but not that it was ticked");
    }

    /// A word holds 128 epochs.
    function test_WhenTheWordEnds_CountingGoesOn() external {
        uint32 start = (e / 128 + 1) * 128 - 10;
        _to(start);
        _runTo(start + 22);
        uint32 first = start;
        assertEq(witnesses.ticks(orgs[1], first, first + 22), 21, "the last one is not open");
        assertEq(witnesses.ticks(orgs[1], first + 9, first + 10), 1);
        assertEq(witnesses.ticks(orgs[1], first + 5, first + 15), 10);
        assertEq(witnesses.ticks(orgs[1], first - 300, first + 300), 21);
    }
}

contract WitnessesSeedTest is TickTest {
    function _run() internal returns (bytes32 seed, bytes32 afterTwo) {
        _tick(0, e);
        _tick(1, e);
        _tick(2, e);
        _to(e + 2);
        _tick(2, e + 1);
        _tick(0, e + 1);
        afterTwo = witnesses.seedOf(e + 2);
        _tick(1, e + 1);
        seed = witnesses.seedOf(e + 2);
    }

    function _folded(uint256 n) internal view returns (uint256) {
        return uint256(keccak256(abi.encode(orgs[n], _salt(n, e)))) & type(uint224).max;
    }

    /// W2: who reveals last can leave its salt out, and choose between two seeds; the order gives it no more.
    function test_Always_IsTheXorInAnyOrder() external {
        (bytes32 seed, bytes32 afterTwo) = _run();
        assertEq(uint256(seed), _folded(0) ^ _folded(1) ^ _folded(2));
        assertEq(uint256(afterTwo), _folded(0) ^ _folded(2));
    }

    function test_After32Epochs_IsForgotten() external {
        (bytes32 seed,) = _run();
        _to(e + 33);
        assertEq(witnesses.seedOf(e + 2), seed);
        _tick(0, e + 32);
        _to(e + 34);
        _tick(0, e + 33);
        assertEq(witnesses.seedOf(e + 2), 0);
        assertEq(witnesses.seedOf(e + 34) >> 224, 0);
        assertNotEq(witnesses.seedOf(e + 34), 0);
    }
}

contract WitnessesPublishTest is TickTest {
    function _many(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            _findDown(0, e, LeaseId.wrap(uint32(1 + i / 4)), uint8(i % 4), 1 << (i % 60));
        }
        _tick(0, e);
        _to(e + 2);
    }

    function _open(IWitnesses.Leaf[] memory leaves) internal {
        IWitnesses.Opening memory o = _opening(0, e);
        bytes32 next = _commitment(orgs[0], e + 1, _opening(0, e + 1));
        vm.prank(signers[0]);
        witnesses.tick(e + 1, next, o, leaves);
    }

    function test_WhenOneChunk_IsPublicAtOnce() external {
        _many(5);
        vm.expectEmit(address(witnesses));
        emit IWitnesses.LeavesPublished(orgs[0], e, 0, _chunk(0, e, 0));
        _tick(0, e + 1);
        assertTrue(witnesses.ticked(orgs[0], e));
        for (uint256 i; i < 5; ++i) {
            witnesses.requirePublished(orgs[0], e, _published(0, e, i));
        }
    }

    function test_WhenSeveralChunks_CompleteWithTheLast() external {
        _many(300);
        _open(_chunk(0, e, 0));
        assertFalse(witnesses.ticked(orgs[0], e));
        _publish(0, e, 1);
        assertFalse(witnesses.ticked(orgs[0], e));
        IWitnesses.Published memory p = _published(0, e, 200);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, orgs[0], e));
        witnesses.requirePublished(orgs[0], e, p);
        _publish(0, e, 2);
        assertTrue(witnesses.ticked(orgs[0], e));
        witnesses.requirePublished(orgs[0], e, p);
        witnesses.requirePublished(orgs[0], e, _published(0, e, 299));
    }

    /// All or none: a chunk that is held back makes the epoch incomplete, and nothing of it counts.
    function test_WhenAChunkIsHidden_NothingCounts() external {
        _many(300);
        _open(_chunk(0, e, 0));
        _publish(0, e, 1);
        _to(e + 3);
        IWitnesses.Opening memory o = _opening(0, e);
        IWitnesses.Leaf[] memory last = _chunk(0, e, 2);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_PublishClosed.selector, orgs[0], e, 2));
        vm.prank(signers[0]);
        witnesses.publish(e, 2, o.chunks, last);
        assertFalse(witnesses.ticked(orgs[0], e));
        IWitnesses.Published memory p = _published(0, e, 3);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, orgs[0], e));
        witnesses.requirePublished(orgs[0], e, p);
    }

    function test_RevertWhen_ChunksAreLeftOutOrRepeated() external {
        _many(300);
        _open(_chunk(0, e, 0));
        IWitnesses.Opening memory o = _opening(0, e);
        IWitnesses.Leaf[] memory leaves = _chunk(0, e, 2);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_PublishClosed.selector, orgs[0], e, 2));
        vm.prank(signers[0]);
        witnesses.publish(e, 2, o.chunks, leaves);
        _publish(0, e, 1);
        leaves = _chunk(0, e, 1);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_PublishClosed.selector, orgs[0], e, 1));
        vm.prank(signers[0]);
        witnesses.publish(e, 1, o.chunks, leaves);
    }

    function test_RevertWhen_OtherChunksThanOpened() external {
        _many(300);
        _open(_chunk(0, e, 0));
        IWitnesses.Opening memory o = _opening(0, e);
        IWitnesses.Leaf[] memory leaves = _chunk(0, e, 1);
        leaves[0].down = 2;
        o.chunks[1] = Trees.root(leaves);
        _notCommitted(0, e);
        vm.prank(signers[0]);
        witnesses.publish(e, 1, o.chunks, leaves);
        o = _opening(0, e);
        _notCommitted(0, e);
        vm.prank(signers[0]);
        witnesses.publish(e, 1, o.chunks, leaves);
    }

    function test_RevertWhen_LeavesOfTheFirstChunkAreHidden() external {
        _many(5);
        _badLeaves(0);
        _open(none);
        IWitnesses.Leaf[] memory four = new IWitnesses.Leaf[](4);
        IWitnesses.Leaf[] memory five = _chunk(0, e, 0);
        for (uint256 i; i < 4; ++i) {
            four[i] = five[i];
        }
        _notCommitted(0, e);
        _open(four);
    }

    function _refused(IWitnesses.Leaf memory a, IWitnesses.Leaf memory b, uint256 index) internal {
        _find(0, e, a);
        _find(0, e, b);
        _tick(0, e);
        _to(e + 2);
        _badLeaves(index);
        _open(_chunk(0, e, 0));
    }

    function test_RevertWhen_NotInOrder() external {
        _refused(_leaf(LEASE, 1, 1), _leaf(LEASE, 0, 1), 1);
    }

    function test_RevertWhen_OneMachineTwice() external {
        _refused(_leaf(LEASE, 1, 1), _leaf(LEASE, 1, 2), 1);
    }

    function test_RevertWhen_NothingIsDown() external {
        _refused(_leaf(LEASE, 1, 0), _leaf(LEASE, 2, 2), 0);
    }

    function test_RevertWhen_DownWasNotMeasured() external {
        IWitnesses.Leaf memory leaf = _leaf(LEASE, 1, 3);
        leaf.measured = 1;
        _refused(leaf, _leaf(LEASE, 2, 2), 0);
    }

    function test_RevertWhen_RoundsBeyondTheEpoch() external {
        IWitnesses.Leaf memory leaf = _leaf(LEASE, 1, 1);
        leaf.measured |= 1 << witnesses.rounds();
        _refused(leaf, _leaf(LEASE, 2, 2), 0);
    }

    /// A second leaf of a machine hidden in a later chunk.
    function test_RevertWhen_OneMachineTwiceInTwoChunks() external {
        for (uint256 i; i < 128; ++i) {
            _findDown(0, e, LEASE, uint8(i), 1);
        }
        _findDown(0, e, LEASE, 5, 2);
        _tick(0, e);
        _to(e + 2);
        _open(_chunk(0, e, 0));
        IWitnesses.Opening memory o = _opening(0, e);
        IWitnesses.Leaf[] memory leaves = _chunk(0, e, 1);
        _badLeaves(0);
        vm.prank(signers[0]);
        witnesses.publish(e, 1, o.chunks, leaves);
    }

    function test_RevertWhen_TooManyLeavesOrChunks() external {
        IWitnesses.Leaf[] memory leaves = new IWitnesses.Leaf[](129);
        for (uint256 i; i < 129; ++i) {
            leaves[i] = _leaf(LEASE, uint8(i), 1);
        }
        IWitnesses.Opening memory o;
        o.chunks = new bytes32[](1);
        o.chunks[0] = Trees.root(leaves);
        o.salt = "salt";
        _commit(0, e, _commitment(orgs[0], e, o));
        IWitnesses.Opening memory wide;
        wide.chunks = new bytes32[](65);
        wide.salt = "salt";
        _commit(1, e, _commitment(orgs[1], e, wide));
        _to(e + 2);
        for (uint256 i; i < 129; ++i) {
            leaves[i] = _leaf(LEASE, uint8(i), 1);
        }
        _badLeaves(129);
        vm.prank(signers[0]);
        witnesses.tick(e + 1, "c", o, leaves);
        _badLeaves(65);
        vm.prank(signers[1]);
        witnesses.tick(e + 1, "c", wide, none);
    }

    function test_RevertWhen_ALeafIsNotUnderItsChunk() external {
        _many(5);
        _tick(0, e + 1);
        IWitnesses.Published memory p = _published(0, e, 2);
        p.leaf.down = 7;
        _refusedLeaf(0, p);
        p = _published(0, e, 2);
        p.chunk = 1;
        _refusedLeaf(0, p);
        p = _published(0, e, 2);
        p.opening.root = "other";
        _refusedLeaf(0, p);
        p = _published(0, e, 2);
        _refusedLeaf(1, p);
        // Good leaves are under the root, not published.
        p.leaf = _goodLeaf(0, e);
        p.proof = _rootProof(0, e, 5);
        _refusedLeaf(0, p);
    }

    function _refusedLeaf(uint256 n, IWitnesses.Published memory p) internal {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, orgs[n], e));
        witnesses.requirePublished(orgs[n], e, p);
    }
}

/// @dev Each call in a transaction of its own, so that gas is what a ledger charges.
contract WitnessesTickGasTest is WitnessBase {
    function _gasOfTick(uint256 n) internal returns (uint256) {
        _tick(n, _epoch() - 1);
        return vm.lastCallGas().gasTotalUsed;
    }

    /// A tick holds no lease: its cost is the same however many comply. Every 128th epoch it begins a new word.
    /// forge-config: default.isolate = true
    function test_Gas_TickWithoutOutages_IsFlat() external {
        _pool(3);
        _runTo(_epoch() + 2);
        uint256 words;
        for (uint256 i; i < 130; ++i) {
            _to(_epoch() + 1);
            uint256 first = _gasOfTick(0);
            uint256 second = _gasOfTick(1);
            if (first > 60_000) ++words;
            else assertLt(first, 50_000);
            assertLt(first, 67_500);
            if (i == 3) emit log_named_uint("gas of a tick, first of its epoch", first);
            if (i == 3) emit log_named_uint("gas of a tick, second of its epoch", second);
            if (first > 60_000) emit log_named_uint("gas of a tick that begins a word", first);
        }
        assertLe(words, 2);
    }

    /// forge-config: default.isolate = true
    function test_Gas_TickWithOutages() external {
        _pool(1);
        _runTo(_epoch() + 2);
        uint256[4] memory counts = [uint256(1), 10, 64, 128];
        for (uint256 c; c < counts.length; ++c) {
            for (uint256 i; i < counts[c]; ++i) {
                _findDown(0, _epoch(), LeaseId.wrap(uint32(1 + i)), 0, 0xffff);
            }
            _runTo(_epoch() + 1);
            _to(_epoch() + 1);
            uint256 used = _gasOfTick(0);
            emit log_named_uint(string.concat("gas of a tick with leaves: ", vm.toString(counts[c])), used);
            assertLt(used, 60_000 + counts[c] * 7_000);
        }
    }
}
