// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAmendments} from "../../../contracts/interfaces/IAmendments.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IInventory} from "../../../contracts/interfaces/IInventory.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {LeaseId, LeaseState, OfferId, SlaId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {AmendmentsBase} from "./AmendmentsBase.sol";

/// @notice L7: more time at the offer's buy-now rate, without asking.
contract ExtendTest is AmendmentsBase {
    function test_WhenTheOfferSellsIt_LocksAndBooks() external {
        LeaseId id = _active();
        vm.warp(_hour(start + 3));
        vm.prank(buyer);
        amendments.extend(id, end + 5, NOW_RATE);
        assertEq(leases.lease(id).end, end + 5);
        assertEq(escrow.free(buyerOrg), MONEY - PRICE - 5 * HOUR);
        assertEq(_account(id).bond, (PRICE + 5 * HOUR) / 5);
        assertFalse(inventory.isFree(a, end + 4, end + 5));
        assertFalse(inventory.isFree(a, end + 6, end + 7), "turnaround");
        assertTrue(inventory.isFree(a, end + 7, end + 8));
        assertEq(_account(id).steps, 0, "the same rate needs no step");
        vm.warp(_hour(end + 5));
        _wipe(id);
        assertEq(_held(id), 0);
        uint256 reserved = _restingDeposit();
        assertEq(escrow.free(northOrg), MONEY + PRICE + 5 * HOUR - reserved);
        assertEq(escrow.free(buyerOrg), MONEY - PRICE - 5 * HOUR);
    }

    /// Whatever is added, both sides get out what is theirs to the last microcredit.
    function testFuzz_WhenExtendedTwice_NothingIsLost(uint8 first, uint8 second, uint64 rate, uint32 leave)
        external
    {
        uint32 more = uint32(bound(first, 1, 20));
        uint32 evenMore = uint32(bound(second, 1, 20));
        rate = uint64(bound(rate, 1, 10_000_000));
        LeaseId id = _active();
        vm.prank(buyer);
        amendments.extend(id, end + more, NOW_RATE);
        _agree(id, end + more + evenMore, rate);
        assertEq(amendments.rateOf(id), rate);
        vm.warp(bound(leave, block.timestamp, _hour(end + more + evenMore) - 3601));
        vm.prank(buyer);
        leases.endEarly(id);
        uint256 at = leases.lease(id).endedAt;
        vm.warp(at);
        _wipe(id);
        uint256 minutes_ = (at - _hour(start) + 59) / 60;
        uint256 old = uint256(end + more - start) * 60;
        uint256 due = minutes_ <= old
            ? _up(HOUR * minutes_)
            : _up(HOUR * old) + _up(2 * uint256(rate) * (minutes_ - old));
        assertEq(_account(id).paid, due);
        assertEq(_held(id), 0);
        assertEq(escrow.free(buyerOrg), MONEY - due);
        assertEq(escrow.free(northOrg) + _restingDeposit(), MONEY + due);
    }

    function test_RevertWhen_TheRateRoseMeanwhile() external {
        LeaseId id = _active();
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAmendments.Amendments_Dearer.selector, offer, uint256(NOW_RATE), uint256(NOW_RATE) - 1
            )
        );
        amendments.extend(id, end + 1, NOW_RATE - 1);
    }

    function test_RevertWhen_TheOfferIsClosed() external {
        LeaseId id = _active();
        vm.prank(north);
        book.cancel(offer);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, offer));
        amendments.extend(id, end + 1, NOW_RATE);
    }

    function test_RevertWhen_TheOfferEndsEarlier() external {
        LeaseId id = _active();
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OutsideOffer.selector, offer, end, start + 301));
        amendments.extend(id, start + 301, NOW_RATE);
    }

    /// Over somebody else's booking, its turnaround included, nothing is extended.
    function test_RevertWhen_SomebodyElseBookedIt() external {
        LeaseId id = _active();
        vm.prank(rival);
        book.buyNow(HOME, offer, _list(b), _window(12, 3));
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_NotFree.selector, b, end + TURNAROUND, end + 1)
        );
        amendments.extend(id, end + 1, NOW_RATE);
    }

    function test_RevertWhen_NoLonger() external {
        LeaseId id = _active();
        vm.startPrank(buyer);
        for (uint32 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NoLonger.selector, id, end));
            amendments.extend(id, end - i, NOW_RATE);
        }
    }

    /// The rate is that of what the offer promises.
    function test_RevertWhen_TheLeasePromisesMore() external {
        LeaseId id = _active(Traits.RECLAIMABLE);
        OfferId other = _publish(0);
        assertEq(OfferId.unwrap(other), OfferId.unwrap(offer) + 1);
        // As a tender's lease that is not to be taken back, of an offer whose machines are.
        vm.mockCall(address(leases), abi.encodeCall(ILeases.lease, (id)), abi.encode(_with(id, other)));
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_OtherPromise.selector, id, other));
        amendments.extend(id, end + 1, NOW_RATE);
    }

    function test_RevertWhen_TheProviderIsSuspended() external {
        LeaseId id = _active();
        vm.prank(council);
        members.setSuspended(northOrg, true);
        vm.prank(buyer);
        vm.expectRevert();
        amendments.extend(id, end + 1, NOW_RATE);
    }

    function test_RevertWhen_TheProviderCannotCover() external {
        LeaseId id = _active();
        uint256 left = escrow.free(northOrg);
        vm.prank(north);
        escrow.withdraw(left);
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, northOrg, 0, HOUR / 5)
        );
        amendments.extend(id, end + 1, NOW_RATE);
    }

    function test_RevertWhen_NotTheBuyer() external {
        LeaseId id = _active();
        vm.prank(rival);
        vm.expectRevert(_notOf(buyerOrg, rival));
        amendments.extend(id, end + 1, NOW_RATE);
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.OFFER, 0);
        vm.prank(clerk);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.BUY));
        amendments.extend(id, end + 1, NOW_RATE);
    }

    function test_RevertWhen_Over() external {
        LeaseId id = _active();
        vm.warp(_hour(end));
        vm.prank(buyer);
        vm.expectRevert(
            abi.encodeWithSelector(ILeases.Leases_WrongState.selector, id, uint256(LeaseState.Ending))
        );
        amendments.extend(id, end + 1, NOW_RATE);
    }

    // ---- with the provider's word ------------------------------------------------------------------------------

    function test_WhenBothAgree_CostsTheAgreedRate() external {
        LeaseId id = _active();
        vm.prank(north);
        book.cancel(offer);
        _agree(id, end + 4, RATE);
        assertEq(leases.lease(id).end, end + 4);
        assertEq(_account(id).price, PRICE + 8 * uint256(RATE));
        assertEq(_account(id).steps, 1);
        assertEq(amendments.proposal(id).by, address(0), "done");
        vm.warp(_hour(end + 4));
        _wipe(id);
        assertEq(_held(id), 0);
        assertEq(escrow.free(northOrg), MONEY + PRICE + 8 * uint256(RATE));
    }

    function test_WhenTheEndMovedMeanwhile_TheProposalLapses() external {
        LeaseId id = _active();
        vm.startPrank(buyer);
        amendments.propose(id, end + 4, RATE);
        vm.stopPrank();
        // A lease that ends later than it did then is another thing to agree to.
        vm.prank(buyer);
        amendments.extend(id, end + 1, NOW_RATE);
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NoProposal.selector, id));
        amendments.agree(id, end + 4, RATE);
    }

    function test_RevertWhen_TheProviderAgreesToSomethingElse() external {
        LeaseId id = _active();
        vm.prank(buyer);
        amendments.propose(id, end + 4, RATE);
        bytes memory none = abi.encodeWithSelector(IAmendments.Amendments_NoProposal.selector, id);
        vm.startPrank(north);
        vm.expectRevert(none);
        amendments.agree(id, end + 4, RATE + 1);
        vm.expectRevert(none);
        amendments.agree(id, end + 5, RATE);
        amendments.agree(id, end + 4, RATE);
        vm.expectRevert(none);
        amendments.agree(id, end + 4, RATE);
    }

    function test_WhenWithdrawn_NobodyAgrees() external {
        LeaseId id = _active();
        bytes memory none = abi.encodeWithSelector(IAmendments.Amendments_NoProposal.selector, id);
        vm.startPrank(buyer);
        vm.expectRevert(none);
        amendments.withdraw(id);
        amendments.propose(id, end + 4, RATE);
        amendments.withdraw(id);
        vm.stopPrank();
        vm.prank(north);
        vm.expectRevert(none);
        amendments.agree(id, end + 4, RATE);
    }

    function test_RevertWhen_OneSideIsTheOther() external {
        LeaseId id = _active();
        vm.prank(buyer);
        amendments.propose(id, end + 4, RATE);
        vm.prank(buyer);
        vm.expectRevert(_notOf(northOrg, buyer));
        amendments.agree(id, end + 4, RATE);
        vm.prank(north);
        vm.expectRevert(_notOf(buyerOrg, north));
        amendments.propose(id, end + 4, RATE);
        vm.prank(north);
        vm.expectRevert(_notOf(buyerOrg, north));
        amendments.withdraw(id);
    }

    function test_RevertWhen_ProposedForNothing() external {
        LeaseId id = _active();
        vm.startPrank(buyer);
        vm.expectRevert(IAmendments.Amendments_ZeroRate.selector);
        amendments.propose(id, end + 4, 0);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NoLonger.selector, id, end));
        amendments.propose(id, end, RATE);
    }

    /// R17: what is in dispute stays so, whatever is added.
    function test_WhenADisputeIsOpen_ExtendsAndResolves() external {
        LeaseId id = _active();
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.SETTLEMENT_JUDGE, true);
        ISettlement.Parties memory p = ISettlement.Parties(id, buyerOrg, northOrg, NOW_RATE);
        vm.warp(_hour(start + 2));
        uint256 moved = settlement.dispute(p, HOUR, false, uint40(block.timestamp));
        assertEq(moved, HOUR);
        vm.prank(buyer);
        amendments.extend(id, end + 2, NOW_RATE);
        settlement.resolve(p, HOUR, HOUR / 4, HOUR - HOUR / 4);
        vm.warp(_hour(end + 2));
        _wipe(id);
        assertEq(_held(id), 0);
        assertEq(escrow.free(buyerOrg), MONEY - PRICE - 2 * HOUR + HOUR / 4);
    }

    function _agree(LeaseId id, uint32 until, uint64 rate) private {
        vm.prank(buyer);
        amendments.propose(id, until, rate);
        vm.prank(north);
        amendments.agree(id, until, rate);
    }

    function _restingDeposit() private view returns (uint256) {
        return book.offer(offer).deposit;
    }

    function _up(uint256 rateMinutes) private pure returns (uint256) {
        return (rateMinutes + 59) / 60;
    }

    function _with(LeaseId id, OfferId other) private view returns (ILeases.Lease memory l) {
        l = leases.lease(id);
        l.offer = other;
    }
}
