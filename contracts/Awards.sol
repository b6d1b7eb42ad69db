// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IAwards} from "./interfaces/IAwards.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Award, AwardId, Committee, LeaseId, Leg, Skip, SlaId, Window} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {Rights} from "./libraries/Rights.sol";

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

    /// @inheritdoc IAwards
    uint32 public count;

    constructor(IDirectory directory_, ILeases leases_) Governed(directory_) {
        leases = leases_;
        inventory = leases_.inventory();
        settlement = leases_.settlement();
        _slot = inventory.slot();
        ILeases.Terms memory terms = leases_.terms();
        _epoch = terms.epoch;
        _defaultPpm = terms.defaultPpm;
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
        if (award.fund != 0) settlement.returnFund(award.fund, award.buyer, award.by);
    }

    // ---- views -------------------------------------------------------------------------------------------------

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
