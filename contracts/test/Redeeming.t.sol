// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IComputeCredit} from "../src/interfaces/IComputeCredit.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Providing} from "./Providing.sol";

/// @notice When a provider is in default, and what holders of credits get of its stake then.
contract RedeemingTest is Providing {
    address private holder = address(0x401D);
    address private other = address(0x07E4);

    function setUp() public override {
        super.setUp();
        mintAs(provider, tgpu, 100 ether);
        send(tgpu, provider, holder, 100 ether);
    }

    // ---- Default

    function test_default_begins_a_grace_after_all_capacity_ended() external {
        capacity.end(provider);
        uint256 end = block.timestamp;
        checkEqual(tgpu.DEFAULT_GRACE(), STAKE_THAW, "as long as a stake thaws");
        vm.warp(end + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "the last second of grace");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        redeemAs(holder, tgpu, 1 ether);
        vm.warp(end + STAKE_THAW + 1);
        checkTrue(tgpu.isDefaulted(provider), "the second after");
        checkTrue(!tcpu.isDefaulted(provider), "nothing of the other kind is outstanding");
        checkTrue(!tgpu.isDefaulted(stranger), "nor of a stranger");
    }

    function test_capacity_that_expires_counts_from_its_last_second() external {
        vm.warp(block.timestamp + 30 days - 1);
        checkEqual(tgpu.shortfallOf(provider), 0, "in force");
        vm.warp(block.timestamp + 1);
        checkEqual(tgpu.shortfallOf(provider), 100 ether, "expired");
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkTrue(tgpu.isDefaulted(provider), "in default");
    }

    function test_being_verified_again_ends_a_default() external {
        vanish(provider);
        redeemAs(holder, tgpu, 10 ether);
        giveCapacity(provider, 2_000, 0);
        checkTrue(!tgpu.isDefaulted(provider), "cured");
        checkEqual(tgpu.servedUntil(provider), type(uint64).max, "served");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        redeemAs(holder, tgpu, 10 ether);
        // Who was too late keeps its credits, which are good as before.
        checkEqual(tgpu.balanceOf(holder), 90 ether, "kept");
        checkEqual(tgpu.mintableOf(provider), 110 ether, "the provider goes on");
    }

    function test_buying_credits_back_ends_a_default() external {
        vanish(provider);
        burnAs(holder, tgpu, provider, 100 ether);
        checkTrue(!tgpu.isDefaulted(provider), "nothing is outstanding");
        checkEqual(tgpu.servedUntil(provider), type(uint64).max, "nor unserved");
        unstakeAs(provider, STAKED);
    }

    // ---- A part of the capacity

    function test_capacity_too_small_for_what_is_outstanding_is_a_default_a_grace_after_one_that_sufficed() external {
        uint256 end = block.timestamp;
        // One reference GPU-hour short of what was sold: 99 x 100 hours against 100 credits.
        giveCapacity(provider, 990, 0);
        checkEqual(tgpu.shortfallOf(provider), 1 ether, "short");
        checkEqual(tgpu.redeemableOf(provider), 0, "not yet");
        checkEqual(tgpu.servedUntil(provider), end, "the grace begins");
        checkEqual(tcpu.servedUntil(provider), type(uint64).max, "where nothing is outstanding none does");
        vm.warp(end + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "the last second of grace");
        vm.warp(end + STAKE_THAW + 1);
        checkTrue(tgpu.isDefaulted(provider), "the second after");
        checkEqual(tgpu.redeemableOf(provider), 1 ether, "what it cannot serve");

        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.AboveRedeemable.selector, provider, 1 ether + 1, 1 ether));
        redeemAs(holder, tgpu, 1 ether + 1);
        checkEqual(redeemAs(holder, tgpu, 1 ether), 2 ether, "what it cannot serve, no more");
        checkTrue(!tgpu.isDefaulted(provider), "the rest it can serve");
    }

    /// @dev Nobody needs to have noticed: the history of verdicts has the date.
    function test_small_verdicts_do_not_start_the_grace_again() external {
        uint256 end = block.timestamp;
        for (uint256 i = 0; i < 60; i++) {
            giveCapacity(provider, 10, 0);
            vm.warp(block.timestamp + STAKE_THAW / 59);
        }
        checkTrue(block.timestamp - end > STAKE_THAW, "a grace");
        checkEqual(tgpu.redeemableOf(provider), 99 ether, "all but the hundredth that it can serve");
        giveCapacity(provider, 10, 0);
        checkEqual(redeemAs(holder, tgpu, 99 ether), 198 ether, "also after one more");
    }

    function test_capacity_of_the_other_kind_starts_nothing_again() external {
        giveCapacity(provider, 0, 3_000_000);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkTrue(tgpu.isDefaulted(provider), "no GPU was seen");
    }

    /// @dev A provider that goes down in steps has a grace for each.
    function test_every_credit_has_a_grace_of_its_own() external {
        giveCapacity(provider, 800, 0);
        uint256 first = block.timestamp;
        vm.warp(first + STAKE_THAW / 2);
        giveCapacity(provider, 500, 0);
        uint256 second = block.timestamp;
        vm.warp(first + STAKE_THAW + 1);
        checkEqual(tgpu.shortfallOf(provider), 50 ether, "short of half");
        checkEqual(tgpu.redeemableOf(provider), 20 ether, "the first fifth is overdue");
        vm.expectRevert(
            abi.encodeWithSelector(IComputeCredit.AboveRedeemable.selector, provider, 20 ether + 1, 20 ether)
        );
        redeemAs(holder, tgpu, 20 ether + 1);
        redeemAs(holder, tgpu, 1);
        redeemAs(holder, tgpu, 20 ether - 1);
        checkTrue(!tgpu.isDefaulted(provider), "the other thirty have their time");
        vm.warp(second + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "its last second");
        vm.warp(second + STAKE_THAW + 1);
        checkEqual(tgpu.redeemableOf(provider), 30 ether, "over");
    }

    function test_a_verdict_that_suffices_begins_a_new_grace() external {
        giveCapacity(provider, 10, 0);
        vm.warp(block.timestamp + STAKE_THAW);
        giveCapacity(provider, 1_000, 0);
        vm.warp(block.timestamp + 1 days);
        giveCapacity(provider, 10, 0);
        uint256 end = block.timestamp;
        vm.warp(end + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "its own grace");
        vm.warp(end + STAKE_THAW + 1);
        checkTrue(tgpu.isDefaulted(provider), "and the end of it");
    }

    function test_serving_what_the_capacity_cannot_ends_a_default() external {
        giveCapacity(provider, 500, 0);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkEqual(tgpu.redeemableOf(provider), 50 ether, "half");
        burnAs(holder, tgpu, provider, 50 ether);
        checkTrue(!tgpu.isDefaulted(provider), "it can serve the rest");
        giveCapacity(provider, 400, 0);
        burnAs(holder, tgpu, provider, 10 ether);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkTrue(!tgpu.isDefaulted(provider), "nor what was served before it was overdue");
    }

    /// @dev Stake must not leave sooner by a flood of verdicts than by a thaw.
    function test_many_small_verdicts_at_once_are_no_default() external {
        for (uint256 i = 0; i < 70; i++) {
            giveCapacity(provider, 10, 0);
        }
        checkTrue(!tgpu.isDefaulted(provider), "at once");
        vm.warp(block.timestamp + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "the last second of grace");
        vm.warp(block.timestamp + 1);
        checkEqual(tgpu.redeemableOf(provider), 99 ether, "a grace after the oldest that is looked at");
    }

    function test_a_smaller_window_makes_no_default() external {
        for (uint256 i = 0; i < 4; i++) {
            vm.warp(block.timestamp + STAKE_THAW);
            tgpu.setWindowHours((tgpu.windowHours() + 1) / 2);
            giveCapacity(provider, 2_000, 0);
            checkEqual(tgpu.shortfallOf(provider), 0, "what was minted under the old one is not short");
            checkTrue(!tgpu.isDefaulted(provider), "no default");
        }
        checkEqual(tgpu.limitOf(provider), 14 ether, "a new mint is limited to 2 x 7");
    }

    /// @dev Found by a hostile owner: capacity fell while a longer window made up for it, and then the window fell.
    function test_a_window_that_falls_back_makes_no_default_before_a_grace() external {
        giveCapacity(provider, 500, 0);
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setWindowHours(200);
        giveCapacity(provider, 500, 0);
        checkEqual(tgpu.shortfallOf(provider), 0, "500 serve 100 in 200 hours");
        vm.warp(block.timestamp + STAKE_THAW);
        giveCapacity(provider, 500, 0);
        tgpu.setWindowHours(100);
        checkEqual(tgpu.shortfallOf(provider), 50 ether, "short at once");
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(tgpu.redeemableOf(provider), 0, "the last second of a grace");
        vm.warp(block.timestamp + 1);
        checkEqual(tgpu.redeemableOf(provider), 50 ether, "the second after");
    }

    /// @dev The search between served and unserved, against every verdict there is.
    function testFuzz_what_is_redeemable_is_what_no_verdict_of_the_last_grace_could_serve(
        uint16[6] calldata millis,
        uint32[6] calldata waits,
        uint256 amount
    ) external {
        uint256[7] memory served;
        uint256[7] memory ends;
        // The verdict it minted on, which the next one ends.
        (served[0], ends[0]) = (2_000, block.timestamp);
        for (uint256 i = 0; i < 6; i++) {
            uint256 milli = within(millis[i], 0, 1_100);
            giveCapacity(provider, uint64(milli), 0);
            vm.warp(block.timestamp + within(waits[i], 0, 20 days));
            (served[i + 1], ends[i + 1]) = (milli, block.timestamp);
        }
        uint256 most;
        for (uint256 i = 0; i < 7; i++) {
            if (ends[i] + STAKE_THAW >= block.timestamp && served[i] > most) most = served[i];
        }
        uint256 wanted = most * 0.1 ether >= 100 ether ? 0 : 100 ether - most * 0.1 ether;
        checkEqual(tgpu.redeemableOf(provider), wanted, "redeemable");
        checkTrue(tgpu.isDefaulted(provider) == (wanted != 0), "in default");
        if (wanted == 0) return;
        redeemAs(holder, tgpu, within(amount, 1, wanted));
        checkEqual(tgpu.redeemableOf(provider), wanted - within(amount, 1, wanted), "less what was redeemed");
    }

    // ---- What it pays

    function test_a_redemption_pays_collateral_and_emits_it() external {
        vanish(provider);
        checkEqual(tgpu.valueOf(provider, 10 ether), 20 ether, "value");
        vm.expectEmit();
        emit IComputeCredit.Redeemed(provider, holder, 10 ether, 20 ether, 90 ether);
        checkEqual(redeemAs(holder, tgpu, 10 ether), 20 ether, "paid");
        checkEqual(openx.balanceOf(holder), 20 ether, "OPENX");
        checkEqual(tgpu.balanceOf(holder), 90 ether, "burned");
        checkEqual(tgpu.totalSupply(), 90 ether, "supply");
        isOut(tgpu, provider, 90 ether, "outstanding");
        checkEqual(registry.heldStakeOf(provider), 180 ether, "held");
        checkEqual(registry.stakeOf(provider), STAKED - 20 ether, "stake");
    }

    function test_what_is_outstanding_to_nobody_is_worth_nothing() external view {
        checkEqual(tgpu.valueOf(stranger, 1 ether), 0, "of a stranger");
        checkEqual(tcpu.valueOf(provider, 1 ether), 0, "of the kind it did not mint");
    }

    function test_surplus_stays_the_providers() external {
        vanish(provider);
        redeemAs(holder, tgpu, 100 ether);
        unstakeAs(provider, STAKED - 200 ether);
    }

    function test_nobody_redeems_more_than_is_outstanding_or_than_it_has() external {
        giveCapacity(provider, 2_000, 0);
        mintAs(provider, tgpu, 1 ether);
        send(tgpu, provider, holder, 1 ether);
        burnAs(holder, tgpu, provider, 1 ether);
        vanish(provider);
        vm.expectRevert(
            abi.encodeWithSelector(IComputeCredit.AboveRedeemable.selector, provider, 100 ether + 1, 100 ether)
        );
        redeemAs(holder, tgpu, 100 ether + 1);
        vm.expectRevert();
        redeemAs(stranger, tgpu, 1 ether);
        vm.expectRevert(IComputeCredit.ZeroAmount.selector);
        redeemAs(holder, tgpu, 0);
    }

    function test_a_redemption_that_pays_nothing_is_refused() external {
        vanish(provider);
        slash(provider, 1_000_000);
        // 100 of the 1,000 slashed went to the reporter; the holders' 200 stayed.
        checkEqual(tgpu.valueOf(provider, 100 ether), 200 ether, "whole");
        vm.prank(address(tcpu));
        registry.takeStake(provider, other, 200 ether);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.PaysNothing.selector, provider, 1 ether));
        redeemAs(holder, tgpu, 1 ether);
    }

    function test_where_stake_is_short_all_get_the_same_share() external {
        send(tgpu, holder, other, 40 ether);
        takeAway(STAKED - 120 ether);
        vanish(provider);
        checkEqual(redeemAs(other, tgpu, 40 ether), 48 ether, "three fifths");
        checkEqual(redeemAs(holder, tgpu, 30 ether), 36 ether, "three fifths");
        checkEqual(redeemAs(holder, tgpu, 30 ether), 36 ether, "to the last");
        checkEqual(registry.backingOf(provider), 0, "nothing is left over");
    }

    function test_neither_kind_drains_the_other() external {
        mintAs(provider, tcpu, 300 ether);
        send(tcpu, provider, other, 300 ether);
        takeAway(STAKED - 400 ether);
        vanish(provider);
        // 200 and 600 are held, 400 are there.
        checkEqual(redeemAs(holder, tgpu, 100 ether), 100 ether, "half");
        checkEqual(redeemAs(other, tcpu, 300 ether), 300 ether, "half");
    }

    function test_what_a_verifier_must_leave_keeps_its_share() external {
        capacity.hold(provider, 300 ether);
        takeAway(STAKED - 250 ether);
        vanish(provider);
        checkEqual(redeemAs(holder, tgpu, 100 ether), 100 ether, "half");
        checkEqual(registry.backingOf(provider), 150 ether, "half of the verifier's");
    }

    function test_thawing_stake_pays_too() external {
        unstakeAs(provider, STAKED - 200 ether);
        vanish(provider);
        checkEqual(redeemAs(holder, tgpu, 100 ether), 200 ether, "out of both");
        IProviderRegistry.Stake memory own = registry.stakeDetails(provider);
        checkEqual(own.staked, 160 ether, "a fifth of it from the stake");
        checkEqual(own.thawing, 640 ether, "the rest from what thaws");
    }

    function test_the_forfeit_pays_holders_in_full_but_for_the_reward() external {
        // All of the stake is held, and all is slashed.
        unstakeAs(provider, STAKED - 200 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        registry.withdrawStake();
        slash(provider, 1_000_000);
        vanish(provider);
        checkEqual(redeemAs(holder, tgpu, 100 ether), 180 ether, "nine tenths");
    }

    /// @dev In any order and any parts, the share stays and the last unit is backed.
    function testFuzz_the_share_does_not_depend_on_the_order(uint256 backing, uint256 cpu, uint256 a, uint256 b)
        external
    {
        cpu = within(cpu, 1, 300 ether);
        mintAs(provider, tcpu, cpu);
        send(tcpu, provider, other, cpu);
        backing = within(backing, 1 ether, STAKED);
        takeAway(STAKED - backing);
        vanish(provider);
        a = within(a, 1 ether, 99 ether);
        b = within(b, 1, cpu);
        uint256 held = registry.heldStakeOf(provider);
        uint256 fairly = backing < held ? a * 2 * backing / held : a * 2;
        uint256 paid;
        if (tcpu.valueOf(provider, b) != 0) paid = redeemAs(other, tcpu, b);
        uint256 got = redeemAs(holder, tgpu, a);
        // A unit for each division, and what the first rounding left is shared again.
        checkTrue(got + 2 >= fairly && got <= fairly + 2, "the same before and after the other kind");
        checkEqual(registry.backingOf(provider), backing - paid - got, "conserved");
        uint256 left = registry.heldStakeOf(provider);
        if (backing >= held) checkTrue(registry.backingOf(provider) >= left, "still backed");
    }

    function takeAway(uint256 amount) private {
        vm.prank(address(capacity));
        registry.takeStake(provider, treasury, amount);
    }
}
