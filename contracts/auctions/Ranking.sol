// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAwards} from "../interfaces/IAwards.sol";
import {IBook} from "../interfaces/IBook.sol";
import {IInventory} from "../interfaces/IInventory.sol";
import {ILeases} from "../interfaces/ILeases.sol";
import {IMembers} from "../interfaces/IMembers.sol";
import {IRanking} from "../interfaces/IRanking.sol";
import {Award, LeaseId, Leg, OrgId, ResourceId, Skip, SlaId, Window} from "../interfaces/Types.sol";
import {Amounts} from "../libraries/Amounts.sol";
import {Traits} from "../libraries/Traits.sol";

/// @notice See {IRanking}.
contract Ranking is IRanking {
    IAwards public immutable awards;
    IInventory public immutable inventory;
    ILeases public immutable leases;
    IMembers public immutable members;
    uint32 private immutable _slot;
    /// @dev Slots to add to a piece, so that it touches as many epochs as any piece of its length.
    uint32 private immutable _spare;

    constructor(IAwards awards_, IInventory inventory_, IMembers members_) {
        awards = awards_;
        inventory = inventory_;
        leases = awards_.leases();
        members = members_;
        uint32 slot = inventory_.slot();
        uint32 epoch = leases.terms().epoch;
        _slot = slot;
        _spare = slot % epoch == 0 ? 0 : (epoch + slot - 1) / slot;
    }

    /// @inheritdoc IRanking
    function select(Award calldata award, Leg[] memory legs, uint256 wanted, uint64 ceiling)
        external
        view
        returns (uint16[] memory taken, Skip[] memory passed, uint64 clearing)
    {
        Entry[] memory entries = new Entry[](legs.length);
        for (uint256 i; i < legs.length; ++i) {
            Leg memory leg = legs[i];
            // Safe: a leg names 64 resources at most.
            // forge-lint: disable-next-line(unsafe-typecast)
            entries[i] = Entry(leg.rate, uint16(leg.resources.length), Skip.None, _groupOf(leg, award.traits));
            // Under Vickrey's rule the rate is not known yet; who cannot cover the dearest cannot win.
            if (ceiling != 0) leg.rate = ceiling;
        }
        if (wanted != 0) {
            Skip[] memory skips = awards.skipsOf(award, legs);
            for (uint256 i; i < skips.length; ++i) {
                entries[i].skip = skips[i];
            }
        }
        return pick(entries, wanted, ceiling);
    }

    /// @inheritdoc IRanking
    function pick(Entry[] memory entries, uint256 wanted, uint64 ceiling)
        public
        pure
        returns (uint16[] memory taken, Skip[] memory passed, uint64 clearing)
    {
        taken = new uint16[](entries.length);
        passed = new Skip[](entries.length);
        clearing = ceiling;
        if (entries.length == 0 || wanted == 0) return (taken, passed, clearing);

        uint256[] memory groups = _groups(entries);
        uint256 best;
        do {
            best = _best(entries, groups, passed, wanted);
        } while (_passOver(entries, groups, passed, best, wanted));

        for (uint256 i; i < entries.length; ++i) {
            if (groups[i] != best || passed[i] != Skip.None) continue;
            if (wanted == 0) {
                if (ceiling != 0) clearing = entries[i].rate;
                break;
            }
            taken[i] = _least(entries[i].count, wanted);
            wanted -= taken[i];
        }
    }

    /// @inheritdoc IRanking
    function ceilingOf(IBook.RequestTerms calldata r) external view returns (uint256 price, uint256 fees) {
        Window memory w = r.window;
        uint32 slots = r.slots == 0 ? w.end - w.start : r.slots;
        uint256 longest = uint256(slots) * _slot;
        uint256 from = uint256(w.start) * _slot;
        uint256 left = uint256(w.end) * _slot - (from < block.timestamp ? block.timestamp : from);
        price = r.count * Amounts.priceUp(r.ceilingRate, left < longest ? left : longest);
        if (SlaId.unwrap(r.sla) == 0) return (price, 0);
        if (slots != w.end - w.start) {
            w.start = w.end - slots;
            w.end += _spare;
        }
        fees = r.count * ((awards.feeOf(w) + 1) / 2);
    }

    /// @inheritdoc IRanking
    function excuses(
        LeaseId lease,
        ResourceId resource,
        Window memory window,
        uint40 since,
        OrgId bidder,
        OrgId buyer
    ) external view returns (bool) {
        ILeases.Lease memory l = leases.lease(lease);
        uint32 turnaround = inventory.resource(resource).turnaround;
        bool overlaps = l.start < window.end + turnaround && window.start < l.end + turnaround;
        return overlaps && l.createdAt >= since && leases.holds(lease, resource)
            && !members.affiliated(l.buyer, bidder) && !members.affiliated(l.buyer, buyer);
    }

    function _groupOf(Leg memory leg, uint8 traits) private view returns (bytes32) {
        bytes32 site = traits & Traits.SAME_SITE == 0 ? bytes32(0) : inventory.siteOf(leg.resources[0]);
        uint32 start = traits & Traits.SAME_START == 0 ? 0 : leg.window.start;
        return keccak256(abi.encode(site, start));
    }

    /// @dev Each group by the place of its first bid.
    function _groups(Entry[] memory entries) private pure returns (uint256[] memory groups) {
        groups = new uint256[](entries.length);
        for (uint256 i; i < entries.length; ++i) {
            while (entries[groups[i]].group != entries[i].group) ++groups[i];
        }
    }

    /// @dev The group that fills most, then is the cheapest, then has the first bid.
    function _best(Entry[] memory entries, uint256[] memory groups, Skip[] memory passed, uint256 wanted)
        private
        pure
        returns (uint256 best)
    {
        uint256[] memory filled = new uint256[](entries.length);
        uint256[] memory cost = new uint256[](entries.length);
        for (uint256 i; i < entries.length; ++i) {
            if (passed[i] != Skip.None) continue;
            uint256 group = groups[i];
            uint256 take = _least(entries[i].count, wanted - filled[group]);
            filled[group] += take;
            cost[group] += take * entries[i].rate;
        }
        for (uint256 i = 1; i < entries.length; ++i) {
            if (filled[i] > filled[best] || (filled[i] == filled[best] && cost[i] < cost[best])) best = i;
        }
    }

    /// @dev Whether the award comes to a bid that cannot be opened; it is marked then.
    function _passOver(
        Entry[] memory entries,
        uint256[] memory groups,
        Skip[] memory passed,
        uint256 best,
        uint256 wanted
    ) private pure returns (bool) {
        for (uint256 i = best; i < entries.length && wanted != 0; ++i) {
            if (groups[i] != best || passed[i] != Skip.None) continue;
            if (entries[i].skip != Skip.None) {
                passed[i] = entries[i].skip;
                return true;
            }
            wanted -= _least(entries[i].count, wanted);
        }
        return false;
    }

    function _least(uint16 count, uint256 most) private pure returns (uint16) {
        // Safe: smaller than a number of 16 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return count < most ? count : uint16(most);
    }
}
