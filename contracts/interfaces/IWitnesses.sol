// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LeaseId, OrgId} from "./Types.sol";

/// @notice Who witnesses: stakes, the pool, committees by lot, one tick per witness and epoch, proofs of delivery
/// (rules W1-W5, L2).
///
/// A witness measures during epoch `e`. Its tick `e`, accepted in the epoch after it, commits to what it measured:
/// `keccak256(abi.encode(org, e, downHash, root, salt))`. Its next tick opens that: `root`, `salt`, and in calldata
/// every leaf with a down round. `downHash` is computed from those leaves, so a witness publishes all of them or none;
/// `root` is over all its leaves, the good ones too, for audits.
///
/// The salts that are opened during an epoch are folded into its seed. A lease's committees are drawn by seeds that
/// nobody could know before the pool was frozen; the order of the pool, of ticks and of draws decides nothing.
///
/// Assumes: `Leases` knows a lease's facts; only contracts with `Rights.WITNESSES_SLASH` judge witnesses.
/// Does NOT judge leases (`Verdicts`) or witnesses (`Audits`).
interface IWitnesses {
    /// @param smallSize Seats, and `smallQuorum` of them make a verdict, while fewer than `largePool` are eligible.
    /// @param minStake Microcredits; who has less is not drawn and owes no ticks.
    /// @param tickFine For an epoch without a complete tick.
    /// @param slashPpm Of the stake, for what `Audits` proves.
    struct Terms {
        uint8 smallSize;
        uint8 smallQuorum;
        uint8 largeSize;
        uint8 largeQuorum;
        uint8 largePool;
        uint96 minStake;
        uint96 tickFine;
        uint32 slashPpm;
    }

    /// @param signer The key that ticks and signs; never an admin's.
    /// @param joined First epoch it owes a tick for.
    /// @param since First epoch its stake was enough for; it is later than `joined` if the stake was filled up again.
    /// @param exit First epoch it owes none for; 0 while it stays.
    /// @param barredFrom Outside the draw in `[barredFrom, barredUntil)`.
    struct Witness {
        address signer;
        uint32 joined;
        uint32 since;
        uint32 exit;
        uint32 barredFrom;
        uint32 barredUntil;
        uint96 stake;
        address stakedBy;
    }

    /// @param seats Organisations, `size` of them; empty if too few were eligible.
    /// @param drawn The epoch it was drawn in; nobody measures or is paid for an earlier one.
    struct DrawnCommittee {
        OrgId[] seats;
        uint8 quorum;
        uint32 drawn;
    }

    /// @notice What a witness found about one machine of a lease in one epoch; bit i is round i.
    /// @param place The machine's place in `Leases.resourcesOf`.
    /// @param measured Rounds it could tell; `down` is a part of it.
    /// @param samples Merkle root of the single measurements, for audits.
    struct Leaf {
        LeaseId lease;
        uint8 place;
        uint256 measured;
        uint256 down;
        bytes32 samples;
    }

    /// @notice Opens a commitment. All zero where the epoch before had none.
    /// @param chunks Merkle roots of the published leaves, chunk by chunk; `downHash` is their hash (packed).
    struct Opening {
        bytes32[] chunks;
        bytes32 root;
        bytes32 salt;
    }

    /// @notice Shows that a leaf was published: by its chunk, and a proof into it.
    struct Published {
        Opening opening;
        uint256 chunk;
        bytes32[] proof;
        Leaf leaf;
    }

    event WitnessJoined(OrgId indexed org, address indexed signer, uint256 stake, uint32 from);
    event StakeAdded(OrgId indexed org, uint256 amount, uint256 stake);
    event SignerChanged(OrgId indexed org, address indexed signer);
    event WitnessLeaving(OrgId indexed org, uint32 exit);
    event StakeReturned(OrgId indexed org, uint256 amount);
    event Ticked(
        OrgId indexed org,
        uint32 indexed epoch,
        bytes32 commitment,
        bytes32 root,
        bytes32 salt,
        uint256 chunks
    );
    event LeavesPublished(OrgId indexed org, uint32 indexed epoch, uint256 chunk, Leaf[] leaves);
    event CommitteeDrawn(
        LeaseId indexed lease, uint32 indexed term, OrgId[] seats, uint8 quorum, uint32 epoch
    );
    /// @param seats Seats (bits) that have said this, with this one.
    event DeliverySeen(
        LeaseId indexed lease,
        OrgId indexed org,
        uint64 resources,
        bytes32 delivery,
        address[] guests,
        uint256 seats
    );
    event DeliveryProven(LeaseId indexed lease, uint64 resources, address[] guests);
    event TickMissed(OrgId indexed org, uint32 indexed epoch, uint256 fine, OrgId to);
    event WitnessSlashed(OrgId indexed org, bytes32 indexed reason, uint256 amount);

    /// @notice committees of 3 to 6 seats, a quorum of more than half, and the larger committee not below the smaller
    /// @dev Choose other terms.
    error Witnesses_BadTerms();
    /// @notice this organisation is a witness already
    /// @dev See 'ocx witness show'.
    error Witnesses_Joined(OrgId org);
    /// @notice this organisation is not a witness
    /// @dev Join first ('ocx witness join').
    error Witnesses_NotWitness(OrgId org);
    /// @notice this key signs for another witness, or is the zero address
    /// @dev Use a fresh key.
    error Witnesses_BadSigner(address signer);
    /// @notice this key signs for no witness
    /// @dev Use the key the organisation joined with ('ocx witness show').
    error Witnesses_NotSigner(address caller);
    /// @notice the pool is full
    /// @dev Wait until a witness has left.
    error Witnesses_PoolFull(uint256 max);
    /// @notice the stake would be below the least one
    /// @dev Stake at least the amount named.
    error Witnesses_StakeTooLow(uint256 stake, uint256 least);
    /// @notice the stake is still needed
    /// @dev Wait for the epoch named; its duties end there.
    error Witnesses_StillBound(OrgId org, uint32 until);
    /// @notice ticks of this epoch are accepted in the epoch after it only
    /// @dev Look at the clock of the witness ('ocx witness check').
    error Witnesses_TickClosed(uint32 epoch, uint256 from, uint256 until);
    /// @notice this epoch was ticked already
    error Witnesses_Ticked(OrgId org, uint32 epoch);
    /// @notice what is opened is not what was committed
    /// @dev Open the epoch before exactly as it was committed.
    error Witnesses_NotCommitted(OrgId org, uint32 epoch);
    /// @notice too many leaves in a chunk, none, or not in order of lease and place
    /// @dev Publish 1 to 128 leaves a chunk, sorted, each with a down round that was measured.
    error Witnesses_BadLeaves(uint256 index);
    /// @notice this chunk is not published now
    /// @dev Chunks follow the tick that opened their epoch one by one, in the same epoch as it.
    error Witnesses_PublishClosed(OrgId org, uint32 epoch, uint256 chunk);
    /// @notice this leaf was not published
    /// @dev Only published leaves count.
    error Witnesses_NotPublished(OrgId org, uint32 epoch);
    /// @notice no committee is drawn for this lease and term now
    /// @dev Draw once the epoch named has begun.
    error Witnesses_DrawClosed(LeaseId lease, uint32 term, uint32 fromEpoch);
    /// @notice the committee of this term is drawn
    error Witnesses_Drawn(LeaseId lease, uint32 term);
    /// @notice the account does not sit in the committee of this lease
    /// @dev Only its seats say what they saw ('ocx witness show').
    error Witnesses_NotSeat(LeaseId lease, address account);
    /// @notice what was seen is not the delivery as it stands
    /// @dev Fetch it again; the provider delivered more meanwhile, or the lease is over.
    error Witnesses_OtherDelivery(LeaseId lease, uint64 resources, bytes32 delivery);
    /// @notice nothing is to be fined for this epoch
    error Witnesses_NoFine(OrgId org, uint32 epoch);

    /// @notice An organisation with the witness role puts up a stake and joins the pool with the next epoch.
    /// @dev By an admin; the stake comes from its free balance.
    function join(address signer, uint96 stake) external;

    function addStake(uint96 amount) external;

    function setSigner(address signer) external;

    /// @notice Leaves the draw at once, and the duties when every committee it may sit in has served.
    function leave() external;

    /// @notice Returns the stake, from the exit epoch on and once no audit is open; an audit that nobody closes holds it
    /// for 24 epochs more.
    function withdraw() external;

    /// @notice The one transaction of a witness in an epoch: opens `epoch - 1`, commits `epoch` (W4).
    /// @dev Accepted in the epoch after `epoch`. With an opening of zeros `epoch - 1` stays closed, and is fined. Folds
    /// the salt into the seed of the epoch it is accepted in.
    /// @param leaves The first chunk of what is published of `epoch - 1`; empty if nothing was down.
    function tick(uint32 epoch, bytes32 commitment, Opening calldata opening, Leaf[] calldata leaves) external;

    /// @notice A further chunk, in the same window as the tick that opened `epoch`. They come in order, and the order of
    /// leaves runs through them.
    function publish(uint32 epoch, uint256 chunk, bytes32[] calldata chunks, Leaf[] calldata leaves) external;

    /// @notice Draws the committee of a lease's term (24 epochs each, from the epoch it was signed in) (W2).
    /// @dev Anyone, while the term runs. Eligible is who was in the pool at the end of an epoch (first term: of the one
    /// before the signature; later terms: three before their begin) and has the stake. The seed is that of the second
    /// epoch after it (or the next one that has a seed, of up to eight), and that epoch has to be over. A seat's lot is
    /// `keccak256(abi.encode(keccak256(abi.encode(seed, lease, term)), org))`, the lowest sit, in that order; who did not
    /// open in the epoch of the seed draws none, and if fewer than the larger committee are left, it is the smaller one.
    /// With as many eligible as seats all sit, and no seed (0) is awaited. Too few: the lease has none.
    function draw(LeaseId lease, uint32 term) external;

    /// @notice A seat says that it fetched what was delivered and saw each endpoint present its host key; the call with
    /// which as many as the quorum say the same proves the delivery (L2).
    /// @dev By the seat's signer, on chain, since seats have no other channel that a party could not cut. Counted per
    /// lease over (resources, delivery, guests), each seat once for each; a seat may say something else later. Only
    /// what is of the delivery as it stands can be said. Nothing to do for what is proven already: no revert then.
    /// Seats: those of the term of now, or while that is not drawn, or if it is empty, of the one before, or of the first.
    /// @param resources `Leases.Lease.delivered`, and `delivery` is `Leases.Lease.delivery`, as the seat saw them.
    /// @param guests The responders' keys by place, or none at all; the zero address for a machine without a responder.
    function seen(LeaseId lease, uint64 resources, bytes32 delivery, address[] calldata guests) external;

    /// @notice Anyone has a witness fined for an epoch it owed a tick for and did not complete: from three epochs after
    /// its begin on if the fine goes to a buyer, from four on if to the council's fund, and before 64.
    /// @param lease Where it sat and too few ticked, the fine goes to this lease's buyer, where enough did to the
    /// council's fund. 0: to the fund, and only while its stake is enough to be drawn.
    function fine(OrgId org, uint32 epoch, LeaseId lease) external;

    /// @notice For `Audits`. Bars it from the draw, as a fine does.
    function slash(OrgId org, bytes32 reason) external;

    /// @notice For `Audits`: an open challenge keeps a stake bound, for a time; counts up or down.
    function bind(OrgId org, bool bound) external;

    function terms() external view returns (Terms memory);

    /// @notice Seconds of an epoch, and rounds in it (from `Leases`).
    function epoch() external view returns (uint32);

    function rounds() external view returns (uint32);

    function witness(OrgId org) external view returns (Witness memory);

    function signerOf(address signer) external view returns (OrgId);

    /// @notice The key that `setSigner` replaced last; responders' receipts of before name it.
    function formerSigner(OrgId org) external view returns (address);

    function pool() external view returns (OrgId[] memory);

    function committee(LeaseId lease, uint32 term) external view returns (DrawnCommittee memory);

    /// @notice The term an epoch belongs to for a lease.
    function termOf(LeaseId lease, uint32 epoch) external view returns (uint32);

    /// @notice The responders' keys as proven, by place; empty if not proven.
    function guestsOf(LeaseId lease) external view returns (address[] memory);

    /// @notice Epochs with a complete tick in `[from, until)`, counted.
    function ticks(OrgId org, uint32 from, uint32 until) external view returns (uint256);

    function ticked(OrgId org, uint32 epoch) external view returns (bool);

    /// @notice The commitment of an epoch while it is remembered (16 epochs), else 0.
    function commitmentOf(OrgId org, uint32 epoch) external view returns (bytes32);

    /// @notice Reverts unless the leaf was published by that witness for that epoch.
    function requirePublished(OrgId org, uint32 epoch, Published calldata published) external view;

    /// @notice Reverts unless the opening is of that witness's complete tick for that epoch.
    function requireOpening(OrgId org, uint32 epoch, Opening calldata opening) external view;

    /// @notice The seed of a draw: the XOR of the lower 224 bits of `keccak256(abi.encode(org, salt))` over the salts
    /// accepted during an epoch; 0 if there were none, or 32 epochs later. It is final when the epoch is over.
    function seedOf(uint32 epoch) external view returns (bytes32);
}
