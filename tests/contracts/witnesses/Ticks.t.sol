// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {WitnessBase} from "./WitnessBase.sol";

contract WitnessesTickGasTest is WitnessBase {
    function test_Gas_SteadyState() external {
        _pool(3);
        _runTo(_epoch() + 3);
        _to(_epoch() + 1);
        _tick(0, _epoch() - 1);
        emit log_named_uint("tick, first of its epoch", vm.lastCallGas().gasTotalUsed);
        _tick(1, _epoch() - 1);
        emit log_named_uint("tick, second", vm.lastCallGas().gasTotalUsed);
    }
}
