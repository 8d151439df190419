// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {ICommitments} from "../src/interfaces/ICommitments.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {MatrixProduct} from "../src/faults/MatrixProduct.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Answers that hold a wrong element, and verdicts that passed them. Device 0 and 1 are GPUs, 2 to 17 are vCPUs.
contract WrongElementTest is Accusing {
    uint32 private constant DEVICE = 2;
    uint64 private constant ROW = 37;
    uint8 private constant COLUMN = 201;

    bytes32 private id;
    address[] private panel;
    IFaultProver.ElementProof private proof;
    IFaultProver.CapacityAnswer private answer;
    bytes private sig;

    function setUp() public override {
        super.setUp();
        (id, panel) = requestAndDraw();
        setAnswer(DEVICE, 1);
    }

    function test_a_signed_answer_with_a_wrong_element_is_slashed() external {
        bytes32 fault = readyAgainst(provider);
        uint256 supply = openx.totalSupply();
        prove();
        checkTrue(prover.isProven(fault), "proven");
        checkSlashed(provider, STAKED, prover.WRONG_ELEMENT_PPM(), supply);
    }

    function test_an_element_that_is_right_proves_nothing() external {
        setAnswer(DEVICE, 0);
        readyAgainst(provider);
        int256 right = MatrixProduct.element(answer.seed, CPU_N, ROW, COLUMN);
        refused(abi.encodeWithSelector(IFaultProver.ElementIsRight.selector, ROW, COLUMN, right));
    }

    function test_a_wrong_element_of_a_larger_matrix_is_found_at_its_column(uint8 column, uint64 leaf) external {
        leaf = uint64(within(leaf, 0, GPU_N * (GPU_N / 256) - 1));
        setProof(1, leaf, column, 0);
        readyAgainst(provider);
        refused(IFaultProver.ElementIsRight.selector);
        setProof(1, leaf, column, -1);
        readyAgainst(provider);
        prove();
    }

    function test_a_proof_that_does_not_lead_to_the_signed_root_is_refused() external {
        readyAgainst(provider);
        proof.values[4 * uint256(COLUMN) + 3] ^= 0x01;
        bytes32 root = rootOf(proof.index, proof.values, proof.path);
        refused(abi.encodeWithSelector(IFaultProver.NotInAnswer.selector, root, answer.root));
        proof.values[4 * uint256(COLUMN) + 3] ^= 0x01;
        proof.path[3] ^= bytes32(uint256(1));
        refused(IFaultProver.NotInAnswer.selector);
        proof.path[3] ^= bytes32(uint256(1));
        // A right leaf shown at another place would be wrong there.
        proof.index ^= 1;
        refused(IFaultProver.NotInAnswer.selector);
        proof.index ^= 1;
        prove();
    }

    function test_a_path_with_a_node_as_leaf_or_of_another_length_is_refused() external {
        readyAgainst(provider);
        proof.path.push(bytes32(0));
        refused(abi.encodeWithSelector(IFaultProver.PathLength.selector, 9, 8));
        proof.path.pop();
        proof.path.pop();
        refused(abi.encodeWithSelector(IFaultProver.PathLength.selector, 7, 8));
        proof.index = 256;
        refused(abi.encodeWithSelector(IFaultProver.LeafOutOfTree.selector, 256, 256));
        proof.index = ROW;
        proof.values = new bytes(64);
        refused(abi.encodeWithSelector(IFaultProver.LeafLength.selector, 64, 1024));
    }

    function test_an_answer_for_another_seed_size_or_device_proves_nothing() external {
        readyAgainst(provider);
        IFaultProver.CapacityAnswer memory good = answer;
        answer.seed = keccak256("self-test");
        notTheDevice(good);
        answer.n = 512;
        notTheDevice(good);
        answer.device = DEVICE + 1;
        notTheDevice(good);
        answer.device = 18;
        notTheDevice(good);
        answer.challengeId = keccak256("a local test");
        sig = signAs(NODE_KEY, digest());
        refused(abi.encodeWithSelector(IFaultProver.NotDrawn.selector, answer.challengeId));
        answer = good;
        sig = signAs(NODE_KEY, digest());
        prove();
    }

    function test_an_answer_to_another_providers_challenge_proves_nothing() external {
        readyAgainst(verifierAt(0));
        sig = signAs(nodeKeyOf(0), digest());
        refused(abi.encodeWithSelector(IFaultProver.NotTheDevice.selector, id, DEVICE));
        sig = signAs(STRANGER_KEY, digest());
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_only_one_form_of_an_answers_signature_counts() external {
        readyAgainst(provider);
        bytes memory good = sig;
        sig = flip(good);
        refused(IEvidence.NotAProvidersKey.selector);
        (bytes32 r, bytes32 vs) = compact(good);
        sig = abi.encodePacked(r, vs);
        refused(IEvidence.NotAProvidersKey.selector);
        sig = signAs(
            NODE_KEY, MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashCapacityAnswer(answer))
        );
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_a_wrong_answer_counts_once_for_all_of_its_elements() external {
        readyAgainst(provider);
        prove();
        proof.column--;
        readyAgainst(provider);
        refused(IProviderRegistry.NothingToTake.selector);
        checkEqual(registry.stakeOf(provider), STAKED / 2, "half, once");
    }

    function test_who_does_not_know_the_wrong_element_cannot_stand_ready_with_a_commitment() external {
        // The answer is public; which of its elements is wrong, and what stands there, is what a reporter found.
        commitAs(prover, stranger, evidenceId(IEvidence.Fault.WrongElement, provider, digest(), bytes32(0)));
        uint8 found = proof.column;
        proof.column--;
        commitAs(prover, stranger, elementId(provider));
        proof.column = found;
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        vm.prank(stranger);
        prover.proveWrongElement(answer, sig, proof, SALT);
    }

    function test_an_answer_before_the_draw_proves_nothing() external {
        judge(id, panel, true);
        bytes32 undrawn = request();
        answer.challengeId = undrawn;
        answer.seed = bytes32(0);
        sig = signAs(NODE_KEY, digest());
        refused(abi.encodeWithSelector(IFaultProver.NotDrawn.selector, undrawn));
    }

    function test_an_answer_counts_under_the_key_of_its_challenge() external {
        // Replaced right after the draw: the new key answers, and is judged.
        vm.warp(block.timestamp + 1);
        rotateKey(OTHER_KEY);
        sig = signAs(OTHER_KEY, digest());
        readyAgainst(provider);
        prove();
        // One that was bound after the deadline is none that answered.
        vm.warp(block.timestamp + ANSWER_TIME);
        rotateKey(STRANGER_KEY);
        sig = signAs(STRANGER_KEY, digest());
        refused(IEvidence.NotAProvidersKey.selector);
    }

    // ---- False verdicts

    function test_a_verdict_that_passed_a_wrong_row_that_it_opened_is_slashed() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        bytes32 fault = readyFor(verdict);
        uint256 supply = openx.totalSupply();
        proveVerdict(verdict, makeRoots());
        checkTrue(prover.isProven(fault), "proven");
        checkEqual(pledgeOf(panel[1]), 0, "all of it");
        checkEqual(openx.balanceOf(reporter), PLEDGE / 10, "reward");
        checkEqual(supply - openx.totalSupply(), PLEDGE * 9 / 10, "burned: a pledge pays nobody");
        checkEqual(registry.stakeOf(provider), STAKED, "the provider is judged apart");
    }

    function test_a_verdict_counts_once_with_any_row() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        readyFor(verdict);
        proveVerdict(verdict, makeRoots());
        proof.column--;
        readyFor(verdict);
        verdictRefused(verdict, makeRoots(), IProviderRegistry.NothingToTake.selector);
    }

    function test_a_row_that_was_not_opened_proves_nothing() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        readyFor(verdict);
        uint64 row = 0;
        while (isOpened(verdict.openingSeed, row)) {
            row++;
        }
        rowRefused(verdict, row);
        // The one that a fifth opened row would have been.
        rowRefused(verdict, rowAt(verdict.openingSeed, capacity.OPENED_ROWS()));
    }

    function test_every_row_that_was_opened_counts(uint32 k) external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        k = uint32(within(k, 0, capacity.OPENED_ROWS() - 1));
        setProof(DEVICE, rowAt(verdict.openingSeed, k), COLUMN, 1);
        verdict.answersHash = keccak256(abi.encodePacked(makeRoots()));
        readyFor(verdict);
        proveVerdict(verdict, makeRoots());
    }

    function test_a_verdict_that_did_not_pass_proves_nothing() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        verdict.passed = false;
        readyFor(verdict);
        verdictRefused(verdict, makeRoots(), IFaultProver.VerdictDidNotPass.selector);
    }

    function test_a_right_element_proves_nothing_against_a_verdict() external {
        setProof(DEVICE, rowAt(keccak256("entropy"), 2), COLUMN, 0);
        ICapacityRegistry.Verdict memory verdict = makeVerdict(id, true);
        verdict.answersHash = keccak256(abi.encodePacked(makeRoots()));
        readyFor(verdict);
        verdictRefused(verdict, makeRoots(), IFaultProver.ElementIsRight.selector);
    }

    function test_other_roots_than_the_verdicts_prove_nothing() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        readyFor(verdict);
        bytes32[] memory roots = makeRoots();
        roots[5] = keccak256("another");
        bytes memory signed = signVerdict(keyOf(panel[1]), verdict);
        bytes32 shown = keccak256(abi.encodePacked(roots));
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.RootsNotOfVerdict.selector, shown, verdict.answersHash));
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
        // The right roots, but another device's: its root is not where the proof leads.
        roots = makeRoots();
        vm.expectPartialRevert(IFaultProver.NotInAnswer.selector);
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE + 1, proof, SALT);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.NotTheDevice.selector, id, 18));
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, 18, proof, SALT);
    }

    function test_a_device_whose_root_the_verdict_left_out_proves_nothing() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        bytes32[] memory roots = new bytes32[](2);
        verdict.answersHash = keccak256(abi.encodePacked(roots));
        readyFor(verdict);
        verdictRefused(verdict, roots, IFaultProver.NotTheDevice.selector);
    }

    function test_a_device_that_the_challenge_does_not_have_proves_nothing() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        bytes32[] memory roots = new bytes32[](19);
        roots[18] = answer.root;
        verdict.answersHash = keccak256(abi.encodePacked(roots));
        bytes memory signed = signVerdict(keyOf(panel[1]), verdict);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.NotTheDevice.selector, id, 18));
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, 18, proof, SALT);
        verdict.challengeId = keccak256("no challenge");
        signed = signVerdict(keyOf(panel[1]), verdict);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.NotDrawn.selector, verdict.challengeId));
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, 0, proof, SALT);
    }

    function test_a_verdict_of_one_who_did_not_sit_on_the_panel_proves_nothing() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        bytes memory signed = signVerdict(NODE_KEY, verdict);
        bytes32[] memory roots = makeRoots();
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.NotOnPanel.selector, id, provider));
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
    }

    function test_another_verifiers_signature_slashes_only_that_one() external {
        ICapacityRegistry.Verdict memory verdict = passedVerdict();
        readyFor(verdict);
        bytes memory signed = signVerdict(keyOf(panel[0]), verdict);
        bytes32[] memory roots = makeRoots();
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
        signed = signVerdict(STRANGER_KEY, verdict);
        vm.expectPartialRevert(IEvidence.NotAProvidersKey.selector);
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
    }

    // ---- How

    function rowRefused(ICapacityRegistry.Verdict memory verdict, uint64 row) private {
        setProof(DEVICE, row, COLUMN, 1);
        bytes32[] memory roots = makeRoots();
        verdict.answersHash = keccak256(abi.encodePacked(roots));
        bytes memory signed = signVerdict(keyOf(panel[1]), verdict);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.RowNotOpened.selector, row));
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
    }

    /// @dev A proof of an element in row ROW of a vCPU's answer, whose element COLUMN is off by this.
    function setAnswer(uint32 device, int256 off) private {
        setProof(device, ROW, COLUMN, off);
    }

    function setProof(uint32 device, uint64 leaf, uint8 column, int256 off) private {
        (, bytes32 seed, uint32 n) = capacity.deviceOf(id, device);
        uint256 leavesInRow = n / 256;
        uint256 place = leaf % leavesInRow * 256 + column;
        int256 value = MatrixProduct.element(seed, n, leaf / leavesInRow, place) + off;
        bytes memory values = new bytes(1024);
        for (uint256 k = 0; k < 4; k++) {
            values[4 * uint256(column) + k] = bytes4(uint32(int32(value)))[k];
        }
        uint256 height;
        while (1 << height < n * leavesInRow) {
            height++;
        }
        delete proof;
        (proof.index, proof.column, proof.values) = (leaf, column, values);
        for (uint256 k = 0; k < height; k++) {
            proof.path.push(keccak256(abi.encode("sibling", k)));
        }
        answer = IFaultProver.CapacityAnswer(id, device, n, seed, rootOf(leaf, values, proof.path));
        sig = signAs(NODE_KEY, digest());
    }

    function rootOf(uint64 leaf, bytes memory values, bytes32[] memory path) private pure returns (bytes32 hash) {
        hash = keccak256(bytes.concat(hex"00", bytes8(leaf), values));
        for (uint256 k = 0; k < path.length; k++) {
            bool isRight = (leaf >> k) % 2 == 1;
            hash = keccak256(isRight ? bytes.concat(hex"01", path[k], hash) : bytes.concat(hex"01", hash, path[k]));
        }
    }

    function digest() private view returns (bytes32) {
        bytes32 hash = XnodeHashes.hashCapacityAnswer(answer);
        return MessageHashUtils.toTypedDataHash(capacity.domainSeparator(), hash);
    }

    function makeRoots() private view returns (bytes32[] memory roots) {
        roots = new bytes32[](18);
        for (uint256 i = 0; i < roots.length; i++) {
            roots[i] = keccak256(abi.encode("root", i));
        }
        roots[DEVICE] = answer.root;
    }

    /// @dev Passed the wrong answer, with its first opened row as the proof's.
    function passedVerdict() private returns (ICapacityRegistry.Verdict memory verdict) {
        verdict = makeVerdict(id, true);
        setProof(DEVICE, rowAt(verdict.openingSeed, 0), COLUMN, 1);
        verdict.answersHash = keccak256(abi.encodePacked(makeRoots()));
    }

    function rowAt(bytes32 openingSeed, uint32 k) private pure returns (uint64) {
        return uint64(uint256(keccak256(abi.encode(openingSeed, DEVICE, k))) % CPU_N);
    }

    function isOpened(bytes32 openingSeed, uint64 row) private pure returns (bool) {
        for (uint32 k = 0; k < 4; k++) {
            if (rowAt(openingSeed, k) == row) return true;
        }
        return false;
    }

    function elementId(address who) private view returns (bytes32) {
        return evidenceId(IEvidence.Fault.WrongElement, who, digest(), elementDigest());
    }

    function elementDigest() private view returns (bytes32) {
        return keccak256(abi.encode(proof.index, proof.column, keccak256(proof.values)));
    }

    function readyAgainst(address who) private returns (bytes32 evidence) {
        evidence = elementId(who);
        ready(prover, evidence);
    }

    function readyFor(ICapacityRegistry.Verdict memory verdict) private returns (bytes32 evidence) {
        evidence = evidenceId(IEvidence.Fault.FalseVerdict, panel[1], verdictDigest(verdict), elementDigest());
        ready(prover, evidence);
    }

    function prove() private {
        vm.prank(reporter);
        prover.proveWrongElement(answer, sig, proof, SALT);
    }

    function notTheDevice(IFaultProver.CapacityAnswer memory good) private {
        sig = signAs(NODE_KEY, digest());
        refused(abi.encodeWithSelector(IFaultProver.NotTheDevice.selector, answer.challengeId, answer.device));
        answer = good;
        sig = signAs(NODE_KEY, digest());
    }

    function refused(bytes4 reason) private {
        vm.expectPartialRevert(reason);
        prove();
    }

    function refused(bytes memory reason) private {
        vm.expectRevert(reason);
        prove();
    }

    function proveVerdict(ICapacityRegistry.Verdict memory verdict, bytes32[] memory roots) private {
        bytes memory signed = signVerdict(keyOf(panel[1]), verdict);
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
    }

    function verdictRefused(ICapacityRegistry.Verdict memory verdict, bytes32[] memory roots, bytes4 reason) private {
        bytes memory signed = signVerdict(keyOf(panel[1]), verdict);
        vm.expectPartialRevert(reason);
        vm.prank(reporter);
        prover.proveFalseVerdict(verdict, signed, roots, DEVICE, proof, SALT);
    }
}
