// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";

import {ResourceId} from "../../contracts/interfaces/Types.sol";
import {PackedIds} from "../../contracts/libraries/PackedIds.sol";

/// @notice A contract around the library, so that its reverts are those of a call.
contract Packer {
    using PackedIds for mapping(uint256 => uint256);

    mapping(uint256 => uint256) private _words;

    function check(ResourceId[] memory ids, uint256 max) external pure {
        PackedIds.check(ids, max);
    }

    function store(ResourceId[] memory ids) external {
        _words.store(ids);
    }

    function load(uint256 max) external view returns (ResourceId[] memory) {
        return _words.load(max);
    }

    function word(uint256 i) external view returns (uint256) {
        return _words[i];
    }
}

abstract contract PackerBase is Test {
    Packer internal packer = new Packer();

    /// @dev `count` ids: first, first + step, ...
    function _ids(uint256 count, uint256 first, uint256 step)
        internal
        pure
        returns (ResourceId[] memory ids)
    {
        ids = new ResourceId[](count);
        for (uint256 i; i < count; ++i) {
            ids[i] = ResourceId.wrap(uint32(first + i * step));
        }
    }
}

contract PackedIdsCheckTest is PackerBase {
    function test_WhenIncreasing_Passes() external view {
        packer.check(_ids(1, type(uint32).max, 1), 64);
        packer.check(_ids(64, 1, 1), 64);
        packer.check(_ids(2, 1, type(uint32).max - 1), 2);
    }

    function test_RevertWhen_Empty() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_Count.selector, 0, 64));
        packer.check(_ids(0, 1, 1), 64);
    }

    function test_RevertWhen_TooMany() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_Count.selector, 65, 64));
        packer.check(_ids(65, 1, 1), 64);
    }

    function test_RevertWhen_Repeated() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 1));
        packer.check(_ids(3, 5, 0), 64);
    }

    function test_RevertWhen_Decreasing() external {
        ResourceId[] memory ids = _ids(3, 5, 1);
        ids[2] = ResourceId.wrap(4);
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 2));
        packer.check(ids, 64);
    }

    /// A zero would end the stored list early.
    function test_RevertWhen_Zero() external {
        vm.expectRevert(abi.encodeWithSelector(PackedIds.PackedIds_NotIncreasing.selector, 0));
        packer.check(_ids(1, 0, 1), 64);
    }
}

contract PackedIdsLoadTest is PackerBase {
    function test_WhenNothingStored_IsEmpty() external view {
        assertEq(packer.load(64).length, 0);
    }

    function test_WhenEightAreStored_FillOneWord() external {
        packer.store(_ids(8, 1, 1));
        assertNotEq(packer.word(0), 0);
        assertEq(packer.word(1), 0);
        assertEq(packer.load(64).length, 8);
        packer.store(_ids(9, 1, 1));
        assertEq(packer.word(1), 9);
    }

    function test_WhenAskedForFewer_ReadsTheFirst() external {
        packer.store(_ids(20, 100, 3));
        ResourceId[] memory ids = packer.load(11);
        assertEq(ids.length, 11);
        assertEq(ResourceId.unwrap(ids[10]), 130);
        assertEq(packer.load(0).length, 0);
    }

    function testFuzz_LoadsWhatWasStored(uint256 seed, uint8 count, uint8 max) external {
        uint256 n = bound(count, 1, 64);
        ResourceId[] memory ids = new ResourceId[](n);
        uint256 id;
        for (uint256 i; i < n; ++i) {
            id += 1 + uint256(keccak256(abi.encode(seed, i))) % 60_000_000;
            ids[i] = ResourceId.wrap(uint32(id));
        }
        packer.check(ids, 64);
        packer.store(ids);
        ResourceId[] memory got = packer.load(max);
        assertEq(got.length, n < max ? n : max);
        for (uint256 i; i < got.length; ++i) {
            assertEq(ResourceId.unwrap(got[i]), ResourceId.unwrap(ids[i]));
        }
    }
}
