// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IWitnesses} from "./IWitnesses.sol";
import {LeaseId, OrgId, SlaId} from "./Types.sol";

/// @notice What a quorum's published leaves mean for a lease's money: claims, tiers, grace, recorded power-off, breach,
/// appeal, and the witnesses' flat pay (rules W5-W9, W11, W13).
///
/// Judged is a span of epochs: one as a rule; a first or last epoch with fewer than ten whole rounds of the lease joins
/// its neighbour. A span is named by its last epoch. From two epochs after its end on it is open for one: to claims for the
/// first three quarters of that epoch, to appeals for all of it; then it is final by time.
///
/// Assumes: `Witnesses` vouches for leaves and ticks; `Settlement` caps a penalty at the span's price.
/// Does NOT measure, and does NOT pay a penalty out before its span is final.
interface IVerdicts {
    /// @notice Deployment constants.
    /// @param restoreTime Seconds of grace (W7), and seconds a reboot suspends for (W8).
    /// @param powerTime Seconds a signed power request is good for.
    /// @param appealBond Microcredits an appeal locks.
    /// @param appealTime Seconds the council has to decide one.
    struct Terms {
        uint32 restoreTime;
        uint32 powerTime;
        uint96 appealBond;
        uint32 appealTime;
    }

    /// @param belowPpm Availability below this.
    /// @param penaltyPpm Of what the machine costs in the span; at least 1.
    /// @param breachAfter Consecutive spans below it after which the user may end; 0: never.
    struct Tier {
        uint32 belowPpm;
        uint32 penaltyPpm;
        uint8 breachAfter;
    }

    /// @notice The running judgement of one machine of a lease.
    /// @param last Last epoch of the span judged last.
    /// @param ppm Penalty of that span, ppm of its price.
    /// @param graceUntil Second until which down rounds are forgiven (W7).
    /// @param streaks Consecutive spans below each tier, 8 bits each.
    /// @param breached When a tier's number was reached, the span's last epoch; else 0. The first such span that is not
    /// under appeal.
    struct Record {
        uint32 last;
        uint24 ppm;
        uint40 graceUntil;
        uint32 streaks;
        uint32 breached;
    }

    /// @notice One seat's published leaf for one epoch of the span.
    struct Evidence {
        uint32 epoch;
        uint8 seat;
        IWitnesses.Published published;
    }

    /// @notice EIP-712 `PowerRequest(uint32 lease,uint8 action,uint64 nonce,uint40 time)`, domain OCX/1/chainId/Leases.
    /// @param action 1 on, 2 off, 3 reboot.
    struct PowerRequest {
        LeaseId lease;
        uint8 action;
        uint64 nonce;
        uint40 time;
    }

    struct Appeal {
        LeaseId lease;
        uint8 place;
        uint32 epoch;
        OrgId by;
        address account;
        uint96 bond;
        uint96 amount;
        uint40 filedAt;
        bool decided;
    }

    event SlaRegistered(SlaId indexed sla, Tier[] tiers, bool guest);
    /// @param down Judged rounds a quorum marked down, per epoch of the span, before grace.
    /// @param judged Whole rounds of the lease in the span, without suspended ones.
    /// @param counted Down rounds that counted.
    /// @param penaltyPpm Of the machine's price in the span, in all.
    /// @param penalty What this claim put aside; an earlier, milder claim did the rest.
    /// @param seats Leaves it rests on.
    event VerdictGiven(
        LeaseId indexed lease,
        uint8 indexed place,
        uint32 indexed epoch,
        uint256[] down,
        uint16 judged,
        uint16 counted,
        uint32 penaltyPpm,
        uint256 penalty,
        uint8 seats
    );
    event BreachReached(LeaseId indexed lease, uint8 indexed place, uint32 epoch);
    event PowerRecorded(LeaseId indexed lease, uint8 action, uint64 nonce, address indexed by);
    /// @param amount In dispute; a worse claim on the span adds to a provider's appeal, with this event again.
    event AppealFiled(
        uint256 indexed appeal,
        LeaseId indexed lease,
        uint8 place,
        uint32 epoch,
        OrgId indexed by,
        uint256 amount
    );
    event AppealDecided(uint256 indexed appeal, uint256 toBuyer, uint256 toProvider, bool upheld);
    event WitnessPaid(
        LeaseId indexed lease, uint32 indexed term, OrgId indexed org, uint256 epochs, uint256 amount
    );

    /// @notice tiers must be 1 to 4, worse availability costing more
    /// @dev Order them from the mildest to the worst.
    error Verdicts_BadTiers(uint256 index);
    /// @notice there is no such SLA, or it was registered after the lease was opened and promises it nothing
    /// @dev See 'ocx sla list'.
    error Verdicts_UnknownSla(SlaId sla);
    /// @notice this span is not open for that now
    /// @dev It is between the times named: claims for three quarters of an epoch, appeals until its end.
    error Verdicts_ClaimClosed(LeaseId lease, uint32 epoch, uint256 from, uint256 until);
    /// @notice the span has too few rounds to judge, or the lease does not bill yet
    error Verdicts_Undetermined(LeaseId lease, uint32 epoch);
    /// @notice a seat is named twice or out of order, or does not sit in this committee
    /// @dev Name the seats of one epoch after the other, in order.
    error Verdicts_BadSeat(uint256 index);
    /// @notice the leaf is of another lease or machine
    error Verdicts_OtherLeaf(uint256 index);
    /// @notice this claim makes no worse verdict than there is, and begins no grace earlier
    /// @dev Name more seats, or leave it.
    error Verdicts_NotWorse(LeaseId lease, uint32 epoch, uint32 penaltyPpm);
    /// @notice the request is not signed by a member of the buyer that may buy, is old, or was overtaken
    /// @dev Sign a new one ('ocx lease power').
    error Verdicts_BadPower(LeaseId lease, address signer);
    /// @notice power was switched too often in this epoch
    /// @dev Wait for the next one.
    error Verdicts_TooMuchPower(LeaseId lease);
    /// @notice no breach that lets the buyer end has been found, or it is not final, or under appeal
    /// @dev Wait until its span is final ('ocx sla report').
    error Verdicts_NoBreach(LeaseId lease);
    /// @notice this span cannot be appealed now
    /// @dev Appeal once claims are open and before the span is final.
    error Verdicts_AppealClosed(LeaseId lease, uint32 epoch);
    /// @notice an appeal stands for this span already, or was decided
    error Verdicts_Appealed(LeaseId lease, uint32 epoch);
    /// @notice there is no such open appeal, or its time is not over
    error Verdicts_NoAppeal(uint256 appeal);
    /// @notice this term cannot be paid yet, or was
    error Verdicts_PayClosed(LeaseId lease, uint32 term);
    /// @notice the organisation is not a party of the lease
    /// @dev See 'ocx lease show'; for another organisation: --acting-for.
    error Verdicts_NotParty(LeaseId lease, OrgId org);

    /// @notice Anyone registers an SLA once; the same terms have the same id. It holds for leases opened later.
    /// @param guest Whether only an answer of the responder in the guest counts as up (W10).
    function registerSla(Tier[] calldata tiers, bool guest) external returns (SlaId);

    /// @notice Anyone turns the published leaves of a quorum into a verdict (W5, W6, W7, W9).
    /// @dev A later claim with more seats may make it worse while claims are open, never milder. Nobody claims on a span
    /// that its buyer has appealed, or whose appeal by the provider was decided.
    /// @param evidence By epoch, then by seat, strictly increasing.
    function claim(LeaseId lease, uint8 place, uint32 epoch, Evidence[] calldata evidence) external;

    /// @notice Anyone records the buyer's signed power request; off suspends the SLA from this block (W8).
    function postPower(PowerRequest calldata request, bytes calldata signature) external;

    /// @notice The buyer ends a lease whose SLA was breached, once that span is final and not under appeal (W9, W13).
    function endForBreach(LeaseId lease, uint8 place) external;

    /// @notice A party disputes a span before it is final, also in the last quarter, when nobody claims any more: the buyer that no or too mild a verdict was given, the
    /// provider that there is one. Its money waits for the council's time lock (W13).
    /// @dev Once by each of the two. Locks a bond from the caller's organisation.
    /// @param org The party; 0 is the caller's own organisation. Named, and not found out: an account can be given rights by
    /// the other party against its will.
    function appeal(OrgId org, LeaseId lease, uint8 place, uint32 epoch) external returns (uint256 id);

    /// @notice The council's time lock decides how much of what is in dispute goes to the buyer; the rest is the provider's.
    /// @param upheld Who appealed was right: its bond returns; if it was the provider, the span counts in no streak, and a
    /// breach that may have needed it is none. Else the bond goes to the council's fund.
    function decide(uint256 appeal, uint256 toBuyer, bool upheld) external;

    /// @notice Anyone closes an appeal the council left undecided: the verdict stands, the bond returns.
    function lapse(uint256 appeal) external;

    /// @notice Anyone pays a term's seats for their ticks once its epochs are final; the last returns what is left.
    /// @dev Term by term. Paid are epochs of the lease's window from the one the committee was drawn in. Without a
    /// committee, term 0 returns all once the lease is over. With the last one an accepted lease is settled (`Leases.settle`).
    function pay(LeaseId lease, uint32 term) external;

    function terms() external view returns (Terms memory);

    /// @dev Leases up to the number `opened` were there when it was registered: it is not theirs.
    function sla(SlaId id) external view returns (Tier[] memory tiers, bool guest, uint32 opened);

    function record(LeaseId lease, uint8 place) external view returns (Record memory);

    /// @notice The next term of a lease to be paid.
    function nextPay(LeaseId lease) external view returns (uint32 term, bool done);

    function appealOf(uint256 id) external view returns (Appeal memory);

    /// @notice The recorded times without power, oldest first: `[from, until)` each.
    function powerOf(LeaseId lease) external view returns (uint40[2][] memory);

    /// @notice First and last epoch of the span an epoch belongs to, and whole rounds of the lease in it.
    function spanOf(LeaseId lease, uint32 epoch)
        external
        view
        returns (uint32 first, uint32 last, uint256 whole);
}
