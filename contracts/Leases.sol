// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights} from "./interfaces/IMembers.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {
    Award,
    AwardId,
    Committee,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    OrgId,
    Policy,
    ResourceId,
    SlaId
} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {PackedIds} from "./libraries/PackedIds.sol";
import {Rights} from "./libraries/Rights.sol";
import {Rounds} from "./libraries/Rounds.sol";
import {Traits} from "./libraries/Traits.sol";

/// @notice See {ILeases}.
contract Leases is ILeases, Governed {
    using SafeCast for uint256;
    using PackedIds for mapping(uint256 => uint256);

    IMembers public immutable members;
    /// @inheritdoc ILeases
    IInventory public immutable inventory;
    /// @inheritdoc ILeases
    ISettlement public immutable settlement;
    uint32 private immutable _slot;

    /// @inheritdoc ILeases
    uint32 public immutable base;
    /// @inheritdoc ILeases
    uint32 public count;
    Terms private _terms;

    mapping(LeaseId => Lease) private _leases;
    mapping(LeaseId => mapping(uint256 word => uint256)) private _resources;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IInventory inventory_,
        ISettlement settlement_,
        Terms memory terms_,
        uint32 base_
    ) Governed(directory_) {
        base = base_;
        count = base_;
        members = members_;
        inventory = inventory_;
        settlement = settlement_;
        _slot = inventory_.slot();
        _terms = terms_;
    }

    // ---- opening -----------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function open(AwardId awardId, Award calldata award, Leg calldata leg, ISettlement.Stakes calldata stakes)
        external
        onlyHolder(Rights.LEASES_OPEN)
        returns (LeaseId id)
    {
        id = LeaseId.wrap(++count);
        Lease storage l = _leases[id];
        l.award = awardId;
        l.offer = leg.offer;
        l.request = award.request;
        l.provider = leg.provider;
        l.buyer = award.buyer;
        l.start = leg.window.start;
        l.end = leg.window.end;
        // Safe: more would fit into no transaction.
        // forge-lint: disable-next-line(unsafe-typecast)
        l.count = uint16(leg.resources.length);
        l.policy = award.policy;
        l.traits = award.traits;
        l.rate = leg.rate;
        l.createdAt = _now();
        l.sla = award.sla;
        if (SlaId.unwrap(award.sla) != 0) l.committee = Committee.Awaited;
        _resources[id].store(leg.resources);
        _emitOpened(id, awardId, award, leg);

        for (uint256 i; i < leg.resources.length; ++i) {
            inventory.book(leg.resources[i], leg.window.start, leg.window.end);
        }
        settlement.open(ISettlement.Parties(id, award.buyer, leg.provider, leg.rate), stakes);
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
            leg.window.start,
            leg.window.end,
            leg.resources,
            award.policy,
            award.sla
        );
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
        emit LeaseSigned(id, msg.sender, _takeFence(l));
    }

    /// @inheritdoc ILeases
    function renewFence(LeaseId id) external {
        Lease storage l = _ofProvider(id, MemberRights.SIGN);
        if (l.fenceHolder != msg.sender) revert Leases_NotFenceHolder(id, l.fenceHolder);
        emit FenceRenewed(id, msg.sender, _takeFence(l));
    }

    /// @inheritdoc ILeases
    function takeOver(LeaseId id) external {
        Lease storage l = _ofProvider(id, MemberRights.SIGN);
        if (l.signedAt == 0) _wrongState(id);
        address before = l.fenceHolder;
        if (block.timestamp < l.fenceUntil) revert Leases_FenceHeld(id, before, l.fenceUntil);
        emit FenceTaken(id, msg.sender, before, _takeFence(l));
    }

    function _takeFence(Lease storage l) private returns (uint40 until) {
        unchecked {
            until = _now() + _terms.fenceTime;
            l.fenceHolder = msg.sender;
            l.fenceUntil = until;
        }
    }

    // ---- delivery ----------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function deliver(LeaseId id, Delivery calldata d) external {
        Lease storage l = _ofProvider(id, MemberRights.DELIVER);
        if (l.signedAt == 0) _wrongState(id);
        if (l.fenceHolder != msg.sender) revert Leases_NotFenceHolder(id, l.fenceHolder);
        _requireOpen(id, l);
        _requireBefore(id, _deliverBy(l));
        uint64 added = d.resources & ~l.delivered;
        if (added == 0 || d.resources & ~_all(l) != 0) revert Leases_BadBits(id, d.resources, l.count);

        l.delivered |= added;
        l.deliveredAt = _now();
        l.delivery = keccak256(abi.encode(d.connectionHash, d.hostKey, d.specHash));
        emit LeaseDelivered(id, d.resources, d.connectionHash, d.hostKey, d.specHash);

        // Safe: seconds.
        // forge-lint: disable-next-line(unsafe-typecast)
        settlement.start(_parties(id, l), _bits(added), uint40(_billsFrom(l)));
    }

    /// @inheritdoc ILeases
    function accept(LeaseId id, uint64 resources) external {
        Lease storage l = _ofBuyer(id);
        _requireDelivered(id, l);
        if (l.delivered != resources) revert Leases_OtherDelivery(id, l.delivered);
        if (_isAccepted(l) || !_isProvable(l)) _wrongState(id);
        l.accepted = l.delivered;
        emit LeaseAccepted(id, l.delivered, msg.sender);
    }

    // ---- the committee -----------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function setCommittee(LeaseId id, bool drawn) external onlyHolder(Rights.LEASES_WITNESS) {
        Lease storage l = _existing(id);
        LeaseState state = stateOf(id);
        if (l.committee != Committee.Awaited || state < LeaseState.Signed || state > LeaseState.Active) {
            _wrongState(id);
        }
        l.committee = drawn ? Committee.Drawn : Committee.Waived;
        l.committeeAt = _now();
        emit CommitteeSet(id, l.committee);
        if (!drawn) _returnFees(id, l);
    }

    /// @inheritdoc ILeases
    function prove(LeaseId id, uint64 resources) external onlyEverHolder(Rights.LEASES_WITNESS) {
        Lease storage l = _existing(id);
        if (l.delivered != resources) revert Leases_OtherDelivery(id, l.delivered);
        // All or nothing, and not all there: that is for the buyer alone to accept (L1).
        if (
            l.committee != Committee.Drawn || l.accepted == resources || !_isProvable(l)
                || (_isWhole(l) && resources != _all(l))
        ) _wrongState(id);
        l.accepted = resources;
        emit LeaseProven(id, resources);
    }

    /// @inheritdoc ILeases
    function breach(LeaseId id, bytes32 note) external onlyEverHolder(Rights.LEASES_WITNESS) {
        Lease storage l = _existing(id);
        LeaseState state = stateOf(id);
        if (l.committee != Committee.Drawn || state != LeaseState.Active || l.endedAt != 0) {
            _wrongState(id);
        }
        _close(id, l, EndReason.Breach, _now(), _terms.defaultPpm, note);
    }

    // ---- amendments --------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function extend(LeaseId id, uint32 end, ISettlement.Extension calldata extension)
        external
        onlyHolder(Rights.LEASES_AMEND)
    {
        Lease storage l = _existing(id);
        bool waits = l.delivered != _all(l) && l.missing == 0;
        if (waits || l.endedAt != 0 || stateOf(id) != LeaseState.Active) _wrongState(id);
        uint32 before = l.end;
        uint40 from = _endsAt(l);
        l.end = end;
        emit LeaseExtended(id, end, extension.rate);

        ResourceId[] memory ids = resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            if (_has(l.delivered, i)) inventory.extend(ids[i], l.start, before, end);
        }
        settlement.extend(_parties(id, l), extension, from);
    }

    /// @inheritdoc ILeases
    function close(LeaseId id, EndReason reason, uint40 at, uint32 ppm, bytes32 note)
        external
        onlyEverHolder(Rights.LEASES_AMEND)
    {
        Lease storage l = _existing(id);
        if (reason < EndReason.Reclaimed) revert Leases_BadReason(reason);
        if (l.endedAt != 0 || stateOf(id) > LeaseState.Active) _wrongState(id);
        if (l.delivered == 0) {
            // Taken back is what was there; before, its provider is bound by the deadline to deliver.
            if (reason == EndReason.Reclaimed) _wrongState(id);
            _end(id, l, reason, _now(), note);
            _refund(id, l);
            return _freeAll(id, l);
        }
        if (at < block.timestamp) revert Leases_TooEarly(id, block.timestamp);
        if (at >= _endTime(l)) revert Leases_TooLate(id, _endTime(l));
        _close(id, l, reason, at, ppm, note);
    }

    /// @dev For a share of what is not served, out of the bond.
    function _close(LeaseId id, Lease storage l, EndReason reason, uint40 at, uint32 ppm, bytes32 note)
        private
    {
        _dropMissing(id, l, block.timestamp >= _deliverBy(l));
        _end(id, l, reason, at, note);
        // slither-disable-next-line unused-return (what was paid is in the events of Settlement)
        settlement.payUnserved(_parties(id, l), at, ppm, reason != EndReason.Breach);
    }

    // ---- ends --------------------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function reject(LeaseId id, bytes32 note) external {
        Lease storage l = _ofBuyer(id);
        _requireDelivered(id, l);
        if (_isAccepted(l)) _wrongState(id);
        _requireOpen(id, l);
        if (l.committee == Committee.Awaited || l.committee == Committee.Drawn) {
            _requireSince(id, _startTime(l));
        }
        bool incomplete = _isWhole(l) && l.delivered != _all(l) && block.timestamp >= _deliverBy(l);
        _dropMissing(id, l, block.timestamp >= _deliverBy(l));
        uint40 at = _earlier(block.timestamp, _endTime(l));
        _end(id, l, EndReason.Rejected, at, note);

        // All or nothing, and not all came: the buyer owes nothing for what did (L1).
        if (incomplete) _refund(id, l);
        else _draw(id, l, _earlier(at, _countsFrom(l) + _terms.acceptTime), true);
        if (l.wipedAt != 0) _freeBond(id, l);
        if (l.committee == Committee.Awaited) _returnFees(id, l);
    }

    /// @inheritdoc ILeases
    function cancel(LeaseId id) external {
        Lease storage l = _ofBuyer(id);
        LeaseState state = stateOf(id);
        if (state != LeaseState.Awarded && state != LeaseState.Signed) _wrongState(id);
        _end(id, l, EndReason.Cancelled, _now(), 0);
        _payReserve(id, l);
    }

    /// @inheritdoc ILeases
    function endEarly(LeaseId id) external {
        Lease storage l = _ofBuyer(id);
        LeaseState state = stateOf(id);
        if (state != LeaseState.Delivered && state != LeaseState.Active) _wrongState(id);
        // Who is told that it is taken back may leave before that.
        EndReason reason = l.reason;
        if (reason == EndReason.None) reason = EndReason.BuyerEarly;
        else if (reason != EndReason.Reclaimed) _wrongState(id);
        uint256 at = _billsFrom(l) + _terms.notice;
        if (at >= _endsAt(l)) revert Leases_TooLate(id, _endsAt(l) - _terms.notice);
        // What did not come until now is no default: its buyer does not wait for it any more.
        _dropMissing(id, l, block.timestamp >= _deliverBy(l));
        // Safe: before the end.
        // forge-lint: disable-next-line(unsafe-typecast)
        _end(id, l, reason, uint40(at), 0);
    }

    /// @inheritdoc ILeases
    function expire(LeaseId id) external {
        Lease storage l = _existing(id);
        if (_isUnproven(l)) return _expireUnproven(id, l);
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
            _refund(id, l);
            if (!_bondWaits(l)) _forfeit(id, l, _terms.signMissPpm, Amounts.PPM);
            _freeAll(id, l);
        }
    }

    function _expireUndelivered(LeaseId id, Lease storage l) private {
        if (block.timestamp < _deliverBy(l) || l.delivered == _all(l) || l.missing != 0) {
            revert Leases_NothingToExpire(id);
        }
        if (l.delivered != 0) return _dropMissing(id, l, true);
        _end(id, l, EndReason.Undelivered, _now(), 0);
        emit ResourcesMissed(id, l.count, _default(id, l));
        _freeAll(id, l);
    }

    /// @dev Delivered, they say, but nobody saw it in time: as undelivered, only that there is something to wipe (L3).
    function _expireUnproven(LeaseId id, Lease storage l) private {
        _dropMissing(id, l, true);
        _end(id, l, EndReason.Unproven, _earlier(block.timestamp, _endsAt(l)), 0);
        _default(id, l);
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
        uint256 from = _startTime(l);
        if (from < l.createdAt) from = l.createdAt;
        settlement.lowerPrice(
            _parties(id, l),
            Amounts.priceUp(l.rate, uint256(l.count - missing) * (_endTime(l) - from)).toUint96()
        );
        emit ResourcesMissed(id, missing, isDefault ? _forfeit(id, l, missing, l.count) : 0);
        _freeSlots(id, l, gone);
    }

    /// @dev Ends a lease before delivery by the buyer's doing: the provider is paid for what it kept ready.
    function _payReserve(LeaseId id, Lease storage l) private {
        settlement.payReserve(_parties(id, l), _terms.reservePpm);
        _freeAll(id, l);
    }

    /// @dev Nothing was delivered, so there is nothing to wipe: bond and slots are free at once.
    function _freeAll(LeaseId id, Lease storage l) private {
        _freeBond(id, l);
        _returnFees(id, l);
        _freeSlots(id, l, _all(l));
    }

    // ---- after the end -----------------------------------------------------------------------------------------

    /// @inheritdoc ILeases
    function wipe(LeaseId id, bytes32 evidenceHash) external {
        Lease storage l = _existing(id);
        if (msg.sender != directory.council()) _ofProvider(id, MemberRights.RELEASE);
        _requireDelivered(id, l);
        if (l.wipedAt != 0) _wrongState(id);
        if (_isUnproven(l)) _expireUnproven(id, l);
        _requireSince(id, _endsAt(l));
        _dropMissing(id, l, true);

        l.wipedAt = _now();
        emit LeaseWiped(id, evidenceHash, msg.sender);
        if (l.wipeMissed) _hold(id, l, false);
        if (_isAccepted(l) && l.reason != EndReason.Rejected) _settle(id, l);
        // What may still turn out to be unproven answers with its bond; `settle` frees it then.
        else if (l.committee != Committee.Drawn || !_isProvable(l)) _freeBond(id, l);
        _freeSlots(id, l, l.delivered);
    }

    /// @inheritdoc ILeases
    function missWipe(LeaseId id) external {
        Lease storage l = _existing(id);
        _requireDelivered(id, l);
        if (l.wipedAt != 0 || l.wipeMissed) _wrongState(id);
        _requireSince(id, _endsAt(l) + _terms.wipeTime);

        l.wipeMissed = true;
        emit WipeMissed(id, _forfeit(id, l, _terms.wipePpm, Amounts.PPM));
        _hold(id, l, true);
    }

    /// @inheritdoc ILeases
    function settle(LeaseId id) external {
        Lease storage l = _existing(id);
        _requireDelivered(id, l);
        if (_isUnproven(l)) return _expireUnproven(id, l);
        if (!_isAccepted(l)) revert Leases_TooEarly(id, _acceptBy(l));
        _settle(id, l);
    }

    function _settle(LeaseId id, Lease storage l) private {
        bool over = block.timestamp >= _endsAt(l);
        // First the price of what never came goes back: the last draw rounds up, and must not eat into it.
        if (over) _dropMissing(id, l, true);
        uint40 until = _finalUntil(l);
        _draw(id, l, until, over && until >= _endsAt(l));
        if (l.wipedAt != 0) _freeBond(id, l);
        if (over && l.committee == Committee.Awaited) _returnFees(id, l);
    }

    function _hold(LeaseId id, Lease storage l, bool held) private {
        unchecked {
            ResourceId[] memory ids = resourcesOf(id);
            for (uint256 i; i < ids.length; ++i) {
                if (!_has(l.delivered, i)) continue;
                if (held) inventory.hold(ids[i]);
                else inventory.liftHold(ids[i]);
            }
        }
    }

    /// @dev Slots are free from the next one on; a lease that did not begin gives back its whole window.
    function _freeSlots(LeaseId id, Lease storage l, uint64 which) private {
        unchecked {
            uint256 from = block.timestamp < _startTime(l) ? l.start : block.timestamp / _slot + 1;
            ResourceId[] memory ids = resourcesOf(id);
            for (uint256 i; i < ids.length; ++i) {
                // Safe: slots of this century.
                // forge-lint: disable-next-line(unsafe-typecast)
                if (_has(which, i)) inventory.release(ids[i], uint32(from), l.end);
            }
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
    function watched(LeaseId id) external view returns (Watched memory) {
        Lease storage l = _existing(id);
        return Watched({
            provider: l.provider,
            buyer: l.buyer,
            rate: l.rate,
            sla: l.sla,
            committee: l.committee,
            signedAt: l.signedAt,
            delivered: l.delivered,
            accepted: l.accepted == l.delivered,
            // Safe: seconds.
            // forge-lint: disable-start(unsafe-typecast)
            begins: uint40(_startTime(l)),
            from: uint40(_countsFrom(l)),
            // forge-lint: disable-end(unsafe-typecast)
            until: _endsAt(l)
        });
    }

    /// @inheritdoc ILeases
    function waitingBond(LeaseId id) external view returns (ISettlement.Parties memory) {
        Lease storage l = _leases[id];
        if (!_bondWaits(l) || (l.delivered != 0 && l.wipedAt == 0)) _wrongState(id);
        return _parties(id, l);
    }

    /// @inheritdoc ILeases
    function resourcesOf(LeaseId id) public view returns (ResourceId[] memory) {
        return _resources[id].load(_leases[id].count);
    }

    /// @inheritdoc ILeases
    function holds(LeaseId id, ResourceId resource) external view returns (bool) {
        unchecked {
            ResourceId[] memory ids = resourcesOf(id);
            for (uint256 i; i < ids.length; ++i) {
                if (ResourceId.unwrap(ids[i]) == ResourceId.unwrap(resource)) return true;
            }
            return false;
        }
    }

    /// @inheritdoc ILeases
    function stateOf(LeaseId id) public view returns (LeaseState) {
        Lease storage l = _leases[id];
        if (l.createdAt == 0) return LeaseState.None;
        if (l.delivered == 0) return _stateBeforeDelivery(l);
        bool unproven = _isUnproven(l) || l.reason == EndReason.Unproven;
        if (unproven || block.timestamp >= _endsAt(l)) {
            if (l.wipedAt == 0) return LeaseState.Ending;
            if (unproven) return LeaseState.Defaulted;
            return l.reason == EndReason.None ? LeaseState.Completed : LeaseState.Terminated;
        }
        return _isAccepted(l) ? LeaseState.Active : LeaseState.Delivered;
    }

    function _stateBeforeDelivery(Lease storage l) private view returns (LeaseState) {
        if (l.reason == EndReason.Cancelled || l.reason > EndReason.Reclaimed) return LeaseState.Cancelled;
        if (l.endedAt != 0) return LeaseState.Defaulted;
        if (l.signedAt == 0) return block.timestamp < _signBy(l) ? LeaseState.Awarded : LeaseState.Defaulted;
        return block.timestamp < _deliverBy(l) ? LeaseState.Signed : LeaseState.Defaulted;
    }

    /// @inheritdoc ILeases
    function endOf(LeaseId id) external view returns (EndReason reason, Fault fault) {
        Lease storage l = _existing(id);
        reason = l.reason;
        if (_isUnproven(l)) {
            reason = EndReason.Unproven;
        } else if (reason == EndReason.None && l.delivered != 0 && block.timestamp >= _endsAt(l)) {
            reason = EndReason.Time;
        }
        fault = _fault(reason);
    }

    /// @inheritdoc ILeases
    function finalUntil(LeaseId id) external view returns (uint40) {
        return _finalUntil(_existing(id));
    }

    // ---- facts and deadlines -----------------------------------------------------------------------------------

    function _fault(EndReason reason) private pure returns (Fault) {
        if (reason == EndReason.BuyerUnsigned) return Fault.Buyer;
        bool provider = reason >= EndReason.ProviderUnsigned && reason <= EndReason.Reclaimed;
        return provider ? Fault.Provider : Fault.Nobody;
    }

    /// @dev Until when the one whose turn it is has to sign (C4), and never behind the lease's own end.
    function _signBy(Lease storage l) private view returns (uint256) {
        unchecked {
            uint256 from = l.buyerSignedAt != 0 ? l.buyerSignedAt : l.createdAt;
            return _earlier(from + _terms.signTime, _endTime(l));
        }
    }

    /// @dev Where billing that begins now begins: not before the window (L2).
    function _billsFrom(Lease storage l) private view returns (uint256) {
        unchecked {
            uint256 start = _startTime(l);
            return start < block.timestamp ? block.timestamp : start;
        }
    }

    /// @dev L1, and never behind the lease's own end.
    function _deliverBy(Lease storage l) private view returns (uint256) {
        unchecked {
            uint256 from = _startTime(l);
            if (from < l.signedAt) from = l.signedAt;
            return _earlier(from + _terms.deliverTime, _endTime(l));
        }
    }

    /// @dev From when on the lease's rounds count for the committee: delivered, and its window begun.
    function _countsFrom(Lease storage l) private view returns (uint256) {
        unchecked {
            uint256 start = _startTime(l);
            return start < l.deliveredAt ? l.deliveredAt : start;
        }
    }

    /// @dev Silence accepts from this second on, or is the provider's default where a committee had its time (L3). For an
    /// all-or-nothing lease that is not complete, the time starts when it is known whether it will be; it does not run
    /// while a committee may still be drawn.
    function _acceptBy(Lease storage l) private view returns (uint256 by) {
        unchecked {
            uint256 from = l.deliveredAt;
            if (_isWhole(l) && l.delivered != _all(l)) from = _deliverBy(l);
            if (from < l.committeeAt) from = l.committeeAt;
            by = from + _terms.acceptTime;
            if (l.committee == Committee.Awaited && by < _endsAt(l)) by = _endsAt(l);
        }
    }

    function _isAccepted(Lease storage l) private view returns (bool) {
        if (l.delivered == 0) return false;
        if (l.accepted == l.delivered) return true;
        return !_mustBeProven(l) && block.timestamp >= _acceptBy(l);
    }

    /// @dev A committee was drawn in time. One that is drawn after the delivery, and so late that the lease ends before the
    /// time to accept is over, is as good as none: an honest delivery must not become a default that its provider could
    /// not prevent.
    function _mustBeProven(Lease storage l) private view returns (bool) {
        unchecked {
            if (l.committee != Committee.Drawn) return false;
            return l.committeeAt <= l.deliveredAt || l.committeeAt + _terms.acceptTime <= _endsAt(l);
        }
    }

    /// @dev The buyer or the committee may still say that what is delivered is there.
    function _isProvable(Lease storage l) private view returns (bool) {
        return l.delivered != 0 && l.reason != EndReason.Rejected && l.reason != EndReason.Unproven
            && block.timestamp < _acceptBy(l);
    }

    /// @dev Neither accepted nor proven in time, and nobody has settled that yet.
    function _isUnproven(Lease storage l) private view returns (bool) {
        return _mustBeProven(l) && l.delivered != 0 && l.accepted != l.delivered
            && l.reason != EndReason.Rejected && l.reason != EndReason.Unproven
            && block.timestamp >= _acceptBy(l);
    }

    /// @dev Somebody else says whose the bond is: of a lease taken back, verdicts to come may make it a breach; of a default
    /// in a composite award, the partners come first.
    function _bondWaits(Lease storage l) private view returns (bool) {
        EndReason reason = l.reason;
        if (reason == EndReason.Reclaimed) return l.committee == Committee.Drawn;
        return l.traits & Traits.COMPOSITE != 0 && reason >= EndReason.ProviderUnsigned
            && reason <= EndReason.Unproven;
    }

    /// @dev Until when no verdict can change what accrued (E5).
    function _finalUntil(Lease storage l) private view returns (uint40) {
        uint40 end = _endsAt(l);
        bool waits =
            l.committee == Committee.Drawn || (l.committee == Committee.Awaited && block.timestamp < end);
        if (!waits) return _earlier(block.timestamp, end);
        return settlement.finalUntil(Rounds.Frame(_terms.epoch, _terms.rounds, _countsFrom(l), end));
    }

    function _startTime(Lease storage l) private view returns (uint256) {
        unchecked {
            return uint256(l.start) * _slot;
        }
    }

    function _endTime(Lease storage l) private view returns (uint256) {
        unchecked {
            return uint256(l.end) * _slot;
        }
    }

    /// @dev The second the lease ends or ended.
    function _endsAt(Lease storage l) private view returns (uint40) {
        return l.endedAt != 0 ? l.endedAt : uint40(_endTime(l));
    }

    function _isWhole(Lease storage l) private view returns (bool) {
        return l.traits & Traits.ALL_OR_NOTHING != 0;
    }

    function _all(Lease storage l) private view returns (uint64) {
        unchecked {
            return type(uint64).max >> (64 - l.count);
        }
    }

    function _bits(uint64 bitmap) private pure returns (uint16 n) {
        unchecked {
            for (; bitmap != 0; bitmap &= bitmap - 1) {
                ++n;
            }
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

    // ---- reports to Settlement ---------------------------------------------------------------------------------

    function _draw(LeaseId id, Lease storage l, uint40 until, bool last) private {
        settlement.draw(_parties(id, l), until, last);
    }

    function _refund(LeaseId id, Lease storage l) private {
        settlement.refund(_parties(id, l));
    }

    function _forfeit(LeaseId id, Lease storage l, uint256 part, uint256 whole) private returns (uint256) {
        return settlement.forfeitBond(_parties(id, l), part, whole);
    }

    /// @dev The price and all of the bond to the buyer, unless partners come first.
    function _default(LeaseId id, Lease storage l) private returns (uint256) {
        _refund(id, l);
        return _bondWaits(l) ? 0 : _forfeit(id, l, 1, 1);
    }

    function _freeBond(LeaseId id, Lease storage l) private {
        if (!_bondWaits(l)) settlement.freeBond(_parties(id, l));
    }

    function _returnFees(LeaseId id, Lease storage l) private {
        settlement.returnFees(_parties(id, l));
    }

    // ---- checks ------------------------------------------------------------------------------------------------

    function _existing(LeaseId id) private view returns (Lease storage l) {
        l = _leases[id];
        if (l.createdAt == 0) revert Leases_Unknown(id);
    }

    function _ofBuyer(LeaseId id) private view returns (Lease storage l) {
        l = _existing(id);
        members.requireRightFor(l.buyer, msg.sender, MemberRights.BUY);
    }

    function _ofProvider(LeaseId id, uint16 right) private view returns (Lease storage l) {
        l = _existing(id);
        members.requireRightFor(l.provider, msg.sender, right);
    }

    function _wrongState(LeaseId id) private view {
        revert Leases_WrongState(id, stateOf(id));
    }

    function _requireDelivered(LeaseId id, Lease storage l) private view {
        if (l.delivered == 0) revert Leases_NothingDelivered(id);
    }

    function _requireOpen(LeaseId id, Lease storage l) private view {
        if (l.endedAt != 0 || _isUnproven(l)) _wrongState(id);
    }

    function _requireBefore(LeaseId id, uint256 deadline) private view {
        if (block.timestamp >= deadline) revert Leases_TooLate(id, deadline);
    }

    function _requireSince(LeaseId id, uint256 from) private view {
        if (block.timestamp < from) revert Leases_TooEarly(id, from);
    }
}
