// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {IEnglishAuction} from "../../../contracts/interfaces/IEnglishAuction.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {AuctionId, OfferId, OrgId, ResourceId, SlaId} from "../../../contracts/interfaces/Types.sol";

/// @notice What tests of the English auction share: an auction of two machines for 10 slots from the fourth on.
///
/// The reserve is 3 credits an hour, so 60 credits in all; the step 5 %, bidding ends in an hour, a bid in its last ten
/// minutes moves the end to ten minutes from then, never past two hours from now. The seller deposits 1 %: 0.6 credits.
abstract contract EnglishBase is Exchange {
    uint256 internal constant UNITS = 20; // resource-hours
    uint256 internal constant DEPOSIT = 600_000;
    uint256 internal constant MONEY = 1_000_000_000; // of everybody
    uint64 internal constant NOW_RATE = 2 * RATE;
    uint32 internal constant EXTENSION = 600;

    ResourceId internal a;
    ResourceId internal b;
    OfferId internal offer;
    uint256 internal begin;
    uint40 internal close;
    uint40 internal hardStop;
    /// @dev What the offer holds while it rests.
    uint256 internal resting;

    function setUp() public virtual override {
        super.setUp();
        a = _register(north, 1);
        b = _register(north, 2);
        offer = _offered(NO_SLA);
        resting = book.offer(offer).deposit;
        begin = block.timestamp;
        close = uint40(begin + 1 hours);
        hardStop = uint40(begin + 2 hours);
    }

    function _offered(SlaId sla) internal returns (OfferId) {
        vm.prank(north);
        return book.publish(HOME, IBook.OfferTerms(_window(0, 100), RATE, NOW_RATE, 1, sla, 0), _list(a, b));
    }

    function _auctionTerms() internal view returns (IEnglishAuction.AuctionTerms memory) {
        return IEnglishAuction.AuctionTerms({
            offer: offer,
            window: _window(4, 10),
            reserveRate: RATE,
            stepBps: 500,
            end: close,
            extension: EXTENSION,
            hardStop: hardStop
        });
    }

    function _opened() internal returns (AuctionId) {
        return _openedWith(_auctionTerms(), _list(a, b));
    }

    function _openedWith(IEnglishAuction.AuctionTerms memory t, ResourceId[] memory resources)
        internal
        returns (AuctionId)
    {
        vm.prank(north);
        return english.open(HOME, t, resources);
    }

    function _bid(address who, AuctionId id, uint64 rate) internal {
        vm.prank(who);
        english.bid(HOME, id, rate);
    }

    function _held(AuctionId id, OrgId org) internal view returns (uint256) {
        return escrow.balance(address(english), keccak256(abi.encode("english", id, org)));
    }

    function _depositHeld(AuctionId id) internal view returns (uint256) {
        return escrow.balance(address(english), keccak256(abi.encode("deposit", id)));
    }

    /// @dev The least rate above `rate` by a step.
    function _above(uint64 rate, uint256 stepBps) internal pure returns (uint64) {
        // Safe: small rates.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64((uint256(rate) * (10_000 + stepBps) + 9_999) / 10_000);
    }

    function _over(AuctionId id) internal {
        vm.warp(english.auction(id).end);
    }
}
