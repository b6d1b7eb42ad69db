// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "../../../contracts/interfaces/IMembers.sol";
import {IOrders} from "../../../contracts/interfaces/IOrders.sol";
import {
    AwardId,
    LeaseId,
    OfferId,
    OrgId,
    ResourceId,
    Skip,
    SlaId,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {PackedIds} from "../../../contracts/libraries/PackedIds.sol";

/// @dev North's clerk signs an order on two machines for a day from the current slot on, for a federation of which the
/// buyer is a member and the rival is not.
abstract contract OrdersBase is Exchange {
    uint256 internal constant KEY = 0xC1E;
    uint256 internal constant MONEY = 1_000_000_000;
    address internal clerk = vm.addr(KEY);
    address internal head = makeAddr("federation");
    OrgId internal federation;
    ResourceId internal a;
    ResourceId internal b;

    function setUp() public virtual override {
        super.setUp();
        a = _register(north, 1);
        b = _register(north, 2);
        vm.prank(north);
        members.setMember(clerk, MemberRights.OFFER, type(uint96).max);
        federation = _admit("federation", head, Roles.SELLER | Roles.BUYER, 0);
        vm.prank(council);
        buyerOrg = members.admitUnder(federation, "below", makeAddr("below"), Roles.BUYER, false);
        buyer = makeAddr("below");
        _fund(buyerOrg, buyer, MONEY);
    }

    function _order() internal view returns (IOrders.Order memory) {
        return IOrders.Order({
            seller: northOrg,
            within: federation,
            start: _now(),
            end: _now() + 24,
            rate: RATE,
            minSlots: 2,
            sla: NO_SLA,
            traits: 0,
            resources: _list(a, b),
            nonce: 10,
            expires: uint40(block.timestamp + 1 days)
        });
    }

    function _signed(IOrders.Order memory o) internal view returns (bytes memory) {
        return _signedBy(KEY, o);
    }

    function _signedBy(uint256 key, IOrders.Order memory o) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, orders.digestOf(o));
        return abi.encodePacked(r, s, v);
    }

    function _fill(IOrders.Order memory o, ResourceId[] memory part, Window memory window)
        internal
        returns (LeaseId lease)
    {
        bytes memory signature = _signed(o);
        vm.prank(buyer);
        (, lease) = orders.fill(HOME, o, signature, part, window);
    }

    function _refused(IOrders.Order memory o, bytes memory why) internal {
        _refusedPart(o, _list(a), _window(4, 4), why);
    }

    function _refusedPart(
        IOrders.Order memory o,
        ResourceId[] memory part,
        Window memory window,
        bytes memory why
    ) internal {
        bytes memory signature = _signed(o);
        vm.expectRevert(why);
        vm.prank(buyer);
        orders.fill(HOME, o, signature, part, window);
    }
}

contract OrdersFillTest is OrdersBase {
    function test_WhenWithin_OpensALeaseOfAPiece() external {
        IOrders.Order memory o = _order();
        vm.expectEmit(address(orders));
        emit IOrders.OrderFilled(
            orders.digestOf(o), northOrg, buyerOrg, AwardId.wrap(1), LeaseId.wrap(1), clerk
        );
        LeaseId lease = _fill(o, _list(b), _window(4, 4));
        ILeases.Lease memory l = leases.lease(lease);
        assertTrue(l.provider == northOrg && l.buyer == buyerOrg);
        assertEq(l.rate, RATE);
        assertEq(l.count, 1);
        assertEq(OfferId.unwrap(l.offer), 0);
        assertEq(escrow.free(buyerOrg), MONEY - RATE * 4);
        assertEq(settlement.account(lease).bond, RATE * 4 / 5);
        assertEq(members.member(clerk).spent, 0, "an unlimited member is not counted");
        assertTrue(inventory.isFree(a, _now() + 4, _now() + 8));
    }

    /// @dev It sells as often as something is free, and nothing twice.
    function test_WhenFilledAgain_SellsWhatIsFree() external {
        IOrders.Order memory o = _order();
        _fill(o, _list(a), _window(4, 4));
        _refusedPart(
            o,
            _list(a, b),
            _window(6, 4),
            abi.encodeWithSelector(IOrders.Orders_Skipped.selector, Skip.NotFree)
        );
        _fill(o, _list(b), _window(6, 4));
        _fill(o, _list(a, b), _window(12, 4));
        assertEq(leases.count(), 3);
    }

    function test_WhenTheOrderPromises_SoDoesTheLease() external {
        IOrders.Order memory o = _order();
        o.sla = SlaId.wrap(3);
        o.traits = 5;
        ILeases.Lease memory l = leases.lease(_fill(o, _list(a), _window(4, 4)));
        assertEq(SlaId.unwrap(l.sla), 3);
        assertEq(l.traits, 5);
    }

    /// @dev The signer's consent and limit carry the bond, at the time it is filled.
    function test_WhenTheSignersLimitIsSpent_IsSkipped() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.OFFER, uint96(RATE * 4 / 5));
        IOrders.Order memory o = _order();
        _fill(o, _list(a), _window(4, 4));
        assertEq(members.member(clerk).spent, RATE * 4 / 5);
        _refusedPart(
            o,
            _list(b),
            _window(4, 4),
            abi.encodeWithSelector(IOrders.Orders_Skipped.selector, Skip.ProviderCover)
        );
    }

    function test_WhenABrokerFills_ItIsForItsPrincipal() external {
        address broker = makeAddr("broker");
        vm.prank(buyer);
        members.grant(buyerOrg, broker, MemberRights.BUY, uint96(RATE * 4));
        IOrders.Order memory o = _order();
        bytes memory signature = _signed(o);
        vm.prank(broker);
        (, LeaseId lease) = orders.fill(buyerOrg, o, signature, _list(a), _window(4, 4));
        assertTrue(leases.lease(lease).buyer == buyerOrg);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, buyerOrg, rival));
        vm.prank(rival);
        orders.fill(buyerOrg, o, signature, _list(b), _window(4, 4));
    }

    function test_WhenTheFederationItselfBuys_IsWithin() external {
        _fund(federation, head, MONEY);
        IOrders.Order memory o = _order();
        bytes memory signature = _signed(o);
        vm.prank(head);
        orders.fill(HOME, o, signature, _list(a), _window(4, 4));
    }

    function test_RevertWhen_OutsideTheSubtree() external {
        IOrders.Order memory o = _order();
        bytes memory signature = _signed(o);
        vm.expectRevert(abi.encodeWithSelector(IOrders.Orders_NotForYou.selector, rivalOrg, federation));
        vm.prank(rival);
        orders.fill(HOME, o, signature, _list(a), _window(4, 4));
        o.within = HOME; // nobody's: not everybody's
        _refused(o, abi.encodeWithSelector(IOrders.Orders_NotForYou.selector, buyerOrg, HOME));
    }

    /// @dev Whatever is changed, somebody else signed it: nobody who may offer for the seller.
    function testFuzz_WhenAnythingIsChanged_IsRefused(uint8 field, uint32 by) external {
        IOrders.Order memory o = _order();
        bytes memory signature = _signed(o);
        by = uint32(bound(by, 1, 20));
        field = field % 9;
        if (field == 0) o.within = buyerOrg;
        if (field == 1) o.start -= by;
        if (field == 2) o.end += by;
        if (field == 3) o.rate -= by;
        if (field == 4) o.minSlots -= 1;
        if (field == 5) o.sla = SlaId.wrap(by);
        if (field == 6) o.traits = 1;
        if (field == 7) o.nonce += by;
        if (field == 8) o.expires += by;
        vm.expectPartialRevert(IMembers.Members_NotOf.selector);
        vm.prank(buyer);
        orders.fill(HOME, o, signature, _list(a), _window(4, 4));
    }

    function test_RevertWhen_AMachineIsAdded() external {
        IOrders.Order memory o = _order();
        o.resources = _list(a);
        bytes memory signature = _signed(o);
        o.resources = _list(a, b);
        vm.expectPartialRevert(IMembers.Members_NotOf.selector);
        vm.prank(buyer);
        orders.fill(HOME, o, signature, _list(b), _window(4, 4));
    }

    function test_RevertWhen_TheSignatureIsMalformed() external {
        IOrders.Order memory o = _order();
        bytes memory good = _signed(o);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, orders.digestOf(o));
        uint256 n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        bytes[3] memory bad = [
            abi.encodePacked(r, bytes32(n - uint256(s)), v == 27 ? 28 : 27), abi.encodePacked(r, s), bytes("")
        ];
        for (uint256 i; i < bad.length; ++i) {
            vm.expectRevert(IOrders.Orders_BadSignature.selector);
            vm.prank(buyer);
            orders.fill(HOME, o, bad[i], _list(a), _window(4, 4));
        }
        vm.prank(buyer);
        orders.fill(HOME, o, good, _list(a), _window(4, 4));
    }

    /// @dev Whoever takes the right away, or moves the key, takes its orders back.
    function test_RevertWhen_TheSignerMayNotOfferAnyMore() external {
        vm.prank(north);
        members.setMember(clerk, MemberRights.SIGN, type(uint96).max);
        _refused(
            _order(), abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.OFFER)
        );
        vm.prank(north);
        members.removeMember(clerk);
        _refused(_order(), abi.encodeWithSelector(IMembers.Members_NotOf.selector, northOrg, clerk));
    }

    function test_RevertWhen_Expired() external {
        IOrders.Order memory o = _order();
        vm.warp(o.expires - 1);
        uint256 saved = vm.snapshotState();
        _fill(o, _list(a), Window(o.end - 4, o.end));
        vm.revertToState(saved);
        vm.warp(o.expires);
        o.end += 24;
        _refused(o, abi.encodeWithSelector(IOrders.Orders_Expired.selector, o.expires));
    }

    function test_RevertWhen_EitherSideIsSuspended() external {
        vm.prank(council);
        members.setSuspended(northOrg, true);
        _refused(_order(), abi.encodeWithSelector(IMembers.Members_Suspended.selector, northOrg));
        vm.startPrank(council);
        members.setSuspended(northOrg, false);
        members.setSuspended(federation, true);
        vm.stopPrank();
        _refused(_order(), abi.encodeWithSelector(IMembers.Members_Suspended.selector, federation));
    }

    function test_RevertWhen_Affiliated() external {
        IOrders.Order memory o = _order();
        o.within = northOrg;
        vm.prank(council);
        members.setRoles(northOrg, Roles.SELLER | Roles.BUYER);
        vm.startPrank(north);
        OrgId department = members.admitUnder(northOrg, "lab", makeAddr("lab"), Roles.BUYER, true);
        members.setBudget(department, type(uint96).max);
        vm.stopPrank();
        bytes memory signature = _signed(o);
        vm.expectRevert(abi.encodeWithSelector(IOrders.Orders_SelfDealing.selector, department, northOrg));
        vm.prank(makeAddr("lab"));
        orders.fill(HOME, o, signature, _list(a), _window(4, 4));
    }

    function test_RevertWhen_OutsideTheOrderOrTooShort() external {
        IOrders.Order memory o = _order();
        Window memory w = _window(21, 4);
        _refusedPart(
            o, _list(a), w, abi.encodeWithSelector(IOrders.Orders_OutsideOrder.selector, w.start, w.end)
        );
        _refusedPart(
            o, _list(a), _window(4, 1), abi.encodeWithSelector(IOrders.Orders_TooShort.selector, 1, 2)
        );
    }

    function test_RevertWhen_APartIsNotOfTheOrder() external {
        IOrders.Order memory o = _order();
        ResourceId c = _register(north, 3);
        _refusedPart(
            o, _list(a, c), _window(4, 4), abi.encodeWithSelector(IOrders.Orders_NotInOrder.selector, c)
        );
        _refusedPart(
            o,
            _list(b, a),
            _window(4, 4),
            abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 1)
        );
        _refusedPart(
            o,
            new ResourceId[](0),
            _window(4, 4),
            abi.encodeWithSelector(PackedIds.PackedIds_Count.selector, 0, 64)
        );
    }

    /// @dev An order can name what is another's, but never sell it.
    function test_RevertWhen_AMachineIsAnothersOrRetired() external {
        IOrders.Order memory o = _order();
        ResourceId foreign = _register(south, 3);
        o.resources = _list(a, foreign);
        _refusedPart(
            o,
            _list(foreign),
            _window(4, 4),
            abi.encodeWithSelector(IOrders.Orders_NotSellers.selector, foreign, northOrg)
        );
        vm.prank(north);
        inventory.retire(a);
        _refused(o, abi.encodeWithSelector(IOrders.Orders_NotSellers.selector, a, northOrg));
    }

    function test_RevertWhen_ClassesDifferInAFill() external {
        vm.prank(north);
        ResourceId small = inventory.register(HOME, "vm.small", SITE, _spec(), 0, 0, "c");
        IOrders.Order memory o = _order();
        o.resources = _list(a, small);
        _refusedPart(
            o,
            _list(a, small),
            _window(4, 4),
            abi.encodeWithSelector(IOrders.Orders_MixedResources.selector, small)
        );
        _fill(o, _list(small), _window(4, 4));
    }

    function test_RevertWhen_TheTermsAreNotASellersToMake() external {
        IOrders.Order memory o = _order();
        o.rate = 0;
        _refused(o, abi.encodeWithSelector(IOrders.Orders_BadTerms.selector, 0, 0));
        o = _order();
        o.traits = 64; // an assignment: no price, no bond
        _refused(o, abi.encodeWithSelector(IOrders.Orders_BadTerms.selector, RATE, 64));
    }
}

contract OrdersCancelTest is OrdersBase {
    function test_WhenCancelled_IsNotFilled() external {
        IOrders.Order memory o = _order();
        LeaseId lease = _fill(o, _list(a), _window(4, 4));
        bytes32 digest = orders.digestOf(o);
        vm.expectEmit(address(orders));
        emit IOrders.OrderCancelled(digest, northOrg);
        vm.prank(north); // not the signer
        orders.cancel(o);
        assertTrue(orders.isCancelled(o));
        _refusedPart(
            o, _list(b), _window(4, 4), abi.encodeWithSelector(IOrders.Orders_Cancelled.selector, digest)
        );
        assertTrue(leases.lease(lease).endedAt == 0, "what was filled lives on");
        o.nonce += 1;
        assertFalse(orders.isCancelled(o));
        _fill(o, _list(b), _window(4, 4));
    }

    function test_WhenCancelledBelow_AllWithSmallerNoncesAre() external {
        IOrders.Order memory o = _order();
        vm.expectEmit(address(orders));
        emit IOrders.OrdersCancelledBelow(northOrg, 11);
        vm.prank(clerk);
        orders.cancelBelow(HOME, 11);
        assertEq(orders.leastNonce(northOrg), 11);
        _refused(o, abi.encodeWithSelector(IOrders.Orders_Cancelled.selector, orders.digestOf(o)));
        o.nonce = 11;
        _fill(o, _list(a), _window(4, 4));
    }

    /// @dev E7: a suspended seller takes its orders back.
    function test_WhenSuspended_StillCancels() external {
        vm.prank(council);
        members.setSuspended(northOrg, true);
        vm.startPrank(north);
        orders.cancel(_order());
        orders.cancelBelow(HOME, 99);
        vm.stopPrank();
    }

    function test_RevertWhen_NotTheSellers() external {
        IOrders.Order memory o = _order();
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, northOrg, south));
        vm.prank(south);
        orders.cancel(o);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotOf.selector, northOrg, south));
        vm.prank(south);
        orders.cancelBelow(northOrg, 99);
        assertFalse(orders.isCancelled(o));
    }

    function test_RevertWhen_TheNonceDoesNotGrow() external {
        vm.startPrank(north);
        orders.cancelBelow(HOME, 5);
        vm.expectRevert(abi.encodeWithSelector(IOrders.Orders_NonceTooLow.selector, 5, 5));
        orders.cancelBelow(HOME, 5);
        vm.stopPrank();
    }
}
