// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {Exchange} from "./Exchange.sol";
import {Credits} from "../../contracts/Credits.sol";
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

contract CreditsPermitTest is Exchange {
    function _digest(address owner, uint256 value, uint256 nonce, uint256 deadline)
        private
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("OCX Credits"),
                keccak256("1"),
                block.chainid,
                address(credits)
            )
        );
        bytes32 hash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                owner,
                north,
                value,
                nonce,
                deadline
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, hash));
    }

    function testFuzz_WhenSigned_AllowsThatMuchOnce(uint256 value) external {
        (, uint256 key) = makeAddrAndKey("buyer");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(buyer, value, 0, block.timestamp));
        vm.prank(rival); // anyone may bring it
        credits.permit(buyer, north, value, block.timestamp, v, r, s);
        assertEq(credits.allowance(buyer, north), value);
        assertEq(credits.nonces(buyer), 1);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        credits.permit(buyer, north, value, block.timestamp, v, r, s);
    }

    function test_RevertWhen_AnotherSigned() external {
        (, uint256 key) = makeAddrAndKey("rival");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(buyer, 5, 0, block.timestamp));
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, rival, buyer));
        credits.permit(buyer, north, 5, block.timestamp, v, r, s);
    }

    function test_RevertWhen_TooLate() external {
        (, uint256 key) = makeAddrAndKey("buyer");
        uint256 deadline = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(buyer, 5, 0, deadline));
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, deadline));
        credits.permit(buyer, north, 5, deadline, v, r, s);
    }

    /// @dev The signature that the client in docs/credits.md makes (tests/chain/test_permit.py).
    function test_WhenSignedByTheDocumentedClient_IsTaken() external {
        Credits at = Credits(address(0xC4ED1750));
        deployCodeTo("Credits.sol:Credits", abi.encode(directory), address(at));
        address owner = 0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A;
        address spender = address(0xb0b0);
        at.permit(
            owner,
            spender,
            2_500_000,
            2_000_000_000,
            27,
            0x760a4976ebb854e55aec25211db2bbf438a9c0b1bcd2d645aa5b8eb8a1f7aab1,
            0x15228ea8b5c50a041b1401b809a794b67f474255e48d45827094562b129970bb
        );
        assertEq(at.allowance(owner, spender), 2_500_000);
    }
}
