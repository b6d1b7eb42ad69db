// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Exchange} from "./Exchange.sol";
import {Directory} from "../../contracts/Directory.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {Rights} from "../../contracts/libraries/Rights.sol";

/// @dev Each function's tests act as the time lock, unless they show that others may not.
abstract contract DirectoryTest is Exchange {
    bytes32 internal constant NAME = "Thing";
    bytes32 internal constant RIGHT = "thing.do";
    address internal stranger = makeAddr("stranger");

    function _asTimelock() internal {
        vm.prank(address(timelock));
    }

    function _notTimelock(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDirectory.Directory_NotTimelock.selector, caller);
    }

    function _noCode(address location) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDirectory.Directory_NoCode.selector, location);
    }
}

contract DirectoryConstructorTest is DirectoryTest {
    function test_WhenDeployed_FounderStandsForTheTimelock() external {
        vm.expectEmit();
        emit IDirectory.CouncilChanged(council);
        vm.expectEmit();
        emit IDirectory.TimelockChanged(address(this));
        Directory fresh = new Directory(council);
        assertEq(fresh.council(), council);
        assertEq(fresh.timelock(), address(this));
        assertEq(fresh.names().length, 0);
    }
}

contract DirectoryPublishTest is DirectoryTest {
    function test_WhenFirst_IsVersionOne() external {
        uint256 names = directory.names().length;
        vm.expectEmit(address(directory));
        emit IDirectory.ContractPublished(NAME, 1, address(book));
        _asTimelock();
        assertEq(directory.publish(NAME, address(book)), 1);
        assertEq(directory.versions(NAME), 1);
        assertEq(directory.latest(NAME), address(book));
        assertEq(directory.names().length, names + 1);
        assertEq(directory.names()[names], NAME);
    }

    function test_WhenNewer_KeepsTheOlderListed() external {
        vm.startPrank(address(timelock));
        directory.publish(NAME, address(book));
        uint256 names = directory.names().length;
        vm.expectEmit(address(directory));
        emit IDirectory.ContractPublished(NAME, 2, address(escrow));
        assertEq(directory.publish(NAME, address(escrow)), 2);
        vm.stopPrank();
        assertEq(directory.versions(NAME), 2);
        assertEq(directory.at(NAME, 1), address(book));
        assertEq(directory.at(NAME, 2), address(escrow));
        assertEq(directory.latest(NAME), address(escrow));
        assertEq(directory.names().length, names, "one name, listed once");
    }

    function test_RevertWhen_NoCode() external {
        vm.expectRevert(_noCode(stranger));
        _asTimelock();
        directory.publish(NAME, stranger);
    }

    function test_RevertWhen_NotTimelock() external {
        address[3] memory callers = [stranger, council, address(this)];
        for (uint256 i; i < callers.length; ++i) {
            vm.expectRevert(_notTimelock(callers[i]));
            vm.prank(callers[i]);
            directory.publish(NAME, address(book));
        }
    }
}

contract DirectorySetRightTest is DirectoryTest {
    function test_WhenGranted_HasIt() external {
        vm.expectEmit(address(directory));
        emit IDirectory.RightSet(stranger, RIGHT, true);
        _asTimelock();
        directory.setRight(stranger, RIGHT, true);
        assertTrue(directory.hasRight(stranger, RIGHT));
        assertTrue(directory.everHadRight(stranger, RIGHT));
        directory.requireRight(stranger, RIGHT);
        directory.requireEverHadRight(stranger, RIGHT);
    }

    function test_WhenTakenAway_EverHadItStays() external {
        vm.startPrank(address(timelock));
        directory.setRight(stranger, RIGHT, true);
        vm.expectEmit(address(directory));
        emit IDirectory.RightSet(stranger, RIGHT, false);
        directory.setRight(stranger, RIGHT, false);
        vm.stopPrank();
        assertFalse(directory.hasRight(stranger, RIGHT));
        assertTrue(directory.everHadRight(stranger, RIGHT));
        directory.requireEverHadRight(stranger, RIGHT);
    }

    function test_WhenRefusedBeforeGranted_NeverHadIt() external {
        _asTimelock();
        directory.setRight(stranger, RIGHT, false);
        assertFalse(directory.everHadRight(stranger, RIGHT));
    }

    function test_RevertWhen_NotTimelock() external {
        address[2] memory callers = [stranger, council];
        for (uint256 i; i < callers.length; ++i) {
            vm.expectRevert(_notTimelock(callers[i]));
            vm.prank(callers[i]);
            directory.setRight(stranger, RIGHT, true);
        }
    }
}

contract DirectorySetCouncilTest is DirectoryTest {
    function test_WhenSet_NewCouncilActsAndOldDoesNot() external {
        vm.expectEmit(address(directory));
        emit IDirectory.CouncilChanged(stranger);
        _asTimelock();
        directory.setCouncil(stranger);
        assertEq(directory.council(), stranger);

        vm.prank(stranger);
        members.setSuspended(northOrg, true);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, council));
        vm.prank(council);
        members.setSuspended(northOrg, false);
    }

    function test_RevertWhen_NotTimelock() external {
        vm.expectRevert(_notTimelock(council));
        vm.prank(council);
        directory.setCouncil(stranger);
    }

    function test_RevertWhen_Nobody() external {
        vm.expectRevert(IDirectory.Directory_NoAccount.selector);
        _asTimelock();
        directory.setCouncil(address(0));
        vm.expectRevert(IDirectory.Directory_NoAccount.selector);
        new Directory(address(0));
    }
}

contract DirectorySetTimelockTest is DirectoryTest {
    function test_WhenSet_TheOldOneMayNothing() external {
        vm.expectEmit(address(directory));
        emit IDirectory.TimelockChanged(address(book));
        _asTimelock();
        directory.setTimelock(address(book));
        assertEq(directory.timelock(), address(book));
        vm.expectRevert(_notTimelock(address(timelock)));
        _asTimelock();
        directory.setCouncil(stranger);
    }

    function test_WhenHandedOver_FounderMayNothing() external {
        vm.expectRevert(_notTimelock(address(this)));
        directory.setRight(address(this), Rights.ESCROW_MOVE, true);
    }

    function test_WhenCouncilProposes_ActsAfterTheDelayOnly() external {
        bytes memory data = abi.encodeCall(IDirectory.setRight, (stranger, RIGHT, true));
        vm.prank(council);
        timelock.schedule(address(directory), 0, data, 0, 0, 1 days);
        vm.warp(block.timestamp + 1 days - 1);
        vm.expectRevert();
        vm.prank(council);
        timelock.execute(address(directory), 0, data, 0, 0);
        vm.warp(block.timestamp + 1);
        vm.prank(council);
        timelock.execute(address(directory), 0, data, 0, 0);
        assertTrue(directory.hasRight(stranger, RIGHT));
    }

    function test_RevertWhen_NoCode() external {
        vm.expectRevert(_noCode(stranger));
        _asTimelock();
        directory.setTimelock(stranger);
    }

    function test_RevertWhen_NotTimelock() external {
        vm.expectRevert(_notTimelock(council));
        vm.prank(council);
        directory.setTimelock(address(book));
    }
}

contract DirectoryViewsTest is DirectoryTest {
    function test_WhenDeployed_ListsEveryContract() external view {
        bytes32[14] memory expected = [
            bytes32("Members"),
            "Credits",
            "Escrow",
            "Inventory",
            "Settlement",
            "Leases",
            "Awards",
            "Book",
            "Ranking",
            "SealedTender",
            "Amendments",
            "Sublets",
            "EnglishAuction",
            "Orders"
        ];
        bytes32[] memory names = directory.names();
        assertEq(names.length, expected.length);
        for (uint256 i; i < names.length; ++i) {
            assertEq(names[i], expected[i]);
            assertEq(directory.versions(names[i]), 1);
        }
        assertEq(directory.latest("Escrow"), address(escrow));
    }

    function test_RevertWhen_UnknownName() external {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_Unknown.selector, NAME, 0));
        directory.latest(NAME);
    }

    function test_RevertWhen_VersionZero() external {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_Unknown.selector, bytes32("Book"), 0));
        directory.at("Book", 0);
    }

    function test_RevertWhen_VersionBehindTheLast() external {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_Unknown.selector, bytes32("Book"), 2));
        directory.at("Book", 2);
    }

    function test_RevertWhen_NoRight() external {
        bytes memory noRight =
            abi.encodeWithSelector(IDirectory.Directory_NoRight.selector, stranger, Rights.ESCROW_MOVE);
        vm.expectRevert(noRight);
        directory.requireRight(stranger, Rights.ESCROW_MOVE);
        vm.expectRevert(noRight);
        directory.requireEverHadRight(stranger, Rights.ESCROW_MOVE);
    }
}
