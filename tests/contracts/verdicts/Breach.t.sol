// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {EndReason, Fault, LeaseState} from "../../../contracts/interfaces/Types.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W9: so many spans in a row below a tier, and the user may end.
contract BreachTest is VerdictsBase {
    /// @dev Two epochs in a row with less than half of the rounds up, after grace: a breach with the second.
    function _breach() private returns (uint32 at) {
        _useGrace();
        at = first + 2;
        _plan(first + 1, 40);
        _say(2, at, ALL_ROUNDS);
        _say(2, at + 1, ALL_ROUNDS);
        _say(2, at + 2, ALL_ROUNDS);
        _take(first + 1);
        assertEq(_record().breached, 0);
        _openClaims(at);
        vm.expectEmit();
        emit IVerdicts.BreachReached(lease, 0, at);
        _claim(2, at);
        assertEq(_record().breached, at);
    }

    function _noBreach() private {
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoBreach.selector, lease));
        verdicts.endForBreach(lease, 0);
    }

    function test_BuyerMayEnd_OnceTheBreachIsFinal() external {
        uint32 at = _breach();
        _noBreach();
        vm.warp((uint256(at) + 4) * E - 1);
        _noBreach();
        _final(at);
        uint256 bond = _account().bond;
        uint256 free = escrow.free(buyerOrg);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
        ILeases.Lease memory l = leases.lease(lease);
        assertEq(l.endedAt, block.timestamp);
        (EndReason reason, Fault fault) = leases.endOf(lease);
        assertEq(uint8(reason), uint8(EndReason.Breach));
        assertEq(uint8(fault), uint8(Fault.Provider));
        uint256 unserved = (48 - 6) * EPOCH_PRICE;
        assertEq(escrow.free(buyerOrg) - free, unserved / 5, "the default share of what is not served");
        assertEq(_account().bond, bond - unserved / 5);
    }

    function test_TwoEpochsInARow_AreNoThree() external {
        _useGrace();
        _plan(first + 1, 7);
        _plan(first + 2, 7);
        _plan(first + 3, 7);
        _take(first + 2);
        assertEq(_record().breached, 0);
        _take(first + 3);
        assertEq(_record().breached, first + 3);
    }

    function test_NobodyElseEndsForBreach() external {
        _final(_breach());
        vm.prank(north);
        vm.expectRevert(_notOf(buyerOrg, north));
        verdicts.endForBreach(lease, 0);
        vm.prank(rival);
        vm.expectRevert(_notOf(buyerOrg, rival));
        verdicts.endForBreach(lease, 0);
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.OFFER, 0);
        vm.prank(clerk);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.BUY));
        verdicts.endForBreach(lease, 0);
    }

    function test_EndForBreach_WorksOnce() external {
        _final(_breach());
        vm.startPrank(buyer);
        verdicts.endForBreach(lease, 0);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_WrongState.selector, lease, LeaseState.Ending));
        verdicts.endForBreach(lease, 0);
    }

    function test_EndForBreach_AfterTheEnd_IsTooLate() external {
        _breach();
        vm.warp(uint256(first + 48) * E);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_WrongState.selector, lease, LeaseState.Ending));
        verdicts.endForBreach(lease, 0);
    }

    function test_WithoutABreach_NobodyEnds() external {
        _useGrace();
        _judge(first + 1, 40);
        _final(first + 1);
        _noBreach();
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoBreach.selector, lease));
        verdicts.endForBreach(lease, 1);
    }

    function test_ProvidersAppeal_HoldsTheBreachBack() external {
        uint32 at = _breach();
        vm.prank(north);
        uint256 id = verdicts.appeal(HOME, lease, 0, at);
        _final(at);
        _noBreach();
        vm.prank(address(timelock));
        verdicts.decide(id, EPOCH_PRICE, false);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
    }

    function test_UpheldAppeal_TakesTheBreachBack() external {
        uint32 at = _breach();
        vm.prank(north);
        uint256 id = verdicts.appeal(HOME, lease, 0, at);
        _final(at);
        vm.prank(address(timelock));
        verdicts.decide(id, 0, true);
        assertEq(_record().breached, 0);
        _noBreach();
    }

    /// A provider that appeals to keep its buyer pays a bond for every span that is below again.
    function test_BreachUnderAppeal_IsFoundAgainInTheNextSpan() external {
        uint32 at = _breach();
        vm.prank(north);
        verdicts.appeal(HOME, lease, 0, at);
        _openClaims(at + 1);
        _claim(2, at + 1);
        assertEq(_record().breached, at + 1);
        _openClaims(at + 2);
        _claim(2, at + 2);
        assertEq(_record().breached, at + 1, "the first one that is not under appeal stays");
        _final(at + 2);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
    }

    /// After a breach the last spans are still judged, to the second it ended in.
    function test_SpanThatTheBreachCutShort_IsJudgedToItsEnd() external {
        uint32 at = _breach();
        uint32 end = first + 6;
        _say(2, end, ALL_ROUNDS);
        _final(at); // with the first second of that epoch
        vm.warp(block.timestamp + 1200);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
        (uint32 a, uint32 z, uint256 whole) = verdicts.spanOf(lease, end);
        assertEq(a, end);
        assertEq(z, end);
        assertEq(whole, 20);
        _openClaims(end);
        _claim(2, end);
        assertEq(_account().pending, EPOCH_PRICE / 3);
        vm.warp((uint256(end) + 4) * E);
        leases.settle(lease);
        assertTrue(_account().closed);
    }
}
