// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {Amounts} from "../../contracts/libraries/Amounts.sol";

/// @notice E2, E3: a price rounds up, once.
contract AmountsPriceUpTest is Test {
    function test_WhenWhole_IsExact() external pure {
        assertEq(Amounts.priceUp(3_000_000, 3600), 3_000_000);
        assertEq(Amounts.priceUp(3_000_000, 0), 0);
        assertEq(Amounts.priceUp(0, 3600), 0);
    }

    function test_WhenNotWhole_RoundsUp() external pure {
        assertEq(Amounts.priceUp(1, 1), 1);
        assertEq(Amounts.priceUp(1, 3600), 1);
        assertEq(Amounts.priceUp(1, 3601), 2);
        assertEq(Amounts.priceUp(3_000_000, 10), 8334);
    }

    function testFuzz_IsTheLeastIntegerNotBelow(uint64 rate, uint48 resourceSeconds) external pure {
        uint256 price = Amounts.priceUp(rate, resourceSeconds);
        uint256 exact = uint256(rate) * resourceSeconds; // in 3600ths
        assertGe(price * 3600, exact);
        assertLt(price * 3600, exact + 3600);
    }

    /// Rounding several parts up on their own costs at most one microcredit for each, and never less than the whole.
    function testFuzz_PartsAreNeverLessThanTheWhole(uint64 rate, uint32 a, uint32 b) external pure {
        uint256 parts = Amounts.priceUp(rate, a) + Amounts.priceUp(rate, b);
        uint256 whole = Amounts.priceUp(rate, uint256(a) + b);
        assertGe(parts, whole);
        assertLe(parts, whole + 1);
    }
}

/// @notice Shares round down: to the side of who keeps the money.
contract AmountsShareDownTest is Test {
    function test_WhenNotWhole_RoundsDown() external pure {
        assertEq(Amounts.shareDown(9, 500_000), 4);
        assertEq(Amounts.shareDown(999_999, 1), 0);
        assertEq(Amounts.shareDown(1_000_000, 1), 1);
        assertEq(Amounts.shareDown(7, 1_000_000), 7);
        assertEq(Amounts.shareDown(7, 0), 0);
    }

    function testFuzz_NeverMoreThanTheAmount(uint96 amount, uint32 ppm) external pure {
        ppm = uint32(bound(ppm, 0, 1_000_000));
        uint256 share = Amounts.shareDown(amount, ppm);
        assertLe(share, amount);
        assertLe(share + Amounts.shareDown(amount, 1_000_000 - ppm), amount);
    }
}
