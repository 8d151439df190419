// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../interfaces/IFaultProver.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {AnswerTree} from "./AnswerTree.sol";
import {MatrixProduct} from "./MatrixProduct.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IFaultProver}.
contract FaultProver is IFaultProver {
    /// @dev Sums over the pairs of an over-capacity proof.
    struct Served {
        address provider;
        uint256 gpuNs;
        uint256 vcpuNs;
        uint256 oldestNs;
        uint256 newestNs;
    }

    uint32 public constant EQUIVOCATION_PPM = 200_000;
    uint32 public constant OVER_CAPACITY_PPM = 300_000;
    uint32 public constant WRONG_ELEMENT_PPM = 500_000;
    uint32 public constant FALSE_VERDICT_PPM = 500_000;
    /// @dev Longer than a transaction that pays its way waits to be included.
    uint256 public constant COMMIT_DELAY = 10 minutes;
    uint256 public constant COMMIT_LIFE = 1 days;
    /// @dev A clock that is set right moves by seconds; selling hours twice shows for hours.
    uint256 public constant TOLERANCE_NS = 60e9;
    /// @dev 64 pairs are about 75 KiB of the 128 KiB that nodes relay in one transaction.
    uint256 public constant MAX_PAIRS = 64;

    uint256 private constant NANOS = 1e9;
    uint256 private constant MILLION = 1_000_000;

    IProviderRegistry public immutable registry;
    ICapacityRegistry public immutable capacity;
    IPaymentEscrow public immutable escrow;

    mapping(bytes32 commitment => uint256) public committedAt;
    mapping(bytes32 faultId => bool) public isProven;
    mapping(bytes32 leaseId => uint128) public refundedOf;

    constructor(IProviderRegistry registry_, ICapacityRegistry capacity_, IPaymentEscrow escrow_) {
        bool isMissing =
            address(registry_) == address(0) || address(capacity_) == address(0) || address(escrow_) == address(0);
        if (isMissing) revert ZeroAddress();
        registry = registry_;
        capacity = capacity_;
        escrow = escrow_;
    }

    function commit(bytes32 commitment) external {
        if (block.timestamp <= committedAt[commitment] + COMMIT_LIFE) return;
        committedAt[commitment] = block.timestamp;
        emit Committed(commitment, msg.sender);
    }

    // ---- Equivocation

    function proveReceipts(
        Receipt calldata a,
        bytes calldata aSig,
        Receipt calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        if (a.leaseId != b.leaseId || a.number != b.number) revert NumbersDiffer();
        bytes32 domain = escrow.domainSeparator();
        bytes32 aDigest = _digest(domain, XnodeHashes.hashReceipt(a));
        bytes32 bDigest = _digest(domain, XnodeHashes.hashReceipt(b));
        address provider = _signerOfBoth(aDigest, aSig, bDigest, bSig);
        _slash(Fault.Equivocation, provider, keccak256(abi.encode(a.leaseId, a.number)), salt);
    }

    function proveOffers(
        Numbered calldata a,
        bytes calldata aSig,
        Numbered calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        bytes32 domain = escrow.domainSeparator();
        bytes32 aDigest = _digest(domain, XnodeHashes.hashOffer(a));
        bytes32 bDigest = _digest(domain, XnodeHashes.hashOffer(b));
        _proveNumbered("offer", a, b, _signerOfBoth(aDigest, aSig, bDigest, bSig), salt);
    }

    function proveQuotes(
        Numbered calldata a,
        bytes calldata aSig,
        Numbered calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        bytes32 domain = escrow.domainSeparator();
        bytes32 aDigest = _digest(domain, XnodeHashes.hashQuote(a));
        bytes32 bDigest = _digest(domain, XnodeHashes.hashQuote(b));
        _proveNumbered("quote", a, b, _signerOfBoth(aDigest, aSig, bDigest, bSig), salt);
    }

    function proveVerdicts(
        ICapacityRegistry.Verdict calldata a,
        bytes calldata aSig,
        ICapacityRegistry.Verdict calldata b,
        bytes calldata bSig,
        bytes32 salt
    ) external {
        if (a.challengeId != b.challengeId) revert NumbersDiffer();
        bytes32 domain = capacity.domainSeparator();
        bytes32 aDigest = _digest(domain, XnodeHashes.hashVerdict(a));
        bytes32 bDigest = _digest(domain, XnodeHashes.hashVerdict(b));
        address verifier = _signerOfBoth(aDigest, aSig, bDigest, bSig);
        _slashIn(IProviderRegistry.Role.Verifier, Fault.Equivocation, verifier, a.challengeId, salt);
    }

    // ---- Over capacity

    function proveOverCapacity(ReceiptPair[] calldata pairs, uint256 historyIndex, bytes32 salt) external {
        if (pairs.length == 0 || pairs.length > MAX_PAIRS) revert PairsCount(pairs.length, MAX_PAIRS);
        Served memory served = Served(address(0), 0, 0, type(uint256).max, 0);
        bytes32 domain = escrow.domainSeparator();
        bytes32 before = 0;
        for (uint256 i = 0; i < pairs.length; i++) {
            bytes32 leaseId = pairs[i].older.leaseId;
            // Ascending means that no lease counts twice.
            if (i != 0 && leaseId <= before) revert LeasesNotAscending(leaseId);
            before = leaseId;
            _addPair(served, domain, pairs[i]);
        }
        _checkAbove(served, capacity.historyOf(served.provider, historyIndex));
        _slash(Fault.OverCapacity, served.provider, bytes32(historyIndex), salt);
    }

    // ---- Capacity answers and verdicts on them

    function proveWrongElement(
        CapacityAnswer calldata answer,
        bytes calldata sig,
        ElementProof calldata proof,
        bytes32 salt
    ) external {
        bytes32 digest = _digest(capacity.domainSeparator(), XnodeHashes.hashCapacityAnswer(answer));
        address provider = _providerOf(digest, sig);
        (address challenged, bytes32 seed, uint32 n) = capacity.deviceOf(answer.challengeId, answer.device);
        if (challenged != provider || seed != answer.seed || n != answer.n) {
            revert NotTheDevice(answer.challengeId, answer.device);
        }
        _checkWrong(answer.root, seed, n, proof);
        _slash(Fault.WrongElement, provider, digest, salt);
    }

    function proveFalseVerdict(
        ICapacityRegistry.Verdict calldata verdict,
        bytes calldata sig,
        bytes32[] calldata roots,
        uint32 device,
        ElementProof calldata proof,
        bytes32 salt
    ) external {
        address verifier = _providerOf(_digest(capacity.domainSeparator(), XnodeHashes.hashVerdict(verdict)), sig);
        if (!verdict.passed) revert VerdictDidNotPass(verdict.challengeId);
        bytes32 rootsHash = keccak256(abi.encodePacked(roots));
        if (rootsHash != verdict.answersHash) revert RootsNotOfVerdict(rootsHash, verdict.answersHash);
        if (device >= roots.length) revert NotTheDevice(verdict.challengeId, device);
        _checkOpenedWrong(verdict, roots[device], device, proof);
        _slashIn(IProviderRegistry.Role.Verifier, Fault.FalseVerdict, verifier, verdict.challengeId, salt);
    }

    // ---- Breach

    function proveBreach(
        IPaymentEscrow.Escrow calldata escrowTerms,
        LeaseTerms calldata terms,
        bytes calldata submitterSig,
        bytes calldata nodeSig,
        Receipt calldata last,
        bytes calldata receiptSig
    ) external returns (uint128 refunded) {
        bytes32 domain = escrow.domainSeparator();
        bytes32 leaseId = _digest(domain, XnodeHashes.hashLeaseTerms(terms));
        _checkParties(escrowTerms, terms, leaseId, submitterSig, nodeSig);
        _checkReceipt(domain, leaseId, terms.provider, last, receiptSig);
        return _refund(escrowTerms, leaseId, _dueOf(terms, leaseId, last));
    }

    // ---- Inside: who signed

    function _digest(bytes32 domain, bytes32 structHash) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function _signerOf(bytes32 digest, bytes calldata sig) private pure returns (address signer) {
        // Why a signature recovers to no one does not matter.
        // slither-disable-next-line unused-return
        (signer,,) = ECDSA.tryRecoverCalldata(digest, sig);
    }

    /// @dev The provider whose key signed. A broken signature recovers to the zero key, which no provider can bind.
    function _providerOf(bytes32 digest, bytes calldata sig) private view returns (address provider) {
        address signer = _signerOf(digest, sig);
        // At most two calls for each of MAX_PAIRS, to our own contract.
        // slither-disable-next-line calls-loop
        provider = registry.boundProviderOf(signer);
        if (provider == address(0)) revert NotAProvidersKey(signer);
    }

    function _signerOfBoth(bytes32 aDigest, bytes calldata aSig, bytes32 bDigest, bytes calldata bSig)
        private
        view
        returns (address provider)
    {
        if (aDigest == bDigest) revert SameDocument(aDigest);
        provider = _providerOf(aDigest, aSig);
        address other = _providerOf(bDigest, bSig);
        if (provider != other) revert SignersDiffer(provider, other);
    }

    function _proveNumbered(
        string memory what,
        Numbered calldata a,
        Numbered calldata b,
        address provider,
        bytes32 salt
    ) private {
        if (a.node != b.node || a.number != b.number) revert NumbersDiffer();
        // Each node counts for itself: a document that names another provider's node proves nothing.
        address bound = registry.boundProviderOf(a.node);
        if (bound != provider) revert SignersDiffer(provider, bound);
        _slash(Fault.Equivocation, provider, keccak256(abi.encode(what, a.node, a.number)), salt);
    }

    // ---- Inside: usage

    function _addPair(Served memory served, bytes32 domain, ReceiptPair calldata pair) private view {
        (Receipt calldata older, Receipt calldata newer) = (pair.older, pair.newer);
        if (older.leaseId != newer.leaseId) revert PairOfTwoLeases(older.leaseId, newer.leaseId);
        if (newer.number <= older.number || newer.atNs < older.atNs) revert PairOutOfOrder(older.leaseId);
        bool falls = newer.usage.gpuNs < older.usage.gpuNs || newer.usage.vcpuNs < older.usage.vcpuNs;
        if (falls) revert UsageFalls(older.leaseId);

        bytes32 olderDigest = _digest(domain, XnodeHashes.hashReceipt(older));
        bytes32 newerDigest = _digest(domain, XnodeHashes.hashReceipt(newer));
        address provider = _signerOfBoth(olderDigest, pair.olderSig, newerDigest, pair.newerSig);
        if (served.provider == address(0)) served.provider = provider;
        if (served.provider != provider) revert SignersDiffer(served.provider, provider);

        served.gpuNs += newer.usage.gpuNs - older.usage.gpuNs;
        served.vcpuNs += newer.usage.vcpuNs - older.usage.vcpuNs;
        if (older.atNs < served.oldestNs) served.oldestNs = older.atNs;
        if (newer.atNs > served.newestNs) served.newestNs = newer.atNs;
    }

    function _checkAbove(Served memory served, ICapacityRegistry.Capacity memory verified) private pure {
        if (served.oldestNs < verified.from * NANOS || served.newestNs > verified.until * NANOS) {
            revert OutsideOfVerdict(served.oldestNs, served.newestNs, verified.from, verified.until);
        }
        uint256 windowNs = served.newestNs - served.oldestNs;
        bool isAbove =
            _isAbove(served.gpuNs, verified.gpus, windowNs) || _isAbove(served.vcpuNs, verified.vcpus, windowNs);
        if (!isAbove) revert WithinCapacity(served.gpuNs, served.vcpuNs, windowNs);
    }

    function _isAbove(uint256 servedNs, uint256 devices, uint256 windowNs) private pure returns (bool) {
        return devices != 0 && servedNs > devices * (windowNs + TOLERANCE_NS);
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

    // ---- Inside: breach

    function _checkParties(
        IPaymentEscrow.Escrow calldata escrowTerms,
        LeaseTerms calldata terms,
        bytes32 leaseId,
        bytes calldata submitterSig,
        bytes calldata nodeSig
    ) private view {
        bytes32 escrowId = escrow.escrowId(escrowTerms);
        if (escrowId != terms.escrowId) revert NotTheEscrow(escrowId, terms.escrowId);
        _checkSignedBy(leaseId, submitterSig, terms.submitter);
        _checkSignedBy(leaseId, nodeSig, terms.node);
        // Who signs together must be who the escrow is between; else two strangers could give another's reserve back.
        if (terms.submitter != escrowTerms.signer) revert SignersDiffer(terms.submitter, escrowTerms.signer);
        if (terms.provider != escrowTerms.provider) revert SignersDiffer(terms.provider, escrowTerms.provider);
        address bound = registry.boundProviderOf(terms.node);
        if (bound != terms.provider) revert SignersDiffer(bound, terms.provider);
    }

    function _checkSignedBy(bytes32 digest, bytes calldata sig, address expected) private pure {
        address signer = _signerOf(digest, sig);
        if (signer == address(0) || signer != expected) revert NotSignedBy(signer, expected);
    }

    function _checkReceipt(
        bytes32 domain,
        bytes32 leaseId,
        address provider,
        Receipt calldata last,
        bytes calldata receiptSig
    ) private view {
        if (last.leaseId != leaseId) revert NotTheLease(last.leaseId, leaseId);
        address signed = _providerOf(_digest(domain, XnodeHashes.hashReceipt(last)), receiptSig);
        if (signed != provider) revert SignersDiffer(signed, provider);
    }

    /// @dev The escrow is our own contract and guarded; what it gave is known only when it has given it.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-events
    function _refund(IPaymentEscrow.Escrow calldata escrowTerms, bytes32 leaseId, uint256 due)
        private
        returns (uint128 refunded)
    {
        uint128 before = refundedOf[leaseId];
        if (due <= before) revert NothingToRefund(leaseId);
        refunded = escrow.refund(escrowTerms, uint128(due - before));
        if (refunded == 0) revert NothingToRefund(leaseId);
        refundedOf[leaseId] = before + refunded;
        emit BreachProven(leaseId, escrowTerms.provider, escrow.escrowId(escrowTerms), refunded);
    }

    /// @dev The refund that both signed, rounded down.
    function _dueOf(LeaseTerms calldata terms, bytes32 leaseId, Receipt calldata last) private pure returns (uint256) {
        if (terms.availabilityPpm == 0 || terms.refundPpm == 0) revert NothingPromised(leaseId);
        if (!last.last) revert NotTheLast(last.number);
        int256 passedNs = int256(uint256(last.atNs)) - int256(uint256(terms.openUntilNs));
        bool isKept = int256(last.runningNs * MILLION) >= passedNs * int256(uint256(terms.availabilityPpm));
        if (isKept) revert PromiseKept(last.runningNs, passedNs);
        uint256 refundPpm = terms.refundPpm < MILLION ? terms.refundPpm : MILLION;
        return last.cost * refundPpm / MILLION;
    }

    // ---- Inside: the proof goes in

    /// @dev The registry is our own contract and calls only OPENX; what it took is known only when it has taken it.
    // slither-disable-next-line reentrancy-events
    function _slash(Fault fault, address provider, bytes32 subject, bytes32 salt) private {
        _slashIn(IProviderRegistry.Role.Provider, fault, provider, subject, salt);
    }

    // slither-disable-next-line reentrancy-events
    function _slashIn(IProviderRegistry.Role role, Fault fault, address provider, bytes32 subject, bytes32 salt)
        private
    {
        bytes32 faultId = keccak256(abi.encode(fault, provider, subject));
        if (isProven[faultId]) revert AlreadyProven(faultId);
        _checkCommitted(faultId, salt);
        isProven[faultId] = true;
        (uint256 slashed, uint256 reward) = registry.slash(
            provider,
            IProviderRegistry.Penalty({
                role: role,
                fault: uint8(fault),
                ppm: _penaltyPpm(fault),
                datedAt: uint64(block.timestamp),
                faultId: faultId,
                reporter: msg.sender
            })
        );
        emit FaultProven(faultId, provider, fault, msg.sender, slashed, reward);
    }

    function _checkCommitted(bytes32 faultId, bytes32 salt) private view {
        bytes32 commitment = keccak256(abi.encode(msg.sender, faultId, salt));
        uint256 since = committedAt[commitment];
        // Zero is never, not a time.
        // slither-disable-next-line incorrect-equality
        if (since == 0) revert NotCommitted(faultId, commitment);
        if (block.timestamp < since + COMMIT_DELAY) {
            revert CommitmentTooYoung(since + COMMIT_DELAY, block.timestamp);
        }
        if (block.timestamp > since + COMMIT_LIFE) revert CommitmentTooOld(since + COMMIT_LIFE, block.timestamp);
    }

    function _penaltyPpm(Fault fault) private pure returns (uint32) {
        if (fault == Fault.Equivocation) return EQUIVOCATION_PPM;
        if (fault == Fault.OverCapacity) return OVER_CAPACITY_PPM;
        return fault == Fault.WrongElement ? WRONG_ELEMENT_PPM : FALSE_VERDICT_PPM;
    }
}
