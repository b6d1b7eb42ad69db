// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Rounds} from "../libraries/Rounds.sol";
import {LeaseId, OrgId, Skip} from "./Types.sol";

/// @notice The money of leases: price, accrual, bond, witness fees, and what a missed duty or a bad verdict costs
/// (rules E2, E3, E5, C2, C4, L, W9).
///
/// It listens to one `Leases`: the holder of `Rights.SETTLEMENT_REPORT` that opened the first lease here. Another one, of
/// a later version, needs its own.
///
/// Assumes: `Leases` reports each fact once, with the parties and the rate that the lease was opened with; holders of `Rights.SETTLEMENT_JUDGE` set penalties after draws reached the span's
/// first second and before they reach its end.
/// Does NOT know deadlines, states or evidence: it is told facts and moves money.
/// Invariant: what is locked of a lease is always
/// `price - paid + pending + disputed + bond + fee - feePaid`; every draw, refund and penalty comes out of that.
interface ISettlement {
    /// @param rate Microcredits per resource and hour.
    struct Parties {
        LeaseId lease;
        OrgId buyer;
        OrgId provider;
        uint64 rate;
    }

    /// @notice What both sides lock for a lease.
    /// @param buyerBy, providerBy The members whose limits are charged.
    /// @param fee Witness fees of both sides.
    /// @param fund Pays the buyer's part if it is not 0.
    struct Stakes {
        address buyerBy;
        uint96 price;
        address providerBy;
        uint96 bond;
        uint96 fee;
        bytes32 fund;
    }

    /// @notice What both sides add for more time.
    /// @param buyerBy, providerBy The members whose limits are charged, from now on for all of the lease.
    /// @param rate Microcredits per resource and hour of the time added.
    struct Extension {
        address buyerBy;
        uint96 price;
        address providerBy;
        uint96 bond;
        uint96 fee;
        uint64 rate;
    }

    /// @notice What somebody gets of a bond, at most what is left of it.
    struct Share {
        OrgId to;
        uint256 amount;
    }

    /// @notice From a second on, another rate.
    struct Step {
        uint40 from;
        uint64 rate;
    }

    /// @param price What accrual may reach: the price less what was unlocked.
    /// @param bond What is left of it.
    /// @param paid Accrual that is spoken for: drawn by the provider, or put aside as a penalty or in dispute.
    /// @param owed Penalties of earlier spans, the buyer's with the next payment.
    /// @param pendingSpan The span the pending penalties are of, named by its last epoch.
    /// @param units Resources that bill.
    /// @param closed No accrual is left to draw; the rest of the price went back.
    /// @param steps How often the rate changed.
    /// @param pending Penalties put aside for the buyer until their span is final.
    /// @param disputed What an appeal holds (rule L11).
    /// @param pendingUntil The second that span ends.
    /// @param firstStart The earliest second a resource bills from.
    /// @param fee Witness fees, locked half by either side (odd microcredit: the buyer).
    /// @param feePaid What of them the witnesses got. Once the rest went back, `fee` is no more than that.
    /// @param startSum Sum over the resources that bill of the second each does from.
    struct Account {
        address buyerBy;
        uint96 price;
        address providerBy;
        uint96 bond;
        uint96 paid;
        uint96 owed;
        uint32 pendingSpan;
        uint16 units;
        bool closed;
        uint8 steps;
        uint96 pending;
        uint96 disputed;
        uint32 pendingUntil;
        uint32 firstStart;
        uint96 fee;
        uint96 feePaid;
        uint64 startSum;
    }

    event Funded(LeaseId indexed lease, uint256 price, uint256 bond, uint256 fee);
    /// @param from, rate What is added costs that much from that second on.
    event Extended(LeaseId indexed lease, uint256 price, uint256 bond, uint256 fee, uint40 from, uint64 rate);
    event Accrued(LeaseId indexed lease, uint256 amount, uint256 total);
    event PriceRefunded(LeaseId indexed lease, uint256 amount);
    event ReservePaid(LeaseId indexed lease, uint256 amount);
    event BondForfeited(LeaseId indexed lease, uint256 amount);
    /// @notice A part of the bond went to somebody who is not the lease's buyer.
    event BondShared(LeaseId indexed lease, OrgId indexed org, uint256 amount);
    event BondFreed(LeaseId indexed lease, uint256 amount);
    event PenaltyWithheld(LeaseId indexed lease, uint32 indexed span, uint256 amount);
    /// @param span The last one it is for; what is due of several is paid at once.
    event PenaltyPaid(LeaseId indexed lease, uint32 indexed span, uint256 amount);
    event Disputed(LeaseId indexed lease, uint256 amount);
    event DisputeResolved(LeaseId indexed lease, uint256 toBuyer, uint256 toProvider);
    event FeePaid(LeaseId indexed lease, OrgId indexed org, uint256 amount);
    event FeesReturned(LeaseId indexed lease, uint256 toBuyer, uint256 toProvider);
    event FundReturned(bytes32 indexed fund, OrgId indexed org, uint256 amount);

    /// @notice what a dispute is resolved to is not what it is about
    /// @dev Give both parts so that they add up.
    error Settlement_BadSplit(LeaseId lease, uint256 amount, uint256 parts);

    /// @notice only the contract whose leases these are may report on them
    /// @dev Go through that contract.
    error Settlement_NotLeases(address caller);

    /// @notice the lease's rate changed too often
    /// @dev Extend it at the rate it has now, or take a new lease.
    error Settlement_TooManySteps(LeaseId lease, uint256 max);

    /// @notice Whose leases these are; 0 before the first.
    function leases() external view returns (address);

    /// @notice Seconds that billed time is rounded up to, once, at the end (E3).
    function quantum() external view returns (uint32);

    /// @notice Locks price, bond, and witness fees from both sides. A `fund` that is not 0 pays the buyer's part of it
    /// instead of its free balance.
    function open(Parties calldata parties, Stakes calldata stakes) external;

    /// @notice Locks what both sides add, and bills at the extension's rate from a second on, the lease's end until now.
    /// All that may still come back of the lease is from then on charged to the members named now (I7).
    /// @dev All of its resources bill, so none will start later.
    function extend(Parties calldata parties, Extension calldata extension, uint40 from) external;

    /// @notice Whose balance or limit does not cover its stakes, `None` if both do.
    /// @dev A fund is taken to hold enough: who fills it counts the dearest legs, and a fee for each.
    function coverOf(OrgId buyer, OrgId provider, Stakes calldata stakes) external view returns (Skip);

    /// @notice Gives what is left in a fund back to the buyer.
    function returnFund(bytes32 fund, OrgId buyer, address by) external;

    /// @notice `units` more resources bill from a second on.
    function start(Parties calldata parties, uint16 units, uint40 from) external;

    /// @notice Lowers what accrual may reach and refunds the difference; does nothing if it is no lower, or
    /// accrual is closed.
    function lowerPrice(Parties calldata parties, uint96 price) external;

    /// @notice Pays what accrued until a second, less what was paid before. The last draw rounds billed time up to the
    /// quantum, refunds the rest of the price and closes accrual. Pending penalties of a span that ends by then go to the
    /// buyer.
    function draw(Parties calldata parties, uint40 until, bool last) external;

    /// @notice Pays a share of the price to the provider for a machine kept ready in vain, refunds the rest, closes.
    function payReserve(Parties calldata parties, uint256 ppm) external;

    /// @notice Refunds the whole price that is not paid, and closes.
    function refund(Parties calldata parties) external;

    /// @notice Pays `part / whole` of what is left of the bond to the buyer, rounded down.
    function forfeitBond(Parties calldata parties, uint256 part, uint256 whole)
        external
        returns (uint256 amount);

    /// @notice Pays a share of the price of what is not served from a second on to the buyer, out of the bond and at
    /// most what is left of it.
    /// @param back Whether that price returns at once: all but what accrues until then, rounded up to the quantum.
    function payUnserved(Parties calldata parties, uint40 from, uint256 ppm, bool back)
        external
        returns (uint256 amount);

    /// @notice Gives what is left of the bond back to the provider.
    function freeBond(Parties calldata parties) external;

    /// @notice Pays parts of a bond that waits for that, in this order and as far as it goes; the rest is the provider's
    /// again.
    /// @dev Its parties are asked of `Leases`, so that no right of another version moves it.
    function shareBond(LeaseId lease, Share[] calldata shares) external;

    /// @notice Puts a penalty aside for the buyer: `ppm` of what one machine costs over a span, at most what of the
    /// span's price is not spoken for. Penalties pending of another span are paid first: that one is final.
    /// @param from, until The span, cut to what of it bills.
    /// @param span Its name.
    /// @param units How many machines it is for.
    /// @param ppm Of their price. A worse claim on the same span and machine gives only what it adds.
    function applyVerdict(
        Parties calldata parties,
        uint40 from,
        uint40 until,
        uint32 span,
        uint16 units,
        uint32 ppm
    ) external returns (uint256 penalty);

    /// @notice Puts an amount in dispute, until `resolve`: of the pending penalties, or of what has accrued until a
    /// second and is not drawn.
    /// @return moved As much of the amount as there was.
    function dispute(Parties calldata parties, uint256 amount, bool ofPending, uint40 until)
        external
        returns (uint256 moved);

    /// @notice Pays an amount out of dispute. Both parts must add up to it.
    function resolve(Parties calldata parties, uint256 amount, uint256 toBuyer, uint256 toProvider) external;

    /// @notice Pays a witness out of the fees, at most what is left of them.
    function payFee(Parties calldata parties, OrgId to, uint256 amount) external returns (uint256 paid);

    /// @notice Gives what is left of the fees back to both sides. Does nothing the second time.
    function returnFees(Parties calldata parties) external;

    /// @notice From when on which rate holds; before the first it is the one that the lease was opened at.
    function stepsOf(LeaseId lease) external view returns (Step[] memory);

    function account(LeaseId lease) external view returns (Account memory);

    /// @notice What has accrued until a second; `last` as in `draw`.
    function accrued(LeaseId lease, uint64 rate, uint40 until, bool last) external view returns (uint256);

    /// @notice What one machine of a lease costs between two seconds, by accrual.
    function spanPrice(LeaseId lease, uint64 rate, uint40 from, uint40 until) external view returns (uint256);

    /// @notice Until when no verdict can change any more what accrued of a lease (E5, W6).
    function finalUntil(Rounds.Frame calldata frame) external view returns (uint40);

    /// @notice Credits that wait in a fund.
    function fundBalance(bytes32 fund) external view returns (uint256);
}
