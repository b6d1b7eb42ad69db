// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {ILeases} from "../../../contracts/interfaces/ILeases.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId, LeaseState, OrgId} from "../../../contracts/interfaces/Types.sol";

abstract contract SeenTest is WitnessBase {
    LeaseId internal id;
    OrgId[] internal seats;

    function _guests(address a, address b) internal pure returns (address[] memory guests) {
        guests = new address[](2);
        (guests[0], guests[1]) = (a, b);
    }

    function _seeWith(OrgId org, address[] memory guests) internal {
        ILeases.Lease memory l = leases.lease(id);
        vm.prank(signers[_nOf(org)]);
        witnesses.seen(id, l.delivered, l.delivery, guests);
    }

    function _seeAs(OrgId org) internal {
        _see(_nOf(org), id);
    }

    function _refused(OrgId org, bytes memory expected) internal {
        ILeases.Lease memory l = leases.lease(id);
        address key = signers[_nOf(org)];
        vm.expectRevert(expected);
        vm.prank(key);
        witnesses.seen(id, l.delivered, l.delivery, new address[](0));
    }

    function _isProven() internal view returns (bool) {
        ILeases.Lease memory l = leases.lease(id);
        return l.delivered != 0 && l.accepted == l.delivered;
    }
}

contract WitnessesSeenSmallTest is SeenTest {
    function setUp() public override {
        super.setUp();
        _pool(3);
        id = _deliveredLease(2, 60);
        seats = _draw(id, 0);
    }

    function test_WhenTwoOfThreeSayTheSame_IsProven() external {
        bytes32 delivery = leases.lease(id).delivery;
        vm.expectEmit(address(witnesses));
        emit IWitnesses.DeliverySeen(id, seats[2], 3, delivery, _guests(north, south), 4);
        _seeWith(seats[2], _guests(north, south));
        assertFalse(_isProven());
        vm.expectEmit(address(witnesses));
        emit IWitnesses.DeliveryProven(id, 3, _guests(north, south));
        _seeWith(seats[0], _guests(north, south));
        assertTrue(_isProven());
        assertEq(uint8(leases.stateOf(id)), uint8(LeaseState.Active));
        address[] memory guests = witnesses.guestsOf(id);
        assertEq(guests.length, 2);
        assertEq(guests[1], south);
        _seeWith(seats[1], _guests(north, south)); // nothing to do any more, no revert
    }

    function test_WhenOneSaysItTwice_CountsOnce() external {
        _seeAs(seats[0]);
        _seeAs(seats[0]);
        assertFalse(_isProven());
        _seeAs(seats[1]);
        assertTrue(_isProven());
    }

    /// A forger among three does not choose the responders' keys, and its word does not count for others'.
    function test_WhenTheySayDifferentThings_IsNotProven() external {
        _seeWith(seats[0], _guests(north, south));
        _seeWith(seats[1], _guests(south, north));
        assertFalse(_isProven());
        _seeWith(seats[2], _guests(north, south));
        assertTrue(_isProven());
        assertEq(witnesses.guestsOf(id)[0], north);
    }

    function test_WhenOneChangesItsMind_CountsForBoth() external {
        _seeWith(seats[0], _guests(south, north));
        _seeWith(seats[0], _guests(north, south));
        _seeWith(seats[1], _guests(north, south));
        assertTrue(_isProven());
    }

    function test_RevertWhen_NotASeat() external {
        _admitWitness(0);
        _joinAs(3);
        _refused(orgs[3], abi.encodeWithSelector(IWitnesses.Witnesses_NotSeat.selector, id, signers[3]));
        signers[3] = north;
        _refused(orgs[3], abi.encodeWithSelector(IWitnesses.Witnesses_NotSigner.selector, north));
    }

    function test_RevertWhen_NotTheDeliveryAsItStands() external {
        bytes32 delivery = leases.lease(id).delivery;
        bytes memory expected =
            abi.encodeWithSelector(IWitnesses.Witnesses_OtherDelivery.selector, id, 3, delivery);
        vm.startPrank(signers[0]);
        vm.expectRevert(expected);
        witnesses.seen(id, 1, delivery, new address[](0));
        vm.expectRevert(expected);
        witnesses.seen(id, 3, "other", new address[](0));
        vm.expectRevert(expected);
        witnesses.seen(id, 3, delivery, new address[](3));
        vm.stopPrank();
    }

    /// What was said of an earlier delivery does not prove a later one.
    function test_WhenDeliveredAgain_OldWordsDoNotCount() external {
        id = _signedLease(2, 60);
        seats = _draw(id, 0);
        _deliver(id, 1);
        _seeAs(seats[0]);
        _deliver(id, 2);
        _seeAs(seats[1]);
        assertFalse(_isProven());
        _seeAs(seats[0]);
        assertTrue(_isProven());
    }

    function test_WhenDeliveredAgainAfterAProof_IsProvenAgain() external {
        id = _signedLease(2, 60);
        seats = _draw(id, 0);
        _deliver(id, 1);
        _seeAs(seats[0]);
        _seeAs(seats[1]);
        assertTrue(_isProven());
        _deliver(id, 2);
        assertFalse(_isProven());
        _seeWith(seats[2], _guests(north, south));
        _seeWith(seats[1], _guests(north, south));
        assertTrue(_isProven());
        assertEq(witnesses.guestsOf(id)[0], north);
    }

    /// The responders' keys are wanted of what the buyer accepted itself, too.
    function test_WhenTheBuyerWasFirst_TheKeysAreTakenDown() external {
        vm.prank(buyer);
        leases.accept(id, 3);
        _seeWith(seats[0], _guests(north, south));
        _seeWith(seats[1], _guests(north, south));
        assertEq(witnesses.guestsOf(id)[1], south);
    }

    function test_RevertWhen_NothingIsDelivered() external {
        id = _signedLease(2, 60);
        seats = _draw(id, 0);
        _refused(
            seats[0], abi.encodeWithSelector(IWitnesses.Witnesses_OtherDelivery.selector, id, 0, bytes32(0))
        );
    }

    function test_WhenTheSignerChanged_TheNewOneSpeaks() external {
        address key = makeAddr("key");
        vm.prank(admins[0]);
        witnesses.setSigner(key);
        _refused(orgs[0], abi.encodeWithSelector(IWitnesses.Witnesses_NotSigner.selector, signers[0]));
        signers[0] = key;
        _see(0, id);
    }
}

contract WitnessesSeenLargeTest is SeenTest {
    function test_WhenFourOfFiveSayTheSame_IsProven() external {
        _pool(12);
        _runTo(_epoch() + 2);
        id = _deliveredLease(2, 60);
        seats = _drawFirst(id);
        for (uint256 i; i < 3; ++i) {
            _seeAs(seats[i]);
        }
        _seeWith(seats[3], _guests(north, south));
        assertFalse(_isProven(), "three and one are not four");
        _seeAs(seats[4]);
        assertTrue(_isProven());
    }

    /// A lease that begins a term after it was signed: the committee that ended speaks until the next one is drawn.
    function test_WhenTheTermEnded_TheNextCommitteeSpeaks() external {
        _pool(12);
        _runTo(_epoch() + 2);
        uint32 s = _epoch();
        id = _openLeaseFrom(24, 2, 10, SLA);
        vm.prank(north);
        leases.sign(id);
        seats = _drawFirst(id);
        _runTo(s + 24);
        _deliver(id, 3);
        _seeAs(seats[0]);
        OrgId[] memory next = _draw(id, 1);
        uint256 outside;
        for (uint256 i; i < 5; ++i) {
            if (_sits(next, seats[i])) continue;
            address key = signers[_nOf(seats[i])];
            _refused(seats[i], abi.encodeWithSelector(IWitnesses.Witnesses_NotSeat.selector, id, key));
            ++outside;
        }
        assertGt(outside, 0, "the same five twice would show nothing");
        for (uint256 i; i < 4; ++i) {
            assertFalse(_isProven(), "what the old committee said does not count for the new one");
            _seeAs(next[i]);
        }
        assertTrue(_isProven());
    }

    function _sits(OrgId[] memory list, OrgId org) internal pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == org) return true;
        }
        return false;
    }
}
