// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./TenderBase.sol";
import {Awards} from "../../../contracts/Awards.sol";
import {Book} from "../../../contracts/Book.sol";
import {Inventory} from "../../../contracts/Inventory.sol";
import {Leases} from "../../../contracts/Leases.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {RequestId, Window} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Ranking} from "../../../contracts/auctions/Ranking.sol";
import {SealedTender} from "../../../contracts/auctions/SealedTender.sol";

/// @notice Tenders at the edge of what fits: into the ceiling, into a block.
/// forge-config: default.isolate = true
contract SealedTenderEdgeTest is TenderBase {
    /// A3, E2: prices of several legs are rounded up apart, the ceiling once: at the ceiling's rate they do not fit,
    /// and the award reverts. Here on a deployment with slots of 10 s, as the demo's.
    function test_WhenSlotsAreShort_LegsAtTheCeilingStillFitIt() external {
        inventory = new Inventory(directory, members, 10);
        leases = new Leases(directory, members, inventory, settlement, _terms(), 0);
        awards = new Awards(directory, leases);
        book = new Book(directory, members, inventory, escrow, awards, 100, 1000);
        ranking = new Ranking(awards, inventory, members);
        tender = new SealedTender(
            directory, members, inventory, escrow, book, awards, ranking, address(settlement), 10_000
        );
        vm.startPrank(address(timelock));
        directory.setRight(address(book), Rights.ESCROW_MOVE, true);
        directory.setRight(address(tender), Rights.ESCROW_MOVE, true);
        directory.setRight(address(leases), Rights.INVENTORY_BOOK, true);
        directory.setRight(address(leases), Rights.SETTLEMENT_REPORT, true);
        directory.setRight(address(awards), Rights.LEASES_OPEN, true);
        directory.setRight(address(tender), Rights.AWARDS_OPEN, true);
        directory.setRight(address(tender), Rights.BOOK_RECORD, true);
        vm.stopPrank();

        uint32 slot = uint32(block.timestamp / 10);
        IBook.RequestTerms memory r = _requestTerms(2, true);
        r.window = Window(slot + 4, slot + 5);
        r.ceilingRate = RATE;
        vm.prank(buyer);
        RequestId id = tender.post(
            HOME,
            r,
            ISealedTender.TenderTerms(uint40(block.timestamp + 10), uint40(block.timestamp + 20), false)
        );
        Sealed[2] memory bids;
        for (uint256 i; i < 2; ++i) {
            Seller memory s;
            s = _seller10(slot);
            bids[i] = _commit(id, s, RATE, 1);
        }
        _toReveal(id);
        _reveal(id, bids[0]);
        _reveal(id, bids[1]);
        _toAward(id);
        tender.award(id);
        assertEq(leases.count(), 2);
    }

    function _seller10(uint32 slot) private returns (Seller memory s) {
        s = _sellerWithoutOffer(1, 0);
        vm.prank(s.admin);
        s.offer =
            book.publish(HOME, IBook.OfferTerms(Window(slot, slot + 100), RATE, 0, 1, NO_SLA, 0), s.machines);
    }

    /// The most an award can be made to walk: 32 bids of 64 machines, 31 of them with the last one sold.
    function test_WhenAllButOneBidIsSold_TheAwardFitsABlock() external {
        IBook.RequestTerms memory r = _requestTerms(64, false);
        r.ceilingRate = 1;
        vm.prank(buyer);
        RequestId id = tender.post(HOME, r, _tenderTerms(false));
        Seller[] memory s = new Seller[](32);
        Sealed[] memory bids = new Sealed[](32);
        for (uint256 i; i < 32; ++i) {
            s[i] = _sellerWithoutOffer(64, 0);
            vm.prank(s[i].admin);
            s[i].offer =
                book.publish(HOME, IBook.OfferTerms(_window(0, 100), 1, 1, 1, NO_SLA, 0), s[i].machines);
            bids[i] = _commit(id, s[i], 1, 64);
        }
        _toReveal(id);
        for (uint256 i; i < 32; ++i) {
            _reveal(id, bids[i]);
        }
        for (uint256 i; i < 31; ++i) {
            _sell(rival, s[i], 63, 4, 2);
        }
        _toAward(id);
        tender.award(id);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertLt(used, 25_000_000, "the award would not fit into a block");
    }

    /// The same for the largest order that can be posted.
    function test_WhenTheOrderIsTheLargest_TheAwardFitsABlock() external {
        Seller memory a = _seller(64);
        vm.prank(a.admin);
        a.offer = book.publish(HOME, IBook.OfferTerms(_window(0, 1000), 1, 0, 1, NO_SLA, 0), a.machines);
        IBook.RequestTerms memory r = _requestTerms(64, false);
        r.window = _window(4, 256);
        r.ceilingRate = 1;
        vm.prank(buyer);
        RequestId id = tender.post(HOME, r, _tenderTerms(false));
        Sealed memory s = _commit(id, a, 1, 64);
        _toReveal(id);
        _reveal(id, s);
        _toAward(id);
        tender.award(id);
        assertLt(vm.lastCallGas().gasTotalUsed, 25_000_000, "the award would not fit into a block");
        assertEq(leases.count(), 1);
    }

    function test_RevertWhen_TheOrderIsLarger() external {
        IBook.RequestTerms memory r = _requestTerms(64, false);
        r.window = _window(4, 257);
        vm.expectRevert(
            abi.encodeWithSelector(ISealedTender.SealedTender_TooLarge.selector, 64, 64 * 257, 16_384)
        );
        vm.prank(buyer);
        tender.post(HOME, r, _tenderTerms(false));
    }
}
