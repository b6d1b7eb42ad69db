// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    AwardId,
    LeaseId,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Spec,
    Window
} from "./Types.sol";

/// @notice Offers and requests at rest, and buy-now (rule A1).
///
/// Whether an offered part is still free is not stored: the calendar of `Inventory` knows, so that what remains of an
/// offer is for sale again as soon as a lease lets it go.
interface IBook {
    /// @param window The whole of what is for rent; rounded inward by the seller (T1).
    /// @param floorRate Microcredits per resource and hour; no bid on this offer may be lower.
    /// @param buyNowRate 0 means not for sale at once; else at least the floor.
    /// @param minSlots Shortest piece that buy-now sells.
    /// @param sla What leases bought at once promise; a tender's promise what its request asks for.
    /// @param traits What else is agreed with who buys at once: nothing, or `Traits.RECLAIMABLE`.
    struct OfferTerms {
        Window window;
        uint64 floorRate;
        uint64 buyNowRate;
        uint32 minSlots;
        SlaId sla;
        uint8 traits;
    }

    /// @param by The seller's member whose consent and limit carry the bonds of this offer's leases.
    /// @param deposit What the order holds while it rests (E6).
    /// @param frozenUntil Before that second it is neither sold nor changed, for an auction has it.
    struct Offer {
        OrgId org;
        uint32 start;
        uint32 end;
        uint32 minSlots;
        uint64 floorRate;
        uint64 buyNowRate;
        address by;
        bool closed;
        uint40 createdAt;
        SlaId sla;
        uint96 deposit;
        uint8 traits;
        uint40 frozenUntil;
    }

    /// @param slots How long each resource is needed: one piece, anywhere in the window. 0 means all of the window.
    /// @param traits What more is asked of the award, a set of `Traits`.
    /// @param ceilingRate Microcredits per resource and hour, the most the buyer pays.
    /// @param sla What the leases are to promise. Whoever bids agrees to it.
    /// @param spec What each resource must have at least.
    /// @param eligible Root over the resources that may be bid, each with its document (see `leafOf`); 0 means any.
    /// @param expression What the buyer asked of documents, in canonical form; the chain does not read it.
    /// @param listed Numbers of the resources under the root, increasing, 4 bytes each; the chain does not read them.
    struct RequestTerms {
        Window window;
        uint32 slots;
        uint16 count;
        Policy policy;
        uint8 traits;
        uint64 ceilingRate;
        SlaId sla;
        bytes32 class;
        Spec spec;
        bytes32 eligible;
        bytes expression;
        bytes listed;
    }

    /// @param slots Never 0.
    struct Request {
        OrgId org;
        uint32 start;
        uint32 end;
        uint16 count;
        Policy policy;
        uint8 traits;
        bool closed;
        uint64 ceilingRate;
        SlaId sla;
        address by;
        uint40 createdAt;
        uint32 slots;
        bytes32 class;
        Spec spec;
        bytes32 eligible;
    }

    /// @param offer The bidder's open offer that the resources are of.
    /// @param rate Microcredits per resource and hour, not above the ceiling.
    /// @param start Slot the lease is to begin in; it is as long as the request asks.
    struct Bid {
        OfferId offer;
        uint64 rate;
        uint32 start;
        ResourceId[] resources;
    }

    event OfferPublished(
        OfferId indexed offer,
        OrgId indexed org,
        bytes32 indexed class,
        uint32 start,
        uint32 end,
        uint64 floorRate,
        uint64 buyNowRate,
        uint32 minSlots,
        ResourceId[] resources,
        SlaId sla,
        uint8 traits
    );
    event OfferClosed(OfferId indexed offer, bool cancelled);
    event OfferRepriced(
        OfferId indexed offer, uint64 floorRate, uint64 buyNowRate, uint96 deposit, address by
    );
    event OfferFrozen(OfferId indexed offer, address indexed by, uint40 until);
    event OfferThawed(OfferId indexed offer);
    event BoughtNow(OfferId indexed offer, OrgId indexed buyer, AwardId indexed award, LeaseId lease);
    event Assigned(OrgId indexed owner, OrgId indexed to, AwardId indexed award, LeaseId lease);
    event RequestPosted(
        RequestId indexed request,
        OrgId indexed org,
        bytes32 indexed class,
        uint32 start,
        uint32 end,
        uint32 slots,
        uint16 count,
        uint64 ceilingRate,
        uint8 traits,
        Policy policy,
        Spec spec,
        SlaId sla
    );
    /// @dev With it and `Inventory` anybody can build the tree under the root, and the proofs.
    event RequestExpression(RequestId indexed request, bytes32 eligible, bytes expression, bytes listed);
    event RequestClosed(RequestId indexed request);

    /// @notice there is no such offer
    /// @dev See 'ocx offer list'.
    error Book_UnknownOffer(OfferId offer);
    /// @notice there is no such open request
    /// @dev See 'ocx request list'.
    error Book_UnknownRequest(RequestId request);
    /// @notice the order belongs to another organisation
    error Book_NotOwner(OrgId org);
    /// @notice the offer is closed
    /// @dev See 'ocx offer list' for open ones.
    error Book_OfferClosed(OfferId offer);
    /// @notice the offer's window is not over yet
    /// @dev Its seller can cancel it.
    error Book_OfferOpen(OfferId offer, uint256 until);
    /// @notice the offer is under auction: it is not sold otherwise, changed or cancelled for now (until, unix seconds)
    /// @dev Bid in the auction ('ocx auction list'), or wait for its end.
    error Book_Frozen(OfferId offer, uint256 until);
    /// @notice an offer cannot be frozen for so long (unix seconds)
    error Book_FrozenTooLong(uint256 until, uint256 max);
    /// @notice the buy-now rate of an offer that rests can only fall (microcredits an hour)
    /// @dev Cancel the offer and publish another, so that nobody who is just buying pays more than it saw.
    error Book_RateRises(uint64 rate, uint64 before);
    /// @notice an offer's resources must be of one class and one site
    /// @dev Publish one offer for each.
    error Book_MixedResources(ResourceId resource);
    /// @notice the resource is not yours to offer, or retired
    /// @dev See 'ocx node list --mine'.
    error Book_NotOwnResource(ResourceId resource, OrgId org);
    /// @notice the rate is below the floor (microcredits an hour)
    /// @dev Give a higher rate, or publish another offer with a lower floor.
    error Book_RateBelowFloor(uint64 rate, uint64 floorRate);
    /// @notice a rate must be above zero
    /// @dev Give the rate in credits an hour.
    error Book_ZeroRate();
    /// @notice a request needs a class and a count of at least one
    /// @dev Give --class and --count.
    error Book_ZeroCount();
    /// @notice each resource is needed for longer than the window (slots)
    /// @dev Give a longer window or a shorter duration.
    error Book_BadDuration(uint32 slots, uint32 window);
    /// @notice a request cannot ask for this (bits: 1 all or nothing, 2 composite, 4 reclaimable, 8 same site, 16 distinct, 32 same start)
    error Book_UnknownTraits(uint8 traits);
    /// @notice expression and list of eligible resources are too long or lack their root (bytes)
    /// @dev Give at most 4,096 bytes of each; list at most 1,024 resources.
    error Book_BadEligible(uint256 expression, uint256 listed);
    /// @notice the piece lies outside the request's window (slots)
    /// @dev Let it begin so that all of it lies within; see 'ocx request show'.
    error Book_OutsideRequest(RequestId request, uint32 start, uint32 slots);
    /// @notice the resource is not among those that the request takes, with the document it has now
    /// @dev See 'ocx request eligible'; a document that changed after the request was posted is another one.
    error Book_NotEligible(RequestId request, ResourceId resource);
    /// @notice the rate is above the ceiling (microcredits an hour)
    /// @dev The bid cannot win.
    error Book_RateAboveCeiling(uint64 rate, uint64 ceilingRate);
    /// @notice the offer has no buy-now rate
    /// @dev Put a request to tender instead ('ocx request post').
    error Book_NotForSaleNow(OfferId offer);
    /// @notice the piece is shorter than the offer's shortest (slots)
    /// @dev Take a longer window.
    error Book_TooShort(uint32 slots, uint32 minSlots);
    /// @notice the window lies outside the offer's (slots)
    /// @dev See 'ocx offer show'.
    error Book_OutsideOffer(OfferId offer, uint32 start, uint32 end);
    /// @notice the offer does not hold this resource
    /// @dev See 'ocx offer show'.
    error Book_NotInOffer(OfferId offer, ResourceId resource);
    /// @notice an offer cannot agree on that with who buys
    /// @dev Only that its leases may be taken back ('--reclaimable').
    error Book_BadTraits(uint8 traits);
    /// @notice buyer and provider are affiliated
    /// @dev Inside an organisation nodes are assigned, not rented.
    error Book_SelfDealing(OrgId buyer, OrgId provider);
    /// @notice the organisation has too many open orders
    /// @dev Cancel or expire some ('ocx offer list --mine').
    error Book_TooManyOrders(OrgId org, uint32 max);
    /// @notice nodes are assigned inside one party only: an organisation and its departments
    /// @dev Let it rent them, as anybody else ('ocx offer publish').
    error Book_OtherParty(OrgId owner, OrgId to);
    /// @notice the lease cannot be opened (1 not free, 2 the provider cannot cover its bond, 3 the buyer cannot cover the price)
    /// @dev See 'ocx offer show' and 'ocx credits balance'.
    error Book_Skipped(Skip reason);

    /// @notice Offers a seller's resources of one class and site. Consent to leases at these terms (C1).
    /// @param org The seller; 0 is the caller's own organisation, any other one must have granted it the right.
    function publish(OrgId org, OfferTerms calldata terms, ResourceId[] calldata resources)
        external
        returns (OfferId);

    /// @notice The seller closes its offer; leases it led to live on.
    function cancel(OfferId offer) external;

    /// @notice Anyone closes an offer whose window is over, which returns its deposit.
    function expire(OfferId offer) external;

    /// @notice The seller asks another floor, and sells at once for less or no longer (B13). The deposit follows the floor.
    /// Leases from now on are by the consent of who calls.
    ///
    /// The buy-now rate only falls: who is just buying, or extends a lease, never pays more than it saw.
    function reprice(OfferId offer, uint64 floorRate, uint64 buyNowRate) external;

    /// @notice An auction keeps an open offer from being sold, bid, changed or cancelled until a second, at most
    /// `MAX_FREEZE` ahead. It lapses by itself. The auction can only make it longer; another one waits until then.
    function freeze(OfferId offer, uint40 until) external;

    /// @notice The auction that froze an offer lets it go. Does nothing if it did not freeze it.
    function thaw(OfferId offer) external;

    /// @notice Leases free parts of an offer at its buy-now rate, in this one transaction.
    /// @param buyer 0 is the caller's own organisation, any other one must have granted it the right.
    /// @param resources Strictly increasing, all of the offer.
    function buyNow(OrgId buyer, OfferId offer, ResourceId[] calldata resources, Window calldata window)
        external
        returns (AwardId, LeaseId);

    /// @notice Hands free resources of an organisation to another one of its party, or to itself, for a time: a lease at
    /// rate 0, with nothing locked and nobody to judge it (L10).
    /// @param owner 0 is the caller's own organisation, any other one must have granted it the right to offer.
    /// @param resources Strictly increasing, of one class and site.
    function assign(OrgId owner, OrgId to, ResourceId[] calldata resources, Window calldata window)
        external
        returns (AwardId, LeaseId);

    /// @notice An auction numbers and keeps a request that somebody posts through it.
    /// @param org The buyer; 0 is the own organisation of whoever posts.
    function record(OrgId org, RequestTerms calldata terms, address by) external returns (RequestId);

    /// @notice The auction that recorded a request closes it.
    function closeRequest(RequestId request) external;

    /// @notice Reverts unless an organisation may bid this on a request now: a piece within its window at no more than
    /// its ceiling, of an own open offer, with free resources that are of its class and spec and eligible.
    /// @param proofs For each resource its proof under the request's root; none if it has no root.
    function requireBid(RequestId request, OrgId org, Bid calldata bid, bytes32[][] calldata proofs)
        external
        view;

    /// @notice The window of a piece of a request that begins in a slot; reverts if it is not within the request's.
    function pieceOf(RequestId request, uint32 start) external view returns (Window memory);

    /// @notice The leaf of a resource with a document: `keccak256(keccak256(abi.encode(resource, documentHash)))`. Trees
    /// hash pairs in order of size, an odd node rises as it is; leaves stand by resource number.
    function leafOf(ResourceId resource, bytes32 documentHash) external pure returns (bytes32);

    /// @notice Reverts unless a bid may name these resources of this offer at this rate for this window.
    function requireOffered(
        OfferId offer,
        OrgId org,
        ResourceId[] calldata resources,
        Window calldata window,
        uint64 rate
    ) external view;

    function offerCount() external view returns (uint32);

    function requestCount() external view returns (uint32);

    function offer(OfferId offer) external view returns (Offer memory);

    function resourcesOf(OfferId offer) external view returns (ResourceId[] memory);

    function request(RequestId request) external view returns (Request memory);

    /// @notice Open orders of an organisation, and how many it may have.
    function openOrders(OrgId org) external view returns (uint32);

    function maxOpenOrders() external view returns (uint32);

    /// @notice Share of an offer's amount that it holds while it rests, parts per million.
    function orderDepositPpm() external view returns (uint32);
}
