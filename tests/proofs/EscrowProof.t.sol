// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AnyMembers, Proof} from "./Proof.sol";
import {Credits} from "../../contracts/Credits.sol";
import {Escrow} from "../../contracts/Escrow.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMembers, MemberRights} from "../../contracts/interfaces/IMembers.sol";
import {OrgId} from "../../contracts/interfaces/Types.sol";

/// @notice Every move of `Escrow`, from any state: what leaves one place arrives in one other, and nothing else changes.
/// By induction, then, the sum of all places is its total after any moves in any order (I1).
contract EscrowProof is Proof {
    AnyMembers internal members;
    Credits internal credits;
    Escrow internal escrow;

    function setUp() public override {
        super.setUp();
        members = new AnyMembers();
        credits = new Credits(directory);
        escrow = new Escrow(directory, credits, IMembers(address(members)));
        vm.setArbitraryStorage(address(directory));
        vm.setArbitraryStorage(address(members));
        vm.setArbitraryStorage(address(credits));
        vm.setArbitraryStorage(address(escrow));
    }

    function check_Lock(
        address opener,
        bytes32 key,
        OrgId org,
        address by,
        uint256 amount,
        OrgId o,
        bytes32 k
    ) external {
        OrgId party = members.partyOf(org);
        uint256 free = escrow.free(party);
        uint256 held = escrow.balance(opener, key);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(opener, address(escrow), abi.encodeCall(IEscrow.lock, (key, org, by, amount)));

        assertEq(escrow.free(party), free - amount);
        assertEq(escrow.balance(opener, key), held + amount);
        assertEq(escrow.total(), total);
        if (o != party) assertEq(escrow.free(o), other);
        if (k != key) assertEq(escrow.balance(opener, k), account);
    }

    function check_Unlock(
        address opener,
        bytes32 key,
        OrgId org,
        address by,
        uint256 amount,
        OrgId o,
        bytes32 k
    ) external {
        OrgId party = members.partyOf(org);
        uint256 free = escrow.free(party);
        uint256 held = escrow.balance(opener, key);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(opener, address(escrow), abi.encodeCall(IEscrow.unlock, (key, org, by, amount)));

        assertEq(escrow.free(party), free + amount);
        assertEq(escrow.balance(opener, key), held - amount);
        assertEq(escrow.total(), total);
        if (o != party) assertEq(escrow.free(o), other);
        if (k != key) assertEq(escrow.balance(opener, k), account);
    }

    function check_Pay(address opener, bytes32 key, OrgId to, uint256 amount, OrgId o, bytes32 k) external {
        uint256 free = escrow.free(to);
        uint256 held = escrow.balance(opener, key);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(opener, address(escrow), abi.encodeCall(IEscrow.pay, (key, to, amount)));

        assertEq(escrow.free(to), free + amount);
        assertEq(escrow.balance(opener, key), held - amount);
        assertEq(escrow.total(), total);
        if (o != to) assertEq(escrow.free(o), other);
        if (k != key) assertEq(escrow.balance(opener, k), account);
    }

    /// @dev To itself it changes nothing; else what one account loses the other has more.
    function check_Pass(
        address opener,
        bytes32 key,
        address to,
        bytes32 toKey,
        uint256 amount,
        OrgId o,
        bytes32 k
    ) external {
        bool same = opener == to && key == toKey;
        uint256 held = escrow.balance(opener, key);
        uint256 there = escrow.balance(to, toKey);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(opener, address(escrow), abi.encodeCall(IEscrow.pass, (key, to, toKey, amount)));

        assertEq(escrow.balance(opener, key), same ? held : held - amount);
        assertEq(escrow.balance(to, toKey), same ? held : there + amount);
        assertEq(escrow.total(), total);
        assertEq(escrow.free(o), other);
        if (k != key && (opener != to || k != toKey)) assertEq(escrow.balance(opener, k), account);
    }

    function check_Give(address admin, OrgId to, uint256 amount, OrgId o, address opener, bytes32 k)
        external
    {
        OrgId from = members.requireRight(admin, MemberRights.ADMIN);
        uint256 held = escrow.free(from);
        uint256 there = escrow.free(to);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(admin, address(escrow), abi.encodeCall(IEscrow.give, (to, amount)));

        assertEq(escrow.free(from), from == to ? held : held - amount);
        assertEq(escrow.free(to), from == to ? held : there + amount);
        assertEq(escrow.total(), total);
        if (o != from && o != to) assertEq(escrow.free(o), other);
        assertEq(escrow.balance(opener, k), account);
    }

    /// @dev What is paid in or out is what the total changes by, and leaves or reaches one free balance only.
    function check_Deposit(address payer, OrgId org, uint256 amount, OrgId o, address opener, bytes32 k)
        external
    {
        OrgId party = members.partyOf(org);
        uint256 free = escrow.free(party);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(payer, address(escrow), abi.encodeCall(IEscrow.deposit, (org, amount)));

        assertEq(escrow.free(party), free + amount);
        assertEq(escrow.total(), total + amount);
        if (o != party) assertEq(escrow.free(o), other);
        assertEq(escrow.balance(opener, k), account);
    }

    function check_Withdraw(address admin, uint256 amount, OrgId o, address opener, bytes32 k) external {
        OrgId from = members.requireRight(admin, MemberRights.ADMIN);
        uint256 free = escrow.free(from);
        uint256 total = escrow.total();
        uint256 other = escrow.free(o);
        uint256 account = escrow.balance(opener, k);

        _goesThrough(admin, address(escrow), abi.encodeCall(IEscrow.withdraw, (amount)));

        assertEq(escrow.free(from), free - amount);
        assertEq(escrow.total(), total - amount);
        if (o != from) assertEq(escrow.free(o), other);
        assertEq(escrow.balance(opener, k), account);
    }

    /// @dev I1: what the escrow holds covers its total before any call by anybody, so it does after it.
    function check_TheTokenCoversTheTotal(bytes4 selector, address by, bytes32[4] calldata words) external {
        vm.assume(by != address(escrow));
        // As for every token: balances add up to the supply, so no two of them overflow.
        vm.assume(credits.balanceOf(address(escrow)) < type(uint128).max);
        vm.assume(credits.balanceOf(by) < type(uint128).max);
        vm.assume(credits.balanceOf(address(escrow)) >= escrow.total());

        _goesThrough(by, address(escrow), abi.encodePacked(selector, words));

        assertGe(credits.balanceOf(address(escrow)), escrow.total());
    }

    /// @dev Nobody but its opener takes from an account, whatever is called.
    function check_OnlyItsOpenerTakesFromAnAccount(
        bytes4 selector,
        address by,
        bytes32[4] calldata words,
        address opener,
        bytes32 key
    ) external {
        vm.assume(by != opener);
        uint256 held = escrow.balance(opener, key);
        _goesThrough(by, address(escrow), abi.encodePacked(selector, words));
        assertGe(escrow.balance(opener, key), held);
    }
}
