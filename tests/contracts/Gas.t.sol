// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TenderBase} from "./auctions/TenderBase.sol";
import {ILeases} from "../../contracts/interfaces/ILeases.sol";
import {LeaseId, RequestId, ResourceId} from "../../contracts/interfaces/Types.sol";

/// @notice Gas of the spine's calls, each as the transaction it is: base fee and calldata included, storage cold, refunds
/// deducted. Written to snapshots/; the targets are those of the design's section 6.
/// forge-config: default.isolate = true
contract GasTest is TenderBase {
    string private constant GROUP = "calls";

    Seller private _a;
    Seller private _b;

    function setUp() public override {
        super.setUp();
        _a = _seller(9);
        _b = _seller(1);
    }

    /// Target: commit and reveal together at most 170,000.
    function test_Bid() external {
        RequestId id = _post(1);
        _commit(id, _b, RATE + 1, 1);
        Sealed memory s = _commit(id, _a, RATE, 1);
        vm.snapshotGasLastCall(GROUP, "SealedTender.commit");
        _toReveal(id);
        _reveal(id, s);
        vm.snapshotGasLastCall(GROUP, "SealedTender.reveal, 1 resource");
    }

    /// The very first commitment of a tender writes its counter and its account for the first time.
    function test_FirstBid() external {
        RequestId id = _post(1);
        vm.snapshotGasLastCall(GROUP, "SealedTender.post");
        Sealed memory s = _commit(id, _a, RATE, 9);
        vm.snapshotGasLastCall(GROUP, "SealedTender.commit, first of a tender");
        _toReveal(id);
        _reveal(id, s);
        vm.snapshotGasLastCall(GROUP, "SealedTender.reveal, 9 resources");
    }

    /// Target: at most 300,000.
    function test_AwardOfOne() external {
        _toAwardOf(1, 1);
        vm.snapshotGasLastCall(GROUP, "SealedTender.award, 1 bid, 1 resource");
    }

    /// Target: each further resource at most 30,000.
    function test_AwardOfNine() external {
        _toAwardOf(9, 1);
        vm.snapshotGasLastCall(GROUP, "SealedTender.award, 1 bid, 9 resources");
    }

    function test_AwardOfTwoLeases() external {
        _toAwardOf(2, 2);
        vm.snapshotGasLastCall(GROUP, "SealedTender.award, 2 bids, 2 leases");
    }

    function test_BuyNow() external {
        vm.startPrank(rival);
        book.buyNow(_b.offer, _b.machines, _window(2, 1)); // ids and counters are not zero any more
        book.buyNow(_a.offer, _list(_a.machines[0]), _window(4, 10));
        vm.snapshotGasLastCall(GROUP, "Book.buyNow, 1 resource");
        ResourceId[] memory eight = new ResourceId[](8);
        for (uint256 i; i < 8; ++i) {
            eight[i] = _a.machines[i + 1];
        }
        book.buyNow(_a.offer, eight, _window(4, 10));
        vm.snapshotGasLastCall(GROUP, "Book.buyNow, 8 resources");
    }

    function test_Life() external {
        vm.prank(rival);
        (, LeaseId id) = book.buyNow(_a.offer, _list(_a.machines[0]), _window(4, 10));
        vm.startPrank(_a.admin);
        leases.sign(id);
        vm.snapshotGasLastCall(GROUP, "Leases.sign");
        leases.deliver(id, ILeases.Delivery(1, "connection", "host key", "spec"));
        vm.snapshotGasLastCall(GROUP, "Leases.deliver, 1 resource");
        vm.stopPrank();
        uint64 delivered = leases.lease(id).delivered;
        vm.prank(rival);
        leases.accept(id, delivered);
        vm.snapshotGasLastCall(GROUP, "Leases.accept");
        vm.warp(uint256(leases.lease(id).start) * SLOT + 3600);
        leases.settle(id);
        vm.snapshotGasLastCall(GROUP, "Leases.settle, first");
        vm.warp(block.timestamp + 3600);
        leases.settle(id);
        vm.snapshotGasLastCall(GROUP, "Leases.settle, next");
        vm.warp(uint256(leases.lease(id).end) * SLOT);
        leases.settle(id);
        vm.snapshotGasLastCall(GROUP, "Leases.settle, last");
        vm.prank(_a.admin);
        leases.wipe(id, "evidence");
        vm.snapshotGasLastCall(GROUP, "Leases.wipe, 1 resource");
    }

    /// @dev One bid for all of `count`, or two for one each.
    function _toAwardOf(uint16 count, uint256 bidders) private {
        RequestId id = _post(count);
        Sealed memory a = _commit(id, _a, RATE, bidders == 1 ? count : 1);
        Sealed memory b;
        if (bidders == 2) b = _commit(id, _b, RATE + 1, 1);
        _toReveal(id);
        _reveal(id, a);
        if (bidders == 2) _reveal(id, b);
        _toAward(id);
        tender.award(id);
    }
}
