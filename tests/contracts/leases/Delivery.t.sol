// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./LeaseBase.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, LeaseState, Policy, ResourceId} from "../../../contracts/interfaces/Types.sol";

/// @notice L1, L2: the provider's receipt.
contract LeasesDeliverTest is LeaseBase {
    function test_WhenBeforeTheWindow_BillsFromItsFirstSecond() external {
        LeaseId id = _signed();
        vm.expectEmit(address(leases));
        emit ILeases.LeaseDelivered(id, 3, CONNECTION, HOST_KEY, SPEC);
        _deliver(id, 3);

        ISettlement.Account memory a = settlement.account(id);
        assertEq(a.units, 2);
        assertEq(a.firstStart, _startOf(id));
        assertEq(a.startSum, 2 * _startOf(id));
        ILeases.Lease memory l = leases.lease(id);
        assertEq(l.deliveredAt, block.timestamp);
        assertEq(l.delivery, keccak256(abi.encode(CONNECTION, HOST_KEY, SPEC)));
        _assertState(id, LeaseState.Delivered);
    }

    /// A greedy provider that delivers late is paid from the delivery on, never from the window's start.
    function test_WhenLateInTheWindow_BillsFromTheDelivery() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3599);
        _deliver(id, 3);
        assertEq(settlement.account(id).firstStart, _startOf(id) + 3599);
    }

    /// T2
    function test_RevertWhen_AtTheDeadline() external {
        LeaseId id = _signed();
        uint256 deadline = _startOf(id) + 3600;
        vm.warp(deadline);
        vm.expectRevert(_tooLate(id, deadline));
        _deliver(id, 3);
        _assertState(id, LeaseState.Defaulted);
    }

    /// L1: the time counts from the signature when that is after the start.
    function test_WhenSignedAfterTheStart_TimeCountsFromTheSignature() external {
        LeaseId id = _lease(1, _window(0, 10), Policy.Provider, false);
        vm.warp(block.timestamp + 500);
        _sign(id);
        uint256 deadline = block.timestamp + 3600;
        vm.warp(deadline - 1);
        uint256 snapshot = vm.snapshotState();
        _deliver(id, 1);
        vm.revertToState(snapshot);
        vm.warp(deadline);
        vm.expectRevert(_tooLate(id, deadline));
        _deliver(id, 1);
    }

    function test_RevertWhen_WindowIsOverBeforeTheDeliveryTime() external {
        vm.warp(block.timestamp + 1800);
        LeaseId id = _lease(1, _window(0, 1), Policy.Provider, false);
        _sign(id);
        vm.warp(_endOf(id));
        vm.expectRevert(_tooLate(id, _endOf(id)));
        _deliver(id, 1);
    }

    /// L1: bits are only added, and each resource bills from its own call.
    function test_WhenInSeveralCalls_EachBillsFromItsOwn() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 100);
        _deliver(id, 2);
        vm.warp(_startOf(id) + 700);
        vm.prank(keeper);
        leases.deliver(id, ILeases.Delivery(3, "other", HOST_KEY, SPEC)); // repeats bit 1

        ISettlement.Account memory a = settlement.account(id);
        assertEq(a.units, 2);
        assertEq(a.firstStart, _startOf(id) + 100);
        assertEq(a.startSum, 2 * _startOf(id) + 800);
        assertEq(leases.lease(id).delivered, 3);
        assertEq(leases.lease(id).delivery, keccak256(abi.encode(bytes32("other"), HOST_KEY, SPEC)));
    }

    function test_When64Resources_AllBill() external {
        ResourceId[] memory machines = _machines(north, 64);
        LeaseId id = _open(_award(), _leg(RATE / 2, machines));
        _sign(id);
        _deliver(id, type(uint64).max - 1);
        _deliver(id, 1);
        assertEq(settlement.account(id).units, 64);
        _accept(id);
        vm.warp(_endOf(id));
        leases.settle(id);
        assertEq(settlement.account(id).paid, uint256(RATE) * 320);
        _wipe(id);
        assertEq(_free(northOrg), 1_000_000_000 + uint256(RATE) * 320);
        assertEq(_held(id), 0);
    }

    function test_RevertWhen_NothingNew() external {
        LeaseId id = _signed();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_BadBits.selector, id, uint64(0), uint16(2)));
        _deliver(id, 0);
        _deliver(id, 1);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_BadBits.selector, id, uint64(1), uint16(2)));
        _deliver(id, 1);
    }

    function test_RevertWhen_BitsBeyondTheCount() external {
        LeaseId id = _signed();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_BadBits.selector, id, uint64(7), uint16(2)));
        _deliver(id, 7);
        vm.expectRevert(
            abi.encodeWithSelector(ILeases.Leases_BadBits.selector, id, uint64(1) << 63, uint16(2))
        );
        _deliver(id, uint64(1) << 63);
    }

    function test_RevertWhen_NotSigned() external {
        LeaseId id = _plain();
        vm.expectRevert(_wrongState(id, LeaseState.Awarded));
        _deliver(id, 3);
    }

    function test_RevertWhen_AnotherKeyThanTheFenceHolder() external {
        LeaseId id = _signed();
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NotFenceHolder.selector, id, keeper));
        vm.prank(standby);
        leases.deliver(id, _delivery(3));
    }

    function test_RevertWhen_HolderMayNotDeliver() external {
        LeaseId id = _signed();
        vm.prank(north);
        members.setMember(keeper, MemberRights.SIGN, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IMembers.Members_NoRight.selector, keeper, MemberRights.DELIVER)
        );
        _deliver(id, 3);
    }

    function test_RevertWhen_NotTheProvider() external {
        LeaseId id = _signed();
        vm.expectRevert(_notOf(northOrg, south));
        vm.prank(south);
        leases.deliver(id, _delivery(3));
    }

    function test_RevertWhen_Cancelled() external {
        LeaseId id = _signed();
        vm.prank(buyer);
        leases.cancel(id);
        vm.expectRevert(_wrongState(id, LeaseState.Cancelled));
        _deliver(id, 3);
    }

    function test_RevertWhen_EndedEarly() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        vm.prank(buyer);
        leases.endEarly(id);
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        _deliver(id, 2);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        _deliver(none, 1);
    }
}

/// @notice L2, L3: acceptance, by word or by silence.
contract LeasesAcceptTest is LeaseBase {
    function test_WhenDelivered_MakesItActive() external {
        LeaseId id = _delivered();
        vm.expectEmit(address(leases));
        emit ILeases.LeaseAccepted(id, 3, buyer);
        _accept(id);
        assertEq(leases.lease(id).accepted, 3);
        _assertState(id, LeaseState.Active);
    }

    /// L3: silence is acceptance, from the exact second on (T2).
    function test_WhenSilent_TheAcceptanceTimeAccepts() external {
        LeaseId id = _delivered();
        vm.warp(block.timestamp + 1799);
        _assertState(id, LeaseState.Delivered);
        vm.warp(block.timestamp + 1);
        _assertState(id, LeaseState.Active);
        uint64 delivered = leases.lease(id).delivered;
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        vm.prank(buyer);
        leases.accept(id, delivered);
    }

    /// More that comes later is a new delivery, to be accepted again.
    function test_WhenMoreComes_AsksAgain() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        _accept(id);
        _assertState(id, LeaseState.Active);
        _deliver(id, 2);
        _assertState(id, LeaseState.Delivered);
        _accept(id);
        assertEq(leases.lease(id).accepted, 3);
        _assertState(id, LeaseState.Active);
    }

    /// L3 with L1: whether an all-or-nothing lease is complete is known at the delivery's deadline.
    function test_WhenAllOrNothingIsIncomplete_SilenceCountsFromTheDeliveryDeadline() external {
        LeaseId id = _lease(2, _window(2, 10), Policy.Provider, true);
        _sign(id);
        _deliver(id, 1);
        uint256 deliverBy = _startOf(id) + 3600;
        vm.warp(deliverBy + 1799);
        _assertState(id, LeaseState.Delivered);
        vm.warp(deliverBy + 1800);
        _assertState(id, LeaseState.Active);
    }

    function test_WhenTheEndIsGivenNotice_MayStillAccept() external {
        LeaseId id = _delivered();
        vm.prank(buyer);
        leases.endEarly(id);
        _accept(id);
        _assertState(id, LeaseState.Active);
    }

    function test_RevertWhen_NothingDelivered() external {
        LeaseId id = _signed();
        uint64 delivered = leases.lease(id).delivered;
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_NothingDelivered.selector, id));
        vm.prank(buyer);
        leases.accept(id, delivered);
    }

    function test_RevertWhen_AcceptedAlready() external {
        LeaseId id = _active();
        uint64 delivered = leases.lease(id).delivered;
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        vm.prank(buyer);
        leases.accept(id, delivered);
    }

    function test_RevertWhen_Rejected() external {
        LeaseId id = _delivered();
        vm.prank(buyer);
        leases.reject(id, "wrong machine");
        uint64 delivered = leases.lease(id).delivered;
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        vm.prank(buyer);
        leases.accept(id, delivered);
    }

    function test_RevertWhen_NotTheBuyer() external {
        LeaseId id = _delivered();
        uint64 delivered = leases.lease(id).delivered;
        vm.expectRevert(_notOf(buyerOrg, north));
        vm.prank(north);
        leases.accept(id, delivered);
        vm.expectRevert(_notOf(buyerOrg, rival));
        vm.prank(rival);
        leases.accept(id, delivered);
    }

    /// The provider cannot slip another delivery under an acceptance that is on its way.
    function test_RevertWhen_TheDeliveryChangedInTheMeantime() external {
        LeaseId id = _lease(2, _window(0, 4), Policy.Provider, false);
        _sign(id);
        _deliver(id, 1);
        _deliver(id, 2);
        vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_OtherDelivery.selector, id, 3));
        vm.prank(buyer);
        leases.accept(id, 1);
    }

    function test_RevertWhen_Unknown() external {
        LeaseId none = LeaseId.wrap(99);
        vm.expectRevert(_unknown(none));
        vm.prank(buyer);
        leases.accept(none, 1);
    }
}
