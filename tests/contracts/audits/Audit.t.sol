// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AuditsBase} from "./AuditsBase.sol";
import {Audits} from "../../../contracts/Audits.sol";
import {IAudits} from "../../../contracts/interfaces/IAudits.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, OrgId, SlaId} from "../../../contracts/interfaces/Types.sol";

contract AuditTest is AuditsBase {
    /// @dev What is done to each sample, so that it is committed as it is shown.
    bytes32 private _lie;

    function _sample(uint256 n, IWitnesses.Leaf memory leaf, uint256 epoch, uint16 round)
        internal
        view
        override
        returns (IAudits.Sample memory s)
    {
        s = super._sample(n, leaf, epoch, round);
        if (_lie == "early") s.at -= 101;
        if (_lie == "latest") s.at += TOLERANCE - 100;
        if (_lie == "late") s.at += TOLERANCE - 99;
        if (_lie == "other") s.outcome = s.outcome == 1 ? 2 : 1;
        if (_lie == "buyer") s.outcome = s.outcome == 1 ? 3 : s.outcome;
        if (_lie == "path") s.outcome = 4;
        if (_lie == "unsigned") s.signature = "";
        if (_lie == "copied") s.signature = _receipt(RESPONDER, leaf, epoch, round, signers[n + 1], s.nonce);
        if (_lie == "foreign") s.signature = _receipt(0xABC, leaf, epoch, round, signers[n], s.nonce);
        if (_lie == "old") s.signature = _receipt(RESPONDER, leaf, epoch - 1, round, signers[n], s.nonce);
    }

    /// @dev Witness 0 measured all rounds but the last ten, five of them down.
    function _measure(bytes32 lie) private returns (IWitnesses.Leaf memory leaf) {
        _lie = lie;
        leaf = _say(0, e, ALL >> 10, 31);
        _publish(e);
    }

    /// @dev What an answer to an audit of a round comes to.
    function _audited(bytes32 lie, uint16 round, bytes32 why) private {
        _measure(lie);
        uint256 id = _audit(0, e, round);
        vm.expectEmit(address(audits));
        if (why == 0) emit IAudits.AuditPassed(id);
        else emit IAudits.AuditFailed(id, why);
        _answer(0, id);
        _assertSlashed(0, why == 0 ? 0 : 1);
        assertTrue(audits.auditOf(id).closed);
    }

    function _guestLease(bool proven) private {
        lease = _leaseUnder(guested);
        if (!proven) return;
        address[] memory guests = new address[](1);
        guests[0] = vm.addr(RESPONDER);
        bytes32 delivery = leases.lease(lease).delivery;
        for (uint256 n; n < 2; ++n) {
            vm.prank(signers[n]);
            witnesses.seen(lease, 1, delivery, guests);
        }
        assertEq(witnesses.guestsOf(lease)[0], guests[0]);
    }

    /// R7: nobody makes an honest measurement a lie by registering what the lease never promised, nor by never doing so.
    function test_WhenItsSlaWasRegisteredLaterOrNever_NeedsNoReceipt() external {
        guested = SlaId.wrap(SlaId.unwrap(guested) + 1);
        _guestLease(true);
        e = _epoch() + 1;
        _measure("unsigned");
        _answer(0, _audit(0, e, 7));
        _assertSlashed(0, 0);
        IVerdicts.Tier[] memory tiers = new IVerdicts.Tier[](1);
        tiers[0] = IVerdicts.Tier(980_000, 100_000, 0);
        assertEq(SlaId.unwrap(verdicts.registerSla(tiers, true)), SlaId.unwrap(guested));
        _answer(0, _audit(0, e, 8));
        _assertSlashed(0, 0);
    }

    function test_WhenUpAsMeasured_Passes() external {
        _audited("", 7, 0);
    }

    function test_WhenDownAsMeasured_Passes() external {
        _audited("", 3, 0);
    }

    function test_WhenAtTheEndOfTheTolerance_Passes() external {
        _audited("latest", 7, 0);
    }

    function test_WhenTheBuyerWasAtFault_Passes() external {
        _audited("buyer", 7, 0);
    }

    function test_WhenItSaidItCouldNotTell_PassesWithoutASample() external {
        _measure("");
        uint256 id = _audit(0, e, 55);
        IAudits.Sample memory nothing;
        vm.prank(signers[0]);
        audits.answer(id, _key(0, e), _open(0, e), _rootedLeaf(0, e, 0), nothing, new bytes32[](0));
        assertTrue(audits.auditOf(id).closed);
        _assertSlashed(0, 0);
    }

    function test_WhenTooEarly_Slashed() external {
        _audited("early", 7, "time");
    }

    function test_WhenTooLate_Slashed() external {
        _audited("late", 7, "time");
    }

    function test_WhenTheSampleSaysDownAndTheLeafUp_Slashed() external {
        _audited("other", 7, "outcome");
    }

    function test_WhenTheSampleSaysUpAndTheLeafDown_Slashed() external {
        _audited("other", 3, "outcome");
    }

    function test_WhenTheSampleCouldNotTellAndTheLeafCan_Slashed() external {
        _audited("path", 7, "outcome");
    }

    /// A machine called down in a round it says it could not tell.
    function test_WhenDownIsNotMeasured_Slashed() external {
        IWitnesses.Leaf memory leaf = _measured(0, lease, e, ALL ^ 1, 1);
        _root(0, e, leaf);
        _publish(e);
        _answer(0, _audit(0, e, 0));
        _assertSlashed(0, 1);
    }

    // ---- the guest ---------------------------------------------------------------------------------------------

    function test_WhenTheGuestSigned_Passes() external {
        _guestLease(true);
        _audited("", 7, 0);
    }

    function test_WhenTheGuestDidNotSign_Slashed() external {
        _guestLease(true);
        _audited("unsigned", 7, "receipt");
    }

    function test_WhenAnotherGuestSigned_Slashed() external {
        _guestLease(true);
        _audited("foreign", 7, "receipt");
    }

    function test_WhenItSignedForAnotherWitness_Slashed() external {
        _guestLease(true);
        _audited("copied", 7, "receipt");
    }

    function test_WhenItSignedForAnotherEpoch_Slashed() external {
        _guestLease(true);
        _audited("old", 7, "receipt");
    }

    function test_WhenDown_NeedsNoReceipt() external {
        _guestLease(true);
        _audited("unsigned", 3, 0);
    }

    function test_WhenNoResponderIsProven_NeedsNoReceipt() external {
        _guestLease(false);
        _audited("unsigned", 7, 0);
    }

    /// A new key answers for what the one before it measured; a third does not.
    function test_WhenTheSignerChanged_TheReceiptsOfTheFormerOneCount() external {
        _guestLease(true);
        _measure("");
        uint256 first = _audit(0, e, 7);
        uint256 second = _audit(0, e, 8);
        address before = signers[0];
        IWitnesses.Leaf memory leaf = _rootedLeaf(0, e, 0).leaf;
        vm.prank(admins[0]);
        witnesses.setSigner(makeAddr("new key"));
        bytes32[] memory proof = _proof(_samples(0, leaf, e), 7);
        IAudits.Sample memory s = _sample(0, leaf, e, 7);
        IAudits.Sample memory t = _sample(0, leaf, e, 8);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotSigner.selector, orgs[0], before));
        vm.prank(before);
        audits.answer(first, _key(0, e), _open(0, e), _rootedLeaf(0, e, 0), s, proof);
        vm.prank(makeAddr("new key"));
        audits.answer(first, _key(0, e), _open(0, e), _rootedLeaf(0, e, 0), s, proof);
        _assertSlashed(0, 0);
        vm.prank(admins[0]);
        witnesses.setSigner(makeAddr("third key"));
        proof = _proof(_samples(0, leaf, e), 8);
        vm.prank(makeAddr("third key"));
        audits.answer(second, _key(0, e), _open(0, e), _rootedLeaf(0, e, 0), t, proof);
        _assertSlashed(0, 1);
    }

    // ---- who, when, what ---------------------------------------------------------------------------------------

    function _closed(uint256 n, uint32 epoch, uint8 place, uint16 round) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_Closed.selector, orgs[n], epoch));
        vm.prank(buyer);
        audits.audit(orgs[n], epoch, lease, place, round);
    }

    function test_RevertWhen_NoAuditorAsks() external {
        _measure("");
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotAuditor.selector, rivalOrg));
        vm.prank(rival);
        audits.audit(orgs[0], e, lease, 0, 7);
        vm.prank(council);
        members.setSuspended(buyerOrg, true);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotAuditor.selector, buyerOrg));
        vm.prank(buyer);
        audits.commitCanary("hash");
    }

    /// An answer would tell the salt before its time, and so the seed.
    function test_RevertWhen_TheEpochIsNotOpened() external {
        _say(0, e, ALL, 0);
        _tickEpoch(e);
        _closed(0, e, 0, 7);
        silent[0][e + 1] = true;
        _tickEpoch(e + 1);
        _closed(0, e, 0, 7);
    }

    function test_RevertWhen_TheCommitmentIsForgotten() external {
        _measure("");
        uint256 snapshot = vm.snapshotState();
        vm.warp(uint256(e + 17) * 3600 - 1);
        _audit(0, e, 7);
        vm.revertToState(snapshot);
        vm.warp(uint256(e + 17) * 3600);
        _closed(0, e, 0, 7);
    }

    function test_RevertWhen_TheRoundDoesNotBill() external {
        _measure("");
        _closed(0, e, 1, 7);
        _closed(0, e, 255, 7);
        _closed(0, e, 0, 60);
        _closed(0, e, 0, type(uint16).max);
        _say(0, e + 2, ALL, 0);
        _publish(e + 2);
        // It was delivered seven seconds into the epoch before.
        _closed(0, e - 1, 0, 0);
    }

    function test_RevertWhen_TheWitnessDidNotSit() external {
        _measure("");
        _join(1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotSeat.selector, orgs[3], lease));
        vm.prank(buyer);
        audits.audit(orgs[3], e, lease, 0, 7);
    }

    function test_RevertWhen_TheCommitteeWasDrawnLater() external {
        LeaseId id = _openLease(1, 60, plain);
        vm.prank(north);
        leases.sign(id);
        _deliver(id, 1);
        _measure("");
        witnesses.draw(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotSeat.selector, orgs[0], id));
        vm.prank(buyer);
        audits.audit(orgs[0], e, id, 0, 7);
    }

    function test_RevertWhen_TheSameRoundIsAuditedAgain() external {
        _measure("");
        _answer(0, _audit(0, e, 7));
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_Counted.selector, orgs[0], e));
        vm.prank(buyer);
        audits.audit(orgs[0], e, lease, 0, 7);
    }

    function test_RevertWhen_FloodedByOneAuditor() external {
        _measure("");
        for (uint16 i; i < 4; ++i) {
            _audit(0, e, 7 + i);
        }
        _closed(0, e, 0, 20);
        _to(_epoch() + 1);
        _audit(0, e, 20);
    }

    function test_RevertWhen_AStrangerAnswers() external {
        IWitnesses.Leaf memory leaf = _measure("");
        uint256 id = _audit(0, e, 7);
        bytes32[] memory proof = _proof(_samples(0, leaf, e), 7);
        IAudits.Sample memory s = _sample(0, leaf, e, 7);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotSigner.selector, orgs[0], signers[1]));
        vm.prank(signers[1]);
        audits.answer(id, _key(0, e), _open(0, e), _rootedLeaf(0, e, 0), s, proof);
    }

    function _notCommitted(
        uint256 id,
        bytes32 key,
        IWitnesses.Opening memory o,
        IAudits.Rooted memory rooted,
        IAudits.Sample memory s,
        bytes32[] memory proof
    ) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NotCommitted.selector, id));
        vm.prank(signers[0]);
        audits.answer(id, key, o, rooted, s, proof);
    }

    function test_RevertWhen_WhatWasNotCommittedIsShown() external {
        IWitnesses.Leaf memory leaf = _say(0, e, ALL, 0);
        _root(0, e, _measured(0, LeaseId.wrap(77), e, ALL, 0));
        _say(0, e + 1, ALL, 0);
        _publish(e);
        uint256 id = _audit(0, e, 7);
        IAudits.Sample memory s = _sample(0, leaf, e, 7);
        bytes32[] memory proof = _proof(_samples(0, leaf, e), 7);
        IAudits.Rooted memory rooted = _rootedLeaf(0, e, 0);
        IWitnesses.Opening memory o = _open(0, e);

        _notCommitted(id, _key(0, e + 1), o, rooted, s, proof); // another epoch's key
        _notCommitted(id, _key(0, e + 1), _open(0, e + 1), _rootedLeaf(0, e + 1, 0), s, proof);
        _notCommitted(id, _key(0, e), o, _rootedLeaf(0, e, 1), s, proof); // another lease's leaf
        _notCommitted(id, _key(0, e), o, rooted, _sample(0, leaf, e, 8), proof);
        _notCommitted(id, _key(0, e), o, rooted, _sample(0, leaf, e, 8), _proof(_samples(0, leaf, e), 8));
        s.at += 1;
        _notCommitted(id, _key(0, e), o, rooted, s, proof);
        s.at -= 1;
        rooted.leaf.measured = 0; // it never said that it could not tell
        _notCommitted(id, _key(0, e), o, rooted, s, proof);
        rooted.leaf.measured = ALL;
        o.salt = "other";
        _notCommitted(id, _key(0, e), o, rooted, s, proof);
        _answer(0, id);
        _assertSlashed(0, 0);
    }

    // ---- time --------------------------------------------------------------------------------------------------

    function test_WhenUnanswered_AnyoneHasItSlashed() external {
        _measure("");
        uint256 id = _audit(0, e, 7);
        uint256 deadline = block.timestamp + 3600;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NoAudit.selector, id));
        audits.fail(id);
        vm.warp(deadline);
        IWitnesses.Leaf memory leaf = _rootedLeaf(0, e, 0).leaf;
        bytes32[] memory proof = _proof(_samples(0, leaf, e), 7);
        IAudits.Sample memory s = _sample(0, leaf, e, 7);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NoAudit.selector, id));
        vm.prank(signers[0]);
        audits.answer(id, _key(0, e), _open(0, e), _rootedLeaf(0, e, 0), s, proof);
        uint256 fund = escrow.free(FUND);
        vm.expectEmit(address(witnesses));
        emit IWitnesses.WitnessSlashed(orgs[0], "unanswered", STAKE / 2);
        vm.prank(makeAddr("anyone"));
        audits.fail(id);
        assertEq(escrow.free(FUND) - fund, STAKE / 2);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NoAudit.selector, id));
        audits.fail(id);
        vm.expectRevert(abi.encodeWithSelector(IAudits.Audits_NoAudit.selector, id + 1));
        audits.fail(id + 1);
    }

    /// A node that was away does not lose its stake four times over for one epoch.
    function test_WhenSeveralOfAnEpochFail_SlashedOnce() external {
        _measure("");
        uint256 one = _audit(0, e, 7);
        uint256 two = _audit(0, e, 8);
        _to(_epoch() + 2);
        audits.fail(one);
        audits.fail(two);
        _assertSlashed(0, 1);
        assertTrue(audits.auditOf(two).closed);
    }

    function test_WhenPassed_TheStakeIsFreeAgain() external {
        _measure("");
        vm.prank(admins[0]);
        witnesses.leave();
        uint32 exit = witnesses.witness(orgs[0]).exit;
        uint256 id = _audit(0, e, 7);
        uint256 snapshot = vm.snapshotState();
        _to(exit);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_StillBound.selector, orgs[0], exit + 24));
        vm.prank(admins[0]);
        witnesses.withdraw();
        // What nobody closes does not hold it for ever, and costs nothing afterwards.
        _to(exit + 24);
        vm.prank(admins[0]);
        witnesses.withdraw();
        vm.prank(admins[0]);
        witnesses.join(signers[0], STAKE);
        audits.fail(id);
        _assertSlashed(0, 0);
        vm.revertToState(snapshot);
        _answer(0, id);
        _to(exit);
        vm.prank(admins[0]);
        witnesses.withdraw();
    }

    /// W12: what is slashed goes to the council's fund, to the microcredit, whatever the stake.
    function testFuzz_SlashedIsConserved(uint96 more, uint8 rounds) external {
        more = uint96(bound(more, 1, FUNDED - STAKE));
        rounds = uint8(bound(rounds, 1, 4));
        vm.prank(admins[0]);
        witnesses.addStake(more);
        uint256 stake = _stake(0);
        for (uint256 i; i < rounds; ++i) {
            _root(0, e + i, IWitnesses.Leaf(lease, 0, ALL, 0, 0));
            _tickEpoch(uint32(e + i));
        }
        _tickEpoch(e + rounds);
        for (uint256 i; i < rounds; ++i) {
            _audit(0, uint32(e + i), 7);
        }
        _to(_epoch() + 2);
        uint256 fund = escrow.free(FUND);
        for (uint256 i; i < rounds; ++i) {
            audits.fail(i + 1);
            stake -= stake / 2;
        }
        assertEq(_stake(0), stake);
        assertEq(escrow.free(FUND) - fund, uint256(STAKE) + more - stake);
        assertEq(credits.balanceOf(address(escrow)), _total(), "escrow holds what it owes");
    }

    function _total() private pure returns (uint256) {
        return 4_000_000_000 + 3 * FUNDED;
    }

    function test_RevertWhen_TermsMeanOneRound() external {
        vm.expectRevert(IAudits.Audits_BadTerms.selector);
        new Audits(directory, members, leases, witnesses, verdicts, IAudits.Terms(2000, 1));
        vm.expectRevert(IAudits.Audits_BadTerms.selector);
        new Audits(directory, members, leases, witnesses, verdicts, IAudits.Terms(0, 6));
    }
}
