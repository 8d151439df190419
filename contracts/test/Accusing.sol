// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {BreachProver} from "../src/faults/BreachProver.sol";
import {FaultProver} from "../src/faults/FaultProver.sol";
import {OverCapacity} from "../src/faults/OverCapacity.sol";
import {ICommitments} from "../src/interfaces/ICommitments.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Judging} from "./Judging.sol";

/// @notice All contracts connected, a provider with stake, a reporter, and how evidence is made.
abstract contract Accusing is Judging {
    uint256 internal constant STAKED = 10_000 ether;
    uint256 internal constant OTHER_KEY = 0x07E4;
    bytes32 internal constant SALT = keccak256("salt");
    uint256 internal constant NANOS = 1e9;

    address internal reporter = address(0x4E9);
    FaultProver internal prover;
    OverCapacity internal overCapacity;
    BreachProver internal breaches;

    function setUp() public virtual override {
        super.setUp();
        prover = FaultProver(deploy(creationCode("FaultProver", abi.encode(registry, capacity, escrow))));
        overCapacity = OverCapacity(deploy(creationCode("OverCapacity", abi.encode(registry, capacity, escrow))));
        breaches = BreachProver(deploy(creationCode("BreachProver", abi.encode(registry, escrow))));
        registry.connect(
            makeJudges(address(prover), address(overCapacity), address(breaches), REVEALS),
            pledgeHold(verifiers),
            new address[](0),
            address(breaches)
        );
        stakeFor(provider, STAKED);
        enlistVerifiers(5);
    }

    // ---- Reporting

    function evidenceId(IEvidence.Fault fault, address who, bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return keccak256(abi.encode(fault, who, a, b));
    }

    /// @notice Of two documents.
    function evidenceOfTwo(address who, bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return evidenceId(IEvidence.Fault.Equivocation, who, a < b ? a : b, a < b ? b : a);
    }

    function commitAs(ICommitments judge, address who, bytes32 id) internal returns (bytes32 commitment) {
        commitment = keccak256(abi.encode(who, id, SALT));
        vm.prank(who);
        judge.commit(commitment);
    }

    /// @notice The reporter has committed to this evidence, long enough ago.
    function ready(ICommitments judge, bytes32 id) internal returns (bytes32 commitment) {
        commitment = commitAs(judge, reporter, id);
        vm.warp(block.timestamp + judge.COMMIT_DELAY());
    }

    /// @notice The stake fell by ppm of what it was, of which the reporter got a tenth and the rest was burned.
    function checkSlashed(address who, uint256 before, uint32 ppm, uint256 supplyBefore) internal view {
        uint256 slashed = before * ppm / 1_000_000;
        checkEqual(registry.stakeOf(who), before - slashed, "stake left");
        checkEqual(openx.balanceOf(reporter), slashed / 10, "reward");
        checkEqual(supplyBefore - openx.totalSupply(), slashed - slashed / 10, "burned");
    }

    // ---- Keys

    function rotateKey(uint256 newKey) internal {
        bytes memory proof = signNodeKey(newKey, provider, vm.addr(newKey), registry.nonces(provider), FAR);
        vm.prank(provider);
        registry.rotateNodeKey(vm.addr(newKey), FAR, proof);
    }

    // ---- Leases

    function makeLeaseTerms(uint64 number) internal view returns (IEvidence.LeaseTerms memory terms) {
        (terms.jobHash, terms.quoteHash) = (keccak256("job"), keccak256("quote"));
        terms.submitter = signer;
        terms.provider = provider;
        terms.node = node;
        terms.leaseNumber = number;
        terms.asset = address(asset);
        terms.resources = IEvidence.Resources(16_000, 1 << 30, 1 << 31, 2, "any");
        terms.costLimit = 100 ether;
        terms.intervalNs = uint64(60 * NANOS);
        terms.exposureIntervals = 2;
        terms.durationLimitNs = uint64(30 days * NANOS);
        terms.openUntilNs = uint64(block.timestamp * NANOS);
        terms.availabilityPpm = 990_000;
        terms.refundPpm = 200_000;
    }

    function leaseIdOf(IEvidence.LeaseTerms memory terms) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashLeaseTerms(terms));
    }

    function signLease(IEvidence.LeaseTerms memory terms, uint256 submitterKey, uint256 nodeKey)
        internal
        view
        returns (IEvidence.SignedLease memory)
    {
        bytes32 id = leaseIdOf(terms);
        return IEvidence.SignedLease(terms, signAs(submitterKey, id), signAs(nodeKey, id));
    }

    function signLease(IEvidence.LeaseTerms memory terms) internal view returns (IEvidence.SignedLease memory) {
        return signLease(terms, SIGNER_KEY, NODE_KEY);
    }

    // ---- Evidence

    function makeReceipt(bytes32 leaseId, uint64 number) internal view returns (IEvidence.Receipt memory receipt) {
        receipt.leaseId = leaseId;
        receipt.number = number;
        receipt.atNs = uint64(block.timestamp * NANOS);
        receipt.runningNs = uint64(number * 60 * NANOS);
        receipt.cost = uint128(number) * 1 ether;
    }

    function receiptDigest(IEvidence.Receipt memory receipt) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashReceipt(receipt));
    }

    function signReceipt(uint256 key, IEvidence.Receipt memory receipt)
        internal
        view
        returns (IEvidence.SignedReceipt memory)
    {
        return IEvidence.SignedReceipt(receipt, signAs(key, receiptDigest(receipt)));
    }

    function makeNumbered(uint64 number, bytes32 bodyHash) internal view returns (IFaultProver.Numbered memory) {
        return IFaultProver.Numbered(provider, node, number, uint64(block.timestamp * NANOS), bodyHash);
    }

    function offerDigest(IFaultProver.Numbered memory offer) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashOffer(offer));
    }

    function quoteDigest(IFaultProver.Numbered memory quote) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashQuote(quote));
    }

    function signOffer(uint256 key, IFaultProver.Numbered memory offer) internal view returns (bytes memory) {
        return signAs(key, offerDigest(offer));
    }

    function signQuote(uint256 key, IFaultProver.Numbered memory quote) internal view returns (bytes memory) {
        return signAs(key, quoteDigest(quote));
    }
}
