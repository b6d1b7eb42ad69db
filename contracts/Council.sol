// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ICouncil} from "./interfaces/ICouncil.sol";

/// @notice See {ICouncil}.
contract Council is ICouncil {
    uint256 private constant MOST_MEMBERS = 64;
    uint256 private constant OPEN_FOR = 30 days;

    /// @inheritdoc ICouncil
    uint256 public proposalCount;
    /// @inheritdoc ICouncil
    uint8 public threshold;
    /// @inheritdoc ICouncil
    uint32 public term;

    address[] private _members;
    /// @dev Place in the list, counted from 1; 0 is no member.
    mapping(address member => uint256) private _placeOf;
    mapping(uint256 id => Proposal) private _proposals;

    constructor(address[] memory members_, uint8 threshold_) {
        _setMembers(members_, threshold_);
    }

    /// @inheritdoc ICouncil
    function propose(address target, bytes calldata data) external returns (uint256 id) {
        uint64 own = _ownBit();
        // A call to nothing would count as done.
        if (target.code.length == 0) revert Council_NoCode(target);

        id = ++proposalCount;
        Proposal storage p = _proposals[id];
        p.target = target;
        // Safe: seconds of our age, and a month.
        // forge-lint: disable-next-line(unsafe-typecast)
        p.expires = uint40(block.timestamp + OPEN_FOR);
        p.term = term;
        p.data = data;
        emit Proposed(id, msg.sender, target, data);
        _approve(id, p, own);
    }

    /// @inheritdoc ICouncil
    function approve(uint256 id) external {
        uint64 own = _ownBit();
        Proposal storage p = _open(id);
        if (p.approvals & own != 0) revert Council_AlreadyApproved(id, msg.sender);
        _approve(id, p, own);
    }

    /// @inheritdoc ICouncil
    function revoke(uint256 id) external {
        uint64 own = _ownBit();
        Proposal storage p = _open(id);
        if (p.approvals & own == 0) revert Council_NotApproved(id, msg.sender);
        p.approvals &= ~own;
        emit Revoked(id, msg.sender);
    }

    /// @inheritdoc ICouncil
    function setMembers(address[] calldata members_, uint8 threshold_) external {
        if (msg.sender != address(this)) revert Council_NotCouncil(msg.sender);
        uint256 n = _members.length;
        for (uint256 i; i < n; ++i) {
            delete _placeOf[_members[i]];
        }
        _setMembers(members_, threshold_);
    }

    /// @inheritdoc ICouncil
    function proposal(uint256 id) external view returns (Proposal memory) {
        return _existing(id);
    }

    /// @inheritdoc ICouncil
    function members() external view returns (address[] memory) {
        return _members;
    }

    /// @inheritdoc ICouncil
    function isMember(address account) external view returns (bool) {
        return _placeOf[account] != 0;
    }

    function _approve(uint256 id, Proposal storage p, uint64 own) private {
        uint64 approvals = p.approvals | own;
        p.approvals = approvals;
        emit Approved(id, msg.sender);
        if (_count(approvals) < threshold) return;

        // Before the call: what is called may come back here.
        p.executed = true;
        (bool ok, bytes memory result) = p.target.call(p.data);
        if (!ok) _passOn(result);
        // slither-disable-next-line reentrancy-events (it was marked executed before the call)
        emit Executed(id, result);
    }

    /// @dev Fails as the call failed, so that its error reaches the caller as it is.
    function _passOn(bytes memory reason) private pure {
        assembly ("memory-safe") {
            revert(add(reason, 0x20), mload(reason))
        }
    }

    function _setMembers(address[] memory members_, uint8 threshold_) private {
        uint256 n = members_.length;
        bool fits = n <= MOST_MEMBERS && threshold_ != 0 && threshold_ <= n;
        for (uint256 i; fits && i < n; ++i) {
            address member = members_[i];
            fits = member != address(0) && member != address(this) && _placeOf[member] == 0;
            _placeOf[member] = i + 1;
        }
        if (!fits) revert Council_BadMembers(n, threshold_);

        _members = members_;
        threshold = threshold_;
        emit MembersChanged(++term, members_, threshold_);
    }

    function _ownBit() private view returns (uint64) {
        uint256 place = _placeOf[msg.sender];
        if (place == 0) revert Council_NotMember(msg.sender);
        // Safe: at most MOST_MEMBERS.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(1) << uint64(place - 1);
    }

    function _open(uint256 id) private view returns (Proposal storage p) {
        p = _existing(id);
        if (p.executed) revert Council_Executed(id);
        if (p.term != term) revert Council_OtherTerm(id, p.term, term);
        if (block.timestamp >= p.expires) revert Council_Expired(id, p.expires);
    }

    function _existing(uint256 id) private view returns (Proposal storage) {
        if (id == 0 || id > proposalCount) revert Council_Unknown(id);
        return _proposals[id];
    }

    function _count(uint64 bits) private pure returns (uint256 n) {
        for (; bits != 0; bits &= bits - 1) {
            ++n;
        }
    }
}
