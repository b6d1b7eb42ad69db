// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IInquiries} from "./interfaces/IInquiries.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers} from "./interfaces/IMembers.sol";
import {IWitnesses} from "./interfaces/IWitnesses.sol";
import {LeaseId, OrgId} from "./interfaces/Types.sol";
import {Rounds} from "./libraries/Rounds.sol";

/// @notice See {IInquiries}.
contract Inquiries is IInquiries, Governed {
    /// @dev Epochs the committee has for an answer.
    uint256 private constant TIME = 2;
    uint8 private constant YES = 1;
    uint8 private constant NO = 2;
    uint8 private constant UNKNOWN = 3;

    IMembers public immutable members;
    ILeases public immutable leases;
    IWitnesses public immutable witnesses;
    uint32 private immutable _epoch;
    uint32 private immutable _slot;

    /// @inheritdoc IInquiries
    uint256 public count;
    mapping(uint256 id => Inquiry) private _inquiries;
    /// @dev The epoch behind the one in which a party asked last.
    mapping(LeaseId => mapping(OrgId => uint256)) private _again;

    constructor(IDirectory directory_, IMembers members_, ILeases leases_, IWitnesses witnesses_)
        Governed(directory_)
    {
        members = members_;
        leases = leases_;
        witnesses = witnesses_;
        _epoch = witnesses_.epoch();
        _slot = leases_.inventory().slot();
    }

    /// @inheritdoc IInquiries
    function ask(LeaseId lease, uint8 place, uint40 from, uint40 until, uint32 abovePpm)
        external
        returns (uint256 id)
    {
        ILeases.Lease memory l = leases.lease(lease);
        // Any member may ask: it costs the organisation nothing and moves nothing.
        OrgId org = members.isOf(l.buyer, msg.sender) ? l.buyer : l.provider;
        if (!members.isOf(org, msg.sender)) revert Inquiries_NotParty(lease, msg.sender);
        uint256 now_ = block.timestamp / _epoch;
        if (_again[lease][org] > now_) revert Inquiries_TooMany(lease, org);
        if (!_isPast(l, place, from, until)) revert Inquiries_BadWindow(lease, from, until);
        uint32 term = _termOf(lease, from, until);

        _again[lease][org] = now_ + 1;
        id = ++count;
        Inquiry storage i = _inquiries[id];
        i.lease = lease;
        i.place = place;
        i.from = from;
        i.until = until;
        i.abovePpm = abovePpm;
        i.by = org;
        i.term = term;
        // Safe: seconds have 40 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        i.deadline = uint40(block.timestamp + TIME * _epoch);
        emit InquiryAsked(id, lease, org, place, from, until, abovePpm, term, i.deadline);
    }

    /// @dev Whether a machine was there, delivered and not given back, during all of a window that is over.
    function _isPast(ILeases.Lease memory l, uint256 place, uint256 from, uint256 until)
        private
        view
        returns (bool)
    {
        uint256 begin = uint256(l.start) * _slot;
        if (begin < l.deliveredAt) begin = l.deliveredAt;
        uint256 end = l.endedAt != 0 ? l.endedAt : uint256(l.end) * _slot;
        bool delivered = (uint256(l.delivered) >> place) & 1 != 0;
        return delivered && begin <= from && from < until && until <= end && until <= block.timestamp;
    }

    /// @dev The one term of a window, whose committee answers.
    function _termOf(LeaseId lease, uint40 from, uint40 until) private view returns (uint32 term) {
        term = witnesses.termOf(lease, _epochOf(from));
        if (
            witnesses.termOf(lease, _epochOf(until - 1)) != term
                || witnesses.committee(lease, term).seats.length == 0
        ) revert Inquiries_BadWindow(lease, from, until);
    }

    /// @inheritdoc IInquiries
    function answer(uint256 id, uint8 value, uint32 ppm, uint16 measured) external {
        Inquiry storage i = _inquiries[id];
        if (i.result != 0 || block.timestamp >= i.deadline || value < YES || value > UNKNOWN) {
            revert Inquiries_Closed(id);
        }
        OrgId org = witnesses.signerOf(msg.sender);
        IWitnesses.DrawnCommittee memory c = witnesses.committee(i.lease, i.term);
        uint8 seat = _seatOf(id, c.seats, org);
        if ((i.yes | i.no | i.unknown) & seat != 0) revert Inquiries_NotSeat(id, msg.sender);

        if (value == YES) i.yes |= seat;
        else if (value == NO) i.no |= seat;
        else i.unknown |= seat;
        emit InquiryAnswered(id, org, value, ppm, measured);
        uint8 result = _resultOf(i, c);
        if (result != 0) _commit(id, i, result);
    }

    /// @inheritdoc IInquiries
    function close(uint256 id) external {
        Inquiry storage i = _inquiries[id];
        if (i.result != 0 || i.deadline == 0 || block.timestamp < i.deadline) revert Inquiries_Closed(id);
        _commit(id, i, UNKNOWN);
    }

    /// @inheritdoc IInquiries
    function inquiry(uint256 id) external view returns (Inquiry memory) {
        return _inquiries[id];
    }

    function _commit(uint256 id, Inquiry storage i, uint8 result) private {
        i.result = result;
        emit InquiryCommitted(id, result);
    }

    /// @dev 0 while those who have not answered can still make a quorum.
    function _resultOf(Inquiry storage i, IWitnesses.DrawnCommittee memory c) private view returns (uint8) {
        uint256 yes = Rounds.count(i.yes);
        uint256 no = Rounds.count(i.no);
        uint256 open = c.seats.length - yes - no - Rounds.count(i.unknown);
        if (yes >= c.quorum) return YES;
        if (no >= c.quorum) return NO;
        return yes + open < c.quorum && no + open < c.quorum ? UNKNOWN : 0;
    }

    /// @dev The seat's bit.
    function _seatOf(uint256 id, OrgId[] memory seats, OrgId org) private view returns (uint8) {
        for (uint256 s; s < seats.length; ++s) {
            // Safe: a committee has at most 6 seats.
            // forge-lint: disable-next-line(unsafe-typecast)
            if (seats[s] == org) return uint8(uint256(1) << s);
        }
        revert Inquiries_NotSeat(id, msg.sender);
    }

    function _epochOf(uint256 second) private view returns (uint32) {
        // Safe until the year 2106, even with epochs of a second.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(second / _epoch);
    }
}
