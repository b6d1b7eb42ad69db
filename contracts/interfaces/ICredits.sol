// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @notice The exchange's money: a plain ERC-20 with 6 decimals, and with `permit` (EIP-2612): a holder allows a payment by
/// a signature, which anyone may bring to the chain. The typed data's domain is "OCX Credits", version "1" (docs/credits.md).
///
/// Does NOT pause, does NOT claw back: the council can mint, and burn only what it holds itself.
interface ICredits is IERC20 {
    event Minted(address indexed to, uint256 amount, bytes32 indexed ref);
    event Burned(uint256 amount, bytes32 indexed ref);

    /// @param ref What the credits stand for outside, e.g. the number of an invoice.
    function mint(address to, uint256 amount, bytes32 ref) external;

    /// @notice Burns from the council's own balance.
    function burn(uint256 amount, bytes32 ref) external;
}
