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
    OrgId private constant NOBODY = OrgId.wrap(0);
    uint256 private constant MOST_LEVELS = 6;
    uint256 private constant MOST_MOVES = 8;
    uint256 private constant MOST_NODES = 8;
    uint256 private constant LONGEST_ENDPOINT = 128;

    /// @dev Groups of the council lie below; a party with departments and no group has `OWN_GROUP | party`.
    uint32 private constant OWN_GROUP = 1 << 31;
    uint8 private constant BY_COUNCIL = 1;
    uint8 private constant BY_PARENT = 2;

    /// @dev The second word holds all that standing, party and affiliation ask for, so that each level costs one read.
    /// @param stops Who suspended it: `BY_COUNCIL`, `BY_PARENT`, or both.
    struct Stored {
        bytes32 handle;
        uint32 group;
        uint8 roles;
        uint8 stops;
        address payout;
        OrgId parent;
        bool department;
        bool hasDepartments;
        uint96 budget;
        uint96 used;
        bytes32 encryptionKey;
        bytes32 gatewayKeyHash;
        string gatewayUrl;
    }

    /// @dev A `Member`, in one word.
    /// @param pooled Its organisation is a department, for ever: only then is the tree asked when money moves.
    struct Account {
        OrgId org;
        uint16 rights;
        uint96 limit;
        uint96 spent;
        bool pooled;
    }

    /// @inheritdoc IMembers
    uint32 public count;
    /// @inheritdoc IMembers
    mapping(bytes32 handle => OrgId) public byHandle;

    mapping(OrgId => Stored) private _organisations;
    mapping(address account => Account) private _members;
    mapping(OrgId => mapping(address account => Account)) private _grants;
    /// @dev Nobody who holds rights in an organisation has a successor there, so following ends.
    mapping(OrgId => mapping(address account => address)) private _movedTo;
    /// @dev Keys that another one moved to.
    mapping(OrgId => mapping(address account => bool)) private _arrived;
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
        _requireGroup(group);
        org = _admit(handle, admin, roles, group);
        _setMember(org, admin, MemberRights.ALL, type(uint96).max);
    }

    /// @inheritdoc IMembers
    function admitUnder(OrgId parent, bytes32 handle, address admin, uint8 roles, bool department)
        external
        returns (OrgId org)
    {
        _existing(parent);
        if (department) _requireAdminOf(parent);
        else _requireCouncil();
        if (_levelOf(parent) == MOST_LEVELS) revert Members_TooDeep(parent);
        _requireWithin(parent, roles);

        org = _admit(handle, admin, roles, 0);
        Stored storage o = _organisations[org];
        o.parent = parent;
        o.department = department;
        if (department) _organisations[_partyOf(parent)].hasDepartments = true;
        emit OrganisationPlaced(org, parent, department);
        _setMember(org, admin, MemberRights.ALL, type(uint96).max);
    }

    /// @inheritdoc IMembers
    function setRoles(OrgId org, uint8 roles) external {
        Stored storage o = _existing(org);
        _requireAbove(org);
        if (o.parent != NOBODY) _requireWithin(o.parent, roles);
        o.roles = roles;
        emit RolesChanged(org, roles);
    }

    /// @inheritdoc IMembers
    function setGroup(OrgId org, uint32 group) external onlyCouncil {
        Stored storage o = _existing(org);
        if (o.department) revert Members_Department(org);
        _requireGroup(group);
        o.group = group;
        emit GroupChanged(org, group);
    }

    /// @inheritdoc IMembers
    function setSuspended(OrgId org, bool suspended) external {
        Stored storage o = _existing(org);
        uint8 whose = _requireAbove(org);
        o.stops = suspended ? o.stops | whose : o.stops & ~whose;
        emit SuspensionChanged(org, o.stops != 0);
    }

    /// @inheritdoc IMembers
    function setBudget(OrgId org, uint96 budget) external {
        Stored storage o = _existing(org);
        if (!o.department) revert Members_NotDepartment(org);
        _requireAdminOf(o.parent);
        o.budget = budget;
        emit BudgetChanged(org, budget);
    }

    /// @inheritdoc IMembers
    function setMember(address account, uint16 rights, uint96 limit) external {
        _setMember(requireRight(msg.sender, MemberRights.ADMIN), account, rights, limit);
    }

    /// @inheritdoc IMembers
    function removeMember(address account) external {
        OrgId org = requireRight(msg.sender, MemberRights.ADMIN);
        // Whoever has a stolen key cannot hide behind another one.
        address now_ = _currentOf(org, account);
        if (_members[now_].org != org) revert Members_NotMember(account);
        _removeMember(org, now_);
    }

    /// @inheritdoc IMembers
    function grant(OrgId org, address account, uint16 rights, uint96 limit) external {
        _requireAdminOf(_existingId(org));
        if (account == address(0)) revert Members_ZeroAddress();
        if (rights & MemberRights.ADMIN != 0) revert Members_GrantOfAdmin(org, account);
        if (_members[account].org == org) revert Members_AccountTaken(account, org);

        _requireUnmoved(org, account);

        Account storage m = _grants[org][account];
        (m.org, m.rights, m.limit) = (org, rights, limit);
        m.pooled = _organisations[org].department;
        emit GrantSet(org, account, rights, limit);
    }

    /// @inheritdoc IMembers
    function revoke(OrgId org, address account) external {
        if (msg.sender != account) _requireAdminOf(_existingId(org));
        address now_ = msg.sender == account ? account : _currentOf(org, account);
        if (OrgId.unwrap(_grants[org][now_].org) == 0) revert Members_NotMember(account);
        delete _grants[org][now_];
        emit GrantRemoved(org, now_);
    }

    /// @inheritdoc IMembers
    function rotate(OrgId org, address account, address replacement) external {
        // A key moves itself once. Else a thief would lead whoever follows it round and round.
        if (msg.sender != account || _arrived[org][account]) _requireAdminOf(_existingId(org));
        _move(org, account, replacement);
    }

    /// @inheritdoc IMembers
    function recover(OrgId org, address lost, address replacement) external {
        if (msg.sender != directory.timelock()) revert IDirectory.Directory_NotTimelock(msg.sender);
        _move(org, lost, replacement);
        emit KeyRecovered(org, lost, replacement);
    }

    /// @inheritdoc IMembers
    function leave() external {
        OrgId org = _members[msg.sender].org;
        if (OrgId.unwrap(org) == 0) revert Members_NotMember(msg.sender);
        // Nobody asks an account before making it a department's admin; those above go on with the department.
        if (!_organisations[org].department) return _removeMember(org, msg.sender);
        _admins[org] -= _members[msg.sender].rights & MemberRights.ADMIN;
        delete _members[msg.sender];
        emit MemberRemoved(org, msg.sender);
    }

    /// @inheritdoc IMembers
    function setPayout(address payout) external {
        OrgId org = requireRight(msg.sender, MemberRights.ADMIN);
        if (payout == address(0)) revert Members_ZeroAddress();
        Stored storage o = _organisations[org];
        if (o.department) revert Members_Department(org);
        o.payout = payout;
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
    function charge(address account, OrgId org, uint256 amount)
        external
        onlyHolder(Rights.MEMBERS_CHARGE)
        returns (OrgId)
    {
        Account storage m = _counted(org, account);
        if (m.org != org) revert Members_NotMember(account);
        if (m.limit != type(uint96).max) {
            uint256 spent = m.spent + amount;
            if (spent > m.limit) revert Members_OverLimit(account, m.limit, spent);
            // Safe: spent <= limit, and limit is a uint96.
            // forge-lint: disable-next-line(unsafe-typecast)
            m.spent = uint96(spent);
        }
        return m.pooled ? _use(org, amount) : org;
    }

    /// @inheritdoc IMembers
    function restore(address account, OrgId org, uint256 amount)
        external
        onlyEverHolder(Rights.MEMBERS_CHARGE)
        returns (OrgId)
    {
        Account storage m = _counted(org, account);
        if (m.org == org) {
            // Saturates: what was charged while there was no limit was not counted.
            if (m.spent != 0) m.spent = _less(m.spent, amount);
            if (!m.pooled) return org;
        }
        return _giveBack(org, amount);
    }

    /// @inheritdoc IMembers
    function canCharge(address account, OrgId org, uint256 amount)
        external
        view
        returns (bool can, OrgId party)
    {
        Account storage m = _counted(org, account);
        if (m.org != org || (m.limit != type(uint96).max && m.spent + amount > m.limit)) {
            return (false, NOBODY);
        }
        if (!m.pooled) return (true, org);
        for (Stored storage o = _organisations[org]; o.department; o = _organisations[org]) {
            if (o.used + amount > o.budget) return (false, NOBODY);
            org = o.parent;
        }
        return (true, org);
    }

    /// @inheritdoc IMembers
    function organisation(OrgId org) external view returns (Organisation memory) {
        Stored storage o = _existing(org);
        Stored storage party = _organisations[_partyOf(org)];
        (uint8 roles, OrgId stopped) = _standing(org);
        return Organisation({
            handle: o.handle,
            group: party.group,
            roles: roles,
            suspended: stopped != NOBODY,
            payout: party.payout,
            encryptionKey: o.encryptionKey,
            gatewayKeyHash: o.gatewayKeyHash,
            gatewayUrl: o.gatewayUrl
        });
    }

    /// @inheritdoc IMembers
    function placeOf(OrgId org) external view returns (Place memory) {
        Stored storage o = _existing(org);
        return Place({
            parent: o.parent,
            party: _partyOf(org),
            // Safe: at most MOST_LEVELS.
            // forge-lint: disable-next-line(unsafe-typecast)
            level: uint8(_levelOf(org)),
            department: o.department,
            roles: o.roles,
            byCouncil: o.stops & BY_COUNCIL != 0,
            byParent: o.stops & BY_PARENT != 0,
            budget: o.budget,
            used: o.used
        });
    }

    /// @inheritdoc IMembers
    function member(address account) external view returns (Member memory) {
        return _shown(_members[account]);
    }

    /// @inheritdoc IMembers
    function memberOf(OrgId org, address account) external view returns (Member memory) {
        return _shown(_held(org, account));
    }

    /// @inheritdoc IMembers
    function currentOf(OrgId org, address account) external view returns (address) {
        return _currentOf(org, account);
    }

    /// @inheritdoc IMembers
    function payoutOf(OrgId org) external view returns (address) {
        _existing(org);
        return _organisations[_partyOf(org)].payout;
    }

    /// @inheritdoc IMembers
    function partyOf(OrgId org) external view returns (OrgId) {
        return _partyOf(org);
    }

    /// @inheritdoc IMembers
    function isWithin(OrgId org, OrgId ancestor) external view returns (bool) {
        for (; org != NOBODY; org = _organisations[org].parent) {
            if (org == ancestor) return true;
        }
        return false;
    }

    /// @inheritdoc IMembers
    function requireRight(address account, uint16 right) public view returns (OrgId) {
        Account storage m = _members[account];
        if (OrgId.unwrap(m.org) == 0) revert Members_NotMember(account);
        if (m.rights & right != right) revert Members_NoRight(account, right);
        return m.org;
    }

    /// @inheritdoc IMembers
    function actingFor(OrgId org, address account, uint16 right) external view returns (OrgId) {
        if (org == NOBODY) return requireRight(account, right);
        requireRightFor(org, account, right);
        return org;
    }

    /// @inheritdoc IMembers
    function requireRightFor(OrgId org, address account, uint16 right) public view {
        Account storage m = _held(org, account);
        if (OrgId.unwrap(m.org) == 0) revert Members_NotOf(org, account);
        if (m.rights & right != right) revert Members_NoRight(account, right);
    }

    /// @inheritdoc IMembers
    function requireActive(OrgId org, uint8 role) external view {
        _existing(org);
        (uint8 roles, OrgId stopped) = _standing(org);
        if (roles & role != role) revert Members_NoRole(org, role);
        if (stopped != NOBODY) revert Members_Suspended(stopped);
    }

    /// @inheritdoc IMembers
    function affiliated(OrgId a, OrgId b) external view returns (bool) {
        if (a == b) return true;
        OrgId party = _partyOf(a);
        Stored storage p = _organisations[party];
        // No need to look at the other one: who stands alone, without departments, is affiliated with nobody.
        if (p.group == 0 && !p.hasDepartments) return false;
        OrgId other = _partyOf(b);
        return party == other || (p.group != 0 && p.group == _organisations[other].group);
    }

    /// @inheritdoc IMembers
    function groupOf(OrgId org) external view returns (uint32) {
        Stored storage o = _organisations[org];
        // Together, so that they are one read: a draw asks this of the whole pool.
        (uint32 group, bool department, bool hasDepartments) = (o.group, o.department, o.hasDepartments);
        if (!department && !hasDepartments) return group;
        OrgId party = _partyOf(org);
        group = _organisations[party].group;
        return group != 0 ? group : OWN_GROUP | OrgId.unwrap(party);
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
        Account storage m = _members[msg.sender];
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
        Account storage m = _members[account];
        if (OrgId.unwrap(m.org) != 0 && m.org != org) revert Members_AccountTaken(account, m.org);
        _requireUnmoved(org, account);
        _countAdmin(org, m.rights, rights);
        Account storage granted = _grants[org][account];
        if (granted.org == org) {
            // Who becomes a member takes along what was counted against the grant.
            m.spent = granted.spent;
            delete _grants[org][account];
            emit GrantRemoved(org, account);
        }
        m.org = org;
        m.rights = rights;
        m.limit = limit;
        m.pooled = _organisations[org].department;
        emit MemberSet(org, account, rights, limit);
    }

    function _removeMember(OrgId org, address account) private {
        _countAdmin(org, _members[account].rights, 0);
        delete _members[account];
        emit MemberRemoved(org, account);
    }

    /// @dev Rights are not given to a key beside the one it moved to: what is taken from it later must not miss that one.
    function _requireUnmoved(OrgId org, address account) private {
        address now_ = _currentOf(org, account);
        if (now_ == account) return;
        if (_held(org, now_).org != NOBODY) revert Members_Moved(org, account, now_);
        delete _movedTo[org][account];
    }

    /// @dev The count of admins stays: as many rights come as go.
    function _move(OrgId org, address account, address replacement) private {
        Account memory m = _held(org, account);
        if (OrgId.unwrap(m.org) == 0) revert Members_NotMember(account);
        if (replacement == address(0)) revert Members_ZeroAddress();
        bool atHome = _members[account].org == org;
        OrgId home = _members[replacement].org;
        bool taken = atHome ? home != NOBODY : home == org;
        if (taken) revert Members_AccountTaken(replacement, home);
        if (_grants[org][replacement].org == org) revert Members_AccountTaken(replacement, org);

        _movedTo[org][account] = replacement;
        delete _movedTo[org][replacement];
        _arrived[org][replacement] = true;
        if (atHome) {
            _members[replacement] = m;
            delete _members[account];
            emit MemberRemoved(org, account);
            emit MemberSet(org, replacement, m.rights, m.limit);
        } else {
            _grants[org][replacement] = m;
            delete _grants[org][account];
            emit GrantRemoved(org, account);
            emit GrantSet(org, replacement, m.rights, m.limit);
        }
        emit KeyMoved(org, account, replacement);
    }

    /// @dev An organisation without an admin could never withdraw, so the last one stays.
    function _countAdmin(OrgId org, uint16 before, uint16 rights) private {
        uint256 was = before & MemberRights.ADMIN;
        uint256 is_ = rights & MemberRights.ADMIN;
        uint256 admins = _admins[org] + is_ - was;
        if (admins == 0) revert Members_LastAdmin(org);
        _admins[org] = admins;
    }

    function _admit(bytes32 handle, address admin, uint8 roles, uint32 group) private returns (OrgId org) {
        if (handle == 0) revert Members_EmptyHandle();
        if (OrgId.unwrap(byHandle[handle]) != 0) revert Members_HandleTaken(handle, byHandle[handle]);

        org = OrgId.wrap(++count);
        byHandle[handle] = org;
        Stored storage o = _organisations[org];
        o.handle = handle;
        o.roles = roles;
        o.group = group;
        o.payout = admin;
        emit OrganisationAdmitted(org, handle, roles, group, admin);
    }

    // ---- the tree ----------------------------------------------------------------------------------------------
    // Every walk goes up, so it has at most MOST_LEVELS steps, however many organisations there are below.

    function _partyOf(OrgId org) private view returns (OrgId) {
        for (Stored storage o = _organisations[org]; o.department; o = _organisations[org]) {
            org = o.parent;
        }
        return org;
    }

    /// @return roles That it and all above it have.
    /// @return stopped The topmost of them that is suspended, or nobody.
    function _standing(OrgId org) private view returns (uint8 roles, OrgId stopped) {
        roles = type(uint8).max;
        for (; org != NOBODY; org = _organisations[org].parent) {
            Stored storage o = _organisations[org];
            roles &= o.roles;
            if (o.stops != 0) stopped = org;
        }
    }

    function _levelOf(OrgId org) private view returns (uint256 level) {
        for (; org != NOBODY; org = _organisations[org].parent) {
            ++level;
        }
    }

    function _use(OrgId org, uint256 amount) private returns (OrgId) {
        for (Stored storage o = _organisations[org]; o.department; o = _organisations[org]) {
            uint256 used = o.used + amount;
            if (used > o.budget) revert Members_OverBudget(org, o.budget, used);
            // Safe: used <= budget, and budget is a uint96.
            // forge-lint: disable-next-line(unsafe-typecast)
            o.used = uint96(used);
            // Safe: as above.
            // forge-lint: disable-next-line(unsafe-typecast)
            emit BudgetUsed(org, uint96(used));
            org = o.parent;
        }
        return org;
    }

    /// @dev Gives back what was used, no more: places are for ever and every use was counted.
    function _giveBack(OrgId org, uint256 amount) private returns (OrgId) {
        for (Stored storage o = _organisations[org]; o.department; o = _organisations[org]) {
            o.used = _less(o.used, amount);
            emit BudgetUsed(org, o.used);
            org = o.parent;
        }
        return org;
    }

    /// @dev Stops at zero: money on its way out must not be stopped by a count.
    function _less(uint96 counted, uint256 amount) private pure returns (uint96) {
        // Safe: amount < counted, and counted is a uint96.
        // forge-lint: disable-next-line(unsafe-typecast)
        return amount >= counted ? 0 : counted - uint96(amount);
    }

    // ---- accounts ----------------------------------------------------------------------------------------------

    /// @dev What an account holds in an organisation; empty if nothing.
    function _held(OrgId org, address account) private view returns (Account storage m) {
        m = _members[account];
        if (m.org != org || org == NOBODY) m = _grants[org][account];
    }

    function _shown(Account storage m) private view returns (Member memory) {
        return Member(m.org, m.rights, m.limit, m.spent);
    }

    /// @dev Where consents of an account are counted: with itself, or with the key its rights moved to.
    function _counted(OrgId org, address account) private view returns (Account storage m) {
        m = _members[account];
        if (m.org == org) return m;
        return _held(org, _currentOf(org, account));
    }

    function _currentOf(OrgId org, address account) private view returns (address) {
        for (uint256 i; i < MOST_MOVES; ++i) {
            address next = _movedTo[org][account];
            if (next == address(0)) break;
            account = next;
        }
        return account;
    }

    // ---- checks ------------------------------------------------------------------------------------------------

    function _requireCouncil() private view {
        if (msg.sender != directory.council()) revert IDirectory.Directory_NotCouncil(msg.sender);
    }

    function _requireGroup(uint32 group) private pure {
        if (group >= OWN_GROUP) revert Members_GroupTooLarge(group);
    }

    function _requireWithin(OrgId parent, uint8 roles) private view {
        (uint8 parents,) = _standing(parent);
        if (roles & ~parents != 0) revert Members_RolesBeyondParent(parent, roles, parents);
    }

    /// @dev The caller is an admin of the organisation, or of one above it in the same party. Who is above in another
    /// party is not: it could make itself a department there, and spend that party's balance.
    function _requireAdminOf(OrgId org) private view {
        Account storage m = _members[msg.sender];
        if (m.rights & MemberRights.ADMIN != 0) {
            for (OrgId at = org;; at = _organisations[at].parent) {
                if (at == m.org) return;
                if (!_organisations[at].department) break;
            }
        }
        revert Members_NotAdminOf(org, msg.sender);
    }

    /// @return whose `BY_COUNCIL`, or `BY_PARENT` for an admin of an organisation above.
    function _requireAbove(OrgId org) private view returns (uint8 whose) {
        if (msg.sender == directory.council()) return BY_COUNCIL;
        OrgId at = _organisations[org].parent;
        if (at == NOBODY) revert IDirectory.Directory_NotCouncil(msg.sender);
        Account storage m = _members[msg.sender];
        if (m.rights & MemberRights.ADMIN != 0) {
            for (; at != NOBODY; at = _organisations[at].parent) {
                if (at == m.org) return BY_PARENT;
            }
        }
        revert Members_NotAbove(org, msg.sender);
    }

    function _existingId(OrgId org) private view returns (OrgId) {
        _existing(org);
        return org;
    }

    function _existing(OrgId org) private view returns (Stored storage) {
        if (OrgId.unwrap(org) == 0 || OrgId.unwrap(org) > count) revert Members_UnknownOrganisation(org);
        return _organisations[org];
    }
}
