// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {TreeBase} from "./TreeBase.sol";
import {IEscrow} from "../../../contracts/interfaces/IEscrow.sol";
import {IMembers, MemberRights} from "../../../contracts/interfaces/IMembers.sol";
import {OrgId} from "../../../contracts/interfaces/Types.sol";

/// @notice Grows, governs and uses a tree of organisations, and remembers beside the contracts what each of them has
/// locked or spent. Each act that should go through must; what must not is tried in between.
abstract contract TreeHandler is TreeBase {
    uint256 internal constant MOST = 14;

    OrgId[] internal orgs;
    mapping(OrgId => address) internal adminOf;
    mapping(OrgId => OrgId) internal parentOf;
    mapping(OrgId => bool) internal isDepartment;
    /// @dev What each organisation has locked or spent by itself, without those below.
    mapping(OrgId => uint256) internal own;
    /// @dev What of it is still locked.
    mapping(OrgId => uint256) internal held;
    uint256 internal locked;
    uint256 internal keys;
    mapping(bytes32 act => uint256) internal done;

    function setUp() public virtual override {
        super.setUp();
        _note(top, NOBODY, rector, false);
        _note(physics, top, dean, true);
        _note(lab, physics, head, true);
        _note(spin, top, founder, false);
        _budgets(500_000_000, 200_000_000);
    }

    function grow(uint256 seed, uint8 roles, bool department) external {
        if (orgs.length == MOST) return;
        OrgId parent = _pick(seed);
        if (members.placeOf(parent).level == 6) return;
        address admin = _newKey();
        roles &= members.organisation(parent).roles;
        vm.prank(department ? adminOf[members.partyOf(parent)] : council);
        OrgId org = members.admitUnder(parent, bytes32(0x10000 + keys), admin, roles, department);
        _note(org, parent, admin, department);
        if (!department) _fund(org, admin, 50_000_000);
        ++done["grow"];
    }

    function setRoles(uint256 seed, uint8 roles) external {
        OrgId org = _pick(seed);
        OrgId parent = parentOf[org];
        if (parent != NOBODY) roles &= members.organisation(parent).roles;
        vm.prank(parent == NOBODY || seed % 2 == 0 ? council : adminOf[parent]);
        members.setRoles(org, roles);
    }

    function suspend(uint256 seed, bool yes) external {
        OrgId org = _pick(seed);
        OrgId parent = parentOf[org];
        _suspend(parent == NOBODY || seed % 2 == 0 ? council : adminOf[parent], org, yes && seed % 3 == 0);
    }

    function setBudget(uint256 seed, uint96 budget) external {
        OrgId org = _pick(seed);
        if (!isDepartment[org]) return;
        if (budget % 4 != 0) budget = uint96(bound(budget, 0, 400_000_000));
        _budget(adminOf[parentOf[org]], org, budget);
        ++done["setBudget"];
    }

    function rotateAdmin(uint256 seed) external {
        OrgId org = _pick(seed);
        address next = _newKey();
        _rotate(adminOf[org], org, adminOf[org], next);
        adminOf[org] = next;
    }

    /// @dev Whatever `canLock` says, happens; and what happens keeps to every budget on the way up.
    function lock(uint256 seed, uint256 amount) external {
        OrgId org = _pick(seed);
        amount = bound(amount, 0, 150_000_000);
        address by = seed % 4 == 0 ? stranger : adminOf[org];
        if (by == stranger && seed % 8 == 0) _grant(adminOf[org], org, stranger, MemberRights.BUY, NO_LIMIT);
        bool can = escrow.canLock(org, by, amount);
        vm.prank(opener);
        (bool ok,) = address(escrow).call(abi.encodeCall(IEscrow.lock, (KEY, org, by, amount)));
        assertEq(ok, can, "canLock tells the truth");
        if (!ok) return;
        own[org] += amount;
        held[org] += amount;
        locked += amount;
        for (OrgId at = org; isDepartment[at]; at = parentOf[at]) {
            IMembers.Place memory p = members.placeOf(at);
            assertLe(p.used, p.budget, "I10: over its budget");
        }
        ++done[isDepartment[org] ? bytes32("lock department") : bytes32("lock party")];
    }

    function unlock(uint256 seed, uint256 amount) external {
        OrgId org = _pick(seed);
        amount = bound(amount, 0, held[org]);
        _unlock(org, adminOf[org], amount);
        own[org] -= amount;
        held[org] -= amount;
        locked -= amount;
        if (amount != 0) ++done["unlock"];
    }

    function pay(uint256 seed, uint256 to, uint256 amount) external {
        OrgId org = _pick(seed);
        amount = bound(amount, 0, held[org] / 2);
        vm.prank(opener);
        escrow.pay(KEY, _pick(to), amount);
        held[org] -= amount;
        locked -= amount;
    }

    function give(uint256 seed) external {
        OrgId org = _pick(seed);
        uint256 free = escrow.free(org);
        if (!isDepartment[org]) free = free / 10;
        OrgId to = isDepartment[org] ? members.partyOf(org) : _pick(seed / 16);
        if (!isDepartment[org] && !members.isWithin(to, org)) return;
        vm.prank(adminOf[org]);
        escrow.give(to, free);
    }

    /// @dev Nobody gives more than the parent has, not itself, not through another's tree.
    function meddle(uint256 seed, uint8 roles) external {
        OrgId org = _pick(seed);
        OrgId parent = parentOf[org];
        _refused(adminOf[org], abi.encodeCall(IMembers.setRoles, (org, roles)));
        _refused(adminOf[org], abi.encodeCall(IMembers.setBudget, (org, NO_LIMIT)));
        _refused(adminOf[org], abi.encodeCall(IMembers.setSuspended, (org, false)));
        _refused(north, abi.encodeCall(IMembers.setSuspended, (org, false)));
        _refused(north, abi.encodeCall(IMembers.grant, (org, north, MemberRights.BUY, NO_LIMIT)));
        _refused(north, abi.encodeCall(IMembers.rotate, (org, adminOf[org], makeAddr("thief"))));
        _refused(north, abi.encodeCall(IMembers.admitUnder, (org, "thieves", north, 0, true)));
        if (parent == NOBODY) return;
        uint8 beyond = ~members.organisation(parent).roles;
        if (beyond == 0) return;
        _refused(council, abi.encodeCall(IMembers.setRoles, (org, beyond)));
        _refused(adminOf[parent], abi.encodeCall(IMembers.setRoles, (org, roles | beyond)));
    }

    function _refused(address by, bytes memory data) private {
        vm.prank(by);
        (bool ok,) = address(members).call(data);
        assertFalse(ok);
    }

    function _note(OrgId org, OrgId parent, address admin, bool department) private {
        orgs.push(org);
        adminOf[org] = admin;
        parentOf[org] = parent;
        isDepartment[org] = department;
    }

    function _pick(uint256 seed) internal view returns (OrgId) {
        return orgs[uint256(keccak256(abi.encode(seed))) % orgs.length];
    }

    function _newKey() private returns (address) {
        return address(uint160(0x10000 + ++keys));
    }
}

/// @notice I9 and I10 of docs/invariants.md.
contract TreeInvariantsTest is TreeHandler {
    function setUp() public override {
        super.setUp();
        targetContract(address(this));
        bytes4[] memory acts = new bytes4[](12);
        acts[0] = TreeHandler.grow.selector;
        acts[1] = TreeHandler.setRoles.selector;
        acts[2] = TreeHandler.suspend.selector;
        acts[3] = TreeHandler.setBudget.selector;
        acts[4] = TreeHandler.rotateAdmin.selector;
        acts[5] = TreeHandler.lock.selector;
        acts[6] = TreeHandler.lock.selector;
        acts[7] = TreeHandler.lock.selector;
        acts[8] = TreeHandler.unlock.selector;
        acts[9] = TreeHandler.pay.selector;
        acts[10] = TreeHandler.give.selector;
        acts[11] = TreeHandler.meddle.selector;
        targetSelector(FuzzSelector(address(this), acts));
    }

    /// forge-config: default.invariant.runs = 8
    /// forge-config: default.invariant.depth = 128
    function invariant_I9AndI10() external view {
        _I9_NobodyHasARoleThatOneAboveLacks();
        _I10_BudgetsCountWhatIsUsedBelow();
        _moneyIsConserved();
    }

    /// @dev A life from a fixed seed gets everywhere, so that the campaign means something.
    function test_WhenLivedLong_TreesGrowAndBudgetsAreUsed() external {
        for (uint256 i; i < 400; ++i) {
            uint256 r = uint256(keccak256(abi.encode("tree", i)));
            if (i % 8 == 0) this.grow(r, uint8(r >> 8) | 3, r % 3 != 0);
            this.setBudget(r, uint96(r >> 16));
            this.lock(r, r >> 32);
            if (i % 3 == 0) this.unlock(r >> 1, r >> 40);
            if (i % 7 == 0) this.pay(r >> 2, r >> 3, r >> 48);
        }
        assertEq(orgs.length, MOST);
        assertGt(done["lock department"], 20, "departments");
        assertGt(done["lock party"], 5, "parties");
        assertGt(done["unlock"], 5, "unlocked");
        assertGt(done["setBudget"], 50, "budgets");
        _I10_BudgetsCountWhatIsUsedBelow();
        _moneyIsConserved();
    }

    /// @dev I9: of every organisation, what counts is within what counts for each above it.
    function _I9_NobodyHasARoleThatOneAboveLacks() private view {
        for (uint256 i; i < orgs.length; ++i) {
            IMembers.Organisation memory o = members.organisation(orgs[i]);
            uint8 roles = members.placeOf(orgs[i]).roles;
            for (OrgId at = parentOf[orgs[i]]; at != NOBODY; at = parentOf[at]) {
                IMembers.Organisation memory above = members.organisation(at);
                assertEq(o.roles & ~above.roles, 0, "I9: beyond one above");
                assertTrue(!above.suspended || o.suspended, "I9: suspension goes down");
                roles &= members.placeOf(at).roles;
            }
            assertEq(o.roles, roles, "I9: what was given to all of them");
            for (uint8 role = 1; role <= 16; role *= 2) {
                try members.requireActive(orgs[i], role) {
                    assertTrue(o.roles & role != 0 && !o.suspended, "I9: active");
                } catch {
                    assertTrue(o.roles & role == 0 || o.suspended, "I9: not active");
                }
            }
        }
    }

    /// @dev I10: what a department has used is what it and the departments below have locked or spent, exactly.
    function _I10_BudgetsCountWhatIsUsedBelow() private view {
        uint256[] memory sums = new uint256[](orgs.length);
        for (uint256 i; i < orgs.length; ++i) {
            for (OrgId at = orgs[i]; isDepartment[at]; at = parentOf[at]) {
                sums[_placeIn(at)] += own[orgs[i]];
            }
        }
        for (uint256 i; i < orgs.length; ++i) {
            assertEq(members.placeOf(orgs[i]).used, sums[i], "I10: count");
        }
    }

    /// @dev I1 over the tree: departments lock out of their party's balance, and nothing is lost on the way.
    function _moneyIsConserved() private view {
        uint256 sum = escrow.balance(opener, KEY);
        assertEq(sum, locked);
        for (uint32 k; k <= members.count(); ++k) {
            sum += escrow.free(OrgId.wrap(k));
        }
        assertEq(sum, escrow.total());
        assertEq(sum, credits.balanceOf(address(escrow)));
    }

    function _placeIn(OrgId org) private view returns (uint256 i) {
        while (orgs[i] != org) ++i;
    }
}
