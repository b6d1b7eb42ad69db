// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {OrgId} from "../../../contracts/interfaces/Types.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W13, L11: a party takes a span to the council before it is final; only what is in dispute waits.
contract AppealsTest is VerdictsBase {
    OrgId private constant FUND = OrgId.wrap(0);

    function _appeal(address by) private returns (uint256) {
        vm.prank(by);
        return verdicts.appeal(HOME, lease, 0, first);
    }

    function _decide(uint256 id, uint256 toBuyer, bool upheld) private {
        vm.prank(address(timelock));
        verdicts.decide(id, toBuyer, upheld);
    }

    // ---- by the provider ---------------------------------------------------------------------------------------

    function test_Provider_DisputesThePenaltyThereIs() external {
        _judge(first, 40);
        uint256 free = escrow.free(northOrg);
        uint256 id = _appeal(north);
        IVerdicts.Appeal memory a = verdicts.appealOf(id);
        assertEq(a.amount, EPOCH_PRICE / 4);
        assertEq(a.bond, APPEAL_BOND);
        assertEq(OrgId.unwrap(a.by), OrgId.unwrap(northOrg));
        assertEq(escrow.free(northOrg), free - APPEAL_BOND);
        assertEq(_account().pending, 0);
        assertEq(_account().disputed, EPOCH_PRICE / 4);
    }

    function test_WhatIsNotInDispute_IsDrawnMeanwhile() external {
        _judge(first, 40);
        _appeal(north);
        _final(first);
        uint256 provider = escrow.free(northOrg);
        uint256 free = escrow.free(buyerOrg);
        leases.settle(lease);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE - EPOCH_PRICE / 4);
        assertEq(escrow.free(buyerOrg), free);
    }

    function test_ProvidersAppealUpheld_PaysItAndReturnsItsBond() external {
        _judge(first, 40);
        uint256 provider = escrow.free(northOrg);
        uint256 id = _appeal(north);
        _final(first);
        _decide(id, 0, true);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE / 4);
        assertTrue(verdicts.appealOf(id).decided);
        assertEq(_account().disputed, 0);
    }

    function test_ProvidersAppealRejected_PaysTheBuyer_TheBondIsTheCouncils() external {
        _judge(first, 40);
        uint256 provider = escrow.free(northOrg);
        uint256 free = escrow.free(buyerOrg);
        uint256 fund = escrow.free(FUND);
        uint256 id = _appeal(north);
        _decide(id, EPOCH_PRICE / 4, false);
        assertEq(escrow.free(northOrg), provider - APPEAL_BOND);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE / 4);
        assertEq(escrow.free(FUND), fund + APPEAL_BOND);
    }

    function test_CouncilMaySplit() external {
        _judge(first, 40);
        uint256 provider = escrow.free(northOrg);
        uint256 free = escrow.free(buyerOrg);
        _decide(_appeal(north), 1, true);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE / 4 - 1);
        assertEq(escrow.free(buyerOrg), free + 1);
    }

    function test_CouncilGivesNoMoreThanIsInDispute() external {
        _judge(first, 40);
        uint256 id = _appeal(north);
        vm.prank(address(timelock));
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.Settlement_BadSplit.selector, lease, EPOCH_PRICE / 4, EPOCH_PRICE / 4 + 1
            )
        );
        verdicts.decide(id, EPOCH_PRICE / 4 + 1, true);
    }

    function test_ProviderWithoutAVerdict_HasNothingToAppeal() external {
        _openClaims(first);
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_AppealClosed.selector, lease, first));
        verdicts.appeal(HOME, lease, 0, first);
    }

    /// A worse claim on a span its provider has appealed goes on trial with it.
    function test_WorseClaimAfterAnAppeal_IsInDisputeToo() external {
        _say(0, lease, 0, first, (1 << 40) - 1);
        _say(1, lease, 0, first, (1 << 12) - 1);
        _say(2, lease, 0, first, (1 << 40) - 1);
        _openClaims(first);
        _claim(2, first);
        uint256 id = _appeal(north);
        assertEq(verdicts.appealOf(id).amount, EPOCH_PRICE / 10);
        _claim(3, first);
        assertEq(verdicts.appealOf(id).amount, EPOCH_PRICE / 4);
        assertEq(_account().disputed, EPOCH_PRICE / 4);
        assertEq(_account().pending, 0);
        _decide(id, EPOCH_PRICE / 4, false);
        assertEq(_account().disputed, 0);
    }

    // ---- by the buyer ------------------------------------------------------------------------------------------

    function test_Buyer_DisputesWhatTheWorstTierWouldTake() external {
        _openClaims(first);
        uint256 id = _appeal(buyer);
        assertEq(verdicts.appealOf(id).amount, EPOCH_PRICE);
        _final(first);
        uint256 provider = escrow.free(northOrg);
        leases.settle(lease);
        assertEq(escrow.free(northOrg), provider, "all of the span waits");
        uint256 free = escrow.free(buyerOrg);
        _decide(id, EPOCH_PRICE / 2, true);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE / 2 + APPEAL_BOND);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE / 2);
    }

    function test_BuyerWithAMildVerdict_DisputesTheRest() external {
        _judge(first, 40);
        uint256 id = _appeal(buyer);
        assertEq(verdicts.appealOf(id).amount, EPOCH_PRICE - EPOCH_PRICE / 4);
        assertEq(_account().pending, EPOCH_PRICE / 4);
    }

    function test_BuyerWithTheWorstVerdict_HasNothingToAppeal() external {
        _useGrace();
        _judge(first + 1, 60);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_AppealClosed.selector, lease, first + 1));
        verdicts.appeal(HOME, lease, 0, first + 1);
    }

    /// Else the span could be paid for twice: by the claim, and by the dispute.
    function test_SpanItsBuyerAppealed_CannotBeClaimed() external {
        _say(2, first, ALL_ROUNDS);
        _openClaims(first);
        _appeal(buyer);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_Appealed.selector, lease, first));
        verdicts.claim(lease, 0, first, evidence);
    }

    function test_BuyersAppealOfASpanWithoutClaim_LeavesTheNextSpanAlone() external {
        _plan(first + 1, 11);
        _openClaims(first);
        _appeal(buyer);
        _take(first + 1);
        assertEq(_record().last, first + 1);
        assertEq(_record().ppm, 100_000);
        assertEq(_account().pending, EPOCH_PRICE / 10);
        assertEq(_account().disputed, EPOCH_PRICE);
    }

    // ---- both, others, and when --------------------------------------------------------------------------------

    /// A buyer cannot keep the provider from appealing by appealing first.
    function test_BothSidesMayAppeal_EachOnce() external {
        _judge(first, 40);
        uint256 theirs = _appeal(buyer);
        uint256 ours = _appeal(north);
        assertEq(verdicts.appealOf(theirs).amount + verdicts.appealOf(ours).amount, EPOCH_PRICE);
        for (uint256 i; i < 2; ++i) {
            vm.prank(i == 0 ? buyer : north);
            vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_Appealed.selector, lease, first));
            verdicts.appeal(HOME, lease, 0, first);
        }
        _final(first);
        uint256 free = escrow.free(buyerOrg);
        _decide(theirs, EPOCH_PRICE - EPOCH_PRICE / 4, true);
        _decide(ours, EPOCH_PRICE / 4, false);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE + APPEAL_BOND);
        assertEq(_account().disputed, 0);
    }

    function test_OnlyPartiesAppeal() external {
        _judge(first, 40);
        vm.prank(rival);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NotParty.selector, lease, rivalOrg));
        verdicts.appeal(HOME, lease, 0, first);
        vm.prank(makeAddr("nobody"));
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, makeAddr("nobody")));
        verdicts.appeal(HOME, lease, 0, first);
        address clerk = makeAddr("clerk");
        vm.prank(north);
        members.setMember(clerk, MemberRights.SIGN, type(uint96).max);
        vm.prank(clerk);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER));
        verdicts.appeal(HOME, lease, 0, first);
    }

    /// The buyer gives the provider's key a grant that nobody asked for: it still appeals for its own side.
    function test_RightsFromTheOtherParty_DoNotStopAnAppeal() external {
        _judge(first, 40);
        vm.prank(buyer);
        members.grant(buyerOrg, north, MemberRights.BUY, 0);
        vm.prank(north);
        assertGt(verdicts.appeal(northOrg, lease, 0, first), 0);
    }

    /// R3: a claim in the last second of its time leaves a quarter of an epoch to appeal it.
    function test_LastClaim_CanBeAppealed() external {
        _say(2, first, (1 << 40) - 1);
        _openClaims(first);
        uint256 from = (uint256(first) + 3) * E;
        vm.warp(from + 3 * E / 4 - 1);
        _claim(2, first);
        vm.warp(from + E - 1);
        assertEq(verdicts.appealOf(_appeal(north)).amount, EPOCH_PRICE / 4);
        assertEq(_account().pending, 0);
    }

    function test_InTheLastQuarter_NobodyClaims() external {
        _say(2, first, ALL_ROUNDS);
        _openClaims(first);
        uint256 from = (uint256(first) + 3) * E;
        vm.warp(from + 3 * E / 4);
        _refuse(
            2,
            first,
            abi.encodeWithSelector(
                IVerdicts.Verdicts_ClaimClosed.selector, lease, first, from, from + 3 * E / 4
            )
        );
    }

    /// Else the span could be judged anew after the council has spoken.
    function test_DecidedSpan_IsNotClaimedAgain() external {
        _say(0, lease, 0, first, (1 << 40) - 1);
        _say(1, lease, 0, first, (1 << 12) - 1);
        _say(2, lease, 0, first, (1 << 40) - 1);
        _openClaims(first);
        _claim(2, first);
        _decide(_appeal(north), 0, true);
        _refuse(3, first, abi.encodeWithSelector(IVerdicts.Verdicts_Appealed.selector, lease, first));
    }

    function test_Appeal_IsOpenUntilTheSpanIsFinal() external {
        _say(2, first, ALL_ROUNDS);
        _openClaims(first);
        uint256 from = (uint256(first) + 3) * E;
        bytes memory closed =
            abi.encodeWithSelector(IVerdicts.Verdicts_ClaimClosed.selector, lease, first, from, from + E);
        vm.warp(from - 1);
        vm.prank(buyer);
        vm.expectRevert(closed);
        verdicts.appeal(HOME, lease, 0, first);
        vm.warp(from + E); // the exact second is too late; what was pending may be paid out
        vm.prank(buyer);
        vm.expectRevert(closed);
        verdicts.appeal(HOME, lease, 0, first);
    }

    function test_AppealAfterThePenaltyWasPaid_IsTooLate() external {
        _judge(first, 40);
        _final(first);
        leases.settle(lease);
        vm.prank(north);
        vm.expectRevert();
        verdicts.appeal(HOME, lease, 0, first);
    }

    function test_OnlyTheTimelockDecides() external {
        _judge(first, 40);
        uint256 id = _appeal(north);
        address[3] memory others = [council, north, buyer];
        for (uint256 i; i < 3; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotTimelock.selector, others[i]));
            verdicts.decide(id, 0, true);
        }
    }

    function test_Undecided_LapsesWithTheVerdictAndTheBondBack() external {
        _judge(first, 40);
        uint256 provider = escrow.free(northOrg);
        uint256 free = escrow.free(buyerOrg);
        uint256 id = _appeal(north);
        vm.warp(block.timestamp + 30 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoAppeal.selector, id));
        verdicts.lapse(id);
        vm.warp(block.timestamp + 1);
        verdicts.lapse(id);
        assertEq(escrow.free(northOrg), provider);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE / 4);
    }

    function test_UndecidedAppealOfTheBuyer_LapsesForTheProvider() external {
        _openClaims(first);
        uint256 id = _appeal(buyer);
        uint256 provider = escrow.free(northOrg);
        uint256 free = escrow.free(buyerOrg);
        vm.warp(block.timestamp + 30 days);
        verdicts.lapse(id);
        assertEq(escrow.free(northOrg), provider + EPOCH_PRICE);
        assertEq(escrow.free(buyerOrg), free + APPEAL_BOND);
    }

    function test_AppealIsClosedOnce() external {
        _judge(first, 40);
        uint256 id = _appeal(north);
        _decide(id, 0, true);
        bytes memory no = abi.encodeWithSelector(IVerdicts.Verdicts_NoAppeal.selector, id);
        vm.prank(address(timelock));
        vm.expectRevert(no);
        verdicts.decide(id, 0, true);
        vm.warp(block.timestamp + 30 days);
        vm.expectRevert(no);
        verdicts.lapse(id);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoAppeal.selector, id + 1));
        verdicts.lapse(id + 1);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NoAppeal.selector, id + 1));
        verdicts.appealOf(id + 1);
    }

    /// The lease is over and closed long before the council speaks; what is in dispute waited for it.
    function test_AppealOutlivesTheLease() external {
        lease = _deliver(1, 1);
        _judge(first, 40);
        uint256 id = _appeal(north);
        _final(first);
        leases.settle(lease);
        assertTrue(_account().closed);
        uint256 free = escrow.free(buyerOrg);
        _decide(id, EPOCH_PRICE / 4, false);
        assertEq(escrow.free(buyerOrg), free + EPOCH_PRICE / 4);
    }
}
