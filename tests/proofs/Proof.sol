// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {Directory} from "../../contracts/Directory.sol";
import {OrgId} from "../../contracts/interfaces/Types.sol";

/// @notice What proofs share. Each `check_` function is proven by halmos for every value of its parameters and, where
/// storage is made arbitrary, for every state before it; what reverts is left out, since it changes nothing.
abstract contract Proof is Test {
    address internal constant COUNCIL = address(0xC0);

    Directory internal directory;

    function setUp() public virtual {
        directory = new Directory(COUNCIL);
    }

    /// @dev The outcome of a call that went through; where it does not, there is nothing to prove.
    function _goesThrough(address by, address target, bytes memory data) internal returns (bytes memory) {
        vm.prank(by);
        (bool ok, bytes memory result) = target.call(data);
        vm.assume(ok);
        return result;
    }
}

/// @notice What `Escrow` asks `Members`, with every answer left open: storage is arbitrary.
contract AnyMembers {
    mapping(OrgId => OrgId) public partyOf;
    mapping(OrgId => address) public payoutOf;
    mapping(address account => mapping(uint16 right => OrgId)) public requireRight;
    mapping(OrgId => mapping(OrgId => bool)) public isWithin;
    mapping(bytes32 consent => bool) public refused;

    function charge(address by, OrgId org, uint256 amount) external view returns (OrgId) {
        require(!refused[keccak256(abi.encode(by, org, amount))]);
        return partyOf[org];
    }

    function restore(address, OrgId org, uint256) external view returns (OrgId) {
        return partyOf[org];
    }
}
