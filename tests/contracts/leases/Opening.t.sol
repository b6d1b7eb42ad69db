// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./LeaseBase.sol";
import {IAwards} from "../../../contracts/interfaces/IAwards.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IInventory} from "../../../contracts/interfaces/IInventory.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Award,
    AwardId,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    OfferId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice C1, C3: one award, one lease per provider.
contract AwardsOpenTest is LeaseBase {
    function test_WhenCovered_LocksPriceAndBondAndBooks() external {
        ResourceId[] memory machines = _machines(north, 2);
        Window memory window = _window(2, 10);
        vm.expectEmit(address(leases));
        emit ILeases.LeaseOpened(
            LeaseId.wrap(1),
            northOrg,
            buyerOrg,
            AwardId.wrap(1),
            OfferId.wrap(0),
            RequestId.wrap(0),
            RATE,
            window.start,
            window.end,
            machines,
            Policy.Provider,
            NO_SLA
        );
        vm.expectEmit(address(settlement));
        emit ISettlement.Funded(LeaseId.wrap(1), PRICE, BOND, 0);
        LeaseId id = _open(_award(), _leg(RATE, window, machines));

        assertEq(LeaseId.unwrap(id), 1);
        assertEq(leases.count(), 1);
        _assertState(id, LeaseState.Awarded);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE);
        assertEq(_free(northOrg), 1_000_000_000 - BOND);
        assertEq(_held(id), PRICE + BOND);
        for (uint256 i; i < 2; ++i) {
            assertFalse(inventory.isFree(machines[i], window.start, window.start + 1));
            assertFalse(inventory.isFree(machines[i], window.end + TURNAROUND - 1, window.end + TURNAROUND));
            assertTrue(inventory.isFree(machines[i], window.end + TURNAROUND, window.end + TURNAROUND + 1));
        }
        ILeases.Lease memory l = leases.lease(id);
        assertEq(l.count, 2);
        assertEq(l.rate, RATE);
        assertEq(l.createdAt, block.timestamp);
    }

    /// C3
    function test_WhenSeveralProviders_OpensALeaseEachUnderOneAward() external {
        Leg[] memory legs = new Leg[](2);
        legs[0] = _leg(RATE, _machines(north, 1));
        legs[1] = _southLeg(RATE + 1, _machines(south, 2));
        (AwardId award, LeaseId[] memory opened) = awards.open(_award(), legs);

        assertEq(AwardId.unwrap(leases.lease(opened[0]).award), AwardId.unwrap(award));
        assertEq(AwardId.unwrap(leases.lease(opened[1]).award), AwardId.unwrap(award));
        assertTrue(leases.lease(opened[1]).provider == southOrg);
        assertEq(settlement.account(opened[0]).price, uint256(RATE) * 10);
        assertEq(settlement.account(opened[1]).price, uint256(RATE + 1) * 20);
    }

    /// C1: a slot that is gone skips the leg, not the award.
    function test_WhenASlotIsGone_SkipsTheLeg() external {
        ResourceId[] memory machines = _machines(north, 2);
        _open(_award(), _leg(RATE, _window(11, 1), _list(machines[1])));
        Leg[] memory legs = new Leg[](2);
        legs[0] = _leg(RATE, machines);
        legs[1] = _southLeg(RATE, _machines(south, 1));
        vm.expectEmit(address(awards));
        emit IAwards.LegSkipped(AwardId.wrap(2), northOrg, Skip.NotFree);
        (, LeaseId[] memory opened) = awards.open(_award(), legs);

        assertEq(LeaseId.unwrap(opened[0]), 0);
        assertEq(LeaseId.unwrap(opened[1]), 2);
        assertTrue(inventory.isFree(machines[0], _now() + 2, _now() + 12));
    }

    /// C1: a greedy provider that drained its balance is left out.
    function test_WhenProviderCannotCover_SkipsTheLeg() external {
        vm.prank(north);
        escrow.withdraw(1_000_000_000 - BOND + 1);
        Leg[] memory legs = new Leg[](1);
        legs[0] = _leg(RATE, _machines(north, 2));
        vm.expectEmit(address(awards));
        emit IAwards.LegSkipped(AwardId.wrap(1), northOrg, Skip.ProviderCover);
        (, LeaseId[] memory opened) = awards.open(_award(), legs);
        assertEq(LeaseId.unwrap(opened[0]), 0);
    }

    /// C1: the buyer's cover is counted leg by leg.
    function test_WhenBuyerCoversTheFirstLegOnly_SkipsTheSecond() external {
        vm.prank(buyer);
        escrow.withdraw(1_000_000_000 - PRICE - 1);
        Leg[] memory legs = new Leg[](2);
        legs[0] = _leg(RATE, _machines(north, 2));
        legs[1] = _southLeg(RATE, _machines(south, 1));
        vm.expectEmit(address(awards));
        emit IAwards.LegSkipped(AwardId.wrap(1), southOrg, Skip.BuyerCover);
        (, LeaseId[] memory opened) = awards.open(_award(), legs);
        assertEq(LeaseId.unwrap(opened[0]), 1);
        assertEq(LeaseId.unwrap(opened[1]), 0);
        assertEq(_free(buyerOrg), 1);
    }

    function test_WhenAFundPays_TakesThePriceFromItAndReturnsTheRest() external {
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.ESCROW_MOVE, true);
        escrow.lock("mine", buyerOrg, buyer, PRICE + 7);
        escrow.pass("mine", address(settlement), "fund", PRICE + 7);
        Award memory award = _award();
        award.fund = "fund";
        Leg memory leg = _leg(RATE, _machines(north, 2));
        vm.expectEmit(address(settlement));
        emit ISettlement.FundReturned("fund", buyerOrg, 7);
        LeaseId id = _open(award, leg);

        assertEq(settlement.account(id).price, PRICE);
        assertEq(settlement.fundBalance("fund"), 0);
        assertEq(_free(buyerOrg), 1_000_000_000 - PRICE);
    }

    /// One machine twice in one award: the second leg finds it booked.
    function test_WhenTwoLegsNameOneResource_SkipsTheSecond() external {
        ResourceId[] memory machines = _machines(north, 1);
        Leg[] memory legs = new Leg[](2);
        legs[0] = _leg(RATE, machines);
        legs[1] = _leg(RATE, machines);
        (, LeaseId[] memory opened) = awards.open(_award(), legs);
        assertEq(LeaseId.unwrap(opened[0]), 1);
        assertEq(LeaseId.unwrap(opened[1]), 0);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, buyer, Rights.AWARDS_OPEN)
        );
        vm.prank(buyer);
        awards.open(_award(), new Leg[](0));
    }

    /// A right that is taken away ends new leases, not the old ones (E7).
    function test_RevertWhen_RightTakenAway() external {
        LeaseId id = _active();
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.AWARDS_OPEN, false);
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, address(this), Rights.AWARDS_OPEN)
        );
        awards.open(_award(), new Leg[](0));
        vm.warp(_endOf(id));
        _wipe(id);
        _assertState(id, LeaseState.Completed);
    }
}

/// @notice The door behind it: for `Awards` alone, and it trusts nobody that slots are free and money is there.
contract LeasesOpenTest is LeaseBase {
    function test_RevertWhen_CallerHasNoRight() external {
        Leg memory leg = _leg(RATE, _machines(north, 2));
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, address(this), Rights.LEASES_OPEN)
        );
        _openInner(leg, uint96(PRICE));
    }

    function test_RevertWhen_ASlotIsGone() external {
        _grant(Rights.LEASES_OPEN);
        Leg memory leg = _leg(RATE, _machines(north, 2));
        _openInner(leg, uint96(PRICE));
        assertEq(leases.count(), 1);
        Window memory w = leg.window;
        vm.expectRevert(
            abi.encodeWithSelector(IInventory.Inventory_NotFree.selector, leg.resources[0], w.start, w.end)
        );
        _openInner(leg, uint96(PRICE));
    }

    function test_RevertWhen_TheBuyerCannotCover() external {
        _grant(Rights.LEASES_OPEN);
        Leg memory leg = _leg(RATE, _machines(north, 2));
        vm.expectRevert(
            abi.encodeWithSelector(
                IEscrow.Escrow_InsufficientFree.selector, buyerOrg, 1_000_000_000, 1_000_000_001
            )
        );
        _openInner(leg, 1_000_000_001);
    }

    function _grant(bytes32 right) private {
        vm.prank(address(timelock));
        directory.setRight(address(this), right, true);
    }

    function _openInner(Leg memory leg, uint96 price) private {
        ISettlement.Stakes memory stakes = ISettlement.Stakes(buyer, price, north, uint96(BOND), 0, 0);
        leases.open(AwardId.wrap(1), _award(), leg, stakes);
    }
}

/// @notice C1
contract AwardsSkipOfTest is LeaseBase {
    function test_WhenCovered_IsNone() external {
        _assertSkip(_leg(RATE, _machines(north, 2)), Skip.None);
    }

    function test_WhenRetired_IsNotFree() external {
        ResourceId[] memory machines = _machines(north, 2);
        vm.prank(north);
        inventory.retire(machines[1]);
        _assertSkip(_leg(RATE, machines), Skip.NotFree);
    }

    function test_WhenProviderMemberIsOverItsLimit_IsProviderCover() external {
        Leg memory leg = _leg(RATE, _machines(north, 2));
        leg.by = keeper;
        vm.prank(north);
        members.setMember(keeper, MemberRights.OFFER, uint96(BOND));
        _assertSkip(leg, Skip.None);
        vm.prank(north);
        members.setMember(keeper, MemberRights.OFFER, uint96(BOND - 1));
        _assertSkip(leg, Skip.ProviderCover);
    }

    function test_WhenProviderMemberLeft_IsProviderCover() external {
        Leg memory leg = _leg(RATE, _machines(north, 2));
        leg.by = keeper;
        vm.prank(keeper);
        members.leave();
        _assertSkip(leg, Skip.ProviderCover);
    }

    function test_WhenBuyerMemberIsOverItsLimit_IsBuyerCover() external {
        Leg memory leg = _leg(RATE, _machines(north, 2));
        vm.prank(buyer);
        members.setMember(buyer, MemberRights.ALL, uint96(PRICE - 1));
        _assertSkip(leg, Skip.BuyerCover);
    }

    function test_WhenAFundPays_DoesNotAskTheBuyer() external {
        vm.prank(buyer);
        escrow.withdraw(1_000_000_000);
        Award memory award = _award();
        award.fund = "fund";
        Leg memory leg = _leg(RATE, _machines(north, 2));
        assertEq(uint8(awards.skipOf(award, leg)), uint8(Skip.None));
    }

    function _assertSkip(Leg memory leg, Skip skip) private view {
        assertEq(uint8(awards.skipOf(_award(), leg)), uint8(skip), "skip");
    }
}

/// @notice E2
contract AwardsPriceOfTest is LeaseBase {
    function test_WhenInTheFuture_CountsTheWholeWindow() external view {
        assertEq(_price(RATE, 2, _window(2, 10)), PRICE);
    }

    function test_WhenTheSlotRuns_CountsFromNow() external {
        Window memory window = _window(0, 1);
        vm.warp(block.timestamp + 900);
        assertEq(_price(RATE, 2, window), uint256(RATE) * 2 * 3 / 4);
    }

    function test_WhenNotWhole_RoundsUpOnceForAll() external {
        Window memory window = _window(0, 1);
        vm.warp(block.timestamp + 3599);
        assertEq(_price(1, 1, window), 1);
        assertEq(_price(1, 64, window), 1);
        assertEq(_price(3601, 1, window), 2);
    }

    function test_WhenTheWindowIsOver_IsZero() external {
        Window memory window = _window(0, 1);
        vm.warp(block.timestamp + 3600);
        assertEq(_price(RATE, 2, window), 0);
    }

    function _price(uint64 rate, uint256 n, Window memory window) private view returns (uint256) {
        return awards.priceOf(_leg(rate, window, new ResourceId[](n)));
    }
}

/// @notice States and ends are derived from facts; nobody sets them.
contract LeasesViewsTest is LeaseBase {
    function test_WhenUnknown_IsNoneOrReverts() external {
        LeaseId none = LeaseId.wrap(99);
        _assertState(none, LeaseState.None);
        assertEq(leases.resourcesOf(none).length, 0);
        assertFalse(leases.holds(none, ResourceId.wrap(1)));
        vm.expectRevert(_unknown(none));
        leases.lease(none);
        vm.expectRevert(_unknown(none));
        leases.endOf(none);
    }

    function test_WhenOpen_HoldsItsResources() external {
        ResourceId[] memory machines = _machines(north, 3);
        LeaseId id = _open(_award(), _leg(RATE, _list(machines[0], machines[2])));
        assertTrue(leases.holds(id, machines[0]));
        assertFalse(leases.holds(id, machines[1]));
        assertTrue(leases.holds(id, machines[2]));
        assertEq(leases.resourcesOf(id).length, 2);
    }

    /// A missed deadline counts before anybody calls `expire`.
    function test_WhenADeadlinePasses_IsDefaultedAtOnce() external {
        LeaseId unsigned = _plain();
        LeaseId undelivered = _signed();
        vm.warp(block.timestamp + 900);
        _assertState(unsigned, LeaseState.Defaulted);
        _assertState(undelivered, LeaseState.Signed);
        vm.warp(_startOf(undelivered) + 3600);
        _assertState(undelivered, LeaseState.Defaulted);
    }

    function test_WhenItRanOut_EndedByTimeAndNobodysFault() external {
        LeaseId id = _active();
        vm.warp(_endOf(id) - 1);
        _assertEnd(id, EndReason.None, Fault.Nobody);
        _assertState(id, LeaseState.Active);
        vm.warp(_endOf(id));
        _assertEnd(id, EndReason.Time, Fault.Nobody);
        _assertState(id, LeaseState.Ending);
        _wipe(id);
        _assertState(id, LeaseState.Completed);
    }

    function test_WhenDeployed_TermsAreReadable() external view {
        assertEq(abi.encode(leases.terms()), abi.encode(_terms()));
    }
}
