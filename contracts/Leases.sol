// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights} from "./interfaces/IMembers.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {
    Award,
    AwardId,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    OrgId,
    Policy,
    ResourceId,
    Skip
} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {PackedIds} from "./libraries/PackedIds.sol";
import {Rights} from "./libraries/Rights.sol";

/// @notice See {ILeases}.
contract Leases is ILeases, Governed {
    using SafeCast for uint256;
    using PackedIds for mapping(uint256 => uint256);

    IMembers public immutable members;
    IInventory public immutable inventory;
    IEscrow public immutable escrow;
    ISettlement public immutable settlement;
    uint32 private immutable _slot;

    /// @inheritdoc ILeases
    uint32 public count;
    uint32 private _awards;
    Terms private _terms;

    mapping(LeaseId => Lease) private _leases;
    mapping(LeaseId => mapping(uint256 word => uint256)) private _resources;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IInventory inventory_,
        IEscrow escrow_,
        ISettlement settlement_,
        Terms memory terms_
    ) Governed(directory_) {
        members = members_;
        inventory = inventory_;
        escrow = escrow_;
        settlement = settlement_;
        _slot = inventory_.slot();
        _terms = terms_;
    }

    // ---- opening -----------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function open(Award calldata award, Leg[] calldata legs)
        external
        onlyHolder(Rights.LEASES_OPEN)
        returns (AwardId id, LeaseId[] memory opened)
    {
        id = AwardId.wrap(++_awards);
        opened = new LeaseId[](legs.length);
        for (uint256 i; i < legs.length; ++i) {
            Skip skip = skipOf(award, legs[i]);
            if (skip == Skip.None) opened[i] = _open(id, award, legs[i]);
            else emit LegSkipped(id, legs[i].provider, skip);
        }
        if (award.fund != 0) settlement.returnFund(award.fund, award.buyer, award.by);
    }

    function _open(AwardId id, Award calldata award, Leg calldata leg) private returns (LeaseId leaseId) {
        leaseId = LeaseId.wrap(++count);
        Lease storage l = _leases[leaseId];
        l.award = id;
        l.offer = leg.offer;
        l.request = award.request;
        l.provider = leg.provider;
        l.buyer = award.buyer;
        l.start = award.window.start;
        l.end = award.window.end;
        l.count = leg.resources.length.toUint16();
        l.policy = award.policy;
        l.allOrNothing = award.allOrNothing;
        l.rate = leg.rate;
        l.createdAt = _now();
        _resources[leaseId].store(leg.resources);
        _emitOpened(leaseId, id, award, leg);

        for (uint256 i; i < leg.resources.length; ++i) {
            inventory.book(leg.resources[i], award.window.start, award.window.end);
        }
        uint256 price = priceOf(award, leg);
        settlement.open(
            ISettlement.Parties(leaseId, award.buyer, leg.provider, leg.rate),
            award.by,
            price.toUint96(),
            leg.by,
            Amounts.shareDown(price, _terms.defaultPpm).toUint96(),
            award.fund
        );
    }

    function _emitOpened(LeaseId leaseId, AwardId id, Award calldata award, Leg calldata leg) private {
        emit LeaseOpened(
            leaseId,
            leg.provider,
            award.buyer,
            id,
            leg.offer,
            award.request,
            leg.rate,
            award.window.start,
            award.window.end,
            leg.resources,
            award.policy
        );
    }

    /// @inheritdoc ILeases
    function skipOf(Award calldata award, Leg calldata leg) public view returns (Skip) {
        for (uint256 i; i < leg.resources.length; ++i) {
            if (!inventory.isFree(leg.resources[i], award.window.start, award.window.end)) {
                return Skip.NotFree;
            }
        }
        uint256 price = priceOf(award, leg);
        if (!escrow.canLock(leg.provider, leg.by, Amounts.shareDown(price, _terms.defaultPpm))) {
            return Skip.ProviderCover;
        }
        // A fund holds the ceiling of every resource, each rounded up, so no leg costs more than its share of it.
        if (award.fund == 0 && !escrow.canLock(award.buyer, award.by, price)) return Skip.BuyerCover;
        return Skip.None;
    }

    /// @inheritdoc ILeases
    function priceOf(Award calldata award, Leg calldata leg) public view returns (uint256) {
        uint256 from = uint256(award.window.start) * _slot;
        if (from < block.timestamp) from = block.timestamp;
        uint256 until = uint256(award.window.end) * _slot;
        return until <= from ? 0 : Amounts.priceUp(leg.rate, leg.resources.length * (until - from));
    }

    // ---- signing and the fence ---------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function signAsBuyer(LeaseId id) external {
        Lease storage l = _ofBuyer(id);
        if (l.policy != Policy.Both) revert Leases_NoBuyerSignature(id);
        if (l.buyerSignedAt != 0) revert Leases_AlreadySigned(id, l.buyerSignedAt);
        _requireOpen(id, l);
        _requireBefore(id, _signBy(l));
        l.buyerSignedAt = _now();
        emit BuyerSigned(id, msg.sender);
    }

    /// @inheritdoc ILeases
    function sign(LeaseId id) external {
        Lease storage l = _ofProvider(id, MemberRights.SIGN);
        if (l.signedAt != 0) revert Leases_AlreadySigned(id, l.signedAt);
        _requireOpen(id, l);
        _requireBefore(id, _signBy(l));
        if (l.policy == Policy.Both && l.buyerSignedAt == 0) revert Leases_BuyerFirst(id);
        l.signedAt = _now();
        l.fenceHolder = msg.sender;
        l.fenceUntil = _now() + _terms.fenceTime;
        emit LeaseSigned(id, msg.sender, l.fenceUntil);
    }

    /// @inheritdoc ILeases
    function renewFence(LeaseId id) external {
        Lease storage l = _ofProvider(id, MemberRights.SIGN);
        if (l.fenceHolder != msg.sender) revert Leases_NotFenceHolder(id, l.fenceHolder);
        l.fenceUntil = _now() + _terms.fenceTime;
        emit FenceRenewed(id, msg.sender, l.fenceUntil);
    }

    /// @inheritdoc ILeases
    function takeOver(LeaseId id) external {
        Lease storage l = _ofProvider(id, MemberRights.SIGN);
        if (l.signedAt == 0) revert Leases_WrongState(id, stateOf(id));
        address before = l.fenceHolder;
        if (block.timestamp < l.fenceUntil) revert Leases_FenceHeld(id, before, l.fenceUntil);
        l.fenceHolder = msg.sender;
        l.fenceUntil = _now() + _terms.fenceTime;
        emit FenceTaken(id, msg.sender, before, l.fenceUntil);
    }

    // ---- delivery ----------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function deliver(LeaseId id, Delivery calldata d) external {
        Lease storage l = _ofProvider(id, MemberRights.DELIVER);
        if (l.signedAt == 0) revert Leases_WrongState(id, stateOf(id));
        if (l.fenceHolder != msg.sender) revert Leases_NotFenceHolder(id, l.fenceHolder);
        _requireOpen(id, l);
        _requireBefore(id, _deliverBy(l));
        uint64 added = d.resources & ~l.delivered;
        if (added == 0 || d.resources & ~_all(l) != 0) revert Leases_BadBits(id, d.resources, l.count);

        l.delivered |= added;
        l.deliveredAt = _now();
        l.delivery = keccak256(abi.encode(d.connectionHash, d.hostKey, d.specHash));
        emit LeaseDelivered(id, d.resources, d.connectionHash, d.hostKey, d.specHash);

        settlement.start(_parties(id, l), _bits(added), _billsFrom(l).toUint40());
    }

    /// @inheritdoc ILeases
    function accept(LeaseId id, uint64 resources) external {
        Lease storage l = _ofBuyer(id);
        if (l.delivered == 0) revert Leases_NothingDelivered(id);
        if (l.delivered != resources) revert Leases_OtherDelivery(id, l.delivered);
        if (_isAccepted(l) || l.reason == EndReason.Rejected) revert Leases_WrongState(id, stateOf(id));
        l.accepted = l.delivered;
        emit LeaseAccepted(id, l.delivered, msg.sender);
    }

    // ---- ends --------------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function reject(LeaseId id, bytes32 note) external {
        Lease storage l = _ofBuyer(id);
        if (l.delivered == 0) revert Leases_NothingDelivered(id);
        if (_isAccepted(l) || l.endedAt != 0) revert Leases_WrongState(id, stateOf(id));
        bool incomplete = l.allOrNothing && l.delivered != _all(l) && block.timestamp >= _deliverBy(l);
        _dropMissing(id, l, block.timestamp >= _deliverBy(l));
        uint40 at = _earlier(block.timestamp, _endTime(l));
        _end(id, l, EndReason.Rejected, at, note);

        // All or nothing, and not all came: the buyer owes nothing for what did (L1).
        if (incomplete) settlement.refund(_parties(id, l));
        else settlement.draw(_parties(id, l), at, true);
    }

    /// @inheritdoc ILeases
    function cancel(LeaseId id) external {
        Lease storage l = _ofBuyer(id);
        LeaseState state = stateOf(id);
        if (state != LeaseState.Awarded && state != LeaseState.Signed) revert Leases_WrongState(id, state);
        _end(id, l, EndReason.Cancelled, _now(), 0);
        _payReserve(id, l);
    }

    /// @inheritdoc ILeases
    function endEarly(LeaseId id) external {
        Lease storage l = _ofBuyer(id);
        LeaseState state = stateOf(id);
        if (state != LeaseState.Delivered && state != LeaseState.Active) revert Leases_WrongState(id, state);
        if (l.endedAt != 0) revert Leases_WrongState(id, state);
        uint256 at = _billsFrom(l) + _terms.notice;
        if (at >= _endTime(l)) revert Leases_TooLate(id, _endTime(l) - _terms.notice);
        // What did not come until now is no default: its buyer does not wait for it any more.
        _dropMissing(id, l, block.timestamp >= _deliverBy(l));
        _end(id, l, EndReason.BuyerEarly, at.toUint40(), 0);
    }

    /// @inheritdoc ILeases
    function expire(LeaseId id) external {
        Lease storage l = _existing(id);
        if (l.endedAt != 0) revert Leases_NothingToExpire(id);
        if (l.signedAt == 0) _expireUnsigned(id, l);
        else _expireUndelivered(id, l);
    }

    function _expireUnsigned(LeaseId id, Lease storage l) private {
        if (block.timestamp < _signBy(l)) revert Leases_NothingToExpire(id);
        if (l.policy == Policy.Both && l.buyerSignedAt == 0) {
            _end(id, l, EndReason.BuyerUnsigned, _now(), 0);
            _payReserve(id, l);
        } else {
            _end(id, l, EndReason.ProviderUnsigned, _now(), 0);
            uint256 bond = settlement.account(id).bond;
            settlement.refund(_parties(id, l));
            settlement.forfeitBond(_parties(id, l), Amounts.shareDown(bond, _terms.signMissPpm));
            _freeAll(id, l);
        }
    }

    function _expireUndelivered(LeaseId id, Lease storage l) private {
        if (block.timestamp < _deliverBy(l) || l.delivered == _all(l) || l.missing != 0) {
            revert Leases_NothingToExpire(id);
        }
        if (l.delivered != 0) return _dropMissing(id, l, true);
        _end(id, l, EndReason.Undelivered, _now(), 0);
        uint256 bond = settlement.account(id).bond;
        emit ResourcesMissed(id, l.count, bond);
        settlement.refund(_parties(id, l));
        settlement.forfeitBond(_parties(id, l), bond);
        _freeAll(id, l);
    }

    function _end(LeaseId id, Lease storage l, EndReason reason, uint40 at, bytes32 note) private {
        l.reason = reason;
        l.endedAt = at;
        emit LeaseEnded(id, reason, _fault(reason), at, note);
    }

    /// @dev Lets the resources go that were not delivered: their price is unlocked, their slots are free, and if it is
    /// a default, their share of the bond goes to the buyer (L1).
    function _dropMissing(LeaseId id, Lease storage l, bool isDefault) private {
        uint64 gone = _all(l) & ~l.delivered;
        if (gone == 0 || l.missing != 0) return;
        uint16 missing = _bits(gone);
        l.missing = missing;
        ISettlement.Parties memory p = _parties(id, l);
        uint256 penalty = isDefault ? (uint256(settlement.account(id).bond) * missing) / l.count : 0;
        emit ResourcesMissed(id, missing, penalty);

        uint256 from = uint256(l.start) * _slot;
        if (from < l.createdAt) from = l.createdAt;
        settlement.lowerPrice(
            p, Amounts.priceUp(l.rate, uint256(l.count - missing) * (_endTime(l) - from)).toUint96()
        );
        settlement.forfeitBond(p, penalty);
        _freeSlots(id, l, gone);
    }

    /// @dev Ends a lease before delivery by the buyer's doing: the provider is paid for what it kept ready.
    function _payReserve(LeaseId id, Lease storage l) private {
        uint256 price = settlement.account(id).price;
        settlement.payReserve(_parties(id, l), Amounts.shareDown(price, _terms.reservePpm));
        _freeAll(id, l);
    }

    /// @dev Nothing was delivered, so there is nothing to wipe: bond and slots are free at once.
    function _freeAll(LeaseId id, Lease storage l) private {
        settlement.freeBond(_parties(id, l));
        _freeSlots(id, l, _all(l));
    }

    // ---- after the end -----------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function wipe(LeaseId id, bytes32 evidenceHash) external {
        Lease storage l = _existing(id);
        if (msg.sender != directory.council()) _ofProvider(id, MemberRights.RELEASE);
        if (l.delivered == 0) revert Leases_NothingDelivered(id);
        if (l.wipedAt != 0) revert Leases_WrongState(id, stateOf(id));
        _requireSince(id, _endsAt(l));
        _dropMissing(id, l, true);

        l.wipedAt = _now();
        emit LeaseWiped(id, evidenceHash, msg.sender);
        if (l.wipeMissed) _lift(id, l);
        if (_isAccepted(l) && l.reason != EndReason.Rejected) {
            settlement.draw(_parties(id, l), _endsAt(l), true);
        }
        settlement.freeBond(_parties(id, l));
        _freeSlots(id, l, l.delivered);
    }

    /// @inheritdoc ILeases
    function missWipe(LeaseId id) external {
        Lease storage l = _existing(id);
        if (l.delivered == 0) revert Leases_NothingDelivered(id);
        if (l.wipedAt != 0 || l.wipeMissed) revert Leases_WrongState(id, stateOf(id));
        _requireSince(id, _endsAt(l) + _terms.wipeTime);

        l.wipeMissed = true;
        uint256 penalty = Amounts.shareDown(settlement.account(id).bond, _terms.wipePpm);
        emit WipeMissed(id, penalty);
        settlement.forfeitBond(_parties(id, l), penalty);
        ResourceId[] memory ids = resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            if (_has(l.delivered, i)) inventory.hold(ids[i]);
        }
    }

    /// @inheritdoc ILeases
    function settle(LeaseId id) external {
        Lease storage l = _existing(id);
        if (l.delivered == 0) revert Leases_NothingDelivered(id);
        if (!_isAccepted(l)) revert Leases_TooEarly(id, _acceptBy(l));
        uint40 end = _endsAt(l);
        bool last = block.timestamp >= end;
        // First the price of what never came goes back: the last draw rounds up, and must not eat into it.
        if (last) _dropMissing(id, l, true);
        settlement.draw(_parties(id, l), _earlier(block.timestamp, end), last);
    }

    function _lift(LeaseId id, Lease storage l) private {
        ResourceId[] memory ids = resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            if (_has(l.delivered, i)) inventory.liftHold(ids[i]);
        }
    }

    /// @dev Slots are free from the next one on; a lease that did not begin gives back its whole window.
    function _freeSlots(LeaseId id, Lease storage l, uint64 which) private {
        uint256 from = block.timestamp < uint256(l.start) * _slot ? l.start : block.timestamp / _slot + 1;
        ResourceId[] memory ids = resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            if (_has(which, i)) inventory.release(ids[i], from.toUint32(), l.end);
        }
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function terms() external view returns (Terms memory) {
        return _terms;
    }

    /// @inheritdoc ILeases
    function lease(LeaseId id) external view returns (Lease memory) {
        return _existing(id);
    }

    /// @inheritdoc ILeases
    function resourcesOf(LeaseId id) public view returns (ResourceId[] memory) {
        return _resources[id].load(_leases[id].count);
    }

    /// @inheritdoc ILeases
    function holds(LeaseId id, ResourceId resource) external view returns (bool) {
        ResourceId[] memory ids = resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            if (ResourceId.unwrap(ids[i]) == ResourceId.unwrap(resource)) return true;
        }
        return false;
    }

    /// @inheritdoc ILeases
    function stateOf(LeaseId id) public view returns (LeaseState) {
        Lease storage l = _leases[id];
        if (l.createdAt == 0) return LeaseState.None;
        if (l.delivered == 0) return _stateBeforeDelivery(l);
        if (block.timestamp >= _endsAt(l)) {
            if (l.wipedAt == 0) return LeaseState.Ending;
            return l.reason == EndReason.None ? LeaseState.Completed : LeaseState.Terminated;
        }
        return _isAccepted(l) ? LeaseState.Active : LeaseState.Delivered;
    }

    function _stateBeforeDelivery(Lease storage l) private view returns (LeaseState) {
        if (l.reason == EndReason.Cancelled) return LeaseState.Cancelled;
        if (l.endedAt != 0) return LeaseState.Defaulted;
        if (l.signedAt == 0) return block.timestamp < _signBy(l) ? LeaseState.Awarded : LeaseState.Defaulted;
        return block.timestamp < _deliverBy(l) ? LeaseState.Signed : LeaseState.Defaulted;
    }

    /// @inheritdoc ILeases
    function endOf(LeaseId id) external view returns (EndReason reason, Fault fault) {
        Lease storage l = _existing(id);
        reason = l.reason;
        if (reason == EndReason.None && l.delivered != 0 && block.timestamp >= _endsAt(l)) {
            reason = EndReason.Time;
        }
        fault = _fault(reason);
    }

    // ---- facts and deadlines -----------------------------------------------------------------------------------

    function _fault(EndReason reason) private pure returns (Fault) {
        if (reason == EndReason.ProviderUnsigned || reason == EndReason.Undelivered) return Fault.Provider;
        if (reason == EndReason.BuyerUnsigned) return Fault.Buyer;
        return Fault.Nobody;
    }

    /// @dev Until when the one whose turn it is has to sign (C4), and never behind the lease's own end.
    function _signBy(Lease storage l) private view returns (uint256) {
        uint256 from = l.buyerSignedAt != 0 ? l.buyerSignedAt : l.createdAt;
        return _earlier(from + _terms.signTime, _endTime(l));
    }

    /// @dev Where billing that begins now begins: not before the window (L2).
    function _billsFrom(Lease storage l) private view returns (uint256) {
        uint256 start = uint256(l.start) * _slot;
        return start < block.timestamp ? block.timestamp : start;
    }

    /// @dev L1, and never behind the lease's own end.
    function _deliverBy(Lease storage l) private view returns (uint256) {
        uint256 from = uint256(l.start) * _slot;
        if (from < l.signedAt) from = l.signedAt;
        return _earlier(from + _terms.deliverTime, _endTime(l));
    }

    /// @dev Silence accepts from this second on (L3). For an all-or-nothing lease that is not complete, the time starts
    /// when it is known whether it will be.
    function _acceptBy(Lease storage l) private view returns (uint256) {
        uint256 from = l.deliveredAt;
        if (l.allOrNothing && l.delivered != _all(l)) from = _deliverBy(l);
        return from + _terms.acceptTime;
    }

    function _isAccepted(Lease storage l) private view returns (bool) {
        return l.delivered != 0 && (l.accepted == l.delivered || block.timestamp >= _acceptBy(l));
    }

    function _endTime(Lease storage l) private view returns (uint256) {
        return uint256(l.end) * _slot;
    }

    /// @dev The second the lease ends or ended.
    function _endsAt(Lease storage l) private view returns (uint40) {
        return l.endedAt != 0 ? l.endedAt : uint40(_endTime(l));
    }

    function _all(Lease storage l) private view returns (uint64) {
        return type(uint64).max >> (64 - l.count);
    }

    function _bits(uint64 bitmap) private pure returns (uint16 n) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            ++n;
        }
    }

    function _has(uint64 bitmap, uint256 place) private pure returns (bool) {
        return (bitmap >> place) & 1 != 0;
    }

    function _now() private view returns (uint40) {
        return uint40(block.timestamp);
    }

    function _earlier(uint256 a, uint256 b) private pure returns (uint40) {
        return uint40(a < b ? a : b);
    }

    function _parties(LeaseId id, Lease storage l) private view returns (ISettlement.Parties memory) {
        return ISettlement.Parties(id, l.buyer, l.provider, l.rate);
    }

    // ---- checks ------------------------------------------------------------------------------------------------

    function _existing(LeaseId id) private view returns (Lease storage l) {
        l = _leases[id];
        if (l.createdAt == 0) revert Leases_Unknown(id);
    }

    function _ofBuyer(LeaseId id) private view returns (Lease storage l) {
        l = _existing(id);
        OrgId org = members.requireRight(msg.sender, MemberRights.BUY);
        if (org != l.buyer) revert Leases_NotParty(id, org);
    }

    function _ofProvider(LeaseId id, uint16 right) private view returns (Lease storage l) {
        l = _existing(id);
        OrgId org = members.requireRight(msg.sender, right);
        if (org != l.provider) revert Leases_NotParty(id, org);
    }

    function _requireOpen(LeaseId id, Lease storage l) private view {
        if (l.endedAt != 0) revert Leases_WrongState(id, stateOf(id));
    }

    function _requireBefore(LeaseId id, uint256 deadline) private view {
        if (block.timestamp >= deadline) revert Leases_TooLate(id, deadline);
    }

    function _requireSince(LeaseId id, uint256 from) private view {
        if (block.timestamp < from) revert Leases_TooEarly(id, from);
    }
}
