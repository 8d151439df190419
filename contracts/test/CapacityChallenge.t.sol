// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../src/interfaces/IChallengeRules.sol";
import {Judging} from "./Judging.sol";

/// @notice Asking for a challenge, and drawing its seed and panel.
contract CapacityChallengeTest is Judging {
    function setUp() public override {
        super.setUp();
        enlistVerifiers(9);
    }

    // ---- Requests

    function test_a_request_names_its_block_and_takes_the_fee() external {
        uint256 before = openx.balanceOf(provider);
        bytes32 id = keccak256(abi.encode(block.chainid, address(capacity), provider, uint256(1)));
        vm.expectEmit();
        emit ICapacityRegistry.ChallengeRequested(id, provider, provider, uint64(block.number) + DRAW_DELAY, PRICE);
        checkEqual(request(), id, "id");
        checkEqual(before - openx.balanceOf(provider), PRICE, "fee, and for each device");
        checkEqual(rules.requestPrice(18), PRICE, "as said before");
        checkEqual(openx.balanceOf(address(verifiers)), PRICE, "where verifiers are paid");
        checkEqual(capacity.openChallengeOf(provider), id, "open");
        ICapacityRegistry.Challenge memory got = capacity.challengeOf(id);
        checkEqual(got.provider, provider, "provider");
        checkTrue(got.stage == ICapacityRegistry.Stage.Requested, "stage");
        checkEqual(got.declared.length, 2, "declared");
        checkEqual(got.declared[1].count, 16, "vcpus");
        checkEqual(got.deadline, 0, "no deadline before the draw");
        checkEqual(capacity.quorumOf(id), 0, "no quorum before the draw");
    }

    function test_only_a_registered_provider_asks_and_pays() external {
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        capacity.requestChallenge(makeDeclared(1, 1));
        vm.prank(provider);
        openx.approve(address(capacity), FEE + 2 * DEVICE_FEE - 1);
        vm.expectRevert();
        vm.prank(provider);
        capacity.requestChallenge(makeDeclared(1, 1));
    }

    function test_declared_classes_are_known_classes_ascending_and_of_something() external {
        ICapacityRegistry.DeclaredClass[] memory declared = makeDeclared(1, 1);
        (declared[0], declared[1]) = (declared[1], declared[0]);
        refused(declared, abi.encodeWithSelector(IChallengeRules.DeclaredNotAscending.selector, GPU));
        declared[0] = declared[1];
        refused(declared, abi.encodeWithSelector(IChallengeRules.DeclaredNotAscending.selector, GPU));
        refused(makeDeclared(0, 1), abi.encodeWithSelector(IChallengeRules.NothingDeclared.selector, GPU));
        declared = makeDeclared(1, 1);
        declared[1].classId = 2;
        refused(declared, abi.encodeWithSelector(IChallengeRules.UnknownClass.selector, 2));
        refused(
            new ICapacityRegistry.DeclaredClass[](0),
            abi.encodeWithSelector(IChallengeRules.DeclaredCount.selector, 0, 8)
        );
        refused(
            new ICapacityRegistry.DeclaredClass[](9),
            abi.encodeWithSelector(IChallengeRules.DeclaredCount.selector, 9, 8)
        );
    }

    function test_the_most_declared_classes_are_taken() external {
        IChallengeRules.Class memory class = rules.classOf(CPU);
        ICapacityRegistry.DeclaredClass[] memory declared = new ICapacityRegistry.DeclaredClass[](8);
        for (uint16 i = 0; i < 8; i++) {
            if (i > 1) rules.addClass(class);
            declared[i] = ICapacityRegistry.DeclaredClass(i, 1);
        }
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(declared);
        checkEqual(capacity.conditionsOf(id).length, 8, "all");
    }

    function test_devices_are_at_most_as_many_as_their_roots_fit_in_a_transaction() external {
        refused(makeDeclared(24, 1001), abi.encodeWithSelector(IChallengeRules.TooManyDevices.selector, 1025, 1024));
        refused(
            makeDeclared(type(uint16).max, type(uint16).max),
            abi.encodeWithSelector(IChallengeRules.TooManyDevices.selector, 2 * 65_535, 1024)
        );
        vm.prank(provider);
        capacity.requestChallenge(makeDeclared(24, 1000));
    }

    function test_one_challenge_of_a_provider_is_open_at_a_time() external {
        bytes32 id = request();
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.ChallengeOpen.selector, provider, id));
        drawn(id);
        vm.warp(capacity.challengeOf(id).deadline);
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.ChallengeOpen.selector, provider, id));
        vm.warp(block.timestamp + 1);
        checkEqual(capacity.openChallengeOf(provider), bytes32(0), "overdue counts as none");
        bytes32 next = request();
        checkTrue(next != id, "another");
        checkTrue(capacity.challengeOf(id).stage == ICapacityRegistry.Stage.Lapsed, "the old one lapsed");
    }

    function test_a_request_is_refused_while_there_are_too_few_verifiers_beside_the_provider() external {
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.minPanel, settings.minList) = (3, 7);
        deployCapacity(settings);
        approveFees(provider);
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.TooFewVerifiers.selector, 0, 7));
        for (uint256 i = 10; i < 16; i++) {
            enlistAt(i);
        }
        pledgeFor(provider, PLEDGE);
        vm.prank(provider);
        verifiers.enlist();
        checkEqual(verifiers.verifierCount(), 7, "seven with itself");
        checkEqual(verifiers.countWithout(provider), 6, "six without");
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.TooFewVerifiers.selector, 6, 7));
        enlistAt(16);
        checkEqual(drawn(request()).panel.length, 5, "a whole panel");
    }

    function test_no_checks_are_made_while_there_are_too_few_verifiers() external {
        challenge(true);
        for (uint256 i = 0; i < 9; i++) {
            vm.prank(verifierAt(i));
            verifiers.leave();
        }
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.TooFewVerifiers.selector, 0, 1));
        capacity.spotCheck(provider);
    }

    // ---- Conditions

    function test_a_class_that_changes_after_the_request_does_not_change_what_is_judged() external {
        bytes32 id = request();
        rules.changeClass(GPU, 2 * GPU_WEIGHT, 2048, 2_500);
        IChallengeRules.Class[] memory conditions = capacity.conditionsOf(id);
        checkEqual(conditions[0].weightMilli, GPU_WEIGHT, "weight");
        checkEqual(conditions[0].n, GPU_N, "n");
        checkEqual(conditions[0].timeLimitMs, 5_000, "time limit");
        checkEqual(keccak256(bytes(conditions[0].name)), keccak256("test-gpu"), "name");
        address[] memory panel = drawn(id).panel;
        (,, uint32 n) = capacity.deviceOf(id, 0);
        checkEqual(n, GPU_N, "n of the device");
        judge(id, panel, true);
        checkEqual(capacity.capacityOf(provider).gpuMilli, 2 * GPU_WEIGHT, "units");
        challenge(true);
        checkEqual(capacity.capacityOf(provider).gpuMilli, 4 * GPU_WEIGHT, "units of the next");
    }

    function test_a_class_closes_to_requests_at_the_end_of_its_notice_and_to_checks_never() external {
        rules.closeClass(GPU);
        uint64 closesAt = uint64(block.timestamp) + 90 days;
        vm.warp(closesAt - 1);
        challenge(true);
        vm.warp(closesAt);
        refused(makeDeclared(1, 1), abi.encodeWithSelector(IChallengeRules.ClassIsClosed.selector, GPU));
        bytes32 id = check(provider);
        judge(id, drawn(id).panel, true);
        checkEqual(capacity.capacityOf(provider).gpus, 2, "what was verified is in force");
    }

    function test_a_class_that_was_added_opens_a_stake_thaw_later() external {
        uint64 opensAt = uint64(block.timestamp) + STAKE_THAW;
        uint16 added = rules.addClass(rules.classOf(CPU));
        ICapacityRegistry.DeclaredClass[] memory declared = new ICapacityRegistry.DeclaredClass[](1);
        declared[0] = ICapacityRegistry.DeclaredClass(added, 1);
        vm.warp(opensAt - 1);
        refused(declared, abi.encodeWithSelector(IChallengeRules.ClassOpensLater.selector, added, opensAt));
        vm.warp(opensAt);
        vm.prank(provider);
        capacity.requestChallenge(declared);
    }

    function test_devices_are_numbered_through_the_declared_classes_in_order() external {
        bytes32 id = request();
        (address who,, uint32 n) = capacity.deviceOf(id, 0);
        checkEqual(who, address(0), "nothing before the draw");
        checkEqual(n, 0, "nothing before the draw");
        bytes32 seed = drawn(id).seed;
        for (uint32 device = 0; device < 20; device++) {
            bytes32 own;
            (who, own, n) = capacity.deviceOf(id, device);
            checkEqual(who, device < 18 ? provider : address(0), "whose");
            checkEqual(n, device < 2 ? GPU_N : device < 18 ? CPU_N : 0, "n");
            checkEqual(own, device < 18 ? keccak256(abi.encode(seed, device)) : bytes32(0), "seed");
        }
    }

    // ---- Spot checks

    function test_anyone_may_have_what_is_in_force_checked_and_pays_for_it() external {
        challenge(true);
        rules.changeClass(GPU, 2 * GPU_WEIGHT, 2048, 2_500);
        giveOpenx(stranger, PRICE);
        approveFees(stranger);
        vm.prank(stranger);
        bytes32 id = capacity.spotCheck(provider);
        checkEqual(openx.balanceOf(stranger), 0, "paid");
        ICapacityRegistry.Challenge memory got = capacity.challengeOf(id);
        checkEqual(got.declared[0].count, 2, "the same devices");
        checkEqual(capacity.conditionsOf(id)[0].n, GPU_N, "under the same conditions");
        ICapacityRegistry.Capacity memory before = capacity.capacityOf(provider);
        vm.warp(block.timestamp + 60);
        judge(id, drawn(id).panel, true);
        ICapacityRegistry.Capacity memory afterwards = capacity.capacityOf(provider);
        checkEqual(afterwards.until, before.until, "a pass changes nothing");
        checkEqual(afterwards.from, before.from, "a pass changes nothing");
        checkEqual(capacity.historyLength(provider), 1, "no new verdict");
    }

    function test_a_spot_check_just_before_the_end_may_pass_after_it() external {
        challenge(true);
        uint64 until = capacity.historyOf(provider, 0).until;
        vm.warp(until - 1);
        bytes32 id = check(provider);
        address[] memory panel = drawn(id).panel;
        vm.warp(until);
        judge(id, panel, true);
        checkEqual(capacity.capacityOf(provider).gpus, 0, "expired all the same");
        checkEqual(capacity.lapsedSince(provider), until, "since its end");
    }

    function test_nothing_in_force_means_nothing_to_check() external {
        bytes memory reason = abi.encodeWithSelector(ICapacityRegistry.NothingInForce.selector, provider);
        vm.expectRevert(reason);
        capacity.spotCheck(provider);
        challenge(true);
        challenge(false);
        vm.expectRevert(reason);
        capacity.spotCheck(provider);
        challenge(true);
        vm.warp(capacity.capacityOf(provider).until);
        vm.expectRevert(reason);
        capacity.spotCheck(provider);
    }

    function test_nobody_is_kept_from_checking_but_each_check_within_the_pause_costs_twice_as_much() external {
        challenge(true);
        uint256 price = PRICE;
        for (uint256 i = 0; i < 9; i++) {
            checkEqual(capacity.spotCheckPrice(provider), price, "price");
            uint256 before = openx.balanceOf(address(verifiers));
            bytes32 id = check(provider);
            checkEqual(openx.balanceOf(address(verifiers)) - before, price, "paid");
            judge(id, drawn(id).panel, true);
            vm.warp(block.timestamp + PAUSE - 1);
            if (i < 6) price *= 2;
            if (i == 4) challenge(true); // one of its own changes nothing, and keeps it in force
        }
        checkEqual(price, 64 * PRICE, "at most so much");
        vm.warp(block.timestamp + 1);
        checkEqual(capacity.spotCheckPrice(provider), PRICE, "as at first after a pause");
    }

    function test_a_provider_cannot_check_itself() external {
        challenge(true);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.OwnCheck.selector, provider));
        vm.prank(provider);
        capacity.spotCheck(provider);
        for (uint256 d = 0; d < 5; d++) {
            challenge(true); // as often as it likes
            bytes32 id = check(provider); // which keeps others from nothing
            judge(id, drawn(id).panel, true);
            vm.warp(block.timestamp + 1 days);
        }
    }

    function test_a_check_by_another_puts_in_doubt_and_ends_nothing_at_once() external {
        challenge(true);
        uint64 until = capacity.capacityOf(provider).until;
        bytes32 id = check(provider);
        address[] memory panel = drawn(id).panel;
        uint64 endsAt = uint64(block.timestamp) + RECHECK;
        vm.expectEmit();
        emit ICapacityRegistry.Doubted(id, provider, endsAt);
        judge(id, panel, false);
        checkTrue(!capacity.isJailed(provider), "not jailed");
        checkEqual(capacity.capacityOf(provider).until, 0, "nothing to mint on");
        checkEqual(capacity.verifiedOf(provider, GPU), 0, "nor of a class");
        checkEqual(capacity.inDoubtUntil(provider), endsAt, "in doubt");
        checkEqual(capacity.lapsedSince(provider), 0, "but in force");
        checkEqual(capacity.servedUntil(provider, ICapacityRegistry.Kind.Gpu, 1), type(uint64).max, "and serving");
        checkTrue(endsAt < until, "earlier than it would have");

        vm.warp(endsAt - 1);
        checkEqual(capacity.lapsedSince(provider), 0, "to the last second");
        vm.warp(endsAt);
        checkEqual(capacity.lapsedSince(provider), endsAt, "ended");
        checkEqual(capacity.inDoubtUntil(provider), 0, "nothing to doubt");
        checkEqual(capacity.servedUntil(provider, ICapacityRegistry.Kind.Gpu, 1), endsAt, "served until then");
        (uint64 passed, uint64 failed,) = capacity.triesOf(provider);
        checkEqual(passed, 1, "of its own one");
        checkEqual(failed, 0, "none failed");
    }

    function test_a_doubt_ends_with_the_providers_own_challenge() external {
        challenge(true);
        doubt();
        vm.warp(block.timestamp + RECHECK - 1);
        challenge(true);
        checkEqual(capacity.inDoubtUntil(provider), 0, "no doubt");
        checkEqual(capacity.capacityOf(provider).gpus, 2, "verified again");
        doubt();
        challenge(false);
        checkTrue(capacity.isJailed(provider), "or the other way");
        checkEqual(capacity.lapsedSince(provider), block.timestamp, "at once");
    }

    function test_nobody_checks_what_is_in_doubt_nor_stands_in_the_way_of_the_provider() external {
        bytes32 passed = challenge(true);
        doubt();
        uint64 until = capacity.inDoubtUntil(provider);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.CapacityInDoubt.selector, provider, until));
        capacity.spotCheck(provider);
        vm.prank(REVEALS);
        vm.warp(block.timestamp + 1);
        checkTrue(!capacity.putInDoubt(passed), "in doubt already");
        checkEqual(capacity.inDoubtUntil(provider), until, "no longer and no shorter");
    }

    function test_a_doubt_never_outlasts_what_was_verified() external {
        challenge(true);
        uint64 until = capacity.capacityOf(provider).until;
        vm.warp(until - 1 hours);
        doubt();
        checkEqual(capacity.inDoubtUntil(provider), until, "as before");
    }

    function test_a_check_that_fails_after_the_end_changes_nothing() external {
        challenge(true);
        uint64 until = capacity.historyOf(provider, 0).until;
        vm.warp(until - 1);
        bytes32 id = check(provider);
        address[] memory panel = drawn(id).panel;
        vm.warp(until);
        judge(id, panel, false);
        checkEqual(capacity.lapsedSince(provider), until, "since its end");
        checkEqual(capacity.inDoubtUntil(provider), 0, "no doubt");
        checkTrue(!capacity.isJailed(provider), "no jail");
    }

    function test_only_the_contract_of_revealed_answers_puts_in_doubt_without_a_check() external {
        bytes32 passed = challenge(true);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NotReveals.selector, stranger));
        vm.prank(stranger);
        capacity.putInDoubt(passed);
        vm.prank(REVEALS);
        checkTrue(capacity.putInDoubt(passed), "done");
        checkEqual(capacity.inDoubtUntil(provider), block.timestamp + RECHECK, "in doubt");
    }

    function test_answers_that_were_not_shown_doubt_what_stands_on_them_and_nothing_later() external {
        bytes32 first = challenge(true);
        vm.warp(block.timestamp + 1 hours);
        bytes32 firstCheck = check(provider);
        judge(firstCheck, drawn(firstCheck).panel, true);
        vm.warp(block.timestamp + 1 hours);
        challenge(true);
        bytes32[3] memory old = [first, firstCheck, keccak256("none")];
        for (uint256 i = 0; i < old.length; i++) {
            vm.prank(REVEALS);
            checkTrue(!capacity.putInDoubt(old[i]), "not about what is in force");
        }
        checkEqual(capacity.inDoubtUntil(provider), 0, "no doubt");
        bytes32 lastCheck = check(provider);
        judge(lastCheck, drawn(lastCheck).panel, true);
        vm.expectEmit();
        emit ICapacityRegistry.Doubted(lastCheck, provider, uint64(block.timestamp) + RECHECK);
        vm.prank(REVEALS);
        checkTrue(capacity.putInDoubt(lastCheck), "a check is about what it checked");
    }

    function test_nothing_is_doubted_after_it_ended() external {
        bytes32 passed = challenge(true);
        vm.warp(capacity.capacityOf(provider).until);
        vm.prank(REVEALS);
        checkTrue(!capacity.putInDoubt(passed), "ended");
    }

    // ---- Draws

    function test_the_seed_is_of_the_block_of_the_draw_which_comes_after_the_one_named() external {
        bytes32 id = request();
        uint64 drawBlock = capacity.challengeOf(id).drawBlock;
        for (uint64 number = drawBlock - 1; number <= drawBlock; number++) {
            vmBlocks.roll(number);
            vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.TooEarlyToDraw.selector, id, drawBlock, number));
            capacity.draw(id);
        }
        rollToDraw(id, keccak256("random"));
        vm.recordLogs();
        capacity.draw(id);
        checkDrawn(vm.getRecordedLogs()[0].data, id);
        ICapacityRegistry.Challenge memory got = capacity.challengeOf(id);
        vm.prank(address(capacity));
        checkEqual(got.seed, keccak256(abi.encode(randomness.draw(), id)), "seed");
        checkEqual(capacity.drawnAt(id), block.timestamp, "when");
        checkEqual(got.deadline, block.timestamp + ANSWER_TIME, "deadline");
        checkEqual(got.panel.length, 5, "panel");
        checkEqual(capacity.quorumOf(id), 4, "quorum");
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, id, ICapacityRegistry.Stage.Drawn)
        );
        capacity.draw(id);
    }

    function test_a_challenge_that_was_never_requested_cannot_be_drawn() external {
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.WrongStage.selector, bytes32("none"), ICapacityRegistry.Stage.None)
        );
        capacity.draw("none");
    }

    function test_a_draw_is_made_as_late_as_anybody_likes() external {
        bytes32 id = request();
        vmBlocks.roll(capacity.challengeOf(id).drawBlock + 100_000);
        vmBlocks.prevrandao(keccak256("late"));
        capacity.draw(id);
        checkEqual(capacity.challengeOf(id).panel.length, 5, "drawn");
    }

    function test_who_sits_on_a_panel_is_said() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        for (uint256 i = 0; i < 9; i++) {
            checkTrue(capacity.isOnPanel(id, verifierAt(i)) == isIn(panel, verifierAt(i)), "on the panel");
        }
        checkTrue(!capacity.isOnPanel(id, provider), "never the provider");
        checkTrue(!capacity.isOnPanel("none", verifierAt(0)), "of no challenge");
    }

    function test_a_full_panel_keeps_the_quorum_that_was_set() external {
        rules.setSettings(withPanel(5, 5));
        bytes32 id = request();
        checkEqual(drawn(id).panel.length, 5, "panel");
        checkEqual(capacity.quorumOf(id), 5, "quorum");
    }

    // ---- How

    function checkDrawn(bytes memory logged, bytes32 id) private view {
        ICapacityRegistry.Challenge memory got = capacity.challengeOf(id);
        checkEqual(keccak256(logged), keccak256(abi.encode(got.seed, got.panel, got.deadline)), "event");
    }

    function enlistAt(uint256 i) private {
        registerStaked(i, PLEDGE);
        vm.prank(verifierAt(i));
        verifiers.enlist();
    }

    /// @dev A check that fails.
    function doubt() private {
        bytes32 id = check(provider);
        judge(id, drawn(id).panel, false);
        checkTrue(capacity.inDoubtUntil(provider) != 0, "in doubt");
    }

    function check(address who) private returns (bytes32) {
        uint256 price = capacity.spotCheckPrice(who);
        giveOpenx(address(this), price);
        openx.approve(address(capacity), price);
        return capacity.spotCheck(who);
    }

    function withPanel(uint8 size, uint8 quorum) private pure returns (IChallengeRules.Settings memory settings) {
        settings = makeSettings();
        (settings.panelSize, settings.quorum) = (size, quorum);
    }

    function isIn(address[] memory panel, address who) private pure returns (bool) {
        for (uint256 i = 0; i < panel.length; i++) {
            if (panel[i] == who) return true;
        }
        return false;
    }

    function refused(ICapacityRegistry.DeclaredClass[] memory declared, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(provider);
        capacity.requestChallenge(declared);
    }
}
