// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./LeaseBase.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, LeaseState, Policy, ResourceId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice L6: wipe evidence frees bond and slots.
contract LeasesWipeTest is LeaseBase {
    function test_WhenOver_DrawsTheRestAndFreesTheBond() external {
        LeaseId id = _active();
        vm.warp(_endOf(id));
        _assertState(id, LeaseState.Ending);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseWiped(id, "evidence", keeper);
        _wipe(id);
        _assertState(id, LeaseState.Completed);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE);
        assertEq(_free(northOrg), 1_000_000_000 + PRICE);
        assertEq(_held(id), 0);
        // T3: evidence frees the turnaround early, from the next slot on.
        ResourceId first = leases.resourcesOf(id)[0];
        assertFalse(inventory.isFree(first, _now(), _now() + 1));
        assertTrue(inventory.isFree(first, _now() + 1, _now() + 2));
    }

    /// A greedy provider wipes before the end, to sell the machine twice.
    function test_RevertWhen_NotOver() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) - 1);
        vm.expectRevert(_tooEarly(id, _endOf(id)));
        _wipe(id);
    }

    function test_RevertWhen_NoticeStillRuns() external {
        LeaseId id = _active();
        vm.prank(buyer);
        leases.endEarly(id);
        uint256 at = _startOf(id) + 3600;
        vm.warp(at - 1);
        vm.expectRevert(_tooEarly(id, at));
        _wipe(id);
    }

    /// L3: wiped before silence accepted: the bond is free, the price waits for the acceptance time.
    function test_WhenNotYetAccepted_LeavesThePriceUntilSilenceAccepts() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        vm.warp(_endOf(id) - 600);
        _deliver(id, 1);
        vm.warp(_endOf(id));
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000);
        assertEq(_held(id), RATE);
        vm.expectRevert(_tooEarly(id, _endOf(id) + 1200));
        leases.settle(id);
        vm.warp(_endOf(id) + 1200);
        leases.settle(id);
        assertEq(_free(northOrg), 1_000_000_000 + uint256(RATE) / 6);
        assertEq(_free(buyerOrg), 1_000_000_000 - uint256(RATE) / 6);
        assertEq(_held(id), 0);
    }

    /// The same, but the buyer refuses after the wipe: it pays what accrued.
    function test_WhenRejectedAfterTheWipe_StillPaysAccrual() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        vm.warp(_endOf(id) - 600);
        _deliver(id, 1);
        vm.warp(_endOf(id));
        _wipe(id);
        vm.prank(buyer);
        leases.reject(id, "late");
        assertEq(_free(northOrg), 1_000_000_000 + uint256(RATE) / 6);
        assertEq(_held(id), 0);
        _assertState(id, LeaseState.Terminated);
    }

    /// L1 with L6: nobody settled the default before; the wipe does.
    function test_WhenPartIsMissing_TakesTheDefault() external {
        LeaseId id = _signed();
        _deliver(id, 2);
        _accept(id);
        vm.warp(_endOf(id));
        _wipe(id);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE / 2 + BOND / 2);
        assertEq(_free(northOrg), 1_000_000_000 + PRICE / 2 - BOND / 2);
        assertEq(_held(id), 0);
    }

    function test_WhenRejected_DrawsNothingMore() external {
        LeaseId id = _delivered();
        vm.prank(buyer);
        leases.reject(id, "no");
        vm.warp(_startOf(id) + 7200);
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000);
        assertEq(_free(buyerOrg), 1_000_000_000);
        assertEq(_held(id), 0);
    }

    /// L6: or the council's decision in the evidence's place.
    function test_WhenTheCouncilDecides_FreesTheBond() external {
        LeaseId id = _active();
        vm.warp(_endOf(id));
        vm.expectEmit(address(leases));
        emit ILeases.LeaseWiped(id, "decision", council);
        vm.prank(council);
        leases.wipe(id, "decision");
        assertEq(_held(id), 0);
        _assertState(id, LeaseState.Completed);
    }

    /// The council has no way to end a lease that runs.
    function test_RevertWhen_TheCouncilDecidesBeforeTheEnd() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) - 1);
        vm.expectRevert(_tooEarly(id, _endOf(id)));
        vm.prank(council);
        leases.wipe(id, "decision");
    }

    /// E7: a suspended provider, and rights taken away, close no exit.
    function test_WhenSuspendedAndRightsTakenAway_StillWipes() external {
        LeaseId id = _active();
        vm.startPrank(council);
        members.setSuspended(northOrg, true);
        members.setSuspended(buyerOrg, true);
        vm.stopPrank();
        vm.startPrank(address(timelock));
        directory.setRight(address(leases), Rights.INVENTORY_BOOK, false);
        directory.setRight(address(leases), Rights.SETTLEMENT_REPORT, false);
        directory.setRight(address(settlement), Rights.ESCROW_MOVE, false);
        directory.setRight(address(escrow), Rights.MEMBERS_CHARGE, false);
        vm.stopPrank();
        vm.warp(_endOf(id));
        leases.settle(id);
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000 + PRICE);
        vm.prank(north);
        escrow.withdraw(1_000_000_000 + PRICE);
    }

    function test_RevertWhen_WipedAlready() external {
        LeaseId id = _active();
        vm.warp(_endOf(id));
        _wipe(id);
        vm.expectRevert(_wrongState(id, LeaseState.Completed));
        _wipe(id);
    }

    function test_RevertWhen_NothingDelivered() external {
        LeaseId id = _signed();
        vm.warp(_endOf(id));
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingDelivered.selector, id));
        _wipe(id);
    }

    function test_RevertWhen_NotTheProvider() external {
        LeaseId id = _active();
        vm.warp(_endOf(id));
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        leases.wipe(id, "evidence");
        vm.expectRevert(_notOf(northOrg, buyer));
        vm.prank(buyer);
        leases.wipe(id, "evidence");
    }

    function test_RevertWhen_KeyMayNotRelease() external {
        LeaseId id = _active();
        vm.prank(north);
        members.setMember(keeper, MemberRights.SIGN, 0);
        vm.warp(_endOf(id));
        vm.expectRevert(
            abi.encodeWithSelector(IMembers.Members_NoRight.selector, keeper, MemberRights.RELEASE)
        );
        _wipe(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        _wipe(none);
    }
}

/// @notice L6: a missed wipe costs a share of the bond and holds the resources.
contract LeasesMissWipeTest is LeaseBase {
    function test_WhenLate_TakesAShareOfTheBondAndHoldsTheResources() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) + 7200);
        vm.expectEmit(address(leases));
        emit ILeases.WipeMissed(id, BOND / 10);
        leases.missWipe(id);
        assertEq(settlement.account(id).bond, BOND - BOND / 10);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE + BOND / 10);
        _assertState(id, LeaseState.Ending);
        ResourceId[] memory machines = leases.resourcesOf(id);
        for (uint256 i; i < 2; ++i) {
            assertEq(inventory.resource(machines[i]).holds, 1);
            assertFalse(inventory.isFree(machines[i], _now() + 100, _now() + 101));
        }

        vm.warp(block.timestamp + 30 days);
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000 + PRICE - BOND / 10);
        assertEq(_held(id), 0);
        assertTrue(inventory.isFree(machines[0], _now(), _now() + 1));
        assertTrue(inventory.isFree(machines[1], _now(), _now() + 1));
    }

    function test_WhenTheCouncilDecidesLater_LiftsTheHold() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) + 7200);
        leases.missWipe(id);
        vm.prank(council);
        leases.wipe(id, "decision");
        assertEq(inventory.resource(leases.resourcesOf(id)[0]).holds, 0);
        assertEq(_held(id), 0);
    }

    function test_WhenPartIsMissing_HoldsOnlyWhatWasDelivered() external {
        LeaseId id = _signed();
        _deliver(id, 2);
        vm.warp(_endOf(id) + 7200);
        leases.missWipe(id);
        ResourceId[] memory machines = leases.resourcesOf(id);
        assertEq(inventory.resource(machines[0]).holds, 0);
        assertEq(inventory.resource(machines[1]).holds, 1);
        _wipe(id);
        assertEq(inventory.resource(machines[1]).holds, 0);
        // 10 % for the wipe, then half of the rest for the machine that never came.
        assertEq(_free(northOrg), 1_000_000_000 + PRICE / 2 - BOND / 10 - (BOND - BOND / 10) / 2);
        assertEq(_held(id), 0);
    }

    function test_WhenRejected_CountsFromTheRejection() external {
        LeaseId id = _delivered();
        vm.prank(buyer);
        leases.reject(id, "no");
        uint256 from = block.timestamp + 7200;
        vm.warp(from - 1);
        vm.expectRevert(_tooEarly(id, from));
        leases.missWipe(id);
        vm.warp(from);
        leases.missWipe(id);
        assertEq(_free(buyerOrg), 1_000_000_000 + BOND / 10);
    }

    function test_RevertWhen_WipeTimeRuns() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) + 7199);
        vm.expectRevert(_tooEarly(id, _endOf(id) + 7200));
        leases.missWipe(id);
    }

    function test_RevertWhen_MissedAlready() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) + 7200);
        leases.missWipe(id);
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        leases.missWipe(id);
    }

    function test_RevertWhen_Wiped() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) + 7200);
        _wipe(id); // late, but before anybody called
        vm.expectRevert(_wrongState(id, LeaseState.Completed));
        leases.missWipe(id);
    }

    function test_RevertWhen_NothingDelivered() external {
        LeaseId id = _signed();
        vm.warp(_endOf(id) + 7200);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingDelivered.selector, id));
        leases.missWipe(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        leases.missWipe(none);
    }
}

/// @notice E3, E5: anyone lets the provider draw.
contract LeasesSettleTest is LeaseBase {
    function test_WhenActive_PaysTheDifference() external {
        LeaseId id = _active();
        vm.warp(_startOf(id) + 1800);
        vm.prank(makeAddr("anyone"));
        leases.settle(id);
        assertEq(_free(northOrg), 1_000_000_000 - BOND + uint256(RATE));
        leases.settle(id); // the same second again: nothing
        assertEq(_free(northOrg), 1_000_000_000 - BOND + uint256(RATE));
        vm.warp(_startOf(id) + 3600);
        leases.settle(id);
        assertEq(_free(northOrg), 1_000_000_000 - BOND + 2 * uint256(RATE));
    }

    function test_WhenBeforeTheStart_PaysNothing() external {
        LeaseId id = _active();
        leases.settle(id);
        assertEq(settlement.account(id).paid, 0);
    }

    /// E2: the end never shifts; what a late delivery did not bill goes back to the buyer.
    function test_WhenDeliveredLate_ReturnsTheRestAtTheEnd() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 1800);
        _deliver(id, 3);
        _accept(id);
        vm.warp(_endOf(id));
        leases.settle(id);
        uint256 paid = uint256(RATE) * 2 * (36_000 - 1800) / 3600;
        assertEq(settlement.account(id).paid, paid);
        assertEq(_free(buyerOrg), 1_000_000_000 - paid);
        assertEq(_held(id), BOND);
        leases.settle(id);
        assertEq(_held(id), BOND);
    }

    /// E3: rounding up to the quantum never passes the price.
    function test_WhenRoundedAtTheEnd_StopsAtThePrice() external {
        vm.warp(block.timestamp + 1825);
        LeaseId id = _lease(1, _window(0, 1), Policy.Provider, false);
        _sign(id);
        _deliver(id, 1);
        _accept(id);
        vm.warp(_endOf(id));
        leases.settle(id); // 1,775 s, rounded up 1,800 s, but only 1,775 s were agreed
        assertEq(settlement.account(id).paid, uint256(RATE) * 1775 / 3600 + 1);
        assertEq(_held(id), settlement.account(id).bond);
    }

    function test_RevertWhen_NotAccepted() external {
        LeaseId id = _delivered();
        vm.expectRevert(_tooEarly(id, block.timestamp + 1800));
        leases.settle(id);
    }

    function test_RevertWhen_NothingDelivered() external {
        LeaseId id = _signed();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingDelivered.selector, id));
        leases.settle(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        leases.settle(none);
    }

    /// E3: however often it is drawn, the sum is what one draw at the end would have paid.
    function testFuzz_WhenDrawnOften_SumIsTheLastAccrual(
        uint64 rate,
        uint8 n,
        uint16 late,
        uint16[6] calldata pauses,
        bool early
    ) external {
        rate = uint64(bound(rate, 1, 3_000_000));
        n = uint8(bound(n, 1, 16));
        LeaseId id = _open(_award(), _leg(rate, _window(1, 10), _machines(north, n)));
        _sign(id);
        vm.warp(_startOf(id) + bound(late, 0, 3599));
        _deliver(id, type(uint64).max >> (64 - n));
        _accept(id);
        uint256 from = block.timestamp;
        uint256 until = _endOf(id);
        for (uint256 i; i < pauses.length; ++i) {
            if (block.timestamp + pauses[i] >= until) break;
            vm.warp(block.timestamp + pauses[i]);
            leases.settle(id);
            uint256 model = (uint256(rate) * n * (block.timestamp - from) + 3599) / 3600;
            assertEq(settlement.account(id).paid, model, "running");
        }
        if (early && block.timestamp + 3600 < until) {
            vm.prank(buyer);
            leases.endEarly(id);
            until = block.timestamp + 3600;
        }
        vm.warp(until);
        leases.settle(id);
        uint256 billed = (until - from + 59) / 60 * 60;
        uint256 total = (uint256(rate) * n * billed + 3599) / 3600;
        uint256 price = uint256(rate) * n * 10;
        assertEq(settlement.account(id).paid, total < price ? total : price, "last");
        _wipe(id);
        assertEq(_free(northOrg) + _free(buyerOrg), 2_000_000_000, "conserved");
        assertEq(_held(id), 0, "nothing left behind");
    }
}

contract LeasesSettleAndDefaultTest is LeaseBase {
    /// E3, L1: drawing to the end before anybody settled the default bills the quantum's rounding beyond the price of
    /// what was delivered; the wipe then takes the difference out of the bond and can never free the rest.
    function test_WhenSettledBeforeTheDefault_WipeStillFreesTheBond() external {
        vm.warp(block.timestamp + 25);
        LeaseId id = _lease(2, _window(0, 1), Policy.Provider, false);
        uint256 span = _endOf(id) - block.timestamp; // 3,575 s, no whole number of quanta
        _sign(id);
        _deliver(id, 1);
        _accept(id);
        vm.warp(_endOf(id));
        leases.settle(id);
        _wipe(id);
        uint256 cap = (uint256(RATE) * span + 3599) / 3600;
        assertEq(settlement.account(id).paid, cap);
        assertEq(_held(id), 0);
    }
}
