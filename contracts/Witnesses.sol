// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights, Roles} from "./interfaces/IMembers.sol";
import {IWitnesses} from "./interfaces/IWitnesses.sol";
import {Committee, LeaseId, LeaseState, OrgId} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {Rights} from "./libraries/Rights.sol";
import {Rounds} from "./libraries/Rounds.sol";
import {Trees} from "./libraries/Trees.sol";

/// @notice See {IWitnesses}.
contract Witnesses is IWitnesses, Governed {
    /// @dev Epochs between two draws for a lease.
    uint32 private constant TERM = 24;
    /// @dev Epochs from `leave` to the exit: a term that may have been frozen just before, and what was reported in its
    /// last epoch stays open to claims, audits and their answers.
    uint32 private constant NOTICE = 2 * TERM + 5;
    /// @dev Epochs after the exit at which even an open audit holds the stake no longer.
    uint32 private constant BOUND = TERM;
    /// @dev Epochs outside the draw after a fine.
    uint32 private constant BAR = 30;
    /// @dev An epoch's fine is due from so many epochs after it on (the epochs of its tick and of its opening are over
    /// then), and one epoch later if no buyer has a claim to it; after the last number it is forgiven.
    uint32 private constant FINE_AFTER = 3;
    uint32 private constant FINE_UNTIL = 64;
    uint256 private constant MAX_POOL = 64;
    uint256 private constant MAX_LEAVES = 128;
    uint256 private constant MAX_CHUNKS = 64;
    /// @dev Six organisations fit in one word beside what else a committee needs.
    uint256 private constant MAX_SEATS = 6;
    uint256 private constant LEAST_SEATS = 3;
    /// @dev Commitments remembered, and seeds: a term's draw looks back no further than to its begin.
    uint256 private constant COMMITMENTS = 16;
    uint256 private constant SEEDS = 32;
    /// @dev Epochs without a salt that a draw passes over.
    uint32 private constant SEEDLESS = 8;
    uint256 private constant SEED_BITS = 224;
    uint256 private constant PER_WORD = 128;
    OrgId private constant FUND = OrgId.wrap(0);

    /// @dev What a draw and a fine look at; one word.
    /// @param since First epoch for which the stake is enough.
    struct Post {
        uint32 joined;
        uint32 since;
        uint32 exit;
        uint32 barredFrom;
        uint32 barredUntil;
        uint96 stake;
    }

    /// @dev What it takes more to know of a witness.
    struct Keys {
        address signer;
        address stakedBy;
        uint32 audits;
    }

    /// @dev An opening whose chunks are not all published.
    /// @param last Lease and place of the last leaf so far.
    struct Unpublished {
        uint32 epoch;
        uint8 next;
        uint8 count;
        uint40 last;
        bytes32 chunks;
    }

    IMembers public immutable members;
    IEscrow public immutable escrow;
    ILeases public immutable leases;
    /// @inheritdoc IWitnesses
    uint32 public immutable epoch;
    /// @inheritdoc IWitnesses
    uint32 public immutable rounds;
    uint32 private immutable _slot;
    Terms private _terms;

    /// @inheritdoc IWitnesses
    mapping(address signer => OrgId) public signerOf;
    /// @inheritdoc IWitnesses
    mapping(OrgId => address) public formerSigner;
    OrgId[] private _pool;
    mapping(OrgId => Post) private _posts;
    mapping(OrgId => Keys) private _keys;
    mapping(OrgId => bytes32[COMMITMENTS]) private _commitments;
    /// @dev 128 epochs a word: bit i of the lower half says that epoch i was committed, of the upper half that the epoch
    /// before it was completed. Both come with one tick, so a tick writes one word.
    mapping(OrgId => mapping(uint256 word => uint256)) private _ticks;
    mapping(OrgId => mapping(uint256 word => uint256)) private _fined;
    mapping(OrgId => Unpublished) private _unpublished;
    /// @dev The epoch in the upper 32 bits, so that an old seed is told from a new one.
    uint256[SEEDS] private _seeds;
    /// @dev One word each: the seats in 32 bits each, the first one lowest; from bit 192 on their number, from 200 on the
    /// quorum, from 208 on the epoch of the draw. 0 is not drawn.
    mapping(LeaseId => mapping(uint32 term => uint256)) private _committees;
    /// @dev Seats (bits) that said the same of a delivery.
    mapping(LeaseId => mapping(bytes32 what => uint256 seats)) private _saw;
    /// @dev Every delivery adds a resource, so these name it.
    mapping(LeaseId => uint64 resources) private _proven;
    mapping(LeaseId => address[]) private _guests;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IEscrow escrow_,
        ILeases leases_,
        Terms memory terms_
    ) Governed(directory_) {
        bool sizes = terms_.smallSize >= LEAST_SEATS && terms_.smallSize <= terms_.largeSize
            && terms_.largeSize <= MAX_SEATS && terms_.largeSize <= terms_.largePool;
        bool quorums = terms_.smallQuorum <= terms_.smallSize && terms_.largeQuorum <= terms_.largeSize
            && 2 * uint256(terms_.smallQuorum) > terms_.smallSize
            && 2 * uint256(terms_.largeQuorum) > terms_.largeSize;
        if (!sizes || !quorums || terms_.minStake == 0 || terms_.slashPpm > Amounts.PPM) {
            revert Witnesses_BadTerms();
        }
        members = members_;
        escrow = escrow_;
        leases = leases_;
        epoch = leases_.terms().epoch;
        rounds = leases_.terms().rounds;
        _slot = leases_.inventory().slot();
        _terms = terms_;
        // Written once, so that no tick pays for a fresh word.
        for (uint256 i; i < SEEDS; ++i) {
            _seeds[i] = 1;
        }
    }

    // ---- the pool ----------------------------------------------------------------------------------------------

    /// @inheritdoc IWitnesses
    function join(address signer, uint96 stake) external {
        OrgId org = members.requireRight(msg.sender, MemberRights.ADMIN);
        members.requireActive(org, Roles.WITNESS);
        Post storage w = _posts[org];
        if (w.joined != 0) revert Witnesses_Joined(org);
        if (_pool.length >= MAX_POOL) revert Witnesses_PoolFull(MAX_POOL);
        if (stake < _terms.minStake) revert Witnesses_StakeTooLow(stake, _terms.minStake);
        uint32 from = _epochNow() + 1;
        w.joined = from;
        w.since = from;
        w.stake = stake;
        _keys[org].stakedBy = msg.sender;
        _setSigner(org, signer);
        _pool.push(org);
        for (uint256 i; i < COMMITMENTS; ++i) {
            if (_commitments[org][i] == 0) _commitments[org][i] = bytes32(uint256(1));
        }
        emit WitnessJoined(org, signer, stake, from);

        _lock(org, stake);
    }

    /// @inheritdoc IWitnesses
    function addStake(uint96 amount) external {
        OrgId org = _ofAdmin();
        Post storage w = _posts[org];
        uint96 before = w.stake;
        uint96 stake = before + amount;
        address stakedBy = _keys[org].stakedBy;
        if (before < _terms.minStake && stake >= _terms.minStake) w.since = _epochNow() + 1;
        w.stake = stake;
        _keys[org].stakedBy = msg.sender;
        emit StakeAdded(org, amount, stake);

        // One member answers for all of it, so that its limit gets back what is returned.
        if (stakedBy == msg.sender) return _lock(org, amount);
        _unlock(org, stakedBy, before);
        _lock(org, stake);
    }

    /// @inheritdoc IWitnesses
    function setSigner(address signer) external {
        OrgId org = _ofAdmin();
        address former = _keys[org].signer;
        signerOf[former] = OrgId.wrap(0);
        formerSigner[org] = former;
        _setSigner(org, signer);
        emit SignerChanged(org, signer);
    }

    /// @inheritdoc IWitnesses
    function leave() external {
        OrgId org = _ofAdmin();
        Post storage w = _posts[org];
        if (w.exit != 0) revert Witnesses_StillBound(org, w.exit);
        uint32 exit = _epochNow() + NOTICE;
        w.exit = exit;
        emit WitnessLeaving(org, exit);
    }

    /// @inheritdoc IWitnesses
    function withdraw() external {
        OrgId org = _ofAdmin();
        Post storage w = _posts[org];
        uint32 exit = w.exit;
        if (exit == 0) revert Witnesses_StillBound(org, 0);
        if (_keys[org].audits != 0) exit += BOUND;
        if (_epochNow() < exit) revert Witnesses_StillBound(org, exit);

        uint96 stake = w.stake;
        address stakedBy = _keys[org].stakedBy;
        // The bar stays: nobody gets around it by leaving.
        w.joined = 0;
        w.since = 0;
        w.exit = 0;
        w.stake = 0;
        signerOf[_keys[org].signer] = OrgId.wrap(0);
        delete _keys[org];
        _removeFromPool(org);
        emit StakeReturned(org, stake);

        _unlock(org, stakedBy, stake);
    }

    function _setSigner(OrgId org, address signer) private {
        if (signer == address(0) || signerOf[signer] != OrgId.wrap(0)) revert Witnesses_BadSigner(signer);
        signerOf[signer] = org;
        _keys[org].signer = signer;
    }

    /// @dev The pool's order means nothing to a draw, so the last one fills the gap.
    function _removeFromPool(OrgId org) private {
        uint256 last = _pool.length - 1;
        for (uint256 i; i < last; ++i) {
            if (_pool[i] == org) {
                _pool[i] = _pool[last];
                break;
            }
        }
        _pool.pop();
    }

    // ---- ticks -------------------------------------------------------------------------------------------------

    /// @inheritdoc IWitnesses
    function tick(uint32 epoch_, bytes32 commitment, Opening calldata opening, Leaf[] calldata leaves)
        external
    {
        OrgId org = _ofSigner();
        uint256 from = (uint256(epoch_) + 1) * epoch;
        if (block.timestamp < from || block.timestamp >= from + epoch) {
            revert Witnesses_TickClosed(epoch_, from, from + epoch);
        }
        uint256 bits = _ticks[org][epoch_ / PER_WORD];
        uint256 bit = uint256(1) << (epoch_ % PER_WORD);
        if (bits & bit != 0) revert Witnesses_Ticked(org, epoch_);
        bits |= bit;
        if (_open(org, epoch_ - 1, opening, leaves)) bits |= bit << PER_WORD;
        _ticks[org][epoch_ / PER_WORD] = bits;
        _commitments[org][epoch_ % COMMITMENTS] = commitment;
        emit Ticked(org, epoch_, commitment, opening.root, opening.salt, opening.chunks.length);
    }

    /// @dev Whether all of the epoch is public with this.
    function _open(OrgId org, uint32 epoch_, Opening calldata opening, Leaf[] calldata leaves)
        private
        returns (bool)
    {
        uint256 count = opening.chunks.length;
        if (opening.salt == 0) {
            if (opening.root != 0 || count != 0 || leaves.length != 0) {
                _notCommitted(org, epoch_);
            }
            return false;
        }
        if (count > MAX_CHUNKS) _badLeaves(count);
        bytes32 chunks = keccak256(abi.encodePacked(opening.chunks));
        if (_hashOf(org, epoch_, chunks, opening) != _commitments[org][epoch_ % COMMITMENTS]) {
            _notCommitted(org, epoch_);
        }
        _foldSalt(org, epoch_ + 2, opening.salt);
        if (count == 0) {
            if (leaves.length != 0) _badLeaves(0);
            return true;
        }
        uint40 last = _publish(org, epoch_, 0, opening.chunks[0], 0, leaves);
        if (count == 1) return true;
        Unpublished storage u = _unpublished[org];
        u.chunks = chunks;
        u.epoch = epoch_;
        u.next = 1;
        // Safe: no more than 64 chunks.
        // forge-lint: disable-next-line(unsafe-typecast)
        u.count = uint8(count);
        u.last = last;
        return false;
    }

    /// @inheritdoc IWitnesses
    function publish(uint32 epoch_, uint256 chunk, bytes32[] calldata chunks, Leaf[] calldata leaves)
        external
    {
        OrgId org = _ofSigner();
        Unpublished storage u = _unpublished[org];
        uint8 next = u.next;
        if (u.epoch != epoch_ || _epochNow() != epoch_ + 2 || chunk != next || next >= u.count) {
            revert Witnesses_PublishClosed(org, epoch_, chunk);
        }
        if (keccak256(abi.encodePacked(chunks)) != u.chunks) _notCommitted(org, epoch_);
        u.last = _publish(org, epoch_, chunk, chunks[chunk], u.last, leaves);
        u.next = next + 1;
        if (next + 1 == u.count) {
            uint256 index = uint256(epoch_) + 1;
            _ticks[org][index / PER_WORD] |= uint256(1) << (PER_WORD + index % PER_WORD);
        }
    }

    /// @dev Checks the leaves of a chunk and puts them out. Their order runs through all chunks of an epoch, so that no
    /// machine has two leaves.
    function _publish(
        OrgId org,
        uint32 epoch_,
        uint256 chunk,
        bytes32 root,
        uint40 last,
        Leaf[] calldata leaves
    ) private returns (uint40) {
        uint256 count = leaves.length;
        if (count == 0 || count > MAX_LEAVES) _badLeaves(count);
        uint256 measurable = type(uint256).max >> (256 - rounds);
        bytes32[] memory nodes = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            Leaf memory leaf = leaves[i];
            uint40 key = (uint40(LeaseId.unwrap(leaf.lease)) << 8) | leaf.place;
            if (
                key <= last || leaf.down == 0 || leaf.down & ~leaf.measured != 0
                    || leaf.measured & ~measurable != 0
            ) _badLeaves(i);
            last = key;
            nodes[i] = Trees.hash(leaf);
        }
        if (Trees.root(nodes) != root) _notCommitted(org, epoch_);
        emit LeavesPublished(org, epoch_, chunk, leaves);
        return last;
    }

    /// @dev Folded by XOR, so that the order of ticks in a block decides nothing.
    function _foldSalt(OrgId org, uint256 acceptedIn, bytes32 salt) private {
        uint256 folded = uint256(keccak256(abi.encode(org, salt))) & (type(uint256).max >> 32);
        uint256 word = _seeds[acceptedIn % SEEDS];
        _seeds[acceptedIn % SEEDS] =
            word >> SEED_BITS == acceptedIn ? word ^ folded : (acceptedIn << SEED_BITS) | folded;
    }

    function _hashOf(OrgId org, uint32 epoch_, bytes32 chunks, Opening calldata opening)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(org, epoch_, chunks, opening.root, opening.salt));
    }

    // ---- the draw ----------------------------------------------------------------------------------------------

    /// @inheritdoc IWitnesses
    function draw(LeaseId lease, uint32 term) external {
        ILeases.Lease memory l = _lease(lease);
        uint32 begin = _requireTerm(lease, l, term);
        if (_committees[lease][term] != 0) revert Witnesses_Drawn(lease, term);

        (OrgId[] memory seats, uint8 quorum) = _lots(lease, l, term, begin);
        uint32 now_ = _epochNow();
        _committees[lease][term] = _pack(seats, quorum, now_);
        emit CommitteeDrawn(lease, term, seats, quorum, now_);

        if (l.committee == Committee.Awaited) leases.setCommittee(lease, seats.length != 0);
    }

    /// @dev A term is drawn while it runs. A lease whose committee was waived has no later one, and one whose committee
    /// another contract drew has none here.
    /// @return begin Its first epoch.
    function _requireTerm(LeaseId lease, ILeases.Lease memory l, uint32 term)
        private
        view
        returns (uint32 begin)
    {
        LeaseState state = leases.stateOf(lease);
        bool open = state == LeaseState.Signed || state == LeaseState.Delivered || state == LeaseState.Active;
        bool wanted = l.committee == Committee.Awaited
            || (l.committee == Committee.Drawn
                && _committees[lease][_termOf(l, _epochOf(l.committeeAt))] != 0);
        begin = _epochOf(l.signedAt) + TERM * term;
        uint32 now_ = _epochNow();
        if (!open || !wanted || now_ >= begin + TERM) revert Witnesses_DrawClosed(lease, term, 0);
        if (now_ < begin) revert Witnesses_DrawClosed(lease, term, begin);
    }

    /// @dev The first term's pool is frozen before the lease is signed, and its lots are cast by salts that were
    /// committed before the epoch of the signature was over (W2). A later term's begin is known beforehand: both come two
    /// epochs earlier, so that it is drawn as soon as it begins.
    function _lots(LeaseId lease, ILeases.Lease memory l, uint32 term, uint32 begin)
        private
        view
        returns (OrgId[] memory seats, uint8 quorum)
    {
        OrgId[] memory eligible = _eligible(term == 0 ? begin - 1 : begin - 3, l.provider, l.buyer);
        uint256 size = _terms.largeSize;
        quorum = _terms.largeQuorum;
        bool small = eligible.length < _terms.largePool;
        bytes32 seed;
        uint256 opened = eligible.length;
        if (opened > (small ? _terms.smallSize : size)) {
            (seed, opened) = _seedOf(lease, term, term == 0 ? begin + 1 : begin - 1, eligible);
            if (opened < size) small = true;
        }
        if (small) (size, quorum) = (_terms.smallSize, _terms.smallQuorum);
        if (eligible.length < size) return (seats, 0);
        seats = _lowest(eligible, opened, size, keccak256(abi.encode(seed, lease, term)));
    }

    /// @dev Who was in the pool at the end of an epoch, had the stake, and has it still: one of each group, and none
    /// that is affiliated with a party.
    function _eligible(uint32 frozen, OrgId provider, OrgId buyer)
        private
        view
        returns (OrgId[] memory list)
    {
        OrgId[] memory all = _pool;
        uint32[] memory groups = new uint32[](all.length + 2);
        list = new OrgId[](all.length + 2);
        // The parties come first, so that their groups are taken.
        (list[0], groups[0]) = (provider, _groupOf(provider));
        (list[1], groups[1]) = (buyer, _groupOf(buyer));
        uint256 n = 2;
        for (uint256 i; i < all.length; ++i) {
            if (!_stands(all[i], frozen)) continue;
            uint32 group = _groupOf(all[i]);
            uint256 place = _placeOf(all[i], group, list, groups, n);
            if (place < 2) continue;
            if (place == n) (groups[n], list[n++]) = (group, all[i]);
            // Of a group the one with the lowest number sits, whoever joined first.
            else if (OrgId.unwrap(all[i]) < OrgId.unwrap(list[place])) list[place] = all[i];
        }
        // Drops the parties: the list begins where they end.
        assembly ("memory-safe") {
            list := add(list, 0x40)
            mstore(list, sub(n, 2))
        }
    }

    function _stands(OrgId org, uint32 frozen) private view returns (bool) {
        Post storage w = _posts[org];
        if (w.stake < _terms.minStake || w.since > frozen) return false;
        if (w.exit != 0 && w.exit - NOTICE <= frozen) return false;
        if (w.barredFrom <= frozen && frozen < w.barredUntil) return false;
        try members.requireActive(org, Roles.WITNESS) {
            return true;
        } catch {
            return false;
        }
    }

    /// @dev Where an organisation or one of its group stands in the list; `n` if nowhere.
    function _placeOf(OrgId org, uint32 group, OrgId[] memory list, uint32[] memory groups, uint256 n)
        private
        pure
        returns (uint256 i)
    {
        for (; i < n; ++i) {
            if (list[i] == org || (group != 0 && groups[i] == group)) break;
        }
    }

    /// @dev The seed of the first epoch from `at` on in which a salt was accepted, once it is over. Who opened nothing in it
    /// is struck from the list: a salt that is withheld moves nobody's lot for free. But if fewer are left than the smaller
    /// committee has, the others stay behind them, or some could leave the lease without one. Without a seed nobody stays. Who `opened` comes first.
    function _seedOf(LeaseId lease, uint32 term, uint32 at, OrgId[] memory list)
        private
        view
        returns (bytes32 seed, uint256 opened)
    {
        // Epochs of this century, indices of a list of at most 64.
        unchecked {
            uint32 last = at + SEEDLESS;
            for (; seed == 0 && at <= last; ++at) {
                if (_epochNow() <= at) revert Witnesses_DrawClosed(lease, term, at + 1);
                seed = seedOf(at);
            }
            for (uint256 i; i < list.length; ++i) {
                // The epoch of the seed is the one before `at`; opened in it was the second one before.
                if (!ticked(list[i], at - 3)) continue;
                (list[opened], list[i]) = (list[i], list[opened]);
                ++opened;
            }
            if (opened != 0 && opened < _terms.smallSize) return (seed, opened);
            assembly ("memory-safe") {
                mstore(list, opened)
            }
        }
    }

    /// @dev Everybody draws a number, the lowest ones sit: the order of the list decides nothing but that the first `ahead`
    /// come before all others.
    function _lowest(OrgId[] memory from, uint256 ahead, uint256 size, bytes32 lot)
        private
        pure
        returns (OrgId[] memory seats)
    {
        // Indices of a list of at most 64.
        unchecked {
            uint256 n = from.length;
            uint256[] memory drawn = new uint256[](n);
            for (uint256 i; i < n; ++i) {
                drawn[i] = uint256(keccak256(abi.encode(lot, from[i]))) >> 1;
                if (i >= ahead) drawn[i] |= 1 << 255;
            }
            seats = new OrgId[](size);
            for (uint256 s; s < size; ++s) {
                uint256 best = s;
                for (uint256 i = s + 1; i < n; ++i) {
                    if (drawn[i] < drawn[best]) best = i;
                }
                (seats[s], from[best], drawn[best]) = (from[best], from[s], drawn[s]);
            }
        }
    }

    function _pack(OrgId[] memory seats, uint8 quorum, uint32 drawn) private pure returns (uint256 c) {
        // Indices of at most 6 seats.
        unchecked {
            c = (seats.length << 192) | (uint256(quorum) << 200) | (uint256(drawn) << 208);
            for (uint256 i; i < seats.length; ++i) {
                c |= uint256(OrgId.unwrap(seats[i])) << (32 * i);
            }
        }
    }

    // Each takes the lowest bits of what is left.
    // forge-lint: disable-start(unsafe-typecast)
    function _seat(uint256 c, uint256 i) private pure returns (OrgId) {
        return OrgId.wrap(uint32(c >> (32 * i)));
    }

    function _size(uint256 c) private pure returns (uint256) {
        return uint8(c >> 192);
    }

    function _quorum(uint256 c) private pure returns (uint8) {
        return uint8(c >> 200);
    }

    function _drawn(uint256 c) private pure returns (uint32) {
        return uint32(c >> 208);
    }

    // forge-lint: disable-end(unsafe-typecast)

    // ---- proof of delivery -------------------------------------------------------------------------------------

    /// @inheritdoc IWitnesses
    function seen(LeaseId lease, uint64 resources, bytes32 delivery, address[] calldata guests) external {
        OrgId org = _ofSigner();
        ILeases.Lease memory l = _lease(lease);
        if (resources == 0 || resources != l.delivered || delivery != l.delivery || guests.length > l.count) {
            revert Witnesses_OtherDelivery(lease, l.delivered, l.delivery);
        }
        (uint32 term, uint256 c) = _seated(lease, l);
        uint256 seat = _seatOf(c, org);
        if (seat == _size(c)) revert Witnesses_NotSeat(lease, msg.sender);
        if (_proven[lease] == resources) return;

        bytes32 what = keccak256(abi.encode(term, resources, delivery, guests));
        uint256 seats = _saw[lease][what];
        if (seats & (uint256(1) << seat) != 0) return;
        seats |= uint256(1) << seat;
        _saw[lease][what] = seats;
        emit DeliverySeen(lease, org, resources, delivery, guests, seats);
        if (Rounds.count(seats) >= _quorum(c)) _prove(lease, l, guests);
    }

    /// @dev The responders' keys are wanted even of what the buyer accepted itself.
    function _prove(LeaseId lease, ILeases.Lease memory l, address[] calldata guests) private {
        _proven[lease] = l.delivered;
        _guests[lease] = guests;
        emit DeliveryProven(lease, l.delivered, guests);

        if (l.accepted != l.delivered) leases.prove(lease, l.delivered);
    }

    /// @dev Who can say that something was delivered: the committee of the term that runs, or, while it is not drawn or if
    /// it is empty, that of the one before, or the first.
    function _seated(LeaseId lease, ILeases.Lease memory l) private view returns (uint32 term, uint256 c) {
        term = _termOf(l, _epochNow());
        c = _committees[lease][term];
        if (_size(c) == 0 && term != 0) c = _committees[lease][--term];
        if (_size(c) == 0) c = _committees[lease][term = 0];
    }

    function _seatOf(uint256 c, OrgId org) private pure returns (uint256 i) {
        while (i < _size(c) && _seat(c, i) != org) ++i;
    }

    // ---- fines -------------------------------------------------------------------------------------------------

    /// @inheritdoc IWitnesses
    function fine(OrgId org, uint32 epoch_, LeaseId lease) external {
        Post storage w = _posts[org];
        (bool owed, OrgId to) = _owed(w, org, epoch_, lease);
        uint32 from = epoch_ + FINE_AFTER + (to == FUND ? 1 : 0);
        uint32 now_ = _epochNow();
        if (!owed || now_ < from || now_ >= epoch_ + FINE_UNTIL || ticked(org, epoch_)) {
            revert Witnesses_NoFine(org, epoch_);
        }
        uint256 bit = uint256(1) << (epoch_ % 256);
        if (_fined[org][epoch_ / 256] & bit != 0) revert Witnesses_NoFine(org, epoch_);
        _fined[org][epoch_ / 256] |= bit;
        uint96 amount = _terms.tickFine < w.stake ? _terms.tickFine : w.stake;
        w.stake -= amount;
        _bar(w);
        emit TickMissed(org, epoch_, amount, to);

        _pay(org, to, amount);
    }

    /// @dev Whether a tick was owed, and whose the fine is: a seat owes it whatever is left of its stake, anybody else
    /// while the stake is enough.
    function _owed(Post storage w, OrgId org, uint32 epoch_, LeaseId lease)
        private
        view
        returns (bool owed, OrgId to)
    {
        to = FUND;
        if (w.stake == 0 || epoch_ < w.joined || (w.exit != 0 && epoch_ >= w.exit)) return (false, to);
        if (LeaseId.unwrap(lease) == 0) return (epoch_ >= w.since && w.stake >= _terms.minStake, to);

        ILeases.Lease memory l = _lease(lease);
        uint256 c = _committees[lease][_termOf(l, epoch_)];
        uint256 ticks_;
        for (uint256 i; i < _size(c); ++i) {
            OrgId seat = _seat(c, i);
            if (seat == org) owed = _judged(l, c, epoch_);
            if (ticked(seat, epoch_)) ++ticks_;
        }
        if (ticks_ < _quorum(c)) to = l.buyer;
    }

    /// @dev Whether a committee was there to measure a lease in an epoch, and the lease to be measured.
    function _judged(ILeases.Lease memory l, uint256 c, uint32 epoch_) private view returns (bool) {
        uint256 from = uint256(epoch_) * epoch;
        uint256 end = l.endedAt != 0 ? l.endedAt : uint256(l.end) * _slot;
        return _drawn(c) <= epoch_ && l.delivered != 0 && l.deliveredAt < from + epoch && end > from;
    }

    /// @dev A bar that runs is made longer: its begin stays, so that no pool frozen meanwhile opens again.
    function _bar(Post storage w) private {
        uint32 now_ = _epochNow();
        if (now_ >= w.barredUntil) w.barredFrom = now_;
        w.barredUntil = now_ + BAR;
    }

    /// @inheritdoc IWitnesses
    function slash(OrgId org, bytes32 reason) external onlyHolder(Rights.WITNESSES_SLASH) {
        Post storage w = _posts[org];
        if (w.joined == 0) revert Witnesses_NotWitness(org);
        // Safe: a share of the stake.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint96 amount = uint96(Amounts.shareDown(w.stake, _terms.slashPpm));
        w.stake -= amount;
        _bar(w);
        emit WitnessSlashed(org, reason, amount);

        _pay(org, FUND, amount);
    }

    /// @inheritdoc IWitnesses
    function bind(OrgId org, bool bound) external onlyEverHolder(Rights.WITNESSES_SLASH) {
        Keys storage k = _keys[org];
        if (bound) {
            // Only letting go outlives the right.
            directory.requireRight(msg.sender, Rights.WITNESSES_SLASH);
            ++k.audits;
        } else if (k.audits != 0) {
            --k.audits;
        }
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IWitnesses
    function terms() external view returns (Terms memory) {
        return _terms;
    }

    /// @inheritdoc IWitnesses
    function witness(OrgId org) external view returns (Witness memory) {
        Post storage w = _posts[org];
        Keys storage k = _keys[org];
        return Witness(k.signer, w.joined, w.since, w.exit, w.barredFrom, w.barredUntil, w.stake, k.stakedBy);
    }

    /// @inheritdoc IWitnesses
    function pool() external view returns (OrgId[] memory) {
        return _pool;
    }

    /// @inheritdoc IWitnesses
    function committee(LeaseId lease, uint32 term) external view returns (DrawnCommittee memory) {
        uint256 c = _committees[lease][term];
        OrgId[] memory seats = new OrgId[](_size(c));
        for (uint256 i; i < seats.length; ++i) {
            seats[i] = _seat(c, i);
        }
        return DrawnCommittee(seats, _quorum(c), _drawn(c));
    }

    /// @inheritdoc IWitnesses
    function termOf(LeaseId lease, uint32 epoch_) external view returns (uint32) {
        return _termOf(_lease(lease), epoch_);
    }

    /// @inheritdoc IWitnesses
    function guestsOf(LeaseId lease) external view returns (address[] memory) {
        return _guests[lease];
    }

    /// @inheritdoc IWitnesses
    function ticks(OrgId org, uint32 from, uint32 until) external view returns (uint256 n) {
        // Epochs of this century.
        unchecked {
            uint256 i = uint256(from) + 1;
            uint256 end = uint256(until) + 1;
            while (i < end) {
                uint256 place = i % PER_WORD;
                uint256 take = PER_WORD - place;
                if (take > end - i) take = end - i;
                uint256 bits = _ticks[org][i / PER_WORD] >> (PER_WORD + place);
                n += Rounds.count(bits & (type(uint256).max >> (256 - take)));
                i += take;
            }
        }
    }

    /// @inheritdoc IWitnesses
    function ticked(OrgId org, uint32 epoch_) public view returns (bool) {
        uint256 index = uint256(epoch_) + 1;
        // slither-disable-next-line weak-prng (a place in a ring, not a lot)
        return (_ticks[org][index / PER_WORD] >> (PER_WORD + index % PER_WORD)) & 1 != 0;
    }

    /// @inheritdoc IWitnesses
    function commitmentOf(OrgId org, uint32 epoch_) public view returns (bytes32) {
        bool committed = (_ticks[org][epoch_ / PER_WORD] >> (epoch_ % PER_WORD)) & 1 != 0;
        // The tick that overwrites it is accepted from one epoch later on.
        bool kept = _epochNow() <= uint256(epoch_) + COMMITMENTS;
        return committed && kept ? _commitments[org][epoch_ % COMMITMENTS] : bytes32(0);
    }

    /// @inheritdoc IWitnesses
    function requirePublished(OrgId org, uint32 epoch_, Published calldata published) external view {
        Opening calldata opening = published.opening;
        if (
            !_isOpening(org, epoch_, opening) || published.chunk >= opening.chunks.length
                || !Trees.holds(opening.chunks[published.chunk], published.leaf, published.proof)
        ) revert Witnesses_NotPublished(org, epoch_);
    }

    /// @inheritdoc IWitnesses
    function requireOpening(OrgId org, uint32 epoch_, Opening calldata opening) external view {
        if (!_isOpening(org, epoch_, opening)) _notCommitted(org, epoch_);
    }

    /// @inheritdoc IWitnesses
    function seedOf(uint32 epoch_) public view returns (bytes32) {
        // slither-disable-next-line weak-prng (a place in a ring; the seed is from salts, W2)
        uint256 word = _seeds[epoch_ % SEEDS];
        return word >> SEED_BITS == epoch_ ? bytes32(word & (type(uint256).max >> 32)) : bytes32(0);
    }

    function _isOpening(OrgId org, uint32 epoch_, Opening calldata opening) private view returns (bool) {
        bytes32 commitment = commitmentOf(org, epoch_);
        return commitment != 0 && ticked(org, epoch_)
            && commitment == _hashOf(org, epoch_, keccak256(abi.encodePacked(opening.chunks)), opening);
    }

    function _termOf(ILeases.Lease memory l, uint32 epoch_) private view returns (uint32) {
        uint32 first = _epochOf(l.signedAt);
        return epoch_ < first ? 0 : (epoch_ - first) / TERM;
    }

    function _epochNow() private view returns (uint32) {
        return _epochOf(block.timestamp);
    }

    function _epochOf(uint256 second) private view returns (uint32) {
        // Safe until the year 2106, even with epochs of a second.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(second / epoch);
    }

    function _lease(LeaseId lease) private view returns (ILeases.Lease memory) {
        return leases.lease(lease);
    }

    function _groupOf(OrgId org) private view returns (uint32) {
        return members.groupOf(org);
    }

    // ---- money -------------------------------------------------------------------------------------------------

    function _account(OrgId org) private pure returns (bytes32) {
        return bytes32(uint256(OrgId.unwrap(org)));
    }

    function _lock(OrgId org, uint256 amount) private {
        escrow.lock(_account(org), org, msg.sender, amount);
    }

    function _unlock(OrgId org, address by, uint256 amount) private {
        escrow.unlock(_account(org), org, by, amount);
    }

    function _pay(OrgId org, OrgId to, uint256 amount) private {
        escrow.pay(_account(org), to, amount);
    }

    // ---- checks ------------------------------------------------------------------------------------------------

    function _ofAdmin() private view returns (OrgId org) {
        org = members.requireRight(msg.sender, MemberRights.ADMIN);
        if (_posts[org].joined == 0) revert Witnesses_NotWitness(org);
    }

    function _ofSigner() private view returns (OrgId org) {
        org = signerOf[msg.sender];
        if (org == OrgId.wrap(0)) revert Witnesses_NotSigner(msg.sender);
    }

    function _notCommitted(OrgId org, uint32 epoch_) private pure {
        revert Witnesses_NotCommitted(org, epoch_);
    }

    function _badLeaves(uint256 index) private pure {
        revert Witnesses_BadLeaves(index);
    }
}
