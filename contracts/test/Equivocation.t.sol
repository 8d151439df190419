// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Two different documents for one number, and everything that only looks like it.
contract EquivocationTest is Accusing {
    IFaultProver.Fault private constant FAULT = IFaultProver.Fault.Equivocation;

    IFaultProver.Receipt private a;
    IFaultProver.Receipt private b;
    bytes private aSig;
    bytes private bSig;

    function setUp() public override {
        super.setUp();
        (a, b) = (makeReceipt(LEASE, 7), makeReceipt(LEASE, 7));
        b.cost = a.cost + 1;
        (aSig, bSig) = (signReceipt(NODE_KEY, a), signReceipt(NODE_KEY, b));
    }

    function test_two_receipts_for_one_number_are_slashed_and_the_reporter_is_paid() external {
        bytes32 id = ready(FAULT, provider, receiptSubject(LEASE, 7));
        uint256 supply = openx.totalSupply();
        uint256 slashed = STAKED / 5;
        vm.expectEmit();
        emit IFaultProver.FaultProven(id, provider, FAULT, reporter, slashed, slashed / 10);
        prove();
        checkSlashed(provider, STAKED, prover.EQUIVOCATION_PPM(), supply);
        checkTrue(prover.isProven(id), "proven");
        (uint64 faults, uint128 lost) = registry.faultsOf(provider);
        checkEqual(faults, 1, "faults");
        checkEqual(lost, slashed, "counted");
    }

    function test_receipts_of_different_leases_or_numbers_prove_nothing() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        b.leaseId = keccak256("another lease");
        bSig = signReceipt(NODE_KEY, b);
        refused(IFaultProver.NumbersDiffer.selector);
        (b.leaseId, b.number) = (LEASE, 8);
        bSig = signReceipt(NODE_KEY, b);
        refused(IFaultProver.NumbersDiffer.selector);
    }

    function test_equal_receipts_prove_nothing_also_with_other_signatures() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        b = a;
        bSig = aSig;
        refused(IFaultProver.SameDocument.selector);
        bSig = flip(aSig);
        refused(IFaultProver.SameDocument.selector);
    }

    function test_another_providers_signature_proves_nothing() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        bSig = signReceipt(nodeKeyOf(0), b);
        refused(abi.encodeWithSelector(IFaultProver.SignersDiffer.selector, provider, verifierAt(0)));
        vm.expectPartialRevert(IFaultProver.SignersDiffer.selector);
        prover.proveReceipts(b, bSig, a, aSig, SALT);
        (aSig, bSig) = (signReceipt(STRANGER_KEY, a), signReceipt(STRANGER_KEY, b));
        refused(abi.encodeWithSelector(IFaultProver.NotAProvidersKey.selector, stranger));
    }

    function test_both_signed_by_another_provider_slash_that_one_only() external {
        address other = verifierAt(0);
        stakeFor(other, STAKED);
        ready(FAULT, other, receiptSubject(LEASE, 7));
        (aSig, bSig) = (signReceipt(nodeKeyOf(0), a), signReceipt(nodeKeyOf(0), b));
        prove();
        checkEqual(registry.stakeOf(provider), STAKED, "untouched");
        checkTrue(registry.stakeOf(other) < STAKED, "slashed");
        checkEqual(pledgeOf(other), PLEDGE, "its pledge answers for verdicts");
    }

    function test_a_key_that_was_replaced_still_binds_what_it_signed() external {
        bytes memory proof = signNodeKey(OTHER_KEY, provider, vm.addr(OTHER_KEY), registry.nonces(provider), FAR);
        vm.prank(provider);
        registry.rotateNodeKey(vm.addr(OTHER_KEY), FAR, proof);
        bSig = signReceipt(OTHER_KEY, b);
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        prove();
        checkTrue(registry.stakeOf(provider) < STAKED, "slashed");
    }

    function test_a_provider_that_left_is_slashed_all_the_same() external {
        vm.prank(provider);
        registry.deactivate();
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        prove();
        checkTrue(registry.stakeOf(provider) < STAKED, "slashed");
    }

    function test_unstaking_before_the_proof_comes_in_saves_nothing() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        vm.prank(provider);
        registry.startUnstake(STAKED);
        prove();
        checkEqual(registry.stakeDetails(provider).thawing, STAKED - STAKED / 5, "taken from what thaws");
        checkEqual(openx.balanceOf(reporter), STAKED / 50, "reward");
    }

    function test_what_a_fault_costs_and_how_long_a_reporter_waits() external view {
        checkEqual(prover.EQUIVOCATION_PPM(), 200_000, "equivocation");
        checkEqual(prover.OVER_CAPACITY_PPM(), 300_000, "over capacity");
        checkEqual(prover.WRONG_ELEMENT_PPM(), 500_000, "wrong element");
        checkEqual(prover.FALSE_VERDICT_PPM(), 500_000, "false verdict");
        checkEqual(prover.COMMIT_DELAY(), 10 minutes, "delay");
        checkEqual(prover.COMMIT_LIFE(), 1 days, "life");
        checkEqual(prover.TOLERANCE_NS(), 60e9, "tolerance");
        checkEqual(prover.MAX_PAIRS(), 64, "pairs");
        checkEqual(address(prover.registry()), address(registry), "registry");
        checkEqual(address(prover.capacity()), address(capacity), "capacity");
        checkEqual(address(prover.escrow()), address(escrow), "escrow");
    }

    function test_a_prover_without_one_of_its_contracts_cannot_be_deployed() external {
        for (uint256 i = 0; i < 3; i++) {
            bytes memory args = abi.encode(
                i == 0 ? address(0) : address(registry),
                i == 1 ? address(0) : address(capacity),
                i == 2 ? address(0) : address(escrow)
            );
            vm.expectRevert(IFaultProver.ZeroAddress.selector);
            this.deployCode(creationCode("FaultProver", args));
        }
    }

    function deployCode(bytes calldata code) external returns (address) {
        return deploy(code);
    }

    // ---- Signatures

    function test_only_one_form_of_a_signature_counts() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        bytes memory good = bSig;
        bSig = flip(good);
        refused(IFaultProver.NotAProvidersKey.selector);
        (bytes32 r, bytes32 vs) = compact(good);
        bSig = abi.encodePacked(r, vs);
        refused(IFaultProver.NotAProvidersKey.selector);
        bSig = good;
        bSig[64] = bytes1(uint8(good[64]) - 27);
        refused(IFaultProver.NotAProvidersKey.selector);
        bSig = bytes.concat(good, hex"00");
        refused(IFaultProver.NotAProvidersKey.selector);
        bSig = "";
        refused(IFaultProver.NotAProvidersKey.selector);
        bSig = good;
        prove();
    }

    function test_receipts_signed_for_another_chain_or_contract_prove_nothing() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        vm.chainId(8453);
        bSig = signReceipt(NODE_KEY, b);
        vm.chainId(31337);
        refused(IFaultProver.NotAProvidersKey.selector);
        bytes32 elsewhere = MessageHashUtils.toTypedDataHash(capacity.domainSeparator(), XnodeHashes.hashReceipt(b));
        bSig = signAs(NODE_KEY, elsewhere);
        refused(IFaultProver.NotAProvidersKey.selector);
    }

    function test_the_whole_proof_replayed_on_another_chain_proves_nothing() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        vm.chainId(8453);
        refused(IFaultProver.NotAProvidersKey.selector);
    }

    // ---- Reporting

    function test_a_fault_counts_once_with_any_evidence() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        prove();
        refused(IFaultProver.AlreadyProven.selector);
        b.cost++;
        bSig = signReceipt(NODE_KEY, b);
        refused(IFaultProver.AlreadyProven.selector);
        vm.prank(reporter);
        vm.expectPartialRevert(IFaultProver.AlreadyProven.selector);
        prover.proveReceipts(b, bSig, a, aSig, SALT);
    }

    function test_another_number_is_another_fault_once_there_was_a_day_to_stop() external {
        ready(FAULT, provider, receiptSubject(LEASE, 7));
        prove();
        vm.warp(block.timestamp + registry.EPISODE());
        (a.number, b.number) = (8, 8);
        (aSig, bSig) = (signReceipt(NODE_KEY, a), signReceipt(NODE_KEY, b));
        ready(FAULT, provider, receiptSubject(LEASE, 8));
        prove();
        checkEqual(registry.stakeOf(provider), STAKED * 16 / 25, "twice a fifth");
    }

    function test_a_proof_copied_from_the_mempool_is_refused() external {
        bytes32 id = ready(FAULT, provider, receiptSubject(LEASE, 7));
        bytes32 wanted = keccak256(abi.encode(stranger, id, SALT));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.NotCommitted.selector, id, wanted));
        prover.proveReceipts(a, aSig, b, bSig, SALT);

        commitAs(stranger, id);
        uint256 provableAt = block.timestamp + prover.COMMIT_DELAY();
        vm.warp(provableAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.CommitmentTooYoung.selector, provableAt, provableAt - 1));
        vm.prank(stranger);
        prover.proveReceipts(a, aSig, b, bSig, SALT);
        // All that time the reporter's own transaction may go in.
        prove();
        checkEqual(openx.balanceOf(reporter), STAKED / 50, "the reporter has the reward");
    }

    function test_a_copied_commitment_is_of_no_use_and_does_no_harm() external {
        bytes32 id = faultId(FAULT, provider, receiptSubject(LEASE, 7));
        bytes32 commitment = keccak256(abi.encode(reporter, id, SALT));
        vm.prank(stranger);
        prover.commit(commitment);
        uint256 first = prover.committedAt(commitment);
        vm.warp(first + prover.COMMIT_DELAY());
        vm.prank(stranger);
        prover.commit(commitment);
        checkEqual(prover.committedAt(commitment), first, "no younger");
        vm.prank(stranger);
        vm.expectPartialRevert(IFaultProver.NotCommitted.selector);
        prover.proveReceipts(a, aSig, b, bSig, SALT);
        prove();
    }

    function test_a_commitment_serves_for_a_day() external {
        bytes32 id = faultId(FAULT, provider, receiptSubject(LEASE, 7));
        commitAs(reporter, id);
        uint256 last = block.timestamp + prover.COMMIT_LIFE();
        vm.warp(last + 1);
        refused(abi.encodeWithSelector(IFaultProver.CommitmentTooOld.selector, last, block.timestamp));
        commitAs(reporter, id);
        refused(IFaultProver.CommitmentTooYoung.selector);
        vm.warp(block.timestamp + prover.COMMIT_LIFE());
        prove();
    }

    function test_a_provider_that_reports_itself_loses() external {
        bytes32 id = faultId(FAULT, provider, receiptSubject(LEASE, 7));
        uint256 before = openx.balanceOf(provider) + registry.stakeOf(provider);
        commitAs(provider, id);
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        vm.prank(provider);
        prover.proveReceipts(a, aSig, b, bSig, SALT);
        uint256 afterwards = openx.balanceOf(provider) + registry.stakeOf(provider);
        checkEqual(before - afterwards, STAKED * 18 / 100, "nine tenths of the fifth");
    }

    // ---- Offers, quotes, verdicts

    function test_two_offers_for_one_number_are_slashed() external {
        IFaultProver.Numbered memory x = makeNumbered(3, "x");
        IFaultProver.Numbered memory y = makeNumbered(3, "y");
        ready(FAULT, provider, keccak256(abi.encode("offer", node, uint64(3))));
        proveOffers(x, y);
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "slashed");
    }

    function test_two_quotes_for_one_number_are_slashed_beside_two_offers() external {
        IFaultProver.Numbered memory x = makeNumbered(3, "x");
        IFaultProver.Numbered memory y = makeNumbered(3, "y");
        ready(FAULT, provider, keccak256(abi.encode("quote", node, uint64(3))));
        (bytes memory xSig, bytes memory ySig) = (signQuote(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.prank(reporter);
        prover.proveQuotes(x, xSig, y, ySig, SALT);
        vm.warp(block.timestamp + registry.EPISODE() + 1);
        ready(FAULT, provider, keccak256(abi.encode("offer", node, uint64(3))));
        proveOffers(x, y);
        checkEqual(registry.stakeOf(provider), STAKED * 16 / 25, "twice");
    }

    function test_an_offer_and_a_quote_of_one_number_prove_nothing() external {
        IFaultProver.Numbered memory x = makeNumbered(3, "x");
        IFaultProver.Numbered memory y = makeNumbered(3, "y");
        ready(FAULT, provider, keccak256(abi.encode("offer", node, uint64(3))));
        (bytes memory offer, bytes memory quote) = (signOffer(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.prank(reporter);
        vm.expectPartialRevert(IFaultProver.NotAProvidersKey.selector);
        prover.proveOffers(x, offer, y, quote, SALT);
        vm.prank(reporter);
        vm.expectPartialRevert(IFaultProver.NotAProvidersKey.selector);
        prover.proveQuotes(x, offer, y, quote, SALT);
    }

    function test_offers_of_two_nodes_or_numbers_prove_nothing() external {
        IFaultProver.Numbered memory x = makeNumbered(3, "x");
        IFaultProver.Numbered memory y = makeNumbered(4, "y");
        offersRefused(x, y, IFaultProver.NumbersDiffer.selector);
        y = makeNumbered(3, "y");
        y.node = vm.addr(OTHER_KEY);
        offersRefused(x, y, IFaultProver.NumbersDiffer.selector);
        x.node = y.node;
        offersRefused(x, y, IFaultProver.SignersDiffer.selector);
        (x, y) = (makeNumbered(3, "x"), makeNumbered(3, "x"));
        offersRefused(x, y, IFaultProver.SameDocument.selector);
    }

    function test_a_verifier_that_signs_two_verdicts_of_one_challenge_is_slashed() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        ICapacityRegistry.Verdict memory x = makeVerdict(id, true);
        ICapacityRegistry.Verdict memory y = makeVerdict(id, false);
        uint256 key = keyOf(panel[2]);
        ready(FAULT, panel[2], id);
        (bytes memory xSig, bytes memory ySig) = (signVerdict(key, x), signVerdict(key, y));
        vm.prank(reporter);
        prover.proveVerdicts(x, xSig, y, ySig, SALT);
        checkEqual(pledgeOf(panel[2]), PLEDGE * 4 / 5, "slashed");
        checkEqual(openx.balanceOf(reporter), PLEDGE / 50, "reward");
    }

    function test_verdicts_of_two_challenges_or_two_verifiers_prove_nothing() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        ICapacityRegistry.Verdict memory x = makeVerdict(id, true);
        ICapacityRegistry.Verdict memory y = makeVerdict(keccak256("another"), false);
        verdictsRefused(x, keyOf(panel[0]), y, keyOf(panel[0]), IFaultProver.NumbersDiffer.selector);
        y.challengeId = id;
        verdictsRefused(x, keyOf(panel[0]), y, keyOf(panel[1]), IFaultProver.SignersDiffer.selector);
        verdictsRefused(x, keyOf(panel[0]), x, keyOf(panel[0]), IFaultProver.SameDocument.selector);
    }

    // ---- How

    function prove() private {
        vm.prank(reporter);
        prover.proveReceipts(a, aSig, b, bSig, SALT);
    }

    function refused(bytes4 reason) private {
        vm.expectPartialRevert(reason);
        prove();
    }

    function refused(bytes memory reason) private {
        vm.expectRevert(reason);
        prove();
    }

    function proveOffers(IFaultProver.Numbered memory x, IFaultProver.Numbered memory y) private {
        (bytes memory xSig, bytes memory ySig) = (signOffer(NODE_KEY, x), signOffer(NODE_KEY, y));
        vm.prank(reporter);
        prover.proveOffers(x, xSig, y, ySig, SALT);
    }

    function offersRefused(IFaultProver.Numbered memory x, IFaultProver.Numbered memory y, bytes4 reason) private {
        (bytes memory xSig, bytes memory ySig) = (signOffer(NODE_KEY, x), signOffer(NODE_KEY, y));
        vm.prank(reporter);
        vm.expectPartialRevert(reason);
        prover.proveOffers(x, xSig, y, ySig, SALT);
        (xSig, ySig) = (signQuote(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.prank(reporter);
        vm.expectPartialRevert(reason);
        prover.proveQuotes(x, xSig, y, ySig, SALT);
    }

    function verdictsRefused(
        ICapacityRegistry.Verdict memory x,
        uint256 xKey,
        ICapacityRegistry.Verdict memory y,
        uint256 yKey,
        bytes4 reason
    ) private {
        (bytes memory xSig, bytes memory ySig) = (signVerdict(xKey, x), signVerdict(yKey, y));
        vm.prank(reporter);
        vm.expectPartialRevert(reason);
        prover.proveVerdicts(x, xSig, y, ySig, SALT);
    }
}
