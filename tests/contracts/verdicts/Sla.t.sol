// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {SlaId} from "../../../contracts/interfaces/Types.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W9: what can be promised.
contract SlaTest is VerdictsBase {
    function _bad(IVerdicts.Tier[] memory tiers, uint256 index) private {
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_BadTiers.selector, index));
        verdicts.registerSla(tiers, false);
    }

    function test_Sla_IsKeptAsItWasRegistered() external {
        SlaId id = verdicts.registerSla(_tiers(), true);
        (IVerdicts.Tier[] memory tiers, bool guest, uint32 opened) = verdicts.sla(id);
        assertEq(opened, 1, "leases there were");
        assertEq(abi.encode(tiers), abi.encode(_tiers()));
        assertTrue(guest);
        (, guest, opened) = verdicts.sla(sla);
        assertEq(opened, 0);
        assertFalse(guest);
    }

    function test_FourTiers_AreKept() external {
        IVerdicts.Tier[] memory tiers = new IVerdicts.Tier[](4);
        for (uint32 i; i < 4; ++i) {
            tiers[i] = IVerdicts.Tier(1_000_000 - i, 250_000 * (i + 1), uint8(255 - i));
        }
        (IVerdicts.Tier[] memory kept,,) = verdicts.sla(verdicts.registerSla(tiers, true));
        assertEq(abi.encode(kept), abi.encode(tiers));
    }

    function test_SameTerms_HaveTheSameId() external {
        assertEq(SlaId.unwrap(verdicts.registerSla(_tiers(), false)), SlaId.unwrap(sla));
        assertTrue(SlaId.unwrap(verdicts.registerSla(_tiers(), true)) != SlaId.unwrap(sla));
    }

    function test_UnknownSla_IsRefused() external {
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_UnknownSla.selector, SlaId.wrap(99)));
        verdicts.sla(SlaId.wrap(99));
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_UnknownSla.selector, SlaId.wrap(0)));
        verdicts.sla(SlaId.wrap(0));
    }

    /// @dev An SLA with a guest, registered before or after a lease under its number is opened; it is down for an epoch.
    function _promised(bool before) private returns (SlaId id) {
        IVerdicts.Tier[] memory tiers = _tiers();
        id = SlaId.wrap(SlaId.unwrap(sla) + 1);
        if (before) verdicts.registerSla(tiers, true);
        sla = id;
        lease = _deliver(1, 48);
        verdicts.registerSla(tiers, true);
        _say(2, first, (1 << 40) - 1);
        _openClaims(first);
    }

    /// R7: nobody agreed to what somebody registered later.
    function test_SlaRegisteredAfterTheLease_PromisesItNothing() external {
        SlaId id = _promised(false);
        bytes memory none = abi.encodeWithSelector(IVerdicts.Verdicts_UnknownSla.selector, id);
        _refuse(2, first, none);
        vm.prank(buyer);
        vm.expectRevert(none);
        verdicts.appeal(HOME, lease, 0, first);
        assertEq(_account().pending, 0);
    }

    function test_SlaRegisteredBeforeTheLease_Holds() external {
        _promised(true);
        _claim(2, first);
        assertEq(_account().pending, EPOCH_PRICE / 4);
    }

    /// Whoever registers it in the lease's own block, but behind it, is late, too.
    function test_SlaRegisteredInTheSameBlock_IsOrderedByTheLeases() external {
        SlaId id = verdicts.registerSla(_tiers(), true);
        (,, uint32 opened) = verdicts.sla(id);
        assertEq(opened, leases.count());
    }

    function test_NoTierOrFive_AreRefused() external {
        _bad(new IVerdicts.Tier[](0), 0);
        _bad(new IVerdicts.Tier[](5), 5);
    }

    function test_TierThatIsNoWorse_IsRefused() external {
        IVerdicts.Tier[] memory tiers = _tiers();
        tiers[1].belowPpm = tiers[0].belowPpm;
        _bad(tiers, 1);
        tiers = _tiers();
        tiers[2].penaltyPpm = tiers[1].penaltyPpm;
        _bad(tiers, 2);
    }

    function test_TierBeyondTheWholeOrOfNothing_IsRefused() external {
        IVerdicts.Tier[] memory tiers = _tiers();
        tiers[0].belowPpm = 1_000_001;
        _bad(tiers, 0);
        tiers = _tiers();
        tiers[0].penaltyPpm = 0;
        _bad(tiers, 0);
        tiers = _tiers();
        tiers[2].penaltyPpm = 1_000_001;
        _bad(tiers, 2);
        tiers = _tiers();
        tiers[2].belowPpm = 0;
        _bad(tiers, 2);
    }
}
