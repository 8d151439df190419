// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Usage that no verified hardware could have served. The provider is verified for 2 GPUs and 16 vCPUs.
contract OverCapacityTest is Accusing {
    uint256 private constant HOUR_NS = 3600 * NANOS;
    uint256 private constant GPUS = 2;
    uint256 private constant VCPUS = 16;

    uint256 private start;

    function setUp() public override {
        super.setUp();
        challenge(true);
        start = block.timestamp;
        vm.warp(start + 1 days);
    }

    function test_three_leases_of_a_gpu_on_two_gpus_are_slashed() external {
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        bytes32 id = ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        uint256 supply = openx.totalSupply();
        prove(pairs);
        checkTrue(prover.isProven(id), "proven");
        checkSlashed(provider, STAKED, prover.OVER_CAPACITY_PPM(), supply);
    }

    function test_more_vcpu_time_than_all_vcpus_have_is_slashed() external {
        uint256 each = VCPUS * HOUR_NS / 2 + 1;
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        within(makePairs(2, HOUR_NS, 0, each));
        each = VCPUS * (HOUR_NS + prover.TOLERANCE_NS()) / 2;
        within(makePairs(2, HOUR_NS, 0, each));
        prove(makePairs(2, HOUR_NS, 0, each + 1));
        checkTrue(registry.stakeOf(provider) < STAKED, "slashed");
    }

    function test_usage_exactly_at_the_limit_passes() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        uint256 limit = GPUS * (HOUR_NS + prover.TOLERANCE_NS());
        within(makePairs(2, HOUR_NS, limit / 2, VCPUS * HOUR_NS / 2));
        prove(makePairs(2, HOUR_NS, limit / 2 + 1, 0));
    }

    function test_pairs_count_over_the_whole_time_from_the_oldest_to_the_newest_receipt() external {
        // Two leases after each other, each full for its own hour on both GPUs: within capacity for two hours.
        IFaultProver.ReceiptPair[] memory pairs = makePairs(2, HOUR_NS, 2 * HOUR_NS, 0);
        pairs[1] = makePair(leaseAt(1), start * NANOS + HOUR_NS, HOUR_NS, 2 * HOUR_NS, 0);
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        within(pairs);
        // The same two at the same time are not.
        prove(makePairs(2, HOUR_NS, 2 * HOUR_NS, 0));
    }

    function test_one_lease_alone_can_be_too_much() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        prove(makePairs(1, HOUR_NS, 3 * HOUR_NS, 0));
    }

    function test_a_lease_counts_once() external {
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        pairs[2] = pairs[1];
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        refused(pairs, abi.encodeWithSelector(IFaultProver.LeasesNotAscending.selector, pairs[2].older.leaseId));
        // Other receipts of the same lease, next to each other in time, as if of two leases.
        pairs[2] = makePair(leaseAt(1), start * NANOS + HOUR_NS, HOUR_NS, HOUR_NS, 0);
        refused(pairs, abi.encodeWithSelector(IFaultProver.LeasesNotAscending.selector, pairs[2].older.leaseId));
        pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        (pairs[0], pairs[1]) = (pairs[1], pairs[0]);
        refused(pairs, abi.encodeWithSelector(IFaultProver.LeasesNotAscending.selector, pairs[1].older.leaseId));
    }

    function test_a_pair_is_of_one_lease_and_in_order() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(1, HOUR_NS, 3 * HOUR_NS, 0);
        pairs[0].newer.leaseId = leaseAt(5);
        resign(pairs[0], NODE_KEY);
        refused(pairs, IFaultProver.PairOfTwoLeases.selector);

        pairs = makePairs(1, HOUR_NS, 3 * HOUR_NS, 0);
        pairs[0].newer.number = pairs[0].older.number;
        resign(pairs[0], NODE_KEY);
        refused(pairs, IFaultProver.PairOutOfOrder.selector);

        pairs = makePairs(1, HOUR_NS, 3 * HOUR_NS, 0);
        pairs[0].newer.atNs = pairs[0].older.atNs - 1;
        resign(pairs[0], NODE_KEY);
        refused(pairs, IFaultProver.PairOutOfOrder.selector);
    }

    function test_usage_that_falls_is_not_this_fault() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        pairs[1].newer.usage.vcpuNs = pairs[1].older.usage.vcpuNs - 1;
        resign(pairs[1], NODE_KEY);
        refused(pairs, IFaultProver.UsageFalls.selector);
        pairs[1].newer.usage.vcpuNs = pairs[1].older.usage.vcpuNs;
        pairs[1].newer.usage.gpuNs = pairs[1].older.usage.gpuNs - 1;
        resign(pairs[1], NODE_KEY);
        refused(pairs, IFaultProver.UsageFalls.selector);
    }

    function test_receipts_of_two_providers_prove_nothing_together() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        resign(pairs[2], nodeKeyOf(0));
        refused(pairs, abi.encodeWithSelector(IFaultProver.SignersDiffer.selector, provider, verifierAt(0)));
        pairs[2].newerSig = signReceipt(NODE_KEY, pairs[2].newer);
        refused(pairs, abi.encodeWithSelector(IFaultProver.SignersDiffer.selector, verifierAt(0), provider));
        resign(pairs[2], STRANGER_KEY);
        refused(pairs, abi.encodeWithSelector(IFaultProver.NotAProvidersKey.selector, stranger));
    }

    function test_a_replaced_key_counts_beside_the_new_one() external {
        bytes memory proof = signNodeKey(OTHER_KEY, provider, vm.addr(OTHER_KEY), registry.nonces(provider), FAR);
        vm.prank(provider);
        registry.rotateNodeKey(vm.addr(OTHER_KEY), FAR, proof);
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        pairs[1].newerSig = signReceipt(OTHER_KEY, pairs[1].newer);
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        prove(pairs);
    }

    function test_every_signature_is_checked() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        pairs[1].olderSig = flip(pairs[1].olderSig);
        refused(pairs, IFaultProver.NotAProvidersKey.selector);
        pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        pairs[2].newer.usage.gpuNs++;
        refused(pairs, IFaultProver.NotAProvidersKey.selector);
    }

    function test_receipts_from_before_or_after_the_verdict_prove_nothing() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        uint256 from = start * NANOS;
        refused(pairsFrom(from - 1, 3), IFaultProver.OutsideOfVerdict.selector);
        uint256 until = capacity.historyOf(provider, 0).until * NANOS;
        refused(pairsFrom(until - HOUR_NS + 1, 3), IFaultProver.OutsideOfVerdict.selector);
        prove(pairsFrom(until - HOUR_NS, 3));
    }

    function test_each_verdict_judges_its_own_time() external {
        challenge(true);
        uint256 second = block.timestamp;
        vm.warp(second + 1 days);
        checkEqual(capacity.historyOf(provider, 0).until, second, "the first was cut");
        // The hour straddles the two verdicts: neither judges it.
        IFaultProver.ReceiptPair[] memory pairs = pairsFrom(second * NANOS - HOUR_NS / 2, 3);
        bytes32 first = ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        commitAs(reporter, faultId(IFaultProver.Fault.OverCapacity, provider, bytes32(uint256(1))));
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        refused(pairs, IFaultProver.OutsideOfVerdict.selector);
        vm.expectPartialRevert(IFaultProver.OutsideOfVerdict.selector);
        vm.prank(reporter);
        prover.proveOverCapacity(pairs, 1, SALT);

        prove(pairsFrom(start * NANOS, 3));
        checkTrue(prover.isProven(first), "the first");
        pairs = pairsFrom(second * NANOS, 3);
        vm.warp(block.timestamp + registry.EPISODE() + 1);
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(uint256(1)));
        vm.prank(reporter);
        prover.proveOverCapacity(pairs, 1, SALT);
        checkEqual(registry.stakeOf(provider), STAKED / 2, "twice, up to the ceiling");
    }

    function test_one_verdict_is_passed_over_once_with_any_evidence() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        prove(makePairs(3, HOUR_NS, HOUR_NS, 0));
        refused(makePairs(4, HOUR_NS, HOUR_NS, 0), IFaultProver.AlreadyProven.selector);
        refused(pairsFrom(start * NANOS + 5 * HOUR_NS, 3), IFaultProver.AlreadyProven.selector);
    }

    function test_a_kind_that_was_never_verified_is_not_judged() external {
        ICapacityRegistry.DeclaredClass[] memory declared = new ICapacityRegistry.DeclaredClass[](1);
        declared[0] = ICapacityRegistry.DeclaredClass(CPU, 16);
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(declared);
        judge(id, drawn(id).panel, true);
        start = block.timestamp;
        vm.warp(start + 1 days);
        commitAs(reporter, faultId(IFaultProver.Fault.OverCapacity, provider, bytes32(uint256(1))));
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, HOUR_NS);
        vm.expectPartialRevert(IFaultProver.WithinCapacity.selector);
        vm.prank(reporter);
        prover.proveOverCapacity(pairs, 1, SALT);
    }

    function test_a_verdict_that_is_not_there_judges_nobody() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(uint256(1)));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(3, HOUR_NS, HOUR_NS, 0);
        vm.expectRevert();
        vm.prank(reporter);
        prover.proveOverCapacity(pairs, 1, SALT);
    }

    function test_no_pairs_or_too_many_are_refused() external {
        refused(new IFaultProver.ReceiptPair[](0), abi.encodeWithSelector(IFaultProver.PairsCount.selector, 0, 64));
        refused(new IFaultProver.ReceiptPair[](65), abi.encodeWithSelector(IFaultProver.PairsCount.selector, 65, 64));
    }

    function test_the_most_pairs_fit_in_a_transaction() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(64, HOUR_NS, HOUR_NS, 0);
        checkTrue(abi.encode(pairs).length < 100_000, "size");
        uint256 before = gasleft();
        prove(pairs);
        checkGas(before - gasleft(), 5_000_000);
    }

    function test_usage_at_the_edge_of_its_width_does_not_overflow() external {
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = makePairs(64, HOUR_NS, 0, 0);
        for (uint256 i = 0; i < pairs.length; i++) {
            pairs[i].newer.usage.gpuNs = type(uint128).max;
            pairs[i].newer.usage.vcpuNs = type(uint128).max;
            resign(pairs[i], NODE_KEY);
        }
        prove(pairs);
    }

    function test_an_honest_schedule_is_never_above(uint256 seed) external {
        // Leases one after another on each GPU, counters read up to a second late, any receipts of them shown.
        ready(IFaultProver.Fault.OverCapacity, provider, bytes32(0));
        IFaultProver.ReceiptPair[] memory pairs = new IFaultProver.ReceiptPair[](8);
        uint256[2] memory free = [start * NANOS, start * NANOS];
        for (uint256 i = 0; i < pairs.length; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 length = 1 * NANOS + seed % HOUR_NS;
            uint256 late = uint256(keccak256(abi.encode(seed, "late"))) % NANOS;
            pairs[i] = makePair(leaseAt(i), free[i % 2], length, length + late, 0);
            free[i % 2] += length;
        }
        within(pairs);
    }

    // ---- How

    /// @dev count leases over the same time from the start of the verdict, each with this usage.
    function makePairs(uint256 count, uint256 lengthNs, uint256 gpuNs, uint256 vcpuNs)
        private
        view
        returns (IFaultProver.ReceiptPair[] memory pairs)
    {
        pairs = new IFaultProver.ReceiptPair[](count);
        for (uint256 i = 0; i < count; i++) {
            pairs[i] = makePair(leaseAt(i), start * NANOS, lengthNs, gpuNs, vcpuNs);
        }
    }

    function pairsFrom(uint256 fromNs, uint256 count) private view returns (IFaultProver.ReceiptPair[] memory pairs) {
        pairs = new IFaultProver.ReceiptPair[](count);
        for (uint256 i = 0; i < count; i++) {
            pairs[i] = makePair(leaseAt(i), fromNs, HOUR_NS, HOUR_NS, 0);
        }
    }

    function leaseAt(uint256 i) private pure returns (bytes32) {
        return bytes32(1000 + i);
    }

    function makePair(bytes32 leaseId, uint256 fromNs, uint256 lengthNs, uint256 gpuNs, uint256 vcpuNs)
        private
        view
        returns (IFaultProver.ReceiptPair memory pair)
    {
        pair.older = makeReceipt(leaseId, 4);
        pair.newer = makeReceipt(leaseId, 9);
        (pair.older.atNs, pair.newer.atNs) = (uint64(fromNs), uint64(fromNs + lengthNs));
        (pair.older.usage.gpuNs, pair.older.usage.vcpuNs) = (5e9, 7e9);
        pair.newer.usage.gpuNs = uint128(5e9 + gpuNs);
        pair.newer.usage.vcpuNs = uint128(7e9 + vcpuNs);
        resign(pair, NODE_KEY);
    }

    function resign(IFaultProver.ReceiptPair memory pair, uint256 key) private view {
        pair.olderSig = signReceipt(key, pair.older);
        pair.newerSig = signReceipt(key, pair.newer);
    }

    function prove(IFaultProver.ReceiptPair[] memory pairs) private {
        vm.prank(reporter);
        prover.proveOverCapacity(pairs, 0, SALT);
    }

    function within(IFaultProver.ReceiptPair[] memory pairs) private {
        refused(pairs, IFaultProver.WithinCapacity.selector);
    }

    function refused(IFaultProver.ReceiptPair[] memory pairs, bytes4 reason) private {
        vm.expectPartialRevert(reason);
        prove(pairs);
    }

    function refused(IFaultProver.ReceiptPair[] memory pairs, bytes memory reason) private {
        vm.expectRevert(reason);
        prove(pairs);
    }
}
