// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "../Governed.sol";
import {IAwards} from "../interfaces/IAwards.sol";
import {IBook} from "../interfaces/IBook.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {IEscrow} from "../interfaces/IEscrow.sol";
import {IInventory} from "../interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "../interfaces/IMembers.sol";
import {IRanking} from "../interfaces/IRanking.sol";
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
    /// @dev Groups of the council lie below it.
    uint32 private constant OWN_GROUP = 1 << 31;
    OrgId private constant FUND = OrgId.wrap(0);

    IMembers public immutable members;
    IInventory public immutable inventory;
    IEscrow public immutable escrow;
    IBook public immutable book;
    IAwards public immutable awards;
    IRanking public immutable ranking;
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
    mapping(RequestId => uint256[]) private _kept;

    /// @dev What `award` finds out about the kept bids, best first.
    struct Selection {
        Leg[] legs;
        BidStatus[] status;
        uint16[] taken;
        uint64 clearing;
        uint256 filled;
        uint256 awarded;
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
        IRanking ranking_,
        address settlement_,
        uint32 depositPpm_
    ) Governed(directory_) {
        members = members_;
        inventory = inventory_;
        escrow = escrow_;
        book = book_;
        awards = awards_;
        ranking = ranking_;
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
        id = book.record(buyer, r, msg.sender);
        uint256 slots = r.slots == 0 ? r.window.end - r.window.start : r.slots;
        if (
            t.commitEnd <= block.timestamp || t.revealEnd <= t.commitEnd
                || t.revealEnd >= (r.window.start + slots) * _slot
        ) {
            revert SealedTender_BadTimes(t.commitEnd, t.revealEnd);
        }
        _requireSmall(r, slots);
        buyer = book.request(id).org;
        (uint256 ceiling, uint256 fees) = ranking.ceilingOf(r);
        uint256 amount = ceiling + fees;

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
        _takeParty(id, org);

        ++t.commits;
        b.status = BidStatus.Committed;
        b.by = msg.sender;
        b.committedAt = uint40(block.timestamp);
        b.commitment = commitment;
        emit BidCommitted(id, org, commitment, msg.sender);

        escrow.lock(_depositKey(id), org, msg.sender, t.deposit);
    }

    /// @inheritdoc ISealedTender
    function reveal(
        RequestId id,
        OrgId org,
        IBook.Bid calldata bid,
        bytes32 salt,
        bytes32[][] calldata proofs
    ) external {
        Tender storage t = _tenders[id];
        Bidder storage b = _requireReveal(id, t, org, bid, salt);
        book.requireBid(id, org, bid, proofs);

        ++t.reveals;
        b.status = BidStatus.Revealed;
        b.start = bid.start;
        _resources[id][org].store(bid.resources);
        emit BidRevealed(id, org, bid.offer, bid.rate, bid.start, bid.resources);
        _keep(id, (uint256(bid.rate) << 192) | (uint256(b.commitment >> 128) << 64) | _tail(org, bid.offer));
    }

    /// @inheritdoc ISealedTender
    function revealVoid(
        RequestId id,
        OrgId org,
        IBook.Bid calldata bid,
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
        Window memory piece = book.pieceOf(id, bid.start);
        // A lease that let the resource go again is no excuse for not standing by the bid.
        if (!named || inventory.isFree(resource, piece.start, piece.end)) {
            revert SealedTender_NoExcuse(resource, lease);
        }
        ++t.excused;
        b.start = bid.start;
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
        Award memory award_ =
            Award(r.org, r.by, id, r.policy, r.traits, keccak256(abi.encode(this, id)), r.sla);
        Selection memory s = _select(id, t, r, award_);
        bool filled = s.filled == r.count || (s.filled != 0 && r.traits & Traits.ALL_OR_NOTHING == 0);

        t.awardedAt = uint40(block.timestamp);
        t.stage = filled ? Stage.Awarded : Stage.Unfilled;
        _recordBids(id, s, filled);
        _forfeit(id, t, s, filled ? s.awarded : 0);
        if (!filled) {
            emit TenderUnfilled(id);
            _returnCeiling(id, r);
            return;
        }
        book.closeRequest(id);
        escrow.pass(_ceilingKey(id), settlement, award_.fund, t.ceilingAmount);
        (t.award,) = awards.open(award_, _winners(s));
        emit TenderAwarded(id, t.award, s.filled.toUint16(), s.clearing);
    }

    /// @dev Asks `Ranking` whom of the kept bids the award comes to.
    function _select(RequestId id, Tender storage t, IBook.Request memory r, Award memory award_)
        private
        view
        returns (Selection memory s)
    {
        // A piece that is over is nothing to award, and nobody is to blame.
        uint256 wanted = block.timestamp < (uint256(r.start) + r.slots) * _slot ? r.count : 0;
        uint256 most = r.traits & Traits.DISTINCT == 0 ? r.count : 1;
        uint256[] memory kept = _sorted(_kept[id]);
        s.legs = new Leg[](kept.length);
        s.status = new BidStatus[](kept.length);
        for (uint256 i; i < kept.length; ++i) {
            s.legs[i] = _leg(id, kept[i], most, r.slots);
        }
        Skip[] memory passed;
        (s.taken, passed, s.clearing) =
            ranking.select(award_, s.legs, wanted, t.vickrey && t.reveals >= 3 ? r.ceilingRate : 0);
        for (uint256 i; i < kept.length; ++i) {
            if (s.taken[i] != 0) {
                s.status[i] = BidStatus.Awarded;
                s.filled += s.taken[i];
                ++s.awarded;
            } else if (passed[i] == Skip.NotFree) {
                s.status[i] = BidStatus.Sold;
                ++s.sold;
            } else if (passed[i] != Skip.None) {
                s.status[i] = BidStatus.Uncovered;
                ++s.uncovered;
            }
        }
    }

    /// @dev The legs that are awarded, cut to what is taken of them, at the rates they are paid.
    function _winners(Selection memory s) private pure returns (Leg[] memory legs) {
        legs = new Leg[](s.awarded);
        uint256 n;
        for (uint256 i; i < s.legs.length; ++i) {
            uint256 taken = s.taken[i];
            if (taken == 0) continue;
            Leg memory leg = s.legs[i];
            if (s.clearing != 0) leg.rate = s.clearing;
            ResourceId[] memory resources = leg.resources;
            assembly ("memory-safe") {
                mstore(resources, taken)
            }
            legs[n++] = leg;
        }
    }

    function _recordBids(RequestId id, Selection memory s, bool filled) private {
        for (uint256 i; i < s.legs.length; ++i) {
            BidStatus status = s.status[i];
            if (status == BidStatus.None || (status == BidStatus.Awarded && !filled)) continue;
            OrgId org = s.legs[i].provider;
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
        uint256 toFund = amount - share * losers;
        t.share = share.toUint96();
        emit DepositsForfeited(id, amount, share, toFund);
        if (toFund != 0) escrow.pay(_depositKey(id), FUND, toFund);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc ISealedTender
    function commitmentOf(RequestId id, OrgId org, IBook.Bid calldata bid, bytes32 salt)
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
    function revealed(RequestId id) external view returns (OrgId[] memory orgs, IBook.Bid[] memory bids) {
        uint256[] memory kept = _sorted(_kept[id]);
        orgs = new OrgId[](kept.length);
        bids = new IBook.Bid[](kept.length);
        for (uint256 i; i < kept.length; ++i) {
            Leg memory leg = _leg(id, kept[i], PackedIds.MAX, 0);
            orgs[i] = leg.provider;
            bids[i] = IBook.Bid(leg.offer, leg.rate, leg.window.start, leg.resources);
        }
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    function _requireReveal(RequestId id, Tender storage t, OrgId org, IBook.Bid calldata bid, bytes32 salt)
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

    /// @dev See `IRanking.excuses` for what excuses a bid (A5).
    function _excuse(
        RequestId id,
        Tender storage t,
        OrgId org,
        Bidder storage b,
        ResourceId resource,
        LeaseId lease
    ) private {
        if (!ranking.excuses(lease, resource, book.pieceOf(id, b.start), b.committedAt, org, t.buyer)) {
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
    function _requireSmall(IBook.RequestTerms calldata r, uint256 slots) private pure {
        slots *= r.count;
        // Of each bid that is kept a distinct award takes one resource.
        uint256 most = r.traits & Traits.DISTINCT == 0 ? PackedIds.MAX : MAX_KEPT;
        if (r.count > most || slots > MAX_SLOTS) revert SealedTender_TooLarge(r.count, slots, MAX_SLOTS);
    }

    /// @dev A party bids once, whether by itself or by a department, whenever that was made; and so does an affiliation
    /// group. What a party did by itself is known from its bid.
    function _takeParty(RequestId id, OrgId org) private {
        OrgId party = members.partyOf(org);
        uint32 own = OWN_GROUP | OrgId.unwrap(party);
        if (_groups[id][own] || _bidders[id][party].status != BidStatus.None) {
            revert SealedTender_GroupCommitted(id, own);
        }
        if (party != org) _groups[id][own] = true;
        uint32 group = members.groupOf(org);
        if (group == 0 || group == own) return;
        if (_groups[id][group]) revert SealedTender_GroupCommitted(id, group);
        _groups[id][group] = true;
    }

    function _returnCeiling(RequestId id, IBook.Request memory r) private {
        book.closeRequest(id);
        escrow.unlock(_ceilingKey(id), r.org, r.by, _tenders[id].ceilingAmount);
    }

    /// @param max The bid is cut to so many resources.
    function _leg(RequestId id, uint256 entry, uint256 max, uint32 slots) private view returns (Leg memory) {
        OrgId org = _bidderOf(entry);
        Bidder storage b = _bidders[id][org];
        if (max > PackedIds.MAX) max = PackedIds.MAX;
        // The lowest 32 bits are the offer, the highest 64 the rate.
        // forge-lint: disable-next-line(unsafe-typecast)
        OfferId offer = OfferId.wrap(uint32(entry));
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 rate = uint64(entry >> 192);
        return Leg({
            provider: org,
            by: b.by,
            offer: offer,
            rate: rate,
            window: Window(b.start, b.start + slots),
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

    function _ceilingKey(RequestId id) private pure returns (bytes32) {
        return keccak256(abi.encode("ceiling", id));
    }

    function _depositKey(RequestId id) private pure returns (bytes32) {
        return keccak256(abi.encode("deposits", id));
    }
}
