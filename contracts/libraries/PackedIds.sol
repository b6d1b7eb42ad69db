// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ResourceId} from "../interfaces/Types.sol";

/// @notice Strictly increasing resource ids, eight in a storage word; a zero id ends the list.
library PackedIds {
    uint256 internal constant PER_WORD = 8;
    /// @notice Longest list anywhere in the exchange: a delivery bitmap has 64 bits. Bounds every loop over resources.
    uint256 internal constant MAX = 64;

    /// @notice resources must be strictly increasing
    /// @dev Sort them, each once.
    error PackedIds_NotIncreasing(uint256 index);
    /// @notice too few or too many resources
    /// @dev Name 1 to 64 of them.
    error PackedIds_Count(uint256 count, uint256 max);

    /// @notice Reverts unless there are 1 to `max` ids, each larger than the one before.
    function check(ResourceId[] memory ids, uint256 max) internal pure {
        uint256 count = ids.length;
        if (count == 0 || count > max) revert PackedIds_Count(count, max);
        uint32 last = 0;
        for (uint256 i; i < count; ++i) {
            uint32 id = ResourceId.unwrap(ids[i]);
            if (id <= last) revert PackedIds_NotIncreasing(i);
            last = id;
        }
    }

    function store(mapping(uint256 => uint256) storage words, ResourceId[] memory ids) internal {
        uint256 count = ids.length;
        for (uint256 w; w * PER_WORD < count; ++w) {
            uint256 word;
            for (uint256 i; i < PER_WORD && w * PER_WORD + i < count; ++i) {
                word |= uint256(ResourceId.unwrap(ids[w * PER_WORD + i])) << (32 * i);
            }
            words[w] = word;
        }
    }

    /// @param max No more than so many are read, though more may be stored.
    function load(mapping(uint256 => uint256) storage words, uint256 max)
        internal
        view
        returns (ResourceId[] memory ids)
    {
        ids = new ResourceId[](max);
        uint256 count;
        uint256 word;
        for (; count < max; ++count) {
            if (count % PER_WORD == 0) word = words[count / PER_WORD];
            // The id is the lowest 32 bits of what is left.
            // forge-lint: disable-next-line(unsafe-typecast)
            uint32 id = uint32(word >> (32 * (count % PER_WORD)));
            if (id == 0) break;
            ids[count] = ResourceId.wrap(id);
        }
        assembly ("memory-safe") {
            mstore(ids, count)
        }
    }
}
