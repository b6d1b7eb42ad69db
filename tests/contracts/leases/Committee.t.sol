// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CommitteeBase} from "./CommitteeBase.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Award,
    Committee,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    Policy,
    Skip,
    SlaId,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice C2: fees are locked with price and bond, half from each side.
contract CommitteeFeesTest is CommitteeBase {
    function test_WhenOpened_LocksHalfTheFeesFromEachSide() external {
        LeaseId id = _plain();
        assertEq(awards.feeOf(_window(2, 10)), FEES);
        assertEq(_free(buyerOrg), MONEY - PRICE - FEES / 2);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2);
        ISettlement.Account memory a = settlement.account(id);
        assertEq(a.fee, FEES);
        assertEq(a.feePaid, 0);
        assertEq(uint8(leases.lease(id).committee), uint8(Committee.Awaited));
        assertEq(SlaId.unwrap(leases.lease(id).sla), 7);
    }

    function test_WhenOdd_TheBuyerPaysTheOddMicrocredit() external {
        _lease(1, _window(2, 9), Policy.Provider, false);
        assertEq(_free(buyerOrg), MONEY - uint256(RATE) * 9 - 22_523);
        assertEq(_free(northOrg), MONEY - uint256(RATE) * 9 / 5 - 22_522);
    }

    function test_WhenNothingIsPromised_LocksNone() external {
        promised = NO_SLA;
        LeaseId id = _plain();
        assertEq(_held(id), PRICE + BOND);
        assertEq(uint8(leases.lease(id).committee), uint8(Committee.None));
    }

    /// What is left of a window that runs touches fewer epochs.
    function test_WhenTheWindowRuns_CountsWhatIsLeft() external {
        Window memory w = _window(0, 10);
        vm.warp(block.timestamp + 2 * EPOCH + 1);
        assertEq(awards.feeOf(w), 8 * 5005);
        vm.warp(uint256(w.end) * SLOT);
        assertEq(awards.feeOf(w), 0);
    }

    function test_WhenTheFeesAreNotCovered_Skips() external {
        Award memory award = _award();
        Leg memory leg = _leg(RATE, _machines(north, 2));
        vm.prank(north);
        escrow.withdraw(MONEY - BOND - FEES / 2);
        assertEq(uint8(awards.skipOf(award, leg)), uint8(Skip.None));
        vm.prank(north);
        escrow.withdraw(1);
        assertEq(uint8(awards.skipOf(award, leg)), uint8(Skip.ProviderCover));
        _fund(northOrg, north, 1);
        vm.prank(buyer);
        escrow.withdraw(MONEY - PRICE - FEES / 2 + 1);
        assertEq(uint8(awards.skipOf(award, leg)), uint8(Skip.BuyerCover));
    }

    function test_WhenNeverSigned_ReturnsThem() external {
        LeaseId id = _plain();
        vm.warp(block.timestamp + 900);
        leases.expire(id);
        assertEq(_held(id), 0);
    }

    function test_WhenCancelled_ReturnsThem() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        vm.prank(buyer);
        leases.cancel(id);
        assertEq(_held(id), 0);
        assertEq(_free(buyerOrg), MONEY - PRICE / 20);
    }

    function test_WhenUndelivered_ReturnsThem() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3600);
        leases.expire(id);
        assertEq(_held(id), 0);
        assertEq(_free(buyerOrg), MONEY + BOND);
    }

    function test_WhenPaid_TakesItFromBothAndReturnsTheRest() external {
        LeaseId id = _proven();
        vm.expectEmit(address(settlement));
        emit ISettlement.FeePaid(id, southOrg, 3);
        assertEq(settlement.payFee(_parties(id), southOrg, 3), 3);
        vm.expectEmit(address(settlement));
        emit ISettlement.FeesReturned(id, FEES / 2 - 2, FEES / 2 - 1);
        settlement.returnFees(_parties(id));
        assertEq(_free(southOrg), MONEY + 3);
        assertEq(_held(id), PRICE + BOND);
        settlement.returnFees(_parties(id));
        assertEq(_held(id), PRICE + BOND, "returned twice");
        assertEq(settlement.payFee(_parties(id), southOrg, 1), 0, "paid after the return");
    }

    /// The fees bound what witnesses get; price and bond are not theirs.
    function test_WhenMoreIsDueThanThereIs_PaysWhatIsLeft() external {
        LeaseId id = _proven();
        assertEq(settlement.payFee(_parties(id), southOrg, FEES + 1), FEES);
        assertEq(_held(id), PRICE + BOND);
        settlement.returnFees(_parties(id));
        assertEq(_held(id), PRICE + BOND);
    }

    function testFuzz_EverySplitOfTheFeesAddsUp(uint256 slots, uint256 paid, uint256 again) external {
        LeaseId id = _lease(1, _window(2, uint32(bound(slots, 1, 50))), Policy.Provider, false);
        uint256 fee = settlement.account(id).fee;
        uint256 north0 = _free(northOrg);
        uint256 buyer0 = _free(buyerOrg);
        uint256 got = settlement.payFee(_parties(id), southOrg, bound(paid, 0, fee));
        got += settlement.payFee(_parties(id), southOrg, bound(again, 0, fee));
        settlement.returnFees(_parties(id));
        assertEq(_free(southOrg), MONEY + got);
        // Each bears half of what was paid, the buyer the odd microcredit.
        assertEq(_free(northOrg) - north0, fee / 2 - got / 2);
        assertEq(_free(buyerOrg) - buyer0, (fee - fee / 2) - (got - got / 2));
    }

    function test_RevertWhen_NobodyOfTheExchangeAsks() external {
        LeaseId id = _plain();
        bytes memory refused =
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, north, Rights.SETTLEMENT_JUDGE);
        vm.startPrank(north);
        vm.expectRevert(refused);
        settlement.payFee(_parties(id), northOrg, 1);
        vm.expectRevert(refused);
        settlement.returnFees(_parties(id));
    }
}

/// @notice W2
contract CommitteeDrawnTest is CommitteeBase {
    function test_WhenDrawn_IsKept() external {
        LeaseId id = _signed();
        vm.warp(block.timestamp + 60);
        vm.expectEmit(address(leases));
        emit ILeases.CommitteeSet(id, Committee.Drawn);
        leases.setCommittee(id, true);
        assertEq(leases.lease(id).committeeAt, block.timestamp);
        assertEq(_held(id), PRICE + BOND + FEES);
    }

    function test_WhenTooFewAreEligible_ReturnsTheFees() external {
        LeaseId id = _signed();
        leases.setCommittee(id, false);
        assertEq(uint8(leases.lease(id).committee), uint8(Committee.Waived));
        assertEq(_held(id), PRICE + BOND);
        assertEq(_free(buyerOrg), MONEY - PRICE);
        assertEq(_free(northOrg), MONEY - BOND);
    }

    function test_RevertWhen_KnownAlready() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        vm.expectRevert(_wrongState(id, LeaseState.Signed));
        leases.setCommittee(id, false);
    }

    function test_RevertWhen_NothingIsPromised() external {
        promised = NO_SLA;
        LeaseId id = _signed();
        vm.expectRevert(_wrongState(id, LeaseState.Signed));
        leases.setCommittee(id, true);
    }

    function test_RevertWhen_NotSigned() external {
        LeaseId id = _plain();
        vm.expectRevert(_wrongState(id, LeaseState.Awarded));
        leases.setCommittee(id, true);
    }

    function test_RevertWhen_Over() external {
        LeaseId id = _delivered();
        vm.warp(_endOf(id));
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        leases.setCommittee(id, true);
    }

    function test_RevertWhen_DeliveryIsMissed() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3600);
        vm.expectRevert(_wrongState(id, LeaseState.Defaulted));
        leases.setCommittee(id, true);
    }

    function test_RevertWhen_CallerNeverHadTheRight() external {
        LeaseId id = _signed();
        bytes memory refused =
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, north, Rights.LEASES_WITNESS);
        vm.startPrank(north);
        vm.expectRevert(refused);
        leases.setCommittee(id, true);
        vm.expectRevert(refused);
        leases.prove(id, 3);
        vm.expectRevert(refused);
        leases.breach(id, 0);
    }
}

/// @notice L3: who accepts, and when silence does.
contract CommitteeAcceptanceTest is CommitteeBase {
    function test_WhileAwaited_SilenceDoesNotAccept() external {
        LeaseId id = _delivered();
        vm.warp(_endOf(id) - 1);
        _assertState(id, LeaseState.Delivered);
        vm.expectRevert(_tooEarly(id, _endOf(id)));
        leases.settle(id);
        _accept(id);
        _assertState(id, LeaseState.Active);
    }

    /// A draw that never comes: the lease ends as one without a committee does, and everything comes out.
    function test_WhenAwaitedToTheEnd_SilenceAcceptsAndFeesReturn() external {
        LeaseId id = _delivered();
        vm.warp(_endOf(id));
        leases.settle(id);
        assertEq(_held(id), BOND);
        _wipe(id);
        assertEq(_held(id), 0);
        assertEq(_free(northOrg), MONEY + PRICE);
        assertEq(_free(buyerOrg), MONEY - PRICE);
    }

    /// Delivered a moment before the end: the buyer has its time to look all the same.
    function test_WhenAwaitedAndDeliveredLate_TheAcceptanceTimeStillRuns() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        vm.warp(_endOf(id) - 1);
        _deliver(id, 1);
        vm.warp(_endOf(id) + 1798);
        vm.expectRevert(_tooEarly(id, _endOf(id) + 1799));
        leases.settle(id);
        vm.prank(buyer);
        leases.reject(id, "dead");
        _wipe(id);
        assertEq(_held(id), 0);
    }

    function test_WhenWaived_SilenceAcceptsFromThenOn() external {
        LeaseId id = _delivered();
        vm.warp(block.timestamp + 3000);
        leases.setCommittee(id, false);
        vm.warp(block.timestamp + 1799);
        _assertState(id, LeaseState.Delivered);
        vm.warp(block.timestamp + 1);
        _assertState(id, LeaseState.Active);
    }

    function test_WhenAwaited_IsAcceptedByTheBuyerAndDrawsWhatIsFinal() external {
        LeaseId id = _active();
        _toEpoch(id, 4, 0);
        assertEq(leases.finalUntil(id), _startOf(id) + EPOCH);
        leases.settle(id);
        assertEq(settlement.account(id).paid, BOTH);
    }

    function test_WhenProven_IsAccepted() external {
        LeaseId id = _unproven();
        vm.expectEmit(address(leases));
        emit ILeases.LeaseProven(id, 3);
        leases.prove(id, 3);
        assertEq(leases.lease(id).accepted, 3);
        _assertState(id, LeaseState.Active);
    }

    function test_WhenDrawnLate_TheTimeRunsFromTheDraw() external {
        LeaseId id = _delivered();
        vm.warp(block.timestamp + 7200);
        leases.setCommittee(id, true);
        vm.warp(block.timestamp + 1799);
        leases.prove(id, 3);
        _assertState(id, LeaseState.Active);
    }

    function test_RevertWhen_ProvenIsAnotherDelivery() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _deliver(id, 1);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_OtherDelivery.selector, id, 1));
        leases.prove(id, 3);
        leases.prove(id, 1);
        _deliver(id, 2);
        _assertState(id, LeaseState.Delivered);
        leases.prove(id, 3);
        _assertState(id, LeaseState.Active);
    }

    function test_RevertWhen_NothingIsDelivered() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        vm.expectRevert(_wrongState(id, LeaseState.Signed));
        leases.prove(id, 0);
    }

    function test_RevertWhen_ProvenWithoutACommittee() external {
        LeaseId id = _delivered();
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        leases.prove(id, 3);
    }

    function test_RevertWhen_AcceptedAlready() external {
        LeaseId id = _proven();
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.prove(id, 3);
        vm.startPrank(buyer);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.accept(id, 3);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.reject(id, 0);
    }

    /// Half of what only counts as a whole is no delivery that witnesses could accept in the buyer's place (L1).
    function test_RevertWhen_ProvenIsAPartOfAllOrNothing() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Provider, true);
        _sign(id);
        leases.setCommittee(id, true);
        _deliver(id, 1);
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        leases.prove(id, 1);
        _deliver(id, 2);
        leases.prove(id, 3);
    }
}

/// @notice L3: delivered, they say, but neither accepted nor proven in time.
contract CommitteeUnprovenTest is CommitteeBase {
    function _lapsed() private returns (LeaseId id) {
        id = _unproven();
        vm.warp(block.timestamp + 1800);
    }

    function test_WhenExpired_IsTheProvidersDefault() external {
        LeaseId id = _lapsed();
        _assertState(id, LeaseState.Ending);
        _assertEnd(id, EndReason.Unproven, Fault.Provider);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.Unproven, Fault.Provider, uint40(block.timestamp), 0);
        leases.expire(id);
        assertEq(_free(buyerOrg), MONEY + BOND - FEES / 2);
        assertEq(_held(id), FEES); // for `Verdicts` to pay out or return
        assertFalse(_isFree(id, 0), "there is something to wipe");
        _wipe(id);
        _assertState(id, LeaseState.Defaulted);
        _assertEnd(id, EndReason.Unproven, Fault.Provider);
        assertTrue(_isFree(id, 0));
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingToExpire.selector, id));
        leases.expire(id);
    }

    function test_WhenSettled_IsExpired() external {
        LeaseId id = _lapsed();
        leases.settle(id);
        _assertEnd(id, EndReason.Unproven, Fault.Provider);
        assertEq(_held(id), FEES);
    }

    /// A provider that would take its machine back without anybody having expired the lease.
    function test_WhenWiped_IsExpiredFirst() external {
        LeaseId id = _lapsed();
        _wipe(id);
        _assertState(id, LeaseState.Defaulted);
        assertEq(_free(buyerOrg), MONEY + BOND - FEES / 2);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2);
    }

    function test_WhenOnlyAPartCame_EveryMachineIsPaidBack() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _deliver(id, 1);
        vm.warp(block.timestamp + 1800);
        leases.expire(id);
        assertEq(_free(buyerOrg), MONEY + BOND - FEES / 2);
        assertTrue(_isFree(id, 1));
        assertFalse(_isFree(id, 0));
    }

    function test_WhenWipeIsMissed_HoldsTheMachines() external {
        LeaseId id = _lapsed();
        leases.expire(id);
        vm.warp(block.timestamp + 7200);
        leases.missWipe(id);
        assertEq(inventory.resource(leases.resourcesOf(id)[0]).holds, 1);
        _wipe(id);
        assertEq(inventory.resource(leases.resourcesOf(id)[0]).holds, 0);
    }

    function test_WhenTheBuyerHasGivenNotice_IsADefaultAllTheSame() external {
        LeaseId id = _unproven();
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(block.timestamp + 1800);
        leases.expire(id);
        _assertEnd(id, EndReason.Unproven, Fault.Provider);
    }

    /// Delivers at the last moment and wipes at once, to have its bond out before it is known for nothing.
    function test_WhenWipedBeforeTheTimeIsOver_TheBondWaits() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        leases.setCommittee(id, true);
        vm.warp(_endOf(id) - 1);
        _deliver(id, 1);
        uint256 fee = settlement.account(id).fee;
        vm.warp(_endOf(id));
        _wipe(id);
        assertTrue(_isFreeAgain(id));
        assertEq(_held(id), RATE + RATE / 5 + fee);
        vm.warp(_endOf(id) + 1799);
        leases.expire(id);
        assertEq(_held(id), fee);
        assertEq(_free(buyerOrg), MONEY + RATE / 5 - (fee + 1) / 2);
        _assertState(id, LeaseState.Defaulted);
    }

    /// Drawn in the last second: the committee cannot look any more, and nobody but who draws could have been earlier.
    function test_WhenDrawnTooLateToLook_SilenceAccepts() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        vm.warp(_startOf(id));
        _deliver(id, 1);
        vm.warp(_endOf(id) - 1);
        leases.setCommittee(id, true);
        vm.warp(_endOf(id));
        _wipe(id);
        vm.warp(_endOf(id) - 1 + 1799);
        vm.expectRevert();
        leases.settle(id);
        vm.warp(_endOf(id) - 1 + 1800);
        vm.expectRevert();
        leases.expire(id);
        vm.warp(_endOf(id) + 3 * EPOCH);
        leases.settle(id);
        assertEq(settlement.account(id).paid, RATE);
        assertEq(settlement.account(id).bond, 0);
        _assertState(id, LeaseState.Completed);
    }

    function test_WhenWipedAndThenAccepted_SettleFreesTheBond() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        leases.setCommittee(id, true);
        vm.warp(_endOf(id) - 60);
        _deliver(id, 1);
        vm.warp(_endOf(id));
        _wipe(id);
        _accept(id);
        leases.settle(id);
        assertEq(settlement.account(id).bond, 0);
        vm.warp(_endOf(id) + 3 * EPOCH);
        leases.settle(id);
        assertEq(_held(id), settlement.account(id).fee);
        assertEq(settlement.account(id).paid, RATE / 60);
    }

    function test_WhenWipedAndThenRejected_FreesTheBond() external {
        LeaseId id = _lease(1, _window(2, 1), Policy.Provider, false);
        _sign(id);
        leases.setCommittee(id, true);
        vm.warp(_endOf(id) - 60);
        _deliver(id, 1);
        vm.warp(_endOf(id));
        _wipe(id);
        vm.prank(buyer);
        leases.reject(id, "dead");
        assertEq(_held(id), settlement.account(id).fee);
        vm.warp(_endOf(id) + EPOCH);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingToExpire.selector, id));
        leases.expire(id);
    }

    function test_RevertWhen_TooEarly() external {
        LeaseId id = _unproven();
        vm.warp(block.timestamp + 1799);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingToExpire.selector, id));
        leases.expire(id);
    }

    /// Nothing that would make the default undone, and nothing that would end the lease in another way.
    function test_RevertWhen_AnythingElseComesTooLate() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _deliver(id, 1);
        vm.warp(block.timestamp + 1800);
        bytes memory ending = _wrongState(id, LeaseState.Ending);
        vm.expectRevert(ending);
        leases.prove(id, 1);
        vm.expectRevert(ending);
        _deliver(id, 2);
        vm.startPrank(buyer);
        vm.expectRevert(ending);
        leases.accept(id, 1);
        vm.expectRevert(ending);
        leases.reject(id, "late");
        vm.expectRevert(ending);
        leases.endEarly(id);
        vm.stopPrank();
        vm.expectRevert(ending);
        leases.breach(id, 0);
        leases.expire(id);
        vm.expectRevert(ending);
        leases.prove(id, 1);
        vm.expectRevert(ending);
        vm.prank(buyer);
        leases.accept(id, 1);
    }
}

/// @notice L4
contract CommitteeRejectTest is CommitteeBase {
    /// However long the draw takes, the buyer of a dead machine owes no more than the time it has to find that out.
    function test_WhenAwaited_PaysAtMostTheAcceptanceTime() external {
        LeaseId id = _delivered();
        _toEpoch(id, 3, 0);
        vm.prank(buyer);
        leases.reject(id, "dead");
        assertEq(_free(buyerOrg), MONEY - BOTH / 2);
        assertEq(_held(id), BOND);
        _wipe(id);
        _assertState(id, LeaseState.Terminated);
        assertEq(_held(id), 0);
    }

    function test_WhenDrawn_FeesWaitForTheWitnesses() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _toEpoch(id, 0, 0);
        _deliver(id, 3);
        vm.prank(buyer);
        leases.reject(id, "dead");
        assertEq(_held(id), BOND + FEES);
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        leases.prove(id, 3);
        _wipe(id);
        assertEq(_held(id), FEES);
        settlement.returnFees(_parties(id));
        assertEq(_free(buyerOrg), MONEY);
        assertEq(_free(northOrg), MONEY);
    }

    function test_RevertWhen_DrawnAfterIt() external {
        LeaseId id = _delivered();
        _toEpoch(id, 0, 0);
        vm.prank(buyer);
        leases.reject(id, "dead");
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        leases.setCommittee(id, true);
    }

    /// R9: before the window a refusal costs nothing, so its buyer could try lease after lease until it likes the seats.
    function test_RevertWhen_TheWindowHasNotBegun_AndThereIsOrMayBeACommittee() external {
        LeaseId id = _delivered();
        LeaseId drawn = _unproven();
        vm.startPrank(buyer);
        vm.expectRevert(_tooEarly(drawn, _startOf(drawn)));
        leases.reject(drawn, "other seats");
        vm.warp(_startOf(id) - 1);
        vm.expectRevert(_tooEarly(id, _startOf(id)));
        leases.reject(id, "other seats");
        vm.warp(_startOf(id));
        leases.reject(id, "dead");
    }

    /// Where there is none, silence may accept before the window begins: the buyer has to be able to refuse by then.
    function test_WhenWaived_MayRefuseBeforeTheWindow() external {
        LeaseId id = _delivered();
        leases.setCommittee(id, false);
        vm.prank(buyer);
        leases.reject(id, "dead");
        assertEq(_free(buyerOrg), MONEY);
    }
}

/// @notice W9: the SLA was breached, and the buyer ends.
contract CommitteeBreachTest is CommitteeBase {
    function test_WhenBreached_EndsNowAndPaysFromTheBond() external {
        LeaseId id = _proven();
        _toEpoch(id, 5, 0);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.Breach, Fault.Provider, uint40(block.timestamp), "breach");
        leases.breach(id, "breach");
        _assertState(id, LeaseState.Ending);
        // Half of the price is not served; a fifth of that.
        assertEq(settlement.account(id).bond, BOND / 2);
        assertEq(_free(buyerOrg), MONEY - PRICE - FEES / 2 + BOND / 2);
        _wipe(id);
        _assertState(id, LeaseState.Terminated);
        _assertEnd(id, EndReason.Breach, Fault.Provider);
        assertEq(settlement.account(id).bond, 0);
        vm.warp(_startOf(id) + 8 * EPOCH);
        leases.settle(id);
        assertEq(_held(id), FEES);
        assertEq(_free(northOrg), MONEY - FEES / 2 - BOND / 2 + PRICE / 2);
    }

    /// L1 and W9: what never came is a default of its own; the breach is about what did.
    function test_WhenAMachineIsMissing_SettlesThatFirst() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _deliver(id, 1);
        leases.prove(id, 1);
        _toEpoch(id, 5, 0);
        leases.breach(id, 0);
        assertEq(leases.lease(id).missing, 1);
        assertEq(settlement.account(id).bond, BOND / 2 - BOND / 4);
    }

    /// The bond bounds it, whatever was taken from it before.
    function test_WhenTheBondIsSmaller_PaysWhatIsLeft() external {
        LeaseId id = _proven();
        ISettlement.Parties memory parties = _parties(id);
        vm.prank(address(leases));
        settlement.forfeitBond(parties, 99, 100);
        _toEpoch(id, 1, 0);
        leases.breach(id, 0);
        assertEq(settlement.account(id).bond, 0);
        assertEq(_held(id), PRICE + FEES);
    }

    function test_RevertWhen_NotDrawn() external {
        LeaseId id = _active();
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.breach(id, 0);
    }

    function test_RevertWhen_NotAccepted() external {
        LeaseId id = _unproven();
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        leases.breach(id, 0);
    }

    function test_RevertWhen_NoticeRuns() external {
        LeaseId id = _proven();
        vm.prank(buyer);
        leases.endEarly(id);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.breach(id, 0);
    }

    function test_RevertWhen_Over() external {
        LeaseId id = _proven();
        vm.warp(_endOf(id));
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        leases.breach(id, 0);
    }

    function test_RevertWhen_Twice() external {
        LeaseId id = _proven();
        leases.breach(id, 0);
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        leases.breach(id, 0);
    }
}
