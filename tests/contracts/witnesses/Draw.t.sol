// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {Committee, LeaseId, OrgId, SlaId} from "../../../contracts/interfaces/Types.sol";

abstract contract DrawTest is WitnessBase {
    function _drawClosed(LeaseId id, uint32 term, uint32 from) internal {
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_DrawClosed.selector, id, term, from));
        witnesses.draw(id, term);
    }

    function _state(LeaseId id) internal view returns (Committee) {
        return leases.lease(id).committee;
    }

    function _assertState(LeaseId id, Committee state) internal view {
        assertEq(uint8(_state(id)), uint8(state), "committee");
    }

    function _sits(OrgId[] memory seats, OrgId org) internal pure returns (bool) {
        for (uint256 i; i < seats.length; ++i) {
            if (seats[i] == org) return true;
        }
        return false;
    }

    /// @dev The lots, drawn again.
    function _expected(LeaseId id, uint32 term, bytes32 seed, uint256 size)
        internal
        view
        returns (OrgId[] memory seats)
    {
        bytes32 lot = keccak256(abi.encode(seed, id, term));
        bool[] memory taken = new bool[](orgs.length);
        seats = new OrgId[](size);
        for (uint256 s; s < size; ++s) {
            uint256 best = type(uint256).max;
            uint256 who;
            for (uint256 n; n < orgs.length; ++n) {
                uint256 drawn = uint256(keccak256(abi.encode(lot, orgs[n])));
                if (!taken[n] && drawn < best) (best, who) = (drawn, n);
            }
            taken[who] = true;
            seats[s] = orgs[who];
        }
    }

    function _assertSeats(OrgId[] memory a, OrgId[] memory b) internal pure {
        assertEq(a.length, b.length, "size");
        for (uint256 i; i < a.length; ++i) {
            assertTrue(a[i] == b[i], "seat");
        }
    }
}

contract WitnessesDrawSmallTest is DrawTest {
    /// W1: no more than the committee: all sit, at once.
    function test_WhenThree_AllSitAtOnce() external {
        _pool(3);
        LeaseId id = _deliveredLease(1, 60);
        witnesses.draw(id, 0);
        IWitnesses.DrawnCommittee memory c = witnesses.committee(id, 0);
        assertEq(c.seats.length, 3);
        assertEq(c.quorum, 2);
        assertEq(c.drawn, _epoch());
        for (uint256 n; n < 3; ++n) {
            assertTrue(_sits(c.seats, orgs[n]));
        }
        _assertState(id, Committee.Drawn);
    }

    function test_WhenTwo_ThereIsNone() external {
        _pool(2);
        LeaseId id = _deliveredLease(1, 60);
        witnesses.draw(id, 0);
        assertEq(witnesses.committee(id, 0).seats.length, 0);
        assertEq(witnesses.committee(id, 0).drawn, _epoch());
        _assertState(id, Committee.Waived);
        _drawClosed(id, 0, 0);
    }

    /// W2: who joined in the epoch before the signature or later does not sit.
    function test_WhenJoinedTooLate_IsOutside() external {
        _join(3);
        _to(_epoch() + 1);
        LeaseId late = _deliveredLease(1, 60);
        _to(_epoch() + 1);
        LeaseId good = _deliveredLease(1, 60);
        assertEq(_draw(late, 0).length, 0);
        assertEq(_draw(good, 0).length, 3);
    }

    function test_WhenFour_TheSeedOfTheNextEpochDecides() external {
        _pool(4);
        _runTo(_epoch() + 2);
        uint32 s = _epoch();
        LeaseId id = _deliveredLease(1, 60);
        _drawClosed(id, 0, s + 2);
        _runTo(s + 1);
        vm.warp(uint256(s + 2) * epochTime - 1);
        _drawClosed(id, 0, s + 2);
        _runTo(s + 2);
        OrgId[] memory seats = _expected(id, 0, witnesses.seedOf(s + 1), 3);
        vm.expectEmit(address(witnesses));
        emit IWitnesses.CommitteeDrawn(id, 0, seats, 2, s + 2);
        witnesses.draw(id, 0);
        _assertSeats(witnesses.committee(id, 0).seats, seats);
        _assertState(id, Committee.Drawn);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_Drawn.selector, id, 0));
        witnesses.draw(id, 0);
    }

    /// When it is drawn decides nothing: not in the first epoch in which it can be, nor in the term's last.
    function test_WhenDrawnLate_TheSameSit() external {
        _pool(7);
        _runTo(_epoch() + 2);
        uint32 s = _epoch();
        LeaseId id = _deliveredLease(1, 60);
        _runTo(s + 2);
        uint256 snapshot = vm.snapshotState();
        OrgId[] memory early = _draw(id, 0);
        vm.revertToState(snapshot);
        _runTo(s + 23);
        _assertSeats(_draw(id, 0), early);
        assertEq(witnesses.committee(id, 0).drawn, s + 23);
    }

    /// Who leaves the pool meanwhile, in whatever order, moves nobody else.
    function test_WhenThePoolIsReordered_TheSameSit() external {
        _pool(8);
        vm.prank(admins[0]);
        witnesses.leave();
        uint32 exit = witnesses.witness(orgs[0]).exit;
        _to(exit - 2);
        _runTo(exit);
        LeaseId id = _deliveredLease(1, 60);
        _runTo(exit + 2);
        uint256 snapshot = vm.snapshotState();
        OrgId[] memory before = _draw(id, 0);
        vm.revertToState(snapshot);
        vm.prank(admins[0]);
        witnesses.withdraw();
        vm.prank(admins[0]);
        witnesses.join(signers[0], STAKE);
        _assertSeats(_draw(id, 0), before);
    }

    /// @dev Of five all tick and open through the epoch of the seed, but those from `from` on withhold what they
    /// committed in the epoch of the signature.
    function _withheld(uint256 from) private returns (LeaseId id, uint32 s) {
        _pool(5);
        _runTo(_epoch() + 2);
        s = _epoch();
        id = _deliveredLease(1, 60);
        _to(s + 1);
        for (uint256 n; n < from; ++n) {
            _tick(n, s);
        }
        _to(s + 2);
    }

    /// Who does not open in the epoch of the seed gives up its seat.
    function test_WhenOneWithheldItsSalt_TheOthersAreDrawn() external {
        (LeaseId id, uint32 s) = _withheld(4);
        assertFalse(witnesses.ticked(orgs[4], s - 1));
        OrgId left = orgs[4];
        orgs.pop();
        _assertSeats(_draw(id, 0), _expected(id, 0, witnesses.seedOf(s + 1), 3));
        assertFalse(_sits(witnesses.committee(id, 0).seats, left));
    }

    function test_WhenThreeAreLeft_AllOfThemSit() external {
        (LeaseId id, uint32 s) = _withheld(3);
        orgs.pop();
        orgs.pop();
        _assertSeats(_draw(id, 0), _expected(id, 0, witnesses.seedOf(s + 1), 3));
        assertEq(witnesses.committee(id, 0).quorum, 2);
    }

    /// R4: withholding leaves no lease without a committee. Who opened sits; the lot fills up from the others.
    function test_WhenTwoAreLeft_OneOfTheOthersSitsByLot() external {
        (LeaseId id, uint32 s) = _withheld(2);
        bytes32 seed = witnesses.seedOf(s + 1);
        OrgId[5] memory all;
        for (uint256 n; n < 5; ++n) {
            all[n] = orgs[n];
        }
        OrgId[] memory expected = new OrgId[](3);
        while (orgs.length > 2) orgs.pop();
        OrgId[] memory opened = _expected(id, 0, seed, 2);
        (expected[0], expected[1]) = (opened[0], opened[1]);
        orgs = [all[2], all[3], all[4]];
        expected[2] = _expected(id, 0, seed, 1)[0];
        _assertSeats(_draw(id, 0), expected);
        assertEq(witnesses.committee(id, 0).quorum, 2);
        _assertState(id, Committee.Drawn);
    }

    /// When it is drawn, and in which order the pool stands then, decides nothing there, either.
    function test_WhenTwoAreLeft_TheSameSitHoweverLateItIsDrawn() external {
        (LeaseId id,) = _withheld(2);
        uint256 snapshot = vm.snapshotState();
        OrgId[] memory early = _draw(id, 0);
        vm.revertToState(snapshot);
        _to(_epoch() + 9);
        _assertSeats(_draw(id, 0), early);
    }

    function test_WhenNobodyRevealed_TheNextSeedDecides() external {
        _pool(4);
        LeaseId id = _deliveredLease(1, 60);
        uint32 s = _epoch();
        _to(s + 4);
        _drawClosed(id, 0, s + 5);
        _tickAll();
        _runTo(s + 6);
        assertEq(witnesses.seedOf(s + 4), 0);
        assertNotEq(witnesses.seedOf(s + 5), 0);
        _assertSeats(_draw(id, 0), _expected(id, 0, witnesses.seedOf(s + 5), 3));
    }

    function test_WhenNobodyRevealedForNineEpochs_ThereIsNone() external {
        _pool(4);
        LeaseId id = _deliveredLease(1, 60);
        uint32 s = _epoch();
        _to(s + 9);
        _drawClosed(id, 0, s + 10);
        _to(s + 10);
        assertEq(_draw(id, 0).length, 0);
        _assertState(id, Committee.Waived);
    }

    function test_RevertWhen_AnotherTermThanTheRunningOne() external {
        _pool(3);
        LeaseId id = _deliveredLease(1, 60);
        uint32 s = _epoch();
        _drawClosed(id, 1, s + 24);
        _to(s + 24);
        _drawClosed(id, 0, 0);
        _drawClosed(id, 2, s + 48);
        vm.expectRevert();
        witnesses.draw(id, type(uint32).max);
        witnesses.draw(id, 1);
    }

    function test_RevertWhen_NotSignedOrWithoutSlaOrOver() external {
        _pool(3);
        LeaseId unsigned = _openLease(1, 100, SLA);
        vm.expectRevert();
        witnesses.draw(unsigned, 0);
        LeaseId plain = _openLease(1, 100, SlaId.wrap(0));
        vm.prank(north);
        leases.sign(plain);
        _drawClosed(plain, 0, 0);
        LeaseId id = _signedLease(1, 3);
        vm.prank(buyer);
        leases.cancel(id);
        _drawClosed(id, 0, 0);
        LeaseId over = _deliveredLease(1, 3);
        vm.warp(block.timestamp + 3 * SLOT);
        _drawClosed(over, 0, 0);
    }

    /// The first committee can come with a later term, where nobody drew the first.
    function test_WhenOnlyASecondTermIsDrawn_TheLeaseHasItsCommittee() external {
        _pool(3);
        LeaseId id = _deliveredLease(1, 100);
        _to(_epoch() + 30);
        witnesses.draw(id, 1);
        _assertState(id, Committee.Drawn);
        assertEq(witnesses.termOf(id, _epoch()), 1);
    }

    /// Redrawn every 24 epochs, without an epoch between: frozen and cast before the term begins.
    function test_WhenALaterTermBegins_IsDrawnAtOnce() external {
        _pool(6);
        LeaseId id = _deliveredLease(1, 100);
        uint32 s = _epoch();
        _runTo(s + 24);
        _assertSeats(_draw(id, 1), _expected(id, 1, witnesses.seedOf(s + 23), 3));
        assertEq(witnesses.committee(id, 1).drawn, s + 24);
    }
}

contract WitnessesDrawLargeTest is DrawTest {
    function _terms12(uint256 n) internal returns (IWitnesses.DrawnCommittee memory c) {
        _pool(n);
        LeaseId id = _deliveredLease(1, 60);
        _drawFirst(id);
        return witnesses.committee(id, 0);
    }

    function test_WhenEleven_ThreeOfQuorumTwo() external {
        IWitnesses.DrawnCommittee memory c = _terms12(11);
        assertEq(c.seats.length, 3);
        assertEq(c.quorum, 2);
    }

    function test_WhenTwelve_FiveOfQuorumFour() external {
        IWitnesses.DrawnCommittee memory c = _terms12(12);
        assertEq(c.seats.length, 5);
        assertEq(c.quorum, 4);
    }

    /// Everybody gets a seat about as often as anybody else.
    /// Of twelve, four are left: too few for five seats, so three of them sit.
    function test_WhenFourOfTwelveAreLeft_ThreeOfQuorumTwo() external {
        _pool(12);
        _runTo(_epoch() + 2);
        uint32 s = _epoch();
        LeaseId id = _deliveredLease(1, 60);
        _to(s + 1);
        for (uint256 n; n < 4; ++n) {
            _tick(n, s);
        }
        _to(s + 2);
        while (orgs.length > 4) orgs.pop();
        _assertSeats(_draw(id, 0), _expected(id, 0, witnesses.seedOf(s + 1), 3));
        assertEq(witnesses.committee(id, 0).quorum, 2);
    }

    function test_Always_SeatsAreSpread() external {
        _pool(12);
        _runTo(_epoch() + 2);
        LeaseId[40] memory ids;
        for (uint256 i; i < 40; ++i) {
            ids[i] = _deliveredLease(1, 5);
        }
        _runTo(_epoch() + 2);
        uint256[12] memory seats;
        for (uint256 i; i < 40; ++i) {
            OrgId[] memory drawn = _draw(ids[i], 0);
            for (uint256 k; k < 5; ++k) {
                ++seats[_nOf(drawn[k])];
            }
        }
        // 200 seats, 16.7 each; by chance a third of that or twice of it happens to one in a million.
        for (uint256 n; n < 12; ++n) {
            assertGt(seats[n], 5);
            assertLt(seats[n], 33);
        }
    }
}

contract WitnessesEligibleTest is DrawTest {
    function _set(OrgId org, uint32 group) internal {
        vm.prank(council);
        members.setGroup(org, group);
    }

    /// @dev Whether there are more than three: then a draw waits for a seed.
    function _isFourth(LeaseId id) internal returns (bool) {
        uint32 s = uint32(leases.lease(id).signedAt / epochTime);
        try witnesses.draw(id, 0) {
            return false;
        } catch (bytes memory why) {
            assertEq(why, abi.encodeWithSelector(IWitnesses.Witnesses_DrawClosed.selector, id, 0, s + 2));
            return true;
        }
    }

    function _leaseWithFour() internal returns (LeaseId id) {
        _pool(4);
        id = _deliveredLease(1, 10);
        assertTrue(_isFourth(id));
    }

    function test_WhenAffiliatedWithAParty_DoesNotSit() external {
        LeaseId id = _leaseWithFour();
        _set(orgs[1], 9);
        _set(northOrg, 9);
        assertFalse(_isFourth(id));
        assertFalse(_sits(witnesses.committee(id, 0).seats, orgs[1]));
    }

    function test_WhenAffiliatedWithTheBuyer_DoesNotSit() external {
        LeaseId id = _leaseWithFour();
        _set(orgs[1], 9);
        _set(buyerOrg, 9);
        assertFalse(_isFourth(id));
        assertFalse(_sits(witnesses.committee(id, 0).seats, orgs[1]));
    }

    /// A provider that witnesses, too.
    function test_WhenAParty_DoesNotSit() external {
        _pool(3);
        vm.prank(council);
        members.setRoles(northOrg, Roles.SELLER | Roles.WITNESS);
        vm.prank(north);
        witnesses.join(makeAddr("north's signer"), STAKE);
        _to(_epoch() + 2);
        OrgId[] memory seats = _draw(_deliveredLease(1, 10), 0);
        assertEq(seats.length, 3);
        assertFalse(_sits(seats, northOrg));
    }

    function test_WhenTwoOfAGroup_OneSits() external {
        LeaseId id = _leaseWithFour();
        _set(orgs[3], 9);
        _set(orgs[1], 9);
        assertFalse(_isFourth(id));
        OrgId[] memory seats = witnesses.committee(id, 0).seats;
        assertTrue(_sits(seats, orgs[1]));
        assertFalse(_sits(seats, orgs[3]));
    }

    function test_WhenAGroupIsMost_TheLeaseHasNone() external {
        LeaseId id = _leaseWithFour();
        for (uint256 n; n < 3; ++n) {
            _set(orgs[n], 9);
        }
        assertEq(_draw(id, 0).length, 0);
    }

    function test_WhenSuspendedOrWithoutTheRole_DoesNotSit() external {
        LeaseId id = _leaseWithFour();
        uint256 snapshot = vm.snapshotState();
        vm.prank(council);
        members.setSuspended(orgs[0], true);
        assertFalse(_isFourth(id));
        assertFalse(_sits(witnesses.committee(id, 0).seats, orgs[0]));
        vm.revertToState(snapshot);
        vm.prank(council);
        members.setRoles(orgs[0], Roles.BUYER);
        assertFalse(_isFourth(id));
        assertFalse(_sits(witnesses.committee(id, 0).seats, orgs[0]));
    }

    function test_WhenLeaving_DoesNotSitFromTheNextFreezeOn() external {
        _pool(4);
        LeaseId before = _deliveredLease(1, 10);
        vm.prank(admins[2]);
        witnesses.leave();
        LeaseId same = _deliveredLease(1, 10);
        _to(_epoch() + 1);
        LeaseId later = _deliveredLease(1, 10);
        assertTrue(_isFourth(before));
        assertTrue(_isFourth(same), "frozen at the end of the epoch before");
        assertFalse(_isFourth(later));
        assertFalse(_sits(witnesses.committee(later, 0).seats, orgs[2]));
    }

    function test_WhenBarred_DoesNotSitFor30Epochs() external {
        _pool(4);
        uint32 e = _epoch() - 1;
        _to(e + 5);
        witnesses.fine(orgs[0], e, LeaseId.wrap(0));
        uint32 barred = _epoch();
        LeaseId same = _deliveredLease(1, 10);
        assertTrue(_isFourth(same), "frozen before");
        _to(barred + 1);
        LeaseId barredLease = _deliveredLease(1, 10);
        assertFalse(_isFourth(barredLease));
        assertFalse(_sits(witnesses.committee(barredLease, 0).seats, orgs[0]));
        _to(barred + 30);
        assertFalse(_isFourth(_deliveredLease(1, 10)));
        _to(barred + 31);
        assertTrue(_isFourth(_deliveredLease(1, 10)));
    }

    /// A second fine makes the bar longer, and opens no pool that was frozen while it ran.
    function test_WhenFinedAgain_TheBarKeepsItsBegin() external {
        _pool(4);
        uint32 e = _epoch() - 1;
        _to(e + 5);
        witnesses.fine(orgs[0], e, LeaseId.wrap(0));
        uint32 barred = _epoch();
        _to(barred + 5);
        LeaseId id = _deliveredLease(1, 10);
        _to(barred + 6);
        witnesses.fine(orgs[0], e + 1, LeaseId.wrap(0));
        assertFalse(_isFourth(id));
        IWitnesses.Witness memory w = witnesses.witness(orgs[0]);
        assertEq(w.barredFrom, barred);
        assertEq(w.barredUntil, barred + 36);
    }

    /// W2: a stake that is filled up when the seed is known changes nothing.
    function test_WhenTheStakeWasTooLowAtTheFreeze_DoesNotSit() external {
        _pool(4);
        address auditor = makeAddr("auditor");
        vm.prank(address(timelock));
        directory.setRight(auditor, "witnesses.slash", true);
        vm.startPrank(auditor);
        witnesses.slash(orgs[0], "x");
        witnesses.slash(orgs[0], "x");
        vm.stopPrank();
        _to(_epoch() + 40);
        LeaseId id = _deliveredLease(1, 10);
        vm.prank(admins[0]);
        witnesses.addStake(STAKE);
        LeaseId same = _deliveredLease(1, 10);
        assertFalse(_isFourth(id));
        assertFalse(_isFourth(same));
        _to(_epoch() + 2);
        assertTrue(_isFourth(_deliveredLease(1, 10)));
    }
}

contract WitnessesGrindTest is DrawTest {
    /// W2: of the last k revealers each decides one bit, at a fine. Here two: four seeds, no more, in whatever order.
    function test_Always_KRevealersChooseAmong2ToTheK() external {
        _pool(5);
        _runTo(_epoch() + 2);
        uint32 s = _epoch();
        LeaseId id = _deliveredLease(1, 10);
        _to(s + 1);
        for (uint256 n; n < 3; ++n) {
            _tick(n, s);
        }
        bytes32[5] memory seeds;
        uint256[2][5] memory orders =
            [[uint256(9), 9], [uint256(3), 9], [uint256(4), 9], [uint256(3), 4], [uint256(4), 3]];
        for (uint256 i; i < 5; ++i) {
            uint256 snapshot = vm.snapshotState();
            for (uint256 k; k < 2; ++k) {
                if (orders[i][k] != 9) _tick(orders[i][k], s);
            }
            seeds[i] = witnesses.seedOf(s + 1);
            vm.revertToState(snapshot);
        }
        assertEq(seeds[3], seeds[4]);
        for (uint256 i; i < 4; ++i) {
            for (uint256 k; k < i; ++k) {
                assertNotEq(seeds[i], seeds[k]);
            }
        }
        // Who held back has not ticked.
        _to(s + 4);
        assertFalse(witnesses.ticked(orgs[3], s - 1));
        witnesses.fine(orgs[3], s - 1, LeaseId.wrap(0));
        id;
    }
}

contract WitnessesDrawGasTest is DrawTest {
    function _gasOf(uint256 n) internal returns (uint256) {
        _pool(n);
        _runTo(_epoch() + 2);
        LeaseId id = _deliveredLease(1, 10);
        _runTo(_epoch() + 2);
        witnesses.draw(id, 0);
        return vm.lastCallGas().gasTotalUsed;
    }

    /// forge-config: default.isolate = true
    function test_Gas_Draw() external {
        uint256 snapshot = vm.snapshotState();
        uint256[4] memory pools = [uint256(3), 4, 11, 12];
        for (uint256 i; i < pools.length; ++i) {
            uint256 used = _gasOf(pools[i]);
            emit log_named_uint(string.concat("gas of a draw, pool of ", vm.toString(pools[i])), used);
            assertLt(used, 117_000 + pools[i] * 15_000);
            vm.revertToState(snapshot);
            delete orgs;
            delete admins;
            delete signers;
        }
    }
}
