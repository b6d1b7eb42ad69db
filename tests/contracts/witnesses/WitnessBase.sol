// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {Inquiries} from "../../../contracts/Inquiries.sol";
import {Witnesses} from "../../../contracts/Witnesses.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {
    Award,
    LeaseId,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    SlaId
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Trees} from "../../../contracts/libraries/Trees.sol";

/// @notice An exchange with witnesses: organisations with a stake, what each measured, and its ticks.
///
/// Witnesses are counted from 0 (`n`). What a witness is to publish of an epoch is set with `_find` before its tick of
/// that epoch; `_tick` commits it, and opens the epoch before as it was committed.
abstract contract WitnessBase is Exchange {
    uint96 internal constant STAKE = 2_000_000;
    uint96 internal constant MIN_STAKE = 1_000_000;
    uint96 internal constant TICK_FINE = 1_000;
    uint32 internal constant SLASH_PPM = 500_000;
    uint256 internal constant FUNDED = 10_000_000;
    uint256 internal constant CHUNK = 128;
    SlaId internal constant SLA = SlaId.wrap(1);
    bytes32 internal constant CONNECTION = keccak256("sealed connection data");
    bytes32 internal constant HOST_KEY = keccak256("host key");
    bytes32 internal constant SPEC = keccak256("measured document");

    Witnesses internal witnesses;
    Inquiries internal inquiries;
    uint32 internal epochTime;
    uint32 internal epochRounds;
    OrgId[] internal orgs;
    address[] internal admins;
    address[] internal signers;

    mapping(uint256 n => mapping(uint256 epoch => IWitnesses.Leaf[])) private _found;
    mapping(uint256 n => mapping(uint256 epoch => bool)) private _committed;

    function setUp() public virtual override {
        super.setUp();
        witnesses = new Witnesses(directory, members, escrow, leases, _witnessTerms());
        inquiries = new Inquiries(directory, members, leases, witnesses);
        epochTime = witnesses.epoch();
        epochRounds = witnesses.rounds();
        vm.startPrank(address(timelock));
        directory.publish("Witnesses", address(witnesses));
        directory.publish("Inquiries", address(inquiries));
        directory.setRight(address(witnesses), Rights.ESCROW_MOVE, true);
        directory.setRight(address(witnesses), Rights.LEASES_WITNESS, true);
        directory.setRight(address(this), Rights.AWARDS_OPEN, true);
        vm.stopPrank();
    }

    function _witnessTerms() internal pure virtual returns (IWitnesses.Terms memory) {
        return IWitnesses.Terms({
            smallSize: 3,
            smallQuorum: 2,
            largeSize: 5,
            largeQuorum: 4,
            largePool: 12,
            minStake: MIN_STAKE,
            tickFine: TICK_FINE,
            slashPpm: SLASH_PPM
        });
    }

    // ---- time --------------------------------------------------------------------------------------------------

    function _epoch() internal view returns (uint32) {
        return uint32(block.timestamp / epochTime);
    }

    /// @dev Some seconds into an epoch.
    function _to(uint256 epoch) internal {
        vm.warp(epoch * epochTime + 7);
    }

    // ---- the pool ----------------------------------------------------------------------------------------------

    /// @dev A funded organisation that may witness, but has not joined.
    function _admitWitness(uint32 group) internal returns (uint256 n) {
        n = orgs.length;
        string memory name = string.concat("witness-", vm.toString(n));
        admins.push(makeAddr(name));
        signers.push(makeAddr(string.concat(name, " signer")));
        orgs.push(_admit(bytes32(bytes(name)), admins[n], Roles.WITNESS, group));
        _fund(orgs[n], admins[n], FUNDED);
    }

    function _joinAs(uint256 n) internal {
        vm.prank(admins[n]);
        witnesses.join(signers[n], STAKE);
    }

    /// @dev So many more witnesses, each of its own group.
    function _join(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            _joinAs(_admitWitness(0));
        }
    }

    /// @dev So many witnesses that have been in the pool for long enough to be drawn for a lease signed now.
    function _pool(uint256 count) internal {
        _join(count);
        _to(_epoch() + 2);
    }

    function _nOf(OrgId org) internal view returns (uint256 n) {
        while (orgs[n] != org) ++n;
    }

    function _account(OrgId org) internal pure returns (bytes32) {
        return bytes32(uint256(OrgId.unwrap(org)));
    }

    // ---- what a witness finds and says -------------------------------------------------------------------------

    function _leaf(LeaseId lease, uint8 place, uint256 down) internal view returns (IWitnesses.Leaf memory) {
        uint256 all = type(uint256).max >> (256 - epochRounds);
        return IWitnesses.Leaf(lease, place, all, down, keccak256("samples"));
    }

    /// @dev One more leaf that a witness is to publish of an epoch; in order of lease and place.
    function _find(uint256 n, uint256 epoch, IWitnesses.Leaf memory leaf) internal {
        _found[n][epoch].push(leaf);
    }

    function _findDown(uint256 n, uint256 epoch, LeaseId lease, uint8 place, uint256 down) internal {
        _find(n, epoch, _leaf(lease, place, down));
    }

    /// @dev What a chunk of a witness's epoch holds.
    function _chunk(uint256 n, uint256 epoch, uint256 chunk)
        internal
        view
        returns (IWitnesses.Leaf[] memory leaves)
    {
        IWitnesses.Leaf[] storage all = _found[n][epoch];
        uint256 from = chunk * CHUNK;
        uint256 until = from + CHUNK < all.length ? from + CHUNK : all.length;
        leaves = new IWitnesses.Leaf[](from < until ? until - from : 0);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = all[from + i];
        }
    }

    function _salt(uint256 n, uint256 epoch) internal view virtual returns (bytes32) {
        return keccak256(abi.encodePacked("OCX salt 1", keccak256(abi.encode(orgs[n], epoch))));
    }

    /// @dev How a witness opens an epoch.
    function _opening(uint256 n, uint256 epoch) internal view returns (IWitnesses.Opening memory o) {
        o.chunks = new bytes32[]((_found[n][epoch].length + CHUNK - 1) / CHUNK);
        for (uint256 c; c < o.chunks.length; ++c) {
            o.chunks[c] = Trees.root(_chunk(n, epoch, c));
        }
        // All leaves, and one more that was up all the time: not published, but under the root.
        bytes32[] memory nodes = new bytes32[](_found[n][epoch].length + 1);
        for (uint256 i; i + 1 < nodes.length; ++i) {
            nodes[i] = Trees.hash(_found[n][epoch][i]);
        }
        nodes[nodes.length - 1] = Trees.hash(_goodLeaf(n, epoch));
        o.root = Trees.root(nodes);
        o.salt = _salt(n, epoch);
    }

    /// @dev The last leaf under a witness's root.
    function _goodLeaf(uint256, uint256) internal view returns (IWitnesses.Leaf memory) {
        return _leaf(LeaseId.wrap(type(uint32).max), 0, 0);
    }

    function _commitment(OrgId org, uint256 epoch, IWitnesses.Opening memory o)
        internal
        pure
        returns (bytes32)
    {
        return
            keccak256(abi.encode(org, uint32(epoch), keccak256(abi.encodePacked(o.chunks)), o.root, o.salt));
    }

    /// @dev The tick of an epoch, with all chunks. The clock has to be in the epoch after it.
    function _tick(uint256 n, uint256 epoch) internal {
        IWitnesses.Opening memory o;
        IWitnesses.Leaf[] memory leaves;
        if (_committed[n][epoch - 1]) {
            o = _opening(n, epoch - 1);
            leaves = _chunk(n, epoch - 1, 0);
        }
        bytes32 commitment = _commitment(orgs[n], epoch, _opening(n, epoch));
        vm.prank(signers[n]);
        witnesses.tick(uint32(epoch), commitment, o, leaves);
        _committed[n][epoch] = true;
        for (uint256 c = 1; c < o.chunks.length; ++c) {
            _publish(n, epoch - 1, c);
        }
    }

    function _publish(uint256 n, uint256 epoch, uint256 chunk) internal {
        IWitnesses.Opening memory o = _opening(n, epoch);
        IWitnesses.Leaf[] memory leaves = _chunk(n, epoch, chunk);
        vm.prank(signers[n]);
        witnesses.publish(uint32(epoch), chunk, o.chunks, leaves);
    }

    /// @dev Everybody ticks the epoch before this one.
    function _tickAll() internal {
        for (uint256 n; n < orgs.length; ++n) {
            _tick(n, _epoch() - 1);
        }
    }

    /// @dev Epoch after epoch until `epoch`, with everybody's ticks in each.
    function _runTo(uint256 epoch) internal {
        while (_epoch() < epoch) {
            _to(_epoch() + 1);
            _tickAll();
        }
    }

    /// @dev Shows the `i`-th leaf that a witness published of an epoch.
    function _published(uint256 n, uint256 epoch, uint256 i)
        internal
        view
        returns (IWitnesses.Published memory)
    {
        IWitnesses.Leaf[] memory leaves = _chunk(n, epoch, i / CHUNK);
        bytes32[] memory nodes = new bytes32[](leaves.length);
        for (uint256 k; k < nodes.length; ++k) {
            nodes[k] = Trees.hash(leaves[k]);
        }
        return
            IWitnesses.Published(_opening(n, epoch), i / CHUNK, _proof(nodes, i % CHUNK), leaves[i % CHUNK]);
    }

    /// @dev The proof of the `i`-th leaf under a witness's root; behind the published ones comes `_goodLeaf`.
    function _rootProof(uint256 n, uint256 epoch, uint256 i) internal view returns (bytes32[] memory) {
        bytes32[] memory nodes = new bytes32[](_found[n][epoch].length + 1);
        for (uint256 k; k + 1 < nodes.length; ++k) {
            nodes[k] = Trees.hash(_found[n][epoch][k]);
        }
        nodes[nodes.length - 1] = Trees.hash(_goodLeaf(n, epoch));
        return _proof(nodes, i);
    }

    /// @dev A Merkle proof by the rules of `Trees`, made apart from it.
    function _proof(bytes32[] memory nodes, uint256 i) internal pure returns (bytes32[] memory proof) {
        bytes32[64] memory path;
        uint256 steps;
        for (uint256 n = nodes.length; n > 1; n = (n + 1) / 2) {
            if (i ^ 1 < n) path[steps++] = nodes[i ^ 1];
            for (uint256 k; k < n / 2; ++k) {
                (bytes32 a, bytes32 b) = (nodes[2 * k], nodes[2 * k + 1]);
                nodes[k] = keccak256(a < b ? abi.encodePacked(a, b) : abi.encodePacked(b, a));
            }
            if (n % 2 == 1) nodes[n / 2] = nodes[n - 1];
            i /= 2;
        }
        proof = new bytes32[](steps);
        for (uint256 k; k < steps; ++k) {
            proof[k] = path[k];
        }
    }

    // ---- leases ------------------------------------------------------------------------------------------------

    /// @dev A lease of `north` to `buyer` with an SLA, from the current slot on, not yet signed.
    function _openLease(uint256 count, uint32 slots, SlaId sla) internal returns (LeaseId) {
        return _openLeaseFrom(0, count, slots, sla);
    }

    /// @dev The same, from a later slot on.
    function _openLeaseFrom(uint32 from, uint256 count, uint32 slots, SlaId sla) internal returns (LeaseId) {
        ResourceId[] memory machines = new ResourceId[](count);
        for (uint256 i; i < count; ++i) {
            machines[i] = _register(north, uint256(keccak256(abi.encode(north, inventory.count()))));
        }
        Award memory award = Award(buyerOrg, buyer, RequestId.wrap(0), Policy.Provider, 0, 0, sla);
        Leg[] memory legs = new Leg[](1);
        legs[0] = Leg(northOrg, north, OfferId.wrap(0), RATE, _window(from, slots), machines);
        (, LeaseId[] memory opened) = awards.open(award, legs);
        return opened[0];
    }

    /// @dev Signed now: this epoch is its first one.
    function _signedLease(uint256 count, uint32 slots) internal returns (LeaseId id) {
        id = _openLease(count, slots, SLA);
        vm.prank(north);
        leases.sign(id);
    }

    function _deliver(LeaseId id, uint64 bits) internal {
        vm.prank(north);
        leases.deliver(id, ILeases.Delivery(bits, CONNECTION, HOST_KEY, SPEC));
    }

    /// @dev Signed and wholly delivered now.
    function _deliveredLease(uint256 count, uint32 slots) internal returns (LeaseId id) {
        id = _signedLease(count, slots);
        _deliver(id, type(uint64).max >> (64 - count));
    }

    /// @dev Ticks of everybody until the first committee can be drawn, and the draw. Meant for a lease signed now. Comes
    /// out two epochs later, three if nobody had committed before.
    function _drawFirst(LeaseId id) internal returns (OrgId[] memory) {
        _runTo(_epoch() + 2);
        if (witnesses.seedOf(_epoch() - 1) == 0) _runTo(_epoch() + 1);
        return _draw(id, 0);
    }

    function _draw(LeaseId id, uint32 term) internal returns (OrgId[] memory) {
        witnesses.draw(id, term);
        return witnesses.committee(id, term).seats;
    }

    /// @dev A witness says that it saw what is delivered, without responders.
    function _see(uint256 n, LeaseId id) internal {
        ILeases.Lease memory l = leases.lease(id);
        vm.prank(signers[n]);
        witnesses.seen(id, l.delivered, l.delivery, new address[](0));
    }
}
