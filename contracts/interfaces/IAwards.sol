// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILeases} from "./ILeases.sol";
import {Award, AwardId, LeaseId, Leg, OrgId, Skip, Window} from "./Types.sol";

/// @notice Awards: what the leases of one outcome share, and what each side has to lock for them (rules C1-C3).
///
/// Every auction and every purchase ends in `open`. It leaves out who cannot cover or whose slots are gone, and opens a
/// lease with each of the rest.
///
/// Assumes: callers of `open` took the parties' consent.
/// Does NOT hold credits, book slots or know what becomes of a lease.
interface IAwards {
    event LegSkipped(AwardId indexed award, OrgId indexed provider, Skip reason);

    /// @notice Opens one lease per leg under one award: books slots, locks price, bond and witness fees. What is left in
    /// the award's fund goes back to the buyer.
    /// @dev A leg whose party cannot cover, or whose slots are gone, is skipped with an event and leaves a 0.
    function open(Award calldata award, Leg[] calldata legs)
        external
        returns (AwardId, LeaseId[] memory opened);

    /// @notice Why `open` would skip a leg now.
    function skipOf(Award calldata award, Leg calldata leg) external view returns (Skip);

    /// @notice The same for several legs, each as if it were alone.
    function skipsOf(Award calldata award, Leg[] calldata legs) external view returns (Skip[] memory);

    /// @notice The price of a leg opened now: `ceil(rate * count * (end - max(start, now)) / 3600)` (E2).
    function priceOf(Leg calldata leg) external view returns (uint256);

    /// @notice Witness fees of a lease opened now: for each seat and each epoch that what is left of the window touches
    /// (C2). Half from each side, the odd microcredit from the buyer.
    function feeOf(Window calldata window) external view returns (uint256);

    /// @notice What both sides lock to move a lease's end to a slot: price at a rate and its bond for each resource that is
    /// there, witness fees for the epochs added unless no committee is to come.
    function extensionOf(LeaseId lease, uint32 end, uint64 rate)
        external
        view
        returns (uint96 price, uint96 bond, uint96 fee);

    /// @notice How many awards there are; ids run from 1.
    function count() external view returns (uint32);

    /// @notice Where the leases are.
    function leases() external view returns (ILeases);
}
