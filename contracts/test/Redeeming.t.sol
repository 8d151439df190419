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
        unstakeAs(provider, STAKED);
    }

    // ---- A part of the capacity

    function test_capacity_too_small_for_what_is_outstanding_is_a_default_a_grace_after_it_was_noted() external {
        // One reference GPU-hour short of what was sold: 99 x 100 hours against 100 credits.
        giveCapacity(provider, 990, 0);
        checkEqual(tgpu.shortfallOf(provider), 1 ether, "short");
        vm.expectEmit();
        emit IComputeCredit.ShortageNoted(provider, uint64(block.timestamp));
        tgpu.noteShortage(provider);
        vm.warp(block.timestamp + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "the last second of grace");
        vm.warp(block.timestamp + 1);
        checkTrue(tgpu.isDefaulted(provider), "the second after");

        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.AboveShortfall.selector, provider, 1 ether + 1, 1 ether));
        redeemAs(holder, tgpu, 1 ether + 1);
        checkEqual(redeemAs(holder, tgpu, 1 ether), 2 ether, "what it cannot serve, no more");
        checkTrue(!tgpu.isDefaulted(provider), "the rest it can serve");
    }

    function test_a_shortage_nobody_noted_is_no_default() external {
        giveCapacity(provider, 10, 0);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkTrue(!tgpu.isDefaulted(provider), "since when, nobody can say");
    }

    function test_small_verdicts_do_not_start_the_grace_again() external {
        giveCapacity(provider, 10, 0);
        tgpu.noteShortage(provider);
        (uint64 since, uint64 seen) = tgpu.shortageOf(provider);
        checkEqual(seen, 2, "both verdicts");
        for (uint256 i = 0; i < 3; i++) {
            vm.warp(block.timestamp + STAKE_THAW / 2);
            giveCapacity(provider, 10, 0);
        }
        checkTrue(!tgpu.isDefaulted(provider), "three verdicts are not looked at yet");
        tgpu.noteShortage(provider);
        (uint64 still, uint64 all) = tgpu.shortageOf(provider);
        checkEqual(still, since, "the same shortage");
        checkEqual(all, 5, "all verdicts");
        checkTrue(tgpu.isDefaulted(provider), "in default");
    }

    function test_a_verdict_that_sufficed_ends_a_noted_shortage() external {
        giveCapacity(provider, 10, 0);
        tgpu.noteShortage(provider);
        vm.warp(block.timestamp + STAKE_THAW);
        giveCapacity(provider, 1_000, 0);
        vm.warp(block.timestamp + 1 days);
        giveCapacity(provider, 10, 0);
        checkTrue(!tgpu.isDefaulted(provider), "one verdict is not looked at");
        tgpu.noteShortage(provider);
        (uint64 since,) = tgpu.shortageOf(provider);
        checkEqual(since, block.timestamp, "a new shortage");
        checkTrue(!tgpu.isDefaulted(provider), "with its own grace");
    }

    function test_serving_ends_a_noted_shortage() external {
        giveCapacity(provider, 500, 0);
        tgpu.noteShortage(provider);
        burnAs(holder, tgpu, provider, 50 ether);
        vm.expectEmit();
        emit IComputeCredit.ShortageNoted(provider, 0);
        tgpu.noteShortage(provider);

        // Also where nobody noted it before the next verdict.
        giveCapacity(provider, 400, 0);
        tgpu.noteShortage(provider);
        burnAs(holder, tgpu, provider, 10 ether);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        giveCapacity(provider, 300, 0);
        tgpu.noteShortage(provider);
        checkTrue(!tgpu.isDefaulted(provider), "it could serve what was left");
    }

    function test_minting_forgets_a_noted_shortage() external {
        giveCapacity(provider, 500, 0);
        tgpu.noteShortage(provider);
        giveCapacity(provider, 2_000, 0);
        mintAs(provider, tgpu, 1 ether);
        (uint64 since,) = tgpu.shortageOf(provider);
        checkEqual(since, 0, "forgotten");
    }

    function test_many_verdicts_are_looked_at_in_steps() external {
        for (uint256 i = 0; i < tgpu.MAX_NOTED() + 10; i++) {
            giveCapacity(provider, 10, 0);
        }
        tgpu.noteShortage(provider);
        (uint64 since, uint64 seen) = tgpu.shortageOf(provider);
        checkEqual(seen, 64, "a step");
        checkEqual(since, 0, "nothing is said before the last");
        tgpu.noteShortage(provider);
        (since, seen) = tgpu.shortageOf(provider);
        checkEqual(seen, tgpu.MAX_NOTED() + 11, "the rest");
        checkEqual(since, block.timestamp, "noted");
    }

    function test_a_smaller_window_makes_no_default() external {
        tgpu.setWindowHours(1);
        checkEqual(tgpu.limitOf(provider), 2 ether, "a new mint is limited");
        checkEqual(tgpu.shortfallOf(provider), 0, "what was minted under the old one is not short");
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
            abi.encodeWithSelector(IComputeCredit.AboveShortfall.selector, provider, 100 ether + 1, 100 ether)
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
        tgpuCosts(4 ether);
        vanish(provider);
        checkEqual(redeemAs(holder, tgpu, 100 ether), 400 ether, "out of both");
        IProviderRegistry.Stake memory own = registry.stakeDetails(provider);
        checkEqual(uint256(own.staked) + own.thawing, STAKED - 400 ether, "left");
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

    function tgpuCosts(uint256 rate) private {
        vm.warp(block.timestamp + 1 days);
        tgpu.setCollateralRatio(rate);
    }
}
