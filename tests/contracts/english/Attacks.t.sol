// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {EnglishBase} from "./EnglishBase.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEnglishAuction} from "../../../contracts/interfaces/IEnglishAuction.sol";
import {Roles} from "../../../contracts/interfaces/IMembers.sol";
import {AuctionId, LeaseId, OfferId, OrgId, Skip} from "../../../contracts/interfaces/Types.sol";

/// @dev What who tries, and what it costs whom (docs/security.md).
contract EnglishAttackTest is EnglishBase {
    AuctionId internal id;

    function setUp() public override {
        super.setUp();
        id = _opened();
    }

    /// @dev A sniper waits for the last second. Before the hard stop that only moves the end; at the hard stop it wins if
    /// nobody answers, but it has to pass the leader by a step that each late bid doubled.
    function test_Attack_SnipingAtTheHardStop_CostsTheDoubledStep() external {
        _bid(buyer, id, RATE);
        uint64 rate = RATE;
        uint256 step = 500;
        // Each bid moves the end, until the hard stop is near.
        while (english.auction(id).end < hardStop) {
            vm.warp(english.auction(id).end - 1);
            rate = _above(rate, step);
            _bid(english.auction(id).leader == buyerOrg ? rival : buyer, id, rate);
            step = step * 2 > 10_000 ? 10_000 : step * 2;
        }
        vm.warp(hardStop - 1);
        uint64 least = _above(rate, step);
        assertEq(step, 10_000, "twelve late bids: the last one has to double the rate");
        address sniper = english.auction(id).leader == buyerOrg ? rival : buyer;
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_TooLow.selector, least - 1, least)
        );
        _bid(sniper, id, least - 1);
    }

    /// @dev With one quiet leader the sniper pays a plain step more, at the very last second, and no more: said in
    /// docs/security.md. Who was outbid so has lost nothing.
    function test_Attack_SnipingAQuietLeader_MovesTheEndForItsAnswer() external {
        _bid(buyer, id, RATE);
        vm.warp(close - 1);
        _bid(rival, id, _above(RATE, 500));
        vm.warp(close);
        _bid(buyer, id, _above(_above(RATE, 500), 1000));
        assertTrue(english.auction(id).leader == buyerOrg);
        english.pull(id, rivalOrg);
        assertEq(escrow.free(rivalOrg), MONEY);
    }

    function test_Attack_CancellingWhileWinning_IsRefusedToBothSides() external {
        _bid(buyer, id, RATE);
        vm.startPrank(north);
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_HasBids.selector, id, buyerOrg));
        english.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Frozen.selector, offer, hardStop + 1 days));
        book.cancel(offer);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IEnglishAuction.EnglishAuction_Leading.selector, id, buyerOrg));
        vm.prank(buyer);
        english.pull(id, buyerOrg);
        _over(id);
        english.award(id);
        assertEq(settlement.account(LeaseId.wrap(1)).price, RATE * UNITS);
    }

    /// @dev A seller that likes the leading rate no more sells the machines through another offer: the leader gets all it
    /// locked and the deposit; who bought elsewhere has its lease.
    function test_Attack_SellingElsewhereWhileLed_CostsTheDeposit() external {
        OfferId second = _offer(north, _list(a), _window(0, 100), NOW_RATE);
        _bid(buyer, id, RATE);
        vm.prank(rival);
        book.buyNow(HOME, second, _list(a), _window(4, 1));
        _over(id);
        vm.expectEmit(address(english));
        // forge-lint: disable-next-line(unsafe-typecast)
        emit IEnglishAuction.AuctionFailed(id, buyerOrg, Skip.NotFree, uint96(DEPOSIT));
        english.award(id);
        assertEq(escrow.free(buyerOrg), MONEY + DEPOSIT);
        uint256 bond = uint256(NOW_RATE) / 5;
        assertEq(escrow.free(northOrg), MONEY - DEPOSIT - bond - resting - book.offer(second).deposit);
    }

    /// @dev A2: a seller's own bids through somebody unaffiliated are a hidden reserve. If its shill wins it pays for a lease
    /// of the seller's own machine: the seller has the price, less what it could have had from the second.
    function test_Attack_ShillThatWins_Pays() external {
        _bid(buyer, id, RATE);
        _bid(rival, id, 2 * RATE); // the seller's friend
        _over(id);
        english.award(id);
        assertEq(escrow.free(rivalOrg), MONEY - 2 * RATE * UNITS);
        english.pull(id, buyerOrg);
        assertEq(escrow.free(buyerOrg), MONEY, "the honest bidder has lost nothing");
    }

    /// @dev Departments are one party with their seller: its own cannot bid.
    function test_Attack_ShillOfTheSellersDepartment_IsRefused() external {
        vm.prank(council);
        members.setRoles(northOrg, Roles.SELLER | Roles.BUYER);
        address own = makeAddr("own department");
        vm.startPrank(north);
        OrgId department = members.admitUnder(northOrg, "department", own, Roles.BUYER, true);
        members.setBudget(department, type(uint96).max);
        vm.stopPrank();
        vm.expectRevert(
            abi.encodeWithSelector(IEnglishAuction.EnglishAuction_SelfDealing.selector, department, northOrg)
        );
        _bid(own, id, RATE);
    }

    /// @dev A leader that does not want the lease any more keeps silent; anybody awards it.
    function test_Attack_LeaderThatNeverAwards_IsAwardedByAnyone() external {
        _bid(buyer, id, RATE);
        _over(id);
        vm.prank(makeAddr("passer-by"));
        english.award(id);
        assertEq(leases.count(), 1);
    }

    /// @dev Who wants the machine at the posted rate after the end cannot slip in before the award.
    function test_Attack_BuyingBeforeTheAward_IsRefused() external {
        _bid(buyer, id, RATE);
        _over(id);
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Frozen.selector, offer, hardStop + 1 days));
        vm.prank(rival);
        book.buyNow(HOME, offer, _list(a), _window(4, 1));
    }

    /// @dev A bidder with little money cannot hold a seller up: it locks the whole price with its bid.
    function test_Attack_BidWithoutMoney_IsRefused() external {
        uint256 free = escrow.free(buyerOrg);
        vm.prank(buyer);
        escrow.withdraw(free);
        vm.expectRevert();
        _bid(buyer, id, RATE);
        assertTrue(english.auction(id).leader == HOME);
    }
}
