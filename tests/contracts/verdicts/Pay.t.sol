// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {LeaseId, OrgId} from "../../../contracts/interfaces/Types.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W11, C2: flat pay by ticks, and what is left goes back.
contract PayTest is VerdictsBase {
    uint256 private constant FEE = 1001;

    function _closed(LeaseId id, uint32 term) private {
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_PayClosed.selector, id, term));
        verdicts.pay(id, term);
    }

    /// @dev The second from which the term of a lease is paid whose last epoch this is.
    function _payable(uint32 last) private {
        _final(last);
    }

    function _secondTerm(LeaseId id) private {
        _through(first + 23);
        vm.warp((uint256(first) + 24) * E + 200);
        witnesses.draw(id, 1);
    }

    function test_EachSeat_IsPaidForEachEpochItTicked() external {
        lease = _deliver(1, 4);
        _payable(first + 3);
        OrgId[] memory seats = _seats(lease, first);
        uint256[3] memory before;
        for (uint256 i; i < 3; ++i) {
            before[i] = escrow.free(seats[i]);
        }
        vm.expectEmit();
        emit IVerdicts.WitnessPaid(lease, 0, seats[0], 4, 4 * FEE);
        verdicts.pay(lease, 0);
        for (uint256 i; i < 3; ++i) {
            assertEq(escrow.free(seats[i]), before[i] + 4 * FEE);
        }
    }

    /// The same for who called it down as for who did not: a verdict earns nobody anything.
    function test_Pay_DoesNotDependOnTheVerdict() external {
        lease = _deliver(1, 4);
        _say(0, lease, 0, first, ALL_ROUNDS);
        _say(1, lease, 0, first, ALL_ROUNDS);
        _openClaims(first);
        _claim(2, first);
        _payable(first + 3);
        OrgId[] memory seats = _seats(lease, first);
        uint256 reporter = escrow.free(seats[0]);
        uint256 other = escrow.free(seats[2]);
        verdicts.pay(lease, 0);
        assertEq(escrow.free(seats[0]) - reporter, 4 * FEE);
        assertEq(escrow.free(seats[2]) - other, 4 * FEE);
    }

    function test_EpochWithoutATick_IsNotPaid() external {
        lease = _deliver(1, 4);
        OrgId seat = _seats(lease, first)[1];
        silent[seat][first + 1] = true;
        _payable(first + 3);
        uint256 before = escrow.free(seat);
        verdicts.pay(lease, 0);
        // Epoch 1 was not committed, so that its opening is none either.
        assertEq(
            escrow.free(seat), before + 2 * FEE, "its silence in one epoch also left the one before unopened"
        );
    }

    function test_Fees_AreWhatIsPaidAndWhatReturns() external {
        lease = _deliver(1, 4);
        assertEq(_account().fee, 5 * 4 * FEE, "for as many seats as the largest committee has");
        _payable(first + 3);
        uint256 provider = escrow.free(northOrg);
        uint256 buyers = escrow.free(buyerOrg);
        verdicts.pay(lease, 0);
        assertEq(_account().feePaid, 12 * FEE);
        assertEq(_account().fee, 12 * FEE);
        assertEq(escrow.free(northOrg), provider + 4 * FEE + 4 * EPOCH_PRICE, "settled with it");
        assertEq(escrow.free(buyerOrg), buyers + 4 * FEE);
        assertTrue(_account().closed);
        (, bool done) = verdicts.nextPay(lease);
        assertTrue(done);
    }

    /// Somebody settled before: there is nothing left to do.
    function test_PayAfterTheLastPayment_IsTheWitnessesAlone() external {
        lease = _deliver(1, 4);
        _payable(first + 3);
        leases.settle(lease);
        uint256 provider = escrow.free(northOrg);
        verdicts.pay(lease, 0);
        assertEq(escrow.free(northOrg), provider + 4 * FEE);
    }

    function test_PayBeforeTheTermIsFinal_IsRefused() external {
        lease = _deliver(1, 4);
        _payable(first + 3);
        vm.warp(block.timestamp - 1);
        _closed(lease, 0);
        vm.warp(block.timestamp + 1);
        verdicts.pay(lease, 0);
    }

    function test_PayTwice_IsRefused() external {
        lease = _deliver(1, 4);
        _payable(first + 3);
        verdicts.pay(lease, 0);
        _closed(lease, 0);
        _closed(lease, 1);
    }

    function test_Terms_ArePaidInTurn() external {
        _secondTerm(lease);
        _closed(lease, 1);
        _payable(first + 23);
        _closed(lease, 1);
        verdicts.pay(lease, 0);
        _closed(lease, 1); // not final
        assertEq(_account().feePaid, 3 * 24 * FEE);
        _payable(first + 47);
        verdicts.pay(lease, 1);
        assertEq(_account().feePaid, 3 * 48 * FEE);
        assertEq(_account().fee, 3 * 48 * FEE, "the rest went back");
    }

    /// Drawn late, paid from then on: the epoch it was drawn in is the first.
    function test_CommitteeDrawnLate_IsPaidFromThenOn() external {
        _through(first + 29);
        vm.warp((uint256(first) + 30) * E + 200);
        witnesses.draw(lease, 1);
        _payable(first + 47);
        verdicts.pay(lease, 0);
        verdicts.pay(lease, 1);
        assertEq(_account().feePaid, 3 * (24 + 18) * FEE);
    }

    function test_TermThatWasNeverDrawn_PaysNobody() external {
        _payable(first + 47);
        verdicts.pay(lease, 0);
        verdicts.pay(lease, 1);
        assertEq(_account().feePaid, 3 * 24 * FEE);
        assertEq(_account().fee, 3 * 24 * FEE);
    }

    function test_LeaseThatEndedEarly_PaysToItsLastEpoch() external {
        _through(first);
        vm.warp(uint256(first + 2) * E + 300);
        vm.prank(buyer);
        leases.endEarly(lease); // five minutes into epoch first + 3
        _payable(first + 3);
        verdicts.pay(lease, 0);
        assertEq(_account().feePaid, 3 * 4 * FEE);
        assertEq(_account().fee, 3 * 4 * FEE);
    }

    function test_LeaseWithoutSla_HasNothingToPay() external {
        LeaseId other = _open(1, 4, NO_SLA);
        _payable(first + 3);
        _closed(other, 0);
    }

    /// Signed, never drawn, never delivered: once it is over, all goes back.
    function test_LeaseWithoutACommittee_ReturnsAllOnceItIsOver() external {
        LeaseId other = _open(1, 4, sla);
        _closed(other, 0);
        vm.warp(uint256(first + 4) * E - 1);
        _closed(other, 0);
        vm.warp(uint256(first + 4) * E);
        verdicts.pay(other, 0);
        assertEq(settlement.account(other).fee, 0);
        _closed(other, 1);
    }

    /// Nothing was delivered, so nobody measured anything.
    function test_CancelledLease_PaysNobody() external {
        LeaseId other = _open(1, 4, sla);
        witnesses.draw(other, 0);
        vm.prank(buyer);
        leases.cancel(other);
        _payable(first);
        verdicts.pay(other, 0);
        assertEq(settlement.account(other).feePaid, 0);
        assertEq(settlement.account(other).fee, 0);
    }
}
