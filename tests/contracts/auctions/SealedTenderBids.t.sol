// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./TenderBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IInventory} from "../../../contracts/interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {OfferId, OrgId, RequestId, ResourceId, Spec, Window} from "../../../contracts/interfaces/Types.sol";
import {PackedIds} from "../../../contracts/libraries/PackedIds.sol";

/// @notice A4
contract SealedTenderCommitTest is TenderBase {
    Seller private _a;
    RequestId private _id;

    function setUp() public override {
        super.setUp();
        _a = _seller(1);
        _id = _post(1);
    }

    function _commitRaw(address by, bytes32 commitment) private {
        vm.prank(by);
        tender.commit(HOME, _id, commitment);
    }

    function test_WhenInTime_LocksTheDeposit() external {
        vm.warp(tender.tender(_id).commitEnd - 1);
        uint256 before = _free(_a.org);
        vm.expectEmit(address(tender));
        emit ISealedTender.BidCommitted(_id, _a.org, "hidden", _a.admin);
        _commitRaw(_a.admin, "hidden");
        assertEq(_free(_a.org), before - DEPOSIT);
        assertEq(tender.tender(_id).commits, 1);
        ISealedTender.Bidder memory b = tender.bidder(_id, _a.org);
        assertEq(b.by, _a.admin);
        assertEq(b.commitment, "hidden");
        assertEq(b.committedAt, block.timestamp);
        _assertStatus(_id, _a.org, ISealedTender.BidStatus.Committed);
    }

    /// T2
    function test_RevertWhen_AtTheDeadline() external {
        uint256 deadline = tender.tender(_id).commitEnd;
        vm.warp(deadline);
        vm.expectRevert(_tooLate(_id, deadline));
        _commitRaw(_a.admin, "hidden");
    }

    function test_RevertWhen_Empty() external {
        vm.expectRevert(ISealedTender.SealedTender_EmptyCommitment.selector);
        _commitRaw(_a.admin, 0);
    }

    /// One per organisation, whichever member sends it.
    function test_RevertWhen_TheOrganisationCommitted() external {
        address clerk = makeAddr("clerk");
        vm.prank(_a.admin);
        members.setMember(clerk, MemberRights.OFFER, type(uint96).max);
        _commitRaw(_a.admin, "one");
        vm.expectRevert(
            abi.encodeWithSelector(ISealedTender.SealedTender_AlreadyCommitted.selector, _id, _a.org)
        );
        _commitRaw(clerk, "two");
    }

    /// One per affiliation group.
    function test_RevertWhen_TheGroupCommitted() external {
        Seller memory b = _seller(1, 7);
        Seller memory c = _seller(1, 7);
        _commitRaw(b.admin, "one");
        vm.expectRevert(
            abi.encodeWithSelector(ISealedTender.SealedTender_GroupCommitted.selector, _id, uint32(7))
        );
        _commitRaw(c.admin, "two");
        _commitRaw(_a.admin, "three"); // group 0 stands alone
    }

    /// A buyer cannot plant bids of its own, nor of its friends.
    function test_RevertWhen_AffiliatedWithTheBuyer() external {
        vm.startPrank(council);
        members.setRoles(buyerOrg, Roles.BUYER | Roles.SELLER);
        members.setGroup(buyerOrg, 9);
        members.setGroup(_a.org, 9);
        vm.stopPrank();
        vm.expectRevert(
            abi.encodeWithSelector(ISealedTender.SealedTender_SelfDealing.selector, buyerOrg, _a.org)
        );
        _commitRaw(_a.admin, "planted");
        vm.expectRevert(
            abi.encodeWithSelector(ISealedTender.SealedTender_SelfDealing.selector, buyerOrg, buyerOrg)
        );
        _commitRaw(buyer, "planted");
    }

    function test_RevertWhen_NotASeller() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, rivalOrg, Roles.SELLER));
        _commitRaw(rival, "hidden");
    }

    function test_RevertWhen_Suspended() external {
        vm.prank(council);
        members.setSuspended(_a.org, true);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, _a.org));
        _commitRaw(_a.admin, "hidden");
    }

    function test_RevertWhen_MemberMayNotOffer() external {
        address clerk = makeAddr("clerk");
        vm.prank(_a.admin);
        members.setMember(clerk, MemberRights.BUY, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER));
        _commitRaw(clerk, "hidden");
    }

    function test_RevertWhen_CannotCoverTheDeposit() external {
        uint256 free = _free(_a.org);
        vm.prank(_a.admin);
        escrow.withdraw(free - DEPOSIT + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, _a.org, DEPOSIT - 1, DEPOSIT)
        );
        _commitRaw(_a.admin, "hidden");
    }

    function test_RevertWhen_Cancelled() external {
        vm.prank(buyer);
        tender.cancel(_id);
        vm.expectRevert(_wrongStage(_id, ISealedTender.Stage.Cancelled));
        _commitRaw(_a.admin, "hidden");
    }

    function test_RevertWhen_Unknown() external {
        RequestId none = RequestId.wrap(9);
        vm.expectRevert(_wrongStage(none, ISealedTender.Stage.None));
        vm.prank(_a.admin);
        tender.commit(HOME, none, "hidden");
    }

    function test_WhenHashed_BindsChainContractTenderBidderBidAndSalt() external view {
        IBook.Bid memory bid = _seal(_a, RATE, 1).bid;
        assertEq(
            tender.commitmentOf(_id, _a.org, bid, "salt"),
            keccak256(abi.encode(block.chainid, address(tender), _id, _a.org, bid, bytes32("salt")))
        );
    }
}

/// @notice A4, A5
contract SealedTenderRevealTest is TenderBase {
    Seller private _a;
    RequestId private _id;
    Sealed private _sealed;

    function setUp() public override {
        super.setUp();
        _a = _seller(3);
        _id = _post(2);
        _sealed = _commit(_id, _a, RATE + 1, 2);
    }

    function test_WhenItMatches_KeepsTheBid() external {
        _toReveal(_id);
        vm.expectEmit(address(tender));
        emit ISealedTender.BidRevealed(
            _id, _a.org, _a.offer, RATE + 1, _sealed.bid.start, _sealed.bid.resources
        );
        vm.prank(makeAddr("anyone with the salt"));
        tender.reveal(_id, _a.org, _sealed.bid, _sealed.salt, new bytes32[][](0));
        assertEq(tender.tender(_id).reveals, 1);
        _assertStatus(_id, _a.org, ISealedTender.BidStatus.Revealed);
        (OrgId[] memory orgs, IBook.Bid[] memory bids) = tender.revealed(_id);
        assertEq(orgs.length, 1);
        assertTrue(orgs[0] == _a.org);
        assertEq(abi.encode(bids[0]), abi.encode(_sealed.bid));
    }

    function test_RevertWhen_CommitmentsStillCome() external {
        uint256 from = tender.tender(_id).commitEnd;
        vm.warp(from - 1);
        vm.expectRevert(_tooEarly(_id, from));
        _reveal(_id, _sealed);
    }

    /// T2: a late reveal at the exact second.
    function test_RevertWhen_AtTheDeadline() external {
        uint256 deadline = tender.tender(_id).revealEnd;
        vm.warp(deadline);
        vm.expectRevert(_tooLate(_id, deadline));
        _reveal(_id, _sealed);
        vm.warp(deadline - 1);
        _reveal(_id, _sealed);
    }

    function test_RevertWhen_TheSaltIsWrong() external {
        _toReveal(_id);
        vm.expectRevert(_mismatch(_id, _a.org));
        tender.reveal(_id, _a.org, _sealed.bid, "guess", new bytes32[][](0));
    }

    function test_RevertWhen_TheBidIsAnother() external {
        _toReveal(_id);
        Sealed memory other = _sealed;
        other.bid.rate -= 1;
        vm.expectRevert(_mismatch(_id, _a.org));
        _reveal(_id, other);
        other = _seal(_a, RATE + 1, 3);
        vm.expectRevert(_mismatch(_id, _a.org));
        _reveal(_id, other);
    }

    /// A copied commitment cannot be opened: the bidder is in the hash.
    function test_RevertWhen_TheCommitmentWasCopied() external {
        Seller memory thief = _seller(3);
        bytes32 copied = tender.bidder(_id, _a.org).commitment;
        vm.prank(thief.admin);
        tender.commit(HOME, _id, copied);
        _toReveal(_id);
        _reveal(_id, _sealed);
        vm.expectRevert(_mismatch(_id, thief.org));
        tender.reveal(_id, thief.org, _sealed.bid, _sealed.salt, new bytes32[][](0));
    }

    function test_RevertWhen_RevealedAlready() external {
        _toReveal(_id);
        _reveal(_id, _sealed);
        vm.expectRevert(_wrongStatus(_id, _a.org, ISealedTender.BidStatus.Revealed));
        _reveal(_id, _sealed);
    }

    function test_RevertWhen_NeverCommitted() external {
        _toReveal(_id);
        vm.expectRevert(_wrongStatus(_id, southOrg, ISealedTender.BidStatus.None));
        tender.reveal(_id, southOrg, _sealed.bid, _sealed.salt, new bytes32[][](0));
    }

    function test_RevertWhen_Unknown() external {
        RequestId none = RequestId.wrap(9);
        vm.expectRevert(_wrongStage(none, ISealedTender.Stage.None));
        tender.reveal(none, _a.org, _sealed.bid, _sealed.salt, new bytes32[][](0));
    }

    function test_RevertWhen_AboveTheCeiling() external {
        Seller memory b = _seller(1);
        Sealed memory s = _commit(_id, b, CEILING + 1, 1);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateAboveCeiling.selector, CEILING + 1, CEILING));
        _reveal(_id, s);
    }

    function test_RevertWhen_BelowTheFloor() external {
        Seller memory b = _seller(1);
        Sealed memory s = _commit(_id, b, RATE - 1, 1);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_RateBelowFloor.selector, RATE - 1, RATE));
        _reveal(_id, s);
    }

    /// A greedy provider bids with another's machines: through its own offer, or through the other's.
    function test_RevertWhen_TheResourcesAreAnothers() external {
        Seller memory b = _seller(1);
        Sealed memory s = _seal(b, RATE, 1);
        s.bid.resources[0] = _a.machines[2];
        _commitSealed(b, s);
        Seller memory c = _seller(1);
        Sealed memory t = _seal(c, RATE, 1);
        t.bid.resources[0] = _a.machines[2];
        t.bid.offer = _a.offer;
        _commitSealed(c, t);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotInOffer.selector, b.offer, _a.machines[2]));
        _reveal(_id, s);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotOwner.selector, c.org));
        _reveal(_id, t);
    }

    function test_RevertWhen_AResourceIsNamedTwice() external {
        Seller memory b = _seller(1);
        Sealed memory s = _seal(b, RATE, 1);
        s.bid.resources = _list(b.machines[0], b.machines[0]);
        _commitSealed(b, s);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 1));
        _reveal(_id, s);
    }

    function test_RevertWhen_NoResourceIsNamed() external {
        Seller memory b = _seller(1);
        Sealed memory s = _commit(_id, b, RATE, 0);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_Count.selector, 0, 64));
        _reveal(_id, s);
    }

    function test_RevertWhen_TheResourceDoesNotCover() external {
        vm.prank(_a.admin);
        inventory.remeasure(_a.machines[1], Spec(63, 1_048_576, 480, 0, 25_000), "smaller");
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_NotCovering.selector, _a.machines[1]));
        _reveal(_id, _sealed);
    }

    function test_RevertWhen_TheResourceIsSold() external {
        _sell(rival, _a, 1, 5, 2);
        Window memory w = Window(book.request(_id).start, book.request(_id).end);
        _toReveal(_id);
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_NotFree.selector, _a.machines[1], w.start, w.end)
        );
        _reveal(_id, _sealed);
    }

    function test_RevertWhen_TheOfferIsClosed() external {
        vm.prank(_a.admin);
        book.cancel(_a.offer);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OfferClosed.selector, _a.offer));
        _reveal(_id, _sealed);
    }

    function test_RevertWhen_TheOfferDoesNotSpanTheWindow() external {
        Seller memory b = _seller(1);
        b.offer = _offer(b.admin, b.machines, _window(5, 50), 0);
        Sealed memory s = _commit(_id, b, RATE, 1);
        _toReveal(_id);
        IBook.Request memory r = book.request(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_OutsideOffer.selector, b.offer, r.start, r.end));
        _reveal(_id, s);
    }

    function test_RevertWhen_TheOfferIsUnknown() external {
        Seller memory b = _seller(1);
        b.offer = OfferId.wrap(99);
        Sealed memory s = _commit(_id, b, RATE, 1);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownOffer.selector, b.offer));
        _reveal(_id, s);
    }

    function _commitSealed(Seller memory s, Sealed memory sealed_) private {
        bytes32 commitment = tender.commitmentOf(_id, s.org, sealed_.bid, sealed_.salt);
        vm.prank(s.admin);
        tender.commit(HOME, _id, commitment);
    }
}

/// @notice A7: nothing is evicted before reveal; reveal keeps the best 32.
contract SealedTenderEvictionTest is TenderBase {
    function test_When34Reveal_KeepsTheBest32() external {
        RequestId id = _post(1);
        Seller[] memory sellers = new Seller[](34);
        Sealed[] memory bids = new Sealed[](34);
        for (uint256 i; i < 34; ++i) {
            sellers[i] = _seller(1);
            // Each better than the one before, but the last, which is the worst of all.
            bids[i] = _commit(id, sellers[i], i == 33 ? CEILING : uint64(4_500_000 - i * 1000), 1);
        }
        assertEq(tender.tender(id).commits, 34);
        _toReveal(id);
        for (uint256 i; i < 32; ++i) {
            _reveal(id, bids[i]);
        }
        vm.expectEmit(address(tender));
        emit ISealedTender.BidEvicted(id, sellers[0].org);
        _reveal(id, bids[32]);
        vm.expectEmit(address(tender));
        emit ISealedTender.BidEvicted(id, sellers[33].org);
        _reveal(id, bids[33]);

        (OrgId[] memory orgs, IBook.Bid[] memory kept) = tender.revealed(id);
        assertEq(orgs.length, 32);
        for (uint256 i; i < 32; ++i) {
            assertTrue(orgs[i] == sellers[32 - i].org, "best first");
            assertEq(kept[i].rate, 4_500_000 - (32 - i) * 1000);
        }
        _toAward(id);
        tender.award(id);
        _assertStatus(id, sellers[32].org, ISealedTender.BidStatus.Awarded);
        // Who was put out keeps its claim on the deposit.
        uint256 before = _free(sellers[0].org);
        tender.claim(id, sellers[0].org);
        assertEq(_free(sellers[0].org), before + DEPOSIT);
        for (uint256 i = 1; i < 34; ++i) {
            tender.claim(id, sellers[i].org);
        }
        assertEq(_held(id), 0);
    }
}
