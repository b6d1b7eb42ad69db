// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IBook} from "./IBook.sol";
import {Award, LeaseId, Leg, OrgId, ResourceId, Skip, Window} from "./Types.sol";

/// @notice What reverse auctions judge: who wins and at what rate (rules A7, A8), with what a request asks of its award as
/// a whole; and what excuses a bid that did not stand (A5).
///
/// Bids that could not be in one award stand in different groups: of different sites where one is asked for, of different
/// starts where one is. The award comes to the group that fills most of the count; among equals to the cheapest; then to
/// the one whose best bid ranks first. In it, bids fill the count in order, the last cut to what is missing. If it comes
/// to a bid that cannot be opened, that one is passed over and the groups are compared again without it.
///
/// Assumes: bids come best first, as their auction ranks them.
/// Does NOT hold, store or move anything; whether a bid is valid is its auction's to know.
interface IRanking {
    /// @param count How many resources the bid gives.
    /// @param skip Why a lease with it could not be opened now.
    /// @param group Bids of different groups are never awarded together.
    struct Entry {
        uint64 rate;
        uint16 count;
        Skip skip;
        bytes32 group;
    }

    /// @param legs Bids at their own rates, best first, none longer than what is asked for in all.
    /// @param wanted How many resources to award.
    /// @param ceiling The ceiling rate for Vickrey's rule, where all must be able to cover the ceiling; 0 for first price.
    /// @return taken How many resources of each bid are awarded.
    /// @return passed Why a bid was passed over that the award came to.
    /// @return clearing What Vickrey's rule pays all winners: the lowest rate of their group that is neither awarded nor
    /// passed over, the ceiling if there is none; 0 under first price.
    function select(Award calldata award, Leg[] memory legs, uint256 wanted, uint64 ceiling)
        external
        view
        returns (uint16[] memory taken, Skip[] memory passed, uint64 clearing);

    /// @notice The same judgement on bids whose groups and skips are known.
    function pick(Entry[] memory entries, uint256 wanted, uint64 ceiling)
        external
        pure
        returns (uint16[] memory taken, Skip[] memory passed, uint64 clearing);

    /// @notice What a request may cost at most if it is awarded from now on (A3): the price at its ceiling, each resource's
    /// rounded up, because legs are rounded one by one; and the buyer's half of the witness fees, for as many leases as
    /// resources, of a piece that touches as many epochs as one can (C2).
    function ceilingOf(IBook.RequestTerms calldata request)
        external
        view
        returns (uint256 price, uint256 fees);

    /// @notice Whether a lease excuses a bid for not standing: it booked the resource over the bid's window, after the
    /// commitment, for somebody who has nothing to do with either side. Else a bidder could sell to a friend to escape
    /// its own bid (A5).
    /// @param since When the bid was committed to.
    function excuses(
        LeaseId lease,
        ResourceId resource,
        Window memory window,
        uint40 since,
        OrgId bidder,
        OrgId buyer
    ) external view returns (bool);
}
