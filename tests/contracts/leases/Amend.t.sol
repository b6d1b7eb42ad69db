// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CommitteeBase} from "./CommitteeBase.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IInventory} from "../../../contracts/interfaces/IInventory.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Policy,
    ResourceId,
    SlaId
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @dev The test itself holds the right to amend. Leases promise nothing unless a test says so.
abstract contract AmendBase is CommitteeBase {
    SlaId internal constant SLA = SlaId.wrap(7);

    function setUp() public virtual override {
        super.setUp();
        promised = NO_SLA;
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.LEASES_AMEND, true);
    }

    function _extension(LeaseId id, uint32 slots, uint64 rate)
        internal
        view
        returns (ISettlement.Extension memory)
    {
        (uint96 price, uint96 bond, uint96 fee) = awards.extensionOf(id, leases.lease(id).end + slots, rate);
        return ISettlement.Extension(buyer, price, north, bond, fee, rate, true);
    }

    function _extend(LeaseId id, uint32 slots, uint64 rate) internal {
        ISettlement.Extension memory e = _extension(id, slots, rate);
        leases.extend(id, leases.lease(id).end + slots, e);
    }

    function _spent(address member) internal view returns (uint256) {
        return members.member(member).spent;
    }

    function _noRight(address who) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, who, Rights.LEASES_AMEND);
    }
}

/// @notice L7
contract LeasesExtendTest is AmendBase {
    function test_WhenItRuns_LocksAndBooksWhatIsAdded() external {
        LeaseId id = _active();
        vm.warp(_startOf(id) + 60);
        uint32 end = leases.lease(id).end;
        ResourceId machine = leases.resourcesOf(id)[1];
        assertFalse(inventory.isFree(machine, end + 1, end + 2), "turnaround");
        ISettlement.Extension memory e = _extension(id, 3, 2 * RATE);
        assertEq(e.price, uint256(RATE) * 2 * 2 * 3);
        assertEq(e.bond, e.price / 5);
        assertEq(e.fee, 0);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseExtended(id, end + 3, 2 * RATE);
        vm.expectEmit(address(settlement));
        emit ISettlement.Extended(id, e.price, e.bond, 0, uint40(uint256(end) * SLOT), 2 * RATE);
        leases.extend(id, end + 3, e);

        assertEq(leases.lease(id).end, end + 3);
        assertEq(_held(id), PRICE + BOND + e.price + e.bond);
        assertEq(_free(buyerOrg), MONEY - PRICE - e.price);
        assertEq(_free(northOrg), MONEY - BOND - e.bond);
        assertFalse(inventory.isFree(machine, end + 4, end + 5), "its turnaround went along");
        assertTrue(inventory.isFree(machine, end + 5, end + 6));
        _assertState(id, LeaseState.Active);
    }

    /// Either part is billed at its own rate, whoever draws when.
    function test_WhenItRanOut_BothRatesArePaid() external {
        LeaseId id = _active();
        uint256 end = _endOf(id);
        _extend(id, 3, RATE / 2);
        vm.warp(end - 1800);
        leases.settle(id);
        assertEq(settlement.account(id).paid, PRICE - uint256(RATE));
        vm.warp(end + 3600);
        _assertState(id, LeaseState.Active);
        leases.settle(id);
        assertEq(settlement.account(id).paid, PRICE + uint256(RATE));
        vm.warp(end + 3 * 3600);
        _wipe(id);
        _assertState(id, LeaseState.Completed);
        assertEq(_held(id), 0);
        assertEq(_free(northOrg), MONEY + PRICE + uint256(RATE) * 3);
        assertEq(_free(buyerOrg), MONEY - PRICE - uint256(RATE) * 3);
        for (uint256 i; i < 2; ++i) {
            assertTrue(_isFreeFrom(id, i, _now() + 1));
        }
    }

    function test_WhenEndedEarlyAfterwards_ReturnsTheRest() external {
        LeaseId id = _active();
        uint256 end = _endOf(id);
        _extend(id, 4, 2 * RATE);
        vm.warp(end);
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(end + 3600);
        _wipe(id);
        assertEq(_held(id), 0);
        assertEq(_free(buyerOrg), MONEY - PRICE - uint256(RATE) * 2 * 2);
    }

    /// I7: whoever extends takes over what is locked for the lease; the first member's limit is whole again.
    function test_WhenAnotherMemberExtends_TakesTheLimitOver() external {
        address clerk = makeAddr("clerk");
        vm.startPrank(buyer);
        members.setMember(clerk, MemberRights.BUY, 200_000_000);
        members.setMember(buyer, MemberRights.ALL, 100_000_000);
        vm.stopPrank();
        LeaseId id = _active();
        assertEq(_spent(buyer), PRICE);
        vm.warp(_startOf(id) + 3600);
        leases.settle(id);
        ISettlement.Extension memory e = _extension(id, 2, RATE);
        e.buyerBy = clerk;
        leases.extend(id, leases.lease(id).end + 2, e);
        assertEq(_spent(buyer), BOTH, "what was paid stays spent");
        assertEq(_spent(clerk), PRICE - BOTH + e.price);
        assertEq(settlement.account(id).buyerBy, clerk);
        vm.prank(buyer);
        leases.endEarly(id);
        vm.warp(block.timestamp + 3600);
        _wipe(id);
        assertEq(_spent(clerk), BOTH);
        assertEq(_held(id), 0);
    }

    function test_WhenAnotherProviderMemberAgrees_TakesTheBondOver() external {
        vm.prank(north);
        members.setMember(keeper, MemberRights.ALL, 50_000_000);
        LeaseId id = _active();
        ISettlement.Extension memory e = _extension(id, 5, RATE);
        e.providerBy = keeper;
        leases.extend(id, leases.lease(id).end + 5, e);
        assertEq(_spent(keeper), BOND + e.bond);
        vm.warp(_endOf(id));
        _wipe(id);
        assertEq(_spent(keeper), 0);
    }

    /// C2: only epochs that are new, half from each side, the odd microcredit the buyer's.
    function test_WhenACommitteeWatches_LocksFeesForNewEpochs() external {
        promised = SLA;
        LeaseId id = _lease(1, _window(2, 9), Policy.Provider, false);
        _sign(id);
        leases.setCommittee(id, true);
        _deliver(id, 1);
        leases.prove(id, 1);
        (uint256 ofBuyer, uint256 ofProvider) = (_free(buyerOrg), _free(northOrg));
        ISettlement.Extension memory e = _extension(id, 1, RATE);
        assertEq(e.fee, 5005);
        _extend(id, 1, RATE);
        assertEq(settlement.account(id).fee, FEES);
        assertEq(ofBuyer - _free(buyerOrg), e.price + 2502);
        assertEq(ofProvider - _free(northOrg), e.bond + 2503);
        vm.warp(_endOf(id));
        settlement.returnFees(_parties(id));
        assertEq(_free(northOrg), ofProvider - e.bond + 22_522);
    }

    function test_WhenTheCommitteeWasWaived_AsksNoFees() external {
        promised = SLA;
        LeaseId id = _signed();
        leases.setCommittee(id, false);
        _deliver(id, 3);
        _accept(id);
        assertEq(_extension(id, 3, RATE).fee, 0);
        _extend(id, 3, RATE);
        vm.warp(_endOf(id));
        _wipe(id);
        assertEq(_held(id), 0);
    }

    function test_WhenAMissingMachineIsSettled_ExtendsTheOthers() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        _accept(id);
        vm.warp(_startOf(id) + 3600);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        _tryExtend(id);
        leases.expire(id);
        uint32 end = leases.lease(id).end;
        ISettlement.Extension memory e = _extension(id, 2, RATE);
        assertEq(e.price, uint256(RATE) * 2);
        _extend(id, 2, RATE);
        assertFalse(inventory.isFree(leases.resourcesOf(id)[0], end, end + 1));
        assertTrue(inventory.isFree(leases.resourcesOf(id)[1], end, end + 1));
        vm.warp(_endOf(id));
        _wipe(id);
        assertEq(_held(id), 0);
        assertEq(_free(northOrg), MONEY + ONE * 12 - BOND / 2);
    }

    /// Spans of the new time cost the new rate.
    function test_WhenJudgedLater_ThePenaltyIsOfTheNewRate() external {
        promised = SLA;
        LeaseId id = _proven();
        _extend(id, 2, 2 * RATE);
        _toEpoch(id, 11, 0);
        assertEq(_judge(id, 9, 500_000), ONE / 2);
        assertEq(_judge(id, 10, 500_000), ONE);
    }

    function test_RevertWhen_ASlotIsTaken() external {
        LeaseId id = _active();
        uint32 end = leases.lease(id).end;
        ResourceId[] memory machines = leases.resourcesOf(id);
        _open(_award(), _leg(RATE, _window(end + 2 - _now(), 1), _list(machines[1])));
        ISettlement.Extension memory e = _extension(id, 1, RATE);
        vm.expectRevert(
            abi.encodeWithSelector(
                IInventory.Inventory_NotFree.selector, machines[1], end + TURNAROUND, end + 1
            )
        );
        leases.extend(id, end + 1, e);
        assertEq(leases.lease(id).end, end);
        assertTrue(inventory.isFree(machines[0], end + TURNAROUND, end + TURNAROUND + 1));
    }

    function test_RevertWhen_TheBuyerCannotCover() external {
        LeaseId id = _active();
        uint256 left = MONEY - PRICE;
        vm.prank(buyer);
        escrow.withdraw(left);
        ISettlement.Extension memory e = _extension(id, 1, RATE);
        uint32 end = leases.lease(id).end + 1;
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, buyerOrg, 0, uint256(e.price))
        );
        leases.extend(id, end, e);
    }

    function test_RevertWhen_NoLonger() external {
        LeaseId id = _active();
        uint32 end = leases.lease(id).end;
        ISettlement.Extension memory none;
        uint32 start = leases.lease(id).start;
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, start, end));
        leases.extend(id, end, none);
    }

    function test_RevertWhen_LongerThanAnyLease() external {
        LeaseId id = _active();
        uint32 start = leases.lease(id).start;
        uint32 end = start + inventory.maxWindow() + 1;
        ISettlement.Extension memory none;
        vm.expectRevert(abi.encodeWithSelector(IInventory.Inventory_BadWindow.selector, start, end));
        leases.extend(id, end, none);
    }

    function test_RevertWhen_NotAccepted() external {
        LeaseId id = _delivered();
        vm.expectRevert(_wrongState(id, LeaseState.Delivered));
        _tryExtend(id);
    }

    function test_RevertWhen_AnEndIsSet() external {
        LeaseId id = _active();
        vm.prank(buyer);
        leases.endEarly(id);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        _tryExtend(id);
    }

    function test_RevertWhen_Over() external {
        LeaseId id = _active();
        vm.warp(_endOf(id));
        vm.expectRevert(_wrongState(id, LeaseState.Ending));
        _tryExtend(id);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        LeaseId id = _active();
        vm.expectRevert(_noRight(buyer));
        vm.prank(buyer);
        _tryExtend(id);
    }

    /// Amending is new business: without the right nothing new begins.
    function test_RevertWhen_RightTakenAway() external {
        LeaseId id = _active();
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.LEASES_AMEND, false);
        vm.expectRevert(_noRight(address(this)));
        _tryExtend(id);
    }

    /// @dev Nothing is asked before the call that is to revert.
    function _tryExtend(LeaseId id) private {
        leases.extend(id, _now() + 100, ISettlement.Extension(buyer, 1, north, 1, 0, RATE, true));
    }

    function _isFreeFrom(LeaseId id, uint256 place, uint32 slot) private view returns (bool) {
        return inventory.isFree(leases.resourcesOf(id)[place], slot, slot + 100);
    }
}

/// @notice L5, L8: ends that are neither the parties' wish nor a verdict.
contract LeasesCloseTest is AmendBase {
    uint32 private constant PPM = 100_000;

    function test_WhenReclaimed_PaysForTheRestAndReturnsIt() external {
        LeaseId id = _active();
        vm.warp(_startOf(id) + 3600);
        uint40 at = uint40(_startOf(id) + 4 * 3600);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseEnded(id, EndReason.Reclaimed, Fault.Provider, at, "mine");
        leases.close(id, EndReason.Reclaimed, at, PPM, "mine");

        uint256 rest = PRICE - 4 * BOTH;
        assertEq(_free(buyerOrg), MONEY - PRICE + rest + rest / 10, "the rest is there for another lease");
        assertEq(settlement.account(id).bond, BOND - rest / 10);
        _assertState(id, LeaseState.Active);
        vm.warp(at);
        _assertState(id, LeaseState.Ending);
        _assertEnd(id, EndReason.Reclaimed, Fault.Provider);
        _wipe(id);
        _assertState(id, LeaseState.Terminated);
        assertEq(_held(id), 0);
        assertEq(_free(northOrg), MONEY + 4 * BOTH - rest / 10);
    }

    /// E3: the last second billed is that of a whole quantum; what that takes must not have been returned.
    function test_WhenNotAtAQuantum_LeavesWhatTheLastDrawTakes() external {
        LeaseId id = _active();
        vm.warp(_startOf(id) + 90);
        leases.close(id, EndReason.Reclaimed, uint40(block.timestamp), 0, 0);
        assertEq(settlement.account(id).price, uint256(RATE) * 2 * 120 / 3600);
        _wipe(id);
        assertEq(settlement.account(id).paid, uint256(RATE) * 2 * 120 / 3600);
        assertEq(_held(id), 0);
    }

    function test_WhenAPartnerEndedBeforeDelivery_ReturnsEverything() external {
        LeaseId id = _signed();
        leases.close(id, EndReason.Partner, 0, 0, 0);
        assertEq(_held(id), 0);
        assertEq(_free(buyerOrg), MONEY);
        assertEq(_free(northOrg), MONEY);
        _assertState(id, LeaseState.Cancelled);
        _assertEnd(id, EndReason.Partner, Fault.Nobody);
        assertTrue(_isFree(id, 0));
    }

    function test_WhenAPartnerEndedWhileItRuns_IsNobodysFault() external {
        LeaseId id = _active();
        vm.warp(_startOf(id) + 3600);
        leases.close(id, EndReason.Partner, uint40(block.timestamp), 0, 0);
        assertEq(_free(buyerOrg), MONEY - BOTH);
        _wipe(id);
        _assertState(id, LeaseState.Terminated);
        _assertEnd(id, EndReason.Partner, Fault.Nobody);
        assertEq(_held(id), 0);
        assertEq(_free(northOrg), MONEY + BOTH);
    }

    function test_WhenNotAcceptedYet_EndsToo() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id));
        _deliver(id, 3);
        vm.warp(block.timestamp + 60);
        _assertState(id, LeaseState.Delivered);
        leases.close(id, EndReason.Partner, uint40(block.timestamp), 0, 0);
        _wipe(id);
        vm.warp(block.timestamp + 1800);
        leases.settle(id);
        assertEq(_held(id), 0);
    }

    /// What never came is let go without penalty while there is time for it.
    function test_WhenSomethingIsMissing_LetsItGo() external {
        LeaseId id = _signed();
        _deliver(id, 1);
        _accept(id);
        leases.close(id, EndReason.Partner, uint40(_startOf(id)), 0, 0);
        assertEq(leases.lease(id).missing, 1);
        vm.warp(_startOf(id));
        _wipe(id);
        assertEq(_held(id), 0);
        assertEq(_free(buyerOrg), MONEY);
        assertEq(_free(northOrg), MONEY);
    }

    /// An exit: a right that was taken away does not close it (E7).
    function test_WhenRightTakenAway_StillCloses() external {
        LeaseId id = _active();
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.LEASES_AMEND, false);
        leases.close(id, EndReason.Partner, uint40(block.timestamp), 0, 0);
        _wipe(id);
        assertEq(_held(id), 0);
    }

    function test_RevertWhen_TheReasonIsAnothers() external {
        LeaseId id = _active();
        for (uint8 reason; reason < uint8(EndReason.Reclaimed); ++reason) {
            vm.expectRevert(abi.encodeWithSelector(ILeases.Leases_BadReason.selector, EndReason(reason)));
            leases.close(id, EndReason(reason), uint40(block.timestamp), 0, 0);
        }
    }

    function test_RevertWhen_ReclaimedBeforeDelivery() external {
        LeaseId id = _signed();
        vm.expectRevert(_wrongState(id, LeaseState.Signed));
        leases.close(id, EndReason.Reclaimed, uint40(block.timestamp), 0, 0);
    }

    function test_RevertWhen_InThePast() external {
        LeaseId id = _active();
        vm.expectRevert(_tooEarly(id, block.timestamp));
        leases.close(id, EndReason.Partner, uint40(block.timestamp - 1), 0, 0);
    }

    function test_RevertWhen_AtItsEndOrLater() external {
        LeaseId id = _active();
        uint256 end = _endOf(id);
        vm.expectRevert(_tooLate(id, end));
        leases.close(id, EndReason.Partner, uint40(end), 0, 0);
    }

    function test_RevertWhen_AnEndIsSet() external {
        LeaseId id = _active();
        vm.prank(buyer);
        leases.endEarly(id);
        vm.expectRevert(_wrongState(id, LeaseState.Active));
        leases.close(id, EndReason.Partner, uint40(block.timestamp), 0, 0);
    }

    function test_RevertWhen_ADeadlineWasMissed() external {
        LeaseId id = _signed();
        vm.warp(_startOf(id) + 3600);
        vm.expectRevert(_wrongState(id, LeaseState.Defaulted));
        leases.close(id, EndReason.Partner, uint40(block.timestamp), 0, 0);
    }

    function test_RevertWhen_CallerNeverHadTheRight() external {
        LeaseId id = _active();
        vm.expectRevert(_noRight(north));
        vm.prank(north);
        leases.close(id, EndReason.Partner, uint40(block.timestamp), 0, 0);
    }
}
