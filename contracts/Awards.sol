// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IAwards} from "./interfaces/IAwards.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {
    Award,
    AwardId,
    Committee,
    EndReason,
    LeaseId,
    LeaseState,
    Leg,
    Skip,
    SlaId,
    Window
} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {Rights} from "./libraries/Rights.sol";
import {Traits} from "./libraries/Traits.sol";

/// @notice See {IAwards}.
contract Awards is IAwards, Governed {
    using SafeCast for uint256;

    /// @inheritdoc IAwards
    ILeases public immutable leases;
    IInventory public immutable inventory;
    ISettlement public immutable settlement;
    uint32 private immutable _slot;
    uint32 private immutable _epoch;
    uint32 private immutable _defaultPpm;
    uint256 private immutable _epochFee;
    uint32 private immutable _reservePpm;
    uint32 private immutable _signMissPpm;
    uint32 private immutable _partTime;

    /// @inheritdoc IAwards
    uint32 public count;

    mapping(AwardId => Composite) private _composites;
    mapping(LeaseId => Claim) private _claims;

    constructor(IDirectory directory_, ILeases leases_) Governed(directory_) {
        leases = leases_;
        count = leases_.base();
        inventory = leases_.inventory();
        settlement = leases_.settlement();
        _slot = inventory.slot();
        ILeases.Terms memory terms = leases_.terms();
        _epoch = terms.epoch;
        _defaultPpm = terms.defaultPpm;
        _reservePpm = terms.reservePpm;
        _signMissPpm = terms.signMissPpm;
        _partTime = terms.deliverTime;
        _epochFee = uint256(terms.seatFee) * terms.seats;
    }

    /// @inheritdoc IAwards
    function open(Award calldata award, Leg[] calldata legs)
        external
        onlyHolder(Rights.AWARDS_OPEN)
        returns (AwardId id, LeaseId[] memory opened)
    {
        id = AwardId.wrap(++count);
        opened = new LeaseId[](legs.length);
        for (uint256 i; i < legs.length; ++i) {
            ISettlement.Stakes memory stakes = _stakesOf(award, legs[i]);
            Skip skip = _skipOf(award, legs[i], stakes);
            if (skip == Skip.None) opened[i] = leases.open(id, award, legs[i], stakes);
            else emit LegSkipped(id, legs[i].provider, skip);
        }
        if (award.traits & Traits.COMPOSITE != 0) _tie(id, opened);
        if (award.fund != 0) settlement.returnFund(award.fund, award.buyer, award.by);
    }

    // ---- leases that belong together ---------------------------------------------------------------------------

    /// @inheritdoc IAwards
    function endPartner(LeaseId defaulted, LeaseId partner) external {
        ILeases.Lease memory l = _defaulted(defaulted);
        ILeases.Lease memory p = leases.lease(partner);
        if (AwardId.unwrap(p.award) != AwardId.unwrap(l.award)) {
            revert Awards_NotPartners(defaulted, partner);
        }
        uint256 until = uint256(l.endedAt) + _partTime;
        if (block.timestamp >= until) revert Awards_TooLate(defaulted, until);
        uint256 unserved = settlement.account(partner).price;
        uint40 at = uint40(block.timestamp);
        if (p.delivered != 0) unserved -= settlement.accrued(partner, p.rate, at, false);
        uint96 amount = Amounts.shareDown(unserved, _reservePpm).toUint96();
        _claims[partner] = Claim(defaulted, amount);
        emit PartnerEnded(partner, defaulted, amount);
        leases.close(partner, EndReason.Partner, at, 0, bytes32(uint256(LeaseId.unwrap(defaulted))));
    }

    /// @inheritdoc IAwards
    function shareOut(LeaseId defaulted) external {
        ILeases.Lease memory l = _defaulted(defaulted);
        Composite memory c = _composites[l.award];
        uint256 pot = settlement.account(defaulted).bond;
        if (l.reason == EndReason.ProviderUnsigned) pot = Amounts.shareDown(pot, _signMissPpm);

        ISettlement.Share[] memory shares = new ISettlement.Share[](c.count);
        uint256 owed;
        for (uint32 i; i < c.count; ++i) {
            LeaseId partner = LeaseId.wrap(LeaseId.unwrap(c.first) + i);
            bool runs = leases.stateOf(partner) < LeaseState.Ending;
            if (runs && block.timestamp < uint256(l.endedAt) + _partTime) revert Awards_PartnerRuns(partner);
            if (LeaseId.unwrap(_claims[partner].defaulted) != LeaseId.unwrap(defaulted)) continue;
            ILeases.Lease memory p = leases.lease(partner);
            // One that was not proven afterwards defaulted itself.
            if (p.reason != EndReason.Partner) continue;
            shares[i] = ISettlement.Share(p.provider, _claims[partner].amount);
            owed += shares[i].amount;
        }
        uint256 left = pot;
        for (uint256 i; i < c.count; ++i) {
            if (owed > pot) shares[i].amount = shares[i].amount * pot / owed;
            left -= shares[i].amount;
        }
        // The defaulted lease is one of them and is owed nothing: its place is the buyer's.
        shares[LeaseId.unwrap(defaulted) - LeaseId.unwrap(c.first)] = ISettlement.Share(l.buyer, left);
        emit BondSharedOut(defaulted, pot - left, left);
        settlement.shareBond(defaulted, shares);
    }

    function _tie(AwardId id, LeaseId[] memory opened) private {
        Composite memory c;
        for (uint256 i; i < opened.length; ++i) {
            if (LeaseId.unwrap(opened[i]) == 0) continue;
            if (c.count++ == 0) c.first = opened[i];
        }
        _composites[id] = c;
        emit CompositeOpened(id, c.first, c.count);
    }

    function _defaulted(LeaseId id) private view returns (ILeases.Lease memory l) {
        l = leases.lease(id);
        bool so = l.traits & Traits.COMPOSITE != 0 && l.reason >= EndReason.ProviderUnsigned
            && l.reason <= EndReason.Unproven;
        if (!so) revert Awards_NoDefault(id);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IAwards
    function compositeOf(AwardId award) external view returns (Composite memory) {
        return _composites[award];
    }

    /// @inheritdoc IAwards
    function claimOf(LeaseId partner) external view returns (Claim memory) {
        return _claims[partner];
    }

    /// @inheritdoc IAwards
    function skipOf(Award calldata award, Leg calldata leg) external view returns (Skip) {
        return _skipOf(award, leg, _stakesOf(award, leg));
    }

    /// @inheritdoc IAwards
    function skipsOf(Award calldata award, Leg[] calldata legs) external view returns (Skip[] memory skips) {
        skips = new Skip[](legs.length);
        for (uint256 i; i < legs.length; ++i) {
            skips[i] = _skipOf(award, legs[i], _stakesOf(award, legs[i]));
        }
    }

    /// @inheritdoc IAwards
    function priceOf(Leg calldata leg) public view returns (uint256) {
        (uint256 from, uint256 until) = _left(leg.window);
        return Amounts.priceUp(leg.rate, leg.resources.length * (until - from));
    }

    /// @inheritdoc IAwards
    function feeOf(Window calldata window) public view returns (uint256) {
        unchecked {
            (uint256 from, uint256 until) = _left(window);
            if (until == from) return 0;
            return ((until - 1) / _epoch - from / _epoch + 1) * _epochFee;
        }
    }

    /// @inheritdoc IAwards
    function extensionOf(LeaseId id, uint32 end, uint64 rate)
        external
        view
        returns (uint96 price, uint96 bond, uint96 fee)
    {
        ILeases.Lease memory l = leases.lease(id);
        uint256 from = uint256(l.end) * _slot;
        uint256 until = uint256(end) * _slot;
        price = Amounts.priceUp(rate, (l.count - l.missing) * (until - from)).toUint96();
        bond = Amounts.shareDown(price, _defaultPpm).toUint96();
        if (l.committee == Committee.Awaited || l.committee == Committee.Drawn) {
            fee = (((until - 1) / _epoch - (from - 1) / _epoch) * _epochFee).toUint96();
        }
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    function _skipOf(Award calldata award, Leg calldata leg, ISettlement.Stakes memory stakes)
        private
        view
        returns (Skip)
    {
        for (uint256 i; i < leg.resources.length; ++i) {
            if (!inventory.isFree(leg.resources[i], leg.window.start, leg.window.end)) return Skip.NotFree;
        }
        return settlement.coverOf(award.buyer, leg.provider, stakes);
    }

    function _stakesOf(Award calldata award, Leg calldata leg)
        private
        view
        returns (ISettlement.Stakes memory s)
    {
        uint256 price = priceOf(leg);
        s.buyerBy = award.by;
        s.price = price.toUint96();
        s.providerBy = leg.by;
        s.bond = Amounts.shareDown(price, _defaultPpm).toUint96();
        if (SlaId.unwrap(award.sla) != 0) s.fee = feeOf(leg.window).toUint96();
        s.fund = award.fund;
    }

    /// @dev What is left of a window, in seconds; empty if it is over.
    function _left(Window calldata window) private view returns (uint256 from, uint256 until) {
        unchecked {
            from = uint256(window.start) * _slot;
            until = uint256(window.end) * _slot;
            if (from < block.timestamp) from = block.timestamp;
            if (until < from) until = from;
        }
    }
}
