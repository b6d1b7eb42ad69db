// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {Exchange} from "./Exchange.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IEscrow} from "../../contracts/interfaces/IEscrow.sol";
import {IMembers, MemberRights} from "../../contracts/interfaces/IMembers.sol";
import {OrgId} from "../../contracts/interfaces/Types.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @dev `opener` stands for a contract that may move escrow, `other` for a second one.
abstract contract EscrowTest is Exchange {
    OrgId internal constant FUND = OrgId.wrap(0);
    OrgId internal constant UNKNOWN = OrgId.wrap(99);
    bytes32 internal constant KEY = "account";
    uint256 internal constant FUNDED = 1_000_000_000;
    address internal opener = makeAddr("opener");
    address internal other = makeAddr("other");
    address internal clerk = makeAddr("clerk");

    function setUp() public virtual override {
        super.setUp();
        vm.startPrank(address(timelock));
        directory.setRight(opener, Rights.ESCROW_MOVE, true);
        directory.setRight(other, Rights.ESCROW_MOVE, true);
        vm.stopPrank();
    }

    function _lock(uint256 amount) internal {
        vm.prank(opener);
        escrow.lock(KEY, buyerOrg, buyer, amount);
    }

    function _revoke(address holder) internal {
        vm.prank(address(timelock));
        directory.setRight(holder, Rights.ESCROW_MOVE, false);
    }

    function _insufficientAccount(address holder, uint256 held, uint256 wanted) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientAccount.selector, holder, KEY, held, wanted)
        );
    }

    function _insufficientFree(OrgId org, uint256 available, uint256 wanted) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_InsufficientFree.selector, org, available, wanted)
        );
    }

    function _noRight(address caller) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, caller, Rights.ESCROW_MOVE)
        );
    }

    function _limitedClerk(uint96 limit) internal {
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, limit);
    }
}

contract EscrowDepositTest is EscrowTest {
    function test_WhenAllowed_AddsToFree() external {
        uint256 total = escrow.total();
        vm.prank(council);
        credits.mint(rival, 70, 0);
        vm.startPrank(rival);
        credits.approve(address(escrow), 70);
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(buyerOrg, rival, 70);
        escrow.deposit(buyerOrg, 70);
        vm.stopPrank();
        assertEq(escrow.free(buyerOrg), FUNDED + 70, "anyone may pay in for an organisation");
        assertEq(escrow.total(), total + 70);
        assertEq(credits.balanceOf(address(escrow)), total + 70);
    }

    function test_RevertWhen_UnknownOrganisation() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_UnknownOrganisation.selector, UNKNOWN));
        escrow.deposit(UNKNOWN, 0);
    }

    function test_RevertWhen_Fund() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_UnknownOrganisation.selector, FUND));
        escrow.deposit(FUND, 0);
    }

    function test_RevertWhen_NoAllowance() external {
        vm.prank(council);
        credits.mint(buyer, 70, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(escrow), 0, 70)
        );
        vm.prank(buyer);
        escrow.deposit(buyerOrg, 70);
    }
}

contract EscrowWithdrawTest is EscrowTest {
    function test_WhenAdmin_GoesToThePayoutAddress() external {
        vm.startPrank(buyer);
        members.setPayout(other);
        vm.expectEmit(address(escrow));
        emit IEscrow.Withdrawn(buyerOrg, other, 70);
        escrow.withdraw(70);
        vm.stopPrank();
        assertEq(credits.balanceOf(other), 70);
        assertEq(escrow.free(buyerOrg), FUNDED - 70);
        assertEq(escrow.total(), 4 * FUNDED - 70);
    }

    /// @dev E7: suspension and loss of every role stop new orders only.
    function test_WhenSuspended_StillGoesOut() external {
        vm.startPrank(council);
        members.setSuspended(buyerOrg, true);
        members.setRoles(buyerOrg, 0);
        vm.stopPrank();
        vm.prank(buyer);
        escrow.withdraw(FUNDED);
        assertEq(credits.balanceOf(buyer), FUNDED);
    }

    function test_RevertWhen_MoreThanFree() external {
        _lock(1);
        _insufficientFree(buyerOrg, FUNDED - 1, FUNDED);
        vm.prank(buyer);
        escrow.withdraw(FUNDED);
    }

    function test_RevertWhen_NotAdmin() external {
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.ALL & ~MemberRights.ADMIN, type(uint96).max);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.ADMIN));
        vm.prank(clerk);
        escrow.withdraw(1);
    }

    function test_RevertWhen_NotMember() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, council));
        vm.prank(council);
        escrow.withdraw(1);
    }
}

contract EscrowWithdrawFundTest is EscrowTest {
    function setUp() public override {
        super.setUp();
        _lock(50);
        vm.prank(opener);
        escrow.pay(KEY, FUND, 50);
    }

    function test_WhenCouncil_GoesWhereItSays() external {
        vm.expectEmit(address(escrow));
        emit IEscrow.Withdrawn(FUND, other, 30);
        vm.prank(council);
        escrow.withdrawFund(other, 30);
        assertEq(credits.balanceOf(other), 30);
        assertEq(escrow.free(FUND), 20);
    }

    function test_RevertWhen_MoreThanTheFund() external {
        _insufficientFree(FUND, 50, 51);
        vm.prank(council);
        escrow.withdrawFund(other, 51);
    }

    function test_RevertWhen_NotCouncil() external {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, address(timelock)));
        vm.prank(address(timelock));
        escrow.withdrawFund(other, 1);
    }
}

contract EscrowSweepTest is EscrowTest {
    function test_WhenCreditsWereDonated_TheFundHasThem() external {
        vm.prank(council);
        credits.mint(address(escrow), 40, 0);
        vm.expectEmit(address(escrow));
        emit IEscrow.Swept(40);
        escrow.sweep();
        assertEq(escrow.free(FUND), 40);
        assertEq(escrow.total(), credits.balanceOf(address(escrow)));
    }

    function test_RevertWhen_NoSurplus() external {
        vm.expectRevert(IEscrow.Escrow_NothingToSweep.selector);
        escrow.sweep();
    }
}

contract EscrowLockTest is EscrowTest {
    function test_WhenCovered_MovesFreeIntoTheCallersAccount() external {
        vm.expectEmit(address(escrow));
        emit IEscrow.Locked(opener, KEY, buyerOrg, buyer, 60);
        _lock(60);
        assertEq(escrow.free(buyerOrg), FUNDED - 60);
        assertEq(escrow.balance(opener, KEY), 60);
        assertEq(escrow.balance(other, KEY), 0, "an account is its opener's");
        assertEq(escrow.total(), 4 * FUNDED);
    }

    function test_WhenLimited_Counts() external {
        _limitedClerk(100);
        vm.prank(opener);
        escrow.lock(KEY, buyerOrg, clerk, 100);
        assertEq(members.member(clerk).spent, 100);
    }

    function test_RevertWhen_MoreThanFree() external {
        _insufficientFree(buyerOrg, FUNDED, FUNDED + 1);
        _lock(FUNDED + 1);
    }

    function test_RevertWhen_OverTheMembersLimit() external {
        _limitedClerk(100);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_OverLimit.selector, clerk, 100, 101));
        vm.prank(opener);
        escrow.lock(KEY, buyerOrg, clerk, 101);
    }

    function test_RevertWhen_ByAnotherOrganisationsMember() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, rival));
        vm.prank(opener);
        escrow.lock(KEY, buyerOrg, rival, 1);
    }

    function test_RevertWhen_CallerHasNoRight() external {
        address[3] memory callers = [buyer, council, address(leases)];
        for (uint256 i; i < callers.length; ++i) {
            _noRight(callers[i]);
            vm.prank(callers[i]);
            escrow.lock(KEY, buyerOrg, buyer, 1);
        }
    }

    function test_RevertWhen_RightWasTakenAway() external {
        _revoke(opener);
        _noRight(opener);
        _lock(1);
    }
}

contract EscrowUnlockTest is EscrowTest {
    function test_WhenHeld_ReturnsToFreeAndToTheLimit() external {
        _limitedClerk(100);
        vm.startPrank(opener);
        escrow.lock(KEY, buyerOrg, clerk, 100);
        vm.expectEmit(address(escrow));
        emit IEscrow.Unlocked(opener, KEY, buyerOrg, clerk, 40);
        escrow.unlock(KEY, buyerOrg, clerk, 40);
        vm.stopPrank();
        assertEq(escrow.free(buyerOrg), FUNDED - 60);
        assertEq(escrow.balance(opener, KEY), 60);
        assertEq(members.member(clerk).spent, 60);
    }

    function test_WhenRightWasTakenAway_StillReturns() external {
        _lock(60);
        _revoke(opener);
        vm.prank(opener);
        escrow.unlock(KEY, buyerOrg, buyer, 60);
        assertEq(escrow.free(buyerOrg), FUNDED);
    }

    function test_WhenTheMemberLeft_StillReturns() external {
        _limitedClerk(100);
        vm.prank(opener);
        escrow.lock(KEY, buyerOrg, clerk, 100);
        vm.prank(clerk);
        members.leave();
        vm.prank(opener);
        escrow.unlock(KEY, buyerOrg, clerk, 100);
        assertEq(escrow.free(buyerOrg), FUNDED);
    }

    function test_RevertWhen_MoreThanHeld() external {
        _lock(60);
        _insufficientAccount(opener, 60, 61);
        vm.prank(opener);
        escrow.unlock(KEY, buyerOrg, buyer, 61);
    }

    function test_RevertWhen_AnotherContractsAccount() external {
        _lock(60);
        _insufficientAccount(other, 0, 1);
        vm.prank(other);
        escrow.unlock(KEY, buyerOrg, buyer, 1);
    }
}

contract EscrowPayTest is EscrowTest {
    function test_WhenHeld_AddsToTheOthersFree() external {
        _lock(60);
        vm.expectEmit(address(escrow));
        emit IEscrow.Paid(opener, KEY, northOrg, 25);
        vm.prank(opener);
        escrow.pay(KEY, northOrg, 25);
        assertEq(escrow.free(northOrg), FUNDED + 25);
        assertEq(escrow.balance(opener, KEY), 35);
        assertEq(escrow.total(), 4 * FUNDED);
    }

    function test_WhenRightWasTakenAway_StillPays() external {
        _lock(60);
        _revoke(opener);
        vm.prank(opener);
        escrow.pay(KEY, northOrg, 60);
        assertEq(escrow.free(northOrg), FUNDED + 60);
    }

    function test_RevertWhen_MoreThanHeld() external {
        _lock(60);
        _insufficientAccount(opener, 60, 61);
        vm.prank(opener);
        escrow.pay(KEY, northOrg, 61);
    }

    function test_RevertWhen_NothingHeld() external {
        _lock(60);
        _insufficientAccount(council, 0, 1);
        vm.prank(council);
        escrow.pay(KEY, northOrg, 1);
    }
}

contract EscrowPassTest is EscrowTest {
    bytes32 internal constant TARGET = "target";

    function test_WhenReceiverMayMove_HandsOver() external {
        _lock(60);
        vm.expectEmit(address(escrow));
        emit IEscrow.Passed(opener, KEY, other, TARGET, 45);
        vm.prank(opener);
        escrow.pass(KEY, other, TARGET, 45);
        assertEq(escrow.balance(opener, KEY), 15);
        assertEq(escrow.balance(other, TARGET), 45);
        assertEq(escrow.total(), 4 * FUNDED);
    }

    function test_WhenSendersRightWasTakenAway_StillPasses() external {
        _lock(60);
        _revoke(opener);
        vm.prank(opener);
        escrow.pass(KEY, other, TARGET, 60);
        assertEq(escrow.balance(other, TARGET), 60);
    }

    function test_RevertWhen_ReceiverHasNoRight() external {
        _lock(60);
        _noRight(buyer);
        vm.prank(opener);
        escrow.pass(KEY, buyer, TARGET, 1);
    }

    function test_RevertWhen_MoreThanHeld() external {
        _lock(60);
        _insufficientAccount(opener, 60, 61);
        vm.prank(opener);
        escrow.pass(KEY, other, TARGET, 61);
    }
}

contract EscrowCanLockTest is EscrowTest {
    function testFuzz_Always_SaysWhetherLockGoesThrough(uint96 amount, uint96 limit) external {
        amount = uint96(bound(amount, 0, 2 * FUNDED));
        limit = uint96(bound(limit, 0, 2 * FUNDED));
        _limitedClerk(limit);
        bool can = escrow.canLock(buyerOrg, clerk, amount);
        assertEq(can, amount <= limit && amount <= FUNDED);
        vm.prank(opener);
        (bool ok,) = address(escrow).call(abi.encodeCall(IEscrow.lock, (KEY, buyerOrg, clerk, amount)));
        assertEq(ok, can);
    }

    function test_WhenOfAnotherOrganisation_Cannot() external view {
        assertFalse(escrow.canLock(buyerOrg, rival, 0));
    }
}

contract EscrowFuzzTest is EscrowTest {
    /// @dev Invariant I1 on a random history of moves between two openers and two organisations.
    function testFuzz_Always_SumIsTotal(uint96[12] calldata amounts, uint8[12] calldata moves) external {
        for (uint256 i; i < moves.length; ++i) {
            address from = moves[i] & 1 == 0 ? opener : other;
            uint256 held = escrow.balance(from, KEY);
            uint256 available = escrow.free(buyerOrg);
            uint256 move = (moves[i] >> 1) % 4;
            vm.prank(from);
            if (move == 0) escrow.lock(KEY, buyerOrg, buyer, bound(amounts[i], 0, available));
            else if (move == 1) escrow.unlock(KEY, buyerOrg, buyer, bound(amounts[i], 0, held));
            else if (move == 2) escrow.pay(KEY, northOrg, bound(amounts[i], 0, held));
            else escrow.pass(KEY, other, KEY, bound(amounts[i], 0, held));
        }
        uint256 sum = escrow.balance(opener, KEY) + escrow.balance(other, KEY) + escrow.free(buyerOrg)
            + escrow.free(northOrg) + escrow.free(southOrg) + escrow.free(rivalOrg);
        assertEq(sum, escrow.total());
        assertEq(escrow.total(), credits.balanceOf(address(escrow)));
    }
}
