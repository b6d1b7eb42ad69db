// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Ghosts} from "./Ghosts.sol";
import {Handler} from "./Handler.sol";
import {Mischief} from "./Mischief.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers} from "../../../contracts/interfaces/IMembers.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Committee,
    LeaseId,
    LeaseState,
    OfferId,
    OrgId,
    RequestId,
    ResourceId
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice The invariants of docs/invariants.md, cited by number. The test contract is its own handler.
abstract contract Invariants is Handler {
    function setUp() public virtual override {
        super.setUp();
        targetContract(address(this));
        targetSelector(FuzzSelector(address(this), _acts()));
    }

    /// @dev What much else needs first stands several times.
    function _acts() internal pure virtual returns (bytes4[] memory acts) {
        bytes4[69] memory list = [
            Handler.wait.selector,
            Handler.waitForDeadline.selector,
            Handler.suspend.selector,
            Handler.setRoles.selector,
            Handler.setBudget.selector,
            Handler.mintAndDeposit.selector,
            Handler.withdraw.selector,
            Handler.donate.selector,
            Handler.publish.selector,
            Handler.publish.selector,
            Handler.publish.selector,
            Handler.closeOffer.selector,
            Handler.buyNow.selector,
            Handler.buyNow.selector,
            Handler.post.selector,
            Handler.post.selector,
            Handler.post.selector,
            Handler.cancelTender.selector,
            Handler.commit.selector,
            Handler.commit.selector,
            Handler.commit.selector,
            Handler.commit.selector,
            Handler.reveal.selector,
            Handler.reveal.selector,
            Handler.reveal.selector,
            Handler.reveal.selector,
            Handler.excuse.selector,
            Handler.excuse.selector,
            Handler.excuse.selector,
            Handler.excuse.selector,
            Handler.award.selector,
            Handler.award.selector,
            Handler.award.selector,
            Handler.award.selector,
            Handler.claim.selector,
            Handler.claim.selector,
            Handler.signAsBuyer.selector,
            Handler.signAsBuyer.selector,
            Handler.sign.selector,
            Handler.sign.selector,
            Handler.sign.selector,
            Handler.sign.selector,
            Handler.fence.selector,
            Handler.deliver.selector,
            Handler.deliver.selector,
            Handler.deliver.selector,
            Handler.deliver.selector,
            Handler.accept.selector,
            Handler.accept.selector,
            Handler.reject.selector,
            Handler.cancelLease.selector,
            Handler.endEarly.selector,
            Handler.expire.selector,
            Handler.wipe.selector,
            Handler.wipe.selector,
            Handler.missWipe.selector,
            Handler.settle.selector,
            Handler.settle.selector,
            Handler.draw.selector,
            Handler.draw.selector,
            Handler.prove.selector,
            Handler.judge.selector,
            Handler.judge.selector,
            Handler.resolve.selector,
            Handler.breach.selector,
            Handler.payFee.selector,
            Handler.extend.selector,
            Handler.extend.selector,
            Handler.close.selector
        ];
        acts = new bytes4[](list.length);
        for (uint256 i; i < list.length; ++i) {
            acts[i] = list[i];
        }
    }

    /// @dev All of them after every act: one campaign instead of seven.
    function _checkAll() internal view {
        _I1_EscrowCoversItsAccounts();
        _I2_NobodyIsPaidTwice();
        _I3_NoSlotIsBookedTwice();
        _I5_AccrualNeverExceedsThePrice();
        _I6_CreditsAreConserved();
        _I7_MembersStayWithinTheirLimits();
        _I8_OpenOrdersAreCounted();
        _I9_NobodyHasARoleItsParentLacks();
        _I10_TheBudgetCountsWhatTheWingUses();
    }

    /// @dev I1: what the escrow holds covers what it owes, to the microcredit.
    function _I1_EscrowCoversItsAccounts() internal view {
        assertGe(credits.balanceOf(address(escrow)), escrow.total());
        assertEq(escrow.total(), _sumFree() + _sumAccounts());
    }

    /// @dev I2: of each lease's price and bond, what was paid, what went back and what is locked is what was locked.
    function _I2_NobodyIsPaidTwice() internal view {
        for (uint32 k = 1; k <= leases.count(); ++k) {
            Money storage m = money[k];
            ISettlement.Account memory a = settlement.account(LeaseId.wrap(k));
            uint256 aside = uint256(a.owed) + a.pending + a.disputed;
            assertEq(m.paid + aside, a.paid);
            assertEq(m.paid + aside + m.refunded + (a.price - a.paid), m.price, "price");
            assertEq(m.forfeited + m.freed + a.bond, m.bond, "bond");
            assertEq(m.feePaid, a.feePaid);
            assertEq(m.feePaid + m.feeReturned + (a.fee - a.feePaid), m.fee, "fees");
            assertEq(
                _leaseHeld(LeaseId.wrap(k)),
                uint256(a.price) - a.paid + aside + a.bond + a.fee - a.feePaid,
                "held"
            );
        }
    }

    /// @dev I3: no slot of a machine belongs to two leases, and the calendar says exactly what they hold.
    function _I3_NoSlotIsBookedTwice() internal view {
        for (uint256 i; i < machines.length; ++i) {
            Claim[] storage list = claims[ResourceId.unwrap(machines[i])];
            uint256[4] memory words;
            for (uint256 k; k < list.length; ++k) {
                assertFalse(_mark(words, list[k]), "I3: two leases");
            }
            for (uint256 w; w < 4; ++w) {
                assertEq(inventory.calendar(machines[i], origin / 256 + w), words[w], "I3: calendar");
            }
        }
    }

    /// @dev Draws a claim into the model calendar, slot by slot; true if one of them was taken.
    function _mark(uint256[4] memory words, Claim memory c) private view returns (bool taken) {
        uint256 base = origin / 256 * 256;
        for (uint256 s = c.start; s < c.end; ++s) {
            uint256 bit = 1 << ((s - base) % 256);
            if (words[(s - base) / 256] & bit != 0) taken = true;
            words[(s - base) / 256] |= bit;
        }
    }

    /// @dev I5: accrual never exceeds the price, at no second, rounded or not, and a draw never takes back.
    function _I5_AccrualNeverExceedsThePrice() internal view {
        for (uint32 k = 1; k <= leases.count(); ++k) {
            LeaseId id = LeaseId.wrap(k);
            ISettlement.Account memory a = settlement.account(id);
            uint64 rate = leases.lease(id).rate;
            assertLe(a.paid, a.price);
            assertLe(a.price, money[k].price);
            if (a.closed) continue;
            uint40[3] memory times = [uint40(clock), uint40(clock + 1 days), type(uint40).max];
            for (uint256 i; i < 3; ++i) {
                uint256 plain = settlement.accrued(id, rate, times[i], false);
                uint256 rounded = settlement.accrued(id, rate, times[i], true);
                assertLe(a.paid, plain);
                assertLe(plain, rounded);
                assertLe(rounded, a.price);
            }
        }
    }

    /// @dev I6: nothing is made or lost inside.
    function _I6_CreditsAreConserved() internal view {
        uint256 outside = credits.balanceOf(council);
        for (uint256 i; i < 3; ++i) {
            outside += credits.balanceOf(sellers[i]);
        }
        for (uint256 i; i < 2; ++i) {
            outside += credits.balanceOf(buyers[i]);
        }
        assertEq(credits.totalSupply(), minted);
        assertEq(outside + credits.balanceOf(address(escrow)), minted);
    }

    /// @dev I7: what members have locked or spent stays within their limits.
    function _I7_MembersStayWithinTheirLimits() internal view {
        for (uint256 i; i < 2; ++i) {
            IMembers.Member memory m = members.member(clerks[i]);
            assertLe(m.spent, m.limit);
        }
    }

    /// @dev I8: as many orders are counted as are open.
    function _I8_OpenOrdersAreCounted() internal view {
        uint32[7] memory open;
        for (uint32 k = 1; k <= book.offerCount(); ++k) {
            IBook.Offer memory o = book.offer(OfferId.wrap(k));
            if (!o.closed) ++open[OrgId.unwrap(o.org)];
        }
        for (uint32 k = 1; k <= book.requestCount(); ++k) {
            IBook.Request memory r = book.request(RequestId.wrap(k));
            if (!r.closed) ++open[OrgId.unwrap(r.org)];
        }
        for (uint32 k = 1; k < 7; ++k) {
            assertEq(book.openOrders(OrgId.wrap(k)), open[k]);
        }
    }

    /// @dev I9: effective roles and suspension, where all else goes on at the same time.
    function _I9_NobodyHasARoleItsParentLacks() internal view {
        IMembers.Organisation memory above = members.organisation(rivalOrg);
        IMembers.Organisation memory below = members.organisation(wingOrg);
        assertEq(below.roles & ~above.roles, 0, "I9: beyond its parent");
        assertTrue(!above.suspended || below.suspended, "I9: suspension goes down");
    }

    /// @dev I10: to the microcredit what its one spender has locked or spent.
    function _I10_TheBudgetCountsWhatTheWingUses() internal view {
        assertEq(members.placeOf(wingOrg).used, members.member(clerks[1]).spent, "I10: count");
    }

    /// @dev I4: with every organisation suspended and without roles, and every right taken away, everything still comes
    /// to its end, by the parties' own acts or anyone's, and every credit comes out.
    function afterInvariant() public {
        vm.warp(clock);
        _closeTheMarket();
        _withdrawAll();
        _endWhatCanEnd();
        vm.warp(clock = uint256(origin + 3 * 256) * SLOT);
        for (uint32 k = 1; k <= book.requestCount(); ++k) {
            _endTender(RequestId.wrap(k));
        }
        _endWhatCanEnd();
        vm.warp(clock += 31 days);
        for (uint32 k = 1; k <= book.requestCount(); ++k) {
            _forfeitSold(RequestId.wrap(k));
        }
        for (uint32 k = 1; k <= book.offerCount(); ++k) {
            if (!book.offer(OfferId.wrap(k)).closed) book.expire(OfferId.wrap(k));
        }
        _withdrawAll();
        assertEq(escrow.total(), 0, "I4: credits stay behind");
        assertEq(credits.balanceOf(address(escrow)), 0, "I4: credits stay behind");
    }

    function _closeTheMarket() private {
        vm.startPrank(council);
        for (uint32 k = 1; k <= members.count(); ++k) {
            members.setSuspended(OrgId.wrap(k), true);
            members.setRoles(OrgId.wrap(k), 0);
        }
        vm.stopPrank();
        bytes32[7] memory rights = [
            Rights.ESCROW_MOVE,
            Rights.MEMBERS_CHARGE,
            Rights.INVENTORY_BOOK,
            Rights.BOOK_RECORD,
            Rights.AWARDS_OPEN,
            Rights.LEASES_OPEN,
            Rights.SETTLEMENT_REPORT
        ];
        address[6] memory holders = [
            address(escrow),
            address(settlement),
            address(leases),
            address(awards),
            address(book),
            address(tender)
        ];
        vm.startPrank(address(timelock));
        for (uint256 i; i < 42; ++i) {
            directory.setRight(holders[i % 6], rights[i / 6], false);
        }
        directory.setRight(address(this), Rights.LEASES_AMEND, false);
        directory.setRight(address(this), Rights.LEASES_WITNESS, false);
        directory.setRight(address(this), Rights.SETTLEMENT_JUDGE, false);
        vm.stopPrank();
    }

    /// @dev Twice over each lease: what ends at the first pass can be wiped at the second.
    function _endWhatCanEnd() private {
        for (uint32 n = 0; n < 2 * leases.count(); ++n) {
            LeaseId id = LeaseId.wrap(n % leases.count() + 1);
            if (_expirable(leases.lease(id))) leases.expire(id);
            if (_wipeMissed(leases.lease(id)) && n % 3 == 0) leases.missWipe(id);
            ILeases.Lease memory l = leases.lease(id);
            if (_wipeable(l)) {
                vm.prank(l.wipeMissed ? council : _sellerOf(l.provider));
                leases.wipe(id, "evidence");
            }
            l = leases.lease(id);
            if (_settleable(l)) leases.settle(id);
            if (_bondWaits(l)) _shareBond(id, l, 1);
            if (l.committee != Committee.Drawn || clock < _endsAt(l)) continue;
            _judgeAtLast(id, l);
        }
    }

    /// @dev What only `Verdicts` does: it resolves what is in dispute and returns the fees.
    function _judgeAtLast(LeaseId id, ILeases.Lease memory l) private {
        uint256 amount = settlement.account(id).disputed;
        if (amount != 0) settlement.resolve(_parties(id, l), amount, amount / 3, amount - amount / 3);
        settlement.returnFees(_parties(id, l));
    }

    function _endTender(RequestId id) private {
        if (tender.tender(id).stage == ISealedTender.Stage.Open) tender.award(id);
        if (!_isDecided(tender.tender(id))) return;
        for (uint256 i; i < 3; ++i) {
            OrgId org = _orgOf(sellers[i]);
            ISealedTender.BidStatus status = tender.bidder(id, org).status;
            if (status == ISealedTender.BidStatus.Revealed || status == ISealedTender.BidStatus.Awarded) {
                tender.claim(id, org);
            }
        }
    }

    function _forfeitSold(RequestId id) private {
        for (uint256 i; i < 3; ++i) {
            OrgId org = _orgOf(sellers[i]);
            if (tender.bidder(id, org).status == ISealedTender.BidStatus.Sold) tender.forfeitSold(id, org);
        }
    }

    function _withdrawAll() private {
        if (credits.balanceOf(address(escrow)) > escrow.total()) escrow.sweep();
        for (uint256 i; i < 5; ++i) {
            address admin = i < 3 ? sellers[i] : buyers[i - 3];
            uint256 free = escrow.free(_orgOf(admin));
            vm.prank(admin);
            escrow.withdraw(free);
        }
        uint256 ofWing = escrow.free(wingOrg);
        vm.prank(makeAddr("wing"));
        escrow.withdraw(ofWing);
        uint256 fund = escrow.free(OrgId.wrap(0));
        vm.prank(council);
        escrow.withdrawFund(council, fund);
    }

    function _sumFree() private view returns (uint256 sum) {
        for (uint32 k; k <= members.count(); ++k) {
            sum += escrow.free(OrgId.wrap(k));
        }
    }

    function _sumAccounts() private view returns (uint256 sum) {
        for (uint32 k = 1; k <= book.offerCount(); ++k) {
            sum += _offerHeld(OfferId.wrap(k));
        }
        for (uint32 k = 1; k <= leases.count(); ++k) {
            sum += _leaseHeld(LeaseId.wrap(k));
        }
        for (uint32 k = 1; k <= book.requestCount(); ++k) {
            RequestId id = RequestId.wrap(k);
            sum += _ceilingHeld(id) + _depositsHeld(id);
            assertEq(_fundHeld(id), 0, "an award leaves nothing in its fund");
        }
    }
}

/// @dev Lawful acts only, each a call that must not revert.
contract LawfulInvariantsTest is Invariants {
    /// forge-config: default.invariant.runs = 8
    /// forge-config: default.invariant.depth = 256
    function invariant_I1ToI13() external view {
        _checkAll();
    }

    /// @dev One long life from a fixed seed: shows that the handler gets everywhere, so that the campaigns mean something.
    function test_WhenLivedLong_EveryEndIsReached() external {
        vm.pauseGasMetering();
        bytes4[] memory acts = _acts();
        for (uint256 i; i < 5000; ++i) {
            uint256 r = uint256(keccak256(abi.encode("long life", i)));
            bytes memory words = abi.encode(_word(r, 0), _word(r, 1), _word(r, 2), _word(r, 3), _word(r, 4));
            (bool ok, bytes memory reason) = address(this).call(bytes.concat(acts[r % acts.length], words));
            assertTrue(ok, string.concat(vm.toString(i), vm.toString(reason)));
            if (i % 100 == 0) _checkAll();
        }
        _checkAll();
        _requireEveryBidEnd();
        _requireEveryLeaseEnd();
        afterInvariant();
    }

    function _requireEveryLeaseEnd() private {
        uint256[12] memory reasons;
        uint256 steps;
        uint256 missing;
        uint256 wipeMissed;
        uint256 completed;
        for (uint32 k = 1; k <= leases.count(); ++k) {
            ILeases.Lease memory l = leases.lease(LeaseId.wrap(k));
            ++reasons[uint8(l.reason)];
            if (l.missing != 0) ++missing;
            steps += settlement.account(LeaseId.wrap(k)).steps;
            if (l.wipeMissed) ++wipeMissed;
            if (leases.stateOf(LeaseId.wrap(k)) == LeaseState.Completed) ++completed;
        }
        emit log_named_uint("leases", leases.count());
        for (uint256 i = 2; i < reasons.length; ++i) {
            emit log_named_uint(string.concat("ended for reason ", vm.toString(i)), reasons[i]);
        }
        for (uint256 i = 2; i < reasons.length; ++i) {
            assertGt(reasons[i], 0, "an end that no lease came to");
        }
        assertGt(missing, 0, "missing");
        assertGt(steps, 0, "extended at another rate");
        assertGt(wipeMissed, 0, "wipe missed");
        assertGt(completed, 0, "completed");
        assertGt(done["bought by the wing"], 0, "bought by the wing");
    }

    function _requireEveryBidEnd() private {
        uint256[5] memory stages;
        uint256[8] memory ends;
        for (uint32 k = 1; k <= book.requestCount(); ++k) {
            ++stages[uint8(tender.tender(RequestId.wrap(k)).stage)];
            for (uint256 i; i < 3; ++i) {
                ++ends[uint8(tender.bidder(RequestId.wrap(k), _orgOf(sellers[i])).status)];
            }
        }
        for (uint256 i = 1; i < stages.length; ++i) {
            emit log_named_uint(string.concat("tenders at stage ", vm.toString(i)), stages[i]);
        }
        for (uint256 i = 1; i < ends.length; ++i) {
            emit log_named_uint(string.concat("bids with status ", vm.toString(i)), ends[i]);
        }
        emit log_named_uint("hours", (clock - uint256(origin) * SLOT) / 1 hours);
        emit log_named_uint("leases", leases.count());
        emit log_named_uint("offers", book.offerCount());
        assertGt(stages[uint8(ISealedTender.Stage.Awarded)], 0, "awarded");
        assertGt(stages[uint8(ISealedTender.Stage.Unfilled)], 0, "unfilled");
        assertGt(stages[uint8(ISealedTender.Stage.Cancelled)], 0, "cancelled");
        assertGt(ends[uint8(ISealedTender.BidStatus.Claimed)], 0, "claimed");
        assertGt(ends[uint8(ISealedTender.BidStatus.Excused)], 0, "excused");
    }

    function _word(uint256 r, uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(r, i)));
    }
}

/// @dev With unlawful attempts among them, each of which must revert and leave no trace.
contract MischiefInvariantsTest is Mischief, Invariants {
    function setUp() public override(Ghosts, Invariants) {
        super.setUp();
    }

    /// forge-config: default.invariant.runs = 8
    /// forge-config: default.invariant.depth = 256
    function invariant_I1ToI13() external view {
        _checkAll();
    }

    function _acts() internal pure override returns (bytes4[] memory acts) {
        bytes4[7] memory unlawful = [
            Mischief.burgle.selector,
            Mischief.overdraw.selector,
            Mischief.meddle.selector,
            Mischief.untimely.selector,
            Mischief.doubleBook.selector,
            Mischief.cheatTender.selector,
            Mischief.collude.selector
        ];
        bytes4[] memory lawful = super._acts();
        acts = new bytes4[](lawful.length + 7);
        for (uint256 i; i < acts.length; ++i) {
            acts[i] = i < 7 ? unlawful[i] : lawful[i - 7];
        }
    }
}
