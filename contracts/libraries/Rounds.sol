// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Epochs and rounds as numbers and bitmaps (rules W3, W5, W6). Pure; times are unix seconds, below two to the
/// power of 64, so that unchecked arithmetic cannot overflow.
///
/// Epoch `e` is `[e * E, (e + 1) * E)`. Round `i` of it is `[e * E + i * E / R, e * E + (i + 1) * E / R)`, bit `i` of a
/// bitmap. `E >= R`, and `R <= 256`.
library Rounds {
    /// @notice Fewer rounds than this are no basis for a verdict: a first or last epoch of a lease with fewer joins its
    /// neighbour.
    uint256 internal constant LEAST = 10;
    /// @notice Epochs from the end of a span until claims on it open; one later it is final.
    uint256 internal constant CLAIMS_AFTER = 2;
    /// @notice Epochs a committee serves; the first term begins with the epoch the lease was signed in (W2).
    uint256 internal constant TERM = 24;

    /// @notice What of a lease's life counts: `[from, until)`, and how time is divided.
    /// @param epoch Seconds of an epoch.
    /// @param rounds Rounds in it.
    struct Frame {
        uint256 epoch;
        uint256 rounds;
        uint256 from;
        uint256 until;
    }

    // ---- rounds of one epoch -----------------------------------------------------------------------------------

    /// @notice The second a round begins at.
    function startOf(Frame memory f, uint256 e, uint256 round) internal pure returns (uint256) {
        unchecked {
            return e * f.epoch + (round * f.epoch) / f.rounds;
        }
    }

    /// @notice Rounds of an epoch that lie wholly inside what counts.
    function whole(Frame memory f, uint256 e) internal pure returns (uint256) {
        return _bits(_begun(f, e, f.from), _ended(f, e, f.until));
    }

    /// @notice Rounds of an epoch that `[from, until)` touches.
    function touched(Frame memory f, uint256 e, uint256 from, uint256 until) internal pure returns (uint256) {
        return from < until ? _bits(_ended(f, e, from), _begun(f, e, until)) : 0;
    }

    /// @notice Rounds of an epoch that begin before a second.
    function before(Frame memory f, uint256 e, uint256 second) internal pure returns (uint256) {
        return _bits(0, _begun(f, e, second));
    }

    /// @notice The lowest round of a bitmap that is not empty.
    function lowest(uint256 bitmap) internal pure returns (uint256) {
        return count((bitmap & (~bitmap + 1)) - 1);
    }

    /// @notice How many rounds a bitmap holds.
    function count(uint256 bitmap) internal pure returns (uint256 n) {
        unchecked {
            n = bitmap - ((bitmap >> 1) & (type(uint256).max / 3));
            n = (n & (type(uint256).max / 5)) + ((n >> 2) & (type(uint256).max / 5));
            n = (n + (n >> 4)) & (type(uint256).max / 17);
            // Sums of 8 bits each: 256 does not fit in one, so two halves are added up apart.
            n = (n & (type(uint256).max / 257)) + ((n >> 8) & (type(uint256).max / 257));
            // slither-disable-next-line divide-before-multiply (a bit mask, no fraction is lost)
            n = (n * (type(uint256).max / 65535)) >> 240;
        }
    }

    /// @notice Rounds that at least `quorum` of the bitmaps hold.
    /// @dev Every bit counts on its own, in three planes that begin at 8 - quorum: a carry out of the last is a quorum.
    /// @param quorum 1 to 8.
    function agreed(uint256[] memory bitmaps, uint256 quorum) internal pure returns (uint256 all) {
        uint256 preset = 8 - quorum;
        uint256 ones = preset & 1 == 0 ? 0 : type(uint256).max;
        uint256 twos = preset & 2 == 0 ? 0 : type(uint256).max;
        uint256 fours = preset & 4 == 0 ? 0 : type(uint256).max;
        for (uint256 i; i < bitmaps.length; ++i) {
            uint256 carry = bitmaps[i];
            (ones, carry) = (ones ^ carry, ones & carry);
            (twos, carry) = (twos ^ carry, twos & carry);
            (fours, carry) = (fours ^ carry, fours & carry);
            all |= carry;
        }
    }

    // ---- spans and finality ------------------------------------------------------------------------------------

    /// @notice First and last epoch of the span that is judged as one, for an epoch of the lease (W5).
    /// @dev Named by its last epoch. Meant for epochs from `first(f)` to `last(f)`.
    function spanOf(Frame memory f, uint256 e) internal pure returns (uint256 lo, uint256 hi) {
        unchecked {
            (lo, hi) = (e, e);
            uint256 a = first(f);
            uint256 z = last(f);
            if (a >= z || (e > a + 1 && e + 2 < z)) return (lo, hi);
            bool head = count(whole(f, a)) < LEAST;
            if (head && e <= a + 1) (lo, hi) = (a, a + 1);
            if (hi + 1 >= z && count(whole(f, z)) < LEAST) {
                hi = z;
                if (lo == z) lo = z - 1;
                if (head && lo == a + 1) lo = a;
            }
        }
    }

    /// @notice The epoch the lease begins to count in.
    function first(Frame memory f) internal pure returns (uint256) {
        return f.from / f.epoch;
    }

    /// @notice The epoch it counts in last.
    function last(Frame memory f) internal pure returns (uint256) {
        unchecked {
            return (f.until - 1) / f.epoch;
        }
    }

    /// @notice The seconds `[from, until)` in which claims on a span with this last epoch are taken: three quarters of an
    /// epoch. Appeals are taken until `final_`, so that there is time to answer the last claim.
    function claims(Frame memory f, uint256 hi)
        internal
        pure
        returns (uint256 from, uint256 until, uint256 final_)
    {
        unchecked {
            from = (hi + 1 + CLAIMS_AFTER) * f.epoch;
            final_ = from + f.epoch;
            until = final_ - f.epoch / 4;
        }
    }

    /// @notice The second up to which nothing of the lease can be judged any more (W6, E5).
    function finalUntil(Frame memory f, uint256 now_) internal pure returns (uint256) {
        unchecked {
            uint256 x = now_ / f.epoch;
            // Before any epoch is final, or nothing counts at all.
            if (x < 4 || f.until <= f.from) return f.from;
            x -= CLAIMS_AFTER + 1; // the first epoch that is not final if it stands alone
            if (x <= first(f)) return f.from;
            if (x > last(f)) return f.until;
            (uint256 lo, uint256 hi) = spanOf(f, x - 1);
            if (hi >= x) x = lo;
            // slither-disable-next-line divide-before-multiply (the begin of an epoch is meant)
            return x <= first(f) ? f.from : x * f.epoch;
        }
    }

    /// @notice The term an epoch belongs to, for a lease signed in an earlier or the same one.
    function termOf(uint256 signed, uint256 e) internal pure returns (uint256) {
        return (e - signed) / TERM;
    }

    // ---- parts -------------------------------------------------------------------------------------------------

    /// @dev Rounds of an epoch that begin before a second.
    function _begun(Frame memory f, uint256 e, uint256 second) private pure returns (uint256) {
        unchecked {
            uint256 start = e * f.epoch;
            if (second <= start) return 0;
            if (second >= start + f.epoch) return f.rounds;
            return ((second - start) * f.rounds + f.epoch - 1) / f.epoch;
        }
    }

    /// @dev Rounds of an epoch that have ended at a second.
    function _ended(Frame memory f, uint256 e, uint256 second) private pure returns (uint256) {
        unchecked {
            uint256 start = e * f.epoch;
            if (second <= start) return 0;
            if (second >= start + f.epoch) return f.rounds;
            return ((second - start + 1) * f.rounds + f.epoch - 1) / f.epoch - 1;
        }
    }

    /// @dev Bits from..until-1.
    function _bits(uint256 from, uint256 until) private pure returns (uint256) {
        unchecked {
            if (from >= until) return 0;
            uint256 low = from == 0 ? 0 : type(uint256).max >> (256 - from);
            return (type(uint256).max >> (256 - until)) ^ low;
        }
    }
}
