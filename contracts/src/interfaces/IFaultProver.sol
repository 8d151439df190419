// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {IPaymentEscrow} from "./IPaymentEscrow.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";

/// @title Where a provider's own signatures prove it wrong
/// @notice Judges evidence by nothing but signatures and arithmetic, and has ProviderRegistry slash or PaymentEscrow refund. Never
/// an opinion, a clock or a missed answer.
///
/// What is a fault
/// - Equivocation: two different receipts of one lease, quotes or offers of one node, or verdicts of one challenge, signed for the
///   same number.
/// - OverCapacity: receipts whose usage, over a time in which one verdict on the provider was in force, no hardware of that verdict
///   could have served.
/// - WrongElement: a signed CapacityAnswer whose Merkle root holds an element that is not the product's.
/// - FalseVerdict: a verifier's verdict that passed an answer with such an element in a row that the verdict says it opened.
///
/// The reporter
/// - First {commit} to keccak256(abi.encode(reporter, faultId, salt)), then prove after {COMMIT_DELAY} seconds. Whoever copies a
///   proof out of the mempool has no commitment old enough.
/// - Gets {IProviderRegistry-REWARD_PPM} of what is slashed; the rest is burned. A provider that reports itself loses far more
///   than it gets. Each fault counts once ({faultId}).
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
    struct Opening {
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
    event BreachProven(bytes32 indexed leaseId, address indexed provider, bytes32 escrowId, uint128 refunded);

    function commit(bytes32 commitment) external;

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
    /// @param historyIndex which verdict of {ICapacityRegistry-historyOf} was in force from the oldest to the newest receipt
    function proveOverCapacity(ReceiptPair[] calldata pairs, uint256 historyIndex, bytes32 salt) external;
    function proveWrongElement(
        CapacityAnswer calldata answer,
        bytes calldata sig,
        Opening calldata opening,
        bytes32 salt
    ) external;
    /// @param roots of all devices, whose hash is the verdict's answersHash
    function proveFalseVerdict(
        ICapacityRegistry.Verdict calldata verdict,
        bytes calldata sig,
        bytes32[] calldata roots,
        uint32 device,
        Opening calldata opening,
        bytes32 salt
    ) external;

    /// @notice Refunds refundPpm of a lease's cost out of its escrow's reserve when the provider's own last receipt shows that the
    /// workload ran for less than availabilityPpm of the time from openUntil to that receipt, as both signed. Once for each lease.
    function proveBreach(
        IPaymentEscrow.Escrow calldata escrow,
        LeaseTerms calldata terms,
        bytes calldata submitterSig,
        bytes calldata nodeSig,
        Receipt calldata last,
        bytes calldata receiptSig
    ) external returns (uint128 refunded);

    /// @notice The identity of a fault: keccak256(abi.encode(fault, provider, subject)); the subject is what was signed twice or wrong,
    /// whatever the evidence: (leaseId, number), ("offer" or "quote", node, number), challengeId, the answer's digest.
    function isProven(bytes32 faultId) external view returns (bool);
    function escrow() external view returns (IPaymentEscrow);
    function registry() external view returns (IProviderRegistry);
    function capacity() external view returns (ICapacityRegistry);
}
