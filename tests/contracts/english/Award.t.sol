// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {EnglishBase} from "./EnglishBase.sol";
import {IEnglishAuction} from "../../../contracts/interfaces/IEnglishAuction.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {
    AuctionId,
    AwardId,
    LeaseId,
    LeaseState,
    OrgId,
    ResourceId,
    Skip
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

contract EnglishAwardTest is EnglishBase {
    AuctionId internal id;

    function setUp() public override {
        super.setUp();
        id = _opened();
    }

    function _stage() private view returns (uint8) {
        return uint8(english.auction(id).stage);
    }

    function _overWith(IEnglishAuction.AuctionStage stage) private view returns (bytes memory) {
        return abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Over.selector, id, stage);
    }

    function test_WhenWon_OpensALeaseAtTheWinnersRate() external {
        _bid(buyer, id, RATE);
        _bid(rival, id, 2 * RATE);
        _over(id);
        vm.expectEmit(address(english));
        emit IEnglishAuction.AuctionAwarded(id, rivalOrg, AwardId.wrap(1), 2 * RATE);
        english.award(id);

        assertEq(_stage(), uint8(IEnglishAuction.AuctionStage.Awarded));
        assertEq(AwardId.unwrap(english.auction(id).award), 1);
        LeaseId lease = LeaseId.wrap(1);
        assertEq(uint8(leases.stateOf(lease)), uint8(LeaseState.Awarded));
        ILeases.Lease memory l = leases.lease(lease);
        assertTrue(l.buyer == rivalOrg && l.provider == northOrg);
        assertEq(l.rate, 2 * RATE);
        assertEq(l.count, 2);
        assertEq(settlement.account(lease).price, 2 * RATE * UNITS);
        assertEq(settlement.account(lease).bond, 2 * RATE * UNITS / 5);
        assertEq(_held(id, rivalOrg), 0);
        assertEq(_depositHeld(id), 0);
        assertEq(escrow.free(northOrg), MONEY - resting - 2 * RATE * UNITS / 5);
        english.pull(id, buyerOrg);
        assertEq(escrow.free(buyerOrg), MONEY);
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_NothingToPull.selector, id, rivalOrg)
        );
        english.pull(id, rivalOrg);
        vm.expectRevert(_overWith(IEnglishAuction.AuctionStage.Awarded));
        english.award(id);
    }

    /// @dev A1: what is left of the offer is for sale at once again.
    function test_WhenAwarded_TheOfferIsThawed() external {
        _bid(buyer, id, RATE);
        _over(id);
        english.award(id);
        vm.prank(rival);
        book.buyNow(HOME, offer, _list(a), _window(20, 4));
        vm.prank(north);
        book.cancel(offer);
    }

    function test_WhenTwoAuctionsAreOnAnOffer_TheLastThawsIt() external {
        // Opened before anybody bid: nobody can open one on a frozen offer.
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        t.window = _window(30, 4);
        t.hardStop = close;
        AuctionId second = _openedWith(t, _list(a));
        _bid(buyer, id, RATE);
        _bid(rival, second, RATE);
        assertEq(book.offer(offer).frozenUntil, hardStop + 1 days, "the longer one counts");
        vm.warp(close);
        english.award(second);
        assertEq(book.offer(offer).frozenUntil, hardStop + 1 days);
        english.award(id);
        assertEq(book.offer(offer).frozenUntil, 0);
    }

    /// @dev The price falls with the seconds that are gone; what the leader locked for them returns.
    function test_WhenAwardedLate_ReturnsWhatWasLockedTooMuch() external {
        _bid(buyer, id, RATE);
        vm.warp(begin + 5 hours);
        english.award(id);
        assertEq(settlement.account(LeaseId.wrap(1)).price, RATE * UNITS * 9 / 10);
        assertEq(escrow.free(buyerOrg), MONEY - RATE * UNITS * 9 / 10);
    }

    function test_WhenNobodyBid_IsUnsold() external {
        _over(id);
        vm.expectEmit(address(english));
        emit IEnglishAuction.AuctionUnsold(id);
        english.award(id);
        assertEq(_stage(), uint8(IEnglishAuction.AuctionStage.Unsold));
        assertEq(escrow.free(northOrg), MONEY - resting);
        vm.expectRevert(_overWith(IEnglishAuction.AuctionStage.Unsold));
        english.award(id);
    }

    /// @dev The seller's deposit is what it stands by its auction with.
    function test_WhenTheSellerCannotCoverItsBond_TheLeaderGetsAllAndTheDeposit() external {
        _bid(buyer, id, RATE);
        uint256 free = escrow.free(northOrg);
        vm.prank(north);
        escrow.withdraw(free);
        _over(id);
        vm.expectEmit(address(english));
        // forge-lint: disable-next-line(unsafe-typecast)
        emit IEnglishAuction.AuctionFailed(id, buyerOrg, Skip.ProviderCover, uint96(DEPOSIT));
        english.award(id);
        assertEq(_stage(), uint8(IEnglishAuction.AuctionStage.Failed));
        assertEq(escrow.free(buyerOrg), MONEY + DEPOSIT);
        assertEq(escrow.free(northOrg), 0);
        assertEq(leases.count(), 0);
    }

    /// @dev The parties' limits and standing were asked for when they bid; the award asks no more.
    function test_WhenEverybodyIsSuspended_IsStillAwardedAndPulled() external {
        _bid(buyer, id, RATE);
        _bid(rival, id, 2 * RATE);
        vm.startPrank(council);
        members.setSuspended(northOrg, true);
        members.setSuspended(buyerOrg, true);
        members.setSuspended(rivalOrg, true);
        members.setRoles(rivalOrg, 0);
        vm.stopPrank();
        _over(id);
        english.award(id);
        assertEq(_stage(), uint8(IEnglishAuction.AuctionStage.Awarded));
        english.pull(id, buyerOrg);
        assertEq(escrow.free(buyerOrg), MONEY);
    }

    /// @dev One exit waits (docs/invariants.md): without the right to open leases, until the window is over.
    function test_WhenTheRightsAreGone_EverybodyGetsTheirOwnBackAfterTheWindow() external {
        _bid(buyer, id, RATE);
        _bid(rival, id, 2 * RATE);
        vm.startPrank(address(timelock));
        directory.setRight(address(english), Rights.AWARDS_OPEN, false);
        directory.setRight(address(english), Rights.ESCROW_MOVE, false);
        directory.setRight(address(english), Rights.BOOK_FREEZE, false);
        directory.setRight(address(settlement), Rights.ESCROW_MOVE, false);
        vm.stopPrank();
        english.pull(id, buyerOrg);
        _over(id);
        vm.expectRevert();
        english.award(id);
        vm.warp(begin + 14 hours);
        vm.expectEmit(address(english));
        emit IEnglishAuction.AuctionFailed(id, rivalOrg, Skip.None, 0);
        english.award(id);
        assertEq(escrow.free(buyerOrg), MONEY);
        assertEq(escrow.free(rivalOrg), MONEY);
        assertEq(escrow.free(northOrg), MONEY - resting);
    }

    function test_RevertWhen_BiddingIsNotOver() external {
        _bid(buyer, id, RATE);
        vm.warp(close - 1);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_TooEarly.selector, id, close));
        english.award(id);
    }

    /// @dev As many resources and slots as an auction may have: the award fits into a block.
    function test_WhenAsLargeAsItMayBe_IsAwardedInOneTransaction() external {
        ResourceId[] memory many = new ResourceId[](64);
        for (uint256 i; i < many.length; ++i) {
            many[i] = _register(north, 100 + i);
        }
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        t.offer = _offer(north, many, _window(0, 300), 0);
        t.window = _window(4, 256);
        t.reserveRate = RATE;
        _fund(buyerOrg, buyer, 64 * 256 * uint256(RATE));
        _fund(northOrg, north, 64 * 256 * uint256(RATE));
        id = _openedWith(t, many);
        uint256 gas = gasleft();
        _bid(buyer, id, RATE);
        assertLt(gas - gasleft(), 2_000_000);
        _over(id);
        gas = gasleft();
        english.award(id);
        assertLt(gas - gasleft(), 15_000_000);
        assertEq(leases.lease(LeaseId.wrap(1)).count, 64);
    }
}

/// @dev Nothing stays in an auction's accounts, and nobody has more or less than is due, however it went.
contract EnglishMoneyTest is EnglishBase {
    address[4] internal bidders;
    OrgId[4] internal orgs;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < bidders.length; ++i) {
            bidders[i] = makeAddr(string(abi.encode("bidder", i)));
            orgs[i] = _admit(bytes32(i + 1), bidders[i], Roles.BUYER, 0);
            _fund(orgs[i], bidders[i], MONEY);
        }
    }

    /// @param moves Who bids how much above the least, after which time; who pulls in between.
    function testFuzz_WhenAwardedAndPulled_NothingStays(uint64[10] memory moves, uint8 how) external {
        AuctionId id = _opened();
        uint64 rate;
        for (uint256 i; i < moves.length; ++i) {
            uint256 who = moves[i] % 4;
            uint256 wait = (moves[i] >> 2) % 900;
            if (block.timestamp + wait >= english.auction(id).end) break;
            vm.warp(block.timestamp + wait);
            if (english.auction(id).leader == orgs[who]) continue;
            uint256 most = MONEY / UNITS;
            uint256 least = english.leastRate(id);
            if (least > most) break;
            // Safe: below the most that a bidder has.
            // forge-lint: disable-next-line(unsafe-typecast)
            rate = uint64(bound(moves[i] >> 20, least, least + (most - least) / 4));
            _bid(bidders[who], id, rate);
            uint256 other = (who + 1) % 4;
            if (moves[i] >> 63 == 1 && english.stakeOf(id, orgs[other]).amount != 0) {
                english.pull(id, orgs[other]);
            }
        }
        IEnglishAuction.Auction memory x = english.auction(id);
        if (how % 3 == 1) {
            uint256 free = escrow.free(northOrg);
            vm.prank(north);
            escrow.withdraw(free);
        }
        vm.warp(how % 3 == 2 ? uint256(x.endSlot) * SLOT : uint256(x.end));
        english.award(id);

        uint256 failed =
            uint8(english.auction(id).stage) == uint8(IEnglishAuction.AuctionStage.Failed) ? 1 : 0;
        bool compensated = failed == 1 && how % 3 == 1;
        uint256 price = failed == 1 || x.leader == HOME ? 0 : uint256(x.rate) * UNITS;
        for (uint256 i; i < orgs.length; ++i) {
            if (english.stakeOf(id, orgs[i]).amount != 0) english.pull(id, orgs[i]);
            assertEq(_held(id, orgs[i]), 0);
            uint256 own = MONEY;
            if (orgs[i] == x.leader) own = own - price + (compensated ? DEPOSIT : 0);
            assertEq(escrow.free(orgs[i]), own);
            assertEq(members.member(bidders[i]).spent, 0);
        }
        assertEq(_depositHeld(id), 0);
        uint256 bond = price / 5;
        if (how % 3 != 1) assertEq(escrow.free(northOrg), MONEY - resting - bond);
    }
}
