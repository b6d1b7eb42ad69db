// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W7: down rounds are forgiven for the restore time from the first agreed one, once in 24 epochs.
contract GraceTest is VerdictsBase {
    function test_FirstTenMinutes_AreForgiven() external {
        _say(2, first, ((1 << 10) - 1) << 20);
        _openClaims(first);
        _claim(2, first);
        assertEq(_record().ppm, 0);
        assertEq(_record().graceUntil, uint256(first) * E + 1800);
    }

    function test_EleventhRound_Counts() external {
        _judge(first, 11);
        assertEq(_record().ppm, 100_000);
    }

    /// Grace is a time, not a number of rounds: what falls into it is forgiven, what is later is not.
    function test_LaterRounds_CountHoweverFewThereWere() external {
        _say(2, first, 1 | (1 << 10));
        _openClaims(first);
        _claim(2, first);
        assertEq(_record().ppm, 100_000);
    }

    function test_SecondOutageWithin24Epochs_CountsFromItsFirstRound() external {
        _useGrace();
        _judge(first + 23, 1);
        assertEq(_record().ppm, 100_000);
    }

    function test_After24Epochs_GraceBeginsAgain() external {
        _judge(first, 10);
        _drawSecondTerm();
        _judge(first + 24, 10);
        assertEq(_record().ppm, 0);
        assertEq(_record().graceUntil, uint256(first + 24) * E + 600);
    }

    function test_Grace_RunsOnIntoTheNextSpan() external {
        _say(2, first, 1 << 55); // until the fifth round of the next epoch
        _say(2, first + 1, 31);
        _say(2, first + 2, 1);
        _openClaims(first);
        _claim(2, first);
        assertEq(_record().ppm, 0);
        _openClaims(first + 1);
        _refuse(
            2, first + 1, abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first + 1, 0)
        );
        _openClaims(first + 2);
        _claim(2, first + 2);
        assertEq(_record().ppm, 100_000);
    }

    function test_RoundAfterGraceThatRanOn_Counts() external {
        _say(2, first, 1 << 55);
        _plan(first + 1, 6);
        _openClaims(first);
        _claim(2, first);
        _take(first + 1);
        assertEq(_record().ppm, 100_000);
    }

    /// Only what a quorum agrees on begins grace.
    function test_RoundOfOneSeat_BeginsNoGrace() external {
        _say(0, lease, 0, first, 1 | (1 << 30));
        _say(1, lease, 0, first, 1 << 30);
        _openClaims(first);
        _claim(2, first);
        assertEq(_record().graceUntil, uint256(first) * E + 2400);
    }

    /// A provider cannot pick the seats by which grace begins late and runs on: with all seats it begins earlier.
    function test_ClaimThatBeginsGraceEarlier_Replaces() external {
        _say(0, lease, 0, first, (1 << 50) | (1 << 55));
        _say(1, lease, 0, first, 1 << 55);
        _say(2, lease, 0, first, 1 << 50);
        _openClaims(first);
        _claim(2, first);
        assertEq(_record().graceUntil, uint256(first) * E + 65 * 60);
        _claim(3, first);
        assertEq(_record().graceUntil, uint256(first) * E + 60 * 60);
        bytes memory no = abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first, 0);
        IVerdicts.Evidence[] memory evidence = _evidence(2, first);
        vm.expectRevert(no);
        verdicts.claim(lease, 0, first, evidence);
    }

    /// A repeated claim starts from what stood before the first one on its span.
    function test_RepeatedClaim_DoesNotLoseItsGrace() external {
        _say(0, lease, 0, first, (1 << 20) - 1);
        _say(1, lease, 0, first, (1 << 12) - 1);
        _say(2, lease, 0, first, (1 << 20) - 1);
        _openClaims(first);
        _claim(2, first); // two of 60
        assertEq(_record().ppm, 100_000);
        _claim(3, first); // ten of 60
        assertEq(_record().ppm, 250_000);
        assertEq(_record().graceUntil, uint256(first) * E + 600);
    }

    function _drawSecondTerm() private {
        _through(first + 23);
        vm.warp((uint256(first) + 24) * E + 200);
        witnesses.draw(lease, 1);
    }
}

/// @notice W5, W9: spans, streaks and what is undetermined.
contract SpansTest is VerdictsBase {
    function test_Streak_GrowsSpanBySpan() external {
        _useGrace();
        _plan(first + 1, 7);
        _plan(first + 2, 1);
        _plan(first + 3, 7);
        _take(first + 2);
        assertEq(_record().streaks, 0x0002);
        _take(first + 3);
        assertEq(_record().streaks, 0x0103);
    }

    function test_SpanNobodyClaimedOn_EndsTheStreaks() external {
        _useGrace();
        _plan(first + 1, 7);
        _judge(first + 3, 7);
        assertEq(_record().streaks, 0x0101);
    }

    /// The machine was switched off for most of an epoch: that epoch is undetermined, and no streak runs over it.
    function test_UndeterminedSpan_EndsTheStreaks() external {
        _useGrace();
        _judge(first + 1, 31);
        assertEq(_record().streaks, 0x010101);
        _plan(first + 4, 31);
        _say(2, first + 5, ALL_ROUNDS);
        _say(2, first + 6, (1 << 40) - 1);
        // Off for the whole of one epoch.
        vm.warp(uint256(first + 5) * E - 10);
        _power(2, 1);
        _through(first + 5);
        _power(1, 2);
        _openClaims(first + 5);
        _refuse(
            2, first + 5, abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, first + 5)
        );
        assertEq(_record().last, first + 4);
        _openClaims(first + 6);
        _claim(2, first + 6);
        assertEq(_record().streaks, 0x010101);
        assertEq(_record().breached, 0);
    }

    function _power(uint8 action, uint64 nonce) private {
        (address signer, uint256 key) = makeAddrAndKey("buyer");
        assertEq(signer, buyer);
        IVerdicts.PowerRequest memory r =
            IVerdicts.PowerRequest(lease, action, nonce, uint40(block.timestamp));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("OCX"),
                keccak256("1"),
                block.chainid,
                address(leases)
            )
        );
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("PowerRequest(uint32 lease,uint8 action,uint64 nonce,uint40 time)"),
                r.lease,
                r.action,
                r.nonce,
                r.time
            )
        );
        (uint8 v, bytes32 x, bytes32 y) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, hash)));
        verdicts.postPower(r, abi.encodePacked(x, y, v));
    }
}

/// @notice W5: a lease that begins and ends inside an epoch.
contract ShortEndsTest is VerdictsBase {
    /// @dev Delivered 51 minutes into the first epoch: nine whole rounds. Its window ends with an epoch.
    function _late() private {
        vm.warp(uint256(first) * E + 3060);
        lease = _deliver(1, 4);
    }

    function test_ShortFirstEpoch_IsJudgedWithTheNext() external {
        _late();
        (uint32 a, uint32 z, uint256 whole) = verdicts.spanOf(lease, first);
        assertEq(a, first);
        assertEq(z, first + 1);
        assertEq(whole, 69);
        _say(2, first, ALL_ROUNDS ^ ((1 << 51) - 1));
        _say(2, first + 1, (1 << 31) - 1);
        _openClaims(first + 1);
        IVerdicts.Evidence[] memory evidence = new IVerdicts.Evidence[](4);
        (evidence[0], evidence[1]) = (_proof(lease, 0, 0, first), _proof(lease, 0, 1, first));
        (evidence[2], evidence[3]) = (_proof(lease, 0, 0, first + 1), _proof(lease, 0, 1, first + 1));
        verdicts.claim(lease, 0, first, evidence);
        // 40 of 69 were down, the first ten of them are forgiven: 39 of 69 up.
        assertEq(_record().last, first + 1);
        assertEq(_record().ppm, 250_000);
        assertEq(_account().pending, (RATE * 4140 / 3600) / 4, "of the price of 69 minutes");
    }

    function test_RoundThatBeganBeforeTheDelivery_DoesNotCount() external {
        vm.warp(uint256(first) * E + 1801);
        lease = _deliver(1, 4);
        (,, uint256 whole) = verdicts.spanOf(lease, first);
        assertEq(whole, 29);
        _say(2, first, (1 << 31) - 1); // rounds 0 to 30, the last of them cut
        _openClaims(first);
        _refuse(2, first, abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first, 0));
    }

    /// The buyer leaves: its last epoch has five rounds and joins the one before.
    function test_ShortLastEpoch_IsJudgedWithTheOneBefore() external {
        _through(first);
        vm.warp(uint256(first + 2) * E + 300);
        vm.prank(buyer);
        leases.endEarly(lease); // ends an hour later
        (uint32 a, uint32 z, uint256 whole) = verdicts.spanOf(lease, first + 3);
        assertEq(a, first + 2);
        assertEq(z, first + 3);
        assertEq(whole, 65);
        _say(2, first + 3, 31);
        _openClaims(first + 3);
        _claim(2, first + 3);
        assertEq(_record().ppm, 0); // all in grace
    }

    function test_LeaseOfFewRounds_IsUndetermined() external {
        vm.warp(uint256(first + 1) * E - 500);
        lease = _deliver(1, 1);
        _say(2, first, ALL_ROUNDS);
        _openClaims(first);
        _refuse(2, first, abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, first));
    }

    /// Each machine bills from its own delivery; a penalty is of a span after the last of them.
    function test_MachinesDeliveredAtDifferentTimes_PenaltiesStayBelowTheSpansPrice() external {
        lease = _open(2, 6, sla);
        witnesses.draw(lease, 0);
        _deliverBits(lease, 1);
        vm.warp(block.timestamp + 1200);
        _deliverBits(lease, 3);
        vm.prank(buyer);
        leases.accept(lease, 3);
        for (uint8 place; place < 2; ++place) {
            for (uint8 seat; seat < 3; ++seat) {
                _say(seat, lease, place, first, ALL_ROUNDS);
                _say(seat, lease, place, first + 1, ALL_ROUNDS);
            }
        }
        (,, uint256 whole) = verdicts.spanOf(lease, first);
        assertEq(whole, 40, "from the last delivery on");
        _openClaims(first);
        for (uint8 place; place < 2; ++place) {
            verdicts.claim(lease, place, first, _evidence(lease, place, 3, first));
        }
        assertEq(_account().pending, 2 * RATE * 2 / 3, "30 of 40 down: all of 40 minutes, twice");
        _openClaims(first + 1);
        for (uint8 place; place < 2; ++place) {
            verdicts.claim(lease, place, first + 1, _evidence(lease, place, 3, first + 1));
        }
        assertEq(_account().pending, 2 * RATE);
        uint256 provider = escrow.free(northOrg);
        _final(first + 1);
        leases.settle(lease);
        assertEq(escrow.free(northOrg), provider + RATE / 3, "20 minutes of the first machine alone");
    }
}
