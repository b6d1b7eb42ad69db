// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TreeBase} from "./TreeBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {OfferId, OrgId, ResourceId} from "../../../contracts/interfaces/Types.sol";

contract MembersAdmitUnderTest is TreeBase {
    function test_WhenDepartment_IsOfItsParty() external {
        OrgId next = OrgId.wrap(members.count() + 1);
        vm.expectEmit(address(members));
        emit IMembers.OrganisationAdmitted(next, "maths", Roles.BUYER, 0, clerk);
        vm.expectEmit(address(members));
        emit IMembers.OrganisationPlaced(next, top, true);
        vm.expectEmit(address(members));
        emit IMembers.MemberSet(next, clerk, MemberRights.ALL, NO_LIMIT);
        OrgId maths = _under(rector, top, "maths", clerk, Roles.BUYER);

        assertTrue(maths == next);
        assertTrue(members.partyOf(maths) == top);
        assertEq(members.payoutOf(maths), rector, "money leaves to the party's address only");
        IMembers.Place memory p = members.placeOf(maths);
        assertTrue(p.parent == top);
        assertTrue(p.party == top);
        assertEq(p.level, 2);
        assertTrue(p.department);
        assertEq(p.roles, Roles.BUYER);
        assertEq(p.budget, 0, "nothing to spend until a budget is given");
        assertTrue(members.member(clerk).org == maths);
    }

    function test_WhenPartyOfItsOwn_HasItsOwnPurse() external view {
        assertTrue(members.partyOf(spin) == spin);
        assertEq(members.payoutOf(spin), founder);
        IMembers.Place memory p = members.placeOf(spin);
        assertTrue(p.parent == top);
        assertFalse(p.department);
        assertTrue(members.isWithin(spin, top));
    }

    /// @dev An admin further up in the same party need not go through the one between.
    function test_WhenAdminFurtherUp_MayToo() external {
        OrgId group_ = _under(rector, lab, "group", clerk, Roles.BUYER);
        assertTrue(members.placeOf(group_).parent == lab);
        assertEq(members.placeOf(group_).level, 4);
        assertTrue(members.partyOf(group_) == top);
    }

    function test_RevertWhen_AdminOfTheDepartmentBeside() external {
        OrgId maths = _under(rector, top, "maths", clerk, BOTH);
        _notAdminOf(maths, dean);
        _under(dean, maths, "more", stranger, 0);
    }

    function test_RevertWhen_NotAdmin() external {
        _clerkOf(rector);
        address[4] memory callers = [clerk, stranger, council, north];
        for (uint256 i; i < 4; ++i) {
            _notAdminOf(top, callers[i]);
            _under(callers[i], top, "maths", makeAddr("new"), 0);
        }
    }

    /// @dev A department made from above in another's party would spend that party's balance.
    function test_RevertWhen_AboveButAnotherParty() external {
        _notAdminOf(spin, rector);
        _under(rector, spin, "shell", stranger, BOTH);
    }

    /// @dev Else anybody filled committees and auctions with organisations of its own making.
    function test_RevertWhen_PartyOfItsOwnWithoutTheCouncil() external {
        _notCouncil(rector);
        vm.prank(rector);
        members.admitUnder(top, "shell", stranger, Roles.BUYER, false);
    }

    function test_RevertWhen_RolesBeyondTheParents() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IMembers.Members_RolesBeyondParent.selector, top, Roles.BUYER | Roles.WITNESS, BOTH
            )
        );
        _under(rector, top, "maths", clerk, Roles.BUYER | Roles.WITNESS);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMembers.Members_RolesBeyondParent.selector, lab, Roles.SELLER, Roles.BUYER
            )
        );
        vm.prank(council);
        members.admitUnder(lab, "shop", clerk, Roles.SELLER, false);
    }

    function test_RevertWhen_SevenLevelsDeep() external {
        OrgId at = lab;
        for (uint256 level = 4; level <= 6; ++level) {
            at = _under(rector, at, bytes32(level), makeAddr(vm.toString(level)), Roles.BUYER);
            assertEq(members.placeOf(at).level, level);
        }
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_TooDeep.selector, at));
        _under(rector, at, "deeper", clerk, 0);
    }

    function test_RevertWhen_ParentIsUnknown() external {
        _unknown(UNKNOWN);
        _under(rector, UNKNOWN, "maths", clerk, 0);
        _unknown(NOBODY);
        vm.prank(council);
        members.admitUnder(NOBODY, "maths", clerk, 0, false);
    }

    function test_RevertWhen_HandleOrAdminIsTaken() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_HandleTaken.selector, bytes32("lab"), lab));
        _under(rector, top, "lab", clerk, 0);
        _taken(head, lab);
        _under(rector, top, "maths", head, 0);
        vm.expectRevert(IMembers.Members_EmptyHandle.selector);
        _under(rector, top, "", clerk, 0);
    }
}

contract MembersRolesInTreeTest is TreeBase {
    function test_WhenParentLosesARole_AllBelowLoseIt() external {
        members.requireActive(lab, Roles.BUYER);
        vm.prank(council);
        members.setRoles(top, Roles.SELLER);
        OrgId[3] memory below = [physics, lab, spin];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, below[i], Roles.BUYER));
            members.requireActive(below[i], Roles.BUYER);
        }
        assertEq(members.organisation(physics).roles, Roles.SELLER, "what counts");
        assertEq(members.placeOf(physics).roles, BOTH, "what it was given");

        vm.prank(council);
        members.setRoles(top, BOTH);
        members.requireActive(lab, Roles.BUYER);
    }

    function test_WhenAdminAbove_GivesAndTakes() external {
        vm.startPrank(rector);
        members.setRoles(lab, BOTH);
        members.requireActive(lab, BOTH);
        members.setRoles(spin, Roles.SELLER);
        vm.stopPrank();
        assertEq(members.organisation(spin).roles, Roles.SELLER);
    }

    /// @dev I9: not by the council either.
    function test_RevertWhen_BeyondTheParents() external {
        address[2] memory callers = [rector, council];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IMembers.Members_RolesBeyondParent.selector, physics, 31, BOTH)
            );
            vm.prank(callers[i]);
            members.setRoles(lab, 31);
        }
    }

    function test_RevertWhen_ItsOwnAdmin() external {
        _notAbove(physics, dean);
        vm.prank(dean);
        members.setRoles(physics, BOTH);
        _notCouncil(rector);
        vm.prank(rector);
        members.setRoles(top, 31);
    }

    function test_RevertWhen_NotAdminAbove() external {
        _clerkOf(rector);
        address[3] memory callers = [clerk, stranger, north];
        for (uint256 i; i < 3; ++i) {
            _notAbove(lab, callers[i]);
            vm.prank(callers[i]);
            members.setRoles(lab, 0);
        }
    }
}

contract MembersSuspendedInTreeTest is TreeBase {
    function test_WhenParentIsSuspended_SoIsAllBelow() external {
        _suspend(council, top, true);
        OrgId[4] memory all = [top, physics, lab, spin];
        for (uint256 i; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, top));
            members.requireActive(all[i], Roles.BUYER);
            assertTrue(members.organisation(all[i]).suspended);
        }
        assertFalse(members.placeOf(lab).byCouncil);
        _suspend(council, top, false);
        members.requireActive(lab, Roles.BUYER);
    }

    function test_WhenADepartmentIsSuspended_NobodyAboveIs() external {
        vm.expectEmit(address(members));
        emit IMembers.SuspensionChanged(physics, true);
        _suspend(rector, physics, true);
        members.requireActive(top, Roles.BUYER);
        members.requireActive(spin, Roles.BUYER);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, physics));
        members.requireActive(lab, Roles.BUYER);
    }

    /// @dev What the council imposed, an admin above cannot lift, and the other way round.
    function test_WhenImposedByBoth_EachLiftsItsOwn() external {
        _suspend(council, lab, true);
        _suspend(dean, lab, true);
        IMembers.Place memory p = members.placeOf(lab);
        assertTrue(p.byCouncil && p.byParent);
        vm.expectEmit(address(members));
        emit IMembers.SuspensionChanged(lab, true);
        _suspend(rector, lab, false);
        assertTrue(members.organisation(lab).suspended);
        _suspend(council, lab, false);
        assertFalse(members.organisation(lab).suspended);

        _suspend(dean, lab, true);
        _suspend(council, lab, false);
        assertTrue(members.organisation(lab).suspended);
    }

    function test_RevertWhen_ItsOwnAdmin() external {
        _suspend(rector, physics, true);
        _notAbove(physics, dean);
        _suspend(dean, physics, false);
        _notCouncil(rector);
        _suspend(rector, top, false);
    }

    /// @dev I4: nothing that was begun waits for roles or suspensions of anyone above.
    function test_WhenAllAboveAreSuspendedWithoutRoles_MoneyStillComesOut() external {
        _budgets(500, 300);
        _lock(lab, head, 300);
        vm.startPrank(council);
        members.setSuspended(top, true);
        members.setRoles(top, 0);
        vm.stopPrank();
        _budget(rector, physics, 0);
        _unlock(lab, head, 200);
        vm.prank(opener);
        escrow.pay(KEY, lab, 100);
        vm.prank(head);
        escrow.withdraw(100);
        vm.startPrank(rector);
        escrow.withdraw(FUNDED - 100);
        vm.stopPrank();
        assertEq(credits.balanceOf(rector), FUNDED);
        assertEq(escrow.free(top) + escrow.free(lab), 0);
    }
}

contract MembersAffiliationInTreeTest is TreeBase {
    function test_WhenOneParty_AreAffiliated() external view {
        assertTrue(members.affiliated(top, lab));
        assertTrue(members.affiliated(lab, physics));
        assertEq(members.groupOf(lab), members.groupOf(top));
        assertEq(members.groupOf(physics), (1 << 31) | OrgId.unwrap(top));
        assertEq(members.organisation(top).group, 0, "the council gave none");
    }

    function test_WhenPartyOfItsOwn_IsNotAffiliated() external view {
        assertFalse(members.affiliated(top, spin));
        assertFalse(members.affiliated(spin, lab));
        assertEq(members.groupOf(spin), 0);
    }

    function test_WhenThePartyHasAGroup_SoHaveItsDepartments() external {
        vm.startPrank(council);
        members.setGroup(top, 7);
        members.setGroup(northOrg, 7);
        vm.stopPrank();
        assertEq(members.groupOf(lab), 7);
        assertEq(members.organisation(lab).group, 7);
        assertTrue(members.affiliated(lab, northOrg));
        assertFalse(members.affiliated(spin, northOrg));
    }

    /// @dev A department cannot buy from its own party, whoever asks.
    function test_RevertWhen_ADepartmentBuysFromItsParty() external {
        _budgets(100_000_000, 100_000_000);
        ResourceId machine = _register(rector, 1);
        OfferId offer = _offer(rector, _list(machine), _window(1, 4), RATE);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_SelfDealing.selector, lab, top));
        vm.prank(head);
        book.buyNow(HOME, offer, _list(machine), _window(1, 2));
    }

    function test_RevertWhen_GroupOfADepartmentIsSet() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Department.selector, lab));
        vm.prank(council);
        members.setGroup(lab, 7);
    }

    function test_RevertWhen_GroupIsAPartysOwn() external {
        uint32 own = (1 << 31) | OrgId.unwrap(top);
        bytes memory reason = abi.encodeWithSelector(IMembers.Members_GroupTooLarge.selector, own);
        vm.startPrank(council);
        vm.expectRevert(reason);
        members.setGroup(northOrg, own);
        vm.expectRevert(reason);
        members.admit("east", clerk, BOTH, own);
        vm.stopPrank();
    }
}

contract MembersIsWithinTest is TreeBase {
    function test_Always_GoesUpOnly() external view {
        assertTrue(members.isWithin(lab, lab));
        assertTrue(members.isWithin(lab, physics));
        assertTrue(members.isWithin(lab, top));
        assertFalse(members.isWithin(top, lab));
        assertFalse(members.isWithin(spin, physics));
        assertFalse(members.isWithin(lab, NOBODY));
        assertFalse(members.isWithin(NOBODY, NOBODY));
        assertFalse(members.isWithin(UNKNOWN, top));
    }

    function test_WhenUnknown_IsItsOwnParty() external view {
        assertTrue(members.partyOf(UNKNOWN) == UNKNOWN);
        assertTrue(members.partyOf(NOBODY) == NOBODY);
    }

    function test_RevertWhen_PlaceOfUnknown() external {
        _unknown(UNKNOWN);
        members.placeOf(UNKNOWN);
    }
}

contract MembersPayoutInTreeTest is TreeBase {
    function test_WhenThePartyMovesIt_DepartmentsFollow() external {
        vm.prank(rector);
        members.setPayout(stranger);
        assertEq(members.payoutOf(lab), stranger);
        assertEq(members.organisation(lab).payout, stranger);
    }

    function test_RevertWhen_ADepartmentSetsIt() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Department.selector, physics));
        vm.prank(dean);
        members.setPayout(dean);
    }
}
