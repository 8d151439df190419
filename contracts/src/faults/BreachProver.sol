// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Evidence} from "./Evidence.sol";
import {IBreachProver} from "../interfaces/IBreachProver.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IBreachProver}.
contract BreachProver is Evidence, IBreachProver {
    /// @dev The receipt of a lease that was claimed or shown last, as far as others are held to it.
    struct Shown {
        uint64 atNs;
        uint64 runningNs;
        bool last;
        uint128 cost;
    }

    /// @dev What went back of an escrow, out of its reserve and for it out of stake.
    struct GivenBack {
        uint128 ofReserve;
        uint128 ofStake;
    }

    /// @dev Shortfalls of one escrow that wait to come out of stake, of all its leases together.
    /// @param since those that were noted earlier are not in it: all of them had lapsed by then
    /// @param until when the last of them lapses
    struct Waiting {
        uint128 amount;
        uint64 since;
        uint64 until;
    }

    uint256 private constant MILLION = 1_000_000;
    /// @dev Less than this is a network's hiccup or a node's restart, however short the intervals are.
    uint64 public constant LEAST_SILENCE_NS = 3600e9;
    /// @dev A node that is down for longer broke its promise of availability anyway.
    uint64 public constant ANSWER_TIME = 1 days;
    /// @dev How long after a lease's last receipt its provider may have to answer for it.
    uint64 public constant CLAIM_TIME = 3 days;
    /// @dev The least part of a claim that its provider gets, whatever the fee.
    uint256 private immutable _earnedPpm;
    uint64 private immutable _stakeThaw;
    uint64 private immutable _collectTime;
    uint64 private immutable _maxAhead;
    mapping(bytes32 leaseId => uint128) public refundedOf;
    mapping(bytes32 leaseId => Silence) private _silences;
    mapping(bytes32 leaseId => Shortfall) private _shortfalls;
    mapping(bytes32 leaseId => mapping(address provider => Shown)) public shownOf;
    mapping(bytes32 escrowId => GivenBack) private _givenBack;
    mapping(bytes32 escrowId => Waiting) private _waiting;

    constructor(IProviderRegistry registry_, IPaymentEscrow escrow_) Evidence(registry_, escrow_) {
        _earnedPpm = MILLION - escrow_.MAX_FEE_PPM();
        _stakeThaw = registry_.stakeThaw();
        _collectTime = registry_.COLLECT_TIME();
        _maxAhead = registry_.MAX_AHEAD();
    }

    // ---- By the last receipt

    function proveBreach(
        IPaymentEscrow.Escrow calldata escrowTerms,
        SignedLease calldata lease,
        SignedReceipt calldata last
    ) external returns (uint128 refunded) {
        bytes32 leaseId = _checkDocuments(escrowTerms, lease, last);
        if (!last.receipt.last) revert NotTheLast(last.receipt.number);
        uint256 due = _dueOf(lease.terms, leaseId, last.receipt, last.receipt.atNs);
        return _giveBack(escrowTerms, leaseId, due);
    }

    // ---- By silence

    function claimSilence(
        IPaymentEscrow.Escrow calldata escrowTerms,
        SignedLease calldata lease,
        SignedReceipt calldata known
    ) external {
        bytes32 leaseId = _checkDocuments(escrowTerms, lease, known);
        if (known.receipt.last) revert LeaseIsOver(leaseId);
        LeaseTerms calldata terms = lease.terms;
        uint256 endNs = uint256(terms.openUntilNs) + terms.durationLimitNs;
        Silence memory claimed = _silences[leaseId];
        bool isNew = claimed.provider == address(0);
        if (isNew) {
            _checkNewest(leaseId, shownOf[leaseId][terms.provider], known.receipt);
            claimed = _makeSilence(terms, known.receipt.atNs, endNs);
        } else if (known.receipt.atNs >= claimed.lateNs) {
            revert SilenceClaimedAlready(leaseId, claimed.answerUntil);
        }
        uint256 claimedAtNs = (claimed.answerUntil - ANSWER_TIME) * NANOS;
        uint256 due = _dueOf(terms, leaseId, known.receipt, Math.min(claimedAtNs, endNs));
        if (isNew && due <= refundedOf[leaseId] + _notedOf(leaseId)) revert NothingToRefund(leaseId);
        if (due <= claimed.due) revert SilenceClaimedAlready(leaseId, claimed.answerUntil);
        (claimed.number, claimed.due) = (known.receipt.number, uint128(due));
        _silences[leaseId] = claimed;
        _keepShown(shownOf[leaseId][terms.provider], known.receipt);
        emit SilenceClaimed(leaseId, claimed.provider, claimed.number, claimed.answerUntil);
    }

    function showReceipt(SignedReceipt calldata newer) external {
        Receipt calldata receipt = newer.receipt;
        bytes32 leaseId = receipt.leaseId;
        Silence memory claimed = _silences[leaseId];
        address provider = _authorOfAnswer(newer, claimed.provider);
        Shown storage shown = shownOf[leaseId][provider];
        bool isClaimed = claimed.provider == provider;
        if (!isClaimed && shown.last) revert LeaseIsOver(leaseId);
        bool isTaken = isClaimed ? _isInTime(claimed, receipt) : receipt.last;
        if (!isTaken || !_canFollow(shown, receipt)) revert NotAnAnswer(leaseId, receipt.number);
        _keepShown(shown, receipt);
        emit ReceiptShown(leaseId, provider, receipt.number, receipt.last);
        if (!isClaimed) return;
        delete _silences[leaseId];
        emit SilenceAnswered(leaseId, provider, receipt.number);
    }

    function settleSilence(IPaymentEscrow.Escrow calldata escrowTerms, bytes32 leaseId)
        external
        returns (uint128 refunded)
    {
        Silence memory claimed = _silences[leaseId];
        if (claimed.provider == address(0)) revert NoSilence(leaseId);
        if (block.timestamp <= claimed.answerUntil) revert AnswerStillDue(claimed.answerUntil, block.timestamp);
        bytes32 escrowId = escrow.escrowId(escrowTerms);
        if (escrowId != claimed.escrowId) revert NotTheEscrow(escrowId, claimed.escrowId);
        delete _silences[leaseId];
        return _giveBack(escrowTerms, leaseId, claimed.due);
    }

    // ---- Out of stake

    /// @dev The registry is our own contract and calls only OPENX; what it paid is known only when it has paid it.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-events,reentrancy-benign
    function collect(bytes32 leaseId) external returns (uint256 paid) {
        Shortfall memory short = _shortfalls[leaseId];
        // Zero is that nothing was noted, or all was paid.
        // slither-disable-next-line incorrect-equality
        if (short.amount == 0) revert NothingToRefund(leaseId);
        if (block.timestamp < short.payableAt) revert NotPayableYet(short.payableAt, block.timestamp);
        if (block.timestamp >= short.payableUntil) revert NotPayableAnyMore(short.payableUntil, block.timestamp);
        // That is within what the escrow paid: it was when it was noted.
        paid = registry.compensate(short.provider, IProviderRegistry.Role.Provider, short.payer, short.amount, leaseId);
        // It is what the registry did, and no one else can change it.
        // slither-disable-next-line incorrect-equality
        if (paid == 0) revert NothingToRefund(leaseId);
        _shortfalls[leaseId].amount = short.amount - uint128(paid);
        _waiting[short.escrowId].amount -= uint128(paid);
        _givenBack[short.escrowId].ofStake += uint128(paid);
        refundedOf[leaseId] += uint128(paid);
        emit BreachCompensated(leaseId, short.provider, short.payer, uint128(paid));
    }

    // ---- Views

    function silenceOf(bytes32 leaseId) external view returns (Silence memory) {
        return _silences[leaseId];
    }

    function shortfallOf(bytes32 leaseId) external view returns (Shortfall memory) {
        return _shortfalls[leaseId];
    }

    // ---- Inside: documents

    function _checkDocuments(
        IPaymentEscrow.Escrow calldata escrowTerms,
        SignedLease calldata lease,
        SignedReceipt calldata shown
    ) private view returns (bytes32 leaseId) {
        LeaseTerms calldata terms = lease.terms;
        bytes32 escrowId = escrow.escrowId(escrowTerms);
        if (escrowId != terms.escrowId) revert NotTheEscrow(escrowId, terms.escrowId);
        bytes32 domain = escrow.domainSeparator();
        leaseId = _leaseIdOf(domain, lease);
        // Who signs together must be who the escrow is between; else two strangers could give another's reserve back.
        if (terms.submitter != escrowTerms.signer) revert SignersDiffer(terms.submitter, escrowTerms.signer);
        if (terms.provider != escrowTerms.provider) revert SignersDiffer(terms.provider, escrowTerms.provider);
        _checkOfLease(domain, leaseId, terms.provider, shown);
    }

    /// @dev Who was answered has seen the answer, unless its provider signed what does not go with it.
    function _checkNewest(bytes32 leaseId, Shown memory shown, Receipt calldata known) private pure {
        bool isOlder = known.atNs < shown.atNs || (known.atNs == shown.atNs && shown.last);
        if (!isOlder || !_canFollow(_readShown(known), shown)) return;
        if (shown.last) revert LeaseIsOver(leaseId);
        revert NotTheNewest(leaseId, known.atNs, shown.atNs);
    }

    /// @dev Without what the newest receipt says.
    function _makeSilence(LeaseTerms calldata terms, uint256 atNs, uint256 endNs)
        private
        view
        returns (Silence memory made)
    {
        uint256 waitNs = Math.max(uint256(terms.intervalNs) * terms.exposureIntervals, LEAST_SILENCE_NS);
        _checkTimeOfClaim(atNs, waitNs);
        uint256 nowNs = block.timestamp * NANOS;
        made.provider = terms.provider;
        // After its time limit a lease has a last receipt.
        made.lateNs = nowNs > endNs + waitNs ? type(uint64).max : uint64(Math.saturatingSub(nowNs, waitNs));
        made.answerUntil = uint64(block.timestamp) + ANSWER_TIME;
        made.escrowId = terms.escrowId;
    }

    function _checkTimeOfClaim(uint256 atNs, uint256 waitNs) private view {
        uint256 claimableAt = Math.ceilDiv(atNs + waitNs, NANOS);
        if (block.timestamp < claimableAt) revert NotSilentYet(claimableAt, block.timestamp);
        uint256 claimableUntil = Math.max(claimableAt, atNs / NANOS + CLAIM_TIME);
        if (block.timestamp > claimableUntil) revert SilenceTooOld(claimableUntil, block.timestamp);
    }

    /// @dev A claim against a provider is answered by any key that it ever bound, dated from then on.
    function _authorOfAnswer(SignedReceipt calldata newer, address claimedOf) private view returns (address) {
        address signer = _signerOf(_digest(escrow.domainSeparator(), XnodeHashes.hashReceipt(newer.receipt)), newer.sig);
        uint256 datedAt = newer.receipt.atNs / NANOS;
        // Until when it was bound is no matter here.
        // slither-disable-next-line unused-return
        (uint64 since,) = registry.keyTimeOf(signer);
        bool isDated = datedAt >= since && datedAt <= block.timestamp + _maxAhead;
        if (claimedOf != address(0) && isDated && registry.boundProviderOf(signer) == claimedOf) return claimedOf;
        return _authorOf(signer, datedAt);
    }

    function _isInTime(Silence memory claimed, Receipt calldata newer) private view returns (bool) {
        if (block.timestamp > claimed.answerUntil || newer.number <= claimed.number) return false;
        return newer.last || newer.atNs >= claimed.lateNs;
    }

    /// @dev Cost and running time only grow, and no time runs faster than time passes.
    function _canFollow(Shown memory older, Shown memory newer) private pure returns (bool) {
        if (newer.atNs < older.atNs || newer.cost < older.cost || newer.runningNs < older.runningNs) return false;
        return newer.runningNs - older.runningNs <= newer.atNs - older.atNs;
    }

    function _canFollow(Shown memory older, Receipt calldata newer) private pure returns (bool) {
        return _canFollow(older, _readShown(newer));
    }

    function _readShown(Receipt calldata receipt) private pure returns (Shown memory) {
        return Shown(receipt.atNs, receipt.runningNs, receipt.last, receipt.cost);
    }

    function _keepShown(Shown storage shown, Receipt calldata receipt) private {
        (shown.atNs, shown.runningNs) = (receipt.atNs, receipt.runningNs);
        (shown.last, shown.cost) = (receipt.last, receipt.cost);
    }

    // ---- Inside: what is due

    /// @dev The refund that both signed for a lease that ended at endNs, rounded down.
    function _dueOf(LeaseTerms calldata terms, bytes32 leaseId, Receipt calldata shown, uint256 endNs)
        private
        pure
        returns (uint256)
    {
        if (terms.availabilityPpm == 0 || terms.refundPpm == 0) revert NothingPromised(leaseId);
        int256 passedNs = int256(endNs) - int256(uint256(terms.openUntilNs));
        bool isKept = int256(shown.runningNs * MILLION) >= passedNs * int256(uint256(terms.availabilityPpm));
        if (isKept) revert PromiseKept(shown.runningNs, passedNs);
        return shown.cost * Math.min(terms.refundPpm, MILLION) / MILLION;
    }

    /// @dev The escrow is our own contract and guarded; what it gave is known only when it has given it.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-events,reentrancy-benign
    function _giveBack(IPaymentEscrow.Escrow calldata terms, bytes32 leaseId, uint256 due)
        private
        returns (uint128 refunded)
    {
        uint128 before = refundedOf[leaseId];
        if (due <= before) revert NothingToRefund(leaseId);
        uint128 missing = uint128(due) - before;
        bytes32 escrowId = escrow.escrowId(terms);
        refunded = escrow.refund(terms, missing);
        refundedOf[leaseId] = before + refunded;
        _givenBack[escrowId].ofReserve += refunded;
        (uint128 short, bool isMore) = _noteShortfall(terms, escrowId, leaseId, missing - refunded);
        // Either something went back, or something more is to come than was known.
        // What the escrow gave is what it gave: no one else can change it.
        // slither-disable-next-line incorrect-equality
        if (refunded == 0 && !isMore) revert NothingToRefund(leaseId);
        emit BreachProven(leaseId, terms.provider, escrowId, refunded, short);
    }

    /// @dev What the reserve lacks, where stake can make up for it. A first, small one must neither let a large one out without its
    /// thaw nor keep it from being noted; and whoever notes more must not put off what was noted for nothing. So all of it waits
    /// anew, where that makes it at least twice as much.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-benign
    function _noteShortfall(IPaymentEscrow.Escrow calldata terms, bytes32 escrowId, bytes32 leaseId, uint256 missing)
        private
        returns (uint128 short, bool isMore)
    {
        // What a split takes never was the provider's.
        if (terms.asset != address(registry.openx()) || terms.split != bytes32(0)) return (0, false);
        uint256 before = _notedOf(leaseId);
        Waiting memory others = _waitingOfOthers(escrowId, leaseId);
        uint256 whole = Math.min(missing, Math.saturatingSub(_roomOf(escrowId), others.amount));
        if (whole < before) {
            _shortfalls[leaseId].amount = uint128(whole);
            _waiting[escrowId].amount = others.amount + uint128(whole);
            return (uint128(whole), false);
        }
        uint256 announced =
            registry.announce(terms.provider, IProviderRegistry.Role.Provider, whole - before, Math.max(before, 1));
        short = uint128(before + announced);
        // As in {collect}.
        // slither-disable-next-line incorrect-equality
        if (announced == 0) return (short, false);
        uint64 payableAt = uint64(block.timestamp) + _stakeThaw;
        uint64 payableUntil = payableAt + _collectTime;
        _shortfalls[leaseId] = Shortfall(terms.provider, payableAt, terms.payer, payableUntil, short, escrowId);
        _waiting[escrowId] = Waiting(others.amount + short, others.since, payableUntil);
        return (short, true);
    }

    /// @dev What waits for the other leases of an escrow; nothing from now on where all of it has lapsed.
    function _waitingOfOthers(bytes32 escrowId, bytes32 leaseId) private view returns (Waiting memory waiting) {
        waiting = _waiting[escrowId];
        if (block.timestamp >= waiting.until) return Waiting(0, uint64(block.timestamp), 0);
        Shortfall storage own = _shortfalls[leaseId];
        // What has lapsed by itself is in it until it is noted anew.
        if (own.payableUntil >= waiting.since + _stakeThaw + _collectTime) waiting.amount -= own.amount;
    }

    /// @dev What stake is still to make up for.
    function _notedOf(bytes32 leaseId) private view returns (uint128) {
        Shortfall storage noted = _shortfalls[leaseId];
        return block.timestamp < noted.payableUntil ? noted.amount : 0;
    }

    /// @dev What an escrow paid to its provider at least and stake did not give back.
    function _roomOf(bytes32 escrowId) private view returns (uint256) {
        // Only what was claimed counts.
        // slither-disable-next-line unused-return
        (, uint128 claimed) = escrow.funds(escrowId);
        GivenBack memory given = _givenBack[escrowId];
        // What was refunded counts as claimed.
        uint256 vouchered = claimed - given.ofReserve;
        return Math.saturatingSub(vouchered * _earnedPpm / MILLION, given.ofStake);
    }
}
