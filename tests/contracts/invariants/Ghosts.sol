// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";

import {Exchange} from "../Exchange.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Committee,
    EndReason,
    LeaseId,
    OfferId,
    OrgId,
    RequestId,
    ResourceId
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";

/// @notice What the invariant tests remember beside the contracts: who took part, what each lease's money did as the
/// events tell it, and which slots each lease holds as the rules say. Three sellers with four machines each, two buyers.
abstract contract Ghosts is Exchange {
    /// @dev A lease's money, summed from events.
    struct Money {
        uint256 price;
        uint256 bond;
        uint256 paid;
        uint256 refunded;
        uint256 forfeited;
        uint256 freed;
        uint256 fee;
        uint256 feePaid;
        uint256 feeReturned;
    }

    /// @dev `[start, end)` of one resource, turnaround included; empty once all of it went back.
    struct Claim {
        uint32 lease;
        uint32 start;
        uint32 end;
    }

    /// @dev What of a lease's slots was seen to go back.
    struct Returned {
        bool missing;
        bool rest;
    }

    struct Sealed {
        IBook.Bid bid;
        bytes32 salt;
    }

    uint256 internal constant EACH = 4;
    uint96 internal constant CLERK_LIMIT = 60_000_000;

    address internal east = makeAddr("east");
    OrgId internal eastOrg;
    address[3] internal sellers;
    address[3] internal deputies;
    address[2] internal buyers;
    address[2] internal clerks;
    ResourceId[] internal machines;
    uint32 internal origin;

    uint256 internal minted;
    uint256 internal clock;
    uint32 internal seen;
    mapping(uint32 lease => Money) internal money;
    mapping(uint32 lease => Returned) internal returned;
    mapping(uint32 resource => Claim[]) internal claims;
    mapping(uint32 request => mapping(uint32 org => Sealed)) internal bids;
    mapping(bytes32 act => uint256) internal done;

    /// @dev Every act runs at the handler's own time and is followed up in the ghosts.
    modifier act(bytes32 name) {
        vm.warp(clock);
        vm.recordLogs();
        _;
        clock = vm.getBlockTimestamp();
        _readLogs();
        _followSlots();
        ++done[name];
    }

    function setUp() public virtual override {
        super.setUp();
        clock = vm.getBlockTimestamp();
        origin = _now();
        eastOrg = _admit("east", east, Roles.SELLER, 0);
        _fund(eastOrg, east, 1_000_000_000);
        minted = 5_000_000_000;
        // The test is also what draws committees, proves, judges, pays witnesses, and amends leases.
        vm.startPrank(address(timelock));
        directory.setRight(address(this), Rights.LEASES_AMEND, true);
        directory.setRight(address(this), Rights.LEASES_WITNESS, true);
        directory.setRight(address(this), Rights.SETTLEMENT_JUDGE, true);
        vm.stopPrank();
        sellers = [north, south, east];
        buyers = [buyer, rival];
        uint16 operator = MemberRights.OFFER | MemberRights.SIGN | MemberRights.DELIVER | MemberRights.RELEASE;
        for (uint256 i; i < 3; ++i) {
            deputies[i] = makeAddr(string.concat("deputy", vm.toString(i)));
            vm.prank(sellers[i]);
            members.setMember(deputies[i], operator, 0);
            for (uint256 k; k < EACH; ++k) {
                machines.push(_register(sellers[i], machines.length + 1));
            }
        }
        for (uint256 i; i < 2; ++i) {
            clerks[i] = makeAddr(string.concat("clerk", vm.toString(i)));
            vm.prank(buyers[i]);
            members.setMember(clerks[i], MemberRights.BUY, CLERK_LIMIT);
        }
    }

    function _readLogs() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(settlement) || logs[i].topics.length < 2) continue;
            _readLog(logs[i].topics[0], money[uint32(uint256(logs[i].topics[1]))], logs[i].data);
        }
    }

    function _readLog(bytes32 topic, Money storage m, bytes memory data) private {
        if (topic == ISettlement.Funded.selector) {
            (m.price, m.bond, m.fee) = abi.decode(data, (uint256, uint256, uint256));
        } else if (topic == ISettlement.Extended.selector) {
            (uint256 price, uint256 bond, uint256 fee,,) =
                abi.decode(data, (uint256, uint256, uint256, uint40, uint64));
            m.price += price;
            m.bond += bond;
            m.fee += fee;
        } else if (topic == ISettlement.Accrued.selector) {
            (uint256 amount,) = abi.decode(data, (uint256, uint256));
            m.paid += amount;
        } else if (
            topic == ISettlement.DisputeResolved.selector || topic == ISettlement.FeesReturned.selector
        ) {
            (uint256 toBuyer, uint256 toProvider) = abi.decode(data, (uint256, uint256));
            if (topic == ISettlement.DisputeResolved.selector) m.paid += toBuyer + toProvider;
            else m.feeReturned += toBuyer + toProvider;
        } else {
            uint256 amount = abi.decode(data, (uint256));
            if (topic == ISettlement.PenaltyPaid.selector) m.paid += amount;
            if (topic == ISettlement.FeePaid.selector) m.feePaid += amount;
            if (topic == ISettlement.ReservePaid.selector) m.paid += amount;
            if (topic == ISettlement.PriceRefunded.selector) m.refunded += amount;
            if (topic == ISettlement.BondForfeited.selector) m.forfeited += amount;
            if (topic == ISettlement.BondFreed.selector) m.freed += amount;
        }
    }

    /// @dev New leases claim window and turnaround; what ended gives back from the next slot on (L6).
    function _followSlots() private {
        for (; seen < leases.count(); ++seen) {
            LeaseId id = LeaseId.wrap(seen + 1);
            ILeases.Lease memory l = leases.lease(id);
            ResourceId[] memory ids = leases.resourcesOf(id);
            for (uint256 i; i < ids.length; ++i) {
                assertEq(inventory.resource(ids[i]).holds, 0, "I3: leased while held");
                claims[ResourceId.unwrap(ids[i])].push(Claim(seen + 1, l.start, l.end + TURNAROUND));
            }
        }
        for (uint32 id = 1; id <= seen; ++id) {
            Returned storage r = returned[id];
            if (r.rest) continue;
            ILeases.Lease memory l = leases.lease(LeaseId.wrap(id));
            if (l.missing != 0 && !r.missing) {
                r.missing = true;
                _giveBack(id, l, ~l.delivered);
            }
            if (!r.rest && (l.wipedAt != 0 || (l.delivered == 0 && l.endedAt != 0))) {
                r.rest = true;
                _giveBack(id, l, l.delivered == 0 ? type(uint64).max : l.delivered);
            }
        }
    }

    function _giveBack(uint32 id, ILeases.Lease memory l, uint64 which) private {
        ResourceId[] memory ids = leases.resourcesOf(LeaseId.wrap(id));
        uint32 from = clock < uint256(l.start) * SLOT ? l.start : uint32(clock / SLOT + 1);
        for (uint256 i; i < ids.length; ++i) {
            if ((which >> i) & 1 == 0) continue;
            Claim[] storage list = claims[ResourceId.unwrap(ids[i])];
            for (uint256 k; k < list.length; ++k) {
                if (list[k].lease == id && from < list[k].end) list[k].end = from;
            }
        }
    }

    /// @dev The lease's end moved; what of it went back before stays so.
    function _followEnd(LeaseId id, uint32 before, uint32 end) internal {
        ResourceId[] memory ids = leases.resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            Claim[] storage list = claims[ResourceId.unwrap(ids[i])];
            for (uint256 k; k < list.length; ++k) {
                if (list[k].lease == LeaseId.unwrap(id) && list[k].end == before + TURNAROUND) {
                    list[k].end = end + TURNAROUND;
                }
            }
        }
    }

    // ---- accounts of the escrow --------------------------------------------------------------------------------

    function _ceilingHeld(RequestId id) internal view returns (uint256) {
        return escrow.balance(address(tender), keccak256(abi.encode("ceiling", id)));
    }

    function _depositsHeld(RequestId id) internal view returns (uint256) {
        return escrow.balance(address(tender), keccak256(abi.encode("deposits", id)));
    }

    function _offerHeld(OfferId id) internal view returns (uint256) {
        return escrow.balance(address(book), bytes32(uint256(OfferId.unwrap(id))));
    }

    function _leaseHeld(LeaseId id) internal view returns (uint256) {
        return escrow.balance(address(settlement), bytes32(uint256(LeaseId.unwrap(id))));
    }

    function _fundHeld(RequestId id) internal view returns (uint256) {
        return settlement.fundBalance(keccak256(abi.encode(address(tender), id)));
    }

    // ---- facts as the rules put them ---------------------------------------------------------------------------

    function _signBy(ILeases.Lease memory l) internal pure returns (uint256) {
        return _min((l.buyerSignedAt != 0 ? l.buyerSignedAt : l.createdAt) + _terms().signTime, _endTime(l));
    }

    function _deliverBy(ILeases.Lease memory l) internal pure returns (uint256) {
        uint256 start = uint256(l.start) * SLOT;
        return _min((start > l.signedAt ? start : l.signedAt) + _terms().deliverTime, _endTime(l));
    }

    function _acceptBy(ILeases.Lease memory l) internal pure returns (uint256) {
        uint256 from =
            l.traits & Traits.ALL_OR_NOTHING != 0 && l.delivered != _all(l) ? _deliverBy(l) : l.deliveredAt;
        uint256 by = _max(from, l.committeeAt) + _terms().acceptTime;
        return l.committee == Committee.Awaited ? _max(by, _endsAt(l)) : by;
    }

    function _accepted(ILeases.Lease memory l) internal view returns (bool) {
        if (l.delivered == 0) return false;
        return l.accepted == l.delivered || (!_mustBeProven(l) && clock >= _acceptBy(l));
    }

    /// @dev L3: a committee was drawn before the delivery, or with the whole time to accept before the end.
    function _mustBeProven(ILeases.Lease memory l) internal pure returns (bool) {
        if (l.committee != Committee.Drawn) return false;
        return l.committeeAt <= l.deliveredAt || l.committeeAt + _terms().acceptTime <= _endsAt(l);
    }

    /// @dev L3: the provider's default, and nobody has settled it yet.
    function _unproven(ILeases.Lease memory l) internal view returns (bool) {
        if (!_mustBeProven(l) || l.delivered == 0 || l.accepted == l.delivered) return false;
        bool decided = l.reason == EndReason.Rejected || l.reason == EndReason.Unproven;
        return !decided && clock >= _acceptBy(l);
    }

    function _countsFrom(ILeases.Lease memory l) internal pure returns (uint256) {
        return _max(uint256(l.start) * SLOT, l.deliveredAt);
    }

    function _parties(LeaseId id, ILeases.Lease memory l) internal pure returns (ISettlement.Parties memory) {
        return ISettlement.Parties(id, l.buyer, l.provider, l.rate);
    }

    function _endTime(ILeases.Lease memory l) internal pure returns (uint256) {
        return uint256(l.end) * SLOT;
    }

    function _endsAt(ILeases.Lease memory l) internal pure returns (uint256) {
        return l.endedAt != 0 ? l.endedAt : _endTime(l);
    }

    function _all(ILeases.Lease memory l) internal pure returns (uint64) {
        return uint64((1 << uint256(l.count)) - 1);
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a : b;
    }

    function _sellerOf(OrgId org) internal view returns (address) {
        return org == northOrg ? north : org == southOrg ? south : east;
    }

    function _buyerOf(OrgId org) internal view returns (address) {
        return org == buyerOrg ? buyer : rival;
    }

    function _orgOf(address account) internal view returns (OrgId) {
        return members.member(account).org;
    }
}
