// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OrgId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @dev Three witnesses that sit together over a delivered lease; `e` is its second epoch.
abstract contract FineTest is WitnessBase {
    LeaseId internal constant NONE = LeaseId.wrap(0);
    OrgId internal constant FUND = OrgId.wrap(0);
    LeaseId internal id;
    uint32 internal e;

    function setUp() public virtual override {
        super.setUp();
        _pool(3);
        id = _deliveredLease(1, 60);
        witnesses.draw(id, 0);
        e = _epoch() + 1;
    }

    /// @dev Ticks of those witnesses whose bit is set, for the epochs `[from, until)`, and then the time of fines.
    function _tickBy(uint256 who, uint32 from, uint32 until) internal {
        for (uint32 x = from; x <= until; ++x) {
            _to(x + 1);
            for (uint256 n; n < orgs.length; ++n) {
                if ((who >> n) & 1 != 0) _tick(n, x);
            }
        }
        _to(until + 2);
    }

    function _noFine(uint256 n, uint32 epoch, LeaseId lease) internal {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NoFine.selector, orgs[n], epoch));
        witnesses.fine(orgs[n], epoch, lease);
    }

    function _stake(uint256 n) internal view returns (uint256) {
        return witnesses.witness(orgs[n]).stake;
    }
}

contract WitnessesFineTest is FineTest {
    function test_WhenTooFewTicked_GoesToTheBuyer() external {
        _tickBy(1, e, e + 1);
        uint256 before = escrow.free(buyerOrg);
        vm.expectEmit(address(witnesses));
        emit IWitnesses.TickMissed(orgs[1], e, TICK_FINE, buyerOrg);
        witnesses.fine(orgs[1], e, id);
        assertEq(escrow.free(buyerOrg), before + TICK_FINE);
        assertEq(_stake(1), STAKE - TICK_FINE);
        assertEq(witnesses.witness(orgs[1]).barredFrom, _epoch());
        assertEq(witnesses.witness(orgs[1]).barredUntil, _epoch() + 30);
    }

    function test_WhenEnoughTicked_GoesToTheFund() external {
        _tickBy(3, e, e + 1);
        _noFine(2, e, id);
        _to(e + 4);
        uint256 before = escrow.free(FUND);
        witnesses.fine(orgs[2], e, id);
        assertEq(escrow.free(FUND), before + TICK_FINE);
    }

    /// Who wishes the buyer ill cannot be faster than it.
    function test_WhenNoLeaseIsNamed_WaitsForAnEpochMore() external {
        _tickBy(1, e, e + 1);
        _noFine(1, e, NONE);
        _to(e + 4);
        uint256 before = escrow.free(FUND);
        witnesses.fine(orgs[1], e, NONE);
        assertEq(escrow.free(FUND), before + TICK_FINE);
    }

    function test_RevertWhen_TooEarlyOrTooLate() external {
        _to(e + 3);
        vm.warp(uint256(e + 3) * epochTime - 1);
        _noFine(0, e, id);
        _to(e + 64);
        _noFine(0, e, NONE);
        _to(e + 63);
        witnesses.fine(orgs[0], e, NONE);
    }

    function test_RevertWhen_ItTicked() external {
        _tickBy(1, e, e + 1);
        _noFine(0, e, id);
        _to(e + 4);
        _noFine(0, e, NONE);
    }

    /// Committed, but not opened.
    function test_WhenNotOpened_IsFined() external {
        _to(e + 1);
        _tick(0, e);
        _to(e + 3);
        witnesses.fine(orgs[0], e, id);
    }

    function test_RevertWhen_Twice() external {
        _to(e + 4);
        witnesses.fine(orgs[0], e, id);
        _noFine(0, e, id);
        _noFine(0, e, NONE);
        witnesses.fine(orgs[0], e + 1, id);
    }

    function test_RevertWhen_ItDidNotSitThere() external {
        LeaseId undrawn = _deliveredLease(1, 60);
        _to(e + 4);
        _noFine(0, e, undrawn);
        _admitWitness(0);
        _joinAs(3);
        uint32 later = _epoch() + 1;
        _to(later + 3);
        _noFine(3, later, id);
        _to(later + 4);
        witnesses.fine(orgs[3], later, NONE);
    }

    function test_RevertWhen_TheLeaseWasNotThereToBeMeasured() external {
        _noFine(0, e - 2, id); // before the draw
        LeaseId undelivered = _signedLease(1, 60);
        witnesses.draw(undelivered, 0);
        LeaseId short = _deliveredLease(1, 2);
        witnesses.draw(short, 0);
        _to(e + 6);
        _noFine(0, e, undelivered);
        _noFine(0, e + 1, short); // ended with epoch e
        witnesses.fine(orgs[0], e, short);
    }

    function test_RevertWhen_BeforeItJoinedOrAfterItsExit() external {
        _to(e + 4);
        _noFine(0, witnesses.witness(orgs[0]).joined - 1, NONE);
        witnesses.fine(orgs[0], witnesses.witness(orgs[0]).joined, NONE);
        vm.prank(admins[1]);
        witnesses.leave();
        uint32 exit = witnesses.witness(orgs[1]).exit;
        _to(exit + 6);
        _noFine(1, exit, NONE);
        witnesses.fine(orgs[1], exit - 1, NONE);
        vm.prank(admins[1]);
        witnesses.withdraw();
        _noFine(1, exit - 2, NONE);
        assertEq(escrow.free(orgs[1]), FUNDED - TICK_FINE);
    }

    /// Below the least stake a witness owes ticks only where it sits; there until nothing is left.
    function test_WhenTheStakeIsDrained_OnlyItsSeatsCost() external {
        address auditor = makeAddr("auditor");
        vm.prank(address(timelock));
        directory.setRight(auditor, Rights.WITNESSES_SLASH, true);
        vm.startPrank(auditor);
        while (_stake(0) > TICK_FINE * 2) witnesses.slash(orgs[0], "x");
        vm.stopPrank();
        uint256 left = _stake(0);
        assertGt(left, TICK_FINE);
        _to(e + 6);
        _noFine(0, e, NONE);
        witnesses.fine(orgs[0], e, id);
        assertEq(_stake(0), left - TICK_FINE);
        witnesses.fine(orgs[0], e + 1, id); // no more than is left
        assertEq(_stake(0), 0);
        _noFine(0, e + 2, id);
        assertEq(escrow.balance(address(witnesses), _account(orgs[0])), 0);
        // And it can leave with nothing.
        vm.prank(admins[0]);
        witnesses.leave();
        _to(witnesses.witness(orgs[0]).exit);
        vm.prank(admins[0]);
        witnesses.withdraw();
    }

    /// What it owed no tick for is not fined afterwards, when the stake is filled up again.
    function test_WhenFilledUp_OwesFromThenOn() external {
        address auditor = makeAddr("auditor");
        vm.prank(address(timelock));
        directory.setRight(auditor, Rights.WITNESSES_SLASH, true);
        _admitWitness(0);
        _joinAs(3);
        vm.startPrank(auditor);
        witnesses.slash(orgs[3], "x");
        witnesses.slash(orgs[3], "x");
        vm.stopPrank();
        _to(e + 8);
        vm.prank(admins[3]);
        witnesses.addStake(STAKE);
        _to(e + 20);
        _noFine(3, e + 7, NONE);
        _noFine(3, e + 8, NONE);
        witnesses.fine(orgs[3], e + 9, NONE);
    }
}

contract WitnessesFineLargeTest is WitnessBase {
    /// (5,4): three of five are too few.
    function test_WhenThreeOfFiveTicked_GoesToTheBuyer() external {
        _pool(12);
        _runTo(_epoch() + 2);
        LeaseId id = _deliveredLease(1, 60);
        OrgId[] memory seats = _drawFirst(id);
        uint32 e = _epoch() + 1;
        for (uint32 x = e - 1; x < e + 2; ++x) {
            _to(x + 1);
            for (uint256 n; n < 12; ++n) {
                if (seats[3] != orgs[n] && (seats[4] != orgs[n] || x < e)) _tick(n, x);
            }
        }
        _to(e + 4);
        uint256 before = escrow.free(buyerOrg);
        witnesses.fine(seats[3], e - 1, id);
        // The tick of `e - 1` is opened by that of `e`: seat 4 committed it, and did not open it.
        assertEq(escrow.free(buyerOrg), before + TICK_FINE);
        witnesses.fine(seats[4], e, id);
        assertEq(escrow.free(buyerOrg), before + 2 * TICK_FINE);
    }
}

contract WitnessesMoneyTest is FineTest {
    address internal auditor = makeAddr("auditor");

    function _sum() internal view returns (uint256 stakes) {
        for (uint256 n; n < orgs.length; ++n) {
            uint256 stake = witnesses.witness(orgs[n]).stake;
            assertEq(stake, escrow.balance(address(witnesses), _account(orgs[n])), "stake and account");
            stakes += stake;
        }
    }

    function _try(address who, bytes memory call) private {
        vm.prank(who);
        (bool ok,) = address(witnesses).call(call);
        ok;
    }

    /// Whatever happens in whatever order: stakes are what is in their accounts, and no credit is lost or made.
    function testFuzz_Always_StakesAreConserved(uint256 seed) external {
        vm.prank(address(timelock));
        directory.setRight(auditor, Rights.WITNESSES_SLASH, true);
        uint256 total = escrow.total();
        for (uint256 i; i < 60; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 n = (seed >> 8) % 3;
            uint256 what = seed % 9;
            uint32 epoch = uint32(_epoch() - (seed >> 16) % 10);
            LeaseId lease = (seed >> 24) % 2 == 0 ? id : NONE;
            if (what < 3) {
                _try(rival, abi.encodeCall(IWitnesses.fine, (orgs[n], epoch, lease)));
            } else if (what == 3) {
                _to(_epoch() + 1 + (seed >> 32) % 20);
            } else if (what == 4) {
                _try(admins[n], abi.encodeCall(IWitnesses.leave, ()));
            } else if (what == 5) {
                _try(admins[n], abi.encodeCall(IWitnesses.withdraw, ()));
            } else if (what == 6) {
                _try(admins[n], abi.encodeCall(IWitnesses.join, (signers[n], STAKE)));
            } else if (what == 7) {
                _try(admins[n], abi.encodeCall(IWitnesses.addStake, (uint96(seed >> 200) % 1e6)));
            } else if (seed >> 250 == 0) {
                _try(auditor, abi.encodeCall(IWitnesses.slash, (orgs[n], "x")));
            }
            _sum();
        }
        assertEq(escrow.total(), total);
        uint256 free = escrow.free(FUND) + escrow.free(northOrg) + escrow.free(southOrg)
            + escrow.free(buyerOrg) + escrow.free(rivalOrg);
        for (uint256 n; n < 3; ++n) {
            free += escrow.free(orgs[n]);
        }
        uint256 locked = escrow.balance(address(settlement), bytes32(uint256(LeaseId.unwrap(id))));
        assertEq(free + locked + _sum(), total);
    }
}
