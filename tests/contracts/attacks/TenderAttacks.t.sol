// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "../auctions/TenderBase.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, OrgId, RequestId} from "../../../contracts/interfaces/Types.sol";

/// @notice What liars can do to a tender, and what it costs them. Each attack stands in docs/security.md, too.
contract TenderAttacksTest is TenderBase {
    uint32 private constant OWN_GROUP = 1 << 31;

    function _department(OrgId parent, address parentAdmin, bytes32 name)
        private
        returns (OrgId org, address admin)
    {
        admin = address(uint160(uint256(keccak256(abi.encode("department", name)))));
        vm.prank(parentAdmin);
        org = members.admitUnder(parent, name, admin, Roles.SELLER, true);
        vm.prank(parentAdmin);
        members.setBudget(org, type(uint96).max);
    }

    function _commitAs(RequestId id, address admin, bytes32 commitment) private {
        vm.prank(admin);
        tender.commit(HOME, id, commitment);
    }

    function _settle(RequestId id, Sealed[] memory bids, uint256 revealed) private {
        _toReveal(id);
        for (uint256 i; i < revealed; ++i) {
            _reveal(id, bids[i]);
        }
        _toAward(id);
        tender.award(id);
    }

    /// Planted bids: the buyer's strawman commits, to press others, and does not reveal. What it forfeits goes to the
    /// honest loser and to the fund, never to the buyer.
    function test_Attack_PlantedBid_PaysTheHonestLoser() external {
        RequestId id = _post(1);
        Seller[3] memory s = [_seller(1), _seller(1), _seller(1)];
        Sealed[] memory bids = new Sealed[](3);
        for (uint256 i; i < 3; ++i) {
            bids[i] = _commit(id, s[i], RATE + uint64(i), 1);
        }
        uint256 buyers = _free(buyerOrg);
        _settle(id, bids, 2);
        tender.claim(id, s[1].org);
        assertEq(_free(s[1].org), PURSE + DEPOSIT - _offerDeposit(s[1]), "the loser has what was forfeited");
        assertEq(_free(s[2].org), PURSE - DEPOSIT - _offerDeposit(s[2]), "the planter lost it");
        assertEq(_free(buyerOrg), buyers + CEILING_AMOUNT - 10 * uint256(RATE), "the buyer gained nothing");
    }

    /// With no honest loser all of it is the fund's: neither the buyer nor the winner can have planted for gain.
    function test_Attack_PlantedBid_PaysTheFundWhenNobodyLost() external {
        RequestId id = _post(1);
        Seller[2] memory s = [_seller(1), _seller(1)];
        Sealed[] memory bids = new Sealed[](2);
        bids[0] = _commit(id, s[0], RATE, 1);
        bids[1] = _commit(id, s[1], RATE, 1);
        uint256 fund = _free(FUND);
        _settle(id, bids, 1);
        assertEq(_free(FUND), fund + DEPOSIT);
    }

    /// The commit ladder: strangers with one purse commit at many rates and reveal the dearest that wins. Each rung that
    /// stays closed costs a deposit.
    function testFuzz_Attack_CommitLadder_EveryClosedRungCostsItsDeposit(uint256 rungs) external {
        rungs = bound(rungs, 2, 8);
        RequestId id = _post(1);
        Seller memory honest = _seller(1);
        Sealed memory good = _commit(id, honest, CEILING, 1);
        Seller[] memory s = new Seller[](rungs);
        Sealed[] memory bids = new Sealed[](rungs);
        for (uint256 i; i < rungs; ++i) {
            s[i] = _seller(1);
            bids[i] = _commit(id, s[i], CEILING - 1 - uint64(i) * 1000, 1);
        }
        _toReveal(id);
        _reveal(id, good);
        _reveal(id, bids[0]);
        _toAward(id);
        tender.award(id);
        tender.claim(id, honest.org);
        tender.claim(id, s[0].org);
        uint256 after_;
        for (uint256 i; i < rungs; ++i) {
            after_ += _free(s[i].org) + _offerDeposit(s[i]);
        }
        uint256 bond = settlement.account(LeaseId.wrap(1)).bond;
        assertEq(after_, rungs * PURSE - (rungs - 1) * DEPOSIT - bond);
        assertEq(_free(honest.org), PURSE - _offerDeposit(honest) + (rungs - 1) * DEPOSIT);
    }

    /// The same with departments: a party bids once, whoever of it was first.
    function test_Attack_CommitLadder_DepartmentsAreOneParty() external {
        RequestId id = _post(1);
        Seller memory s = _seller(1);
        (, address one) = _department(s.org, s.admin, "one");
        (, address two) = _department(s.org, s.admin, "two");
        _commitAs(id, one, "rung 1");
        bytes memory refused = abi.encodeWithSelector(
            ISealedTender.SealedTender_GroupCommitted.selector, id, OWN_GROUP | OrgId.unwrap(s.org)
        );
        vm.expectRevert(refused);
        _commitAs(id, two, "rung 2");
        vm.expectRevert(refused);
        _commitAs(id, s.admin, "rung 3");
    }

    /// ... also if the department is made only when its party has committed.
    function test_Attack_CommitLadder_ADepartmentMadeAfterwardsIsRefused() external {
        RequestId id = _post(1);
        Seller memory s = _seller(1);
        _commitAs(id, s.admin, "rung 1");
        (, address one) = _department(s.org, s.admin, "one");
        vm.expectRevert(
            abi.encodeWithSelector(
                ISealedTender.SealedTender_GroupCommitted.selector, id, OWN_GROUP | OrgId.unwrap(s.org)
            )
        );
        _commitAs(id, one, "rung 2");
    }

    /// ... or if the council puts the party into a group between the two.
    function test_Attack_CommitLadder_ANewGroupOpensNoSecondDoor() external {
        RequestId id = _post(1);
        Seller memory s = _seller(1);
        (, address one) = _department(s.org, s.admin, "one");
        _commitAs(id, one, "rung 1");
        vm.prank(council);
        members.setGroup(s.org, 7);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISealedTender.SealedTender_GroupCommitted.selector, id, OWN_GROUP | OrgId.unwrap(s.org)
            )
        );
        _commitAs(id, s.admin, "rung 2");
    }

    /// One node bid in five tenders: the first lease excuses the other four (A5). It costs nobody anything; the four
    /// buyers have the next bid, or their money back.
    function test_Attack_OneNodeInFiveTenders_CostsNobody() external {
        Seller memory s = _seller(1);
        Seller memory next = _seller(4);
        address[5] memory buyers = [buyer, rival, makeAddr("b3"), makeAddr("b4"), makeAddr("b5")];
        RequestId[5] memory ids;
        Sealed[5] memory bids;
        Sealed memory second;
        for (uint256 i; i < 5; ++i) {
            if (i > 1) _fund(_admit(bytes32(100 + i), buyers[i], Roles.BUYER, 0), buyers[i], MONEY);
            vm.prank(buyers[i]);
            ids[i] = tender.post(HOME, _requestTerms(1, false), _tenderTerms(false));
            bids[i] = _commit(ids[i], s, RATE, 1);
        }
        second = _commit(ids[1], next, RATE + 1, 1);
        _toReveal(ids[0]);
        for (uint256 i; i < 5; ++i) {
            _reveal(ids[i], bids[i]);
        }
        _reveal(ids[1], second);
        _toAward(ids[0]);
        for (uint256 i; i < 5; ++i) {
            tender.award(ids[i]);
            if (i == 0) continue;
            _assertStatus(ids[i], s.org, ISealedTender.BidStatus.Sold);
            _assertStage(ids[i], i == 1 ? ISealedTender.Stage.Awarded : ISealedTender.Stage.Unfilled);
            tender.excuse(ids[i], s.org, s.machines[0], LeaseId.wrap(1));
        }
        tender.claim(ids[0], s.org);
        uint256 bond = settlement.account(LeaseId.wrap(1)).bond;
        assertEq(_free(s.org), PURSE - _offerDeposit(s) - bond, "all five deposits came back");
        _assertStatus(ids[1], next.org, ISealedTender.BidStatus.Awarded);
    }

    /// A bid that cannot pay its bond, to hold the award for its site until it is too late: it forfeits, and the award
    /// goes to the site that can.
    function test_Attack_PoorBidForASite_PaysAndHoldsNothing() external {
        RequestId id = _post(1);
        Seller memory poor = _seller(1);
        Seller memory rich = _seller(1);
        Sealed memory low = _commit(id, poor, RATE, 1);
        Sealed memory high = _commit(id, rich, RATE + 1, 1);
        _toReveal(id);
        _reveal(id, low);
        _reveal(id, high);
        uint256 all = _free(poor.org);
        vm.prank(poor.admin);
        escrow.withdraw(all);
        _toAward(id);
        tender.award(id);
        _assertStatus(id, poor.org, ISealedTender.BidStatus.Uncovered);
        _assertStatus(id, rich.org, ISealedTender.BidStatus.Awarded);
        vm.expectRevert(_wrongStatus(id, poor.org, ISealedTender.BidStatus.Uncovered));
        tender.claim(id, poor.org);
    }

    function _offerDeposit(Seller memory s) private view returns (uint256) {
        return book.offer(s.offer).deposit;
    }
}
