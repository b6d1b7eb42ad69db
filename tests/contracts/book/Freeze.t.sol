// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {OfferId, ResourceId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @dev Rule A1: what is under auction is not sold beside it. This contract stands in for two auctions.
contract BookFreezeTest is Exchange {
    address internal other = makeAddr("other auction");
    OfferId internal id;
    ResourceId internal a;
    uint40 internal until;

    function setUp() public virtual override {
        super.setUp();
        vm.startPrank(address(timelock));
        directory.setRight(address(this), Rights.BOOK_FREEZE, true);
        directory.setRight(other, Rights.BOOK_FREEZE, true);
        vm.stopPrank();
        a = _register(north, 1);
        id = _offer(north, _list(a), _window(0, 24), 2 * RATE);
        until = uint40(block.timestamp + 1 hours);
    }

    function _frozen() internal view returns (bytes memory) {
        return abi.encodeWithSelector(IBook.Book_Frozen.selector, id, until);
    }

    function _buy() internal {
        vm.prank(buyer);
        book.buyNow(HOME, id, _list(a), _window(4, 4));
    }

    function test_WhenFrozen_IsNotSoldBidChangedOrCancelled() external {
        vm.expectEmit(address(book));
        emit IBook.OfferFrozen(id, address(this), until);
        book.freeze(id, until);
        vm.warp(until - 1);
        vm.expectRevert(_frozen());
        _buy();
        vm.expectRevert(_frozen());
        book.requireOffered(id, northOrg, _list(a), _window(4, 4), RATE);
        vm.startPrank(north);
        vm.expectRevert(_frozen());
        book.cancel(id);
        vm.expectRevert(_frozen());
        book.reprice(id, RATE, RATE);
        vm.stopPrank();
    }

    /// @dev I4: no right and no act is needed for it.
    function test_WhenTheTimeIsOver_LapsesByItself() external {
        book.freeze(id, until);
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.BOOK_FREEZE, false);
        vm.warp(until);
        _buy();
        vm.prank(north);
        book.cancel(id);
    }

    function test_WhenThawed_IsSoldAtOnce() external {
        book.freeze(id, until);
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.BOOK_FREEZE, false);
        vm.expectEmit(address(book));
        emit IBook.OfferThawed(id);
        book.thaw(id);
        _buy();
    }

    function test_WhenFrozenForLess_StaysAsLong() external {
        book.freeze(id, until);
        book.freeze(id, until - 1);
        assertEq(book.offer(id).frozenUntil, until);
        book.freeze(id, until + 1);
        assertEq(book.offer(id).frozenUntil, until + 1);
    }

    function test_WhenAnotherThaws_NothingHappens() external {
        book.freeze(id, until);
        vm.prank(other);
        book.thaw(id);
        vm.prank(north);
        book.thaw(id);
        assertEq(book.offer(id).frozenUntil, until);
    }

    function test_WhenTheWindowIsOver_StillExpires() external {
        until = uint40(block.timestamp + 25 hours);
        book.freeze(id, until);
        vm.warp(block.timestamp + 24 hours);
        book.expire(id);
        assertEq(escrow.free(northOrg), 1_000_000_000);
    }

    function test_RevertWhen_AnotherAuctionHasIt() external {
        book.freeze(id, until);
        vm.prank(other);
        vm.expectRevert(_frozen());
        book.freeze(id, until + 1);
        vm.warp(until);
        vm.prank(other);
        book.freeze(id, until + 1);
    }

    function test_RevertWhen_ForLongerThanTheBound() external {
        uint256 most = block.timestamp + book.MAX_FREEZE();
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_FrozenTooLong.selector, most + 1, most));
        book.freeze(id, uint40(most + 1));
        book.freeze(id, uint40(most));
    }

    function test_RevertWhen_TheOfferIsClosed() external {
        vm.prank(north);
        book.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, id));
        book.freeze(id, until);
    }

    function test_RevertWhen_TheCallerIsNoAuction() external {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, north, Rights.BOOK_FREEZE)
        );
        vm.prank(north);
        book.freeze(id, until);
    }
}
