// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IDirectory} from "./interfaces/IDirectory.sol";

/// @notice See {IDirectory}.
contract Directory is IDirectory {
    /// @inheritdoc IDirectory
    address public council;
    /// @inheritdoc IDirectory
    address public timelock;
    /// @inheritdoc IDirectory
    mapping(address holder => mapping(bytes32 right => bool)) public hasRight;
    /// @inheritdoc IDirectory
    mapping(address holder => mapping(bytes32 right => bool)) public everHadRight;

    bytes32[] private _names;
    mapping(bytes32 name => address[]) private _versions;

    modifier onlyTimelock() {
        if (msg.sender != timelock) revert Directory_NotTimelock(msg.sender);
        _;
    }

    constructor(address council_) {
        if (council_ == address(0)) revert Directory_NoAccount();
        council = council_;
        timelock = msg.sender;
        emit CouncilChanged(council_);
        emit TimelockChanged(msg.sender);
    }

    /// @inheritdoc IDirectory
    function publish(bytes32 name, address location) external onlyTimelock returns (uint256 version) {
        if (location.code.length == 0) revert Directory_NoCode(location);
        if (_versions[name].length == 0) _names.push(name);
        _versions[name].push(location);
        version = _versions[name].length;
        emit ContractPublished(name, version, location);
    }

    /// @inheritdoc IDirectory
    function setRight(address holder, bytes32 right, bool granted) external onlyTimelock {
        hasRight[holder][right] = granted;
        if (granted) everHadRight[holder][right] = true;
        emit RightSet(holder, right, granted);
    }

    /// @inheritdoc IDirectory
    function setCouncil(address council_) external onlyTimelock {
        if (council_ == address(0)) revert Directory_NoAccount();
        council = council_;
        emit CouncilChanged(council_);
    }

    /// @inheritdoc IDirectory
    function setTimelock(address timelock_) external onlyTimelock {
        if (timelock_.code.length == 0) revert Directory_NoCode(timelock_);
        timelock = timelock_;
        emit TimelockChanged(timelock_);
    }

    /// @inheritdoc IDirectory
    function names() external view returns (bytes32[] memory) {
        return _names;
    }

    /// @inheritdoc IDirectory
    function versions(bytes32 name) external view returns (uint256) {
        return _versions[name].length;
    }

    /// @inheritdoc IDirectory
    function at(bytes32 name, uint256 version) public view returns (address) {
        if (version == 0 || version > _versions[name].length) revert Directory_Unknown(name, version);
        return _versions[name][version - 1];
    }

    /// @inheritdoc IDirectory
    function latest(bytes32 name) external view returns (address) {
        return at(name, _versions[name].length);
    }

    /// @inheritdoc IDirectory
    function requireRight(address holder, bytes32 right) external view {
        if (!hasRight[holder][right]) revert Directory_NoRight(holder, right);
    }

    /// @inheritdoc IDirectory
    function requireEverHadRight(address holder, bytes32 right) external view {
        if (!everHadRight[holder][right]) revert Directory_NoRight(holder, right);
    }
}
