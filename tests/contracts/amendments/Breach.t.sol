// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Amendments} from "../../../contracts/Amendments.sol";
import {IAmendments} from "../../../contracts/interfaces/IAmendments.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {LeaseId, LeaseState, OfferId, ResourceId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {VerdictsBase} from "../verdicts/VerdictsBase.sol";

/// @notice Taking back is no way out of a breach that is coming: what that costs is paid all the same.
contract ReclaimBreachTest is VerdictsBase {
    ResourceId[] private _nothing;

    function setUp() public override {
        super.setUp();
        amendments = new Amendments(directory, members, book, awards, verdicts, _amendmentTerms());
        vm.startPrank(address(timelock));
        directory.setRight(address(amendments), Rights.AWARDS_OPEN, true);
        directory.setRight(address(amendments), Rights.LEASES_AMEND, true);
        vm.stopPrank();
        // The plain lease again, but one that may be taken back.
        ResourceId machine = _register(north, 5000);
        vm.prank(north);
        OfferId offer = book.publish(
            HOME, IBook.OfferTerms(_window(0, 300), RATE, RATE, 1, sla, Traits.RECLAIMABLE), _list(machine)
        );
        vm.prank(buyer);
        (, lease) = book.buyNow(HOME, offer, _list(machine), _window(0, 48));
        vm.prank(north);
        leases.sign(lease);
        witnesses.draw(lease, 0);
        _deliverBits(lease, 1);
        vm.prank(buyer);
        leases.accept(lease, 1);
    }

    function test_WhenNothingIsFound_TheRestOfTheBondComesBack() external {
        uint40 at = _reclaim(first + 4);
        uint256 unserved = 44 * EPOCH_PRICE;
        uint256 bond = _account().bond;
        _through(first + 4);
        _wipe(at);
        assertEq(_account().bond, bond, "it waits, wiped or not");
        leases.settle(lease);
        assertEq(_account().bond, bond);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAmendments.Amendments_NotFinal.selector, lease, uint256(leases.finalUntil(lease))
            )
        );
        amendments.closeReclaim(lease);
        _final(first + 3);
        uint256 buyers = escrow.free(buyerOrg);
        uint256 norths = escrow.free(northOrg);
        amendments.closeReclaim(lease);
        assertEq(escrow.free(buyerOrg), buyers);
        assertEq(escrow.free(northOrg) - norths, bond);
        assertEq(bond, 48 * EPOCH_PRICE / 5 - unserved / 10);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NothingToClose.selector, lease));
        amendments.closeReclaim(lease);
    }

    /// Down since the second epoch; the provider sees the breach coming and takes the lease back before anybody can claim.
    function test_WhenABreachWasComing_ItCostsAsMuchAsTheBreach() external {
        _useGrace();
        _plan(first + 1, 40);
        _say(2, first + 2, ALL_ROUNDS);
        _say(2, first + 3, ALL_ROUNDS);
        vm.warp(uint256(first + 2) * E - 60);
        uint40 at = _reclaim(first + 4);
        uint256 unserved = 44 * EPOCH_PRICE;
        assertEq(_account().bond, 48 * EPOCH_PRICE / 5 - unserved / 10);
        _take(first + 1);
        _openClaims(first + 2);
        _claim(2, first + 2);
        assertEq(_record().breached, first + 2);
        // The buyer cannot end what is ended; it need not.
        _wipe(at);
        _final(first + 3);
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(ILeases.Leases_WrongState.selector, lease, LeaseState.Terminated)
        );
        verdicts.endForBreach(lease, 0);
        leases.settle(lease);
        uint256 buyers = escrow.free(buyerOrg);
        amendments.closeReclaim(lease);
        assertEq(escrow.free(buyerOrg) - buyers, unserved / 10, "together the default share");
        assertEq(_account().bond, 0);
    }

    /// An appeal holds it up, and if it is upheld nothing is added.
    function test_WhenTheBreachIsAppealed_WaitsForTheCouncil() external {
        _useGrace();
        _plan(first + 1, 40);
        _say(2, first + 2, ALL_ROUNDS);
        vm.warp(uint256(first + 2) * E - 60);
        uint40 at = _reclaim(first + 4);
        _take(first + 1);
        _openClaims(first + 2);
        _claim(2, first + 2);
        vm.prank(north);
        uint256 appeal = verdicts.appeal(HOME, lease, 0, first + 2);
        _wipe(at);
        _final(first + 3);
        uint40 until = leases.finalUntil(lease);
        vm.expectRevert(
            abi.encodeWithSelector(IAmendments.Amendments_NotFinal.selector, lease, uint256(until))
        );
        amendments.closeReclaim(lease);
        uint256 disputed = verdicts.appealOf(appeal).amount;
        assertGt(disputed, 0);
        vm.prank(address(timelock));
        verdicts.decide(appeal, 0, true);
        uint256 buyers = escrow.free(buyerOrg);
        amendments.closeReclaim(lease);
        assertEq(escrow.free(buyerOrg), buyers);
        assertEq(_account().bond, 0);
    }

    /// A buyer that knows of the breach takes much more time first: it is not paid for that.
    function test_WhenExtendedBeforeTheBreachIsUsed_OnlyWhatWasAgreedCounts() external {
        _useGrace();
        _plan(first + 1, 40);
        _say(2, first + 2, ALL_ROUNDS);
        _say(2, first + 3, ALL_ROUNDS);
        _take(first + 1);
        _openClaims(first + 2);
        _claim(2, first + 2);
        _final(first + 2);
        uint32 end = leases.lease(lease).end + 100;
        vm.startPrank(buyer);
        amendments.extend(lease, end, RATE);
        uint256 bond = _account().bond;
        verdicts.endForBreach(lease, 0);
        vm.stopPrank();
        assertEq(bond - _account().bond, (48 - 6) * EPOCH_PRICE / 5);
    }

    function _reclaim(uint32 epoch) private returns (uint40 at) {
        at = uint40(uint256(epoch) * E);
        vm.prank(north);
        amendments.reclaim(lease, at, OfferId.wrap(0), _nothing);
    }

    function _wipe(uint40 at) private {
        if (block.timestamp < at) vm.warp(at);
        vm.prank(north);
        leases.wipe(lease, "evidence");
    }
}
