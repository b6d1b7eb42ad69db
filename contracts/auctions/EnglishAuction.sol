// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "../Governed.sol";
import {IAwards} from "../interfaces/IAwards.sol";
import {IBook} from "../interfaces/IBook.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {IEnglishAuction} from "../interfaces/IEnglishAuction.sol";
import {IEscrow} from "../interfaces/IEscrow.sol";
import {IInventory} from "../interfaces/IInventory.sol";
import {IMembers, MemberRights, Roles} from "../interfaces/IMembers.sol";
import {
    AuctionId,
    Award,
    AwardId,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Window
} from "../interfaces/Types.sol";
import {Amounts} from "../libraries/Amounts.sol";
import {PackedIds} from "../libraries/PackedIds.sol";

/// @notice See {IEnglishAuction}.
contract EnglishAuction is IEnglishAuction, Governed {
    using SafeCast for uint256;
    using PackedIds for mapping(uint256 => uint256);

    /// @notice Longest time from opening to the hard stop.
    uint256 public constant MAX_LENGTH = 30 days;
    /// @notice How long after the hard stop the offer stays frozen, so that the award comes before other buyers.
    uint256 public constant AWARD_TIME = 1 days;
    /// @notice Most resources times slots: what is awarded must fit into one transaction.
    uint256 public constant MAX_SLOTS = 16_384;
    uint16 private constant ALL_BPS = 10_000;
    OrgId private constant NOBODY = OrgId.wrap(0);

    IMembers public immutable members;
    IInventory public immutable inventory;
    IEscrow public immutable escrow;
    IBook public immutable book;
    IAwards public immutable awards;
    address public immutable settlement;
    /// @inheritdoc IEnglishAuction
    uint32 public immutable depositPpm;
    uint32 private immutable _slot;

    /// @inheritdoc IEnglishAuction
    uint32 public count;

    mapping(AuctionId => Auction) private _auctions;
    mapping(AuctionId => mapping(uint256 word => uint256)) private _resources;
    mapping(AuctionId => mapping(OrgId => Stake)) private _stakes;
    /// @dev Open auctions with a bid; the last one to close thaws the offer.
    mapping(OfferId => uint256) private _bidOn;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IInventory inventory_,
        IEscrow escrow_,
        IBook book_,
        IAwards awards_,
        address settlement_,
        uint32 depositPpm_
    ) Governed(directory_) {
        members = members_;
        inventory = inventory_;
        escrow = escrow_;
        book = book_;
        awards = awards_;
        settlement = settlement_;
        depositPpm = depositPpm_;
        count = awards_.leases().base();
        _slot = inventory_.slot();
    }

    // ---- the seller --------------------------------------------------------------------------------------------

    /// @inheritdoc IEnglishAuction
    function open(OrgId org, AuctionTerms calldata t, ResourceId[] calldata resources)
        external
        returns (AuctionId id)
    {
        org = members.actingFor(org, msg.sender, MemberRights.OFFER);
        members.requireActive(org, Roles.SELLER);
        inventory.requireWindow(t.window);
        _requireTerms(t, resources.length);
        book.requireOffered(t.offer, org, resources, t.window, t.reserveRate);

        id = AuctionId.wrap(++count);
        Leg memory leg = Leg(org, msg.sender, t.offer, t.reserveRate, t.window, resources);
        uint96 deposit = Amounts.shareDown(awards.priceOf(leg), depositPpm).toUint96();
        _auctions[id] = Auction({
            offer: t.offer,
            seller: org,
            leader: NOBODY,
            rate: t.reserveRate,
            extension: t.extension,
            stepBps: t.stepBps,
            stage: AuctionStage.Open,
            start: t.window.start,
            end: t.end,
            hardStop: t.hardStop,
            by: msg.sender,
            endSlot: t.window.end,
            deposit: deposit,
            award: AwardId.wrap(0),
            reserveRate: t.reserveRate
        });
        _resources[id].store(resources);
        _emitOpened(id, org, t, resources, deposit);

        if (deposit != 0) escrow.lock(_depositKey(id), org, msg.sender, deposit);
    }

    /// @inheritdoc IEnglishAuction
    function cancel(AuctionId id) external {
        Auction storage a = _running(id);
        members.requireRightFor(a.seller, msg.sender, MemberRights.OFFER);
        if (a.leader != NOBODY) revert EnglishAuction_HasBids(id, a.leader);
        a.stage = AuctionStage.Cancelled;
        emit AuctionCancelled(id);
        _returnDeposit(id, a);
    }

    // ---- bidders -----------------------------------------------------------------------------------------------

    /// @inheritdoc IEnglishAuction
    function bid(OrgId org, AuctionId id, uint64 rate) external {
        Auction storage a = _running(id);
        if (block.timestamp >= a.end) revert EnglishAuction_TooLate(id, a.end);
        org = members.actingFor(org, msg.sender, MemberRights.BUY);
        members.requireActive(org, Roles.BUYER);
        members.requireActive(a.seller, Roles.SELLER);
        if (members.affiliated(org, a.seller)) revert EnglishAuction_SelfDealing(org, a.seller);
        OrgId before = a.leader;
        if (before == org) revert EnglishAuction_Leading(id, org);
        uint256 least = _leastRate(a);
        if (rate < least) revert EnglishAuction_TooLow(rate, least);
        uint96 amount = _requireWinnable(id, a, org, rate);

        Stake memory held = _stakes[id][org];
        _stakes[id][org] = Stake(msg.sender, amount);
        (a.leader, a.rate) = (org, rate);
        _prolong(a);
        emit AuctionBid(id, org, rate, amount, a.end, a.stepBps, msg.sender);

        if (before == NOBODY) {
            ++_bidOn[a.offer];
            book.freeze(a.offer, (a.hardStop + AWARD_TIME).toUint40());
        }
        if (held.amount != 0) escrow.unlock(_stakeKey(id, org), org, held.by, held.amount);
        escrow.lock(_stakeKey(id, org), org, msg.sender, amount);
    }

    /// @inheritdoc IEnglishAuction
    function pull(AuctionId id, OrgId org) external {
        Auction storage a = _auctions[id];
        if (a.stage == AuctionStage.Open && a.leader == org) revert EnglishAuction_Leading(id, org);
        _giveBack(id, org);
    }

    // ---- the award ---------------------------------------------------------------------------------------------

    /// @inheritdoc IEnglishAuction
    function award(AuctionId id) external {
        Auction storage a = _running(id);
        if (block.timestamp < a.end) revert EnglishAuction_TooEarly(id, a.end);
        OrgId leader = a.leader;
        if (leader == NOBODY) {
            a.stage = AuctionStage.Unsold;
            emit AuctionUnsold(id);
            return _returnDeposit(id, a);
        }
        // After the window's end there is nothing left to lease, and nobody is to blame.
        bool late = block.timestamp >= uint256(a.endSlot) * _slot;
        (Award memory award_, Leg[] memory legs) = _outcome(id, a, leader);
        Skip skip = late ? Skip.None : awards.skipOf(award_, legs[0]);
        if (--_bidOn[a.offer] == 0) book.thaw(a.offer);
        if (late || skip != Skip.None) return _fail(id, a, leader, skip);

        a.stage = AuctionStage.Awarded;
        uint256 amount = _stakes[id][leader].amount;
        delete _stakes[id][leader];
        escrow.pass(_stakeKey(id, leader), settlement, award_.fund, amount);
        AwardId awardId;
        (awardId,) = awards.open(award_, legs);
        a.award = awardId;
        emit AuctionAwarded(id, leader, awardId, a.rate);
        _returnDeposit(id, a);
    }

    /// @dev No lease: the leader gets its own back, and what the seller stood by its word with.
    function _fail(AuctionId id, Auction storage a, OrgId leader, Skip reason) private {
        a.stage = AuctionStage.Failed;
        uint96 toLeader = reason == Skip.None ? 0 : a.deposit;
        emit AuctionFailed(id, leader, reason, toLeader);
        _giveBack(id, leader);
        if (toLeader == 0) return _returnDeposit(id, a);
        escrow.pay(_depositKey(id), leader, toLeader);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IEnglishAuction
    function leastRate(AuctionId id) external view returns (uint256) {
        return _leastRate(_existing(id));
    }

    /// @inheritdoc IEnglishAuction
    function auction(AuctionId id) external view returns (Auction memory) {
        return _existing(id);
    }

    /// @inheritdoc IEnglishAuction
    function resourcesOf(AuctionId id) public view returns (ResourceId[] memory) {
        return _resources[id].load(PackedIds.MAX);
    }

    /// @inheritdoc IEnglishAuction
    function stakeOf(AuctionId id, OrgId org) external view returns (Stake memory) {
        return _stakes[id][org];
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    function _requireTerms(AuctionTerms calldata t, uint256 resources) private view {
        uint256 hardStop = t.hardStop;
        if (
            t.end <= block.timestamp || t.end > hardStop || hardStop > block.timestamp + MAX_LENGTH
                || hardStop >= uint256(t.window.end) * _slot
        ) revert EnglishAuction_BadTimes(t.end, hardStop);
        if (t.stepBps == 0 || t.stepBps > ALL_BPS || t.extension == 0) {
            revert EnglishAuction_BadStep(t.stepBps, t.extension);
        }
        uint256 slots = resources * (t.window.end - t.window.start);
        if (slots > MAX_SLOTS) revert EnglishAuction_TooLarge(slots, MAX_SLOTS);
    }

    /// @dev That the seller could stand by this bid now; what it locks.
    function _requireWinnable(AuctionId id, Auction storage a, OrgId org, uint64 rate)
        private
        view
        returns (uint96)
    {
        (Award memory award_, Leg[] memory legs) = _outcome(id, a, org);
        legs[0].rate = rate;
        Skip skip = awards.skipOf(award_, legs[0]);
        if (skip != Skip.None) revert EnglishAuction_Skipped(skip);
        uint256 fee = SlaId.unwrap(award_.sla) == 0 ? 0 : awards.feeOf(legs[0].window);
        return (awards.priceOf(legs[0]) + (fee + 1) / 2).toUint96();
    }

    /// @dev What is awarded to `buyer` at the rate that leads.
    function _outcome(AuctionId id, Auction storage a, OrgId buyer)
        private
        view
        returns (Award memory award_, Leg[] memory legs)
    {
        SlaId sla = book.offer(a.offer).sla;
        award_ = Award({
            buyer: buyer,
            by: _stakes[id][buyer].by,
            request: RequestId.wrap(0),
            policy: Policy.Provider,
            traits: 0,
            fund: keccak256(abi.encode(this, id)),
            sla: sla
        });
        legs = new Leg[](1);
        legs[0] = Leg(a.seller, a.by, a.offer, a.rate, Window(a.start, a.endSlot), resourcesOf(id));
    }

    /// @dev A bid near the end moves it, and makes the next one dearer.
    function _prolong(Auction storage a) private {
        uint256 until = block.timestamp + a.extension;
        if (until <= a.end) return;
        uint256 hardStop = a.hardStop;
        a.end = (until < hardStop ? until : hardStop).toUint40();
        uint16 step = a.stepBps;
        a.stepBps = step > ALL_BPS / 2 ? ALL_BPS : 2 * step;
    }

    function _leastRate(Auction storage a) private view returns (uint256) {
        uint256 rate = a.rate;
        if (a.leader == NOBODY) return rate;
        return (rate * (uint256(ALL_BPS) + a.stepBps) + ALL_BPS - 1) / ALL_BPS;
    }

    function _giveBack(AuctionId id, OrgId org) private {
        Stake memory held = _stakes[id][org];
        if (held.amount == 0) revert EnglishAuction_NothingToPull(id, org);
        delete _stakes[id][org];
        emit BidPulled(id, org, held.amount);
        escrow.unlock(_stakeKey(id, org), org, held.by, held.amount);
    }

    function _returnDeposit(AuctionId id, Auction storage a) private {
        if (a.deposit != 0) escrow.unlock(_depositKey(id), a.seller, a.by, a.deposit);
    }

    function _emitOpened(
        AuctionId id,
        OrgId org,
        AuctionTerms calldata t,
        ResourceId[] calldata resources,
        uint96 deposit
    ) private {
        emit AuctionOpened(
            id,
            org,
            t.offer,
            resources,
            t.window.start,
            t.window.end,
            t.reserveRate,
            t.stepBps,
            t.end,
            t.extension,
            t.hardStop,
            deposit
        );
    }

    function _existing(AuctionId id) private view returns (Auction storage a) {
        a = _auctions[id];
        if (a.stage == AuctionStage.None) revert EnglishAuction_Unknown(id);
    }

    function _running(AuctionId id) private view returns (Auction storage a) {
        a = _existing(id);
        if (a.stage != AuctionStage.Open) revert EnglishAuction_Over(id, a.stage);
    }

    function _stakeKey(AuctionId id, OrgId org) private pure returns (bytes32) {
        return keccak256(abi.encode("english", id, org));
    }

    function _depositKey(AuctionId id) private pure returns (bytes32) {
        return keccak256(abi.encode("deposit", id));
    }
}
