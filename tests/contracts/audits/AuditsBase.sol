// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "../witnesses/WitnessBase.sol";
import {Audits} from "../../../contracts/Audits.sol";
import {Verdicts} from "../../../contracts/Verdicts.sol";
import {IAudits} from "../../../contracts/interfaces/IAudits.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OrgId, SlaId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Trees} from "../../../contracts/libraries/Trees.sol";

/// @notice Three witnesses that all sit for a lease of the auditor, `buyer`. What each has under its root, and what it
/// publishes, is set apart, so that it may lie.
abstract contract AuditsBase is WitnessBase {
    uint32 internal constant TOLERANCE = 2000;
    uint32 internal constant OUTLIERS = 3;
    OrgId internal constant FUND = OrgId.wrap(0);
    uint256 internal constant ALL = (1 << 60) - 1;
    uint256 internal constant RESPONDER = 0xBEEF;

    Verdicts internal verdicts;
    Audits internal audits;
    SlaId internal plain;
    SlaId internal guested;
    LeaseId internal lease;
    /// @dev The epoch that is looked at.
    uint32 internal e;
    mapping(uint256 n => mapping(uint256 epoch => IWitnesses.Leaf[])) private _rooted;
    mapping(uint256 n => mapping(uint256 epoch => IWitnesses.Leaf[])) private _shown;
    mapping(uint256 n => mapping(uint256 epoch => bool)) private _said;
    mapping(uint256 n => mapping(uint256 epoch => bool)) internal silent;

    function setUp() public virtual override {
        super.setUp();
        verdicts = new Verdicts(
            directory,
            members,
            escrow,
            leases,
            settlement,
            witnesses,
            IVerdicts.Terms({restoreTime: 600, powerTime: 600, appealBond: 1000, appealTime: 30 days})
        );
        audits =
            new Audits(directory, members, leases, witnesses, verdicts, IAudits.Terms(TOLERANCE, OUTLIERS));
        vm.startPrank(address(timelock));
        directory.setRight(address(verdicts), Rights.ESCROW_MOVE, true);
        directory.setRight(address(verdicts), Rights.LEASES_WITNESS, true);
        directory.setRight(address(verdicts), Rights.SETTLEMENT_JUDGE, true);
        directory.setRight(address(audits), Rights.WITNESSES_SLASH, true);
        vm.stopPrank();
        vm.prank(council);
        members.setRoles(buyerOrg, Roles.BUYER | Roles.AUDITOR);
        IVerdicts.Tier[] memory tiers = new IVerdicts.Tier[](1);
        tiers[0] = IVerdicts.Tier(990_000, 100_000, 0);
        plain = verdicts.registerSla(tiers, false);
        guested = verdicts.registerSla(tiers, true);
        _pool(3);
        lease = _leaseUnder(plain);
        e = _epoch() + 1;
    }

    /// @dev Of the auditor: signed, drawn, delivered now.
    function _leaseUnder(SlaId sla) internal returns (LeaseId id) {
        id = _openLease(1, 60, sla);
        vm.prank(north);
        leases.sign(id);
        witnesses.draw(id, 0);
        _deliver(id, 1);
        vm.prank(buyer);
        leases.accept(id, 1);
    }

    // ---- what a witness has, and says --------------------------------------------------------------------------

    function _key(uint256 n, uint256 epoch) internal view returns (bytes32) {
        return keccak256(abi.encode(orgs[n], epoch));
    }

    function _sample(uint256 n, IWitnesses.Leaf memory leaf, uint256 epoch, uint16 round)
        internal
        view
        virtual
        returns (IAudits.Sample memory s)
    {
        bytes32 secret = keccak256(abi.encodePacked(_key(n, epoch), leaf.lease, leaf.place, round));
        s.round = round;
        s.at = uint64(1000 * (epoch * 3600 + 60 * uint256(round)) + uint256(secret) % 60_000 + 100);
        s.outcome = (leaf.down >> round) & 1 != 0 ? 2 : (leaf.measured >> round) & 1 != 0 ? 1 : 4;
        s.nonce = keccak256(abi.encode("nonce", n, round));
        s.signature = _receipt(RESPONDER, leaf, epoch, round, signers[n], s.nonce);
    }

    function _receipt(
        uint256 key,
        IWitnesses.Leaf memory leaf,
        uint256 epoch,
        uint16 round,
        address witness,
        bytes32 nonce
    ) internal pure returns (bytes memory) {
        bytes memory packed = abi.encodePacked(
            "OCX guest 1", LeaseId.unwrap(leaf.lease), leaf.place, uint32(epoch), round, witness, nonce
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, sha256(packed));
        return abi.encodePacked(r, s, v);
    }

    function _samples(uint256 n, IWitnesses.Leaf memory leaf, uint256 epoch)
        internal
        view
        returns (bytes32[] memory nodes)
    {
        nodes = new bytes32[](60);
        for (uint16 i; i < 60; ++i) {
            IAudits.Sample memory s = _sample(n, leaf, epoch, i);
            nodes[i] = keccak256(abi.encode(s.round, s.at, s.outcome, s.nonce, keccak256(s.signature)));
        }
    }

    /// @dev A leaf with its samples.
    function _measured(uint256 n, LeaseId id, uint256 epoch, uint256 measured, uint256 down)
        internal
        view
        returns (IWitnesses.Leaf memory leaf)
    {
        leaf = IWitnesses.Leaf(id, 0, measured, down, 0);
        leaf.samples = Trees.root(_samples(n, leaf, epoch));
    }

    function _root(uint256 n, uint256 epoch, IWitnesses.Leaf memory leaf) internal {
        _rooted[n][epoch].push(leaf);
    }

    function _show(uint256 n, uint256 epoch, IWitnesses.Leaf memory leaf) internal {
        _shown[n][epoch].push(leaf);
    }

    /// @dev An honest leaf: under the root, and published if something was down.
    function _say(uint256 n, uint256 epoch, uint256 measured, uint256 down)
        internal
        returns (IWitnesses.Leaf memory leaf)
    {
        leaf = _measured(n, lease, epoch, measured, down);
        _root(n, epoch, leaf);
        if (down != 0) _show(n, epoch, leaf);
    }

    function _open(uint256 n, uint256 epoch) internal view returns (IWitnesses.Opening memory o) {
        o.chunks = new bytes32[](_shown[n][epoch].length == 0 ? 0 : 1);
        if (o.chunks.length != 0) o.chunks[0] = Trees.root(_shown[n][epoch]);
        o.root = Trees.root(_rooted[n][epoch]);
        o.salt = _salt(n, epoch);
    }

    function _rootedLeaf(uint256 n, uint256 epoch, uint256 i) internal view returns (IAudits.Rooted memory) {
        IWitnesses.Leaf[] memory leaves = _rooted[n][epoch];
        bytes32[] memory nodes = new bytes32[](leaves.length);
        for (uint256 k; k < nodes.length; ++k) {
            nodes[k] = Trees.hash(leaves[k]);
        }
        return IAudits.Rooted(leaves[i], _proof(nodes, i));
    }

    function _shownLeaf(uint256 n, uint256 epoch) internal view returns (IWitnesses.Published memory) {
        return IWitnesses.Published(_open(n, epoch), 0, new bytes32[](0), _shown[n][epoch][0]);
    }

    function _page(uint256 n, uint256 epoch) internal view returns (IAudits.Page memory page) {
        IWitnesses.Opening memory o = _open(n, epoch);
        page.org = orgs[n];
        page.root = o.root;
        page.salt = o.salt;
        page.chunks = new IWitnesses.Leaf[][](o.chunks.length);
        if (o.chunks.length != 0) page.chunks[0] = _shown[n][epoch];
    }

    /// @dev Pages of all seats that ticked, in order.
    function _pages(uint32 epoch) internal view returns (IAudits.Page[] memory pages) {
        OrgId[] memory seats = witnesses.committee(lease, 0).seats;
        uint256 n;
        for (uint256 i; i < seats.length; ++i) {
            if (!silent[_nOf(seats[i])][epoch]) ++n;
        }
        pages = new IAudits.Page[](n);
        n = 0;
        for (uint256 i; i < seats.length; ++i) {
            uint256 who = _nOf(seats[i]);
            if (!silent[who][epoch]) pages[n++] = _page(who, epoch);
        }
    }

    /// @dev Everybody's tick of an epoch, in the one after it.
    function _tickEpoch(uint32 epoch) internal {
        _to(epoch + 1);
        for (uint256 n; n < orgs.length; ++n) {
            if (silent[n][epoch]) continue;
            IWitnesses.Opening memory o;
            IWitnesses.Leaf[] memory leaves = new IWitnesses.Leaf[](0);
            if (_said[n][epoch - 1]) (o, leaves) = (_open(n, epoch - 1), _shown[n][epoch - 1]);
            bytes32 commitment = _commitment(orgs[n], epoch, _open(n, epoch));
            vm.prank(signers[n]);
            witnesses.tick(epoch, commitment, o, leaves);
            _said[n][epoch] = true;
        }
    }

    /// @dev An epoch is committed, and opened by the tick of the next.
    function _publish(uint32 epoch) internal {
        _tickEpoch(epoch);
        _tickEpoch(epoch + 1);
    }

    // ---- audits ------------------------------------------------------------------------------------------------

    function _audit(uint256 n, uint32 epoch, uint16 round) internal returns (uint256) {
        vm.prank(buyer);
        return audits.audit(orgs[n], epoch, lease, 0, round);
    }

    function _answer(uint256 n, uint256 id, IAudits.Sample memory sample, IWitnesses.Leaf memory leaf)
        internal
    {
        IAudits.Audit memory a = audits.auditOf(id);
        bytes32[] memory proof = _proof(_samples(n, leaf, a.epoch), a.round);
        vm.prank(signers[n]);
        audits.answer(id, _key(n, a.epoch), _open(n, a.epoch), _rootedLeaf(n, a.epoch, 0), sample, proof);
    }

    /// @dev As it was measured.
    function _answer(uint256 n, uint256 id) internal {
        IAudits.Audit memory a = audits.auditOf(id);
        IWitnesses.Leaf memory leaf = _rootedLeaf(n, a.epoch, 0).leaf;
        _answer(n, id, _sample(n, leaf, a.epoch, a.round), leaf);
    }

    function _stake(uint256 n) internal view returns (uint256) {
        return witnesses.witness(orgs[n]).stake;
    }

    function _assertSlashed(uint256 n, uint256 times) internal view {
        uint256 left = STAKE;
        for (uint256 i; i < times; ++i) {
            left -= left * SLASH_PPM / 1_000_000;
        }
        assertEq(_stake(n), left, "stake");
    }
}
