// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./TenderBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {
    LeaseId,
    OfferId,
    OrgId,
    RequestId,
    ResourceId,
    SlaId,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {Trees} from "../../../contracts/libraries/Trees.sol";

/// @notice What a request asks beside count and price. The window is as in `TenderBase`, 10 slots from the fourth on.
abstract contract ShapeBase is TenderBase {
    bytes32[][] internal noProofs;

    function _terms(uint16 count, uint32 slots, uint8 traits)
        internal
        view
        returns (IBook.RequestTerms memory r)
    {
        r = _requestTerms(count, false);
        (r.slots, r.traits) = (slots, traits);
    }

    function _postTerms(IBook.RequestTerms memory r) internal returns (RequestId) {
        vm.prank(buyer);
        return tender.post(HOME, r, _tenderTerms(false));
    }

    /// @dev As `_commit`, beginning so many slots into the window.
    function _commitAt(RequestId id, Seller memory s, uint64 rate, uint256 n, uint32 later)
        internal
        returns (Sealed memory sealed_)
    {
        sealed_ = _seal(s, rate, n);
        sealed_.bid.start = book.request(id).start + later;
        bytes32 commitment = tender.commitmentOf(id, s.org, sealed_.bid, sealed_.salt);
        vm.prank(s.admin);
        tender.commit(HOME, id, commitment);
    }

    /// @dev A seller whose machines stand at another site.
    function _sellerAt(bytes32 site, uint256 n) internal returns (Seller memory s) {
        s = _sellerWithoutOffer(0, 0);
        s.machines = new ResourceId[](n);
        for (uint256 i; i < n; ++i) {
            bytes32 key = keccak256(abi.encode(site, s.org, i));
            vm.prank(s.admin);
            s.machines[i] =
                inventory.register(HOME, CLASS, site, _spec(), TURNAROUND, keccak256("document"), key);
        }
        s.offer = _offer(s.admin, s.machines, _window(0, 100), 4_000_000);
    }
}

/// @notice T1, A5: a piece anywhere in the window.
contract SealedTenderPieceTest is ShapeBase {
    function test_WhenShorterThanTheWindow_LocksThePieceAlone() external {
        RequestId id = _postTerms(_terms(2, 3, 0));
        assertEq(book.request(id).slots, 3);
        assertEq(tender.tender(id).ceilingAmount, 2 * 3 * uint256(CEILING));
        assertEq(_free(buyerOrg), MONEY - 2 * 3 * uint256(CEILING));
    }

    function test_WhenNoLengthIsGiven_IsTheWhole() external {
        assertEq(book.request(_postTerms(_terms(1, 0, 0))).slots, 10);
        assertEq(book.request(_postTerms(_terms(1, 10, 0))).slots, 10);
    }

    function test_WhenStartsDiffer_EachLeaseHasItsOwn() external {
        RequestId id = _postTerms(_terms(2, 3, 0));
        Seller[2] memory s = [_seller(1), _seller(1)];
        Sealed[2] memory bids = [_commitAt(id, s[0], RATE, 1, 0), _commitAt(id, s[1], RATE, 1, 7)];
        _toReveal(id);
        _reveal(id, bids[0]);
        _reveal(id, bids[1]);
        assertEq(tender.bidder(id, s[1].org).start, book.request(id).start + 7);
        (, IBook.Bid[] memory kept) = tender.revealed(id);
        assertEq(kept[0].start + kept[1].start, 2 * book.request(id).start + 7);
        _toAward(id);
        tender.award(id);
        uint32[2] memory found = [leases.lease(LeaseId.wrap(1)).start, leases.lease(LeaseId.wrap(2)).start];
        assertEq(found[0] + found[1], 2 * book.request(id).start + 7);
        assertEq(leases.lease(LeaseId.wrap(1)).end, found[0] + 3);
        assertEq(_free(buyerOrg), MONEY - 2 * 3 * uint256(RATE), "the rest came back");
    }

    /// Booked before the window's other slots, free in its own: that is all a bid needs.
    function test_WhenTheRestOfTheWindowIsBooked_MayBidThePiece() external {
        RequestId id = _postTerms(_terms(1, 3, 0));
        Seller memory s = _seller(1);
        _sell(rival, s, 0, 4, 2);
        Sealed memory bid = _commitAt(id, s, RATE, 1, 4);
        _toReveal(id);
        _reveal(id, bid);
        _toAward(id);
        tender.award(id);
        _assertStatus(id, s.org, ISealedTender.BidStatus.Awarded);
    }

    function test_RevertWhen_ThePieceReachesOutOfTheWindow() external {
        RequestId id = _postTerms(_terms(1, 3, 0));
        Seller memory s = _seller(1);
        Sealed memory bid = _commitAt(id, s, RATE, 1, 8);
        _toReveal(id);
        vm.expectRevert(
            abi.encodeWithSelector(IBook.Book_OutsideRequest.selector, id, book.request(id).start + 8, 3)
        );
        _reveal(id, bid);
    }

    /// A5: nobody escapes by a bid outside the window and a sale there.
    function test_RevertWhen_AVoidBidLiesOutsideTheWindow() external {
        RequestId id = _postTerms(_terms(1, 3, 0));
        Seller memory s = _seller(1);
        Sealed memory bid = _commitAt(id, s, RATE, 1, 20);
        vm.warp(block.timestamp + 1);
        LeaseId lease = _sell(rival, s, 0, 24, 3);
        _toReveal(id);
        vm.expectRevert(
            abi.encodeWithSelector(IBook.Book_OutsideRequest.selector, id, book.request(id).start + 20, 3)
        );
        tender.revealVoid(id, s.org, bid.bid, bid.salt, s.machines[0], lease);
    }

    function test_WhenThePieceWasSold_IsVoid() external {
        RequestId id = _postTerms(_terms(1, 3, 0));
        Seller memory s = _seller(1);
        Sealed memory bid = _commitAt(id, s, RATE, 1, 5);
        LeaseId lease = _sell(rival, s, 0, 9, 1);
        _toReveal(id);
        tender.revealVoid(id, s.org, bid.bid, bid.salt, s.machines[0], lease);
        _assertStatus(id, s.org, ISealedTender.BidStatus.Excused);
    }

    /// Within the window, but not within the piece: no excuse.
    function test_RevertWhen_AnotherPieceWasSold() external {
        RequestId id = _postTerms(_terms(1, 3, 0));
        Seller memory s = _seller(1);
        Sealed memory bid = _commitAt(id, s, RATE, 1, 5);
        LeaseId lease = _sell(rival, s, 0, 4, 2);
        _toReveal(id);
        vm.expectRevert(_noExcuse(s.machines[0], lease));
        tender.revealVoid(id, s.org, bid.bid, bid.salt, s.machines[0], lease);
    }

    function test_RevertWhen_LongerThanTheWindow() external {
        IBook.RequestTerms memory r = _terms(1, 11, 0);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_BadDuration.selector, 11, 10));
        _postTerms(r);
    }

    /// Else the first piece could be over before there is an award.
    function test_RevertWhen_RevealsOutlastTheFirstPiece() external {
        uint40 end = uint40((_now() + 4 + 3) * SLOT);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(ISealedTender.SealedTender_BadTimes.selector, end - 9, end));
        tender.post(HOME, _terms(1, 3, 0), ISealedTender.TenderTerms(end - 9, end, false));
        tender.post(HOME, _terms(1, 3, 0), ISealedTender.TenderTerms(end - 9, end - 1, false));
        vm.stopPrank();
    }

    /// Nobody is blamed for an award that came when the first piece was over.
    function test_WhenAwardedAfterTheFirstPiece_BlamesNobody() external {
        RequestId id = _postTerms(_terms(1, 3, 0));
        Seller memory s = _seller(1);
        Sealed memory bid = _commitAt(id, s, RATE, 1, 0);
        _toReveal(id);
        _reveal(id, bid);
        vm.warp(uint256(book.request(id).start + 3) * SLOT);
        tender.award(id);
        _assertStage(id, ISealedTender.Stage.Unfilled);
        tender.claim(id, s.org);
        assertEq(_held(id), 0);
    }

    /// C2: the buyer's half of the fees is there wherever a piece lies.
    function testFuzz_WhenAnSlaIsAsked_FeesAreCovered(uint32 later, uint32 slots) external {
        promised = SlaId.wrap(3);
        slots = uint32(bound(slots, 1, 10));
        later = uint32(bound(later, 0, 10 - slots));
        IBook.RequestTerms memory r = _terms(1, slots, 0);
        RequestId id = _postTerms(r);
        Seller memory s = _seller(1);
        Sealed memory bid = _commitAt(id, s, CEILING, 1, later);
        _toReveal(id);
        _reveal(id, bid);
        _toAward(id);
        tender.award(id);
        _assertStage(id, ISealedTender.Stage.Awarded);
        assertEq(leases.lease(LeaseId.wrap(1)).end, book.request(id).start + later + slots);
        assertEq(_held(id), tender.tender(id).deposit);
    }
}

/// @notice One site, one start, one resource of each.
contract SealedTenderTogetherTest is ShapeBase {
    function test_WhenOneSiteIsAsked_AwardsOneSite() external {
        RequestId id = _postTerms(_terms(2, 0, Traits.SAME_SITE));
        Seller[3] memory s = [_seller(1), _sellerAt("hall-2", 1), _sellerAt("hall-2", 1)];
        Sealed[3] memory bids =
            [_commit(id, s[0], RATE, 1), _commit(id, s[1], RATE + 1, 1), _commit(id, s[2], RATE + 2, 1)];
        _toReveal(id);
        for (uint256 i; i < 3; ++i) {
            _reveal(id, bids[i]);
        }
        _toAward(id);
        tender.award(id);
        _assertStatus(id, s[0].org, ISealedTender.BidStatus.Revealed);
        _assertStatus(id, s[1].org, ISealedTender.BidStatus.Awarded);
        _assertStatus(id, s[2].org, ISealedTender.BidStatus.Awarded);
        assertEq(leases.lease(LeaseId.wrap(1)).traits, Traits.SAME_SITE);
    }

    function test_WhenOneStartIsAsked_AwardsOneStart() external {
        RequestId id = _postTerms(_terms(2, 3, Traits.SAME_START));
        Seller[3] memory s = [_seller(1), _seller(1), _seller(1)];
        Sealed[3] memory bids = [
            _commitAt(id, s[0], RATE, 1, 0),
            _commitAt(id, s[1], RATE + 1, 1, 2),
            _commitAt(id, s[2], RATE + 2, 1, 2)
        ];
        _toReveal(id);
        for (uint256 i; i < 3; ++i) {
            _reveal(id, bids[i]);
        }
        _toAward(id);
        tender.award(id);
        _assertStatus(id, s[0].org, ISealedTender.BidStatus.Revealed);
        assertEq(leases.lease(LeaseId.wrap(1)).start, book.request(id).start + 2);
        assertEq(leases.lease(LeaseId.wrap(2)).start, book.request(id).start + 2);
    }

    function test_WhenDistinct_TakesOneOfEach() external {
        RequestId id = _postTerms(_terms(2, 0, Traits.DISTINCT));
        Seller[2] memory s = [_seller(2), _seller(2)];
        Sealed[2] memory bids = [_commit(id, s[0], RATE, 2), _commit(id, s[1], RATE + 1, 2)];
        _toReveal(id);
        _reveal(id, bids[0]);
        _reveal(id, bids[1]);
        _toAward(id);
        tender.award(id);
        assertEq(leases.count(), 2);
        assertEq(leases.lease(LeaseId.wrap(1)).count, 1);
        assertEq(leases.lease(LeaseId.wrap(2)).count, 1);
        assertEq(_free(buyerOrg), MONEY - 10 * uint256(RATE) - 10 * uint256(RATE + 1));
    }

    function test_RevertWhen_MoreDistinctThanBidsAreKept() external {
        IBook.RequestTerms memory r = _terms(33, 1, Traits.DISTINCT);
        r.ceilingRate = 1;
        vm.expectRevert(abi.encodeWithSelector(ISealedTender.SealedTender_TooLarge.selector, 33, 33, 16_384));
        _postTerms(r);
    }

    function test_RevertWhen_ATraitIsNoneOfARequest() external {
        IBook.RequestTerms memory r = _terms(1, 0, 64);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_UnknownTraits.selector, 64));
        _postTerms(r);
    }
}

/// @notice D6: only resources under the request's root may be bid.
contract SealedTenderEligibleTest is ShapeBase {
    Seller private _s;
    RequestId private _id;
    bytes32[] private _leaves;

    function setUp() public override {
        super.setUp();
        _s = _seller(3);
        for (uint256 i; i < 3; ++i) {
            _leaves.push(_leafOf(_s.machines[i], keccak256("document")));
        }
        IBook.RequestTerms memory r = _terms(3, 0, 0);
        r.eligible = Trees.root(_leaves);
        r.expression = "[[\"cpu\",\">=\",1]]";
        r.listed = abi.encodePacked(_s.machines[0], _s.machines[1], _s.machines[2]);
        vm.expectEmit(address(book));
        emit IBook.RequestExpression(RequestId.wrap(1), r.eligible, r.expression, r.listed);
        _id = _postTerms(r);
    }

    function _leafOf(ResourceId resource, bytes32 document) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(resource, document))));
    }

    function _proofs(uint256 n) private view returns (bytes32[][] memory proofs) {
        bytes32 left = _leaves[0] < _leaves[1]
            ? keccak256(bytes.concat(_leaves[0], _leaves[1]))
            : keccak256(bytes.concat(_leaves[1], _leaves[0]));
        proofs = new bytes32[][](n);
        for (uint256 i; i < n; ++i) {
            proofs[i] = new bytes32[](i == 2 ? 1 : 2);
            if (i == 2) (proofs[i][0]) = (left);
            else (proofs[i][0], proofs[i][1]) = (_leaves[1 - i], _leaves[2]);
        }
    }

    function _revealWith(Sealed memory s, bytes32[][] memory proofs) private {
        tender.reveal(_id, s.org, s.bid, s.salt, proofs);
    }

    function test_WhenProven_IsTaken() external {
        assertEq(book.leafOf(_s.machines[0], keccak256("document")), _leaves[0]);
        Sealed memory bid = _commit(_id, _s, RATE, 3);
        _toReveal(_id);
        _revealWith(bid, _proofs(3));
        _toAward(_id);
        tender.award(_id);
        _assertStatus(_id, _s.org, ISealedTender.BidStatus.Awarded);
    }

    function test_RevertWhen_ProofsAreMissing() external {
        Sealed memory bid = _commit(_id, _s, RATE, 3);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotEligible.selector, _id, _s.machines[0]));
        _revealWith(bid, noProofs);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotEligible.selector, _id, _s.machines[2]));
        _revealWith(bid, _proofs(2));
    }

    function test_RevertWhen_TheProofIsAnothers() external {
        Sealed memory bid = _commit(_id, _s, RATE, 1);
        _toReveal(_id);
        bytes32[][] memory proofs = _proofs(3);
        (proofs[0], proofs[1]) = (proofs[1], proofs[0]);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotEligible.selector, _id, _s.machines[0]));
        _revealWith(bid, proofs);
    }

    /// What the buyer judged is not there any more.
    function test_RevertWhen_MeasuredAnew() external {
        Sealed memory bid = _commit(_id, _s, RATE, 1);
        vm.prank(_s.admin);
        inventory.remeasure(_s.machines[0], _spec(), keccak256("another document"));
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotEligible.selector, _id, _s.machines[0]));
        _revealWith(bid, _proofs(3));
    }

    function test_RevertWhen_TheResourceIsNotListed() external {
        Seller memory other = _seller(1);
        Sealed memory bid = _commit(_id, other, RATE, 1);
        _toReveal(_id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_NotEligible.selector, _id, other.machines[0]));
        _revealWith(bid, _proofs(3));
    }

    function test_RevertWhen_MoreIsToldThanAnybodyReads() external {
        IBook.RequestTerms memory r = _terms(1, 0, 0);
        r.expression = "x";
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_BadEligible.selector, 1, 0));
        _postTerms(r);
        (r.eligible, r.expression) = ("root", new bytes(4097));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_BadEligible.selector, 4097, 0));
        _postTerms(r);
        (r.expression, r.listed) = (new bytes(4096), new bytes(4100));
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_BadEligible.selector, 4096, 4100));
        _postTerms(r);
    }

    /// The chain's tree, pairs by size and an odd node rising, is the one that proofs are checked against.
    function testFuzz_WhenTheTreeIsLarge_EveryLeafIsProven(uint8 size, uint8 which) external {
        size = uint8(bound(size, 1, 8));
        which = uint8(bound(which, 0, size - 1));
        Seller memory s = _seller(size);
        bytes32[] memory nodes = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            nodes[i] = _leafOf(s.machines[i], keccak256("document"));
        }
        bytes32[][] memory proofs = new bytes32[][](1);
        proofs[0] = _proofOf(nodes, which);
        IBook.RequestTerms memory r = _terms(1, 0, 0);
        r.eligible = Trees.root(nodes);
        RequestId id = _postTerms(r);
        ResourceId[] memory named = _list(s.machines[which]);
        book.requireBid(id, s.org, IBook.Bid(s.offer, RATE, _now() + 4, named), proofs);
    }

    function _proofOf(bytes32[] memory leaves_, uint256 at) private pure returns (bytes32[] memory proof) {
        bytes32[] memory level = new bytes32[](leaves_.length);
        for (uint256 i; i < level.length; ++i) {
            level[i] = leaves_[i];
        }
        proof = new bytes32[](8);
        uint256 n;
        for (uint256 count = level.length; count > 1; count = (count + 1) / 2) {
            if (at ^ 1 < count) proof[n++] = level[at ^ 1];
            for (uint256 i; i < count; i += 2) {
                level[i / 2] = i + 1 == count ? level[i] : _join(level[i], level[i + 1]);
            }
            at /= 2;
        }
        assembly ("memory-safe") {
            mstore(proof, n)
        }
    }

    function _join(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }
}
