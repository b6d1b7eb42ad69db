// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AuditsBase} from "./AuditsBase.sol";
import {IAudits} from "../../../contracts/interfaces/IAudits.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OrgId} from "../../../contracts/interfaces/Types.sol";

abstract contract ShownBase is AuditsBase {
    /// @dev A leaf without samples: nobody asks for them here.
    function _leafOf(uint256 down) internal view returns (IWitnesses.Leaf memory) {
        return IWitnesses.Leaf(lease, 0, ALL, down, 0);
    }

    function _sayDown(uint256 n, uint32 epoch, uint256 down) internal {
        IWitnesses.Leaf memory leaf = _leafOf(down);
        _root(n, epoch, leaf);
        if (down != 0) _show(n, epoch, leaf);
    }

    function _sayAll(uint32 epoch, uint256 a, uint256 b, uint256 c) internal {
        _sayDown(0, epoch, a);
        _sayDown(1, epoch, b);
        _sayDown(2, epoch, c);
        _publish(epoch);
    }

    function _notShown(uint256 n) internal {
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotShown.selector, orgs[n]));
    }
}

contract CanaryTest is ShownBase {
    uint256 private constant DOWN = (1 << 12) - 1;

    function _hash(uint256 down) private view returns (bytes32) {
        return keccak256(abi.encode(lease, uint8(0), e, down, bytes32("salt")));
    }

    function _commit(uint256 down) private returns (uint256 id) {
        bytes32 hash = _hash(down);
        vm.prank(buyer);
        id = audits.commitCanary(hash);
    }

    function _reveal(uint256 id, uint256 down) private {
        vm.prank(buyer);
        audits.revealCanary(id, lease, 0, e, down, "salt");
    }

    function _bad(uint256 id, uint256 down) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_BadCanary.selector, id));
        _reveal(id, down);
    }

    function _revealed() private returns (uint256 id) {
        id = _commit(DOWN);
        _sayAll(e, DOWN, DOWN >> 6, DOWN >> 7);
        _to(e + 4);
        vm.expectEmit(address(audits));
        emit IAudits.CanaryRevealed(id, lease, 0, e, DOWN);
        _reveal(id, DOWN);
    }

    function test_WhenLessThanHalfIsReported_Slashed() external {
        uint256 id = _revealed();
        for (uint256 n; n < 2; ++n) {
            IAudits.Page memory good = _page(n, e);
            _notShown(n);
            audits.missCanary(id, good);
        }
        IAudits.Page memory page = _page(2, e);
        vm.expectEmit(address(witnesses));
        emit IWitnesses.WitnessSlashed(orgs[2], "canary", STAKE / 2);
        audits.missCanary(id, page);
        _assertSlashed(2, 1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_Counted.selector, orgs[2], e));
        audits.missCanary(id, page);
    }

    function test_WhenNothingIsReported_Slashed() external {
        uint256 id = _commit(DOWN);
        _sayAll(e, DOWN, DOWN, 0);
        _to(e + 4);
        _reveal(id, DOWN);
        audits.missCanary(id, _page(2, e));
        _assertSlashed(2, 1);
    }

    /// What was published is shown as a whole, or not at all.
    function test_RevertWhen_AChunkIsLeftOut() external {
        uint256 id = _revealed();
        IAudits.Page memory page = _page(0, e);
        page.chunks = new IWitnesses.Leaf[][](0);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotCommitted.selector, orgs[0], e));
        audits.missCanary(id, page);
        page = _page(0, e);
        page.chunks[0] = new IWitnesses.Leaf[](0);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotCommitted.selector, orgs[0], e));
        audits.missCanary(id, page);
    }

    function test_RevertWhen_RevealedTooEarlyOrTooLate() external {
        uint256 id = _commit(DOWN);
        vm.warp(uint256(e + 4) * 3600 - 1);
        _bad(id, DOWN);
        vm.warp(uint256(e + 17) * 3600);
        _bad(id, DOWN);
        vm.warp(uint256(e + 17) * 3600 - 1);
        _reveal(id, DOWN);
    }

    function test_RevertWhen_CommittedInItsEpoch() external {
        _to(e);
        uint256 id = _commit(DOWN);
        _to(e + 4);
        _bad(id, DOWN);
    }

    function test_RevertWhen_AnotherHash() external {
        uint256 id = _commit(DOWN);
        _to(e + 4);
        _bad(id, DOWN | (1 << 20));
    }

    function test_RevertWhen_RevealedAgain() external {
        uint256 one = _commit(DOWN);
        uint256 two = _commit(DOWN << 20);
        _to(e + 4);
        _reveal(one, DOWN);
        _bad(one, DOWN);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_Counted.selector, buyerOrg, e));
        _reveal(two, DOWN << 20);
    }

    function test_RevertWhen_FewerThanTenRoundsAreJudged() external {
        uint256 small = _commit((1 << 9) - 1);
        uint256 outside = _commit(ALL << 55);
        _to(e + 4);
        _bad(small, (1 << 9) - 1);
        _bad(outside, ALL << 55);
    }

    function test_RevertWhen_TheAuditorDoesNotRentIt() external {
        bytes32 hash = _hash(DOWN);
        vm.prank(council);
        members.setRoles(rivalOrg, 8);
        vm.prank(rival);
        uint256 id = audits.commitCanary(hash);
        _to(e + 4);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_BadCanary.selector, id));
        vm.prank(rival);
        audits.revealCanary(id, lease, 0, e, DOWN, "salt");
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_BadCanary.selector, id));
        vm.prank(buyer);
        audits.revealCanary(id, lease, 0, e, DOWN, "salt");
    }

    function test_RevertWhen_NotRevealedOrNotASeat() external {
        uint256 id = _commit(DOWN);
        _sayAll(e, 0, 0, 0);
        IAudits.Page memory page = _page(0, e);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_BadCanary.selector, id));
        audits.missCanary(id, page);
        _to(e + 4);
        _reveal(id, DOWN);
        page.org = northOrg;
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotSeat.selector, northOrg, lease));
        audits.missCanary(id, page);
    }
}

contract LeavesTest is ShownBase {
    function test_WhenTwoLeavesAreUnderTheRoot_Slashed() external {
        _root(0, e, _leafOf(1));
        _root(0, e, _leafOf(3));
        _show(0, e, _leafOf(3));
        _publish(e);
        audits.twoLeaves(orgs[0], e, _open(0, e), _rootedLeaf(0, e, 0), _rootedLeaf(0, e, 1));
        _assertSlashed(0, 1);
        IWitnesses.Opening memory o = _open(0, e);
        IAudits.Rooted memory a = _rootedLeaf(0, e, 0);
        IAudits.Rooted memory b = _rootedLeaf(0, e, 1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_Counted.selector, orgs[0], e));
        audits.twoLeaves(orgs[0], e, o, a, b);
    }

    function test_RevertWhen_TheLeavesAreTheSameOrOfTwoMachines() external {
        IWitnesses.Leaf memory other = _leafOf(3);
        other.place = 1;
        _root(0, e, _leafOf(1));
        _root(0, e, other);
        _publish(e);
        IWitnesses.Opening memory o = _open(0, e);
        IAudits.Rooted memory a = _rootedLeaf(0, e, 0);
        IAudits.Rooted memory b = _rootedLeaf(0, e, 1);
        _notShown(0);
        audits.twoLeaves(orgs[0], e, o, a, a);
        _notShown(0);
        audits.twoLeaves(orgs[0], e, o, a, b);
        b.leaf.place = 0; // not under the root
        _notShown(0);
        audits.twoLeaves(orgs[0], e, o, a, b);
        o.root = "other";
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotCommitted.selector, orgs[0], e));
        audits.twoLeaves(orgs[0], e, o, a, b);
    }

    function test_WhenThePublishedLeafIsUnlikeTheRoots_Slashed() external {
        _root(0, e, _leafOf(0));
        _show(0, e, _leafOf(7));
        _sayDown(1, e, 7);
        _publish(e);
        audits.unlikeRoot(orgs[0], e, _shownLeaf(0, e), _rootedLeaf(0, e, 0));
        _assertSlashed(0, 1);
        IWitnesses.Published memory published = _shownLeaf(1, e);
        IAudits.Rooted memory leaf = _rootedLeaf(1, e, 0);
        _notShown(1);
        audits.unlikeRoot(orgs[1], e, published, leaf);
        leaf.leaf.down = 1; // not under the root
        _notShown(1);
        audits.unlikeRoot(orgs[1], e, published, leaf);
    }

    /// A seat that has the truth ready for audits, and keeps it from claims.
    function test_WhenADownRoundIsNotPublished_Slashed() external {
        _root(0, e, _leafOf(7));
        _sayDown(1, e, 7);
        _sayDown(2, e, 0);
        _publish(e);
        audits.unpublished(e, _page(0, e), _rootedLeaf(0, e, 0));
        _assertSlashed(0, 1);
        for (uint256 n = 1; n < 3; ++n) {
            IAudits.Page memory page = _page(n, e);
            IAudits.Rooted memory leaf = _rootedLeaf(n, e, 0);
            _notShown(n);
            audits.unpublished(e, page, leaf);
        }
    }
}

contract OutlierTest is ShownBase {
    uint256 private constant DOWN = (1 << 10) - 1;

    function _outlier(uint256 n, uint32 epoch) private {
        audits.outlier(orgs[n], lease, 0, epoch, _pages(epoch));
    }

    function _isNone(uint256 n) private {
        IAudits.Page[] memory pages = _pages(e);
        _notShown(n);
        audits.outlier(orgs[n], lease, 0, e, pages);
    }

    function test_WhenAloneAgainstAQuorum_IsCounted() external {
        _sayAll(e, DOWN, DOWN, 0);
        vm.expectEmit(address(audits));
        emit IAudits.OutlierRecorded(orgs[2], lease, e, 1);
        _outlier(2, e);
        assertEq(audits.outliers(orgs[2]), 1);
        _assertSlashed(2, 0);
        _isNone(0);
    }

    function test_WhenAloneItSaysDown_IsCounted() external {
        _sayAll(e, ALL, 0, 0);
        _outlier(0, e);
        assertEq(audits.outliers(orgs[0]), 1);
        _isNone(1);
    }

    function test_RevertWhen_FewerThanTenRoundsAreDown() external {
        _sayAll(e, DOWN >> 1, DOWN >> 1, 0);
        _isNone(2);
    }

    function test_RevertWhen_ItAgreesInHalf() external {
        _sayAll(e, DOWN, DOWN, DOWN >> 5);
        _isNone(2);
    }

    /// The others are of two minds: there is no quorum to be apart from.
    function test_RevertWhen_TheOthersDisagree() external {
        _sayAll(e, DOWN, 0, DOWN);
        _isNone(0);
        _isNone(2);
    }

    function test_RevertWhen_FewerThanAQuorumOfOthersTicked() external {
        silent[1][e] = true;
        _sayDown(0, e, DOWN);
        _sayDown(2, e, 0);
        _tickEpoch(e);
        silent[1][e + 1] = true;
        _tickEpoch(e + 1);
        _isNone(0);
    }

    function test_RevertWhen_APageIsMissingOrTwice() external {
        _sayAll(e, DOWN, DOWN, 0);
        IAudits.Page[] memory pages = _pages(e);
        IAudits.Page[] memory two = new IAudits.Page[](2);
        (two[0], two[1]) = (pages[0], pages[1]);
        vm.expectPartialRevert(IAudits.Audits_NotShown.selector);
        audits.outlier(orgs[2], lease, 0, e, two);
        vm.expectPartialRevert(IAudits.Audits_NotShown.selector);
        audits.outlier(orgs[2], lease, 0, e, new IAudits.Page[](0));
        pages[1] = pages[0];
        vm.expectPartialRevert(IAudits.Audits_NotShown.selector);
        audits.outlier(orgs[2], lease, 0, e, pages);
        IAudits.Page[] memory four = new IAudits.Page[](4);
        pages = _pages(e);
        (four[0], four[1], four[2], four[3]) = (pages[0], pages[1], pages[2], pages[2]);
        vm.expectPartialRevert(IAudits.Audits_NotShown.selector);
        audits.outlier(orgs[2], lease, 0, e, four);
    }

    function test_RevertWhen_CountedTwice() external {
        _sayAll(e, DOWN, DOWN, 0);
        _outlier(2, e);
        IAudits.Page[] memory pages = _pages(e);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_Counted.selector, orgs[2], e));
        audits.outlier(orgs[2], lease, 0, e, pages);
    }

    function test_WhenAgainAndAgain_Slashed() external {
        for (uint32 i; i < OUTLIERS; ++i) {
            _sayDown(0, e + i, DOWN);
            _sayDown(1, e + i, DOWN);
            _sayDown(2, e + i, 0);
            _tickEpoch(e + i);
        }
        _tickEpoch(e + OUTLIERS);
        for (uint32 i; i < OUTLIERS; ++i) {
            _assertSlashed(2, 0);
            _outlier(2, e + i);
        }
        _assertSlashed(2, 1);
        assertEq(audits.outliers(orgs[2]), 0);
    }

    function test_WhenLongAgo_IsForgotten() external {
        _sayAll(e, DOWN, DOWN, 0);
        _outlier(2, e);
        _to(e + 720);
        assertEq(audits.outliers(orgs[2]), 1);
        _to(e + 721);
        assertEq(audits.outliers(orgs[2]), 0);
    }
}
