// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";

import {Exchange} from "./Exchange.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IMembers, MemberRights, Roles} from "../../contracts/interfaces/IMembers.sol";
import {OrgId} from "../../contracts/interfaces/Types.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

abstract contract MembersTest is Exchange {
    uint96 internal constant NO_LIMIT = type(uint96).max;
    OrgId internal constant NOBODY = OrgId.wrap(0);
    OrgId internal constant UNKNOWN = OrgId.wrap(99);
    address internal clerk = makeAddr("clerk");
    address internal stranger = makeAddr("stranger");

    function _setMember(address admin, address account, uint16 rights, uint96 limit) internal {
        vm.prank(admin);
        members.setMember(account, rights, limit);
    }

    function _canCharge(address account, OrgId org, uint256 amount) internal view returns (bool can) {
        (can,) = members.canCharge(account, org, amount);
    }

    function _notCouncil(address caller) internal {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, caller));
        vm.prank(caller);
    }

    function _unknown(OrgId org) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_UnknownOrganisation.selector, org));
    }

    function _notMember(address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, account));
    }

    function _noRight(address account, uint16 right) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, account, right));
    }

    /// @dev The next call comes first from a clerk with every right but ADMIN, then from a stranger; both fail.
    function _adminOnly(bytes memory data) internal {
        _setMember(north, clerk, MemberRights.ALL & ~MemberRights.ADMIN, 0);
        _refused(
            clerk, data, abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.ADMIN)
        );
        _refused(stranger, data, abi.encodeWithSelector(IMembers.Members_NotMember.selector, stranger));
    }

    function _refused(address caller, bytes memory data, bytes memory reason) internal {
        vm.prank(caller);
        (bool ok, bytes memory answer) = address(members).call(data);
        assertFalse(ok);
        assertEq(answer, reason);
    }
}

contract MembersAdmitTest is MembersTest {
    function test_WhenAdmitted_AdminMayEverything() external {
        OrgId next = OrgId.wrap(members.count() + 1);
        vm.expectEmit(address(members));
        emit IMembers.OrganisationAdmitted(next, "east", Roles.SELLER | Roles.BUYER, 7, clerk);
        vm.expectEmit(address(members));
        emit IMembers.MemberSet(next, clerk, MemberRights.ALL, NO_LIMIT);
        OrgId org = _admit("east", clerk, Roles.SELLER | Roles.BUYER, 7);

        assertTrue(org == next);
        assertTrue(members.byHandle("east") == org);
        assertEq(members.groupOf(org), 7);
        assertEq(members.payoutOf(org), clerk);
        IMembers.Organisation memory o = members.organisation(org);
        assertEq(o.handle, "east");
        assertEq(o.roles, Roles.SELLER | Roles.BUYER);
        assertFalse(o.suspended);
        IMembers.Member memory m = members.member(clerk);
        assertTrue(m.org == org);
        assertEq(m.rights, MemberRights.ALL);
        assertEq(m.limit, NO_LIMIT);
    }

    function test_RevertWhen_NotCouncil() external {
        _notCouncil(north);
        members.admit("east", clerk, Roles.SELLER, 0);
    }

    function test_RevertWhen_EmptyHandle() external {
        vm.expectRevert(IMembers.Members_EmptyHandle.selector);
        vm.prank(council);
        members.admit("", clerk, Roles.SELLER, 0);
    }

    function test_RevertWhen_HandleTaken() external {
        vm.expectRevert(
            abi.encodeWithSelector(IMembers.Members_HandleTaken.selector, bytes32("north"), northOrg)
        );
        vm.prank(council);
        members.admit("north", clerk, Roles.SELLER, 0);
    }

    function test_RevertWhen_AdminIsOfAnotherOrganisation() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_AccountTaken.selector, north, northOrg));
        vm.prank(council);
        members.admit("east", north, Roles.SELLER, 0);
    }

    function test_RevertWhen_AdminIsZero() external {
        vm.expectRevert(IMembers.Members_ZeroAddress.selector);
        vm.prank(council);
        members.admit("east", address(0), Roles.SELLER, 0);
    }
}

contract MembersSetRolesTest is MembersTest {
    function test_WhenSet_TheRolesCount() external {
        vm.expectEmit(address(members));
        emit IMembers.RolesChanged(northOrg, Roles.BUYER);
        vm.prank(council);
        members.setRoles(northOrg, Roles.BUYER);
        members.requireActive(northOrg, Roles.BUYER);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, northOrg, Roles.SELLER));
        members.requireActive(northOrg, Roles.SELLER);
    }

    function test_RevertWhen_NotCouncil() external {
        _notCouncil(north);
        members.setRoles(northOrg, 31);
    }

    function test_RevertWhen_Unknown() external {
        _unknown(UNKNOWN);
        vm.prank(council);
        members.setRoles(UNKNOWN, 1);
    }
}

contract MembersSetGroupTest is MembersTest {
    function test_WhenSet_OneGroupIsOneParty() external {
        vm.startPrank(council);
        vm.expectEmit(address(members));
        emit IMembers.GroupChanged(northOrg, 5);
        members.setGroup(northOrg, 5);
        assertFalse(members.affiliated(northOrg, southOrg));
        members.setGroup(southOrg, 5);
        vm.stopPrank();
        assertEq(members.groupOf(southOrg), 5);
        assertTrue(members.affiliated(northOrg, southOrg));
        assertTrue(members.affiliated(southOrg, northOrg));
        assertFalse(members.affiliated(northOrg, buyerOrg));
    }

    function test_RevertWhen_NotCouncil() external {
        _notCouncil(north);
        members.setGroup(northOrg, 1);
    }

    function test_RevertWhen_Unknown() external {
        _unknown(NOBODY);
        vm.prank(council);
        members.setGroup(NOBODY, 1);
    }
}

contract MembersSetSuspendedTest is MembersTest {
    function test_WhenSuspended_IsNotActiveUntilLifted() external {
        vm.startPrank(council);
        vm.expectEmit(address(members));
        emit IMembers.SuspensionChanged(northOrg, true);
        members.setSuspended(northOrg, true);
        assertTrue(members.organisation(northOrg).suspended);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        members.requireActive(northOrg, Roles.SELLER);
        members.setSuspended(northOrg, false);
        vm.stopPrank();
        members.requireActive(northOrg, Roles.SELLER);
    }

    function test_RevertWhen_NotCouncil() external {
        _notCouncil(address(timelock));
        members.setSuspended(northOrg, true);
    }

    function test_RevertWhen_Unknown() external {
        _unknown(UNKNOWN);
        vm.prank(council);
        members.setSuspended(UNKNOWN, true);
    }
}

contract MembersSetMemberTest is MembersTest {
    function test_WhenNew_JoinsTheAdminsOrganisation() external {
        vm.expectEmit(address(members));
        emit IMembers.MemberSet(northOrg, clerk, MemberRights.OFFER, 50);
        _setMember(north, clerk, MemberRights.OFFER, 50);
        IMembers.Member memory m = members.member(clerk);
        assertTrue(m.org == northOrg);
        assertEq(m.rights, MemberRights.OFFER);
        assertEq(m.limit, 50);
        assertEq(m.spent, 0);
    }

    function test_WhenChanged_WhatWasSpentStays() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.prank(address(escrow));
        members.charge(clerk, buyerOrg, 40);
        _setMember(buyer, clerk, MemberRights.BUY, 30);
        assertEq(members.member(clerk).spent, 40);
        assertEq(members.member(clerk).limit, 30);
        assertFalse(_canCharge(clerk, buyerOrg, 1));
    }

    function test_WhenAnotherAdminIsThere_AdminMayStepDown() external {
        _setMember(north, clerk, MemberRights.ADMIN, 0);
        _setMember(north, north, 0, 0);
        assertEq(members.member(north).rights, 0);
    }

    function test_RevertWhen_LastAdminStepsDown() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_LastAdmin.selector, northOrg));
        _setMember(north, north, MemberRights.OFFER, 0);
    }

    function test_RevertWhen_AccountIsOfAnother() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_AccountTaken.selector, south, southOrg));
        _setMember(north, south, MemberRights.OFFER, 0);
    }

    function test_RevertWhen_Zero() external {
        vm.expectRevert(IMembers.Members_ZeroAddress.selector);
        _setMember(north, address(0), MemberRights.OFFER, 0);
    }

    function test_RevertWhen_NotAdmin() external {
        _adminOnly(abi.encodeCall(IMembers.setMember, (makeAddr("other"), 1, 0)));
    }
}

contract MembersRemoveMemberTest is MembersTest {
    function test_WhenRemoved_IsNobodyAndMayJoinElsewhere() external {
        _setMember(north, clerk, MemberRights.ALL, 50);
        vm.expectEmit(address(members));
        emit IMembers.MemberRemoved(northOrg, clerk);
        vm.prank(north);
        members.removeMember(clerk);
        assertTrue(members.member(clerk).org == NOBODY);
        _setMember(south, clerk, MemberRights.OFFER, 0);
        assertTrue(members.member(clerk).org == southOrg);
    }

    function test_WhenAnotherAdminIsThere_AnAdminCanBeRemoved() external {
        _setMember(north, clerk, MemberRights.ADMIN, 0);
        vm.prank(clerk);
        members.removeMember(north);
        assertTrue(members.member(north).org == NOBODY);
    }

    function test_RevertWhen_OfAnotherOrganisation() external {
        _notMember(south);
        vm.prank(north);
        members.removeMember(south);
    }

    function test_RevertWhen_Nobody() external {
        _notMember(stranger);
        vm.prank(north);
        members.removeMember(stranger);
    }

    function test_RevertWhen_LastAdmin() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_LastAdmin.selector, northOrg));
        vm.prank(north);
        members.removeMember(north);
    }

    function test_RevertWhen_NotAdmin() external {
        _adminOnly(abi.encodeCall(IMembers.removeMember, (north)));
    }
}

contract MembersLeaveTest is MembersTest {
    function test_WhenNotLastAdmin_Leaves() external {
        _setMember(north, clerk, MemberRights.ALL, 0);
        vm.expectEmit(address(members));
        emit IMembers.MemberRemoved(northOrg, clerk);
        vm.prank(clerk);
        members.leave();
        assertTrue(members.member(clerk).org == NOBODY);
    }

    /// @dev Whoever an organisation claimed without asking gets out, even with no right at all.
    function test_WhenClaimedWithoutConsent_Leaves() external {
        _setMember(north, stranger, 0, 0);
        vm.prank(stranger);
        members.leave();
        _admit("east", stranger, Roles.SELLER, 0);
    }

    function test_RevertWhen_LastAdmin() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_LastAdmin.selector, northOrg));
        vm.prank(north);
        members.leave();
    }

    function test_RevertWhen_Nobody() external {
        _notMember(stranger);
        vm.prank(stranger);
        members.leave();
    }
}

contract MembersSetPayoutTest is MembersTest {
    function test_WhenSet_IsWhereMoneyGoes() external {
        vm.expectEmit(address(members));
        emit IMembers.PayoutChanged(northOrg, stranger);
        vm.prank(north);
        members.setPayout(stranger);
        assertEq(members.payoutOf(northOrg), stranger);
    }

    function test_RevertWhen_Zero() external {
        vm.expectRevert(IMembers.Members_ZeroAddress.selector);
        vm.prank(north);
        members.setPayout(address(0));
    }

    function test_RevertWhen_NotAdmin() external {
        _adminOnly(abi.encodeCall(IMembers.setPayout, (clerk)));
    }

    /// @dev A thief of an operator key, and the council, cannot change where money goes.
    function test_RevertWhen_Council() external {
        _notMember(council);
        vm.prank(council);
        members.setPayout(council);
    }
}

contract MembersSetEncryptionKeyTest is MembersTest {
    function test_WhenSet_IsKept() external {
        vm.expectEmit(address(members));
        emit IMembers.EncryptionKeyChanged(northOrg, "key");
        vm.prank(north);
        members.setEncryptionKey("key");
        assertEq(members.organisation(northOrg).encryptionKey, "key");
    }

    function test_RevertWhen_NotAdmin() external {
        _adminOnly(abi.encodeCall(IMembers.setEncryptionKey, ("key")));
    }
}

contract MembersSetGatewayTest is MembersTest {
    function test_WhenSet_IsKept() external {
        vm.expectEmit(address(members));
        emit IMembers.GatewayChanged(northOrg, "https://gateway.example", "pin");
        vm.prank(north);
        members.setGateway("https://gateway.example", "pin");
        IMembers.Organisation memory o = members.organisation(northOrg);
        assertEq(o.gatewayUrl, "https://gateway.example");
        assertEq(o.gatewayKeyHash, "pin");
    }

    function test_RevertWhen_NotAdmin() external {
        _adminOnly(abi.encodeCall(IMembers.setGateway, ("", 0)));
    }
}

abstract contract MembersNodes is MembersTest {
    string internal constant ENDPOINT = "192.0.2.7:30303";
    Vm.Wallet internal key;

    function setUp() public override {
        super.setUp();
        key = vm.createWallet("node key");
    }

    function _consent(Vm.Wallet memory who, bytes32 handle, string memory endpoint)
        internal
        returns (bytes memory)
    {
        bytes32 agreed = keccak256(abi.encode("ocx node", handle, endpoint));
        bytes32 digest = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", agreed));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(who, digest);
        return abi.encodePacked(r, s, v);
    }

    function _set(address caller, OrgId org, Vm.Wallet memory who, string memory endpoint) internal {
        bytes memory signature = _consent(who, members.organisation(org).handle, endpoint);
        vm.prank(caller);
        members.setNode(org, bytes32(who.publicKeyX), bytes32(who.publicKeyY), endpoint, signature);
    }

    /// @dev The next call is `setNode` of `key` for `org` with this signature, and fails.
    function _noConsent(address caller, OrgId org, string memory endpoint, bytes memory signature) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoConsent.selector, org, key.addr));
        vm.prank(caller);
        members.setNode(org, bytes32(key.publicKeyX), bytes32(key.publicKeyY), endpoint, signature);
    }

    function _wallet(uint256 number) internal returns (Vm.Wallet memory) {
        return vm.createWallet(uint256(keccak256(abi.encode("node", number))));
    }

    function _notAdmin(OrgId org, address caller) internal {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotNodesAdmin.selector, org, caller));
    }
}

contract MembersSetNodeTest is MembersNodes {
    function test_WhenAdminSets_IsListed() external {
        vm.expectEmit(address(members));
        emit IMembers.NodeSet(northOrg, key.addr, bytes32(key.publicKeyX), bytes32(key.publicKeyY), ENDPOINT);
        _set(north, northOrg, key, ENDPOINT);
        IMembers.Node memory n = members.nodes(0, 10)[0];
        assertTrue(n.org == northOrg);
        assertEq(n.keyX, bytes32(key.publicKeyX));
        assertEq(n.keyY, bytes32(key.publicKeyY));
        assertEq(n.endpoint, ENDPOINT);
        assertEq(members.nodeCount(), 1);
    }

    function test_WhenCouncilSets_IsListed() external {
        _set(council, northOrg, key, ENDPOINT);
        assertEq(members.nodeCount(), 1);
    }

    function test_WhenSetAgain_OnlyTheEndpointChanges() external {
        _set(north, northOrg, key, ENDPOINT);
        _set(north, northOrg, key, "node.example:30304");
        assertEq(members.nodeCount(), 1);
        assertEq(members.nodes(0, 10)[0].endpoint, "node.example:30304");
    }

    /// @dev Out is who has no role; whoever reads the list sees that, and nothing has to be taken off it.
    function test_WhenTheOrganisationLosesItsRoles_NodesStayListed() external {
        _set(north, northOrg, key, ENDPOINT);
        vm.prank(council);
        members.setRoles(northOrg, 0);
        IMembers.Node memory n = members.nodes(0, 10)[0];
        assertTrue(n.org == northOrg);
        assertEq(members.organisation(n.org).roles, 0);
    }

    /// @dev Whoever sees a consent on its way cannot use it for an organisation of its own.
    function test_RevertWhen_ConsentWasForAnotherHandle() external {
        _noConsent(south, southOrg, ENDPOINT, _consent(key, "north", ENDPOINT));
    }

    function test_RevertWhen_ConsentWasForAnotherEndpoint() external {
        _noConsent(north, northOrg, "203.0.113.9:30303", _consent(key, "north", ENDPOINT));
    }

    function test_RevertWhen_SomebodyElseSigned() external {
        _noConsent(north, northOrg, ENDPOINT, _consent(_wallet(1), "north", ENDPOINT));
    }

    function test_RevertWhen_NobodySigned() external {
        _noConsent(north, northOrg, ENDPOINT, "");
        _noConsent(north, northOrg, ENDPOINT, new bytes(65));
    }

    /// @dev The mirrored signature, which says the same in other bytes, is refused.
    function test_RevertWhen_SignatureIsMirrored() external {
        bytes32 agreed = keccak256(abi.encode("ocx node", bytes32("north"), ENDPOINT));
        bytes32 digest = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", agreed));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        _noConsent(north, northOrg, ENDPOINT, abi.encodePacked(r, order - uint256(s), v == 27 ? 28 : 27));
    }

    function test_RevertWhen_ListedByAnotherOrganisation() external {
        _set(north, northOrg, key, ENDPOINT);
        bytes memory signature = _consent(key, "south", ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NodeTaken.selector, key.addr, northOrg));
        vm.prank(south);
        members.setNode(southOrg, bytes32(key.publicKeyX), bytes32(key.publicKeyY), ENDPOINT, signature);
    }

    function test_RevertWhen_Ninth() external {
        for (uint256 i = 0; i < 8; ++i) {
            _set(north, northOrg, _wallet(i), ENDPOINT);
        }
        bytes memory signature = _consent(key, "north", ENDPOINT);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_TooManyNodes.selector, northOrg));
        vm.prank(north);
        members.setNode(northOrg, bytes32(key.publicKeyX), bytes32(key.publicKeyY), ENDPOINT, signature);
        _set(north, northOrg, _wallet(3), "192.0.2.8:30303"); // one of the eight may move
        _set(south, southOrg, key, ENDPOINT); // and others have room
    }

    function test_RevertWhen_EndpointIsEmptyOrLong() external {
        _badEndpoint("");
        _badEndpoint(string(new bytes(129)));
        _set(north, northOrg, key, string(new bytes(128)));
    }

    function test_RevertWhen_AdminOfAnotherOrganisation() external {
        _refuses(south);
    }

    function test_RevertWhen_MemberWithoutTheRight() external {
        _setMember(north, clerk, MemberRights.ALL & ~MemberRights.ADMIN, 0);
        _refuses(clerk);
    }

    function test_RevertWhen_Stranger() external {
        _refuses(stranger);
    }

    function test_RevertWhen_OrganisationIsUnknown() external {
        _unknown(UNKNOWN);
        vm.prank(council);
        members.setNode(UNKNOWN, bytes32(key.publicKeyX), bytes32(key.publicKeyY), ENDPOINT, "");
    }

    function _refuses(address caller) private {
        bytes memory signature = _consent(key, "north", ENDPOINT);
        _notAdmin(northOrg, caller);
        vm.prank(caller);
        members.setNode(northOrg, bytes32(key.publicKeyX), bytes32(key.publicKeyY), ENDPOINT, signature);
    }

    function _badEndpoint(string memory endpoint) private {
        bytes memory signature = _consent(key, "north", endpoint);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_BadEndpoint.selector, bytes(endpoint).length));
        vm.prank(north);
        members.setNode(northOrg, bytes32(key.publicKeyX), bytes32(key.publicKeyY), endpoint, signature);
    }
}

contract MembersRemoveNodeTest is MembersNodes {
    function test_WhenAdminRemoves_MayBeListedElsewhere() external {
        _set(north, northOrg, key, ENDPOINT);
        vm.expectEmit(address(members));
        emit IMembers.NodeRemoved(northOrg, key.addr);
        vm.prank(north);
        members.removeNode(key.addr);
        assertEq(members.nodeCount(), 0);
        assertEq(members.nodes(0, 10).length, 0);
        _set(south, southOrg, key, ENDPOINT);
        assertTrue(members.nodes(0, 10)[0].org == southOrg);
    }

    function test_WhenCouncilRemoves_IsGone() external {
        _set(north, northOrg, key, ENDPOINT);
        vm.prank(council);
        members.removeNode(key.addr);
        assertEq(members.nodeCount(), 0);
    }

    function test_WhenRemoved_ItsPlaceIsFree() external {
        for (uint256 i = 0; i < 8; ++i) {
            _set(north, northOrg, _wallet(i), ENDPOINT);
        }
        vm.prank(north);
        members.removeNode(_wallet(2).addr);
        _set(north, northOrg, key, ENDPOINT);
        assertEq(members.nodeCount(), 8);
    }

    function test_RevertWhen_AdminOfAnotherOrganisation() external {
        _set(north, northOrg, key, ENDPOINT);
        _notAdmin(northOrg, south);
        vm.prank(south);
        members.removeNode(key.addr);
    }

    function test_RevertWhen_Unknown() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_UnknownNode.selector, key.addr));
        vm.prank(council);
        members.removeNode(key.addr);
    }

    /// @dev Whatever is removed in whatever order, the list is what is left, each once.
    function testFuzz_ListIsWhatIsLeft(uint8 gone, uint256 seed) external {
        gone = uint8(bound(gone, 0, 8));
        bool[8] memory left = [true, true, true, true, true, true, true, true];
        for (uint256 i = 0; i < 8; ++i) {
            _set(north, northOrg, _wallet(i), vm.toString(i));
        }
        for (uint256 i = 0; i < gone; ++i) {
            uint256 which = uint256(keccak256(abi.encode(seed, i))) % 8;
            while (!left[which]) which = (which + 1) % 8;
            left[which] = false;
            vm.prank(north);
            members.removeNode(_wallet(which).addr);
        }
        IMembers.Node[] memory listed = members.nodes(0, 100);
        assertEq(listed.length, 8 - gone);
        for (uint256 i = 0; i < listed.length; ++i) {
            uint256 which = vm.parseUint(listed[i].endpoint);
            assertTrue(left[which]);
            left[which] = false;
            assertEq(listed[i].keyX, bytes32(_wallet(which).publicKeyX));
        }
    }
}

contract MembersNodesTest is MembersNodes {
    function test_Pages() external {
        for (uint256 i = 0; i < 5; ++i) {
            _set(north, northOrg, _wallet(i), vm.toString(i));
        }
        assertEq(members.nodes(0, 2).length, 2);
        assertEq(members.nodes(2, 2)[1].endpoint, "3");
        assertEq(members.nodes(4, 2).length, 1);
        assertEq(members.nodes(4, type(uint256).max)[0].endpoint, "4");
        assertEq(members.nodes(5, 2).length, 0);
        assertEq(members.nodes(type(uint256).max, type(uint256).max).length, 0);
        assertEq(members.nodes(0, 0).length, 0);
    }
}

contract MembersChargeTest is MembersTest {
    function test_WhenWithinLimit_Counts() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.startPrank(address(escrow));
        members.charge(clerk, buyerOrg, 20);
        members.charge(clerk, buyerOrg, 30);
        vm.stopPrank();
        assertEq(members.member(clerk).spent, 50);
    }

    function test_WhenUnlimited_DoesNotCount() external {
        vm.prank(address(escrow));
        members.charge(buyer, buyerOrg, 1e18);
        assertEq(members.member(buyer).spent, 0);
    }

    function test_RevertWhen_OverLimit() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.startPrank(address(escrow));
        members.charge(clerk, buyerOrg, 20);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_OverLimit.selector, clerk, 50, 51));
        members.charge(clerk, buyerOrg, 31);
        vm.stopPrank();
    }

    function test_RevertWhen_OfAnotherOrganisation() external {
        _notMember(buyer);
        vm.prank(address(escrow));
        members.charge(buyer, rivalOrg, 1);
    }

    /// @dev Organisation 0, the fund, has no members, and an account without organisation is not one of them.
    function test_RevertWhen_FundByNobody() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_OverLimit.selector, stranger, 0, 1));
        vm.prank(address(escrow));
        members.charge(stranger, NOBODY, 1);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, buyer, Rights.MEMBERS_CHARGE)
        );
        vm.prank(buyer);
        members.charge(buyer, buyerOrg, 1);
    }
}

contract MembersRestoreTest is MembersTest {
    function test_WhenCharged_GivesBack() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.startPrank(address(escrow));
        members.charge(clerk, buyerOrg, 50);
        members.restore(clerk, buyerOrg, 20);
        vm.stopPrank();
        assertEq(members.member(clerk).spent, 30);
    }

    function test_WhenMoreThanSpent_StopsAtZero() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.startPrank(address(escrow));
        members.charge(clerk, buyerOrg, 10);
        members.restore(clerk, buyerOrg, type(uint256).max);
        vm.stopPrank();
        assertEq(members.member(clerk).spent, 0);
    }

    function test_WhenAccountLeft_DoesNothing() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.prank(address(escrow));
        members.charge(clerk, buyerOrg, 10);
        vm.prank(clerk);
        members.leave();
        _setMember(rival, clerk, MemberRights.BUY, 50);
        vm.startPrank(address(escrow));
        members.charge(clerk, rivalOrg, 5);
        members.restore(clerk, buyerOrg, 10);
        vm.stopPrank();
        assertEq(members.member(clerk).spent, 5, "another organisation's count");
    }

    /// @dev E7: what was charged under a right comes back after it was taken away.
    function test_WhenRightWasTakenAway_StillGivesBack() external {
        _setMember(buyer, clerk, MemberRights.BUY, 50);
        vm.prank(address(escrow));
        members.charge(clerk, buyerOrg, 50);
        vm.prank(address(timelock));
        directory.setRight(address(escrow), Rights.MEMBERS_CHARGE, false);
        vm.prank(address(escrow));
        members.restore(clerk, buyerOrg, 50);
        assertEq(members.member(clerk).spent, 0);
    }

    function test_RevertWhen_CallerNeverHadTheRight() external {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, buyer, Rights.MEMBERS_CHARGE)
        );
        vm.prank(buyer);
        members.restore(buyer, buyerOrg, 1);
    }
}

contract MembersLimitFuzzTest is MembersTest {
    /// @dev Against a plain model: what is spent is the sum of charges less restores, never above the limit.
    function testFuzz_WhenChargedAndRestored_AgreesWithTheModel(
        uint96 limit,
        uint96[16] calldata amounts,
        uint16 what
    ) external {
        limit = uint96(bound(limit, 0, type(uint96).max - 1));
        _setMember(buyer, clerk, MemberRights.BUY, limit);
        uint256 spent;
        vm.startPrank(address(escrow));
        for (uint256 i; i < amounts.length; ++i) {
            uint256 amount = i % 3 == 0 ? amounts[i] : bound(amounts[i], 0, limit / 3 + 1);
            if ((what >> i) & 1 == 1) {
                members.restore(clerk, buyerOrg, amount);
                spent = amount > spent ? 0 : spent - amount;
            } else if (spent + amount <= limit) {
                assertTrue(_canCharge(clerk, buyerOrg, amount));
                members.charge(clerk, buyerOrg, amount);
                spent += amount;
            } else {
                assertFalse(_canCharge(clerk, buyerOrg, amount));
                vm.expectRevert(
                    abi.encodeWithSelector(IMembers.Members_OverLimit.selector, clerk, limit, spent + amount)
                );
                members.charge(clerk, buyerOrg, amount);
            }
            assertEq(members.member(clerk).spent, spent);
        }
        vm.stopPrank();
    }
}

contract MembersViewsTest is MembersTest {
    function test_WhenUnlimited_CanChargeAnything() external view {
        assertTrue(_canCharge(buyer, buyerOrg, type(uint256).max));
        assertFalse(_canCharge(buyer, rivalOrg, 0), "not of this organisation");
    }

    function test_WhenAMember_RequireRightGivesTheOrganisation() external view {
        assertTrue(members.requireRight(north, MemberRights.SIGN) == northOrg);
    }

    function test_RevertWhen_NoSuchRight() external {
        _setMember(north, clerk, MemberRights.SIGN, 0);
        _noRight(clerk, MemberRights.DELIVER);
        members.requireRight(clerk, MemberRights.DELIVER);
    }

    function test_RevertWhen_OnlySomeOfTheRights() external {
        _setMember(north, clerk, MemberRights.SIGN, 0);
        uint16 both = MemberRights.SIGN | MemberRights.DELIVER;
        _noRight(clerk, both);
        members.requireRight(clerk, both);
    }

    function test_RevertWhen_RequireRightOfNobody() external {
        _notMember(stranger);
        members.requireRight(stranger, 0);
    }

    function test_RevertWhen_RequireActiveOfUnknown() external {
        _unknown(UNKNOWN);
        members.requireActive(UNKNOWN, 0);
    }

    function test_RevertWhen_OrganisationUnknown() external {
        _unknown(NOBODY);
        members.organisation(NOBODY);
    }

    function test_RevertWhen_PayoutOfUnknown() external {
        _unknown(UNKNOWN);
        members.payoutOf(UNKNOWN);
    }

    function test_Always_AnOrganisationIsAffiliatedWithItself() external view {
        assertTrue(members.affiliated(northOrg, northOrg));
        assertFalse(members.affiliated(northOrg, southOrg), "group 0 stands alone");
    }

    function test_WhenUnknownHandle_IsNobody() external view {
        assertTrue(members.byHandle("nowhere") == NOBODY);
        assertEq(members.count(), 4);
    }
}
