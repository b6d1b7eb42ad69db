// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "../Governed.sol";
import {IAwards} from "../interfaces/IAwards.sol";
import {IBook} from "../interfaces/IBook.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {IEscrow} from "../interfaces/IEscrow.sol";
import {IInventory} from "../interfaces/IInventory.sol";
import {ILeases} from "../interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "../interfaces/IMembers.sol";
import {ISealedTender} from "../interfaces/ISealedTender.sol";
import {
    Award,
    AwardId,
    LeaseId,
    Leg,
    OfferId,
    OrgId,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Window
} from "../interfaces/Types.sol";
import {Amounts} from "../libraries/Amounts.sol";
import {PackedIds} from "../libraries/PackedIds.sol";
import {Traits} from "../libraries/Traits.sol";

/// @notice See {ISealedTender}.
contract SealedTender is ISealedTender, Governed {
    using SafeCast for uint256;
    using PackedIds for mapping(uint256 => uint256);

    /// @notice How many revealed bids are kept. Bounds every loop over bids.
    uint256 public constant MAX_KEPT = 32;
    /// @notice Most resources times slots a tender may ask for: 64 for ten days of hours, or one for a year.
    uint256 public constant MAX_SLOTS = 16_384;
    uint256 private constant EXCUSE_TIME = 30 days;
    OrgId private constant FUND = OrgId.wrap(0);

    IMembers public immutable members;
    IInventory public immutable inventory;
    IEscrow public immutable escrow;
    IBook public immutable book;
    IAwards public immutable awards;
    ILeases public immutable leases;
    address public immutable settlement;
    /// @inheritdoc ISealedTender
    uint32 public immutable depositPpm;
    uint32 private immutable _slot;

    mapping(RequestId => Tender) private _tenders;
    mapping(RequestId => mapping(OrgId => Bidder)) private _bidders;
    mapping(RequestId => mapping(OrgId => mapping(uint256 word => uint256))) private _resources;
    mapping(RequestId => mapping(uint32 group => bool)) private _groups;
    /// @dev Kept bids, one word each: rate (64 bits), head of the commitment (128), bidder (32), offer (32). Ordered as
    /// numbers they are ordered by rate and then by commitment (A7).
    // slither-disable-next-line uninitialized-state (filled by reference, in _keep)
    mapping(RequestId => uint256[]) private _kept;

    /// @dev What `award` finds out about the kept bids, best first.
    struct Selection {
        uint256[] kept;
        BidStatus[] status;
        Leg[] legs;
        uint256 filled;
        uint256 uncovered;
        uint256 sold;
    }

    constructor(
        IDirectory directory_,
        IMembers members_,
        IInventory inventory_,
        IEscrow escrow_,
        IBook book_,
        IAwards awards_,
        ILeases leases_,
        address settlement_,
        uint32 depositPpm_
    ) Governed(directory_) {
        members = members_;
        inventory = inventory_;
        escrow = escrow_;
        book = book_;
        awards = awards_;
        leases = leases_;
        settlement = settlement_;
        depositPpm = depositPpm_;
        _slot = inventory_.slot();
    }

    // ---- the buyer ---------------------------------------------------------------------------------------------

    /// @inheritdoc ISealedTender
    function post(OrgId buyer, IBook.RequestTerms calldata r, TenderTerms calldata t)
        external
        returns (RequestId id)
    {
        uint256 end = uint256(r.window.end) * _slot;
        if (t.commitEnd <= block.timestamp || t.revealEnd <= t.commitEnd || t.revealEnd >= end) {
            revert SealedTender_BadTimes(t.commitEnd, t.revealEnd);
        }
        id = book.record(buyer, r, msg.sender);
        _requireSmall(r);
        buyer = book.request(id).org;
        // Rounded up for each resource: legs are rounded up one by one, and all of them must fit under it.
        uint256 ceiling = r.count * Amounts.priceUp(r.ceilingRate, end - _from(r.window.start));
        uint256 amount = ceiling + _fees(r);

        Tender storage tender_ = _tenders[id];
        tender_.commitEnd = t.commitEnd;
        tender_.revealEnd = t.revealEnd;
        tender_.vickrey = t.vickrey;
        tender_.stage = Stage.Open;
        tender_.buyer = buyer;
        tender_.ceilingAmount = amount.toUint96();
        tender_.deposit = Amounts.shareDown(ceiling, depositPpm).toUint96();
        emit TenderOpened(id, t.commitEnd, t.revealEnd, t.vickrey, tender_.ceilingAmount, tender_.deposit);

        escrow.lock(_ceilingKey(id), buyer, msg.sender, amount);
    }

    /// @inheritdoc ISealedTender
    function cancel(RequestId id) external {
        Tender storage t = _open(id);
        members.requireRightFor(t.buyer, msg.sender, MemberRights.BUY);
        if (t.commits != 0) revert SealedTender_HasCommitments(id, t.commits);
        t.stage = Stage.Cancelled;
        emit TenderCancelled(id);
        _returnCeiling(id, book.request(id));
    }

    // ---- bidders -----------------------------------------------------------------------------------------------

    /// @inheritdoc ISealedTender
    function commit(OrgId org, RequestId id, bytes32 commitment) external {
        Tender storage t = _open(id);
        if (block.timestamp >= t.commitEnd) revert SealedTender_TooLate(id, t.commitEnd);
        if (commitment == 0) revert SealedTender_EmptyCommitment();
        org = members.actingFor(org, msg.sender, MemberRights.OFFER);
        members.requireActive(org, Roles.SELLER);
        if (members.affiliated(org, t.buyer)) revert SealedTender_SelfDealing(t.buyer, org);
        Bidder storage b = _bidders[id][org];
        if (b.status != BidStatus.None) revert SealedTender_AlreadyCommitted(id, org);
        _takeGroup(id, members.groupOf(org));

        ++t.commits;
        b.status = BidStatus.Committed;
        b.by = msg.sender;
        b.committedAt = uint40(block.timestamp);
        b.commitment = commitment;
        emit BidCommitted(id, org, commitment, msg.sender);

        escrow.lock(_depositKey(id), org, msg.sender, t.deposit);
    }

    /// @inheritdoc ISealedTender
    function reveal(RequestId id, OrgId org, Bid calldata bid, bytes32 salt) external {
        Tender storage t = _tenders[id];
        Bidder storage b = _requireReveal(id, t, org, bid, salt);
        IBook.Request memory r = book.request(id);
        Window memory window = Window(r.start, r.end);
        if (bid.rate > r.ceilingRate) revert SealedTender_RateAboveCeiling(bid.rate, r.ceilingRate);
        book.requireOffered(bid.offer, org, bid.resources, window, bid.rate);
        inventory.requireFits(bid.resources, r.class, r.spec, window);

        ++t.reveals;
        b.status = BidStatus.Revealed;
        _resources[id][org].store(bid.resources);
        emit BidRevealed(id, org, bid.offer, bid.rate, bid.resources);
        _keep(id, (uint256(bid.rate) << 192) | (uint256(b.commitment >> 128) << 64) | _tail(org, bid.offer));
    }

    /// @inheritdoc ISealedTender
    function revealVoid(
        RequestId id,
        OrgId org,
        Bid calldata bid,
        bytes32 salt,
        ResourceId resource,
        LeaseId lease
    ) external {
        Tender storage t = _tenders[id];
        Bidder storage b = _requireReveal(id, t, org, bid, salt);
        bool named;
        for (uint256 i; i < bid.resources.length; ++i) {
            named = named || ResourceId.unwrap(bid.resources[i]) == ResourceId.unwrap(resource);
        }
        IBook.Request memory r = book.request(id);
        // A lease that let the resource go again is no excuse for not standing by the bid.
        if (!named || inventory.isFree(resource, r.start, r.end)) {
            revert SealedTender_NoExcuse(resource, lease);
        }
        ++t.excused;
        _excuse(id, t, org, b, resource, lease);
    }

    /// @inheritdoc ISealedTender
    function excuse(RequestId id, OrgId org, ResourceId resource, LeaseId lease) external {
        Bidder storage b = _bidders[id][org];
        if (b.status != BidStatus.Sold) revert SealedTender_WrongStatus(id, org, b.status);
        ResourceId[] memory named = _resources[id][org].load(PackedIds.MAX);
        bool found;
        for (uint256 i; i < named.length; ++i) {
            found = found || ResourceId.unwrap(named[i]) == ResourceId.unwrap(resource);
        }
        if (!found) revert SealedTender_NoExcuse(resource, lease);
        _excuse(id, _tenders[id], org, b, resource, lease);
    }

    /// @inheritdoc ISealedTender
    function claim(RequestId id, OrgId org) external {
        Tender storage t = _tenders[id];
        if (t.stage != Stage.Awarded && t.stage != Stage.Unfilled) {
            revert SealedTender_WrongStage(id, t.stage);
        }
        Bidder storage b = _bidders[id][org];
        if (b.status != BidStatus.Revealed && b.status != BidStatus.Awarded) {
            revert SealedTender_WrongStatus(id, org, b.status);
        }
        uint256 share = b.status == BidStatus.Revealed ? t.share : 0;
        b.status = BidStatus.Claimed;
        emit DepositClaimed(id, org, t.deposit, share);

        escrow.unlock(_depositKey(id), org, b.by, t.deposit);
        if (share != 0) escrow.pay(_depositKey(id), org, share);
    }

    /// @inheritdoc ISealedTender
    function forfeitSold(RequestId id, OrgId org) external {
        Tender storage t = _tenders[id];
        Bidder storage b = _bidders[id][org];
        if (b.status != BidStatus.Sold) revert SealedTender_WrongStatus(id, org, b.status);
        if (block.timestamp < t.awardedAt + EXCUSE_TIME) {
            revert SealedTender_TooEarly(id, t.awardedAt + EXCUSE_TIME);
        }
        b.status = BidStatus.Claimed;
        emit DepositsForfeited(id, t.deposit, 0, t.deposit);
        escrow.pay(_depositKey(id), FUND, t.deposit);
    }

    // ---- the award ---------------------------------------------------------------------------------------------

    /// @inheritdoc ISealedTender
    function award(RequestId id) external {
        Tender storage t = _open(id);
        if (block.timestamp < t.revealEnd) revert SealedTender_TooEarly(id, t.revealEnd);
        IBook.Request memory r = book.request(id);
        Award memory award_ = Award(
            r.org,
            r.by,
            id,
            r.policy,
            r.allOrNothing ? Traits.ALL_OR_NOTHING : 0,
            keccak256(abi.encode(this, id)),
            r.sla
        );
        Selection memory s = _select(id, t, r, award_);
        bool filled = s.filled == r.count || (s.filled != 0 && !r.allOrNothing);

        t.awardedAt = uint40(block.timestamp);
        t.stage = filled ? Stage.Awarded : Stage.Unfilled;
        _recordBids(id, s, filled);
        _forfeit(id, t, s, filled ? s.legs.length : 0);
        if (!filled) {
            emit TenderUnfilled(id);
            _returnCeiling(id, r);
            return;
        }
        uint64 clearing = t.vickrey && t.reveals >= 3 ? _clearingRate(s, r.ceilingRate) : 0;
        if (clearing != 0) {
            for (uint256 i; i < s.legs.length; ++i) {
                s.legs[i].rate = clearing;
            }
        }
        book.closeRequest(id);
        escrow.pass(_ceilingKey(id), settlement, award_.fund, t.ceilingAmount);
        (t.award,) = awards.open(award_, s.legs);
        emit TenderAwarded(id, t.award, s.filled.toUint16(), clearing);
    }

    /// @dev Walks the kept bids, best first, until the count is full. A leg that `Awards` would skip is passed over.
    function _select(RequestId id, Tender storage t, IBook.Request memory r, Award memory award_)
        private
        view
        returns (Selection memory s)
    {
        s.kept = _sorted(_kept[id]);
        s.status = new BidStatus[](s.kept.length);
        s.legs = new Leg[](s.kept.length);
        uint256 winners;
        // After the window's end there is nothing left to award, and nobody is to blame.
        uint256 wanted = block.timestamp < uint256(r.end) * _slot ? r.count : 0;
        bool vickrey = t.vickrey && t.reveals >= 3;
        for (uint256 i; i < s.kept.length && s.filled < wanted; ++i) {
            Leg memory leg = _leg(id, s.kept[i], wanted - s.filled);
            leg.window = Window(r.start, r.end);
            uint64 bidRate = leg.rate;
            // Under Vickrey's rule the rate is not known yet; who cannot cover the dearest cannot win.
            if (vickrey) leg.rate = r.ceilingRate;
            Skip skip = awards.skipOf(award_, leg);
            leg.rate = bidRate;
            if (skip == Skip.None) {
                s.status[i] = BidStatus.Awarded;
                s.legs[winners++] = leg;
                s.filled += leg.resources.length;
            } else if (skip == Skip.NotFree) {
                s.status[i] = BidStatus.Sold;
                ++s.sold;
            } else {
                s.status[i] = BidStatus.Uncovered;
                ++s.uncovered;
            }
        }
        Leg[] memory legs = s.legs;
        assembly ("memory-safe") {
            mstore(legs, winners)
        }
    }

    /// @dev The lowest valid rate that was not awarded; the ceiling if there is none (A8).
    function _clearingRate(Selection memory s, uint64 ceiling) private pure returns (uint64) {
        for (uint256 i; i < s.kept.length; ++i) {
            if (s.status[i] == BidStatus.None) return uint64(s.kept[i] >> 192);
        }
        return ceiling;
    }

    function _recordBids(RequestId id, Selection memory s, bool filled) private {
        for (uint256 i; i < s.kept.length; ++i) {
            BidStatus status = s.status[i];
            if (status == BidStatus.None || (status == BidStatus.Awarded && !filled)) continue;
            OrgId org = _bidderOf(s.kept[i]);
            _bidders[id][org].status = status;
            if (status != BidStatus.Awarded) emit BidSkipped(id, org, status);
        }
    }

    /// @dev Shares out what was forfeited: equal parts, rounded down, for revealed valid bids without an award; the
    /// rest, and all of it if there is none, to the council's fund (A6).
    function _forfeit(RequestId id, Tender storage t, Selection memory s, uint256 awarded) private {
        uint256 amount = uint256(t.deposit) * (t.commits - t.reveals - t.excused + s.uncovered);
        if (amount == 0) return;
        uint256 losers = t.reveals - awarded - s.uncovered - s.sold;
        uint256 share = losers == 0 ? 0 : amount / losers;
        // slither-disable-next-line divide-before-multiply (what the division leaves is the fund's, A6)
        uint256 toFund = amount - share * losers;
        t.share = share.toUint96();
        emit DepositsForfeited(id, amount, share, toFund);
        if (toFund != 0) escrow.pay(_depositKey(id), FUND, toFund);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc ISealedTender
    function commitmentOf(RequestId id, OrgId org, Bid calldata bid, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), id, org, bid, salt));
    }

    /// @inheritdoc ISealedTender
    function tender(RequestId id) external view returns (Tender memory) {
        if (_tenders[id].stage == Stage.None) revert SealedTender_Unknown(id);
        return _tenders[id];
    }

    /// @inheritdoc ISealedTender
    function bidder(RequestId id, OrgId org) external view returns (Bidder memory) {
        return _bidders[id][org];
    }

    /// @inheritdoc ISealedTender
    function revealed(RequestId id) external view returns (OrgId[] memory orgs, Bid[] memory bids) {
        uint256[] memory kept = _sorted(_kept[id]);
        orgs = new OrgId[](kept.length);
        bids = new Bid[](kept.length);
        for (uint256 i; i < kept.length; ++i) {
            Leg memory leg = _leg(id, kept[i], PackedIds.MAX);
            orgs[i] = leg.provider;
            bids[i] = Bid(leg.offer, leg.rate, leg.resources);
        }
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    function _requireReveal(RequestId id, Tender storage t, OrgId org, Bid calldata bid, bytes32 salt)
        private
        view
        returns (Bidder storage b)
    {
        if (t.stage != Stage.Open) revert SealedTender_WrongStage(id, t.stage);
        if (block.timestamp < t.commitEnd) revert SealedTender_TooEarly(id, t.commitEnd);
        if (block.timestamp >= t.revealEnd) revert SealedTender_TooLate(id, t.revealEnd);
        b = _bidders[id][org];
        if (b.status != BidStatus.Committed) revert SealedTender_WrongStatus(id, org, b.status);
        if (commitmentOf(id, org, bid, salt) != b.commitment) {
            revert SealedTender_CommitmentMismatch(id, org);
        }
    }

    /// @dev The lease must have booked the resource over the tender's window, after the commitment, for somebody who
    /// has nothing to do with either side: else a bidder could sell to a friend to escape its own bid (A5).
    function _excuse(
        RequestId id,
        Tender storage t,
        OrgId org,
        Bidder storage b,
        ResourceId resource,
        LeaseId lease
    ) private {
        IBook.Request memory r = book.request(id);
        ILeases.Lease memory l = leases.lease(lease);
        uint32 turnaround = inventory.resource(resource).turnaround;
        bool overlaps = l.start < r.end + turnaround && r.start < l.end + turnaround;
        bool stranger = !members.affiliated(l.buyer, org) && !members.affiliated(l.buyer, r.org);
        if (!overlaps || !stranger || l.createdAt < b.committedAt || !leases.holds(lease, resource)) {
            revert SealedTender_NoExcuse(resource, lease);
        }
        b.status = BidStatus.Excused;
        emit BidExcused(id, org, lease);
        escrow.unlock(_depositKey(id), org, b.by, t.deposit);
    }

    /// @dev Keeps the best `MAX_KEPT`. Who is put out keeps its claim on deposit and forfeits.
    function _keep(RequestId id, uint256 entry) private {
        uint256[] storage kept = _kept[id];
        if (kept.length < MAX_KEPT) {
            kept.push(entry);
            return;
        }
        uint256 worst;
        uint256 place;
        for (uint256 i; i < MAX_KEPT; ++i) {
            if (kept[i] > worst) (worst, place) = (kept[i], i);
        }
        if (entry < worst) kept[place] = entry;
        emit BidEvicted(id, _bidderOf(entry < worst ? worst : entry));
    }

    /// @dev What is awarded must fit into one transaction, or the money in it would not come out before the window's end.
    function _requireSmall(IBook.RequestTerms calldata r) private pure {
        uint256 slots = uint256(r.count) * (r.window.end - r.window.start);
        if (r.count > PackedIds.MAX || slots > MAX_SLOTS) {
            revert SealedTender_TooLarge(r.count, slots, MAX_SLOTS);
        }
    }

    /// @dev The buyer's half of the witness fees, for as many leases as machines.
    function _fees(IBook.RequestTerms calldata r) private view returns (uint256) {
        if (SlaId.unwrap(r.sla) == 0) return 0;
        // slither-disable-next-line divide-before-multiply (each lease's half is rounded up by itself, C2)
        return r.count * ((awards.feeOf(r.window) + 1) / 2);
    }

    function _takeGroup(RequestId id, uint32 group) private {
        if (group == 0) return;
        if (_groups[id][group]) revert SealedTender_GroupCommitted(id, group);
        _groups[id][group] = true;
    }

    function _returnCeiling(RequestId id, IBook.Request memory r) private {
        book.closeRequest(id);
        escrow.unlock(_ceilingKey(id), r.org, r.by, _tenders[id].ceilingAmount);
    }

    /// @dev Without its window.
    /// @param max The bid is cut to so many resources.
    function _leg(RequestId id, uint256 entry, uint256 max) private view returns (Leg memory) {
        OrgId org = _bidderOf(entry);
        if (max > PackedIds.MAX) max = PackedIds.MAX;
        // The lowest 32 bits are the offer, the highest 64 the rate.
        // forge-lint: disable-next-line(unsafe-typecast)
        OfferId offer = OfferId.wrap(uint32(entry));
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 rate = uint64(entry >> 192);
        return Leg({
            provider: org,
            by: _bidders[id][org].by,
            offer: offer,
            rate: rate,
            window: Window(0, 0),
            resources: _resources[id][org].load(max)
        });
    }

    function _tail(OrgId org, OfferId offer) private pure returns (uint256) {
        return (uint256(OrgId.unwrap(org)) << 32) | OfferId.unwrap(offer);
    }

    function _bidderOf(uint256 entry) private pure returns (OrgId) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return OrgId.wrap(uint32(entry >> 32));
    }

    function _sorted(uint256[] memory entries) private pure returns (uint256[] memory) {
        for (uint256 i = 1; i < entries.length; ++i) {
            uint256 entry = entries[i];
            uint256 j = i;
            for (; j > 0 && entries[j - 1] > entry; --j) {
                entries[j] = entries[j - 1];
            }
            entries[j] = entry;
        }
        return entries;
    }

    function _open(RequestId id) private view returns (Tender storage t) {
        t = _tenders[id];
        if (t.stage != Stage.Open) revert SealedTender_WrongStage(id, t.stage);
    }

    function _from(uint32 startSlot) private view returns (uint256) {
        uint256 start = uint256(startSlot) * _slot;
        return start < block.timestamp ? block.timestamp : start;
    }

    function _ceilingKey(RequestId id) private pure returns (bytes32) {
        return keccak256(abi.encode("ceiling", id));
    }

    function _depositKey(RequestId id) private pure returns (bytes32) {
        return keccak256(abi.encode("deposits", id));
    }
}
