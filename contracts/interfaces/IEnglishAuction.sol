// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AuctionId, AwardId, OfferId, OrgId, ResourceId, Skip, Window} from "./Types.sol";

/// @notice English auctions on resources of an offer (rule A2): the rate goes up in public, and the last bid wins.
///
/// Each bid locks the whole price and cannot be taken back (C1). Who is outbid pulls its money, or bids again with it. A bid
/// in the last `extension` seconds moves the end, never past the hard stop, and doubles the step. From the first bid on the
/// offer is frozen in `Book`: nobody buys it at once, and its seller neither cancels nor changes it (A1).
///
/// The seller's deposit is what it stands by its auction with: if it sold the machines elsewhere, or cannot cover its bond,
/// the leader gets everything back and the deposit besides. What leases of an award promise is what the offer promises.
///
/// Assumes: `Book` and `Awards` listen to this contract; where they do not any more, an auction with a bid can be closed from
/// the end of its window on, and everybody gets back what is theirs.
/// Does NOT tell a seller's own bids from others', unless they are affiliated: a hidden reserve (docs/security.md).
interface IEnglishAuction {
    /// @param reserveRate Microcredits per resource and hour; at least the offer's floor. The first bid's least rate.
    /// @param stepBps How much more the next bid has to offer at least, hundredths of a percent, 1 to 10,000.
    /// @param end Unix seconds. A bid at that second is too late.
    /// @param extension Seconds: a bid with fewer left moves the end to so many from then on.
    /// @param hardStop Unix seconds. The end never moves past it; before the window's end.
    struct AuctionTerms {
        OfferId offer;
        Window window;
        uint64 reserveRate;
        uint16 stepBps;
        uint40 end;
        uint32 extension;
        uint40 hardStop;
    }

    enum AuctionStage {
        None,
        Open,
        /// Its leader has a lease.
        Awarded,
        /// Nobody bid.
        Unsold,
        /// There was a bid, but no lease could be opened.
        Failed,
        Cancelled
    }

    /// @param leader Who bid last; 0 if nobody did.
    /// @param rate The leader's; before the first bid the reserve.
    /// @param stepBps Doubles with each bid near the end.
    /// @param start First slot of what is leased.
    /// @param end When bidding ends as things stand, unix seconds.
    /// @param endSlot First slot that is not leased any more.
    /// @param by The seller's member whose consent and limit carry deposit and bond.
    /// @param deposit What the seller stands by it with.
    struct Auction {
        OfferId offer;
        OrgId seller;
        OrgId leader;
        uint64 rate;
        uint32 extension;
        uint16 stepBps;
        AuctionStage stage;
        uint32 start;
        uint40 end;
        uint40 hardStop;
        address by;
        uint32 endSlot;
        uint96 deposit;
        AwardId award;
        uint64 reserveRate;
    }

    /// @notice What of an organisation an auction holds.
    /// @param by The member whose consent and limit carry it.
    struct Stake {
        address by;
        uint96 amount;
    }

    event AuctionOpened(
        AuctionId indexed auction,
        OrgId indexed seller,
        OfferId indexed offer,
        ResourceId[] resources,
        uint32 start,
        uint32 end,
        uint64 reserveRate,
        uint16 stepBps,
        uint40 bidUntil,
        uint32 extension,
        uint40 hardStop,
        uint96 deposit
    );
    event AuctionBid(
        AuctionId indexed auction,
        OrgId indexed buyer,
        uint64 rate,
        uint96 amount,
        uint40 bidUntil,
        uint16 stepBps,
        address by
    );
    event BidPulled(AuctionId indexed auction, OrgId indexed buyer, uint96 amount);
    event AuctionAwarded(AuctionId indexed auction, OrgId indexed buyer, AwardId indexed award, uint64 rate);
    event AuctionUnsold(AuctionId indexed auction);
    event AuctionFailed(AuctionId indexed auction, OrgId indexed buyer, Skip reason, uint96 toBuyer);
    event AuctionCancelled(AuctionId indexed auction);

    /// @notice there is no such auction
    /// @dev See 'ocx auction list --all'.
    error EnglishAuction_Unknown(AuctionId auction);
    /// @notice the auction is over (2 awarded, 3 unsold, 4 failed, 5 cancelled)
    /// @dev See 'ocx auction show'.
    error EnglishAuction_Over(AuctionId auction, AuctionStage stage);
    /// @notice bidding has to end in the future, not after the hard stop, and that before the window's end and within 30 days
    /// @dev Give other times.
    error EnglishAuction_BadTimes(uint256 end, uint256 hardStop);
    /// @notice the step is 1 to 10000 hundredths of a percent, the extension at least a second
    /// @dev Give another --step or --extension.
    error EnglishAuction_BadStep(uint16 stepBps, uint32 extension);
    /// @notice that is more than one award can lease (resources times slots)
    /// @dev Auction fewer resources, or a shorter window.
    error EnglishAuction_TooLarge(uint256 slots, uint256 max);
    /// @notice too late: bidding ended (unix seconds)
    /// @dev Whoever leads has it ('ocx auction award').
    error EnglishAuction_TooLate(AuctionId auction, uint256 end);
    /// @notice too early: bidding has not ended yet (unix seconds)
    /// @dev Try again then.
    error EnglishAuction_TooEarly(AuctionId auction, uint256 end);
    /// @notice the rate is below the least that would lead (microcredits an hour)
    /// @dev Bid that or more.
    error EnglishAuction_TooLow(uint64 rate, uint256 least);
    /// @notice your organisation leads already
    /// @dev Wait until somebody bids more.
    error EnglishAuction_Leading(AuctionId auction, OrgId org);
    /// @notice an auction with a bid cannot be cancelled
    /// @dev Its leader gets the lease when bidding is over.
    error EnglishAuction_HasBids(AuctionId auction, OrgId leader);
    /// @notice there is nothing of this organisation to pull
    /// @dev See 'ocx auction show'.
    error EnglishAuction_NothingToPull(AuctionId auction, OrgId org);
    /// @notice buyer and seller are affiliated
    /// @dev Inside an organisation nodes are assigned, not rented.
    error EnglishAuction_SelfDealing(OrgId buyer, OrgId seller);
    /// @notice the seller could not stand by a win now (1 a machine is not free, 2 it cannot cover its bond)
    /// @dev See 'ocx auction show'; ask the seller.
    error EnglishAuction_Skipped(Skip reason);

    /// @notice A seller's member puts resources of its open offer up for auction, and locks the deposit.
    /// @param org For whom; 0 for the organisation where the caller is at home.
    function open(OrgId org, AuctionTerms calldata terms, ResourceId[] calldata resources)
        external
        returns (AuctionId);

    /// @notice A buyer's member bids a rate and locks its whole price, with the buyer's half of the witness fees. What the
    /// organisation had locked here before is freed first.
    function bid(OrgId org, AuctionId auction, uint64 rate) external;

    /// @notice Anyone gives an organisation back what it bid and does not lead with.
    function pull(AuctionId auction, OrgId org) external;

    /// @notice Anyone closes an auction whose bidding ended: the leader gets its lease at its own rate, the seller its
    /// deposit. If no lease can be opened the leader gets all back, and the deposit, unless the window is over.
    function award(AuctionId auction) external;

    /// @notice The seller takes its auction back while nobody has bid.
    function cancel(AuctionId auction) external;

    /// @notice The least rate that would lead now.
    function leastRate(AuctionId auction) external view returns (uint256);

    function auction(AuctionId auction) external view returns (Auction memory);

    function resourcesOf(AuctionId auction) external view returns (ResourceId[] memory);

    function stakeOf(AuctionId auction, OrgId org) external view returns (Stake memory);

    /// @notice How many auctions there are; ids run from 1.
    function count() external view returns (uint32);

    /// @notice Share of the reserve's amount that a seller deposits, parts per million.
    function depositPpm() external view returns (uint32);
}
