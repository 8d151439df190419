// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEvidence} from "./IEvidence.sol";
import {IPaymentEscrow} from "./IPaymentEscrow.sol";

/// @title Where a broken promise of availability is given back
/// @notice Terms with availabilityPpm and refundPpm promise: where the workload ran for less than that part of the time from openUntilNs to
/// the lease's end, that part of its cost goes back to the payer. Judged by the provider's own receipts, by anyone, without a
/// commitment: the money only goes back to the payer. {IEvidence} says whose word a document is.
///
/// How an end is known
/// - {proveBreach}: the provider's last receipt says so.
/// - {claimSilence}: the provider says nothing more. With any receipt of the lease that is not the last, once the intervals that may go
///   unpaid, and {LEAST_SILENCE_NS}, have passed since it, and for {CLAIM_TIME} at most. The provider, or anyone for it, has {ANSWER_TIME} to show a newer
///   receipt by {showReceipt}: the last one, or one from about the time of the claim, by any node key that it ever bound. Without an answer the lease counts as ended when the
///   silence was claimed, at the latest when its time limit was over, and the time since the receipt as not running.
///   {settleSilence} gives back then, and the lease may be claimed again with a receipt that owes more.
///   So a provider need not sign the document that convicts it. One that is well answers with one transaction for each claim, and one that
///   closes down shows its last receipts first ({showReceipt} before any claim), or stays until {CLAIM_TIME} and {ANSWER_TIME} are
///   over.
/// - Whoever has a receipt by which more is due, and which would not have answered the claim, claims with it at any time before the
///   settlement: it takes the place of the one before, and the time to answer stays what it was. So nobody, and no provider by another
///   account, can have a silence settled by an early, cheap receipt.
/// - The receipts of a lease go together: later ones say no less cost and running time, and no more running time than has passed
///   between them. One that does not go with the receipt that was claimed or shown before answers nothing; one that was shown and does
///   not go with the receipt that a claim is made with, stands in no claim's way. So a last receipt cannot take back what was signed
///   before, and where two contradict each other the one that is worse for who signed them counts.
/// - A claim, and a breach, need a receipt under a key with authority ({IProviderRegistry-authorOf}). An answer to a claim needs less: any
///   key that its provider ever bound, dated from then on and not ahead, because leases outlive keys. That takes no more from a submitter
///   than what the provider could do anyway: an answer only ends the claim, and a provider signs the same, of today, with the key that it
///   has now. Nor does it cost the provider anything: what does not go with the claim's receipt is no answer, and the next claim counts
///   anew. Before a claim, a key without authority says nothing.
///
/// Where the money comes from
/// - First out of the escrow's reserve, at once.
/// - What the reserve lacks because the provider claimed it already, out of the provider's stake, where the escrow's asset is OPENX: within
///   what the registry lets a judge take in a period, out of stake that no hold needs, and never more than this escrow paid to the
///   provider at least, so nothing where the escrow names a split, and what is left of its vouchers after the largest fee
///   otherwise. All leases of an escrow share that, from when it is announced: what was collected and what waits for any of them are
///   together no more. What lapsed uncollected keeps its part while something else of that escrow waits, until its own lease is proved
///   anew. It is announced at once ({IProviderRegistry-announce}), and can be collected from the stake thaw after that, for
///   {IProviderRegistry-COLLECT_TIME}, and not later ({collect}). A part of it that is found later is noted when the first was collected
///   or has lapsed, or all of it anew when it is at least as much again. In another asset there is no price, and nothing more is given
///   back.
///
/// Promises
/// - All calls for one lease together give back no more than refundPpm of its cost.
/// - What goes back goes to the payer of the escrow that the terms name, whose signer and provider are who signed them.
///
/// What it does not promise
/// - A provider can break a promise to itself to get stake out: no more than it paid itself through the escrow, half of its free stake
///   in a period at most, for the escrow's fee, and no sooner than if it had unstaked it. In the meantime it does not count as stake.
/// - Who has a provider's node key can break its promises to itself, and gets nothing by that but what it paid the provider before. A payer
///   that has the key can so take back up to 95 % of what it ever paid by an escrow in OPENX, within the ceiling and with the
///   key's authority, though it was served.
/// - A lease without any receipt has no cost and gives nothing back.
///
/// Assumptions
/// - This contract is the registry's refunder, and a judge of its for the provider's compartment.
interface IBreachProver is IEvidence {
    /// @notice A silence that was claimed and not answered.
    /// @param number of the receipt after which nothing came
    /// @param lateNs receipts from then on answer; the most where only the last one does
    /// @param answerUntil last second for an answer
    /// @param due what the lease owes without one
    struct Silence {
        address provider;
        uint64 number;
        uint64 lateNs;
        uint64 answerUntil;
        uint128 due;
        bytes32 escrowId;
    }

    /// @notice What a reserve lacked, to come out of stake.
    /// @param payableUntil from then on it has lapsed
    struct Shortfall {
        address provider;
        uint64 payableAt;
        address payer;
        uint64 payableUntil;
        uint128 amount;
        bytes32 escrowId;
    }

    /// @param refunded out of the reserve this time
    /// @param short what is to come out of stake
    event BreachProven(
        bytes32 indexed leaseId, address indexed provider, bytes32 escrowId, uint128 refunded, uint128 short
    );
    event BreachCompensated(bytes32 indexed leaseId, address indexed provider, address payer, uint128 paid);
    event SilenceClaimed(bytes32 indexed leaseId, address indexed provider, uint64 number, uint64 answerUntil);
    event ReceiptShown(bytes32 indexed leaseId, address indexed provider, uint64 number, bool last);
    event SilenceAnswered(bytes32 indexed leaseId, address indexed provider, uint64 number);

    error NothingPromised(bytes32 leaseId);
    error NotTheEscrow(bytes32 escrowId, bytes32 termsEscrow);
    error NotTheLast(uint64 number);
    error PromiseKept(uint256 runningNs, int256 passedNs);
    error NothingToRefund(bytes32 leaseId);
    error LeaseIsOver(bytes32 leaseId);
    error NotTheNewest(bytes32 leaseId, uint64 atNs, uint64 answeredNs);
    error NotAnAnswer(bytes32 leaseId, uint64 number);
    error NotSilentYet(uint256 claimableAt, uint256 time);
    error SilenceTooOld(uint256 claimableUntil, uint256 time);
    error SilenceClaimedAlready(bytes32 leaseId, uint64 answerUntil);
    error NoSilence(bytes32 leaseId);
    error AnswerStillDue(uint64 answerUntil, uint256 time);
    error NotPayableYet(uint64 payableAt, uint256 time);
    error NotPayableAnyMore(uint64 payableUntil, uint256 time);

    /// @param last the receipt that says it is the last one
    /// @return refunded out of the reserve this time; more follows when a later call finds more
    function proveBreach(
        IPaymentEscrow.Escrow calldata escrowTerms,
        SignedLease calldata lease,
        SignedReceipt calldata last
    ) external returns (uint128 refunded);

    /// @notice Says that a provider is silent about a lease, or that more is due by a newer receipt than by the one it was said with.
    /// @param known the newest receipt that the caller has
    function claimSilence(
        IPaymentEscrow.Escrow calldata escrowTerms,
        SignedLease calldata lease,
        SignedReceipt calldata known
    ) external;

    /// @notice Answers a claim of silence by a newer receipt, by any key that the provider ever bound; or notes that a lease is over by its
    /// last one, by a key with authority. By anyone.
    function showReceipt(SignedReceipt calldata newer) external;

    /// @notice Gives back what a lease owes whose silence was not answered.
    function settleSilence(IPaymentEscrow.Escrow calldata escrowTerms, bytes32 leaseId)
        external
        returns (uint128 refunded);

    /// @notice Pays what the reserve of a lease's escrow lacked to its payer, out of what was announced of the provider's stake, or as much of
    /// it as may be taken now. By anyone.
    function collect(bytes32 leaseId) external returns (uint256 paid);

    /// @notice What was given back for a lease so far.
    function refundedOf(bytes32 leaseId) external view returns (uint128);

    function silenceOf(bytes32 leaseId) external view returns (Silence memory);
    function shortfallOf(bytes32 leaseId) external view returns (Shortfall memory);

    /// @notice The receipt of this provider that a lease was claimed with or that was shown for it, whichever came last.
    /// @return atNs its date
    /// @return runningNs what it says that ran
    /// @return last whether it is the last, so that the lease is over
    /// @return cost what it says that it cost
    function shownOf(bytes32 leaseId, address provider)
        external
        view
        returns (uint64 atNs, uint64 runningNs, bool last, uint128 cost);

    // solhint-disable func-name-mixedcase
    function LEAST_SILENCE_NS() external view returns (uint64);
    function ANSWER_TIME() external view returns (uint64);
    function CLAIM_TIME() external view returns (uint64);
    // solhint-enable func-name-mixedcase
}
