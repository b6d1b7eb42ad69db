// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {TreeBase} from "./TreeBase.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, OfferId, OrgId, ResourceId} from "../../../contracts/interfaces/Types.sol";

abstract contract KeysTest is TreeBase {
    address internal fresh = makeAddr("fresh");

    function setUp() public virtual override {
        super.setUp();
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, 100);
    }
}

contract MembersRotateTest is KeysTest {
    function test_WhenRotated_RightsLimitAndCountGoAlong() external {
        _lock(buyerOrg, clerk, 60);
        vm.expectEmit(address(members));
        emit IMembers.MemberRemoved(buyerOrg, clerk);
        vm.expectEmit(address(members));
        emit IMembers.MemberSet(buyerOrg, fresh, MemberRights.BUY, 100);
        vm.expectEmit(address(members));
        emit IMembers.KeyMoved(buyerOrg, clerk, fresh);
        _rotate(clerk, buyerOrg, clerk, fresh);

        IMembers.Member memory m = members.member(fresh);
        assertTrue(m.org == buyerOrg);
        assertEq(m.rights, MemberRights.BUY);
        assertEq(m.limit, 100);
        assertEq(m.spent, 60);
        assertTrue(members.member(clerk).org == NOBODY);
        assertEq(members.currentOf(buyerOrg, clerk), fresh);
        _notMember(clerk);
        members.requireRight(clerk, 0);
    }

    /// @dev What the old key consented to goes on, counted against the new one: offers and bids need no second key.
    function test_WhenRotated_ConsentsOfTheOldKeyAreCountedAgainstTheNew() external {
        _lock(buyerOrg, clerk, 60);
        _rotate(clerk, buyerOrg, clerk, fresh);
        assertTrue(escrow.canLock(buyerOrg, clerk, 40));
        assertFalse(escrow.canLock(buyerOrg, clerk, 41));
        _lock(buyerOrg, clerk, 40);
        assertEq(members.member(fresh).spent, 100);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_OverLimit.selector, fresh, 100, 101));
        _lock(buyerOrg, fresh, 1);
        _unlock(buyerOrg, clerk, 70);
        assertEq(members.member(fresh).spent, 30);
    }

    function test_WhenAdminMovesALostKey_GoesAlong() external {
        _rotate(buyer, buyerOrg, clerk, fresh);
        members.requireRightFor(buyerOrg, fresh, MemberRights.BUY);
    }

    /// @dev A department that lost its only admin needs no council: its party helps itself.
    function test_WhenAdminAboveInTheParty_MovesADepartmentsAdmin() external {
        _rotate(rector, lab, head, fresh);
        assertTrue(members.requireRight(fresh, MemberRights.ADMIN) == lab);
    }

    function test_WhenTheLastAdminRotates_OneIsLeft() external {
        _rotate(north, northOrg, north, fresh);
        members.requireRightFor(northOrg, fresh, MemberRights.ALL);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_LastAdmin.selector, northOrg));
        vm.prank(fresh);
        members.leave();
        assertEq(members.payoutOf(northOrg), north, "the address that is paid stays");
    }

    function test_WhenAGrantRotates_HomesStay() external {
        _grant(north, northOrg, rival, MemberRights.BUY, 50);
        _lock(northOrg, rival, 20);
        vm.expectEmit(address(members));
        emit IMembers.GrantRemoved(northOrg, rival);
        vm.expectEmit(address(members));
        emit IMembers.GrantSet(northOrg, south, MemberRights.BUY, 50);
        _rotate(rival, northOrg, rival, south);
        assertEq(members.memberOf(northOrg, south).spent, 20);
        assertTrue(members.member(rival).org == rivalOrg);
        assertTrue(members.member(south).org == southOrg);
        assertTrue(members.memberOf(northOrg, rival).org == NOBODY);
    }

    /// @dev Whoever stole a key cannot hide it behind another: what is said of the old key holds for the new.
    function test_WhenAThiefRotates_RemovingTheOldKeyRemovesTheNew() external {
        _rotate(clerk, buyerOrg, clerk, stranger);
        _rotate(buyer, buyerOrg, stranger, fresh);
        vm.expectEmit(address(members));
        emit IMembers.MemberRemoved(buyerOrg, fresh);
        vm.prank(buyer);
        members.removeMember(clerk);
        assertTrue(members.member(fresh).org == NOBODY);
        _notMember(clerk);
        _lock(buyerOrg, clerk, 1);
    }

    /// @dev Nor may it lead round and round whoever follows it: a key moves itself once.
    function test_WhenAThiefRotatesOn_IsRefused() external {
        _rotate(clerk, buyerOrg, clerk, stranger);
        _notAdminOf(buyerOrg, stranger);
        _rotate(stranger, buyerOrg, stranger, fresh);
    }

    /// @dev Nor is the new key missed by who says something of the old one.
    function test_WhenAThiefRotates_TheOldKeyIsNotChangedBesideTheNew() external {
        _rotate(clerk, buyerOrg, clerk, stranger);
        bytes memory moved =
            abi.encodeWithSelector(IMembers.Members_Moved.selector, buyerOrg, clerk, stranger);
        vm.startPrank(buyer);
        vm.expectRevert(moved);
        members.setMember(clerk, 0, 0);
        vm.expectRevert(moved);
        members.grant(buyerOrg, clerk, 0, 0);
        vm.stopPrank();
    }

    function test_WhenAThiefRotatesAGrant_RevokingTheOldKeyRevokesTheNew() external {
        _grant(north, northOrg, rival, MemberRights.BUY, 50);
        _rotate(rival, northOrg, rival, stranger);
        vm.prank(north);
        members.revoke(northOrg, rival);
        assertTrue(members.memberOf(northOrg, stranger).org == NOBODY);
    }

    /// @dev There and back again is no circle.
    function test_WhenRotatedBack_IsItselfAgain() external {
        _rotate(clerk, buyerOrg, clerk, fresh);
        _rotate(buyer, buyerOrg, fresh, clerk);
        assertEq(members.currentOf(buyerOrg, clerk), clerk);
        assertEq(members.currentOf(buyerOrg, fresh), clerk);
        _lock(buyerOrg, fresh, 10);
        assertEq(members.member(clerk).spent, 10);
    }

    function test_WhenTheOldKeyJoinsAnew_IsCountedForItself() external {
        _rotate(clerk, buyerOrg, clerk, fresh);
        vm.startPrank(buyer);
        members.removeMember(clerk);
        members.setMember(clerk, MemberRights.BUY, 5);
        vm.stopPrank();
        _lock(buyerOrg, clerk, 5);
        assertEq(members.member(clerk).spent, 5);
        assertEq(members.member(fresh).spent, 0);
    }

    function test_WhenTheNewKeyLeft_NobodyIsCharged() external {
        _lock(buyerOrg, clerk, 10);
        _rotate(clerk, buyerOrg, clerk, fresh);
        vm.prank(fresh);
        members.leave();
        _notMember(clerk);
        _lock(buyerOrg, clerk, 1);
        assertFalse(escrow.canLock(buyerOrg, clerk, 0));
        _unlock(buyerOrg, clerk, 10);
        assertEq(escrow.free(buyerOrg), FUNDED);
    }

    /// @dev Eight moves are followed, the ninth is not: a walk has an end, and money comes back all the same.
    function test_WhenMovedNineTimes_IsLost() external {
        _lock(buyerOrg, clerk, 10);
        address at = clerk;
        for (uint256 i = 1; i <= 9; ++i) {
            address next = makeAddr(vm.toString(i));
            _rotate(buyer, buyerOrg, at, next);
            at = next;
            assertEq(escrow.canLock(buyerOrg, clerk, 1), i <= 8);
        }
        _unlock(buyerOrg, clerk, 10);
        assertEq(escrow.free(buyerOrg), FUNDED);
        assertEq(members.member(at).spent, 10);
    }

    /// @dev An organisation that made a stranger its only admin cannot keep it: it hands the place on.
    function test_WhenMadeTheOnlyAdminUnasked_HandsThePlaceOn() external {
        vm.startPrank(north);
        members.setMember(stranger, MemberRights.ADMIN, 0);
        members.leave();
        vm.stopPrank();
        _rotate(stranger, northOrg, stranger, north);
        assertTrue(members.member(stranger).org == NOBODY);
    }

    function test_RevertWhen_TheNewKeyIsTaken() external {
        _taken(rival, rivalOrg);
        _rotate(clerk, buyerOrg, clerk, rival);
        _taken(buyer, buyerOrg);
        _rotate(clerk, buyerOrg, clerk, buyer);
        _taken(clerk, buyerOrg);
        _rotate(clerk, buyerOrg, clerk, clerk);
        _grant(buyer, buyerOrg, stranger, MemberRights.BUY, 5);
        _taken(stranger, buyerOrg);
        _rotate(clerk, buyerOrg, clerk, stranger);
        _taken(buyer, buyerOrg);
        _rotate(stranger, buyerOrg, stranger, buyer);
    }

    function test_RevertWhen_Zero() external {
        vm.expectRevert(IMembers.Members_ZeroAddress.selector);
        _rotate(clerk, buyerOrg, clerk, address(0));
    }

    function test_RevertWhen_NotMember() external {
        _notMember(stranger);
        _rotate(stranger, buyerOrg, stranger, fresh);
        _notMember(stranger);
        _rotate(stranger, NOBODY, stranger, fresh);
        _notMember(stranger);
        _rotate(buyer, buyerOrg, stranger, fresh);
    }

    function test_RevertWhen_NeitherItNorAdmin() external {
        address[4] memory callers = [stranger, rival, council, address(timelock)];
        for (uint256 i; i < 4; ++i) {
            _notAdminOf(buyerOrg, callers[i]);
            _rotate(callers[i], buyerOrg, clerk, fresh);
        }
        _notAdminOf(spin, rector);
        _rotate(rector, spin, founder, fresh);
    }
}

/// @dev The whole way: an offer that a lost operator key published is sold, and its bond returns.
contract RotateLeaseTest is KeysTest {
    function test_WhenTheSellersKeyMoved_ItsOfferIsSoldAndItsDepositReturns() external {
        vm.prank(north);
        members.setMember(stranger, MemberRights.ALL & ~MemberRights.ADMIN, 100_000_000);
        ResourceId machine = _register(stranger, 1);
        OfferId offer = _offer(stranger, _list(machine), _window(1, 8), RATE);
        _rotate(north, northOrg, stranger, fresh);
        uint256 before = members.member(fresh).spent;
        assertGt(before, 0, "the deposit of the offer");

        vm.prank(buyer);
        (, LeaseId lease) = book.buyNow(HOME, offer, _list(machine), _window(1, 3));
        assertGt(members.member(fresh).spent, before, "and the bond of the lease");
        vm.prank(buyer);
        leases.cancel(lease);
        vm.prank(fresh);
        book.cancel(offer);
        assertEq(members.member(fresh).spent, 0);
    }
}

contract MembersRecoverTest is KeysTest {
    function _schedule(OrgId org, address lost, address replacement) private returns (bytes memory data) {
        data = abi.encodeCall(IMembers.recover, (org, lost, replacement));
        vm.prank(council);
        timelock.schedule(address(members), 0, data, 0, 0, 1 days);
    }

    function _execute(bytes memory data) private {
        vm.prank(council);
        timelock.execute(address(members), 0, data, 0, 0);
    }

    function test_WhenTheDelayIsOver_TheNewKeyIsAdmin() external {
        bytes memory data = _schedule(northOrg, north, fresh);
        vm.warp(block.timestamp + 1 days);
        vm.expectEmit(address(members));
        emit IMembers.KeyMoved(northOrg, north, fresh);
        vm.expectEmit(address(members));
        emit IMembers.KeyRecovered(northOrg, north, fresh);
        _execute(data);
        vm.startPrank(fresh);
        members.setPayout(fresh);
        escrow.withdraw(FUNDED);
        vm.stopPrank();
        assertEq(credits.balanceOf(fresh), FUNDED);
        _notMember(north);
        members.requireRight(north, 0);
    }

    function test_RevertWhen_TheDelayIsNotOver() external {
        bytes memory data = _schedule(northOrg, north, fresh);
        vm.warp(block.timestamp + 1 days - 1);
        vm.expectRevert();
        _execute(data);
        members.requireRightFor(northOrg, north, MemberRights.ALL);
    }

    /// @dev Whoever still has the key is not at the council's mercy: it moves to another, and takes its money out.
    function test_RevertWhen_TheKeyWasNotLost() external {
        bytes memory data = _schedule(northOrg, north, fresh);
        _rotate(north, northOrg, north, stranger);
        vm.warp(block.timestamp + 1 days);
        _notMember(north);
        _execute(data);
        members.requireRightFor(northOrg, stranger, MemberRights.ALL);
    }

    function test_WhenCancelledByTheCouncil_NothingHappens() external {
        bytes memory data = _schedule(northOrg, north, fresh);
        bytes32 id = timelock.hashOperation(address(members), 0, data, 0, 0);
        vm.prank(council);
        timelock.cancel(id);
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert();
        _execute(data);
    }

    function test_RevertWhen_NotTheTimelock() external {
        address[4] memory callers = [council, north, rector, stranger];
        for (uint256 i; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotTimelock.selector, callers[i]));
            vm.prank(callers[i]);
            members.recover(northOrg, north, fresh);
        }
    }

    function test_RevertWhen_NobodyHadTheKey() external {
        _notMember(stranger);
        vm.prank(address(timelock));
        members.recover(northOrg, stranger, fresh);
    }
}
