// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "./Exchange.sol";
import {IBook} from "../../contracts/interfaces/IBook.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IInventory} from "../../contracts/interfaces/IInventory.sol";
import {ILeases} from "../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "../../contracts/interfaces/IMembers.sol";
import {
    AwardId,
    Committee,
    LeaseId,
    LeaseState,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Window
} from "../../contracts/interfaces/Types.sol";
import {PackedIds} from "../../contracts/libraries/PackedIds.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @dev An offer of two machines for a day from the current slot on; buy-now costs twice the floor.
abstract contract BookTest is Exchange {
    uint64 internal constant NOW_RATE = 2 * RATE;
    OfferId internal constant UNKNOWN = OfferId.wrap(99);
    ResourceId internal a;
    ResourceId internal b;
    address internal clerk = makeAddr("clerk");
    address internal auction = makeAddr("auction");

    function setUp() public virtual override {
        super.setUp();
        a = _register(north, 1);
        b = _register(north, 2);
        vm.prank(address(timelock));
        directory.setRight(auction, Rights.BOOK_RECORD, true);
    }

    function _published() internal returns (OfferId) {
        return _offer(north, _list(a, b), _window(0, 24), NOW_RATE);
    }

    function _publishAs(address by, IBook.OfferTerms memory terms, ResourceId[] memory resources) internal {
        vm.prank(by);
        book.publish(HOME, terms, resources);
    }

    function _offerTerms() internal view returns (IBook.OfferTerms memory) {
        return IBook.OfferTerms(_window(0, 24), RATE, NOW_RATE, 1, NO_SLA, 0);
    }

    function _requestTerms() internal view returns (IBook.RequestTerms memory) {
        return
            IBook.RequestTerms(
                _window(1, 4), 0, 2, Policy.Provider, 0, RATE, NO_SLA, CLASS, _spec(), 0, "", ""
            );
    }

    /// @dev 0.1 % of the amount (E6), as `Exchange` deploys it.
    function _deposit(uint256 resources, uint256 slots) internal pure returns (uint256) {
        return RATE * resources * slots / 1000;
    }

    function _suspend(OrgId org) internal {
        vm.prank(council);
        members.setSuspended(org, true);
    }

    function _buy(OfferId id, ResourceId[] memory resources, Window memory window)
        internal
        returns (LeaseId lease)
    {
        vm.prank(buyer);
        (, lease) = book.buyNow(HOME, id, resources, window);
    }
}

contract BookPublishTest is BookTest {
    function test_WhenGood_RestsWithADeposit() external {
        Window memory w = _window(0, 24);
        vm.expectEmit(address(book));
        emit IBook.OfferPublished(
            OfferId.wrap(1), northOrg, CLASS, w.start, w.end, RATE, NOW_RATE, 1, _list(a, b), NO_SLA, 0
        );
        uint256 free = escrow.free(northOrg);
        OfferId id = _published();
        assertEq(book.offerCount(), 1);
        assertEq(book.openOrders(northOrg), 1);
        IBook.Offer memory o = book.offer(id);
        assertTrue(o.org == northOrg);
        assertEq(o.by, north);
        assertEq(o.start, w.start);
        assertEq(o.end, w.end);
        assertEq(o.floorRate, RATE);
        assertEq(o.buyNowRate, NOW_RATE);
        assertEq(o.minSlots, 1);
        assertEq(o.createdAt, block.timestamp);
        assertFalse(o.closed);
        assertEq(o.deposit, _deposit(2, 24));
        assertEq(escrow.free(northOrg), free - o.deposit);
        assertEq(escrow.balance(address(book), bytes32(uint256(1))), o.deposit);
        assertEq(book.resourcesOf(id).length, 2);
        assertEq(ResourceId.unwrap(book.resourcesOf(id)[1]), ResourceId.unwrap(b));
    }

    function test_WhenSixtyFour_KeepsThemInOrder() external {
        ResourceId[] memory many = new ResourceId[](64);
        for (uint256 i; i < many.length; ++i) {
            many[i] = _register(north, 100 + i);
        }
        OfferId id = _offer(north, many, _window(0, 24), 0);
        ResourceId[] memory kept = book.resourcesOf(id);
        assertEq(kept.length, 64);
        for (uint256 i; i < many.length; ++i) {
            assertEq(ResourceId.unwrap(kept[i]), ResourceId.unwrap(many[i]));
        }
    }

    function test_WhenTheSameMachineIsOfferedTwice_BothRest() external {
        _published();
        _published();
        assertEq(book.openOrders(northOrg), 2);
    }

    function test_RevertWhen_CannotCoverTheDeposit() external {
        uint256 free = escrow.free(northOrg);
        vm.prank(north);
        escrow.withdraw(free);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, northOrg, 0, _deposit(1, 24))
        );
        _publishAs(north, _offerTerms(), _list(a));
    }

    function test_RevertWhen_OverTheMembersLimit() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.OFFER, 5);
        vm.expectRevert(
            abi.encodeWithSelector(IMembers.Members_OverLimit.selector, clerk, 5, _deposit(1, 24))
        );
        _publishAs(clerk, _offerTerms(), _list(a));
    }

    function test_RevertWhen_TooManyOrders() external {
        vm.startPrank(north);
        for (uint256 i; i < book.maxOpenOrders(); ++i) {
            book.publish(HOME, IBook.OfferTerms(_window(0, 1), 1, 0, 1, NO_SLA, 0), _list(a));
        }
        vm.expectRevert(
            abi.encodeWithSelector(IBook.Book_TooManyOrders.selector, northOrg, book.maxOpenOrders())
        );
        book.publish(HOME, IBook.OfferTerms(_window(0, 1), 1, 0, 1, NO_SLA, 0), _list(a));
        book.cancel(OfferId.wrap(1));
        book.publish(HOME, IBook.OfferTerms(_window(0, 1), 1, 0, 1, NO_SLA, 0), _list(a));
        vm.stopPrank();
    }

    function test_RevertWhen_MemberMayNotOffer() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.ALL & ~MemberRights.OFFER, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER));
        _publishAs(clerk, _offerTerms(), _list(a));
    }

    function test_RevertWhen_NotASeller() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, buyerOrg, Roles.SELLER));
        _publishAs(buyer, _offerTerms(), _list(a));
    }

    function test_RevertWhen_Suspended() external {
        _suspend(northOrg);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        _publishAs(north, _offerTerms(), _list(a));
    }

    function test_RevertWhen_PastWindow() external {
        IBook.OfferTerms memory t = _offerTerms();
        t.window = Window(_now() - 2, _now());
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_PastWindow.selector, _now(), block.timestamp)
        );
        _publishAs(north, t, _list(a));
    }

    function test_RevertWhen_EmptyWindow() external {
        IBook.OfferTerms memory t = _offerTerms();
        t.window.end = t.window.start;
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, t.window.start, t.window.end)
        );
        _publishAs(north, t, _list(a));
    }

    function test_RevertWhen_FloorIsZero() external {
        IBook.OfferTerms memory t = _offerTerms();
        t.floorRate = 0;
        vm.expectRevert(IBook.Book_ZeroRate.selector);
        _publishAs(north, t, _list(a));
    }

    function test_RevertWhen_BuyNowIsBelowTheFloor() external {
        IBook.OfferTerms memory t = _offerTerms();
        t.buyNowRate = RATE - 1;
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateBelowFloor.selector, RATE - 1, RATE));
        _publishAs(north, t, _list(a));
    }

    function test_RevertWhen_NoResources() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_Count.selector, 0, 64));
        _publishAs(north, _offerTerms(), new ResourceId[](0));
    }

    function test_RevertWhen_TooManyResources() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_Count.selector, 65, 64));
        _publishAs(north, _offerTerms(), new ResourceId[](65));
    }

    function test_RevertWhen_OneIsNamedTwice() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 1));
        _publishAs(north, _offerTerms(), _list(a, a));
    }

    function test_RevertWhen_AnothersResource() external {
        ResourceId foreign = _register(south, 3);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwnResource.selector, foreign, northOrg));
        _publishAs(north, _offerTerms(), _list(a, foreign));
    }

    function test_RevertWhen_RetiredResource() external {
        vm.prank(north);
        inventory.retire(b);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwnResource.selector, b, northOrg));
        _publishAs(north, _offerTerms(), _list(a, b));
    }

    function test_RevertWhen_UnknownResource() external {
        ResourceId unknown = ResourceId.wrap(99);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Unknown.selector, unknown));
        _publishAs(north, _offerTerms(), _list(unknown));
    }

    function test_RevertWhen_ClassesOrSitesDiffer() external {
        vm.startPrank(north);
        ResourceId otherClass = inventory.register(HOME, "vm.small", SITE, _spec(), 0, 0, "c");
        ResourceId otherSite = inventory.register(HOME, CLASS, "hall-2", _spec(), 0, 0, "s");
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_MixedResources.selector, otherClass));
        _publishAs(north, _offerTerms(), _list(a, otherClass));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_MixedResources.selector, otherSite));
        _publishAs(north, _offerTerms(), _list(a, otherSite));
    }
}

contract BookCancelTest is BookTest {
    function test_WhenOwner_ReturnsTheDeposit() external {
        uint256 free = escrow.free(northOrg);
        OfferId id = _published();
        vm.expectEmit(address(book));
        emit IBook.OfferClosed(id, true);
        vm.prank(north);
        book.cancel(id);
        assertTrue(book.offer(id).closed);
        assertEq(book.openOrders(northOrg), 0);
        assertEq(escrow.free(northOrg), free);
        assertEq(escrow.balance(address(book), bytes32(uint256(1))), 0);
    }

    function test_WhenALeaseLives_ItLivesOn() external {
        OfferId id = _published();
        LeaseId lease = _buy(id, _list(a), _window(1, 4));
        vm.prank(north);
        book.cancel(id);
        assertEq(uint8(leases.stateOf(lease)), uint8(LeaseState.Awarded));
        assertFalse(inventory.isFree(a, _now() + 1, _now() + 5));
    }

    function test_WhenSuspended_StillCancels() external {
        OfferId id = _published();
        _suspend(northOrg);
        vm.prank(north);
        book.cancel(id);
    }

    function test_RevertWhen_NotOwner() external {
        OfferId id = _published();
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        book.cancel(id);
    }

    function test_RevertWhen_Unknown() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownOffer.selector, UNKNOWN));
        vm.prank(north);
        book.cancel(UNKNOWN);
    }

    function test_RevertWhen_Closed() external {
        OfferId id = _published();
        vm.startPrank(north);
        book.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, id));
        book.cancel(id);
        vm.stopPrank();
    }

    function test_RevertWhen_MemberMayNotOffer() external {
        OfferId id = _published();
        vm.prank(north);
        members.setMember(clerk, MemberRights.SIGN, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER));
        vm.prank(clerk);
        book.cancel(id);
    }
}

contract BookExpireTest is BookTest {
    function test_WhenTheWindowIsOver_AnyoneClosesIt() external {
        uint256 free = escrow.free(northOrg);
        OfferId id = _published();
        vm.warp(uint256(book.offer(id).end) * SLOT);
        _suspend(northOrg);
        vm.expectEmit(address(book));
        emit IBook.OfferClosed(id, false);
        vm.prank(rival);
        book.expire(id);
        assertEq(escrow.free(northOrg), free);
        assertEq(book.openOrders(northOrg), 0);
    }

    function test_RevertWhen_OneSecondEarly() external {
        OfferId id = _published();
        uint256 end = uint256(book.offer(id).end) * SLOT;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferOpen.selector, id, end));
        book.expire(id);
    }

    function test_RevertWhen_Twice() external {
        OfferId id = _published();
        vm.warp(uint256(book.offer(id).end) * SLOT);
        book.expire(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, id));
        book.expire(id);
    }

    function test_RevertWhen_Unknown() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownOffer.selector, UNKNOWN));
        book.expire(UNKNOWN);
    }
}

/// @dev Rule A1.
contract BookBuyNowTest is BookTest {
    function test_WhenTheOfferPromises_SoDoesTheLease() external {
        IBook.OfferTerms memory t = _offerTerms();
        t.sla = SlaId.wrap(3);
        vm.prank(north);
        OfferId id = book.publish(HOME, t, _list(a, b));
        assertEq(SlaId.unwrap(book.offer(id).sla), 3);
        ILeases.Lease memory l = leases.lease(_buy(id, _list(a), _window(1, 4)));
        assertEq(SlaId.unwrap(l.sla), 3);
        assertEq(uint8(l.committee), uint8(Committee.Awaited));
        assertEq(escrow.free(buyerOrg), 1_000_000_000 - uint256(NOW_RATE) * 4 - 10_010);
    }

    function test_WhenFree_OpensALease() external {
        OfferId id = _published();
        vm.expectEmit(address(book));
        emit IBook.BoughtNow(id, buyerOrg, AwardId.wrap(1), LeaseId.wrap(1));
        vm.prank(buyer);
        (AwardId award, LeaseId lease) = book.buyNow(HOME, id, _list(a), _window(1, 4));
        assertEq(AwardId.unwrap(award), 1);
        assertEq(uint8(leases.stateOf(lease)), uint8(LeaseState.Awarded));
        assertEq(settlement.account(lease).price, uint256(NOW_RATE) * 4);
        assertEq(settlement.account(lease).bond, uint256(NOW_RATE) * 4 / 5);
        ILeases.Lease memory l = leases.lease(lease);
        assertTrue(l.buyer == buyerOrg && l.provider == northOrg);
        assertEq(l.rate, NOW_RATE);
        assertEq(uint8(l.policy), uint8(Policy.Provider));
        assertFalse(inventory.isFree(a, _now() + 1, _now() + 2));
        assertTrue(inventory.isFree(a, _now() + 7, _now() + 8));
        assertTrue(inventory.isFree(b, _now(), _now() + 24), "what is not named stays free");
    }

    /// @dev E2: of the current slot only what is left is paid.
    function test_WhenTheSlotIsRunning_CostsWhatIsLeft() external {
        OfferId id = _published();
        Window memory w = _window(0, 1);
        vm.warp(block.timestamp + 3599);
        LeaseId lease = _buy(id, _list(a, b), w);
        assertEq(settlement.account(lease).price, (uint256(NOW_RATE) * 2 + 3599) / 3600);
    }

    function test_WhenTheRestIsFree_SellsItToAnother() external {
        OfferId id = _published();
        _buy(id, _list(a), _window(0, 4));
        vm.prank(rival);
        book.buyNow(HOME, id, _list(a), _window(4 + TURNAROUND, 4));
    }

    function test_RevertWhen_NotFree() external {
        OfferId id = _published();
        _buy(id, _list(a), _window(0, 4));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.NotFree));
        _buy(id, _list(a, b), _window(5, 4));
    }

    function test_RevertWhen_SellerCannotCoverTheBond() external {
        OfferId id = _published();
        uint256 free = escrow.free(northOrg);
        vm.prank(north);
        escrow.withdraw(free);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.ProviderCover));
        _buy(id, _list(a), _window(0, 4));
    }

    function test_RevertWhen_SellersMemberLeft() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.OFFER, type(uint96).max);
        OfferId id = _offer(clerk, _list(a), _window(0, 24), NOW_RATE);
        vm.prank(clerk);
        members.leave();
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.ProviderCover));
        _buy(id, _list(a), _window(0, 4));
    }

    function test_RevertWhen_BuyerCannotCover() external {
        OfferId id = _published();
        uint256 free = escrow.free(buyerOrg);
        vm.prank(buyer);
        escrow.withdraw(free - uint256(NOW_RATE) * 4 + 1);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.BuyerCover));
        _buy(id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_OverTheBuyersLimit() external {
        OfferId id = _published();
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, NOW_RATE);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.BuyerCover));
        vm.prank(clerk);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
        vm.prank(clerk);
        book.buyNow(HOME, id, _list(a), _window(1, 1));
        assertEq(members.member(clerk).spent, NOW_RATE);
    }

    function test_RevertWhen_NotForSaleNow() external {
        OfferId id = _offer(north, _list(a), _window(0, 24), 0);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotForSaleNow.selector, id));
        _buy(id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_TooShort() external {
        vm.prank(north);
        OfferId id =
            book.publish(HOME, IBook.OfferTerms(_window(0, 24), RATE, NOW_RATE, 4, NO_SLA, 0), _list(a));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_TooShort.selector, 3, 4));
        _buy(id, _list(a), _window(1, 3));
        _buy(id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_OutsideTheOffer() external {
        OfferId id = _offer(north, _list(a), _window(2, 4), NOW_RATE);
        Window[2] memory outside = [_window(1, 4), _window(3, 4)];
        for (uint256 i; i < outside.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IBook.Book_OutsideOffer.selector, id, outside[i].start, outside[i].end)
            );
            _buy(id, _list(a), outside[i]);
        }
    }

    function test_RevertWhen_NotInTheOffer() external {
        OfferId id = _offer(north, _list(b), _window(0, 24), NOW_RATE);
        ResourceId behind = _register(north, 3);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotInOffer.selector, id, a));
        _buy(id, _list(a, b), _window(1, 4));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotInOffer.selector, id, behind));
        _buy(id, _list(b, behind), _window(1, 4));
    }

    function test_RevertWhen_OneIsNamedTwice() external {
        OfferId id = _published();
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 1));
        _buy(id, _list(a, a), _window(1, 4));
    }

    function test_RevertWhen_SelfDealing() external {
        OfferId id = _published();
        vm.startPrank(council);
        members.setRoles(northOrg, Roles.SELLER | Roles.BUYER);
        members.setGroup(southOrg, 3);
        members.setRoles(southOrg, Roles.BUYER);
        members.setGroup(northOrg, 3);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_SelfDealing.selector, northOrg, northOrg));
        vm.prank(north);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_SelfDealing.selector, southOrg, northOrg));
        vm.prank(south);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_BuyerIsSuspended() external {
        OfferId id = _published();
        _suspend(buyerOrg);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, buyerOrg));
        _buy(id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_SellerIsSuspended() external {
        OfferId id = _published();
        _suspend(northOrg);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        _buy(id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_NotABuyer() external {
        OfferId id = _published();
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, southOrg, Roles.BUYER));
        vm.prank(south);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_MemberMayNotBuy() external {
        OfferId id = _published();
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.ALL & ~MemberRights.BUY, type(uint96).max);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.BUY));
        vm.prank(clerk);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_PastWindow() external {
        OfferId id = _published();
        Window memory w = _window(0, 1);
        vm.warp(block.timestamp + SLOT);
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_PastWindow.selector, w.end, block.timestamp)
        );
        _buy(id, _list(a), w);
    }

    function test_RevertWhen_EmptyWindow() external {
        OfferId id = _published();
        Window memory w = _window(1, 0);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, w.start, w.end));
        _buy(id, _list(a), w);
    }

    function test_RevertWhen_OfferIsClosed() external {
        OfferId id = _published();
        vm.prank(north);
        book.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, id));
        _buy(id, _list(a), _window(1, 4));
    }

    function test_RevertWhen_Unknown() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownOffer.selector, UNKNOWN));
        _buy(UNKNOWN, _list(a), _window(1, 4));
    }
}

contract BookRecordTest is BookTest {
    function test_WhenAnAuction_KeepsTheRequest() external {
        IBook.RequestTerms memory t = _requestTerms();
        vm.expectEmit(address(book));
        emit IBook.RequestPosted(
            RequestId.wrap(1),
            buyerOrg,
            CLASS,
            t.window.start,
            t.window.end,
            4,
            2,
            RATE,
            0,
            Policy.Provider,
            _spec(),
            NO_SLA
        );
        vm.prank(auction);
        RequestId id = book.record(HOME, t, buyer);
        assertEq(book.requestCount(), 1);
        assertEq(book.openOrders(buyerOrg), 1);
        IBook.Request memory r = book.request(id);
        assertTrue(r.org == buyerOrg);
        assertEq(r.by, buyer);
        assertEq(r.count, 2);
        assertEq(r.ceilingRate, RATE);
        assertEq(r.createdAt, block.timestamp);
        assertFalse(r.closed);
        assertEq(r.spec.cores, _spec().cores);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, buyer, Rights.BOOK_RECORD)
        );
        vm.prank(buyer);
        book.record(HOME, _requestTerms(), buyer);
    }

    function test_RevertWhen_NotABuyersMember() external {
        vm.startPrank(auction);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, clerk));
        book.record(HOME, _requestTerms(), clerk);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, northOrg, Roles.BUYER));
        book.record(HOME, _requestTerms(), north);
        vm.stopPrank();
    }

    function test_RevertWhen_Suspended() external {
        _suspend(buyerOrg);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, buyerOrg));
        vm.prank(auction);
        book.record(HOME, _requestTerms(), buyer);
    }

    function test_RevertWhen_BadWindow() external {
        IBook.RequestTerms memory t = _requestTerms();
        t.window.end = t.window.start;
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, t.window.start, t.window.end)
        );
        vm.prank(auction);
        book.record(HOME, t, buyer);
    }

    function test_RevertWhen_CeilingIsZero() external {
        IBook.RequestTerms memory t = _requestTerms();
        t.ceilingRate = 0;
        vm.expectRevert(IBook.Book_ZeroRate.selector);
        vm.prank(auction);
        book.record(HOME, t, buyer);
    }

    function test_RevertWhen_NothingIsWanted() external {
        IBook.RequestTerms memory t = _requestTerms();
        t.count = 0;
        vm.startPrank(auction);
        vm.expectRevert(IBook.Book_ZeroCount.selector);
        book.record(HOME, t, buyer);
        (t.count, t.class) = (1, 0);
        vm.expectRevert(IBook.Book_ZeroCount.selector);
        book.record(HOME, t, buyer);
        vm.stopPrank();
    }

    function test_RevertWhen_TooManyOrders() external {
        vm.startPrank(auction);
        for (uint256 i; i < book.maxOpenOrders(); ++i) {
            book.record(HOME, _requestTerms(), buyer);
        }
        vm.expectRevert(
            abi.encodeWithSelector(IBook.Book_TooManyOrders.selector, buyerOrg, book.maxOpenOrders())
        );
        book.record(HOME, _requestTerms(), buyer);
        vm.stopPrank();
    }
}

contract BookCloseRequestTest is BookTest {
    RequestId internal request;

    function setUp() public override {
        super.setUp();
        vm.prank(auction);
        request = book.record(HOME, _requestTerms(), buyer);
    }

    /// @dev E7: also when the auction's right was taken away meanwhile.
    function test_WhenItsAuction_Closes() external {
        vm.prank(address(timelock));
        directory.setRight(auction, Rights.BOOK_RECORD, false);
        vm.expectEmit(address(book));
        emit IBook.RequestClosed(request);
        vm.prank(auction);
        book.closeRequest(request);
        assertTrue(book.request(request).closed);
        assertEq(book.openOrders(buyerOrg), 0);
    }

    function test_RevertWhen_AnotherAuctions() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownRequest.selector, request));
        vm.prank(address(tender));
        book.closeRequest(request);
    }

    function test_RevertWhen_TheBuyerItself() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownRequest.selector, request));
        vm.prank(buyer);
        book.closeRequest(request);
    }

    function test_RevertWhen_Closed() external {
        vm.startPrank(auction);
        book.closeRequest(request);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownRequest.selector, request));
        book.closeRequest(request);
        vm.stopPrank();
    }
}

contract BookViewsTest is BookTest {
    function test_WhenBidFits_IsOffered() external {
        OfferId id = _published();
        book.requireOffered(id, northOrg, _list(b), _window(0, 24), RATE);
    }

    function test_RevertWhen_BidIsAnOthers() external {
        OfferId id = _published();
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwner.selector, southOrg));
        book.requireOffered(id, southOrg, _list(b), _window(0, 24), RATE);
    }

    function test_RevertWhen_BidIsBelowTheFloor() external {
        OfferId id = _published();
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateBelowFloor.selector, RATE - 1, RATE));
        book.requireOffered(id, northOrg, _list(b), _window(0, 24), RATE - 1);
    }

    function test_RevertWhen_UnknownOfferOrRequest() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownOffer.selector, UNKNOWN));
        book.offer(UNKNOWN);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownRequest.selector, RequestId.wrap(9)));
        book.request(RequestId.wrap(9));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownOffer.selector, UNKNOWN));
        book.requireOffered(UNKNOWN, northOrg, _list(a), _window(0, 1), RATE);
    }

    function testFuzz_Always_TheDepositIsTheSharesFloor(uint64 rate, uint16 slots) external {
        slots = uint16(bound(slots, 1, 8784));
        rate = uint64(bound(rate, 1, 100_000_000));
        vm.prank(north);
        OfferId id = book.publish(HOME, IBook.OfferTerms(_window(0, slots), rate, 0, 1, NO_SLA, 0), _list(a));
        assertEq(book.offer(id).deposit, uint256(rate) * slots * 1000 / 1_000_000);
    }
}
