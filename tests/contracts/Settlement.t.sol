// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "./Exchange.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {MemberRights} from "../../contracts/interfaces/IMembers.sol";
import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {LeaseId, OrgId} from "../../contracts/interfaces/Types.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @notice The test reports the facts itself: lease 7, one credit of price, a fifth of it as bond.
abstract contract SettlementBase is Exchange {
    LeaseId internal constant ID = LeaseId.wrap(7);
    bytes32 internal constant KEY = bytes32(uint256(7));
    uint96 internal constant PRICE = 1_000_000;
    uint96 internal constant BOND = 200_000;
    uint256 internal constant MONEY = 1_000_000_000;
    uint40 internal constant FROM = 1_800_000_000;

    ISettlement.Parties internal parties;

    function setUp() public virtual override {
        super.setUp();
        _grant(Rights.SETTLEMENT_REPORT);
        parties = ISettlement.Parties(ID, buyerOrg, northOrg, 3600); // one microcredit a second
    }

    function _open() internal {
        settlement.open(parties, _stakes(PRICE, 0));
    }

    function _stakes(uint96 price, bytes32 fund) internal view returns (ISettlement.Stakes memory) {
        return ISettlement.Stakes(buyer, price, north, BOND, 0, fund);
    }

    function _started(uint16 units) internal {
        _open();
        settlement.start(parties, units, FROM);
    }

    function _held() internal view returns (uint256) {
        return escrow.balance(address(settlement), KEY);
    }

    function _paid() internal view returns (uint256) {
        return settlement.account(ID).paid;
    }

    function _grant(bytes32 right) internal {
        vm.prank(address(timelock));
        directory.setRight(address(this), right, true);
    }

    function _noRight(address who, bytes32 right) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, who, right);
    }

    function _notLeases(address who) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISettlement.Settlement_NotLeases.selector, who);
    }
}

/// @notice C1, C2
contract SettlementOpenTest is SettlementBase {
    function test_WhenCovered_LocksBoth() external {
        vm.expectEmit(address(settlement));
        emit ISettlement.Funded(ID, PRICE, BOND, 0);
        _open();
        ISettlement.Account memory a = settlement.account(ID);
        assertEq(a.buyerBy, buyer);
        assertEq(a.price, PRICE);
        assertEq(a.providerBy, north);
        assertEq(a.bond, BOND);
        assertEq(_held(), PRICE + BOND);
        assertEq(escrow.free(buyerOrg), MONEY - PRICE);
        assertEq(escrow.free(northOrg), MONEY - BOND);
    }

    function test_WhenAFundPays_TakesThePriceFromIt() external {
        _grant(Rights.ESCROW_MOVE);
        escrow.lock("mine", buyerOrg, buyer, PRICE + 1);
        escrow.pass("mine", address(settlement), "fund", PRICE + 1);
        settlement.open(parties, _stakes(PRICE, "fund"));
        assertEq(_held(), PRICE + BOND);
        assertEq(settlement.fundBalance("fund"), 1);
    }

    function test_RevertWhen_TheFundIsTooSmall() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IEscrow.Escrow_InsufficientAccount.selector,
                address(settlement),
                bytes32("fund"),
                0,
                uint256(PRICE)
            )
        );
        settlement.open(parties, _stakes(PRICE, "fund"));
    }

    function test_RevertWhen_BuyerCannotCover() external {
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, buyerOrg, MONEY, MONEY + 1)
        );
        settlement.open(parties, _stakes(uint96(MONEY + 1), 0));
    }

    function test_RevertWhen_CallerHasNoRight() external {
        vm.expectRevert(_noRight(buyer, Rights.SETTLEMENT_REPORT));
        vm.prank(buyer);
        settlement.open(parties, _stakes(PRICE, 0));
    }

    function test_RevertWhen_RightTakenAway() external {
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.SETTLEMENT_REPORT, false);
        vm.expectRevert(_noRight(address(this), Rights.SETTLEMENT_REPORT));
        _open();
    }
}

contract SettlementReturnFundTest is SettlementBase {
    function test_WhenSomethingIsLeft_GivesItBack() external {
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.ESCROW_MOVE, true);
        _grant(Rights.LEASES_OPEN);
        escrow.lock("mine", buyerOrg, buyer, 9);
        escrow.pass("mine", address(settlement), "fund", 9);
        vm.expectEmit(address(settlement));
        emit ISettlement.FundReturned("fund", buyerOrg, 9);
        settlement.returnFund("fund", buyerOrg, buyer);
        assertEq(escrow.free(buyerOrg), MONEY);
    }

    function test_WhenEmpty_DoesNothing() external {
        _grant(Rights.LEASES_OPEN);
        vm.recordLogs();
        settlement.returnFund("fund", buyerOrg, buyer);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        vm.expectRevert(_noRight(buyer, Rights.LEASES_OPEN));
        vm.prank(buyer);
        settlement.returnFund("fund", buyerOrg, buyer);
    }
}

/// @notice L1, L2
contract SettlementStartTest is SettlementBase {
    function test_WhenInSeveralCalls_SumsStarts() external {
        _started(2);
        settlement.start(parties, 3, FROM + 10);
        ISettlement.Account memory a = settlement.account(ID);
        assertEq(a.units, 5);
        assertEq(a.firstStart, FROM);
        assertEq(a.startSum, 5 * uint256(FROM) + 30);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        vm.expectRevert(_notLeases(north));
        vm.prank(north);
        settlement.start(parties, 1, FROM);
    }
}

/// @notice E7: what was begun under a right may be brought to its end without it.
contract SettlementLeasesTest is SettlementBase {
    function test_WhenRightTakenAway_EndsWhatItBegan() external {
        _open();
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.SETTLEMENT_REPORT, false);
        settlement.start(parties, 1, FROM);
        settlement.lowerPrice(parties, PRICE - 1);
        settlement.draw(parties, FROM + 60, true);
        settlement.forfeitBond(parties, 1, 2);
        settlement.freeBond(parties);
        settlement.refund(parties);
        settlement.payReserve(parties, 0);
        assertEq(_held(), 0);
    }

    function test_RevertWhen_CallerIsAnother() external {
        _open();
        vm.startPrank(north);
        vm.expectRevert(_notLeases(north));
        settlement.lowerPrice(parties, 1);
        vm.expectRevert(_notLeases(north));
        settlement.draw(parties, FROM, true);
        vm.expectRevert(_notLeases(north));
        settlement.payReserve(parties, 1);
        vm.expectRevert(_notLeases(north));
        settlement.refund(parties);
        vm.expectRevert(_notLeases(north));
        settlement.forfeitBond(parties, 1, 2);
        vm.expectRevert(_notLeases(north));
        settlement.freeBond(parties);
        vm.expectRevert(_notLeases(north));
        settlement.payUnserved(parties, FROM, 1, true);
    }

    /// A right is a name: the `Leases` of a later version holds it too, for a `Settlement` of its own.
    function test_RevertWhen_AnotherHoldsTheRight() external {
        assertEq(settlement.leases(), address(0));
        _open();
        assertEq(settlement.leases(), address(this));
        vm.prank(address(timelock));
        directory.setRight(north, Rights.SETTLEMENT_REPORT, true);
        ISettlement.Parties memory mine = parties;
        mine.buyer = northOrg;
        vm.startPrank(north);
        vm.expectRevert(_notLeases(north));
        settlement.open(mine, _stakes(PRICE, 0));
        vm.expectRevert(_notLeases(north));
        settlement.start(mine, 1, FROM);
        vm.expectRevert(_notLeases(north));
        settlement.refund(mine);
        vm.expectRevert(_notLeases(north));
        settlement.forfeitBond(mine, 1, 1);
        vm.expectRevert(_noRight(north, Rights.SETTLEMENT_JUDGE));
        settlement.returnFees(mine);
        assertEq(_held(), PRICE + BOND);
    }
}

contract SettlementLowerPriceTest is SettlementBase {
    function test_WhenLower_RefundsTheDifference() external {
        _open();
        vm.expectEmit(address(settlement));
        emit ISettlement.PriceRefunded(ID, 400_000);
        settlement.lowerPrice(parties, 600_000);
        assertEq(settlement.account(ID).price, 600_000);
        assertEq(escrow.free(buyerOrg), MONEY - 600_000);
    }

    function test_WhenNotLower_DoesNothing() external {
        _open();
        vm.recordLogs();
        settlement.lowerPrice(parties, PRICE);
        settlement.lowerPrice(parties, PRICE + 1);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(settlement.account(ID).price, PRICE);
    }
}

/// @notice E3
contract SettlementDrawTest is SettlementBase {
    function test_WhenRunning_PaysTheDifferenceUnrounded() external {
        _started(1);
        vm.expectEmit(address(settlement));
        emit ISettlement.Accrued(ID, 61, 61);
        settlement.draw(parties, FROM + 61, false);
        vm.expectEmit(address(settlement));
        emit ISettlement.Accrued(ID, 39, 100);
        settlement.draw(parties, FROM + 100, false);
        assertEq(escrow.free(northOrg), MONEY - BOND + 100);
    }

    /// The second is rounded up to the quantum once, at the end.
    function test_WhenLast_RoundsUpAndRefundsTheRest() external {
        _started(1);
        settlement.draw(parties, FROM + 61, false);
        settlement.draw(parties, FROM + 61, true);
        assertEq(_paid(), 120);
        assertEq(escrow.free(buyerOrg), MONEY - 120);
        assertEq(_held(), BOND);
        assertTrue(settlement.account(ID).closed);
        assertEq(settlement.account(ID).price, 120);
    }

    function test_WhenLastIsOnAQuantum_RoundsNothing() external {
        _started(2);
        settlement.draw(parties, FROM + 120, true);
        assertEq(_paid(), 240);
    }

    function test_WhenClosed_PaysNothingMore() external {
        _started(1);
        settlement.draw(parties, FROM + 60, true);
        settlement.draw(parties, FROM + 6000, true);
        settlement.draw(parties, FROM + 6000, false);
        assertEq(_paid(), 60);
        assertEq(settlement.accrued(ID, 3600, FROM + 6000, true), 60);
    }

    /// An earlier second than the last one draws nothing, and takes nothing back.
    function test_WhenReportedOutOfOrder_PaysNothing() external {
        _started(1);
        settlement.draw(parties, FROM + 100, false);
        settlement.draw(parties, FROM + 50, false);
        assertEq(_paid(), 100);
        settlement.draw(parties, FROM + 10, true);
        assertEq(_paid(), 100);
        assertEq(escrow.free(buyerOrg), MONEY - 100);
    }

    function test_WhenItWouldPassThePrice_StopsThere() external {
        _started(1);
        settlement.draw(parties, FROM + 999_999, true);
        assertEq(_paid(), PRICE);
        assertEq(_held(), BOND);
    }

    function test_WhenNothingBills_PaysNothingAndRefundsAll() external {
        _open();
        settlement.draw(parties, FROM + 100, true);
        assertEq(_paid(), 0);
        assertEq(escrow.free(buyerOrg), MONEY);
    }

    function test_WhenUntilIsNotBehindTheStart_PaysNothing() external {
        _started(1);
        settlement.draw(parties, FROM, false);
        settlement.draw(parties, FROM - 100, false);
        assertEq(_paid(), 0);
    }

    /// E3 with L1: several starts, drawn at any times, against plain integers.
    function testFuzz_AccrualIsThatOfPlainIntegers(
        uint64 rate,
        uint16[4] calldata gaps,
        uint8[4] calldata units,
        uint16[5] calldata pauses,
        uint96 price
    ) external {
        rate = uint64(bound(rate, 1, 1e15));
        price = uint96(bound(price, 1, MONEY));
        parties.rate = rate;
        settlement.open(parties, _stakes(price, 0));

        uint256[4] memory starts;
        uint256 at = FROM;
        uint256 before;
        for (uint256 i; i < 4; ++i) {
            at += gaps[i];
            starts[i] = at;
            uint16 n = uint16(bound(units[i], 1, 16));
            settlement.start(parties, n, uint40(at));
            settlement.draw(parties, uint40(at), false);
            assertEq(_paid(), _model(rate, starts, units, i + 1, at, price), "while it grows");
            assertGe(_paid(), before);
            before = _paid();
        }
        for (uint256 i; i < pauses.length; ++i) {
            at += pauses[i];
            settlement.draw(parties, uint40(at), false);
            assertEq(_paid(), _model(rate, starts, units, 4, at, price), "running");
        }
        // Rounded up once, counted from the first start.
        uint256 until = starts[0] + (at - starts[0] + 59) / 60 * 60;
        settlement.draw(parties, uint40(at), true);
        assertEq(_paid(), _model(rate, starts, units, 4, until, price), "last");
        assertEq(escrow.free(northOrg), MONEY - BOND + _paid(), "sum of draws");
        assertEq(escrow.free(buyerOrg), MONEY - _paid(), "rest refunded");
        assertEq(_held(), BOND, "only the bond is left");
    }

    /// @dev The first `n` starts, second by second of each resource, in integers; rounded up, then capped.
    function _model(
        uint256 rate,
        uint256[4] memory starts,
        uint8[4] calldata units,
        uint256 n,
        uint256 until,
        uint256 price
    ) private pure returns (uint256 sum) {
        for (uint256 i; i < n; ++i) {
            if (until > starts[i]) sum += bound(units[i], 1, 16) * (until - starts[i]);
        }
        sum = sum * rate;
        sum = sum / 3600 + (sum % 3600 == 0 ? 0 : 1);
        if (sum > price) sum = price;
    }
}

contract SettlementPayReserveTest is SettlementBase {
    function test_WhenPaid_RefundsTheRestAndCloses() external {
        _open();
        vm.expectEmit(address(settlement));
        emit ISettlement.ReservePaid(ID, 50_000);
        vm.expectEmit(address(settlement));
        emit ISettlement.PriceRefunded(ID, 950_000);
        settlement.payReserve(parties, 50_000);
        assertEq(escrow.free(northOrg), MONEY - BOND + 50_000);
        assertEq(escrow.free(buyerOrg), MONEY - 50_000);
        assertTrue(settlement.account(ID).closed);
        assertEq(_held(), BOND);
    }
}

contract SettlementRefundTest is SettlementBase {
    function test_WhenNothingWasPaid_RefundsAllOnce() external {
        _open();
        settlement.refund(parties);
        settlement.refund(parties);
        assertEq(escrow.free(buyerOrg), MONEY);
        assertEq(_held(), BOND);
    }

    function test_WhenSomeWasPaid_RefundsTheRest() external {
        _started(1);
        settlement.draw(parties, FROM + 100, false);
        settlement.refund(parties);
        assertEq(escrow.free(buyerOrg), MONEY - 100);
        assertEq(_held(), BOND);
    }
}

contract SettlementBondTest is SettlementBase {
    function test_WhenForfeitedInPart_PaysTheBuyerAndFreesTheRest() external {
        _open();
        vm.expectEmit(address(settlement));
        emit ISettlement.BondForfeited(ID, 150_000);
        assertEq(settlement.forfeitBond(parties, 3, 4), 150_000);
        assertEq(escrow.free(buyerOrg), MONEY - PRICE + 150_000);
        vm.expectEmit(address(settlement));
        emit ISettlement.BondFreed(ID, 50_000);
        settlement.freeBond(parties);
        assertEq(escrow.free(northOrg), MONEY - 150_000);
        assertEq(_held(), PRICE);
    }

    function test_WhenNothing_DoesNothing() external {
        _open();
        settlement.freeBond(parties);
        vm.recordLogs();
        settlement.freeBond(parties);
        settlement.forfeitBond(parties, 0, 1);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    /// The price is no bond: what is left of the bond bounds what can be forfeited.
    function test_RevertWhen_MoreThanIsLeft() external {
        _open();
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        settlement.forfeitBond(parties, 2, 1);
        settlement.forfeitBond(parties, 1, 1);
        assertEq(settlement.forfeitBond(parties, 1, 1), 0);
    }
}

/// @notice L7: more time at another rate.
contract SettlementExtendTest is SettlementBase {
    function test_WhenExtended_LocksWhatIsAdded() external {
        _started(1);
        vm.expectEmit(address(settlement));
        emit ISettlement.Extended(ID, 500, 100, 0, FROM + 1000, 7200);
        settlement.extend(parties, _extension(500, 7200), FROM + 1000);
        ISettlement.Account memory a = settlement.account(ID);
        assertEq(a.price, PRICE + 500);
        assertEq(a.bond, BOND + 100);
        assertEq(a.steps, 1);
        assertEq(_held(), PRICE + BOND + 600);
        ISettlement.Step[] memory steps = settlement.stepsOf(ID);
        assertEq(steps.length, 1);
        assertEq(steps[0].from, FROM + 1000);
        assertEq(steps[0].rate, 7200);
        assertEq(settlement.accrued(ID, 3600, FROM + 1000, false), 1000);
        assertEq(settlement.accrued(ID, 3600, FROM + 1010, false), 1020);
        assertEq(settlement.spanPrice(ID, 3600, FROM + 990, FROM + 1010), 30);
    }

    function test_WhenTheRateGoesOn_NeedsNoStep() external {
        _started(1);
        for (uint40 i = 1; i <= 20; ++i) {
            settlement.extend(parties, _extension(500, 3600), FROM + i * 500);
        }
        assertEq(settlement.account(ID).steps, 0);
        assertEq(settlement.account(ID).price, PRICE + 10_000);
    }

    /// The price is what freed and unserved time leave of it, quantum included.
    function test_WhenTheUnservedIsFreed_TheRestStays() external {
        _started(1);
        settlement.payUnserved(parties, FROM + 61, 0, true);
        assertEq(settlement.account(ID).price, 120);
        assertEq(escrow.free(buyerOrg), MONEY - 120);
        settlement.draw(parties, FROM + 61, true);
        assertEq(_paid(), 120);
        assertEq(_held(), BOND);
    }

    /// L11: what is in dispute stays so, and is charged to whoever extended.
    function test_WhenMoneyIsInDispute_ItGoesAlong() external {
        address clerk = makeAddr("clerk");
        vm.startPrank(buyer);
        members.setMember(clerk, MemberRights.BUY, 2 * PRICE);
        members.setMember(buyer, MemberRights.ALL, PRICE);
        vm.stopPrank();
        _grant(Rights.SETTLEMENT_JUDGE);
        _started(1);
        settlement.applyVerdict(parties, FROM, FROM + 3600, 1, 1, 500_000);
        assertEq(settlement.dispute(parties, 1000, true, FROM + 3600), 1000);
        ISettlement.Extension memory e = _extension(500, 3600);
        e.buyerBy = clerk;
        settlement.extend(parties, e, FROM + 10_000);
        assertEq(members.member(buyer).spent, 0);
        assertEq(members.member(clerk).spent, PRICE + 500);
        settlement.resolve(parties, 1000, 400, 600);
        assertEq(members.member(clerk).spent, PRICE + 500 - 400);
        settlement.draw(parties, FROM + 3600, true);
        assertEq(_held(), BOND + 100);
        assertEq(members.member(clerk).spent, 3600 - 800 - 400);
    }

    function test_RevertWhen_TheRateChangedTooOften() external {
        _started(1);
        for (uint40 i = 1; i <= 8; ++i) {
            settlement.extend(parties, _extension(1, 3600 + i), FROM + i);
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.Settlement_TooManySteps.selector, ID, 8));
        settlement.extend(parties, _extension(1, 1), FROM + 9);
        settlement.extend(parties, _extension(1, 3608), FROM + 9);
    }

    function test_RevertWhen_CallerIsAnother() external {
        _open();
        vm.startPrank(north);
        vm.expectRevert(_notLeases(north));
        settlement.extend(parties, _extension(1, 1), FROM);
    }

    /// E3 over steps: each rate is rounded up once, nothing passes the price, nothing falls.
    function testFuzz_AccrualIsThatOfPlainIntegers(
        uint64[4] calldata rates,
        uint16[4] calldata spans,
        uint8 units,
        uint32[4] calldata moments
    ) external {
        uint256 n = bound(units, 1, 64);
        uint64 rate = uint64(bound(rates[0], 1, 1e5));
        parties.rate = rate;
        uint256 end = FROM + bound(spans[0], 1, 65_535);
        settlement.open(parties, _stakes(uint96((rate * n * (end - FROM) + 3599) / 3600), 0));
        settlement.start(parties, uint16(n), FROM);
        uint256[5] memory ends;
        uint64[4] memory paid;
        (ends[0], ends[1], paid[0]) = (FROM, end, rate);
        for (uint256 i = 1; i < 4; ++i) {
            paid[i] = uint64(bound(rates[i], 1, 1e5));
            ends[i + 1] = ends[i] + bound(spans[i], 1, 65_535);
            uint256 price = (paid[i] * n * (ends[i + 1] - ends[i]) + 3599) / 3600;
            settlement.extend(parties, _extension(uint96(price), paid[i]), uint40(ends[i]));
        }
        uint256 last;
        uint256 at = FROM;
        for (uint256 i; i < 4; ++i) {
            at += bound(moments[i], 0, 90_000);
            uint256 due = settlement.accrued(ID, rate, uint40(at), false);
            uint256 plain = _plain(ends, paid, n, at < ends[4] ? at : ends[4]);
            // Rates that go on are rounded together.
            assertApproxEqAbs(due, plain, at < ends[4] ? 3 : 4);
            assertGe(due, last);
            last = due;
        }
        settlement.draw(parties, uint40(ends[4]), true);
        settlement.freeBond(parties);
        assertEq(_held(), 0);
        assertApproxEqAbs(_paid(), _plain(ends, paid, n, ends[4]), 4);
    }

    function _plain(uint256[5] memory ends, uint64[4] memory rates, uint256 n, uint256 at)
        private
        pure
        returns (uint256 sum)
    {
        for (uint256 i; i < 4 && at > ends[i]; ++i) {
            sum += (rates[i] * n * ((at < ends[i + 1] ? at : ends[i + 1]) - ends[i]) + 3599) / 3600;
        }
    }

    function _extension(uint96 price, uint64 rate) private view returns (ISettlement.Extension memory) {
        return ISettlement.Extension(buyer, price, north, 100, 0, rate, true);
    }
}
