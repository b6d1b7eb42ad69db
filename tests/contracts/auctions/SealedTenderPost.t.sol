// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./TenderBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {RequestId, SlaId} from "../../../contracts/interfaces/Types.sol";

/// @notice A3: the request locks the ceiling amount when it is posted.
contract SealedTenderPostTest is TenderBase {
    function test_WhenCovered_LocksTheCeilingAmount() external {
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderOpened(
            RequestId.wrap(1),
            uint40(block.timestamp + 3600),
            uint40(block.timestamp + 7200),
            true,
            uint96(2 * CEILING_AMOUNT),
            uint96(2 * DEPOSIT)
        );
        RequestId id = _post(2, true, false);
        assertEq(_free(buyerOrg), MONEY - 2 * CEILING_AMOUNT);
        assertEq(_held(id), 2 * CEILING_AMOUNT);
        assertEq(book.openOrders(buyerOrg), 1);
        _assertStage(id, ISealedTender.Stage.Open);
        ISealedTender.Tender memory t = tender.tender(id);
        assertTrue(t.vickrey);
        assertEq(t.deposit, 2 * DEPOSIT);
    }

    /// C2: a lease for each machine at most, and the buyer's half of the fees of each: 10 epochs at 5005, halved.
    function test_WhenAnSlaIsAskedFor_LocksTheFeesToo() external {
        promised = SlaId.wrap(3);
        RequestId id = _post(2);
        assertEq(SlaId.unwrap(book.request(id).sla), 3);
        assertEq(tender.tender(id).ceilingAmount, 2 * CEILING_AMOUNT + 2 * 25_025);
        assertEq(tender.tender(id).deposit, 2 * DEPOSIT, "fees are no part of the deposit");
        vm.prank(buyer);
        tender.cancel(id);
        assertEq(_free(buyerOrg), MONEY);
    }

    function test_WhenTheSlotRuns_LocksFromNow() external {
        vm.warp(block.timestamp + 1800);
        ISealedTender.TenderTerms memory times =
            ISealedTender.TenderTerms(uint40(block.timestamp + 1), uint40(block.timestamp + 2), false);
        IBook.RequestTerms memory terms = _requestTerms(1, false);
        terms.window = _window(0, 2);
        vm.prank(buyer);
        tender.post(HOME, terms, times);
        assertEq(_free(buyerOrg), MONEY - uint256(CEILING) * 5400 / 3600);
    }

    function test_RevertWhen_TimesAreOutOfOrder() external {
        uint40 now_ = uint40(block.timestamp);
        uint40 end = now_ + 14 * 3600;
        _refuseTimes(now_, now_ + 1);
        _refuseTimes(now_ + 10, now_ + 10);
        _refuseTimes(now_ + 10, now_ + 9);
        _refuseTimes(now_ + 10, end);
        vm.prank(buyer);
        tender.post(HOME, _requestTerms(1, false), ISealedTender.TenderTerms(now_ + 1, end - 1, false));
    }

    function _refuseTimes(uint40 commitEnd, uint40 revealEnd) private {
        vm.expectRevert(
            abi.encodeWithSelector(ISealedTender.SealedTender_BadTimes.selector, commitEnd, revealEnd)
        );
        vm.prank(buyer);
        tender.post(HOME, _requestTerms(1, false), ISealedTender.TenderTerms(commitEnd, revealEnd, false));
    }

    function test_RevertWhen_CannotCover() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IEscrow.Escrow_InsufficientFree.selector, buyerOrg, MONEY, 21 * CEILING_AMOUNT
            )
        );
        _post(21);
    }

    function test_RevertWhen_MemberIsOverItsLimit() external {
        vm.prank(buyer);
        members.setMember(buyer, MemberRights.ALL, uint96(CEILING_AMOUNT - 1));
        vm.expectRevert(
            abi.encodeWithSelector(
                IMembers.Members_OverLimit.selector, buyer, CEILING_AMOUNT - 1, CEILING_AMOUNT
            )
        );
        _post(1);
    }

    function test_RevertWhen_NotABuyer() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, northOrg, Roles.BUYER));
        vm.prank(north);
        tender.post(HOME, _requestTerms(1, false), _tenderTerms(false));
    }

    function test_RevertWhen_Suspended() external {
        vm.prank(council);
        members.setSuspended(buyerOrg, true);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, buyerOrg));
        _post(1);
    }

    function test_RevertWhen_UnknownIsRead() external {
        RequestId none = RequestId.wrap(9);
        vm.expectRevert(abi.encodeWithSelector(ISealedTender.SealedTender_Unknown.selector, none));
        tender.tender(none);
    }
}

/// @notice A3: no way back after the first commitment.
contract SealedTenderCancelTest is TenderBase {
    function test_WhenNobodyCommitted_ReturnsTheCeiling() external {
        RequestId id = _post(2);
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderCancelled(id);
        vm.prank(buyer);
        tender.cancel(id);
        assertEq(_free(buyerOrg), MONEY);
        assertEq(_held(id), 0);
        assertEq(book.openOrders(buyerOrg), 0);
        _assertStage(id, ISealedTender.Stage.Cancelled);
        vm.expectRevert(_wrongStage(id, ISealedTender.Stage.Cancelled));
        vm.prank(buyer);
        tender.cancel(id);
    }

    /// A greedy buyer that does not like who came.
    function test_RevertWhen_SomebodyCommitted() external {
        RequestId id = _post(1);
        _commit(id, _seller(1), RATE, 1);
        vm.expectRevert(abi.encodeWithSelector(ISealedTender.SealedTender_HasCommitments.selector, id, 1));
        vm.prank(buyer);
        tender.cancel(id);
    }

    /// E7: suspension closes no exit.
    function test_WhenSuspended_MayCancel() external {
        RequestId id = _post(1);
        vm.prank(council);
        members.setSuspended(buyerOrg, true);
        vm.prank(buyer);
        tender.cancel(id);
        assertEq(_free(buyerOrg), MONEY);
    }

    function test_RevertWhen_NotTheBuyer() external {
        RequestId id = _post(1);
        vm.expectRevert(_notOf(buyerOrg, rival));
        vm.prank(rival);
        tender.cancel(id);
    }

    function test_RevertWhen_MemberMayNotBuy() external {
        RequestId id = _post(1);
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.ADMIN, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.BUY));
        vm.prank(clerk);
        tender.cancel(id);
    }

    function test_RevertWhen_Unknown() external {
        RequestId none = RequestId.wrap(9);
        vm.expectRevert(_wrongStage(none, ISealedTender.Stage.None));
        vm.prank(buyer);
        tender.cancel(none);
    }
}
