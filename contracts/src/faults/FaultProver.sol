// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {AnswerTree} from "./AnswerTree.sol";
import {Commitments} from "./Commitments.sol";
import {Evidence} from "./Evidence.sol";
import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../interfaces/IFaultProver.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {MatrixProduct} from "./MatrixProduct.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IFaultProver}.
contract FaultProver is Commitments, IFaultProver {
    /// @dev A signed document, whose it is, and when it is dated, in seconds.
    struct Document {
        bytes32 digest;
        address author;
        uint256 datedAt;
    }

    uint32 public constant EQUIVOCATION_PPM = 200_000;
    uint32 public constant WRONG_ELEMENT_PPM = 500_000;
    uint32 public constant FALSE_VERDICT_PPM = 1_000_000;

    ICapacityRegistry public immutable capacity;

    constructor(IProviderRegistry registry_, ICapacityRegistry capacity_, IPaymentEscrow escrow_)
        Evidence(registry_, escrow_)
    {
        if (address(capacity_) == address(0)) revert ZeroAddress();
        capacity = capacity_;
    }

    // ---- Equivocation

    function proveReceipts(SignedLease calldata lease, SignedReceipt calldata a, SignedReceipt calldata b, bytes32 salt)
        external
    {
        if (a.receipt.number != b.receipt.number) revert NumbersDiffer();
        bytes32 domain = escrow.domainSeparator();
        bytes32 leaseId = _leaseIdOf(domain, lease);
        Document memory one = _readReceipt(domain, leaseId, lease.terms.provider, a);
        Document memory two = _readReceipt(domain, leaseId, lease.terms.provider, b);
        _judgeTwo(IProviderRegistry.Role.Provider, one, two, salt);
    }

    function proveOffers(
        Numbered calldata a,
        bytes calldata aSig,
        Numbered calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        bytes32 domain = escrow.domainSeparator();
        Document memory one = _readNumbered(a, _digest(domain, XnodeHashes.hashOffer(a)), aSig);
        Document memory two = _readNumbered(b, _digest(domain, XnodeHashes.hashOffer(b)), bSig);
        _judgeNumbered(a, one, b, two, salt);
    }

    function proveQuotes(
        Numbered calldata a,
        bytes calldata aSig,
        Numbered calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        bytes32 domain = escrow.domainSeparator();
        Document memory one = _readNumbered(a, _digest(domain, XnodeHashes.hashQuote(a)), aSig);
        Document memory two = _readNumbered(b, _digest(domain, XnodeHashes.hashQuote(b)), bSig);
        _judgeNumbered(a, one, b, two, salt);
    }

    function proveVerdicts(
        ICapacityRegistry.Verdict calldata a,
        bytes calldata aSig,
        ICapacityRegistry.Verdict calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        if (a.challengeId != b.challengeId) revert NumbersDiffer();
        _judgeTwo(IProviderRegistry.Role.Verifier, _readVerdict(a, aSig), _readVerdict(b, bSig), salt);
    }

    // ---- Capacity answers and verdicts on them

    function proveWrongElement(
        CapacityAnswer calldata answer,
        bytes calldata sig,
        ElementProof calldata proof,
        bytes32 salt
    ) external {
        bytes32 digest = _digest(capacity.domainSeparator(), XnodeHashes.hashCapacityAnswer(answer));
        Document memory document = _readInChallenge(answer.challengeId, digest, sig);
        (address challenged, bytes32 seed, uint32 n) = capacity.deviceOf(answer.challengeId, answer.device);
        if (challenged != document.author || seed != answer.seed || n != answer.n) {
            revert NotTheDevice(answer.challengeId, answer.device);
        }
        _checkWrong(answer.root, seed, n, proof);
        IProviderRegistry.Penalty memory penalty =
            _makePenalty(Fault.WrongElement, IProviderRegistry.Role.Provider, WRONG_ELEMENT_PPM, document);
        _judge(document.author, digest, _elementDigestOf(proof), penalty, salt);
    }

    function proveFalseVerdict(
        ICapacityRegistry.Verdict calldata verdict,
        bytes calldata sig,
        bytes32[] calldata roots,
        uint32 device,
        ElementProof calldata proof,
        bytes32 salt
    ) external {
        Document memory document = _readVerdict(verdict, sig);
        if (!verdict.passed) revert VerdictDidNotPass(verdict.challengeId);
        bytes32 rootsHash = keccak256(abi.encodePacked(roots));
        if (rootsHash != verdict.answersHash) revert RootsNotOfVerdict(rootsHash, verdict.answersHash);
        if (device >= roots.length) revert NotTheDevice(verdict.challengeId, device);
        _checkOpenedWrong(verdict, roots[device], device, proof);
        IProviderRegistry.Penalty memory penalty =
            _makePenalty(Fault.FalseVerdict, IProviderRegistry.Role.Verifier, FALSE_VERDICT_PPM, document);
        _judge(document.author, document.digest, _elementDigestOf(proof), penalty, salt);
    }

    // ---- Inside: documents

    function _readReceipt(bytes32 domain, bytes32 leaseId, address provider, SignedReceipt calldata signed)
        private
        view
        returns (Document memory)
    {
        bytes32 digest = _checkOfLease(domain, leaseId, provider, signed);
        return Document(digest, provider, signed.receipt.atNs / NANOS);
    }

    /// @dev What has not expired yet was signed by now.
    function _readNumbered(Numbered calldata document, bytes32 digest, bytes calldata sig)
        private
        view
        returns (Document memory)
    {
        uint256 datedAt = Math.min(document.expiresAtNs / NANOS, block.timestamp);
        return Document(digest, _authorOf(_signerOf(digest, sig), datedAt), datedAt);
    }

    /// @dev By one who sat on the panel.
    function _readVerdict(ICapacityRegistry.Verdict calldata verdict, bytes calldata sig)
        private
        view
        returns (Document memory document)
    {
        bytes32 digest = _digest(capacity.domainSeparator(), XnodeHashes.hashVerdict(verdict));
        document = _readInChallenge(verdict.challengeId, digest, sig);
        if (!capacity.isOnPanel(verdict.challengeId, document.author)) {
            revert NotOnPanel(verdict.challengeId, document.author);
        }
    }

    /// @dev Answers and verdicts are signed from the draw to the deadline; a key that is replaced meanwhile must be no way out.
    function _readInChallenge(bytes32 challengeId, bytes32 digest, bytes calldata sig)
        private
        view
        returns (Document memory)
    {
        uint256 drawnAt = capacity.drawnAt(challengeId);
        // Zero is never, not a time.
        // slither-disable-next-line incorrect-equality
        if (drawnAt == 0) revert NotDrawn(challengeId);
        address signer = _signerOf(digest, sig);
        // Until when it served is what {authorOf} asks.
        // slither-disable-next-line unused-return
        (uint64 since,) = registry.keyTimeOf(signer);
        uint256 servedAt = Math.max(drawnAt, since);
        if (servedAt > capacity.challengeOf(challengeId).deadline) revert NotAProvidersKey(signer, servedAt);
        return Document(digest, _authorOf(signer, servedAt), drawnAt);
    }

    // ---- Inside: elements

    /// @dev The proof leads to what was answered, and its element is not the product's.
    function _checkWrong(bytes32 answered, bytes32 seed, uint256 n, ElementProof calldata proof) private pure {
        bytes32 root = AnswerTree.rootOf(proof, n);
        if (root != answered) revert NotInAnswer(root, answered);
        (uint256 row, uint256 column, int256 value) = AnswerTree.elementOf(proof, n);
        if (MatrixProduct.element(seed, n, row, column) == value) revert ElementIsRight(row, column, value);
    }

    /// @dev The same in a row that the verdict says was opened.
    function _checkOpenedWrong(
        ICapacityRegistry.Verdict calldata verdict,
        bytes32 root,
        uint32 device,
        ElementProof calldata proof
    ) private view {
        (address challenged, bytes32 seed, uint32 n) = capacity.deviceOf(verdict.challengeId, device);
        if (challenged == address(0)) revert NotTheDevice(verdict.challengeId, device);
        _checkWrong(root, seed, n, proof);
        uint256 row = AnswerTree.rowOf(proof, n);
        if (!_isOpened(verdict.openingSeed, device, n, row)) revert RowNotOpened(row);
    }

    function _isOpened(bytes32 openingSeed, uint32 device, uint256 n, uint256 row) private view returns (bool) {
        uint32 rows = capacity.OPENED_ROWS();
        for (uint32 k = 0; k < rows; k++) {
            if (uint256(keccak256(abi.encode(openingSeed, device, k))) % n == row) return true;
        }
        return false;
    }

    function _elementDigestOf(ElementProof calldata proof) private pure returns (bytes32) {
        return keccak256(abi.encode(proof.index, proof.column, keccak256(proof.values)));
    }

    // ---- Inside: the proof goes in

    function _judgeNumbered(
        Numbered calldata a,
        Document memory one,
        Numbered calldata b,
        Document memory two,
        bytes32 salt
    ) private {
        if (a.node != b.node || a.number != b.number) revert NumbersDiffer();
        // Each node counts for itself: a document that names another provider's node proves nothing.
        address bound = registry.boundProviderOf(a.node);
        if (bound != one.author) revert SignersDiffer(one.author, bound);
        _judgeTwo(IProviderRegistry.Role.Provider, one, two, salt);
    }

    /// @dev Two different documents under one number.
    function _judgeTwo(IProviderRegistry.Role role, Document memory one, Document memory two, bytes32 salt) private {
        // The same document twice is no second one.
        // slither-disable-next-line incorrect-equality
        if (one.digest == two.digest) revert SameDocument(one.digest);
        if (one.author != two.author) revert SignersDiffer(one.author, two.author);
        Document memory later = one.datedAt < two.datedAt ? two : one;
        IProviderRegistry.Penalty memory penalty = _makePenalty(Fault.Equivocation, role, EQUIVOCATION_PPM, later);
        bool isAscending = one.digest < two.digest;
        (bytes32 first, bytes32 second) = isAscending ? (one.digest, two.digest) : (two.digest, one.digest);
        _judge(one.author, first, second, penalty, salt);
    }

    function _makePenalty(Fault fault, IProviderRegistry.Role role, uint32 ppm, Document memory latest)
        private
        view
        returns (IProviderRegistry.Penalty memory)
    {
        return IProviderRegistry.Penalty({
            role: role, fault: uint8(fault), ppm: ppm, datedAt: uint64(latest.datedAt), faultId: 0, reporter: msg.sender
        });
    }

    /// @dev a and b: the documents, as {IFaultProver} has them in the id.
    function _judge(address who, bytes32 a, bytes32 b, IProviderRegistry.Penalty memory penalty, bytes32 salt) private {
        bytes32 evidenceId = _evidenceIdOf(Fault(penalty.fault), who, a, b);
        _checkCommitted(evidenceId, _commitmentTo(evidenceId, salt));
        penalty.faultId = evidenceId;
        _slash(who, penalty);
    }
}
