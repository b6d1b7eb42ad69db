// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {Verdicts} from "../../../contracts/Verdicts.sol";
import {Witnesses} from "../../../contracts/Witnesses.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OfferId, OrgId, ResourceId, SlaId, Window} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Trees} from "../../../contracts/libraries/Trees.sol";
import {Exchange} from "../Exchange.sol";

/// @notice An exchange with three witnesses and a lease under an SLA, begun with a whole epoch; what witnesses say is
/// planned seat by seat, and ticked in time.
abstract contract VerdictsBase is Exchange {
    uint32 internal constant E = 3600;
    uint96 internal constant APPEAL_BOND = 10_000_000;
    uint256 internal constant ALL_ROUNDS = (1 << 60) - 1;
    /// @dev What a machine costs in an epoch.
    uint256 internal constant EPOCH_PRICE = RATE;

    Witnesses internal witnesses;
    Verdicts internal verdicts;
    SlaId internal sla;
    LeaseId internal lease;
    /// @dev The lease's first epoch.
    uint32 internal first;
    OrgId[] internal orgs;
    mapping(OrgId => address) internal signers;
    mapping(OrgId => mapping(uint32 epoch => IWitnesses.Leaf[])) internal planned;
    mapping(OrgId => mapping(uint32 epoch => bool)) internal silent;
    uint32 internal ticked;
    uint256 private _machines = 1000;
    uint32[] private _planned;
    uint256 private _taken;

    function setUp() public virtual override {
        super.setUp();
        witnesses = new Witnesses(directory, members, escrow, leases, _witnessTerms());
        verdicts = new Verdicts(directory, members, escrow, leases, settlement, witnesses, _verdictTerms());
        vm.startPrank(address(timelock));
        directory.setRight(address(witnesses), Rights.ESCROW_MOVE, true);
        directory.setRight(address(verdicts), Rights.ESCROW_MOVE, true);
        directory.setRight(address(witnesses), Rights.LEASES_WITNESS, true);
        directory.setRight(address(verdicts), Rights.LEASES_WITNESS, true);
        directory.setRight(address(verdicts), Rights.SETTLEMENT_JUDGE, true);
        vm.stopPrank();
        for (uint256 i; i < _pool(); ++i) {
            _join(i);
        }
        sla = verdicts.registerSla(_tiers(), false);
        ticked = uint32(block.timestamp / E) + 1;
        first = ticked + 1;
        vm.warp(uint256(first) * E);
        lease = _deliver(1, 48);
    }

    function _pool() internal pure virtual returns (uint256) {
        return 3;
    }

    function _witnessTerms() internal pure returns (IWitnesses.Terms memory) {
        return IWitnesses.Terms({
            smallSize: 3,
            smallQuorum: 2,
            largeSize: 5,
            largeQuorum: 4,
            largePool: 12,
            minStake: 1_000_000,
            tickFine: 1_000,
            slashPpm: 500_000
        });
    }

    function _verdictTerms() internal pure returns (IVerdicts.Terms memory) {
        return
            IVerdicts.Terms({restoreTime: 600, powerTime: 600, appealBond: APPEAL_BOND, appealTime: 30 days});
    }

    /// @dev Below 99 %, 90 % (breach after 3 in a row) and 50 % (breach after 2).
    function _tiers() internal pure returns (IVerdicts.Tier[] memory tiers) {
        tiers = new IVerdicts.Tier[](3);
        tiers[0] = IVerdicts.Tier(990_000, 100_000, 0);
        tiers[1] = IVerdicts.Tier(900_000, 250_000, 3);
        tiers[2] = IVerdicts.Tier(500_000, 1_000_000, 2);
    }

    function _join(uint256 i) private {
        string memory name = string.concat("witness-", vm.toString(i));
        address admin = makeAddr(name);
        OrgId org = _admit(bytes32(bytes(name)), admin, Roles.WITNESS, 0);
        _fund(org, admin, 10_000_000);
        address signer = makeAddr(string.concat(name, " signs"));
        vm.prank(admin);
        witnesses.join(signer, 5_000_000);
        orgs.push(org);
        signers[org] = signer;
    }

    // ---- a lease -----------------------------------------------------------------------------------------------

    /// @dev Bought now, from the current slot on, signed; the committee is not drawn.
    function _open(uint16 machines, uint32 slots, SlaId under) internal returns (LeaseId id) {
        ResourceId[] memory list = new ResourceId[](machines);
        for (uint256 i; i < machines; ++i) {
            list[i] = _register(north, ++_machines);
        }
        Window memory window = _window(0, slots);
        vm.prank(north);
        OfferId offer = book.publish(HOME, IBook.OfferTerms(_window(0, 300), RATE, RATE, 1, under, 0), list);
        vm.prank(buyer);
        (, id) = book.buyNow(HOME, offer, list, window);
        vm.prank(north);
        leases.sign(id);
    }

    function _deliver(uint16 machines, uint32 slots) internal returns (LeaseId id) {
        id = _open(machines, slots, sla);
        witnesses.draw(id, 0);
        _deliverBits(id, type(uint64).max >> (64 - machines));
        vm.prank(buyer);
        leases.accept(id, type(uint64).max >> (64 - machines));
    }

    function _deliverBits(LeaseId id, uint64 bits) internal {
        vm.prank(north);
        leases.deliver(
            id, ILeases.Delivery(bits, keccak256("connection"), keccak256("host"), keccak256("spec"))
        );
    }

    // ---- what witnesses say ------------------------------------------------------------------------------------

    function _seats(LeaseId id, uint32 epoch) internal view returns (OrgId[] memory) {
        return witnesses.committee(id, witnesses.termOf(id, epoch)).seats;
    }

    function _say(uint8 seat, LeaseId id, uint8 place, uint32 epoch, uint256 down) internal {
        OrgId org = _seats(id, epoch)[seat];
        planned[org][epoch].push(IWitnesses.Leaf(id, place, ALL_ROUNDS, down, keccak256("samples")));
    }

    /// @dev So many seats of the lease's committee say the same of its first machine.
    function _say(uint8 seats, uint32 epoch, uint256 down) internal {
        for (uint8 i; i < seats; ++i) {
            _say(i, lease, 0, epoch, down);
        }
    }

    function _chunks(OrgId org, uint32 epoch) internal view returns (bytes32[] memory chunks) {
        IWitnesses.Leaf[] memory leaves = planned[org][epoch];
        chunks = new bytes32[](leaves.length == 0 ? 0 : 1);
        if (leaves.length != 0) chunks[0] = Trees.root(leaves);
    }

    function _opening(OrgId org, uint32 epoch) internal view returns (IWitnesses.Opening memory o) {
        if (epoch < first || silent[org][epoch]) return o;
        o.chunks = _chunks(org, epoch);
        o.root = keccak256(abi.encode("root", org, epoch));
        o.salt = keccak256(abi.encode("salt", org, epoch));
    }

    function _tick(OrgId org, uint32 epoch) private {
        if (silent[org][epoch]) return;
        IWitnesses.Opening memory before = _opening(org, epoch - 1);
        IWitnesses.Opening memory o = _opening(org, epoch);
        bytes32 chunks = keccak256(abi.encodePacked(o.chunks));
        IWitnesses.Leaf[] memory leaves = new IWitnesses.Leaf[](0);
        if (before.chunks.length != 0) leaves = planned[org][epoch - 1];
        vm.prank(signers[org]);
        witnesses.tick(epoch, keccak256(abi.encode(org, epoch, chunks, o.root, o.salt)), before, leaves);
    }

    /// @dev Time passes, and every witness that is not silent ticks each epoch up to this one.
    function _through(uint32 epoch) internal {
        while (ticked < epoch) {
            ++ticked;
            uint256 at = uint256(ticked + 1) * E + 100;
            if (block.timestamp < at) vm.warp(at);
            for (uint256 i; i < orgs.length; ++i) {
                _tick(orgs[i], ticked);
            }
        }
    }

    /// @dev The first second in which claims on a span are taken, and all that was planned for it is public. What was
    /// planned before is claimed.
    function _openClaims(uint32 epoch) internal {
        if (epoch != 0) _take(epoch - 1);
        _ticksBefore(epoch);
    }

    function _ticksBefore(uint32 epoch) private {
        _through(epoch + 1);
        uint256 at = (uint256(epoch) + 3) * E;
        if (block.timestamp < at) vm.warp(at);
    }

    function _final(uint32 epoch) internal {
        _through(epoch + 2);
        vm.warp((uint256(epoch) + 4) * E);
    }

    // ---- claims ------------------------------------------------------------------------------------------------

    function _proof(LeaseId id, uint8 place, uint8 seat, uint32 epoch)
        internal
        view
        returns (IVerdicts.Evidence memory v)
    {
        OrgId org = _seats(id, epoch)[seat];
        v.epoch = epoch;
        v.seat = seat;
        v.published.opening = _opening(org, epoch);
        IWitnesses.Leaf[] memory leaves = planned[org][epoch];
        if (leaves.length > 2) revert("more leaves than the tests prove");
        for (uint256 i; i < leaves.length; ++i) {
            if (LeaseId.unwrap(leaves[i].lease) != LeaseId.unwrap(id) || leaves[i].place != place) continue;
            v.published.leaf = leaves[i];
            v.published.proof = new bytes32[](leaves.length - 1);
            if (leaves.length == 2) v.published.proof[0] = Trees.hash(leaves[1 - i]);
        }
    }

    function _evidence(LeaseId id, uint8 place, uint8 seats, uint32 epoch)
        internal
        view
        returns (IVerdicts.Evidence[] memory list)
    {
        list = new IVerdicts.Evidence[](seats);
        for (uint8 i; i < seats; ++i) {
            list[i] = _proof(id, place, i, epoch);
        }
    }

    function _evidence(uint8 seats, uint32 epoch) internal view returns (IVerdicts.Evidence[] memory) {
        return _evidence(lease, 0, seats, epoch);
    }

    /// @dev A claim on the lease's first machine with what so many seats say.
    function _claim(uint8 seats, uint32 epoch) internal {
        verdicts.claim(lease, 0, epoch, _evidence(seats, epoch));
    }

    /// @dev A claim on it is refused.
    function _refuse(uint8 seats, uint32 epoch, bytes memory why) internal {
        IVerdicts.Evidence[] memory evidence = _evidence(seats, epoch);
        vm.expectRevert(why);
        verdicts.claim(lease, 0, epoch, evidence);
    }

    /// @dev Two seats will say so many rounds from the first on, and it will be claimed. Before the epoch is ticked.
    function _plan(uint32 epoch, uint256 rounds) internal {
        _say(2, epoch, (1 << rounds) - 1);
        _planned.push(epoch);
    }

    /// @dev Claims what was planned, up to this epoch.
    function _take(uint32 epoch) internal {
        for (; _taken < _planned.length && _planned[_taken] <= epoch; ++_taken) {
            _ticksBefore(_planned[_taken]);
            _claim(2, _planned[_taken]);
        }
    }

    function _judge(uint32 epoch, uint256 rounds) internal {
        _plan(epoch, rounds);
        _take(epoch);
    }

    /// @dev Uses grace up: 10 rounds down in the lease's first epoch, forgiven.
    function _useGrace() internal {
        _plan(first, 10);
    }

    function _record() internal view returns (IVerdicts.Record memory) {
        return verdicts.record(lease, 0);
    }

    function _account() internal view returns (ISettlement.Account memory) {
        return settlement.account(lease);
    }

    function _none() internal pure returns (IVerdicts.Evidence[] memory) {
        return new IVerdicts.Evidence[](0);
    }
}
