// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {Judging} from "./Judging.sol";

/// @notice What verdicts set, and which verdicts count.
contract CapacityVerdictsTest is Judging {
    function setUp() public override {
        super.setUp();
        enlistVerifiers(7);
    }

    function test_a_quorum_that_passed_sets_the_capacity_until_it_expires() external {
        bytes32 id = challenge(true);
        ICapacityRegistry.Capacity memory got = capacity.capacityOf(provider);
        checkEqual(got.gpus, 2, "gpus");
        checkEqual(got.vcpus, 16, "vcpus");
        checkEqual(got.gpuMilli, 2 * GPU_WEIGHT, "gpu units");
        checkEqual(got.cpuMilli, 16 * CPU_WEIGHT, "cpu units");
        checkEqual(got.until - got.from, VALIDITY, "validity");
        checkEqual(capacity.verifiedOf(provider, GPU), 2, "of class gpu");
        checkEqual(capacity.verifiedOf(provider, CPU), 16, "of class cpu");
        checkTrue(capacity.challengeOf(id).stage == ICapacityRegistry.Stage.Passed, "stage");
        checkEqual(capacity.openChallengeOf(provider), bytes32(0), "none open");

        vm.warp(got.until - 1);
        checkEqual(capacity.capacityOf(provider).gpus, 2, "in force in the last second");
        checkEqual(capacity.lapsedSince(provider), 0, "not lapsed");
        vm.warp(got.until);
        checkEqual(capacity.capacityOf(provider).gpus, 0, "expired");
        checkEqual(capacity.verifiedOf(provider, GPU), 0, "of class gpu expired");
        checkEqual(capacity.lapsedSince(provider), got.until, "lapsed");
    }

    function test_a_quorum_that_did_not_pass_jails_until_the_next_pass() external {
        challenge(true);
        vm.warp(block.timestamp + 1 hours);
        challenge(false);
        checkTrue(capacity.isJailed(provider), "jailed");
        checkEqual(capacity.capacityOf(provider).gpus, 0, "nothing in force");
        checkEqual(capacity.lapsedSince(provider), block.timestamp, "since the verdict");
        checkEqual(capacity.historyOf(provider, 0).until, block.timestamp, "cut");
        challenge(true);
        checkTrue(!capacity.isJailed(provider), "free");
        checkEqual(capacity.historyLength(provider), 2, "two verdicts that passed");
        checkEqual(capacity.lapsedSince(provider), 0, "in force");
    }
}
