// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers, MemberRights} from "./interfaces/IMembers.sol";
import {OrgId} from "./interfaces/Types.sol";
import {Rights} from "./libraries/Rights.sol";

/// @notice See {IMembers}.
contract Members is IMembers, Governed {
    uint256 private constant MOST_NODES = 8;
    uint256 private constant LONGEST_ENDPOINT = 128;

    /// @inheritdoc IMembers
    uint32 public count;
    /// @inheritdoc IMembers
    mapping(bytes32 handle => OrgId) public byHandle;

    mapping(OrgId => Organisation) private _organisations;
    mapping(address account => Member) private _members;
    mapping(OrgId => uint256) private _admins;
    mapping(address node => Node) private _nodes;
    mapping(OrgId => uint256) private _nodesOf;
    address[] private _listed;
    /// @dev Where in `_listed` a node stands.
    mapping(address node => uint256) private _place;

    constructor(IDirectory directory_) Governed(directory_) {}

    /// @inheritdoc IMembers
    function admit(bytes32 handle, address admin, uint8 roles, uint32 group)
        external
        onlyCouncil
        returns (OrgId org)
    {
        if (handle == 0) revert Members_EmptyHandle();
        if (OrgId.unwrap(byHandle[handle]) != 0) revert Members_HandleTaken(handle, byHandle[handle]);

        org = OrgId.wrap(++count);
        byHandle[handle] = org;
        Organisation storage o = _organisations[org];
        o.handle = handle;
        o.roles = roles;
        o.group = group;
        o.payout = admin;
        emit OrganisationAdmitted(org, handle, roles, group, admin);
        _setMember(org, admin, MemberRights.ALL, type(uint96).max);
    }

    /// @inheritdoc IMembers
    function setRoles(OrgId org, uint8 roles) external onlyCouncil {
        _existing(org).roles = roles;
        emit RolesChanged(org, roles);
    }

    /// @inheritdoc IMembers
    function setGroup(OrgId org, uint32 group) external onlyCouncil {
        _existing(org).group = group;
        emit GroupChanged(org, group);
    }

    /// @inheritdoc IMembers
    function setSuspended(OrgId org, bool suspended) external onlyCouncil {
        _existing(org).suspended = suspended;
        emit SuspensionChanged(org, suspended);
    }

    /// @inheritdoc IMembers
    function setMember(address account, uint16 rights, uint96 limit) external {
        _setMember(requireRight(msg.sender, MemberRights.ADMIN), account, rights, limit);
    }

    /// @inheritdoc IMembers
    function removeMember(address account) external {
        OrgId org = requireRight(msg.sender, MemberRights.ADMIN);
        if (_members[account].org != org) revert Members_NotMember(account);
        _removeMember(org, account);
    }

    /// @inheritdoc IMembers
    function leave() external {
        OrgId org = _members[msg.sender].org;
        if (OrgId.unwrap(org) == 0) revert Members_NotMember(msg.sender);
        _removeMember(org, msg.sender);
    }

    /// @inheritdoc IMembers
    function setPayout(address payout) external {
        OrgId org = requireRight(msg.sender, MemberRights.ADMIN);
        if (payout == address(0)) revert Members_ZeroAddress();
        _organisations[org].payout = payout;
        emit PayoutChanged(org, payout);
    }

    /// @inheritdoc IMembers
    function setEncryptionKey(bytes32 key) external {
        OrgId org = requireRight(msg.sender, MemberRights.ADMIN);
        _organisations[org].encryptionKey = key;
        emit EncryptionKeyChanged(org, key);
    }

    /// @inheritdoc IMembers
    function setGateway(string calldata url, bytes32 keyHash) external {
        OrgId org = requireRight(msg.sender, MemberRights.ADMIN);
        _organisations[org].gatewayUrl = url;
        _organisations[org].gatewayKeyHash = keyHash;
        emit GatewayChanged(org, url, keyHash);
    }

    /// @inheritdoc IMembers
    function setNode(
        OrgId org,
        bytes32 keyX,
        bytes32 keyY,
        string calldata endpoint,
        bytes calldata signature
    ) external {
        bytes32 handle = _existing(org).handle;
        _requireNodesAdmin(org);
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > LONGEST_ENDPOINT) revert Members_BadEndpoint(length);
        address node = address(uint160(uint256(keccak256(abi.encode(keyX, keyY)))));
        _requireConsent(org, node, keccak256(abi.encode("ocx node", handle, endpoint)), signature);
        Node storage n = _nodes[node];
        if (OrgId.unwrap(n.org) == 0) _list(org, node);
        else if (n.org != org) revert Members_NodeTaken(node, n.org);

        n.org = org;
        n.keyX = keyX;
        n.keyY = keyY;
        n.endpoint = endpoint;
        emit NodeSet(org, node, keyX, keyY, endpoint);
    }

    /// @inheritdoc IMembers
    function removeNode(address node) external {
        OrgId org = _nodes[node].org;
        if (OrgId.unwrap(org) == 0) revert Members_UnknownNode(node);
        _requireNodesAdmin(org);
        --_nodesOf[org];
        uint256 place = _place[node];
        address last = _listed[_listed.length - 1];
        _listed[place] = last;
        _place[last] = place;
        _listed.pop();
        delete _place[node];
        delete _nodes[node];
        emit NodeRemoved(org, node);
    }

    /// @inheritdoc IMembers
    function charge(address account, OrgId org, uint256 amount) external onlyHolder(Rights.MEMBERS_CHARGE) {
        Member storage m = _members[account];
        if (m.org != org) revert Members_NotMember(account);
        if (m.limit == type(uint96).max) return;
        uint256 spent = m.spent + amount;
        if (spent > m.limit) revert Members_OverLimit(account, m.limit, spent);
        // Safe: spent <= limit, and limit is a uint96.
        // forge-lint: disable-next-line(unsafe-typecast)
        m.spent = uint96(spent);
    }

    /// @inheritdoc IMembers
    function restore(address account, OrgId org, uint256 amount)
        external
        onlyEverHolder(Rights.MEMBERS_CHARGE)
    {
        Member storage m = _members[account];
        if (m.org != org || m.spent == 0) return;
        // Saturates: what was charged while there was no limit was not counted.
        // forge-lint: disable-next-line(unsafe-typecast)
        m.spent = amount >= m.spent ? 0 : m.spent - uint96(amount);
    }

    /// @inheritdoc IMembers
    function canCharge(address account, OrgId org, uint256 amount) external view returns (bool) {
        Member storage m = _members[account];
        return m.org == org && (m.limit == type(uint96).max || m.spent + amount <= m.limit);
    }

    /// @inheritdoc IMembers
    function organisation(OrgId org) external view returns (Organisation memory) {
        return _existing(org);
    }

    /// @inheritdoc IMembers
    function member(address account) external view returns (Member memory) {
        return _members[account];
    }

    /// @inheritdoc IMembers
    function payoutOf(OrgId org) external view returns (address) {
        return _existing(org).payout;
    }

    /// @inheritdoc IMembers
    function requireRight(address account, uint16 right) public view returns (OrgId) {
        Member storage m = _members[account];
        if (OrgId.unwrap(m.org) == 0) revert Members_NotMember(account);
        if (m.rights & right != right) revert Members_NoRight(account, right);
        return m.org;
    }

    /// @inheritdoc IMembers
    function requireActive(OrgId org, uint8 role) external view {
        Organisation storage o = _existing(org);
        if (o.roles & role != role) revert Members_NoRole(org, role);
        if (o.suspended) revert Members_Suspended(org);
    }

    /// @inheritdoc IMembers
    function affiliated(OrgId a, OrgId b) external view returns (bool) {
        uint32 group = _organisations[a].group;
        return a == b || (group != 0 && group == _organisations[b].group);
    }

    /// @inheritdoc IMembers
    function groupOf(OrgId org) external view returns (uint32) {
        return _organisations[org].group;
    }

    /// @inheritdoc IMembers
    function nodeCount() external view returns (uint256) {
        return _listed.length;
    }

    /// @inheritdoc IMembers
    function nodes(uint256 from, uint256 most) external view returns (Node[] memory page) {
        uint256 listed = _listed.length;
        uint256 left = from < listed ? listed - from : 0;
        page = new Node[](most < left ? most : left);
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = _nodes[_listed[from + i]];
        }
    }

    function _list(OrgId org, address node) private {
        if (_nodesOf[org] == MOST_NODES) revert Members_TooManyNodes(org);
        ++_nodesOf[org];
        _place[node] = _listed.length;
        _listed.push(node);
    }

    function _requireNodesAdmin(OrgId org) private view {
        if (msg.sender == directory.council()) return;
        Member storage m = _members[msg.sender];
        if (m.org != org || m.rights & MemberRights.ADMIN == 0) {
            revert Members_NotNodesAdmin(org, msg.sender);
        }
    }

    /// @dev No key can be listed without itself: an address names one key, and only that one signs for it.
    function _requireConsent(OrgId org, address node, bytes32 agreed, bytes calldata signature) private pure {
        bytes32 digest = MessageHashUtils.toEthSignedMessageHash(agreed);
        (address signer, ECDSA.RecoverError failed,) = ECDSA.tryRecover(digest, signature);
        if (failed != ECDSA.RecoverError.NoError || signer != node) revert Members_NoConsent(org, node);
    }

    function _setMember(OrgId org, address account, uint16 rights, uint96 limit) private {
        if (account == address(0)) revert Members_ZeroAddress();
        Member storage m = _members[account];
        if (OrgId.unwrap(m.org) != 0 && m.org != org) revert Members_AccountTaken(account, m.org);
        _countAdmin(org, m.rights, rights);
        m.org = org;
        m.rights = rights;
        m.limit = limit;
        emit MemberSet(org, account, rights, limit);
    }

    function _removeMember(OrgId org, address account) private {
        _countAdmin(org, _members[account].rights, 0);
        delete _members[account];
        emit MemberRemoved(org, account);
    }

    /// @dev An organisation without an admin could never withdraw, so the last one stays.
    function _countAdmin(OrgId org, uint16 before, uint16 rights) private {
        uint256 was = before & MemberRights.ADMIN;
        uint256 is_ = rights & MemberRights.ADMIN;
        uint256 admins = _admins[org] + is_ - was;
        if (admins == 0) revert Members_LastAdmin(org);
        _admins[org] = admins;
    }

    function _existing(OrgId org) private view returns (Organisation storage) {
        if (OrgId.unwrap(org) == 0 || OrgId.unwrap(org) > count) revert Members_UnknownOrganisation(org);
        return _organisations[org];
    }
}
