// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Handler} from "./Handler.sol";
import {IAwards} from "../../../contracts/interfaces/IAwards.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IInventory} from "../../../contracts/interfaces/IInventory.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers} from "../../../contracts/interfaces/IMembers.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Award,
    AwardId,
    EndReason,
    LeaseId,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    Window
} from "../../../contracts/interfaces/Types.sol";

/// @notice Between the lawful acts, unlawful ones: each must revert, whatever the state.
abstract contract Mischief is Handler {
    address internal thief = makeAddr("thief");

    /// @dev By somebody whom no contract knows, and by members, straight at the contracts that only contracts may use.
    function burgle(uint256 who, uint256 seed) external act("burgle") {
        address by = [thief, north, buyer, council][who % 4];
        LeaseId id = LeaseId.wrap(uint32(_bound(seed, 0, leases.count())));
        bytes32 key = bytes32(uint256(LeaseId.unwrap(id)));
        ISettlement.Parties memory p = ISettlement.Parties(id, buyerOrg, northOrg, 1);
        _refused(by, address(escrow), abi.encodeCall(IEscrow.lock, (key, buyerOrg, buyer, 1)));
        _refused(by, address(escrow), abi.encodeCall(IEscrow.unlock, (key, northOrg, north, 1)));
        _refused(by, address(escrow), abi.encodeCall(IEscrow.pay, (key, northOrg, 1)));
        _refused(by, address(escrow), abi.encodeCall(IEscrow.pass, (key, address(book), key, 1)));
        _refused(by, address(members), abi.encodeCall(IMembers.charge, (buyer, buyerOrg, 1)));
        _refused(by, address(members), abi.encodeCall(IMembers.restore, (clerks[0], buyerOrg, 1)));
        _refused(by, address(inventory), abi.encodeCall(IInventory.book, (machines[0], 1, 2)));
        _refused(
            by, address(inventory), abi.encodeCall(IInventory.release, (machines[0], 1, type(uint32).max))
        );
        _refused(by, address(inventory), abi.encodeCall(IInventory.hold, (machines[0])));
        _refused(by, address(inventory), abi.encodeCall(IInventory.liftHold, (machines[0])));
        _refused(
            by,
            address(settlement),
            abi.encodeCall(ISettlement.open, (p, ISettlement.Stakes(buyer, 1, north, 1, 1, 0)))
        );
        _refused(by, address(settlement), abi.encodeCall(ISettlement.start, (p, 1, 1)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.draw, (p, uint40(clock), true)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.payReserve, (p, 1)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.refund, (p)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.lowerPrice, (p, 0)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.forfeitBond, (p, 1, 1)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.payUnserved, (p, 1, 1, true)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.applyVerdict, (p, 0, 1, 1, 1, 1)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.dispute, (p, 1, true, 1)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.resolve, (p, 0, 0, 0)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.payFee, (p, northOrg, 1)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.returnFees, (p)));
        _refused(by, address(leases), abi.encodeCall(ILeases.setCommittee, (id, true)));
        _refused(by, address(leases), abi.encodeCall(ILeases.prove, (id, 1)));
        _refused(by, address(leases), abi.encodeCall(ILeases.breach, (id, 0)));
        ISettlement.Extension memory more;
        _refused(by, address(leases), abi.encodeCall(ILeases.extend, (id, type(uint32).max, more)));
        _refused(by, address(leases), abi.encodeCall(ILeases.close, (id, EndReason.Partner, 1, 0, 0)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.extend, (p, more, 1)));
        _refused(by, address(inventory), abi.encodeCall(IInventory.extend, (ResourceId.wrap(1), 1, 2, 3)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.freeBond, (p)));
        _refused(by, address(book), abi.encodeCall(IBook.closeRequest, (RequestId.wrap(1))));
        Award memory wish = Award(buyerOrg, buyer, RequestId.wrap(0), Policy.Provider, 0, 0, NO_SLA);
        _refused(by, address(awards), abi.encodeCall(IAwards.open, (wish, new Leg[](0))));
        Leg memory leg = Leg(
            northOrg,
            north,
            OfferId.wrap(0),
            1,
            Window(type(uint32).max - 9, type(uint32).max - 8),
            new ResourceId[](1)
        );
        ISettlement.Stakes memory none;
        _refused(by, address(leases), abi.encodeCall(ILeases.open, (AwardId.wrap(1), wish, leg, none)));
        _refused(by, address(settlement), abi.encodeCall(ISettlement.returnFund, ("fund", buyerOrg, buyer)));
    }

    function overdraw(uint256 who) external act("overdraw") {
        address by = sellers[who % 3];
        uint256 tooMuch = escrow.free(_orgOf(by)) + 1;
        _refused(by, address(escrow), abi.encodeCall(IEscrow.withdraw, (tooMuch)));
        uint256 fund = escrow.free(OrgId.wrap(0));
        _refused(council, address(escrow), abi.encodeCall(IEscrow.withdrawFund, (council, fund + 1)));
        _refused(deputies[who % 3], address(escrow), abi.encodeCall(IEscrow.withdraw, (1)));
    }

    /// @dev The other side's acts, and strangers' acts, on a lease.
    function meddle(uint256 seed) external act("meddle") {
        if (leases.count() == 0) return;
        LeaseId id = LeaseId.wrap(uint32(_bound(seed, 1, leases.count())));
        ILeases.Lease memory l = leases.lease(id);
        address otherSeller = l.provider == northOrg ? south : north;
        address[3] memory notBuyer = [thief, _sellerOf(l.provider), l.buyer == buyerOrg ? rival : buyer];
        address[3] memory notProvider = [thief, _buyerOf(l.buyer), otherSeller];
        for (uint256 i; i < 3; ++i) {
            _refused(notBuyer[i], address(leases), abi.encodeCall(ILeases.signAsBuyer, (id)));
            _refused(notBuyer[i], address(leases), abi.encodeCall(ILeases.accept, (id, l.delivered)));
            _refused(notBuyer[i], address(leases), abi.encodeCall(ILeases.reject, (id, 0)));
            _refused(notBuyer[i], address(leases), abi.encodeCall(ILeases.cancel, (id)));
            _refused(notBuyer[i], address(leases), abi.encodeCall(ILeases.endEarly, (id)));
            _refused(notProvider[i], address(leases), abi.encodeCall(ILeases.sign, (id)));
            _refused(notProvider[i], address(leases), abi.encodeCall(ILeases.takeOver, (id)));
            _refused(notProvider[i], address(leases), abi.encodeCall(ILeases.renewFence, (id)));
            _refused(notProvider[i], address(leases), abi.encodeCall(ILeases.wipe, (id, 0)));
            _refused(notProvider[i], address(leases), _delivery(id, _all(l)));
        }
    }

    /// @dev The right party at the wrong time, or once more.
    function untimely(uint256 seed) external act("untimely") {
        if (leases.count() == 0) return;
        LeaseId id = LeaseId.wrap(uint32(_bound(seed, 1, leases.count())));
        ILeases.Lease memory l = leases.lease(id);
        address provider = _sellerOf(l.provider);
        address user = _buyerOf(l.buyer);
        if (!_awaitsBuyer(l)) _refused(user, address(leases), abi.encodeCall(ILeases.signAsBuyer, (id)));
        if (!_awaitsProvider(l)) _refused(provider, address(leases), abi.encodeCall(ILeases.sign, (id)));
        if (!_awaitsDelivery(l)) _refused(l.fenceHolder, address(leases), _delivery(id, _all(l)));
        _refused(l.fenceHolder, address(leases), _delivery(id, _all(l) + 1));
        _refused(_deputyOf(l.provider), address(leases), _fenced(l) ? _takeOver(id) : _delivery(id, 0));
        if (!_acceptable(l)) {
            _refused(user, address(leases), abi.encodeCall(ILeases.accept, (id, l.delivered)));
        }
        _refused(user, address(leases), abi.encodeCall(ILeases.accept, (id, l.delivered + 1)));
        if (!_rejectable(l)) _refused(user, address(leases), abi.encodeCall(ILeases.reject, (id, 0)));
        if (!_endable(l)) _refused(user, address(leases), abi.encodeCall(ILeases.endEarly, (id)));
        if (!_expirable(l)) _refused(thief, address(leases), abi.encodeCall(ILeases.expire, (id)));
        if (!_wipeable(l)) _refused(provider, address(leases), abi.encodeCall(ILeases.wipe, (id, 0)));
        if (!_wipeable(l)) _refused(council, address(leases), abi.encodeCall(ILeases.wipe, (id, 0)));
        if (!_wipeMissed(l)) _refused(thief, address(leases), abi.encodeCall(ILeases.missWipe, (id)));
        if (!_settleable(l)) _refused(thief, address(leases), abi.encodeCall(ILeases.settle, (id)));
        if (!_drawable(l)) {
            _refused(address(this), address(leases), abi.encodeCall(ILeases.setCommittee, (id, true)));
        }
        if (!_provable(l)) {
            _refused(address(this), address(leases), abi.encodeCall(ILeases.prove, (id, l.delivered)));
        }
        if (!_breachable(l)) {
            _refused(address(this), address(leases), abi.encodeCall(ILeases.breach, (id, 0)));
        }
        if (!_cancellable(l)) _refused(user, address(leases), abi.encodeCall(ILeases.cancel, (id)));
    }

    /// @dev A lease over slots that a live one holds.
    function doubleBook(uint256 seed, uint256 who) external act("doubleBook") {
        OfferId offer = _anyOffer(seed);
        if (OfferId.unwrap(offer) == 0) return;
        IBook.Offer memory o = book.offer(offer);
        ResourceId[] memory wanted = book.resourcesOf(offer);
        (bool fits, Window memory w) = _inside(o, seed, who);
        if (!fits || _allFree(wanted, w.start, w.end)) return;
        _refused(buyers[who % 2], address(book), abi.encodeCall(IBook.buyNow, (HOME, offer, wanted, w)));
    }

    function cheatTender(uint256 seed, uint256 who) external act("cheatTender") {
        if (book.requestCount() == 0) return;
        RequestId id = RequestId.wrap(uint32(_bound(seed, 1, book.requestCount())));
        ISealedTender.Tender memory t = tender.tender(id);
        address seller = sellers[who % 3];
        OrgId org = _orgOf(seller);
        Sealed memory s = bids[RequestId.unwrap(id)][OrgId.unwrap(org)];
        ISealedTender.BidStatus status = tender.bidder(id, org).status;
        address user = _buyerOf(book.request(id).org);
        if (!_isRevealed(t)) _refused(thief, address(tender), abi.encodeCall(ISealedTender.award, (id)));
        if (!_isFresh(t) || status != ISealedTender.BidStatus.None) {
            _refused(seller, address(tender), abi.encodeCall(ISealedTender.commit, (HOME, id, "again")));
        }
        if (t.commits != 0) _refused(user, address(tender), abi.encodeCall(ISealedTender.cancel, (id)));
        _refused(user, address(tender), abi.encodeCall(ISealedTender.commit, (HOME, id, "own")));
        bytes memory reveal_ =
            abi.encodeCall(ISealedTender.reveal, (id, org, s.bid, s.salt, new bytes32[][](0)));
        if (!_isRevealing(t) || status != ISealedTender.BidStatus.Committed) {
            _refused(seller, address(tender), reveal_);
        }
        _refused(
            seller,
            address(tender),
            abi.encodeCall(ISealedTender.reveal, (id, org, s.bid, ~s.salt, new bytes32[][](0)))
        );
        bool mayClaim =
            status == ISealedTender.BidStatus.Revealed || status == ISealedTender.BidStatus.Awarded;
        if (!_isDecided(t) || !mayClaim) {
            _refused(seller, address(tender), abi.encodeCall(ISealedTender.claim, (id, org)));
        }
        _refused(thief, address(tender), abi.encodeCall(ISealedTender.claim, (id, buyerOrg)));
    }

    function _fenced(ILeases.Lease memory l) private view returns (bool) {
        return l.signedAt == 0 || clock < l.fenceUntil;
    }

    function _takeOver(LeaseId id) private pure returns (bytes memory) {
        return abi.encodeCall(ILeases.takeOver, (id));
    }

    function _delivery(LeaseId id, uint64 bits) private pure returns (bytes memory) {
        return abi.encodeCall(ILeases.deliver, (id, ILeases.Delivery(bits, "connection", "host", "spec")));
    }

    function _refused(address by, address target, bytes memory data) private {
        vm.prank(by);
        (bool ok,) = target.call(data);
        assertFalse(ok, vm.toString(bytes4(data)));
    }
}
