// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {OrgId, ResourceId, Spec, Window} from "./interfaces/Types.sol";
import {Rights} from "./libraries/Rights.sol";

/// @notice See {IInventory}.
contract Inventory is IInventory, Governed {
    /// @inheritdoc IInventory
    uint32 public constant maxWindow = 8784; // a leap year of hours
    uint32 private constant MAX_TURNAROUND = 256;

    IMembers public immutable members;
    /// @inheritdoc IInventory
    uint32 public immutable slot;

    /// @inheritdoc IInventory
    uint32 public count;
    /// @inheritdoc IInventory
    mapping(bytes32 hardwareKey => ResourceId) public byHardware;
    /// @inheritdoc IInventory
    mapping(ResourceId => mapping(uint256 word => uint256)) public calendar;

    mapping(ResourceId => Resource) private _resources;

    constructor(IDirectory directory_, IMembers members_, uint32 slot_) Governed(directory_) {
        members = members_;
        slot = slot_;
    }

    /// @inheritdoc IInventory
    function register(
        OrgId owner,
        bytes32 class,
        bytes32 site,
        Spec calldata spec,
        uint32 turnaround,
        bytes32 documentHash,
        bytes32 hardwareKey
    ) external returns (ResourceId id) {
        owner = members.actingFor(owner, msg.sender, MemberRights.OFFER);
        members.requireActive(owner, Roles.SELLER);
        if (class == 0 || hardwareKey == 0) revert Inventory_EmptyKey();
        if (turnaround > MAX_TURNAROUND) revert Inventory_TurnaroundTooLong(turnaround, MAX_TURNAROUND);
        if (ResourceId.unwrap(byHardware[hardwareKey]) != 0) {
            revert Inventory_HardwareTaken(hardwareKey, byHardware[hardwareKey]);
        }

        id = ResourceId.wrap(++count);
        byHardware[hardwareKey] = id;
        _resources[id] =
            Resource(owner, turnaround, 0, 0, false, class, site, documentHash, hardwareKey, spec);
        emit ResourceRegistered(id, owner, class, site, spec, turnaround, documentHash, hardwareKey);
    }

    /// @inheritdoc IInventory
    function remeasure(ResourceId id, Spec calldata spec, bytes32 documentHash) external {
        Resource storage r = _owned(id);
        r.spec = spec;
        r.documentHash = documentHash;
        emit ResourceRemeasured(id, spec, documentHash);
    }

    /// @inheritdoc IInventory
    function retire(ResourceId id) external {
        Resource storage r = _owned(id);
        if (block.timestamp < uint256(r.bookedUntil) * slot || r.holds != 0) {
            revert Inventory_Booked(id, r.bookedUntil, r.holds);
        }
        r.retired = true;
        byHardware[r.hardwareKey] = ResourceId.wrap(0);
        emit ResourceRetired(id);
    }

    /// @inheritdoc IInventory
    function book(ResourceId id, uint32 start, uint32 end) external onlyHolder(Rights.INVENTORY_BOOK) {
        _book(id, start, end);
    }

    /// @inheritdoc IInventory
    function extend(ResourceId id, uint32 start, uint32 end, uint32 newEnd)
        external
        onlyHolder(Rights.INVENTORY_BOOK)
    {
        if (newEnd <= end || newEnd - start > maxWindow) revert Inventory_BadWindow(start, newEnd);
        // Its own turnaround is booked already, and moves.
        _book(id, end + _resources[id].turnaround, newEnd);
    }

    /// @inheritdoc IInventory
    function release(ResourceId id, uint32 from, uint32 end) external onlyEverHolder(Rights.INVENTORY_BOOK) {
        uint32 last = end + _resources[id].turnaround;
        if (from >= last) return;
        for (uint256 word = from >> 8; word << 8 < last; ++word) {
            calendar[id][word] &= ~_mask(word, from, last);
        }
        emit SlotsReleased(id, from, last);
    }

    /// @inheritdoc IInventory
    function hold(ResourceId id) external onlyEverHolder(Rights.INVENTORY_BOOK) {
        emit ResourceHeld(id, ++_resources[id].holds);
    }

    /// @inheritdoc IInventory
    function liftHold(ResourceId id) external onlyEverHolder(Rights.INVENTORY_BOOK) {
        emit HoldLifted(id, --_resources[id].holds);
    }

    /// @inheritdoc IInventory
    function isFree(ResourceId id, uint32 start, uint32 end) public view returns (bool) {
        Resource storage r = _resources[id];
        if (OrgId.unwrap(r.owner) == 0 || r.retired || r.holds != 0) return false;
        uint32 last = end + r.turnaround;
        for (uint256 word = start >> 8; word << 8 < last; ++word) {
            if (calendar[id][word] & _mask(word, start, last) != 0) return false;
        }
        return true;
    }

    /// @inheritdoc IInventory
    function resource(ResourceId id) external view returns (Resource memory) {
        if (OrgId.unwrap(_resources[id].owner) == 0) revert Inventory_Unknown(id);
        return _resources[id];
    }

    /// @inheritdoc IInventory
    function ownerOf(ResourceId id) external view returns (OrgId) {
        return _resources[id].owner;
    }

    /// @inheritdoc IInventory
    function documentHashOf(ResourceId id) external view returns (bytes32) {
        return _resources[id].documentHash;
    }

    /// @inheritdoc IInventory
    function siteOf(ResourceId id) external view returns (bytes32) {
        return _resources[id].site;
    }

    /// @inheritdoc IInventory
    function covers(ResourceId id, bytes32 class, Spec calldata spec) public view returns (bool) {
        Resource storage r = _resources[id];
        Spec memory has = r.spec;
        return r.class == class && has.cores >= spec.cores && has.memoryMib >= spec.memoryMib
            && has.diskGib >= spec.diskGib && has.gpus >= spec.gpus && has.networkMbps >= spec.networkMbps;
    }

    /// @inheritdoc IInventory
    function requireFits(ResourceId[] calldata ids, bytes32 class, Spec calldata spec, Window calldata window)
        external
        view
    {
        for (uint256 i; i < ids.length; ++i) {
            if (!covers(ids[i], class, spec)) revert Inventory_NotCovering(ids[i]);
            if (!isFree(ids[i], window.start, window.end)) {
                revert Inventory_NotFree(ids[i], window.start, window.end);
            }
        }
    }

    /// @inheritdoc IInventory
    function requireWindow(Window calldata window) external view {
        if (window.start >= window.end || window.end - window.start > maxWindow) {
            revert Inventory_BadWindow(window.start, window.end);
        }
        if (uint256(window.end) * slot <= block.timestamp) {
            revert Inventory_PastWindow(window.end, block.timestamp);
        }
    }

    function _book(ResourceId id, uint32 start, uint32 end) private {
        Resource storage r = _resources[id];
        uint32 last = end + r.turnaround;
        if (r.retired || r.holds != 0) revert Inventory_NotFree(id, start, end);
        for (uint256 word = start >> 8; word << 8 < last; ++word) {
            uint256 mask = _mask(word, start, last);
            uint256 booked = calendar[id][word];
            if (booked & mask != 0) revert Inventory_NotFree(id, start, end);
            calendar[id][word] = booked | mask;
        }
        if (last > r.bookedUntil) r.bookedUntil = last;
        emit SlotsBooked(id, start, last);
    }

    /// @dev The bits of `[start, end)` that lie in a word.
    function _mask(uint256 word, uint256 start, uint256 end) internal pure returns (uint256 mask) {
        uint256 first = word << 8;
        mask = type(uint256).max;
        if (start > first) mask <<= start - first;
        if (end < first + 256) mask &= ~(type(uint256).max << (end - first));
    }

    function _owned(ResourceId id) private view returns (Resource storage r) {
        r = _resources[id];
        if (r.owner == OrgId.wrap(0)) revert Inventory_Unknown(id);
        members.requireRightFor(r.owner, msg.sender, MemberRights.OFFER);
        if (r.retired) revert Inventory_Retired(id);
    }
}
