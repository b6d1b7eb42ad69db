// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {LeaseId, OrgId} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {Rights} from "./libraries/Rights.sol";

/// @notice See {ISettlement}.
contract Settlement is ISettlement, Governed {
    IEscrow public immutable escrow;
    /// @inheritdoc ISettlement
    uint32 public immutable quantum;

    mapping(LeaseId => Account) private _accounts;

    constructor(IDirectory directory_, IEscrow escrow_, uint32 quantum_) Governed(directory_) {
        escrow = escrow_;
        quantum = quantum_;
    }

    /// @inheritdoc ISettlement
    function open(
        Parties calldata p,
        address buyerBy,
        uint96 price,
        address providerBy,
        uint96 bond,
        bytes32 fund
    ) external onlyHolder(Rights.SETTLEMENT_REPORT) {
        Account storage a = _accounts[p.lease];
        a.buyerBy = buyerBy;
        a.price = price;
        a.providerBy = providerBy;
        a.bond = bond;
        emit Funded(p.lease, price, bond);

        if (fund == 0) escrow.lock(_key(p.lease), p.buyer, buyerBy, price);
        else escrow.pass(fund, address(this), _key(p.lease), price);
        escrow.lock(_key(p.lease), p.provider, providerBy, bond);
    }

    /// @inheritdoc ISettlement
    function returnFund(bytes32 fund, OrgId buyer, address by) external onlyHolder(Rights.SETTLEMENT_REPORT) {
        uint256 left = fundBalance(fund);
        if (left == 0) return;
        emit FundReturned(fund, buyer, left);
        escrow.unlock(fund, buyer, by, left);
    }

    /// @inheritdoc ISettlement
    function start(Parties calldata p, uint16 units, uint40 from)
        external
        onlyEverHolder(Rights.SETTLEMENT_REPORT)
    {
        Account storage a = _accounts[p.lease];
        if (a.units == 0) a.firstStart = from;
        a.units += units;
        a.startSum += uint64(units) * from;
    }

    /// @inheritdoc ISettlement
    function lowerPrice(Parties calldata p, uint96 price) external onlyEverHolder(Rights.SETTLEMENT_REPORT) {
        Account storage a = _accounts[p.lease];
        if (a.closed || price >= a.price) return;
        uint256 back = a.price - price;
        a.price = price;
        _refund(p, a, back);
    }

    /// @inheritdoc ISettlement
    function draw(Parties calldata p, uint40 until, bool last)
        external
        onlyEverHolder(Rights.SETTLEMENT_REPORT)
    {
        Account storage a = _accounts[p.lease];
        if (a.closed) return;
        uint256 sum = _accrued(a, p.rate, until, last);
        uint256 due = sum - a.paid;
        // Safe: accrual never exceeds the price, which is a uint96.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.paid = uint96(sum);
        if (due != 0) {
            emit Accrued(p.lease, due, sum);
            escrow.pay(_key(p.lease), p.provider, due);
        }
        if (last) _close(p, a);
    }

    /// @inheritdoc ISettlement
    function payReserve(Parties calldata p, uint256 amount)
        external
        onlyEverHolder(Rights.SETTLEMENT_REPORT)
    {
        Account storage a = _accounts[p.lease];
        // Safe: a share of the price.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.paid += uint96(amount);
        emit ReservePaid(p.lease, amount);
        escrow.pay(_key(p.lease), p.provider, amount);
        _close(p, a);
    }

    /// @inheritdoc ISettlement
    function refund(Parties calldata p) external onlyEverHolder(Rights.SETTLEMENT_REPORT) {
        _close(p, _accounts[p.lease]);
    }

    /// @inheritdoc ISettlement
    function forfeitBond(Parties calldata p, uint256 amount)
        external
        onlyEverHolder(Rights.SETTLEMENT_REPORT)
    {
        if (amount == 0) return;
        // Safe: `Leases` takes shares of the bond; more than is left underflows and reverts.
        // forge-lint: disable-next-line(unsafe-typecast)
        _accounts[p.lease].bond -= uint96(amount);
        emit BondForfeited(p.lease, amount);
        escrow.pay(_key(p.lease), p.buyer, amount);
    }

    /// @inheritdoc ISettlement
    function freeBond(Parties calldata p) external onlyEverHolder(Rights.SETTLEMENT_REPORT) {
        Account storage a = _accounts[p.lease];
        uint256 left = a.bond;
        if (left == 0) return;
        a.bond = 0;
        emit BondFreed(p.lease, left);
        escrow.unlock(_key(p.lease), p.provider, a.providerBy, left);
    }

    /// @inheritdoc ISettlement
    function account(LeaseId lease) external view returns (Account memory) {
        return _accounts[lease];
    }

    /// @inheritdoc ISettlement
    function accrued(LeaseId lease, uint64 rate, uint40 until, bool last) external view returns (uint256) {
        Account storage a = _accounts[lease];
        return a.closed ? a.paid : _accrued(a, rate, until, last);
    }

    /// @inheritdoc ISettlement
    function fundBalance(bytes32 fund) public view returns (uint256) {
        return escrow.balance(address(this), fund);
    }

    /// @dev Never below what was paid: a report of an earlier second than the last one draws nothing.
    function _accrued(Account storage a, uint256 rate, uint256 until, bool last)
        private
        view
        returns (uint256 sum)
    {
        uint256 first = a.firstStart;
        if (a.units != 0 && until > first) {
            if (last) until += (quantum - (until - first) % quantum) % quantum;
            uint256 until_ = until * a.units;
            // A resource that starts later than `until` cannot be among several: deliveries come in order of time,
            // and all bill from the lease's start or later.
            if (until_ > a.startSum) sum = Amounts.priceUp(rate, until_ - a.startSum);
            if (sum > a.price) sum = a.price;
        }
        if (sum < a.paid) sum = a.paid;
    }

    function _close(Parties calldata p, Account storage a) private {
        a.closed = true;
        uint256 back = a.price - a.paid;
        a.price = a.paid;
        _refund(p, a, back);
    }

    function _refund(Parties calldata p, Account storage a, uint256 amount) private {
        if (amount == 0) return;
        emit PriceRefunded(p.lease, amount);
        escrow.unlock(_key(p.lease), p.buyer, a.buyerBy, amount);
    }

    function _key(LeaseId lease) private pure returns (bytes32) {
        return bytes32(uint256(LeaseId.unwrap(lease)));
    }
}
