// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LeaseId, LeaseState, OfferId, ResourceId, Skip} from "./Types.sol";

/// @notice Changes of a lease that runs: more time (rule L7), and taking it back (L5, B7).
///
/// More time costs the buy-now rate of the lease's offer without asking anybody, while that offer promises what the lease
/// does; any other rate needs the word of both sides.
///
/// Assumes: `Leases` checks states and books, `Awards` says what an extension locks.
/// Does NOT hold credits.
interface IAmendments {
    /// @param reclaimNotice Seconds between the word and the end of a lease taken back.
    /// @param reclaimPpm Share of the price not served that it costs; less than `ILeases.Terms.defaultPpm`.
    struct Terms {
        uint32 reclaimNotice;
        uint32 reclaimPpm;
    }

    /// @notice An extension that the buyer wishes for, and consents to.
    /// @param from The lease's end when it was proposed; it lapses when that moves.
    struct Proposal {
        address by;
        uint32 from;
        uint32 end;
        uint64 rate;
    }

    /// @notice A lease taken back.
    /// @param by Whose consent and limit carry the bond of the replacement.
    /// @param at When it ends; the buyer may leave earlier.
    /// @param unserved The price that was not served then.
    /// @param paid What of the bond went to the buyer for it.
    /// @param offer Of the replacement; 0: none is offered.
    /// @param replacement The lease that took its place.
    /// @param closed The bond was shared out.
    struct Reclaim {
        address by;
        uint40 at;
        uint96 unserved;
        uint96 paid;
        OfferId offer;
        LeaseId replacement;
        bool closed;
    }

    event ExtensionProposed(LeaseId indexed lease, uint32 end, uint64 rate, address indexed by);
    event ProposalWithdrawn(LeaseId indexed lease, address indexed by);
    event ExtensionAgreed(LeaseId indexed lease, uint32 end, uint64 rate, address indexed by);
    event LeaseReclaimed(
        LeaseId indexed lease, uint40 at, uint256 compensation, OfferId offer, ResourceId[] resources
    );
    event ReplacementTaken(LeaseId indexed lease, LeaseId indexed replacement, address indexed by);
    /// @param added What a breach found since costs more than taking it back.
    event ReclaimClosed(LeaseId indexed lease, uint256 added);

    /// @notice taking a lease back must cost less than a default
    /// @dev Give a reclaim_ppm below default_ppm.
    error Amendments_TooDear(uint32 reclaimPpm, uint32 defaultPpm);
    /// @notice the lease does not end that early
    /// @dev Name a slot behind its end.
    error Amendments_NoLonger(LeaseId lease, uint32 end);
    /// @notice the offer's buy-now rate has risen
    /// @dev See 'ocx offer show', then extend at what it costs now, or propose another rate.
    error Amendments_Dearer(OfferId offer, uint64 rate, uint64 most);
    /// @notice the lease's offer promises something else than the lease does, so its rate is another thing's
    /// @dev Propose a rate to the provider ('ocx lease extend --propose').
    error Amendments_OtherPromise(LeaseId lease, OfferId offer);
    /// @notice nothing is for free
    /// @dev Propose a rate of at least one microcredit.
    error Amendments_ZeroRate();
    /// @notice no such extension is proposed, or the lease's end moved since
    /// @dev See 'ocx lease show'.
    error Amendments_NoProposal(LeaseId lease);
    /// @notice it was not agreed that this lease may be taken back
    /// @dev Only leases of offers or requests that say so may.
    error Amendments_NotReclaimable(LeaseId lease);
    /// @notice the lease's state does not allow this
    /// @dev See 'ocx lease show --why'.
    error Amendments_WrongState(LeaseId lease, LeaseState state);
    /// @notice something is still to be delivered, or its default to be settled
    /// @dev See 'ocx lease expire'.
    error Amendments_StillMissing(LeaseId lease);
    /// @notice the notice is too short
    /// @dev Take it back at the time named or later.
    error Amendments_NoticeTooShort(LeaseId lease, uint256 notBefore);
    /// @notice the replacement is not as many machines as the lease has
    /// @dev Name one for each, in the same order.
    error Amendments_OtherCount(LeaseId lease, uint256 named, uint256 wanted);
    /// @notice this machine is less than the one it is to replace
    /// @dev Name one of the same class that has at least as much of everything.
    error Amendments_Lesser(ResourceId resource, ResourceId instead);
    /// @notice no replacement is offered any more
    /// @dev It can be taken once, until the lease ends.
    error Amendments_NoReplacement(LeaseId lease);
    /// @notice the replacement cannot be opened (1 not free, 2 the provider cannot cover its bond, 3 the buyer cannot cover the price)
    /// @dev See 'ocx credits balance'.
    error Amendments_Skipped(Skip reason);
    /// @notice there is nothing to close, or it was closed
    /// @dev Only a lease with witnesses that was taken back keeps its bond for that.
    error Amendments_NothingToClose(LeaseId lease);
    /// @notice verdicts may still come, or one is in dispute
    /// @dev Wait until the lease is final and appeals are decided ('ocx lease show').
    error Amendments_NotFinal(LeaseId lease, uint256 finalUntil);

    /// @notice The buyer moves the end of its lease at the buy-now rate of the lease's offer (L7).
    /// @param end Slot behind the last.
    /// @param most The rate it has seen; a higher one is refused.
    function extend(LeaseId lease, uint32 end, uint64 most) external;

    /// @notice The buyer wishes for more time at a rate, and consents to it until it withdraws. One wish a lease.
    function propose(LeaseId lease, uint32 end, uint64 rate) external;

    function withdraw(LeaseId lease) external;

    /// @notice The provider agrees: the lease is extended.
    /// @param end, rate What it agrees to.
    function agree(LeaseId lease, uint32 end, uint64 rate) external;

    /// @notice The provider takes a lease back, where that was agreed: it ends at a second, `reclaimNotice` away or more.
    /// The share of what is not served goes from the bond to the buyer at once, and that price returns.
    /// @param offer, replacement Machines of an open offer, one for each delivered one, that the buyer may take instead for
    /// the rest of the time, at the rate it pays now. None: 0 and empty.
    function reclaim(LeaseId lease, uint40 at, OfferId offer, ResourceId[] calldata replacement) external;

    /// @notice The buyer takes the replacement, until the old lease ends; it begins in that slot.
    function takeReplacement(LeaseId lease) external returns (LeaseId);

    /// @notice Anyone, once no verdict can come any more: if one makes what was taken back a breach, the buyer gets from
    /// the bond what that costs more. The rest of it is the provider's.
    function closeReclaim(LeaseId lease) external;

    function terms() external view returns (Terms memory);

    function proposal(LeaseId lease) external view returns (Proposal memory);

    function reclaimOf(LeaseId lease) external view returns (Reclaim memory, ResourceId[] memory replacement);

    /// @notice The rate at a lease's end: what it was opened at, or extended at last.
    function rateOf(LeaseId lease) external view returns (uint64);
}
