// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Governed} from "./Governed.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";
import {ILeases} from "./interfaces/ILeases.sol";
import {IMembers, MemberRights} from "./interfaces/IMembers.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {IVerdicts} from "./interfaces/IVerdicts.sol";
import {IWitnesses} from "./interfaces/IWitnesses.sol";
import {Committee, LeaseId, OrgId, SlaId} from "./interfaces/Types.sol";
import {Amounts} from "./libraries/Amounts.sol";
import {Rights} from "./libraries/Rights.sol";
import {Rounds} from "./libraries/Rounds.sol";

/// @notice See {IVerdicts}.
contract Verdicts is IVerdicts, Governed {
    using Rounds for Rounds.Frame;

    /// @dev `Record`, with what stood before the span's first claim: each claim on a span starts from there. One word.
    /// @param appealed Who has appealed this span: bits `BY_PROVIDER`, `BY_BUYER`.
    struct Standing {
        uint32 last;
        uint24 ppm;
        uint40 graceUntil;
        uint32 streaks;
        uint32 breached;
        uint40 graceBefore;
        uint32 streaksBefore;
        uint8 appealed;
    }

    /// @dev What runs along with a lease. One word.
    /// @param nonce Of the last power request; `epoch` and `posts` count them.
    /// @param rebootUntil Until when the last reboot suspends.
    /// @param paid Terms paid.
    struct Running {
        uint64 nonce;
        uint32 epoch;
        uint8 posts;
        uint40 rebootUntil;
        uint32 paid;
        bool done;
    }

    struct Suspension {
        uint40 from;
        uint40 until;
    }

    /// @dev One span of one machine, as it is being judged.
    struct Case {
        LeaseId lease;
        uint8 place;
        ILeases.Watched facts;
        uint256 sla;
        Rounds.Frame frame;
        uint32 lo;
        uint32 hi;
        uint40 from;
        uint40 until;
    }

    /// @dev What a claim makes of a case.
    struct Finding {
        uint256[] down;
        uint256 judged;
        uint256 counted;
        uint256 grace;
        uint256 ppm;
        uint256 streaks;
        bool breach;
    }

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant POWER_TYPE =
        keccak256("PowerRequest(uint32 lease,uint8 action,uint64 nonce,uint40 time)");
    uint8 private constant ON = 1;
    uint8 private constant OFF = 2;
    uint8 private constant REBOOT = 3;
    /// @dev Power requests of a lease in an epoch; bounds what a claim has to look through.
    uint256 private constant MAX_POSTS = 16;
    uint256 private constant MAX_TIERS = 4;
    uint256 private constant GRACE_EPOCHS = 24;
    uint8 private constant BY_PROVIDER = 1;
    uint8 private constant BY_BUYER = 2;
    bytes32 private constant BREACH_NOTE = "sla breach";
    /// @dev A registered SLA in a word: 48 bits a tier from the mildest on (below, penalty, breach), whether guests have to
    /// answer, and how many leases there were when it was registered: it promises those nothing.
    uint256 private constant TIER_BITS = 48;
    uint256 private constant PPM_BITS = 20;
    uint256 private constant PPM_MASK = 0xfffff;
    uint256 private constant GUEST_BIT = 1 << 192;
    uint256 private constant LEASES_BIT = 208;

    IMembers public immutable members;
    IEscrow public immutable escrow;
    ILeases public immutable leases;
    ISettlement public immutable settlement;
    IWitnesses public immutable witnesses;
    uint256 private immutable _epoch;
    uint256 private immutable _rounds;
    uint256 private immutable _seatFee;
    uint256 private immutable _restoreTime;
    bytes32 private immutable _powerDomain;

    Terms private _terms;
    uint32 private _slaCount;
    uint256 private _appealCount;
    mapping(SlaId => uint256 word) private _slas;
    mapping(uint256 word => SlaId) private _slaOf;
    mapping(LeaseId => mapping(uint256 place => Standing)) private _standings;
    mapping(LeaseId => Running) private _running;
    // slither-disable-next-line uninitialized-state (filled by reference, in _suspend)
    mapping(LeaseId => Suspension[]) private _suspensions;
    mapping(uint256 id => Appeal) private _appeals;
    mapping(bytes32 span => uint256 id) private _appealOf;
    /// @dev Appeals of a breach whose place in the record a later one took meanwhile.
    mapping(uint256 id => bool) private _overtaken;

    constructor(
        IDirectory directory_,
        IMembers members_,
        IEscrow escrow_,
        ILeases leases_,
        ISettlement settlement_,
        IWitnesses witnesses_,
        Terms memory terms_
    ) Governed(directory_) {
        members = members_;
        escrow = escrow_;
        leases = leases_;
        settlement = settlement_;
        witnesses = witnesses_;
        _terms = terms_;
        _restoreTime = terms_.restoreTime;
        ILeases.Terms memory t = leases_.terms();
        _epoch = t.epoch;
        _rounds = t.rounds;
        _seatFee = t.seatFee;
        _powerDomain = keccak256(
            abi.encode(DOMAIN_TYPE, keccak256("OCX"), keccak256("1"), block.chainid, address(leases_))
        );
    }

    // ---- SLAs --------------------------------------------------------------------------------------------------

    /// @inheritdoc IVerdicts
    function registerSla(Tier[] calldata tiers, bool guest) external returns (SlaId id) {
        unchecked {
            uint256 word = guest ? GUEST_BIT : 0;
            if (tiers.length == 0 || tiers.length > MAX_TIERS) revert Verdicts_BadTiers(tiers.length);
            uint256 below = Amounts.PPM + 1;
            uint256 penalty = 0;
            for (uint256 i; i < tiers.length; ++i) {
                Tier calldata t = tiers[i];
                if (t.belowPpm == 0 || t.belowPpm >= below) revert Verdicts_BadTiers(i);
                if (t.penaltyPpm <= penalty || t.penaltyPpm > Amounts.PPM) revert Verdicts_BadTiers(i);
                (below, penalty) = (t.belowPpm, t.penaltyPpm);
                word |= (below | (penalty << PPM_BITS) | (uint256(t.breachAfter) << (2 * PPM_BITS)))
                    << (TIER_BITS * i);
            }
            id = _slaOf[word];
            if (SlaId.unwrap(id) != 0) return id;
            id = SlaId.wrap(++_slaCount);
            _slaOf[word] = id;
            _slas[id] = word | (uint256(leases.count()) << LEASES_BIT);
            emit SlaRegistered(id, tiers, guest);
        }
    }

    // ---- claims ------------------------------------------------------------------------------------------------

    /// @inheritdoc IVerdicts
    function claim(LeaseId lease, uint8 place, uint32 epoch, Evidence[] calldata evidence) external {
        Case memory c = _case(lease, place, epoch);
        _requireOpen(c, true);
        Standing memory s = _turned(_standings[lease][place], c);
        // What the council has decided is not judged again.
        if (
            s.appealed > BY_PROVIDER || (s.appealed != 0 && _openAppeal(lease, place, c.hi, BY_PROVIDER) == 0)
        ) {
            revert Verdicts_Appealed(lease, c.hi);
        }

        Finding memory x;
        x.down = new uint256[](c.hi - c.lo + 1);
        _count(c, x, evidence);
        if (x.judged < Rounds.LEAST) revert Verdicts_Undetermined(lease, c.hi);
        _forgive(c, x, s.graceBefore);
        _weigh(c, x, s.streaksBefore);
        bool earlierGrace =
            x.grace != s.graceBefore && (s.graceUntil == s.graceBefore || x.grace < s.graceUntil);
        if (x.ppm < s.ppm || (x.ppm == s.ppm && !earlierGrace)) revert Verdicts_NotWorse(lease, c.hi, s.ppm);
        _store(c, x, s, evidence.length);
    }

    /// @dev Which rounds a quorum calls down, and how many there are to judge.
    function _count(Case memory c, Finding memory x, Evidence[] calldata evidence) private view {
        unchecked {
            uint256 next;
            uint256 term = type(uint256).max;
            IWitnesses.DrawnCommittee memory committee;
            for (uint256 e = c.lo; e <= c.hi; ++e) {
                uint256 judged = c.frame.whole(e) & ~_suspended(c, e);
                x.judged += Rounds.count(judged);
                uint256 end = next;
                while (end < evidence.length && evidence[end].epoch == e) ++end;
                if (end == next) continue;

                uint256 termOfEpoch = Rounds.termOf(c.facts.signedAt / _epoch, e);
                if (termOfEpoch != term) {
                    term = termOfEpoch;
                    committee = _committee(c.lease, term);
                }
                if (e < committee.drawn) revert Verdicts_BadSeat(next);
                uint256[] memory maps = _maps(c, committee.seats, evidence, next, end);
                x.down[e - c.lo] = Rounds.agreed(maps, committee.quorum) & judged;
                next = end;
            }
            if (next != evidence.length) revert Verdicts_BadSeat(next);
        }
    }

    /// @dev The down rounds of `evidence[from..until)`, all of one epoch: distinct seats, each leaf published.
    function _maps(
        Case memory c,
        OrgId[] memory seats,
        Evidence[] calldata evidence,
        uint256 from,
        uint256 until
    ) private view returns (uint256[] memory maps) {
        unchecked {
            maps = new uint256[](until - from);
            uint256 least = 0;
            for (uint256 i = from; i < until; ++i) {
                Evidence calldata v = evidence[i];
                if (v.seat < least || v.seat >= seats.length) revert Verdicts_BadSeat(i);
                least = uint256(v.seat) + 1;
                IWitnesses.Leaf calldata leaf = v.published.leaf;
                if (LeaseId.unwrap(leaf.lease) != LeaseId.unwrap(c.lease) || leaf.place != c.place) {
                    revert Verdicts_OtherLeaf(i);
                }
                witnesses.requirePublished(seats[v.seat], v.epoch, v.published);
                maps[i - from] = leaf.down;
            }
        }
    }

    /// @dev W7. Grace begins with the first down round if none began within 24 epochs.
    function _forgive(Case memory c, Finding memory x, uint256 graceBefore) private view {
        unchecked {
            x.grace = graceBefore;
            bool known = graceBefore != 0 && c.lo < (graceBefore - _restoreTime) / _epoch + GRACE_EPOCHS;
            for (uint256 e = c.lo; e <= c.hi; ++e) {
                uint256 down = x.down[e - c.lo];
                if (down == 0) continue;
                if (!known) {
                    x.grace = c.frame.startOf(e, Rounds.lowest(down)) + _restoreTime;
                    known = true;
                }
                x.counted += Rounds.count(down & ~c.frame.before(e, x.grace));
            }
        }
    }

    /// @dev W9. The worst tier that holds, and how often in a row each has.
    function _weigh(Case memory c, Finding memory x, uint256 streaksBefore) private pure {
        unchecked {
            uint256 up = (x.judged - x.counted) * Amounts.PPM;
            for (uint256 i; i < MAX_TIERS; ++i) {
                (uint256 below, uint256 penalty, uint256 breachAfter) = _tier(c.sla, i);
                // Tiers get stricter: what is not below this one is below none that follow.
                if (up >= below * x.judged) break;
                x.ppm = penalty;
                uint256 streak = (streaksBefore >> (8 * i)) & 0xff;
                if (streak < 0xff) ++streak;
                x.streaks |= streak << (8 * i);
                if (breachAfter != 0 && streak >= breachAfter) x.breach = true;
            }
        }
    }

    function _store(Case memory c, Finding memory x, Standing memory s, uint256 seats) private {
        uint256 added = x.ppm - s.ppm;
        // Safe below: ppm are at most a million, streaks 32 bits, seconds 40.
        // forge-lint: disable-start(unsafe-typecast)
        s.ppm = uint24(x.ppm);
        s.graceUntil = uint40(x.grace);
        s.streaks = uint32(x.streaks);
        bool breached;
        // The record's breach gives way if there is none, or its provider has appealed it.
        if (x.breach && s.breached != c.hi) {
            uint256 appealed = s.breached == 0 ? 0 : _openAppeal(c.lease, c.place, s.breached, BY_PROVIDER);
            breached = s.breached == 0 || appealed != 0;
            if (appealed != 0) _overtaken[appealed] = true;
            if (breached) s.breached = c.hi;
        }
        _standings[c.lease][c.place] = s;

        uint256 penalty;
        if (added != 0) {
            penalty =
                settlement.applyVerdict(_parties(c.lease, c.facts), c.from, c.until, c.hi, 1, uint32(added));
        }
        emit VerdictGiven(
            c.lease, c.place, c.hi, x.down, uint16(x.judged), uint16(x.counted), s.ppm, penalty, uint8(seats)
        );
        // forge-lint: disable-end(unsafe-typecast)
        if (breached) emit BreachReached(c.lease, c.place, c.hi);
        if (s.appealed & BY_PROVIDER != 0) _addToAppeal(c, penalty);
    }

    /// @dev What a worse claim adds is in dispute as well while the provider's appeal is open.
    function _addToAppeal(Case memory c, uint256 penalty) private {
        uint256 id = _openAppeal(c.lease, c.place, c.hi, BY_PROVIDER);
        if (id != 0 && penalty != 0) _grow(id, _appeals[id], _moveToDispute(c, penalty, true));
    }

    /// @inheritdoc IVerdicts
    function endForBreach(LeaseId lease, uint8 place) external {
        ILeases.Watched memory l = _facts(lease);
        _requireFor(l.buyer, msg.sender, MemberRights.BUY);
        uint32 hi = _standings[lease][place].breached;
        (,, uint256 final_) = _frame(l).claims(hi);
        if (hi == 0 || block.timestamp < final_ || _openAppeal(lease, place, hi, BY_PROVIDER) != 0) {
            revert Verdicts_NoBreach(lease);
        }
        leases.breach(lease, BREACH_NOTE);
    }

    // ---- power -------------------------------------------------------------------------------------------------

    /// @inheritdoc IVerdicts
    function postPower(PowerRequest calldata request, bytes calldata signature) external {
        unchecked {
            ILeases.Watched memory l = _facts(request.lease);
            address signer = _signerOf(request, signature);
            Running storage r = _running[request.lease];
            _requireFor(l.buyer, signer, MemberRights.BUY);
            if (
                request.action < ON || request.action > REBOOT || request.time > block.timestamp
                    || request.time + _terms.powerTime <= block.timestamp || request.nonce <= r.nonce
            ) revert Verdicts_BadPower(request.lease, signer);

            // Safe: epochs are seconds divided.
            // forge-lint: disable-next-line(unsafe-typecast)
            uint32 epoch = uint32(block.timestamp / _epoch);
            if (r.epoch != epoch) (r.epoch, r.posts) = (epoch, 0);
            if (r.posts == MAX_POSTS) revert Verdicts_TooMuchPower(request.lease);
            ++r.posts;
            r.nonce = request.nonce;
            emit PowerRecorded(request.lease, request.action, request.nonce, signer);
            _suspend(request.lease, request.action, r);
        }
    }

    /// @dev Suspensions follow each other without overlap; the last one is open while the power is off.
    function _suspend(LeaseId lease, uint8 action, Running storage r) private {
        unchecked {
            Suspension[] storage list = _suspensions[lease];
            uint40 now_ = uint40(block.timestamp);
            uint256 count = list.length;
            uint40 lastUntil = count == 0 ? 0 : list[count - 1].until;
            bool off = lastUntil == type(uint40).max;
            // Safe: seconds.
            // forge-lint: disable-next-line(unsafe-typecast)
            if (action == REBOOT) r.rebootUntil = now_ + uint40(_restoreTime);
            uint40 until = action == OFF ? type(uint40).max : r.rebootUntil;
            if (action == ON) {
                // What a reboot suspends is not ended by switching on.
                if (off) list[count - 1].until = until > now_ ? until : now_;
            } else if (!off && until > now_) {
                if (lastUntil > now_) list[count - 1].until = until;
                else list.push(Suspension(now_, until));
            }
        }
    }

    function _signerOf(PowerRequest calldata r, bytes calldata signature)
        private
        view
        returns (address signer)
    {
        bytes32 hash = keccak256(abi.encode(POWER_TYPE, r.lease, r.action, r.nonce, r.time));
        (signer,,) = ECDSA.tryRecover(keccak256(abi.encodePacked(hex"1901", _powerDomain, hash)), signature);
    }

    /// @dev Rounds of an epoch that a suspension touches (W8).
    function _suspended(Case memory c, uint256 e) private view returns (uint256 mask) {
        unchecked {
            Suspension[] storage list = _suspensions[c.lease];
            for (uint256 i = list.length; i != 0; --i) {
                Suspension memory s = list[i - 1];
                if (s.until <= e * _epoch) break;
                mask |= c.frame.touched(e, s.from, s.until);
            }
        }
    }

    // ---- appeals -----------------------------------------------------------------------------------------------

    /// @inheritdoc IVerdicts
    function appeal(LeaseId lease, uint8 place, uint32 epoch) external returns (uint256 id) {
        Case memory c = _case(lease, place, epoch);
        (OrgId org, uint8 side) = _sideOf(c);
        _requireOpen(c, false);
        Standing memory s = _turned(_standings[lease][place], c);
        if (s.appealed & side != 0) revert Verdicts_Appealed(lease, c.hi);
        s.appealed |= side;
        _standings[lease][place] = s;

        uint96 amount = _dispute(c, s.ppm, side);
        if (amount == 0) revert Verdicts_AppealClosed(lease, c.hi);
        id = ++_appealCount;
        _appealOf[_key(lease, place, c.hi, side)] = id;
        Appeal storage a = _appeals[id];
        (a.lease, a.place, a.epoch, a.by) = (lease, place, c.hi, org);
        a.account = msg.sender;
        a.filedAt = uint40(block.timestamp);
        _grow(id, a, amount);
        // Without the right to lock there is no bond: appeal never stops (E7).
        if (!directory.hasRight(address(this), Rights.ESCROW_MOVE)) return id;
        uint96 bond = _terms.appealBond;
        a.bond = bond;
        escrow.lock(bytes32(id), org, msg.sender, bond);
    }

    function _grow(uint256 id, Appeal storage a, uint96 amount) private {
        a.amount += amount;
        emit AppealFiled(id, a.lease, a.place, a.epoch, a.by, a.amount);
    }

    /// @dev A provider disputes the penalty there is; a buyer, what the worst one would be more.
    function _dispute(Case memory c, uint256 ppm, uint8 side) private returns (uint96) {
        uint256 price = settlement.spanPrice(c.lease, c.facts.rate, c.from, c.until);
        uint256 amount = Amounts.shareDown(price, ppm);
        bool ofPending = side == BY_PROVIDER;
        if (!ofPending) amount = Amounts.shareDown(price, _worst(c.sla)) - amount;
        return _moveToDispute(c, amount, ofPending);
    }

    function _sideOf(Case memory c) private view returns (OrgId org, uint8 side) {
        OrgId buyer = c.facts.buyer;
        bool bought = members.isOf(buyer, msg.sender);
        (org, side) = bought ? (buyer, BY_BUYER) : (c.facts.provider, BY_PROVIDER);
        _requireFor(org, msg.sender, bought ? MemberRights.BUY : MemberRights.OFFER);
    }

    /// @inheritdoc IVerdicts
    function decide(uint256 id, uint256 toBuyer, bool upheld) external {
        if (msg.sender != directory.timelock()) revert IDirectory.Directory_NotTimelock(msg.sender);
        Appeal storage a = _open(id);
        uint256 toProvider = a.amount < toBuyer ? 0 : a.amount - toBuyer;
        emit AppealDecided(id, toBuyer, toProvider, upheld);
        _close(id, a, toBuyer, toProvider, upheld, upheld);
    }

    /// @inheritdoc IVerdicts
    function lapse(uint256 id) external {
        Appeal storage a = _open(id);
        unchecked {
            if (block.timestamp < uint256(a.filedAt) + _terms.appealTime) revert Verdicts_NoAppeal(id);
        }
        // The verdict stands: what was put aside for the buyer is the buyer's, the rest the provider's.
        bool byBuyer = a.by == _facts(a.lease).buyer;
        (uint256 toBuyer, uint256 toProvider) = byBuyer ? (uint256(0), uint256(a.amount)) : (a.amount, 0);
        emit AppealDecided(id, toBuyer, toProvider, false);
        _close(id, a, toBuyer, toProvider, false, true);
    }

    function _close(
        uint256 id,
        Appeal storage a,
        uint256 toBuyer,
        uint256 toProvider,
        bool upheld,
        bool bondBack
    ) private {
        a.decided = true;
        ILeases.Watched memory l = _facts(a.lease);
        if (a.by == l.provider) _closeBreach(id, a, _slas[l.sla], upheld);
        settlement.resolve(_parties(a.lease, l), a.amount, toBuyer, toProvider);
        if (bondBack) escrow.unlock(bytes32(id), a.by, a.account, a.bond);
        else escrow.pay(bytes32(id), OrgId.wrap(0), a.bond);
    }

    /// @dev A breach goes with the span it was found in. If the appeal is dismissed it stands, whatever was found since.
    function _closeBreach(uint256 id, Appeal storage a, uint256 word, bool upheld) private {
        Standing memory s = _standings[a.lease][a.place];
        if (upheld) {
            _cut(a, s, word);
        } else if (
            _overtaken[id] && (s.breached == 0 || _openAppeal(a.lease, a.place, s.breached, BY_PROVIDER) != 0)
        ) {
            s.breached = a.epoch;
        }
        _standings[a.lease][a.place] = s;
    }

    /// @dev The span was not below any tier: a streak is at most what came since, and a breach goes that was found since and
    /// may have needed more.
    function _cut(Appeal storage a, Standing memory s, uint256 word) private {
        unchecked {
            uint256 epoch = a.epoch;
            uint256 since = s.last - epoch;
            if (since != 0) s.streaksBefore = _atMost(s.streaksBefore, since - 1);
            s.streaks = _atMost(s.streaks, since);
            uint256 most;
            bool breach;
            for (uint256 i; i < MAX_TIERS; ++i) {
                (,, uint256 breachAfter) = _tier(word, i);
                if (most < breachAfter) most = breachAfter;
                if (breachAfter != 0 && uint8(s.streaks >> (8 * i)) >= breachAfter) breach = true;
            }
            if (s.breached >= epoch && s.breached - epoch < most) s.breached = breach ? s.last : 0;
            // Nor does one come back that is under appeal itself.
            for (uint256 e = 1; e < most && e <= since; ++e) {
                // Safe: not above the last epoch.
                // forge-lint: disable-next-line(unsafe-typecast)
                delete _overtaken[_openAppeal(a.lease, a.place, uint32(epoch + e), BY_PROVIDER)];
            }
        }
    }

    /// @dev Streaks, none above a number.
    function _atMost(uint256 streaks, uint256 most) private pure returns (uint32 cut) {
        unchecked {
            for (uint256 i; i < 8 * MAX_TIERS; i += 8) {
                uint256 streak = (streaks >> i) & 0xff;
                // Safe: four bytes.
                // forge-lint: disable-next-line(unsafe-typecast)
                cut |= uint32((streak < most ? streak : most) << i);
            }
        }
    }

    function _open(uint256 id) private view returns (Appeal storage a) {
        a = _appeals[id];
        if (a.filedAt == 0 || a.decided) revert Verdicts_NoAppeal(id);
    }

    function _openAppeal(LeaseId lease, uint8 place, uint32 hi, uint8 side)
        private
        view
        returns (uint256 id)
    {
        id = _appealOf[_key(lease, place, hi, side)];
        if (_appeals[id].decided) id = 0;
    }

    function _key(LeaseId lease, uint8 place, uint32 hi, uint8 side) private pure returns (bytes32) {
        return
            bytes32(
                (uint256(LeaseId.unwrap(lease)) << 48) | (uint256(place) << 40) | (uint256(hi) << 8) | side
            );
    }

    // ---- pay ---------------------------------------------------------------------------------------------------

    /// @inheritdoc IVerdicts
    function pay(LeaseId lease, uint32 term) external {
        ILeases.Watched memory l = _facts(lease);
        Running storage r = _running[lease];
        if (l.committee == Committee.None || r.done || term != r.paid) {
            revert Verdicts_PayClosed(lease, term);
        }
        bool last = true;
        if (l.committee == Committee.Drawn) last = _payTerm(lease, l, term);
        else if (block.timestamp < l.until) revert Verdicts_PayClosed(lease, term);
        (r.paid, r.done) = (term + 1, last);
        if (!last) return;
        settlement.returnFees(_parties(lease, l));
        // All is final: the provider gets its own with it.
        if (l.delivered != 0 && l.accepted) leases.settle(lease);
    }

    /// @dev Flat, by ticks, the same for either verdict (W11).
    /// @return last Whether no term follows.
    function _payTerm(LeaseId lease, ILeases.Watched memory l, uint32 term) private returns (bool last) {
        unchecked {
            uint256 from = l.signedAt / _epoch + uint256(term) * Rounds.TERM;
            uint256 until = from + Rounds.TERM;
            uint256 first = l.begins / _epoch;
            uint256 end = (l.until + _epoch - 1) / _epoch;
            last = until >= end;
            if (from < first) from = first;
            if (until > end) until = end;
            // Final, and so is a short last epoch that joined: all is that ends with it or before.
            uint256 payable_ = (until + Rounds.CLAIMS_AFTER + 1) * _epoch;
            if ((from < until || last) && block.timestamp < payable_) revert Verdicts_PayClosed(lease, term);

            IWitnesses.DrawnCommittee memory c = _committee(lease, term);
            if (from < c.drawn) from = c.drawn;
            if (from >= until) return last;
            ISettlement.Parties memory p = _parties(lease, l);
            for (uint256 i; i < c.seats.length; ++i) {
                // Safe: epochs are seconds divided.
                // forge-lint: disable-next-line(unsafe-typecast)
                uint256 epochs = witnesses.ticks(c.seats[i], uint32(from), uint32(until));
                if (epochs == 0) continue;
                uint256 paid = settlement.payFee(p, c.seats[i], epochs * _seatFee);
                emit WitnessPaid(lease, term, c.seats[i], epochs, paid);
            }
        }
    }

    // ---- views -------------------------------------------------------------------------------------------------

    /// @inheritdoc IVerdicts
    function terms() external view returns (Terms memory) {
        return _terms;
    }

    /// @inheritdoc IVerdicts
    function sla(SlaId id) external view returns (Tier[] memory tiers, bool guest, uint32 opened) {
        unchecked {
            uint256 word = _slas[id];
            if (word == 0) revert Verdicts_UnknownSla(id);
            guest = word & GUEST_BIT != 0;
            // Safe: it was one.
            // forge-lint: disable-next-line(unsafe-typecast)
            opened = uint32(word >> LEASES_BIT);
            uint256 n;
            for (uint256 below = 1; below != 0 && n <= MAX_TIERS; ++n) {
                (below,,) = _tier(word, n);
            }
            tiers = new Tier[](n - 1);
            for (uint256 i; i < tiers.length; ++i) {
                (uint256 below, uint256 penalty, uint256 breachAfter) = _tier(word, i);
                // Safe: they were such.
                // forge-lint: disable-next-line(unsafe-typecast)
                tiers[i] = Tier(uint32(below), uint32(penalty), uint8(breachAfter));
            }
        }
    }

    /// @inheritdoc IVerdicts
    function record(LeaseId lease, uint8 place) external view returns (Record memory) {
        Standing storage s = _standings[lease][place];
        return Record(s.last, s.ppm, s.graceUntil, s.streaks, s.breached);
    }

    /// @inheritdoc IVerdicts
    function nextPay(LeaseId lease) external view returns (uint32 term, bool done) {
        Running storage r = _running[lease];
        return (r.paid, r.done);
    }

    /// @inheritdoc IVerdicts
    function appealOf(uint256 id) external view returns (Appeal memory) {
        if (_appeals[id].filedAt == 0) revert Verdicts_NoAppeal(id);
        return _appeals[id];
    }

    /// @inheritdoc IVerdicts
    function powerOf(LeaseId lease) external view returns (uint40[2][] memory list) {
        unchecked {
            Suspension[] storage all = _suspensions[lease];
            list = new uint40[2][](all.length);
            for (uint256 i; i < list.length; ++i) {
                list[i] = [all[i].from, all[i].until];
            }
        }
    }

    /// @inheritdoc IVerdicts
    function spanOf(LeaseId lease, uint32 epoch)
        external
        view
        returns (uint32 first, uint32 last, uint256 whole)
    {
        unchecked {
            ILeases.Watched memory l = _facts(lease);
            Rounds.Frame memory f = _frame(l);
            if (!_within(f, epoch) || l.delivered == 0) revert Verdicts_Undetermined(lease, epoch);
            (uint256 lo, uint256 hi) = f.spanOf(epoch);
            for (uint256 e = lo; e <= hi; ++e) {
                whole += Rounds.count(f.whole(e));
            }
            // Safe: epochs are seconds divided.
            // forge-lint: disable-next-line(unsafe-typecast)
            return (uint32(lo), uint32(hi), whole);
        }
    }

    // ---- parts -------------------------------------------------------------------------------------------------

    /// @dev Functions, so that the decoding of a large struct stands here once.
    function _facts(LeaseId lease) private view returns (ILeases.Watched memory) {
        return leases.watched(lease);
    }

    function _requireFor(OrgId org, address account, uint16 right) private view {
        members.requireRightFor(org, account, right);
    }

    function _committee(LeaseId lease, uint256 term) private view returns (IWitnesses.DrawnCommittee memory) {
        // Safe: a number of epochs.
        // forge-lint: disable-next-line(unsafe-typecast)
        return witnesses.committee(lease, uint32(term));
    }

    function _moveToDispute(Case memory c, uint256 amount, bool ofPending) private returns (uint96) {
        // Safe: a part of the price.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(settlement.dispute(_parties(c.lease, c.facts), amount, ofPending, c.until));
    }

    /// @dev The span an epoch belongs to, of a machine that bills under a committee.
    function _case(LeaseId lease, uint8 place, uint32 epoch) private view returns (Case memory c) {
        unchecked {
            (c.lease, c.place) = (lease, place);
            c.facts = _facts(lease);
            c.frame = _frame(c.facts);
            uint64 delivered = c.facts.delivered;
            if (
                c.facts.committee != Committee.Drawn || place > 63 || (delivered >> place) & 1 == 0
                    || !c.facts.accepted || !_within(c.frame, epoch)
            ) revert Verdicts_Undetermined(lease, epoch);
            c.sla = _slas[c.facts.sla];
            // What was registered later, by whomever, was not agreed on.
            if (c.sla == 0 || LeaseId.unwrap(lease) <= c.sla >> LEASES_BIT) {
                revert Verdicts_UnknownSla(c.facts.sla);
            }
            (uint256 lo, uint256 hi) = c.frame.spanOf(epoch);
            uint256 from = lo * _epoch;
            uint256 until = (hi + 1) * _epoch;
            // Safe below: seconds, and epochs of them.
            // forge-lint: disable-start(unsafe-typecast)
            (c.lo, c.hi) = (uint32(lo), uint32(hi));
            c.from = uint40(from < c.frame.from ? c.frame.from : from);
            c.until = uint40(until > c.frame.until ? c.frame.until : until);
            // forge-lint: disable-end(unsafe-typecast)
        }
    }

    /// @dev Appeals of a span are taken as long as claims, and after them.
    function _requireOpen(Case memory c, bool claims) private view {
        (uint256 from, uint256 until, uint256 final_) = c.frame.claims(c.hi);
        if (!claims) until = final_;
        if (block.timestamp < from || block.timestamp >= until) {
            revert Verdicts_ClaimClosed(c.lease, c.hi, from, until);
        }
    }

    function _frame(ILeases.Watched memory l) private view returns (Rounds.Frame memory) {
        return Rounds.Frame(_epoch, _rounds, l.from, l.until);
    }

    function _within(Rounds.Frame memory f, uint256 epoch) private pure returns (bool) {
        return f.from < f.until && epoch >= f.first() && epoch <= f.last();
    }

    /// @dev What stands when a span is judged: with its first claim, what was becomes what was before. A span between that
    /// nobody claimed on ends all streaks.
    function _turned(Standing memory s, Case memory c) private pure returns (Standing memory) {
        if (s.last == c.hi) return s;
        s.streaksBefore = uint256(s.last) + 1 == c.lo ? s.streaks : 0;
        s.graceBefore = s.graceUntil;
        (s.last, s.ppm, s.streaks, s.appealed) = (c.hi, 0, 0, 0);
        return s;
    }

    function _tier(uint256 word, uint256 i)
        private
        pure
        returns (uint256 below, uint256 penalty, uint256 breachAfter)
    {
        word >>= TIER_BITS * i;
        return (word & PPM_MASK, (word >> PPM_BITS) & PPM_MASK, (word >> (2 * PPM_BITS)) & 0xff);
    }

    function _worst(uint256 word) private pure returns (uint256 ppm) {
        for (uint256 i; i < MAX_TIERS; ++i) {
            (, uint256 penalty,) = _tier(word, i);
            if (penalty == 0) break;
            ppm = penalty;
        }
    }

    function _parties(LeaseId lease, ILeases.Watched memory l)
        private
        pure
        returns (ISettlement.Parties memory)
    {
        return ISettlement.Parties(lease, l.buyer, l.provider, l.rate);
    }
}
