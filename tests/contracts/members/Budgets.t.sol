// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TreeBase} from "./TreeBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, OfferId, OrgId, ResourceId, Skip} from "../../../contracts/interfaces/Types.sol";

contract MembersSetBudgetTest is TreeBase {
    function test_WhenSet_IsKept() external {
        vm.expectEmit(address(members));
        emit IMembers.BudgetChanged(lab, 70);
        _budget(dean, lab, 70);
        assertEq(members.placeOf(lab).budget, 70);
        _budget(rector, lab, 60);
        assertEq(members.placeOf(lab).budget, 60, "or by whoever is above");
    }

    function test_RevertWhen_ItsOwnAdmin() external {
        _notAdminOf(physics, head);
        _budget(head, lab, 1);
        _notAdminOf(top, dean);
        _budget(dean, physics, 1);
    }

    /// @dev The council has no say in what a party spends on itself.
    function test_RevertWhen_Council() external {
        _notAdminOf(top, council);
        _budget(council, physics, 1);
    }

    function test_RevertWhen_NotDepartment() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotDepartment.selector, spin));
        _budget(rector, spin, 1);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotDepartment.selector, top));
        _budget(rector, top, 1);
    }

    function test_RevertWhen_Unknown() external {
        _unknown(UNKNOWN);
        _budget(rector, UNKNOWN, 1);
    }
}

contract BudgetsSpentTest is TreeBase {
    function test_WhenLocked_ComesFromThePartyAndCountsAllTheWayUp() external {
        _budgets(500, 300);
        vm.expectEmit(address(members));
        emit IMembers.BudgetUsed(lab, 200);
        vm.expectEmit(address(members));
        emit IMembers.BudgetUsed(physics, 200);
        vm.expectEmit(address(escrow));
        emit IEscrow.Locked(opener, KEY, top, head, 200);
        _lock(lab, head, 200);
        assertEq(escrow.free(top), FUNDED - 200);
        assertEq(escrow.free(lab), 0);
        assertEq(_used(lab), 200);
        assertEq(_used(physics), 200);

        _lock(physics, dean, 300);
        assertEq(_used(physics), 500);
        _overBudget(physics, 500, 501);
        _lock(lab, head, 1);
    }

    function test_WhenUnlocked_ReturnsToThePartyAndIsFreeAgain() external {
        _budgets(300, 300);
        _lock(lab, head, 300);
        vm.expectEmit(address(escrow));
        emit IEscrow.Unlocked(opener, KEY, top, head, 120);
        _unlock(lab, head, 120);
        assertEq(escrow.free(top), FUNDED - 180);
        assertEq(_used(lab), 180);
        assertEq(_used(physics), 180);
        _lock(lab, head, 120);
    }

    /// @dev What was paid is spent; only a higher budget gives more.
    function test_WhenPaid_StaysUsed() external {
        _budgets(300, 300);
        _lock(lab, head, 300);
        vm.prank(opener);
        escrow.pay(KEY, northOrg, 300);
        _overBudget(lab, 300, 301);
        _lock(lab, head, 1);
        _budgets(301, 301);
        _lock(lab, head, 1);
    }

    function test_RevertWhen_NoBudget() external {
        _overBudget(physics, 0, 1);
        _lock(physics, dean, 1);
    }

    function test_WhenUnbounded_IsCountedAllTheSame() external {
        _budgets(NO_LIMIT, NO_LIMIT);
        _lock(lab, head, FUNDED);
        assertEq(_used(lab), FUNDED);
        _budget(rector, physics, 5);
        _unlock(lab, head, FUNDED);
        assertEq(_used(physics), 0);
        assertEq(escrow.free(top), FUNDED);
    }

    /// @dev Both hold: the account's limit and the department's budget.
    function test_RevertWhen_OverTheMembersLimit() external {
        _budgets(500, 500);
        vm.prank(head);
        members.setMember(clerk, MemberRights.BUY, 50);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_OverLimit.selector, clerk, 50, 51));
        _lock(lab, clerk, 51);
        _lock(lab, clerk, 50);
        assertEq(_used(lab), 50);
    }

    /// @dev A bill above the budget leaves no trace on the way up.
    function test_RevertWhen_ABudgetFurtherUpIsTooSmall() external {
        _budgets(100, 300);
        _overBudget(physics, 100, 101);
        _lock(lab, head, 101);
        assertEq(_used(lab), 0);
    }

    function test_RevertWhen_ThePartyHasTooLittle() external {
        _budgets(NO_LIMIT, NO_LIMIT);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, top, FUNDED, FUNDED + 1)
        );
        _lock(lab, head, FUNDED + 1);
    }

    function test_WhenPartyOfItsOwn_SpendsItsOwn() external {
        _lock(spin, founder, 100);
        assertEq(escrow.free(spin), FUNDED - 100);
        assertEq(escrow.free(top), FUNDED);
    }

    function testFuzz_Always_CanLockSaysWhetherLockGoesThrough(
        uint96 amount,
        uint96 ofPhysics,
        uint96 ofLab,
        uint96 limit
    ) external {
        amount = uint96(bound(amount, 0, 2 * FUNDED));
        _budgets(uint96(bound(ofPhysics, 0, 2 * FUNDED)), uint96(bound(ofLab, 0, 2 * FUNDED)));
        vm.prank(head);
        members.setMember(clerk, MemberRights.BUY, limit);
        bool can = escrow.canLock(lab, clerk, amount);
        vm.prank(opener);
        (bool ok,) = address(escrow).call(abi.encodeCall(IEscrow.lock, (KEY, lab, clerk, amount)));
        assertEq(ok, can);
    }
}

/// @dev A department's whole way through the exchange as it is: it buys with its party's money, within its budget.
contract BudgetsLeaseTest is TreeBase {
    function test_WhenADepartmentBuys_ItsPartyPaysAndTheRestReturns() external {
        _budgets(NO_LIMIT, 2 * uint96(RATE));
        ResourceId machine = _register(north, 1);
        OfferId offer = _offer(north, _list(machine), _window(1, 8), RATE);
        vm.prank(head);
        (, LeaseId lease) = book.buyNow(HOME, offer, _list(machine), _window(1, 2));
        assertEq(_used(lab), 2 * uint256(RATE));
        assertTrue(leases.lease(lease).buyer == lab);
        assertEq(escrow.free(top), FUNDED - _used(lab));

        vm.prank(head);
        leases.cancel(lease);
        assertEq(escrow.free(top), FUNDED - _used(lab), "but for the provider's reserve");
        assertLt(_used(lab), RATE);
    }

    function test_RevertWhen_OverItsBudget() external {
        _budgets(NO_LIMIT, 2 * uint96(RATE) - 1);
        ResourceId machine = _register(north, 1);
        OfferId offer = _offer(north, _list(machine), _window(1, 8), RATE);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.BuyerCover));
        vm.prank(head);
        book.buyNow(HOME, offer, _list(machine), _window(1, 2));
    }

    function test_WhenADepartmentSells_BondIsItsPartysAndIncomeItsOwn() external {
        _budgets(NO_LIMIT, 0);
        ResourceId machine = _register(dean, 1);
        OfferId offer = _offer(dean, _list(machine), _window(0, 8), RATE);
        vm.prank(buyer);
        (, LeaseId lease) = book.buyNow(HOME, offer, _list(machine), _window(0, 2));
        assertTrue(leases.lease(lease).provider == physics);
        assertLt(escrow.free(top), FUNDED);
        vm.prank(dean);
        leases.sign(lease);
        vm.prank(opener);
        escrow.lock(KEY, buyerOrg, buyer, 10);
        vm.prank(opener);
        escrow.pay(KEY, physics, 10);
        assertEq(escrow.free(physics), 10);
    }
}

contract EscrowGiveTest is TreeBase {
    function _earn(OrgId org, uint256 amount) private {
        vm.startPrank(opener);
        escrow.lock(KEY, buyerOrg, buyer, amount);
        escrow.pay(KEY, org, amount);
        vm.stopPrank();
    }

    function test_WhenADepartment_GivesToItsParty() external {
        _earn(lab, 70);
        vm.expectEmit(address(escrow));
        emit IEscrow.Given(lab, top, 70);
        vm.prank(head);
        escrow.give(top, 70);
        assertEq(escrow.free(top), FUNDED + 70);
        assertEq(escrow.free(lab), 0);
    }

    function test_WhenAParty_GivesToThoseBelow() external {
        vm.prank(rector);
        escrow.give(spin, 70);
        assertEq(escrow.free(spin), FUNDED + 70);
        assertEq(escrow.free(top), FUNDED - 70);
    }

    /// @dev Whatever a department has, its admin can bring to the party's payout address and nowhere else.
    function test_WhenADepartmentWithdraws_GoesToThePartysAddress() external {
        _earn(lab, 70);
        vm.prank(head);
        escrow.withdraw(70);
        assertEq(credits.balanceOf(rector), 70);
    }

    function test_WhenDepositedForADepartment_IsItsPartys() external {
        vm.prank(council);
        credits.mint(stranger, 70, 0);
        vm.startPrank(stranger);
        credits.approve(address(escrow), 70);
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(top, stranger, 70);
        escrow.deposit(lab, 70);
        vm.stopPrank();
        assertEq(escrow.free(top), FUNDED + 70);
    }

    function test_RevertWhen_NotBelow() external {
        vm.prank(council);
        OrgId shop = members.admitUnder(lab, "shop", clerk, Roles.BUYER, false);
        _earn(lab, 70);
        _refused(head, lab, shop); // below, but the money is the party's
        _refused(head, lab, northOrg);
        _refused(founder, spin, top);
        _refused(rector, top, NOBODY);
        _refused(rector, top, UNKNOWN);
    }

    function test_RevertWhen_MoreThanFree() external {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, lab, 0, 1));
        vm.prank(head);
        escrow.give(top, 1);
    }

    function test_RevertWhen_NotAdmin() external {
        _clerkOf(rector);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.ADMIN));
        vm.prank(clerk);
        escrow.give(spin, 1);
    }

    function _refused(address by, OrgId from, OrgId to) private {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotBelow.selector, from, to));
        vm.prank(by);
        escrow.give(to, 1);
    }
}
