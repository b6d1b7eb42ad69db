// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Amendments} from "../../../contracts/Amendments.sol";
import {IAmendments} from "../../../contracts/interfaces/IAmendments.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    OfferId,
    ResourceId,
    Skip,
    Spec
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {AmendmentsBase} from "./AmendmentsBase.sol";

/// @notice L5, B7: taking back, against notice and compensation, with something else instead.
contract ReclaimTest is AmendmentsBase {
    ResourceId[] private _nothing;
    OfferId private constant NO_OFFER = OfferId.wrap(0);

    function test_WhenAgreed_PaysForTheRestAndReturnsIt() external {
        LeaseId id = _reclaimable();
        uint256 bond = _account(id).bond;
        uint40 at = uint40(_hour(start + 4));
        vm.expectEmit(address(amendments));
        emit IAmendments.LeaseReclaimed(id, at, 6 * HOUR / 10, NO_OFFER, _nothing);
        _reclaim(id, at);

        assertEq(escrow.free(buyerOrg), MONEY - PRICE + 6 * HOUR + 6 * HOUR / 10);
        assertEq(_account(id).bond, bond - 6 * HOUR / 10);
        (IAmendments.Reclaim memory r,) = amendments.reclaimOf(id);
        assertEq(r.unserved, 6 * HOUR);
        assertEq(r.paid, 6 * HOUR / 10);
        assertEq(uint8(leases.stateOf(id)), uint8(LeaseState.Active), "the notice runs");
        vm.warp(at);
        _assertEnd(id, EndReason.Reclaimed, Fault.Provider);
        _wipe(id);
        assertEq(_held(id), 0, "nobody waits for verdicts without a committee");
        assertEq(inventory.isFree(a, start + 5, start + 6), true);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NothingToClose.selector, id));
        amendments.closeReclaim(id);
    }

    /// No escape: whatever is taken back whenever, it costs less than all of it would have by default, and more than nothing.
    function testFuzz_WhenTakenBack_MoneyIsConserved(uint32 when, uint32 notice) external {
        LeaseId id = _reclaimable();
        uint256 now_ = bound(when, _hour(start), _hour(end) - 7201);
        vm.warp(now_);
        uint40 at = uint40(bound(notice, now_ + 7200, _earlier(now_ + 18_000, _hour(end) - 1)));
        _reclaim(id, at);
        vm.warp(at);
        _wipe(id);
        assertEq(_held(id), 0);
        uint256 served = (HOUR * (at - _hour(start)) + 3599) / 3600;
        uint256 unserved = PRICE - served;
        uint256 drawn = (HOUR * ((at - _hour(start) + 59) / 60) + 59) / 60;
        assertEq(escrow.free(buyerOrg), MONEY - drawn + unserved / 10);
        assertEq(escrow.free(northOrg) + book.offer(offer).deposit, MONEY + drawn - unserved / 10);
    }

    function _earlier(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    /// A notice that lasts as long as the lease would end for nothing what a breach would cost.
    function test_RevertWhen_TheNoticeIsTooLong() external {
        LeaseId id = _reclaimable();
        vm.warp(_hour(start));
        vm.expectRevert(
            abi.encodeWithSelector(
                IAmendments.Amendments_NoticeTooLong.selector, id, block.timestamp + 2 * 7200 + 3600
            )
        );
        _reclaim(id, uint40(_hour(end) - 1));
    }

    /// It spends bonds that others' limits carry.
    function test_RevertWhen_AnOperatorsKeyTakesItBack() external {
        LeaseId id = _reclaimable();
        address operator = makeAddr("operator");
        vm.prank(north);
        members.setMember(operator, MemberRights.OFFER, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IMembers.Members_NoRight.selector, operator, MemberRights.ADMIN)
        );
        vm.prank(operator);
        amendments.reclaim(id, uint40(block.timestamp + 7200), OfferId.wrap(0), new ResourceId[](0));
    }

    function test_WhenToldSo_TheBuyerMayLeaveEarlier() external {
        LeaseId id = _reclaimable();
        vm.warp(_hour(start));
        _reclaim(id, uint40(_hour(start + 4)));
        vm.warp(_hour(start + 1));
        vm.prank(buyer);
        leases.endEarly(id);
        assertEq(leases.lease(id).endedAt, _hour(start + 2));
        _assertEnd(id, EndReason.Reclaimed, Fault.Provider);
        vm.warp(_hour(start + 2));
        _wipe(id);
        assertEq(escrow.free(buyerOrg), MONEY - 2 * HOUR + 6 * HOUR / 10);
        assertEq(_held(id), 0);
    }

    /// The notice of an early end that would be no earlier is none.
    function test_RevertWhen_LeavingLaterThanItIsTakenBack() external {
        LeaseId id = _reclaimable();
        _reclaim(id, uint40(_hour(start + 2)));
        vm.warp(_hour(start + 1));
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_TooLate.selector, id, _hour(start + 1)));
        leases.endEarly(id);
    }

    function test_RevertWhen_NotAgreed() external {
        LeaseId id = _active();
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NotReclaimable.selector, id));
        amendments.reclaim(id, uint40(_hour(start + 4)), NO_OFFER, _nothing);
    }

    function test_RevertWhen_TheNoticeIsShort() external {
        LeaseId id = _reclaimable();
        uint256 soonest = block.timestamp + 7200;
        vm.startPrank(north);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NoticeTooShort.selector, id, soonest));
        amendments.reclaim(id, uint40(soonest - 1), NO_OFFER, _nothing);
        amendments.reclaim(id, uint40(soonest), NO_OFFER, _nothing);
    }

    function test_RevertWhen_AtTheEnd() external {
        LeaseId id = _reclaimable();
        vm.prank(north);
        vm.expectRevert();
        amendments.reclaim(id, uint40(_hour(end)), NO_OFFER, _nothing);
    }

    function test_RevertWhen_Twice() external {
        LeaseId id = _reclaimable();
        _reclaim(id, uint40(_hour(start + 4)));
        vm.prank(north);
        vm.expectRevert(
            abi.encodeWithSelector(ILeases.Leases_WrongState.selector, id, uint256(LeaseState.Active))
        );
        amendments.reclaim(id, uint40(_hour(start + 5)), NO_OFFER, _nothing);
    }

    /// It is no way out of a delivery that does not come: neither before anything is there...
    function test_RevertWhen_NothingIsDelivered() external {
        LeaseId id = _buy(Traits.RECLAIMABLE);
        vm.prank(north);
        vm.expectRevert(
            abi.encodeWithSelector(IAmendments.Amendments_WrongState.selector, id, uint256(LeaseState.Signed))
        );
        amendments.reclaim(id, uint40(_hour(start + 4)), NO_OFFER, _nothing);
    }

    /// ...nor while something is missing.
    function test_RevertWhen_SomethingIsMissing() external {
        LeaseId id = _buy(Traits.RECLAIMABLE);
        _deliver(id, 1);
        vm.prank(buyer);
        leases.accept(id, 1);
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_StillMissing.selector, id));
        amendments.reclaim(id, uint40(_hour(start + 4)), NO_OFFER, _nothing);
        vm.warp(_hour(start + 1));
        leases.expire(id);
        assertEq(escrow.free(buyerOrg), MONEY - PRICE / 2 + PRICE / 10, "half of the bond");
        _reclaim(id, uint40(_hour(start + 4)));
    }

    function test_RevertWhen_NotTheProvider() external {
        LeaseId id = _reclaimable();
        vm.prank(south);
        vm.expectRevert(_notOf(northOrg, south));
        amendments.reclaim(id, uint40(_hour(start + 4)), NO_OFFER, _nothing);
    }

    function test_WhenSuspended_StillTakesBack() external {
        LeaseId id = _reclaimable();
        vm.prank(council);
        members.setSuspended(northOrg, true);
        _reclaim(id, uint40(_hour(start + 4)));
    }

    function test_RevertWhen_ItWouldCostMoreThanADefault() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IAmendments.Amendments_TooDear.selector, uint256(200_000), uint256(200_000)
            )
        );
        new Amendments(
            directory, members, book, awards, IVerdicts(address(0)), IAmendments.Terms(7200, 200_000)
        );
    }

    function test_RevertWhen_AnOfferSaysMore() external {
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_BadTraits.selector, uint256(5)));
        book.publish(HOME, IBook.OfferTerms(_window(0, 300), RATE, NOW_RATE, 1, NO_SLA, 5), _list(a, b));
    }

    // ---- something else instead --------------------------------------------------------------------------------

    function test_WhenAReplacementIsOffered_TheBuyerTakesItAtTheOldRate() external {
        LeaseId id = _reclaimable();
        OfferId other = _publish(_list(c, d), 0);
        uint40 at = uint40(_hour(start + 4) + 120);
        vm.prank(north);
        amendments.reclaim(id, at, other, _list(c, d));
        uint256 free = escrow.free(buyerOrg);
        vm.warp(_hour(start + 2));
        vm.prank(buyer);
        LeaseId instead = amendments.takeReplacement(id);

        ILeases.Lease memory l = leases.lease(instead);
        assertEq(l.start, start + 4, "the slot it is needed from");
        assertEq(l.end, end);
        assertEq(l.rate, NOW_RATE);
        assertEq(l.traits, Traits.RECLAIMABLE);
        assertEq(OfferId.unwrap(l.offer), OfferId.unwrap(other));
        assertEq(free - escrow.free(buyerOrg), 6 * HOUR);
        (IAmendments.Reclaim memory r, ResourceId[] memory named) = amendments.reclaimOf(id);
        assertEq(LeaseId.unwrap(r.replacement), LeaseId.unwrap(instead));
        assertEq(ResourceId.unwrap(named[1]), ResourceId.unwrap(d));
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NoReplacement.selector, id));
        amendments.takeReplacement(id);
    }

    /// The price that returns is there for it: a buyer that has nothing else left can take it.
    function test_WhenTheBuyerHasNothingElse_ItStillCovers() external {
        LeaseId id = _reclaimable();
        OfferId other = _publish(_list(c, d), 0);
        uint256 left = escrow.free(buyerOrg);
        vm.prank(buyer);
        escrow.withdraw(left);
        vm.prank(north);
        amendments.reclaim(id, uint40(_hour(start + 4)), other, _list(c, d));
        vm.prank(buyer);
        amendments.takeReplacement(id);
        assertEq(escrow.free(buyerOrg), 6 * HOUR / 10);
    }

    function test_RevertWhen_TakenAfterTheEnd() external {
        LeaseId id = _reclaimable();
        OfferId other = _publish(_list(c, d), 0);
        vm.prank(north);
        amendments.reclaim(id, uint40(_hour(start + 4)), other, _list(c, d));
        vm.warp(_hour(start + 4));
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_NoReplacement.selector, id));
        amendments.takeReplacement(id);
    }

    function test_RevertWhen_SoldMeanwhile() external {
        LeaseId id = _reclaimable();
        OfferId other = _publish(_list(c, d), 0);
        vm.prank(north);
        amendments.reclaim(id, uint40(_hour(start + 4)), other, _list(c, d));
        vm.prank(rival);
        book.buyNow(HOME, other, _list(d), _window(8, 1));
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_Skipped.selector, Skip.NotFree));
        amendments.takeReplacement(id);
    }

    function test_RevertWhen_NoneIsOffered() external {
        LeaseId id = _reclaimable();
        bytes memory none = abi.encodeWithSelector(IAmendments.Amendments_NoReplacement.selector, id);
        vm.prank(buyer);
        vm.expectRevert(none);
        amendments.takeReplacement(id);
        _reclaim(id, uint40(_hour(start + 4)));
        vm.prank(buyer);
        vm.expectRevert(none);
        amendments.takeReplacement(id);
    }

    function test_RevertWhen_TheReplacementIsFewer() external {
        LeaseId id = _reclaimable();
        OfferId other = _publish(_list(c, d), 0);
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_OtherCount.selector, id, 1, 2));
        amendments.reclaim(id, uint40(_hour(start + 4)), other, _list(c));
    }

    function test_RevertWhen_TheReplacementIsLess() external {
        LeaseId id = _reclaimable();
        Spec memory spec = _spec();
        --spec.cores;
        vm.prank(north);
        ResourceId small =
            inventory.register(HOME, CLASS, SITE, spec, TURNAROUND, keccak256("document"), "small");
        OfferId other = _publish(_list(c, small), 0);
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.Amendments_Lesser.selector, small, b));
        amendments.reclaim(id, uint40(_hour(start + 4)), other, _list(c, small));
    }

    function test_RevertWhen_TheReplacementIsSomebodyElses() external {
        LeaseId id = _reclaimable();
        ResourceId[] memory theirs = _list(_register(south, 5), _register(south, 6));
        vm.startPrank(south);
        OfferId other = book.publish(HOME, IBook.OfferTerms(_window(0, 300), 1, 0, 1, NO_SLA, 0), theirs);
        vm.stopPrank();
        vm.prank(north);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwner.selector, northOrg));
        amendments.reclaim(id, uint40(_hour(start + 4)), other, theirs);
    }

    function test_RevertWhen_SomebodyElseTakesTheReplacement() external {
        LeaseId id = _reclaimable();
        OfferId other = _publish(_list(c, d), 0);
        vm.prank(north);
        amendments.reclaim(id, uint40(_hour(start + 4)), other, _list(c, d));
        vm.prank(rival);
        vm.expectRevert(_notOf(buyerOrg, rival));
        amendments.takeReplacement(id);
    }

    function _reclaim(LeaseId id, uint40 at) private {
        vm.prank(north);
        amendments.reclaim(id, at, NO_OFFER, _nothing);
    }
}
