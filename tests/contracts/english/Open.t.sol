// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {EnglishBase} from "./EnglishBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEnglishAuction} from "../../../contracts/interfaces/IEnglishAuction.sol";
import {IInventory} from "../../../contracts/interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {AuctionId, ResourceId, Window} from "../../../contracts/interfaces/Types.sol";

contract EnglishOpenTest is EnglishBase {
    function test_WhenGood_LocksTheDepositAndKeepsTheTerms() external {
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        vm.expectEmit(address(english));
        emit IEnglishAuction.AuctionOpened(
            AuctionId.wrap(1),
            northOrg,
            offer,
            _list(a, b),
            t.window.start,
            t.window.end,
            RATE,
            500,
            close,
            EXTENSION,
            hardStop,
            uint96(DEPOSIT)
        );
        AuctionId id = _opened();
        assertEq(english.count(), 1);
        IEnglishAuction.Auction memory x = english.auction(id);
        assertEq(uint8(x.stage), uint8(IEnglishAuction.AuctionStage.Open));
        assertTrue(x.seller == northOrg && x.leader == HOME);
        assertEq(x.by, north);
        assertEq(x.rate, RATE);
        assertEq(x.reserveRate, RATE);
        assertEq(x.end, close);
        assertEq(x.hardStop, hardStop);
        assertEq(x.extension, EXTENSION);
        assertEq(x.stepBps, 500);
        assertEq(x.start, t.window.start);
        assertEq(x.endSlot, t.window.end);
        assertEq(x.deposit, DEPOSIT);
        assertEq(english.resourcesOf(id).length, 2);
        assertEq(english.leastRate(id), RATE, "the reserve itself is a good first bid");
        assertEq(_depositHeld(id), DEPOSIT);
        assertEq(escrow.free(northOrg), MONEY - DEPOSIT - resting);
    }

    /// @dev A1: beside the auction the offer is for sale at once, until somebody bids.
    function test_WhenNobodyHasBid_IsStillForSaleAtOnce() external {
        _opened();
        vm.prank(buyer);
        book.buyNow(HOME, offer, _list(a), _window(4, 10));
    }

    function test_WhenForAnOrganisation_NeedsItsGrant() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, northOrg, south));
        vm.prank(south);
        english.open(northOrg, _auctionTerms(), _list(a));
        vm.prank(north);
        members.grant(northOrg, south, MemberRights.OFFER, type(uint96).max);
        vm.prank(south);
        AuctionId id = english.open(northOrg, _auctionTerms(), _list(a));
        assertTrue(english.auction(id).seller == northOrg);
        assertEq(english.auction(id).by, south);
    }

    function _refused(IEnglishAuction.AuctionTerms memory t, bytes memory why) private {
        vm.expectRevert(why);
        _openedWith(t, _list(a, b));
    }

    function test_RevertWhen_TheTimesAreBad() external {
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        t.end = uint40(block.timestamp);
        _refused(t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadTimes.selector, t.end, hardStop));
        t = _auctionTerms();
        t.hardStop = close - 1;
        _refused(
            t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadTimes.selector, close, close - 1)
        );
        t = _auctionTerms();
        t.hardStop = uint40(uint256(t.window.end) * SLOT);
        _refused(
            t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadTimes.selector, close, t.hardStop)
        );
        t.hardStop -= 1;
        _openedWith(t, _list(a, b));
    }

    function test_RevertWhen_ItWouldLastTooLong() external {
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        vm.prank(north);
        t.offer = book.publish(HOME, IBook.OfferTerms(_window(0, 2000), RATE, 0, 1, NO_SLA, 0), _list(a));
        t.window = _window(1000, 10);
        t.hardStop = uint40(block.timestamp + english.MAX_LENGTH() + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadTimes.selector, close, t.hardStop)
        );
        _openedWith(t, _list(a));
        // One that lasts as long as it may can freeze its offer from the first second on.
        t.hardStop -= 1;
        AuctionId id = _openedWith(t, _list(a));
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_TheStepIsBad() external {
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        t.stepBps = 0;
        _refused(t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadStep.selector, 0, EXTENSION));
        t.stepBps = 10_001;
        _refused(
            t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadStep.selector, 10_001, EXTENSION)
        );
        t.stepBps = 10_000;
        t.extension = 0;
        _refused(t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_BadStep.selector, 10_000, 0));
    }

    function test_RevertWhen_OneTransactionCouldNotAwardIt() external {
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        t.window = _window(4, 8_193);
        _refused(t, abi.encodeWithSelector(IEnglishAuction.EnglishAuction_TooLarge.selector, 16_386, 16_384));
    }

    function test_RevertWhen_OutsideTheOfferOrBelowItsFloor() external {
        IEnglishAuction.AuctionTerms memory t = _auctionTerms();
        t.window = _window(95, 10);
        _refused(
            t, abi.encodeWithSelector(IBook.Book_OutsideOffer.selector, offer, t.window.start, t.window.end)
        );
        t = _auctionTerms();
        t.reserveRate = RATE - 1;
        _refused(t, abi.encodeWithSelector(IBook.Book_RateBelowFloor.selector, RATE - 1, RATE));
        t = _auctionTerms();
        t.window = Window(t.window.start, t.window.start);
        _refused(
            t, abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, t.window.start, t.window.start)
        );
        ResourceId foreign = _register(south, 3);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotInOffer.selector, offer, foreign));
        _openedWith(_auctionTerms(), _list(a, foreign));
    }

    function test_RevertWhen_TheOfferIsAnothers() external {
        vm.prank(south);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwner.selector, southOrg));
        english.open(HOME, _auctionTerms(), _list(a));
    }

    function test_RevertWhen_SuspendedOrNoSeller() external {
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, buyerOrg, Roles.SELLER));
        english.open(HOME, _auctionTerms(), _list(a));
        vm.prank(council);
        members.setSuspended(northOrg, true);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        _opened();
    }
}

contract EnglishCancelTest is EnglishBase {
    function test_WhenNobodyBid_ReturnsTheDeposit() external {
        AuctionId id = _opened();
        vm.prank(council);
        members.setSuspended(northOrg, true);
        vm.expectEmit(address(english));
        emit IEnglishAuction.AuctionCancelled(id);
        vm.prank(north);
        english.cancel(id);
        assertEq(escrow.free(northOrg), MONEY - resting);
        vm.expectRevert(
            abi.encodeWithSelector(
                IEnglishAuction.EnglishAuction_Over.selector, id, IEnglishAuction.AuctionStage.Cancelled
            )
        );
        _bid(buyer, id, RATE);
    }

    function test_RevertWhen_SomebodyBid() external {
        AuctionId id = _opened();
        _bid(buyer, id, RATE);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_HasBids.selector, id, buyerOrg));
        vm.prank(north);
        english.cancel(id);
    }

    function test_RevertWhen_NotTheSellers() external {
        AuctionId id = _opened();
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, northOrg, south));
        vm.prank(south);
        english.cancel(id);
    }

    function test_RevertWhen_Unknown() external {
        AuctionId none = AuctionId.wrap(9);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Unknown.selector, none));
        vm.prank(north);
        english.cancel(none);
    }
}
