// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Providing} from "./Providing.sol";

/// @notice How much of a stake documents can take: once for each episode, never above a judge's ceiling. The judge of these tests may
/// take half of a provider's stake in a period, as on chain.
contract PenaltiesTest is Providing {
    IProviderRegistry.Role private constant PROVIDER = IProviderRegistry.Role.Provider;
    IProviderRegistry.Role private constant VERIFIER = IProviderRegistry.Role.Verifier;
    uint32 private constant FIFTH = 200_000;
    address private constant SECOND = address(0x51A6);

    function setUp() public override {
        super.setUp();
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IProviderRegistry.Judge[] memory judges = new IProviderRegistry.Judge[](4);
        judges[0] = IProviderRegistry.Judge(slasher, PROVIDER, 500_000);
        judges[1] = IProviderRegistry.Judge(slasher, VERIFIER, 1_000_000);
        judges[2] = IProviderRegistry.Judge(SECOND, PROVIDER, 500_000);
        judges[3] = IProviderRegistry.Judge(SECOND, VERIFIER, 100_000);
        IProviderRegistry.Hold[] memory only = new IProviderRegistry.Hold[](1);
        only[0] = IProviderRegistry.Hold(capacity, PROVIDER);
        registry.connect(judges, only, new address[](0), slasher);
        giveStake(provider, STAKED);
    }

    // ---- Episodes

    /// @dev A fault of software signs each receipt of an hour twice, one a minute, and all of them are proved.
    function test_a_thousand_numbers_signed_twice_are_one_fault() external {
        uint64 from = uint64(block.timestamp);
        vm.warp(from + 1 hours);
        checkEqual(prove(1, FIFTH, from), 200 ether, "a fifth");
        for (uint64 i = 1; i < 60; i++) {
            vm.warp(block.timestamp + 10 minutes);
            refused(1, FIFTH, from + i * 1 minutes);
        }
        checkEqual(registry.stakeOf(provider), 800 ether, "once");
        (uint64 count, uint128 lost) = registry.faultsOf(provider);
        checkEqual(count, 1, "one fault");
        checkEqual(lost, 200 ether, "lost");
    }

    function test_what_is_signed_after_a_day_to_stop_is_a_new_fault() external {
        uint64 first = uint64(block.timestamp);
        uint64 over = first + registry.EPISODE();
        prove(1, FIFTH, first);
        vm.warp(over + 1);
        refused(1, FIFTH, over);
        checkEqual(prove(1, FIFTH, over + 1), 160 ether, "a fifth of what was left");
        (uint64 since, uint128 taken) = registry.episodeOf(provider, PROVIDER, 1);
        checkEqual(since, over + 1, "the episode is a new one");
        checkEqual(taken, 160 ether, "and counts anew");
        (uint64 count,) = registry.faultsOf(provider);
        checkEqual(count, 2, "two faults");
    }

    /// @dev So nobody can keep documents of one fault and show one of them each period.
    function test_documents_of_an_episode_take_nothing_more_however_late_they_are_shown() external {
        uint64 first = uint64(block.timestamp);
        prove(1, FIFTH, first);
        for (uint256 i = 1; i <= 5; i++) {
            vm.warp(block.timestamp + STAKE_THAW + 1);
            refused(1, FIFTH, first - uint64(i));
        }
        checkEqual(registry.stakeOf(provider), 800 ether, "a fifth");
    }

    function test_stake_that_is_added_once_an_episode_is_over_does_not_pay_for_it() external {
        uint64 first = uint64(block.timestamp);
        prove(1, FIFTH, first);
        giveStake(provider, 100 ether);
        uint64 over = first + registry.EPISODE() + registry.PENALTY_PERIOD();
        vm.warp(over);
        checkEqual(prove(1, FIFTH, first), 20 ether, "until then it does");
        giveStake(provider, 2_000 ether);
        vm.warp(over + 1);
        refused(1, FIFTH, first);
        checkEqual(prove(1, FIFTH, over), 576 ether, "what is signed since is another");
    }

    /// @dev What lies there is counted back to before the episode, so that the documents come out the same in any order.
    function test_a_fault_proved_against_oneself_without_stake_buys_nothing() external {
        checkEqual(registry.stakeOf(stranger), 0, "no stake yet");
        uint64 first = uint64(block.timestamp);
        vm.prank(slasher);
        (uint256 slashed,) = registry.slash(stranger, makePenalty(1, FIFTH));
        checkEqual(slashed, 0, "of nothing");
        giveStake(stranger, 100 ether);
        vm.warp(first + 1 hours);
        vm.prank(slasher);
        (slashed,) = registry.slash(stranger, makePenalty(1, FIFTH));
        checkEqual(slashed, 20 ether, "the next document takes it all the same");
        giveStake(stranger, 100 ether);
        vm.prank(slasher);
        (slashed,) = registry.slash(stranger, makePenalty(1, FIFTH));
        checkEqual(slashed, 20 ether, "and so from what was staked after");
        giveStake(stranger, 100 ether);
        vm.prank(slasher);
        (slashed,) = registry.slash(stranger, makePenalty(1, FIFTH));
        checkEqual(slashed, 20 ether, "each time");
        (uint64 count,) = registry.faultsOf(stranger);
        checkEqual(count, 1, "one fault");
    }

    function test_without_stake_a_further_document_of_an_episode_takes_nothing_and_is_refused() external {
        checkEqual(registry.stakeOf(stranger), 0, "no stake yet");
        vm.prank(slasher);
        registry.slash(stranger, makePenalty(1, FIFTH));
        IProviderRegistry.Penalty memory penalty = makePenalty(1, FIFTH);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NothingToTake.selector, stranger, PROVIDER, 1));
        vm.prank(slasher);
        registry.slash(stranger, penalty);
    }

    function test_other_kinds_of_fault_and_other_compartments_have_their_own_episodes() external {
        prove(1, FIFTH, uint64(block.timestamp));
        checkEqual(prove(2, FIFTH, uint64(block.timestamp)), 160 ether, "another kind");
        stakeInto(provider, VERIFIER, 100 ether);
        IProviderRegistry.Penalty memory penalty = makePenalty(1, FIFTH);
        penalty.role = VERIFIER;
        vm.prank(slasher);
        (uint256 slashed,) = registry.slash(provider, penalty);
        checkEqual(slashed, 20 ether, "another compartment");
    }

    /// @dev Or documents dated ahead would each begin an episode.
    function test_a_date_ahead_counts_as_now() external {
        uint64 first = uint64(block.timestamp);
        prove(1, FIFTH, first);
        vm.warp(first + registry.EPISODE());
        refused(1, FIFTH, type(uint64).max);
        vm.warp(block.timestamp + 1);
        checkEqual(prove(1, FIFTH, type(uint64).max), 160 ether, "a day later it is another");
    }

    // ---- The ceiling

    function test_no_number_of_faults_takes_more_than_the_ceiling_in_a_period() external {
        checkEqual(prove(1, FIFTH, uint64(block.timestamp)), 200 ether, "a fifth");
        checkEqual(registry.roomOf(slasher, provider, PROVIDER), 300 ether, "room");
        checkEqual(prove(2, 300_000, uint64(block.timestamp)), 240 ether, "three tenths of the rest");
        checkEqual(prove(3, 500_000, uint64(block.timestamp)), 60 ether, "up to half of what lay there");
        checkEqual(registry.roomOf(slasher, provider, PROVIDER), 0, "no room");
        for (uint8 kind = 4; kind < 30; kind++) {
            refused(kind, 1_000_000, uint64(block.timestamp));
        }
        checkEqual(registry.stakeOf(provider), STAKED / 2, "half is left");
    }

    /// @dev Else a provider at its ceiling would use up what is known of it against itself, at no cost.
    function test_evidence_that_meets_the_ceiling_waits_for_the_next_period() external {
        prove(1, 1_000_000, uint64(block.timestamp));
        uint64 dated = uint64(block.timestamp);
        refused(2, FIFTH, dated);
        (uint64 since,) = registry.episodeOf(provider, PROVIDER, 2);
        checkEqual(since, 0, "no episode began");
        vm.warp(dated + registry.PENALTY_PERIOD());
        refused(2, FIFTH, dated);
        vm.warp(block.timestamp + 1);
        checkEqual(prove(2, FIFTH, dated), 100 ether, "a fifth of the half");
    }

    /// @dev A period that began at fixed times would let two ceilings meet at its edge.
    function test_the_ceiling_holds_over_every_stretch_of_a_period() external {
        uint64 start = uint64(block.timestamp);
        checkEqual(registry.PENALTY_PERIOD(), STAKE_THAW, "the stake thaw");
        prove(1, 1_000, start);
        vm.warp(start + STAKE_THAW);
        checkEqual(prove(2, 1_000_000, start), 499 ether, "the rest of the half");
        vm.warp(start + STAKE_THAW + 1);
        refused(3, 1_000_000, start);
        vm.warp(start + 2 * STAKE_THAW);
        refused(3, 1_000_000, start);
        vm.warp(start + 2 * STAKE_THAW + 1);
        checkEqual(prove(3, 1_000_000, start), 250 ether, "half of what was left");
    }

    function test_each_judge_and_each_compartment_has_a_ceiling_of_its_own() external {
        stakeInto(provider, VERIFIER, 100 ether);
        prove(1, 1_000_000, uint64(block.timestamp));
        checkEqual(registry.roomOf(slasher, provider, VERIFIER), 100 ether, "all of a pledge");
        checkEqual(registry.roomOf(SECOND, provider, PROVIDER), 250 ether, "half of the half");
        checkEqual(registry.roomOf(SECOND, provider, VERIFIER), 10 ether, "a tenth of a pledge");
        IProviderRegistry.Penalty memory penalty = makePenalty(2, 1_000_000);
        vm.prank(SECOND);
        (uint256 slashed,) = registry.slash(provider, penalty);
        checkEqual(slashed, 250 ether, "the other judge");
        penalty.role = VERIFIER;
        vm.prank(SECOND);
        (slashed,) = registry.slash(provider, penalty);
        checkEqual(slashed, 10 ether, "of the pledge");
        vm.prank(slasher);
        (slashed,) = registry.slash(provider, penalty);
        checkEqual(slashed, 90 ether, "one episode, whoever judges: the rest of all");
    }

    function test_only_a_judge_has_room() external {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotJudge.selector, stranger, PROVIDER));
        registry.roomOf(stranger, provider, PROVIDER);
    }

    /// @dev Unstaking does not lower it, staking more lifts it in proportion, and nobody gains by a unit of dust.
    function test_the_ceiling_counts_what_thaws_and_what_is_added_and_is_rounded_up() external {
        unstakeAs(provider, STAKED);
        checkEqual(registry.roomOf(slasher, provider, PROVIDER), 500 ether, "what thaws counts");
        prove(1, 1_000_000, uint64(block.timestamp));
        giveStake(provider, 100 ether);
        checkEqual(registry.roomOf(slasher, provider, PROVIDER), 50 ether, "half of what was added");
        giveStake(stranger, 1);
        checkEqual(registry.roomOf(slasher, stranger, PROVIDER), 1, "rounded up");
    }

    /// @dev Kinds, penalties, dates, times and judges in any order, with stake added and unstaked in between.
    function testFuzz_no_documents_in_any_order_take_more_than_the_ceiling(uint256[16] calldata acts) external {
        uint256[16] memory at;
        uint256[16] memory own;
        uint256[16] memory took;
        uint256 added;
        uint256[16] memory addedBefore;
        for (uint256 i = 0; i < acts.length; i++) {
            vm.warp(block.timestamp + within(acts[i] >> 16, 0, STAKE_THAW / 2));
            if (acts[i] % 5 == 0) {
                giveStake(provider, 1 + acts[i] % 100 ether);
                added += 1 + acts[i] % 100 ether;
            }
            if (acts[i] % 7 == 0 && registry.stakeOf(provider) > 1) {
                unstakeAs(provider, registry.stakeOf(provider) / 2);
            }
            (at[i], own[i], addedBefore[i]) = (block.timestamp, registry.backingOf(provider), added);
            IProviderRegistry.Penalty memory penalty =
                makePenalty(uint8(acts[i] % 3), uint32(within(acts[i] >> 64, 0, 1_000_000)));
            penalty.datedAt = uint64(block.timestamp - within(acts[i] >> 128, 0, 3 * uint256(STAKE_THAW)));
            vm.prank(slasher);
            try registry.slash(provider, penalty) returns (uint256 slashed, uint256) {
                took[i] = slashed;
            } catch (bytes memory reason) {
                checkEqual(bytes4(reason), IProviderRegistry.NothingToTake.selector, "never another reason");
            }
        }
        for (uint256 i = 0; i < acts.length; i++) {
            uint256 sum;
            for (uint256 k = i; k < acts.length && at[k] <= at[i] + STAKE_THAW; k++) {
                sum += took[k];
                uint256 most = (own[i] + addedBefore[k] - addedBefore[i]) / 2 + 1;
                checkTrue(sum <= most, "half of what lay there at its beginning, and of what was added");
            }
        }
    }

    // ---- Compensation

    function test_a_judge_compensates_out_of_stake_that_nothing_holds() external {
        capacity.hold(provider, 700 ether);
        announce(STAKED);
        vm.expectEmit();
        emit IProviderRegistry.Compensated(provider, slasher, PROVIDER, stranger, 120 ether, "cause");
        checkEqual(compensate(120 ether), 120 ether, "paid");
        checkEqual(openx.balanceOf(stranger), 120 ether, "to whom it was owed");
        checkEqual(registry.stakeOf(provider), 700 ether, "what is held counts");
        checkEqual(registry.stakeDetails(provider).thawing, 180 ether, "from what was announced");
        // Or a provider and its own submitter would take away what holders of credits are owed.
        checkEqual(compensate(500 ether), 180 ether, "as much as nothing holds");
        checkEqual(compensate(1), 0, "and no more");
        checkEqual(openx.balanceOf(address(registry)), 700 ether, "what is held lies here");
        (uint64 count, uint128 lost) = registry.faultsOf(provider);
        checkEqual(count + lost, 0, "a breach is no fault");
    }

    function test_compensations_and_penalties_of_one_judge_share_its_ceiling() external {
        checkEqual(announce(400 ether), 400 ether, "announced");
        checkEqual(compensate(400 ether), 400 ether, "compensated");
        checkEqual(prove(1, 500_000, uint64(block.timestamp)), 100 ether, "up to the half");
        checkEqual(announce(1 ether), 0, "no room");
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkEqual(announce(STAKED), 250 ether, "in the next period");
        checkEqual(compensate(STAKED), 250 ether, "as much");
        checkEqual(registry.stakeOf(provider), 250 ether, "the rest");
    }

    // ---- Announced losses

    function test_what_is_announced_stops_counting_at_once_and_thaws() external {
        uint64 until = uint64(block.timestamp) + STAKE_THAW + 7 days;
        vm.expectEmit();
        emit IProviderRegistry.LossAnnounced(provider, slasher, PROVIDER, 300 ether, 700 ether, 300 ether, until);
        announce(300 ether);
        checkStake(700 ether, 300 ether, until);
        checkAnnounced(300 ether, until);
        checkEqual(prove(1, FIFTH, uint64(block.timestamp)), 200 ether, "and can be slashed");
        checkStake(560 ether, 240 ether, until);
        checkAnnounced(240 ether, until);
    }

    function test_nothing_is_compensated_that_was_not_announced_nor_once_it_has_lapsed() external {
        checkEqual(compensate(1 ether), 0, "not announced");
        announce(100 ether);
        vm.warp(block.timestamp + STAKE_THAW + 7 days - 1);
        checkEqual(compensate(40 ether), 40 ether, "in the last second");
        checkAnnounced(60 ether, uint64(block.timestamp + 1));
        vm.warp(block.timestamp + 1);
        checkEqual(compensate(1 ether), 0, "lapsed");
        checkAnnounced(0, 0);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 60 ether, "it is the provider's again");
    }

    function test_what_was_announced_waits_for_who_is_to_be_paid_and_nothing_else_does() external {
        unstakeAs(provider, 200 ether);
        vm.warp(block.timestamp + 1 days);
        uint64 until = uint64(block.timestamp) + STAKE_THAW + 7 days;
        announce(100 ether);
        vm.warp(block.timestamp + STAKE_THAW - 1 days);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 200 ether, "on the day that it was said");
        checkStake(700 ether, 100 ether, until);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StakeStillThaws.selector, until, until - 1));
        vm.warp(until - 1);
        vm.prank(provider);
        registry.withdrawStake();
        // Another thaw that ends before, while it waits.
        vm.warp(until - 7 days);
        unstakeAs(provider, 50 ether);
        announce(5 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 50 ether, "without what is announced");
        checkAnnounced(105 ether, uint64(block.timestamp) + 7 days);
    }

    function test_what_thaws_already_is_announced_where_too_little_is_staked() external {
        capacity.hold(provider, 100 ether);
        unstakeAs(provider, 750 ether);
        uint64 thawEnd = registry.stakeDetails(provider).thawEnd;
        checkEqual(announce(400 ether), 400 ether, "150 of what counts");
        checkStake(100 ether, 900 ether, thawEnd);
        checkEqual(announce(STAKED), 100 ether, "within the ceiling");
        checkEqual(announce(1), 0, "and no more");
        vm.warp(thawEnd);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 400 ether, "all but what is announced");
        capacity.hold(provider, 550 ether);
        checkEqual(compensate(STAKED), 50 ether, "what is held by now is its holders'");
    }

    function test_nothing_is_announced_where_more_is_held_than_is_staked() external {
        unstakeAs(provider, 400 ether);
        capacity.hold(provider, 700 ether);
        checkEqual(announce(STAKED), 300 ether, "out of what thaws");
        checkEqual(registry.stakeOf(provider), 600 ether, "what counts stays");
        capacity.hold(provider, 1_100 ether);
        checkEqual(announce(1), 0, "nothing");
        checkEqual(compensate(1), 0, "nor paid");
    }

    function test_what_was_announced_is_paid_whatever_its_owner_took_out_since() external {
        unstakeAs(provider, STAKED - 300 ether);
        announce(300 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED - 300 ether, "the rest");
        checkEqual(registry.roomOf(slasher, provider, PROVIDER), 0, "no penalty beside it");
        checkEqual(compensate(STAKED), 300 ether, "all of it");
    }

    function test_what_a_judge_announced_leaves_so_much_less_for_its_penalties() external {
        announce(400 ether);
        checkEqual(registry.roomOf(slasher, provider, PROVIDER), 100 ether, "room");
        checkEqual(registry.roomOf(SECOND, provider, PROVIDER), 500 ether, "another judge's");
        checkEqual(prove(1, 500_000, uint64(block.timestamp)), 100 ether, "up to the half");
        checkAnnounced(360 ether, uint64(block.timestamp) + STAKE_THAW + 7 days);
    }

    function test_one_judge_pays_nothing_out_of_what_another_announced_nor_announces_beside_it() external {
        announce(100 ether);
        vm.prank(SECOND);
        checkEqual(registry.announce(provider, PROVIDER, 1, 0), 0, "beside it");
        vm.prank(SECOND);
        checkEqual(registry.compensate(provider, PROVIDER, stranger, 1, "cause"), 0, "out of it");
        vm.warp(block.timestamp + STAKE_THAW + 7 days);
        vm.prank(SECOND);
        checkEqual(registry.announce(provider, PROVIDER, 1, 0), 1, "once it has lapsed");
    }

    function test_a_loss_that_would_be_less_than_the_least_is_not_announced() external {
        capacity.hold(provider, 900 ether);
        vm.recordLogs();
        checkEqual(announce(200 ether, 100 ether + 1), 0, "less");
        checkEqual(announce(0, 0), 0, "nothing");
        checkEqual(vm.getRecordedLogs().length, 0, "silent");
        checkEqual(announce(200 ether, 100 ether), 100 ether, "as much");
    }

    function test_nothing_is_emitted_for_a_compensation_of_nothing() external {
        vm.recordLogs();
        checkEqual(compensate(0), 0, "nothing");
        checkEqual(vm.getRecordedLogs().length, 0, "silent");
    }

    function test_only_a_judge_compensates_and_never_to_nobody() external {
        bytes memory refused_ = abi.encodeWithSelector(IProviderRegistry.NotJudge.selector, stranger, PROVIDER);
        vm.expectRevert(refused_);
        vm.prank(stranger);
        registry.announce(provider, PROVIDER, 1, 0);
        vm.expectRevert(refused_);
        vm.prank(stranger);
        registry.compensate(provider, PROVIDER, stranger, 1, "cause");
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        vm.prank(slasher);
        registry.compensate(provider, PROVIDER, address(0), 1, "cause");
    }

    function test_a_pledge_is_compensated_from_by_its_own_judges() external {
        stakeInto(provider, VERIFIER, 100 ether);
        vm.prank(SECOND);
        registry.announce(provider, VERIFIER, STAKED, 0);
        vm.prank(SECOND);
        checkEqual(registry.compensate(provider, VERIFIER, stranger, STAKED, "cause"), 10 ether, "its tenth");
        checkEqual(registry.stakeOf(provider), STAKED, "the stake as it was");
    }

    // ---- How

    function prove(uint8 fault, uint32 ppm, uint64 datedAt) private returns (uint256 slashed) {
        IProviderRegistry.Penalty memory penalty = makePenalty(fault, ppm);
        penalty.datedAt = datedAt;
        vm.prank(slasher);
        (slashed,) = registry.slash(provider, penalty);
    }

    function refused(uint8 fault, uint32 ppm, uint64 datedAt) private {
        IProviderRegistry.Penalty memory penalty = makePenalty(fault, ppm);
        penalty.datedAt = datedAt;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NothingToTake.selector, provider, PROVIDER, fault));
        vm.prank(slasher);
        registry.slash(provider, penalty);
    }

    function announce(uint256 amount) private returns (uint256) {
        return announce(amount, 0);
    }

    function announce(uint256 amount, uint256 least) private returns (uint256) {
        vm.prank(slasher);
        return registry.announce(provider, PROVIDER, amount, least);
    }

    function checkStake(uint256 staked, uint256 thawing, uint64 thawEnd) private view {
        IProviderRegistry.Stake memory own = registry.stakeDetails(provider);
        checkEqual(own.staked, staked, "staked");
        checkEqual(own.thawing, thawing, "thawing");
        checkEqual(own.thawEnd, thawEnd, "thaw end");
    }

    function checkAnnounced(uint256 amount, uint64 until) private view {
        (uint256 announced, uint64 waits) = registry.announcedIn(provider, PROVIDER);
        checkEqual(announced, amount, "announced");
        checkEqual(waits, until, "until");
    }

    function compensate(uint256 amount) private returns (uint256) {
        vm.prank(slasher);
        return registry.compensate(provider, PROVIDER, stranger, amount, "cause");
    }

    function stakeInto(address who, IProviderRegistry.Role role, uint256 amount) private {
        vm.prank(treasury);
        openx.approve(address(registry), amount);
        vm.prank(treasury);
        registry.stakeInto(who, role, amount);
    }
}
