// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "../leases/LeaseBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {LeaseId, OfferId, OrgId, ResourceId} from "../../../contracts/interfaces/Types.sol";

/// @notice Attacks on offers, leases and the escrow; docs/security.md says what each costs whom.
contract LeaseAttackTest is LeaseBase {
    uint256 private constant PURSE = 1_000_000_000;

    function _assertMoney(uint256 seller, uint256 user, uint256 fund) private view {
        assertEq(_free(northOrg), seller, "the provider");
        assertEq(_free(buyerOrg), user, "the buyer");
        assertEq(_free(OrgId.wrap(0)), fund, "the fund");
        assertEq(escrow.total(), credits.balanceOf(address(escrow)), "the escrow");
    }

    function _buy(OfferId offer, ResourceId machine, uint32 from, uint32 slots)
        private
        returns (LeaseId lease)
    {
        vm.prank(buyer);
        (, lease) = book.buyNow(HOME, offer, _list(machine), _window(from, slots));
    }

    /// A buyer takes every third slot, so that with the turnaround nothing between can be let: it pays for every piece, a
    /// third of the window's price here, and the provider goes without the other two thirds.
    function test_WhenAWindowIsShredded_TheShredderPaysForEveryPiece() external {
        ResourceId machine = _register(north, 1);
        OfferId offer = _offer(north, _list(machine), _window(1, 12), RATE);
        uint256 deposit = PURSE - _free(northOrg);
        for (uint32 k; k < 4; ++k) {
            LeaseId lease = _buy(offer, machine, 1 + 3 * k, 1);
            _sign(lease);
            _deliver(lease, 1);
        }
        for (uint32 k = 1; k < 13; ++k) {
            assertFalse(inventory.isFree(machine, _now() + k, _now() + k + 1), "nothing is left to let");
        }
        vm.warp(block.timestamp + 14 hours);
        for (uint32 k = 1; k < 5; ++k) {
            _wipe(LeaseId.wrap(k));
            leases.settle(LeaseId.wrap(k));
        }
        _assertMoney(PURSE - deposit + 4 * RATE, PURSE - 4 * RATE, 0);
    }

    /// Shredding and cancelling at once costs the reserve of every piece, and what was shredded is whole again.
    function test_WhenAShredderCancels_PaysTheReserveAndTheSlotsAreFree() external {
        ResourceId machine = _register(north, 1);
        OfferId offer = _offer(north, _list(machine), _window(1, 12), RATE);
        uint256 deposit = PURSE - _free(northOrg);
        for (uint32 k; k < 4; ++k) {
            LeaseId lease = _buy(offer, machine, 1 + 3 * k, 1);
            vm.prank(buyer);
            leases.cancel(lease);
        }
        uint256 reserve = uint256(RATE) * _terms().reservePpm / 1e6;
        _assertMoney(PURSE - deposit + 4 * reserve, PURSE - 4 * reserve, 0);
        assertTrue(inventory.isFree(machine, _now() + 1, _now() + 13));
    }

    /// Where the offer says how short a piece may be, the pieces between are too short as well.
    function test_WhenAnOfferHasALeastLength_CannotBeShredded() external {
        ResourceId machine = _register(north, 1);
        vm.prank(north);
        OfferId offer =
            book.publish(HOME, IBook.OfferTerms(_window(1, 12), RATE, RATE, 6, NO_SLA, 0), _list(machine));
        uint256 before = _free(buyerOrg);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_TooShort.selector, 1, 6));
        _buy(offer, machine, 1, 1);
        assertEq(_free(buyerOrg), before);
    }

    /// Who draws every odd second hopes for a rounding each time: not a microcredit comes of it.
    function test_WhenSettledAtEveryOddSecond_TheProviderGainsNothing() external {
        uint64 odd = 1_234_577;
        LeaseId spammed = _open(_award(), _leg(odd, _machines(north, 1)));
        LeaseId quiet = _open(_award(), _leg(odd, _machines(north, 1)));
        for (uint256 k; k < 2; ++k) {
            LeaseId id = k == 0 ? spammed : quiet;
            _sign(id);
            _deliver(id, 1);
            _accept(id);
        }
        vm.warp(_startOf(spammed));
        while (block.timestamp + 601 < _endOf(spammed)) {
            vm.warp(block.timestamp + 601);
            leases.settle(spammed);
        }
        vm.warp(_endOf(spammed));
        leases.settle(spammed);
        leases.settle(quiet);
        assertEq(settlement.account(spammed).paid, settlement.account(quiet).paid, "the same");
        assertEq(settlement.account(spammed).paid, uint256(odd) * 10, "and no more than the price");
        _wipe(spammed);
        _wipe(quiet);
        _assertMoney(PURSE + 20 * uint256(odd), PURSE - 20 * uint256(odd), 0);
    }

    /// A buyer rents, finds a cheaper machine, and leaves: it pays to the end of the notice, the bond goes back.
    function test_WhenABuyerLeavesForACheaperMachine_PaysTheNotice() external {
        LeaseId id = _active();
        vm.warp(_startOf(id));
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(block.timestamp + _terms().notice);
        leases.settle(id);
        _wipe(id);
        uint256 noticed = 2 * uint256(RATE) * _terms().notice / 3600;
        _assertMoney(PURSE + noticed, PURSE - noticed, 0);
    }

    /// A buyer reserves far ahead and leaves before it begins, again and again, to keep others out: the notice each time.
    function test_WhenABuyerLeavesBeforeTheStart_PaysTheNoticeEachTime() external {
        uint256 noticed = 2 * uint256(RATE) * _terms().notice / 3600;
        for (uint256 k = 1; k <= 3; ++k) {
            LeaseId id = _active();
            vm.prank(buyer);
            leases.endEarly(id);
            vm.warp(_startOf(id) + _terms().notice);
            leases.settle(id);
            _wipe(id);
            _assertMoney(PURSE + k * noticed, PURSE - k * noticed, 0);
        }
    }

    /// Credits sent to the escrow past its door are nobody's: no balance moves, nothing is stuck, the fund gets them.
    function test_WhenCreditsAreDonated_TheDonorLosesThemToTheFund() external {
        address donor = makeAddr("donor");
        vm.prank(council);
        credits.mint(donor, 500, "test");
        vm.prank(donor);
        credits.transfer(address(escrow), 500);
        assertEq(_free(northOrg) + _free(buyerOrg), 2 * PURSE);
        assertEq(escrow.total() + 500, credits.balanceOf(address(escrow)));

        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, northOrg, PURSE, PURSE + 500)
        );
        vm.prank(north);
        escrow.withdraw(PURSE + 500);
        vm.prank(donor);
        escrow.sweep();
        assertEq(credits.balanceOf(donor), 0, "the donor");
        _assertMoney(PURSE, PURSE, 500);
    }

    /// The council suspends both sides in the middle of a lease, out of spite or for cause: all ends as without, and every
    /// credit comes out.
    function test_WhenBothSidesAreSuspended_EveryCreditComesOut() external {
        ResourceId machine = _register(north, 1);
        OfferId offer = _offer(north, _list(machine), _window(1, 12), RATE);
        LeaseId first = _buy(offer, machine, 1, 2);
        LeaseId second = _buy(offer, machine, 8, 2);
        vm.startPrank(council);
        members.setSuspended(northOrg, true);
        members.setSuspended(buyerOrg, true);
        members.setRoles(northOrg, 0);
        members.setRoles(buyerOrg, 0);
        vm.stopPrank();

        _sign(first);
        _deliver(first, 1);
        _accept(first);
        vm.prank(buyer);
        leases.cancel(second);
        vm.prank(north);
        book.cancel(offer);
        vm.warp(_endOf(first));
        leases.settle(first);
        _wipe(first);

        uint256 earned = 2 * uint256(RATE) + 2 * uint256(RATE) * _terms().reservePpm / 1e6;
        _assertMoney(PURSE + earned, PURSE - earned, 0);
        vm.prank(north);
        escrow.withdraw(PURSE + earned);
        vm.prank(buyer);
        escrow.withdraw(PURSE - earned);
        assertEq(credits.balanceOf(north) + credits.balanceOf(buyer), 2 * PURSE);
    }
}
