// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./LeaseBase.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Policy,
    ResourceId
} from "../../../contracts/interfaces/Types.sol";

/// @notice C4: the buyer leaves before anything is delivered, for the reserve share of the price.
contract LeasesCancelTest is LeaseBase {
    uint256 private constant RESERVE = 3_000_000;

    function test_WhenAwarded_PaysTheReserveAndFreesAll() external {
        LeaseId id = _plain();
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.Cancelled, Fault.Nobody, uint40(block.timestamp), 0);
        vm.prank(buyer);
        leases.cancel(id);

        _assertState(id, LeaseState.Cancelled);
        _assertEnd(id, EndReason.Cancelled, Fault.Nobody);
        assertEq(_free(buyerOrg), 1_000_000_000 - RESERVE);
        assertEq(_free(northOrg), 1_000_000_000 + RESERVE);
        assertEq(_held(id), 0);
        assertTrue(_isFree(id, 0) && _isFree(id, 1));
    }

    /// A greedy buyer that cancels in the last second before the delivery's deadline pays the reserve, no less.
    function test_WhenSignedAndTheLastSecondRuns_PaysTheReserve() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3599);
        vm.prank(buyer);
        leases.cancel(id);
        assertEq(_free(northOrg), 1_000_000_000 + RESERVE);
        assertEq(_free(buyerOrg), 1_000_000_000 - RESERVE);
        // The slot that runs stays booked, the next is free.
        ResourceId first = leases.resourcesOf(id)[0];
        assertFalse(inventory.isFree(first, _now(), _now() + 1));
        assertTrue(inventory.isFree(first, _now() + 1, _now() + 20));
    }

    /// At the deadline's second the provider has defaulted, and the buyer need not pay to get out.
    function test_RevertWhen_TheProviderDefaulted() external {
        LeaseId unsigned = _plain();
        LeaseId undelivered = _signed();
        vm.warp(block.timestamp + 900);
        vm.expectRevert(_wrongState(unsigned, LeaseState.Defaulted));
        vm.prank(buyer);
        leases.cancel(unsigned);
        vm.warp(_startOf(undelivered) + 3600);
        vm.expectRevert(_wrongState(undelivered, LeaseState.Defaulted));
        vm.prank(buyer);
        leases.cancel(undelivered);
    }

    function test_RevertWhen_Delivered() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        vm.prank(buyer);
        leases.cancel(id);
    }

    function test_RevertWhen_CancelledAlready() external {
        LeaseId id = _plain();
        vm.startPrank(buyer);
        leases.cancel(id);
        vm.expectRevert(_wrongState(id, LeaseState.Cancelled));
        leases.cancel(id);
    }

    function test_RevertWhen_NotTheBuyer() external {
        LeaseId id = _plain();
        vm.expectRevert(_notOf(buyerOrg, north));
        vm.prank(north);
        leases.cancel(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        vm.prank(buyer);
        leases.cancel(none);
    }
}

/// @notice L5: the buyer leaves early and pays to the end of the notice.
contract LeasesEndEarlyTest is LeaseBase {
    /// A greedy buyer that ends before the start pays the notice all the same.
    function test_WhenBeforeTheStart_PaysTheNotice() external {
        LeaseId id = _active();
        uint256 at = _startOf(id) + 3600;
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.BuyerEarly, Fault.Nobody, uint40(at), 0);
        vm.prank(buyer);
        leases.endEarly(id);
        _assertState(id, LeaseState.Active);

        vm.warp(at);
        _assertState(id, LeaseState.Ending);
        leases.settle(id);
        assertEq(_free(buyerOrg), 1_000_000_000 - 6_000_000);
        assertEq(_free(northOrg), 1_000_000_000 + 6_000_000 - BOND);
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000 + 6_000_000);
        _assertState(id, LeaseState.Terminated);
        _assertEnd(id, EndReason.BuyerEarly, Fault.Nobody);
        assertEq(_held(id), 0);
        // The offer's remainder is for sale again, from the next slot on (L6).
        assertTrue(inventory.isFree(leases.resourcesOf(id)[0], _now() + 1, leases.lease(id).end));
    }

    /// E3: the second of the end is rounded up to the quantum once: 5,000 s and 3,600 s of notice are 8,640 s.
    function test_WhenInTheMiddle_RoundsUpToTheQuantumOnce() external {
        LeaseId id = _active();
        vm.warp(_startOf(id) + 5000);
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(_startOf(id) + 8600);
        leases.settle(id);
        assertEq(settlement.account(id).paid, uint256(RATE) * 2 * 8640 / 3600);
    }

    function test_WhenNotYetAccepted_MayEnd() external {
        LeaseId id = _delivered();
        vm.prank(buyer);
        leases.endEarly(id);
        _assertState(id, LeaseState.Delivered);
        vm.warp(block.timestamp + 1800);
        _assertState(id, LeaseState.Active);
    }

    /// T2: with the notice ending at the lease's own end there is nothing to shorten.
    function test_RevertWhen_TheNoticeReachesTheEnd() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) - 3600);
        vm.expectRevert(_tooLate(id, _endOf(id) - 3600));
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(_endOf(id) - 3601);
        vm.prank(buyer);
        leases.endEarly(id);
        assertEq(leases.lease(id).endedAt, _endOf(id) - 1);
    }

    function test_RevertWhen_EndedAlready() external {
        LeaseId id = _active();
        vm.startPrank(buyer);
        leases.endEarly(id);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.endEarly(id);
    }

    /// What has not come while it could still come is no default: its price is unlocked and its slots are free.
    function test_WhenPartIsOutstanding_LetsItGoWithoutPenalty() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        vm.expectEmit(address(leases));
        emit ILeases.ResourcesMissed(id, 1, 0);
        vm.prank(buyer);
        leases.endEarly(id);
        assertEq(settlement.account(id).price, PRICE / 2);
        assertEq(settlement.account(id).bond, BOND);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE / 2);
        assertFalse(_isFree(id, 0));
        assertTrue(_isFree(id, 1));
    }

    function test_WhenPartIsMissing_TakesTheDefault() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        vm.warp(_startOf(id) + 3600);
        vm.prank(buyer);
        leases.endEarly(id);
        assertEq(settlement.account(id).bond, BOND / 2);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE / 2 + BOND / 2);
    }

    function test_RevertWhen_NothingDelivered() external {
        LeaseId id = _signed();
        vm.expectRevert(_wrongState(id, LeaseState.Signed));
        vm.prank(buyer);
        leases.endEarly(id);
    }

    function test_RevertWhen_Over() external {
        LeaseId id = _active();
        vm.warp(_endOf(id));
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        vm.prank(buyer);
        leases.endEarly(id);
    }

    function test_RevertWhen_NotTheBuyer() external {
        LeaseId id = _active();
        vm.expectRevert(_notOf(buyerOrg, north));
        vm.prank(north);
        leases.endEarly(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        vm.prank(buyer);
        leases.endEarly(none);
    }
}

/// @notice L4: the buyer refuses a delivery before it counts as accepted.
contract LeasesRejectTest is LeaseBase {
    bytes32 private constant NOTE = "no-login";

    function _reject(LeaseId id) private {
        vm.prank(buyer);
        leases.reject(id, NOTE);
    }

    function test_WhenBeforeTheStart_PaysNothing() external {
        LeaseId id = _delivered();
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.Rejected, Fault.Nobody, uint40(block.timestamp), NOTE);
        _reject(id);
        _assertState(id, LeaseState.Ending);
        assertEq(_free(buyerOrg), 1_000_000_000);
        assertEq(_held(id), BOND);
        assertFalse(_isFree(id, 0));

        _wipe(id);
        _assertState(id, LeaseState.Terminated);
        _assertEnd(id, EndReason.Rejected, Fault.Nobody);
        assertEq(_free(northOrg), 1_000_000_000);
        assertTrue(_isFree(id, 0) && _isFree(id, 1));
    }

    /// L4, E3: accrual over `[deliver, reject)`; 330 s are 6 quanta.
    function test_WhenInTheWindow_PaysAccrualToTheSecondOfTheRejection() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 100);
        _deliver(id, 3);
        vm.warp(_startOf(id) + 430);
        _reject(id);
        assertEq(settlement.account(id).paid, uint256(RATE) * 2 * 360 / 3600);
        assertTrue(settlement.account(id).closed);
        assertEq(_held(id), BOND);
        // Later draws find nothing, also when the acceptance time is over.
        vm.warp(_startOf(id) + 7200);
        uint256 before = _free(northOrg);
        leases.settle(id);
        assertEq(_free(northOrg), before);
    }

    /// A greedy buyer cannot use the machine up to the acceptance time's exact second and then refuse (L3, T2).
    function test_RevertWhen_AcceptedBySilence() external {
        LeaseId id = _delivered();
        vm.warp(block.timestamp + 1800);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        _reject(id);
    }

    function test_RevertWhen_AcceptedByWord() external {
        LeaseId id = _active();
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        _reject(id);
    }

    function test_RevertWhen_RejectedAlready() external {
        LeaseId id = _delivered();
        _reject(id);
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        _reject(id);
    }

    /// A notice given binds: the buyer cannot swap it for the cheaper rejection.
    function test_RevertWhen_EndGivenNotice() external {
        LeaseId id = _delivered();
        vm.prank(buyer);
        leases.endEarly(id);
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        _reject(id);
    }

    function test_RevertWhen_NothingDelivered() external {
        LeaseId id = _signed();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingDelivered.selector, id));
        _reject(id);
    }

    function test_RevertWhen_NotTheBuyer() external {
        LeaseId id = _delivered();
        vm.expectRevert(_notOf(buyerOrg, rival));
        vm.prank(rival);
        leases.reject(id, NOTE);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        _reject(none);
    }

    /// L1: an all-or-nothing buyer whose lease did not come whole ends at no cost, and has the default's share.
    function test_WhenAllOrNothingCameInPart_CostsNothing() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Provider, true);
        _sign(id);
        _deliver(id, 1);
        vm.warp(_startOf(id) + 3600);
        _reject(id);
        assertEq(_free(buyerOrg), 1_000_000_000 + BOND / 2);
        assertEq(_free(northOrg), 1_000_000_000 - BOND);
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000 - BOND / 2);
        assertEq(_held(id), 0);
    }

    /// The same after somebody settled the default first.
    function test_WhenAllOrNothingDefaultWasSettledFirst_CostsNothing() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Provider, true);
        _sign(id);
        _deliver(id, 1);
        vm.warp(_startOf(id) + 3600);
        leases.expire(id);
        _reject(id);
        assertEq(_free(buyerOrg), 1_000_000_000 + BOND / 2);
    }

    /// While the rest can still come, an all-or-nothing buyer that refuses pays as any other, and nobody defaulted.
    function test_WhenAllOrNothingIsStillDue_PaysAccrualOfWhatCame() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Provider, true);
        _sign(id);
        _deliver(id, 1);
        vm.warp(_startOf(id) + 600);
        _reject(id);
        assertEq(_free(buyerOrg), 1_000_000_000 - uint256(RATE) / 6);
        assertEq(settlement.account(id).bond, BOND);
        assertTrue(inventory.isFree(leases.resourcesOf(id)[1], _now() + 1, _now() + 5));
    }

    function test_WhenPartIsMissing_PaysAccrualAndTakesTheDefault() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3000);
        _deliver(id, 1);
        vm.warp(_startOf(id) + 3600);
        _reject(id);
        assertEq(_free(buyerOrg), 1_000_000_000 - uint256(RATE) / 6 + BOND / 2);
        assertEq(settlement.account(id).bond, BOND / 2);
    }

    /// The lease is over but its delivery is not accepted yet: accrual stops at its end, within the price.
    function test_WhenTheWindowIsOver_PaysToItsEndAtMost() external {
        vm.warp(block.timestamp + 1800);
        LeaseId id = _lease(1, _window(0, 1), Policy.Provider, false);
        _sign(id);
        vm.warp(_endOf(id) - 1);
        _deliver(id, 1);
        vm.warp(_endOf(id) + 1000);
        _reject(id);
        assertEq(leases.lease(id).endedAt, _endOf(id));
        assertEq(settlement.account(id).paid, uint256(RATE) / 60); // one quantum
    }
}

/// @notice C4, L1: anyone settles a missed deadline.
contract LeasesExpireTest is LeaseBase {
    function _nothing(LeaseId id) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeases.Leases_NothingToExpire.selector, id);
    }

    function test_WhenTheProviderDidNotSign_PaysAShareOfItsBond() external {
        LeaseId id = _plain();
        vm.warp(block.timestamp + 899);
        vm.expectRevert(_nothing(id));
        leases.expire(id);

        vm.warp(block.timestamp + 1);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.ProviderUnsigned, Fault.Provider, uint40(block.timestamp), 0);
        leases.expire(id);
        assertEq(_free(buyerOrg), 1_000_000_000 + BOND / 10);
        assertEq(_free(northOrg), 1_000_000_000 - BOND / 10);
        assertEq(_held(id), 0);
        assertTrue(_isFree(id, 0) && _isFree(id, 1));
        _assertState(id, LeaseState.Defaulted);
        _assertEnd(id, EndReason.ProviderUnsigned, Fault.Provider);
    }

    function test_WhenTheBuyerDidNotSign_PaysTheReserve() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Both, false);
        vm.warp(block.timestamp + 900);
        leases.expire(id);
        assertEq(_free(buyerOrg), 1_000_000_000 - 3_000_000);
        assertEq(_free(northOrg), 1_000_000_000 + 3_000_000);
        _assertState(id, LeaseState.Defaulted);
        _assertEnd(id, EndReason.BuyerUnsigned, Fault.Buyer);
        assertTrue(_isFree(id, 0));
    }

    /// C4: the provider's time runs from the buyer's signature.
    function test_WhenOnlyTheBuyerSigned_IsTheProvidersFault() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Both, false);
        vm.warp(block.timestamp + 500);
        vm.prank(buyer);
        leases.signAsBuyer(id);
        vm.warp(block.timestamp + 899);
        vm.expectRevert(_nothing(id));
        leases.expire(id);
        vm.warp(block.timestamp + 1);
        leases.expire(id);
        _assertEnd(id, EndReason.ProviderUnsigned, Fault.Provider);
        assertEq(_free(buyerOrg), 1_000_000_000 + BOND / 10);
    }

    function test_WhenNothingWasDelivered_ForfeitsTheWholeBond() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3600);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.Undelivered, Fault.Provider, uint40(block.timestamp), 0);
        vm.expectEmit(address(leases));
        emit ILeases.ResourcesMissed(id, 2, BOND);
        leases.expire(id);
        assertEq(_free(buyerOrg), 1_000_000_000 + BOND);
        assertEq(_free(northOrg), 1_000_000_000 - BOND);
        assertEq(_held(id), 0);
        _assertState(id, LeaseState.Defaulted);
        _assertEnd(id, EndReason.Undelivered, Fault.Provider);
        assertTrue(inventory.isFree(leases.resourcesOf(id)[0], _now() + 1, leases.lease(id).end));
    }

    /// L1: `floor(bond * missing / count)`; the price and the slots of what is missing are let go, the lease goes on.
    function test_WhenPartIsMissing_SettlesThatPartAndGoesOn() external {
        LeaseId id = _open(_award(), _leg(1_111_112, _window(2, 1), _machines(north, 3)));
        assertEq(settlement.account(id).bond, 666_667);
        _sign(id);
        _deliver(id, 5);
        vm.warp(_startOf(id) + 3599);
        vm.expectRevert(_nothing(id));
        leases.expire(id);
        vm.warp(_startOf(id) + 3600); // also the end of the window
        vm.expectEmit(address(leases));
        emit ILeases.ResourcesMissed(id, 1, 222_222);
        leases.expire(id);
        assertEq(settlement.account(id).price, 2_222_224);
        assertEq(settlement.account(id).bond, 444_445);
        assertEq(leases.lease(id).missing, 1);
        assertEq(leases.lease(id).endedAt, 0);
    }

    /// I3: the slots of what is missing can be sold again, and wiping the first lease leaves that sale alone.
    function test_WhenMissingPartIsSoldAgain_WipeDoesNotFreeIt() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        vm.warp(_startOf(id) + 3600);
        leases.expire(id);
        ResourceId second = leases.resourcesOf(id)[1];
        LeaseId again = _open(_award(), _leg(RATE, _window(1, 3), _list(second)));
        _sign(again);
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(leases.lease(id).endedAt);
        _wipe(id);
        assertFalse(inventory.isFree(second, leases.lease(again).start, leases.lease(again).end));
    }

    function test_RevertWhen_SettledAlready() external {
        LeaseId unsigned = _plain();
        LeaseId partial_ = _signed();
        _deliver(partial_, 1);
        vm.warp(_startOf(partial_) + 3600);
        leases.expire(unsigned);
        leases.expire(partial_);
        vm.expectRevert(_nothing(unsigned));
        leases.expire(unsigned);
        vm.expectRevert(_nothing(partial_));
        leases.expire(partial_);
    }

    function test_RevertWhen_AllWasDelivered() external {
        LeaseId id = _delivered();
        vm.warp(_startOf(id) + 3600);
        vm.expectRevert(_nothing(id));
        leases.expire(id);
    }

    function test_RevertWhen_Cancelled() external {
        LeaseId id = _signed();
        vm.prank(buyer);
        leases.cancel(id);
        vm.warp(_startOf(id) + 3600);
        vm.expectRevert(_nothing(id));
        leases.expire(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        leases.expire(none);
    }
}
