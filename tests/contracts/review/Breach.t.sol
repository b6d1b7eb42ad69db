// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {EndReason} from "../../../contracts/interfaces/Types.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {VerdictsBase} from "../verdicts/VerdictsBase.sol";

/// @notice What appeals and claims may not do to each other.
contract AppealedBreachTest is VerdictsBase {
    function _appeal(uint32 epoch) private returns (uint256) {
        vm.prank(north);
        return verdicts.appeal(HOME, lease, 0, epoch);
    }

    function _decide(uint256 id, uint256 toBuyer, bool upheld) private {
        vm.prank(address(timelock));
        verdicts.decide(id, toBuyer, upheld);
    }

    /// @dev Down from `first + 1` on, so long; the provider claims every span itself and appeals it.
    function _postponed(uint32 spans) private returns (uint256 id) {
        _useGrace();
        for (uint32 k = 1; k < spans + 3; ++k) {
            if (k == 1) _plan(first + 1, 40);
            else _say(2, first + k, ALL_ROUNDS);
        }
        _take(first + 1);
        for (uint32 k = 2; k < spans + 2; ++k) {
            _openClaims(first + k);
            _claim(2, first + k);
            uint256 appealed = _appeal(first + k);
            if (k == 2) id = appealed;
        }
    }

    /// A provider cannot carry a breach on from appeal to appeal: what the council dismissed stands.
    function test_BreachWhoseAppealIsDismissed_Stands_WhateverWasAppealedSince() external {
        uint256 id = _postponed(4);
        _final(first + 5);
        _decide(id, EPOCH_PRICE, false);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
        (EndReason reason,) = leases.endOf(lease);
        assertEq(uint8(reason), uint8(EndReason.Breach));
    }

    function test_BreachWhoseAppealLapsed_Stands() external {
        uint256 id = _postponed(4);
        vm.warp(block.timestamp + 30 days);
        verdicts.lapse(id);
        assertEq(_record().breached, first + 2);
    }

    function test_LaterBreachUpheld_LeavesTheDismissedOne() external {
        uint256 id = _postponed(2);
        _final(first + 3);
        _decide(id, EPOCH_PRICE, false);
        _decide(id + 1, 0, true);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
    }

    function test_LaterBreachUpheldFirst_LeavesTheDismissedOne() external {
        uint256 id = _postponed(2);
        _final(first + 3);
        _decide(id + 1, 0, true);
        assertEq(_record().breached, 0);
        _decide(id, EPOCH_PRICE, false);
        vm.prank(buyer);
        verdicts.endForBreach(lease, 0);
    }

    function test_AllUpheld_NoBreachIsLeft() external {
        uint256 id = _postponed(3);
        _final(first + 4);
        _decide(id + 1, 0, true);
        _decide(id, 0, true);
        _decide(id + 2, 0, true);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoBreach.selector, lease));
        verdicts.endForBreach(lease, 0);
    }

    /// @dev Down from `first + 1` on for so many spans, all claimed; the first one is appealed by the provider.
    function _streak(uint32 spans) private returns (uint256 id) {
        _useGrace();
        for (uint32 k = 1; k < spans + 3; ++k) {
            if (k == 1) _plan(first + 1, 40);
            else _say(2, first + k, ALL_ROUNDS);
        }
        _take(first + 1);
        id = _appeal(first + 1);
        for (uint32 k = 2; k <= spans; ++k) {
            _openClaims(first + k);
            _claim(2, first + k);
        }
    }

    /// R5: a breach of two in a row is none when the first one was none.
    function test_UpheldAppeal_TakesTheSpanOutOfTheStreak() external {
        uint256 id = _streak(2);
        assertEq(_record().breached, first + 2);
        _decide(id, 0, true);
        assertEq(_record().breached, 0);
        assertEq(_record().streaks, 0x010101);
        _final(first + 2);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoBreach.selector, lease));
        verdicts.endForBreach(lease, 0);
    }

    function test_UpheldAppeal_BeforeTheNextClaim_BeginsTheStreakAnew() external {
        uint256 id = _streak(1);
        _decide(id, 0, true);
        assertEq(_record().streaks, 0);
        for (uint32 k = 2; k < 4; ++k) {
            _openClaims(first + k);
            _claim(2, first + k);
            assertEq(_record().breached, k == 2 ? 0 : first + k);
        }
    }

    /// A worse claim on the last span starts from the streaks before it: they were cut as well.
    function test_UpheldAppeal_CutsWhatTheNextClaimStartsFrom() external {
        _useGrace();
        _plan(first + 1, 40);
        _say(0, lease, 0, first + 2, ALL_ROUNDS);
        _say(1, lease, 0, first + 2, 1);
        _say(2, lease, 0, first + 2, ALL_ROUNDS);
        _take(first + 1);
        uint256 id = _appeal(first + 1);
        _openClaims(first + 2);
        _claim(2, first + 2);
        assertEq(_record().breached, 0);
        _decide(id, 0, true);
        _claim(3, first + 2);
        assertEq(_record().streaks, 0x010101);
        assertEq(_record().breached, 0);
    }

    function test_UpheldAppeal_LeavesABreachThatNeedsItNot() external {
        uint256 id = _streak(3);
        assertEq(_record().breached, first + 2);
        _decide(id, 0, true);
        assertEq(_record().streaks, 0x020202);
        assertEq(_record().breached, first + 3, "two in a row since");
    }

    function test_UpheldAppeal_LeavesABreachFoundLongAfter() external {
        uint256 id = _streak(2);
        _appeal(first + 2);
        for (uint32 k = 3; k < 5; ++k) {
            _openClaims(first + k);
            _claim(2, first + k);
        }
        assertEq(_record().breached, first + 3);
        _decide(id, 0, true);
        assertEq(_record().breached, first + 4, "three in a row since");
    }

    /// Nor does a breach come back by the way of its own appeal that needed the span.
    function test_UpheldAppeal_KeepsAnOvertakenBreachFromComingBack() external {
        uint256 id = _streak(2);
        _appeal(first + 2);
        _openClaims(first + 3);
        _claim(2, first + 3);
        _appeal(first + 3);
        assertEq(_record().breached, first + 3);
        _decide(id, 0, true);
        _decide(id + 2, 0, true);
        assertEq(_record().breached, 0);
        _decide(id + 1, EPOCH_PRICE, false);
        assertEq(_record().breached, 0);
    }

    /// E7: appeal never stops, even when the contract has been replaced.
    function test_AppealWorks_WhenTheRightsAreGone() external {
        _judge(first, 40);
        vm.startPrank(address(timelock));
        directory.setRight(address(verdicts), Rights.ESCROW_MOVE, false);
        directory.setRight(address(verdicts), Rights.SETTLEMENT_JUDGE, false);
        directory.setRight(address(verdicts), Rights.LEASES_WITNESS, false);
        vm.stopPrank();
        uint256 id = _appeal(first);
        assertEq(_account().disputed, EPOCH_PRICE / 4);
        assertEq(verdicts.appealOf(id).bond, 0);
        uint256 free = escrow.free(northOrg);
        _decide(id, 0, true);
        assertEq(escrow.free(northOrg), free + EPOCH_PRICE / 4);
    }
}
