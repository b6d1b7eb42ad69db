// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TreeBase} from "./TreeBase.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {OrgId} from "../../../contracts/interfaces/Types.sol";

/// @dev `broker` is at home in an organisation of its own and acts for others within what they granted.
abstract contract GrantsTest is TreeBase {
    address internal broker = rival;

    function _noRight(address account, uint16 right) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, account, right));
    }
}

contract MembersGrantTest is GrantsTest {
    function test_WhenGranted_ActsForThatOrganisationAndStaysAtHome() external {
        vm.expectEmit(address(members));
        emit IMembers.GrantSet(northOrg, broker, MemberRights.OFFER, 50);
        _grant(north, northOrg, broker, MemberRights.OFFER, 50);
        members.requireRightFor(northOrg, broker, MemberRights.OFFER);
        assertTrue(members.member(broker).org == rivalOrg, "at home");
        assertTrue(members.requireRight(broker, MemberRights.ADMIN) == rivalOrg);
        IMembers.Member memory m = members.memberOf(northOrg, broker);
        assertTrue(m.org == northOrg);
        assertEq(m.rights, MemberRights.OFFER);
        assertEq(m.limit, 50);
    }

    /// @dev One agent's key serves many owners, and what it spends for one is not counted for another.
    function test_WhenGrantedByMany_EachLimitIsItsOwn() external {
        _grant(buyer, buyerOrg, broker, MemberRights.BUY, 50);
        _grant(founder, spin, broker, MemberRights.BUY, 70);
        _lock(buyerOrg, broker, 50);
        _lock(spin, broker, 60);
        _lock(rivalOrg, broker, 500);
        assertEq(members.memberOf(buyerOrg, broker).spent, 50);
        assertEq(members.memberOf(spin, broker).spent, 60);
        assertEq(members.memberOf(rivalOrg, broker).spent, 0, "unlimited at home");
        assertEq(escrow.free(buyerOrg), FUNDED - 50);
        assertEq(escrow.free(spin), FUNDED - 60);
        assertFalse(escrow.canLock(spin, broker, 11));
        assertTrue(escrow.canLock(spin, broker, 10));

        _unlock(spin, broker, 25);
        assertEq(members.memberOf(spin, broker).spent, 35);
        assertEq(members.memberOf(buyerOrg, broker).spent, 50);
    }

    function test_WhenForADepartment_ItsBudgetHoldsToo() external {
        _budgets(500, 40);
        _grant(dean, lab, broker, MemberRights.BUY, 60);
        _overBudget(lab, 40, 41);
        _lock(lab, broker, 41);
        _lock(lab, broker, 40);
        assertEq(escrow.free(top), FUNDED - 40);
    }

    function test_WhenChanged_WhatWasSpentStays() external {
        _grant(buyer, buyerOrg, broker, MemberRights.BUY, 50);
        _lock(buyerOrg, broker, 40);
        _grant(buyer, buyerOrg, broker, MemberRights.SIGN, 30);
        assertEq(members.memberOf(buyerOrg, broker).spent, 40);
        (bool can,) = members.canCharge(broker, buyerOrg, 1);
        assertFalse(can);
        _noRight(broker, MemberRights.BUY);
        members.requireRightFor(buyerOrg, broker, MemberRights.BUY);
    }

    /// @dev An account of no organisation at all can be a broker, too.
    function test_WhenAtHomeNowhere_MayBeGranted() external {
        _grant(north, northOrg, stranger, MemberRights.OFFER, 0);
        members.requireRightFor(northOrg, stranger, MemberRights.OFFER);
        _notMember(stranger);
        members.requireRight(stranger, MemberRights.OFFER);
    }

    /// @dev Its count goes along, so that joining is no way to spend twice.
    function test_WhenTheGranteeBecomesAMember_TheCountGoesAlong() external {
        _grant(buyer, buyerOrg, clerk, MemberRights.BUY, 50);
        _lock(buyerOrg, clerk, 40);
        vm.expectEmit(address(members));
        emit IMembers.GrantRemoved(buyerOrg, clerk);
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, 60);
        assertEq(members.member(clerk).spent, 40);
        vm.prank(clerk);
        members.leave();
        vm.expectRevert(_notOf(buyerOrg, clerk));
        members.requireRightFor(buyerOrg, clerk, 0);
    }

    function test_RevertWhen_Admin() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_GrantOfAdmin.selector, northOrg, broker));
        _grant(north, northOrg, broker, MemberRights.ALL, 0);
    }

    function test_RevertWhen_MemberAlready() external {
        _taken(head, lab);
        _grant(dean, lab, head, MemberRights.BUY, 0);
    }

    function test_RevertWhen_Zero() external {
        vm.expectRevert(IMembers.Members_ZeroAddress.selector);
        _grant(north, northOrg, address(0), MemberRights.BUY, 0);
    }

    function test_RevertWhen_NotAdminOfIt() external {
        _clerkOf(north);
        address[4] memory callers = [clerk, stranger, council, south];
        for (uint256 i; i < 4; ++i) {
            _notAdminOf(northOrg, callers[i]);
            _grant(callers[i], northOrg, broker, MemberRights.BUY, 0);
        }
        _notAdminOf(spin, rector);
        _grant(rector, spin, broker, MemberRights.BUY, 0);
    }

    /// @dev Who holds a grant may not give others one.
    function test_RevertWhen_Grantee() external {
        _grant(north, northOrg, broker, MemberRights.ALL & ~MemberRights.ADMIN, NO_LIMIT);
        _notAdminOf(northOrg, broker);
        _grant(broker, northOrg, stranger, MemberRights.BUY, 0);
        _noRight(broker, MemberRights.ADMIN);
        members.requireRightFor(northOrg, broker, MemberRights.ADMIN);
    }

    function test_RevertWhen_Unknown() external {
        _unknown(UNKNOWN);
        _grant(north, UNKNOWN, broker, MemberRights.BUY, 0);
        _unknown(NOBODY);
        _grant(stranger, NOBODY, broker, MemberRights.BUY, 0);
    }
}

contract MembersRevokeTest is GrantsTest {
    function setUp() public override {
        super.setUp();
        _grant(buyer, buyerOrg, broker, MemberRights.BUY, 50);
    }

    function _revoke(address by, OrgId org, address account) private {
        vm.prank(by);
        members.revoke(org, account);
    }

    function test_WhenRevoked_MayNothing() external {
        _lock(buyerOrg, broker, 30);
        vm.expectEmit(address(members));
        emit IMembers.GrantRemoved(buyerOrg, broker);
        _revoke(buyer, buyerOrg, broker);
        vm.expectRevert(_notOf(buyerOrg, broker));
        members.requireRightFor(buyerOrg, broker, 0);
        _notMember(broker);
        _lock(buyerOrg, broker, 1);
        assertFalse(escrow.canLock(buyerOrg, broker, 0));
        _unlock(buyerOrg, broker, 30);
        assertEq(escrow.free(buyerOrg), FUNDED, "money comes back all the same");
        members.requireRight(broker, MemberRights.ADMIN);
    }

    function test_WhenItsHolderGivesItBack_IsGone() external {
        _revoke(broker, buyerOrg, broker);
        assertTrue(members.memberOf(buyerOrg, broker).org == NOBODY);
    }

    function test_RevertWhen_NothingWasGranted() external {
        _notMember(stranger);
        _revoke(buyer, buyerOrg, stranger);
        _notMember(buyer);
        _revoke(buyer, buyerOrg, buyer); // a member is removed, not revoked
        _notMember(stranger);
        _revoke(stranger, NOBODY, stranger);
    }

    function test_RevertWhen_NotAdminOfIt() external {
        _notAdminOf(buyerOrg, south);
        _revoke(south, buyerOrg, broker);
    }
}

contract MembersRequireRightForTest is GrantsTest {
    function test_WhenMember_AsRequireRight() external {
        members.requireRightFor(northOrg, north, MemberRights.ALL);
        _clerkOf(north);
        _noRight(clerk, MemberRights.ADMIN);
        members.requireRightFor(northOrg, clerk, MemberRights.ADMIN);
    }

    /// @dev Administration goes down, acting does not: who is above must be granted like anybody.
    function test_RevertWhen_OnlyAbove() external {
        vm.expectRevert(_notOf(lab, rector));
        members.requireRightFor(lab, rector, MemberRights.BUY);
        vm.expectRevert(_notOf(top, founder));
        members.requireRightFor(top, founder, 0);
    }

    function test_RevertWhen_Fund() external {
        vm.expectRevert(_notOf(NOBODY, stranger));
        members.requireRightFor(NOBODY, stranger, 0);
    }
}
