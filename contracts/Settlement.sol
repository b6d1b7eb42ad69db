// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {LeaseId, OrgId, Skip} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {Rights} from "./libraries/Rights.sol";
import {Rounds} from "./libraries/Rounds.sol";

/// @notice See {ISettlement}.
contract Settlement is ISettlement, Governed {
    using SafeCast for uint256;

    /// @dev Bounds every loop over steps.
    uint256 private constant MAX_STEPS = 8;

    IEscrow public immutable escrow;
    /// @inheritdoc ISettlement
    uint32 public immutable quantum;

    /// @inheritdoc ISettlement
    address public leases;

    mapping(LeaseId => Account) private _accounts;
    mapping(LeaseId => mapping(uint256 n => Step)) private _steps;

    /// @dev A right is a name, not a pair: who holds it for another Settlement must not move the money of these leases.
    modifier onlyLeases() {
        _requireLeases();
        _;
    }

    constructor(IDirectory directory_, IEscrow escrow_, uint32 quantum_) Governed(directory_) {
        escrow = escrow_;
        quantum = quantum_;
    }

    /// @inheritdoc ISettlement
    function open(Parties calldata p, Stakes calldata s) external onlyHolder(Rights.SETTLEMENT_REPORT) {
        if (leases == address(0)) leases = msg.sender;
        _requireLeases();
        Account storage a = _accounts[p.lease];
        a.buyerBy = s.buyerBy;
        a.price = s.price;
        a.providerBy = s.providerBy;
        a.bond = s.bond;
        a.fee = s.fee;
        emit Funded(p.lease, s.price, s.bond, s.fee);

        // What costs nothing asks nobody's limit: an assignment is made by the owner's member alone (L10).
        if (_ofBuyer(s) + _ofProvider(s) == 0) return;
        if (s.fund == 0) escrow.lock(_key(p.lease), p.buyer, s.buyerBy, _ofBuyer(s));
        else escrow.pass(s.fund, address(this), _key(p.lease), _ofBuyer(s));
        escrow.lock(_key(p.lease), p.provider, s.providerBy, _ofProvider(s));
    }

    /// @inheritdoc ISettlement
    function extend(Parties calldata p, Extension calldata e, uint40 from) external onlyLeases {
        Account storage a = _accounts[p.lease];
        _setRate(p, a, from, e.rate);
        emit Extended(p.lease, e.price, e.bond, e.fee, from, e.rate);

        (uint256 buyerHad, uint256 providerHad) = _feeShares(a);
        a.fee += e.fee;
        (uint256 ofBuyer, uint256 ofProvider) = _feeShares(a);
        ofBuyer += e.price;
        ofProvider += e.bond;
        if (a.buyerBy == e.buyerBy) {
            ofBuyer -= buyerHad;
        } else {
            uint256 back = uint256(a.price) - a.paid + a.owed + a.pending + a.disputed;
            escrow.unlock(_key(p.lease), p.buyer, a.buyerBy, back + buyerHad);
            ofBuyer += back;
            a.buyerBy = e.buyerBy;
        }
        if (a.providerBy == e.providerBy) {
            ofProvider -= providerHad;
        } else {
            escrow.unlock(_key(p.lease), p.provider, a.providerBy, a.bond + providerHad);
            ofProvider += a.bond;
            a.providerBy = e.providerBy;
        }
        a.price += e.price;
        a.bond += e.bond;
        escrow.lock(_key(p.lease), p.buyer, e.buyerBy, ofBuyer);
        escrow.lock(_key(p.lease), p.provider, e.providerBy, ofProvider);
    }

    /// @inheritdoc ISettlement
    function returnFund(bytes32 fund, OrgId buyer, address by) external onlyHolder(Rights.LEASES_OPEN) {
        uint256 left = fundBalance(fund);
        if (left == 0) return;
        emit FundReturned(fund, buyer, left);
        escrow.unlock(fund, buyer, by, left);
    }

    /// @inheritdoc ISettlement
    function start(Parties calldata p, uint16 units, uint40 from) external onlyLeases {
        Account storage a = _accounts[p.lease];
        // Safe until the year 2106.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (a.units == 0) a.firstStart = uint32(from);
        a.units += units;
        a.startSum += uint64(units) * from;
    }

    /// @inheritdoc ISettlement
    function lowerPrice(Parties calldata p, uint96 price) external onlyLeases {
        _lowerPrice(p, _accounts[p.lease], price);
    }

    /// @inheritdoc ISettlement
    function draw(Parties calldata p, uint40 until, bool last) external onlyLeases {
        Account storage a = _accounts[p.lease];
        if (a.closed) return;
        uint256 sum = _accrued(p.lease, p.rate, until, last);
        uint256 due = sum - a.paid;
        // Safe: accrual never exceeds the price, which is a uint96.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.paid = uint96(sum);
        if (due != 0) {
            emit Accrued(p.lease, due, sum);
            escrow.pay(_key(p.lease), p.provider, due);
        }
        if (last) _close(p, a);
        else _unlock(p, a, _takePenalties(p, a, until >= a.pendingUntil));
    }

    /// @inheritdoc ISettlement
    function payReserve(Parties calldata p, uint256 ppm) external onlyLeases {
        Account storage a = _accounts[p.lease];
        uint256 amount = Amounts.shareDown(a.price, ppm);
        // Safe: a share of the price.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.paid += uint96(amount);
        emit ReservePaid(p.lease, amount);
        escrow.pay(_key(p.lease), p.provider, amount);
        _close(p, a);
    }

    /// @inheritdoc ISettlement
    function refund(Parties calldata p) external onlyLeases {
        _close(p, _accounts[p.lease]);
    }

    /// @inheritdoc ISettlement
    function forfeitBond(Parties calldata p, uint256 part, uint256 whole)
        external
        onlyLeases
        returns (uint256 amount)
    {
        Account storage a = _accounts[p.lease];
        amount = (a.bond * part) / whole;
        _forfeit(p, a, amount);
    }

    /// @inheritdoc ISettlement
    function payUnserved(Parties calldata p, uint40 from, uint256 ppm, bool back)
        external
        onlyLeases
        returns (uint256 amount)
    {
        Account storage a = _accounts[p.lease];
        amount = Amounts.shareDown(a.price - _billed(p.lease, p.rate, from, false), ppm);
        if (amount > a.bond) amount = a.bond;
        _forfeit(p, a, amount);
        // Safe: accrual never exceeds the price, which is a uint96.
        // forge-lint: disable-next-line(unsafe-typecast)
        if (back) _lowerPrice(p, a, uint96(_accrued(p.lease, p.rate, from, true)));
    }

    /// @inheritdoc ISettlement
    function freeBond(Parties calldata p) external onlyLeases {
        _freeBond(p, _accounts[p.lease]);
    }

    /// @inheritdoc ISettlement
    function shareBond(LeaseId lease, Share[] calldata shares) external onlyEverHolder(Rights.LEASES_AMEND) {
        Parties memory p = ILeases(leases).waitingBond(lease);
        Account storage a = _accounts[lease];
        for (uint256 i; i < shares.length; ++i) {
            uint256 left = a.bond;
            uint256 amount = shares[i].amount;
            if (amount > left) amount = left;
            _payBond(p, a, shares[i].to, amount);
        }
        _freeBond(p, a);
    }

    // ---- verdicts and witnesses --------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function applyVerdict(
        Parties calldata p,
        uint40 from,
        uint40 until,
        uint32 span,
        uint16 units,
        uint32 ppm
    ) external onlyEverHolder(Rights.SETTLEMENT_JUDGE) returns (uint256 penalty) {
        Account storage a = _accounts[p.lease];
        if (a.closed || a.units == 0) return 0;
        if (a.pendingSpan != span) {
            // Final, as this one can be claimed on: it waits for the next payment.
            a.owed += a.pending;
            a.pending = 0;
            a.pendingSpan = span;
            // Safe until the year 2106.
            // forge-lint: disable-next-line(unsafe-typecast)
            a.pendingUntil = uint32(until);
        }
        penalty = Amounts.shareDown(_spanPrice(p.lease, p.rate, from, until) * units / a.units, ppm);
        penalty = _setAside(p.lease, p.rate, until, penalty);
        // Safe: a part of the price.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.pending += uint96(penalty);
        emit PenaltyWithheld(p.lease, span, penalty);
    }

    /// @inheritdoc ISettlement
    function dispute(Parties calldata p, uint256 amount, bool ofPending, uint40 until)
        external
        onlyEverHolder(Rights.SETTLEMENT_JUDGE)
        returns (uint256 moved)
    {
        Account storage a = _accounts[p.lease];
        if (ofPending) {
            moved = amount < a.pending ? amount : a.pending;
            // Safe here and below: a part of the price.
            // forge-lint: disable-next-line(unsafe-typecast)
            a.pending -= uint96(moved);
        } else if (!a.closed) {
            moved = _setAside(p.lease, p.rate, until, amount);
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        a.disputed += uint96(moved);
        emit Disputed(p.lease, moved);
    }

    /// @inheritdoc ISettlement
    function resolve(Parties calldata p, uint256 amount, uint256 toBuyer, uint256 toProvider)
        external
        onlyEverHolder(Rights.SETTLEMENT_JUDGE)
    {
        if (toBuyer + toProvider != amount) {
            revert Settlement_BadSplit(p.lease, amount, toBuyer + toProvider);
        }
        Account storage a = _accounts[p.lease];
        // Safe: more than is in dispute would have to be less than two to the power of 96, and then underflows.
        a.disputed -= amount.toUint96();
        emit DisputeResolved(p.lease, toBuyer, toProvider);
        _unlock(p, a, toBuyer);
        if (toProvider != 0) escrow.pay(_key(p.lease), p.provider, toProvider);
    }

    /// @inheritdoc ISettlement
    function payFee(Parties calldata p, OrgId to, uint256 amount)
        external
        onlyEverHolder(Rights.SETTLEMENT_JUDGE)
        returns (uint256 paid)
    {
        Account storage a = _accounts[p.lease];
        uint256 left = a.fee - a.feePaid;
        paid = amount < left ? amount : left;
        if (paid == 0) return 0;
        // Safe: a part of the fee.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.feePaid += uint96(paid);
        emit FeePaid(p.lease, to, paid);
        escrow.pay(_key(p.lease), to, paid);
    }

    /// @inheritdoc ISettlement
    function returnFees(Parties calldata p) external {
        if (msg.sender != leases) directory.requireEverHadRight(msg.sender, Rights.SETTLEMENT_JUDGE);
        Account storage a = _accounts[p.lease];
        uint96 paid = a.feePaid;
        if (a.fee == paid) return;
        (uint256 toBuyer, uint256 toProvider) = _feeShares(a);
        a.fee = paid;
        emit FeesReturned(p.lease, toBuyer, toProvider);
        _unlock(p, a, toBuyer);
        if (toProvider != 0) escrow.unlock(_key(p.lease), p.provider, a.providerBy, toProvider);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc ISettlement
    function stepsOf(LeaseId lease) external view returns (Step[] memory steps) {
        steps = new Step[](_accounts[lease].steps);
        for (uint256 n; n < steps.length; ++n) {
            steps[n] = _steps[lease][n];
        }
    }

    /// @inheritdoc ISettlement
    function account(LeaseId lease) external view returns (Account memory) {
        return _accounts[lease];
    }

    /// @inheritdoc ISettlement
    function accrued(LeaseId lease, uint64 rate, uint40 until, bool last) external view returns (uint256) {
        Account storage a = _accounts[lease];
        return a.closed ? a.paid : _accrued(lease, rate, until, last);
    }

    /// @inheritdoc ISettlement
    function coverOf(OrgId buyer, OrgId provider, Stakes calldata s) external view returns (Skip) {
        if (_ofBuyer(s) + _ofProvider(s) == 0) return Skip.None;
        if (!escrow.canLock(provider, s.providerBy, _ofProvider(s))) return Skip.ProviderCover;
        if (s.fund == 0 && !escrow.canLock(buyer, s.buyerBy, _ofBuyer(s))) return Skip.BuyerCover;
        return Skip.None;
    }

    /// @inheritdoc ISettlement
    function spanPrice(LeaseId lease, uint64 rate, uint40 from, uint40 until)
        external
        view
        returns (uint256)
    {
        Account storage a = _accounts[lease];
        return a.units == 0 ? 0 : _spanPrice(lease, rate, from, until) / a.units;
    }

    /// @inheritdoc ISettlement
    function finalUntil(Rounds.Frame calldata frame) external view returns (uint40) {
        return Rounds.finalUntil(frame, block.timestamp).toUint40();
    }

    /// @inheritdoc ISettlement
    function fundBalance(bytes32 fund) public view returns (uint256) {
        return escrow.balance(address(this), fund);
    }

    /// @dev Never below what was paid: a report of an earlier second than the last one draws nothing.
    function _accrued(LeaseId lease, uint256 rate, uint256 until, bool last)
        private
        view
        returns (uint256 sum)
    {
        sum = _billed(lease, rate, until, last);
        uint256 paid = _accounts[lease].paid;
        if (sum < paid) sum = paid;
    }

    /// @dev Rounded up once for each rate.
    function _billed(LeaseId lease, uint256 rate, uint256 until, bool last)
        private
        view
        returns (uint256 sum)
    {
        Account storage a = _accounts[lease];
        uint256 first = a.firstStart;
        uint256 units = a.units;
        if (units == 0 || until <= first) return 0;
        if (last) until += (quantum - (until - first) % quantum) % quantum;
        // Resource-seconds, counted from the epoch, that are billed or precede a resource's start.
        uint256 billed = a.startSum;
        uint256 steps = a.steps;
        for (uint256 n; n < steps; ++n) {
            Step storage step = _steps[lease][n];
            uint256 from = step.from;
            if (until <= from) break;
            from *= units;
            sum += Amounts.priceUp(rate, from - billed);
            billed = from;
            rate = step.rate;
        }
        until *= units;
        // A resource that starts later than `until` cannot be among several: deliveries come in order of time,
        // and all bill from the lease's start or later.
        if (until > billed) sum += Amounts.priceUp(rate, until - billed);
        if (sum > a.price) sum = a.price;
    }

    /// @dev Of all machines.
    function _spanPrice(LeaseId lease, uint256 rate, uint256 from, uint256 until)
        private
        view
        returns (uint256)
    {
        return until <= from ? 0 : _billed(lease, rate, until, false) - _billed(lease, rate, from, false);
    }

    /// @dev Takes an amount, or as much of it as there is, out of what accrued and is not spoken for.
    function _setAside(LeaseId lease, uint256 rate, uint256 until, uint256 amount) private returns (uint256) {
        Account storage a = _accounts[lease];
        uint256 left = _accrued(lease, rate, until, false) - a.paid;
        if (amount > left) amount = left;
        // Safe: a part of the price.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.paid += uint96(amount);
        return amount;
    }

    /// @dev A rate that goes on needs no step.
    function _setRate(Parties calldata p, Account storage a, uint40 from, uint64 rate) private {
        uint8 n = a.steps;
        if (rate == (n == 0 ? p.rate : _steps[p.lease][n - 1].rate)) return;
        if (n == MAX_STEPS) revert Settlement_TooManySteps(p.lease, MAX_STEPS);
        _steps[p.lease][n] = Step(from, rate);
        a.steps = n + 1;
    }

    function _lowerPrice(Parties calldata p, Account storage a, uint96 price) private {
        if (a.closed || price >= a.price) return;
        uint256 back = a.price - price;
        a.price = price;
        emit PriceRefunded(p.lease, back);
        _unlock(p, a, back);
    }

    /// @dev Whose what is left of the fees is. Either side bears half of what was paid; of an odd microcredit, the buyer.
    function _feeShares(Account storage a) private view returns (uint256 ofBuyer, uint256 ofProvider) {
        uint256 fee = a.fee;
        uint256 paid = a.feePaid;
        ofProvider = fee / 2 - paid / 2;
        ofBuyer = fee - paid - ofProvider;
    }

    /// @dev What of the penalties is the buyer's: those of earlier spans, and, if it is final, of the last one.
    function _takePenalties(Parties calldata p, Account storage a, bool all)
        private
        returns (uint256 amount)
    {
        amount = a.owed;
        if (all) {
            amount += a.pending;
            a.pending = 0;
        }
        if (amount == 0) return 0;
        a.owed = 0;
        emit PenaltyPaid(p.lease, a.pendingSpan, amount);
    }

    function _forfeit(Parties memory p, Account storage a, uint256 amount) private {
        _payBond(p, a, p.buyer, amount);
    }

    function _payBond(Parties memory p, Account storage a, OrgId to, uint256 amount) private {
        if (amount == 0) return;
        // Safe: a part of the bond; more than is left underflows and reverts.
        // forge-lint: disable-next-line(unsafe-typecast)
        a.bond -= uint96(amount);
        if (to == p.buyer) emit BondForfeited(p.lease, amount);
        else emit BondShared(p.lease, to, amount);
        escrow.pay(_key(p.lease), to, amount);
    }

    function _freeBond(Parties memory p, Account storage a) private {
        uint256 left = a.bond;
        if (left == 0) return;
        a.bond = 0;
        emit BondFreed(p.lease, left);
        escrow.unlock(_key(p.lease), p.provider, a.providerBy, left);
    }

    function _close(Parties calldata p, Account storage a) private {
        a.closed = true;
        uint256 back = _takePenalties(p, a, true);
        uint96 paid = a.paid;
        uint256 left = a.price - paid;
        if (left != 0) {
            a.price = paid;
            emit PriceRefunded(p.lease, left);
        }
        _unlock(p, a, back + left);
    }

    function _unlock(Parties calldata p, Account storage a, uint256 amount) private {
        if (amount != 0) escrow.unlock(_key(p.lease), p.buyer, a.buyerBy, amount);
    }

    function _requireLeases() private view {
        if (msg.sender != leases) revert Settlement_NotLeases(msg.sender);
    }

    function _ofBuyer(Stakes calldata s) private pure returns (uint256) {
        return uint256(s.price) + s.fee - s.fee / 2;
    }

    function _ofProvider(Stakes calldata s) private pure returns (uint256) {
        return uint256(s.bond) + s.fee / 2;
    }

    function _key(LeaseId lease) private pure returns (bytes32) {
        return bytes32(uint256(LeaseId.unwrap(lease)));
    }
}
