// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CapacityRegistry} from "../src/capacity/CapacityRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Judging} from "./Judging.sol";

/// @notice Who may be drawn, what holds its stake, and that nobody can bend a draw.
contract VerifiersTest is Judging {
    function setUp() public override {
        super.setUp();
        connectJudge(address(0xDEAD), pledgeHold(capacity));
    }

    // ---- Enlisting and leaving

    function test_a_verifier_pledges_stake_that_is_held_until_long_after_it_left() external {
        registerStaked(0, PLEDGE + 1);
        address verifier = verifierAt(0);
        vm.prank(verifier);
        capacity.enlist();
        checkTrue(capacity.isVerifier(verifier), "enlisted");
        checkEqual(capacity.heldStakeOf(verifier), PLEDGE, "held");
        IProviderRegistry.Role role = IProviderRegistry.Role.Verifier;
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.StakeHeld.selector, verifier, role, PLEDGE, PLEDGE + 1)
        );
        vm.prank(verifier);
        registry.startUnstakeFrom(role, 2);

        uint64 heldUntil = uint64(block.timestamp) + LEAVE_DELAY;
        vm.expectEmit();
        emit ICapacityRegistry.VerifierLeft(verifier, heldUntil);
        vm.prank(verifier);
        capacity.leave();
        checkTrue(!capacity.isVerifier(verifier), "left");
        vm.warp(heldUntil - 1);
        checkEqual(capacity.heldStakeOf(verifier), PLEDGE, "held still");
        vm.warp(heldUntil);
        checkEqual(capacity.heldStakeOf(verifier), 0, "free");
        vm.prank(verifier);
        registry.startUnstakeFrom(role, PLEDGE + 1);
    }

    function test_who_is_not_registered_or_short_of_stake_cannot_enlist() external {
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        capacity.enlist();
        registerStaked(0, PLEDGE - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.VerifierStakeShort.selector, verifierAt(0), PLEDGE - 1, PLEDGE)
        );
        vm.prank(verifierAt(0));
        capacity.enlist();
    }

    function test_stake_that_something_else_holds_cannot_be_pledged() external {
        CapacityRegistry second = CapacityRegistry(deploy(capacityCode(makeSettings())));
        registerStaked(0, PLEDGE + 5);
        vm.prank(verifierAt(0));
        capacity.enlist();
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.VerifierStakeShort.selector, verifierAt(0), 5, PLEDGE));
        vm.prank(verifierAt(0));
        second.enlist();
    }

    function test_what_is_staked_as_a_provider_is_no_pledge() external {
        registerAs(ownerKeyOf(0), nodeKeyOf(0));
        stakeFor(verifierAt(0), 10 * PLEDGE);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.VerifierStakeShort.selector, verifierAt(0), 0, PLEDGE));
        vm.prank(verifierAt(0));
        capacity.enlist();
    }

    function test_nobody_enlists_twice_nor_leaves_twice() external {
        enlistVerifiers(1);
        pledgeFor(verifierAt(0), PLEDGE);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.AlreadyVerifier.selector, verifierAt(0)));
        vm.prank(verifierAt(0));
        capacity.enlist();
        vm.prank(verifierAt(0));
        capacity.leave();
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NotVerifier.selector, verifierAt(0)));
        vm.prank(verifierAt(0));
        capacity.leave();
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NotVerifier.selector, stranger));
        vm.prank(stranger);
        capacity.leave();
    }

    function test_a_verifier_that_left_comes_back_only_after_its_delay() external {
        enlistVerifiers(1);
        pledgeFor(verifierAt(0), PLEDGE);
        vm.prank(verifierAt(0));
        capacity.leave();
        uint256 heldUntil = block.timestamp + LEAVE_DELAY;
        vm.warp(heldUntil - 1);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.LeftRecently.selector, verifierAt(0), heldUntil));
        vm.prank(verifierAt(0));
        capacity.enlist();
        vm.warp(heldUntil);
        vm.prank(verifierAt(0));
        capacity.enlist();
        checkEqual(capacity.verifierCount(), 1, "one");
    }

    function test_the_pledge_is_what_was_asked_when_it_was_made() external {
        enlistVerifiers(1);
        ICapacityRegistry.Settings memory settings = makeSettings();
        settings.verifierStake = PLEDGE * 2;
        capacity.setSettings(settings);
        checkEqual(capacity.heldStakeOf(verifierAt(0)), PLEDGE, "as pledged");
    }

    function test_anyone_strikes_off_who_is_no_provider_or_short_of_stake() external {
        enlistVerifiers(2);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.VerifierInOrder.selector, verifierAt(0)));
        capacity.strikeOff(verifierAt(0));
        vm.prank(verifierAt(0));
        registry.deactivate();
        capacity.strikeOff(verifierAt(0));
        checkTrue(!capacity.isVerifier(verifierAt(0)), "off");
        checkEqual(capacity.heldStakeOf(verifierAt(0)), PLEDGE, "held like one that left");

        vm.prank(address(0xDEAD));
        registry.slash(verifierAt(1), makePledgePenalty(1));
        capacity.strikeOff(verifierAt(1));
        checkEqual(capacity.verifierCount(), 0, "none left");
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.NotVerifier.selector, stranger));
        capacity.strikeOff(stranger);
    }

    function test_the_list_names_exactly_the_verifiers(uint256 seed) external {
        enlistVerifiers(8);
        for (uint256 i = 0; i < 8; i++) {
            if (seed >> i & 1 == 0) continue;
            vm.prank(verifierAt(i));
            capacity.leave();
        }
        address[] memory list = capacity.verifiers();
        checkEqual(list.length, capacity.verifierCount(), "count");
        for (uint256 i = 0; i < list.length; i++) {
            checkTrue(capacity.isVerifier(list[i]), "a verifier");
            for (uint256 k = 0; k < i; k++) {
                checkTrue(list[k] != list[i], "once");
            }
        }
    }

    // ---- Draws

    function test_a_panel_is_of_different_verifiers_in_ascending_order_and_never_the_provider(bytes32 hash) external {
        if (hash == 0) return; // what a block reads as that is too old
        enlistVerifiers(9);
        enlistProvider();
        bytes32 id = request();
        rollToDraw(id, hash);
        capacity.draw(id);
        address[] memory panel = capacity.challengeOf(id).panel;
        checkEqual(panel.length, 5, "seats");
        for (uint256 i = 0; i < panel.length; i++) {
            checkTrue(i == 0 || panel[i - 1] < panel[i], "ascending");
            checkTrue(panel[i] != provider, "never the provider");
            checkTrue(capacity.isVerifier(panel[i]), "a verifier");
        }
    }

    function test_every_verifier_is_drawn_about_as_often_as_any_other() external {
        enlistVerifiers(9);
        uint256[9] memory drawnTimes;
        uint256 state = vm.snapshotState();
        for (uint256 round = 0; round < 270; round++) {
            bytes32 id = request();
            rollToDraw(id, keccak256(abi.encode("round", round)));
            capacity.draw(id);
            address[] memory panel = capacity.challengeOf(id).panel;
            for (uint256 i = 0; i < panel.length; i++) {
                drawnTimes[indexOf(panel[i])]++;
            }
            vm.revertToState(state);
        }
        // Each is expected 150 times, with a deviation of 8; five deviations is a chance of 1 in 200,000.
        for (uint256 i = 0; i < 9; i++) {
            checkTrue(drawnTimes[i] > 110 && drawnTimes[i] < 190, "fair");
        }
    }

    function test_fewer_verifiers_than_seats_are_all_drawn_with_more_than_two_thirds_as_quorum() external {
        uint8[6] memory quorums = [0, 1, 2, 3, 3, 4];
        for (uint256 count = 1; count <= 5; count++) {
            capacity = CapacityRegistry(deploy(capacityCode(makeSettings())));
            approveFees(provider);
            giveOpenx(provider, FEE);
            for (uint256 i = 0; i < count; i++) {
                if (registry.nodeKeyOf(verifierAt(i)) == address(0)) registerStaked(i, 2 * PLEDGE);
                vm.prank(verifierAt(i));
                capacity.enlist();
            }
            bytes32 id = request();
            checkEqual(drawn(id).panel.length, count, "all of them");
            checkEqual(capacity.quorumOf(id), quorums[count], "quorum");
        }
    }

    function test_enlisting_after_the_hash_is_known_gives_no_seat_and_moves_none() external {
        enlistVerifiers(6);
        bytes32 id = request();
        rollToDraw(id, keccak256("known"));
        uint256 state = vm.snapshotState();
        capacity.draw(id);
        address[] memory honest = capacity.challengeOf(id).panel;
        vm.revertToState(state);

        for (uint256 i = 10; i < 40; i++) {
            registerStaked(i, PLEDGE);
            vm.prank(verifierAt(i));
            capacity.enlist();
        }
        capacity.draw(id);
        checkSame(capacity.challengeOf(id).panel, honest);
    }

    function test_enlisting_into_an_old_slot_after_the_hash_is_known_gives_no_seat() external {
        enlistVerifiers(6);
        vm.prank(verifierAt(2));
        capacity.leave();
        vmBlocks.roll(block.number + 64 + 257);
        bytes32 id = request();
        rollToDraw(id, keccak256("known"));
        enlistAt(10);
        checkEqual(placeOf(10), 2, "in the slot of who left");
        capacity.draw(id);
        address[] memory panel = capacity.challengeOf(id).panel;
        checkEqual(panel.length, 5, "all who were there");
        for (uint256 i = 0; i < panel.length; i++) {
            checkTrue(panel[i] != verifierAt(10), "not who came later");
        }
    }

    function test_leaving_or_being_struck_off_after_the_request_moves_no_seat(uint8 leavers) external {
        enlistVerifiers(8);
        bytes32 id = request();
        rollToDraw(id, keccak256("known"));
        uint256 state = vm.snapshotState();
        capacity.draw(id);
        address[] memory honest = capacity.challengeOf(id).panel;
        vm.revertToState(state);

        for (uint256 i = 0; i < 8; i++) {
            if (leavers >> i & 1 == 0) continue;
            vm.prank(verifierAt(i));
            if (i % 2 == 0) capacity.leave();
            else registry.deactivate();
            if (i % 2 == 1) capacity.strikeOff(verifierAt(i));
        }
        capacity.draw(id);
        checkSame(capacity.challengeOf(id).panel, honest);
    }

    function test_a_change_of_settings_after_the_request_moves_no_seat() external {
        enlistVerifiers(8);
        bytes32 id = request();
        ICapacityRegistry.Settings memory settings = makeSettings();
        (settings.panelSize, settings.quorum, settings.drawDelay) = (1, 1, 30);
        capacity.setSettings(settings);
        checkEqual(drawn(id).panel.length, 5, "seats of the request");
        checkEqual(capacity.quorumOf(id), 4, "quorum of the request");
    }

    function test_who_left_before_the_request_is_not_drawn_and_who_left_after_may_judge() external {
        enlistVerifiers(6);
        vm.prank(verifierAt(5));
        capacity.leave();
        vmBlocks.roll(block.number + 1);
        bytes32 id = request();
        vmBlocks.roll(block.number + 1);
        for (uint256 i = 0; i < 5; i++) {
            vm.prank(verifierAt(i));
            capacity.leave();
        }
        address[] memory panel = drawn(id).panel;
        checkEqual(panel.length, 5, "all who were there");
        for (uint256 i = 0; i < panel.length; i++) {
            checkTrue(panel[i] != verifierAt(5), "not who had left");
        }
        judge(id, panel, true);
        checkEqual(capacity.capacityOf(provider).gpus, 2, "judged");
    }

    function test_a_draw_armed_again_when_all_have_left_lapses_and_the_fee_goes_back() external {
        enlistVerifiers(1);
        bytes32 id = request();
        vm.prank(verifierAt(0));
        capacity.leave();
        vmBlocks.roll(block.number + 300);
        capacity.draw(id);
        rollToDraw(id, keccak256("later"));
        vm.expectEmit();
        emit ICapacityRegistry.ChallengeLapsed(id, provider);
        capacity.draw(id);
        checkEqual(capacity.feesOf(provider), FEE, "back");
        checkEqual(capacity.openChallengeOf(provider), bytes32(0), "closed");
        checkTrue(!capacity.isJailed(provider), "no harm");
    }

    // ---- Slots

    function test_a_slot_is_used_again_only_when_no_draw_of_its_time_can_come() external {
        enlistVerifiers(3);
        vm.prank(verifierAt(1));
        capacity.leave();
        uint256 left = block.number;
        // The longest delay, and the last block at which its hash is read: who comes now sits elsewhere.
        vmBlocks.roll(left + 64 + 256);
        enlistAt(10);
        checkEqual(placeOf(10), 2, "a new slot, behind the two who stayed");
        vmBlocks.roll(left + 64 + 257);
        enlistAt(11);
        checkEqual(placeOf(11), 1, "the old slot, between them");
        enlistAt(12);
        checkEqual(placeOf(12), 4, "which is taken now");
    }

    function test_the_list_is_full_at_its_maximum_and_a_draw_still_fits_in_a_block() external {
        ICapacityRegistry.Settings memory settings = makeSettings();
        settings.verifierStake = 1 ether;
        capacity.setSettings(settings);
        for (uint256 i = 0; i < 512; i++) {
            registerStaked(100 + i, 1 ether);
            vm.prank(verifierAt(100 + i));
            capacity.enlist();
        }
        registerStaked(1000, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.TooManyVerifiers.selector, 512));
        vm.prank(verifierAt(1000));
        capacity.enlist();

        // All but one leave, so that the draw meets almost nobody it may take.
        for (uint256 i = 1; i < 512; i++) {
            vm.prank(verifierAt(100 + i));
            capacity.leave();
        }
        vmBlocks.roll(block.number + 1);
        bytes32 id = request();
        rollToDraw(id, keccak256("hash"));
        uint256 before = gasleft();
        capacity.draw(id);
        checkGas(before - gasleft(), 2_500_000);
        checkEqual(capacity.challengeOf(id).panel[0], verifierAt(100), "the one");
        checkEqual(capacity.verifiers().length, 1, "listed");
    }

    // ---- How

    function enlistProvider() private {
        pledgeFor(provider, PLEDGE);
        vm.prank(provider);
        capacity.enlist();
    }

    function enlistAt(uint256 i) private {
        registerStaked(i, PLEDGE);
        vm.prank(verifierAt(i));
        capacity.enlist();
    }

    /// @dev The list is in order of slots; a slot that was left is missing in it.
    function placeOf(uint256 i) private view returns (uint256 place) {
        address[] memory list = capacity.verifiers();
        while (list[place] != verifierAt(i)) {
            place++;
        }
    }

    function indexOf(address verifier) private view returns (uint256) {
        return keyOf(verifier) - nodeKeyOf(0);
    }

    function checkSame(address[] memory got, address[] memory wanted) private pure {
        checkEqual(got.length, wanted.length, "seats");
        for (uint256 i = 0; i < got.length; i++) {
            checkEqual(got[i], wanted[i], "the same member");
        }
    }
}
