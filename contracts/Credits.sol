// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {Governed} from "./Governed.sol";
import {ICredits} from "./interfaces/ICredits.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @notice See {ICredits}.
contract Credits is ICredits, ERC20Permit, Governed {
    string private constant NAME = "OCX Credits";

    constructor(IDirectory directory_) ERC20(NAME, "OCX") ERC20Permit(NAME) Governed(directory_) {}

    /// @inheritdoc ICredits
    function mint(address to, uint256 amount, bytes32 ref) external onlyCouncil {
        _mint(to, amount);
        emit Minted(to, amount, ref);
    }

    /// @inheritdoc ICredits
    function burn(uint256 amount, bytes32 ref) external onlyCouncil {
        _burn(msg.sender, amount);
        emit Burned(amount, ref);
    }

    /// @notice One credit is a million microcredits (rule E1).
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
