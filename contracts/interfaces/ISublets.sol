// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LeaseId, LeaseState, OrgId, PieceId, SubletId, Window} from "./Types.sol";

/// @notice Sublets: parts of a lease that its buyer lets on, machines x time, one level deep (rules L9, X2, F7).
///
/// A sublet lies inside its parent, with the machines' turnaround on both sides and between sublets. It ends when the
/// parent does, by itself; what was not served of its price returns. The parent's provider hands over and wipes, as it
/// alone can; the parent's buyer is paid. One level deep, as a sublet is no lease.
///
/// Assumes: `Leases` says until when a parent runs.
/// Does NOT touch the parent: its price, its bond and its verdicts are between its own parties.
interface ISublets {
    /// @param parent The lease it is a part of.
    /// @param by The member that offered it.
    /// @param within Only organisations in or below this one; 0: anybody.
    /// @param places Bitmap of machines, by their place in the parent.
    struct Piece {
        LeaseId parent;
        OrgId seller;
        address by;
        bool closed;
        uint32 start;
        uint32 end;
        uint32 minSlots;
        OrgId within;
        uint64 rate;
        uint64 places;
    }

    /// @param by The tenant's member whose consent and limit carry the price.
    /// @param piece 0: passed on inside a party, for nothing.
    /// @param acceptedAt When the tenant accepted by word.
    /// @param endedAt When it ends, or ended, earlier than agreed; 0: it runs out.
    /// @param closed What was left of the price went back.
    struct Sublet {
        LeaseId parent;
        PieceId piece;
        OrgId seller;
        OrgId tenant;
        uint32 start;
        uint32 end;
        bool rejected;
        bool closed;
        address by;
        uint96 price;
        uint96 paid;
        uint64 rate;
        uint64 places;
        uint40 takenAt;
        uint40 deliveredAt;
        uint40 acceptedAt;
        uint40 endedAt;
        bytes32 delivery;
    }

    event PieceOffered(
        PieceId indexed piece,
        LeaseId indexed lease,
        OrgId indexed org,
        uint64 places,
        uint32 start,
        uint32 end,
        uint64 rate,
        uint32 minSlots,
        OrgId within
    );
    event PieceClosed(PieceId indexed piece);
    event SubletTaken(
        SubletId indexed sublet,
        LeaseId indexed lease,
        OrgId indexed tenant,
        PieceId piece,
        uint64 places,
        uint32 start,
        uint32 end,
        uint64 rate,
        uint256 price
    );
    event SubletDelivered(SubletId indexed sublet, bytes32 connectionHash, bytes32 hostKey);
    event SubletAccepted(SubletId indexed sublet, address indexed by);
    event SubletEnded(SubletId indexed sublet, uint40 endedAt, bool rejected);
    event SubletPaid(SubletId indexed sublet, uint256 amount, uint256 total);
    event SubletClosed(SubletId indexed sublet, uint256 refunded);

    /// @notice there is no such part of a lease on offer
    /// @dev See 'ocx sublet list'.
    error Sublets_NoPiece(PieceId piece);
    /// @notice there is no such sublet
    /// @dev See 'ocx sublet list'.
    error Sublets_Unknown(SubletId sublet);
    /// @notice the lease does not run, or is about to end
    /// @dev Only an active lease without an end before its time is let on.
    error Sublets_ParentEnds(LeaseId lease, LeaseState state);
    /// @notice these places name no machine, or one that the lease or the piece does not have
    /// @dev Name machines that are delivered, by their place.
    error Sublets_BadPlaces(uint64 places, uint64 there);
    /// @notice the window does not lie in the lease with its machines' turnaround, or in the piece
    /// @dev Leave so many slots before and behind.
    error Sublets_OutsideParent(uint32 start, uint32 end, uint32 from, uint32 until);
    /// @notice shorter pieces than this are not let
    error Sublets_TooShort(uint32 slots, uint32 minSlots);
    /// @notice a machine is let to somebody else in this window, its turnaround included
    /// @dev See 'ocx sublet list'.
    error Sublets_NotFree(LeaseId lease, uint256 place);
    /// @notice nothing is let for free
    /// @dev Give a rate, or pass it on inside the party ('ocx sublet pass').
    error Sublets_ZeroRate();
    /// @notice this piece is for another part of the tree of organisations
    error Sublets_NotWithin(OrgId tenant, OrgId within);
    /// @notice both are one party or group
    /// @dev Inside a party it is passed on, for nothing ('ocx sublet pass').
    error Sublets_SelfDealing(OrgId tenant, OrgId seller);
    /// @notice they are not of one party
    /// @dev Offer it for rent instead ('ocx sublet offer').
    error Sublets_OtherParty(OrgId seller, OrgId to);
    /// @notice the sublet's state does not allow this
    /// @dev See 'ocx sublet show'.
    error Sublets_WrongState(SubletId sublet, LeaseState state);
    /// @notice the deadline has passed (its exact second is too late)
    error Sublets_TooLate(SubletId sublet, uint256 deadline);

    /// @notice The buyer of a lease offers a part of it.
    function offer(
        LeaseId lease,
        uint64 places,
        Window calldata window,
        uint64 rate,
        uint32 minSlots,
        OrgId within
    ) external returns (PieceId);

    /// @notice Its seller takes a piece off the market; sublets of it live on.
    function close(PieceId piece) external;

    /// @notice Rents machines of a piece for a part of its time; the price is locked.
    /// @param tenant 0: the caller's own organisation.
    function take(OrgId tenant, PieceId piece, uint64 places, Window calldata window)
        external
        returns (SubletId);

    /// @notice The buyer of a lease hands a part of it to another organisation of its party, for nothing.
    function pass(LeaseId lease, OrgId to, uint64 places, Window calldata window) external returns (SubletId);

    /// @notice The parent's provider hands the machines over.
    function deliver(SubletId sublet, bytes32 connectionHash, bytes32 hostKey) external;

    /// @notice The tenant accepts; silence does after the acceptance time.
    function accept(SubletId sublet) external;

    /// @notice The tenant refuses what it got before it counts as accepted; it pays until now, at most the acceptance time.
    function reject(SubletId sublet) external;

    /// @notice The tenant leaves: before delivery for the reserve share, later it pays to the end of the notice.
    function end(SubletId sublet) external;

    /// @notice Anyone has the parent's buyer paid what accrued; after the end the rest returns.
    function settle(SubletId sublet) external;

    function pieceCount() external view returns (uint32);

    /// @notice How many sublets there are; ids run from 1.
    function count() external view returns (uint32);

    function piece(PieceId piece) external view returns (Piece memory);

    function sublet(SubletId sublet) external view returns (Sublet memory);

    /// @notice Derived from facts, the clock and the parent.
    function stateOf(SubletId sublet) external view returns (LeaseState);

    /// @notice The second it ends or ended: not after its parent.
    function endsAt(SubletId sublet) external view returns (uint40);

    /// @notice Whether machines of a lease may be let on in a window: free, inside it, with turnaround.
    function isFree(LeaseId lease, uint64 places, Window calldata window) external view returns (bool);
}
