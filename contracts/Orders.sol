// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IAwards} from "./interfaces/IAwards.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {IOrders} from "./interfaces/IOrders.sol";
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
    Window
} from "./interfaces/Types.sol";
import {PackedIds} from "./libraries/PackedIds.sol";
import {Traits} from "./libraries/Traits.sol";

/// @notice See {IOrders}.
contract Orders is IOrders {
    using PackedIds for ResourceId[];

    bytes32 private constant ORDER = keccak256(
        "Order(uint32 seller,uint32 within,uint32 start,uint32 end,uint64 rate,uint32 minSlots,uint32 sla,"
        "uint8 traits,uint32[] resources,uint64 nonce,uint40 expires)"
    );
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    /// @dev What a seller alone can agree to: all or nothing, and that a lease may be taken back (4).
    uint8 private constant OFFERABLE = Traits.ALL_OR_NOTHING | 4;

    IMembers public immutable members;
    IInventory public immutable inventory;
    IAwards public immutable awards;
    bytes32 private immutable _domain;

    /// @inheritdoc IOrders
    mapping(OrgId => uint64) public leastNonce;
    mapping(bytes32 order => bool) private _cancelled;

    constructor(IMembers members_, IInventory inventory_, IAwards awards_) {
        members = members_;
        inventory = inventory_;
        awards = awards_;
        _domain = keccak256(abi.encode(DOMAIN, keccak256("OCX"), keccak256("1"), block.chainid, this));
    }

    /// @inheritdoc IOrders
    function fill(
        OrgId org,
        Order calldata o,
        bytes calldata signature,
        ResourceId[] calldata part,
        Window calldata window
    ) external returns (AwardId awardId, LeaseId lease) {
        org = members.actingFor(org, msg.sender, MemberRights.BUY);
        bytes32 digest = digestOf(o);
        address signer = _requireGood(o, digest, signature);
        _requireBuyer(org, o);
        _requirePart(o, part, window);

        Award memory award = Award(org, msg.sender, RequestId.wrap(0), Policy.Provider, o.traits, 0, o.sla);
        Leg[] memory legs = new Leg[](1);
        legs[0] = Leg(o.seller, signer, OfferId.wrap(0), o.rate, window, part);
        Skip skip = awards.skipOf(award, legs[0]);
        if (skip != Skip.None) revert Orders_Skipped(skip);
        LeaseId[] memory opened;
        (awardId, opened) = awards.open(award, legs);
        lease = opened[0];
        emit OrderFilled(digest, o.seller, org, awardId, lease, signer);
    }

    /// @inheritdoc IOrders
    function cancel(Order calldata o) external {
        members.requireRightFor(o.seller, msg.sender, MemberRights.OFFER);
        bytes32 digest = digestOf(o);
        _cancelled[digest] = true;
        emit OrderCancelled(digest, o.seller);
    }

    /// @inheritdoc IOrders
    function cancelBelow(OrgId org, uint64 nonce) external {
        org = members.actingFor(org, msg.sender, MemberRights.OFFER);
        if (nonce <= leastNonce[org]) revert Orders_NonceTooLow(nonce, leastNonce[org]);
        leastNonce[org] = nonce;
        emit OrdersCancelledBelow(org, nonce);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IOrders
    function digestOf(Order calldata o) public view returns (bytes32) {
        // In two halves: so many values are too deep for one call of the compiler's.
        bytes memory first = abi.encode(ORDER, o.seller, o.within, o.start, o.end, o.rate);
        bytes memory rest = abi.encode(
            o.minSlots, o.sla, o.traits, keccak256(abi.encodePacked(o.resources)), o.nonce, o.expires
        );
        return keccak256(abi.encodePacked(hex"1901", _domain, keccak256(bytes.concat(first, rest))));
    }

    /// @inheritdoc IOrders
    function isCancelled(Order calldata o) external view returns (bool) {
        return _isCancelled(o, digestOf(o));
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    /// @dev Signed by who may offer for the seller, neither cancelled nor expired; who signed it.
    function _requireGood(Order calldata o, bytes32 digest, bytes calldata signature)
        private
        view
        returns (address)
    {
        if (_isCancelled(o, digest)) revert Orders_Cancelled(digest);
        if (block.timestamp >= o.expires) revert Orders_Expired(o.expires);
        if (o.rate == 0 || o.traits & ~OFFERABLE != 0) revert Orders_BadTerms(o.rate, o.traits);
        (address signer, ECDSA.RecoverError failed,) = ECDSA.tryRecover(digest, signature);
        if (failed != ECDSA.RecoverError.NoError) revert Orders_BadSignature();
        members.requireRightFor(o.seller, signer, MemberRights.OFFER);
        members.requireActive(o.seller, Roles.SELLER);
        return signer;
    }

    function _requireBuyer(OrgId org, Order calldata o) private view {
        members.requireActive(org, Roles.BUYER);
        if (!members.isWithin(org, o.within)) revert Orders_NotForYou(org, o.within);
        if (members.affiliated(org, o.seller)) revert Orders_SelfDealing(org, o.seller);
    }

    function _requirePart(Order calldata o, ResourceId[] calldata part, Window calldata window) private view {
        inventory.requireWindow(window);
        if (window.start < o.start || window.end > o.end) {
            revert Orders_OutsideOrder(window.start, window.end);
        }
        uint32 slots = window.end - window.start;
        if (slots < o.minSlots) revert Orders_TooShort(slots, o.minSlots);
        part.check(PackedIds.MAX);
        o.resources.check(PackedIds.MAX);
        // Both lists increase, so one walk over the order finds every resource or the one that is missing.
        uint256 place;
        bytes32 class;
        bytes32 site;
        for (uint256 i; i < part.length; ++i) {
            ResourceId id = part[i];
            while (place < o.resources.length && _number(o.resources[place]) < _number(id)) ++place;
            if (place == o.resources.length || _number(o.resources[place]) != _number(id)) {
                revert Orders_NotInOrder(id);
            }
            IInventory.Resource memory r = inventory.resource(id);
            if (r.owner != o.seller || r.retired) revert Orders_NotSellers(id, o.seller);
            if (i == 0) (class, site) = (r.class, r.site);
            else if (r.class != class || r.site != site) revert Orders_MixedResources(id);
        }
    }

    function _isCancelled(Order calldata o, bytes32 digest) private view returns (bool) {
        return _cancelled[digest] || o.nonce < leastNonce[o.seller];
    }

    function _number(ResourceId id) private pure returns (uint32) {
        return ResourceId.unwrap(id);
    }
}
