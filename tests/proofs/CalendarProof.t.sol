// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Proof} from "./Proof.sol";
import {Inventory} from "../../contracts/Inventory.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IMembers} from "../../contracts/interfaces/IMembers.sol";
import {OrgId, ResourceId, Spec} from "../../contracts/interfaces/Types.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @notice An inventory that can be given any calendar, and asked for its masks.
contract AnyCalendar is Inventory {
    constructor(IDirectory directory_, IMembers members_) Inventory(directory_, members_, 3600) {}

    function put(ResourceId id, uint256 word, uint256 bits) external {
        calendar[id][word] = bits;
    }

    function mask(uint256 word, uint256 start, uint256 end) external pure returns (uint256) {
        return _mask(word, start, end);
    }
}

/// @notice One organisation that may everything.
contract OneMember {
    function requireRight(address, uint16) external pure returns (OrgId) {
        return OrgId.wrap(1);
    }

    function requireActive(OrgId, uint8) external pure {}
}

/// @notice The calendar's arithmetic (I3, T3). `check_Mask` holds for every word there is; the others for every calendar,
/// window and turnaround that lie in two neighbouring words, told by one slot that is any of them. More words are more
/// turns of the same loop.
contract CalendarProof is Proof {
    uint32 internal constant WORD = 7_031;
    uint32 internal constant FIRST = WORD * 256;
    ResourceId internal constant ID = ResourceId.wrap(1);

    /// @dev What is before: two words, and a slot in one of them that is looked at.
    struct Any {
        uint16 turnaround;
        uint256 low;
        uint256 high;
        bool inHigh;
        uint8 bit;
    }

    AnyCalendar internal inventory;

    function setUp() public override {
        super.setUp();
        inventory = new AnyCalendar(directory, IMembers(address(new OneMember())));
        directory.setRight(address(this), Rights.INVENTORY_BOOK, true);
    }

    /// @dev A mask has exactly the bits of the slots that are in the window.
    function check_Mask(uint32 word, uint32 start, uint32 end, uint8 bit) external view {
        vm.assume(word <= type(uint32).max >> 8);
        uint256 slot = uint256(word) * 256 + bit;
        assertEq((inventory.mask(word, start, end) >> bit) & 1 != 0, start <= slot && slot < end);
    }

    /// @dev Exactly the window and its turnaround are booked, on slots that were free; all others are as they were.
    function check_Book(Any calldata any, uint8 start, uint16 end) external {
        bool inside = _isInside(any, start, end);
        bool before = _set(any, end);
        _book(start, end);
        assertFalse(inside && before);
        assertEq(_isBooked(any), before || inside);
    }

    /// @dev Exactly what is left of it is free; all others are as they were.
    function check_Release(Any calldata any, uint8 start, uint16 end) external {
        bool inside = _isInside(any, start, end);
        bool before = _set(any, end);
        inventory.release(ID, FIRST | start, FIRST + end);
        assertEq(_isBooked(any), before && !inside);
    }

    /// @dev What was booked and is released is as it was.
    function check_BookThenRelease(Any calldata any, uint8 start, uint16 end) external {
        bool before = _set(any, end);
        _book(start, end);
        inventory.release(ID, FIRST | start, FIRST + end);
        assertEq(_isBooked(any), before);
    }

    /// @dev Two windows that both went in have no slot in common, turnaround included.
    function check_NoSlotIsBookedTwice(Any calldata any, uint8 start, uint16 end, uint8 from, uint16 until)
        external
    {
        _set(any, end);
        vm.assume(uint256(until) + any.turnaround <= 512);
        _book(start, end);
        _book(from, until);
        assertFalse(_isInside(any, start, end) && _isInside(any, from, until));
    }

    /// @dev A lease that was extended holds what one would that had been as long from the beginning.
    function check_Extend(Any calldata any, uint8 start, uint16 end, uint16 newEnd) external {
        bool inside = _isInside(any, start, newEnd);
        bool before = _set(any, newEnd);
        vm.assume(start < end && end < newEnd);
        _book(start, end);
        bytes memory extend =
            abi.encodeCall(Inventory.extend, (ID, FIRST | start, FIRST + end, FIRST + newEnd));
        _goesThrough(address(this), address(inventory), extend);
        assertFalse(inside && before);
        assertEq(_isBooked(any), before || inside);
    }

    /// @dev `isFree` says what `book` does.
    function check_IsFree(Any calldata any, uint8 start, uint16 end) external {
        _set(any, end);
        bool free = inventory.isFree(ID, FIRST | start, FIRST + end);
        (bool ok,) = address(inventory).call(abi.encodeCall(Inventory.book, (ID, FIRST | start, FIRST + end)));
        assertEq(ok, free);
    }

    function _set(Any calldata any, uint16 end) private returns (bool) {
        vm.assume(any.turnaround <= 256 && uint256(end) + any.turnaround <= 512);
        Spec memory spec;
        inventory.register("class", "site", spec, any.turnaround, 0, "key");
        inventory.put(ID, WORD, any.low);
        inventory.put(ID, WORD + 1, any.high);
        return _isBooked(any);
    }

    function _book(uint8 start, uint16 end) private {
        vm.assume(start < end);
        bytes memory book = abi.encodeCall(Inventory.book, (ID, FIRST | start, FIRST + end));
        _goesThrough(address(this), address(inventory), book);
    }

    function _isInside(Any calldata any, uint8 start, uint16 end) private pure returns (bool) {
        uint256 slot = any.inHigh ? 256 + uint256(any.bit) : any.bit;
        return start <= slot && slot < uint256(end) + any.turnaround;
    }

    function _isBooked(Any calldata any) private view returns (bool) {
        return (inventory.calendar(ID, any.inHigh ? WORD + 1 : WORD) >> any.bit) & 1 != 0;
    }
}
