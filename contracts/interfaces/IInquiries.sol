// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LeaseId, OrgId} from "./Types.sol";

/// @notice A party asks whether a machine was available more than so much over a past window; the committee answers from
/// its private data, and the majority's answer is committed (requirement D7).
///
/// Does NOT move a lease's money: penalties come from verdicts alone.
interface IInquiries {
    /// @param abovePpm The question: was it up in more than this share of the measured rounds of `[from, until)`?
    /// @param yes Seats (bits) that said so; `no` those that said the contrary; `unknown` those without data.
    /// @param result 0 open, 1 yes, 2 no, 3 unknown (no quorum can be reached any more, or the time is over).
    struct Inquiry {
        LeaseId lease;
        uint8 place;
        uint40 from;
        uint40 until;
        uint32 abovePpm;
        OrgId by;
        uint32 term;
        uint40 deadline;
        uint8 yes;
        uint8 no;
        uint8 unknown;
        uint8 result;
    }

    event InquiryAsked(
        uint256 indexed inquiry,
        LeaseId indexed lease,
        OrgId indexed by,
        uint8 place,
        uint40 from,
        uint40 until,
        uint32 abovePpm,
        uint32 term,
        uint40 deadline
    );
    /// @param ppm The seat's own figure; evidence, not counted.
    event InquiryAnswered(
        uint256 indexed inquiry, OrgId indexed org, uint8 answer, uint32 ppm, uint16 measured
    );
    event InquiryCommitted(uint256 indexed inquiry, uint8 result);

    /// @notice the window is not past, is empty, lies outside the lease, or has no committee
    /// @dev Ask for a past part of the lease, within one term of its committee (24 epochs).
    error Inquiries_BadWindow(LeaseId lease, uint40 from, uint40 until);
    /// @notice the organisation is not a party of the lease
    error Inquiries_NotParty(LeaseId lease, OrgId org);
    /// @notice this party asked about this lease in this epoch already
    /// @dev Ask again in the next epoch.
    error Inquiries_TooMany(LeaseId lease, OrgId org);
    /// @notice the inquiry is not open to this
    error Inquiries_Closed(uint256 inquiry);
    /// @notice the account does not sit in the committee asked, or has answered
    error Inquiries_NotSeat(uint256 inquiry, address account);

    /// @param org The party that asks; 0 is the caller's own organisation.
    function ask(OrgId org, LeaseId lease, uint8 place, uint40 from, uint40 until, uint32 abovePpm)
        external
        returns (uint256 id);

    /// @param value 1 yes, 2 no, 3 unknown.
    function answer(uint256 inquiry, uint8 value, uint32 ppm, uint16 measured) external;

    /// @notice Anyone closes an inquiry whose time is over.
    function close(uint256 inquiry) external;

    function inquiry(uint256 id) external view returns (Inquiry memory);

    function count() external view returns (uint256);
}
