// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {OrgId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice A university with a department, a laboratory in it, and a spin-off that is a party of its own:
/// top > physics > lab, top > spin. `opener` stands for a contract that may move escrow.
abstract contract TreeBase is Exchange {
    uint8 internal constant BOTH = Roles.SELLER | Roles.BUYER;
    uint96 internal constant NO_LIMIT = type(uint96).max;
    uint256 internal constant FUNDED = 1_000_000_000;
    OrgId internal constant NOBODY = OrgId.wrap(0);
    OrgId internal constant UNKNOWN = OrgId.wrap(99);
    bytes32 internal constant KEY = "account";

    address internal opener = makeAddr("opener");
    address internal rector = makeAddr("rector");
    address internal dean = makeAddr("dean");
    address internal head = makeAddr("head");
    address internal founder = makeAddr("founder");
    address internal clerk = makeAddr("clerk");
    address internal stranger = makeAddr("stranger");
    OrgId internal top;
    OrgId internal physics;
    OrgId internal lab;
    OrgId internal spin;

    function setUp() public virtual override {
        super.setUp();
        vm.prank(address(timelock));
        directory.setRight(opener, Rights.ESCROW_MOVE, true);
        top = _admit("top", rector, BOTH, 0);
        _fund(top, rector, FUNDED);
        physics = _under(rector, top, "physics", dean, BOTH);
        lab = _under(dean, physics, "lab", head, Roles.BUYER);
        vm.prank(council);
        spin = members.admitUnder(top, "spin", founder, BOTH, false);
        _fund(spin, founder, FUNDED);
    }

    function _under(address by, OrgId parent, bytes32 handle, address admin, uint8 roles)
        internal
        returns (OrgId)
    {
        vm.prank(by);
        return members.admitUnder(parent, handle, admin, roles, true);
    }

    function _budget(address by, OrgId org, uint96 budget) internal {
        vm.prank(by);
        members.setBudget(org, budget);
    }

    function _budgets(uint96 ofPhysics, uint96 ofLab) internal {
        _budget(rector, physics, ofPhysics);
        _budget(dean, lab, ofLab);
    }

    function _lock(OrgId org, address by, uint256 amount) internal {
        vm.prank(opener);
        escrow.lock(KEY, org, by, amount);
    }

    function _unlock(OrgId org, address by, uint256 amount) internal {
        vm.prank(opener);
        escrow.unlock(KEY, org, by, amount);
    }

    function _used(OrgId org) internal view returns (uint256) {
        return members.placeOf(org).used;
    }

    function _suspend(address by, OrgId org, bool suspended) internal {
        vm.prank(by);
        members.setSuspended(org, suspended);
    }

    function _grant(address by, OrgId org, address account, uint16 rights, uint96 limit) internal {
        vm.prank(by);
        members.grant(org, account, rights, limit);
    }

    function _rotate(address by, OrgId org, address account, address replacement) internal {
        vm.prank(by);
        members.rotate(org, account, replacement);
    }

    function _notAdminOf(OrgId org, address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotAdminOf.selector, org, account));
    }

    function _notAbove(OrgId org, address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotAbove.selector, org, account));
    }

    function _notCouncil(address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, account));
    }

    function _notMember(address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, account));
    }

    function _unknown(OrgId org) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_UnknownOrganisation.selector, org));
    }

    function _taken(address account, OrgId org) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_AccountTaken.selector, account, org));
    }

    function _overBudget(OrgId org, uint256 budget, uint256 wanted) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_OverBudget.selector, org, budget, wanted));
    }

    /// @dev Everything but ADMIN, for a second account of an organisation.
    function _clerkOf(address admin) internal {
        vm.prank(admin);
        members.setMember(clerk, MemberRights.ALL & ~MemberRights.ADMIN, NO_LIMIT);
    }
}
