// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./leases/LeaseBase.sol";
import {IBook} from "../../contracts/interfaces/IBook.sol";
import {IMembers, MemberRights, Roles} from "../../contracts/interfaces/IMembers.sol";
import {
    AwardId,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    OrgId,
    ResourceId,
    Skip,
    Window
} from "../../contracts/interfaces/Types.sol";

/// @notice `Book.assign`: nodes inside one party, without market and payment (rule L10).
contract AssignmentsTest is LeaseBase {
    address private _head = makeAddr("head");
    OrgId private _lab;
    ResourceId[] private _nodes;
    uint256 private _before;

    function setUp() public override {
        super.setUp();
        vm.prank(north);
        _lab = members.admitUnder(northOrg, "lab", _head, Roles.SELLER, true);
        _nodes = _machines(north, 2);
        _before = _free(northOrg);
    }

    function _assign(OrgId to) private returns (LeaseId id) {
        vm.prank(north);
        (, id) = book.assign(HOME, to, _nodes, _window(2, 10));
    }

    function _refused(OrgId to, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(north);
        book.assign(HOME, to, _nodes, _window(2, 10));
    }

    function test_DepartmentHasTheNodesAndNothingIsLocked() external {
        Window memory window = _window(2, 10);
        vm.expectEmit(address(book));
        emit IBook.Assigned(northOrg, _lab, AwardId.wrap(1), LeaseId.wrap(1));
        LeaseId id = _assign(_lab);
        assertEq(OrgId.unwrap(leases.lease(id).buyer), OrgId.unwrap(_lab));
        assertEq(OrgId.unwrap(leases.lease(id).provider), OrgId.unwrap(northOrg));
        assertFalse(inventory.isFree(_nodes[0], window.start, window.end));
        assertEq(_held(id), 0);
        assertEq(_free(northOrg), _before);
    }

    function test_WholeLife_MovesNoMoney() external {
        LeaseId id = _assign(_lab);
        _sign(id);
        _deliver(id, 3);
        _acceptAs(_head, id);
        _assertState(id, LeaseState.Active);
        vm.warp(_startOf(id) + 1 hours);
        leases.settle(id);
        vm.prank(_head);
        leases.endEarly(id);
        vm.warp(_endOf(id));
        _wipe(id);
        _assertState(id, LeaseState.Terminated);
        assertTrue(settlement.account(id).closed);
        assertEq(_free(northOrg), _before);
        assertEq(_free(_lab), 0);
    }

    function test_OwnOrganisation_AssignsToItself() external {
        LeaseId id = _assign(northOrg);
        _sign(id);
        _deliver(id, 3);
        _acceptAs(north, id);
        _assertState(id, LeaseState.Active);
    }

    /// @dev Also a department without a budget may be given nodes: they cost nothing.
    function test_WhenNothingIsDelivered_NobodyLoses() external {
        LeaseId id = _assign(_lab);
        vm.warp(block.timestamp + 30 days);
        leases.expire(id);
        _assertEnd(id, EndReason.ProviderUnsigned, Fault.Provider);
        assertEq(_free(northOrg), _before);
    }

    function test_Grantee_AssignsForTheOwner() external {
        address broker = makeAddr("broker");
        vm.prank(north);
        members.grant(northOrg, broker, MemberRights.OFFER, 0);
        vm.prank(broker);
        (, LeaseId id) = book.assign(northOrg, _lab, _nodes, _window(2, 10));
        assertEq(OrgId.unwrap(leases.lease(id).buyer), OrgId.unwrap(_lab));
    }

    function test_RevertWhen_AnotherParty() external {
        _refused(buyerOrg, abi.encodeWithSelector(IBook.Book_OtherParty.selector, northOrg, buyerOrg));
    }

    /// @dev One group is one party for auctions, not for what is handed over without payment.
    function test_RevertWhen_OnlyAffiliated() external {
        vm.startPrank(council);
        members.setGroup(northOrg, 7);
        members.setGroup(buyerOrg, 7);
        vm.stopPrank();
        _refused(buyerOrg, abi.encodeWithSelector(IBook.Book_OtherParty.selector, northOrg, buyerOrg));
    }

    function test_RevertWhen_SomebodyElsesNodes() external {
        ResourceId[] memory other = _machines(south, 1);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwnResource.selector, other[0], northOrg));
        vm.prank(north);
        book.assign(HOME, _lab, other, _window(2, 10));
    }

    function test_RevertWhen_Leased() external {
        _assign(_lab);
        _refused(northOrg, abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.NotFree));
    }

    function test_RevertWhen_ByADepartmentsMember() external {
        vm.expectRevert(_notOf(northOrg, _head));
        vm.prank(_head);
        book.assign(northOrg, _lab, _nodes, _window(2, 10));
    }

    function test_RevertWhen_Suspended() external {
        vm.prank(council);
        members.setSuspended(northOrg, true);
        _refused(_lab, abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
    }
}
