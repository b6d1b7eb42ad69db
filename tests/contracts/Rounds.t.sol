// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {Rounds} from "../../contracts/libraries/Rounds.sol";

/// @notice W3, W5: rounds as bits.
contract RoundsBitmapTest is Test {
    function _frame(uint256 epoch, uint256 rounds, uint256 from, uint256 until)
        internal
        pure
        returns (Rounds.Frame memory)
    {
        return Rounds.Frame(epoch, rounds, from, until);
    }

    function test_WholeEpoch_HasEveryRound() external pure {
        assertEq(Rounds.whole(_frame(3600, 60, 0, 7200), 1), (1 << 60) - 1);
        assertEq(Rounds.whole(_frame(256, 256, 0, 512), 1), type(uint256).max);
    }

    function test_RoundThatBeginsBeforeTheLease_DoesNotCount() external pure {
        assertEq(Rounds.whole(_frame(3600, 60, 3600, 7200), 1), (1 << 60) - 1);
        assertEq(Rounds.whole(_frame(3600, 60, 3601, 7200), 1), (1 << 60) - 2);
        assertEq(Rounds.whole(_frame(3600, 60, 3660, 7200), 1), (1 << 60) - 2);
        assertEq(Rounds.whole(_frame(3600, 60, 3661, 7200), 1), (1 << 60) - 4);
    }

    function test_RoundThatEndsAfterTheLease_DoesNotCount() external pure {
        assertEq(Rounds.whole(_frame(3600, 60, 0, 7199), 1), (1 << 59) - 1);
        assertEq(Rounds.whole(_frame(3600, 60, 0, 3660), 1), 1);
        assertEq(Rounds.whole(_frame(3600, 60, 0, 3659), 1), 0);
    }

    function test_EpochOutsideTheLease_HasNone() external pure {
        assertEq(Rounds.whole(_frame(3600, 60, 7200, 10_800), 1), 0);
        assertEq(Rounds.whole(_frame(3600, 60, 7200, 10_800), 3), 0);
    }

    function test_Touched_TakesEveryRoundThatOverlaps() external pure {
        Rounds.Frame memory f = _frame(100, 10, 0, 1000);
        assertEq(Rounds.touched(f, 1, 110, 120), 1 << 1);
        assertEq(Rounds.touched(f, 1, 109, 120), 3);
        assertEq(Rounds.touched(f, 1, 110, 121), 6);
        assertEq(Rounds.touched(f, 1, 110, 110), 0);
        assertEq(Rounds.touched(f, 1, 0, 1000), 1023);
        assertEq(Rounds.touched(f, 1, 200, 300), 0);
    }

    function test_Before_IsByTheSecondARoundBegins() external pure {
        Rounds.Frame memory f = _frame(100, 10, 0, 1000);
        assertEq(Rounds.before(f, 1, 100), 0);
        assertEq(Rounds.before(f, 1, 101), 1);
        assertEq(Rounds.before(f, 1, 110), 1);
        assertEq(Rounds.before(f, 1, 111), 3);
        assertEq(Rounds.before(f, 1, 500), 1023);
    }

    /// The formulas agree with the definition of a round, also where E is no multiple of R.
    function testFuzz_BitmapsAgreeWithTheDefinition(
        uint16 epoch,
        uint16 rounds,
        uint16 e,
        uint32 from,
        uint32 until
    ) external pure {
        rounds = uint16(bound(rounds, 1, 256));
        epoch = uint16(bound(epoch, rounds, 4000));
        e = uint16(bound(e, 0, 5));
        from = uint32(bound(from, 0, 6 * uint256(epoch)));
        until = uint32(bound(until, from, 6 * uint256(epoch)));
        Rounds.Frame memory f = _frame(epoch, rounds, from, until);
        uint256 whole;
        uint256 touched;
        uint256 before;
        for (uint256 i; i < rounds; ++i) {
            uint256 a = uint256(e) * epoch + (i * epoch) / rounds;
            uint256 b = uint256(e) * epoch + ((i + 1) * epoch) / rounds;
            if (a >= from && b <= until) whole |= 1 << i;
            if (a < until && b > from && from < until) touched |= 1 << i;
            if (a < from) before |= 1 << i;
        }
        assertEq(Rounds.whole(f, e), whole, "whole");
        assertEq(Rounds.touched(f, e, from, until), touched, "touched");
        assertEq(Rounds.before(f, e, from), before, "before");
    }

    function testFuzz_CountAndLowest(uint256 bitmap) external pure {
        uint256 n;
        uint256 low = 256;
        for (uint256 i; i < 256; ++i) {
            if ((bitmap >> i) & 1 == 0) continue;
            ++n;
            if (low == 256) low = i;
        }
        assertEq(Rounds.count(bitmap), n);
        if (bitmap != 0) assertEq(Rounds.lowest(bitmap), low);
    }

    function test_CountOfAllAndNone() external pure {
        assertEq(Rounds.count(0), 0);
        assertEq(Rounds.count(type(uint256).max), 256);
        assertEq(Rounds.lowest(1 << 255), 255);
        assertEq(Rounds.lowest(1), 0);
    }
}

/// @notice W5: a round is down when a quorum says so.
contract RoundsQuorumTest is Test {
    function test_TwoOfThree() external pure {
        uint256[] memory maps = new uint256[](3);
        (maps[0], maps[1], maps[2]) = (7, 14, 28);
        assertEq(Rounds.agreed(maps, 2), 14);
        assertEq(Rounds.agreed(maps, 3), 4);
        assertEq(Rounds.agreed(maps, 1), 31);
    }

    function test_FewerThanTheQuorum_NeverAgree() external pure {
        uint256[] memory maps = new uint256[](3);
        (maps[0], maps[1], maps[2]) = (type(uint256).max, type(uint256).max, type(uint256).max);
        assertEq(Rounds.agreed(maps, 4), 0);
        assertEq(Rounds.agreed(new uint256[](0), 1), 0);
    }

    function testFuzz_AgreesWithCounting(uint256[5] memory given, uint8 size, uint8 quorum) external pure {
        uint256[] memory maps = new uint256[](bound(size, 0, 5));
        quorum = uint8(bound(quorum, 1, 5));
        for (uint256 i; i < maps.length; ++i) {
            maps[i] = given[i];
        }
        uint256 expected;
        for (uint256 bit; bit < 256; ++bit) {
            uint256 n;
            for (uint256 i; i < maps.length; ++i) {
                n += (maps[i] >> bit) & 1;
            }
            if (n >= quorum) expected |= 1 << bit;
        }
        assertEq(Rounds.agreed(maps, quorum), expected);
    }

    /// More bitmaps than a committee has seats still count rightly.
    function test_ManyBitmaps_StayAgreed() external pure {
        uint256[] memory maps = new uint256[](20);
        for (uint256 i; i < 20; ++i) {
            maps[i] = i < 17 ? 3 : 1;
        }
        assertEq(Rounds.agreed(maps, 8), 3);
    }
}

/// @notice W5, W6: spans, and what is final.
contract RoundsSpanTest is Test {
    function _frame(uint256 from, uint256 until) internal pure returns (Rounds.Frame memory) {
        return Rounds.Frame(600, 60, from, until);
    }

    function _assertSpan(Rounds.Frame memory f, uint256 e, uint256 lo, uint256 hi) internal pure {
        (uint256 a, uint256 b) = Rounds.spanOf(f, e);
        assertEq(a, lo, "first epoch");
        assertEq(b, hi, "last epoch");
    }

    function test_WholeEpochs_StandAlone() external pure {
        Rounds.Frame memory f = _frame(6000, 9000); // epochs 10..14
        for (uint256 e = 10; e < 15; ++e) {
            _assertSpan(f, e, e, e);
        }
    }

    function test_TenRounds_StandAlone() external pure {
        Rounds.Frame memory f = _frame(6500, 8500); // ten rounds left in 10; ten in 14
        _assertSpan(f, 10, 10, 10);
        _assertSpan(f, 14, 14, 14);
    }

    function test_ShortFirstEpoch_JoinsTheNext() external pure {
        Rounds.Frame memory f = _frame(6501, 9000);
        _assertSpan(f, 10, 10, 11);
        _assertSpan(f, 11, 10, 11);
        _assertSpan(f, 12, 12, 12);
    }

    function test_ShortLastEpoch_JoinsThePrevious() external pure {
        Rounds.Frame memory f = _frame(6000, 8499);
        _assertSpan(f, 12, 12, 12);
        _assertSpan(f, 13, 13, 14);
        _assertSpan(f, 14, 13, 14);
    }

    function test_TwoShortEnds_OfThreeEpochs_AreOneSpan() external pure {
        Rounds.Frame memory f = _frame(6501, 7299); // 10, 11, 12
        for (uint256 e = 10; e < 13; ++e) {
            _assertSpan(f, e, 10, 12);
        }
    }

    function test_TwoShortEnds_OfFourEpochs_AreTwoSpans() external pure {
        Rounds.Frame memory f = _frame(6501, 7899); // 10..13
        _assertSpan(f, 10, 10, 11);
        _assertSpan(f, 11, 10, 11);
        _assertSpan(f, 12, 12, 13);
        _assertSpan(f, 13, 12, 13);
    }

    function test_ShortLease_IsOneSpan() external pure {
        _assertSpan(_frame(6550, 6580), 10, 10, 10);
        _assertSpan(_frame(6550, 6650), 10, 10, 11);
        _assertSpan(_frame(6550, 6650), 11, 10, 11);
    }

    /// Every epoch of a span names the same span; the spans cut a lease into pieces without gap or overlap.
    function testFuzz_SpansPartitionTheLease(uint16 from, uint16 length) external pure {
        Rounds.Frame memory f = _frame(from, uint256(from) + bound(length, 1, 6000));
        uint256 e = Rounds.first(f);
        while (e <= Rounds.last(f)) {
            (uint256 lo, uint256 hi) = Rounds.spanOf(f, e);
            assertEq(lo, e);
            assertGe(hi, lo);
            assertLe(hi, Rounds.last(f));
            for (uint256 x = lo; x <= hi; ++x) {
                _assertSpan(f, x, lo, hi);
            }
            e = hi + 1;
        }
    }

    function test_ClaimsOpenTwoEpochsAfterTheEnd_ForThreeQuartersOfOne() external pure {
        (uint256 from, uint256 until, uint256 final_) = Rounds.claims(_frame(0, 1), 10);
        assertEq(from, 7800);
        assertEq(until, 8250);
        assertEq(final_, 8400);
    }

    function test_NothingIsFinal_UntilTheFirstClaimsClose() external pure {
        Rounds.Frame memory f = _frame(6100, 9000);
        assertEq(Rounds.finalUntil(f, 6200), 6100);
        assertEq(Rounds.finalUntil(f, 8399), 6100);
        assertEq(Rounds.finalUntil(f, 8400), 6600);
        assertEq(Rounds.finalUntil(f, 8999), 6600);
        assertEq(Rounds.finalUntil(f, 9000), 7200);
    }

    function test_AfterTheLastClaims_AllIsFinal() external pure {
        Rounds.Frame memory f = _frame(6100, 9000); // last epoch 14
        assertEq(Rounds.finalUntil(f, 10_799), 8400);
        assertEq(Rounds.finalUntil(f, 10_800), 9000);
        assertEq(Rounds.finalUntil(f, type(uint40).max), 9000);
    }

    function test_JoinedEpochs_AreFinalTogether() external pure {
        Rounds.Frame memory f = _frame(6501, 8499); // spans 10-11, 12, 13-14
        assertEq(Rounds.finalUntil(f, 8400), 6501);
        assertEq(Rounds.finalUntil(f, 8999), 6501);
        assertEq(Rounds.finalUntil(f, 9000), 7200);
        assertEq(Rounds.finalUntil(f, 9600), 7800);
        assertEq(Rounds.finalUntil(f, 10_200), 7800);
        assertEq(Rounds.finalUntil(f, 10_799), 7800);
        assertEq(Rounds.finalUntil(f, 10_800), 8499);
    }

    function test_NothingThatCounts_IsFinalAtItsBeginning() external pure {
        assertEq(Rounds.finalUntil(_frame(9000, 9000), 100_000), 9000);
    }

    /// What is final never takes a step back, and no second is final while claims on its span are to come.
    function testFuzz_FinalIsMonotonousAndNeverEarly(uint16 from, uint16 length, uint32 now_, uint16 later)
        external
        pure
    {
        Rounds.Frame memory f = _frame(from, uint256(from) + bound(length, 1, 6000));
        uint256 at = bound(now_, 0, 80_000);
        uint256 final_ = Rounds.finalUntil(f, at);
        assertGe(Rounds.finalUntil(f, at + later), final_);
        for (uint256 e = Rounds.first(f); e <= Rounds.last(f); ++e) {
            (uint256 lo, uint256 hi) = Rounds.spanOf(f, e);
            (,, uint256 until) = Rounds.claims(f, hi);
            uint256 end = hi == Rounds.last(f) ? f.until : (hi + 1) * f.epoch;
            uint256 start = lo * f.epoch > f.from ? lo * f.epoch : f.from;
            if (at >= until) assertGe(final_, end);
            else assertLe(final_, start);
        }
    }
}
