// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {ICommitments} from "./ICommitments.sol";

/// @title Where a provider's or a verifier's own signatures prove it wrong
/// @notice Has ProviderRegistry slash. Never by an opinion, a clock or a missed answer. {IEvidence} says whose word a document is, {ICommitments}
/// how it is reported.
///
/// What is a fault, and what it costs of the compartment of stake that answers for it
/// - Equivocation, {EQUIVOCATION_PPM}: two different receipts of one lease, quotes or offers of one node, or verdicts of one challenge,
///   signed for the same number. A lie to one other party, worth about a lease. Verdicts cost the verifier's compartment.
/// - WrongElement, {WRONG_ELEMENT_PPM}: a signed CapacityAnswer whose Merkle root holds an element that is not the product's.
/// - FalseVerdict, {FALSE_VERDICT_PPM} of the verifier's compartment: a verdict that passed an answer with such an element in a row
///   that the verdict says it opened. All credits rest on verdicts; a pledge serves nothing else.
/// Of the provider's compartment none takes everything: what stays is still collateral for credits that were sold, and a software
/// fault is not the end of a provider.
///
/// When a document is dated, in seconds: a receipt at its atNs; an offer or a quote when it expires, or now where that is later; answers
/// and verdicts from the draw of their challenge to its deadline.
///
/// The ids of evidence ({ICommitments}): a and b are the two documents' digests, the lesser first; for an answer or a verdict a is its digest
/// and b the digest of the element shown, keccak256(abi.encode(uint64 index, uint8 column, keccak256(values))).
///
/// Promises
/// - What an honest node signs proves nothing against it: it numbers receipts, quotes and offers without using a number twice and signs
///   one verdict per challenge.
/// - Documents about a lease, a challenge or a seat on a panel that never was prove nothing.
///
/// What it does not promise
/// - An offer or quote counts only under the key that is bound when it expires: who replaces its key before that is not judged by it.
/// - An answer is judged against the seed and the n that the chain knows for its device. One for another seed proves nothing, and passes
///   with no honest verifier.
/// - A verdict is judged by rows that were opened, in which any verifier that opens them must see the error. Whether a verifier took the time
///   honestly cannot be proved.
///
/// Assumptions
/// - capacity is our own contract and does not call back. This contract is a judge of the registry's for both compartments.
interface IFaultProver is ICommitments {
    /// @notice An Offer or a Quote: the two have the same fields.
    struct Numbered {
        address provider;
        address node;
        uint64 number;
        uint64 expiresAtNs;
        bytes32 bodyHash;
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

    error NumbersDiffer();
    error SameDocument(bytes32 digest);
    error NotDrawn(bytes32 challengeId);
    error NotOnPanel(bytes32 challengeId, address verifier);
    error NotTheDevice(bytes32 challengeId, uint32 device);
    error LeafOutOfTree(uint64 index, uint256 leaves);
    error LeafLength(uint256 length, uint256 expected);
    error PathLength(uint256 length, uint256 expected);
    error NotInAnswer(bytes32 root, bytes32 answered);
    error ElementIsRight(uint256 row, uint256 column, int256 value);
    error VerdictDidNotPass(bytes32 challengeId);
    error RootsNotOfVerdict(bytes32 rootsHash, bytes32 answersHash);
    error RowNotOpened(uint256 row);

    /// @param lease whose receipts these are, as both sides signed it
    function proveReceipts(SignedLease calldata lease, SignedReceipt calldata a, SignedReceipt calldata b, bytes32 salt)
        external;
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
    /// @notice Two verdicts on one challenge, by one verifier that sat on its panel.
    function proveVerdicts(
        ICapacityRegistry.Verdict calldata a,
        bytes calldata aSig,
        ICapacityRegistry.Verdict calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external;
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

    function capacity() external view returns (ICapacityRegistry);
    // solhint-disable func-name-mixedcase
    function EQUIVOCATION_PPM() external view returns (uint32);
    function WRONG_ELEMENT_PPM() external view returns (uint32);
    function FALSE_VERDICT_PPM() external view returns (uint32);
    // solhint-enable func-name-mixedcase
}
