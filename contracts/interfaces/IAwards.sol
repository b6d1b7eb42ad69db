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
/// In a composite award the leases belong together: when one provider defaults, their buyer may end the others, and its bond pays
/// them the reserve share of what they did not come to serve before the buyer gets the rest (L8).
interface IAwards {
    /// @notice What ties the leases of a composite award; their ids follow one another.
    struct Composite {
        LeaseId first;
        uint16 count;
    }

    /// @notice What a lease that was ended for a default gets of the defaulted lease's bond, if that suffices.
    struct Claim {
        LeaseId defaulted;
        uint96 amount;
    }

    event CompositeOpened(AwardId indexed award, LeaseId first, uint16 count);
    event PartnerEnded(LeaseId indexed lease, LeaseId indexed defaulted, uint256 reserve);
    /// @param partners What the others got.
    event BondSharedOut(LeaseId indexed defaulted, uint256 partners, uint256 toBuyer);
    event LegSkipped(AwardId indexed award, OrgId indexed provider, Skip reason);

    /// @notice no provider of this award defaulted, so its leases go on
    /// @dev Have a missed deadline recorded first ('ocx lease expire').
    error Awards_NoDefault(LeaseId lease);
    /// @notice these are no leases of one composite award
    /// @dev See 'ocx lease show'.
    error Awards_NotPartners(LeaseId lease, LeaseId partner);
    /// @notice the time to end the other leases of the award is over; they go on
    /// @dev Its buyer may end each early ('ocx lease end').
    error Awards_TooLate(LeaseId defaulted, uint256 until);
    /// @notice a lease of the award goes on
    /// @dev End it first ('ocx lease end-partner').
    error Awards_PartnerRuns(LeaseId partner);

    /// @notice Opens one lease per leg under one award: books slots, locks price, bond and witness fees. What is left in
    /// the award's fund goes back to the buyer.
    /// @dev A leg whose party cannot cover, or whose slots are gone, is skipped with an event and leaves a 0.
    function open(Award calldata award, Leg[] calldata legs)
        external
        returns (AwardId, LeaseId[] memory opened);

    /// @notice The buyer ends a lease of a composite award of which another one defaulted: now, at nobody's fault. What it did
    /// not serve returns to the buyer; its provider is owed the reserve share of that.
    /// @dev Within the time to deliver from the default's record on: not a way out for later.
    function endPartner(LeaseId defaulted, LeaseId partner) external;

    /// @notice Anyone shares out the bond of a defaulted lease once no other of its award runs, or may be ended any more: what is owed to those
    /// ended for it, pro rata if it does not suffice, the rest to the buyer. Of a lease that was not signed it is the
    /// share a missed signature costs.
    function shareOut(LeaseId defaulted) external;

    /// @notice The leases of a composite award; 0 of none.
    function compositeOf(AwardId award) external view returns (Composite memory);

    function claimOf(LeaseId partner) external view returns (Claim memory);

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
