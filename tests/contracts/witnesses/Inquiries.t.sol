// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {IInquiries} from "../../../contracts/interfaces/IInquiries.sol";
import {IMembers} from "../../../contracts/interfaces/IMembers.sol";
import {LeaseId, OrgId} from "../../../contracts/interfaces/Types.sol";

abstract contract InquiryTest is WitnessBase {
    LeaseId internal id;
    OrgId[] internal seats;
    uint40 internal from;
    uint40 internal until;

    function _ready(uint256 pool) internal {
        _pool(pool);
        _runTo(_epoch() + 2);
        id = _deliveredLease(2, 60);
        from = uint40(block.timestamp);
        vm.prank(buyer);
        leases.accept(id, 3);
        seats = _drawFirst(id);
        _to(_epoch() + 3);
        until = uint40(block.timestamp - 100);
    }

    function _ask(address who) internal returns (uint256) {
        vm.prank(who);
        return inquiries.ask(HOME, id, 1, from, until, 999_000);
    }

    function _answer(uint256 inquiry, uint256 seat, uint8 value) internal {
        vm.prank(signers[_nOf(seats[seat])]);
        inquiries.answer(inquiry, value, 998_500, 300);
    }

    function _result(uint256 inquiry) internal view returns (uint8) {
        return inquiries.inquiry(inquiry).result;
    }

    function _closed(uint256 inquiry) internal {
        vm.expectRevert(abi.encodeWithSelector(IInquiries.Inquiries_Closed.selector, inquiry));
    }
}

contract InquiriesSmallTest is InquiryTest {
    function setUp() public override {
        super.setUp();
        _ready(3);
    }

    function test_WhenEitherPartyAsks_IsOpen() external {
        uint40 deadline = uint40(block.timestamp + 2 * epochTime);
        vm.expectEmit(address(inquiries));
        emit IInquiries.InquiryAsked(1, id, buyerOrg, 1, from, until, 999_000, 0, deadline);
        assertEq(_ask(buyer), 1);
        assertEq(_ask(north), 2);
        IInquiries.Inquiry memory i = inquiries.inquiry(2);
        assertTrue(i.by == northOrg);
        assertEq(LeaseId.unwrap(i.lease), LeaseId.unwrap(id));
        assertEq(i.deadline, deadline);
        assertEq(inquiries.count(), 2);
    }

    function test_RevertWhen_AStrangerAsks() external {
        vm.expectRevert(abi.encodeWithSelector(IInquiries.Inquiries_NotParty.selector, id, rivalOrg));
        _ask(rival);
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NotMember.selector, address(1)));
        _ask(address(1));
    }

    function test_RevertWhen_TwiceInAnEpoch() external {
        _ask(buyer);
        vm.expectRevert(abi.encodeWithSelector(IInquiries.Inquiries_TooMany.selector, id, buyerOrg));
        _ask(buyer);
        _to(_epoch() + 1);
        _ask(buyer);
    }

    function _badWindow(uint8 place, uint40 a, uint40 b) internal {
        vm.expectRevert(abi.encodeWithSelector(IInquiries.Inquiries_BadWindow.selector, id, a, b));
        vm.prank(buyer);
        inquiries.ask(HOME, id, place, a, b, 999_000);
    }

    function test_RevertWhen_TheWindowIsNotAPastPartOfTheLease() external {
        _badWindow(1, from - 1, until);
        _badWindow(1, from, from);
        _badWindow(1, until, from);
        _badWindow(1, from, uint40(block.timestamp + 1));
        _badWindow(2, from, until);
        _badWindow(255, from, until);
        uint40 end = uint40(uint256(leases.lease(id).end) * SLOT);
        vm.warp(end + 100);
        _badWindow(1, end - 10, end + 1);
    }

    function test_RevertWhen_TheWindowHasNoOrTwoCommittees() external {
        uint40 term = uint40((from / epochTime + 24) * epochTime);
        vm.warp(term + 500);
        witnesses.draw(id, 1);
        _badWindow(1, term - 10, term + 1);
        vm.prank(buyer);
        assertEq(inquiries.ask(HOME, id, 1, term - 10, term, 999_000), 1);
        vm.prank(north);
        assertEq(inquiries.ask(HOME, id, 1, term, term + 1, 999_000), 2);
        assertEq(inquiries.inquiry(1).term, 0);
        assertEq(inquiries.inquiry(2).term, 1);
        vm.warp(term + uint256(24) * epochTime + 500);
        _badWindow(1, term + 24 * epochTime, term + 24 * epochTime + 1);
    }

    function test_WhenTwoOfThreeSayYes_IsCommitted() external {
        uint256 inquiry = _ask(buyer);
        vm.expectEmit(address(inquiries));
        emit IInquiries.InquiryAnswered(inquiry, seats[2], 1, 998_500, 300);
        _answer(inquiry, 2, 1);
        assertEq(_result(inquiry), 0);
        vm.expectEmit(address(inquiries));
        emit IInquiries.InquiryCommitted(inquiry, 1);
        _answer(inquiry, 0, 1);
        assertEq(inquiries.inquiry(inquiry).yes, 5);
        _closed(inquiry);
        _answer(inquiry, 1, 2);
    }

    function test_WhenOneLies_TheOthersDecide() external {
        uint256 inquiry = _ask(buyer);
        _answer(inquiry, 0, 1);
        _answer(inquiry, 1, 2);
        assertEq(_result(inquiry), 0);
        _answer(inquiry, 2, 2);
        assertEq(_result(inquiry), 2);
        assertEq(inquiries.inquiry(inquiry).no, 6);
    }

    function test_WhenNoQuorumCanBeReached_IsUnknown() external {
        uint256 inquiry = _ask(buyer);
        _answer(inquiry, 0, 1);
        _answer(inquiry, 1, 3);
        assertEq(_result(inquiry), 0);
        _answer(inquiry, 2, 2);
        assertEq(_result(inquiry), 3);
        inquiry = _ask(north);
        _answer(inquiry, 0, 3);
        _answer(inquiry, 1, 3);
        assertEq(_result(inquiry), 3, "one alone is no quorum");
    }

    function test_RevertWhen_AnsweredTwiceOrByAStranger() external {
        uint256 inquiry = _ask(buyer);
        _answer(inquiry, 0, 1);
        address key = signers[_nOf(seats[0])];
        vm.expectRevert(abi.encodeWithSelector(IInquiries.Inquiries_NotSeat.selector, inquiry, key));
        _answer(inquiry, 0, 2);
        vm.expectRevert(abi.encodeWithSelector(IInquiries.Inquiries_NotSeat.selector, inquiry, north));
        vm.prank(north);
        inquiries.answer(inquiry, 1, 0, 0);
    }

    function test_RevertWhen_LateOrUnknownOrNoAnswer() external {
        uint256 inquiry = _ask(buyer);
        _closed(inquiry);
        _answer(inquiry, 0, 0);
        _closed(inquiry);
        _answer(inquiry, 0, 4);
        _closed(7);
        _answer(7, 0, 1);
        _answer(inquiry, 0, 1);
        vm.warp(block.timestamp + 2 * epochTime);
        _closed(inquiry);
        _answer(inquiry, 1, 1);
    }

    function test_WhenTheTimeIsOver_AnyoneCloses() external {
        uint256 inquiry = _ask(buyer);
        _answer(inquiry, 0, 1);
        vm.warp(block.timestamp + 2 * epochTime - 1);
        _closed(inquiry);
        inquiries.close(inquiry);
        vm.warp(block.timestamp + 1);
        vm.expectEmit(address(inquiries));
        emit IInquiries.InquiryCommitted(inquiry, 3);
        inquiries.close(inquiry);
        _closed(inquiry);
        inquiries.close(inquiry);
        _closed(9);
        inquiries.close(9);
    }
}

contract InquiriesLargeTest is InquiryTest {
    function setUp() public override {
        super.setUp();
        _ready(12);
    }

    function test_WhenFourOfFiveSayTheSame_IsCommitted() external {
        uint256 inquiry = _ask(buyer);
        _answer(inquiry, 0, 2);
        _answer(inquiry, 1, 2);
        _answer(inquiry, 2, 1);
        _answer(inquiry, 3, 2);
        assertEq(_result(inquiry), 0);
        _answer(inquiry, 4, 2);
        assertEq(_result(inquiry), 2);
    }

    function test_WhenTwoDisagree_IsUnknownAtOnce() external {
        uint256 inquiry = _ask(buyer);
        _answer(inquiry, 0, 1);
        _answer(inquiry, 1, 2);
        _answer(inquiry, 2, 1);
        assertEq(_result(inquiry), 0);
        _answer(inquiry, 3, 2);
        assertEq(_result(inquiry), 3);
    }
}
