// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CapacityRegistry} from "../src/capacity/CapacityRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../src/interfaces/IChallengeRules.sol";
import {IVerifierRegistry} from "../src/interfaces/IVerifierRegistry.sol";
import {VerifierRegistry} from "../src/capacity/VerifierRegistry.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Judging} from "./Judging.sol";

/// @notice Who may be drawn, what holds its stake, and that nobody can bend a draw.
contract VerifiersTest is Judging {
    function setUp() public override {
        super.setUp();
        connectJudge(address(0xDEAD), pledgeHold(verifiers));
    }

    // ---- Enlisting and leaving

    function test_a_verifier_pledges_stake_that_is_held_until_long_after_it_left() external {
        registerStaked(0, PLEDGE + 1);
        address verifier = verifierAt(0);
        vm.prank(verifier);
        verifiers.enlist();
        checkTrue(verifiers.isVerifier(verifier), "enlisted");
        checkEqual(verifiers.heldStakeOf(verifier), PLEDGE, "held");
        (uint8 misses, uint64 since) = verifiers.missesOf(verifier);
        checkEqual(misses + since, 0, "no misses");
        IProviderRegistry.Role role = IProviderRegistry.Role.Verifier;
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.StakeHeld.selector, verifier, role, PLEDGE, PLEDGE + 1)
        );
        vm.prank(verifier);
        registry.startUnstakeFrom(role, 2);

        uint64 heldUntil = uint64(block.timestamp) + LEAVE_DELAY;
        vm.expectEmit();
        emit IVerifierRegistry.VerifierLeft(verifier, heldUntil);
        vm.prank(verifier);
        verifiers.leave();
        checkTrue(!verifiers.isVerifier(verifier), "left");
        vm.warp(heldUntil - 1);
        checkEqual(verifiers.heldStakeOf(verifier), PLEDGE, "held still");
        vm.warp(heldUntil);
        checkEqual(verifiers.heldStakeOf(verifier), 0, "free");
        vm.prank(verifier);
        registry.startUnstakeFrom(role, PLEDGE + 1);
    }

    function test_who_is_not_registered_or_short_of_stake_cannot_enlist() external {
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        verifiers.enlist();
        registerStaked(0, PLEDGE - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IVerifierRegistry.VerifierStakeShort.selector, verifierAt(0), PLEDGE - 1, PLEDGE)
        );
        vm.prank(verifierAt(0));
        verifiers.enlist();
    }

    function test_stake_that_something_else_holds_cannot_be_pledged() external {
        VerifierRegistry second = VerifierRegistry(deploy(verifiersCode(makeVerifierSettings())));
        registerStaked(0, PLEDGE + 5);
        vm.prank(verifierAt(0));
        verifiers.enlist();
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierStakeShort.selector, verifierAt(0), 5, PLEDGE));
        vm.prank(verifierAt(0));
        second.enlist();
    }

    function test_what_is_staked_as_a_provider_is_no_pledge() external {
        registerAs(ownerKeyOf(0), nodeKeyOf(0));
        stakeFor(verifierAt(0), 10 * PLEDGE);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierStakeShort.selector, verifierAt(0), 0, PLEDGE));
        vm.prank(verifierAt(0));
        verifiers.enlist();
    }

    function test_nobody_enlists_twice_nor_leaves_twice() external {
        enlistVerifiers(1);
        pledgeFor(verifierAt(0), PLEDGE);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.AlreadyVerifier.selector, verifierAt(0)));
        vm.prank(verifierAt(0));
        verifiers.enlist();
        vm.prank(verifierAt(0));
        verifiers.leave();
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.NotVerifier.selector, verifierAt(0)));
        vm.prank(verifierAt(0));
        verifiers.leave();
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.NotVerifier.selector, stranger));
        vm.prank(stranger);
        verifiers.leave();
    }

    function test_a_verifier_that_left_comes_back_only_after_its_delay() external {
        enlistVerifiers(1);
        pledgeFor(verifierAt(0), PLEDGE);
        vm.prank(verifierAt(0));
        verifiers.leave();
        uint256 heldUntil = block.timestamp + LEAVE_DELAY;
        vm.warp(heldUntil - 1);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.LeftRecently.selector, verifierAt(0), heldUntil));
        vm.prank(verifierAt(0));
        verifiers.enlist();
        vm.warp(heldUntil);
        vm.prank(verifierAt(0));
        verifiers.enlist();
        checkEqual(verifiers.verifierCount(), 1, "one");
    }

    function test_a_raised_pledge_is_for_later_verifiers_and_strikes_off_none() external {
        enlistVerifiers(2);
        verifiers.setSettings(IVerifierRegistry.Settings(LEAVE_DELAY, 2 * PLEDGE));
        checkEqual(verifiers.heldStakeOf(verifierAt(0)), PLEDGE, "as pledged");
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierInOrder.selector, verifierAt(0)));
        verifiers.strikeOff(verifierAt(0));
        registerStaked(2, 2 * PLEDGE - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IVerifierRegistry.VerifierStakeShort.selector, verifierAt(2), 2 * PLEDGE - 1, 2 * PLEDGE
            )
        );
        vm.prank(verifierAt(2));
        verifiers.enlist();
        pledgeFor(verifierAt(2), 1);
        vm.expectEmit();
        emit IVerifierRegistry.VerifierEnlisted(verifierAt(2), 2 * PLEDGE);
        vm.prank(verifierAt(2));
        verifiers.enlist();
        checkEqual(verifiers.pledgeOf(verifierAt(2)), 2 * PLEDGE, "the new pledge");
        checkEqual(verifiers.verifierCount(), 3, "all");
    }

    function test_anyone_strikes_off_who_is_no_provider_or_short_of_stake() external {
        enlistVerifiers(2);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierInOrder.selector, verifierAt(0)));
        verifiers.strikeOff(verifierAt(0));
        vm.prank(verifierAt(0));
        registry.deactivate();
        verifiers.strikeOff(verifierAt(0));
        checkTrue(!verifiers.isVerifier(verifierAt(0)), "off");
        checkEqual(verifiers.heldStakeOf(verifierAt(0)), PLEDGE, "held like one that left");

        vm.prank(address(0xDEAD));
        registry.slash(verifierAt(1), makePledgePenalty(1));
        verifiers.strikeOff(verifierAt(1));
        checkEqual(verifiers.verifierCount(), 0, "none left");
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.NotVerifier.selector, stranger));
        verifiers.strikeOff(stranger);
    }

    function test_the_list_names_exactly_the_verifiers(uint256 seed) external {
        enlistVerifiers(8);
        for (uint256 i = 0; i < 8; i++) {
            if (seed >> i & 1 == 0) continue;
            vm.prank(verifierAt(i));
            verifiers.leave();
        }
        address[] memory list = verifiers.verifiers();
        checkEqual(list.length, verifiers.verifierCount(), "count");
        for (uint256 i = 0; i < list.length; i++) {
            checkTrue(verifiers.isVerifier(list[i]), "a verifier");
            for (uint256 k = 0; k < i; k++) {
                checkTrue(list[k] != list[i], "once");
            }
        }
    }

    // ---- Draws

    function test_a_panel_is_of_different_verifiers_in_ascending_order_and_never_the_provider(bytes32 random) external {
        enlistVerifiers(9);
        enlistProvider();
        bytes32 id = request();
        // Hashed: small numbers are no block's randomness.
        rollToDraw(id, keccak256(abi.encode(random)));
        capacity.draw(id);
        address[] memory panel = capacity.challengeOf(id).panel;
        checkEqual(panel.length, 5, "seats");
        for (uint256 i = 0; i < panel.length; i++) {
            checkTrue(i == 0 || panel[i - 1] < panel[i], "ascending");
            checkTrue(panel[i] != provider, "never the provider");
            checkTrue(verifiers.isVerifier(panel[i]), "a verifier");
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
            deployCapacity(makeSettings());
            approveFees(provider);
            giveOpenx(provider, PRICE);
            for (uint256 i = 0; i < count; i++) {
                if (registry.nodeKeyOf(verifierAt(i)) == address(0)) registerStaked(i, 2 * PLEDGE);
                vm.prank(verifierAt(i));
                verifiers.enlist();
            }
            bytes32 id = request();
            checkEqual(drawn(id).panel.length, count, "all of them");
            checkEqual(capacity.quorumOf(id), quorums[count], "quorum");
        }
    }

    function test_enlisting_after_the_request_gives_no_seat_and_moves_none() external {
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
            verifiers.enlist();
        }
        capacity.draw(id);
        checkSame(capacity.challengeOf(id).panel, honest);
    }

    function test_enlisting_into_an_old_slot_after_the_request_gives_no_seat() external {
        enlistVerifiers(6);
        vm.prank(verifierAt(2));
        verifiers.leave();
        vmBlocks.roll(block.number + verifiers.DRAW_BLOCKS() + 1);
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
            if (i % 2 == 0) verifiers.leave();
            else registry.deactivate();
            if (i % 2 == 1) verifiers.strikeOff(verifierAt(i));
        }
        capacity.draw(id);
        checkSame(capacity.challengeOf(id).panel, honest);
    }

    function test_a_change_of_settings_after_the_request_moves_no_seat() external {
        enlistVerifiers(8);
        bytes32 id = request();
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.panelSize, settings.quorum, settings.drawDelay) = (3, 3, 4);
        rules.setSettings(settings);
        checkEqual(drawn(id).panel.length, 5, "seats of the request");
        checkEqual(capacity.quorumOf(id), 4, "quorum of the request");
    }

    function test_who_left_before_the_request_is_not_drawn_and_who_left_after_may_judge() external {
        enlistVerifiers(6);
        vm.prank(verifierAt(5));
        verifiers.leave();
        vmBlocks.roll(block.number + 1);
        bytes32 id = request();
        vmBlocks.roll(block.number + 1);
        for (uint256 i = 0; i < 5; i++) {
            vm.prank(verifierAt(i));
            verifiers.leave();
        }
        address[] memory panel = drawn(id).panel;
        checkEqual(panel.length, 5, "all who were there");
        for (uint256 i = 0; i < panel.length; i++) {
            checkTrue(panel[i] != verifierAt(5), "not who had left");
        }
        judge(id, panel, true);
        checkEqual(capacity.capacityOf(provider).gpus, 2, "judged");
    }

    function test_a_draw_that_finds_fewer_than_the_least_panel_lapses() external {
        IChallengeRules.Settings memory settings = makeSettings();
        (settings.minPanel, settings.minList) = (3, 3);
        deployCapacity(settings);
        approveFees(provider);
        enlistVerifiers(3);
        bytes32 id = request();
        // One leaves, and long after its place is given to another, who was not there at the request.
        vm.prank(verifierAt(0));
        verifiers.leave();
        vmBlocks.roll(block.number + verifiers.DRAW_BLOCKS() + 1);
        enlistAt(10);
        uint256 supply = openx.totalSupply();
        vm.expectEmit();
        emit ICapacityRegistry.ChallengeLapsed(id, provider);
        capacity.draw(id);
        checkEqual(supply - openx.totalSupply(), PRICE, "burned");
        checkEqual(capacity.openChallengeOf(provider), bytes32(0), "closed");
        checkEqual(capacity.drawnAt(id), 0, "never drawn");
        checkTrue(!capacity.isJailed(provider), "no harm");
        checkEqual(drawn(request()).panel.length, 3, "the next has three");
    }

    function test_what_a_panel_granted_is_over_before_a_pledge_of_it_can_leave() external {
        enlistVerifiers(5);
        bytes32 id = challenge(true);
        uint64 until = capacity.capacityOf(provider).until;
        address[] memory panel = capacity.challengeOf(id).panel;
        vm.prank(panel[0]);
        verifiers.leave();
        vm.warp(until + STAKE_THAW - 1);
        IProviderRegistry.Role role = IProviderRegistry.Role.Verifier;
        vm.expectPartialRevert(IProviderRegistry.StakeHeld.selector);
        vm.prank(panel[0]);
        registry.startUnstakeFrom(role, 1);
        vm.warp(until + STAKE_THAW);
        vm.prank(panel[0]);
        registry.startUnstakeFrom(role, PLEDGE);
        checkEqual(pledgeOf(panel[0]), 0, "from now on it thaws, and can be slashed still");
    }

    // ---- Slots

    function test_a_slot_is_used_again_only_when_no_draw_of_its_time_can_come() external {
        enlistVerifiers(3);
        vm.prank(verifierAt(1));
        verifiers.leave();
        uint256 left = block.number;
        // The longest delay, and the blocks in which anyone may draw: who comes now sits elsewhere.
        vmBlocks.roll(left + verifiers.DRAW_BLOCKS());
        enlistAt(10);
        checkEqual(placeOf(10), 2, "a new slot, behind the two who stayed");
        vmBlocks.roll(left + verifiers.DRAW_BLOCKS() + 1);
        enlistAt(11);
        checkEqual(placeOf(11), 1, "the old slot, between them");
        enlistAt(12);
        checkEqual(placeOf(12), 4, "which is taken now");
    }

    function test_the_list_is_full_at_its_maximum_and_a_draw_still_fits_in_a_block() external {
        verifiers = VerifierRegistry(deploy(verifiersCode(IVerifierRegistry.Settings(LEAVE_DELAY, 1 ether))));
        capacity = CapacityRegistry(deploy(capacityCode()));
        verifiers.connect(address(capacity), REVEALS);
        approveFees(provider);
        for (uint256 i = 0; i < 512; i++) {
            registerStaked(100 + i, 1 ether);
            vm.prank(verifierAt(100 + i));
            verifiers.enlist();
        }
        registerStaked(1000, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.TooManyVerifiers.selector, 512));
        vm.prank(verifierAt(1000));
        verifiers.enlist();

        // All but one leave, so that the draw meets almost nobody it may take.
        for (uint256 i = 1; i < 512; i++) {
            vm.prank(verifierAt(100 + i));
            verifiers.leave();
        }
        vmBlocks.roll(block.number + 1);
        bytes32 id = request();
        rollToDraw(id, keccak256("random"));
        uint256 before = gasleft();
        capacity.draw(id);
        checkGas(before - gasleft(), 2_500_000);
        checkEqual(capacity.challengeOf(id).panel[0], verifierAt(100), "the one");
        checkEqual(verifiers.verifiers().length, 1, "listed");
    }

    // ---- How

    function enlistProvider() private {
        pledgeFor(provider, PLEDGE);
        vm.prank(provider);
        verifiers.enlist();
    }

    function enlistAt(uint256 i) private {
        registerStaked(i, PLEDGE);
        vm.prank(verifierAt(i));
        verifiers.enlist();
    }

    /// @dev The list is in order of slots; a slot that was left is missing in it.
    function placeOf(uint256 i) private view returns (uint256 place) {
        address[] memory list = verifiers.verifiers();
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
