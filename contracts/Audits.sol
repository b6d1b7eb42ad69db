// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Governed} from "./Governed.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {IVerdicts} from "./interfaces/IVerdicts.sol";
import {IWitnesses} from "./interfaces/IWitnesses.sol";
import {LeaseId, OrgId} from "./interfaces/Types.sol";
import {Rounds} from "./libraries/Rounds.sol";
import {Trees} from "./libraries/Trees.sol";

/// @notice See {IAudits}.
contract Audits is IAudits, Governed {
    using Rounds for Rounds.Frame;

    /// @dev Audits of one witness by one auditor in an epoch.
    uint256 private constant MOST = 4;
    /// @dev `Witnesses` remembers a commitment for so many epochs.
    uint256 private constant REMEMBERED = 16;
    /// @dev Epochs from the begin of a span's last epoch until it is final.
    uint256 private constant FINAL = 4;
    /// @dev Outliers further apart do not count together.
    uint256 private constant FORGET = 720;
    uint8 private constant UP = 1;
    uint8 private constant PROVIDER = 2;
    uint8 private constant BUYER = 3;

    /// @param by The auditor's organisation.
    struct Asked {
        OrgId org;
        uint32 epoch;
        LeaseId lease;
        uint8 place;
        uint16 round;
        uint40 deadline;
        bool closed;
        OrgId by;
        bytes32 commitment;
    }

    /// @dev One machine in one epoch.
    struct Where {
        LeaseId lease;
        uint8 place;
        uint32 epoch;
    }

    /// @dev What a committee said of a machine; `up` is what is not down.
    struct Said {
        uint256 mine;
        uint256[] down;
        uint256[] up;
    }

    /// @param count Audits in `epoch`.
    struct Load {
        uint32 epoch;
        uint32 count;
    }

    /// @param last The newest epoch of them.
    struct Outliers {
        uint32 last;
        uint32 count;
    }

    IMembers public immutable members;
    ILeases public immutable leases;
    IWitnesses public immutable witnesses;
    IVerdicts public immutable verdicts;
    uint32 private immutable _epoch;
    uint32 private immutable _rounds;
    uint32 private immutable _slot;
    uint32 private immutable _toleranceMs;
    uint32 private immutable _outlierEpochs;

    /// @inheritdoc IAudits
    uint256 public auditCount;
    /// @inheritdoc IAudits
    uint256 public canaryCount;
    mapping(uint256 id => Asked) private _audits;
    mapping(uint256 id => Canary) private _canaries;
    mapping(OrgId by => mapping(OrgId => Load)) private _loads;
    /// @dev Rounds audited, canaries revealed: each once.
    mapping(bytes32 what => bool) private _seen;
    /// @dev Slashed for an epoch, or counted as an outlier in it: each once.
    mapping(OrgId => mapping(uint32 epoch => bool)) private _slashed;
    mapping(OrgId => mapping(uint32 epoch => bool)) private _counted;
    mapping(OrgId => Outliers) private _outliers;

    constructor(
        IDirectory directory_,
        IMembers members_,
        ILeases leases_,
        IWitnesses witnesses_,
        IVerdicts verdicts_,
        Terms memory terms_
    ) Governed(directory_) {
        if (terms_.toleranceMs == 0 || terms_.outlierEpochs < 2) {
            revert Audits_BadTerms();
        }
        members = members_;
        leases = leases_;
        witnesses = witnesses_;
        verdicts = verdicts_;
        _epoch = witnesses_.epoch();
        _rounds = witnesses_.rounds();
        _slot = leases_.inventory().slot();
        _toleranceMs = terms_.toleranceMs;
        _outlierEpochs = terms_.outlierEpochs;
    }

    // ---- audits ------------------------------------------------------------------------------------------------

    /// @inheritdoc IAudits
    function audit(OrgId org, uint32 epoch, LeaseId lease, uint8 place, uint16 round)
        external
        returns (uint256 id)
    {
        OrgId by = _auditor();
        _seatsFor(org, lease, epoch);
        bytes32 commitment = witnesses.commitmentOf(org, epoch);
        if (
            commitment == 0 || !witnesses.ticked(org, epoch)
                || (_billed(lease, place, epoch) >> round) & 1 == 0 || !_mayAsk(by, org)
        ) revert Audits_Closed(org, epoch);
        _once(keccak256(abi.encode(org, epoch, lease, place, round)), org, epoch);

        id = ++auditCount;
        // Safe: seconds have 40 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint40 deadline = uint40(block.timestamp + _epoch);
        _audits[id] = Asked(org, epoch, lease, place, round, deadline, false, by, commitment);
        emit AuditOpened(id, org, epoch, lease, place, round, deadline);

        witnesses.bind(org, true);
    }

    /// @dev Counts, so that no auditor floods a witness.
    function _mayAsk(OrgId by, OrgId org) private returns (bool) {
        Load storage load = _loads[by][org];
        uint32 now_ = _epochNow();
        if (load.epoch != now_) (load.epoch, load.count) = (now_, 0);
        return ++load.count <= MOST;
    }

    /// @inheritdoc IAudits
    function answer(
        uint256 id,
        bytes32 key,
        IWitnesses.Opening calldata opening,
        Rooted calldata leaf,
        Sample calldata sample,
        bytes32[] calldata proof
    ) external {
        Asked memory a = _audits[id];
        if (a.closed || block.timestamp >= a.deadline) revert Audits_NoAudit(id);
        if (witnesses.signerOf(msg.sender) != a.org) revert Audits_NotSigner(a.org, msg.sender);
        _requireCommitted(id, a, key, opening, leaf);

        bytes32 why;
        if (_has(leaf.leaf.measured, a.round)) {
            bytes32 hash = keccak256(
                abi.encode(sample.round, sample.at, sample.outcome, sample.nonce, keccak256(sample.signature))
            );
            if (
                sample.round != a.round || proof.length > Trees.MAX_DEPTH
                    || !MerkleProof.verifyCalldata(proof, leaf.leaf.samples, hash)
            ) revert Audits_NotCommitted(id);
            why = _fault(a, key, _has(leaf.leaf.down, a.round), sample);
        } else if (_has(leaf.leaf.down, a.round)) {
            why = "outcome";
        }
        _close(id, a, why);
    }

    /// @dev That the key, and the leaf of the machine, are those of the commitment.
    function _requireCommitted(
        uint256 id,
        Asked memory a,
        bytes32 key,
        IWitnesses.Opening calldata opening,
        Rooted calldata leaf
    ) private pure {
        bytes32 chunks = keccak256(abi.encodePacked(opening.chunks));
        bytes32 commitment = keccak256(abi.encode(a.org, a.epoch, chunks, opening.root, opening.salt));
        if (
            commitment != a.commitment || opening.salt != keccak256(abi.encodePacked("OCX salt 1", key))
                || !_isOf(leaf.leaf, a.lease, a.place) || !_isUnder(opening.root, leaf)
        ) revert Audits_NotCommitted(id);
    }

    /// @dev What is wrong with a sample of a round that is called measured; 0 if nothing is.
    function _fault(Asked memory a, bytes32 key, bool down, Sample calldata sample)
        private
        view
        returns (bytes32)
    {
        // slither-disable-next-line weak-prng (from the secret key of the witness, that is now open: W3)
        uint256 offset = uint256(keccak256(abi.encodePacked(key, a.lease, a.place, a.round)))
            % (uint256(_epoch) * 1000 / _rounds);
        uint256 due = 1000 * Rounds.startOf(_frame(0, 0), a.epoch, a.round) + offset;
        if (sample.at < due || sample.at > due + _toleranceMs) return "time";

        uint8 outcome = sample.outcome;
        if (outcome < UP || outcome > BUYER || (outcome == PROVIDER) != down) return "outcome";
        if (outcome == UP && !_isReceipt(a, sample)) return "receipt";
        return 0;
    }

    /// @dev Whether the responder in the guest signed for this witness, if there has to be one.
    function _isReceipt(Asked memory a, Sample calldata sample) private view returns (bool) {
        address[] memory guests = witnesses.guestsOf(a.lease);
        address guest = a.place < guests.length ? guests[a.place] : address(0);
        if (guest == address(0) || !_needsGuest(a.lease)) return true;
        return
            _signed(a, msg.sender, sample, guest) || _signed(a, witnesses.formerSigner(a.org), sample, guest);
    }

    /// @dev An SLA that is not registered, or was after the lease had been opened, asks for nothing.
    function _needsGuest(LeaseId lease) private view returns (bool) {
        try verdicts.sla(leases.lease(lease).sla) returns (
            IVerdicts.Tier[] memory, bool guest, uint32 opened
        ) {
            return guest && LeaseId.unwrap(lease) > opened;
        } catch {
            return false;
        }
    }

    function _signed(Asked memory a, address witness, Sample calldata sample, address guest)
        private
        pure
        returns (bool)
    {
        bytes32 digest = sha256(
            abi.encodePacked("OCX guest 1", a.lease, a.place, a.epoch, a.round, witness, sample.nonce)
        );
        (address signer, ECDSA.RecoverError failed,) = ECDSA.tryRecover(digest, sample.signature);
        return failed == ECDSA.RecoverError.NoError && signer == guest;
    }

    /// @inheritdoc IAudits
    function fail(uint256 id) external {
        Asked memory a = _audits[id];
        if (a.closed || a.deadline == 0 || block.timestamp < a.deadline) revert Audits_NoAudit(id);
        _close(id, a, "unanswered");
    }

    /// @param why It failed; 0 if it passed.
    function _close(uint256 id, Asked memory a, bytes32 why) private {
        _audits[id].closed = true;
        if (why == 0) emit AuditPassed(id);
        else emit AuditFailed(id, why);

        // Who has left, and perhaps joined anew, did not measure under the stake it has now.
        if (!_isThere(a.org, a.epoch)) return;
        witnesses.bind(a.org, false);
        if (why != 0 && !_slashed[a.org][a.epoch]) _slash(a.org, a.epoch, why);
    }

    // ---- canaries ----------------------------------------------------------------------------------------------

    /// @inheritdoc IAudits
    function commitCanary(bytes32 hash) external returns (uint256 id) {
        OrgId by = _auditor();
        id = ++canaryCount;
        Canary storage c = _canaries[id];
        c.auditor = by;
        c.committed = _epochNow();
        c.hash = hash;
        emit CanaryCommitted(id, by, hash);
    }

    /// @inheritdoc IAudits
    function revealCanary(uint256 id, LeaseId lease, uint8 place, uint32 epoch, uint256 down, bytes32 salt)
        external
    {
        OrgId by = _auditor();
        Canary storage c = _canaries[id];
        bool mine = c.auditor == by && leases.lease(lease).buyer == by;
        bool committed =
            c.hash == keccak256(abi.encode(lease, place, epoch, down, salt)) && c.committed < epoch;
        if (!mine || !committed || c.epoch != 0 || !_isRevealTime(lease, epoch)) {
            revert Audits_BadCanary(id);
        }
        down &= _judged(lease, place, epoch);
        if (Rounds.count(down) < Rounds.LEAST) revert Audits_BadCanary(id);
        _once(keccak256(abi.encode(lease, place, epoch)), by, epoch);

        (c.lease, c.place, c.epoch, c.down) = (lease, place, epoch, down);
        emit CanaryRevealed(id, lease, place, epoch, down);
    }

    /// @dev Nothing that is said now changes what the lease costs; what was committed can still be shown.
    function _isRevealTime(LeaseId lease, uint32 epoch) private view returns (bool) {
        uint256 now_ = _epochNow();
        (, uint32 last,) = verdicts.spanOf(lease, epoch);
        return now_ >= uint256(last) + FINAL && now_ <= uint256(epoch) + REMEMBERED;
    }

    /// @inheritdoc IAudits
    function missCanary(uint256 id, Page calldata page) external {
        Canary memory c = _canaries[id];
        if (c.epoch == 0) revert Audits_BadCanary(id);
        _seatsFor(page.org, c.lease, c.epoch);
        uint256 reported = _downOf(page, Where(c.lease, c.place, c.epoch)) & c.down;
        if (2 * Rounds.count(reported) >= Rounds.count(c.down)) revert Audits_NotShown(page.org);
        emit CanaryMissed(id, page.org);
        _slashOnce(page.org, c.epoch, "canary");
    }

    // ---- leaves that belie each other --------------------------------------------------------------------------

    /// @inheritdoc IAudits
    function twoLeaves(
        OrgId org,
        uint32 epoch,
        IWitnesses.Opening calldata opening,
        Rooted calldata a,
        Rooted calldata b
    ) external {
        witnesses.requireOpening(org, epoch, opening);
        if (!_isUnder(opening.root, a) || !_isUnder(opening.root, b) || !_belie(a.leaf, b.leaf)) {
            revert Audits_NotShown(org);
        }
        _slashOnce(org, epoch, "two leaves");
    }

    /// @inheritdoc IAudits
    function unlikeRoot(
        OrgId org,
        uint32 epoch,
        IWitnesses.Published calldata published,
        Rooted calldata leaf
    ) external {
        witnesses.requirePublished(org, epoch, published);
        if (!_isUnder(published.opening.root, leaf) || !_belie(published.leaf, leaf.leaf)) {
            revert Audits_NotShown(org);
        }
        _slashOnce(org, epoch, "unlike root");
    }

    /// @inheritdoc IAudits
    function unpublished(uint32 epoch, Page calldata page, Rooted calldata leaf) external {
        Where memory at = Where(leaf.leaf.lease, leaf.leaf.place, epoch);
        bool hidden = leaf.leaf.down != 0 && _downOf(page, at) == 0;
        if (!hidden || !_isUnder(page.root, leaf)) revert Audits_NotShown(page.org);
        _slashOnce(page.org, epoch, "unpublished");
    }

    function _belie(IWitnesses.Leaf calldata a, IWitnesses.Leaf calldata b) private pure returns (bool) {
        return _isOf(a, b.lease, b.place) && Trees.hash(a) != Trees.hash(b);
    }

    // ---- outliers ----------------------------------------------------------------------------------------------

    /// @inheritdoc IAudits
    function outlier(OrgId org, LeaseId lease, uint8 place, uint32 epoch, Page[] calldata pages) external {
        IWitnesses.DrawnCommittee memory c = _seatsFor(org, lease, epoch);
        Said memory said = _read(org, Where(lease, place, epoch), c.seats, pages);
        if (said.down.length < c.quorum) revert Audits_NotShown(org);
        uint256 judged = _judged(lease, place, epoch);
        uint256 theirs = Rounds.agreed(said.down, c.quorum) & judged;
        uint256 clear = Rounds.agreed(said.up, c.quorum) & judged;
        uint256 either = Rounds.count((said.mine & judged) | theirs);
        uint256 apart = Rounds.count((theirs & ~said.mine) | (said.mine & clear));
        if (either < Rounds.LEAST || 2 * apart <= either) revert Audits_NotShown(org);
        _count(org, lease, epoch);
    }

    /// @dev What the seat, and each other one that ticked, published of a machine. Each has to be shown: who did not
    /// tick has said nothing.
    function _read(OrgId org, Where memory at, OrgId[] memory seats, Page[] calldata pages)
        private
        view
        returns (Said memory said)
    {
        if (pages.length == 0) revert Audits_NotShown(org);
        said.down = new uint256[](pages.length - 1);
        said.up = new uint256[](pages.length - 1);
        uint256 next;
        uint256 others;
        for (uint256 i; i < seats.length; ++i) {
            if (!witnesses.ticked(seats[i], at.epoch)) continue;
            if (next == pages.length || pages[next].org != seats[i]) revert Audits_NotShown(seats[i]);
            uint256 bits = _downOf(pages[next++], at);
            if (seats[i] == org) {
                said.mine = bits;
                continue;
            }
            // All pages are of others: that of the seat is not there.
            if (others == said.down.length) revert Audits_NotShown(org);
            (said.down[others], said.up[others]) = (bits, ~bits);
            ++others;
        }
        if (next != pages.length) revert Audits_NotShown(org);
    }

    /// @dev Slashed is who is an outlier again and again; then it starts anew.
    function _count(OrgId org, LeaseId lease, uint32 epoch) private {
        if (_counted[org][epoch]) revert Audits_Counted(org, epoch);
        _counted[org][epoch] = true;
        Outliers storage o = _outliers[org];
        uint32 total = epoch > uint256(o.last) + FORGET ? 1 : o.count + 1;
        if (epoch > o.last) o.last = epoch;
        o.count = total < _outlierEpochs ? total : 0;
        emit OutlierRecorded(org, lease, epoch, total);
        if (total >= _outlierEpochs) _slash(org, epoch, "outlier");
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IAudits
    function terms() external view returns (Terms memory) {
        return Terms(_toleranceMs, _outlierEpochs);
    }

    /// @inheritdoc IAudits
    function auditOf(uint256 id) external view returns (Audit memory) {
        Asked storage a = _audits[id];
        return Audit(a.org, a.epoch, a.lease, a.place, a.round, a.deadline, a.commitment, a.closed);
    }

    /// @inheritdoc IAudits
    function canaryOf(uint256 id) external view returns (Canary memory) {
        return _canaries[id];
    }

    /// @inheritdoc IAudits
    function outliers(OrgId org) external view returns (uint256) {
        Outliers storage o = _outliers[org];
        return _epochNow() > uint256(o.last) + FORGET ? 0 : o.count;
    }

    // ---- parts -------------------------------------------------------------------------------------------------

    /// @dev Who may buy for an auditor audits for it.
    function _auditor() private view returns (OrgId org) {
        org = members.requireRight(msg.sender, MemberRights.BUY);
        try members.requireActive(org, Roles.AUDITOR) {}
        catch {
            revert Audits_NotAuditor(org);
        }
    }

    /// @dev The committee in which an organisation sat in an epoch.
    function _seatsFor(OrgId org, LeaseId lease, uint32 epoch)
        private
        view
        returns (IWitnesses.DrawnCommittee memory c)
    {
        c = witnesses.committee(lease, witnesses.termOf(lease, epoch));
        for (uint256 i; i < c.seats.length && c.drawn <= epoch; ++i) {
            if (c.seats[i] == org) return c;
        }
        revert Audits_NotSeat(org, lease);
    }

    /// @dev What a page says of a machine: its down rounds, 0 if it has no leaf of it. The page has to be whole.
    function _downOf(Page calldata page, Where memory at) private view returns (uint256 down) {
        bytes32[] memory chunks = new bytes32[](page.chunks.length);
        for (uint256 i; i < chunks.length; ++i) {
            IWitnesses.Leaf[] calldata leaves = page.chunks[i];
            bytes32[] memory nodes = new bytes32[](leaves.length);
            for (uint256 k; k < nodes.length; ++k) {
                nodes[k] = Trees.hash(leaves[k]);
                if (_isOf(leaves[k], at.lease, at.place)) down = leaves[k].down;
            }
            chunks[i] = Trees.root(nodes);
        }
        witnesses.requireOpening(page.org, at.epoch, IWitnesses.Opening(chunks, page.root, page.salt));
    }

    /// @dev Rounds in which a machine bills.
    function _billed(LeaseId lease, uint256 place, uint256 epoch) private view returns (uint256) {
        ILeases.Lease memory l = leases.lease(lease);
        if ((uint256(l.delivered) >> place) & 1 == 0) return 0;
        uint256 from = uint256(l.start) * _slot;
        if (from < l.deliveredAt) from = l.deliveredAt;
        return _frame(from, l.endedAt != 0 ? l.endedAt : uint256(l.end) * _slot).whole(epoch);
    }

    /// @dev Those of them that no power request suspends.
    function _judged(LeaseId lease, uint256 place, uint256 epoch) private view returns (uint256 bits) {
        bits = _billed(lease, place, epoch);
        Rounds.Frame memory f = _frame(0, 0);
        uint40[2][] memory off = verdicts.powerOf(lease);
        for (uint256 i; i < off.length; ++i) {
            bits &= ~f.touched(epoch, off[i][0], off[i][1]);
        }
    }

    function _frame(uint256 from, uint256 until) private view returns (Rounds.Frame memory) {
        return Rounds.Frame(_epoch, _rounds, from, until);
    }

    function _isOf(IWitnesses.Leaf calldata leaf, LeaseId lease, uint8 place) private pure returns (bool) {
        return LeaseId.unwrap(leaf.lease) == LeaseId.unwrap(lease) && leaf.place == place;
    }

    function _isUnder(bytes32 root, Rooted calldata leaf) private pure returns (bool) {
        return Trees.holds(root, leaf.leaf, leaf.proof);
    }

    function _has(uint256 bitmap, uint256 round) private pure returns (bool) {
        return (bitmap >> round) & 1 != 0;
    }

    function _once(bytes32 what, OrgId org, uint32 epoch) private {
        if (_seen[what]) revert Audits_Counted(org, epoch);
        _seen[what] = true;
    }

    /// @dev Whether a witness is the one that measured in an epoch, and not one that joined anew since.
    function _isThere(OrgId org, uint32 epoch) private view returns (bool) {
        uint32 joined = witnesses.witness(org).joined;
        return joined != 0 && joined <= epoch;
    }

    function _slashOnce(OrgId org, uint32 epoch, bytes32 why) private {
        if (_slashed[org][epoch]) revert Audits_Counted(org, epoch);
        if (!_isThere(org, epoch)) revert Audits_NotShown(org);
        _slash(org, epoch, why);
    }

    function _slash(OrgId org, uint32 epoch, bytes32 why) private {
        _slashed[org][epoch] = true;
        witnesses.slash(org, why);
    }

    function _epochNow() private view returns (uint32) {
        // Safe until the year 2106, even with epochs of a second.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(block.timestamp / _epoch);
    }
}
