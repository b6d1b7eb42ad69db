// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./TenderBase.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {LeaseId, RequestId, ResourceId} from "../../../contracts/interfaces/Types.sol";

/// @notice A5: a bid whose resource was sold to a stranger after the commitment is void, and its deposit returns.
contract SealedTenderRevealVoidTest is TenderBase {
    Seller private _a;
    RequestId private _id;
    Sealed private _sealed;

    function setUp() public override {
        super.setUp();
        _a = _seller(3);
        _id = _post(2);
        _sealed = _commit(_id, _a, RATE, 2);
        vm.warp(block.timestamp + 1);
    }

    function _void(ResourceId resource, LeaseId lease) private {
        tender.revealVoid(_id, _a.org, _sealed.bid, _sealed.salt, resource, lease);
    }

    function _refuse(ResourceId resource, LeaseId lease) private {
        vm.expectRevert(_noExcuse(resource, lease));
        _void(resource, lease);
    }

    function test_WhenSoldToAStranger_ReturnsTheDeposit() external {
        LeaseId lease = _sell(rival, _a, 1, 5, 2);
        _toReveal(_id);
        uint256 before = _free(_a.org);
        vm.expectEmit(address(tender));
        emit ISealedTender.BidExcused(_id, _a.org, lease);
        _void(_a.machines[1], lease);
        assertEq(_free(_a.org), before + 2 * DEPOSIT);
        assertEq(tender.tender(_id).excused, 1);
        _assertStatus(_id, _a.org, ISealedTender.BidStatus.Excused);

        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Excused));
        _reveal(_id, _sealed);
        _toAward(_id);
        tender.award(_id);
        assertEq(_free(FUND), 0); // nothing was forfeited
        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Excused));
        tender.claim(_id, _a.org);
        assertEq(_held(_id), 0);
    }

    /// The turnaround behind a lease takes slots as well.
    function test_WhenOnlyTheTurnaroundOverlaps_ReturnsTheDeposit() external {
        LeaseId lease = _sell(rival, _a, 0, 2, 1); // slots 2, then turnaround 3 and 4
        _toReveal(_id);
        _void(_a.machines[0], lease);
    }

    function test_RevertWhen_NoSlotOverlaps() external {
        LeaseId before = _sell(rival, _a, 0, 1, 1); // turnaround ends where the tender's window starts
        LeaseId behind = _sell(rival, _a, 0, 16, 1); // behind the tender's own turnaround
        _toReveal(_id);
        _refuse(_a.machines[0], before);
        _refuse(_a.machines[0], behind);
        _reveal(_id, _sealed);
    }

    /// A greedy provider sells to a friend to escape its own bid.
    function test_RevertWhen_SoldToAFriend() external {
        LeaseId lease = _sell(rival, _a, 1, 5, 2);
        vm.startPrank(council);
        members.setGroup(rivalOrg, 4);
        members.setGroup(_a.org, 4);
        vm.stopPrank();
        _toReveal(_id);
        _refuse(_a.machines[1], lease);
    }

    function test_RevertWhen_SoldToTheBuyerOrItsFriend() external {
        LeaseId own = _sell(buyer, _a, 1, 5, 2);
        LeaseId friends = _sell(rival, _a, 0, 5, 2);
        vm.startPrank(council);
        members.setGroup(rivalOrg, 4);
        members.setGroup(buyerOrg, 4);
        vm.stopPrank();
        _toReveal(_id);
        _refuse(_a.machines[1], own);
        _refuse(_a.machines[0], friends);
    }

    function test_RevertWhen_SoldBeforeTheCommitment() external {
        Seller memory b = _seller(1);
        LeaseId lease = _sell(rival, b, 0, 5, 2);
        vm.warp(block.timestamp + 1);
        Sealed memory s = _commit(_id, b, RATE, 1);
        _toReveal(_id);
        vm.expectRevert(_noExcuse(b.machines[0], lease));
        tender.revealVoid(_id, b.org, s.bid, s.salt, b.machines[0], lease);
    }

    function test_RevertWhen_TheBidDoesNotNameTheResource() external {
        LeaseId lease = _sell(rival, _a, 2, 5, 2);
        _toReveal(_id);
        _refuse(_a.machines[2], lease);
    }

    function test_RevertWhen_TheLeaseDoesNotHoldTheResource() external {
        LeaseId lease = _sell(rival, _a, 2, 5, 2);
        _toReveal(_id);
        _refuse(_a.machines[1], lease);
    }

    function test_RevertWhen_TheBidDoesNotMatch() external {
        LeaseId lease = _sell(rival, _a, 1, 5, 2);
        _toReveal(_id);
        vm.expectRevert(_mismatch(_id, _a.org));
        tender.revealVoid(_id, _a.org, _sealed.bid, "guess", _a.machines[1], lease);
    }

    function test_RevertWhen_OutOfTime() external {
        LeaseId lease = _sell(rival, _a, 1, 5, 2);
        uint256 from = tender.tender(_id).commitEnd;
        vm.warp(from - 1);
        vm.expectRevert(_tooEarly(_id, from));
        _void(_a.machines[1], lease);
        uint256 deadline = tender.tender(_id).revealEnd;
        vm.warp(deadline);
        vm.expectRevert(_tooLate(_id, deadline));
        _void(_a.machines[1], lease);
    }

    /// A5: the lease that excuses was cancelled long ago and the machine is free: the bidder keeps a free way out.
    function test_RevertWhen_TheExcusingLeaseHoldsNothingAnyMore() external {
        Seller memory a = _seller(1);
        RequestId id = _post(1);
        Sealed memory s = _commit(id, a, RATE, 1);
        LeaseId lease = _sell(rival, a, 0, 5, 2);
        vm.prank(rival);
        leases.cancel(lease);
        _toReveal(id);
        vm.expectRevert(_noExcuse(a.machines[0], lease));
        tender.revealVoid(id, a.org, s.bid, s.salt, a.machines[0], lease);
    }
}

/// @notice A5 after the reveal: the resource was sold before the award.
contract SealedTenderSoldTest is TenderBase {
    Seller private _a;
    Seller private _b;
    RequestId private _id;
    LeaseId private _lease;

    /// @dev `_a` is cheapest, but one of its machines goes to `rival` between reveal and award.
    function setUp() public override {
        super.setUp();
        _a = _seller(2);
        _b = _seller(1);
        _id = _post(1);
        Sealed memory a = _commit(_id, _a, RATE, 1);
        Sealed memory b = _commit(_id, _b, RATE + 1, 1);
        _toReveal(_id);
        _reveal(_id, a);
        _reveal(_id, b);
        _lease = _sell(rival, _a, 0, 4, 2);
        _toAward(_id);
        vm.expectEmit(address(tender));
        emit ISealedTender.BidSkipped(_id, _a.org, ISealedTender.BidStatus.Sold);
        tender.award(_id);
    }

    function test_WhenSold_TheNextBidWins() external view {
        _assertStatus(_id, _a.org, ISealedTender.BidStatus.Sold);
        _assertStatus(_id, _b.org, ISealedTender.BidStatus.Awarded);
        assertEq(_held(_id), 2 * DEPOSIT);
    }

    function test_WhenExcused_ReturnsTheDeposit() external {
        uint256 before = _free(_a.org);
        tender.excuse(_id, _a.org, _a.machines[0], _lease);
        assertEq(_free(_a.org), before + DEPOSIT);
        _assertStatus(_id, _a.org, ISealedTender.BidStatus.Excused);
        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Excused));
        tender.excuse(_id, _a.org, _a.machines[0], _lease);
        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Excused));
        tender.forfeitSold(_id, _a.org);
        tender.claim(_id, _b.org);
        assertEq(_held(_id), 0);
    }

    function test_RevertWhen_SoldToAFriend() external {
        vm.startPrank(council);
        members.setGroup(rivalOrg, 4);
        members.setGroup(_a.org, 4);
        vm.stopPrank();
        vm.expectRevert(_noExcuse(_a.machines[0], _lease));
        tender.excuse(_id, _a.org, _a.machines[0], _lease);
    }

    function test_RevertWhen_TheBidDidNotNameTheResource() external {
        vm.expectRevert(_noExcuse(_a.machines[1], _lease));
        tender.excuse(_id, _a.org, _a.machines[1], _lease);
    }

    function test_RevertWhen_ClaimedInsteadOfExcused() external {
        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Sold));
        tender.claim(_id, _a.org);
    }

    function test_RevertWhen_TheBidWasNotSold() external {
        vm.expectRevert(_wrongStatus(_id, _b.org, ISealedTender.BidStatus.Awarded));
        tender.excuse(_id, _b.org, _b.machines[0], _lease);
        vm.expectRevert(_wrongStatus(_id, _b.org, ISealedTender.BidStatus.Awarded));
        tender.forfeitSold(_id, _b.org);
    }

    /// A6: what nobody excused goes to the council's fund, never to the buyer.
    function test_WhenNobodyExcusedFor30Days_ForfeitsToTheFund() external {
        uint256 from = block.timestamp + 30 days;
        vm.warp(from - 1);
        vm.expectRevert(_tooEarly(_id, from));
        tender.forfeitSold(_id, _a.org);
        vm.warp(from);
        vm.expectEmit(address(tender));
        emit ISealedTender.DepositsForfeited(_id, DEPOSIT, 0, DEPOSIT);
        tender.forfeitSold(_id, _a.org);
        assertEq(_free(FUND), DEPOSIT);
        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Claimed));
        tender.excuse(_id, _a.org, _a.machines[0], _lease);
    }
}
