// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IInventory} from "./IInventory.sol";
import {ISettlement} from "./ISettlement.sol";
import {
    Award,
    AwardId,
    Committee,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    SlaId
} from "./Types.sol";

/// @notice Leases: facts and deadlines. Every award ends in `open`; from there one way on (rules C, L1-L6).
///
/// A deadline's exact second is too late (T2). States are derived from facts and the clock (`stateOf`); nobody sets
/// them, and a missed deadline counts before anybody calls `expire`.
///
/// A lease with an SLA waits for its committee (`Committee`): it is accepted by its buyer or proven by the committee,
/// and its provider draws only what no verdict can touch any more (`finalUntil`).
///
/// Assumes: it alone books slots and reports to `Settlement`; `Awards` took the parties' consent, and its stakes are
/// those of rule C2.
/// Does NOT stop for a suspended organisation: suspension blocks new orders only (E7).
interface ILeases {
    /// @notice Deployment constants, seconds and parts per million.
    /// @param epoch Seconds of an epoch of the witnesses.
    /// @param rounds Rounds in it, at most 256.
    /// @param seatFee Microcredits a seat of the committee gets for an epoch; 0: no fees.
    /// @param seats Seats that fees are locked for: the largest committee.
    struct Terms {
        uint32 signTime;
        uint32 fenceTime;
        uint32 deliverTime;
        uint32 acceptTime;
        uint32 wipeTime;
        uint32 notice;
        uint32 defaultPpm;
        uint32 signMissPpm;
        uint32 reservePpm;
        uint32 wipePpm;
        uint32 epoch;
        uint32 rounds;
        uint64 seatFee;
        uint8 seats;
    }

    /// @param start First slot of the window.
    /// @param end Slot behind the last.
    /// @param buyerSignedAt 0 unless the policy asks for the buyer's signature and it came.
    /// @param endedAt When a typed reason ended it, or will (a notice may still run); 0 while it runs out by itself.
    /// @param traits What more was agreed, a set of `Traits`.
    /// @param missing Resources whose default was settled; their slots are free.
    /// @param delivered Bitmap of resources, by their place in `resourcesOf`.
    /// @param accepted What the buyer accepted of them, or the committee saw.
    /// @param committeeAt When it was known whether there is a committee.
    /// @param delivery Keccak-256 of the last delivery's connection hash, host key and spec hash.
    struct Lease {
        AwardId award;
        OfferId offer;
        RequestId request;
        OrgId provider;
        OrgId buyer;
        uint32 start;
        uint32 end;
        uint16 count;
        Policy policy;
        uint8 traits;
        uint64 rate;
        uint40 createdAt;
        uint40 buyerSignedAt;
        uint40 signedAt;
        uint40 endedAt;
        EndReason reason;
        uint16 missing;
        address fenceHolder;
        uint40 fenceUntil;
        uint40 deliveredAt;
        bool wipeMissed;
        uint64 delivered;
        uint64 accepted;
        uint40 wipedAt;
        SlaId sla;
        Committee committee;
        uint40 committeeAt;
        bytes32 delivery;
    }

    /// @notice What those go by who judge a lease.
    /// @param accepted Whether buyer or committee accepted by word all that is delivered.
    /// @param begins Second its window begins.
    /// @param from Second from which on it bills for all that is delivered: not before the window.
    /// @param until Second it ends or ended.
    struct Watched {
        OrgId provider;
        OrgId buyer;
        uint64 rate;
        SlaId sla;
        Committee committee;
        uint40 signedAt;
        uint64 delivered;
        bool accepted;
        uint40 begins;
        uint40 from;
        uint40 until;
    }

    /// @param resources Bitmap of what is up now; bits already delivered may be repeated.
    /// @param connectionHash Keccak-256 of the sealed connection data.
    /// @param hostKey SHA-256 of the endpoint's host key.
    /// @param specHash Keccak-256 of the re-measured document.
    struct Delivery {
        uint64 resources;
        bytes32 connectionHash;
        bytes32 hostKey;
        bytes32 specHash;
    }

    event LeaseOpened(
        LeaseId indexed lease,
        OrgId indexed provider,
        OrgId indexed buyer,
        AwardId award,
        OfferId offer,
        RequestId request,
        uint64 rate,
        uint32 start,
        uint32 end,
        ResourceId[] resources,
        Policy policy,
        SlaId sla
    );
    event BuyerSigned(LeaseId indexed lease, address indexed by);
    event LeaseSigned(LeaseId indexed lease, address indexed by, uint40 fenceUntil);
    event FenceRenewed(LeaseId indexed lease, address indexed holder, uint40 fenceUntil);
    event FenceTaken(
        LeaseId indexed lease, address indexed holder, address indexed before, uint40 fenceUntil
    );
    event LeaseDelivered(
        LeaseId indexed lease, uint64 resources, bytes32 connectionHash, bytes32 hostKey, bytes32 specHash
    );
    event LeaseAccepted(LeaseId indexed lease, uint64 resources, address indexed by);
    event CommitteeSet(LeaseId indexed lease, Committee committee);
    event LeaseProven(LeaseId indexed lease, uint64 resources);
    /// @param rate Of the time added.
    event LeaseExtended(LeaseId indexed lease, uint32 end, uint64 rate);
    event LeaseEnded(
        LeaseId indexed lease, EndReason indexed reason, Fault fault, uint40 endedAt, bytes32 note
    );
    event ResourcesMissed(LeaseId indexed lease, uint16 missing, uint256 penalty);
    event LeaseWiped(LeaseId indexed lease, bytes32 evidenceHash, address indexed by);
    event WipeMissed(LeaseId indexed lease, uint256 penalty);

    /// @notice there is no such lease
    /// @dev See 'ocx lease list'.
    error Leases_Unknown(LeaseId lease);
    /// @notice the lease's state does not allow this
    /// @dev See 'ocx lease show --why'.
    error Leases_WrongState(LeaseId lease, LeaseState state);
    /// @notice the buyer signs this lease first
    /// @dev Wait for its signature.
    error Leases_BuyerFirst(LeaseId lease);
    /// @notice it is signed already
    error Leases_AlreadySigned(LeaseId lease, uint40 at);
    /// @notice this lease asks for no signature of the buyer
    error Leases_NoBuyerSignature(LeaseId lease);
    /// @notice the deadline has passed (its exact second is too late)
    /// @dev See 'ocx lease show --why'.
    error Leases_TooLate(LeaseId lease, uint256 deadline);
    /// @notice this is too early
    /// @dev Wait until the time named.
    error Leases_TooEarly(LeaseId lease, uint256 notBefore);
    /// @notice another operator key holds the provisioning fence
    /// @dev Take it over when it has lapsed.
    error Leases_NotFenceHolder(LeaseId lease, address holder);
    /// @notice the provisioning fence has not lapsed
    /// @dev Wait until the time named.
    error Leases_FenceHeld(LeaseId lease, address holder, uint40 until);
    /// @notice the bitmap names no new resource, or one beyond the lease's count
    /// @dev Name what is up by its place in the lease.
    error Leases_BadBits(LeaseId lease, uint64 resources, uint16 count);
    /// @notice a lease does not end like that here
    /// @dev Give one of the later reasons.
    error Leases_BadReason(EndReason reason);
    /// @notice the provider delivered again in the meantime
    /// @dev Look at what it delivered ('ocx lease connect'), then accept that.
    error Leases_OtherDelivery(LeaseId lease, uint64 delivered);
    /// @notice nothing has been delivered yet
    /// @dev See 'ocx lease show --why'.
    error Leases_NothingDelivered(LeaseId lease);
    /// @notice no deadline of this lease has been missed
    /// @dev See 'ocx lease show --why'.
    error Leases_NothingToExpire(LeaseId lease);

    /// @notice Opens the lease of one leg of an award: books its slots, locks its stakes. Reverts where `Awards` would
    /// have skipped the leg.
    function open(AwardId id, Award calldata award, Leg calldata leg, ISettlement.Stakes calldata stakes)
        external
        returns (LeaseId);

    /// @notice The buyer's signature, where the policy asks for both.
    function signAsBuyer(LeaseId lease) external;

    /// @notice The provider's signature. The caller takes the provisioning fence (C5).
    function sign(LeaseId lease) external;

    function renewFence(LeaseId lease) external;

    /// @notice Another operator key of the provider takes a fence that lapsed.
    function takeOver(LeaseId lease) external;

    /// @notice The fence's holder says what is up. May be called again until the deadline, bits only added (L1).
    function deliver(LeaseId lease, Delivery calldata delivery) external;

    /// @notice The buyer accepts what is delivered so far (L2).
    /// @param resources What it looked at, `Lease.delivered`. Every delivery adds a bit, so none can slip in between.
    function accept(LeaseId lease, uint64 resources) external;

    /// @notice The buyer refuses a delivery before it counts as accepted; it pays what accrued, at most for the
    /// acceptance time (L4).
    /// @dev Not before the window begins, where there is or may be a committee: a refusal that costs nothing would let a
    /// buyer try lease after lease until it likes the seats.
    /// @param note The buyer's reason, a code of up to 32 bytes.
    function reject(LeaseId lease, bytes32 note) external;

    /// @notice The buyer leaves before anything is delivered, for the reserve share of the price.
    function cancel(LeaseId lease) external;

    /// @notice The buyer leaves early and pays to the end of the notice (L5). What the provider takes back anyway it may
    /// leave earlier, too; that stays the provider's doing.
    function endEarly(LeaseId lease) external;

    /// @notice Anyone settles a missed signature or delivery deadline, or a delivery that its committee did not prove and
    /// its buyer did not accept in time (C4, L1, L3).
    function expire(LeaseId lease) external;

    /// @notice Wipe evidence, by the provider, or the council's decision in its place (L6). Frees slots, and the bond
    /// unless a proof of delivery is still open.
    function wipe(LeaseId lease, bytes32 evidenceHash) external;

    /// @notice Anyone settles a missed wipe deadline: penalty, and the resources are held.
    function missWipe(LeaseId lease) external;

    /// @notice Anyone lets the provider draw what accrued and is final; once all is, also returns the rest of the
    /// price (E5).
    function settle(LeaseId lease) external;

    /// @notice `Witnesses` says that the committee was drawn, or that there is none for lack of eligible witnesses:
    /// then the fees go back. Only while the lease is signed and not over (W2).
    function setCommittee(LeaseId lease, bool drawn) external;

    /// @notice `Witnesses` says that a quorum saw what is delivered: this counts as accepted (L2).
    /// @param resources What it saw, `Lease.delivered`.
    function prove(LeaseId lease, uint64 resources) external;

    /// @notice `Verdicts` says that the SLA was breached and the buyer ends the lease, now. The default share of the
    /// price not served goes from the bond to the buyer (W9).
    function breach(LeaseId lease, bytes32 note) external;

    /// @notice Moves the end of a lease that runs, and is not about to end: books the slots, locks what both sides add (L7).
    /// @dev Not while something is still to be delivered, or its default to be settled.
    /// @param end Slot behind the last.
    /// @param extension As `Awards.extensionOf` says.
    function extend(LeaseId lease, uint32 end, ISettlement.Extension calldata extension) external;

    /// @notice Ends a lease for a reason that is neither its parties' wish nor a verdict (L5, L8). Before delivery now, and
    /// price and bond return; else at a second from now on, `ppm` of the price not served goes from the bond to the
    /// buyer, and that price returns.
    /// @param reason `Reclaimed` or later.
    /// @param note A code of up to 32 bytes.
    function close(LeaseId lease, EndReason reason, uint40 at, uint32 ppm, bytes32 note) external;

    /// @notice Where the numbers of this generation's awards, leases, offers and requests begin, less 1. A generation is
    /// what is deployed anew together when the rules change; numbers are never used twice.
    function base() external view returns (uint32);

    /// @notice How many leases there are; ids run from 1.
    function count() external view returns (uint32);

    function terms() external view returns (Terms memory);

    /// @notice Where slots are booked; it knows how long one is.
    function inventory() external view returns (IInventory);

    /// @notice Where the money of its leases is.
    function settlement() external view returns (ISettlement);

    function lease(LeaseId lease) external view returns (Lease memory);

    function watched(LeaseId lease) external view returns (Watched memory);

    /// @notice Whose a bond is that waits to be shared out, and may be: its lease is wiped, or was never delivered.
    /// @dev It waits when a lease was taken back that a committee watched: verdicts to come may make that a breach. And when
    /// a provider of a composite award defaulted: its partners come first (L8).
    function waitingBond(LeaseId lease) external view returns (ISettlement.Parties memory);

    function resourcesOf(LeaseId lease) external view returns (ResourceId[] memory);

    function holds(LeaseId lease, ResourceId resource) external view returns (bool);

    function stateOf(LeaseId lease) external view returns (LeaseState);

    /// @notice Until when no verdict can change any more what accrued (E5, W6). With no committee to wait for: now.
    function finalUntil(LeaseId lease) external view returns (uint40);

    /// @notice The reason and the fault of an end; `Time` once a lease simply ran out.
    function endOf(LeaseId lease) external view returns (EndReason, Fault);
}
