// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {Exchange} from "../Exchange.sol";
import {Council} from "../../../contracts/Council.sol";
import {ICouncil} from "../../../contracts/interfaces/ICouncil.sol";
import {ICredits} from "../../../contracts/interfaces/ICredits.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IMembers, Roles} from "../../../contracts/interfaces/IMembers.sol";

/// @notice The exchange under a council of two of three, put in its place through the time lock of the one before.
abstract contract CouncilTest is Exchange {
    address internal ada = makeAddr("ada");
    address internal bob = makeAddr("bob");
    address internal cyd = makeAddr("cyd");
    Council internal body;

    function setUp() public virtual override {
        super.setUp();
        body = new Council(_three(), 2);
        vm.prank(address(timelock));
        directory.setCouncil(address(body));
    }

    function _three() internal view returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (ada, bob, cyd);
    }

    function _one(address member) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = member;
    }

    /// @dev What each proposal asks for, as an approval names it.
    mapping(uint256 id => bytes32) internal _whats;

    function _propose(address member, address target, bytes memory data) internal returns (uint256 id) {
        vm.prank(member);
        id = body.propose(target, data);
        _whats[id] = keccak256(abi.encode(target, data));
    }

    function _mint(address member) internal returns (uint256) {
        return _propose(member, address(credits), abi.encodeCall(ICredits.mint, (buyer, 7, "invoice")));
    }

    function _approve(address member, uint256 id) internal {
        vm.prank(member);
        body.approve(id, _whats[id]);
    }

    function _setMembers(address[] memory list, uint8 threshold) internal {
        uint256 id = _propose(ada, address(body), abi.encodeCall(ICouncil.setMembers, (list, threshold)));
        _approve(bob, id);
    }
}

contract CouncilMakingTest is CouncilTest {
    function test_WhenMade_KnowsItsMembers() external {
        vm.expectEmit();
        emit ICouncil.MembersChanged(1, _three(), 3);
        Council fresh = new Council(_three(), 3);
        assertEq(fresh.members(), _three());
        assertEq(fresh.threshold(), 3);
        assertEq(fresh.term(), 1);
        assertTrue(fresh.isMember(bob));
        assertFalse(fresh.isMember(north));
    }

    function test_WhenSixtyFour_AreEnough() external {
        address[] memory list = new address[](64);
        for (uint256 i; i < 64; ++i) {
            list[i] = address(uint160(i + 1));
        }
        Council fresh = new Council(list, 64);
        bytes32 what = keccak256(abi.encode(address(credits), abi.encodeCall(credits.totalSupply, ())));
        for (uint256 i; i < 64; ++i) {
            vm.prank(list[i]);
            if (i == 0) fresh.propose(address(credits), abi.encodeCall(credits.totalSupply, ()));
            else fresh.approve(1, what);
            assertEq(fresh.proposal(1).executed, i == 63);
        }
    }

    function test_RevertWhen_ListOrThresholdIsWrong() external {
        _bad(_three(), 0);
        _bad(_three(), 4);
        _bad(new address[](0), 0);
        _bad(new address[](0), 1);
        address[] memory list = new address[](65);
        for (uint256 i; i < 65; ++i) {
            list[i] = address(uint160(i + 1));
        }
        _bad(list, 1);
        list = _three();
        list[1] = ada;
        _bad(list, 1);
        list[1] = address(0);
        _bad(list, 1);
    }

    function _bad(address[] memory list, uint8 threshold) private {
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_BadMembers.selector, list.length, threshold));
        new Council(list, threshold);
    }
}

contract CouncilProposeTest is CouncilTest {
    function test_WhenTwoAgree_IsDone() external {
        bytes memory data = abi.encodeCall(ICredits.mint, (buyer, 7, "invoice"));
        vm.expectEmit(address(body));
        emit ICouncil.Proposed(1, ada, address(credits), data);
        vm.expectEmit(address(body));
        emit ICouncil.Approved(1, ada);
        assertEq(_mint(ada), 1);
        assertEq(credits.balanceOf(buyer), 0, "one of two is not enough");

        vm.expectEmit(address(body));
        emit ICouncil.Approved(1, cyd);
        vm.expectEmit(address(body));
        emit ICouncil.Executed(1, "");
        _approve(cyd, 1);
        assertEq(credits.balanceOf(buyer), 7);
        ICouncil.Proposal memory p = body.proposal(1);
        assertEq(p.target, address(credits));
        assertEq(p.data, data);
        assertEq(p.approvals, 5, "first and third");
        assertTrue(p.executed);
        assertEq(body.proposalCount(), 1);
    }

    /// @dev Whatever the council may, it may as a body: admit, suspend, withdraw the fund.
    function test_WhenTwoAgree_GovernsTheExchange() external {
        uint256 id =
            _propose(bob, address(members), abi.encodeCall(IMembers.admit, ("east", cyd, Roles.SELLER, 0)));
        _approve(ada, id);
        assertEq(members.count(), 5);
        id = _propose(bob, address(members), abi.encodeCall(IMembers.setSuspended, (northOrg, true)));
        _approve(cyd, id);
        assertTrue(members.organisation(northOrg).suspended);
        id = _propose(bob, address(escrow), abi.encodeCall(IEscrow.withdrawFund, (ada, 0)));
        _approve(cyd, id);
    }

    /// @dev One of one is carried out at once, as by a plain account.
    function test_WhenOneIsEnough_IsDoneAtOnce() external {
        Council alone = new Council(_one(ada), 1);
        vm.prank(address(timelock));
        directory.setCouncil(address(alone));
        vm.prank(ada);
        alone.propose(address(credits), abi.encodeCall(ICredits.mint, (buyer, 7, "invoice")));
        assertEq(credits.balanceOf(buyer), 7);
    }

    function test_RevertWhen_NotMember() external {
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_NotMember.selector, council));
        _mint(council);
    }

    /// @dev A member by itself is nobody to the exchange.
    function test_RevertWhen_AMemberActsAlone() external {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, ada));
        vm.prank(ada);
        credits.mint(ada, 1, 0);
    }

    function test_RevertWhen_NothingIsThere() external {
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_NoCode.selector, north));
        _propose(ada, north, "");
    }
}

contract CouncilApproveTest is CouncilTest {
    function test_RevertWhen_AgreedTwice() external {
        uint256 id = _mint(ada);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_AlreadyApproved.selector, id, ada));
        _approve(ada, id);
    }

    function test_RevertWhen_Executed() external {
        uint256 id = _mint(ada);
        _approve(bob, id);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_Executed.selector, id));
        _approve(cyd, id);
    }

    function test_RevertWhen_Unknown() external {
        _mint(ada);
        for (uint256 id = 0; id < 3; id += 2) {
            vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_Unknown.selector, id));
            _approve(bob, id);
        }
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_Unknown.selector, 2));
        body.proposal(2);
    }

    /// @dev T2: at the very second it is too late.
    function test_RevertWhen_ThirtyDaysOld() external {
        uint256 id = _mint(ada);
        uint256 other = _mint(ada);
        uint256 until = block.timestamp + 30 days;
        vm.warp(until - 1);
        _approve(bob, id);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_Expired.selector, other, until));
        _approve(bob, other);
    }

    function test_RevertWhen_NotMember() external {
        uint256 id = _mint(ada);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_NotMember.selector, north));
        _approve(north, id);
    }

    /// @dev The call's own error comes through, nothing stays, and the agreement can be given once the call would go.
    function test_RevertWhen_TheCallFails_AndGoesThroughLater() external {
        vm.prank(address(timelock));
        directory.setCouncil(council);
        uint256 id = _mint(ada);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, address(body)));
        _approve(bob, id);
        assertEq(body.proposal(id).approvals, 1);
        vm.prank(address(timelock));
        directory.setCouncil(address(body));
        _approve(bob, id);
        assertEq(credits.balanceOf(buyer), 7);
    }

    function test_RevertWhen_TheCallComesBack() external {
        Again again = new Again(body);
        address[] memory list = _three();
        list[2] = address(again);
        _setMembers(list, 2);
        uint256 id = _propose(ada, address(again), abi.encodeCall(Again.run, ()));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_Executed.selector, id));
        _approve(bob, id);
    }
}

/// @dev A member that agrees to what is being carried out, to have it carried out twice.
contract Again {
    Council private immutable _body;

    constructor(Council body_) {
        _body = body_;
    }

    function run() external {
        uint256 id = _body.proposalCount();
        ICouncil.Proposal memory p = _body.proposal(id);
        _body.approve(id, keccak256(abi.encode(p.target, p.data)));
    }
}

contract CouncilRevokeTest is CouncilTest {
    function test_WhenTakenBack_DoesNotCount() external {
        uint256 id = _mint(ada);
        vm.expectEmit(address(body));
        emit ICouncil.Revoked(id, ada);
        vm.prank(ada);
        body.revoke(id);
        _approve(bob, id);
        assertFalse(body.proposal(id).executed);
        _approve(ada, id);
        assertTrue(body.proposal(id).executed);
    }

    function test_RevertWhen_NotGiven() external {
        uint256 id = _mint(ada);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_NotApproved.selector, id, bob));
        vm.prank(bob);
        body.revoke(id);
    }

    function test_RevertWhen_Executed() external {
        uint256 id = _mint(ada);
        _approve(bob, id);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_Executed.selector, id));
        vm.prank(ada);
        body.revoke(id);
    }
}

contract CouncilSetMembersTest is CouncilTest {
    function test_WhenChanged_OldAgreementsAreVoid() external {
        uint256 waiting = _mint(cyd);
        address[] memory list = new address[](2);
        (list[0], list[1]) = (bob, north);
        uint256 change = _propose(ada, address(body), abi.encodeCall(ICouncil.setMembers, (list, 2)));
        vm.expectEmit(address(body));
        emit ICouncil.Approved(change, bob);
        vm.expectEmit(address(body));
        emit ICouncil.MembersChanged(2, list, 2);
        _approve(bob, change);
        assertEq(body.members(), list);
        assertFalse(body.isMember(ada));
        assertTrue(body.isMember(north));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_OtherTerm.selector, waiting, 1, 2));
        _approve(bob, waiting);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_NotMember.selector, ada));
        _approve(ada, waiting);
        _approve(north, _mint(bob));
        assertEq(credits.balanceOf(buyer), 7);
    }

    function test_RevertWhen_NotByItself() external {
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_NotCouncil.selector, ada));
        vm.prank(ada);
        body.setMembers(_three(), 1);
    }

    function test_RevertWhen_OneOfThemIsItself() external {
        address[] memory list = _three();
        list[0] = address(body);
        uint256 id = _propose(ada, address(body), abi.encodeCall(ICouncil.setMembers, (list, 2)));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.Council_BadMembers.selector, 3, 2));
        _approve(bob, id);
    }
}

/// @dev Behind the delay nothing changes: the council proposes and executes as one.
contract CouncilTimelockTest is CouncilTest {
    function test_WhenScheduledAndExecutedByTwo_IsDoneAfterTheDelay() external {
        address[] memory both = _one(address(body));
        TimelockController lock = new TimelockController(2 days, both, both, address(0));
        vm.prank(address(timelock));
        directory.setTimelock(address(lock));

        bytes memory grant = abi.encodeCall(IDirectory.setRight, (north, "thing.do", true));
        bytes memory schedule = abi.encodeCall(
            TimelockController.schedule, (address(directory), 0, grant, bytes32(0), bytes32(0), 2 days)
        );
        bytes memory execute = abi.encodeCall(
            TimelockController.execute, (address(directory), 0, grant, bytes32(0), bytes32(0))
        );
        _approve(bob, _propose(ada, address(lock), schedule));
        uint256 id = _propose(cyd, address(lock), execute);
        vm.expectRevert();
        _approve(bob, id);
        assertFalse(directory.hasRight(north, "thing.do"));
        vm.warp(block.timestamp + 2 days);
        _approve(bob, id);
        assertTrue(directory.hasRight(north, "thing.do"));
    }
}

contract CouncilFuzzTest is CouncilTest {
    /// @dev Against a plain model: done at the very moment when enough members stand behind it, and not before.
    function testFuzz_Always_IsDoneWhenEnoughAgree(uint8 threshold, uint8[24] calldata acts) external {
        threshold = uint8(bound(threshold, 1, 5));
        address[] memory list = new address[](5);
        for (uint256 i; i < 5; ++i) {
            list[i] = address(uint160(100 + i));
        }
        Council fresh = new Council(list, threshold);
        bytes32 what = keccak256(abi.encode(address(credits), abi.encodeCall(credits.totalSupply, ())));
        bool[5] memory stands = [true, false, false, false, false];
        uint256 n = 1;
        vm.prank(list[0]);
        fresh.propose(address(credits), abi.encodeCall(credits.totalSupply, ()));
        for (uint256 i; i < acts.length && n < threshold; ++i) {
            uint256 who = acts[i] % 5;
            vm.prank(list[who]);
            if (stands[who]) fresh.revoke(1);
            else fresh.approve(1, what);
            stands[who] = !stands[who];
            n = stands[who] ? n + 1 : n - 1;
            assertEq(fresh.proposal(1).executed, n >= threshold);
        }
        assertEq(fresh.proposal(1).executed, n >= threshold);
    }
}
