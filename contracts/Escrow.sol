// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {IMembers, MemberRights} from "./interfaces/IMembers.sol";
import {OrgId} from "./interfaces/Types.sol";
import {Rights} from "./libraries/Rights.sol";

/// @notice See {IEscrow}.
contract Escrow is IEscrow, Governed {
    using SafeERC20 for IERC20;

    OrgId private constant FUND = OrgId.wrap(0);

    IERC20 public immutable credits;
    IMembers public immutable members;

    /// @inheritdoc IEscrow
    mapping(OrgId => uint256) public free;
    /// @inheritdoc IEscrow
    mapping(address opener => mapping(bytes32 account => uint256)) public balance;
    /// @inheritdoc IEscrow
    uint256 public total;

    constructor(IDirectory directory_, IERC20 credits_, IMembers members_) Governed(directory_) {
        credits = credits_;
        members = members_;
    }

    /// @inheritdoc IEscrow
    function deposit(OrgId org, uint256 amount) external {
        // Reverts for an organisation that does not exist: its money could never leave.
        // slither-disable-next-line unused-return (asked only for its error)
        members.payoutOf(org);
        OrgId party = members.partyOf(org);

        free[party] += amount;
        total += amount;
        emit Deposited(party, msg.sender, amount);

        credits.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IEscrow
    function withdraw(uint256 amount) external {
        OrgId org = members.requireRight(msg.sender, MemberRights.ADMIN);
        _withdraw(org, members.payoutOf(org), amount);
    }

    /// @inheritdoc IEscrow
    function give(OrgId to, uint256 amount) external {
        OrgId org = members.requireRight(msg.sender, MemberRights.ADMIN);
        OrgId party = members.partyOf(org);
        bool below = party == org && members.isWithin(to, org);
        if (!below && members.partyOf(to) != party) revert Escrow_NotBelow(org, to);

        _debit(org, amount);
        free[to] += amount;
        emit Given(org, to, amount);
    }

    /// @inheritdoc IEscrow
    function withdrawFund(address to, uint256 amount) external onlyCouncil {
        _withdraw(FUND, to, amount);
    }

    /// @inheritdoc IEscrow
    function sweep() external {
        uint256 surplus = credits.balanceOf(address(this)) - total;
        // slither-disable-next-line incorrect-equality (who donates one microcredit makes a surplus, as said)
        if (surplus == 0) revert Escrow_NothingToSweep();
        free[FUND] += surplus;
        total += surplus;
        emit Swept(surplus);
    }

    /// @inheritdoc IEscrow
    function lock(bytes32 account, OrgId org, address by, uint256 amount)
        external
        onlyHolder(Rights.ESCROW_MOVE)
    {
        OrgId party = members.charge(by, org, amount);

        _debit(party, amount);
        balance[msg.sender][account] += amount;
        emit Locked(msg.sender, account, party, by, amount);
    }

    /// @inheritdoc IEscrow
    function unlock(bytes32 account, OrgId org, address by, uint256 amount) external {
        OrgId party = members.restore(by, org, amount);

        _take(account, amount);
        free[party] += amount;
        emit Unlocked(msg.sender, account, party, by, amount);
    }

    /// @inheritdoc IEscrow
    function pay(bytes32 account, OrgId to, uint256 amount) external {
        _take(account, amount);
        free[to] += amount;
        emit Paid(msg.sender, account, to, amount);
    }

    /// @inheritdoc IEscrow
    function pass(bytes32 account, address to, bytes32 toAccount, uint256 amount) external {
        directory.requireRight(to, Rights.ESCROW_MOVE);
        _take(account, amount);
        balance[to][toAccount] += amount;
        emit Passed(msg.sender, account, to, toAccount, amount);
    }

    /// @inheritdoc IEscrow
    function canLock(OrgId org, address by, uint256 amount) external view returns (bool) {
        (bool can, OrgId party) = members.canCharge(by, org, amount);
        return can && free[party] >= amount;
    }

    function _withdraw(OrgId org, address to, uint256 amount) private {
        _debit(org, amount);
        total -= amount;
        emit Withdrawn(org, to, amount);

        credits.safeTransfer(to, amount);
    }

    function _debit(OrgId org, uint256 amount) private {
        uint256 available = free[org];
        if (available < amount) revert Escrow_InsufficientFree(org, available, amount);
        free[org] = available - amount;
    }

    function _take(bytes32 account, uint256 amount) private {
        uint256 held = balance[msg.sender][account];
        if (held < amount) revert Escrow_InsufficientAccount(msg.sender, account, held, amount);
        balance[msg.sender][account] = held - amount;
    }
}
