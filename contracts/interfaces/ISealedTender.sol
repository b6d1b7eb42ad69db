// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IBook} from "./IBook.sol";
import {AwardId, LeaseId, OfferId, OrgId, RequestId, ResourceId} from "./Types.sol";

/// @notice A reverse auction with sealed bids: a request is put to tender, providers commit, reveal, and the cheapest
/// fill it, at first price or by Vickrey's rule (rules A3 to A8). A tender carries its request's number.
///
/// Assumes: it holds the rights to record requests, open leases and move escrow.
/// Does NOT let a buyer see a bid before the reveal, keep a forfeit for itself, or back out after a commitment.
interface ISealedTender {
    enum Stage {
        None,
        Open,
        Awarded,
        Unfilled,
        Cancelled
    }

    enum BidStatus {
        None,
        Committed,
        Revealed,
        /// The reveal was void, or the loss excused; the deposit went back.
        Excused,
        Awarded,
        /// Won, but could not cover the bond; the deposit is forfeited.
        Uncovered,
        /// Won, but a resource was gone; the deposit waits for an excuse.
        Sold,
        Claimed
    }

    /// @param commitEnd Second from which commitments are too late and reveals are taken.
    /// @param revealEnd Second from which reveals are too late and the award is open to all.
    struct TenderTerms {
        uint40 commitEnd;
        uint40 revealEnd;
        bool vickrey;
    }

    /// @param deposit What each commitment locks.
    /// @param ceilingAmount What the buyer locks: the ceiling, and its half of the witness fees for as many leases as
    /// there may be.
    /// @param commits, reveals, excused How many there were.
    /// @param share What each revealed valid bid without an award may claim of the forfeits.
    struct Tender {
        uint40 commitEnd;
        uint40 revealEnd;
        uint40 awardedAt;
        bool vickrey;
        Stage stage;
        uint32 commits;
        uint32 reveals;
        uint32 excused;
        uint96 deposit;
        uint96 ceilingAmount;
        AwardId award;
        OrgId buyer;
        uint96 share;
    }

    /// @param start Slot in which a revealed bid begins.
    struct Bidder {
        BidStatus status;
        address by;
        uint40 committedAt;
        uint32 start;
        bytes32 commitment;
    }

    event TenderOpened(
        RequestId indexed request,
        uint40 commitEnd,
        uint40 revealEnd,
        bool vickrey,
        uint96 ceilingAmount,
        uint96 deposit
    );
    event TenderCancelled(RequestId indexed request);
    event BidCommitted(RequestId indexed request, OrgId indexed bidder, bytes32 commitment, address by);
    event BidRevealed(
        RequestId indexed request,
        OrgId indexed bidder,
        OfferId offer,
        uint64 rate,
        uint32 start,
        ResourceId[] resources
    );
    event BidEvicted(RequestId indexed request, OrgId indexed bidder);
    event BidExcused(RequestId indexed request, OrgId indexed bidder, LeaseId lease);
    event BidSkipped(RequestId indexed request, OrgId indexed bidder, BidStatus status);
    event TenderAwarded(
        RequestId indexed request, AwardId indexed award, uint16 awarded, uint64 clearingRate
    );
    event TenderUnfilled(RequestId indexed request);
    event DepositsForfeited(RequestId indexed request, uint256 amount, uint256 share, uint256 toFund);
    event DepositClaimed(RequestId indexed request, OrgId indexed bidder, uint256 deposit, uint256 share);

    /// @notice there is no such tender
    /// @dev See 'ocx tender list'.
    error SealedTender_Unknown(RequestId request);
    /// @notice commitments must end in the future, reveals after them, and both before the first piece that may be bid ends
    /// @dev Give other times.
    error SealedTender_BadTimes(uint40 commitEnd, uint40 revealEnd);
    /// @notice the tender's stage does not allow this (1 open, 2 awarded, 3 unfilled, 4 cancelled)
    /// @dev See 'ocx tender show --why'.
    error SealedTender_WrongStage(RequestId request, Stage stage);
    /// @notice the tender asks for too much at once (resources, resources times slots, and the most)
    /// @dev Ask for fewer resources or a shorter window, in several tenders.
    error SealedTender_TooLarge(uint256 count, uint256 slots, uint256 max);
    /// @notice a tender with commitments cannot be cancelled
    /// @dev Wait for its award.
    error SealedTender_HasCommitments(RequestId request, uint32 commits);
    /// @notice the tender's deadline has passed (its exact second is too late)
    /// @dev See 'ocx tender show'.
    error SealedTender_TooLate(RequestId request, uint256 deadline);
    /// @notice this is too early for the tender
    /// @dev Wait until the time named.
    error SealedTender_TooEarly(RequestId request, uint256 notBefore);
    /// @notice the organisation has committed to a bid already
    /// @dev One bid for each organisation; it cannot be changed.
    error SealedTender_AlreadyCommitted(RequestId request, OrgId bidder);
    /// @notice another department of the party, or an affiliated organisation, has committed to a bid already
    /// @dev One bid for each party and affiliation group.
    error SealedTender_GroupCommitted(RequestId request, uint32 group);
    /// @notice bidder and buyer are affiliated
    error SealedTender_SelfDealing(OrgId buyer, OrgId bidder);
    /// @notice the commitment is empty
    error SealedTender_EmptyCommitment();
    /// @notice the bid's status does not allow this
    /// @dev See 'ocx tender show --why'.
    error SealedTender_WrongStatus(RequestId request, OrgId bidder, BidStatus status);
    /// @notice bid and salt do not match the commitment
    /// @dev Reveal exactly what was committed, with its salt; nothing is lost until reveals end.
    error SealedTender_CommitmentMismatch(RequestId request, OrgId bidder);
    /// @notice this lease excuses nothing: it must have booked the resource over the bid's window, after the commitment, for somebody affiliated with neither side
    error SealedTender_NoExcuse(ResourceId resource, LeaseId lease);

    /// @notice Posts a request for at most 64 resources and `MAX_SLOTS` resource-slots and puts it to tender. Locks the
    /// ceiling amount, each resource's rounded up (A3).
    /// @param buyer 0 is the caller's own organisation, any other one must have granted it the right.
    function post(OrgId buyer, IBook.RequestTerms calldata request, TenderTerms calldata terms)
        external
        returns (RequestId);

    /// @notice The buyer takes the tender back, while nobody has committed.
    function cancel(RequestId request) external;

    /// @notice Commits an organisation to a sealed bid and locks the deposit (A4).
    /// @param org The bidder; 0 is the caller's own organisation, any other one must have granted it the right.
    /// @param commitment See `commitmentOf`.
    function commit(OrgId org, RequestId request, bytes32 commitment) external;

    /// @notice Opens a sealed bid; whoever has the salt may send it. The best 32 are kept (A7).
    /// @param proofs See `IBook.requireBid`.
    function reveal(
        RequestId request,
        OrgId bidder,
        IBook.Bid calldata bid,
        bytes32 salt,
        bytes32[][] calldata proofs
    ) external;

    /// @notice Opens a sealed bid whose resource was booked after the commitment by a lease with an organisation that
    /// is affiliated with neither side; the bid is void and the deposit returns (A5).
    function revealVoid(
        RequestId request,
        OrgId bidder,
        IBook.Bid calldata bid,
        bytes32 salt,
        ResourceId resource,
        LeaseId lease
    ) external;

    /// @notice The same for a bid that was revealed, won, and then had its resource sold before the award.
    function excuse(RequestId request, OrgId bidder, ResourceId resource, LeaseId lease) external;

    /// @notice Anyone awards the tender once reveals are over.
    function award(RequestId request) external;

    /// @notice Returns a bidder's deposit, with its share of the forfeits if it won nothing. Anyone may call (A6).
    function claim(RequestId request, OrgId bidder) external;

    /// @notice Thirty days after an award, sends a deposit that nobody excused to the council's fund.
    function forfeitSold(RequestId request, OrgId bidder) external;

    /// @notice `keccak256(abi.encode(chainId, contract, request, bidder, bid, salt))` (A4).
    function commitmentOf(RequestId request, OrgId bidder, IBook.Bid calldata bid, bytes32 salt)
        external
        view
        returns (bytes32);

    function tender(RequestId request) external view returns (Tender memory);

    function bidder(RequestId request, OrgId bidder) external view returns (Bidder memory);

    /// @notice Revealed bids that are kept, best first once awarded, else in order of reveal.
    function revealed(RequestId request)
        external
        view
        returns (OrgId[] memory bidders, IBook.Bid[] memory bids);

    /// @notice Share of the ceiling amount that a commitment locks, parts per million.
    function depositPpm() external view returns (uint32);
}
