// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {LeaseId} from "../../../contracts/interfaces/Types.sol";
import {Trees} from "../../../contracts/libraries/Trees.sol";

contract TreesTest is WitnessBase {
    function holds(bytes32 root, IWitnesses.Leaf memory leaf, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return Trees.holds(root, leaf, proof);
    }

    function _leaves(uint256 count) internal view returns (IWitnesses.Leaf[] memory list) {
        list = new IWitnesses.Leaf[](count);
        for (uint256 i; i < count; ++i) {
            list[i] = _leaf(LeaseId.wrap(uint32(i + 1)), uint8(i), i);
        }
    }

    function _hashes(IWitnesses.Leaf[] memory list) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](list.length);
        for (uint256 i; i < list.length; ++i) {
            hashes[i] = keccak256(
                abi.encode(list[i].lease, list[i].place, list[i].measured, list[i].down, list[i].samples)
            );
        }
    }

    function test_WhenEmpty_TheRootIsZeroAndHoldsNothing() external view {
        assertEq(Trees.root(_leaves(0)), 0);
        assertFalse(this.holds(0, _leaves(1)[0], new bytes32[](0)));
    }

    function test_Always_HoldsEachLeafAndNoOther() external view {
        for (uint256 count = 1; count <= 17; ++count) {
            IWitnesses.Leaf[] memory list = _leaves(count);
            bytes32 root = Trees.root(list);
            for (uint256 i; i < count; ++i) {
                bytes32[] memory proof = _proof(_hashes(list), i);
                assertTrue(this.holds(root, list[i], proof));
                assertFalse(this.holds(root, list[(i + 1) % count], proof) && count > 1);
                IWitnesses.Leaf memory other = _leaves(count)[i];
                other.down ^= 1;
                assertFalse(this.holds(root, other, proof));
            }
        }
    }

    function test_WhenTwo_ThePairIsInOrderOfSize() external pure {
        bytes32[] memory nodes = new bytes32[](3);
        (nodes[0], nodes[1], nodes[2]) = (bytes32(uint256(9)), bytes32(uint256(4)), bytes32(uint256(1)));
        bytes32 pair = keccak256(abi.encodePacked(uint256(4), uint256(9)));
        bytes32 root = keccak256(abi.encodePacked(uint256(1), pair));
        assertEq(Trees.root(nodes), root, "an odd node rises as it is");
    }
}
