// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TreeBase} from "../members/TreeBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, OfferId, OrgId, ResourceId, Skip} from "../../../contracts/interfaces/Types.sol";

/// @notice Attacks by those who share a purse or an owner; docs/security.md says what each costs whom.
contract TreeAttackTest is TreeBase {
    function _selfDealing(OrgId purchaser, OrgId seller) private {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_SelfDealing.selector, purchaser, seller));
    }

    function _noCover() private {
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.BuyerCover));
    }

    function _offered(address seller, uint256 key) private returns (OfferId, ResourceId) {
        ResourceId machine = _register(seller, key);
        return (_offer(seller, _list(machine), _window(0, 48), RATE), machine);
    }

    function _buy(address by, OfferId offer, ResourceId machine, uint32 from, uint32 slots)
        private
        returns (LeaseId lease)
    {
        vm.prank(by);
        (, lease) = book.buyNow(HOME, offer, _list(machine), _window(from, slots));
    }

    /// A party would make prices, turnover and a good record by dealing with its own departments: it cannot.
    function test_WhenDepartmentsDealWithTheirParty_IsRefusedAndNoMoneyMoves() external {
        _budgets(NO_LIMIT, NO_LIMIT);
        (OfferId ofPhysics, ResourceId a) = _offered(dean, 1);
        (OfferId ofTop, ResourceId b) = _offered(rector, 2);
        uint256 before = escrow.free(top);

        _selfDealing(lab, physics);
        _buy(head, ofPhysics, a, 0, 1);
        _selfDealing(top, physics);
        _buy(rector, ofPhysics, a, 0, 1);
        _selfDealing(lab, top);
        _buy(head, ofTop, b, 0, 1);

        assertEq(escrow.free(top), before, "the party");
        assertEq(_used(lab), 0, "the laboratory's budget");
    }

    /// A daughter that is a party of its own may buy from its mother, and pays for it in full: a wash trade moves its own
    /// money, bond and all, to the other pocket. Once the council sees one owner behind both, it is refused.
    function test_WhenADaughterWashTrades_MovesItsOwnMoneyUntilTheCouncilSeesIt() external {
        (OfferId offer, ResourceId machine) = _offered(rector, 1);
        LeaseId lease = _buy(founder, offer, machine, 0, 2);
        vm.startPrank(rector);
        leases.sign(lease);
        leases.deliver(lease, ILeases.Delivery(1, "connection", "host", "spec"));
        vm.stopPrank();
        vm.prank(founder);
        leases.accept(lease, 1);
        vm.warp(block.timestamp + 2 hours);
        vm.prank(rector);
        leases.wipe(lease, "evidence");
        leases.settle(lease);

        assertEq(escrow.free(spin), FUNDED - 2 * uint256(RATE), "the daughter paid");
        assertEq(escrow.free(top), FUNDED + 2 * uint256(RATE) - _offerDeposit(offer), "the mother earned it");
        vm.startPrank(council);
        members.setGroup(top, 7);
        members.setGroup(spin, 7);
        vm.stopPrank();
        _selfDealing(spin, top);
        _buy(founder, offer, machine, 4, 2);
    }

    /// A department cuts its order into small ones: the budget counts them all, at every level.
    function test_WhenADepartmentSplitsItsOrder_TheBudgetHoldsThemAll() external {
        _budgets(NO_LIMIT, 2 * uint96(RATE));
        (OfferId offer, ResourceId machine) = _offered(north, 1);
        _buy(head, offer, machine, 0, 1);
        _buy(head, offer, machine, 5, 1);
        _noCover();
        _buy(head, offer, machine, 10, 1);

        assertEq(_used(lab), 2 * uint256(RATE), "used");
        assertEq(escrow.free(top), FUNDED - 2 * uint256(RATE), "the party lost no more");
    }

    /// A clerk spends its limit; that the party has more, and gets more, does not widen it.
    function test_WhenAMembersLimitIsUsedUp_NothingMoreIsSpentInItsName() external {
        vm.prank(rector);
        members.setMember(clerk, MemberRights.BUY, uint96(RATE));
        (OfferId offer, ResourceId machine) = _offered(north, 1);
        _buy(clerk, offer, machine, 0, 1);
        _noCover();
        _buy(clerk, offer, machine, 5, 1);
        _fund(top, rector, FUNDED);
        _noCover();
        _buy(clerk, offer, machine, 5, 1);

        assertEq(members.member(clerk).spent, RATE);
        assertEq(escrow.free(top), 2 * FUNDED - RATE, "the party lost the limit, no more");
    }

    /// A party takes the budget away once the machine is let: what was consented to is locked, and the provider is paid.
    function test_WhenABudgetIsTakenAwayAfterTheConsent_TheProviderIsPaidInFull() external {
        _budgets(NO_LIMIT, 4 * uint96(RATE));
        (OfferId offer, ResourceId machine) = _offered(north, 1);
        uint256 start = escrow.free(northOrg);
        LeaseId lease = _buy(head, offer, machine, 0, 4);
        _budgets(0, 0);
        _suspend(rector, lab, true);

        vm.startPrank(north);
        leases.sign(lease);
        leases.deliver(lease, ILeases.Delivery(1, "connection", "host", "spec"));
        vm.warp(block.timestamp + 4 hours);
        leases.wipe(lease, "evidence");
        vm.stopPrank();
        leases.settle(lease);

        assertEq(escrow.free(northOrg), start + 4 * uint256(RATE), "the provider");
        assertEq(escrow.free(top), FUNDED - 4 * uint256(RATE), "the party");
        _suspend(rector, lab, false);
        _noCover();
        _buy(head, offer, machine, 4, 1);
    }

    function _offerDeposit(OfferId offer) private view returns (uint256) {
        return escrow.balance(address(book), bytes32(uint256(OfferId.unwrap(offer))));
    }
}
