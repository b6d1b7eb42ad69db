// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "./Exchange.sol";
import {AwardId, LeaseId, LeaseState, OfferId, ResourceId, Window} from "../../contracts/interfaces/Types.sol";

contract BookBuyNowTest is Exchange {
    function test_WhenFree_OpensALease() external {
        ResourceId a = _register(north, 1);
        OfferId offer = _offer(north, _list(a), _window(0, 24), RATE);
        vm.prank(buyer);
        (AwardId award, LeaseId lease) = book.buyNow(offer, _list(a), _window(1, 4));
        assertEq(AwardId.unwrap(award), 1);
        assertEq(uint8(leases.stateOf(lease)), uint8(LeaseState.Awarded));
        assertEq(settlement.account(lease).price, uint256(RATE) * 4);
        assertFalse(inventory.isFree(a, _now() + 1, _now() + 2));
        Window memory w = _window(7, 1);
        assertTrue(inventory.isFree(a, w.start, w.end));
    }
}
