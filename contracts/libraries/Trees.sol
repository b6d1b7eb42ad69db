// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IWitnesses} from "../interfaces/IWitnesses.sol";

/// @notice Merkle trees of what witnesses measured: pairs are hashed in order of size, an odd node rises as it is.
///
/// A leaf is hashed from 160 bytes and a node from 64, so neither passes for the other. A proof is that of
/// OpenZeppelin's `MerkleProof`. The root of no leaves is 0.
library Trees {
    /// @notice Longest proof: a tree of so many levels holds more leaves than anybody can publish.
    uint256 internal constant MAX_DEPTH = 64;

    /// @notice A leaf of a witness's epoch.
    function hash(IWitnesses.Leaf memory leaf) internal pure returns (bytes32) {
        return keccak256(abi.encode(leaf.lease, leaf.place, leaf.measured, leaf.down, leaf.samples));
    }

    /// @notice The root over leaves, in the order they are given.
    function root(IWitnesses.Leaf[] memory leaves) internal pure returns (bytes32) {
        bytes32[] memory nodes = new bytes32[](leaves.length);
        for (uint256 i; i < nodes.length; ++i) {
            nodes[i] = hash(leaves[i]);
        }
        return root(nodes);
    }

    /// @notice The root over hashes. Uses up `nodes`.
    function root(bytes32[] memory nodes) internal pure returns (bytes32) {
        uint256 n = nodes.length;
        if (n == 0) return 0;
        while (n > 1) {
            uint256 half = n / 2;
            for (uint256 i; i < half; ++i) {
                nodes[i] = Hashes.commutativeKeccak256(nodes[2 * i], nodes[2 * i + 1]);
            }
            if (n & 1 == 1) nodes[half++] = nodes[n - 1];
            n = half;
        }
        return nodes[0];
    }

    /// @notice Whether a leaf is under a root.
    function holds(bytes32 root_, IWitnesses.Leaf memory leaf, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        return proof.length <= MAX_DEPTH && MerkleProof.verifyCalldata(proof, root_, hash(leaf));
    }
}
