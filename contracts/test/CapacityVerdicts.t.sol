// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CapacityRegistry} from "../src/capacity/CapacityRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../src/interfaces/IChallengeRules.sol";
import {IVerifierRegistry} from "../src/interfaces/IVerifierRegistry.sol";
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

    // ---- Which verdicts count

    function test_fewer_verdicts_than_the_quorum_are_refused() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        refused(
            id, makeBallot(id, panel, 3, true), abi.encodeWithSelector(ICapacityRegistry.QuorumShort.selector, id, 3, 4)
        );
        refused(
            id, makeBallot(id, panel, 0, true), abi.encodeWithSelector(ICapacityRegistry.QuorumShort.selector, id, 0, 4)
        );
        record(id, makeBallot(id, panel, 5, true));
    }

    function test_a_verifier_that_is_not_on_the_panel_does_not_count() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        address[] memory others = notIn(panel);
        for (uint256 seat = 0; seat < 4; seat++) {
            address[] memory judges = firstOf(panel, 4);
            judges[seat] = others[0];
            sort(judges);
            bytes memory reason = abi.encodeWithSelector(ICapacityRegistry.NotOnPanel.selector, id, others[0]);
            refused(id, makeBallot(id, judges, 4, true), reason);
        }
    }

    function test_a_verifier_counts_once_and_in_order() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        address[] memory judges = firstOf(panel, 4);
        judges[3] = judges[2];
        refused(
            id,
            makeBallot(id, judges, 4, true),
            abi.encodeWithSelector(ICapacityRegistry.NotOnPanel.selector, id, judges[3])
        );
        judges = firstOf(panel, 4);
        (judges[0], judges[1]) = (judges[1], judges[0]);
        refused(
            id,
            makeBallot(id, judges, 4, true),
            abi.encodeWithSelector(ICapacityRegistry.NotOnPanel.selector, id, judges[1])
        );
    }

    function test_verdicts_that_differ_are_refused() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        for (uint256 i = 1; i < 4; i++) {
            Ballot memory ballot = makeBallot(id, panel, 4, true);
            bytes memory reason = abi.encodeWithSelector(ICapacityRegistry.VerdictsDiffer.selector, panel[i]);
            ballot.verdicts[i].passed = false;
            resign(ballot, i);
            refused(id, ballot, reason);
            ballot.verdicts[i].passed = true;
            ballot.verdicts[i].answersHash = keccak256("other answers");
            resign(ballot, i);
            refused(id, ballot, reason);
            ballot.verdicts[i] = makeVerdict(id, true);
            ballot.verdicts[i].openingSeed = keccak256("each has entropy of its own");
            resign(ballot, i);
            uint256 state = vm.snapshotState();
            record(id, ballot);
            vm.revertToState(state);
        }
    }

    function test_verdicts_of_another_challenge_are_refused() external {
        bytes32 old = challenge(true);
        (bytes32 id, address[] memory panel) = requestAndDraw();
        refused(
            id,
            makeBallot(old, panel, 4, true),
            abi.encodeWithSelector(ICapacityRegistry.VerdictOfAnother.selector, old, id)
        );
    }

    function test_only_the_members_own_signature_counts() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        bytes memory good = ballot.signatures[2];
        ballot.signatures[2] = signVerdict(keyOf(panel[1]), ballot.verdicts[2]);
        (address wanted, address signedBy) = (vm.addr(keyOf(panel[2])), vm.addr(keyOf(panel[1])));
        refused(
            id,
            ballot,
            abi.encodeWithSelector(ICapacityRegistry.WrongVerdictSignature.selector, panel[2], wanted, signedBy)
        );
        ballot.signatures[2] = flip(good);
        wrongSignature(id, ballot);
        (bytes32 r, bytes32 vs) = compact(good);
        ballot.signatures[2] = abi.encodePacked(r, vs);
        wrongSignature(id, ballot);
        ballot.signatures[2] = "";
        wrongSignature(id, ballot);
        // The owner's key is not the node's.
        ballot.signatures[2] = signVerdict(keyOf(panel[2]) - 0x10000, ballot.verdicts[2]);
        wrongSignature(id, ballot);
    }

    function test_verdicts_signed_for_another_chain_or_contract_are_refused() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        vm.chainId(8453);
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        vm.chainId(31337);
        wrongSignature(id, ballot);
        CapacityRegistry here = capacity;
        capacity = CapacityRegistry(deploy(capacityCode()));
        ballot = makeBallot(id, panel, 4, true);
        capacity = here;
        wrongSignature(id, ballot);
    }

    function test_a_key_that_was_replaced_judges_nothing() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        bytes memory proof = signNodeKey(STRANGER_KEY, panel[0], stranger, registry.nonces(panel[0]), FAR);
        vm.prank(panel[0]);
        registry.rotateNodeKey(stranger, FAR, proof);
        wrongSignature(id, ballot);
        ballot.signatures[0] = signVerdict(STRANGER_KEY, ballot.verdicts[0]);
        record(id, ballot);
    }

    function test_a_verifier_that_is_no_provider_any_more_judges_nothing() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        vm.prank(panel[0]);
        registry.deactivate();
        wrongSignature(id, ballot);
        // Not by a broken signature either, which recovers to no one.
        ballot.signatures[0] = "";
        wrongSignature(id, ballot);
    }

    function test_a_verifier_whose_pledge_was_slashed_judges_nothing() external {
        connectJudge(address(this), pledgeHold(verifiers));
        (bytes32 id, address[] memory panel) = requestAndDraw();
        registry.slash(panel[1], makePledgePenalty(500_000));
        refused(
            id,
            makeBallot(id, panel, 4, true),
            abi.encodeWithSelector(IVerifierRegistry.VerifierStakeShort.selector, panel[1], PLEDGE / 2, PLEDGE)
        );
    }

    function test_lists_of_different_lengths_are_refused() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        ballot.verdicts = makeBallot(id, panel, 5, true).verdicts;
        refused(id, ballot, abi.encodeWithSelector(ICapacityRegistry.LengthsDiffer.selector, 4, 5, 4));
        ballot = makeBallot(id, panel, 4, true);
        ballot.signatures = makeBallot(id, panel, 3, true).signatures;
        refused(id, ballot, abi.encodeWithSelector(ICapacityRegistry.LengthsDiffer.selector, 4, 4, 3));
    }

    function test_one_verdict_is_enough_where_one_is_the_panel() external {
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.panelSize, settings.quorum) = (1, 1);
        deployFor(settings);
        (bytes32 id, address[] memory panel) = requestAndDraw();
        judge(id, panel, true);
        checkEqual(verifiers.feesOf(panel[0]), PRICE, "the whole fee");
    }

    function test_nothing_passes_without_the_roots_of_all_answers() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 4, true);
        bytes32[] memory roots = makeRoots(id);
        refusedWith(id, new bytes32[](0), ballot, abi.encodeWithSelector(ICapacityRegistry.RootsCount.selector, 0, 18));
        refusedWith(
            id, new bytes32[](19), ballot, abi.encodeWithSelector(ICapacityRegistry.RootsCount.selector, 19, 18)
        );
        roots[7] = bytes32(uint256(roots[7]) ^ 1);
        bytes32 hash = keccak256(abi.encodePacked(roots));
        refusedWith(
            id,
            roots,
            ballot,
            abi.encodeWithSelector(ICapacityRegistry.RootsNotOfVerdict.selector, hash, ballot.verdicts[0].answersHash)
        );
        // Nor over a hash of nothing: no roots lead to it.
        for (uint256 i = 0; i < 4; i++) {
            ballot.verdicts[i].answersHash = keccak256("answers");
            resign(ballot, i);
        }
        ballot.roots = makeRoots(id);
        vm.expectPartialRevert(ICapacityRegistry.RootsNotOfVerdict.selector);
        record(id, ballot);
    }

    function test_a_pass_shows_the_roots_and_keeps_their_hash() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        bytes32[] memory roots = makeRoots(id);
        checkEqual(capacity.answersHashOf(id), bytes32(0), "none yet");
        vm.expectEmit();
        emit ICapacityRegistry.AnswersRevealed(id, roots);
        judge(id, panel, true);
        checkEqual(capacity.answersHashOf(id), keccak256(abi.encodePacked(roots)), "their hash");
    }

    function test_what_did_not_pass_shows_no_roots() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 4, false);
        refusedWith(id, makeRoots(id), ballot, abi.encodeWithSelector(ICapacityRegistry.RootsCount.selector, 18, 0));
        ballot.roots = new bytes32[](0);
        record(id, ballot);
    }

    function test_a_missed_challenge_jails_and_never_slashes() external {
        challenge(true);
        (bytes32 id, address[] memory panel) = requestAndDraw();
        uint256 staked = registry.stakeOf(provider);
        Ballot memory ballot = makeBallot(id, panel, 4, false);
        vm.expectEmit();
        emit ICapacityRegistry.VerdictsRecorded(id, false, bytes32(0), ballot.verifiers);
        vm.expectEmit();
        emit ICapacityRegistry.Jailed(id, provider);
        record(id, ballot);
        checkTrue(capacity.isJailed(provider), "jailed");
        checkTrue(capacity.challengeOf(id).stage == ICapacityRegistry.Stage.Failed, "stage");
        checkEqual(registry.stakeOf(provider), staked, "no slash");
    }

    // ---- Time

    function test_verdicts_count_until_the_deadline_and_not_after() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        uint64 deadline = capacity.challengeOf(id).deadline;
        uint256 state = vm.snapshotState();
        for (uint64 time = deadline - 1; time <= deadline; time++) {
            vm.warp(time);
            vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.DeadlineNotPassed.selector, id, deadline, time));
            capacity.lapse(id);
        }
        judge(id, panel, true);
        vm.revertToState(state);
        vm.warp(deadline + 1);
        refused(
            id,
            makeBallot(id, panel, 4, true),
            abi.encodeWithSelector(ICapacityRegistry.DeadlinePassed.selector, id, deadline, deadline + 1)
        );
    }

    function test_a_challenge_without_a_quorum_lapses_and_its_fee_is_burned() external {
        challenge(true);
        (bytes32 id,) = requestAndDraw();
        ICapacityRegistry.Capacity memory before = capacity.capacityOf(provider);
        uint256 supply = openx.totalSupply();
        vm.warp(capacity.challengeOf(id).deadline + 1);
        vm.expectEmit();
        emit ICapacityRegistry.ChallengeLapsed(id, provider);
        vm.expectEmit();
        emit IVerifierRegistry.FeesBurned(PRICE);
        vm.prank(stranger);
        capacity.lapse(id);
        checkEqual(verifiers.feesOf(provider), 0, "nothing comes back");
        checkEqual(supply - openx.totalSupply(), PRICE, "burned");
        checkEqual(capacity.capacityOf(provider).until, before.until, "in force as before");
        checkTrue(!capacity.isJailed(provider), "free");
        (uint64 passed, uint64 failed, uint64 lapsed) = capacity.triesOf(provider);
        checkEqual(passed, 1, "one passed");
        checkEqual(failed, 0, "none failed");
        checkEqual(lapsed, 1, "one lapsed");
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, id, ICapacityRegistry.Stage.Lapsed)
        );
        capacity.lapse(id);
    }

    function test_every_try_of_a_blocking_minority_costs_the_fee_and_shows() external {
        challenge(false);
        for (uint64 i = 1; i <= 5; i++) {
            uint256 before = openx.balanceOf(provider);
            (bytes32 id, address[] memory panel) = requestAndDraw();
            // Three of five say no; the two others are the provider's, and keep silent.
            refused(
                id,
                makeBallot(id, panel, 3, false),
                abi.encodeWithSelector(ICapacityRegistry.QuorumShort.selector, id, 3, 4)
            );
            vm.warp(block.timestamp + ANSWER_TIME + 1);
            capacity.lapse(id);
            checkEqual(before - openx.balanceOf(provider) - verifiers.feesOf(provider), PRICE, "the fee is gone");
            (, uint64 failed, uint64 lapsed) = capacity.triesOf(provider);
            checkEqual(failed, 1, "the first");
            checkEqual(lapsed, i, "and each of these");
        }
    }

    function test_half_the_fee_of_a_check_that_lapses_goes_back_to_who_paid() external {
        challenge(true);
        uint256 price = PRICE;
        giveOpenx(stranger, price);
        approveFees(stranger);
        vm.prank(stranger);
        bytes32 id = capacity.spotCheck(provider);
        drawn(id);
        vm.warp(capacity.challengeOf(id).deadline + 1);
        uint256 supply = openx.totalSupply();
        capacity.lapse(id);
        checkEqual(verifiers.feesOf(stranger), price / 2, "half back");
        checkEqual(supply - openx.totalSupply(), price - price / 2, "half burned");
        checkEqual(capacity.capacityOf(provider).gpus, 2, "in force as before");
        (,, uint64 lapsed) = capacity.triesOf(provider);
        checkEqual(lapsed, 0, "no try of the provider");
    }

    function test_a_challenge_is_judged_once() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory failed = makeBallot(id, panel, 4, false);
        judge(id, panel, true);
        refused(
            id,
            failed,
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, id, ICapacityRegistry.Stage.Passed)
        );
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, id, ICapacityRegistry.Stage.Passed)
        );
        capacity.lapse(id);
    }

    function test_a_challenge_not_drawn_is_neither_judged_nor_lapses() external {
        bytes32 id = request();
        bytes memory reason =
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, id, ICapacityRegistry.Stage.Requested);
        address[] memory panel = new address[](4);
        for (uint256 i = 0; i < 4; i++) {
            panel[i] = verifierAt(i);
        }
        refused(id, makeBallot(id, panel, 4, true), reason);
        vm.expectRevert(reason);
        capacity.lapse(id);
    }

    // ---- History and fees

    function test_history_keeps_every_verdict_and_where_it_was_cut() external {
        challenge(true);
        uint256 first = block.timestamp;
        vm.warp(first + 1 days);
        challenge(true);
        vm.warp(first + 2 days);
        challenge(false);
        vm.warp(first + 30 days);
        challenge(true);
        vm.warp(first + 60 days);
        challenge(false);
        checkEqual(capacity.historyLength(provider), 3, "verdicts that passed");
        checkSpan(0, first, first + 1 days);
        checkSpan(1, first + 1 days, first + 2 days);
        checkSpan(2, first + 30 days, first + 30 days + VALIDITY);
        checkEqual(capacity.lapsedSince(provider), first + 30 days + VALIDITY, "expired before the jail");
        checkTrue(capacity.isJailed(provider), "jailed");
    }

    function test_devices_of_several_classes_of_a_kind_add_up() external {
        ICapacityRegistry.DeclaredClass[] memory declared = new ICapacityRegistry.DeclaredClass[](4);
        declared[0] = ICapacityRegistry.DeclaredClass(GPU, 2);
        declared[1] = ICapacityRegistry.DeclaredClass(CPU, 16);
        declared[2] = ICapacityRegistry.DeclaredClass(
            rules.addClass(IChallengeRules.Class("gpu 2", ICapacityRegistry.Kind.Gpu, 7, 512, 1)), 3
        );
        declared[3] = ICapacityRegistry.DeclaredClass(
            rules.addClass(IChallengeRules.Class("cpu 2", ICapacityRegistry.Kind.Cpu, 9, 256, 1)), 5
        );
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(declared);
        judge(id, drawn(id).panel, true);
        ICapacityRegistry.Capacity memory got = capacity.capacityOf(provider);
        checkEqual(got.gpus, 5, "gpus");
        checkEqual(got.vcpus, 21, "vcpus");
        checkEqual(got.gpuMilli, 2 * GPU_WEIGHT + 3 * 7, "gpu units");
        checkEqual(got.cpuMilli, 16 * CPU_WEIGHT + 5 * 9, "cpu units");
        checkEqual(capacity.verifiedOf(provider, 3), 5, "of one class");
        checkEqual(capacity.verifiedOf(provider, 4), 0, "of a class it has none of");
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NoSuchVerdict.selector, provider, 1));
        capacity.historyOf(provider, 1);
    }

    function test_who_was_never_verified_has_not_lapsed() external {
        checkEqual(capacity.lapsedSince(provider), 0, "never");
        challenge(false);
        checkEqual(capacity.lapsedSince(provider), 0, "jailed, but nothing ended");
    }

    function test_the_fee_is_shared_by_those_who_judged_to_the_unit() external {
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.fee, settings.deviceFee) = (8.2 ether + 3, DEVICE_FEE);
        rules.setSettings(settings);
        (bytes32 id, address[] memory panel) = requestAndDraw();
        judge(id, panel, true);
        checkEqual(verifiers.feesOf(panel[0]), 2.5 ether + 3, "the first has the rest");
        checkEqual(verifiers.feesOf(panel[3]), 2.5 ether, "a quarter");
        checkEqual(verifiers.feesOf(panel[4]), 0, "who did not judge");
        vm.prank(panel[3]);
        registry.setPayout(address(0xCAFE));
        vm.expectEmit();
        emit IVerifierRegistry.FeesWithdrawn(panel[3], address(0xCAFE), 2.5 ether);
        vm.prank(stranger);
        checkEqual(verifiers.withdrawFees(panel[3]), 2.5 ether, "paid");
        checkEqual(openx.balanceOf(address(0xCAFE)), 2.5 ether, "to its payout");
        checkEqual(verifiers.withdrawFees(panel[3]), 0, "once");
        checkEqual(openx.balanceOf(address(verifiers)), 7.5 ether + 3, "the others'");
    }

    function test_a_whole_challenge_costs_what_it_may(uint8 members) external {
        uint8[3] memory sizes = [3, 5, 7];
        uint8 size = sizes[members % 3];
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.panelSize, settings.quorum) = (size, size);
        deployFor(settings);
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, size, true);
        uint256 before = gasleft();
        record(id, ballot);
        checkGas(before - gasleft(), 500_000);
    }

    function test_the_largest_panel_and_the_most_devices_are_recorded_in_a_block() external {
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.panelSize, settings.quorum) = (31, 31);
        deployCapacity(settings);
        approveFees(provider);
        giveOpenx(provider, 1_000 ether);
        for (uint256 i = 100; i < 131; i++) {
            registerStaked(i, PLEDGE);
            vm.prank(verifierAt(i));
            verifiers.enlist();
        }
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(makeDeclared(24, 1000));
        Ballot memory ballot = makeBallot(id, drawn(id).panel, 31, true);
        uint256 before = gasleft();
        record(id, ballot);
        checkGas(before - gasleft(), 4_000_000);
        checkEqual(capacity.capacityOf(provider).vcpus, 1000, "verified");
    }

    // ---- What was served, and until when

    function test_who_served_so_much_last_is_said_for_each_kind() external {
        checkServed(1, 0, "never");
        challenge(true);
        checkServed(0, type(uint64).max, "of nothing, now");
        checkServed(2 * GPU_WEIGHT, type(uint64).max, "now");
        checkServed(2 * GPU_WEIGHT + 1, 0, "never so much");
        vm.warp(block.timestamp + 1 days);
        challengeOfDevices(1, 16);
        uint64 cut = uint64(block.timestamp);
        checkServed(GPU_WEIGHT, type(uint64).max, "now");
        checkServed(2 * GPU_WEIGHT, cut, "until the smaller verdict");
        checkEqual(
            capacity.servedUntil(provider, ICapacityRegistry.Kind.Cpu, 16 * CPU_WEIGHT), type(uint64).max, "vCPUs"
        );
        checkEqual(capacity.servedUntil(provider, ICapacityRegistry.Kind.Cpu, 16 * CPU_WEIGHT + 1), 0, "not more");
        vm.warp(cut + VALIDITY);
        checkServed(GPU_WEIGHT, cut + VALIDITY, "until it expired");
        checkServed(2 * GPU_WEIGHT, cut, "as before");
    }

    function test_what_was_served_is_looked_for_among_the_last_64_verdicts() external {
        giveOpenx(provider, 10_000 ether);
        challengeOfDevices(2, 1);
        for (uint256 i = 0; i < 63; i++) {
            vm.warp(block.timestamp + 1);
            challengeOfDevices(1, 1);
        }
        uint64 cut = capacity.historyOf(provider, 0).until;
        checkServed(2 * GPU_WEIGHT, cut, "the 64th from the last");
        challengeOfDevices(1, 1);
        uint64 oldest = capacity.historyOf(provider, 1).from;
        checkServed(2 * GPU_WEIGHT, oldest, "the 65th is not looked at: it ended before the 64th began");
        checkServed(9 * GPU_WEIGHT, oldest, "nor is it known whether any before was so large");
    }

    // ---- Who did not sign

    function test_who_is_on_the_panel_and_not_among_the_signers_has_a_miss_until_it_signs() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        judge(id, panel, true);
        for (uint256 i = 0; i < 5; i++) {
            checkMisses(panel[i], i < 4 ? 0 : 1, i < 4 ? 0 : block.timestamp);
        }
        uint256 since = block.timestamp;
        vm.warp(since + 1 hours);
        for (uint256 round = 0; round < 40; round++) {
            (id,) = requestAndDraw();
            vm.warp(block.timestamp + ANSWER_TIME + 1);
            capacity.lapse(id);
            giveOpenx(provider, PRICE);
        }
        (uint8 count, uint64 first) = verifiers.missesOf(panel[4]);
        checkTrue(count > 8, "each of them");
        checkEqual(first, since, "since the first");
        giveOpenx(provider, PRICE);
        (id, panel) = requestAndDraw();
        record(id, makeBallot(id, panel, 5, true));
        for (uint256 i = 0; i < 5; i++) {
            checkMisses(panel[i], 0, 0);
        }
    }

    function test_misses_are_counted_to_255() external {
        address[] memory panel = firstOf(allSeven(), 1);
        for (uint256 i = 0; i < 300; i++) {
            vm.prank(address(capacity));
            verifiers.noteMissed(panel, 0);
        }
        checkMisses(panel[0], 255, block.timestamp);
    }

    function test_who_keeps_silent_for_eight_challenges_and_two_days_is_struck_off() external {
        address silent = lapseFor(8)[0];
        (, uint64 since) = verifiers.missesOf(silent);
        vm.warp(since + 2 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierInOrder.selector, silent));
        verifiers.strikeOff(silent);
        vm.warp(since + 2 days);
        verifiers.strikeOff(silent);
        checkTrue(!verifiers.isVerifier(silent), "off");
    }

    function test_seven_misses_are_not_enough() external {
        address silent = lapseFor(7)[0];
        vm.warp(block.timestamp + 30 days);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierInOrder.selector, silent));
        verifiers.strikeOff(silent);
    }

    function test_a_verdict_shown_in_time_is_no_miss_where_no_quorum_comes_about() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory shown = makeBallot(id, panel, 3, false);
        shown.verdicts[1] = makeVerdict(id, true); // they need not agree
        resign(shown, 1);
        vm.expectEmit();
        emit ICapacityRegistry.VerdictsNoted(id, shown.verifiers);
        vm.prank(stranger);
        note(id, shown);
        vm.warp(capacity.challengeOf(id).deadline + 1);
        capacity.lapse(id);
        for (uint256 i = 0; i < 5; i++) {
            checkMisses(panel[i], i < 3 ? 0 : 1, i < 3 ? 0 : block.timestamp);
        }
    }

    function test_who_is_slower_than_the_quorum_shows_its_verdict_afterwards() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory all = makeBallot(id, panel, 5, true);
        judge(id, panel, true);
        checkMisses(panel[4], 1, block.timestamp);
        vm.warp(capacity.challengeOf(id).deadline);
        note(id, all);
        checkMisses(panel[4], 0, 0);
        checkEqual(verifiers.feesOf(panel[4]), 0, "but has no part of the fee");
        vm.warp(block.timestamp + 1);
        vm.expectPartialRevert(ICapacityRegistry.DeadlinePassed.selector);
        note(id, all);
    }

    function test_who_showed_its_verdict_before_has_no_miss_when_others_decide() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory last = makeBallot(id, panel, 5, true);
        (last.verifiers[0], last.verdicts[0], last.signatures[0]) =
        (last.verifiers[4], last.verdicts[4], last.signatures[4]);
        note(id, cutTo(last, 1));
        judge(id, panel, true);
        checkMisses(panel[4], 0, 0);
    }

    function test_verdicts_that_are_shown_one_after_another_all_count() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        Ballot memory ballot = makeBallot(id, panel, 2, true);
        note(id, cutTo(ballot, 1));
        (ballot.verifiers[0], ballot.verdicts[0], ballot.signatures[0]) =
        (ballot.verifiers[1], ballot.verdicts[1], ballot.signatures[1]);
        note(id, cutTo(ballot, 1));
        vm.warp(capacity.challengeOf(id).deadline + 1);
        capacity.lapse(id);
        for (uint256 i = 0; i < 5; i++) {
            checkMisses(panel[i], i < 2 ? 0 : 1, i < 2 ? 0 : block.timestamp);
        }
    }

    function test_only_verdicts_of_the_panel_are_noted_and_only_between_draw_and_deadline() external {
        bytes32 id = request();
        Ballot memory none;
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, id, ICapacityRegistry.Stage.Requested)
        );
        note(id, none);
        address[] memory panel = drawn(id).panel;
        Ballot memory ballot = makeBallot(id, panel, 2, true);
        ballot.signatures[1] = ballot.signatures[0];
        vm.expectPartialRevert(ICapacityRegistry.WrongVerdictSignature.selector);
        note(id, ballot);
        ballot = makeBallot(id, notIn(panel), 1, true);
        vm.expectPartialRevert(ICapacityRegistry.NotOnPanel.selector);
        note(id, ballot);
    }

    // ---- How

    function deployFor(IChallengeRules.Settings memory settings) private {
        deployCapacity(settings);
        approveFees(provider);
        for (uint256 i = 0; i < 7; i++) {
            vm.prank(verifierAt(i));
            verifiers.enlist();
        }
    }

    function note(bytes32 id, Ballot memory ballot) private {
        capacity.noteVerdicts(id, ballot.verifiers, ballot.verdicts, ballot.signatures);
    }

    function cutTo(Ballot memory ballot, uint256 count) private pure returns (Ballot memory cut) {
        cut.verifiers = new address[](count);
        cut.verdicts = new ICapacityRegistry.Verdict[](count);
        cut.signatures = new bytes[](count);
        for (uint256 i = 0; i < count; i++) {
            (cut.verifiers[i], cut.verdicts[i], cut.signatures[i]) =
            (ballot.verifiers[i], ballot.verdicts[i], ballot.signatures[i]);
        }
    }

    /// @dev So many challenges that nobody judges, of a panel that is everybody.
    function lapseFor(uint256 challenges) private returns (address[] memory panel) {
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.panelSize, settings.quorum) = (7, 5);
        deployFor(settings);
        for (uint256 i = 0; i < challenges; i++) {
            bytes32 id;
            (id, panel) = requestAndDraw();
            vm.warp(block.timestamp + ANSWER_TIME + 1);
            capacity.lapse(id);
        }
    }

    function challengeOfDevices(uint16 gpus, uint16 vcpus) private {
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(makeDeclared(gpus, vcpus));
        judge(id, drawn(id).panel, true);
    }

    function checkServed(uint256 milli, uint64 until, string memory what) private view {
        checkEqual(capacity.servedUntil(provider, ICapacityRegistry.Kind.Gpu, milli), until, what);
    }

    function checkMisses(address verifier, uint256 wanted, uint256 wantedSince) private view {
        (uint8 count, uint64 since) = verifiers.missesOf(verifier);
        checkEqual(count, wanted, "misses");
        checkEqual(since, wantedSince, "since");
    }

    function allSeven() private pure returns (address[] memory all) {
        all = new address[](7);
        for (uint256 i = 0; i < 7; i++) {
            all[i] = verifierAt(i);
        }
    }

    function refused(bytes32 id, Ballot memory ballot, bytes memory reason) private {
        vm.expectRevert(reason);
        record(id, ballot);
    }

    function refusedWith(bytes32 id, bytes32[] memory roots, Ballot memory ballot, bytes memory reason) private {
        ballot.roots = roots;
        refused(id, ballot, reason);
    }

    function wrongSignature(bytes32 id, Ballot memory ballot) private {
        vm.expectPartialRevert(ICapacityRegistry.WrongVerdictSignature.selector);
        record(id, ballot);
    }

    function resign(Ballot memory ballot, uint256 i) private view {
        ballot.signatures[i] = signVerdict(keyOf(ballot.verifiers[i]), ballot.verdicts[i]);
    }

    function checkSpan(uint256 index, uint256 from, uint256 until) private view {
        ICapacityRegistry.Capacity memory entry = capacity.historyOf(provider, index);
        checkEqual(entry.from, from, "from");
        checkEqual(entry.until, until, "until");
    }

    function firstOf(address[] memory panel, uint256 count) private pure returns (address[] memory first) {
        first = new address[](count);
        for (uint256 i = 0; i < count; i++) {
            first[i] = panel[i];
        }
    }

    function notIn(address[] memory panel) private pure returns (address[] memory others) {
        others = new address[](7 - panel.length);
        uint256 found;
        for (uint256 i = 0; i < 7; i++) {
            bool isIn = false;
            for (uint256 k = 0; k < panel.length; k++) {
                if (panel[k] == verifierAt(i)) isIn = true;
            }
            if (!isIn) others[found++] = verifierAt(i);
        }
    }

    function sort(address[] memory list) private pure {
        for (uint256 i = 1; i < list.length; i++) {
            for (uint256 k = i; k > 0 && list[k - 1] > list[k]; k--) {
                (list[k - 1], list[k]) = (list[k], list[k - 1]);
            }
        }
    }
}
