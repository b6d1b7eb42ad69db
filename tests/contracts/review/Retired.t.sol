// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Witnesses} from "../../../contracts/Witnesses.sol";
import {IDirectory} from "../../../contracts/interfaces/IDirectory.sol";
import {IWitnesses} from "../../../contracts/interfaces/IWitnesses.sol";
import {Committee, LeaseId} from "../../../contracts/interfaces/Types.sol";
import {Rights} from "../../../contracts/libraries/Rights.sol";
import {WitnessBase} from "../witnesses/WitnessBase.sol";

/// @notice A `Witnesses` that was replaced keeps the committees it drew and begins no others.
contract RetiredTest is WitnessBase {
    Witnesses private _old;

    /// @dev Another contract takes over; its pool is empty yet.
    function _replace() private {
        _old = witnesses;
        vm.startPrank(address(timelock));
        directory.setRight(address(_old), Rights.LEASES_WITNESS, false);
        witnesses = new Witnesses(directory, members, escrow, leases, _witnessTerms());
        directory.setRight(address(witnesses), Rights.ESCROW_MOVE, true);
        directory.setRight(address(witnesses), Rights.LEASES_WITNESS, true);
        vm.stopPrank();
    }

    /// Else anybody could ask it, whose pool has emptied, to waive the committees of new leases.
    function test_RetiredContract_WaivesNoCommittee() external {
        _replace();
        LeaseId id = _signedLease(1, 10);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDirectory.Directory_NoRight.selector, address(_old), Rights.LEASES_WITNESS
            )
        );
        _old.draw(id, 0);
        assertEq(uint8(leases.lease(id).committee), uint8(Committee.Awaited));
    }

    /// Else the seats of the retired contract could prove what the new committee does not see.
    function test_RetiredContract_DrawsNoCommitteeForAnothersLease() external {
        _pool(3);
        _replace();
        for (uint256 n; n < 3; ++n) {
            vm.prank(admins[n]);
            witnesses.join(signers[n], STAKE);
        }
        _to(_epoch() + 2);
        LeaseId id = _signedLease(1, 30);
        witnesses.draw(id, 0);
        _deliver(id, 1);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_DrawClosed.selector, id, 0, 0));
        _old.draw(id, 0);
    }

    function test_RetiredContract_DrawsLaterTermsOfItsOwn() external {
        _pool(3);
        LeaseId id = _signedLease(1, 30);
        witnesses.draw(id, 0);
        _deliver(id, 1);
        vm.prank(buyer);
        leases.accept(id, 1);
        _replace();
        _to(_epoch() + 24);
        _old.draw(id, 1);
        assertEq(_old.committee(id, 1).seats.length, 3);
        vm.expectRevert(abi.encodeWithSelector(IWitnesses.Witnesses_DrawClosed.selector, id, 1, 0));
        witnesses.draw(id, 1);
    }
}
