// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {OrgId, ResourceId, Spec, Window} from "./Types.sol";

/// @notice Every resource of the exchange, and its calendar: one bit per slot (rule T3).
///
/// Assumes: `Leases` alone holds `Rights.INVENTORY_BOOK`, books a window once and releases it once.
/// Does NOT know who leases what, or for how much.
interface IInventory {
    /// @param turnaround Slots that stay booked after each lease; fixed at registration, because release undoes
    /// exactly what booking did.
    /// @param holds How many leases of it ended without wipe evidence in time; while not 0 it cannot be booked.
    /// @param bookedUntil Slot behind the last that was ever booked, turnaround included.
    /// @param class A free name of 31 bytes at most; new kinds of hardware need no new contract.
    /// @param documentHash Keccak-256 of the canonical document, the full measured description.
    /// @param hardwareKey What makes it this one piece of hardware (hash of system UUID and serial), unique.
    struct Resource {
        OrgId owner;
        uint32 turnaround;
        uint32 holds;
        uint32 bookedUntil;
        bool retired;
        bytes32 class;
        bytes32 site;
        bytes32 documentHash;
        bytes32 hardwareKey;
        Spec spec;
    }

    event ResourceRegistered(
        ResourceId indexed resource,
        OrgId indexed owner,
        bytes32 indexed class,
        bytes32 site,
        Spec spec,
        uint32 turnaround,
        bytes32 documentHash,
        bytes32 hardwareKey
    );
    event ResourceRemeasured(ResourceId indexed resource, Spec spec, bytes32 documentHash);
    event ResourceRetired(ResourceId indexed resource);
    event SlotsBooked(ResourceId indexed resource, uint32 start, uint32 end);
    event SlotsReleased(ResourceId indexed resource, uint32 start, uint32 end);
    event ResourceHeld(ResourceId indexed resource, uint32 holds);
    event HoldLifted(ResourceId indexed resource, uint32 holds);

    /// @notice there is no such resource
    /// @dev See 'ocx node list'.
    error Inventory_Unknown(ResourceId resource);
    /// @notice this hardware is registered already
    /// @dev Use the resource it has, or retire that one first.
    error Inventory_HardwareTaken(bytes32 hardwareKey, ResourceId resource);
    /// @notice class and hardware key must not be empty
    /// @dev Give the node a resource class and an identity.
    error Inventory_EmptyKey();
    /// @notice the resource is retired
    /// @dev Register it anew.
    error Inventory_Retired(ResourceId resource);
    /// @notice the resource is booked until that slot, or waits for wipe evidence
    /// @dev Cancel its offers and retire it when its last lease is over.
    error Inventory_Booked(ResourceId resource, uint32 until, uint32 holds);
    /// @notice the resource is of another class or smaller than what is asked
    /// @dev Name one that covers the request.
    error Inventory_NotCovering(ResourceId resource);
    /// @notice the resource is not free in these slots
    /// @dev See 'ocx node show' for when it is.
    error Inventory_NotFree(ResourceId resource, uint32 start, uint32 end);
    /// @notice the turnaround is too long (slots)
    /// @dev Give fewer slots.
    error Inventory_TurnaroundTooLong(uint32 turnaround, uint32 max);
    /// @notice the window's start must be before its end, and it must not be too long (slots)
    /// @dev Give another window.
    error Inventory_BadWindow(uint32 start, uint32 end);
    /// @notice the window is past
    /// @dev Give one that ends in the future.
    error Inventory_PastWindow(uint32 end, uint256 timestamp);

    /// @notice Seconds in a slot.
    function slot() external view returns (uint32);

    /// @notice How many resources there are; ids run from 1.
    function count() external view returns (uint32);

    /// @notice Registers what a seller's cloud measured.
    /// @param owner The seller; 0 is the caller's own organisation, any other one must have granted it the right.
    function register(
        OrgId owner,
        bytes32 class,
        bytes32 site,
        Spec calldata spec,
        uint32 turnaround,
        bytes32 documentHash,
        bytes32 hardwareKey
    ) external returns (ResourceId);

    /// @notice The owner measured again; what is booked stays booked.
    function remeasure(ResourceId resource, Spec calldata spec, bytes32 documentHash) external;

    /// @notice No new bookings; the hardware key is free for a new registration, here or by a new owner. Not before the
    /// last booking is over and wiped: else its owner could register the same machine again and sell it twice.
    function retire(ResourceId resource) external;

    /// @notice Books `[start, end)` and the turnaround behind it; reverts unless all of it is free.
    function book(ResourceId resource, uint32 start, uint32 end) external;

    /// @notice Moves the end of a booking `[start, end)` to `newEnd`, its turnaround with it; reverts unless all of that is
    /// free, or if it were longer than any window.
    function extend(ResourceId resource, uint32 start, uint32 end, uint32 newEnd) external;

    /// @notice Frees `[from, end)` of a booking that ended at `end`, and the turnaround behind it.
    function release(ResourceId resource, uint32 from, uint32 end) external;

    /// @notice Keeps a resource from being booked until wipe evidence comes (rule L6).
    function hold(ResourceId resource) external;

    function liftHold(ResourceId resource) external;

    /// @notice Whether `book` would go through.
    function isFree(ResourceId resource, uint32 start, uint32 end) external view returns (bool);

    /// @notice 256 slots of a calendar, from slot `word * 256` on, lowest bit first; a set bit is booked.
    function calendar(ResourceId resource, uint256 word) external view returns (uint256);

    function resource(ResourceId resource) external view returns (Resource memory);

    function ownerOf(ResourceId resource) external view returns (OrgId);

    /// @notice Hash of the document that the resource has now; 0 if there is no such resource.
    function documentHashOf(ResourceId resource) external view returns (bytes32);

    function siteOf(ResourceId resource) external view returns (bytes32);

    /// @notice The resource that has this hardware key now, 0 if none.
    function byHardware(bytes32 hardwareKey) external view returns (ResourceId);

    /// @notice Whether the resource is of the class and at least of the spec in every measure.
    function covers(ResourceId resource, bytes32 class, Spec calldata spec) external view returns (bool);

    /// @notice Reverts unless every resource is of the class, at least of the spec, and free over the window.
    function requireFits(
        ResourceId[] calldata resources,
        bytes32 class,
        Spec calldata spec,
        Window calldata window
    ) external view;

    /// @notice Reverts unless `start < end`, the window is no longer than `maxWindow`, and its end is not past (T1).
    function requireWindow(Window calldata window) external view;

    /// @notice Longest window, in slots. Bounds every loop over a calendar.
    function maxWindow() external view returns (uint32);
}
