// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {EnglishBase} from "./EnglishBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEnglishAuction} from "../../../contracts/interfaces/IEnglishAuction.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {AuctionId, OrgId, Skip, SlaId} from "../../../contracts/interfaces/Types.sol";

contract EnglishBidTest is EnglishBase {
    AuctionId internal id;

    function setUp() public override {
        super.setUp();
        id = _opened();
    }

    function _tooLow(uint64 rate, uint256 least) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IEnglishAuction.EnglishAuction_TooLow.selector, rate, least);
    }

    function test_WhenFirst_LocksThePriceAndFreezesTheOffer() external {
        vm.expectEmit(address(english));
        // Safe: a small amount.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit IEnglishAuction.AuctionBid(id, buyerOrg, RATE, uint96(RATE * UNITS), close, 500, buyer);
        _bid(buyer, id, RATE);
        assertEq(_held(id, buyerOrg), RATE * UNITS);
        assertEq(escrow.free(buyerOrg), MONEY - RATE * UNITS);
        assertEq(english.stakeOf(id, buyerOrg).amount, RATE * UNITS);
        assertEq(english.stakeOf(id, buyerOrg).by, buyer);
        assertTrue(english.auction(id).leader == buyerOrg);
        assertEq(book.offer(offer).frozenUntil, hardStop + 1 days);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Frozen.selector, offer, hardStop + 1 days));
        vm.prank(rival);
        book.buyNow(HOME, offer, _list(a), _window(20, 1));
    }

    function test_WhenHigher_LeadsAndTheOutbidPulls() external {
        _bid(buyer, id, RATE);
        uint64 rate = _above(RATE, 500);
        assertEq(english.leastRate(id), rate);
        vm.expectRevert(_tooLow(rate - 1, rate));
        _bid(rival, id, rate - 1);
        _bid(rival, id, rate);
        assertTrue(english.auction(id).leader == rivalOrg);
        assertEq(_held(id, buyerOrg), RATE * UNITS, "waits until it is pulled");
        vm.expectEmit(address(english));
        // forge-lint: disable-next-line(unsafe-typecast)
        emit IEnglishAuction.BidPulled(id, buyerOrg, uint96(RATE * UNITS));
        english.pull(id, buyerOrg);
        assertEq(escrow.free(buyerOrg), MONEY);
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_NothingToPull.selector, id, buyerOrg)
        );
        english.pull(id, buyerOrg);
    }

    /// @dev Who is outbid needs only the difference to bid again.
    function test_WhenOutbidBidsAgain_ItsFirstMoneyIsFreedFirst() external {
        _bid(buyer, id, RATE);
        _bid(rival, id, 2 * RATE);
        uint256 free = escrow.free(buyerOrg);
        vm.prank(buyer);
        escrow.withdraw(free - 3 * RATE * UNITS + RATE * UNITS);
        _bid(buyer, id, 3 * RATE);
        assertEq(escrow.free(buyerOrg), 0);
        assertEq(_held(id, buyerOrg), 3 * RATE * UNITS);
    }

    /// @dev I7: what a member's limit carried is given back to that member, whoever bids next.
    function test_WhenAnotherMemberRaises_TheLimitOfTheFirstIsFree() external {
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, uint96(RATE * UNITS));
        _bid(clerk, id, RATE);
        _bid(rival, id, 2 * RATE);
        _bid(buyer, id, 3 * RATE);
        assertEq(members.member(clerk).spent, 0);
        assertEq(english.stakeOf(id, buyerOrg).by, buyer);
    }

    function test_WhenForAnOrganisation_NeedsItsGrantAndItsLimit() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, buyerOrg, rival));
        vm.prank(rival);
        english.bid(buyerOrg, id, RATE);
        vm.prank(buyer);
        members.grant(buyerOrg, rival, MemberRights.BUY, uint96(RATE * UNITS));
        vm.prank(rival);
        english.bid(buyerOrg, id, RATE);
        assertTrue(english.auction(id).leader == buyerOrg);
        assertEq(escrow.free(rivalOrg), MONEY);
    }

    /// @dev C2: the buyer's half of the witness fees, the odd microcredit with it.
    function test_WhenTheOfferPromises_LocksHalfTheFees() external {
        vm.prank(north);
        english.cancel(id);
        offer = _offered(SlaId.wrap(3));
        id = _opened();
        _bid(buyer, id, RATE);
        uint256 fee = awards.feeOf(_window(4, 10));
        assertEq(_held(id, buyerOrg), RATE * UNITS + (fee + 1) / 2);
        assertGt(fee, 0);
    }

    /// @dev E2: of a window that has begun only what is left is locked.
    function test_WhenTheWindowHasBegun_LocksWhatIsLeft() external {
        vm.prank(north);
        english.cancel(id);
        close = uint40(begin + 9 hours);
        hardStop = close;
        id = _opened();
        vm.warp(begin + 5 hours);
        _bid(buyer, id, RATE);
        assertEq(_held(id, buyerOrg), RATE * UNITS * 9 / 10);
    }

    function test_WhenNearTheEnd_MovesItAndDoublesTheStep() external {
        _bid(buyer, id, RATE);
        vm.warp(close - EXTENSION);
        uint64 rate = _above(RATE, 500);
        _bid(rival, id, rate);
        assertEq(english.auction(id).end, close, "ten minutes are left: nothing moves");
        assertEq(english.auction(id).stepBps, 500);

        vm.warp(close - EXTENSION + 1);
        rate = _above(rate, 500);
        vm.expectEmit(address(english));
        emit IEnglishAuction.AuctionBid(
            // forge-lint: disable-next-line(unsafe-typecast)
            id,
            buyerOrg,
            rate,
            uint96(rate * UNITS),
            close + 1,
            1000,
            buyer
        );
        _bid(buyer, id, rate);
        assertEq(english.leastRate(id), _above(rate, 1000));

        vm.warp(close);
        _bid(rival, id, _above(rate, 1000));
        assertEq(english.auction(id).end, close + EXTENSION);
        assertEq(english.auction(id).stepBps, 2000);
    }

    /// @dev A2: the step doubles up to a doubled rate, and the end never passes the hard stop.
    function testFuzz_WhenManyBidLate_EndsAtTheHardStop(uint32[12] memory waits) external {
        vm.warp(close - 1);
        uint64 rate = RATE;
        uint256 step = 500;
        for (uint256 i; i < waits.length; ++i) {
            _bid(i % 2 == 0 ? buyer : rival, id, rate);
            step = step * 2 > 10_000 ? 10_000 : step * 2;
            IEnglishAuction.Auction memory x = english.auction(id);
            assertLe(x.end, hardStop);
            assertEq(x.end, block.timestamp + EXTENSION < hardStop ? block.timestamp + EXTENSION : hardStop);
            assertEq(x.stepBps, step);
            rate = _above(rate, step);
            assertEq(english.leastRate(id), rate);
            uint256 next = block.timestamp + bound(waits[i], 1, EXTENSION - 1);
            if (next >= x.end || rate * UNITS > MONEY / 2) break;
            vm.warp(next);
        }
    }

    function test_RevertWhen_TooLateByASecond() external {
        vm.warp(close);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_TooLate.selector, id, close));
        _bid(buyer, id, RATE);
        vm.warp(close - 1);
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_BelowTheReserve() external {
        vm.expectRevert(_tooLow(RATE - 1, RATE));
        _bid(buyer, id, RATE - 1);
    }

    function test_RevertWhen_Leading() external {
        _bid(buyer, id, RATE);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Leading.selector, id, buyerOrg));
        _bid(buyer, id, 2 * RATE);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Leading.selector, id, buyerOrg));
        english.pull(id, buyerOrg);
    }

    function test_RevertWhen_Affiliated() external {
        OrgId friend = _admit("friend", makeAddr("friend"), Roles.BUYER, 7);
        _fund(friend, makeAddr("friend"), MONEY);
        vm.prank(council);
        members.setGroup(northOrg, 7);
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_SelfDealing.selector, friend, northOrg)
        );
        _bid(makeAddr("friend"), id, RATE);
    }

    function test_RevertWhen_EitherSideIsSuspended() external {
        vm.startPrank(council);
        members.setSuspended(buyerOrg, true);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, buyerOrg));
        _bid(buyer, id, RATE);
        vm.startPrank(council);
        members.setSuspended(buyerOrg, false);
        members.setSuspended(northOrg, true);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_TheBuyerLacksMoneyOrLimit() external {
        uint256 most = MONEY / UNITS;
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 rate = uint64(most);
        vm.expectRevert(
            abi.encodeWithSelector(
                IEscrow.Escrow_InsufficientFree.selector, buyerOrg, MONEY, (most + 1) * UNITS
            )
        );
        _bid(buyer, id, rate + 1);
        _bid(buyer, id, rate);
    }

    /// @dev Bought at once before the first bid: nobody may bid on what cannot be leased any more.
    function test_RevertWhen_AMachineIsTaken() external {
        vm.prank(rival);
        book.buyNow(HOME, offer, _list(b), _window(5, 1));
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Skipped.selector, Skip.NotFree));
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_TheSellerCannotCoverItsBond() external {
        uint256 free = escrow.free(northOrg);
        vm.prank(north);
        escrow.withdraw(free);
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Skipped.selector, Skip.ProviderCover)
        );
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_TheOfferWasCancelled() external {
        vm.prank(north);
        book.cancel(offer);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, offer));
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_Unknown() external {
        AuctionId none = AuctionId.wrap(9);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Unknown.selector, none));
        _bid(buyer, none, RATE);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Unknown.selector, none));
        english.award(none);
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_NothingToPull.selector, none, buyerOrg)
        );
        english.pull(none, buyerOrg);
    }
}
