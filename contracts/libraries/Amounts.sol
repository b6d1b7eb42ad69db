// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The exchange's arithmetic of money. Integers in microcredits; the direction of rounding is in the name.
library Amounts {
    uint256 internal constant PPM = 1_000_000;

    /// @notice Price of resource-seconds at a rate (rules E2, E3).
    /// @param rate Microcredits per resource and hour.
    /// @param resourceSeconds Sum over resources of the seconds each is paid for.
    function priceUp(uint256 rate, uint256 resourceSeconds) internal pure returns (uint256) {
        return (rate * resourceSeconds + 3599) / 3600;
    }

    /// @notice A share in parts per million.
    function shareDown(uint256 amount, uint256 ppm) internal pure returns (uint256) {
        return (amount * ppm) / PPM;
    }
}
