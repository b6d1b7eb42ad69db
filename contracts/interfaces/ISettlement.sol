// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LeaseId, OrgId} from "./Types.sol";

/// @notice The money of leases: price, accrual, bond, and what a missed duty costs (rules E2, E3, C2, C4, L).
///
/// Assumes: `Leases` alone holds `Rights.SETTLEMENT_REPORT` and reports each fact once, with the parties and the rate
/// that the lease was opened with.
/// Does NOT know deadlines or states: it is told facts and moves money.
/// Invariant: of a lease's price, paid + refunded + still locked is always what was locked; the same of its bond.
interface ISettlement {
    /// @param rate Microcredits per resource and hour.
    struct Parties {
        LeaseId lease;
        OrgId buyer;
        OrgId provider;
        uint64 rate;
    }

    /// @param price What accrual may reach: the price less what was unlocked.
    /// @param bond What is left of it.
    /// @param paid Accrual drawn by the provider so far.
    /// @param units Resources that bill.
    /// @param startSum Sum over those of the second each bills from.
    /// @param firstStart The earliest of those.
    /// @param closed No accrual is left to draw; the rest of the price went back.
    struct Account {
        address buyerBy;
        uint96 price;
        address providerBy;
        uint96 bond;
        uint96 paid;
        uint16 units;
        uint64 startSum;
        uint40 firstStart;
        bool closed;
    }

    event Funded(LeaseId indexed lease, uint256 price, uint256 bond);
    event Accrued(LeaseId indexed lease, uint256 amount, uint256 total);
    event PriceRefunded(LeaseId indexed lease, uint256 amount);
    event ReservePaid(LeaseId indexed lease, uint256 amount);
    event BondForfeited(LeaseId indexed lease, uint256 amount);
    event BondFreed(LeaseId indexed lease, uint256 amount);
    event FundReturned(bytes32 indexed fund, OrgId indexed org, uint256 amount);

    /// @notice Seconds that billed time is rounded up to, once, at the end (E3).
    function quantum() external view returns (uint32);

    /// @notice Locks price and bond. A `fund` that is not 0 pays the price instead of the buyer's free balance.
    function open(
        Parties calldata parties,
        address buyerBy,
        uint96 price,
        address providerBy,
        uint96 bond,
        bytes32 fund
    ) external;

    /// @notice Gives what is left in a fund back to the buyer.
    function returnFund(bytes32 fund, OrgId buyer, address by) external;

    /// @notice `units` more resources bill from a second on.
    function start(Parties calldata parties, uint16 units, uint40 from) external;

    /// @notice Lowers what accrual may reach and refunds the difference; does nothing if it is no lower, or
    /// accrual is closed.
    function lowerPrice(Parties calldata parties, uint96 price) external;

    /// @notice Pays what accrued until a second, less what was paid before. The last draw rounds billed time up to the
    /// quantum, refunds the rest of the price and closes accrual.
    function draw(Parties calldata parties, uint40 until, bool last) external;

    /// @notice Pays a part of the price to the provider for a machine kept ready in vain, refunds the rest, closes.
    function payReserve(Parties calldata parties, uint256 amount) external;

    /// @notice Refunds the whole price that is not paid, and closes.
    function refund(Parties calldata parties) external;

    /// @notice Pays a part of the bond to the buyer.
    function forfeitBond(Parties calldata parties, uint256 amount) external;

    /// @notice Gives what is left of the bond back to the provider.
    function freeBond(Parties calldata parties) external;

    function account(LeaseId lease) external view returns (Account memory);

    /// @notice What has accrued until a second; `last` as in `draw`.
    function accrued(LeaseId lease, uint64 rate, uint40 until, bool last) external view returns (uint256);

    /// @notice Credits that wait in a fund.
    function fundBalance(bytes32 fund) external view returns (uint256);
}
