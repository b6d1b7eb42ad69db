// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "../Exchange.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {
    Award,
    AwardId,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    OfferId,
    OrgId,
    Policy,
    RequestId,
    ResourceId,
    SlaId,
    Window
} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";

/// @notice What tests of leases share: the right to open them, and two operator keys of the provider.
///
/// The plain lease: 2 machines from 2 slots ahead for 10 slots at 3 credits an hour, so its price is 60 credits and its
/// bond 12.
abstract contract LeaseBase is Exchange {
    bytes32 internal constant CONNECTION = keccak256("sealed connection data");
    bytes32 internal constant HOST_KEY = keccak256("host key");
    bytes32 internal constant SPEC = keccak256("measured document");
    uint256 internal constant PRICE = 60_000_000;
    uint256 internal constant BOND = 12_000_000;

    address internal keeper = makeAddr("keeper");
    address internal standby = makeAddr("standby");
    /// @dev The SLA of leases that are opened from here on.
    SlaId internal promised;

    function setUp() public virtual override {
        super.setUp();
        vm.prank(address(timelock));
        directory.setRight(address(this), Rights.AWARDS_OPEN, true);
        uint16 operator = MemberRights.SIGN | MemberRights.DELIVER | MemberRights.RELEASE;
        vm.startPrank(north);
        members.setMember(keeper, operator, 0);
        members.setMember(standby, operator, 0);
        vm.stopPrank();
    }

    function _machines(address seller, uint256 n) internal returns (ResourceId[] memory list) {
        list = new ResourceId[](n);
        for (uint256 i; i < n; ++i) {
            list[i] = _register(seller, uint256(keccak256(abi.encode(seller, inventory.count()))));
        }
    }

    function _award(Policy policy, bool allOrNothing) internal view returns (Award memory) {
        uint8 traits = allOrNothing ? Traits.ALL_OR_NOTHING : 0;
        return Award(buyerOrg, buyer, RequestId.wrap(0), policy, traits, 0, promised);
    }

    /// @dev An award of which nothing special is agreed.
    function _award() internal view returns (Award memory) {
        return _award(Policy.Provider, false);
    }

    /// @dev A leg of the plain window.
    function _leg(uint64 rate, ResourceId[] memory resources) internal view returns (Leg memory) {
        return _leg(rate, _window(2, 10), resources);
    }

    function _leg(uint64 rate, Window memory window, ResourceId[] memory resources)
        internal
        view
        returns (Leg memory)
    {
        return Leg(northOrg, north, OfferId.wrap(0), rate, window, resources);
    }

    /// @dev One of the other seller.
    function _southLeg(uint64 rate, ResourceId[] memory resources) internal view returns (Leg memory) {
        return Leg(southOrg, south, OfferId.wrap(0), rate, _window(2, 10), resources);
    }

    function _open(Award memory award, Leg memory leg) internal returns (LeaseId) {
        Leg[] memory legs = new Leg[](1);
        legs[0] = leg;
        (, LeaseId[] memory opened) = awards.open(award, legs);
        return opened[0];
    }

    function _lease(uint256 n, Window memory window, Policy policy, bool allOrNothing)
        internal
        returns (LeaseId)
    {
        return _open(_award(policy, allOrNothing), _leg(RATE, window, _machines(north, n)));
    }

    function _plain() internal returns (LeaseId) {
        return _lease(2, _window(2, 10), Policy.Provider, false);
    }

    function _sign(LeaseId id) internal {
        vm.prank(keeper);
        leases.sign(id);
    }

    function _deliver(LeaseId id, uint64 bits) internal {
        vm.prank(keeper);
        leases.deliver(id, _delivery(bits));
    }

    function _delivery(uint64 bits) internal pure returns (ILeases.Delivery memory) {
        return ILeases.Delivery(bits, CONNECTION, HOST_KEY, SPEC);
    }

    function _accept(LeaseId id) internal {
        _acceptAs(buyer, id);
    }

    function _acceptAs(address who, LeaseId id) internal {
        uint64 delivered = leases.lease(id).delivered;
        vm.prank(who);
        leases.accept(id, delivered);
    }

    function _wipe(LeaseId id) internal {
        vm.prank(keeper);
        leases.wipe(id, "evidence");
    }

    /// @dev Signed by `keeper`, at once.
    function _signed() internal returns (LeaseId id) {
        id = _plain();
        _sign(id);
    }

    /// @dev Signed and wholly delivered before its window, not yet accepted.
    function _delivered() internal returns (LeaseId id) {
        id = _signed();
        _deliver(id, 3);
    }

    /// @dev Delivered before its window and accepted: bills from the window's first second.
    function _active() internal returns (LeaseId id) {
        id = _delivered();
        _accept(id);
    }

    function _startOf(LeaseId id) internal view returns (uint256) {
        return uint256(leases.lease(id).start) * SLOT;
    }

    function _endOf(LeaseId id) internal view returns (uint256) {
        return uint256(leases.lease(id).end) * SLOT;
    }

    function _free(OrgId org) internal view returns (uint256) {
        return escrow.free(org);
    }

    /// @dev What `Settlement` still holds of a lease, price and bond together.
    function _held(LeaseId id) internal view returns (uint256) {
        return escrow.balance(address(settlement), bytes32(uint256(LeaseId.unwrap(id))));
    }

    function _assertState(LeaseId id, LeaseState state) internal view {
        assertEq(uint8(leases.stateOf(id)), uint8(state), "state");
    }

    function _assertEnd(LeaseId id, EndReason reason, Fault fault) internal view {
        (EndReason r, Fault f) = leases.endOf(id);
        assertEq(uint8(r), uint8(reason), "reason");
        assertEq(uint8(f), uint8(fault), "fault");
    }

    /// @dev Whether a lease's `place`-th resource is free over the whole of the lease's window and turnaround.
    function _isFree(LeaseId id, uint256 place) internal view returns (bool) {
        ILeases.Lease memory l = leases.lease(id);
        return inventory.isFree(leases.resourcesOf(id)[place], l.start, l.end);
    }

    function _wrongState(LeaseId id, LeaseState state) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeases.Leases_WrongState.selector, id, state);
    }

    function _tooLate(LeaseId id, uint256 deadline) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeases.Leases_TooLate.selector, id, deadline);
    }

    function _tooEarly(LeaseId id, uint256 from) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeases.Leases_TooEarly.selector, id, from);
    }

    function _unknown(LeaseId id) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeases.Leases_Unknown.selector, id);
    }
}
