// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {Exchange} from "./Exchange.sol";
import {ICredits} from "../../contracts/interfaces/ICredits.sol";
import {IDirectory} from "../../contracts/interfaces/IDirectory.sol";

contract CreditsMintTest is Exchange {
    function testFuzz_WhenCouncil_MintsAgainstAReference(uint128 amount) external {
        uint256 supply = credits.totalSupply();
        vm.expectEmit(address(credits));
        emit ICredits.Minted(buyer, amount, "invoice 7");
        vm.prank(council);
        credits.mint(buyer, amount, "invoice 7");
        assertEq(credits.balanceOf(buyer), amount);
        assertEq(credits.totalSupply(), supply + amount);
    }

    function test_RevertWhen_NotCouncil() external {
        address[3] memory callers = [buyer, address(timelock), address(escrow)];
        for (uint256 i; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, callers[i]));
            vm.prank(callers[i]);
            credits.mint(callers[i], 1, 0);
        }
    }
}

contract CreditsBurnTest is Exchange {
    function test_WhenCouncil_BurnsItsOwn() external {
        vm.startPrank(council);
        credits.mint(council, 10, 0);
        uint256 supply = credits.totalSupply();
        vm.expectEmit(address(credits));
        emit ICredits.Burned(4, "invoice 7");
        credits.burn(4, "invoice 7");
        vm.stopPrank();
        assertEq(credits.balanceOf(council), 6);
        assertEq(credits.totalSupply(), supply - 4);
    }

    function test_RevertWhen_NotCouncil() external {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NotCouncil.selector, buyer));
        vm.prank(buyer);
        credits.burn(0, 0);
    }

    /// @dev No claw-back: others' credits are out of reach, approved or not.
    function test_RevertWhen_MoreThanTheCouncilHolds() external {
        vm.prank(council);
        credits.mint(buyer, 10, 0);
        vm.prank(buyer);
        credits.approve(council, 10);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, council, 0, 1));
        vm.prank(council);
        credits.burn(1, 0);
    }
}

contract CreditsTokenTest is Exchange {
    function test_Always_NamesItselfWithSixDecimals() external view {
        assertEq(credits.name(), "OCX Credits");
        assertEq(credits.symbol(), "OCX");
        assertEq(credits.decimals(), 6);
    }

    function test_WhenTransferred_MovesExactly() external {
        vm.prank(council);
        credits.mint(buyer, 10, 0);
        vm.prank(buyer);
        assertTrue(credits.transfer(rival, 3));
        assertEq(credits.balanceOf(buyer), 7);
        assertEq(credits.balanceOf(rival), 3);
    }
}
