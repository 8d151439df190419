// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ICommitments} from "../src/interfaces/ICommitments.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Two different receipts for one number of one lease, who may report them, and everything that only looks like it.
contract EquivocationTest is Accusing {
    IEvidence.Fault private constant FAULT = IEvidence.Fault.Equivocation;

    IEvidence.SignedLease private lease;
    IEvidence.Receipt private a;
    IEvidence.Receipt private b;
    bytes private aSig;
    bytes private bSig;

    function setUp() public override {
        super.setUp();
        setLease(makeLeaseTerms(0));
        a = makeReceipt(leaseIdOf(lease.terms), 7);
        b = a;
        b.cost = a.cost + 1;
        sign(NODE_KEY, NODE_KEY);
    }

    function test_two_receipts_for_one_number_are_slashed_and_the_reporter_is_paid() external {
        bytes32 id = readyToProve();
        uint256 supply = openx.totalSupply();
        uint256 slashed = STAKED / 5;
        vm.expectEmit();
        emit ICommitments.FaultProven(id, provider, FAULT, reporter, slashed, slashed / 10);
        prove();
        checkSlashed(provider, STAKED, prover.EQUIVOCATION_PPM(), supply);
        checkTrue(prover.isProven(id), "proven");
        (uint64 faults, uint128 lost) = registry.faultsOf(provider);
        checkEqual(faults, 1, "faults");
        checkEqual(lost, slashed, "counted");
    }

    function test_receipts_of_different_leases_or_numbers_prove_nothing() external {
        readyToProve();
        b.leaseId = keccak256("another lease");
        sign(NODE_KEY, NODE_KEY);
        refused(IEvidence.NotTheLease.selector);
        (b.leaseId, b.number) = (a.leaseId, 8);
        sign(NODE_KEY, NODE_KEY);
        refused(IFaultProver.NumbersDiffer.selector);
    }

    function test_a_lease_that_never_was_proves_nothing() external {
        // Receipts of a number out of the air, as a thief of the key alone could write them.
        (a.leaseId, b.leaseId) = (keccak256("no lease"), keccak256("no lease"));
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        refused(IEvidence.NotTheLease.selector);
        // Terms that only one of the two sides signed are none.
        setLease(makeLeaseTerms(1));
        (a.leaseId, b.leaseId) = (leaseIdOf(lease.terms), leaseIdOf(lease.terms));
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        lease = signLease(lease.terms, NODE_KEY, NODE_KEY);
        refused(IEvidence.NotSignedBy.selector);
        lease = signLease(lease.terms, SIGNER_KEY, SIGNER_KEY);
        refused(IEvidence.NotSignedBy.selector);
        lease.submitterSig = "";
        refused(IEvidence.NotSignedBy.selector);
    }

    function test_terms_of_another_provider_prove_nothing() external {
        IEvidence.LeaseTerms memory terms = makeLeaseTerms(1);
        terms.provider = verifierAt(0);
        setLease(terms);
        refusedAs(provider, verifierAt(0));
        // A node that was nobody's.
        (terms.provider, terms.node) = (provider, stranger);
        lease = signLease(terms, SIGNER_KEY, STRANGER_KEY);
        refusedAs(address(0), provider);
        terms.provider = address(0);
        lease = signLease(terms, SIGNER_KEY, STRANGER_KEY);
        refusedAs(address(0), address(0));
    }

    function test_terms_signed_by_an_earlier_key_serve_for_receipts_of_the_present_one() external {
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        (a.atNs, b.atNs) = (uint64(block.timestamp * NANOS), uint64(block.timestamp * NANOS));
        sign(OTHER_KEY, OTHER_KEY);
        readyToProve();
        prove();
        checkTrue(registry.stakeOf(provider) < STAKED, "a lease can run for longer than a thaw");
    }

    function test_equal_receipts_prove_nothing_also_with_other_signatures() external {
        b = a;
        bSig = aSig;
        readyToProve();
        refused(IFaultProver.SameDocument.selector);
        bSig = flip(aSig);
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_another_providers_signature_proves_nothing() external {
        readyToProve();
        sign(NODE_KEY, nodeKeyOf(0));
        refusedAs(verifierAt(0), provider);
        sign(STRANGER_KEY, STRANGER_KEY);
        refused(abi.encodeWithSelector(IEvidence.NotAProvidersKey.selector, stranger, a.atNs / NANOS));
    }

    function test_a_provider_that_left_is_slashed_all_the_same() external {
        readyToProve();
        vm.prank(provider);
        registry.deactivate();
        prove();
        checkTrue(registry.stakeOf(provider) < STAKED, "slashed");
    }

    function test_unstaking_before_the_proof_comes_in_saves_nothing() external {
        readyToProve();
        vm.prank(provider);
        registry.startUnstake(STAKED);
        prove();
        checkEqual(registry.stakeDetails(provider).thawing, STAKED - STAKED / 5, "taken from what thaws");
        checkEqual(openx.balanceOf(reporter), STAKED / 50, "reward");
    }

    // ---- Keys in time

    function test_what_a_replaced_key_signed_before_counts_until_the_thaw_is_over() external {
        uint64 before = uint64(block.timestamp * NANOS);
        vm.warp(block.timestamp + 1 hours);
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + STAKE_THAW - 10 minutes);
        (a.atNs, b.atNs) = (before, before);
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        prove();
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "slashed in the last second");
    }

    function test_a_key_that_was_replaced_longer_ago_than_the_thaw_proves_nothing() external {
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + STAKE_THAW);
        readyToProve();
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_documents_dated_after_their_key_was_replaced_prove_nothing() external {
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + 1);
        b.atNs = uint64(block.timestamp * NANOS);
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        refused(abi.encodeWithSelector(IEvidence.NotAProvidersKey.selector, node, b.atNs / NANOS));
    }

    function test_documents_dated_before_their_key_was_bound_prove_nothing() external {
        a.atNs = uint64((block.timestamp - 1 days) * NANOS);
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_documents_of_the_future_prove_nothing() external {
        a.atNs = uint64((block.timestamp + 2 hours) * NANOS);
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        refused(IEvidence.NotAProvidersKey.selector);
        vm.warp(block.timestamp + 1 hours);
        prove();
    }

    function test_two_keys_that_followed_each_other_are_one_author() external {
        uint64 before = uint64(block.timestamp * NANOS);
        vm.warp(block.timestamp + 1 hours);
        rotateKey(OTHER_KEY);
        (a.atNs, b.atNs) = (before, uint64(block.timestamp * NANOS));
        sign(NODE_KEY, OTHER_KEY);
        readyToProve();
        prove();
        checkTrue(registry.stakeOf(provider) < STAKED, "slashed");
    }

    // ---- How much, and how often

    function test_what_a_fault_costs_and_how_long_a_reporter_waits() external view {
        checkEqual(prover.EQUIVOCATION_PPM(), 200_000, "equivocation");
        checkEqual(prover.WRONG_ELEMENT_PPM(), 500_000, "wrong element");
        checkEqual(prover.FALSE_VERDICT_PPM(), 1_000_000, "false verdict");
        checkEqual(prover.COMMIT_DELAY(), 10 minutes, "delay");
        checkEqual(prover.COMMIT_LIFE(), 1 days, "life");
        checkEqual(address(prover.registry()), address(registry), "registry");
        checkEqual(address(prover.capacity()), address(capacity), "capacity");
        checkEqual(address(prover.escrow()), address(escrow), "escrow");
    }

    function test_a_fault_of_software_is_one_fault_however_many_numbers_it_signs_twice() external {
        // An hour of numbers signed twice, all of them reported.
        for (uint64 number = 1; number <= 20; number++) {
            (a.number, b.number) = (number, number);
            sign(NODE_KEY, NODE_KEY);
            commitAs(prover, reporter, idOfBoth());
        }
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        for (uint64 number = 1; number <= 20; number++) {
            (a.number, b.number) = (number, number);
            sign(NODE_KEY, NODE_KEY);
            if (number == 1) prove();
            else refused(); // nothing is left to take for it
        }
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "a fifth, once");
        (uint64 faults,) = registry.faultsOf(provider);
        checkEqual(faults, 1, "one fault");
    }

    function test_the_same_proof_again_takes_nothing() external {
        readyToProve();
        prove();
        refused();
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "once");
    }

    function test_what_is_signed_a_day_after_a_proof_is_a_new_fault() external {
        readyToProve();
        prove();
        vm.warp(block.timestamp + 1 days + 1);
        (a.number, b.number) = (8, 8);
        (a.atNs, b.atNs) = (uint64(block.timestamp * NANOS), uint64(block.timestamp * NANOS));
        sign(NODE_KEY, NODE_KEY);
        readyToProve();
        prove();
        checkEqual(registry.stakeOf(provider), STAKED * 16 / 25, "twice a fifth");
    }

    function test_the_later_of_two_documents_dates_the_fault() external {
        readyToProve();
        prove();
        uint256 firstProof = block.timestamp;
        vm.warp(firstProof + 1 days + 1);
        (a.number, b.number) = (8, 8);
        uint64[2] memory dates = [uint64((firstProof + 1 hours) * NANOS), uint64(block.timestamp * NANOS)];
        for (uint256 i = 0; i < 2; i++) {
            (a.atNs, b.atNs) = (dates[i], dates[1 - i]);
            sign(NODE_KEY, NODE_KEY);
            uint256 before = vm.snapshotState();
            readyToProve();
            prove();
            checkEqual(registry.stakeOf(provider), STAKED * 16 / 25, "a second fault");
            vm.revertToState(before);
        }
    }

    function test_a_proof_against_oneself_without_stake_buys_nothing() external {
        vm.prank(provider);
        registry.startUnstake(STAKED);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        registry.withdrawStake();
        proveAs(provider);
        stakeFor(provider, STAKED);
        readyToProve();
        prove();
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "the same evidence still costs a fifth");
    }

    // ---- Signatures

    function test_only_one_form_of_a_signature_counts() external {
        readyToProve();
        bytes memory good = bSig;
        bSig = flip(good);
        refused(IEvidence.NotAProvidersKey.selector);
        (bytes32 r, bytes32 vs) = compact(good);
        bSig = abi.encodePacked(r, vs);
        refused(IEvidence.NotAProvidersKey.selector);
        bSig = good;
        bSig[64] = bytes1(uint8(good[64]) - 27);
        refused(IEvidence.NotAProvidersKey.selector);
        bSig = bytes.concat(good, hex"00");
        refused(IEvidence.NotAProvidersKey.selector);
        bSig = "";
        refused(IEvidence.NotAProvidersKey.selector);
        bSig = good;
        prove();
    }

    function test_receipts_signed_for_another_chain_or_contract_prove_nothing() external {
        readyToProve();
        vm.chainId(8453);
        bytes memory elsewhere = signAs(NODE_KEY, receiptDigest(b));
        vm.chainId(31337);
        bSig = elsewhere;
        refused(IEvidence.NotAProvidersKey.selector);
        bSig =
            signAs(NODE_KEY, MessageHashUtils.toTypedDataHash(capacity.domainSeparator(), XnodeHashes.hashReceipt(b)));
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_the_whole_proof_replayed_on_another_chain_proves_nothing() external {
        readyToProve();
        vm.chainId(8453);
        refused(IEvidence.NotSignedBy.selector);
    }

    // ---- Reporting

    function test_a_proof_copied_from_the_mempool_is_refused() external {
        bytes32 id = readyToProve();
        bytes32 wanted = keccak256(abi.encode(stranger, id, SALT));
        bytes memory notCommitted = abi.encodeWithSelector(ICommitments.NotCommitted.selector, id, wanted);
        refusedTo(stranger, notCommitted);

        commitAs(prover, stranger, id);
        uint256 provableAt = block.timestamp + prover.COMMIT_DELAY();
        vm.warp(provableAt - 1);
        refusedTo(
            stranger, abi.encodeWithSelector(ICommitments.CommitmentTooYoung.selector, provableAt, provableAt - 1)
        );
        // All that time the reporter's own transaction may go in.
        prove();
        checkEqual(openx.balanceOf(reporter), STAKED / 50, "the reporter has the reward");
    }

    function test_who_does_not_have_the_documents_cannot_stand_ready_with_a_commitment() external {
        // All that can be known of a fault before it happens: what it is, whose, of which lease and number.
        bytes32 subject = keccak256(abi.encode(a.leaseId, a.number));
        commitAs(prover, stranger, keccak256(abi.encode(FAULT, provider, subject)));
        commitAs(prover, stranger, evidenceId(FAULT, provider, a.leaseId, bytes32(uint256(a.number))));
        // And one of the two documents, which is what a submitter has of any receipt.
        commitAs(prover, stranger, evidenceOfTwo(provider, receiptDigest(a), bytes32(0)));
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        proveBy(stranger);
    }

    function test_a_commitment_to_other_evidence_of_the_same_number_does_not_serve() external {
        readyToProve();
        b.cost++;
        sign(NODE_KEY, NODE_KEY);
        refused(ICommitments.NotCommitted.selector);
    }

    function test_the_order_of_the_documents_does_not_matter() external {
        readyToProve();
        (IEvidence.Receipt memory first, bytes memory firstSig) = (a, aSig);
        a = b;
        aSig = bSig;
        b = first;
        bSig = firstSig;
        prove();
    }

    function test_a_copied_commitment_is_of_no_use_and_does_no_harm() external {
        bytes32 commitment = keccak256(abi.encode(reporter, idOfBoth(), SALT));
        vm.expectEmit();
        emit ICommitments.Committed(commitment, stranger);
        vm.prank(stranger);
        prover.commit(commitment);
        uint256 first = prover.committedAt(commitment);
        vm.warp(first + prover.COMMIT_DELAY());
        vm.prank(stranger);
        prover.commit(commitment);
        checkEqual(prover.committedAt(commitment), first, "no younger");
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        proveBy(stranger);
        prove();
    }

    function test_a_commitment_serves_for_a_day() external {
        commitAs(prover, reporter, idOfBoth());
        uint256 last = block.timestamp + prover.COMMIT_LIFE();
        vm.warp(last + 1);
        refused(abi.encodeWithSelector(ICommitments.CommitmentTooOld.selector, last, block.timestamp));
        bytes32 commitment = commitAs(prover, reporter, idOfBoth());
        refused(ICommitments.CommitmentTooYoung.selector);
        vm.warp(block.timestamp + prover.COMMIT_LIFE());
        vm.prank(stranger);
        prover.commit(commitment); // too early to begin anew, also in the last second
        prove();
    }

    function test_a_provider_that_reports_itself_loses() external {
        uint256 before = openx.balanceOf(provider) + registry.stakeOf(provider);
        proveAs(provider);
        uint256 afterwards = openx.balanceOf(provider) + registry.stakeOf(provider);
        checkEqual(before - afterwards, STAKED * 18 / 100, "nine tenths of the fifth");
    }

    // ---- How

    function setLease(IEvidence.LeaseTerms memory terms) private {
        lease = signLease(terms);
    }

    function sign(uint256 aKey, uint256 bKey) private {
        (aSig, bSig) = (signAs(aKey, receiptDigest(a)), signAs(bKey, receiptDigest(b)));
    }

    function idOfBoth() private view returns (bytes32) {
        return evidenceOfTwo(provider, receiptDigest(a), receiptDigest(b));
    }

    function readyToProve() private returns (bytes32 id) {
        id = idOfBoth();
        ready(prover, id);
    }

    function proveAs(address who) private {
        commitAs(prover, who, idOfBoth());
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        proveBy(who);
    }

    function prove() private {
        proveBy(reporter);
    }

    function proveBy(address who) private {
        vm.prank(who);
        prover.proveReceipts(lease, IEvidence.SignedReceipt(a, aSig), IEvidence.SignedReceipt(b, bSig), SALT);
    }

    function refused() private {
        vm.expectRevert();
        prove();
    }

    function refused(bytes4 reason) private {
        vm.expectPartialRevert(reason);
        prove();
    }

    function refused(bytes memory reason) private {
        refusedTo(reporter, reason);
    }

    function refusedTo(address who, bytes memory reason) private {
        vm.expectRevert(reason);
        proveBy(who);
    }

    function refusedAs(address one, address other) private {
        refused(abi.encodeWithSelector(IEvidence.SignersDiffer.selector, one, other));
    }
}
