// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {ISublets} from "../../../contracts/interfaces/ISublets.sol";
import {
    LeaseId,
    LeaseState,
    OfferId,
    OrgId,
    PieceId,
    ResourceId,
    SubletId,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {AmendmentsBase} from "../amendments/AmendmentsBase.sol";

/// @notice L9, X2, F7. The parent is `AmendmentsBase`'s: two machines for 10 slots with a turnaround of 2, so what lies in
/// slots 2 to 8 can be let on. Its buyer sells, too.
contract SubletsTest is AmendmentsBase {
    LeaseId private _parent;
    address private _tenant = makeAddr("tenant");
    OrgId private _tenantOrg;

    function setUp() public override {
        super.setUp();
        vm.prank(council);
        members.setRoles(buyerOrg, Roles.BUYER | Roles.SELLER);
        _tenantOrg = _admit("tenant", _tenant, Roles.BUYER, 0);
        _fund(_tenantOrg, _tenant, MONEY);
        _parent = _active(Traits.RECLAIMABLE);
    }

    function _window_(uint32 from, uint32 until) private view returns (Window memory) {
        return Window(start + from, start + until);
    }

    function _piece() private returns (PieceId) {
        vm.prank(buyer);
        return sublets.offer(_parent, 3, _window_(2, 8), RATE, 2, OrgId.wrap(0));
    }

    function _take(uint64 places, uint32 from, uint32 until) private returns (SubletId) {
        PieceId piece = _piece();
        vm.prank(_tenant);
        return sublets.take(HOME, piece, places, _window_(from, until));
    }

    function _running() private returns (SubletId id) {
        id = _take(1, 2, 6);
        vm.warp(_hour(start + 2));
        vm.prank(north);
        sublets.deliver(id, "connection", "host");
        vm.prank(_tenant);
        sublets.accept(id);
    }

    function _is(SubletId id, LeaseState state) private view {
        assertEq(uint8(sublets.stateOf(id)), uint8(state));
    }

    function _kept(SubletId id) private view returns (uint256) {
        return escrow.balance(address(sublets), bytes32(uint256(SubletId.unwrap(id))));
    }

    // ---- a part of it ------------------------------------------------------------------------------------------

    function test_WhenTaken_LocksThePriceAndRunsToItsEnd() external {
        uint256 buyers = escrow.free(buyerOrg);
        SubletId id = _take(3, 2, 8);
        assertEq(escrow.free(_tenantOrg), MONEY - 2 * 6 * uint256(RATE));
        _is(id, LeaseState.Awarded);
        vm.warp(_hour(start + 2));
        vm.prank(north);
        sublets.deliver(id, "connection", "host");
        _is(id, LeaseState.Delivered);
        vm.prank(_tenant);
        sublets.accept(id);
        vm.warp(_hour(start + 5));
        sublets.settle(id);
        assertEq(escrow.free(buyerOrg) - buyers, 2 * 3 * uint256(RATE), "the parent's buyer is paid");
        vm.warp(_hour(start + 8));
        _is(id, LeaseState.Completed);
        sublets.settle(id);
        assertEq(escrow.free(buyerOrg) - buyers, 2 * 6 * uint256(RATE));
        assertEq(_kept(id), 0);
        vm.expectRevert(
            abi.encodeWithSelector(ISublets.Sublets_WrongState.selector, id, LeaseState.Completed)
        );
        sublets.settle(id);
        assertEq(uint8(leases.stateOf(_parent)), uint8(LeaseState.Active), "the parent goes on");
    }

    /// Whenever it ends, in whichever way: what was locked is paid or returned to the last microcredit.
    function testFuzz_WhenItEnds_NothingIsLost(uint32 delivered, uint32 ended, uint8 how) external {
        uint256 buyers = escrow.free(buyerOrg);
        SubletId id = _take(3, 2, 8);
        vm.warp(bound(delivered, block.timestamp, _hour(start + 3) - 1));
        vm.prank(north);
        sublets.deliver(id, "connection", "host");
        vm.warp(bound(ended, block.timestamp, _hour(start + 8) - 3601));
        how = uint8(bound(how, 0, 3));
        if (how == 0 && block.timestamp < sublets.sublet(id).deliveredAt + 1800) {
            vm.prank(_tenant);
            sublets.reject(id);
        } else if (how == 1) {
            vm.prank(_tenant);
            sublets.end(id);
        } else if (how == 2) {
            uint40 at = uint40(block.timestamp + 7200);
            if (at < _hour(end)) {
                vm.prank(north);
                amendments.reclaim(_parent, at, OfferId.wrap(0), new ResourceId[](0));
            }
        }
        vm.warp(_hour(end));
        if (!sublets.sublet(id).closed) sublets.settle(id);
        assertEq(_kept(id), 0);
        uint256 paid = sublets.sublet(id).paid;
        assertEq(escrow.free(_tenantOrg), MONEY - paid);
        assertLe(paid, 12 * uint256(RATE));
        // What the parent's own price returned aside.
        assertGe(escrow.free(buyerOrg), buyers + paid);
    }

    function test_WhenPartsFollow_TheTurnaroundLiesBetween() external {
        PieceId piece = _piece();
        vm.startPrank(_tenant);
        sublets.take(HOME, piece, 1, _window_(2, 4));
        assertFalse(sublets.isFree(_parent, 1, _window_(5, 7)));
        assertTrue(sublets.isFree(_parent, 2, _window_(5, 7)), "the other machine");
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_NotFree.selector, _parent, 0));
        sublets.take(HOME, piece, 3, _window_(5, 7));
        sublets.take(HOME, piece, 1, _window_(6, 8));
    }

    function test_RevertWhen_TooNearToTheParentsEnds() external {
        vm.startPrank(buyer);
        for (uint32 i; i < 2; ++i) {
            uint32 from = i == 0 ? 1 : 2;
            uint32 until = i == 0 ? 8 : 9;
            vm.expectRevert(
                abi.encodeWithSelector(
                    ISublets.Sublets_OutsideParent.selector, start + from, start + until, start + 2, start + 8
                )
            );
            sublets.offer(_parent, 3, _window_(from, until), RATE, 1, OrgId.wrap(0));
        }
    }

    function test_WhenTheParentWasExtended_MoreCanBeLet() external {
        vm.startPrank(buyer);
        amendments.extend(_parent, end + 5, NOW_RATE);
        sublets.offer(_parent, 3, _window_(2, 13), RATE, 1, OrgId.wrap(0));
    }

    // ---- the parent's end --------------------------------------------------------------------------------------

    function test_WhenTheParentEnds_SoDoesTheSubletAndTheRestReturns() external {
        SubletId id = _running();
        uint40 at = uint40(_hour(start + 4) + 1800);
        vm.prank(north);
        amendments.reclaim(_parent, at, OfferId.wrap(0), new ResourceId[](0));
        assertEq(sublets.endsAt(id), at);
        vm.warp(at);
        _is(id, LeaseState.Completed);
        uint256 buyers = escrow.free(buyerOrg);
        sublets.settle(id);
        assertEq(sublets.sublet(id).paid, uint256(RATE) * 5 / 2);
        assertEq(escrow.free(buyerOrg) - buyers, uint256(RATE) * 5 / 2);
        assertEq(escrow.free(_tenantOrg), MONEY - uint256(RATE) * 5 / 2);
        assertEq(_kept(id), 0);
    }

    function test_WhenTheParentEndsBeforeItBegins_AllReturns() external {
        SubletId id = _take(1, 6, 8);
        vm.prank(buyer);
        leases.endEarly(_parent);
        vm.warp(_hour(start + 1));
        _is(id, LeaseState.Cancelled);
        sublets.settle(id);
        assertEq(escrow.free(_tenantOrg), MONEY);
    }

    function test_RevertWhen_TheParentIsAboutToEnd() external {
        PieceId piece = _piece();
        vm.prank(buyer);
        leases.endEarly(_parent);
        vm.prank(_tenant);
        vm.expectRevert(
            abi.encodeWithSelector(ISublets.Sublets_ParentEnds.selector, _parent, LeaseState.Active)
        );
        sublets.take(HOME, piece, 1, _window_(2, 8));
    }

    // ---- its own ends ------------------------------------------------------------------------------------------

    function test_WhenNotDelivered_AllReturns() external {
        SubletId id = _take(1, 2, 6);
        vm.warp(_hour(start + 3));
        _is(id, LeaseState.Defaulted);
        vm.prank(north);
        vm.expectRevert(
            abi.encodeWithSelector(ISublets.Sublets_WrongState.selector, id, LeaseState.Defaulted)
        );
        sublets.deliver(id, "connection", "host");
        sublets.settle(id);
        assertEq(escrow.free(_tenantOrg), MONEY);
        assertTrue(sublets.isFree(_parent, 1, _window_(4, 8)), "free again");
    }

    function test_WhenRejected_PaysForTheAcceptanceTimeAtMost() external {
        SubletId id = _take(1, 2, 6);
        vm.warp(_hour(start + 2));
        vm.prank(north);
        sublets.deliver(id, "connection", "host");
        vm.warp(block.timestamp + 600);
        vm.prank(_tenant);
        sublets.reject(id);
        assertEq(sublets.sublet(id).paid, uint256(RATE) / 6);
        assertEq(escrow.free(_tenantOrg), MONEY - uint256(RATE) / 6);
    }

    function test_WhenSilent_ItIsAccepted() external {
        SubletId id = _take(1, 2, 6);
        vm.warp(_hour(start + 2));
        vm.prank(north);
        sublets.deliver(id, "connection", "host");
        vm.expectRevert(
            abi.encodeWithSelector(ISublets.Sublets_WrongState.selector, id, LeaseState.Delivered)
        );
        sublets.settle(id);
        vm.warp(block.timestamp + 1800);
        _is(id, LeaseState.Active);
        vm.prank(_tenant);
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_WrongState.selector, id, LeaseState.Active));
        sublets.reject(id);
    }

    function test_WhenTheTenantLeaves_PaysTheNotice() external {
        SubletId id = _running();
        vm.prank(_tenant);
        sublets.end(id);
        vm.warp(_hour(start + 3));
        _is(id, LeaseState.Terminated);
        sublets.settle(id);
        assertEq(escrow.free(_tenantOrg), MONEY - RATE);
    }

    function test_WhenTheTenantCancels_PaysTheReserve() external {
        SubletId id = _take(1, 2, 6);
        vm.prank(_tenant);
        sublets.end(id);
        _is(id, LeaseState.Cancelled);
        assertEq(escrow.free(_tenantOrg), MONEY - 4 * uint256(RATE) / 20);
        assertTrue(sublets.isFree(_parent, 1, _window_(2, 6)));
    }

    /// E7: exits stay open, whoever is suspended.
    function test_WhenEverybodyIsSuspended_StillEndsAndSettles() external {
        SubletId id = _running();
        vm.startPrank(council);
        members.setSuspended(buyerOrg, true);
        members.setSuspended(_tenantOrg, true);
        members.setSuspended(northOrg, true);
        vm.stopPrank();
        vm.prank(_tenant);
        sublets.end(id);
        vm.warp(_hour(start + 3));
        sublets.settle(id);
        assertEq(_kept(id), 0);
    }

    // ---- who may -----------------------------------------------------------------------------------------------

    function test_RevertWhen_TheBuyerIsNoSeller() external {
        vm.prank(council);
        members.setRoles(buyerOrg, Roles.BUYER);
        vm.prank(buyer);
        vm.expectRevert();
        sublets.offer(_parent, 3, _window_(2, 8), RATE, 1, OrgId.wrap(0));
    }

    function test_RevertWhen_SomebodyElseOffers() external {
        vm.prank(north);
        vm.expectRevert(_notOf(buyerOrg, north));
        sublets.offer(_parent, 3, _window_(2, 8), RATE, 1, OrgId.wrap(0));
    }

    function test_RevertWhen_SomebodyElseDelivers() external {
        SubletId id = _take(1, 2, 6);
        vm.prank(buyer);
        vm.expectRevert(_notOf(northOrg, buyer));
        sublets.deliver(id, "connection", "host");
    }

    function test_RevertWhen_TheSellerIsTheTenant() external {
        PieceId piece = _piece();
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_SelfDealing.selector, buyerOrg, buyerOrg));
        sublets.take(HOME, piece, 1, _window_(2, 8));
    }

    function test_RevertWhen_RestrictedToOthers() external {
        vm.prank(buyer);
        PieceId piece = sublets.offer(_parent, 3, _window_(2, 8), RATE, 1, rivalOrg);
        vm.prank(_tenant);
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_NotWithin.selector, _tenantOrg, rivalOrg));
        sublets.take(HOME, piece, 1, _window_(2, 8));
        vm.prank(rival);
        sublets.take(HOME, piece, 1, _window_(2, 8));
    }

    function test_RevertWhen_Closed() external {
        PieceId piece = _piece();
        vm.prank(buyer);
        sublets.close(piece);
        vm.prank(_tenant);
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_NoPiece.selector, piece));
        sublets.take(HOME, piece, 1, _window_(2, 8));
    }

    function test_RevertWhen_ThePieceIsShortOrLackingOrFree() external {
        PieceId piece = _piece();
        vm.startPrank(_tenant);
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_TooShort.selector, 1, 2));
        sublets.take(HOME, piece, 1, _window_(2, 3));
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_BadPlaces.selector, 4, 3));
        sublets.take(HOME, piece, 4, _window_(2, 8));
        vm.stopPrank();
        vm.prank(buyer);
        vm.expectRevert(ISublets.Sublets_ZeroRate.selector);
        sublets.offer(_parent, 3, _window_(2, 8), 0, 1, OrgId.wrap(0));
    }

    // ---- passed on inside the party ----------------------------------------------------------------------------

    function test_WhenPassedOn_ItCostsNothing() external {
        address desk = makeAddr("desk");
        vm.prank(buyer);
        OrgId department = members.admitUnder(buyerOrg, "desk", desk, Roles.BUYER, true);
        uint256 free = escrow.free(buyerOrg);
        vm.prank(buyer);
        SubletId id = sublets.pass(_parent, department, 2, _window_(2, 6));
        vm.warp(_hour(start + 2));
        vm.prank(north);
        sublets.deliver(id, "connection", "host");
        vm.prank(desk);
        sublets.accept(id);
        vm.warp(_hour(start + 6));
        sublets.settle(id);
        assertEq(escrow.free(buyerOrg), free);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ISublets.Sublets_OtherParty.selector, buyerOrg, _tenantOrg));
        sublets.pass(_parent, _tenantOrg, 2, _window_(2, 6));
    }
}
