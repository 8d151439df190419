// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {ICommitments} from "../src/interfaces/ICommitments.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IOverCapacity} from "../src/interfaces/IOverCapacity.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Usage that no verified hardware could have served. The provider is verified for 2 GPUs and 16 vCPUs.
contract OverCapacityTest is Accusing {
    uint64 private constant HOUR_NS = 3600e9;
    uint256 private constant GPUS = 2;
    uint256 private constant VCPUS = 16;

    /// @dev When the verdict came, in nanoseconds.
    uint64 private start;

    function setUp() public override {
        super.setUp();
        verify(2, 16);
        start = uint64(block.timestamp * NANOS);
        vm.warp(block.timestamp + 1 days);
    }

    // ---- What is too much

    function test_three_leases_of_a_gpu_on_two_gpus_are_slashed() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 2 * HOUR_NS, 0);
        uint256 supply = openx.totalSupply();
        bytes32 id = idOf(pairs, 0);
        prove(pairs);
        checkTrue(overCapacity.isProven(id), "proven");
        checkSlashed(provider, STAKED, overCapacity.OVER_CAPACITY_PPM(), supply);
    }

    function test_usage_exactly_at_the_limit_passes() external {
        uint128 limit = uint128(GPUS * (2 * HOUR_NS + overCapacity.TOLERANCE_NS()));
        refused(
            makePairs(3, 2 * HOUR_NS, limit / 3, 0),
            abi.encodeWithSelector(IOverCapacity.WithinCapacity.selector, limit, 0, 2 * HOUR_NS)
        );
        prove(makePairs(3, 2 * HOUR_NS, limit / 3 + 1, 0));
    }

    function test_more_vcpu_time_than_all_vcpus_have_is_slashed() external {
        uint128 limit = uint128(VCPUS * (2 * HOUR_NS + overCapacity.TOLERANCE_NS()));
        refused(
            makePairs(3, 2 * HOUR_NS, 0, limit / 3),
            abi.encodeWithSelector(IOverCapacity.WithinCapacity.selector, 0, limit, 2 * HOUR_NS)
        );
        prove(makePairs(3, 2 * HOUR_NS, 0, limit / 3 + 1));
    }

    function test_pairs_count_over_the_whole_time_from_the_oldest_to_the_newest_receipt() external {
        // Two leases after each other, each full for its own hours on both GPUs: within capacity.
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](2);
        pairs[0] = makePair(0, start, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[1] = makePair(1, start + 2 * HOUR_NS, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        refused(sort(pairs), IOverCapacity.WithinCapacity.selector);
        // The same two at the same time are not.
        prove(makePairs(2, 2 * HOUR_NS, 4 * HOUR_NS, 0));
    }

    function test_a_window_shorter_than_an_hour_judges_nobody() external {
        refused(
            makePairs(8, HOUR_NS - 1, 2 * HOUR_NS, 0),
            abi.encodeWithSelector(IOverCapacity.WindowTooShort.selector, HOUR_NS - 1, HOUR_NS)
        );
        prove(makePairs(8, HOUR_NS, 2 * HOUR_NS, 0));
    }

    function test_a_lease_never_counts_more_than_it_reserved_for_its_own_time() external {
        // A counter that jumped, or usage that went on while the clock was set back: one lease alone is no excess.
        refused(makePairs(1, 2 * HOUR_NS, 100 * HOUR_NS, 10_000 * HOUR_NS), IOverCapacity.WithinCapacity.selector);
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(2, 2 * HOUR_NS, 100 * HOUR_NS, 0);
        for (uint256 i = 0; i < 2; i++) {
            pairs[i].lease.terms.resources.gpus = 1;
            resign(pairs[i], NODE_KEY);
        }
        refused(sort(pairs), IOverCapacity.WithinCapacity.selector);
        for (uint256 i = 0; i < 2; i++) {
            pairs[i].lease.terms.resources.gpus = 0;
            pairs[i].newer.receipt.usage.vcpuNs = 1_000 * HOUR_NS;
            pairs[i].lease.terms.resources.vcpuMilli = 8_000;
            resign(pairs[i], NODE_KEY);
        }
        refused(sort(pairs), IOverCapacity.WithinCapacity.selector);
    }

    function test_a_lease_counts_up_to_all_that_it_reserved() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(1, 2 * HOUR_NS, 0, 10_000 * HOUR_NS);
        // 18 vCPUs for two hours are 16 for two hours and a quarter.
        pairs[0].lease.terms.resources.vcpuMilli = 18_000;
        resign(pairs[0], NODE_KEY);
        refused(
            pairs, abi.encodeWithSelector(IOverCapacity.WithinCapacity.selector, 0, 36 * uint256(HOUR_NS), 2 * HOUR_NS)
        );
        pairs[0].lease.terms.resources.vcpuMilli++;
        resign(pairs[0], NODE_KEY);
        prove(pairs);
    }

    function test_a_clock_set_back_by_minutes_judges_nobody() external {
        // One lease after the other on both GPUs; between them the clock was set back by a quarter of an hour.
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](2);
        pairs[0] = makePair(0, start + HOUR_NS, HOUR_NS, 2 * HOUR_NS, 0);
        pairs[1] = makePair(1, start + HOUR_NS * 7 / 4, HOUR_NS, 2 * HOUR_NS, 0);
        refused(sort(pairs), IOverCapacity.WithinCapacity.selector);
    }

    function test_an_honest_schedule_is_never_above(uint256 seed) external {
        // Leases one after another on each GPU, counters read up to a second late, any receipts of them shown.
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](8);
        uint64[2] memory free = [start, start];
        for (uint256 i = 0; i < pairs.length; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint64 length = uint64(1 * NANOS + seed % (2 * HOUR_NS));
            uint64 late = uint64(uint256(keccak256(abi.encode(seed, "late"))) % NANOS);
            pairs[i] = makePair(i, free[i % 2], length, length + late, 0);
            pairs[i].lease.terms.resources.gpus = 1;
            resign(pairs[i], NODE_KEY);
            free[i % 2] += length;
        }
        bytes32 commitment = gather(sort(pairs), 0);
        vm.prank(reporter);
        (bool isGuilty,) = address(overCapacity).call(abi.encodeCall(overCapacity.close, (commitment, SALT)));
        checkTrue(!isGuilty, "an honest provider");
    }

    function test_numbers_at_their_largest_do_not_overflow() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(4, 2 * HOUR_NS, 0, 0);
        for (uint256 i = 0; i < pairs.length; i++) {
            pairs[i].newer.receipt.usage.gpuNs = type(uint128).max;
            pairs[i].newer.receipt.usage.vcpuNs = type(uint128).max;
            pairs[i].lease.terms.resources.gpus = type(uint64).max;
            pairs[i].lease.terms.resources.vcpuMilli = type(uint64).max;
            pairs[i].older.receipt.runningNs = type(uint64).max;
            pairs[i].lease.terms.openUntilNs = type(uint64).max;
            resign(pairs[i], NODE_KEY);
        }
        // So long a running time says that the lease began in 1970.
        refusedPairs(sort(pairs), IOverCapacity.NotBegunUnder.selector);
        for (uint256 i = 0; i < pairs.length; i++) {
            pairs[i].older.receipt.runningNs = 0;
            resign(pairs[i], NODE_KEY);
        }
        prove(sort(pairs));
    }

    // ---- What was promised

    function test_verifying_less_than_runs_is_no_fault() external {
        // A lease of all 16 vCPUs runs; then the provider has 8 verified for its next mint.
        uint64 begun = uint64(block.timestamp * NANOS);
        vm.warp(block.timestamp + 2 hours);
        verify(2, 8);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](1);
        pairs[0] = makePair(0, uint64(block.timestamp * NANOS) + 1, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].lease.terms.openUntilNs = begun;
        resign(pairs[0], NODE_KEY);
        vm.warp(block.timestamp + 3 hours);
        refused(pairs, 1, IOverCapacity.WithinCapacity.selector);
        // With a second lease it is more than ever was verified.
        IOverCapacity.ReceiptPair[] memory more = new IOverCapacity.ReceiptPair[](2);
        more[0] = pairs[0];
        more[1] = makePair(1, pairs[0].older.receipt.atNs, 2 * HOUR_NS, 0, 8 * HOUR_NS);
        more[1].begunUnder = 1;
        prove(sort(more), 1);
    }

    function test_leases_that_began_under_the_smaller_verdict_are_judged_by_it() external {
        verify(2, 8);
        uint64 begun = uint64(block.timestamp * NANOS) + 2 * HOUR_NS;
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](1);
        pairs[0] = makePair(0, begun, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].begunUnder = 1;
        prove(pairs, 1);
    }

    function test_terms_signed_up_to_an_hour_before_a_verdict_are_judged_by_the_one_before_too() external {
        verify(2, 8);
        uint64 begun = uint64(block.timestamp * NANOS) + HOUR_NS - 1;
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](1);
        pairs[0] = makePair(0, begun, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].begunUnder = 1;
        refused(pairs, 1, IOverCapacity.WithinCapacity.selector);
        pairs[0] = makePair(0, begun + 1, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].begunUnder = 1;
        prove(pairs, 1);
    }

    function test_a_verdict_that_ended_long_before_the_next_one_does_not_count() external {
        vm.warp(block.timestamp + VALIDITY);
        verify(2, 8);
        uint64 begun = uint64(block.timestamp * NANOS);
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](1);
        pairs[0] = makePair(0, begun, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].begunUnder = 1;
        prove(pairs, 1);
    }

    function test_a_verdict_counts_for_terms_signed_less_than_an_hour_after_its_end() external {
        uint64 until = capacity.historyOf(provider, 0).until;
        vm.warp(until + 30 minutes);
        verify(2, 8);
        uint64 begun = uint64(until * NANOS) + HOUR_NS - 1;
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](1);
        pairs[0] = makePair(0, begun, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].begunUnder = 1;
        refused(pairs, 1, IOverCapacity.WithinCapacity.selector);
        pairs[0] = makePair(0, begun + 1, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].begunUnder = 1;
        prove(pairs, 1);
    }

    function test_a_lease_begins_where_its_receipt_says_that_it_ran() external {
        // Terms that could be opened until long after the next, smaller verdict; the workload ran before.
        verify(2, 8);
        uint64 now_ = uint64(block.timestamp * NANOS);
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](1);
        pairs[0] = makePair(0, now_ + 4 * HOUR_NS, 2 * HOUR_NS, 0, 32 * HOUR_NS);
        pairs[0].older.receipt.runningNs = 5 * HOUR_NS;
        pairs[0].begunUnder = 1;
        resign(pairs[0], NODE_KEY);
        refusedPairs(pairs, 1, IOverCapacity.NotBegunUnder.selector);
        pairs[0].begunUnder = 0;
        refused(pairs, 1, IOverCapacity.WithinCapacity.selector);
    }

    function test_a_lease_that_began_while_nothing_was_verified_proves_nothing() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[0].lease.terms.openUntilNs = start - 1;
        resign(pairs[0], NODE_KEY);
        bytes32 leaseId = pairs[0].older.receipt.leaseId;
        uint256 begun = start / NANOS - 1;
        refusedPairs(sort(pairs), abi.encodeWithSelector(IOverCapacity.NotBegunUnder.selector, leaseId, begun, 0));
        pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[0].lease.terms.openUntilNs = uint64(start + VALIDITY * NANOS);
        pairs[0].older.receipt.atNs = uint64(start + VALIDITY * NANOS);
        pairs[0].newer.receipt.atNs = pairs[0].older.receipt.atNs + 1;
        resign(pairs[0], NODE_KEY);
        vm.warp(block.timestamp + VALIDITY);
        refusedPairs(sort(pairs), IOverCapacity.NotBegunUnder.selector);
    }

    function test_a_kind_that_was_never_verified_is_not_judged() external {
        vm.warp(block.timestamp + VALIDITY);
        ICapacityRegistry.DeclaredClass[] memory declared = new ICapacityRegistry.DeclaredClass[](1);
        declared[0] = ICapacityRegistry.DeclaredClass(CPU, 16);
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(declared);
        judge(id, drawn(id).panel, true);
        start = uint64(block.timestamp * NANOS) + HOUR_NS;
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        for (uint256 i = 0; i < 3; i++) {
            pairs[i].begunUnder = 1;
        }
        refused(pairs, 1, IOverCapacity.WithinCapacity.selector);
    }

    function test_receipts_outside_of_the_verdict_prove_nothing() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        verify(2, 16);
        uint64 next = uint64(block.timestamp * NANOS);
        ICapacityRegistry.Capacity memory verdict = capacity.historyOf(provider, 1);
        bytes4 outside = IOverCapacity.OutsideOfVerdict.selector;
        vm.warp(block.timestamp + 1 days);
        refusedUnder(pairs, 1, abi.encodeWithSelector(outside, start, start + 2 * HOUR_NS, verdict.from, verdict.until));
        // From one verdict into the next.
        pairs[2] = makePair(7, start, next - start + 1, 4 * HOUR_NS, 0);
        refused(sort(pairs), 0, IOverCapacity.OutsideOfVerdict.selector);
    }

    function test_a_verdict_that_is_not_there_judges_nobody() external {
        bytes32 commitment = gather(makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0), 1);
        vm.expectPartialRevert(ICapacityRegistry.NoSuchVerdict.selector);
        close(commitment);
    }

    // ---- A case

    function test_a_provider_of_many_devices_rented_singly_is_proved_in_several_transactions() external {
        verify(64, 16);
        start = uint64(block.timestamp * NANOS) + HOUR_NS;
        vm.warp(block.timestamp + 1 days);
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(80, 2 * HOUR_NS, 2 * HOUR_NS, 0);
        for (uint256 i = 0; i < pairs.length; i++) {
            pairs[i].lease.terms.resources.gpus = 1;
            pairs[i].begunUnder = 1;
            resign(pairs[i], NODE_KEY);
        }
        prove(sort(pairs), 1);
        checkEqual(registry.stakeOf(provider), STAKED * 7 / 10, "a tenth and a half more than there is");
    }

    function test_the_most_pairs_of_a_call_fit_in_a_transaction() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(32, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        checkTrue(abi.encode(pairs).length < 110_000, "size");
        bytes32 commitment = open(idOf(pairs, 0), 0);
        uint256 before = gasleft();
        add(commitment, pairs);
        checkGas(before - gasleft(), 5_000_000);
    }

    function test_no_pairs_or_too_many_are_refused() external {
        bytes32 commitment = open(bytes32(0), 0);
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](0);
        vm.expectRevert(abi.encodeWithSelector(IOverCapacity.PairsCount.selector, 0, 32));
        add(commitment, pairs);
        pairs = new IOverCapacity.ReceiptPair[](33);
        vm.expectRevert(abi.encodeWithSelector(IOverCapacity.PairsCount.selector, 33, 32));
        add(commitment, pairs);
        vm.expectRevert(abi.encodeWithSelector(IOverCapacity.PairsCount.selector, 0, 1024));
        close(commitment);
    }

    function test_a_case_holds_no_more_pairs_than_a_challenge_has_devices() external {
        uint64[] memory numbers = sortedNumbers(1025);
        bytes32 commitment = open(keccak256("any"), 0);
        for (uint256 from = 0; from < 1024; from += 32) {
            this.addLeases(commitment, numbers, from, from + 32);
        }
        vm.expectRevert(abi.encodeWithSelector(IOverCapacity.PairsCount.selector, 1025, 1024));
        this.addLeases(commitment, numbers, 1024, 1025);
    }

    /// @dev Called from outside, so that its memory is free again.
    function addLeases(bytes32 commitment, uint64[] calldata numbers, uint256 from, uint256 to) external {
        IOverCapacity.ReceiptPair[] memory pairs = new IOverCapacity.ReceiptPair[](to - from);
        for (uint256 i = from; i < to; i++) {
            pairs[i - from] = makePair(numbers[i], start, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        }
        add(commitment, pairs);
    }

    /// @dev Of leases, by ascending lease id.
    function sortedNumbers(uint256 count) private view returns (uint64[] memory numbers) {
        numbers = new uint64[](count);
        bytes32[] memory ids = new bytes32[](count);
        for (uint64 i = 0; i < count; i++) {
            bytes32 id = this.leaseIdAt(i);
            uint256 at = i;
            for (; at > 0 && ids[at - 1] > id; at--) {
                (ids[at], numbers[at]) = (ids[at - 1], numbers[at - 1]);
            }
            (ids[at], numbers[at]) = (id, i);
        }
    }

    function leaseIdAt(uint64 number) external view returns (bytes32) {
        IEvidence.LeaseTerms memory terms = makeLeaseTerms(number);
        terms.openUntilNs = start;
        return leaseIdOf(terms);
    }

    function test_a_case_is_its_reporters_own_and_needs_a_commitment() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        bytes32 unknown = keccak256("never committed");
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        overCapacity.openCase(unknown, provider, 0);
        bytes32 commitment = commitAs(overCapacity, reporter, idOf(pairs, 0));
        vm.expectPartialRevert(ICommitments.CommitmentTooYoung.selector);
        overCapacity.openCase(commitment, provider, 0);
        commitment = gather(pairs, 0);
        // Another's commitment opens a case of one's own, which it cannot close.
        vm.expectRevert(abi.encodeWithSelector(IOverCapacity.NoCase.selector, stranger, commitment));
        vm.prank(stranger);
        overCapacity.addPairs(commitment, pairs);
        vm.prank(stranger);
        overCapacity.openCase(commitment, provider, 0);
        vm.prank(stranger);
        overCapacity.addPairs(commitment, pairs);
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        vm.prank(stranger);
        overCapacity.close(commitment, SALT);
        close(commitment);
        checkEqual(overCapacity.caseOf(reporter, commitment).provider, address(0), "gone");
        vm.expectPartialRevert(IOverCapacity.NoCase.selector);
        close(commitment);
    }

    function test_a_case_that_gathers_other_pairs_than_were_committed_to_is_refused() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        bytes32 commitment = open(idOf(slice(pairs, 0, 2), 0), 0);
        add(commitment, pairs);
        vm.expectPartialRevert(ICommitments.NotCommitted.selector);
        close(commitment);
        // Opened anew it is empty.
        vm.prank(reporter);
        overCapacity.openCase(commitment, provider, 0);
        checkEqual(overCapacity.caseOf(reporter, commitment).pairs, 0, "empty");
        add(commitment, slice(pairs, 0, 2));
        close(commitment);
        vm.expectRevert(IEvidence.ZeroAddress.selector);
        overCapacity.openCase(commitment, address(0), 0);
    }

    function test_a_commitment_that_grew_old_while_pairs_were_gathered_is_refused() external {
        bytes32 commitment = gather(makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0), 0);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(ICommitments.CommitmentTooOld.selector);
        close(commitment);
    }

    function test_a_lease_counts_once_over_the_whole_case() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 2 * HOUR_NS, 0);
        pairs[2] = pairs[1];
        refusedPairs(pairs, IOverCapacity.LeasesNotAscending.selector);
        bytes32 commitment = open(idOf(pairs, 0), 0);
        add(commitment, slice(pairs, 0, 2));
        vm.expectPartialRevert(IOverCapacity.LeasesNotAscending.selector);
        add(commitment, slice(pairs, 2, 3));
        vm.expectPartialRevert(IOverCapacity.LeasesNotAscending.selector);
        add(commitment, slice(pairs, 0, 1));
    }

    function test_a_proof_against_oneself_without_stake_buys_nothing() external {
        vm.prank(provider);
        registry.startUnstake(STAKED);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        registry.withdrawStake();
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        bytes32 commitment = commitAs(overCapacity, provider, idOf(pairs, 0));
        vm.warp(block.timestamp + 10 minutes);
        vm.prank(provider);
        overCapacity.openCase(commitment, provider, 0);
        vm.prank(provider);
        overCapacity.addPairs(commitment, pairs);
        vm.prank(provider);
        overCapacity.close(commitment, SALT);
        stakeFor(provider, STAKED);
        prove(makePairs(4, 3 * HOUR_NS, 6 * HOUR_NS, 0));
        checkEqual(registry.stakeOf(provider), STAKED * 7 / 10, "a verdict's week is not used up");
    }

    function test_a_case_is_dated_by_its_newest_receipt() external {
        prove(makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0));
        vm.warp(block.timestamp + 2 days);
        // Of before the first proof, and so of its episode, however late it is shown.
        bytes32 commitment = gather(makePairs(4, 3 * HOUR_NS, 6 * HOUR_NS, 0), 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.NothingToTake.selector,
                provider,
                IProviderRegistry.Role.Provider,
                IEvidence.Fault.OverCapacity
            )
        );
        close(commitment);
    }

    // ---- Documents

    function test_a_pair_is_of_one_lease_and_in_order() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(1, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        bytes32 leaseId = pairs[0].newer.receipt.leaseId;
        pairs[0].newer.receipt.leaseId = keccak256("another");
        signAgain(pairs[0], NODE_KEY, NODE_KEY);
        refusedPairs(pairs, IEvidence.NotTheLease.selector);
        (pairs[0].newer.receipt.leaseId, pairs[0].older.receipt.leaseId) = (leaseId, keccak256("another"));
        signAgain(pairs[0], NODE_KEY, NODE_KEY);
        refusedPairs(pairs, IEvidence.NotTheLease.selector);

        pairs = makePairs(1, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[0].newer.receipt.number = pairs[0].older.receipt.number;
        resign(pairs[0], NODE_KEY);
        refusedPairs(pairs, IOverCapacity.PairOutOfOrder.selector);

        pairs = makePairs(1, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[0].older.receipt.atNs = pairs[0].newer.receipt.atNs + 1;
        resign(pairs[0], NODE_KEY);
        refusedPairs(pairs, IOverCapacity.PairOutOfOrder.selector);
    }

    function test_usage_that_falls_is_not_this_fault() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(1, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[0].newer.receipt.usage.vcpuNs = pairs[0].older.receipt.usage.vcpuNs - 1;
        resign(pairs[0], NODE_KEY);
        refusedPairs(pairs, IOverCapacity.UsageFalls.selector);
        pairs[0].newer.receipt.usage.vcpuNs = pairs[0].older.receipt.usage.vcpuNs;
        pairs[0].newer.receipt.usage.gpuNs = pairs[0].older.receipt.usage.gpuNs - 1;
        resign(pairs[0], NODE_KEY);
        refusedPairs(pairs, IOverCapacity.UsageFalls.selector);
    }

    function test_receipts_of_two_providers_prove_nothing_together() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(1, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        signAgain(pairs[0], nodeKeyOf(0), NODE_KEY);
        refusedPairs(pairs, abi.encodeWithSelector(IEvidence.SignersDiffer.selector, verifierAt(0), provider));
        signAgain(pairs[0], NODE_KEY, nodeKeyOf(0));
        refusedPairs(pairs, abi.encodeWithSelector(IEvidence.SignersDiffer.selector, verifierAt(0), provider));
        signAgain(pairs[0], NODE_KEY, STRANGER_KEY);
        refusedPairs(pairs, IEvidence.NotAProvidersKey.selector);
        // A lease of another provider.
        (pairs[0].lease.terms.provider, pairs[0].lease.terms.node) = (verifierAt(0), vm.addr(nodeKeyOf(0)));
        pairs[0].lease = signLease(pairs[0].lease.terms, SIGNER_KEY, nodeKeyOf(0));
        refusedPairs(pairs, abi.encodeWithSelector(IEvidence.SignersDiffer.selector, verifierAt(0), provider));
    }

    function test_terms_that_the_submitter_did_not_sign_prove_nothing() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(1, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        pairs[0].lease.submitterSig = pairs[0].lease.nodeSig;
        refusedPairs(pairs, IEvidence.NotSignedBy.selector);
    }

    function test_receipts_of_a_key_that_was_replaced_count_beside_the_new_ones() external {
        IOverCapacity.ReceiptPair[] memory pairs = makePairs(3, 2 * HOUR_NS, 4 * HOUR_NS, 0);
        rotateKey(OTHER_KEY);
        prove(pairs);
        vm.warp(block.timestamp + STAKE_THAW);
        refusedPairs(pairs, IEvidence.NotAProvidersKey.selector);
    }

    function test_what_a_case_costs_and_counts() external view {
        checkEqual(overCapacity.OVER_CAPACITY_PPM(), 300_000, "ppm");
        checkEqual(overCapacity.TOLERANCE_NS(), 900e9, "tolerance");
        checkEqual(overCapacity.LEAST_WINDOW_NS(), 3600e9, "window");
        checkEqual(overCapacity.START_NS(), 3600e9, "start");
        checkEqual(overCapacity.MAX_PAIRS(), 32, "pairs");
        checkEqual(overCapacity.MAX_CASE_PAIRS(), 1024, "pairs of a case");
        checkEqual(overCapacity.COMMIT_DELAY(), 10 minutes, "delay");
        checkEqual(overCapacity.COMMIT_LIFE(), 1 days, "life");
        checkEqual(address(overCapacity.registry()), address(registry), "registry");
        checkEqual(address(overCapacity.capacity()), address(capacity), "capacity");
        checkEqual(address(overCapacity.escrow()), address(escrow), "escrow");
    }

    // ---- How

    function verify(uint16 gpus, uint16 vcpus) private {
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(makeDeclared(gpus, vcpus));
        judge(id, drawn(id).panel, true);
    }

    /// @dev count leases over the same time from the start of the verdict, each with this usage, by ascending id.
    function makePairs(uint256 count, uint64 lengthNs, uint128 gpuNs, uint128 vcpuNs)
        private
        view
        returns (IOverCapacity.ReceiptPair[] memory pairs)
    {
        pairs = new IOverCapacity.ReceiptPair[](count);
        for (uint256 i = 0; i < count; i++) {
            pairs[i] = makePair(i, start, lengthNs, gpuNs, vcpuNs);
        }
        return sort(pairs);
    }

    /// @dev A lease of 2 GPUs and 16 vCPUs that began when its older receipt is dated.
    function makePair(uint256 number, uint64 fromNs, uint64 lengthNs, uint128 gpuNs, uint128 vcpuNs)
        private
        view
        returns (IOverCapacity.ReceiptPair memory pair)
    {
        pair.lease.terms = makeLeaseTerms(uint64(number));
        pair.lease.terms.openUntilNs = fromNs;
        pair.older.receipt.number = 4;
        pair.newer.receipt.number = 9;
        (pair.older.receipt.atNs, pair.newer.receipt.atNs) = (fromNs, fromNs + lengthNs);
        (pair.older.receipt.usage.gpuNs, pair.older.receipt.usage.vcpuNs) = (5e9, 7e9);
        (pair.newer.receipt.usage.gpuNs, pair.newer.receipt.usage.vcpuNs) = (5e9 + gpuNs, 7e9 + vcpuNs);
        resign(pair, NODE_KEY);
    }

    function resign(IOverCapacity.ReceiptPair memory pair, uint256 key) private view {
        pair.lease = signLease(pair.lease.terms);
        bytes32 leaseId = leaseIdOf(pair.lease.terms);
        (pair.older.receipt.leaseId, pair.newer.receipt.leaseId) = (leaseId, leaseId);
        signAgain(pair, key, key);
    }

    function signAgain(IOverCapacity.ReceiptPair memory pair, uint256 olderKey, uint256 newerKey) private view {
        pair.older = signReceipt(olderKey, pair.older.receipt);
        pair.newer = signReceipt(newerKey, pair.newer.receipt);
    }

    function sort(IOverCapacity.ReceiptPair[] memory pairs) private pure returns (IOverCapacity.ReceiptPair[] memory) {
        for (uint256 i = 1; i < pairs.length; i++) {
            IOverCapacity.ReceiptPair memory moved = pairs[i];
            uint256 at = i;
            for (; at > 0 && pairs[at - 1].older.receipt.leaseId > moved.older.receipt.leaseId; at--) {
                pairs[at] = pairs[at - 1];
            }
            pairs[at] = moved;
        }
        return pairs;
    }

    function slice(IOverCapacity.ReceiptPair[] memory pairs, uint256 from, uint256 to)
        private
        pure
        returns (IOverCapacity.ReceiptPair[] memory part)
    {
        part = new IOverCapacity.ReceiptPair[](to - from);
        for (uint256 i = from; i < to; i++) {
            part[i - from] = pairs[i];
        }
    }

    function idOf(IOverCapacity.ReceiptPair[] memory pairs, uint64 historyIndex) private view returns (bytes32) {
        bytes32 chain;
        for (uint256 i = 0; i < pairs.length; i++) {
            (bytes32 older, bytes32 newer) =
                (receiptDigest(pairs[i].older.receipt), receiptDigest(pairs[i].newer.receipt));
            chain = keccak256(abi.encode(chain, pairs[i].older.receipt.leaseId, older, newer));
        }
        return evidenceId(IEvidence.Fault.OverCapacity, provider, bytes32(uint256(historyIndex)), chain);
    }

    function open(bytes32 id, uint64 historyIndex) private returns (bytes32 commitment) {
        commitment = ready(overCapacity, id);
        vm.prank(reporter);
        overCapacity.openCase(commitment, provider, historyIndex);
    }

    function add(bytes32 commitment, IOverCapacity.ReceiptPair[] memory pairs) private {
        vm.prank(reporter);
        overCapacity.addPairs(commitment, pairs);
    }

    function close(bytes32 commitment) private {
        vm.prank(reporter);
        overCapacity.close(commitment, SALT);
    }

    function gather(IOverCapacity.ReceiptPair[] memory pairs, uint64 historyIndex)
        private
        returns (bytes32 commitment)
    {
        commitment = open(idOf(pairs, historyIndex), historyIndex);
        for (uint256 from = 0; from < pairs.length; from += 32) {
            add(commitment, slice(pairs, from, from + 32 < pairs.length ? from + 32 : pairs.length));
        }
    }

    function prove(IOverCapacity.ReceiptPair[] memory pairs) private {
        prove(pairs, 0);
    }

    function prove(IOverCapacity.ReceiptPair[] memory pairs, uint64 historyIndex) private {
        uint256 before = registry.stakeOf(provider);
        close(gather(pairs, historyIndex));
        checkTrue(registry.stakeOf(provider) < before, "slashed");
    }

    function refused(IOverCapacity.ReceiptPair[] memory pairs, bytes4 reason) private {
        refused(pairs, 0, reason);
    }

    function refused(IOverCapacity.ReceiptPair[] memory pairs, uint64 historyIndex, bytes4 reason) private {
        bytes32 commitment = gather(pairs, historyIndex);
        vm.expectPartialRevert(reason);
        close(commitment);
    }

    function refused(IOverCapacity.ReceiptPair[] memory pairs, bytes memory reason) private {
        refusedUnder(pairs, 0, reason);
    }

    function refusedUnder(IOverCapacity.ReceiptPair[] memory pairs, uint64 historyIndex, bytes memory reason) private {
        bytes32 commitment = gather(pairs, historyIndex);
        vm.expectRevert(reason);
        close(commitment);
    }

    function refusedPairs(IOverCapacity.ReceiptPair[] memory pairs, bytes4 reason) private {
        refusedPairs(pairs, 0, reason);
    }

    function refusedPairs(IOverCapacity.ReceiptPair[] memory pairs, uint64 historyIndex, bytes4 reason) private {
        bytes32 commitment = open(idOf(pairs, historyIndex), historyIndex);
        vm.expectPartialRevert(reason);
        add(commitment, pairs);
    }

    function refusedPairs(IOverCapacity.ReceiptPair[] memory pairs, bytes memory reason) private {
        bytes32 commitment = open(idOf(pairs, 0), 0);
        vm.expectRevert(reason);
        add(commitment, pairs);
    }
}
