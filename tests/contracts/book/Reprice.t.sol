// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {OfferId, ResourceId} from "../../../contracts/interfaces/Types.sol";

/// @dev Rule B13: a seller that wants the most in total lowers its floor as the window comes near.
contract BookRepriceTest is Exchange {
    uint64 internal constant NOW_RATE = 2 * RATE;
    address internal clerk = makeAddr("clerk");
    OfferId internal id;
    ResourceId internal a;
    ResourceId internal b;

    function setUp() public virtual override {
        super.setUp();
        a = _register(north, 1);
        b = _register(north, 2);
        id = _offer(north, _list(a, b), _window(0, 24), NOW_RATE);
    }

    function _deposit(uint64 rate) internal pure returns (uint256) {
        return uint256(rate) * 2 * 24 / 1000;
    }

    function _reprice(address by, uint64 floor, uint64 buyNow) internal {
        vm.prank(by);
        book.reprice(id, floor, buyNow);
    }

    function test_WhenLower_SellsAtTheNewRates() external {
        vm.expectEmit(address(book));
        // Safe: a small amount.
        // forge-lint: disable-next-line(unsafe-typecast)
        emit IBook.OfferRepriced(id, RATE / 2, RATE, uint96(_deposit(RATE / 2)), north);
        _reprice(north, RATE / 2, RATE);
        assertEq(book.offer(id).floorRate, RATE / 2);
        assertEq(book.offer(id).buyNowRate, RATE);
        vm.prank(buyer);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
        assertEq(escrow.free(buyerOrg), 1_000_000_000 - uint256(RATE) * 4);
    }

    function test_WhenLower_ReturnsWhatTheDepositHeldTooMuch() external {
        uint256 free = escrow.free(northOrg);
        _reprice(north, RATE / 2, 0);
        assertEq(book.offer(id).deposit, _deposit(RATE / 2));
        assertEq(escrow.free(northOrg), free + _deposit(RATE) - _deposit(RATE / 2));
    }

    function testFuzz_WhenRepricedOften_TheDepositFollowsAndAllComesBack(uint64[6] memory floors) external {
        uint256 free = escrow.free(northOrg) + _deposit(RATE);
        for (uint256 i; i < floors.length; ++i) {
            uint64 floor = uint64(bound(floors[i], 1, 1_000 * uint256(RATE)));
            _reprice(north, floor, 0);
            assertEq(book.offer(id).deposit, _deposit(floor));
            assertEq(escrow.balance(address(book), bytes32(uint256(1))), _deposit(floor));
            assertEq(escrow.free(northOrg) + _deposit(floor), free);
        }
        vm.prank(north);
        book.cancel(id);
        assertEq(escrow.free(northOrg), free);
    }

    /// @dev The consent to later leases, and the limit that carries them, is the one of who repriced.
    function test_WhenAnotherMemberReprices_ItCarriesTheOffer() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.OFFER, 10_000_000);
        _reprice(clerk, RATE, RATE);
        assertEq(book.offer(id).by, clerk);
        assertEq(members.member(clerk).spent, _deposit(RATE));
        vm.prank(buyer);
        book.buyNow(HOME, id, _list(a), _window(1, 4));
        assertEq(members.member(clerk).spent, _deposit(RATE) + uint256(RATE) * 4 / 5);
    }

    function test_RevertWhen_TheBuyNowRateRises() external {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateRises.selector, NOW_RATE + 1, NOW_RATE));
        _reprice(north, RATE, NOW_RATE + 1);
    }

    /// @dev Not even in two steps: who saw the first rate would pay the second.
    function test_RevertWhen_ItIsForSaleAtOnceAgain() external {
        _reprice(north, RATE, 0);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateRises.selector, NOW_RATE, 0));
        _reprice(north, RATE, NOW_RATE);
    }

    function test_RevertWhen_TheFloorIsZeroOrAboveTheBuyNowRate() external {
        vm.expectRevert(IBook.Book_ZeroRate.selector);
        _reprice(north, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateBelowFloor.selector, RATE, RATE + 1));
        _reprice(north, RATE + 1, RATE);
    }

    function test_RevertWhen_NotTheSellers() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, northOrg, south));
        _reprice(south, RATE, RATE);
        vm.prank(north);
        members.setMember(clerk, MemberRights.SIGN, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER));
        _reprice(clerk, RATE, RATE);
    }

    function test_RevertWhen_Suspended() external {
        vm.prank(council);
        members.setSuspended(northOrg, true);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        _reprice(north, RATE, RATE);
    }

    function test_RevertWhen_Closed() external {
        vm.prank(north);
        book.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, id));
        _reprice(north, RATE, RATE);
    }
}
