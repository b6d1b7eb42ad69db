// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {Witnesses} from "../../../contracts/Witnesses.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {OrgId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @dev `auditor` stands for the contract that slashes.
abstract contract PoolTest is WitnessBase {
    address internal auditor = makeAddr("auditor");

    function setUp() public virtual override {
        super.setUp();
        _setAuditor(true);
        _admitWitness(0);
        _admitWitness(0);
    }

    function _setAuditor(bool granted) internal {
        vm.prank(address(timelock));
        directory.setRight(auditor, Rights.WITNESSES_SLASH, granted);
    }

    function _bind(uint256 n, bool bound) internal {
        vm.prank(auditor);
        witnesses.bind(orgs[n], bound);
    }

    function _leave(uint256 n) internal returns (uint32 exit) {
        vm.prank(admins[n]);
        witnesses.leave();
        return witnesses.witness(orgs[n]).exit;
    }

    function _stillBound(uint256 n, uint32 until) internal {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_StillBound.selector, orgs[n], until));
        _withdraw(n);
    }

    function _withdraw(uint256 n) internal {
        vm.prank(admins[n]);
        witnesses.withdraw();
    }

    function _held(uint256 n) internal view returns (uint256) {
        return escrow.balance(address(witnesses), _account(orgs[n]));
    }
}

contract WitnessesJoinTest is PoolTest {
    function test_WhenAllowed_StakesAndJoinsWithTheNextEpoch() external {
        vm.expectEmit(address(witnesses));
        emit IWitnesses.WitnessJoined(orgs[0], signers[0], STAKE, _epoch() + 1);
        _joinAs(0);
        IWitnesses.Witness memory w = witnesses.witness(orgs[0]);
        assertEq(w.signer, signers[0]);
        assertEq(w.joined, _epoch() + 1);
        assertEq(w.since, _epoch() + 1);
        assertEq(w.stake, STAKE);
        assertEq(w.stakedBy, admins[0]);
        assertEq(_held(0), STAKE);
        assertEq(escrow.free(orgs[0]), FUNDED - STAKE);
        assertTrue(witnesses.signerOf(signers[0]) == orgs[0]);
        assertEq(witnesses.pool().length, 1);
    }

    function test_RevertWhen_ThereAlready() external {
        _joinAs(0);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_Joined.selector, orgs[0]));
        _joinAs(0);
    }

    function test_RevertWhen_NotAWitnessOrSuspended() external {
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRole.selector, northOrg, Roles.WITNESS));
        vm.prank(north);
        witnesses.join(signers[0], STAKE);
        vm.prank(council);
        members.setSuspended(orgs[0], true);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_Suspended.selector, orgs[0]));
        _joinAs(0);
    }

    function test_RevertWhen_NotAnAdmin() external {
        address clerk = makeAddr("clerk");
        vm.prank(admins[0]);
        members.setMember(clerk, MemberRights.SIGN, 0);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.ADMIN));
        vm.prank(clerk);
        witnesses.join(signers[0], STAKE);
    }

    function test_RevertWhen_StakeTooLow() external {
        vm.expectRevert(
            abi.encodeWithSelector(IWitnesses.Witnesses_StakeTooLow.selector, MIN_STAKE - 1, MIN_STAKE)
        );
        vm.prank(admins[0]);
        witnesses.join(signers[0], MIN_STAKE - 1);
    }

    function test_RevertWhen_SignerIsAnothersOrNone() external {
        _joinAs(0);
        address[2] memory bad = [signers[0], address(0)];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_BadSigner.selector, bad[i]));
            vm.prank(admins[1]);
            witnesses.join(bad[i], STAKE);
        }
    }

    function test_RevertWhen_ThePoolIsFull() external {
        _join(64);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_PoolFull.selector, 64));
        _joinAs(0);
    }
}

contract WitnessesTermsTest is PoolTest {
    function _refused(IWitnesses.Terms memory t) internal {
        vm.expectRevert(IWitnesses.Witnesses_BadTerms.selector);
        new Witnesses(directory, members, escrow, leases, t);
    }

    function test_RevertWhen_CommitteesMakeNoSense() external {
        IWitnesses.Terms memory t = _witnessTerms();
        t.smallSize = 2;
        _refused(t);
        t = _witnessTerms();
        t.smallQuorum = 1;
        _refused(t);
        t = _witnessTerms();
        t.largeQuorum = 6;
        _refused(t);
        t = _witnessTerms();
        t.largeSize = 7;
        _refused(t);
        t = _witnessTerms();
        t.largePool = 4;
        _refused(t);
        t = _witnessTerms();
        t.minStake = 0;
        _refused(t);
        t = _witnessTerms();
        t.slashPpm = 1_000_001;
        _refused(t);
    }
}

contract WitnessesStakeTest is PoolTest {
    function setUp() public override {
        super.setUp();
        _joinAs(0);
    }

    function test_WhenAdded_IsLocked() external {
        vm.expectEmit(address(witnesses));
        emit IWitnesses.StakeAdded(orgs[0], 500, STAKE + 500);
        vm.prank(admins[0]);
        witnesses.addStake(500);
        assertEq(_held(0), STAKE + 500);
        assertEq(witnesses.witness(orgs[0]).since, _epoch() + 1, "as it was: it was enough");
    }

    /// The member whose limit carries the stake is the one that gets it back.
    function test_WhenAddedByAnother_ThatOneCarriesAllOfIt() external {
        address second = makeAddr("second");
        vm.prank(admins[0]);
        members.setMember(second, MemberRights.ADMIN, 3 * STAKE);
        vm.prank(second);
        witnesses.addStake(500);
        assertEq(members.member(second).spent, STAKE + 500);
        assertEq(witnesses.witness(orgs[0]).stakedBy, second);
        uint32 exit = _leave(0);
        _to(exit);
        _withdraw(0);
        assertEq(members.member(second).spent, 0);
        assertEq(escrow.free(orgs[0]), FUNDED);
    }

    /// W2: nobody fills up its stake to change who is drawn by a seed that is known.
    function test_WhenFilledUp_CountsFromTheNextEpoch() external {
        _to(_epoch() + 3);
        vm.startPrank(auditor);
        witnesses.slash(orgs[0], "audit");
        witnesses.slash(orgs[0], "audit");
        vm.stopPrank();
        assertEq(witnesses.witness(orgs[0]).stake, STAKE / 4);
        vm.prank(admins[0]);
        witnesses.addStake(STAKE);
        assertEq(witnesses.witness(orgs[0]).since, _epoch() + 1);
        assertLt(witnesses.witness(orgs[0]).joined, _epoch());
    }

    function test_RevertWhen_NotAWitness() external {
        bytes memory expected = abi.encodeWithSelector(IWitnesses.Witnesses_NotWitness.selector, orgs[1]);
        vm.startPrank(admins[1]);
        vm.expectRevert(expected);
        witnesses.addStake(1);
        vm.expectRevert(expected);
        witnesses.setSigner(signers[1]);
        vm.expectRevert(expected);
        witnesses.leave();
        vm.expectRevert(expected);
        witnesses.withdraw();
        vm.stopPrank();
    }

    function test_WhenTheSignerChanges_TheOldOneIsFree() external {
        address key = makeAddr("key");
        vm.expectEmit(address(witnesses));
        emit IWitnesses.SignerChanged(orgs[0], key);
        vm.prank(admins[0]);
        witnesses.setSigner(key);
        assertTrue(witnesses.signerOf(key) == orgs[0]);
        assertTrue(witnesses.signerOf(signers[0]) == OrgId.wrap(0));
        vm.prank(admins[1]);
        witnesses.join(signers[0], STAKE);
    }

    function test_RevertWhen_TheSignerIsAnothers() external {
        _joinAs(1);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_BadSigner.selector, signers[1]));
        vm.prank(admins[0]);
        witnesses.setSigner(signers[1]);
    }
}

contract WitnessesLeaveTest is PoolTest {
    uint32 internal exit;

    function setUp() public override {
        super.setUp();
        _joinAs(0);
        _joinAs(1);
        _to(_epoch() + 3);
        exit = _leave(0);
    }

    function test_Always_EndsAfterTwoTermsAndFinality() external view {
        assertEq(exit, _epoch() + 53);
    }

    function test_RevertWhen_Twice() external {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_StillBound.selector, orgs[0], exit));
        _leave(0);
    }

    function test_RevertWhen_WithdrawnBeforeTheExit() external {
        _stillBound(1, 0);
        vm.warp(uint256(exit) * epochTime - 1);
        _stillBound(0, exit);
    }

    /// Nobody is locked in: not by loss of the role, suspension, or a right that was taken from the contract.
    function test_WhenTheExitCame_ReturnsTheStakeWhateverTheCouncilDid() external {
        vm.startPrank(council);
        members.setSuspended(orgs[0], true);
        members.setRoles(orgs[0], 0);
        vm.stopPrank();
        vm.startPrank(address(timelock));
        directory.setRight(address(witnesses), Rights.ESCROW_MOVE, false);
        vm.stopPrank();
        vm.warp(uint256(exit) * epochTime);
        vm.expectEmit(address(witnesses));
        emit IWitnesses.StakeReturned(orgs[0], STAKE);
        _withdraw(0);
        assertEq(escrow.free(orgs[0]), FUNDED);
        assertEq(_held(0), 0);
        assertEq(witnesses.pool().length, 1);
        assertTrue(witnesses.pool()[0] == orgs[1]);
        assertTrue(witnesses.signerOf(signers[0]) == OrgId.wrap(0));
    }

    function test_WhenAnAuditIsOpen_WaitsForItsEnd() external {
        _bind(0, true);
        _bind(0, true);
        _to(exit);
        _stillBound(0, exit + 24);
        _bind(0, false);
        _stillBound(0, exit + 24);
        _bind(0, false);
        _withdraw(0);
        assertEq(escrow.free(orgs[0]), FUNDED);
    }

    /// An audit that nobody closes, even a hundred of them, holds nobody for ever.
    function test_WhenAuditsAreNeverClosed_ReturnsTheStakeATermLater() external {
        for (uint256 i; i < 100; ++i) {
            _bind(0, true);
        }
        _to(exit + 23);
        _stillBound(0, exit + 24);
        _to(exit + 24);
        _withdraw(0);
        assertEq(escrow.free(orgs[0]), FUNDED);
    }

    function test_WhenTheAuditorsRightIsGone_ItCanLetGoOnly() external {
        _bind(0, true);
        _setAuditor(false);
        vm.expectRevert(
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, auditor, Rights.WITNESSES_SLASH)
        );
        _bind(0, true);
        _bind(0, false);
        _bind(0, false); // one too many changes nothing
        _to(exit);
        _withdraw(0);
    }

    function test_RevertWhen_AStrangerBindsOrSlashes() external {
        bytes memory expected = abi.encodeWithSelector(
            IDirectory.Directory_NoRight.selector, address(this), Rights.WITNESSES_SLASH
        );
        vm.expectRevert(expected);
        witnesses.bind(orgs[0], true);
        vm.expectRevert(expected);
        witnesses.bind(orgs[0], false);
        vm.expectRevert(expected);
        witnesses.slash(orgs[0], "x");
    }

    function test_WhenItComesBack_BeginsAnew() external {
        _to(exit);
        _withdraw(0);
        _joinAs(0);
        assertEq(witnesses.witness(orgs[0]).joined, _epoch() + 1);
        assertEq(witnesses.witness(orgs[0]).exit, 0);
        assertEq(witnesses.pool().length, 2);
    }
}

contract WitnessesSlashTest is PoolTest {
    function setUp() public override {
        super.setUp();
        _joinAs(0);
    }

    function test_Always_TakesTheShareToTheFundAndBars() external {
        uint256 fund = escrow.free(OrgId.wrap(0));
        vm.expectEmit(address(witnesses));
        emit IWitnesses.WitnessSlashed(orgs[0], "audit", STAKE / 2);
        vm.prank(auditor);
        witnesses.slash(orgs[0], "audit");
        assertEq(escrow.free(OrgId.wrap(0)), fund + STAKE / 2);
        assertEq(_held(0), STAKE / 2);
        IWitnesses.Witness memory w = witnesses.witness(orgs[0]);
        assertEq(w.stake, STAKE / 2);
        assertEq(w.barredFrom, _epoch());
        assertEq(w.barredUntil, _epoch() + 30);
    }

    /// Nobody gets around the bar by leaving and coming back.
    function test_WhenItComesBack_TheBarStays() external {
        uint32 exit = _leave(0);
        _to(exit - 1);
        vm.prank(auditor);
        witnesses.slash(orgs[0], "audit");
        _to(exit);
        _withdraw(0);
        _joinAs(0);
        assertEq(witnesses.witness(orgs[0]).barredFrom, exit - 1);
        assertEq(witnesses.witness(orgs[0]).barredUntil, exit + 29);
    }

    function test_RevertWhen_NotAWitness() external {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_NotWitness.selector, orgs[1]));
        vm.prank(auditor);
        witnesses.slash(orgs[1], "audit");
    }
}
