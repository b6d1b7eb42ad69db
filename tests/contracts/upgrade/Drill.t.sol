// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Awards} from "../../../contracts/Awards.sol";
import {Book} from "../../../contracts/Book.sol";
import {Leases} from "../../../contracts/Leases.sol";
import {Settlement} from "../../../contracts/Settlement.sol";
import {Ranking} from "../../../contracts/auctions/Ranking.sol";
import {SealedTender} from "../../../contracts/auctions/SealedTender.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    LeaseId,
    LeaseState,
    OfferId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Spec,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {VerdictsBase} from "../verdicts/VerdictsBase.sol";

/// @notice An upgrade drill: a second generation of the contracts comes into force while a lease of the first, with
/// witnesses watching it, is half-way. `chain/upgrade.py` does the same on a real chain.
contract DrillTest is VerdictsBase {
    uint32 private constant NEXT = 1_000_000;

    Settlement private _settlement2;
    Leases private _leases2;
    Awards private _awards2;
    Book private _book2;
    SealedTender private _tender2;
    ResourceId[] private _machine;
    OfferId private _old;

    function setUp() public override {
        super.setUp();
        _machine = leases.resourcesOf(lease);
        _old = leases.lease(lease).offer;
    }

    function _upgrade() private {
        _settlement2 = new Settlement(directory, escrow, 60);
        _leases2 = new Leases(directory, members, inventory, _settlement2, _terms(), NEXT);
        _awards2 = new Awards(directory, _leases2);
        _book2 = new Book(directory, members, inventory, escrow, _awards2, 100, 1000);
        Ranking ranking2 = new Ranking(_awards2, inventory, members);
        _tender2 = new SealedTender(
            directory, members, inventory, escrow, _book2, _awards2, ranking2, address(_settlement2), 10_000
        );
        vm.startPrank(address(timelock));
        directory.publish("Settlement", address(_settlement2));
        directory.publish("Leases", address(_leases2));
        directory.publish("Awards", address(_awards2));
        directory.publish("Book", address(_book2));
        directory.publish("SealedTender", address(_tender2));
        directory.setRight(address(_settlement2), Rights.ESCROW_MOVE, true);
        directory.setRight(address(_book2), Rights.ESCROW_MOVE, true);
        directory.setRight(address(_tender2), Rights.ESCROW_MOVE, true);
        directory.setRight(address(_leases2), Rights.INVENTORY_BOOK, true);
        directory.setRight(address(_leases2), Rights.SETTLEMENT_REPORT, true);
        directory.setRight(address(_awards2), Rights.LEASES_OPEN, true);
        directory.setRight(address(_book2), Rights.AWARDS_OPEN, true);
        directory.setRight(address(_tender2), Rights.AWARDS_OPEN, true);
        directory.setRight(address(_tender2), Rights.BOOK_RECORD, true);
        directory.setRight(address(book), Rights.AWARDS_OPEN, false);
        directory.setRight(address(tender), Rights.BOOK_RECORD, false);
        vm.stopPrank();
    }

    function _noRight(address holder, bytes32 right) private {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, holder, right));
    }

    function _buyNew(Window memory window) private returns (LeaseId id) {
        vm.prank(north);
        OfferId fresh = _book2.publish(
            HOME, IBook.OfferTerms(_window(0, 300), RATE, RATE, 1, SlaId.wrap(0), 0), _machine
        );
        vm.prank(buyer);
        (, id) = _book2.buyNow(HOME, fresh, _machine, window);
    }

    /// @dev Of every term of the lease's committee.
    function _payWitnesses() private {
        for (
            (uint32 term, bool done) = verdicts.nextPay(lease);
            !done;
            (term, done) = verdicts.nextPay(lease)
        ) {
            verdicts.pay(lease, term);
        }
    }

    function _request() private view returns (IBook.RequestTerms memory) {
        return IBook.RequestTerms({
            window: _window(60, 10),
            slots: 0,
            count: 1,
            policy: Policy.Provider,
            traits: 0,
            ceilingRate: 2 * RATE,
            sla: SlaId.wrap(0),
            class: CLASS,
            spec: Spec(0, 0, 0, 0, 0),
            eligible: 0,
            expression: "",
            listed: ""
        });
    }

    function _times() private view returns (ISealedTender.TenderTerms memory) {
        return ISealedTender.TenderTerms(uint40(block.timestamp + 600), uint40(block.timestamp + 1200), false);
    }

    function test_OldGenerationBeginsNothingNew() external {
        _upgrade();
        _noRight(address(book), Rights.AWARDS_OPEN);
        vm.prank(buyer);
        book.buyNow(HOME, _old, _machine, _window(60, 10));
        _noRight(address(tender), Rights.BOOK_RECORD);
        vm.prank(buyer);
        tender.post(HOME, _request(), _times());
    }

    function test_OldLease_IsJudgedEndedWipedAndPaidByItsOwnRules() external {
        _upgrade();
        _judge(first, 40);
        _final(first);
        assertEq(_account().pending, EPOCH_PRICE / 4, "the second tier, after grace, as before");
        vm.warp(uint256(leases.lease(lease).end) * SLOT);
        vm.prank(north);
        leases.wipe(lease, "evidence");
        vm.warp(block.timestamp + 60 days);
        leases.settle(lease);
        assertTrue(_account().closed);
        assertEq(uint8(leases.stateOf(lease)), uint8(LeaseState.Completed));
        assertGt(_account().fee, 0);
        _payWitnesses();
        assertEq(escrow.balance(address(settlement), bytes32(uint256(LeaseId.unwrap(lease)))), 0);
    }

    function test_NewGeneration_LeasesTheSameMachineBehindTheOldLease_NumberedOn() external {
        _upgrade();
        uint32 end = leases.lease(lease).end;
        LeaseId id = _buyNew(Window(end + TURNAROUND, end + TURNAROUND + 5));
        assertEq(LeaseId.unwrap(id), NEXT + 1);
        assertEq(_leases2.count(), NEXT + 1);
        assertEq(LeaseId.unwrap(lease), leases.count());
    }

    function test_NewGeneration_CannotHaveAMachineThatAnOldLeaseHolds() external {
        _upgrade();
        vm.prank(north);
        OfferId fresh = _book2.publish(
            HOME, IBook.OfferTerms(_window(0, 300), RATE, RATE, 1, SlaId.wrap(0), 0), _machine
        );
        vm.expectRevert(abi.encodeWithSelector(IBook.Book_Skipped.selector, Skip.NotFree));
        vm.prank(buyer);
        _book2.buyNow(HOME, fresh, _machine, _window(0, 2));
    }

    function test_NewGeneration_CannotTouchTheMoneyOfTheOld() external {
        _upgrade();
        _buyNew(_window(60, 5));
        ISettlement.Parties memory p = ISettlement.Parties(lease, buyerOrg, northOrg, RATE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.Settlement_NotLeases.selector, address(_leases2)));
        vm.prank(address(_leases2));
        settlement.refund(p);
    }

    function test_OldOffer_IsTakenBackWithItsDeposit() external {
        uint256 deposit = book.offer(_old).deposit;
        uint256 before = escrow.free(northOrg);
        _upgrade();
        vm.prank(north);
        book.cancel(_old);
        assertEq(escrow.free(northOrg), before + deposit);
    }

    function test_TenderThatRuns_ComesToItsAward() external {
        vm.prank(buyer);
        RequestId id = tender.post(HOME, _request(), _times());
        IBook.Bid memory bid = IBook.Bid(_old, RATE, _window(60, 10).start, _machine);
        bytes32 commitment = tender.commitmentOf(id, northOrg, bid, "salt");
        vm.prank(north);
        tender.commit(HOME, id, commitment);
        _upgrade();
        vm.warp(block.timestamp + 600);
        tender.reveal(id, northOrg, bid, "salt", new bytes32[][](0));
        vm.warp(block.timestamp + 600);
        tender.award(id);
        assertEq(leases.count(), LeaseId.unwrap(lease) + 1);
        assertEq(uint8(leases.stateOf(LeaseId.wrap(leases.count()))), uint8(LeaseState.Awarded));
    }
}
