// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice An organisation. 0 is nobody; in `Escrow` it is the council's fund.
type OrgId is uint32;

/// @notice One thing that can be handed over: a bare-metal node, a VM, a volume. 0 is none.
type ResourceId is uint32;

/// @notice An offer at rest in `Book`. 0 is none.
type OfferId is uint32;

/// @notice A request at rest in `Book`; the auction that a request is put to carries the same number. 0 is none.
type RequestId is uint32;

/// @notice An English auction. 0 is none.
type AuctionId is uint32;

/// @notice The outcome of an auction or a buy-now; opens one lease per provider. 0 is none.
type AwardId is uint32;

/// @notice A signed contract between one provider and one buyer. 0 is none.
type LeaseId is uint32;

/// @notice What availability a lease promises, and what falling short costs; registered in `Verdicts`. 0 promises nothing:
/// no committee, no fees, and silence accepts.
type SlaId is uint32;

using {eqOrg as ==, neOrg as !=} for OrgId global;

function eqOrg(OrgId a, OrgId b) pure returns (bool) {
    return OrgId.unwrap(a) == OrgId.unwrap(b);
}

function neOrg(OrgId a, OrgId b) pure returns (bool) {
    return OrgId.unwrap(a) != OrgId.unwrap(b);
}

/// @notice Measured size of one resource, one storage word. New kinds of hardware are told apart by class, not here.
struct Spec {
    uint32 cores;
    uint64 memoryMib;
    uint64 diskGib;
    uint32 gpus;
    uint64 networkMbps;
}

/// @notice A half-open window `[start, end)` counted in slots since the epoch (rule T1).
struct Window {
    uint32 start;
    uint32 end;
}

/// @notice Who has to sign a lease (rule C4): its provider, or first its buyer and then its provider.
enum Policy {
    Provider,
    Both
}

/// @notice Lease states, always derived from facts (`Leases.stateOf`).
enum LeaseState {
    None,
    Awarded,
    Signed,
    Delivered,
    Active,
    Ending,
    Completed,
    Terminated,
    Defaulted,
    Cancelled
}

/// @notice Why a lease ended. `Time` is derived: a lease that simply ran out stores `None`.
enum EndReason {
    None,
    Time,
    BuyerEarly,
    Rejected,
    Cancelled,
    BuyerUnsigned,
    ProviderUnsigned,
    Undelivered,
    Unproven,
    Breach,
    /// The provider takes it back, against notice and compensation.
    Reclaimed,
    /// Another lease of its award ended.
    Partner
}

/// @notice Whether a lease has a committee of witnesses (rules W2, L3).
enum Committee {
    /// Its SLA promises nothing.
    None,
    /// Not drawn yet: only the buyer can accept, and the acceptance time does not run.
    Awaited,
    Drawn,
    /// Too few were eligible: as without one from then on.
    Waived
}

/// @notice Whose doing an end was (rule L5).
enum Fault {
    Nobody,
    Provider,
    Buyer,
    Path
}

/// @notice Why `Awards.open` left a leg out (rule C1).
enum Skip {
    None,
    NotFree,
    ProviderCover,
    BuyerCover
}

/// @notice What all legs of an award share.
/// @param by The buyer's member whose consent and limit carry the price.
/// @param request 0 for a buy-now.
/// @param traits What more was agreed, a set of `Traits`.
/// @param fund Account of `Settlement` in `Escrow` that an auction filled beforehand; 0 takes the price from the
/// buyer's free balance. It holds the buyer's half of the witness fees, too.
/// @param sla What every lease of the award promises.
struct Award {
    OrgId buyer;
    address by;
    RequestId request;
    Policy policy;
    uint8 traits;
    bytes32 fund;
    SlaId sla;
}

/// @notice One provider's part of an award.
/// @param by The provider's member whose consent and limit carry the bond.
/// @param rate Microcredits per resource and hour.
/// @param resources Strictly increasing, 1 to 64 of them.
struct Leg {
    OrgId provider;
    address by;
    OfferId offer;
    uint64 rate;
    Window window;
    ResourceId[] resources;
}
