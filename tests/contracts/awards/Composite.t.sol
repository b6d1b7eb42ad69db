// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAwards} from "../../../contracts/interfaces/IAwards.sol";
import {ISettlement} from "../../../contracts/interfaces/ISettlement.sol";
import {
    Award,
    AwardId,
    EndReason,
    Fault,
    LeaseId,
    LeaseState,
    Leg,
    SlaId
} from "../../../contracts/interfaces/Types.sol";
import {Traits} from "../../../contracts/libraries/Traits.sol";
import {CommitteeBase} from "../leases/CommitteeBase.sol";

/// @notice L8: two machines of north (60 credits, bond 12) and one of south at half the rate (15 credits, bond 3), which
/// belong together.
contract CompositeTest is CommitteeBase {
    uint256 private constant SOUTH_PRICE = 15_000_000;
    uint256 private constant SOUTH_BOND = 3_000_000;

    LeaseId private _north;
    LeaseId private _south;
    AwardId private _id;

    function setUp() public override {
        super.setUp();
        promised = NO_SLA;
    }

    function _together(uint8 traits) private {
        Leg[] memory legs = new Leg[](2);
        legs[0] = _leg(RATE, _machines(north, 2));
        legs[1] = _southLeg(RATE / 2, _list(_register(south, 900)));
        Award memory award = _award();
        award.traits = traits;
        LeaseId[] memory opened;
        (_id, opened) = awards.open(award, legs);
        (_north, _south) = (opened[0], opened[1]);
    }

    /// @dev North delivers and is accepted; south signed, delivers nothing, and defaults an hour into the window.
    function _southDefaults() private {
        _together(Traits.COMPOSITE);
        _sign(_north);
        vm.prank(south);
        leases.sign(_south);
        _deliver(_north, 3);
        _accept(_north);
        vm.warp(_startOf(_south) + 3600);
        leases.expire(_south);
    }

    function test_WhenOpened_IsTied() external {
        _together(Traits.COMPOSITE);
        IAwards.Composite memory c = awards.compositeOf(_id);
        assertEq(LeaseId.unwrap(c.first), LeaseId.unwrap(_north));
        assertEq(c.count, 2);
    }

    function test_WhenOneDefaults_TheOtherEndsAndIsPaidFirst() external {
        _southDefaults();
        assertEq(_held(_south), SOUTH_BOND, "the bond waits");
        assertEq(_free(buyerOrg), MONEY - PRICE);
        awards.endPartner(_south, _north);
        _assertEnd(_north, EndReason.Partner, Fault.Nobody);
        assertEq(_free(buyerOrg), MONEY - BOTH, "what is not served returns");
        uint256 reserve = (PRICE - BOTH) / 20;
        assertEq(awards.claimOf(_north).amount, reserve);
        awards.shareOut(_south);
        assertEq(_held(_south), 0);
        assertEq(_free(buyerOrg), MONEY - BOTH + SOUTH_BOND - reserve);
        _wipe(_north);
        assertEq(_held(_north), 0);
        assertEq(_free(northOrg), MONEY + BOTH + reserve);
        assertEq(_free(southOrg), MONEY - SOUTH_BOND);
    }

    function test_WhenTheBondIsTooSmall_ItGoesAsFarAsItGoes() external {
        _together(Traits.COMPOSITE);
        vm.prank(south);
        leases.sign(_south);
        vm.warp(block.timestamp + 900);
        // North did not sign: a tenth of its bond.
        leases.expire(_north);
        uint256 pot = BOND / 10;
        awards.endPartner(_north, _south);
        assertEq(awards.claimOf(_south).amount, SOUTH_PRICE / 20);
        awards.shareOut(_north);
        assertEq(_free(southOrg), MONEY + SOUTH_PRICE / 20);
        assertEq(_free(buyerOrg), MONEY + pot - SOUTH_PRICE / 20);
        assertEq(_free(northOrg), MONEY - pot);
        assertEq(_held(_north) + _held(_south), 0);
    }

    /// Nothing is made or lost, and nobody gets more than it is owed, whatever the rates.
    function testFuzz_WhenShared_TheBondIsConserved(uint64 rate, uint64 southRate, bool signed) external {
        rate = uint64(bound(rate, 1, 20_000_000));
        southRate = uint64(bound(southRate, 1, 20_000_000));
        Leg[] memory legs = new Leg[](2);
        legs[0] = _leg(rate, _machines(north, 2));
        legs[1] = _southLeg(southRate, _list(_register(south, 900)));
        Award memory award = _award();
        award.traits = Traits.COMPOSITE;
        (, LeaseId[] memory opened) = awards.open(award, legs);
        uint256 bond = settlement.account(opened[1]).bond;
        uint256 price = settlement.account(opened[0]).price;
        if (signed) {
            vm.prank(south);
            leases.sign(opened[1]);
            _sign(opened[0]);
            vm.warp(_startOf(opened[0]));
            _deliver(opened[0], 3);
            _accept(opened[0]);
            vm.warp(_startOf(opened[0]) + 3600);
        } else {
            _sign(opened[0]);
            vm.warp(block.timestamp + 900);
            bond = bond / 10;
        }
        leases.expire(opened[1]);
        awards.endPartner(opened[1], opened[0]);
        uint256 served = signed ? 2 * uint256(rate) : 0;
        uint256 owed = (price - served) / 20;
        awards.shareOut(opened[1]);
        if (signed) _wipe(opened[0]);
        assertEq(_held(opened[0]) + _held(opened[1]), 0);
        uint256 got = owed < bond ? owed : bond;
        assertEq(_free(northOrg), MONEY + served + got);
        assertEq(_free(southOrg), MONEY - bond);
        assertEq(_free(buyerOrg), MONEY - served + bond - got);
    }

    function test_WhenNotComposite_TheOtherGoesOn() external {
        _together(Traits.ALL_OR_NOTHING);
        vm.warp(block.timestamp + 900);
        leases.expire(_south);
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_NoDefault.selector, _south));
        awards.endPartner(_south, _north);
        assertEq(_free(buyerOrg), MONEY - PRICE + SOUTH_BOND / 10, "to the buyer at once");
    }

    function test_RevertWhen_NobodyDefaulted() external {
        _together(Traits.COMPOSITE);
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_NoDefault.selector, _south));
        awards.endPartner(_south, _north);
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_NoDefault.selector, _south));
        awards.shareOut(_south);
        // A missed deadline counts once it is recorded.
        vm.warp(block.timestamp + 900);
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_NoDefault.selector, _south));
        awards.endPartner(_south, _north);
    }

    function test_RevertWhen_OfAnotherAward() external {
        _southDefaults();
        LeaseId other = _active();
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_NotPartners.selector, _south, other));
        awards.endPartner(_south, other);
    }

    function test_RevertWhen_SharedWhileAPartnerRuns() external {
        _southDefaults();
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_PartnerRuns.selector, _north));
        awards.shareOut(_south);
    }

    /// A provider that would leave later, of a breach or out of spite, finds the door shut.
    function test_RevertWhen_EndedLater() external {
        _southDefaults();
        uint256 until = block.timestamp + 3600;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IAwards.Awards_TooLate.selector, _south, until));
        awards.endPartner(_south, _north);
        awards.shareOut(_south);
        assertEq(_free(buyerOrg), MONEY - PRICE + SOUTH_BOND, "nobody was ended: all of it");
        _assertState(_north, LeaseState.Active);
    }

    function test_RevertWhen_EndedTwice() external {
        _southDefaults();
        awards.endPartner(_south, _north);
        vm.expectRevert(_wrongState(_north, LeaseState.Ending));
        awards.endPartner(_south, _north);
        awards.shareOut(_south);
        uint256 free = _free(buyerOrg);
        awards.shareOut(_south);
        assertEq(_free(buyerOrg), free, "there is nothing left");
    }

    function test_WhenBothDefault_TheBuyerGetsBothBonds() external {
        _together(Traits.COMPOSITE);
        vm.warp(block.timestamp + 900);
        leases.expire(_south);
        leases.expire(_north);
        awards.shareOut(_north);
        awards.shareOut(_south);
        assertEq(_free(buyerOrg), MONEY + BOND / 10 + SOUTH_BOND / 10);
        assertEq(_held(_north) + _held(_south), 0);
    }

    /// A delivery that nobody saw is a default, too; its bond waits until it is wiped.
    function test_WhenUnproven_WaitsForTheWipe() external {
        promised = SlaId.wrap(7);
        _together(Traits.COMPOSITE);
        _sign(_north);
        vm.prank(south);
        leases.sign(_south);
        leases.setCommittee(_north, true);
        _deliver(_north, 3);
        vm.warp(block.timestamp + 1800);
        leases.expire(_north);
        _assertEnd(_north, EndReason.Unproven, Fault.Provider);
        awards.endPartner(_north, _south);
        vm.expectRevert(_wrongState(_north, LeaseState.Ending));
        awards.shareOut(_north);
        _wipe(_north);
        assertEq(settlement.account(_north).bond, BOND);
        awards.shareOut(_north);
        assertEq(settlement.account(_north).bond, 0);
        assertEq(_free(southOrg), MONEY + SOUTH_PRICE / 20);
    }

    /// No right of another version moves the bond.
    function test_RevertWhen_SharedByWhoHasNoRight() external {
        _southDefaults();
        vm.expectRevert();
        vm.prank(buyer);
        settlement.shareBond(_south, new ISettlement.Share[](0));
    }
}
