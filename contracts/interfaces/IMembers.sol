// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {OrgId} from "./Types.sol";

/// @notice Organisations, the roles the council gives them, the accounts that act for them within limits, and
/// the nodes of the chain they run.
///
/// Assumes: `Escrow` holds `Rights.MEMBERS_CHARGE` and nobody else does.
/// Does NOT keep names of people, and does NOT know money: a limit is a number that `Escrow` counts against.
/// Does NOT say who validates: that is the consensus's own, and its voters decide it.
interface IMembers {
    /// @param handle Short public name, unique, e.g. "north-uni".
    /// @param roles Bits of `ROLE_*`, set by the council.
    /// @param group Affiliation group; 0 stands alone. Organisations of one group count as one party.
    /// @param payout The only address that `Escrow` pays out to.
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
    event RolesChanged(OrgId indexed org, uint8 roles);
    event GroupChanged(OrgId indexed org, uint32 group);
    event SuspensionChanged(OrgId indexed org, bool suspended);
    event MemberSet(OrgId indexed org, address indexed account, uint16 rights, uint96 limit);
    event MemberRemoved(OrgId indexed org, address indexed account);
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
    /// @notice this account belongs to another organisation
    /// @dev Let it leave that one first, or use another account.
    error Members_AccountTaken(address account, OrgId org);
    /// @notice this account belongs to no organisation that could do this
    /// @dev Ask an admin of the organisation to add it ('ocx member set').
    error Members_NotMember(address account);
    /// @notice this account lacks the right for this (rights: 1 admin, 2 buy, 4 offer, 8 sign, 16 deliver, 32 release)
    /// @dev Ask an admin of the organisation for it ('ocx member set').
    error Members_NoRight(address account, uint16 right);
    /// @notice this organisation lacks the role for this (roles: 1 seller, 2 buyer, 4 witness, 8 auditor, 16 operator)
    /// @dev Ask the council for it ('ocx member set-roles').
    error Members_NoRole(OrgId org, uint8 role);
    /// @notice this organisation is suspended and places no new orders
    /// @dev What runs goes on; ask the council about the suspension.
    error Members_Suspended(OrgId org);
    /// @notice the last admin of an organisation stays
    /// @dev Make another account an admin first.
    error Members_LastAdmin(OrgId org);
    /// @notice this would pass the account's limit
    /// @dev Ask an admin of the organisation for a higher limit ('ocx member set --limit').
    error Members_OverLimit(address account, uint256 limit, uint256 wanted);
    /// @notice the zero address cannot be used here
    /// @dev Give a real address.
    error Members_ZeroAddress();
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

    function setRoles(OrgId org, uint8 roles) external;

    function setGroup(OrgId org, uint32 group) external;

    /// @notice Suspension blocks new orders only; no exit asks for it (rule E7).
    function setSuspended(OrgId org, bool suspended) external;

    /// @notice An admin gives an account of its organisation rights and a limit, or changes them.
    function setMember(address account, uint16 rights, uint96 limit) external;

    function removeMember(address account) external;

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

    /// @notice Counts an amount against a member's limit. Reverts if the account is not of `org` or would pass it.
    function charge(address account, OrgId org, uint256 amount) external;

    /// @notice Takes back what was counted, when money returns unspent. Never reverts for an account that left.
    function restore(address account, OrgId org, uint256 amount) external;

    /// @notice Whether `charge` would go through.
    function canCharge(address account, OrgId org, uint256 amount) external view returns (bool);

    /// @notice How many organisations there are; ids run from 1.
    function count() external view returns (uint32);

    function organisation(OrgId org) external view returns (Organisation memory);

    function member(address account) external view returns (Member memory);

    /// @notice The organisation whose handle this is, 0 if none.
    function byHandle(bytes32 handle) external view returns (OrgId);

    function payoutOf(OrgId org) external view returns (address);

    /// @notice The account's organisation; reverts unless the account has the right in it.
    function requireRight(address account, uint16 right) external view returns (OrgId);

    /// @notice Reverts unless the organisation has the role and is not suspended.
    function requireActive(OrgId org, uint8 role) external view;

    /// @notice Whether two organisations count as one party: the same one, or of one group.
    function affiliated(OrgId a, OrgId b) external view returns (bool);

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
