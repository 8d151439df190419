// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {IPaymentEscrow} from "./IPaymentEscrow.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";

/// @title Where a provider's own signatures prove it wrong
/// @notice Judges evidence by nothing but signatures and arithmetic, and has ProviderRegistry slash or PaymentEscrow refund. Never
/// an opinion, a clock or a missed answer.
///
/// What is a fault, and what it costs of all that is staked and thawing
/// - Equivocation, {EQUIVOCATION_PPM}: two different receipts of one lease, quotes or offers of one node, or verdicts of one challenge,
///   signed for the same number. A lie to one other party, worth about a lease.
/// - OverCapacity, {OVER_CAPACITY_PPM}: receipts whose usage, over a time in which one verdict on the provider was in force, no hardware
///   of that verdict could have served. The same hours sold to several.
/// - WrongElement, {WRONG_ELEMENT_PPM}: a signed CapacityAnswer whose Merkle root holds an element that is not the product's.
/// - FalseVerdict, {FALSE_VERDICT_PPM}: a verifier's verdict that passed an answer with such an element in a row that the verdict says it
///   opened. These two attack what all credits rest on. None takes everything: what stays is still collateral for credits
///   that were sold, and a software fault is not the end of a provider.
///
/// The reporter
/// - First {commit} to keccak256(abi.encode(reporter, faultId, salt)), then prove between {COMMIT_DELAY} and {COMMIT_LIFE} seconds later.
///   Without such a commitment nothing is proved. So a party that copies a proof from the mempool has to wait {COMMIT_DELAY} first, while
///   the original is included; and a party that commits to faults that have not happened has to repeat that every {COMMIT_LIFE}, for each.
/// - Gets {IProviderRegistry-REWARD_PPM} of what is slashed; the rest is burned. A provider that reports itself loses far more
///   than it gets. Each fault counts once ({isProven}), independent of the evidence shown for it.
///
/// Promises
/// - The signer is the provider to which the key is bound forever ({IProviderRegistry-boundProviderOf}), also after it was replaced. No
///   provider is judged by another's signature, nor by one made for another chain, contract or type.
/// - What an honest node signs proves nothing against it: it numbers receipts, quotes and offers without using a number twice, signs one
///   verdict per challenge, and sells no more than was verified.
/// - OverCapacity gives every device {TOLERANCE_NS} more than the time between the receipts, because clocks are set and counters are read
///   a moment apart. Usage exactly at the limit passes.
/// - This contract has no owner, no pause and no upgrade. It holds no money.
///
/// What it does not promise
/// - Receipts bear the time that the provider wrote. One that dates them outside of every verdict cannot be judged here; a submitter
///   sees the wrong time and refuses.
/// - A kind of device of which a verdict knows none is not judged: what was never verified was never promised to the chain, and no credit
///   is minted on it. A provider that gets new devices has them verified before it sells them beside the old.
/// - An answer is judged against the seed and the n that the chain knows for its device. One for another seed proves nothing, and passes
///   with no honest verifier.
/// - A verdict is judged by rows that were opened, in which any verifier that opens them must see the error. Whether a verifier took the time honestly
///   cannot be proved.
///
/// - A provider that knows its own fault can commit to it first, and take the reporter's tenth when a proof shows up. It cannot
///   be distinguished from a reporter. It still loses nine tenths, and a reporter who hides the proof until it is in a block is before it.
///
/// Assumptions
/// - keccak256 finds no collisions. Keys are ordinary ones; signatures are 65 bytes r, s, v with s in the lower half and v 27 or 28.
/// - registry, capacity and escrow are our own contracts and do not call back. This contract is a judge of
///   both compartments of stake, and the registry's refunder.
interface IFaultProver {
    enum Fault {
        None,
        Equivocation,
        OverCapacity,
        WrongElement,
        FalseVerdict
    }

    struct Usage {
        uint128 vcpuNs;
        uint128 memoryByteNs;
        uint128 diskByteNs;
        uint128 gpuNs;
        uint128 ingressBytes;
        uint128 egressBytes;
    }

    /// @notice `metering/eip712.py`'s Receipt, signed in PaymentEscrow's domain.
    struct Receipt {
        bytes32 leaseId;
        uint64 number;
        uint64 atNs;
        uint64 runningNs;
        Usage usage;
        uint128 cost;
        bool last;
    }

    /// @notice An Offer or a Quote: the two have the same fields.
    struct Numbered {
        address provider;
        address node;
        uint64 number;
        uint64 expiresAtNs;
        bytes32 bodyHash;
    }

    struct Resources {
        uint64 vcpuMilli;
        uint64 memoryBytes;
        uint64 diskBytes;
        uint64 gpus;
        string gpuModel;
    }

    struct Tariff {
        uint128 vcpuHour;
        uint128 memoryGibHour;
        uint128 diskGibHour;
        uint128 gpuHour;
        uint128 ingressGb;
        uint128 egressGb;
    }

    struct LeaseTerms {
        bytes32 jobHash;
        bytes32 quoteHash;
        address submitter;
        address provider;
        address node;
        bytes32 escrowId;
        uint64 leaseNumber;
        address asset;
        Resources resources;
        Tariff tariff;
        uint128 costLimit;
        uint128 exposureLimit;
        uint64 intervalNs;
        uint64 durationLimitNs;
        uint64 openUntilNs;
        uint32 availabilityPpm;
        uint32 refundPpm;
        uint32 exposureIntervals;
    }

    /// @notice What a node says a device's product is. Signed type, in CapacityRegistry's domain:
    /// `CapacityAnswer(bytes32 challengeId,uint32 device,uint32 n,bytes32 seed,bytes32 root)`.
    struct CapacityAnswer {
        bytes32 challengeId;
        uint32 device;
        uint32 n;
        bytes32 seed;
        bytes32 root;
    }

    /// @notice A leaf of an answer's tree and the way to its root. Leaf number `index` holds columns 256 x (index % (n / 256)) and on
    /// of row index / (n / 256): 256 elements, int32, big-endian. Its hash is keccak256(0x00 ‖ uint64 index ‖ the 1024 bytes); a
    /// node's is keccak256(0x01 ‖ left ‖ right); missing leaves up to the next power of two are 32 zero bytes. The path goes up from the
    /// leaf, and bit k of index says whether the path's side k is the right child, so there is one place for each leaf.
    /// @param column of the element that is wrong, within the leaf: 0 to 255
    struct ElementProof {
        uint64 index;
        uint8 column;
        bytes values;
        bytes32[] path;
    }

    /// @notice Two receipts of one lease between which usage is counted; the older first.
    struct ReceiptPair {
        Receipt older;
        bytes olderSig;
        Receipt newer;
        bytes newerSig;
    }

    event Committed(bytes32 indexed commitment, address indexed reporter);
    event FaultProven(
        bytes32 indexed faultId,
        address indexed provider,
        Fault indexed fault,
        address reporter,
        uint256 slashed,
        uint256 reward
    );
    /// @param refunded this time; more follows only when the reserve was short and a later call finds more
    event BreachProven(bytes32 indexed leaseId, address indexed provider, bytes32 escrowId, uint128 refunded);

    error ZeroAddress();
    error NotAProvidersKey(address signer);
    error SignersDiffer(address a, address b);
    error NotSignedBy(address signer, address expected);
    error NumbersDiffer();
    error SameDocument(bytes32 digest);
    error AlreadyProven(bytes32 faultId);
    error NotCommitted(bytes32 faultId, bytes32 commitment);
    error CommitmentTooYoung(uint256 provableAt, uint256 time);
    error CommitmentTooOld(uint256 provableUntil, uint256 time);
    error PairsCount(uint256 pairs, uint256 max);
    error PairOfTwoLeases(bytes32 older, bytes32 newer);
    error PairOutOfOrder(bytes32 leaseId);
    error LeasesNotAscending(bytes32 leaseId);
    error UsageFalls(bytes32 leaseId);
    error OutsideOfVerdict(uint256 oldestNs, uint256 newestNs, uint64 from, uint64 until);
    error WithinCapacity(uint256 gpuNs, uint256 vcpuNs, uint256 windowNs);
    error NotTheDevice(bytes32 challengeId, uint32 device);
    error LeafOutOfTree(uint64 index, uint256 leaves);
    error LeafLength(uint256 length, uint256 expected);
    error PathLength(uint256 length, uint256 expected);
    error NotInAnswer(bytes32 root, bytes32 answered);
    error ElementIsRight(uint256 row, uint256 column, int256 value);
    error VerdictDidNotPass(bytes32 challengeId);
    error RootsNotOfVerdict(bytes32 rootsHash, bytes32 answersHash);
    error RowNotOpened(uint256 row);
    error NothingPromised(bytes32 leaseId);
    error NotTheLease(bytes32 receiptsLease, bytes32 leaseId);
    error NotTheEscrow(bytes32 escrowId, bytes32 termsEscrow);
    error NotTheLast(uint64 number);
    error PromiseKept(uint256 runningNs, int256 passedNs);
    error NothingToRefund(bytes32 leaseId);

    /// @notice Notes the time of a commitment. One that runs already, or may be proved with, keeps its time, so that no one can reset
    /// another party's.
    function commit(bytes32 commitment) external;

    /// @notice When a commitment was made, in seconds since 1970; zero when never.
    function committedAt(bytes32 commitment) external view returns (uint256);

    function proveReceipts(
        Receipt calldata a,
        bytes calldata aSig,
        Receipt calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external;
    function proveOffers(
        Numbered calldata a,
        bytes calldata aSig,
        Numbered calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external;
    function proveQuotes(
        Numbered calldata a,
        bytes calldata aSig,
        Numbered calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external;
    function proveVerdicts(
        ICapacityRegistry.Verdict calldata a,
        bytes calldata aSig,
        ICapacityRegistry.Verdict calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external;
    /// @param pairs 1 to {MAX_PAIRS}, of different leases, by ascending lease id, all signed by keys of one provider
    /// @param historyIndex which verdict of {ICapacityRegistry-historyOf} was in force from the oldest to the newest receipt
    function proveOverCapacity(ReceiptPair[] calldata pairs, uint256 historyIndex, bytes32 salt) external;
    function proveWrongElement(
        CapacityAnswer calldata answer,
        bytes calldata sig,
        ElementProof calldata proof,
        bytes32 salt
    ) external;
    /// @param roots of all devices, whose hash is the verdict's answersHash
    function proveFalseVerdict(
        ICapacityRegistry.Verdict calldata verdict,
        bytes calldata sig,
        bytes32[] calldata roots,
        uint32 device,
        ElementProof calldata proof,
        bytes32 salt
    ) external;

    /// @notice Refunds refundPpm of a lease's cost out of its escrow's reserve when the provider's own last receipt shows that the
    /// workload ran for less than availabilityPpm of the time from openUntil to that receipt, as both signed. All calls for one lease
    /// together refund no more than that once; a reserve that is short gives what it has. By anyone, without a commitment: the money
    /// only goes back to the payer.
    /// @param last the receipt that says it is the last one
    function proveBreach(
        IPaymentEscrow.Escrow calldata escrowTerms,
        LeaseTerms calldata terms,
        bytes calldata submitterSig,
        bytes calldata nodeSig,
        Receipt calldata last,
        bytes calldata receiptSig
    ) external returns (uint128 refunded);

    /// @notice Whether a fault has been proved. Its id: keccak256(abi.encode(uint8 fault, provider, subject)); the subject is what was
    /// signed twice or wrong, independent of the evidence:
    /// receipts keccak256(abi.encode(leaseId, number)); offers and quotes keccak256(abi.encode(string "offer" or "quote", node, number));
    /// verdicts, equivocal or false, the challengeId; OverCapacity bytes32(historyIndex); WrongElement the answer's digest.
    function isProven(bytes32 faultId) external view returns (bool);

    /// @notice What was refunded for a lease so far.
    function refundedOf(bytes32 leaseId) external view returns (uint128);

    function escrow() external view returns (IPaymentEscrow);
    function registry() external view returns (IProviderRegistry);
    function capacity() external view returns (ICapacityRegistry);
    // solhint-disable func-name-mixedcase
    function EQUIVOCATION_PPM() external view returns (uint32);
    function OVER_CAPACITY_PPM() external view returns (uint32);
    function WRONG_ELEMENT_PPM() external view returns (uint32);
    function FALSE_VERDICT_PPM() external view returns (uint32);
    function COMMIT_DELAY() external view returns (uint256);
    function COMMIT_LIFE() external view returns (uint256);
    function TOLERANCE_NS() external view returns (uint256);
    function MAX_PAIRS() external view returns (uint256);
    // solhint-enable func-name-mixedcase
}
