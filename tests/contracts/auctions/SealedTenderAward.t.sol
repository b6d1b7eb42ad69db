// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./TenderBase.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {AwardId, LeaseId, LeaseState, OrgId, RequestId, SlaId} from "../../../contracts/interfaces/Types.sol";

abstract contract SealedTenderAwardBase is TenderBase {
    Seller[] internal sellers;
    Sealed[] internal bids;

    /// @dev One bid by a new seller with `n` machines; the bid names them all.
    function _bid(RequestId id, uint64 rate, uint256 n) internal returns (Seller memory s) {
        s = _seller(n);
        sellers.push(s);
        bids.push(_commit(id, s, rate, n));
    }

    function _revealAll(RequestId id) internal {
        _toReveal(id);
        for (uint256 i; i < bids.length; ++i) {
            _reveal(id, bids[i]);
        }
    }

    function _awardNow(RequestId id) internal {
        _toAward(id);
        tender.award(id);
    }

    function _price(uint32 lease) internal view returns (uint256) {
        return settlement.account(LeaseId.wrap(lease)).price;
    }

    function _assertAllReturned(RequestId id) internal view {
        assertEq(_free(buyerOrg), MONEY, "the buyer has all of it back");
        _assertStage(id, ISealedTender.Stage.Unfilled);
        assertEq(leases.count(), 0);
        assertTrue(book.request(id).closed);
        assertEq(book.openOrders(buyerOrg), 0);
    }
}

/// @notice A3, A7, A8 at first price.
contract SealedTenderAwardTest is SealedTenderAwardBase {
    /// C2: at the ceiling's rate, one lease a machine, the fund holds exactly enough.
    function test_WhenAnSlaIsAskedFor_TheFundPaysTheFees() external {
        promised = SlaId.wrap(3);
        RequestId id = _post(2);
        _bid(id, CEILING, 1);
        _bid(id, CEILING, 1);
        _revealAll(id);
        _awardNow(id);
        assertEq(leases.count(), 2);
        assertEq(_free(buyerOrg), MONEY - 2 * CEILING_AMOUNT - 2 * 25_025);
        assertEq(settlement.account(LeaseId.wrap(1)).fee, 50_050);
        assertEq(SlaId.unwrap(leases.lease(LeaseId.wrap(2)).sla), 3);
        // Also held: the offer's deposit, and the tender's.
        assertEq(_free(sellers[0].org), PURSE - CEILING_AMOUNT / 5 - 25_025 - 300_000 - 2 * DEPOSIT);
    }

    /// One lease where two might have been: the fees of the other return with the rest of the ceiling.
    function test_WhenOneProviderTakesAll_ReturnsTheOtherFees() external {
        promised = SlaId.wrap(3);
        RequestId id = _post(2);
        _bid(id, CEILING, 2);
        _revealAll(id);
        _awardNow(id);
        assertEq(_free(buyerOrg), MONEY - 2 * CEILING_AMOUNT - 25_025);
    }

    /// C3, A8: several providers under one award id, each paid its own bid; the excess returns.
    function test_WhenFilledBySeveral_PaysEachItsOwnBid() external {
        RequestId id = _post(2);
        _bid(id, 4_500_000, 1);
        _bid(id, 3_500_000, 1);
        _bid(id, 4_000_000, 1);
        _revealAll(id);
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderAwarded(id, AwardId.wrap(1), 2, 0);
        tender.award(id);

        _assertStage(id, ISealedTender.Stage.Awarded);
        assertEq(AwardId.unwrap(tender.tender(id).award), 1);
        assertEq(leases.count(), 2);
        ILeases.Lease memory first = leases.lease(LeaseId.wrap(1));
        ILeases.Lease memory second = leases.lease(LeaseId.wrap(2));
        assertTrue(first.provider == sellers[1].org && second.provider == sellers[2].org);
        assertEq(AwardId.unwrap(first.award), AwardId.unwrap(second.award));
        assertEq(RequestId.unwrap(first.request), RequestId.unwrap(id));
        assertEq(_price(1), 35_000_000);
        assertEq(_price(2), 40_000_000);
        assertEq(settlement.account(LeaseId.wrap(1)).bond, 7_000_000);
        assertEq(_free(buyerOrg), MONEY - 75_000_000);
        _assertStatus(id, sellers[0].org, ISealedTender.BidStatus.Revealed);

        for (uint256 i; i < 3; ++i) {
            tender.claim(id, sellers[i].org);
        }
        assertEq(_held(id), 0);
    }

    /// A7: the last cut to what is missing.
    function test_WhenTheLastBidIsTooLarge_CutsIt() external {
        RequestId id = _post(4);
        _bid(id, 3_500_000, 3);
        _bid(id, 4_000_000, 3);
        _revealAll(id);
        _awardNow(id);
        assertEq(leases.lease(LeaseId.wrap(2)).count, 1);
        assertEq(_price(2), 40_000_000);
        assertTrue(leases.holds(LeaseId.wrap(2), sellers[1].machines[0]));
        assertTrue(inventory.isFree(sellers[1].machines[1], book.request(id).start, book.request(id).end));
    }

    /// A7: all-or-nothing awards only a full count.
    function test_WhenAllOrNothingIsNotFull_ReturnsAll() external {
        RequestId id = _post(3, false, true);
        _bid(id, 3_500_000, 1);
        _bid(id, 4_000_000, 1);
        _revealAll(id);
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderUnfilled(id);
        tender.award(id);
        _assertAllReturned(id);
        tender.claim(id, sellers[0].org);
        tender.claim(id, sellers[1].org);
        assertEq(_held(id), 0);
    }

    function test_WhenAllOrNothingIsFull_Awards() external {
        RequestId id = _post(3, false, true);
        _bid(id, 3_500_000, 2);
        _bid(id, 4_000_000, 2);
        _revealAll(id);
        _awardNow(id);
        assertEq(leases.lease(LeaseId.wrap(1)).traits, Traits.ALL_OR_NOTHING);
        assertEq(_free(buyerOrg), MONEY - 110_000_000);
    }

    function test_WhenPartIsEnough_AwardsWhatThereIs() external {
        RequestId id = _post(3);
        _bid(id, 3_500_000, 1);
        _bid(id, 4_000_000, 1);
        _revealAll(id);
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderAwarded(id, AwardId.wrap(1), 2, 0);
        tender.award(id);
        assertEq(_free(buyerOrg), MONEY - 75_000_000);
    }

    /// A3: a tender without a valid bid returns all.
    function test_WhenNobodyBid_ReturnsAll() external {
        RequestId id = _post(2);
        _awardNow(id);
        _assertAllReturned(id);
        assertEq(_held(id), 0);
    }

    /// A7: bids by rate, then by commitment, whatever the order of reveals.
    function test_WhenRatesTie_TheLowerCommitmentWins() external {
        RequestId id = _post(1);
        _bid(id, RATE, 1);
        _bid(id, RATE, 1);
        bytes32 a = tender.bidder(id, sellers[0].org).commitment;
        bytes32 b = tender.bidder(id, sellers[1].org).commitment;
        _revealAll(id);
        _awardNow(id);
        assertTrue(leases.lease(LeaseId.wrap(1)).provider == (a < b ? sellers[0].org : sellers[1].org));
    }

    /// E2: awarded within the window, the price counts from the award; the excess returns.
    function test_WhenTheWindowRuns_PaysFromTheAward() external {
        RequestId id = _post(1);
        _bid(id, 3_600_000, 1);
        _revealAll(id);
        vm.warp(uint256(book.request(id).start) * SLOT + 1000);
        tender.award(id);
        assertEq(_price(1), 35_000_000);
        assertEq(_free(buyerOrg), MONEY - 35_000_000);
    }

    /// After the window's end there is nothing left to award, and nobody is to blame.
    function test_WhenTheWindowIsOver_ReturnsAllAndBlamesNobody() external {
        RequestId id = _post(1);
        _bid(id, 3_500_000, 1);
        _bid(id, 4_000_000, 1);
        _revealAll(id);
        vm.warp(uint256(book.request(id).end) * SLOT);
        tender.award(id);
        _assertAllReturned(id);
        uint256 before = _free(sellers[0].org);
        tender.claim(id, sellers[0].org);
        tender.claim(id, sellers[1].org);
        assertEq(_free(sellers[0].org), before + DEPOSIT);
        assertEq(_free(FUND), 0);
        assertEq(_held(id), 0);
    }

    /// A greedy buyer lowers its member's limit, or throws the member out, between post and award: the ceiling is
    /// locked, the award goes through.
    function test_WhenTheBuyerLowersItsMembersLimit_AwardsAllTheSame() external {
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, uint96(CEILING_AMOUNT));
        vm.prank(clerk);
        RequestId id = tender.post(HOME, _requestTerms(1, false), _tenderTerms(false));
        _bid(id, 3_500_000, 1);
        _revealAll(id);
        vm.prank(buyer);
        members.setMember(clerk, 0, 0);
        uint256 snapshot = vm.snapshotState();
        _awardNow(id);
        assertEq(_price(1), 35_000_000);
        assertEq(members.member(clerk).spent, 35_000_000);

        vm.revertToState(snapshot);
        vm.prank(buyer);
        members.removeMember(clerk);
        vm.prank(buyer);
        escrow.withdraw(MONEY - CEILING_AMOUNT);
        _awardNow(id);
        assertEq(_price(1), 35_000_000);
        assertEq(_free(buyerOrg), 15_000_000);
    }

    /// A greedy provider takes its offer down after the reveal: the bid binds.
    function test_WhenTheOfferIsCancelledAfterTheReveal_AwardsAllTheSame() external {
        RequestId id = _post(1);
        _bid(id, 3_500_000, 1);
        _revealAll(id);
        vm.prank(sellers[0].admin);
        book.cancel(sellers[0].offer);
        vm.prank(council);
        members.setSuspended(sellers[0].org, true); // E7: new orders only
        _awardNow(id);
        _assertStatus(id, sellers[0].org, ISealedTender.BidStatus.Awarded);
    }

    /// A greedy provider bids, wins, and has drained its balance: its deposit is forfeited, the next one wins.
    function test_WhenTheWinnerDrainedItsBalance_ForfeitsItsDeposit() external {
        RequestId id = _post(1);
        _bid(id, 3_500_000, 1);
        _bid(id, 4_000_000, 1);
        _bid(id, 4_100_000, 1);
        _revealAll(id);
        uint256 all = _free(sellers[0].org);
        vm.prank(sellers[0].admin);
        escrow.withdraw(all - 7_000_000 + 1);
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.BidSkipped(id, sellers[0].org, ISealedTender.BidStatus.Uncovered);
        vm.expectEmit(address(tender));
        emit ISealedTender.DepositsForfeited(id, DEPOSIT, DEPOSIT, 0);
        tender.award(id);
        _assertStatus(id, sellers[1].org, ISealedTender.BidStatus.Awarded);
        vm.expectRevert(_wrongStatus(id, sellers[0].org, ISealedTender.BidStatus.Uncovered));
        tender.claim(id, sellers[0].org);
        tender.claim(id, sellers[1].org);
        uint256 before = _free(sellers[2].org);
        tender.claim(id, sellers[2].org);
        assertEq(_free(sellers[2].org), before + 2 * DEPOSIT);
        assertEq(_held(id), 0);
    }

    function test_WhenTheWinnersMemberLeft_ForfeitsItsDeposit() external {
        RequestId id = _post(1);
        Seller memory s = _seller(1);
        address clerk = makeAddr("seller's clerk");
        vm.prank(s.admin);
        members.setMember(clerk, MemberRights.OFFER, type(uint96).max);
        Sealed memory b = _seal(s, RATE, 1);
        bytes32 commitment = tender.commitmentOf(id, s.org, b.bid, b.salt);
        vm.prank(clerk);
        tender.commit(HOME, id, commitment);
        _toReveal(id);
        _reveal(id, b);
        vm.prank(clerk);
        members.leave();
        _awardNow(id);
        _assertAllReturned(id);
        _assertStatus(id, s.org, ISealedTender.BidStatus.Uncovered);
        assertEq(_free(FUND), DEPOSIT);
        assertEq(_held(id), 0);
    }

    function test_RevertWhen_RevealsStillCome() external {
        RequestId id = _post(1);
        uint256 from = tender.tender(id).revealEnd;
        vm.warp(from - 1);
        vm.expectRevert(_tooEarly(id, from));
        tender.award(id);
    }

    function test_RevertWhen_AwardedAlready() external {
        RequestId id = _post(1);
        _bid(id, RATE, 1);
        _revealAll(id);
        _awardNow(id);
        vm.expectRevert(_wrongStage(id, ISealedTender.Stage.Awarded));
        tender.award(id);
        vm.expectRevert(_wrongStage(id, ISealedTender.Stage.Awarded));
        vm.prank(buyer);
        tender.cancel(id);
    }

    function test_RevertWhen_Cancelled() external {
        RequestId id = _post(1);
        vm.prank(buyer);
        tender.cancel(id);
        _toAward(id);
        vm.expectRevert(_wrongStage(id, ISealedTender.Stage.Cancelled));
        tender.award(id);
    }

    /// A7, A8 against a plain model: rates sorted, count filled in that order, each at its own rate, money conserved.
    function testFuzz_WhenFirstPrice_CheapestFillTheCount(
        uint64[5] memory rates,
        uint8[5] memory sizes,
        uint8 count
    ) external {
        uint256 wanted = bound(count, 1, 8);
        RequestId id = _post(uint16(wanted));
        for (uint256 i; i < 5; ++i) {
            rates[i] = uint64(bound(rates[i], RATE, CEILING)) / 8 * 8 + uint64(i); // no ties
            if (rates[i] > CEILING) rates[i] -= 8;
            sizes[i] = uint8(bound(sizes[i], 1, 3));
            _bid(id, rates[i], sizes[i]);
        }
        _revealAll(id);
        _awardNow(id);

        uint256 cost;
        bool[5] memory used;
        for (uint256 step; step < 5 && wanted != 0; ++step) {
            uint256 best = 5;
            for (uint256 i; i < 5; ++i) {
                if (!used[i] && (best == 5 || rates[i] < rates[best])) best = i;
            }
            used[best] = true;
            uint256 n = sizes[best] < wanted ? sizes[best] : wanted;
            wanted -= n;
            cost += n * rates[best] * 10;
            ILeases.Lease memory l = leases.lease(LeaseId.wrap(uint32(step + 1)));
            assertTrue(l.provider == sellers[best].org, "order");
            assertEq(l.count, n);
            assertEq(l.rate, rates[best]);
        }
        assertEq(_free(buyerOrg), MONEY - cost);
        for (uint256 i; i < 5; ++i) {
            tender.claim(id, sellers[i].org);
        }
        assertEq(_held(id), 0);
    }
}

/// @notice A8: Vickrey's rule.
contract SealedTenderVickreyTest is SealedTenderAwardBase {
    function _run(uint16 count, uint64[] memory rates) private returns (RequestId id) {
        id = _post(count, true, false);
        for (uint256 i; i < rates.length; ++i) {
            _bid(id, rates[i], 1);
        }
        _revealAll(id);
    }

    function _rates(uint256 n) private pure returns (uint64[] memory rates) {
        rates = new uint64[](n);
        for (uint256 i; i < n; ++i) {
            rates[i] = uint64(3_500_000 + 300_000 * i);
        }
    }

    function test_WhenTwoRevealed_IsFirstPrice() external {
        RequestId id = _run(1, _rates(2));
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderAwarded(id, AwardId.wrap(1), 1, 0);
        tender.award(id);
        assertEq(_price(1), 35_000_000);
    }

    function test_WhenThreeRevealed_PaysTheLowestRateNotAwarded() external {
        RequestId id = _run(1, _rates(3));
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.TenderAwarded(id, AwardId.wrap(1), 1, 3_800_000);
        tender.award(id);
        assertEq(_price(1), 38_000_000);
        assertEq(settlement.account(LeaseId.wrap(1)).bond, 7_600_000);
        assertEq(_free(buyerOrg), MONEY - 38_000_000);
    }

    function test_WhenFourRevealedForTwo_PaysBothTheThirdRate() external {
        _awardNow(_run(2, _rates(4)));
        assertEq(_price(1), 41_000_000);
        assertEq(_price(2), 41_000_000);
        assertEq(leases.lease(LeaseId.wrap(1)).rate, 4_100_000);
    }

    function test_WhenAllAreAwarded_PaysTheCeiling() external {
        _awardNow(_run(3, _rates(3)));
        for (uint32 i = 1; i <= 3; ++i) {
            assertEq(_price(i), CEILING_AMOUNT);
        }
        assertEq(_free(buyerOrg), MONEY - 3 * CEILING_AMOUNT);
    }

    /// A bid cut to what is missing is an awarded one: it does not set the rate.
    function test_WhenTheLastIsCut_PaysTheNextBidsRate() external {
        RequestId id = _post(2, true, false);
        _bid(id, 3_500_000, 1);
        _bid(id, 3_800_000, 3);
        _bid(id, 4_400_000, 1);
        _revealAll(id);
        _awardNow(id);
        assertEq(_price(1), 44_000_000);
        assertEq(_price(2), 44_000_000);
    }

    /// If the award had to skip all others, the ceiling.
    function test_WhenAllOthersAreSkipped_PaysTheCeiling() external {
        RequestId id = _run(2, _rates(3));
        for (uint256 i = 1; i < 3; ++i) {
            uint256 all = _free(sellers[i].org);
            vm.prank(sellers[i].admin);
            escrow.withdraw(all);
        }
        _awardNow(id);
        assertEq(leases.count(), 1);
        assertEq(_price(1), CEILING_AMOUNT);
        assertEq(_free(FUND), 2 * 2 * DEPOSIT);
    }

    /// The rate is not known when winners are picked: who covers its own bid but not the ceiling cannot win.
    function test_WhenOnlyTheOwnBidIsCovered_IsUncovered() external {
        RequestId id = _run(1, _rates(3));
        uint256 all = _free(sellers[0].org);
        vm.prank(sellers[0].admin);
        escrow.withdraw(all - 7_600_000);
        _awardNow(id);
        _assertStatus(id, sellers[0].org, ISealedTender.BidStatus.Uncovered);
        assertTrue(leases.lease(LeaseId.wrap(1)).provider == sellers[1].org);
        assertEq(_price(1), 41_000_000);
    }

    function test_WhenNotAskedFor_IsFirstPrice() external {
        RequestId id = _post(1);
        _bid(id, 3_500_000, 1);
        _bid(id, 3_800_000, 1);
        _bid(id, 4_100_000, 1);
        _revealAll(id);
        _awardNow(id);
        assertEq(_price(1), 35_000_000);
    }
}

/// @notice A6: forfeits.
contract SealedTenderClaimTest is SealedTenderAwardBase {
    /// Five commit, one does not reveal, one wins: three share, rounded down, and the remainder goes to the fund.
    function test_WhenOneDidNotReveal_SharesItsDepositAmongTheLosers() external {
        RequestId id = _post(1);
        for (uint256 i; i < 5; ++i) {
            _bid(id, uint64(RATE + i), 1);
        }
        bids.pop();
        _revealAll(id);
        _toAward(id);
        vm.expectEmit(address(tender));
        emit ISealedTender.DepositsForfeited(id, DEPOSIT, 166_666, 2);
        tender.award(id);
        assertEq(_free(FUND), 2);
        assertEq(_free(buyerOrg), MONEY - uint256(RATE) * 10); // never to the buyer

        uint256 winner = _free(sellers[0].org);
        tender.claim(id, sellers[0].org);
        assertEq(_free(sellers[0].org), winner + DEPOSIT);
        for (uint256 i = 1; i < 4; ++i) {
            uint256 before = _free(sellers[i].org);
            vm.expectEmit(address(tender));
            emit ISealedTender.DepositClaimed(id, sellers[i].org, DEPOSIT, 166_666);
            tender.claim(id, sellers[i].org);
            assertEq(_free(sellers[i].org), before + DEPOSIT + 166_666);
        }
        vm.expectRevert(_wrongStatus(id, sellers[4].org, ISealedTender.BidStatus.Committed));
        tender.claim(id, sellers[4].org);
        assertEq(_held(id), 0);
    }

    function test_WhenThereIsNoLoser_AllGoesToTheFund() external {
        RequestId id = _post(1);
        _bid(id, RATE, 1);
        _bid(id, RATE + 1, 1);
        bids.pop();
        _revealAll(id);
        _awardNow(id);
        assertEq(_free(FUND), DEPOSIT);
        tender.claim(id, sellers[0].org);
        assertEq(_held(id), 0);
    }

    function test_WhenNobodyRevealed_AllGoesToTheFund() external {
        RequestId id = _post(1);
        _bid(id, RATE, 1);
        _bid(id, RATE, 1);
        _awardNow(id);
        assertEq(_free(FUND), 2 * DEPOSIT);
        _assertAllReturned(id);
        assertEq(_held(id), 0);
    }

    /// Not filled: nobody won, so every revealed valid bid shares.
    function test_WhenUnfilled_EveryRevealedBidShares() external {
        RequestId id = _post(4, false, true);
        _bid(id, RATE, 1);
        _bid(id, RATE, 1);
        _bid(id, RATE, 1);
        bids.pop();
        _revealAll(id);
        _awardNow(id);
        uint256 before = _free(sellers[0].org);
        tender.claim(id, sellers[0].org);
        assertEq(_free(sellers[0].org), before + 4 * DEPOSIT + 2 * DEPOSIT);
        tender.claim(id, sellers[1].org);
        assertEq(_held(id), 0);
        assertEq(_free(FUND), 0);
    }

    function test_RevertWhen_NotAwardedYet() external {
        RequestId id = _post(1);
        _bid(id, RATE, 1);
        _revealAll(id);
        vm.expectRevert(_wrongStage(id, ISealedTender.Stage.Open));
        tender.claim(id, sellers[0].org);
    }

    function test_RevertWhen_ClaimedAlready() external {
        RequestId id = _post(1);
        _bid(id, RATE, 1);
        _revealAll(id);
        _awardNow(id);
        tender.claim(id, sellers[0].org);
        vm.expectRevert(_wrongStatus(id, sellers[0].org, ISealedTender.BidStatus.Claimed));
        tender.claim(id, sellers[0].org);
    }

    function test_RevertWhen_NeverCommitted() external {
        RequestId id = _post(1);
        _awardNow(id);
        vm.expectRevert(_wrongStatus(id, southOrg, ISealedTender.BidStatus.None));
        tender.claim(id, southOrg);
    }

    /// The bidder's member gets its limit back with the deposit; a member that left breaks nothing.
    function test_WhenTheMemberLeft_TheDepositStillReturns() external {
        RequestId id = _post(1);
        Seller memory s = _seller(1);
        address clerk = makeAddr("seller's clerk");
        vm.prank(s.admin);
        members.setMember(clerk, MemberRights.OFFER, uint96(DEPOSIT));
        vm.prank(clerk);
        tender.commit(HOME, id, "hidden");
        assertEq(members.member(clerk).spent, DEPOSIT);
        _bid(id, RATE, 1);
        _revealAll(id);
        vm.prank(clerk);
        members.leave();
        _awardNow(id);
        tender.claim(id, sellers[0].org);
        assertEq(_held(id), 0);
    }
}
