// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {LeaseBase} from "./LeaseBase.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {LeaseId, SlaId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";

/// @notice Leases with an SLA, where the test itself is what draws committees, proves, judges and pays witnesses.
///
/// The plain lease touches 10 epochs of 3600 s and has 5 seats at 1001 microcredits, so 50,050 of fees.
abstract contract CommitteeBase is LeaseBase {
    uint256 internal constant FEES = 50_050;
    uint256 internal constant MONEY = 1_000_000_000;
    uint256 internal constant EPOCH = 3600;
    /// @dev What both machines of the plain lease cost in an epoch, and one of them.
    uint256 internal constant BOTH = 6_000_000;
    uint256 internal constant ONE = 3_000_000;

    function setUp() public virtual override {
        super.setUp();
        promised = SlaId.wrap(7);
        vm.startPrank(address(timelock));
        directory.setRight(address(this), Rights.LEASES_WITNESS, true);
        directory.setRight(address(this), Rights.SETTLEMENT_JUDGE, true);
        vm.stopPrank();
    }

    /// @dev Signed, drawn, wholly delivered before its window, neither accepted nor proven.
    function _unproven() internal returns (LeaseId id) {
        id = _signed();
        leases.setCommittee(id, true);
        _deliver(id, 3);
    }

    /// @dev Drawn, delivered and proven before its window.
    function _proven() internal returns (LeaseId id) {
        id = _unproven();
        leases.prove(id, 3);
    }

    function _parties(LeaseId id) internal view returns (ISettlement.Parties memory) {
        return ISettlement.Parties(id, buyerOrg, northOrg, RATE);
    }

    /// @dev A verdict on the `k`-th epoch of the lease, as far as it bills, over one machine.
    function _judge(LeaseId id, uint256 k, uint32 ppm) internal returns (uint256) {
        uint256 from = _startOf(id) + k * EPOCH;
        uint40 until = uint40(from + EPOCH);
        uint40 endedAt = leases.lease(id).endedAt;
        if (endedAt != 0 && endedAt < until) until = endedAt;
        return settlement.applyVerdict(_parties(id), uint40(from), until, uint32(from / EPOCH), 1, ppm);
    }

    /// @dev Whether the first machine can be booked from the next slot on.
    function _isFreeAgain(LeaseId id) internal view returns (bool) {
        return inventory.isFree(leases.resourcesOf(id)[0], _now() + 1, _now() + 2);
    }

    /// @dev Second `at` of the `k`-th epoch of the lease.
    function _toEpoch(LeaseId id, uint256 k, uint256 at) internal {
        vm.warp(_startOf(id) + k * EPOCH + at);
    }
}
