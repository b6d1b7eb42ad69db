// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AwardId, LeaseId, OrgId, ResourceId, Skip, SlaId, Window} from "./Types.sol";

/// @notice Restricted offers: orders that a seller signs and hands out, filled on chain (rule P4).
///
/// An order is EIP-712 typed data. It does not rest on the chain, so it holds no deposit and nobody sees it before it is
/// filled; what is filled is public like any lease. It sells to the organisations within one of the seller's choice, in
/// pieces and as often as something is free, until it expires or is cancelled.
///
/// The type string, exactly:
/// `Order(uint32 seller,uint32 within,uint32 start,uint32 end,uint64 rate,uint32 minSlots,uint32 sla,uint8 traits,`
/// `uint32[] resources,uint64 nonce,uint40 expires)`
/// under the domain `name "OCX", version "1", chainId, verifyingContract`, where the contract is this one.
interface IOrders {
    /// @param within The buyer is this organisation, or stands below it.
    /// @param start First slot of what is for rent; `end` the first that is not.
    /// @param rate Microcredits per resource and hour.
    /// @param minSlots Shortest piece.
    /// @param sla What the leases promise.
    /// @param traits What more is agreed on them, bits of `Traits` that a seller can offer.
    /// @param resources Strictly increasing, all the seller's; what one fill takes is of one class and site.
    /// @param nonce A number of the seller's; `cancelBelow` cancels all orders with a smaller one.
    /// @param expires Unix seconds. A fill at that second is too late.
    struct Order {
        OrgId seller;
        OrgId within;
        uint32 start;
        uint32 end;
        uint64 rate;
        uint32 minSlots;
        SlaId sla;
        uint8 traits;
        ResourceId[] resources;
        uint64 nonce;
        uint40 expires;
    }

    event OrderFilled(
        bytes32 indexed order,
        OrgId indexed seller,
        OrgId indexed buyer,
        AwardId award,
        LeaseId lease,
        address signer
    );
    event OrderCancelled(bytes32 indexed order, OrgId indexed seller);
    event OrdersCancelledBelow(OrgId indexed seller, uint64 nonce);

    /// @notice the order's signature is malformed
    /// @dev Ask its seller for the file again.
    error Orders_BadSignature();
    /// @notice the order was cancelled
    /// @dev Ask its seller for another.
    error Orders_Cancelled(bytes32 order);
    /// @notice the order has expired (unix seconds)
    /// @dev Ask its seller for another.
    error Orders_Expired(uint256 expires);
    /// @notice this order is not for the buyer's organisation
    /// @dev It sells to one organisation and those below it ('ocx offer order show').
    error Orders_NotForYou(OrgId buyer, OrgId within);
    /// @notice the window lies outside the order's (slots)
    /// @dev See 'ocx offer order show'.
    error Orders_OutsideOrder(uint32 start, uint32 end);
    /// @notice the piece is shorter than the order's shortest (slots)
    /// @dev Take a longer window.
    error Orders_TooShort(uint32 slots, uint32 minSlots);
    /// @notice the order does not hold this resource
    /// @dev See 'ocx offer order show'.
    error Orders_NotInOrder(ResourceId resource);
    /// @notice the resource is not the seller's any more, or retired
    /// @dev Take others of the order.
    error Orders_NotSellers(ResourceId resource, OrgId seller);
    /// @notice resources of one fill must be of one class and one site
    /// @dev Fill the order once for each.
    error Orders_MixedResources(ResourceId resource);
    /// @notice an order has a rate above zero, and promises nothing that is not a seller's to promise (traits)
    /// @dev Its seller has to make it anew.
    error Orders_BadTerms(uint64 rate, uint8 traits);
    /// @notice buyer and seller are affiliated
    /// @dev Inside an organisation nodes are assigned, not rented.
    error Orders_SelfDealing(OrgId buyer, OrgId seller);
    /// @notice nonces of cancelled orders only grow
    /// @dev Give a larger one.
    error Orders_NonceTooLow(uint64 nonce, uint64 least);
    /// @notice the lease cannot be opened (1 not free, 2 the provider cannot cover its bond, 3 the buyer cannot cover the price)
    /// @dev See 'ocx offer order show' and 'ocx credits balance'.
    error Orders_Skipped(Skip reason);

    /// @notice Leases free parts of an order, in this one transaction. The signer must still have the right to offer for the
    /// seller, and carries the bond.
    /// @param org For whom; 0 for the organisation where the caller is at home.
    /// @param part Strictly increasing, all of the order.
    function fill(
        OrgId org,
        Order calldata order,
        bytes calldata signature,
        ResourceId[] calldata part,
        Window calldata window
    ) external returns (AwardId, LeaseId);

    /// @notice A seller's member cancels one order of its organisation, whoever signed it.
    function cancel(Order calldata order) external;

    /// @notice A seller's member cancels all orders of its organisation with a smaller nonce, handed out or not.
    /// @param org For whom; 0 for the organisation where the caller is at home.
    function cancelBelow(OrgId org, uint64 nonce) external;

    /// @notice What is signed.
    function digestOf(Order calldata order) external view returns (bytes32);

    /// @notice Whether this very order was cancelled, or all with its nonce were.
    function isCancelled(Order calldata order) external view returns (bool);

    /// @notice The least nonce an order of this organisation can have.
    function leastNonce(OrgId seller) external view returns (uint64);
}
