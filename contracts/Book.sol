// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IAwards} from "./interfaces/IAwards.sol";
import {IBook} from "./interfaces/IBook.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {
    Award,
    AwardId,
    LeaseId,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Window
} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {PackedIds} from "./libraries/PackedIds.sol";
import {Rights} from "./libraries/Rights.sol";
import {Traits} from "./libraries/Traits.sol";

/// @notice See {IBook}.
contract Book is IBook, Governed {
    using SafeCast for uint256;
    using PackedIds for mapping(uint256 => uint256);
    using PackedIds for ResourceId[];

    /// @notice Longest freeze, seconds.
    uint256 public constant MAX_FREEZE = 31 days;
    /// @dev Longest expression and longest list of eligible resources, bytes.
    uint256 private constant MAX_TOLD = 4096;
    uint256 private constant MAX_PROOF = 32;

    IMembers public immutable members;
    IInventory public immutable inventory;
    IEscrow public immutable escrow;
    IAwards public immutable awards;
    /// @inheritdoc IBook
    uint32 public immutable maxOpenOrders;
    /// @inheritdoc IBook
    uint32 public immutable orderDepositPpm;
    uint32 private immutable _slot;

    /// @inheritdoc IBook
    uint32 public offerCount;
    /// @inheritdoc IBook
    uint32 public requestCount;
    /// @inheritdoc IBook
    mapping(OrgId => uint32) public openOrders;

    mapping(OfferId => Offer) private _offers;
    mapping(OfferId => mapping(uint256 word => uint256)) private _resources;
    mapping(RequestId => Request) private _requests;
    mapping(RequestId => address) private _auctions;
    mapping(OfferId => address) private _freezers;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IInventory inventory_,
        IEscrow escrow_,
        IAwards awards_,
        uint32 maxOpenOrders_,
        uint32 orderDepositPpm_
    ) Governed(directory_) {
        members = members_;
        inventory = inventory_;
        escrow = escrow_;
        awards = awards_;
        offerCount = awards_.leases().base();
        requestCount = offerCount;
        maxOpenOrders = maxOpenOrders_;
        orderDepositPpm = orderDepositPpm_;
        _slot = inventory_.slot();
    }

    // ---- offers ------------------------------------------------------------------------------------------------

    /// @inheritdoc IBook
    function publish(OrgId org, OfferTerms calldata t, ResourceId[] calldata resources)
        external
        returns (OfferId id)
    {
        org = members.actingFor(org, msg.sender, MemberRights.OFFER);
        members.requireActive(org, Roles.SELLER);
        inventory.requireWindow(t.window);
        resources.check(PackedIds.MAX);
        if (t.traits & ~Traits.RECLAIMABLE != 0) revert Book_BadTraits(t.traits);
        _requireRates(t.floorRate, t.buyNowRate);
        bytes32 class = _requireAlike(org, resources);

        _open(org);
        id = OfferId.wrap(++offerCount);
        uint96 deposit = _depositOf(t.window, t.floorRate, resources.length);
        _offers[id] = Offer(
            org,
            t.window.start,
            t.window.end,
            t.minSlots,
            t.floorRate,
            t.buyNowRate,
            msg.sender,
            false,
            uint40(block.timestamp),
            t.sla,
            deposit,
            t.traits,
            0
        );
        _resources[id].store(resources);
        _emitPublished(id, org, class, t, resources);
        if (deposit != 0) escrow.lock(_key(id), org, msg.sender, deposit);
    }

    /// @inheritdoc IBook
    function cancel(OfferId id) external {
        Offer storage o = _thawedOffer(id);
        members.requireRightFor(o.org, msg.sender, MemberRights.OFFER);
        _close(id, o, true);
    }

    /// @inheritdoc IBook
    function expire(OfferId id) external {
        Offer storage o = _openOffer(id);
        uint256 end = uint256(o.end) * _slot;
        if (block.timestamp < end) revert Book_OfferOpen(id, end);
        _close(id, o, false);
    }

    /// @inheritdoc IBook
    function reprice(OfferId id, uint64 floorRate, uint64 buyNowRate) external {
        Offer storage o = _thawedOffer(id);
        OrgId org = o.org;
        members.requireRightFor(org, msg.sender, MemberRights.OFFER);
        members.requireActive(org, Roles.SELLER);
        _requireRates(floorRate, buyNowRate);
        if (buyNowRate > o.buyNowRate) revert Book_RateRises(buyNowRate, o.buyNowRate);

        (address by, uint256 before) = (o.by, o.deposit);
        uint96 deposit = _depositOf(Window(o.start, o.end), floorRate, resourcesOf(id).length);
        (o.floorRate, o.buyNowRate, o.by, o.deposit) = (floorRate, buyNowRate, msg.sender, deposit);
        emit OfferRepriced(id, floorRate, buyNowRate, deposit, msg.sender);

        if (before != 0) escrow.unlock(_key(id), org, by, before);
        if (deposit != 0) escrow.lock(_key(id), org, msg.sender, deposit);
    }

    /// @inheritdoc IBook
    function freeze(OfferId id, uint40 until) external onlyHolder(Rights.BOOK_FREEZE) {
        Offer storage o = _freezers[id] == msg.sender ? _openOffer(id) : _thawedOffer(id);
        if (until > block.timestamp + MAX_FREEZE) {
            revert Book_FrozenTooLong(until, block.timestamp + MAX_FREEZE);
        }
        _freezers[id] = msg.sender;
        if (until <= o.frozenUntil) return;
        o.frozenUntil = until;
        emit OfferFrozen(id, msg.sender, until);
    }

    /// @inheritdoc IBook
    function thaw(OfferId id) external {
        if (_freezers[id] != msg.sender) return;
        _offers[id].frozenUntil = 0;
        delete _freezers[id];
        emit OfferThawed(id);
    }

    /// @inheritdoc IBook
    function buyNow(OrgId buyer, OfferId id, ResourceId[] calldata resources, Window calldata window)
        external
        returns (AwardId awardId, LeaseId lease)
    {
        buyer = members.actingFor(buyer, msg.sender, MemberRights.BUY);
        members.requireActive(buyer, Roles.BUYER);
        inventory.requireWindow(window);
        Offer storage o = _openOffer(id);
        members.requireActive(o.org, Roles.SELLER);
        if (o.buyNowRate == 0) revert Book_NotForSaleNow(id);
        if (members.affiliated(buyer, o.org)) revert Book_SelfDealing(buyer, o.org);
        uint32 slots = window.end - window.start;
        if (slots < o.minSlots) revert Book_TooShort(slots, o.minSlots);
        _requireOffered(id, o.org, resources, window, o.buyNowRate);

        Leg memory leg = Leg(o.org, o.by, id, o.buyNowRate, window, resources);
        Award memory award = Award(buyer, msg.sender, RequestId.wrap(0), Policy.Provider, o.traits, 0, o.sla);
        (awardId, lease) = _openOne(award, leg);
        emit BoughtNow(id, buyer, awardId, lease);
    }

    /// @inheritdoc IBook
    function assign(OrgId owner, OrgId to, ResourceId[] calldata resources, Window calldata window)
        external
        returns (AwardId awardId, LeaseId lease)
    {
        owner = members.actingFor(owner, msg.sender, MemberRights.OFFER);
        members.requireActive(owner, Roles.SELLER);
        if (members.partyOf(to) != members.partyOf(owner)) revert Book_OtherParty(owner, to);
        inventory.requireWindow(window);
        resources.check(PackedIds.MAX);
        _requireAlike(owner, resources);

        Leg memory leg = Leg(owner, msg.sender, OfferId.wrap(0), 0, window, resources);
        Award memory award =
            Award(to, msg.sender, RequestId.wrap(0), Policy.Provider, Traits.ASSIGNED, 0, SlaId.wrap(0));
        (awardId, lease) = _openOne(award, leg);
        emit Assigned(owner, to, awardId, lease);
    }

    // ---- requests ----------------------------------------------------------------------------------------------

    /// @inheritdoc IBook
    function record(OrgId org, RequestTerms calldata t, address by)
        external
        onlyHolder(Rights.BOOK_RECORD)
        returns (RequestId id)
    {
        org = members.actingFor(org, by, MemberRights.BUY);
        members.requireActive(org, Roles.BUYER);
        inventory.requireWindow(t.window);
        if (t.ceilingRate == 0) revert Book_ZeroRate();
        if (t.count == 0 || t.class == 0) revert Book_ZeroCount();
        if (t.traits & ~Traits.OF_A_REQUEST != 0) revert Book_UnknownTraits(t.traits);
        uint32 slots = t.window.end - t.window.start;
        if (t.slots > slots) revert Book_BadDuration(t.slots, slots);
        if (t.slots != 0) slots = t.slots;

        _open(org);
        id = RequestId.wrap(++requestCount);
        _auctions[id] = msg.sender;
        _requests[id] = Request(
            org,
            t.window.start,
            t.window.end,
            t.count,
            t.policy,
            t.traits,
            false,
            t.ceilingRate,
            t.sla,
            by,
            uint40(block.timestamp),
            slots,
            t.class,
            t.spec,
            t.eligible
        );
        _emitPosted(id, org, slots, t);
    }

    /// @inheritdoc IBook
    function closeRequest(RequestId id) external {
        Request storage r = _requests[id];
        if (_auctions[id] != msg.sender || r.closed) revert Book_UnknownRequest(id);
        r.closed = true;
        --openOrders[r.org];
        emit RequestClosed(id);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IBook
    function requireBid(RequestId id, OrgId org, Bid calldata bid, bytes32[][] calldata proofs)
        external
        view
    {
        Request storage r = _requests[id];
        Window memory window = pieceOf(id, bid.start);
        if (bid.rate > r.ceilingRate) revert Book_RateAboveCeiling(bid.rate, r.ceilingRate);
        _requireOffered(bid.offer, org, bid.resources, window, bid.rate);
        inventory.requireFits(bid.resources, r.class, r.spec, window);
        if (r.eligible != 0) _requireEligible(id, r.eligible, bid.resources, proofs);
    }

    /// @inheritdoc IBook
    function pieceOf(RequestId id, uint32 start) public view returns (Window memory) {
        Request storage r = _requests[id];
        (uint32 from, uint32 end, uint32 slots) = (r.start, r.end, r.slots);
        if (slots == 0) revert Book_UnknownRequest(id);
        if (start < from || start > end - slots) revert Book_OutsideRequest(id, start, slots);
        return Window(start, start + slots);
    }

    /// @inheritdoc IBook
    function leafOf(ResourceId resource, bytes32 documentHash) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(resource, documentHash))));
    }

    /// @inheritdoc IBook
    function requireOffered(
        OfferId id,
        OrgId org,
        ResourceId[] calldata resources,
        Window calldata window,
        uint64 rate
    ) external view {
        _requireOffered(id, org, resources, window, rate);
    }

    /// @inheritdoc IBook
    function offer(OfferId id) external view returns (Offer memory) {
        if (OrgId.unwrap(_offers[id].org) == 0) revert Book_UnknownOffer(id);
        return _offers[id];
    }

    /// @inheritdoc IBook
    function resourcesOf(OfferId id) public view returns (ResourceId[] memory) {
        return _resources[id].load(PackedIds.MAX);
    }

    /// @inheritdoc IBook
    function request(RequestId id) external view returns (Request memory) {
        if (OrgId.unwrap(_requests[id].org) == 0) revert Book_UnknownRequest(id);
        return _requests[id];
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    function _requireOffered(
        OfferId id,
        OrgId org,
        ResourceId[] calldata resources,
        Window memory window,
        uint64 rate
    ) private view {
        Offer storage o = _thawedOffer(id);
        if (o.org != org) revert Book_NotOwner(org);
        if (window.start < o.start || window.end > o.end) {
            revert Book_OutsideOffer(id, window.start, window.end);
        }
        if (rate < o.floorRate) revert Book_RateBelowFloor(rate, o.floorRate);
        resources.check(PackedIds.MAX);
        // Both lists increase, so one walk over the offer finds every resource or the one that is missing.
        ResourceId[] memory offered = resourcesOf(id);
        uint256 place;
        for (uint256 i; i < resources.length; ++i) {
            uint32 wanted = ResourceId.unwrap(resources[i]);
            while (place < offered.length && ResourceId.unwrap(offered[place]) < wanted) ++place;
            if (place == offered.length || ResourceId.unwrap(offered[place]) != wanted) {
                revert Book_NotInOffer(id, resources[i]);
            }
        }
    }

    /// @dev A resource that was measured anew after the request was posted is not what the buyer judged.
    function _requireEligible(
        RequestId id,
        bytes32 root,
        ResourceId[] calldata resources,
        bytes32[][] calldata proofs
    ) private view {
        for (uint256 i; i < resources.length; ++i) {
            bytes32 leaf = leafOf(resources[i], inventory.documentHashOf(resources[i]));
            bool under = i < proofs.length && proofs[i].length <= MAX_PROOF
                && MerkleProof.verifyCalldata(proofs[i], root, leaf);
            if (!under) revert Book_NotEligible(id, resources[i]);
        }
    }

    function _emitPosted(RequestId id, OrgId org, uint32 slots, RequestTerms calldata t) private {
        emit RequestPosted(
            id,
            org,
            t.class,
            t.window.start,
            t.window.end,
            slots,
            t.count,
            t.ceilingRate,
            t.traits,
            t.policy,
            t.spec,
            t.sla
        );
        (uint256 expression, uint256 listed) = (t.expression.length, t.listed.length);
        bool tooLong = expression > MAX_TOLD || listed > MAX_TOLD;
        if (tooLong || (t.eligible == 0 && expression + listed != 0)) {
            revert Book_BadEligible(expression, listed);
        }
        if (t.eligible != 0) emit RequestExpression(id, t.eligible, t.expression, t.listed);
    }

    function _requireAlike(OrgId org, ResourceId[] calldata resources) private view returns (bytes32 class) {
        bytes32 site;
        for (uint256 i; i < resources.length; ++i) {
            IInventory.Resource memory r = inventory.resource(resources[i]);
            if (r.owner != org || r.retired) revert Book_NotOwnResource(resources[i], org);
            if (i == 0) (class, site) = (r.class, r.site);
            else if (r.class != class || r.site != site) revert Book_MixedResources(resources[i]);
        }
    }

    /// @dev An award of one lease, or the reason why there is none.
    function _openOne(Award memory award, Leg memory leg) private returns (AwardId awardId, LeaseId lease) {
        Skip skip = awards.skipOf(award, leg);
        if (skip != Skip.None) revert Book_Skipped(skip);
        Leg[] memory legs = new Leg[](1);
        legs[0] = leg;
        LeaseId[] memory opened;
        (awardId, opened) = awards.open(award, legs);
        lease = opened[0];
    }

    function _depositOf(Window memory window, uint64 floorRate, uint256 resources)
        private
        view
        returns (uint96)
    {
        uint256 span = uint256(window.end - window.start) * _slot * resources;
        return Amounts.shareDown(Amounts.priceUp(floorRate, span), orderDepositPpm).toUint96();
    }

    function _requireRates(uint64 floorRate, uint64 buyNowRate) private pure {
        if (floorRate == 0) revert Book_ZeroRate();
        if (buyNowRate != 0 && buyNowRate < floorRate) revert Book_RateBelowFloor(buyNowRate, floorRate);
    }

    function _emitPublished(
        OfferId id,
        OrgId org,
        bytes32 class,
        OfferTerms calldata t,
        ResourceId[] calldata resources
    ) private {
        emit OfferPublished(
            id,
            org,
            class,
            t.window.start,
            t.window.end,
            t.floorRate,
            t.buyNowRate,
            t.minSlots,
            resources,
            t.sla,
            t.traits
        );
    }

    /// @dev Counts one more open order (E6).
    function _open(OrgId org) private {
        if (openOrders[org] >= maxOpenOrders) revert Book_TooManyOrders(org, maxOpenOrders);
        ++openOrders[org];
    }

    function _close(OfferId id, Offer storage o, bool cancelled) private {
        uint256 deposit = o.deposit;
        o.closed = true;
        o.deposit = 0;
        --openOrders[o.org];
        emit OfferClosed(id, cancelled);
        if (deposit != 0) escrow.unlock(_key(id), o.org, o.by, deposit);
    }

    function _openOffer(OfferId id) private view returns (Offer storage o) {
        o = _offers[id];
        if (OrgId.unwrap(o.org) == 0) revert Book_UnknownOffer(id);
        if (o.closed) revert Book_OfferClosed(id);
    }

    /// @dev Open, and no auction has it.
    function _thawedOffer(OfferId id) private view returns (Offer storage o) {
        o = _openOffer(id);
        if (block.timestamp < o.frozenUntil) revert Book_Frozen(id, o.frozenUntil);
    }

    function _key(OfferId id) private pure returns (bytes32) {
        return bytes32(uint256(OfferId.unwrap(id)));
    }
}
