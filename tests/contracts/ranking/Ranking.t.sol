// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IRanking} from "../../../contracts/interfaces/IRanking.sol";
import {Policy, Skip, SlaId, Window} from "../../../contracts/interfaces/Types.sol";

/// @notice A7, A8 with groups: `pick` alone, which knows neither calendars nor purses.
contract RankingPickTest is Exchange {
    bytes32 private constant A = "a";
    bytes32 private constant B = "b";

    IRanking.Entry[] private _bids;
    uint256[] private _taken;
    Skip[] private _passed;
    uint64 private _clearing;

    function _bid(uint64 rate, uint16 count, bytes32 group) private {
        _bid(rate, count, group, Skip.None);
    }

    function _bid(uint64 rate, uint16 count, bytes32 group, Skip skip) private {
        _bids.push(IRanking.Entry(rate, count, skip, group));
    }

    function _pick(uint256 wanted, uint64 ceiling) private {
        uint16[] memory taken;
        (taken, _passed, _clearing) = ranking.pick(_bids, wanted, ceiling);
        assertEq(taken.length, _bids.length);
        for (uint256 i; i < taken.length; ++i) {
            _taken.push(taken[i]);
        }
        assertEq(_passed.length, _bids.length);
    }

    function test_WhenThereAreNoBids_TakesNothing() external {
        _pick(3, 9);
    }

    function test_WhenNothingIsWanted_TakesAndBlamesNobody() external {
        _bid(1, 1, A, Skip.ProviderCover);
        _bid(2, 1, A);
        _pick(0, 0);
        assertEq(_taken[0] + _taken[1], 0);
        assertEq(uint8(_passed[0]), uint8(Skip.None));
    }

    function test_WhenOneGroup_FillsInOrderAndCutsTheLast() external {
        _bid(1, 2, A);
        _bid(2, 3, A);
        _bid(3, 1, A);
        _pick(4, 0);
        assertEq(_taken[0], 2);
        assertEq(_taken[1], 2);
        assertEq(_taken[2], 0);
        assertEq(_clearing, 0);
    }

    /// C1: who cannot be opened is passed over; whom the award does not come to is not.
    function test_WhenSkipped_PassesOverAndGoesOn() external {
        _bid(1, 2, A, Skip.NotFree);
        _bid(2, 2, A);
        _bid(3, 2, A, Skip.ProviderCover);
        _pick(2, 0);
        assertEq(_taken[1], 2);
        assertEq(uint8(_passed[0]), uint8(Skip.NotFree));
        assertEq(uint8(_passed[2]), uint8(Skip.None));
    }

    function test_WhenGroupsDiffer_TheFullestWins() external {
        _bid(1, 1, A);
        _bid(5, 1, B);
        _bid(6, 1, B);
        _pick(2, 0);
        assertEq(_taken[0], 0);
        assertEq(_taken[1] + _taken[2], 2);
    }

    function test_WhenTwoFillAll_TheCheapestWins() external {
        _bid(1, 1, A);
        _bid(2, 2, B);
        _bid(9, 1, A);
        _pick(2, 0);
        assertEq(_taken[1], 2);
    }

    function test_WhenTwoCostTheSame_TheFirstBidWins() external {
        _bid(1, 1, A);
        _bid(2, 2, B);
        _bid(3, 1, A);
        _pick(2, 0);
        assertEq(_taken[0] + _taken[2], 2);
        assertEq(_taken[1], 0);
    }

    /// Else a planted bid could hold the award for its group until it was too late, and cost its planter nothing.
    function test_WhenTheBestGroupFails_IsBlamedAndTheNextWins() external {
        _bid(1, 2, A, Skip.ProviderCover);
        _bid(2, 1, A);
        _bid(3, 2, B);
        _pick(2, 0);
        assertEq(uint8(_passed[0]), uint8(Skip.ProviderCover));
        assertEq(_taken[1], 0);
        assertEq(_taken[2], 2);
    }

    function test_WhenAllFail_AllAreBlamed() external {
        _bid(1, 2, A, Skip.ProviderCover);
        _bid(2, 2, B, Skip.NotFree);
        _pick(2, 0);
        assertEq(_taken[0] + _taken[1], 0);
        assertEq(uint8(_passed[0]), uint8(Skip.ProviderCover));
        assertEq(uint8(_passed[1]), uint8(Skip.NotFree));
    }

    /// A8: a cheaper loser of another group does not lower what the winners are paid.
    function test_WhenVickrey_PaysTheNextRateOfTheGroup() external {
        _bid(1, 1, A);
        _bid(4, 2, B);
        _bid(5, 1, A, Skip.NotFree);
        _bid(7, 1, B);
        _pick(2, 9);
        assertEq(_clearing, 7);
    }

    function test_WhenVickreyAndNobodyIsLeft_PaysTheCeiling() external {
        _bid(1, 1, A);
        _bid(4, 2, B);
        _pick(2, 9);
        assertEq(_clearing, 9);
    }

    /// Whatever comes: never more than wanted, nobody both taken and passed, one group alone, and no winner is paid
    /// less than its bid.
    function testFuzz_WhenRandom_IsAnAward(uint256 seed, uint256 wanted) external {
        wanted = bound(wanted, 1, 40);
        uint256 n = bound(seed >> 8, 1, 32);
        uint64 rate = 1;
        for (uint256 i; i < n; ++i) {
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            rate += uint64(r % 3);
            _bid(rate, uint16(1 + r / 3 % 4), bytes32(r / 16 % 3), Skip(r / 64 % 8 < 6 ? 0 : r / 64 % 2 + 1));
        }
        _pick(wanted, rate);
        uint256 filled;
        bytes32 group;
        for (uint256 i; i < n; ++i) {
            if (_taken[i] == 0) continue;
            if (filled != 0) assertEq(_bids[i].group, group, "one group");
            group = _bids[i].group;
            filled += _taken[i];
            assertEq(uint8(_bids[i].skip), uint8(Skip.None), "can be opened");
            assertLe(_taken[i], _bids[i].count);
            assertGe(_clearing, _bids[i].rate, "paid what it bid");
        }
        assertLe(filled, wanted);
    }
}

/// @notice A3: what a request locks at most.
contract RankingCeilingTest is Exchange {
    function _terms(Window memory window, uint32 slots, SlaId sla)
        private
        pure
        returns (IBook.RequestTerms memory)
    {
        return IBook.RequestTerms(window, slots, 3, Policy.Provider, 0, RATE, sla, CLASS, _spec(), 0, "", "");
    }

    function test_WhenThePieceIsShort_CostsNoMoreThanThePiece() external view {
        (uint256 price, uint256 fees) = ranking.ceilingOf(_terms(_window(2, 20), 4, NO_SLA));
        assertEq(price, 3 * 4 * uint256(RATE));
        assertEq(fees, 0);
    }

    function test_WhenLessIsLeftOfTheWindow_CostsWhatIsLeft() external {
        Window memory w = _window(0, 4);
        vm.warp(block.timestamp + 2 * 3600);
        (uint256 price,) = ranking.ceilingOf(_terms(w, 3, NO_SLA));
        assertEq(price, 3 * 2 * uint256(RATE));
    }

    /// Slots of an epoch: every piece of four touches four.
    function test_WhenSlotsAreEpochs_FeesAreThoseOfThePiece() external view {
        (, uint256 fees) = ranking.ceilingOf(_terms(_window(2, 20), 4, SlaId.wrap(1)));
        assertEq(fees, uint256(3 * 10_010));
    }
}
