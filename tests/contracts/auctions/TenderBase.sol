// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {
    AwardId,
    LeaseId,
    LeaseState,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    SlaId
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";

/// @notice What tests of the tender share: sellers with machines on offer, and sealed bids.
///
/// A tender is for the 10 slots from the fourth on, at 5 credits an hour at most: the buyer locks 50 credits for each
/// machine, a bidder half a credit for each. Offers have a floor of 3 credits and a buy-now rate of 4.
abstract contract TenderBase is Exchange {
    uint64 internal constant CEILING = 5_000_000;
    uint256 internal constant CEILING_AMOUNT = 50_000_000; // of one machine
    uint256 internal constant DEPOSIT = 500_000; // of a tender for one machine
    uint256 internal constant MONEY = 1_000_000_000; // of the buyer
    uint256 internal constant PURSE = 500_000_000; // of a seller
    OrgId internal constant FUND = OrgId.wrap(0);

    struct Seller {
        address admin;
        OrgId org;
        OfferId offer;
        ResourceId[] machines;
    }

    struct Sealed {
        OrgId org;
        IBook.Bid bid;
        bytes32 salt;
    }

    /// @dev The SLA that requests ask for from here on.
    SlaId internal promised;

    uint256 private _sellers;

    function _seller(uint256 n) internal returns (Seller memory s) {
        return _seller(n, 0);
    }

    function _seller(uint256 n, uint32 group) internal returns (Seller memory s) {
        s = _sellerWithoutOffer(n, group);
        s.offer = _offer(s.admin, s.machines, _window(0, 100), 4_000_000);
    }

    function _sellerWithoutOffer(uint256 n, uint32 group) internal returns (Seller memory s) {
        bytes32 name = keccak256(abi.encode("seller", ++_sellers));
        s.admin = address(uint160(uint256(name)));
        s.org = _admit(name, s.admin, Roles.SELLER, group);
        _fund(s.org, s.admin, PURSE);
        s.machines = new ResourceId[](n);
        for (uint256 i; i < n; ++i) {
            s.machines[i] = _register(s.admin, uint256(keccak256(abi.encode(name, i))));
        }
    }

    function _requestTerms(uint16 count, bool allOrNothing)
        internal
        view
        returns (IBook.RequestTerms memory)
    {
        return IBook.RequestTerms(
            _window(4, 10),
            0,
            count,
            Policy.Provider,
            allOrNothing ? Traits.ALL_OR_NOTHING : 0,
            CEILING,
            promised,
            CLASS,
            _spec(),
            0,
            "",
            ""
        );
    }

    function _tenderTerms(bool vickrey) internal view returns (ISealedTender.TenderTerms memory) {
        return
            ISealedTender.TenderTerms(uint40(block.timestamp + 3600), uint40(block.timestamp + 7200), vickrey);
    }

    function _post(uint16 count) internal returns (RequestId) {
        return _post(count, false, false);
    }

    function _post(uint16 count, bool vickrey, bool allOrNothing) internal returns (RequestId) {
        vm.prank(buyer);
        return tender.post(HOME, _requestTerms(count, allOrNothing), _tenderTerms(vickrey));
    }

    /// @dev Seals a bid with the seller's first `n` machines and commits to it.
    function _commit(RequestId id, Seller memory s, uint64 rate, uint256 n)
        internal
        returns (Sealed memory sealed_)
    {
        sealed_ = _seal(s, rate, n);
        sealed_.bid.start = book.request(id).start;
        bytes32 commitment = tender.commitmentOf(id, s.org, sealed_.bid, sealed_.salt);
        vm.prank(s.admin);
        tender.commit(HOME, id, commitment);
    }

    function _seal(Seller memory s, uint64 rate, uint256 n) internal view returns (Sealed memory) {
        ResourceId[] memory named = new ResourceId[](n);
        for (uint256 i; i < n; ++i) {
            named[i] = s.machines[i];
        }
        return
            Sealed(s.org, IBook.Bid(s.offer, rate, _now() + 4, named), keccak256(abi.encode("salt", s.org)));
    }

    function _reveal(RequestId id, Sealed memory s) internal {
        tender.reveal(id, s.org, s.bid, s.salt, new bytes32[][](0));
    }

    function _toReveal(RequestId id) internal {
        vm.warp(tender.tender(id).commitEnd);
    }

    function _toAward(RequestId id) internal {
        vm.warp(tender.tender(id).revealEnd);
    }

    /// @dev Another buyer takes a seller's machine at once, over the tender's window.
    function _sell(address to, Seller memory s, uint256 place, uint32 from, uint32 slots)
        internal
        returns (LeaseId lease)
    {
        vm.prank(to);
        (, lease) = book.buyNow(HOME, s.offer, _list(s.machines[place]), _window(from, slots));
    }

    function _assertStage(RequestId id, ISealedTender.Stage stage) internal view {
        assertEq(uint8(tender.tender(id).stage), uint8(stage), "stage");
    }

    function _assertStatus(RequestId id, OrgId org, ISealedTender.BidStatus status) internal view {
        assertEq(uint8(tender.bidder(id, org).status), uint8(status), "status");
    }

    function _wrongStage(RequestId id, ISealedTender.Stage stage) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISealedTender.SealedTender_WrongStage.selector, id, stage);
    }

    function _wrongStatus(RequestId id, OrgId org, ISealedTender.BidStatus status)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(ISealedTender.SealedTender_WrongStatus.selector, id, org, status);
    }

    function _tooLate(RequestId id, uint256 deadline) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISealedTender.SealedTender_TooLate.selector, id, deadline);
    }

    function _tooEarly(RequestId id, uint256 from) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISealedTender.SealedTender_TooEarly.selector, id, from);
    }

    function _mismatch(RequestId id, OrgId org) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISealedTender.SealedTender_CommitmentMismatch.selector, id, org);
    }

    function _noExcuse(ResourceId resource, LeaseId lease) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISealedTender.SealedTender_NoExcuse.selector, resource, lease);
    }

    /// @dev What the tender still holds, deposits and ceiling together.
    function _held(RequestId id) internal view returns (uint256) {
        return escrow.balance(address(tender), keccak256(abi.encode("ceiling", id)))
            + escrow.balance(address(tender), keccak256(abi.encode("deposits", id)));
    }

    function _free(OrgId org) internal view returns (uint256) {
        return escrow.free(org);
    }
}
