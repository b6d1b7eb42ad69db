// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The council as several accounts of which `threshold` must agree. `Directory.council` is its address; it stands
/// before every other contract as one account, and before the time lock as proposer and executor.
///
/// A council of one account needs none of this: that account's own address can stand in `Directory`.
///
/// Assumes: fewer than `threshold` of its members are dishonest, and fewer than all but `threshold - 1` are lost.
/// Does NOT hold credits or a chain's own coin, does NOT delay: what has to wait waits in the time lock.
interface ICouncil {
    /// @param target Whom the council calls, and with which `data`, once enough members agree.
    /// @param expires From this second on it cannot be agreed to any more.
    /// @param term Which membership it was proposed to; another membership does not go on with it.
    /// @param executed The call went through. It does so once.
    /// @param approvals One bit for each place in the list of members.
    struct Proposal {
        address target;
        uint40 expires;
        uint32 term;
        bool executed;
        uint64 approvals;
        bytes data;
    }

    event Proposed(uint256 indexed proposal, address indexed member, address indexed target, bytes data);
    event Approved(uint256 indexed proposal, address indexed member);
    event Revoked(uint256 indexed proposal, address indexed member);
    event Executed(uint256 indexed proposal, bytes result);
    event MembersChanged(uint32 indexed term, address[] members, uint8 threshold);

    /// @notice under this number stands another proposal than the one approved
    /// @dev The chain took another course; look at it again ('ocx council show').
    error Council_OtherProposal(uint256 proposal);
    /// @notice only a member of the council may do this
    /// @dev See the members with 'ocx council list'.
    error Council_NotMember(address caller);
    /// @notice only the council itself may do this
    /// @dev Propose it; it is done when enough members agree.
    error Council_NotCouncil(address caller);
    /// @notice a council has 1 to 64 different members, none of them zero or itself, and needs from 1 to all of them
    /// @dev Correct the list, or the number that must agree.
    error Council_BadMembers(uint256 members, uint256 threshold);
    /// @notice there is no such proposal
    /// @dev See 'ocx council list'.
    error Council_Unknown(uint256 proposal);
    /// @notice this was carried out already
    error Council_Executed(uint256 proposal);
    /// @notice the proposal is older than 30 days
    /// @dev Propose it again.
    error Council_Expired(uint256 proposal, uint256 expired);
    /// @notice the council's members changed since it was proposed
    /// @dev Propose it again.
    error Council_OtherTerm(uint256 proposal, uint32 term, uint32 now_);
    /// @notice this member agreed already
    error Council_AlreadyApproved(uint256 proposal, address member);
    /// @notice this member did not agree, so there is nothing to take back
    error Council_NotApproved(uint256 proposal, address member);
    /// @notice there is no contract at this address
    /// @dev Correct the address.
    error Council_NoCode(address target);

    /// @notice A member proposes a call and agrees to it. Where one is enough it is carried out at once.
    function propose(address target, bytes calldata data) external returns (uint256 proposal);

    /// @notice A member agrees. The last one needed carries it out in the same transaction; if the call fails, so does the
    /// agreement, with the call's own error, and can be given again when the call would go through.
    /// @param what `keccak256(abi.encode(target, data))` of the proposal: numbers may change hands while blocks do.
    function approve(uint256 proposal, bytes32 what) external;

    /// @notice A member takes its agreement back, as long as the call was not carried out.
    function revoke(uint256 proposal) external;

    /// @notice The council gives itself other members or another threshold. Proposals that wait are void.
    function setMembers(address[] calldata members, uint8 threshold) external;

    /// @notice Proposals are numbered from 1.
    function proposalCount() external view returns (uint256);

    function proposal(uint256 id) external view returns (Proposal memory);

    /// @notice The accounts, in the order of the approvals' bits.
    function members() external view returns (address[] memory);

    function isMember(address account) external view returns (bool);

    /// @notice How many must agree.
    function threshold() external view returns (uint8);

    /// @notice Counts memberships, from 1.
    function term() external view returns (uint32);
}
