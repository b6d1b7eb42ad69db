// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "./Exchange.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IInventory} from "../../contracts/interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "../../contracts/interfaces/IMembers.sol";
import {OrgId, ResourceId, Spec, Window} from "../../contracts/interfaces/Types.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @dev The calendar's functions are called as `Leases`, which alone has the right.
abstract contract InventoryTest is Exchange {
    ResourceId internal constant NONE = ResourceId.wrap(0);
    ResourceId internal machine;
    address internal clerk = makeAddr("clerk");

    function setUp() public virtual override {
        super.setUp();
        machine = _register(north, 1);
    }

    function _book(ResourceId id, uint32 start, uint32 end) internal {
        vm.prank(address(leases));
        inventory.book(id, start, end);
    }

    function _release(ResourceId id, uint32 from, uint32 end) internal {
        vm.prank(address(leases));
        inventory.release(id, from, end);
    }

    function _hold(ResourceId id) internal {
        vm.prank(address(leases));
        inventory.hold(id);
    }

    function _notFree(ResourceId id, uint32 start, uint32 end) internal {
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_NotFree.selector, id, start, end));
    }

    function _noRight(address caller) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, caller, Rights.INVENTORY_BOOK)
        );
        vm.prank(caller);
    }

    function _revoke() internal {
        vm.prank(address(timelock));
        directory.setRight(address(leases), Rights.INVENTORY_BOOK, false);
    }

    /// @dev The calendar's bit for a slot, read the plain way.
    function _bit(ResourceId id, uint256 slot) internal view returns (bool) {
        return (inventory.calendar(id, slot / 256) >> (slot % 256)) & 1 == 1;
    }

    function _registerAs(address by, uint256 key, uint32 turnaround) internal returns (ResourceId) {
        vm.prank(by);
        return inventory.register(HOME, CLASS, SITE, _spec(), turnaround, "document", bytes32(key));
    }
}

contract InventoryRegisterTest is InventoryTest {
    function test_WhenNew_IsTheSellers() external {
        vm.expectEmit(address(inventory));
        emit IInventory.ResourceRegistered(
            ResourceId.wrap(2), northOrg, CLASS, SITE, _spec(), 7, "document", bytes32(uint256(2))
        );
        ResourceId id = _registerAs(north, 2, 7);
        assertEq(inventory.count(), 2);
        assertTrue(inventory.ownerOf(id) == northOrg);
        assertEq(ResourceId.unwrap(inventory.byHardware(bytes32(uint256(2)))), 2);
        IInventory.Resource memory r = inventory.resource(id);
        assertTrue(r.owner == northOrg);
        assertEq(r.turnaround, 7);
        assertEq(r.class, CLASS);
        assertEq(r.site, SITE);
        assertEq(r.documentHash, "document");
        assertEq(r.spec.cores, _spec().cores);
        assertFalse(r.retired);
        assertTrue(inventory.isFree(id, _now(), _now() + 1000));
    }

    function test_RevertWhen_HardwareTakenByAnyone() external {
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_HardwareTaken.selector, bytes32(uint256(1)), machine)
        );
        _registerAs(south, 1, 0);
    }

    function test_RevertWhen_NoClass() external {
        vm.expectRevert(IInventory.Inventory_EmptyKey.selector);
        vm.prank(north);
        inventory.register(HOME, 0, SITE, _spec(), 0, 0, "key");
    }

    function test_RevertWhen_NoHardwareKey() external {
        vm.expectRevert(IInventory.Inventory_EmptyKey.selector);
        _registerAs(north, 0, 0);
    }

    function test_WhenTurnaroundIsTheLongest_Registers() external {
        _registerAs(north, 2, 256);
    }

    function test_RevertWhen_TurnaroundTooLong() external {
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_TurnaroundTooLong.selector, 257, 256));
        _registerAs(north, 2, 257);
    }

    function test_RevertWhen_NotASeller() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, buyerOrg, Roles.SELLER));
        _registerAs(buyer, 2, 0);
    }

    function test_RevertWhen_Suspended() external {
        vm.prank(council);
        members.setSuspended(northOrg, true);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        _registerAs(north, 2, 0);
    }

    function test_RevertWhen_MemberMayNotOffer() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.ALL & ~MemberRights.OFFER, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER));
        _registerAs(clerk, 2, 0);
    }
}

contract InventoryRemeasureTest is InventoryTest {
    function test_WhenOwner_ReplacesSpecAndDocument() external {
        _book(machine, _now(), _now() + 1);
        Spec memory smaller = Spec(32, 1, 2, 3, 4);
        vm.expectEmit(address(inventory));
        emit IInventory.ResourceRemeasured(machine, smaller, "newer");
        vm.prank(north);
        inventory.remeasure(machine, smaller, "newer");
        IInventory.Resource memory r = inventory.resource(machine);
        assertEq(r.spec.cores, 32);
        assertEq(r.spec.networkMbps, 4);
        assertEq(r.documentHash, "newer");
        assertTrue(_bit(machine, _now()), "what is booked stays booked");
    }

    function test_RevertWhen_NotOwner() external {
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        inventory.remeasure(machine, _spec(), 0);
    }

    function test_RevertWhen_Unknown() external {
        ResourceId unknown = ResourceId.wrap(9);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Unknown.selector, unknown));
        vm.prank(north);
        inventory.remeasure(unknown, _spec(), 0);
    }

    function test_RevertWhen_Retired() external {
        vm.startPrank(north);
        inventory.retire(machine);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Retired.selector, machine));
        inventory.remeasure(machine, _spec(), 0);
        vm.stopPrank();
    }
}

contract InventoryRetireTest is InventoryTest {
    function test_WhenNeverBooked_FreesTheHardwareKey() external {
        vm.expectEmit(address(inventory));
        emit IInventory.ResourceRetired(machine);
        vm.prank(north);
        inventory.retire(machine);
        assertTrue(inventory.resource(machine).retired);
        assertFalse(inventory.isFree(machine, _now(), _now() + 1));
        assertEq(ResourceId.unwrap(inventory.byHardware(bytes32(uint256(1)))), 0);
        ResourceId again = _register(south, 1);
        assertTrue(inventory.ownerOf(again) == southOrg);
    }

    function test_WhenEveryBookingIsOver_Retires() external {
        _book(machine, _now() + 1, _now() + 3);
        vm.warp((uint256(_now()) + 3 + TURNAROUND) * SLOT);
        vm.prank(north);
        inventory.retire(machine);
    }

    /// @dev I3: else one machine, registered twice, could be leased twice at a time.
    function test_RevertWhen_Booked() external {
        uint32 last = _now() + 3 + TURNAROUND;
        _book(machine, _now() + 1, _now() + 3);
        vm.warp(uint256(last) * SLOT - 1);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Booked.selector, machine, last, 0));
        vm.prank(north);
        inventory.retire(machine);
    }

    /// @dev L6: nor can a machine without wipe evidence get rid of its hold.
    function test_RevertWhen_Held() external {
        _hold(machine);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Booked.selector, machine, 0, 1));
        vm.prank(north);
        inventory.retire(machine);
    }

    function test_RevertWhen_NotOwner() external {
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        inventory.retire(machine);
    }

    function test_RevertWhen_Twice() external {
        vm.startPrank(north);
        inventory.retire(machine);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Retired.selector, machine));
        inventory.retire(machine);
        vm.stopPrank();
    }
}

contract InventoryBookTest is InventoryTest {
    function test_WhenFree_BooksWindowAndTurnaround() external {
        uint32 start = _now() + 1;
        vm.expectEmit(address(inventory));
        emit IInventory.SlotsBooked(machine, start, start + 4 + TURNAROUND);
        _book(machine, start, start + 4);
        assertFalse(_bit(machine, start - 1));
        for (uint32 s = start; s < start + 4 + TURNAROUND; ++s) {
            assertTrue(_bit(machine, s));
        }
        assertFalse(_bit(machine, start + 4 + TURNAROUND));
    }

    /// @dev Windows at the borders of calendar words, where a mask could be off by one.
    function test_WhenAtWordBorders_BooksExactly() external {
        uint32 word = (_now() / 256 + 2) * 256;
        uint32[2][6] memory windows = [
            [word, word + 1],
            [word - 1, word],
            [word - 1, word + 1],
            [word, word + 256],
            [word - 2, word + 254],
            [word + 255, word + 256 * 3 + 1]
        ];
        for (uint256 i; i < windows.length; ++i) {
            (uint32 start, uint32 end) = (windows[i][0], windows[i][1]);
            ResourceId id = _registerAs(north, 10 + i, uint32(i % 3));
            _book(id, start, end);
            uint32 last = end + uint32(i % 3);
            uint256 set;
            for (uint256 w = word / 256 - 1; w < word / 256 + 5; ++w) {
                for (uint256 bits = inventory.calendar(id, w); bits != 0; bits &= bits - 1) {
                    ++set;
                }
            }
            assertEq(set, last - start);
            assertTrue(_bit(id, start) && _bit(id, last - 1));
            assertFalse(inventory.isFree(id, last - 1, last));
            assertTrue(inventory.isFree(id, last, last + 1));
            if (i % 3 == 0) assertTrue(inventory.isFree(id, start - 1, start), "no turnaround to collide");
        }
    }

    function test_WhenLongest_BooksAllOfIt() external {
        uint32 start = _now();
        ResourceId id = _registerAs(north, 10, 256);
        _book(id, start, start + inventory.maxWindow());
        assertTrue(_bit(id, start + inventory.maxWindow() + 255));
        assertFalse(_bit(id, start + inventory.maxWindow() + 256));
    }

    /// @dev T3: also the turnaround must be free, for itself and against the next lease.
    function test_RevertWhen_TurnaroundCollides() external {
        uint32 start = _now() + 10;
        _book(machine, start, start + 2);
        _notFree(machine, start - 2, start - 1);
        _book(machine, start - 2, start - 1);
        _notFree(machine, start + 3, start + 5);
        _book(machine, start + 3, start + 5);
        _book(machine, start - 3, start - 2);
        _book(machine, start + 4, start + 5);
    }

    function test_RevertWhen_Retired() external {
        vm.prank(north);
        inventory.retire(machine);
        _notFree(machine, _now(), _now() + 1);
        _book(machine, _now(), _now() + 1);
    }

    function test_RevertWhen_Held() external {
        _hold(machine);
        _notFree(machine, _now(), _now() + 1);
        _book(machine, _now(), _now() + 1);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        _noRight(north);
        inventory.book(machine, _now(), _now() + 1);
    }

    function test_RevertWhen_RightWasTakenAway() external {
        _revoke();
        _noRight(address(leases));
        inventory.book(machine, _now(), _now() + 1);
    }
}

contract InventoryReleaseTest is InventoryTest {
    function test_WhenFromTheStart_FreesEverything() external {
        uint32 start = _now() + 1;
        _book(machine, start, start + 4);
        vm.expectEmit(address(inventory));
        emit IInventory.SlotsReleased(machine, start, start + 4 + TURNAROUND);
        _release(machine, start, start + 4);
        assertTrue(inventory.isFree(machine, start - 1, start + 100));
    }

    function test_WhenFromTheMiddle_KeepsWhatWasUsed() external {
        uint32 start = _now() + 1;
        _book(machine, start, start + 4);
        _release(machine, start + 2, start + 4);
        assertTrue(_bit(machine, start + 1));
        assertTrue(inventory.isFree(machine, start + 2, start + 100));
    }

    function test_WhenInTheTurnaround_FreesTheRestOfIt() external {
        uint32 start = _now() + 1;
        _book(machine, start, start + 4);
        _release(machine, start + 5, start + 4);
        assertTrue(_bit(machine, start + 4));
        assertFalse(_bit(machine, start + 5));
    }

    function test_WhenBehindTheTurnaround_DoesNothing() external {
        uint32 start = _now() + 1;
        _book(machine, start, start + 4);
        vm.recordLogs();
        _release(machine, start + 4 + TURNAROUND, start + 4);
        assertEq(vm.getRecordedLogs().length, 0);
        assertTrue(_bit(machine, start + 5));
    }

    function test_WhenRightWasTakenAway_StillFrees() external {
        uint32 start = _now() + 1;
        _book(machine, start, start + 4);
        _revoke();
        _release(machine, start, start + 4);
        assertTrue(inventory.isFree(machine, start, start + 4));
    }

    function test_RevertWhen_CallerNeverHadTheRight() external {
        _noRight(north);
        inventory.release(machine, _now(), _now() + 1);
    }
}

contract InventoryHoldTest is InventoryTest {
    function test_WhenHeld_CannotBeBookedUntilEveryHoldIsLifted() external {
        vm.startPrank(address(leases));
        vm.expectEmit(address(inventory));
        emit IInventory.ResourceHeld(machine, 1);
        inventory.hold(machine);
        inventory.hold(machine);
        assertFalse(inventory.isFree(machine, _now(), _now() + 1));
        vm.expectEmit(address(inventory));
        emit IInventory.HoldLifted(machine, 1);
        inventory.liftHold(machine);
        assertFalse(inventory.isFree(machine, _now(), _now() + 1));
        inventory.liftHold(machine);
        vm.stopPrank();
        assertTrue(inventory.isFree(machine, _now(), _now() + 1));
        assertEq(inventory.resource(machine).holds, 0);
    }

    function test_WhenRightWasTakenAway_StillHoldsAndLifts() external {
        _revoke();
        _hold(machine);
        vm.prank(address(leases));
        inventory.liftHold(machine);
        assertEq(inventory.resource(machine).holds, 0);
    }

    function test_RevertWhen_CallerNeverHadTheRight() external {
        _noRight(north);
        inventory.hold(machine);
        _hold(machine);
        _noRight(north);
        inventory.liftHold(machine);
    }
}

contract InventoryCalendarFuzzTest is InventoryTest {
    uint32 internal constant SPAN = 600;

    /// @dev For each slot of `SPAN` the booking that holds it, 0 if none: the calendar as a child would draw it.
    uint256[SPAN] internal model;

    /// @dev I3: bookings and releases agree, slot by slot, with the plain model, over three calendar words.
    function testFuzz_WhenBookedAndReleased_AgreesWithTheSlotBySlotModel(
        uint32 base,
        uint8 turnaround,
        uint16[10] calldata starts,
        uint16[10] calldata lengths,
        uint16[10] calldata cuts
    ) external {
        base = uint32(bound(base, _now(), type(uint32).max - 10_000));
        turnaround = uint8(bound(turnaround, 0, 40));
        ResourceId id = _registerAs(north, 99, turnaround);
        for (uint32 i; i < starts.length; ++i) {
            uint32 start = uint32(bound(starts[i], 0, SPAN - 202));
            uint32 end = start + uint32(bound(lengths[i], 1, 160));
            bool free = _modelIsFree(start, end + turnaround);
            assertEq(inventory.isFree(id, base + start, base + end), free);
            if (!free) {
                _notFree(id, base + start, base + end);
                _book(id, base + start, base + end);
                continue;
            }
            _book(id, base + start, base + end);
            _mark(start, end + turnaround, i + 1);
            if (cuts[i] % 2 == 0) continue;
            uint32 from = uint32(bound(cuts[i], start, end + turnaround + 1));
            _release(id, base + from, base + end);
            _mark(from, end + turnaround, 0);
        }
        for (uint32 s; s < SPAN; ++s) {
            assertEq(_bit(id, base + s), model[s] != 0, "slot");
        }
    }

    /// @dev Releasing one of two bookings of any place and length leaves the other whole.
    function testFuzz_WhenOneIsReleased_TheOtherStays(
        uint32 start,
        uint16 length,
        uint8 gap,
        uint8 turnaround
    ) external {
        start = uint32(bound(start, _now(), type(uint32).max - 50_000));
        length = uint16(bound(length, 1, 8784));
        ResourceId id = _registerAs(north, 99, turnaround);
        uint32 next = start + length + turnaround + gap;
        _book(id, start, start + length);
        _book(id, next, next + length);
        _release(id, start, start + length);
        assertFalse(_bit(id, start));
        assertFalse(_bit(id, next - 1));
        assertTrue(_bit(id, next));
        assertTrue(_bit(id, next + length + turnaround - 1));
        if (turnaround <= gap) assertTrue(inventory.isFree(id, start, start + length));
    }

    function _modelIsFree(uint32 from, uint32 to) internal view returns (bool) {
        for (uint32 s = from; s < to; ++s) {
            if (model[s] != 0) return false;
        }
        return true;
    }

    function _mark(uint32 from, uint32 to, uint256 booking) internal {
        for (uint32 s = from; s < to; ++s) {
            model[s] = booking;
        }
    }
}

contract InventoryRequireFitsTest is InventoryTest {
    ResourceId internal second;

    function setUp() public override {
        super.setUp();
        second = _register(north, 2);
    }

    function test_WhenAllCoverAndAreFree_Passes() external view {
        inventory.requireFits(_list(machine, second), CLASS, _spec(), _window(0, 4));
        inventory.requireFits(new ResourceId[](0), CLASS, _spec(), _window(0, 4));
    }

    function test_RevertWhen_OneIsOfAnotherClass() external {
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_NotCovering.selector, machine));
        inventory.requireFits(_list(machine, second), "bm.small", _spec(), _window(0, 4));
    }

    function test_RevertWhen_OneIsTooSmall() external {
        vm.prank(north);
        inventory.remeasure(second, Spec(1, 1, 1, 0, 1), 0);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_NotCovering.selector, second));
        inventory.requireFits(_list(machine, second), CLASS, _spec(), _window(0, 4));
    }

    function test_RevertWhen_OneIsBooked() external {
        _book(second, _now() + 3, _now() + 4);
        inventory.requireFits(_list(machine, second), CLASS, _spec(), _window(0, 1));
        Window memory w = _window(0, 2);
        _notFree(second, w.start, w.end);
        inventory.requireFits(_list(machine, second), CLASS, _spec(), w);
    }
}

contract InventoryViewsTest is InventoryTest {
    function test_RevertWhen_Unknown() external {
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_Unknown.selector, NONE));
        inventory.resource(NONE);
    }

    function test_WhenUnknown_IsNobodysAndNotFree() external view {
        assertTrue(inventory.ownerOf(ResourceId.wrap(9)) == OrgId.wrap(0));
        assertFalse(inventory.isFree(ResourceId.wrap(9), 1, 2));
    }

    function test_WhenEveryMeasureIsThere_Covers() external view {
        assertTrue(inventory.covers(machine, CLASS, _spec()));
        assertTrue(inventory.covers(machine, CLASS, Spec(0, 0, 0, 0, 0)));
        assertFalse(inventory.covers(machine, "bm.small", Spec(0, 0, 0, 0, 0)));
        assertFalse(inventory.covers(NONE, CLASS, Spec(0, 0, 0, 0, 0)));
    }

    function test_WhenOneMeasureIsShort_DoesNotCover() external view {
        Spec[5] memory wants = [_spec(), _spec(), _spec(), _spec(), _spec()];
        ++wants[0].cores;
        ++wants[1].memoryMib;
        ++wants[2].diskGib;
        ++wants[3].gpus;
        ++wants[4].networkMbps;
        for (uint256 i; i < wants.length; ++i) {
            assertFalse(inventory.covers(machine, CLASS, wants[i]));
        }
    }

    /// @dev T1: the current slot may be booked; past means `end <= now`.
    function test_WhenItEndsAfterNow_TheWindowIsGood() external {
        inventory.requireWindow(_window(0, 1));
        inventory.requireWindow(_window(0, 8784));
        Window memory current = _window(0, 1);
        vm.warp(uint256(current.end) * SLOT - 1);
        inventory.requireWindow(current);
        vm.warp(uint256(current.end) * SLOT);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInventory.Inventory_PastWindow.selector, current.end, uint256(current.end) * SLOT
            )
        );
        inventory.requireWindow(current);
    }

    function test_RevertWhen_EmptyReversedOrTooLong() external {
        Window[3] memory bad = [Window(9, 9), Window(9, 8), Window(_now(), _now() + 8785)];
        for (uint256 i; i < bad.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, bad[i].start, bad[i].end)
            );
            inventory.requireWindow(bad[i]);
        }
    }
}

/// @notice L7: a booking's end moves, and its turnaround with it.
contract InventoryExtendTest is InventoryTest {
    function test_WhenFree_BooksTheRest() external {
        uint32 start = _now();
        _book(machine, start, start + 10);
        vm.expectEmit(address(inventory));
        emit IInventory.SlotsBooked(machine, start + 10 + TURNAROUND, start + 15 + TURNAROUND);
        _extend(machine, start, start + 10, start + 15);
        assertFalse(inventory.isFree(machine, start + 14, start + 15));
        assertEq(inventory.resource(machine).bookedUntil, start + 15 + TURNAROUND);
        _release(machine, start, start + 15);
        assertTrue(inventory.isFree(machine, start, start + 100));
    }

    /// Booked in one piece or extended is the same, wherever words end.
    function testFuzz_ShowsWhatOneBookingWould(uint32 from, uint16 first, uint16 more, uint16 turnaround)
        external
    {
        uint32 start = uint32(bound(from, 0, 10_000));
        uint32 end = start + uint32(bound(first, 1, 600));
        uint32 newEnd = end + uint32(bound(more, 1, 600));
        uint32 after_ = uint32(bound(turnaround, 0, 256));
        ResourceId a = _registerAs(north, 2, after_);
        ResourceId b = _registerAs(north, 3, after_);
        _book(a, start, newEnd);
        _book(b, start, end);
        _extend(b, start, end, newEnd);
        for (uint256 word = start >> 8; word <= (newEnd + after_) >> 8; ++word) {
            assertEq(inventory.calendar(a, word), inventory.calendar(b, word));
        }
        assertEq(inventory.resource(a).bookedUntil, inventory.resource(b).bookedUntil);
    }

    function test_RevertWhen_ASlotIsTaken() external {
        uint32 start = _now();
        _book(machine, start, start + 10);
        _book(machine, start + 14, start + 15);
        _extend(machine, start, start + 10, start + 12);
        _notFree(machine, start + 12 + TURNAROUND, start + 13);
        _extend(machine, start, start + 12, start + 13);
    }

    function test_RevertWhen_NoLonger() external {
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, 5, 10));
        _extend(machine, 5, 10, 10);
    }

    function test_RevertWhen_LongerThanAnyWindow() external {
        _book(machine, 5, 10);
        _extend(machine, 5, 10, 5 + 8784);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, 5, 6 + 8784));
        _extend(machine, 5, 5 + 8784, 6 + 8784);
    }

    function test_RevertWhen_Held() external {
        uint32 start = _now();
        _book(machine, start, start + 10);
        _hold(machine);
        _notFree(machine, start + 10 + TURNAROUND, start + 11);
        _extend(machine, start, start + 10, start + 11);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        _noRight(north);
        inventory.extend(machine, 0, 1, 2);
    }

    function test_RevertWhen_RightTakenAway() external {
        _revoke();
        _noRight(address(leases));
        inventory.extend(machine, 0, 1, 2);
    }

    function _extend(ResourceId id, uint32 start, uint32 end, uint32 newEnd) private {
        vm.prank(address(leases));
        inventory.extend(id, start, end, newEnd);
    }
}
