// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {OrgId} from "./Types.sol";

/// @notice Organisations in a tree, the roles they have, the accounts that act for them within limits, and the nodes of
/// the chain they run.
///
/// An organisation below another is one of two kinds. A *department* is the same legal party as its parent: it spends
/// the party's balance within a budget, and pays out to the party's address only. Any other is a party of its own,
/// with its own balance. To both the same holds: nobody has a role that an organisation above it lacks, and who is
/// suspended takes everything below along. A *party* is an organisation with all its departments; one party never
/// trades with itself.
///
/// Places are for ever: an organisation never moves to another parent, so what was locked finds its way back.
///
/// Assumes: `Escrow` holds `Rights.MEMBERS_CHARGE` and nobody else does.
/// Does NOT keep names of people, and does NOT know money: a limit is a number that `Escrow` counts against.
/// Does NOT say who validates: that is the consensus's own, and its voters decide it.
interface IMembers {
    /// @param handle Short public name, unique, e.g. "north-uni".
    /// @param roles Bits of `ROLE_*` that count: its own, less what an organisation above it lacks.
    /// @param group Affiliation group of its party; 0 stands alone. Organisations of one group count as one party.
    /// @param suspended It, or an organisation above it.
    /// @param payout The only address that `Escrow` pays out to; a department's is its party's.
    /// @param encryptionKey X25519 key to which connection data are sealed (rule P1).
    /// @param gatewayKeyHash SHA-256 of the gateway's TLS public key (SPKI), to be pinned (rule P2).
    struct Organisation {
        bytes32 handle;
        uint32 group;
        uint8 roles;
        bool suspended;
        address payout;
        bytes32 encryptionKey;
        bytes32 gatewayKeyHash;
        string gatewayUrl;
    }

    /// @notice Where an organisation stands in the tree, and what is its own there.
    /// @param parent The organisation above it; 0 for one that the council admitted by itself.
    /// @param party The organisation whose balance it spends: itself, unless it is a department.
    /// @param level 1 for an organisation without a parent, one more for each below.
    /// @param roles What it was given; which of it counts, `organisation` says.
    /// @param byCouncil The council suspended it.
    /// @param byParent An admin above it suspended it.
    /// @param budget How much of its party's balance a department, with those below it, may have locked or spent,
    /// microcredits; `type(uint96).max` is no bound. As with a member's limit, nothing moves until it is spent, so it
    /// can be lowered at any time.
    /// @param used How much of it is locked or spent; what returns unspent is taken off.
    struct Place {
        OrgId parent;
        OrgId party;
        uint8 level;
        bool department;
        uint8 roles;
        bool byCouncil;
        bool byParent;
        uint96 budget;
        uint96 used;
    }

    /// @param org Where these rights hold: the account's own organisation, or one that granted them.
    /// @param rights Bits of `RIGHT_*`.
    /// @param limit How much of the organisation's balance the account may have locked or spent at a time,
    /// microcredits; `type(uint96).max` is no limit and is not counted.
    struct Member {
        OrgId org;
        uint16 rights;
        uint96 limit;
        uint96 spent;
    }

    /// @notice A node that may connect to the chain as long as it stands here and its organisation has a role.
    /// @param keyX First half of its public key; `address(keccak256(keyX, keyY))` names it, and seals.
    /// @param endpoint "host:port" where its peers reach it.
    struct Node {
        OrgId org;
        bytes32 keyX;
        bytes32 keyY;
        string endpoint;
    }

    event OrganisationAdmitted(
        OrgId indexed org, bytes32 indexed handle, uint8 roles, uint32 group, address admin
    );
    event OrganisationPlaced(OrgId indexed org, OrgId indexed parent, bool department);
    event RolesChanged(OrgId indexed org, uint8 roles);
    event GroupChanged(OrgId indexed org, uint32 group);
    event SuspensionChanged(OrgId indexed org, bool suspended);
    event MemberSet(OrgId indexed org, address indexed account, uint16 rights, uint96 limit);
    event MemberRemoved(OrgId indexed org, address indexed account);
    event GrantSet(OrgId indexed org, address indexed account, uint16 rights, uint96 limit);
    event GrantRemoved(OrgId indexed org, address indexed account);
    event BudgetChanged(OrgId indexed org, uint96 budget);
    event BudgetUsed(OrgId indexed org, uint96 used);
    event KeyMoved(OrgId indexed org, address indexed account, address indexed replacement);
    event KeyRecovered(OrgId indexed org, address indexed lost, address indexed replacement);
    event PayoutChanged(OrgId indexed org, address payout);
    event EncryptionKeyChanged(OrgId indexed org, bytes32 key);
    event GatewayChanged(OrgId indexed org, string url, bytes32 keyHash);
    event NodeSet(OrgId indexed org, address indexed node, bytes32 keyX, bytes32 keyY, string endpoint);
    event NodeRemoved(OrgId indexed org, address indexed node);

    /// @notice another organisation has this handle
    /// @dev Choose another handle.
    error Members_HandleTaken(bytes32 handle, OrgId org);
    /// @notice an organisation needs a handle
    /// @dev Give a short public name.
    error Members_EmptyHandle();
    /// @notice there is no such organisation
    /// @dev See 'ocx member list'.
    error Members_UnknownOrganisation(OrgId org);
    /// @notice this account belongs to an organisation already
    /// @dev Let it leave that one first, or use another account. One that stays elsewhere can be granted rights.
    error Members_AccountTaken(address account, OrgId org);
    /// @notice this account belongs to no organisation that could do this
    /// @dev Ask an admin of the organisation to add it ('ocx member set').
    error Members_NotMember(address account);
    /// @notice this belongs to another organisation, in which the account has no rights
    /// @dev Act as a member of that organisation, or ask an admin of it for a grant ('ocx member grant').
    error Members_NotOf(OrgId org, address account);
    /// @notice this account lacks the right for this (rights: 1 admin, 2 buy, 4 offer, 8 sign, 16 deliver, 32 release)
    /// @dev Ask an admin of the organisation for it ('ocx member set').
    error Members_NoRight(address account, uint16 right);
    /// @notice this organisation lacks the role for this (roles: 1 seller, 2 buyer, 4 witness, 8 auditor, 16 operator)
    /// @dev Ask the council for it ('ocx member set-roles').
    error Members_NoRole(OrgId org, uint8 role);
    /// @notice this organisation is suspended and places no new orders
    /// @dev What runs goes on; ask the council about the suspension.
    error Members_Suspended(OrgId org);
    /// @notice the rights of this key moved to another one
    /// @dev Act on the other one, or remove it first ('ocx member show').
    error Members_Moved(OrgId org, address account, address replacement);
    /// @notice the last admin of an organisation stays
    /// @dev Make another account an admin first.
    error Members_LastAdmin(OrgId org);
    /// @notice this would pass the account's limit
    /// @dev Ask an admin of the organisation for a higher limit ('ocx member set --limit').
    error Members_OverLimit(address account, uint256 limit, uint256 wanted);
    /// @notice the zero address cannot be used here
    /// @dev Give a real address.
    error Members_ZeroAddress();
    /// @notice only an admin of this organisation, or of the one it is a department of, may do this
    /// @dev Ask one of them.
    error Members_NotAdminOf(OrgId org, address account);
    /// @notice only the council, or an admin of an organisation above this one, may do this
    /// @dev Ask one of them. A budget is its own party's to give, a suspension is lifted by who imposed it.
    error Members_NotAbove(OrgId org, address account);
    /// @notice an organisation has no role that one above it lacks (roles: 1 seller, 2 buyer, 4 witness, 8 auditor, 16 operator)
    /// @dev Ask the council for the parent's role first.
    error Members_RolesBeyondParent(OrgId parent, uint8 roles, uint8 parents);
    /// @notice organisations stand at most six levels deep
    /// @dev Place it under an organisation nearer to the top.
    error Members_TooDeep(OrgId parent);
    /// @notice a department has its party's group and payout address, not its own
    /// @dev Change it at the organisation it is a department of.
    error Members_Department(OrgId org);
    /// @notice only a department has a budget; any other organisation spends its own balance
    /// @dev Give its admin a limit as a member, or pay it less in.
    error Members_NotDepartment(OrgId org);
    /// @notice this would pass the department's budget
    /// @dev Ask an admin above it for a higher budget.
    error Members_OverBudget(OrgId org, uint256 budget, uint256 wanted);
    /// @notice a grant never makes an admin
    /// @dev Leave the right 1 out; admins are members of the organisation.
    error Members_GrantOfAdmin(OrgId org, address account);
    /// @notice affiliation groups are numbered below 2147483648
    /// @dev Choose a smaller number.
    error Members_GroupTooLarge(uint32 group);
    /// @notice only an admin of the node's organisation, or the council, may do this
    /// @dev Ask one of them; an admin acts with the organisation's own wallet.
    error Members_NotNodesAdmin(OrgId org, address account);
    /// @notice the node's key did not agree to this organisation and endpoint
    /// @dev Make its card anew ('ocx network card') where its key is.
    error Members_NoConsent(OrgId org, address node);
    /// @notice this node is another organisation's
    /// @dev That one removes it first ('ocx network leave').
    error Members_NodeTaken(address node, OrgId org);
    /// @notice there is no such node
    /// @dev See 'ocx network node list'.
    error Members_UnknownNode(address node);
    /// @notice an organisation has at most 8 nodes
    /// @dev Let one of them leave first ('ocx network leave').
    error Members_TooManyNodes(OrgId org);
    /// @notice a node's endpoint has 1 to 128 bytes
    /// @dev Give host:port, with a shorter name or an IP address.
    error Members_BadEndpoint(uint256 length);

    /// @notice The council lets an organisation in. Its first admin may everything for it, without limit.
    function admit(bytes32 handle, address admin, uint8 roles, uint32 group) external returns (OrgId);

    /// @notice Lets an organisation in below another. A department is made by an admin of its party at or above
    /// `parent`; it can spend nothing until it has a budget. A party of its own is let in by the council alone: else
    /// anybody could fill an auction or a committee with organisations of its own making.
    function admitUnder(OrgId parent, bytes32 handle, address admin, uint8 roles, bool department)
        external
        returns (OrgId);

    /// @notice The council, or an admin above, gives an organisation roles; never more than count for its parent.
    function setRoles(OrgId org, uint8 roles) external;

    /// @notice The council says which organisations are affiliated; a department's group is its party's.
    function setGroup(OrgId org, uint32 group) external;

    /// @notice Suspension blocks new orders only, of the organisation and of all below it; no exit asks for it (rule
    /// E7). The council and the admins above each lift only what they imposed.
    function setSuspended(OrgId org, bool suspended) external;

    /// @notice An admin of its party above a department says how much of the party's balance it may use.
    function setBudget(OrgId org, uint96 budget) external;

    /// @notice An admin gives an account of its organisation rights and a limit, or changes them.
    function setMember(address account, uint16 rights, uint96 limit) external;

    function removeMember(address account) external;

    /// @notice An admin gives an account that is no member rights within a limit, or changes them: a broker, or one agent
    /// that acts for several organisations. The account stays where it is at home, and may hold many grants.
    function grant(OrgId org, address account, uint16 rights, uint96 limit) external;

    /// @notice An admin takes a grant back, or its holder gives it back.
    function revoke(OrgId org, address account) external;

    /// @notice A member or grantee moves its rights, limit and what was counted against it to a new key; an admin may do
    /// so for it. What the old key consented to is counted against the new one from then on, for as many as eight
    /// moves; the old key itself may do nothing more. The payout address stays.
    function rotate(OrgId org, address account, address replacement) external;

    /// @notice Through the council's time lock: like `rotate`, for an organisation whose admin lost its key. Whoever still
    /// has the key can rotate meanwhile, and the recovery then fails.
    function recover(OrgId org, address lost, address replacement) external;

    /// @notice Any account may leave, so that nobody can be held in an organisation against its will.
    function leave() external;

    function setPayout(address payout) external;

    function setEncryptionKey(bytes32 key) external;

    function setGateway(string calldata url, bytes32 keyHash) external;

    /// @notice An admin of the organisation, or the council, lists one of its nodes, or changes its endpoint.
    /// Whoever reads this list lets in those whose organisation has a role; without one a node stays listed.
    /// @param signature The node key's own consent, EIP-191 over
    /// `keccak256(abi.encode("ocx node", handle, endpoint))`: nobody lists a key that is not theirs.
    function setNode(
        OrgId org,
        bytes32 keyX,
        bytes32 keyY,
        string calldata endpoint,
        bytes calldata signature
    ) external;

    /// @notice An admin of its organisation, or the council, takes a node off the list.
    function removeNode(address node) external;

    /// @notice Counts an amount against the limit of a member or grantee, and against the budgets of the departments
    /// between `org` and its party. Reverts if the account is neither, or if any of them would be passed.
    /// @return party Whose balance it is.
    function charge(address account, OrgId org, uint256 amount) external returns (OrgId party);

    /// @notice Takes back what was counted, when money returns unspent. Never reverts for an account that left.
    /// @return party Whose balance it is.
    function restore(address account, OrgId org, uint256 amount) external returns (OrgId party);

    /// @notice Whether `charge` would go through.
    /// @return can It would.
    /// @return party Whose balance it would be; nobody's if it would not.
    function canCharge(address account, OrgId org, uint256 amount)
        external
        view
        returns (bool can, OrgId party);

    /// @notice How many organisations there are; ids run from 1.
    function count() external view returns (uint32);

    function organisation(OrgId org) external view returns (Organisation memory);

    /// @notice What the account is in the organisation where it is at home.
    function member(address account) external view returns (Member memory);

    /// @notice What the account is in this organisation, as its member or by its grant; all zero if nothing.
    function memberOf(OrgId org, address account) external view returns (Member memory);

    /// @notice The key that an account's rights in an organisation moved to in the end; itself if they did not move.
    function currentOf(OrgId org, address account) external view returns (address);

    function placeOf(OrgId org) external view returns (Place memory);

    /// @notice The organisation whose balance this one spends: itself, unless it is a department. Never reverts.
    function partyOf(OrgId org) external view returns (OrgId);

    /// @notice Whether `org` is `ancestor`, or stands anywhere below it.
    function isWithin(OrgId org, OrgId ancestor) external view returns (bool);

    /// @notice The organisation whose handle this is, 0 if none.
    function byHandle(bytes32 handle) external view returns (OrgId);

    function payoutOf(OrgId org) external view returns (address);

    /// @notice The account's organisation; reverts unless the account has the right in it.
    function requireRight(address account, uint16 right) external view returns (OrgId);

    /// @notice Reverts unless the account has the right in this organisation, as its member or by its grant.
    function requireRightFor(OrgId org, address account, uint16 right) external view;

    /// @notice The organisation an account begins something for: the one named, in which it must have the right as a
    /// member or by a grant; where 0 is named, the one where it is at home.
    function actingFor(OrgId org, address account, uint16 right) external view returns (OrgId);

    /// @notice Reverts unless the organisation and all above it have the role and none of them is suspended.
    function requireActive(OrgId org, uint8 role) external view;

    /// @notice Whether two organisations count as one party: the same one with its departments, or of one group.
    function affiliated(OrgId a, OrgId b) external view returns (bool);

    /// @notice What tells affiliated organisations apart from others: the group the council gave their party, or for a
    /// party with departments and no group a number above all groups. 0 stands alone.
    function groupOf(OrgId org) external view returns (uint32);

    /// @notice How many nodes are listed.
    function nodeCount() external view returns (uint256);

    /// @notice The nodes from place `from` on, at most `most` of them. Places change when a node is removed, so
    /// read all pages at one block.
    function nodes(uint256 from, uint256 most) external view returns (Node[] memory);
}

/// @notice Roles of organisations, as bits.
library Roles {
    uint8 internal constant SELLER = 1;
    uint8 internal constant BUYER = 2;
    uint8 internal constant WITNESS = 4;
    uint8 internal constant AUDITOR = 8;
    uint8 internal constant OPERATOR = 16;
}

/// @notice Rights of member accounts, as bits. An operator key is one with OFFER, SIGN, DELIVER and RELEASE alone.
library MemberRights {
    uint16 internal constant ADMIN = 1;
    uint16 internal constant BUY = 2;
    uint16 internal constant OFFER = 4;
    uint16 internal constant SIGN = 8;
    uint16 internal constant DELIVER = 16;
    uint16 internal constant RELEASE = 32;
    uint16 internal constant ALL = 63;
}
