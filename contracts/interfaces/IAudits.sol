// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IWitnesses} from "./IWitnesses.sol";
import {LeaseId, OrgId} from "./Types.sol";

/// @notice Finds witnesses out: audits of single measurements, canary leases, two different leaves, persistent
/// outliers (rules W11, W12). Never for one round.
///
/// Assumes: an auditor is an organisation the council gave that role; canaries are as honest as it.
/// Does NOT move leases' money: a slashed stake goes to the council's fund.
interface IAudits {
    /// @notice Deployment constants.
    /// @param toleranceMs How late after its secret offset a measurement may be, milliseconds.
    /// @param outlierEpochs As an outlier in so many epochs a witness is slashed; 2 at least. They count together while
    /// no more than 720 epochs lie between one and the next.
    struct Terms {
        uint32 toleranceMs;
        uint32 outlierEpochs;
    }

    /// @notice One measurement.
    /// @param at Unix milliseconds; has to lie within `toleranceMs` after the round's secret offset.
    /// @param outcome 1 up, 2 down (provider), 3 down (buyer), 4 cannot tell (path). 1 to 3 are measured.
    /// @param nonce What the responder signed, with `signature` (65 bytes; empty without a responder):
    /// `sha256(abi.encodePacked("OCX guest 1", uint32 lease, uint8 place, uint32 epoch, uint16 round, address witness,
    /// bytes32 nonce))`; `witness` is the signer that the answer comes from, or the one it replaced.
    struct Sample {
        uint16 round;
        uint64 at;
        uint8 outcome;
        bytes32 nonce;
        bytes signature;
    }

    struct Audit {
        OrgId org;
        uint32 epoch;
        LeaseId lease;
        uint8 place;
        uint16 round;
        uint40 deadline;
        bytes32 commitment;
        bool closed;
    }

    /// @param hash As committed.
    /// @param committed The epoch it was committed in.
    /// @param epoch The epoch of the outage; 0 until it is revealed.
    /// @param down Its rounds, without those that nobody judges.
    struct Canary {
        OrgId auditor;
        uint32 committed;
        LeaseId lease;
        uint8 place;
        uint32 epoch;
        bytes32 hash;
        uint256 down;
    }

    /// @notice All that a witness published for an epoch, so that what is absent is shown, too.
    struct Page {
        OrgId org;
        bytes32 root;
        bytes32 salt;
        IWitnesses.Leaf[][] chunks;
    }

    /// @notice A leaf under `root`, the tree over all leaves of a witness.
    struct Rooted {
        IWitnesses.Leaf leaf;
        bytes32[] proof;
    }

    event AuditOpened(
        uint256 indexed audit,
        OrgId indexed org,
        uint32 epoch,
        LeaseId lease,
        uint8 place,
        uint16 round,
        uint40 deadline
    );
    event AuditPassed(uint256 indexed audit);
    event AuditFailed(uint256 indexed audit, bytes32 why);
    event CanaryCommitted(uint256 indexed canary, OrgId indexed auditor, bytes32 hash);
    event CanaryRevealed(
        uint256 indexed canary, LeaseId indexed lease, uint8 place, uint32 epoch, uint256 down
    );
    event CanaryMissed(uint256 indexed canary, OrgId indexed org);
    event OutlierRecorded(OrgId indexed org, LeaseId indexed lease, uint32 epoch, uint256 total);

    /// @notice a tolerance of at least a millisecond, and outliers in at least two epochs
    /// @dev Choose other terms.
    error Audits_BadTerms();
    /// @notice only an auditor may do this
    /// @dev Ask the council for the role ('ocx member set-roles').
    error Audits_NotAuditor(OrgId org);
    /// @notice this round cannot be audited now, or this auditor has audited the witness often enough in this epoch
    /// @dev Audit rounds in which the machine was delivered, of complete ticks of the last 16 epochs.
    error Audits_Closed(OrgId org, uint32 epoch);
    /// @notice this organisation did not sit for the lease in this epoch
    /// @dev See 'ocx witness show'.
    error Audits_NotSeat(OrgId org, LeaseId lease);
    /// @notice only the audited witness answers
    /// @dev Use the key it ticks with ('ocx witness show').
    error Audits_NotSigner(OrgId org, address account);
    /// @notice there is no such open audit, or its time is not over
    error Audits_NoAudit(uint256 audit);
    /// @notice the answer is not what was committed
    /// @dev Answer with the epoch's key, leaf and sample exactly as they were committed.
    error Audits_NotCommitted(uint256 audit);
    /// @notice the canary was committed too late, revealed too early, or is another
    error Audits_BadCanary(uint256 canary);
    /// @notice this does not show what it is said to show
    error Audits_NotShown(OrgId org);
    /// @notice this was counted already
    error Audits_Counted(OrgId org, uint32 epoch);

    /// @notice An auditor asks a seat of the lease's committee to open one round of its leaf, within an epoch's time.
    /// @dev Each round once, and of one witness four rounds an epoch by one auditor. The round has to lie in the time the
    /// machine bills for, and the tick has to be complete. Binds the stake until the audit is closed.
    function audit(OrgId org, uint32 epoch, LeaseId lease, uint8 place, uint16 round)
        external
        returns (uint256 id);

    /// @notice The witness opens the epoch's key, its leaf and the sample, by the key it signs with. What was not committed
    /// is refused; what was, and does not fit, is slashed at once.
    /// @dev `salt == keccak256(abi.encodePacked("OCX salt 1", key))`; the offset of a round, ms, is
    /// `uint256(keccak256(abi.encodePacked(key, lease, place, round))) % (round's length in ms)`. A round that the leaf
    /// does not call measured passes without a sample: canaries and outliers find who measures little. "Up" needs the
    /// responder's receipt where the SLA asks for a guest and the machine's responder is proven (`Witnesses.guestsOf`).
    function answer(
        uint256 audit,
        bytes32 key,
        IWitnesses.Opening calldata opening,
        Rooted calldata leaf,
        Sample calldata sample,
        bytes32[] calldata proof
    ) external;

    /// @notice Anyone closes an audit that was not answered in time: slashed.
    /// @dev Whatever audits, canaries and leaves show of one epoch of a witness, it is slashed for that epoch once.
    function fail(uint256 audit) external;

    /// @notice An auditor commits to the outages of a lease it rents, before their epoch:
    /// `keccak256(abi.encode(lease, place, epoch, down, salt))`.
    function commitCanary(bytes32 hash) external returns (uint256 id);

    /// @notice The auditor tells, once the epoch is final and before its commitments are forgotten (16 epochs).
    /// @dev Rounds count that bill and are not suspended by a power request: ten at least. One canary for each machine and
    /// epoch.
    function revealCanary(
        uint256 canary,
        LeaseId lease,
        uint8 place,
        uint32 epoch,
        uint256 down,
        bytes32 salt
    ) external;

    /// @notice Anyone shows that a seat did not report at least half of a canary's outage: slashed.
    function missCanary(uint256 canary, Page calldata page) external;

    /// @notice Anyone shows two different leaves of a witness for one machine and epoch: slashed.
    function twoLeaves(
        OrgId org,
        uint32 epoch,
        IWitnesses.Opening calldata opening,
        Rooted calldata a,
        Rooted calldata b
    ) external;

    /// @notice Anyone shows that a published leaf differs from the one under `root`: slashed.
    function unlikeRoot(
        OrgId org,
        uint32 epoch,
        IWitnesses.Published calldata published,
        Rooted calldata leaf
    ) external;

    /// @notice Anyone shows that a leaf under `root` has a down round, and was not published: slashed.
    function unpublished(uint32 epoch, Page calldata page, Rooted calldata leaf) external;

    /// @notice Anyone shows by the pages of all seats that ticked that a seat disagreed with a quorum of the others in more
    /// than half of the rounds that it or they call down (ten at least). In `outlierEpochs` such epochs: slashed.
    /// @param pages In the order of seats. An epoch counts once, however many machines show it.
    function outlier(OrgId org, LeaseId lease, uint8 place, uint32 epoch, Page[] calldata pages) external;

    function terms() external view returns (Terms memory);

    /// @notice Audits and canaries are numbered from 1 on; so many there are.
    function auditCount() external view returns (uint256);

    function canaryCount() external view returns (uint256);

    function auditOf(uint256 id) external view returns (Audit memory);

    function canaryOf(uint256 id) external view returns (Canary memory);

    /// @notice Epochs in which it was an outlier, of those that still count.
    function outliers(OrgId org) external view returns (uint256);
}
