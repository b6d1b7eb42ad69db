// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IVerdicts} from "../../../contracts/interfaces/IVerdicts.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {VerdictsBase} from "./VerdictsBase.sol";

/// @notice W8: what the buyer switched off itself does not count against the provider, from the block it was posted in.
contract PowerTest is VerdictsBase {
    uint8 private constant ON = 1;
    uint8 private constant OFF = 2;
    uint8 private constant REBOOT = 3;
    uint64 private _nonce = 100;

    function _sign(IVerdicts.PowerRequest memory r, string memory who) private returns (bytes memory) {
        (, uint256 key) = makeAddrAndKey(who);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("OCX"),
                keccak256("1"),
                block.chainid,
                address(leases)
            )
        );
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("PowerRequest(uint32 lease,uint8 action,uint64 nonce,uint40 time)"),
                r.lease,
                r.action,
                r.nonce,
                r.time
            )
        );
        (uint8 v, bytes32 x, bytes32 y) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, hash)));
        return abi.encodePacked(x, y, v);
    }

    function _request(uint8 action) private returns (IVerdicts.PowerRequest memory) {
        return IVerdicts.PowerRequest(lease, action, ++_nonce, uint40(block.timestamp));
    }

    function _post(uint8 action, uint256 at) private {
        vm.warp(at);
        IVerdicts.PowerRequest memory r = _request(action);
        verdicts.postPower(r, _sign(r, "buyer"));
    }

    function _stranger(string memory who) private {
        IVerdicts.PowerRequest memory r = _request(OFF);
        bytes memory signature = _sign(r, who);
        vm.expectRevert(_notOf(buyerOrg, makeAddr(who)));
        verdicts.postPower(r, signature);
    }

    function _bad(IVerdicts.PowerRequest memory r, string memory who) private {
        bytes memory signature = _sign(r, who);
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_BadPower.selector, r.lease, makeAddr(who)));
        verdicts.postPower(r, signature);
    }

    function _at(uint256 minute) private view returns (uint256) {
        return uint256(first + 1) * E + 60 * minute;
    }

    function test_Off_SuspendsUntilOn() external {
        _useGrace();
        _take(first);
        _through(first + 2);
        uint256 t = (uint256(first) + 4) * E;
        _post(OFF, t + 600);
        _post(ON, t + 1800);
        _say(2, first + 4, ((1 << 20) - 1) << 10);
        _openClaims(first + 4);
        _refuse(
            2, first + 4, abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first + 4, 0)
        );
        uint40[2][] memory list = verdicts.powerOf(lease);
        assertEq(list.length, 1);
        assertEq(list[0][0], t + 600);
        assertEq(list[0][1], t + 1800);
    }

    function test_SuspendedRounds_AreNotJudged() external {
        _post(OFF, _at(10));
        _post(ON, _at(30));
        _say(2, first + 1, ALL_ROUNDS);
        _openClaims(first + 1);
        uint256[] memory down = new uint256[](1);
        down[0] = ALL_ROUNDS ^ (((1 << 20) - 1) << 10);
        vm.expectEmit();
        emit IVerdicts.VerdictGiven(lease, 0, first + 1, down, 40, 30, 1_000_000, EPOCH_PRICE, 2);
        _claim(2, first + 1);
    }

    /// An outage that began before the block is the provider's, whatever was posted after it.
    function test_OffInAnOutage_SuspendsFromItsBlockOnly() external {
        _useGrace();
        _take(first);
        _through(first + 2);
        uint256 t = (uint256(first) + 4) * E;
        _post(OFF, t + 1801); // round 30 is touched
        _say(2, first + 4, ALL_ROUNDS);
        _openClaims(first + 4);
        _claim(2, first + 4);
        assertEq(_record().ppm, 1_000_000);
        assertEq(_record().last, first + 4);
    }

    function test_PartOfARound_SuspendsAllOfIt() external {
        _post(OFF, _at(10) + 59);
        _post(ON, _at(11) + 1);
        _say(2, first + 1, 3 << 10);
        _openClaims(first + 1);
        _refuse(
            2, first + 1, abi.encodeWithSelector(IVerdicts.Verdicts_NotWorse.selector, lease, first + 1, 0)
        );
    }

    function test_OffForAWholeSpan_LeavesItUndetermined() external {
        _post(OFF, _at(0) - 1);
        _say(2, first + 1, ALL_ROUNDS);
        _openClaims(first + 1);
        _refuse(
            2, first + 1, abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, first + 1)
        );
    }

    function test_TenRoundsLeft_AreEnough() external {
        _post(OFF, _at(10));
        _say(2, first + 1, ALL_ROUNDS);
        _openClaims(first + 1);
        _claim(2, first + 1);
        assertEq(_record().ppm, 0, "ten rounds, all in grace");
        assertEq(_record().graceUntil, _at(10));
    }

    function test_NineRoundsLeft_AreNot() external {
        _post(OFF, _at(10) - 1);
        _say(2, first + 1, ALL_ROUNDS);
        _openClaims(first + 1);
        _refuse(
            2, first + 1, abi.encodeWithSelector(IVerdicts.Verdicts_Undetermined.selector, lease, first + 1)
        );
    }

    function test_Reboot_SuspendsForTheRestoreTime() external {
        _post(REBOOT, _at(10));
        uint40[2][] memory list = verdicts.powerOf(lease);
        assertEq(list[0][0], _at(10));
        assertEq(list[0][1], _at(20));
        // Another one in between makes it longer.
        _post(REBOOT, _at(15));
        list = verdicts.powerOf(lease);
        assertEq(list.length, 1);
        assertEq(list[0][1], _at(25));
    }

    function test_OnAfterOffInAReboot_LeavesWhatTheRebootSuspends() external {
        _post(REBOOT, _at(10));
        _post(OFF, _at(12));
        assertEq(verdicts.powerOf(lease)[0][1], type(uint40).max);
        _post(ON, _at(14));
        uint40[2][] memory list = verdicts.powerOf(lease);
        assertEq(list.length, 1);
        assertEq(list[0][1], _at(20));
    }

    function test_RebootWhileOff_ChangesNothingUntilOn() external {
        _post(OFF, _at(10));
        _post(REBOOT, _at(12));
        assertEq(verdicts.powerOf(lease)[0][1], type(uint40).max);
        _post(ON, _at(14));
        assertEq(verdicts.powerOf(lease)[0][1], _at(22));
        _post(OFF, _at(40));
        _post(ON, _at(41));
        uint40[2][] memory list = verdicts.powerOf(lease);
        assertEq(list.length, 2);
        assertEq(list[1][0], _at(40));
        assertEq(list[1][1], _at(41));
    }

    function test_OnWhileOn_AndOffTwice_ChangeNothing() external {
        _post(ON, _at(1));
        assertEq(verdicts.powerOf(lease).length, 0);
        _post(OFF, _at(2));
        _post(OFF, _at(3));
        assertEq(verdicts.powerOf(lease).length, 1);
        assertEq(verdicts.powerOf(lease)[0][0], _at(2));
    }

    // ---- who, and when -----------------------------------------------------------------------------------------

    function test_OldRequest_IsRefused() external {
        IVerdicts.PowerRequest memory r = _request(OFF);
        vm.warp(r.time + 600); // the exact second is too late
        _bad(r, "buyer");
        vm.warp(r.time + 599);
        verdicts.postPower(r, _sign(r, "buyer"));
    }

    function test_RequestOfTheFuture_IsRefused() external {
        IVerdicts.PowerRequest memory r = _request(OFF);
        ++r.time;
        _bad(r, "buyer");
    }

    function test_ReplayedOrOvertakenNonce_IsRefused() external {
        IVerdicts.PowerRequest memory old = _request(OFF);
        IVerdicts.PowerRequest memory r = _request(ON);
        verdicts.postPower(r, _sign(r, "buyer"));
        _bad(r, "buyer");
        _bad(old, "buyer");
    }

    function test_StrangersSignature_IsRefused() external {
        _stranger("rival");
        _stranger("north");
    }

    function test_MemberWithoutTheRightToBuy_IsRefused() external {
        address clerk = makeAddr("clerk");
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.OFFER, 0);
        IVerdicts.PowerRequest memory r = _request(OFF);
        bytes memory signature = _sign(r, "clerk");
        vm.expectRevert(abi.encodeWithSelector(IMembers.Members_NoRight.selector, clerk, MemberRights.BUY));
        verdicts.postPower(r, signature);
        vm.prank(buyer);
        members.setMember(clerk, MemberRights.BUY, 0);
        verdicts.postPower(r, signature);
    }

    function test_ChangedRequestOrBrokenSignature_IsRefused() external {
        IVerdicts.PowerRequest memory r = _request(OFF);
        bytes memory signature = _sign(r, "buyer");
        r.action = ON;
        vm.expectRevert();
        verdicts.postPower(r, signature);
        vm.expectRevert(_notOf(buyerOrg, address(0)));
        verdicts.postPower(r, hex"00");
    }

    function test_UnknownAction_IsRefused() external {
        _bad(_request(0), "buyer");
        _bad(_request(4), "buyer");
    }

    function test_SeventeenthInAnEpoch_IsRefused() external {
        for (uint256 i; i < 16; ++i) {
            _post(i % 2 == 0 ? OFF : ON, _at(i));
        }
        IVerdicts.PowerRequest memory r = _request(OFF);
        bytes memory signature = _sign(r, "buyer");
        vm.expectRevert(abi.encodeWithSelector(IVerdicts.Verdicts_TooMuchPower.selector, lease));
        verdicts.postPower(r, signature);
        vm.warp(_at(60));
        r = _request(OFF);
        verdicts.postPower(r, _sign(r, "buyer"));
    }
}
