// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Ghosts} from "./Ghosts.sol";
import {IBook} from "../../../contracts/interfaces/IBook.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {ISealedTender} from "../../../contracts/interfaces/ISealedTender.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Award,
    Committee,
    EndReason,
    LeaseId,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    Skip,
    SlaId,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";

/// @notice The whole life of the exchange, as lawful acts of several parties. An act that has no lawful object now does
/// nothing; any other that reverts is a fault of the contracts.
abstract contract Handler is Ghosts {
    // ---- time and standing -------------------------------------------------------------------------------------

    function wait(uint256 time) external act("wait") {
        vm.warp(clock + _bound(time, 1, time % 5 == 0 ? 4 hours : 300));
    }

    /// @dev To the exact second of some lease's next deadline, where off-by-one faults live.
    function waitForDeadline(uint256 seed, uint256 which) external act("waitForDeadline") {
        if (leases.count() == 0) return;
        ILeases.Lease memory l = leases.lease(LeaseId.wrap(uint32(_bound(seed, 1, leases.count()))));
        uint256[6] memory deadlines = [
            _signBy(l),
            _deliverBy(l),
            _acceptBy(l),
            _endsAt(l),
            _endsAt(l) + _terms().wipeTime,
            (_endsAt(l) / SLOT + 4) * SLOT
        ];
        uint256 at = deadlines[_bound(which, 0, 5)];
        if (at > clock && at < clock + 3 hours) vm.warp(at);
    }

    function suspend(uint256 who, uint256 yes) external act("suspend") {
        OrgId org = OrgId.wrap(uint32(_bound(who, 1, members.count())));
        vm.prank(council);
        members.setSuspended(org, yes % 8 == 0);
    }

    /// @dev A party without its role: all below lose it with it (I9).
    function setRoles(uint256 yes) external act("setRoles") {
        vm.prank(council);
        members.setRoles(rivalOrg, yes % 8 == 0 ? 0 : Roles.BUYER);
    }

    /// @dev Also to less than what is used: it holds for what is consented to from then on (I10).
    function setBudget(uint256 budget) external act("setBudget") {
        vm.prank(rival);
        members.setBudget(wingOrg, uint96(_bound(budget, 0, 2 * uint256(CLERK_LIMIT))));
    }

    // ---- money -------------------------------------------------------------------------------------------------

    function mintAndDeposit(uint256 who, uint256 amount) external act("deposit") {
        address account = _bound(who, 0, 1) == 0 ? buyers[who % 2] : sellers[who % 3];
        amount = _bound(amount, 0, 200_000_000);
        minted += amount;
        _fund(_orgOf(account), account, amount);
    }

    function withdraw(uint256 who, uint256 amount) external act("withdraw") {
        address account = _bound(who, 0, 1) == 0 ? buyers[who % 2] : sellers[who % 3];
        amount = _bound(amount, 0, escrow.free(_orgOf(account)) / 20);
        vm.prank(account);
        escrow.withdraw(amount);
    }

    function donate(uint256 amount, uint256 swept) external act("donate") {
        amount = _bound(amount, 1, 1_000_000);
        minted += amount;
        vm.prank(council);
        credits.mint(address(escrow), amount, "gift");
        if (swept % 2 == 0) escrow.sweep();
    }

    // ---- offers ------------------------------------------------------------------------------------------------

    function publish(uint256 who, uint256 from, uint256 slots, uint256 floor) external act("publish") {
        address seller = sellers[who % 3];
        for (uint32 k = 1; k <= book.offerCount(); ++k) {
            IBook.Offer memory o = book.offer(OfferId.wrap(k));
            if (!o.closed && uint256(o.end) * SLOT <= clock) book.expire(OfferId.wrap(k));
        }
        if (!_active(_orgOf(seller)) || book.openOrders(_orgOf(seller)) > 2) return;
        uint64 floorRate = uint64(_bound(floor, RATE / 3, RATE));
        Window memory w = _window(uint32(_bound(from, 0, 2)), uint32(_bound(slots, 4, 30)));
        ResourceId[] memory all = new ResourceId[](EACH);
        for (uint256 i; i < EACH; ++i) {
            all[i] = machines[EACH * (who % 3) + i];
        }
        vm.prank(seller);
        book.publish(HOME, IBook.OfferTerms(w, floorRate, floorRate * 2, 1, _slaOf(slots), 0), all);
    }

    function closeOffer(uint256 seed) external act("closeOffer") {
        OfferId id = _anyOffer(seed);
        if (OfferId.unwrap(id) == 0) return;
        IBook.Offer memory o = book.offer(id);
        if (uint256(o.end) * SLOT <= clock) book.expire(id);
        else if (seed % 4 == 0) _cancelOffer(id, o);
    }

    function _cancelOffer(OfferId id, IBook.Offer memory o) private {
        vm.prank(_sellerOf(o.org));
        book.cancel(id);
    }

    function buyNow(uint256 seed, uint256 who, uint256 from, uint256 slots) external act("buyNow") {
        OfferId id = _anyOffer(seed);
        if (OfferId.unwrap(id) == 0) return;
        IBook.Offer memory o = book.offer(id);
        address by = who % 3 == 0 ? clerks[who % 2] : buyers[who % 2];
        if (!_active(o.org) || !_active(_orgOf(by))) return;
        (bool fits, Window memory w) = _inside(o, from, slots);
        if (!fits) return;
        ResourceId[] memory wanted = _some(book.resourcesOf(id), seed);
        Award memory wish = Award(_orgOf(by), by, RequestId.wrap(0), Policy.Provider, 0, 0, o.sla);
        if (awards.skipOf(wish, Leg(o.org, o.by, id, o.buyNowRate, w, wanted)) != Skip.None) return;
        vm.prank(by);
        book.buyNow(HOME, id, wanted, w);
        if (by != clerks[1]) return;
        assertLe(members.placeOf(wingOrg).used, members.placeOf(wingOrg).budget, "I10: over its budget");
        ++done["bought by the wing"];
    }

    // ---- tenders -----------------------------------------------------------------------------------------------

    function post(uint256 who, uint256 shape, uint256 from, uint256 slots, uint256 ceiling)
        external
        act("post")
    {
        address by = buyers[who % 2];
        if (!_active(_orgOf(by)) || book.openOrders(_orgOf(by)) > 4) return;
        IBook.RequestTerms memory r = IBook.RequestTerms({
            window: _window(uint32(_bound(from, 0, 3)), uint32(_bound(slots, 1, 4))),
            slots: uint32(shape % 7 == 0 ? 1 : 0),
            count: uint16(_bound(shape, 1, 4)),
            policy: shape % 3 == 0 ? Policy.Both : Policy.Provider,
            traits: _traitsOf(shape),
            ceilingRate: uint64(_bound(ceiling, RATE * 3 / 4, 2 * RATE)),
            sla: _slaOf(slots),
            class: CLASS,
            spec: _spec(),
            eligible: 0,
            expression: "",
            listed: ""
        });
        _postAs(by, r, uint40(clock + 600 + shape % 1800), uint40(1 + who % 1200), shape % 2 == 0);
    }

    function _postAs(
        address by,
        IBook.RequestTerms memory r,
        uint40 commitEnd,
        uint40 revealTime,
        bool vickrey
    ) private {
        uint40 revealEnd = commitEnd + revealTime;
        (uint256 most, uint256 fees) = ranking.ceilingOf(r);
        uint256 first = r.slots == 0 ? r.window.end : r.window.start + r.slots;
        if (revealEnd >= first * SLOT || !escrow.canLock(_orgOf(by), by, most + fees)) return;
        vm.prank(by);
        tender.post(HOME, r, ISealedTender.TenderTerms(commitEnd, revealEnd, vickrey));
    }

    function _traitsOf(uint256 shape) private pure returns (uint8 traits) {
        if (shape % 5 == 0) traits |= Traits.ALL_OR_NOTHING;
        if (shape % 11 == 0) traits |= Traits.SAME_START;
        if (shape % 13 == 0) traits |= Traits.DISTINCT;
    }

    function cancelTender(uint256 seed) external act("cancelTender") {
        (bool found, RequestId id, ISealedTender.Tender memory t) = _anyTender(seed, _isFresh);
        if (!found || t.commits != 0) return;
        vm.prank(_buyerOf(book.request(id).org));
        tender.cancel(id);
    }

    /// @dev One seller, or all that can: forfeits and Vickrey's rule need several.
    function commit(uint256 seed, uint256 who, uint256 rate) external act("commit") {
        (bool found, RequestId id,) = _anyTender(seed, _isFresh);
        if (!found) return;
        for (uint256 i; i < 3; ++i) {
            bool sealed_ = _commit(id, (who % 3 + i) % 3, seed, uint256(keccak256(abi.encode(rate, i))));
            if (sealed_ && who % 4 == 0) return;
        }
    }

    /// @dev Also a bid above the ceiling is sealed now and then: it is found out, and pays, at reveal.
    function _commit(RequestId id, uint256 who, uint256 seed, uint256 rate) private returns (bool) {
        OrgId org = _orgOf(sellers[who]);
        if (!_active(org) || tender.bidder(id, org).status != ISealedTender.BidStatus.None) return false;
        if (!escrow.canLock(org, sellers[who], tender.tender(id).deposit)) return false;
        IBook.Request memory r = book.request(id);
        OfferId offer = _offerFor(org, r);
        if (OfferId.unwrap(offer) == 0 || book.offer(offer).floorRate > r.ceilingRate) return false;
        IBook.Bid memory bid = IBook.Bid(
            offer,
            uint64(_bound(rate, book.offer(offer).floorRate, (seed % 5 == 0 ? 2 * RATE : r.ceilingRate))),
            uint32(_bound(seed, r.start, r.end - r.slots)),
            _some(book.resourcesOf(offer), rate)
        );
        if (seed % 7 != 0 && !_allFree(bid.resources, bid.start, bid.start + r.slots)) return false;
        bids[RequestId.unwrap(id)][OrgId.unwrap(org)] = Sealed(bid, bytes32(seed));
        bytes32 commitment = tender.commitmentOf(id, org, bid, bytes32(seed));
        vm.prank(sellers[who]);
        tender.commit(HOME, id, commitment);
        return true;
    }

    /// @dev One bidder, or all that can. Where none may reveal yet, time goes on to the moment when one may.
    function reveal(uint256 seed, uint256 who) external act("reveal") {
        (bool found, RequestId id, ISealedTender.Tender memory t) = _anyTender(seed, _isRevealing);
        if (!found) {
            (found, id, t) = _anyTender(seed, _isAwaited);
            if (!found) return;
            vm.warp(clock = t.commitEnd);
        }
        for (uint256 i; i < 3; ++i) {
            OrgId org = _orgOf(sellers[(who % 3 + i) % 3]);
            if (tender.bidder(id, org).status != ISealedTender.BidStatus.Committed) continue;
            Sealed memory s = bids[RequestId.unwrap(id)][OrgId.unwrap(org)];
            if (!_canReveal(id, s.bid)) continue;
            tender.reveal(id, org, s.bid, s.salt, new bytes32[][](0));
            if (who % 4 == 0) return;
        }
    }

    function _canReveal(RequestId id, IBook.Bid memory bid) private view returns (bool) {
        IBook.Request memory r = book.request(id);
        if (bid.rate > r.ceilingRate || book.offer(bid.offer).closed) return false;
        return _allFree(bid.resources, bid.start, bid.start + r.slots);
    }

    /// @dev A5, both ways to it: a bid that cannot be revealed any more, and a winner whose machine was sold.
    function excuse(uint256 seed, uint256 who) external act("excuse") {
        for (uint32 k; k < book.requestCount(); ++k) {
            RequestId id = RequestId.wrap(uint32((seed % book.requestCount() + k) % book.requestCount() + 1));
            OrgId org = _orgOf(sellers[who % 3]);
            Sealed memory s = bids[RequestId.unwrap(id)][OrgId.unwrap(org)];
            ISealedTender.BidStatus status = tender.bidder(id, org).status;
            bool revealing = status == ISealedTender.BidStatus.Committed && _isRevealing(tender.tender(id));
            if (!revealing && status != ISealedTender.BidStatus.Sold) continue;
            (bool found, ResourceId resource, LeaseId lease) = _reason(id, org, s.bid);
            if (!found) continue;
            uint32 end = s.bid.start + book.request(id).slots;
            if (revealing && inventory.isFree(resource, s.bid.start, end)) continue;
            if (revealing) tender.revealVoid(id, org, s.bid, s.salt, resource, lease);
            else tender.excuse(id, org, resource, lease);
            return;
        }
    }

    /// @dev Where none is due, time goes on to the moment when one is.
    function award(uint256 seed) external act("award") {
        (bool found, RequestId id, ISealedTender.Tender memory t) = _anyTender(seed, _isRevealed);
        if (!found) {
            (found, id, t) = _anyTender(seed, _isRevealing);
            if (!found) return;
            vm.warp(clock = t.revealEnd);
        }
        tender.award(id);
    }

    function claim(uint256 seed, uint256 who) external act("claim") {
        (bool found, RequestId id,) = _anyTender(seed, _isDecided);
        if (!found) return;
        for (uint256 i; i < 3; ++i) {
            OrgId org = _orgOf(sellers[(who % 3 + i) % 3]);
            ISealedTender.BidStatus status = tender.bidder(id, org).status;
            if (status != ISealedTender.BidStatus.Revealed && status != ISealedTender.BidStatus.Awarded) {
                continue;
            }
            tender.claim(id, org);
            return;
        }
    }

    // ---- leases ------------------------------------------------------------------------------------------------

    function signAsBuyer(uint256 seed) external act("signAsBuyer") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _awaitsBuyer);
        if (!found) return;
        vm.prank(_buyerOf(l.buyer));
        leases.signAsBuyer(id);
    }

    function sign(uint256 seed) external act("sign") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _awaitsProvider);
        if (!found) return;
        vm.prank(_sellerOf(l.provider));
        leases.sign(id);
    }

    function fence(uint256 seed) external act("fence") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _awaitsDelivery);
        if (!found) return;
        if (clock < l.fenceUntil) {
            vm.prank(l.fenceHolder);
            leases.renewFence(id);
        } else {
            vm.prank(_deputyOf(l.provider));
            leases.takeOver(id);
        }
    }

    /// @dev All at once, or one now and the others perhaps never.
    function deliver(uint256 seed, uint256 how) external act("deliver") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _awaitsDelivery);
        if (!found || (l.delivered != 0 && how % 8 != 0)) return;
        uint64 left = _all(l) & ~l.delivered;
        uint64 bits = how % 2 == 0 ? left & (type(uint64).max - left + 1) : _all(l);
        vm.prank(l.fenceHolder);
        leases.deliver(id, ILeases.Delivery(bits, "connection", "host", "spec"));
    }

    function accept(uint256 seed) external act("accept") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _acceptable);
        if (!found) return;
        vm.prank(_buyerOf(l.buyer));
        leases.accept(id, l.delivered);
    }

    function reject(uint256 seed) external act("reject") {
        if (seed % 3 != 0) return;
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _rejectable);
        if (!found) return;
        vm.prank(_buyerOf(l.buyer));
        leases.reject(id, "no");
    }

    function cancelLease(uint256 seed) external act("cancelLease") {
        if (seed % 3 != 0) return;
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _cancellable);
        if (!found) return;
        vm.prank(_buyerOf(l.buyer));
        leases.cancel(id);
    }

    function endEarly(uint256 seed) external act("endEarly") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _endable);
        if (!found) return;
        vm.prank(_buyerOf(l.buyer));
        leases.endEarly(id);
    }

    function expire(uint256 seed) external act("expire") {
        (bool found, LeaseId id,) = _anyLease(seed, _expirable);
        if (found) leases.expire(id);
    }

    function wipe(uint256 seed, uint256 by) external act("wipe") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _wipeable);
        if (!found) return;
        vm.prank(by % 4 == 0 ? council : _sellerOf(l.provider));
        leases.wipe(id, "evidence");
    }

    function missWipe(uint256 seed) external act("missWipe") {
        (bool found, LeaseId id,) = _anyLease(seed, _wipeMissed);
        if (found) leases.missWipe(id);
    }

    function settle(uint256 seed) external act("settle") {
        (bool found, LeaseId id,) = _anyLease(seed, _settleable);
        if (found) leases.settle(id);
        ILeases.Lease memory l;
        (found, id, l) = _anyLease(seed, _bondWaits);
        if (found && seed % 2 == 0) _shareBond(id, l, seed % 1e7);
    }

    /// @dev Some of it to the buyer, and the rest is the provider's again.
    function _shareBond(LeaseId id, ILeases.Lease memory l, uint256 amount) internal {
        ISettlement.Share[] memory shares = new ISettlement.Share[](1);
        shares[0] = ISettlement.Share(l.buyer, amount);
        settlement.shareBond(id, shares);
    }

    function _bondWaits(ILeases.Lease memory l) internal pure returns (bool) {
        return l.reason == EndReason.Reclaimed && l.committee == Committee.Drawn && l.wipedAt != 0;
    }

    // ---- witnesses ---------------------------------------------------------------------------------------------

    /// @dev Some draws never come.
    function draw(uint256 seed) external act("draw") {
        (bool found, LeaseId id,) = _anyLease(seed, _drawable);
        if (found) leases.setCommittee(id, seed % 8 != 0);
    }

    function prove(uint256 seed) external act("prove") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _provable);
        if (found && seed % 4 != 0) leases.prove(id, l.delivered);
    }

    /// @dev On the latest span that claims are open for, now and then twice, worse; a part of it may go to dispute.
    function judge(uint256 seed, uint256 ppm, uint256 share) external act("judge") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _judgeable);
        if (found) _judge(_parties(id, l), l, uint32(_bound(ppm, 0, 1_000_000)), share);
    }

    function _judge(ISettlement.Parties memory p, ILeases.Lease memory l, uint32 ppm, uint256 share) private {
        uint32 e = uint32(clock / SLOT - 3);
        uint40 from = uint40(_max(uint256(e) * SLOT, _countsFrom(l)));
        uint40 until = uint40(_min((uint256(e) + 1) * SLOT, _endsAt(l)));
        uint256 penalty = settlement.applyVerdict(p, from, until, e, 1, ppm);
        assertLe(penalty, settlement.spanPrice(p.lease, p.rate, from, until), "I5: above the span's price");
        if (share % 4 == 0) settlement.dispute(p, share % 1_000_000, share % 8 != 0, until);
    }

    function resolve(uint256 seed, uint256 part) external act("resolve") {
        uint256 count = leases.count();
        for (uint256 i; i < count; ++i) {
            LeaseId id = LeaseId.wrap(uint32((seed % count + i) % count + 1));
            uint256 amount = settlement.account(id).disputed;
            if (amount == 0) continue;
            part = _bound(part, 0, amount);
            settlement.resolve(_parties(id, leases.lease(id)), amount, part, amount - part);
            return;
        }
    }

    function breach(uint256 seed) external act("breach") {
        (bool found, LeaseId id,) = _anyLease(seed, _breachable);
        if (found && seed % 3 == 0) leases.breach(id, "breach");
    }

    /// @dev Witnesses are paid, now and then too much; what is left goes back once the lease is over.
    function payFee(uint256 seed, uint256 amount) external act("payFee") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _witnessed);
        if (!found) return;
        settlement.payFee(_parties(id, l), eastOrg, amount % 20_000);
        if (clock >= _endsAt(l)) settlement.returnFees(_parties(id, l));
    }

    // ---- amendments --------------------------------------------------------------------------------------------

    /// @dev By whoever it is charged to, or by a clerk that takes it over.
    function extend(uint256 seed, uint256 slots, uint256 rate, uint256 who) external act("extend") {
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _extendable);
        if (!found || settlement.account(id).steps == 8) return;
        uint32 end = l.end + uint32(_bound(slots, 1, 3));
        ResourceId[] memory ids = leases.resourcesOf(id);
        for (uint256 i; i < ids.length; ++i) {
            bool there = (l.delivered >> i) & 1 != 0;
            if (there && !inventory.isFree(ids[i], l.end + TURNAROUND, end)) return;
        }
        ISettlement.Extension memory e = _extension(id, l, end, rate, who);
        if (e.rate == 0) return;
        leases.extend(id, end, e);
        _followEnd(id, l.end, end);
    }

    /// @dev With a rate of 0 if it cannot be covered; whoever takes over needs room for all of the lease.
    function _extension(LeaseId id, ILeases.Lease memory l, uint32 end, uint256 rate, uint256 who)
        private
        view
        returns (ISettlement.Extension memory e)
    {
        ISettlement.Account memory a = settlement.account(id);
        uint64 paid = rate % 3 == 0 ? l.rate : uint64(_bound(rate, RATE / 2, 2 * RATE));
        (e.price, e.bond, e.fee) = awards.extensionOf(id, end, paid);
        e.providerBy = a.providerBy;
        e.buyerBy = who % 3 == 0 && l.buyer == buyerOrg ? clerks[0] : a.buyerBy;
        uint256 more = uint256(e.price) + e.fee;
        uint256 all = e.buyerBy == a.buyerBy ? more : more + a.price + a.fee;
        (bool may,) = members.canCharge(e.buyerBy, l.buyer, all);
        bool covered = may && escrow.free(members.partyOf(l.buyer)) >= more
            && escrow.canLock(l.provider, e.providerBy, uint256(e.bond) + e.fee);
        if (covered) e.rate = paid;
    }

    function close(uint256 seed, uint256 at, uint256 ppm) external act("close") {
        if (seed % 12 != 0) return;
        (bool found, LeaseId id, ILeases.Lease memory l) = _anyLease(seed, _closable);
        if (!found) return;
        bool reclaimed = l.delivered != 0 && ppm % 2 == 0;
        at = _bound(at, clock, _max(clock, _endTime(l) - 1));
        EndReason reason = reclaimed ? EndReason.Reclaimed : EndReason.Partner;
        leases.close(id, reason, uint40(at), uint32(_bound(ppm, 0, 200_000)), "close");
    }

    // ---- what is lawful when -----------------------------------------------------------------------------------

    function _awaitsBuyer(ILeases.Lease memory l) internal view returns (bool) {
        return l.policy == Policy.Both && l.buyerSignedAt == 0 && l.endedAt == 0 && clock < _signBy(l);
    }

    function _awaitsProvider(ILeases.Lease memory l) internal view returns (bool) {
        bool turn = l.policy == Policy.Provider || l.buyerSignedAt != 0;
        return turn && l.signedAt == 0 && l.endedAt == 0 && clock < _signBy(l);
    }

    function _awaitsDelivery(ILeases.Lease memory l) internal view returns (bool) {
        if (_unproven(l)) return false;
        return l.signedAt != 0 && l.endedAt == 0 && clock < _deliverBy(l) && l.delivered != _all(l);
    }

    function _acceptable(ILeases.Lease memory l) internal view returns (bool) {
        return l.delivered != 0 && !_accepted(l) && !_unproven(l) && l.reason != EndReason.Rejected
            && l.reason != EndReason.Unproven;
    }

    function _rejectable(ILeases.Lease memory l) internal view returns (bool) {
        bool free = l.committee == Committee.None || l.committee == Committee.Waived;
        if (!free && clock < uint256(l.start) * SLOT) return false;
        return l.delivered != 0 && !_accepted(l) && !_unproven(l) && l.endedAt == 0;
    }

    function _cancellable(ILeases.Lease memory l) internal view returns (bool) {
        if (l.delivered != 0 || l.endedAt != 0) return false;
        return clock < (l.signedAt == 0 ? _signBy(l) : _deliverBy(l));
    }

    function _endable(ILeases.Lease memory l) internal view returns (bool) {
        uint256 start = uint256(l.start) * SLOT;
        uint256 until = (start > clock ? start : clock) + _terms().notice;
        // Who is told that it is taken back may leave before that.
        bool open = l.endedAt == 0 || l.reason == EndReason.Reclaimed;
        return l.delivered != 0 && open && !_unproven(l) && until < _endsAt(l);
    }

    function _expirable(ILeases.Lease memory l) internal view returns (bool) {
        if (_unproven(l)) return true;
        if (l.endedAt != 0) return false;
        if (l.signedAt == 0) return clock >= _signBy(l);
        return clock >= _deliverBy(l) && l.delivered != _all(l) && l.missing == 0;
    }

    function _wipeable(ILeases.Lease memory l) internal view returns (bool) {
        return l.delivered != 0 && l.wipedAt == 0 && (_unproven(l) || clock >= _endsAt(l));
    }

    function _drawable(ILeases.Lease memory l) internal view returns (bool) {
        if (l.committee != Committee.Awaited || l.signedAt == 0 || clock >= _endsAt(l)) return false;
        return l.delivered != 0 || clock < _deliverBy(l);
    }

    function _provable(ILeases.Lease memory l) internal view returns (bool) {
        bool whole = l.traits & Traits.ALL_OR_NOTHING == 0 || l.delivered == _all(l);
        return l.committee == Committee.Drawn && whole && _acceptable(l);
    }

    /// @dev As `Verdicts` judges: an accepted lease, and a span that claims are open for.
    function _judgeable(ILeases.Lease memory l) internal view returns (bool) {
        if (l.committee != Committee.Drawn || !_accepted(l) || l.reason == EndReason.Rejected) return false;
        uint256 e = clock / SLOT - 3;
        return e * SLOT < _endsAt(l) && (e + 1) * SLOT > _countsFrom(l);
    }

    function _breachable(ILeases.Lease memory l) internal view returns (bool) {
        return l.committee == Committee.Drawn && l.endedAt == 0 && _accepted(l) && clock < _endTime(l);
    }

    function _extendable(ILeases.Lease memory l) internal view returns (bool) {
        bool whole = l.delivered == _all(l) || l.missing != 0;
        return whole && l.endedAt == 0 && _accepted(l) && clock < _endTime(l);
    }

    function _closable(ILeases.Lease memory l) internal view returns (bool) {
        if (l.endedAt != 0 || _unproven(l) || clock >= _endTime(l)) return false;
        if (l.delivered != 0) return true;
        return clock < (l.signedAt == 0 ? _signBy(l) : _deliverBy(l));
    }

    function _witnessed(ILeases.Lease memory l) internal pure returns (bool) {
        return l.committee == Committee.Drawn;
    }

    function _settleable(ILeases.Lease memory l) internal view returns (bool) {
        return _accepted(l) || _unproven(l);
    }

    function _wipeMissed(ILeases.Lease memory l) internal view returns (bool) {
        return _wipeable(l) && !l.wipeMissed && clock >= _endsAt(l) + _terms().wipeTime;
    }

    function _isFresh(ISealedTender.Tender memory t) internal view returns (bool) {
        return t.stage == ISealedTender.Stage.Open && clock < t.commitEnd;
    }

    function _isAwaited(ISealedTender.Tender memory t) internal view returns (bool) {
        return _isFresh(t) && t.commits != 0;
    }

    function _isRevealing(ISealedTender.Tender memory t) internal view returns (bool) {
        return t.stage == ISealedTender.Stage.Open && clock >= t.commitEnd && clock < t.revealEnd;
    }

    function _isRevealed(ISealedTender.Tender memory t) internal view returns (bool) {
        return t.stage == ISealedTender.Stage.Open && clock >= t.revealEnd;
    }

    function _isDecided(ISealedTender.Tender memory t) internal pure returns (bool) {
        return t.stage == ISealedTender.Stage.Awarded || t.stage == ISealedTender.Stage.Unfilled;
    }

    // ---- choosing ----------------------------------------------------------------------------------------------

    function _anyLease(uint256 seed, function(ILeases.Lease memory) view returns (bool) lawful)
        internal
        view
        returns (bool found, LeaseId id, ILeases.Lease memory l)
    {
        uint256 count = leases.count();
        for (uint256 i; i < count; ++i) {
            id = LeaseId.wrap(uint32((seed % count + i) % count + 1));
            l = leases.lease(id);
            if (lawful(l)) return (true, id, l);
        }
    }

    function _anyTender(uint256 seed, function(ISealedTender.Tender memory) view returns (bool) lawful)
        internal
        view
        returns (bool found, RequestId id, ISealedTender.Tender memory t)
    {
        uint256 count = book.requestCount();
        for (uint256 i; i < count; ++i) {
            id = RequestId.wrap(uint32((seed % count + i) % count + 1));
            t = tender.tender(id);
            if (lawful(t)) return (true, id, t);
        }
    }

    function _anyOffer(uint256 seed) internal view returns (OfferId) {
        uint256 count = book.offerCount();
        for (uint256 i; i < count; ++i) {
            OfferId id = OfferId.wrap(uint32((seed % count + i) % count + 1));
            if (!book.offer(id).closed) return id;
        }
        return OfferId.wrap(0);
    }

    function _offerFor(OrgId org, IBook.Request memory r) internal view returns (OfferId) {
        for (uint32 k = book.offerCount(); k > 0; --k) {
            IBook.Offer memory o = book.offer(OfferId.wrap(k));
            if (o.org == org && !o.closed && o.start <= r.start && r.end <= o.end) return OfferId.wrap(k);
        }
        return OfferId.wrap(0);
    }

    function _reason(RequestId id, OrgId org, IBook.Bid memory bid)
        internal
        view
        returns (bool, ResourceId, LeaseId)
    {
        IBook.Request memory r = book.request(id);
        uint256 since = tender.bidder(id, org).committedAt;
        for (uint32 k = 1; k <= leases.count(); ++k) {
            ILeases.Lease memory l = leases.lease(LeaseId.wrap(k));
            bool overlaps = l.start < bid.start + r.slots + TURNAROUND && bid.start < l.end + TURNAROUND;
            if (!overlaps || l.createdAt < since || members.affiliated(l.buyer, r.org)) continue;
            for (uint256 i; i < bid.resources.length; ++i) {
                if (leases.holds(LeaseId.wrap(k), bid.resources[i])) {
                    return (true, bid.resources[i], LeaseId.wrap(k));
                }
            }
        }
        return (false, ResourceId.wrap(0), LeaseId.wrap(0));
    }

    /// @dev A window of at most four slots inside an offer, not past.
    function _inside(IBook.Offer memory o, uint256 from, uint256 slots)
        internal
        view
        returns (bool, Window memory w)
    {
        uint32 first = o.start > clock / SLOT ? o.start : uint32(clock / SLOT);
        if (first >= o.end) return (false, w);
        w.start = uint32(_bound(from, first, _min(first + 3, o.end - 1)));
        w.end = uint32(_bound(slots, w.start + 1, _min(w.start + 4, o.end)));
        return (true, w);
    }

    /// @dev One to three neighbours of a list.
    function _some(ResourceId[] memory all, uint256 seed) internal pure returns (ResourceId[] memory part) {
        uint256 first = seed % all.length;
        part = new ResourceId[](_min(1 + (seed / 8) % 3, all.length - first));
        for (uint256 i; i < part.length; ++i) {
            part[i] = all[first + i];
        }
    }

    function _allFree(ResourceId[] memory resources, uint32 start, uint32 end) internal view returns (bool) {
        for (uint256 i; i < resources.length; ++i) {
            if (!inventory.isFree(resources[i], start, end)) return false;
        }
        return true;
    }

    function _active(OrgId org) internal view returns (bool) {
        IMembers.Organisation memory o = members.organisation(org);
        return !o.suspended && o.roles != 0;
    }

    /// @dev Half of all leases promise something.
    function _slaOf(uint256 seed) internal pure returns (SlaId) {
        return SlaId.wrap(seed % 2 == 0 ? 1 : 0);
    }

    function _deputyOf(OrgId org) internal view returns (address) {
        return org == northOrg ? deputies[0] : org == southOrg ? deputies[1] : deputies[2];
    }
}
