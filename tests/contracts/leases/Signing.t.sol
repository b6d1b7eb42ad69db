// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./LeaseBase.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, LeaseState, Policy} from "../../../contracts/interfaces/Types.sol";

/// @notice C4: under policy `both` the buyer signs first, and the provider's time starts then.
contract LeasesSignAsBuyerTest is LeaseBase {
    LeaseId private _id;

    function setUp() public override {
        super.setUp();
        _id = _lease(2, _window(2, 10), Policy.Both, false);
    }

    function test_WhenPolicyBoth_RestartsTheProvidersClock() external {
        uint256 opened = block.timestamp;
        vm.warp(opened + 899);
        vm.expectEmit(address(leases));
        emit ILeases.BuyerSigned(_id, buyer);
        vm.prank(buyer);
        leases.signAsBuyer(_id);
        assertEq(leases.lease(_id).buyerSignedAt, opened + 899);

        vm.warp(opened + 899 + 899);
        _assertState(_id, LeaseState.Awarded);
        _sign(_id);
        _assertState(_id, LeaseState.Signed);
    }

    function test_RevertWhen_PolicyIsProvider() external {
        LeaseId id = _plain();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NoBuyerSignature.selector, id));
        vm.prank(buyer);
        leases.signAsBuyer(id);
    }

    function test_RevertWhen_SignedAlready() external {
        vm.startPrank(buyer);
        leases.signAsBuyer(_id);
        vm.expectRevert(
            abi.encodeWithSelector(ILeases.Leases_AlreadySigned.selector, _id, uint40(block.timestamp))
        );
        leases.signAsBuyer(_id);
    }

    /// T2: the exact second is too late.
    function test_RevertWhen_AtTheDeadline() external {
        uint256 deadline = block.timestamp + 900;
        vm.warp(deadline);
        vm.expectRevert(_tooLate(_id, deadline));
        vm.prank(buyer);
        leases.signAsBuyer(_id);
    }

    function test_RevertWhen_Cancelled() external {
        vm.startPrank(buyer);
        leases.cancel(_id);
        vm.expectRevert(_wrongState(_id, LeaseState.Cancelled));
        leases.signAsBuyer(_id);
    }

    function test_RevertWhen_NotTheBuyer() external {
        vm.expectRevert(_notOf(buyerOrg, rival));
        vm.prank(rival);
        leases.signAsBuyer(_id);
        vm.expectRevert(_notOf(buyerOrg, north));
        vm.prank(north);
        leases.signAsBuyer(_id);
    }

    function test_RevertWhen_MemberMayNotBuy() external {
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.SIGN, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.BUY));
        vm.prank(clerk);
        leases.signAsBuyer(_id);
    }

    function test_RevertWhen_Stranger() external {
        address stranger = makeAddr("stranger");
        vm.expectRevert(_notOf(buyerOrg, stranger));
        vm.prank(stranger);
        leases.signAsBuyer(_id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        vm.prank(buyer);
        leases.signAsBuyer(none);
    }
}

/// @notice C4, C5: the provider's signature takes the provisioning fence.
contract LeasesSignTest is LeaseBase {
    function test_WhenInTime_TakesTheFence() external {
        LeaseId id = _plain();
        uint256 opened = block.timestamp;
        vm.warp(opened + 899);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseSigned(id, keeper, uint40(opened + 899 + 900));
        _sign(id);

        ILeases.Lease memory l = leases.lease(id);
        assertEq(l.signedAt, opened + 899);
        assertEq(l.fenceHolder, keeper);
        assertEq(l.fenceUntil, opened + 899 + 900);
        _assertState(id, LeaseState.Signed);
    }

    /// T2
    function test_RevertWhen_AtTheDeadline() external {
        LeaseId id = _plain();
        uint256 deadline = block.timestamp + 900;
        vm.warp(deadline);
        vm.expectRevert(_tooLate(id, deadline));
        _sign(id);
        _assertState(id, LeaseState.Defaulted);
    }

    function test_RevertWhen_SignedAlready() external {
        LeaseId id = _signed();
        vm.expectRevert(
            abi.encodeWithSelector(ILeases.Leases_AlreadySigned.selector, id, uint40(block.timestamp))
        );
        vm.prank(standby);
        leases.sign(id);
    }

    function test_RevertWhen_BuyerHasNotSigned() external {
        LeaseId id = _lease(1, _window(2, 10), Policy.Both, false);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_BuyerFirst.selector, id));
        _sign(id);
    }

    function test_RevertWhen_Cancelled() external {
        LeaseId id = _plain();
        vm.prank(buyer);
        leases.cancel(id);
        vm.expectRevert(_wrongState(id, LeaseState.Cancelled));
        _sign(id);
    }

    function test_RevertWhen_ExpiredAlready() external {
        LeaseId id = _plain();
        vm.warp(block.timestamp + 900);
        leases.expire(id);
        vm.expectRevert(_wrongState(id, LeaseState.Defaulted));
        _sign(id);
    }

    function test_RevertWhen_KeyOfAnotherProvider() external {
        LeaseId id = _plain();
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        leases.sign(id);
    }

    function test_RevertWhen_KeyMayNotSign() external {
        LeaseId id = _plain();
        vm.prank(north);
        members.setMember(keeper, MemberRights.DELIVER, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, keeper, MemberRights.SIGN));
        _sign(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        _sign(none);
    }

    /// E7: suspension blocks new orders only.
    function test_WhenProviderSuspended_MaySignWhatItOwes() external {
        LeaseId id = _plain();
        vm.prank(council);
        members.setSuspended(northOrg, true);
        _sign(id);
        _assertState(id, LeaseState.Signed);
    }
}

/// @notice C5
contract LeasesRenewFenceTest is LeaseBase {
    function test_WhenHolder_ExtendsTheFence() external {
        LeaseId id = _signed();
        vm.warp(block.timestamp + 600);
        vm.expectEmit(address(leases));
        emit ILeases.FenceRenewed(id, keeper, uint40(block.timestamp + 900));
        vm.prank(keeper);
        leases.renewFence(id);
        assertEq(leases.lease(id).fenceUntil, block.timestamp + 900);
    }

    function test_WhenLapsedButNotTaken_HolderMayStillRenew() external {
        LeaseId id = _signed();
        vm.warp(block.timestamp + 901);
        vm.prank(keeper);
        leases.renewFence(id);
        assertEq(leases.lease(id).fenceUntil, block.timestamp + 900);
    }

    function test_RevertWhen_NotHolder() external {
        LeaseId id = _signed();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NotFenceHolder.selector, id, keeper));
        vm.prank(standby);
        leases.renewFence(id);
    }

    function test_RevertWhen_NotSigned() external {
        LeaseId id = _plain();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NotFenceHolder.selector, id, address(0)));
        vm.prank(keeper);
        leases.renewFence(id);
    }

    function test_RevertWhen_NotTheProvider() external {
        LeaseId id = _signed();
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        leases.renewFence(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        vm.prank(keeper);
        leases.renewFence(none);
    }
}

/// @notice C5
contract LeasesTakeOverTest is LeaseBase {
    function test_WhenLapsed_AnotherKeyTakesTheFenceAndDelivers() external {
        LeaseId id = _signed();
        vm.warp(block.timestamp + 900);
        vm.expectEmit(address(leases));
        emit ILeases.FenceTaken(id, standby, keeper, uint40(block.timestamp + 900));
        vm.prank(standby);
        leases.takeOver(id);

        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NotFenceHolder.selector, id, standby));
        _deliver(id, 3);
        vm.prank(standby);
        leases.deliver(id, _delivery(3));
        _assertState(id, LeaseState.Delivered);
    }

    function test_RevertWhen_StillHeld() external {
        LeaseId id = _signed();
        uint40 until = uint40(block.timestamp + 900);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_FenceHeld.selector, id, keeper, until));
        vm.prank(standby);
        leases.takeOver(id);
    }

    function test_RevertWhen_Renewed() external {
        LeaseId id = _signed();
        vm.warp(block.timestamp + 600);
        vm.prank(keeper);
        leases.renewFence(id);
        uint40 until = uint40(block.timestamp + 900);
        vm.warp(block.timestamp + 400);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_FenceHeld.selector, id, keeper, until));
        vm.prank(standby);
        leases.takeOver(id);
    }

    function test_RevertWhen_NotSigned() external {
        LeaseId id = _plain();
        vm.expectRevert(_wrongState(id, LeaseState.Awarded));
        vm.prank(standby);
        leases.takeOver(id);
    }

    function test_RevertWhen_NotTheProvider() external {
        LeaseId id = _signed();
        vm.warp(block.timestamp + 901);
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        leases.takeOver(id);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        vm.prank(standby);
        leases.takeOver(none);
    }
}
