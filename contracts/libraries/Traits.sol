// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What may be agreed on a lease beside its price and policy: a set of bits, one byte in `Leases`.
library Traits {
    /// @notice Fewer resources than asked for are worth nothing to the buyer (rules A7, L1).
    uint8 internal constant ALL_OR_NOTHING = 1;
    /// @notice The leases of an award stand and fall together (rule L8).
    uint8 internal constant COMPOSITE = 2;
    /// @notice The provider may take a lease back, against notice and compensation (rules B7, L5).
    uint8 internal constant RECLAIMABLE = 4;
    /// @notice All resources of an award are at one site.
    uint8 internal constant SAME_SITE = 8;
    /// @notice No two resources of an award are of one organisation, or of affiliated ones.
    uint8 internal constant DISTINCT = 16;
    /// @notice All leases of an award begin together.
    uint8 internal constant SAME_START = 32;
    /// @notice All that a request may ask for.
    uint8 internal constant OF_A_REQUEST = 63;
    /// @notice Handed over inside one party, for nothing (rule L10).
    uint8 internal constant ASSIGNED = 64;
}
