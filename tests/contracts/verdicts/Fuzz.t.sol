// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {LeaseId} from "../../../contracts/interfaces/Types.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W14 and money: whatever witnesses say and parties do.
contract VerdictsFuzzTest is VerdictsBase {
    uint32 private constant EPOCHS = 4;

    function setUp() public override {
        super.setUp();
        lease = _deliver(1, EPOCHS);
    }

    /// However much single seats call down, and whichever of them are named: no round has a quorum, and none costs.
    function testFuzz_FewerThanAQuorum_NeverCost(uint256 a, uint256 b, uint8 seats) external {
        seats = uint8(bound(seats, 1, 3));
        uint256[3] memory down = [a & ~b, b & ~a, ~(a | b)];
        for (uint32 e = first; e < first + EPOCHS; ++e) {
            for (uint8 i; i < 3; ++i) {
                if (down[i] & ALL_ROUNDS != 0) _say(i, lease, 0, e, down[i] & ALL_ROUNDS);
            }
        }
        for (uint32 e = first; e < first + EPOCHS; ++e) {
            _openClaims(e);
            IVerdicts.Evidence[] memory evidence = _some(seats, e);
            vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, e, 0));
            verdicts.claim(lease, 0, e, evidence);
        }
        assertEq(_record().last, 0);
        uint256 provider = escrow.free(northOrg);
        _final(first + EPOCHS - 1);
        leases.settle(lease);
        assertEq(escrow.free(northOrg), provider + EPOCHS * EPOCH_PRICE, "the provider is paid in full");
    }

    /// Random reports, claims, appeals and decisions: no credit is made or lost, and no span costs more than its price.
    function testFuzz_MoneyIsConserved(uint256 seed) external {
        uint256 all = escrow.total();
        for (uint32 e = first; e < first + EPOCHS; ++e) {
            for (uint8 i; i < 3; ++i) {
                uint256 down = _random(seed, e, i) & _random(seed, e, 10 + i / 2) & ALL_ROUNDS;
                if (down != 0) _say(i, lease, 0, e, down);
            }
        }
        uint256[4] memory appeals;
        for (uint32 k; k < EPOCHS; ++k) {
            uint32 e = first + k;
            _openClaims(e);
            _try(2, e);
            if (_random(seed, e, 20) % 3 == 0) appeals[k] = _appeal(seed, e);
            _try(3, e);
            ISettlement.Account memory a = _account();
            assertLe(a.pending, EPOCH_PRICE);
            assertLe(a.disputed, EPOCH_PRICE * (k + 1));
            _isLocked(all);
            if (_random(seed, e, 30) % 2 == 0) leases.settle(lease);
            if (appeals[k] != 0 && _random(seed, e, 40) % 2 == 0) {
                _decide(seed, appeals[k]);
                appeals[k] = 0;
            }
            _isLocked(all);
        }
        _final(first + EPOCHS - 1);
        verdicts.pay(lease, 0);
        leases.settle(lease);
        vm.prank(north);
        leases.wipe(lease, keccak256("evidence"));
        vm.warp(block.timestamp + 30 days);
        for (uint256 k; k < EPOCHS; ++k) {
            if (appeals[k] != 0) verdicts.lapse(appeals[k]);
        }
        _isLocked(all);
        assertEq(escrow.balance(address(settlement), _key()), 0, "nothing is left behind");
        assertEq(_account().disputed + _account().pending, 0);
    }

    function _some(uint8 seats, uint32 epoch) private view returns (IVerdicts.Evidence[] memory list) {
        IVerdicts.Evidence[] memory full = _evidence(seats, epoch);
        uint256 n;
        for (uint256 i; i < full.length; ++i) {
            if (full[i].published.leaf.down != 0) full[n++] = full[i];
        }
        list = new IVerdicts.Evidence[](n);
        for (uint256 i; i < n; ++i) {
            list[i] = full[i];
        }
    }

    function _try(uint8 seats, uint32 epoch) private {
        try verdicts.claim(lease, 0, epoch, _some(seats, epoch)) {}
        catch (bytes memory why) {
            bytes4 selector = bytes4(why);
            assertTrue(
                selector == IVerdicts.Verdicts_NotWorse.selector
                    || selector == IVerdicts.Verdicts_Appealed.selector
            );
        }
    }

    function _appeal(uint256 seed, uint32 epoch) private returns (uint256 id) {
        vm.prank(_random(seed, epoch, 21) % 2 == 0 ? buyer : north);
        try verdicts.appeal(HOME, lease, 0, epoch) returns (uint256 made) {
            id = made;
        } catch (bytes memory why) {
            assertEq(bytes4(why), IVerdicts.Verdicts_AppealClosed.selector);
        }
    }

    function _decide(uint256 seed, uint256 id) private {
        uint256 amount = verdicts.appealOf(id).amount;
        vm.prank(address(timelock));
        verdicts.decide(id, _random(seed, id, 50) % (amount + 1), _random(seed, id, 51) % 2 == 0);
    }

    /// @dev What is locked of the lease is what its account says, and no credit is made or lost.
    function _isLocked(uint256 all) private view {
        ISettlement.Account memory a = _account();
        uint256 says =
            uint256(a.price) - a.paid + a.owed + a.pending + a.disputed + a.bond + a.fee - a.feePaid;
        assertEq(escrow.balance(address(settlement), _key()), says);
        assertEq(escrow.total(), all);
    }

    function _key() private view returns (bytes32) {
        return bytes32(uint256(LeaseId.unwrap(lease)));
    }

    function _random(uint256 seed, uint256 a, uint256 b) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, a, b)));
    }
}
