// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CommitteeBase} from "./CommitteeBase.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {LeaseId, Policy} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice E5: with a committee the provider draws what no verdict can touch any more.
contract FinalityTest is CommitteeBase {
    function test_WhileClaimsAreOpen_NothingOfTheEpochIsDrawn() external {
        LeaseId id = _proven();
        _toEpoch(id, 4, 0);
        vm.warp(block.timestamp - 1);
        assertEq(leases.finalUntil(id), _startOf(id));
        leases.settle(id);
        assertEq(settlement.account(id).paid, 0);
        _toEpoch(id, 4, 0);
        assertEq(leases.finalUntil(id), _startOf(id) + EPOCH);
        leases.settle(id);
        assertEq(settlement.account(id).paid, BOTH);
    }

    function test_WhenAllIsFinal_ClosesThePrice() external {
        LeaseId id = _proven();
        vm.warp(_endOf(id) + 3 * EPOCH - 1);
        leases.settle(id);
        assertFalse(settlement.account(id).closed);
        assertEq(settlement.account(id).paid, 9 * BOTH);
        vm.warp(_endOf(id) + 3 * EPOCH);
        assertEq(leases.finalUntil(id), _endOf(id));
        leases.settle(id);
        assertTrue(settlement.account(id).closed);
        assertEq(_held(id), BOND + FEES);
    }

    /// Bond and slots do not wait for the verdicts; the price does.
    function test_WhenWiped_FreesTheBondBeforeThePriceIsFinal() external {
        LeaseId id = _proven();
        vm.warp(_endOf(id));
        _wipe(id);
        assertEq(settlement.account(id).bond, 0);
        assertTrue(_isFreeAgain(id));
        assertEq(settlement.account(id).paid, 7 * BOTH);
        vm.warp(_endOf(id) + 3 * EPOCH);
        leases.settle(id);
        assertEq(_held(id), FEES);
        assertEq(_free(northOrg), MONEY + PRICE - FEES / 2);
    }

    function test_WhenTheBuyerEndsEarly_TheRestIsFinalThreeEpochsLater() external {
        LeaseId id = _proven();
        _toEpoch(id, 2, 0);
        vm.prank(buyer);
        leases.endEarly(id); // at 3 epochs
        _toEpoch(id, 6, 0);
        leases.settle(id);
        assertTrue(settlement.account(id).closed);
        assertEq(settlement.account(id).paid, 3 * BOTH);
    }

    function test_WithoutACommittee_IsFinalAtOnce() external {
        promised = NO_SLA;
        LeaseId id = _active();
        _toEpoch(id, 2, 7);
        assertEq(leases.finalUntil(id), block.timestamp);
        vm.warp(_endOf(id) + 7);
        assertEq(leases.finalUntil(id), _endOf(id));
    }

    /// A delivery in the middle of an epoch leaves too few rounds of it: they are judged with the next one.
    function test_WhenTheFirstEpochIsShort_IsFinalWithTheNext() external {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _toEpoch(id, 0, 3300);
        _deliver(id, 3);
        leases.prove(id, 3);
        _toEpoch(id, 4, 0);
        assertEq(leases.finalUntil(id), _startOf(id) + 3300);
        _toEpoch(id, 5, 0);
        assertEq(leases.finalUntil(id), _startOf(id) + 2 * EPOCH);
    }
}

/// @notice W9, W13, L11: penalties put aside, paid when their span is final, and in dispute.
contract PenaltyTest is CommitteeBase {
    /// @dev Nothing of a lease is lost or made: what is locked is what the account says.
    modifier conserved() {
        uint256 before = _sum();
        _;
        assertEq(_sum(), before, "conserved");
        ISettlement.Account memory a = settlement.account(LeaseId.wrap(1));
        assertEq(
            _held(LeaseId.wrap(1)),
            uint256(a.price) - a.paid + a.owed + a.pending + a.disputed + a.bond + a.fee - a.feePaid,
            "locked"
        );
    }

    function _sum() private view returns (uint256) {
        return _free(northOrg) + _free(southOrg) + _free(buyerOrg) + _held(LeaseId.wrap(1));
    }

    function test_WhenJudged_IsPutAsideAndPaidWhenFinal() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        vm.expectEmit(address(settlement));
        emit ISettlement.PenaltyWithheld(id, uint32(_startOf(id) / EPOCH), ONE / 10);
        assertEq(_judge(id, 0, 100_000), ONE / 10);
        assertEq(settlement.account(id).pending, ONE / 10);
        uint256 buyerBefore = _free(buyerOrg);
        leases.settle(id);
        assertEq(_free(buyerOrg), buyerBefore, "not before it is final");
        _toEpoch(id, 4, 0);
        vm.expectEmit(address(settlement));
        emit ISettlement.PenaltyPaid(id, uint32(_startOf(id) / EPOCH), ONE / 10);
        leases.settle(id);
        assertEq(_free(buyerOrg), buyerBefore + ONE / 10);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2 + BOTH - ONE / 10);
    }

    function test_WhenAWorseClaimComes_OnlyWhatItAddsIsGiven() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        _judge(id, 0, 100_000);
        assertEq(_judge(id, 0, 150_000), ONE * 15 / 100);
        assertEq(settlement.account(id).pending, ONE / 4);
    }

    /// The claim itself moves no money: it would pay for that each time.
    function test_WhenTheNextSpanIsJudged_TheOneBeforeIsPaidWithTheNextPayment() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        _judge(id, 0, 100_000);
        uint256 before = _free(buyerOrg);
        _toEpoch(id, 4, 0);
        _judge(id, 1, 200_000);
        assertEq(_free(buyerOrg), before);
        assertEq(settlement.account(id).owed, ONE / 10);
        leases.settle(id);
        assertEq(_free(buyerOrg), before + ONE / 10);
        assertEq(settlement.account(id).owed, 0);
        assertEq(settlement.account(id).pending, ONE / 5);
        _toEpoch(id, 5, 0);
        leases.settle(id);
        assertEq(_free(buyerOrg), before + ONE / 10 + ONE / 5);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2 + 2 * BOTH - ONE / 10 - ONE / 5);
    }

    /// Every machine at its worst, more than once: no more than the span's price goes back.
    function test_WhenClaimsAddUpToMore_TheSpansPriceIsTheMost() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        assertEq(_judge(id, 0, 1_000_000), ONE);
        assertEq(_judge(id, 0, 1_000_000), ONE);
        assertEq(_judge(id, 0, 1_000_000), 0);
        _toEpoch(id, 4, 0);
        leases.settle(id);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2);
        _toEpoch(id, 5, 0);
        leases.settle(id);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2 + BOTH);
    }

    /// The last epoch is judged after the lease is over: its price is still there.
    function test_WhenTheLastEpochIsJudged_ItsPriceIsStillWithheld() external conserved {
        LeaseId id = _proven();
        vm.warp(_endOf(id));
        _wipe(id);
        vm.warp(_endOf(id) + 2 * EPOCH);
        leases.settle(id);
        assertEq(_judge(id, 9, 1_000_000), ONE);
        vm.warp(_endOf(id) + 3 * EPOCH);
        leases.settle(id);
        assertEq(_held(id), FEES);
        assertEq(_free(buyerOrg), MONEY - PRICE - FEES / 2 + ONE);
    }

    /// Breach, then the last penalty: both are paid, from bond and from price.
    function test_WhenBreachedInBetween_BothArePaid() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 5, 0);
        _judge(id, 2, 1_000_000);
        leases.breach(id, 0);
        _toEpoch(id, 6, 0);
        _judge(id, 3, 1_000_000);
        _toEpoch(id, 7, 0);
        _judge(id, 4, 1_000_000);
        _wipe(id);
        _toEpoch(id, 8, 0);
        leases.settle(id);
        assertEq(_held(id), FEES);
        assertEq(_free(buyerOrg), MONEY - FEES / 2 - 5 * BOTH + 3 * ONE + BOND / 2);
    }

    /// What the buyer refuses costs nothing but its accrual; no verdict comes on top.
    function test_WhenClosed_NothingIsTaken() external conserved {
        LeaseId id = _signed();
        leases.setCommittee(id, true);
        _toEpoch(id, 0, 0);
        _deliver(id, 3);
        vm.prank(buyer);
        leases.reject(id, 0);
        _toEpoch(id, 3, 0);
        assertEq(_judge(id, 0, 1_000_000), 0);
        (uint40 until, ISettlement.Parties memory p) = (uint40(block.timestamp), _parties(id));
        assertEq(settlement.dispute(p, 1, false, until), 0);
        assertEq(settlement.dispute(p, 1, true, until), 0);
    }

    function test_WhenNothingBills_NothingIsTaken() external conserved {
        LeaseId id = _signed();
        assertEq(_judge(id, 0, 1_000_000), 0);
        assertEq(settlement.spanPrice(id, RATE, 0, type(uint40).max), 0);
    }

    function test_SpanPriceIsThatOfOneMachine() external conserved {
        LeaseId id = _proven();
        uint40 from = uint40(_startOf(id));
        assertEq(settlement.spanPrice(id, RATE, from, from + 3600), ONE);
        _judgeAll(id);
        assertEq(settlement.spanPrice(id, RATE, from, from + 3600), ONE, "whatever is spoken for");
        assertEq(settlement.spanPrice(id, RATE, from + 3600, from), 0);
    }

    function _judgeAll(LeaseId id) private {
        _toEpoch(id, 3, 0);
        _judge(id, 0, 1_000_000);
    }

    function test_WhenTheProviderDisputes_ThePenaltyWaits() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        _judge(id, 0, 100_000);
        vm.expectEmit(address(settlement));
        emit ISettlement.Disputed(id, ONE / 10);
        assertEq(settlement.dispute(_parties(id), ONE, true, 0), ONE / 10, "as much as there is");
        uint256 before = _free(buyerOrg);
        _toEpoch(id, 4, 0);
        leases.settle(id);
        assertEq(_free(buyerOrg), before);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2 + BOTH - ONE / 10);
        settlement.resolve(_parties(id), ONE / 10, ONE / 30, ONE / 10 - ONE / 30);
        assertEq(_free(buyerOrg), before + ONE / 30);
        assertEq(_free(northOrg), MONEY - BOND - FEES / 2 + BOTH - ONE / 30);
    }

    /// The buyer says the verdict should have been worse: that much of the span's price waits, and nothing else.
    function test_WhenTheBuyerDisputes_OnlyThatWaits() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        _judge(id, 0, 100_000);
        uint40 until = uint40(_startOf(id) + EPOCH);
        assertEq(settlement.dispute(_parties(id), ONE * 9 / 10, false, until), ONE * 9 / 10);
        vm.warp(_endOf(id) + 30 days);
        _wipe(id);
        leases.settle(id);
        assertEq(_held(id), FEES + ONE * 9 / 10);
        settlement.resolve(_parties(id), ONE * 9 / 10, ONE * 9 / 10, 0);
        assertEq(_held(id), FEES);
        assertEq(_free(buyerOrg), MONEY - FEES / 2 - PRICE + ONE);
    }

    function test_WhenMoreIsDisputedThanAccrued_WhatThereIsWaits() external conserved {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        uint40 until = uint40(_startOf(id) + EPOCH);
        assertEq(settlement.dispute(_parties(id), PRICE, false, until), BOTH);
        assertEq(_judge(id, 0, 1_000_000), 0, "all of it is spoken for");
    }

    function test_RevertWhen_TheSplitDoesNotAddUp() external {
        LeaseId id = _proven();
        _toEpoch(id, 3, 0);
        _judge(id, 0, 100_000);
        settlement.dispute(_parties(id), ONE / 10, true, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.Settlement_BadSplit.selector, id, 10, 11));
        settlement.resolve(_parties(id), 10, 10, 1);
        // Nor more than is in dispute.
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        settlement.resolve(_parties(id), ONE, ONE, 0);
    }

    function test_RevertWhen_CallerNeverHadTheRight() external {
        LeaseId id = _proven();
        ISettlement.Parties memory p = _parties(id);
        bytes memory refused =
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, buyer, Rights.SETTLEMENT_JUDGE);
        vm.startPrank(buyer);
        vm.expectRevert(refused);
        settlement.applyVerdict(p, 0, 1, 1, 1, 1);
        vm.expectRevert(refused);
        settlement.dispute(p, 1, true, 1);
        vm.expectRevert(refused);
        settlement.resolve(p, 0, 0, 0);
    }

    /// Any verdicts, disputes and draws in any order of epochs: the provider gets what accrued less what went to the
    /// buyer, to the microcredit.
    function testFuzz_EverythingComesOut(uint32[8] calldata ppm, uint8 disputes, uint16 slots, bool ends)
        external
        conserved
    {
        LeaseId id = _lease(2, _window(2, uint32(bound(slots, 1, 8))), Policy.Provider, false);
        _sign(id);
        leases.setCommittee(id, true);
        _deliver(id, 3);
        leases.prove(id, 3);
        uint256 epochs = (_endOf(id) - _startOf(id)) / EPOCH;
        uint256 toBuyer;
        for (uint256 k; k < epochs; ++k) {
            _toEpoch(id, k + 3, 60 * k);
            if (ends && k == 2 && block.timestamp < _endOf(id)) leases.breach(id, 0);
            leases.settle(id);
            if (_startOf(id) + k * EPOCH >= _lastOf(id)) break;
            toBuyer += _judge(id, k, uint32(bound(ppm[k], 0, 1_000_000)));
            if ((disputes >> k) & 1 == 0) continue;
            uint256 moved = settlement.dispute(_parties(id), ppm[k] % ONE, ppm[k] % 2 == 0, _lastOf(id));
            settlement.resolve(_parties(id), moved, moved / 3, moved - moved / 3);
            if (ppm[k] % 2 == 0) toBuyer -= moved - moved / 3;
            else toBuyer += moved / 3;
        }
        uint256 accrued = BOTH * (uint256(_lastOf(id)) - _startOf(id)) / EPOCH;
        vm.warp(block.timestamp + 30 days);
        _wipe(id);
        leases.settle(id);
        settlement.returnFees(_parties(id));
        assertEq(_held(id), 0);
        uint256 forfeited = ends && epochs > 5 ? _forfeited(id) : 0;
        assertEq(_free(northOrg), MONEY + accrued - toBuyer - forfeited);
        assertEq(_free(buyerOrg), MONEY - accrued + toBuyer + forfeited);
    }

    function _forfeited(LeaseId id) private view returns (uint256) {
        return BOTH * (_endOf(id) - _lastOf(id)) / EPOCH / 5;
    }

    function _lastOf(LeaseId id) private view returns (uint40) {
        uint40 endedAt = leases.lease(id).endedAt;
        return endedAt != 0 ? endedAt : uint40(_endOf(id));
    }
}
