// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {IInventory} from "./interfaces/IInventory.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {ISublets} from "./interfaces/ISublets.sol";
import {LeaseId, LeaseState, OrgId, PieceId, ResourceId, SubletId, Window} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";

/// @notice See {ISublets}.
contract Sublets is ISublets, Governed {
    using SafeCast for uint256;

    IMembers public immutable members;
    IInventory public immutable inventory;
    IEscrow public immutable escrow;
    ILeases public immutable leases;
    uint32 private immutable _slot;
    uint32 private immutable _quantum;
    uint32 private immutable _deliverTime;
    uint32 private immutable _acceptTime;
    uint32 private immutable _notice;
    uint32 private immutable _reservePpm;

    /// @inheritdoc ISublets
    uint32 public pieceCount;
    /// @inheritdoc ISublets
    uint32 public count;

    mapping(PieceId => Piece) private _pieces;
    mapping(SubletId => Sublet) private _sublets;
    /// @dev Slots of a lease's machine that are let on, one bit each, turnaround included.
    mapping(LeaseId => mapping(uint256 place => mapping(uint256 word => uint256))) private _let;

    constructor(IDirectory directory_, IMembers members_, IEscrow escrow_, ILeases leases_)
        Governed(directory_)
    {
        members = members_;
        escrow = escrow_;
        leases = leases_;
        inventory = leases_.inventory();
        _slot = inventory.slot();
        _quantum = leases_.settlement().quantum();
        ILeases.Terms memory terms = leases_.terms();
        _deliverTime = terms.deliverTime;
        _acceptTime = terms.acceptTime;
        _notice = terms.notice;
        _reservePpm = terms.reservePpm;
    }

    // ---- pieces ------------------------------------------------------------------------------------------------

    /// @inheritdoc ISublets
    function offer(
        LeaseId lease,
        uint64 places,
        Window calldata window,
        uint64 rate,
        uint32 minSlots,
        OrgId within
    ) external returns (PieceId id) {
        ILeases.Lease memory l = leases.lease(lease);
        members.requireRightFor(l.buyer, msg.sender, MemberRights.OFFER);
        members.requireActive(l.buyer, Roles.SELLER);
        if (rate == 0) revert Sublets_ZeroRate();
        _requireRuns(lease, l);
        _requirePlaces(places, l.delivered);
        _requireInside(window, l.start, l.end, _turnaround(lease, places));

        id = PieceId.wrap(++pieceCount);
        _pieces[id] = Piece(
            lease, l.buyer, msg.sender, false, window.start, window.end, minSlots, within, rate, places
        );
        emit PieceOffered(id, lease, l.buyer, places, window.start, window.end, rate, minSlots, within);
    }

    /// @inheritdoc ISublets
    function close(PieceId id) external {
        Piece storage p = _open(id);
        members.requireRightFor(p.seller, msg.sender, MemberRights.OFFER);
        p.closed = true;
        emit PieceClosed(id);
    }

    /// @inheritdoc ISublets
    function take(OrgId tenant, PieceId id, uint64 places, Window calldata window)
        external
        returns (SubletId)
    {
        tenant = members.actingFor(tenant, msg.sender, MemberRights.BUY);
        members.requireActive(tenant, Roles.BUYER);
        inventory.requireWindow(window);
        Piece memory p = _open(id);
        members.requireActive(p.seller, Roles.SELLER);
        if (members.affiliated(tenant, p.seller)) revert Sublets_SelfDealing(tenant, p.seller);
        if (OrgId.unwrap(p.within) != 0 && !members.isWithin(tenant, p.within)) {
            revert Sublets_NotWithin(tenant, p.within);
        }
        _requirePlaces(places, p.places);
        _requireInside(window, p.start, p.end, 0);
        uint32 slots = window.end - window.start;
        if (slots < p.minSlots) revert Sublets_TooShort(slots, p.minSlots);
        return _take(id, p.parent, tenant, p.rate, places, window);
    }

    /// @inheritdoc ISublets
    function pass(LeaseId lease, OrgId to, uint64 places, Window calldata window)
        external
        returns (SubletId)
    {
        OrgId seller = leases.lease(lease).buyer;
        members.requireRightFor(seller, msg.sender, MemberRights.BUY);
        if (members.partyOf(to) != members.partyOf(seller)) revert Sublets_OtherParty(seller, to);
        inventory.requireWindow(window);
        return _take(PieceId.wrap(0), lease, to, 0, places, window);
    }

    function _take(
        PieceId piece_,
        LeaseId parent,
        OrgId tenant,
        uint64 rate,
        uint64 places,
        Window calldata window
    ) private returns (SubletId id) {
        ILeases.Lease memory l = leases.lease(parent);
        _requireRuns(parent, l);
        _requirePlaces(places, l.delivered);
        uint32 turnaround = _turnaround(parent, places);
        _requireInside(window, l.start, l.end, turnaround);
        _book(parent, places, window.start, window.end + turnaround);

        id = SubletId.wrap(++count);
        Sublet storage s = _sublets[id];
        s.parent = parent;
        s.piece = piece_;
        s.seller = l.buyer;
        s.tenant = tenant;
        s.start = window.start;
        s.end = window.end;
        s.by = msg.sender;
        s.rate = rate;
        s.places = places;
        s.takenAt = uint40(block.timestamp);
        uint256 from = uint256(window.start) * _slot;
        if (from < block.timestamp) from = block.timestamp;
        uint256 price = Amounts.priceUp(rate, _bits(places) * (uint256(window.end) * _slot - from));
        s.price = price.toUint96();
        _emitTaken(id, s);
        if (price != 0) escrow.lock(_key(id), tenant, msg.sender, price);
    }

    function _emitTaken(SubletId id, Sublet storage s) private {
        emit SubletTaken(id, s.parent, s.tenant, s.piece, s.places, s.start, s.end, s.rate, s.price);
    }

    // ---- life --------------------------------------------------------------------------------------------------

    /// @inheritdoc ISublets
    function deliver(SubletId id, bytes32 connectionHash, bytes32 hostKey) external {
        Sublet storage s = _existing(id);
        members.requireRightFor(leases.lease(s.parent).provider, msg.sender, MemberRights.DELIVER);
        _require(id, LeaseState.Awarded);
        s.deliveredAt = uint40(block.timestamp);
        s.delivery = keccak256(abi.encode(connectionHash, hostKey));
        emit SubletDelivered(id, connectionHash, hostKey);
    }

    /// @inheritdoc ISublets
    function accept(SubletId id) external {
        Sublet storage s = _ofTenant(id);
        _require(id, LeaseState.Delivered);
        s.acceptedAt = uint40(block.timestamp);
        emit SubletAccepted(id, msg.sender);
    }

    /// @inheritdoc ISublets
    function reject(SubletId id) external {
        Sublet storage s = _ofTenant(id);
        _require(id, LeaseState.Delivered);
        s.rejected = true;
        s.endedAt = uint40(block.timestamp);
        emit SubletEnded(id, s.endedAt, true);
        _pay(id, s);
    }

    /// @inheritdoc ISublets
    // slither-disable-next-line reentrancy-events (Escrow calls nobody; what was paid and what is closed are two events)
    function end(SubletId id) external {
        Sublet storage s = _ofTenant(id);
        LeaseState state = stateOf(id);
        if (state == LeaseState.Awarded) {
            s.endedAt = uint40(block.timestamp);
            emit SubletEnded(id, s.endedAt, false);
            _draw(id, s, Amounts.shareDown(s.price, _reservePpm));
            return _finish(id, s);
        }
        bool runs = state == LeaseState.Delivered || state == LeaseState.Active;
        if (!runs || s.endedAt != 0) revert Sublets_WrongState(id, state);
        uint256 at = uint256(s.start) * _slot;
        if (at < block.timestamp) at = block.timestamp;
        at += _notice;
        uint40 last = endsAt(id);
        if (at >= last) revert Sublets_TooLate(id, last - _notice);
        s.endedAt = at.toUint40();
        emit SubletEnded(id, s.endedAt, false);
    }

    /// @inheritdoc ISublets
    function settle(SubletId id) external {
        _pay(id, _existing(id));
    }

    /// @dev What accrued until now; all of it, and the rest back, once it is over.
    function _pay(SubletId id, Sublet storage s) private {
        LeaseState state = stateOf(id);
        if (s.closed || state == LeaseState.Awarded || state == LeaseState.Delivered) {
            revert Sublets_WrongState(id, state);
        }
        bool over = state != LeaseState.Active;
        uint256 until = endsAt(id);
        if (!over && until > block.timestamp) until = block.timestamp;
        _draw(id, s, _accrued(s, until, over));
        if (over) _finish(id, s);
    }

    function _draw(SubletId id, Sublet storage s, uint256 sum) private {
        uint256 due = sum - s.paid;
        if (due == 0) return;
        s.paid = sum.toUint96();
        emit SubletPaid(id, due, sum);
        escrow.pay(_key(id), s.seller, due);
    }

    function _finish(SubletId id, Sublet storage s) private {
        s.closed = true;
        uint256 left = s.price - s.paid;
        emit SubletClosed(id, left);
        // Its slots are free from the next one on, its machines' turnaround aside.
        uint256 from = block.timestamp / _slot + 1;
        if (s.deliveredAt == 0) from = s.start;
        else from += _turnaround(s.parent, s.places);
        _release(s.parent, s.places, from, uint256(s.end) + _turnaround(s.parent, s.places));
        if (left != 0) escrow.unlock(_key(id), s.tenant, s.by, left);
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc ISublets
    function piece(PieceId id) external view returns (Piece memory) {
        if (LeaseId.unwrap(_pieces[id].parent) == 0) revert Sublets_NoPiece(id);
        return _pieces[id];
    }

    /// @inheritdoc ISublets
    function sublet(SubletId id) external view returns (Sublet memory) {
        return _existing(id);
    }

    /// @inheritdoc ISublets
    function stateOf(SubletId id) public view returns (LeaseState) {
        Sublet storage s = _existing(id);
        bool over = block.timestamp >= endsAt(id);
        if (s.deliveredAt == 0) {
            if (s.endedAt != 0) return LeaseState.Cancelled;
            if (block.timestamp >= _deliverBy(s)) return LeaseState.Defaulted;
            return over ? LeaseState.Cancelled : LeaseState.Awarded;
        }
        if (over) return s.endedAt == 0 ? LeaseState.Completed : LeaseState.Terminated;
        return _isAccepted(s) ? LeaseState.Active : LeaseState.Delivered;
    }

    /// @inheritdoc ISublets
    function endsAt(SubletId id) public view returns (uint40 at) {
        Sublet storage s = _existing(id);
        at = s.endedAt != 0 ? s.endedAt : (uint256(s.end) * _slot).toUint40();
        uint40 parents = leases.watched(s.parent).until;
        if (parents < at) at = parents;
    }

    /// @inheritdoc ISublets
    function isFree(LeaseId lease, uint64 places, Window calldata window) external view returns (bool) {
        ILeases.Lease memory l = leases.lease(lease);
        bool runs = leases.stateOf(lease) == LeaseState.Active && l.endedAt == 0;
        if (!runs || places == 0 || places & ~l.delivered != 0) return false;
        uint32 turnaround = _turnaround(lease, places);
        if (window.start < l.start + turnaround || window.end + turnaround > l.end) return false;
        return _taken(lease, places, window.start, window.end + turnaround) == 0;
    }

    // ---- inner -------------------------------------------------------------------------------------------------

    /// @dev Rounded up to the quantum once, at the end (E3). What was refused bills for the acceptance time at most.
    function _accrued(Sublet storage s, uint256 until, bool last) private view returns (uint256 sum) {
        if (s.deliveredAt == 0) return 0;
        uint256 from = uint256(s.start) * _slot;
        if (from < s.deliveredAt) from = s.deliveredAt;
        if (until <= from) return s.paid;
        uint256 time = until - from;
        if (s.rejected && time > _acceptTime) time = _acceptTime;
        // slither-disable-next-line weak-prng (rounding up to the quantum)
        if (last) time += (_quantum - time % _quantum) % _quantum;
        sum = Amounts.priceUp(s.rate, _bits(s.places) * time);
        if (sum > s.price) sum = s.price;
        if (sum < s.paid) sum = s.paid;
    }

    function _isAccepted(Sublet storage s) private view returns (bool) {
        return s.acceptedAt != 0 || block.timestamp >= uint256(s.deliveredAt) + _acceptTime;
    }

    function _deliverBy(Sublet storage s) private view returns (uint256 by) {
        by = uint256(s.start) * _slot;
        if (by < s.takenAt) by = s.takenAt;
        by += _deliverTime;
    }

    /// @dev The longest of its machines.
    function _turnaround(LeaseId lease, uint64 places) private view returns (uint32 most) {
        ResourceId[] memory ids = leases.resourcesOf(lease);
        for (uint256 i; i < ids.length; ++i) {
            if ((places >> i) & 1 == 0) continue;
            uint32 turnaround = inventory.resource(ids[i]).turnaround;
            if (turnaround > most) most = turnaround;
        }
    }

    function _book(LeaseId lease, uint64 places, uint256 start, uint256 until) private {
        uint256 taken = _taken(lease, places, start, until);
        if (taken != 0) revert Sublets_NotFree(lease, taken - 1);
        for (uint256 place; place < 64; ++place) {
            if ((places >> place) & 1 == 0) continue;
            for (uint256 word = start >> 8; word << 8 < until; ++word) {
                _let[lease][place][word] |= _mask(word, start, until);
            }
        }
    }

    function _release(LeaseId lease, uint64 places, uint256 start, uint256 until) private {
        for (uint256 place; place < 64; ++place) {
            if ((places >> place) & 1 == 0) continue;
            for (uint256 word = start >> 8; word << 8 < until && start < until; ++word) {
                _let[lease][place][word] &= ~_mask(word, start, until);
            }
        }
    }

    /// @dev One more than the first place that is let then; 0 if none is.
    function _taken(LeaseId lease, uint64 places, uint256 start, uint256 until)
        private
        view
        returns (uint256)
    {
        for (uint256 place; place < 64; ++place) {
            if ((places >> place) & 1 == 0) continue;
            for (uint256 word = start >> 8; word << 8 < until; ++word) {
                if (_let[lease][place][word] & _mask(word, start, until) != 0) return place + 1;
            }
        }
        return 0;
    }

    /// @dev The bits of `[start, end)` that lie in a word.
    function _mask(uint256 word, uint256 start, uint256 until) private pure returns (uint256 mask) {
        uint256 first = word << 8;
        mask = type(uint256).max;
        if (start > first) mask <<= start - first;
        if (until < first + 256) mask &= ~(type(uint256).max << (until - first));
    }

    function _bits(uint64 bitmap) private pure returns (uint256 n) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            ++n;
        }
    }

    function _key(SubletId id) private pure returns (bytes32) {
        return bytes32(uint256(SubletId.unwrap(id)));
    }

    // ---- checks ------------------------------------------------------------------------------------------------

    function _existing(SubletId id) private view returns (Sublet storage s) {
        s = _sublets[id];
        if (s.takenAt == 0) revert Sublets_Unknown(id);
    }

    function _ofTenant(SubletId id) private view returns (Sublet storage s) {
        s = _existing(id);
        members.requireRightFor(s.tenant, msg.sender, MemberRights.BUY);
    }

    function _open(PieceId id) private view returns (Piece storage p) {
        p = _pieces[id];
        if (LeaseId.unwrap(p.parent) == 0 || p.closed) revert Sublets_NoPiece(id);
    }

    function _require(SubletId id, LeaseState state) private view {
        LeaseState is_ = stateOf(id);
        if (is_ != state) revert Sublets_WrongState(id, is_);
    }

    function _requireRuns(LeaseId lease, ILeases.Lease memory l) private view {
        LeaseState state = leases.stateOf(lease);
        if (state != LeaseState.Active || l.endedAt != 0) revert Sublets_ParentEnds(lease, state);
    }

    function _requirePlaces(uint64 places, uint64 there) private pure {
        if (places == 0 || places & ~there != 0) revert Sublets_BadPlaces(places, there);
    }

    function _requireInside(Window calldata window, uint32 start, uint32 until, uint32 turnaround)
        private
        pure
    {
        bool inside = window.start < window.end && window.start >= start + turnaround
            && window.end + turnaround <= until;
        if (!inside) {
            revert Sublets_OutsideParent(window.start, window.end, start + turnaround, until - turnaround);
        }
    }
}
