// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AnswerReveals} from "../src/capacity/AnswerReveals.sol";
import {CapacityRegistry} from "../src/capacity/CapacityRegistry.sol";
import {ChallengeRules} from "../src/capacity/ChallengeRules.sol";
import {IAnswerReveals} from "../src/interfaces/IAnswerReveals.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {Judging} from "./Judging.sol";
import {MatrixProduct} from "../src/faults/MatrixProduct.sol";
import {VerifierRegistry} from "../src/capacity/VerifierRegistry.sol";

/// @notice Demands beside the real CapacityRegistry: what a captured panel passed, and what follows when nobody can show it.
contract RevealedTest is Judging {
    uint32 private constant DEVICE = 2; // the first vCPU of 2 GPUs and 16 vCPUs
    uint64 private constant INDEX = 200;

    AnswerReveals private reveals;
    address private asker = address(0xA5);
    bytes32[] private roots;
    bytes32 private id;
    IAnswerReveals.Place[] private places;
    IAnswerReveals.Leaf[] private leaves;
    IFaultProver.ElementProof[] private proofs;

    function setUp() public override {
        super.setUp();
        verifiers = VerifierRegistry(deploy(verifiersCode(makeVerifierSettings())));
        rules = ChallengeRules(deploy(rulesCode(makeSettings())));
        capacity = CapacityRegistry(deploy(capacityCode()));
        reveals = AnswerReveals(deploy(creationCode("AnswerReveals", abi.encode(registry, capacity))));
        verifiers.connect(address(capacity), address(reveals));
        connectJudge(address(reveals), pledgeHold(verifiers));
        approveFees(provider);
        stakeFor(provider, 10_000 ether);
        enlistVerifiers(5);
        giveOpenx(asker, 100 ether);
        vm.prank(asker);
        openx.approve(address(reveals), type(uint256).max);
    }

    /// @dev The proof of concept of answers that stay hidden, turned round: a quorum passed a thousand devices' worth of nothing.
    function test_a_pass_that_nobody_can_show_is_in_doubt_and_ends() external {
        passWith(1);
        uint256 demandId = demand();
        checkEqual(reveals.demandOf(demandId).fee, FEE, "what a challenge costs");
        vm.warp(block.timestamp + reveals.REVEAL_TIME() + 1);
        checkEqual(capacity.capacityOf(provider).gpus, 2, "good until then");
        reveals.doubt(demandId);
        checkEqual(capacity.capacityOf(provider).gpus, 0, "nothing more is minted on it");
        checkEqual(registry.stakeOf(provider), 10_000 ether, "no stake is lost by silence");
        vm.warp(block.timestamp + RECHECK);
        checkTrue(capacity.lapsedSince(provider) != 0, "and it ends when no challenge is passed");
    }

    /// @dev Demands of one bad day, kept and used one by one, each against a later verdict: four doubts for nothing.
    function test_demands_that_were_not_met_doubt_no_later_verdict() external {
        passWith(0);
        uint256[4] memory demands;
        for (uint256 i = 0; i < 4; i++) {
            demands[i] = demand();
        }
        vm.warp(block.timestamp + reveals.REVEAL_TIME() + 1);
        reveals.doubt(demands[0]);
        checkTrue(capacity.inDoubtUntil(provider) != 0, "the first doubts what it asked about");
        challenge(true);
        for (uint256 i = 1; i < 4; i++) {
            vm.warp(block.timestamp + 1 days);
            vm.expectEmit();
            emit IAnswerReveals.Unrevealed(demands[i], provider, false);
            reveals.doubt(demands[i]);
            checkEqual(capacity.inDoubtUntil(provider), 0, "nobody asked about this one");
        }
        checkEqual(openx.balanceOf(asker), 100 ether, "the fees are back");
    }

    function test_a_provider_that_shows_its_answer_keeps_its_capacity() external {
        passWith(0);
        uint256 demandId = demand();
        vm.prank(node);
        reveals.reveal(demandId, leaves, proofs);
        checkEqual(capacity.capacityOf(provider).gpus, 2, "good");
        checkEqual(openx.balanceOf(address(reveals)), 0, "paid");
    }

    function test_a_wrong_answer_that_was_passed_and_shown_costs_half_of_the_stake() external {
        passWith(-3);
        uint256 demandId = demand();
        vm.prank(node);
        reveals.reveal(demandId, leaves, proofs);
        checkEqual(reveals.proveRevealed(demandId, leaves, 0, proofs[0]), 5_000 ether, "half");
    }

    function test_an_answer_that_was_not_passed_is_not_asked_for() external {
        address[] memory panel;
        (id, panel) = requestAndDraw();
        judge(id, panel, false);
        vm.expectRevert(abi.encodeWithSelector(IAnswerReveals.NotPassed.selector, id, ICapacityRegistry.Stage.Failed));
        vm.prank(asker);
        reveals.demand(id, roots, places);
    }

    // ---- How

    /// @dev A challenge whose panel passed an answer with this leaf, its element 0 off by so much.
    function passWith(int256 off) private {
        address[] memory panel;
        (id, panel) = requestAndDraw();
        (, bytes32 seed, uint32 n) = capacity.deviceOf(id, DEVICE);
        IFaultProver.ElementProof storage proof = proofs.push();
        bytes memory values = new bytes(1024);
        bytes4 first = bytes4(uint32(int32(MatrixProduct.element(seed, n, INDEX, 0) + off)));
        for (uint256 k = 0; k < 4; k++) {
            values[k] = first[k];
        }
        (proof.index, proof.values) = (INDEX, values);
        bytes32 hash = keccak256(bytes.concat(hex"00", bytes8(INDEX), values));
        for (uint256 k = 0; k < 8; k++) {
            bytes32 beside = keccak256(abi.encode("sibling", k));
            proof.path.push(beside);
            bool isRight = INDEX >> k & 1 == 1;
            hash = keccak256(isRight ? bytes.concat(hex"01", beside, hash) : bytes.concat(hex"01", hash, beside));
        }
        for (uint256 i = 0; i < 18; i++) {
            roots.push(i == DEVICE ? hash : keccak256(abi.encode("root", i)));
        }
        places.push(IAnswerReveals.Place(DEVICE, INDEX));
        leaves.push(IAnswerReveals.Leaf(DEVICE, INDEX, n, seed, hash));
        recordWith(panel);
    }

    function recordWith(address[] memory panel) private {
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        for (uint256 i = 0; i < 4; i++) {
            ballot.verdicts[i].answersHash = keccak256(abi.encodePacked(roots));
            ballot.signatures[i] = signVerdict(keyOf(panel[i]), ballot.verdicts[i]);
        }
        capacity.record(id, roots, ballot.verifiers, ballot.verdicts, ballot.signatures);
    }

    function demand() private returns (uint256) {
        vm.prank(asker);
        return reveals.demand(id, roots, places);
    }
}
