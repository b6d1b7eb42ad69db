// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {OrgId} from "./Types.sol";

/// @notice The only contract that holds credits: each organisation's free balance, and purpose accounts that
/// contracts of the exchange open and alone can move (rule E4).
///
/// Only `lock` and the receiving side of `pass` need `Rights.ESCROW_MOVE`. What an account holds, its opener can always
/// give back or pay out: no decision of the council can freeze a running lease.
///
/// A department has no balance to spend: what is locked for it comes from its party, within its budget, and what is
/// unlocked goes back there. What it is paid is its own free balance, for its admin to give to the party or to withdraw to
/// the party's payout address; it spends none of it. The events name the organisation whose free balance changed.
///
/// Assumes: `Credits` is a plain ERC-20 without fees or hooks, so what was sent is what arrived.
/// Invariant: its credits are at least the sum of all free balances and accounts.
interface IEscrow {
    event Deposited(OrgId indexed org, address indexed from, uint256 amount);
    event Withdrawn(OrgId indexed org, address indexed to, uint256 amount);
    event Locked(
        address indexed opener, bytes32 indexed account, OrgId indexed org, address by, uint256 amount
    );
    event Unlocked(
        address indexed opener, bytes32 indexed account, OrgId indexed org, address by, uint256 amount
    );
    event Paid(address indexed opener, bytes32 indexed account, OrgId indexed to, uint256 amount);
    event Passed(
        address indexed opener, bytes32 indexed account, address indexed to, bytes32 toAccount, uint256 amount
    );
    event Given(OrgId indexed org, OrgId indexed to, uint256 amount);
    event Swept(uint256 amount);

    /// @notice the organisation's free balance is too low (microcredits)
    /// @dev Deposit credits first ('ocx credits deposit').
    error Escrow_InsufficientFree(OrgId org, uint256 free, uint256 wanted);
    /// @notice the account holds less than that
    error Escrow_InsufficientAccount(address opener, bytes32 account, uint256 balance, uint256 wanted);
    /// @notice free balance is given within a party, or by a party to an organisation below it
    /// @dev Withdraw it and deposit it for the other organisation.
    error Escrow_NotBelow(OrgId org, OrgId to);
    /// @notice there is no surplus to sweep
    error Escrow_NothingToSweep();

    /// @notice Pays the caller's credits into an organisation's free balance; a department's party has it. Needs an
    /// allowance.
    function deposit(OrgId org, uint256 amount) external;

    /// @notice An admin withdraws from its organisation's free balance, to its payout address only.
    function withdraw(uint256 amount) external;

    /// @notice An admin gives free balance of its organisation to another one of the same party, or, if it is no
    /// department, to any organisation below it.
    function give(OrgId to, uint256 amount) external;

    /// @notice The council withdraws from its fund, organisation 0.
    function withdrawFund(address to, uint256 amount) external;

    /// @notice Adds to the fund the credits that were sent here without a deposit.
    function sweep() external;

    /// @notice Moves free balance into one of the caller's accounts, against the limit of the member who consented and the
    /// budget of the department it is for.
    function lock(bytes32 account, OrgId org, address by, uint256 amount) external;

    /// @notice Gives locked money back, unspent, to the organisation it came from.
    function unlock(bytes32 account, OrgId org, address by, uint256 amount) external;

    /// @notice Pays from one of the caller's accounts to another party's free balance.
    function pay(bytes32 account, OrgId to, uint256 amount) external;

    /// @notice Hands money to an account of another contract that may move it, the consent with it: a price that an
    /// auction holds becomes the price that a settlement holds, whatever became of the member's limit meanwhile.
    function pass(bytes32 account, address to, bytes32 toAccount, uint256 amount) external;

    function free(OrgId org) external view returns (uint256);

    function balance(address opener, bytes32 account) external view returns (uint256);

    /// @notice Sum of all free balances and accounts.
    function total() external view returns (uint256);

    /// @notice Whether `lock` would go through.
    function canLock(OrgId org, address by, uint256 amount) external view returns (bool);
}
