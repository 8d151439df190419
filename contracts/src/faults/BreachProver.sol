// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Evidence} from "./Evidence.sol";
import {IBreachProver} from "../interfaces/IBreachProver.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";

/// @notice See {IBreachProver}.
contract BreachProver is Evidence, IBreachProver {
    /// @param atNs the date of what last answered a claim
    struct Shown {
        uint64 atNs;
        bool last;
    }

    uint256 private constant MILLION = 1_000_000;
    /// @dev Less than this is a network's hiccup or a node's restart, however short the intervals are.
    uint64 public constant LEAST_SILENCE_NS = 3600e9;
    /// @dev A node that is down for longer broke its promise of availability anyway.
    uint64 public constant ANSWER_TIME = 1 days;
    /// @dev How long after a lease's last receipt its provider may have to answer for it.
    uint64 public constant CLAIM_TIME = 3 days;
    /// @dev Longer than a commitment to a proof lives.
    uint64 public constant COMPENSATION_DELAY = 2 days;

    mapping(bytes32 leaseId => uint128) public refundedOf;
    mapping(bytes32 leaseId => Silence) private _silences;
    mapping(bytes32 leaseId => Shortfall) private _shortfalls;
    mapping(bytes32 leaseId => mapping(address provider => Shown)) public shownOf;
    /// @dev What went back of an escrow, out of its reserve and for it out of stake.
    mapping(bytes32 escrowId => uint256) private _givenBack;

    constructor(IProviderRegistry registry_, IPaymentEscrow escrow_) Evidence(registry_, escrow_) {}

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
        LeaseTerms calldata terms = lease.terms;
        _checkNewest(leaseId, terms.provider, known.receipt);
        if (_silences[leaseId].provider != address(0)) {
            revert SilenceClaimedAlready(leaseId, _silences[leaseId].answerUntil);
        }
        uint256 waitNs = Math.max(uint256(terms.intervalNs) * terms.exposureIntervals, LEAST_SILENCE_NS);
        _checkTimeOfClaim(known.receipt.atNs, waitNs);
        uint256 nowNs = block.timestamp * NANOS;
        uint256 endNs = uint256(terms.openUntilNs) + terms.durationLimitNs;
        uint256 due = _dueOf(terms, leaseId, known.receipt, Math.min(nowNs, endNs));
        if (due <= refundedOf[leaseId]) revert NothingToRefund(leaseId);
        Silence memory claimed = Silence({
            provider: terms.provider,
            number: known.receipt.number,
            // After its time limit a lease has a last receipt.
            lateNs: nowNs > endNs + waitNs ? type(uint64).max : uint64(Math.saturatingSub(nowNs, waitNs)),
            answerUntil: uint64(block.timestamp) + ANSWER_TIME,
            due: uint128(due),
            escrowId: terms.escrowId
        });
        _silences[leaseId] = claimed;
        emit SilenceClaimed(leaseId, claimed.provider, claimed.number, claimed.answerUntil);
    }

    function showReceipt(SignedReceipt calldata newer) external {
        Receipt calldata receipt = newer.receipt;
        (address provider,) = _authorOfReceipt(escrow.domainSeparator(), newer);
        Shown storage shown = shownOf[receipt.leaseId][provider];
        if (shown.last) revert LeaseIsOver(receipt.leaseId);
        bool isAnswer = _isAnswer(_silences[receipt.leaseId], provider, receipt);
        if (!isAnswer && !receipt.last) revert NotAnAnswer(receipt.leaseId, receipt.number);
        shown.atNs = receipt.atNs;
        shown.last = receipt.last;
        emit ReceiptShown(receipt.leaseId, provider, receipt.number, receipt.last);
        if (!isAnswer) return;
        delete _silences[receipt.leaseId];
        emit SilenceAnswered(receipt.leaseId, provider, receipt.number);
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
        shownOf[leaseId][claimed.provider].last = true;
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
        uint256 amount = Math.min(short.amount, _roomOf(short.escrowId));
        paid = registry.compensate(short.provider, IProviderRegistry.Role.Provider, short.payer, amount, leaseId);
        // It is what the registry did, and no one else can change it.
        // slither-disable-next-line incorrect-equality
        if (paid == 0) revert NothingToRefund(leaseId);
        _shortfalls[leaseId].amount = short.amount - uint128(paid);
        _givenBack[short.escrowId] += paid;
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

    function _checkNewest(bytes32 leaseId, address provider, Receipt calldata known) private view {
        Shown memory shown = shownOf[leaseId][provider];
        if (known.last || shown.last) revert LeaseIsOver(leaseId);
        // Who was answered has seen the answer.
        if (known.atNs < shown.atNs) revert NotTheNewest(leaseId, known.atNs, shown.atNs);
    }

    function _checkTimeOfClaim(uint256 atNs, uint256 waitNs) private view {
        uint256 claimableAt = Math.ceilDiv(atNs + waitNs, NANOS);
        if (block.timestamp < claimableAt) revert NotSilentYet(claimableAt, block.timestamp);
        uint256 claimableUntil = Math.max(claimableAt, atNs / NANOS + CLAIM_TIME);
        if (block.timestamp > claimableUntil) revert SilenceTooOld(claimableUntil, block.timestamp);
    }

    function _isAnswer(Silence memory claimed, address provider, Receipt calldata newer) private view returns (bool) {
        if (provider != claimed.provider || block.timestamp > claimed.answerUntil) return false;
        return newer.number > claimed.number && (newer.last || newer.atNs >= claimed.lateNs);
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
        _givenBack[escrowId] += refunded;
        bool wasNoted = _shortfalls[leaseId].amount != 0;
        uint128 short = _noteShortfall(terms, escrowId, leaseId, missing - refunded);
        // Either something went back, or something more is to come than was known.
        // What the escrow gave is what it gave: no one else can change it.
        // slither-disable-next-line incorrect-equality
        if (refunded == 0 && (short == 0 || wasNoted)) revert NothingToRefund(leaseId);
        emit BreachProven(leaseId, terms.provider, escrowId, refunded, short);
    }

    /// @dev What the reserve lacks, where stake can make up for it. What was noted before only shrinks until it is paid: else a
    /// first, small one would let a large one out without its delay.
    function _noteShortfall(IPaymentEscrow.Escrow calldata terms, bytes32 escrowId, bytes32 leaseId, uint256 missing)
        private
        returns (uint128 short)
    {
        if (terms.asset != address(registry.openx())) return 0;
        Shortfall storage noted = _shortfalls[leaseId];
        short = uint128(Math.min(missing, _roomOf(escrowId)));
        if (noted.amount != 0) {
            if (short > noted.amount) short = noted.amount;
            noted.amount = short;
        } else if (short != 0) {
            uint64 payableAt = uint64(block.timestamp) + COMPENSATION_DELAY;
            _shortfalls[leaseId] = Shortfall(terms.provider, payableAt, terms.payer, short, escrowId);
        }
    }

    /// @dev What vouchers took out of an escrow and was not given back.
    function _roomOf(bytes32 escrowId) private view returns (uint256) {
        // Only what was claimed counts.
        // slither-disable-next-line unused-return
        (, uint128 claimed) = escrow.funds(escrowId);
        return Math.saturatingSub(claimed, _givenBack[escrowId]);
    }
}
