// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IDirectory} from "./interfaces/IDirectory.sol";

/// @notice What every contract of the exchange shares: its directory, and two doors guarded by it.
abstract contract Governed {
    IDirectory public immutable directory;

    /// @dev Only a contract that `Directory` gives the right.
    modifier onlyHolder(bytes32 right) {
        _requireRight(right);
        _;
    }

    /// @dev For what brings begun business to its end: a right that was taken away does not close it.
    modifier onlyEverHolder(bytes32 right) {
        _requireEverHadRight(right);
        _;
    }

    modifier onlyCouncil() {
        if (msg.sender != directory.council()) revert IDirectory.Directory_NotCouncil(msg.sender);
        _;
    }

    constructor(IDirectory directory_) {
        directory = directory_;
    }

    /// @dev Functions, so that a contract holds each check once, however many doors it has.
    function _requireRight(bytes32 right) private view {
        directory.requireRight(msg.sender, right);
    }

    function _requireEverHadRight(bytes32 right) private view {
        directory.requireEverHadRight(msg.sender, right);
    }
}
