// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IAmendments} from "./interfaces/IAmendments.sol";
import {IAwards} from "./interfaces/IAwards.sol";
import {IBook} from "./interfaces/IBook.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {IVerdicts} from "./interfaces/IVerdicts.sol";
import {
    Award,
    Committee,
    EndReason,
    LeaseId,
    LeaseState,
    Leg,
    OfferId,
    Policy,
    ResourceId,
    SlaId,
    Skip,
    Window
} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {PackedIds} from "./libraries/PackedIds.sol";
import {Traits} from "./libraries/Traits.sol";

/// @notice See {IAmendments}.
contract Amendments is IAmendments, Governed {
    using SafeCast for uint256;
    using PackedIds for mapping(uint256 => uint256);
    using PackedIds for ResourceId[];

    bytes32 private constant NOTE = "reclaimed";

    IMembers public immutable members;
    IInventory public immutable inventory;
    IBook public immutable book;
    IAwards public immutable awards;
    ILeases public immutable leases;
    ISettlement public immutable settlement;
    /// @dev 0 on an exchange without witnesses: no committee is drawn there.
    IVerdicts public immutable verdicts;
    uint32 private immutable _slot;
    uint32 private immutable _defaultPpm;
    Terms private _terms;

    mapping(LeaseId => Proposal) private _proposals;
    mapping(LeaseId => Reclaim) private _reclaims;
    mapping(LeaseId => mapping(uint256 word => uint256)) private _replacements;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IBook book_,
        IAwards awards_,
        IVerdicts verdicts_,
        Terms memory terms_
    ) Governed(directory_) {
        members = members_;
        book = book_;
        awards = awards_;
        leases = awards_.leases();
        inventory = leases.inventory();
        settlement = leases.settlement();
        verdicts = verdicts_;
        _slot = inventory.slot();
        _defaultPpm = leases.terms().defaultPpm;
        if (terms_.reclaimPpm != 0 && terms_.reclaimPpm >= _defaultPpm) {
            revert Amendments_TooDear(terms_.reclaimPpm, _defaultPpm);
        }
        _terms = terms_;
    }

    // ---- more time ---------------------------------------------------------------------------------------------

    /// @inheritdoc IAmendments
    function extend(LeaseId id, uint32 end, uint64 most) external {
        ILeases.Lease memory l = _ofBuyer(id);
        IBook.Offer memory o = book.offer(l.offer);
        uint64 rate = o.buyNowRate;
        if (rate == 0) revert IBook.Book_NotForSaleNow(l.offer);
        if (rate > most) revert Amendments_Dearer(l.offer, rate, most);
        // The rate is that of what the offer promises; a tender's lease may promise more.
        bool alike =
            SlaId.unwrap(o.sla) == SlaId.unwrap(l.sla) && (o.traits ^ l.traits) & Traits.RECLAIMABLE == 0;
        if (!alike) revert Amendments_OtherPromise(id, l.offer);
        if (end <= l.end) revert Amendments_NoLonger(id, l.end);
        book.requireOffered(l.offer, l.provider, leases.resourcesOf(id), Window(l.end, end), rate);
        _extend(id, l, end, rate, msg.sender, o.by);
    }

    /// @inheritdoc IAmendments
    function propose(LeaseId id, uint32 end, uint64 rate) external {
        ILeases.Lease memory l = _ofBuyer(id);
        if (rate == 0) revert Amendments_ZeroRate();
        if (end <= l.end) revert Amendments_NoLonger(id, l.end);
        _requireRuns(id);
        _proposals[id] = Proposal(msg.sender, l.end, end, rate);
        emit ExtensionProposed(id, end, rate, msg.sender);
    }

    /// @inheritdoc IAmendments
    function withdraw(LeaseId id) external {
        _ofBuyer(id);
        if (_proposals[id].by == address(0)) revert Amendments_NoProposal(id);
        delete _proposals[id];
        emit ProposalWithdrawn(id, msg.sender);
    }

    /// @inheritdoc IAmendments
    function agree(LeaseId id, uint32 end, uint64 rate) external {
        ILeases.Lease memory l = _ofProvider(id);
        Proposal memory p = _proposals[id];
        bool same = p.by != address(0) && p.from == l.end && p.end == end && p.rate == rate;
        if (!same) revert Amendments_NoProposal(id);
        emit ExtensionAgreed(id, end, rate, msg.sender);
        _extend(id, l, end, rate, p.by, msg.sender);
    }

    function _extend(
        LeaseId id,
        ILeases.Lease memory l,
        uint32 end,
        uint64 rate,
        address buyerBy,
        address providerBy
    ) private {
        // More time is new business (E7).
        members.requireActive(l.buyer, Roles.BUYER);
        members.requireActive(l.provider, Roles.SELLER);
        // What is handed over inside a party costs nothing, and is handed over anew (L10).
        if (members.affiliated(l.buyer, l.provider)) revert IBook.Book_SelfDealing(l.buyer, l.provider);
        delete _proposals[id];
        (uint96 price, uint96 bond, uint96 fee) = awards.extensionOf(id, end, rate);
        leases.extend(id, end, ISettlement.Extension(buyerBy, price, providerBy, bond, fee, rate));
    }

    // ---- taking back -------------------------------------------------------------------------------------------

    /// @inheritdoc IAmendments
    function reclaim(LeaseId id, uint40 at, OfferId offer, ResourceId[] calldata replacement) external {
        ILeases.Lease memory l = _ofProvider(id);
        if (l.traits & Traits.RECLAIMABLE == 0) revert Amendments_NotReclaimable(id);
        _requireRuns(id);
        // What never came is a default, and stays one.
        if (l.delivered != type(uint64).max >> (64 - l.count) && l.missing == 0) {
            revert Amendments_StillMissing(id);
        }
        uint256 soonest = block.timestamp + _terms.reclaimNotice;
        if (at < soonest) revert Amendments_NoticeTooShort(id, soonest);
        if (replacement.length != 0) _requireAsGood(id, l, at, offer, replacement);

        ISettlement.Account memory a = settlement.account(id);
        Reclaim storage r = _reclaims[id];
        r.by = msg.sender;
        r.at = at;
        r.unserved = (a.price - settlement.accrued(id, l.rate, at, false)).toUint96();
        uint256 paid = Amounts.shareDown(r.unserved, _terms.reclaimPpm);
        if (paid > a.bond) paid = a.bond;
        r.paid = paid.toUint96();
        if (replacement.length != 0) {
            r.offer = offer;
            _replacements[id].store(replacement);
        }
        emit LeaseReclaimed(id, at, paid, offer, replacement);
        leases.close(id, EndReason.Reclaimed, at, _terms.reclaimPpm, NOTE);
    }

    /// @inheritdoc IAmendments
    function takeReplacement(LeaseId id) external returns (LeaseId replacement) {
        ILeases.Lease memory l = _ofBuyer(id);
        Reclaim storage r = _reclaims[id];
        bool open =
            OfferId.unwrap(r.offer) != 0 && LeaseId.unwrap(r.replacement) == 0 && block.timestamp < r.at;
        if (!open) revert Amendments_NoReplacement(id);

        Leg[] memory legs = new Leg[](1);
        legs[0] = Leg(
            l.provider,
            r.by,
            r.offer,
            rateOf(id),
            Window(_slotOf(r.at), l.end),
            _replacements[id].load(PackedIds.MAX)
        );
        uint8 traits = l.traits & ~Traits.COMPOSITE;
        Award memory award = Award(l.buyer, msg.sender, l.request, Policy.Provider, traits, 0, l.sla);
        Skip skip = awards.skipOf(award, legs[0]);
        if (skip != Skip.None) revert Amendments_Skipped(skip);
        (, LeaseId[] memory opened) = awards.open(award, legs);
        replacement = opened[0];
        r.replacement = replacement;
        emit ReplacementTaken(id, replacement, msg.sender);
    }

    /// @inheritdoc IAmendments
    function closeReclaim(LeaseId id) external {
        Reclaim storage r = _reclaims[id];
        ILeases.Lease memory l = leases.lease(id);
        if (r.at == 0 || r.closed || l.committee != Committee.Drawn) revert Amendments_NothingToClose(id);
        uint256 until = leases.finalUntil(id);
        if (until < l.endedAt || settlement.account(id).disputed != 0) {
            revert Amendments_NotFinal(id, until);
        }
        r.closed = true;
        uint256 added;
        if (_isBreached(id, l.count)) {
            added = Amounts.shareDown(r.unserved, _defaultPpm) - r.paid;
        }
        emit ReclaimClosed(id, added);
        ISettlement.Share[] memory shares = new ISettlement.Share[](1);
        shares[0] = ISettlement.Share(l.buyer, added);
        settlement.shareBond(id, shares);
    }

    /// @dev The provider consents to a lease on these machines, in the same order, for the rest of the time.
    function _requireAsGood(
        LeaseId id,
        ILeases.Lease memory l,
        uint40 at,
        OfferId offer,
        ResourceId[] calldata replacement
    ) private view {
        book.requireOffered(offer, l.provider, replacement, Window(_slotOf(at), l.end), rateOf(id));
        ResourceId[] memory has = leases.resourcesOf(id);
        uint256 n;
        for (uint256 i; i < has.length; ++i) {
            if ((l.delivered >> i) & 1 == 0) continue;
            if (n < replacement.length) {
                IInventory.Resource memory old = inventory.resource(has[i]);
                if (!inventory.covers(replacement[n], old.class, old.spec)) {
                    revert Amendments_Lesser(replacement[n], has[i]);
                }
            }
            ++n;
        }
        if (n != replacement.length) revert Amendments_OtherCount(id, replacement.length, n);
    }

    function _isBreached(LeaseId id, uint256 count) private view returns (bool) {
        for (uint256 place; place < count; ++place) {
            // Safe: at most 64.
            // forge-lint: disable-next-line(unsafe-typecast)
            if (verdicts.record(id, uint8(place)).breached != 0) return true;
        }
        return false;
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IAmendments
    function terms() external view returns (Terms memory) {
        return _terms;
    }

    /// @inheritdoc IAmendments
    function proposal(LeaseId id) external view returns (Proposal memory) {
        return _proposals[id];
    }

    /// @inheritdoc IAmendments
    function reclaimOf(LeaseId id) external view returns (Reclaim memory, ResourceId[] memory) {
        return (_reclaims[id], _replacements[id].load(PackedIds.MAX));
    }

    /// @inheritdoc IAmendments
    function rateOf(LeaseId id) public view returns (uint64) {
        ISettlement.Step[] memory steps = settlement.stepsOf(id);
        return steps.length == 0 ? leases.lease(id).rate : steps[steps.length - 1].rate;
    }

    // ---- checks ------------------------------------------------------------------------------------------------

    function _ofBuyer(LeaseId id) private view returns (ILeases.Lease memory l) {
        l = leases.lease(id);
        members.requireRightFor(l.buyer, msg.sender, MemberRights.BUY);
    }

    function _ofProvider(LeaseId id) private view returns (ILeases.Lease memory l) {
        l = leases.lease(id);
        members.requireRightFor(l.provider, msg.sender, MemberRights.OFFER);
    }

    function _requireRuns(LeaseId id) private view {
        LeaseState state = leases.stateOf(id);
        if (state != LeaseState.Active) revert Amendments_WrongState(id, state);
    }

    function _slotOf(uint256 at) private view returns (uint32) {
        return (at / _slot).toUint32();
    }
}
