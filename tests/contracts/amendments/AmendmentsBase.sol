// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    OfferId,
    ResourceId
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {Exchange} from "../Exchange.sol";

/// @notice A lease bought now of an offer of two machines for 300 slots, at a buy-now rate of twice the floor: from the
/// current slot for 10 slots, so its price is 120 credits and its bond 24. Everything is there from its first second.
abstract contract AmendmentsBase is Exchange {
    uint256 internal constant MONEY = 1_000_000_000;
    uint64 internal constant NOW_RATE = 2 * RATE;
    uint256 internal constant HOUR = 2 * uint256(NOW_RATE);
    uint256 internal constant PRICE = 10 * HOUR;

    OfferId internal offer;
    ResourceId internal a;
    ResourceId internal b;
    ResourceId internal c;
    ResourceId internal d;
    uint32 internal start;
    uint32 internal end;

    function setUp() public virtual override {
        super.setUp();
        a = _register(north, 1);
        b = _register(north, 2);
        c = _register(north, 3);
        d = _register(north, 4);
        start = _now();
        end = start + 10;
    }

    function _publish(uint8 traits) internal returns (OfferId) {
        return _publish(_list(a, b), traits);
    }

    function _publish(ResourceId[] memory list, uint8 traits) internal returns (OfferId) {
        vm.prank(north);
        return book.publish(HOME, IBook.OfferTerms(_window(0, 300), RATE, NOW_RATE, 1, NO_SLA, traits), list);
    }

    function _buy(uint8 traits) internal returns (LeaseId id) {
        offer = _publish(traits);
        vm.prank(buyer);
        (, id) = book.buyNow(HOME, offer, _list(a, b), _window(0, 10));
        vm.prank(north);
        leases.sign(id);
    }

    function _active(uint8 traits) internal returns (LeaseId id) {
        id = _buy(traits);
        _deliver(id, 3);
        vm.prank(buyer);
        leases.accept(id, 3);
        assertEq(uint8(leases.stateOf(id)), uint8(LeaseState.Active));
    }

    function _active() internal returns (LeaseId) {
        return _active(0);
    }

    function _reclaimable() internal returns (LeaseId) {
        return _active(Traits.RECLAIMABLE);
    }

    function _deliver(LeaseId id, uint64 bits) internal {
        vm.prank(north);
        leases.deliver(
            id, ILeases.Delivery(bits, keccak256("connection"), keccak256("host"), keccak256("spec"))
        );
    }

    function _wipe(LeaseId id) internal {
        vm.prank(north);
        leases.wipe(id, "evidence");
    }

    function _hour(uint32 slot) internal pure returns (uint256) {
        return uint256(slot) * SLOT;
    }

    function _account(LeaseId id) internal view returns (ISettlement.Account memory) {
        return settlement.account(id);
    }

    function _held(LeaseId id) internal view returns (uint256) {
        return escrow.balance(address(settlement), bytes32(uint256(LeaseId.unwrap(id))));
    }

    function _assertEnd(LeaseId id, EndReason reason, Fault fault) internal view {
        (EndReason r, Fault f) = leases.endOf(id);
        assertEq(uint8(r), uint8(reason), "reason");
        assertEq(uint8(f), uint8(fault), "fault");
    }
}
