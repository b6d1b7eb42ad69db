// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {Exchange} from "../Exchange.sol";
import {Kiosk} from "./Kiosk.sol";

/// @notice Another application takes payments in credits: docs/credits.md shows the same from Python.
contract KioskTest is Exchange {
    bytes32 private constant COFFEE = "coffee";
    uint256 private constant PRICE = 2_500_000;
    Kiosk private kiosk;
    address private owner = makeAddr("kiosk owner");
    address private visitor;
    uint256 private key;

    function setUp() public override {
        super.setUp();
        (visitor, key) = makeAddrAndKey("visitor");
        vm.prank(council);
        credits.mint(visitor, 10_000_000, "invoice 8");
        vm.startPrank(owner);
        kiosk = new Kiosk(credits);
        kiosk.setPrice(COFFEE, PRICE);
        vm.stopPrank();
    }

    function _permit(uint256 value, uint256 deadline) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 hash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                visitor,
                address(kiosk),
                value,
                credits.nonces(visitor),
                deadline
            )
        );
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", credits.DOMAIN_SEPARATOR(), hash)));
    }

    function _buy(uint256 value, uint256 deadline) private returns (uint256) {
        (uint8 v, bytes32 r, bytes32 s) = _permit(value, deadline);
        vm.prank(visitor);
        return kiosk.buyWithPermit(COFFEE, PRICE, deadline, v, r, s);
    }

    function _allowanceMissing() private {
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(kiosk), 0, PRICE)
        );
    }

    function test_WhenPermitted_PaysInOneTransaction() external {
        vm.expectEmit(address(kiosk));
        emit Kiosk.Sold(0, COFFEE, visitor, PRICE);
        assertEq(_buy(PRICE, block.timestamp), 0);
        assertEq(credits.balanceOf(visitor), 10_000_000 - PRICE);
        assertEq(credits.balanceOf(address(kiosk)), PRICE);
        assertEq(credits.allowance(visitor, address(kiosk)), 0, "nothing stays allowed");
    }

    function test_WhenApproved_Pays() external {
        vm.startPrank(visitor);
        credits.approve(address(kiosk), PRICE);
        kiosk.buy(COFFEE, PRICE);
        vm.stopPrank();
        assertEq(credits.balanceOf(address(kiosk)), PRICE);
    }

    /// @dev Somebody brought the permit to the credits before the purchase: it goes through all the same.
    function test_WhenThePermitWasBroughtBefore_StillPays() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(PRICE, block.timestamp);
        vm.prank(rival);
        credits.permit(visitor, address(kiosk), PRICE, block.timestamp, v, r, s);
        vm.prank(visitor);
        kiosk.buyWithPermit(COFFEE, PRICE, block.timestamp, v, r, s);
        assertEq(credits.balanceOf(address(kiosk)), PRICE);
    }

    function test_RevertWhen_SomebodyElseBringsThePermit() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(PRICE, block.timestamp);
        _allowanceMissing();
        vm.prank(rival);
        kiosk.buyWithPermit(COFFEE, PRICE, block.timestamp, v, r, s);
    }

    function test_RevertWhen_UsedTwice() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(PRICE, block.timestamp);
        vm.startPrank(visitor);
        kiosk.buyWithPermit(COFFEE, PRICE, block.timestamp, v, r, s);
        _allowanceMissing();
        kiosk.buyWithPermit(COFFEE, PRICE, block.timestamp, v, r, s);
        vm.stopPrank();
    }

    function test_RevertWhen_TooLate() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(PRICE, block.timestamp);
        vm.warp(block.timestamp + 1);
        _allowanceMissing();
        vm.prank(visitor);
        kiosk.buyWithPermit(COFFEE, PRICE, block.timestamp - 1, v, r, s);
    }

    function test_RevertWhen_ThePriceRose() external {
        vm.prank(owner);
        kiosk.setPrice(COFFEE, PRICE + 1);
        (uint8 v, bytes32 r, bytes32 s) = _permit(PRICE, block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(Kiosk.Kiosk_PriceChanged.selector, COFFEE, PRICE + 1, PRICE));
        vm.prank(visitor);
        kiosk.buyWithPermit(COFFEE, PRICE, block.timestamp, v, r, s);
    }

    function test_RevertWhen_NotOnTheList() external {
        vm.expectRevert(abi.encodeWithSelector(Kiosk.Kiosk_NotSold.selector, bytes32("tea")));
        kiosk.buy("tea", 1);
    }

    function test_WhenRefunded_TheBuyerHasItBackOnce() external {
        uint256 sale = _buy(PRICE, block.timestamp);
        vm.startPrank(owner);
        kiosk.refund(sale);
        assertEq(credits.balanceOf(visitor), 10_000_000);
        vm.expectRevert(abi.encodeWithSelector(Kiosk.Kiosk_NotRefundable.selector, sale));
        kiosk.refund(sale);
        vm.stopPrank();
    }

    function test_WhenRefundTimeIsOver_TheOwnerTakesItOut() external {
        _buy(PRICE, block.timestamp);
        uint256 second = _buy(PRICE, block.timestamp);
        vm.startPrank(owner);
        kiosk.refund(second);
        assertEq(kiosk.takeOut(10), 0, "may still be refunded");
        vm.warp(block.timestamp + 14 days);
        vm.expectRevert(abi.encodeWithSelector(Kiosk.Kiosk_NotRefundable.selector, 0));
        kiosk.refund(0);
        assertEq(kiosk.takeOut(1), PRICE);
        assertEq(kiosk.takeOut(10), 0, "was refunded");
        vm.stopPrank();
        assertEq(credits.balanceOf(owner), PRICE);
        assertEq(credits.balanceOf(address(kiosk)), 0);
    }

    function test_RevertWhen_NotOwner() external {
        vm.expectRevert(abi.encodeWithSelector(Kiosk.Kiosk_NotOwner.selector, visitor));
        vm.prank(visitor);
        kiosk.takeOut(1);
    }
}
