// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Name, version and address of every contract of the exchange, and who of them may ask what of whom.
/// The one address an agent is configured with.
///
/// Assumes: the time lock is a contract that delays what the council proposes. Until the founder hands over
/// (`setTimelock`), the founder stands in its place; the events show everything it did.
interface IDirectory {
    event ContractPublished(bytes32 indexed name, uint256 indexed version, address indexed location);
    event RightSet(address indexed holder, bytes32 indexed right, bool granted);
    event CouncilChanged(address indexed council);
    event TimelockChanged(address indexed timelock);

    /// @notice only the council may do this
    /// @dev Use the council's wallet.
    error Directory_NotCouncil(address caller);
    /// @notice only the council's time lock may do this
    /// @dev Schedule it with the TimelockController and execute it after the delay.
    error Directory_NotTimelock(address caller);
    /// @notice this contract was not given the right it needs
    /// @dev The council grants rights through its time lock; check the deployment with 'ocx network show'.
    error Directory_NoRight(address caller, bytes32 right);
    /// @notice there is no contract at this address
    /// @dev Deploy it first, or correct the address.
    error Directory_NoCode(address location);
    /// @notice the address of nobody was given
    /// @dev Name the account, or the Council, that is to decide from now on.
    error Directory_NoAccount();
    /// @notice the directory has no such name or version
    /// @dev See 'ocx network show' for what is published.
    error Directory_Unknown(bytes32 name, uint256 version);

    /// @notice The account, or the `Council` of several, that admits members, mints and decides disputes.
    function council() external view returns (address);

    /// @notice The council behind a delay: publishes contracts, grants rights.
    function timelock() external view returns (address);

    /// @notice Adds a version under a name; older versions stay listed, for leases that live under them.
    function publish(bytes32 name, address location) external returns (uint256 version);

    function setRight(address holder, bytes32 right, bool granted) external;

    function setCouncil(address council) external;

    function setTimelock(address timelock) external;

    /// @return Every name ever published, in order.
    function names() external view returns (bytes32[] memory);

    /// @return How many versions a name has; they are numbered from 1.
    function versions(bytes32 name) external view returns (uint256);

    function at(bytes32 name, uint256 version) external view returns (address);

    /// @notice The newest version of a name.
    function latest(bytes32 name) external view returns (address);

    function hasRight(address holder, bytes32 right) external view returns (bool);

    /// @notice Whether the holder has the right or once had it. Taking a right away ends new business only: what a
    /// contract began under it, it may still bring to its end, so that exits never close (rule E7).
    function everHadRight(address holder, bytes32 right) external view returns (bool);

    /// @notice Reverts with `Directory_NoRight` unless the holder has the right.
    function requireRight(address holder, bytes32 right) external view;

    /// @notice Reverts with `Directory_NoRight` unless the holder has or once had the right.
    function requireEverHadRight(address holder, bytes32 right) external view;
}
