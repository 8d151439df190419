// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CapacityRegistry} from "../src/capacity/CapacityRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
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
        emit ICapacityRegistry.ChallengeRequested(id, provider, provider, uint64(block.number) + DRAW_DELAY);
        checkEqual(request(), id, "id");
        checkEqual(before - openx.balanceOf(provider), FEE, "fee");
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
        openx.approve(address(capacity), FEE - 1);
        vm.expectRevert();
        vm.prank(provider);
        capacity.requestChallenge(makeDeclared(1, 1));
    }

    function test_declared_classes_are_known_classes_ascending_and_of_something() external {
        ICapacityRegistry.DeclaredClass[] memory declared = makeDeclared(1, 1);
        (declared[0], declared[1]) = (declared[1], declared[0]);
        refused(declared, abi.encodeWithSelector(ICapacityRegistry.DeclaredNotAscending.selector, GPU));
        declared[0] = declared[1];
        refused(declared, abi.encodeWithSelector(ICapacityRegistry.DeclaredNotAscending.selector, GPU));
        refused(makeDeclared(0, 1), abi.encodeWithSelector(ICapacityRegistry.NothingDeclared.selector, GPU));
        declared = makeDeclared(1, 1);
        declared[1].classId = 2;
        refused(declared, abi.encodeWithSelector(ICapacityRegistry.UnknownClass.selector, 2));
        refused(
            new ICapacityRegistry.DeclaredClass[](0),
            abi.encodeWithSelector(ICapacityRegistry.DeclaredCount.selector, 0, 8)
        );
        refused(
            new ICapacityRegistry.DeclaredClass[](9),
            abi.encodeWithSelector(ICapacityRegistry.DeclaredCount.selector, 9, 8)
        );
    }

    function test_the_most_declared_classes_are_taken() external {
        ICapacityRegistry.Class memory class = capacity.classOf(CPU);
        ICapacityRegistry.DeclaredClass[] memory declared = new ICapacityRegistry.DeclaredClass[](8);
        for (uint16 i = 0; i < 8; i++) {
            if (i > 1) capacity.addClass(class);
            declared[i] = ICapacityRegistry.DeclaredClass(i, 1);
        }
        vm.prank(provider);
        bytes32 id = capacity.requestChallenge(declared);
        checkEqual(capacity.conditionsOf(id).length, 8, "all");
    }

    function test_devices_are_at_most_as_many_as_their_roots_fit_in_a_transaction() external {
        refused(makeDeclared(24, 1001), abi.encodeWithSelector(ICapacityRegistry.TooManyDevices.selector, 1025, 1024));
        refused(
            makeDeclared(type(uint16).max, type(uint16).max),
            abi.encodeWithSelector(ICapacityRegistry.TooManyDevices.selector, 2 * 65_535, 1024)
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

    function test_without_verifiers_a_request_is_refused() external {
        capacity = freshCapacity();
        approveFees(provider);
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.NoVerifiers.selector, provider));
    }

    function test_with_nobody_but_itself_a_provider_is_refused() external {
        capacity = freshCapacity();
        pledgeFor(provider, PLEDGE);
        approveFees(provider);
        vm.prank(provider);
        capacity.enlist();
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.NoVerifiers.selector, provider));
    }

    // ---- Conditions

    function test_a_class_that_changes_after_the_request_does_not_change_what_is_judged() external {
        bytes32 id = request();
        capacity.changeClass(GPU, 100, 2048, 1);
        ICapacityRegistry.Class[] memory conditions = capacity.conditionsOf(id);
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
        checkEqual(capacity.capacityOf(provider).gpuMilli, 2 * 100, "units of the next");
    }

    function test_a_class_without_weight_is_closed() external {
        capacity.changeClass(GPU, 0, GPU_N, 5_000);
        refused(makeDeclared(1, 1), abi.encodeWithSelector(ICapacityRegistry.ClassIsClosed.selector, GPU));
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
        capacity.changeClass(GPU, 100, 2048, 1);
        giveOpenx(stranger, FEE);
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

    function test_a_spot_check_that_fails_jails() external {
        challenge(true);
        bytes32 id = check(provider);
        judge(id, drawn(id).panel, false);
        checkTrue(capacity.isJailed(provider), "jailed");
        checkEqual(capacity.capacityOf(provider).gpus, 0, "nothing in force");
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

    function test_spot_checks_pause_but_a_providers_own_challenges_shield_it_from_none() external {
        challenge(true);
        uint256 since = block.timestamp;
        bytes32 id = check(provider);
        judge(id, drawn(id).panel, true);
        vm.warp(since + PAUSE - 1);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.SpotCheckedRecently.selector, provider, since + PAUSE));
        capacity.spotCheck(provider);
        vm.warp(since + PAUSE);
        challenge(true);
        id = check(provider);
        judge(id, drawn(id).panel, true);
    }

    // ---- Draws

    function test_the_seed_is_the_hash_of_a_block_that_was_not_there_at_the_request() external {
        bytes32 id = request();
        uint64 drawBlock = capacity.challengeOf(id).drawBlock;
        vmBlocks.roll(drawBlock);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.TooEarlyToDraw.selector, id, drawBlock, drawBlock));
        capacity.draw(id);
        rollToDraw(id, keccak256("hash"));
        vm.recordLogs();
        capacity.draw(id);
        checkDrawn(vm.getRecordedLogs()[0].data, id);
        ICapacityRegistry.Challenge memory got = capacity.challengeOf(id);
        checkEqual(got.seed, keccak256(abi.encode(keccak256("hash"), id)), "seed");
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

    function test_a_block_too_old_to_be_read_arms_the_draw_again_with_the_verifiers_of_then() external {
        bytes32 id = request();
        uint64 drawBlock = capacity.challengeOf(id).drawBlock;
        vmBlocks.roll(drawBlock + 257);
        vm.prank(verifierAt(0));
        capacity.leave();
        vmBlocks.roll(block.number + 1);
        vm.expectEmit();
        emit ICapacityRegistry.DrawArmedAgain(id, uint64(block.number) + DRAW_DELAY);
        capacity.draw(id);
        checkTrue(capacity.challengeOf(id).stage == ICapacityRegistry.Stage.Requested, "still to draw");
        checkEqual(capacity.challengeOf(id).drawBlock, block.number + DRAW_DELAY, "another block");
        capacity.setSettings(withPanel(15, 11));
        address[] memory panel = drawn(id).panel;
        checkEqual(panel.length, 5, "the settings of when it was armed");
        checkTrue(!isIn(panel, verifierAt(0)), "left before it was armed");
    }

    function test_a_full_panel_keeps_the_quorum_that_was_set() external {
        capacity.setSettings(withPanel(5, 5));
        bytes32 id = request();
        checkEqual(drawn(id).panel.length, 5, "panel");
        checkEqual(capacity.quorumOf(id), 5, "quorum");
    }

    function test_the_last_block_whose_hash_can_be_read_draws() external {
        bytes32 id = request();
        uint64 drawBlock = capacity.challengeOf(id).drawBlock;
        vmBlocks.roll(drawBlock + 256);
        vmBlocks.setBlockhash(drawBlock, keccak256("old"));
        capacity.draw(id);
        checkEqual(capacity.challengeOf(id).panel.length, 5, "drawn");
    }

    // ---- How

    function checkDrawn(bytes memory logged, bytes32 id) private view {
        ICapacityRegistry.Challenge memory got = capacity.challengeOf(id);
        checkEqual(keccak256(logged), keccak256(abi.encode(got.seed, got.panel, got.deadline)), "event");
    }

    function freshCapacity() private returns (CapacityRegistry) {
        return CapacityRegistry(deploy(capacityCode(makeSettings())));
    }

    function check(address who) private returns (bytes32) {
        giveOpenx(address(this), FEE);
        openx.approve(address(capacity), FEE);
        return capacity.spotCheck(who);
    }

    function withPanel(uint8 size, uint8 quorum) private pure returns (ICapacityRegistry.Settings memory settings) {
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
