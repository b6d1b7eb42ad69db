// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OrgId} from "../../../contracts/interfaces/Types.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W5, W6, W9: a quorum's published leaves make a verdict, in time, and nothing else does.
contract ClaimsTest is VerdictsBase {
    uint256 private constant DOWN = ((1 << 40) - 1) << 20; // 40 of 60 rounds; grace forgives ten of them

    function test_Quorum_PutsThePenaltyAside() external {
        _say(2, first, DOWN);
        _openClaims(first);
        uint256[] memory down = new uint256[](1);
        down[0] = DOWN;
        vm.expectEmit();
        emit IVerdicts.VerdictGiven(lease, 0, first, down, 60, 30, 250_000, EPOCH_PRICE / 4, 2);
        _claim(2, first);
        assertEq(_account().pending, EPOCH_PRICE / 4);
        IVerdicts.Record memory r = _record();
        assertEq(r.last, first);
        assertEq(r.ppm, 250_000);
        assertEq(r.streaks, 0x0101);
    }

    /// Half of the rounds up is not below one half.
    function test_AvailabilityAtTheTier_IsNotBelowIt() external {
        _useGrace();
        _plan(first + 1, 30);
        _plan(first + 2, 31);
        _take(first + 1);
        assertEq(_record().ppm, 250_000);
        _take(first + 2);
        assertEq(_record().ppm, 1_000_000);
    }

    function test_OneRoundOfSixty_IsTheMildestTier() external {
        _useGrace();
        _judge(first + 1, 1);
        assertEq(_record().ppm, 100_000);
    }

    function test_FewerThanAQuorum_MakeNoVerdict() external {
        _say(3, first, DOWN);
        _openClaims(first);
        _refuse(1, first, abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first, 0));
    }

    function test_NoEvidence_MakesNoVerdict() external {
        _openClaims(first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first, 0));
        verdicts.claim(lease, 0, first, _none());
    }

    function test_RoundsThatTooFewCallDown_DoNotCount() external {
        _useGrace();
        _say(0, lease, 0, first + 1, 0xff);
        _say(1, lease, 0, first + 1, 0xf0);
        _openClaims(first + 1);
        _claim(2, first + 1);
        assertEq(_record().ppm, 100_000); // four of 60
    }

    // ---- time --------------------------------------------------------------------------------------------------

    function test_Claim_IsOpenFromTwoEpochsAfterTheEnd_ForThreeQuarters() external {
        _say(2, first, DOWN);
        _openClaims(first);
        uint256 from = (uint256(first) + 3) * E;
        uint256 until = from + 3 * E / 4;
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        bytes memory closed =
            abi.encodeWithSelector(IVerdicts.Verdicts_ClaimClosed.selector, lease, first, from, until);
        vm.warp(from - 1);
        vm.expectRevert(closed);
        verdicts.claim(lease, 0, first, evidence);
        vm.warp(until); // the exact second is too late
        vm.expectRevert(closed);
        verdicts.claim(lease, 0, first, evidence);
        vm.warp(until - 1);
        verdicts.claim(lease, 0, first, evidence);
        assertEq(_record().ppm, 250_000);
    }

    function test_EpochOutsideTheLease_CannotBeClaimed() external {
        _openClaims(first);
        uint32[2] memory epochs = [first - 1, first + 48];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, epochs[i])
            );
            verdicts.claim(lease, 0, epochs[i], _none());
        }
    }

    function test_MachineThatIsNotThere_CannotBeClaimed() external {
        _openClaims(first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, first));
        verdicts.claim(lease, 1, first, _none());
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, first));
        verdicts.claim(lease, 255, first, _none());
    }

    function test_LeaseThatNobodyAccepted_CannotBeClaimed() external {
        LeaseId other = _open(1, 48, sla);
        witnesses.draw(other, 0);
        _deliverBits(other, 1);
        _openClaims(first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, other, first));
        verdicts.claim(other, 0, first, _none());
    }

    function test_LeaseWithoutSla_CannotBeClaimed() external {
        LeaseId other = _open(1, 48, NO_SLA);
        _deliverBits(other, 1);
        vm.prank(buyer);
        leases.accept(other, 1);
        _openClaims(first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, other, first));
        verdicts.claim(other, 0, first, _none());
    }

    // ---- seats and leaves --------------------------------------------------------------------------------------

    function test_SeatNamedTwice_IsRefused() external {
        _say(2, first, DOWN);
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        evidence[1] = evidence[0];
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_BadSeat.selector, 1));
        verdicts.claim(lease, 0, first, evidence);
    }

    function test_SeatsOutOfOrder_AreRefused() external {
        _say(2, first, DOWN);
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        (evidence[0], evidence[1]) = (evidence[1], evidence[0]);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_BadSeat.selector, 1));
        verdicts.claim(lease, 0, first, evidence);
    }

    function test_SeatThatIsNotInTheCommittee_IsRefused() external {
        _say(2, first, DOWN);
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        evidence[1].seat = 3;
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_BadSeat.selector, 1));
        verdicts.claim(lease, 0, first, evidence);
    }

    function test_EpochThatIsNotOfTheSpan_IsRefused() external {
        _say(2, first, DOWN);
        _say(2, first + 1, DOWN);
        _openClaims(first + 1);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_BadSeat.selector, 0));
        verdicts.claim(lease, 0, first + 1, evidence);
    }

    /// One seat's leaf does not pass for another's: the opening is of who committed it.
    function test_LeafOfAnotherSeat_IsRefused() external {
        _say(2, first, DOWN);
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        evidence[1].published = evidence[0].published;
        OrgId org = _seats(lease, first)[1];
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, org, first));
        verdicts.claim(lease, 0, first, evidence);
    }

    function test_LeafOfAnotherEpoch_IsRefused() external {
        _say(2, first, DOWN);
        _openClaims(first + 1);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        evidence[0].epoch = first + 1;
        evidence[1].epoch = first + 1;
        OrgId org = _seats(lease, first)[0];
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, org, first + 1));
        verdicts.claim(lease, 0, first + 1, evidence);
    }

    function test_LeafOfAnotherLeaseOrMachine_IsRefused() external {
        LeaseId other = _deliver(2, 48);
        for (uint8 i; i < 2; ++i) {
            _say(i, other, 0, first, DOWN);
            _say(i, other, 1, first, 1);
        }
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(other, 0, 2, first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_OtherLeaf.selector, 0));
        verdicts.claim(lease, 0, first, evidence);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_OtherLeaf.selector, 0));
        verdicts.claim(other, 1, first, evidence);
        verdicts.claim(other, 0, first, evidence);
        assertEq(verdicts.record(other, 0).ppm, 250_000);
        assertEq(verdicts.record(other, 1).last, 0);
    }

    function test_ChangedLeaf_IsRefused() external {
        _say(2, first, 1);
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        evidence[0].published.leaf.down = ALL_ROUNDS;
        OrgId org = _seats(lease, first)[0];
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, org, first));
        verdicts.claim(lease, 0, first, evidence);
    }

    /// A leaf that was committed but never opened does not count.
    function test_UnpublishedLeaf_IsRefused() external {
        _say(2, first, DOWN);
        OrgId org = _seats(lease, first)[1];
        silent[org][first + 1] = true;
        _openClaims(first);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotPublished.selector, org, first));
        verdicts.claim(lease, 0, first, evidence);
    }

    // ---- again -------------------------------------------------------------------------------------------------

    function test_ClaimAgainWithMoreSeats_PaysTheDifferenceOnly() external {
        _useGrace();
        _say(0, lease, 0, first + 1, ALL_ROUNDS);
        _say(1, lease, 0, first + 1, 1);
        _say(2, lease, 0, first + 1, ALL_ROUNDS);
        _openClaims(first + 1);
        _claim(2, first + 1);
        assertEq(_account().pending, EPOCH_PRICE / 10);
        _claim(3, first + 1);
        assertEq(_account().pending, EPOCH_PRICE);
        IVerdicts.Record memory r = _record();
        assertEq(r.ppm, 1_000_000);
        assertEq(r.streaks, 0x010101, "the span counts once");
    }

    function test_ClaimAgainThatIsNoWorse_IsRefused() external {
        _useGrace();
        _say(0, lease, 0, first + 1, ALL_ROUNDS);
        _say(1, lease, 0, first + 1, 1);
        _say(2, lease, 0, first + 1, ALL_ROUNDS);
        _openClaims(first + 1);
        _claim(3, first + 1);
        bytes memory no =
            abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first + 1, 1_000_000);
        _refuse(2, first + 1, no);
        _refuse(3, first + 1, no);
        assertEq(_account().pending, EPOCH_PRICE);
    }

    // ---- money -------------------------------------------------------------------------------------------------

    function test_Penalty_ReachesTheBuyerOnceItsSpanIsFinal() external {
        _judge(first, 40);
        uint256 free = escrow.free(buyerOrg);
        uint256 provider = escrow.free(northOrg);
        leases.settle(lease);
        assertEq(escrow.free(buyerOrg), free);
        assertEq(escrow.free(northOrg), provider, "nothing is final");
        _final(first);
        leases.settle(lease);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE / 4);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE - EPOCH_PRICE / 4);
    }

    function test_SpanNobodyClaimedOn_IsTheProviders() external {
        _say(3, first, ALL_ROUNDS);
        _final(first);
        uint256 provider = escrow.free(northOrg);
        leases.settle(lease);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE);
    }

    /// Claims on the next span find the penalty of this one still waiting, and send it on.
    /// @dev Two spans below, both claimed.
    function _twoSpans() private {
        _plan(first, 40);
        _plan(first + 1, 60);
        _take(first + 1);
        assertEq(_account().owed, EPOCH_PRICE / 4);
    }

    function test_PenaltyOfAnEarlierSpan_IsPaidWithTheNextPayment() external {
        _twoSpans();
        uint256 free = escrow.free(buyerOrg);
        leases.settle(lease);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE / 4);
        assertEq(_account().pending, EPOCH_PRICE);
        assertEq(_account().owed, 0);
    }

    /// What is final is not in dispute any more.
    function test_PenaltyOfAnEarlierSpan_StaysOutOfAnAppealOfTheLaterOne() external {
        _twoSpans();
        vm.prank(north);
        uint256 id = verdicts.appeal(HOME, lease, 0, first + 1);
        assertEq(verdicts.appealOf(id).amount, EPOCH_PRICE);
        assertEq(_account().owed, EPOCH_PRICE / 4);
    }
}
