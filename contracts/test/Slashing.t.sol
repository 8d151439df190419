// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Providing} from "./Providing.sol";

/// @notice What a proven fault costs, who gets it, and what stays for the holders of credits.
contract SlashingTest is Providing {
    IProviderRegistry.Role private constant PROVIDER = IProviderRegistry.Role.Provider;
    IProviderRegistry.Role private constant VERIFIER = IProviderRegistry.Role.Verifier;

    function test_only_a_judge_of_the_compartment_slashes() external {
        IProviderRegistry.Penalty memory penalty = makePenalty(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotJudge.selector, address(this), PROVIDER));
        registry.slash(provider, penalty);

        // A judge of providers says nothing about verifiers.
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IProviderRegistry.Judge[] memory one = new IProviderRegistry.Judge[](1);
        one[0] = IProviderRegistry.Judge(slasher, PROVIDER, 500_000);
        registry.connect(one, holds(), new address[](0), slasher);
        penalty.role = VERIFIER;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotJudge.selector, slasher, VERIFIER));
        vm.prank(slasher);
        registry.slash(provider, penalty);
    }

    function test_a_tenth_rewards_the_reporter_and_the_rest_is_burned() external {
        uint256 supply = openx.totalSupply();
        vm.expectEmit();
        emit IProviderRegistry.Slashed(provider, FAULT_ID, PROVIDER, 1, reporter, 300 ether, 30 ether);
        (uint256 slashed, uint256 reward) = slash(provider, 300_000);
        checkEqual(slashed, 300 ether, "slashed");
        checkEqual(reward, 30 ether, "reward");
        checkEqual(registry.stakeOf(provider), 700 ether, "stake");
        checkEqual(openx.balanceOf(reporter), 30 ether, "paid");
        checkEqual(openx.totalSupply(), supply - 270 ether, "burned");
        checkEqual(openx.balanceOf(address(registry)), 700 ether, "what is left lies here");
    }

    function test_faults_are_counted() external {
        slash(provider, 300_000);
        slash(provider, 100_000);
        (uint64 count, uint128 slashed) = registry.faultsOf(provider);
        checkEqual(count, 2, "faults");
        checkEqual(slashed, 370 ether, "300 of 1,000 and 70 of 700");
        (count, slashed) = registry.faultsOf(stranger);
        checkEqual(uint256(count) + slashed, 0, "nothing of others");
    }

    function test_thawing_stake_is_slashed_in_proportion() external {
        unstakeAs(provider, 600 ether);
        slash(provider, 500_000);
        checkEqual(registry.stakeDetails(provider).staked, 200 ether, "staked");
        checkEqual(registry.stakeDetails(provider).thawing, 300 ether, "thawing");
    }

    function test_a_slash_takes_at_most_what_there_is() external {
        (uint256 slashed,) = slash(provider, type(uint32).max);
        checkEqual(slashed, STAKED, "above a million is a million");
        (slashed,) = slash(provider, 1_000_000);
        checkEqual(slashed, 0, "nothing is left");
        checkEqual(openx.balanceOf(address(registry)), 0, "empty");
        (uint64 count,) = registry.faultsOf(provider);
        checkEqual(count, 2, "and yet counted");
    }

    function test_a_provider_without_stake_is_counted_and_loses_nothing() external {
        (uint256 slashed, uint256 reward) = slash(stranger, 1_000_000);
        checkEqual(slashed + reward, 0, "nothing");
        (uint64 count,) = registry.faultsOf(stranger);
        checkEqual(count, 1, "counted");
    }

    function test_dust_is_slashed_rounded_up_and_rewarded_rounded_down() external {
        giveStake(stranger, 3);
        (uint256 slashed, uint256 reward) = slash(stranger, 1);
        checkEqual(slashed, 1, "up");
        checkEqual(reward, 0, "down");
        checkEqual(registry.stakeOf(stranger), 2, "left");
    }

    function test_without_a_reporter_all_is_burned() external {
        uint256 supply = openx.totalSupply();
        (, uint256 reward) = slashFor(provider, 1_000_000, address(0));
        checkEqual(reward, 0, "no reward");
        checkEqual(openx.totalSupply(), supply - STAKED, "burned");
    }

    function test_nothing_is_emitted_for_what_did_not_happen() external {
        giveStake(stranger, 5);
        vm.recordLogs();
        slash(stranger, 1_000_000);
        // The slash, and the burning of 5. No reward, no forfeit.
        checkEqual(vm.getRecordedLogs().length, 2, "slash");
        slash(stranger, 1_000_000);
        checkEqual(vm.getRecordedLogs().length, 1, "a slash of nothing");
        registry.burnForfeit(stranger);
        checkEqual(vm.getRecordedLogs().length, 0, "no forfeit");

        unstakeAs(provider, 1);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.getRecordedLogs();
        vm.prank(provider);
        registry.withdrawStake();
        // The withdrawal and the transfer: nothing was kept.
        checkEqual(vm.getRecordedLogs().length, 2, "withdrawal");
    }

    function test_a_single_unit_is_kept_and_burned_like_any_other() external {
        giveStake(stranger, 10);
        capacity.hold(stranger, 1);
        slash(stranger, 1_000_000);
        checkEqual(registry.forfeitOf(stranger), 1, "kept");
        capacity.hold(stranger, 0);
        checkEqual(registry.burnForfeit(stranger), 1, "burned");

        unstakeAs(provider, 2);
        capacity.hold(provider, STAKED - 1);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.expectEmit();
        emit IProviderRegistry.StakeKept(provider, PROVIDER, 1, STAKED - 1);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 1, "the other");
    }

    // ---- Compartments

    function test_each_compartment_answers_for_its_own_faults() external {
        givePledge(provider, 400 ether);
        slash(provider, 500_000);
        checkEqual(registry.stakeOf(provider), STAKED / 2, "the stake");
        checkEqual(registry.stakeIn(provider, VERIFIER), 400 ether, "and not the pledge");

        uint256 supply = openx.totalSupply();
        (uint256 slashed, uint256 reward) = slashPledge(provider, 250_000);
        checkEqual(slashed, 100 ether, "a quarter of the pledge");
        checkEqual(reward, 10 ether, "reward");
        checkEqual(supply - openx.totalSupply(), 90 ether, "burned");
        checkEqual(registry.stakeOf(provider), STAKED / 2, "the stake as it was");
        (uint64 count, uint128 all) = registry.faultsOf(provider);
        checkEqual(count, 2, "both are its faults");
        checkEqual(all, STAKED / 2 + 100 ether, "and its losses");
    }

    /// @dev A pledge pays nobody, so nothing of it is kept for anybody; and it does not lift what holders get from the stake.
    function test_what_is_slashed_of_a_pledge_is_never_kept_as_forfeit() external {
        mintAs(provider, tgpu, 200 ether);
        givePledge(provider, 400 ether);
        pledges.hold(provider, 400 ether);
        slash(provider, 800_000);
        slash(provider, 500_000);
        uint256 forfeit = registry.forfeitOf(provider);
        uint256 backing = registry.backingOf(provider);
        checkTrue(forfeit != 0 && backing < registry.heldStakeOf(provider), "of the stake some is, and it is short");
        slashPledge(provider, 500_000);
        checkEqual(registry.forfeitOf(provider), forfeit, "forfeit");
        checkEqual(registry.backingOf(provider), backing, "backing");
    }

    // ---- The forfeit

    function test_what_holders_need_is_kept_and_the_rest_is_burned() external {
        mintAs(provider, tgpu, 100 ether);
        uint256 supply = openx.totalSupply();
        vm.expectEmit();
        emit IProviderRegistry.ForfeitKept(provider, 100 ether, 100 ether);
        slash(provider, 900_000);
        // 200 are needed, 100 are left.
        checkEqual(registry.forfeitOf(provider), 100 ether, "kept");
        checkEqual(openx.totalSupply(), supply - 710 ether, "900 less 90 less 100");
        checkEqual(registry.backingOf(provider), 200 ether, "holders are whole");
        checkEqual(openx.balanceOf(address(registry)), 200 ether, "all lies here");
    }

    function test_a_second_slash_keeps_only_what_lacks() external {
        mintAs(provider, tgpu, 100 ether);
        slash(provider, 900_000);
        vm.expectEmit();
        emit IProviderRegistry.ForfeitKept(provider, 45 ether, 145 ether);
        slash(provider, 500_000);
        // Own 50, kept 100 before: 45 of the second slash are kept, 5 rewarded.
        checkEqual(registry.forfeitOf(provider), 145 ether, "kept");
        checkEqual(registry.backingOf(provider), 195 ether, "short by the reward");
    }

    function test_the_forfeit_is_no_stake_of_the_provider() external {
        mintAs(provider, tgpu, 100 ether);
        slash(provider, 900_000);
        checkEqual(registry.stakeOf(provider), 100 ether, "stake");
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.StakeHeld.selector, provider, PROVIDER, 200 ether, 100 ether)
        );
        vm.prank(provider);
        registry.startUnstake(1);
        checkEqual(tgpu.mintableOf(provider), 0, "backs no mint");
        // Nor is it slashed again.
        (uint256 slashed,) = slash(provider, 1_000_000);
        checkEqual(slashed, 100 ether, "its own alone");
    }

    function test_the_forfeit_burns_as_it_is_needed_no_more() external {
        mintAs(provider, tgpu, 100 ether);
        slash(provider, 900_000);
        checkEqual(registry.burnForfeit(provider), 0, "all needed");

        burnAs(provider, tgpu, provider, 30 ether);
        vm.expectEmit();
        emit IProviderRegistry.ForfeitBurned(provider, 60 ether, 40 ether);
        vm.prank(stranger);
        checkEqual(registry.burnForfeit(provider), 60 ether, "140 are needed, 100 are its own");
        checkEqual(registry.forfeitOf(provider), 40 ether, "kept");

        giveStake(provider, 1_000 ether);
        uint256 supply = openx.totalSupply();
        checkEqual(registry.burnForfeit(provider), 40 ether, "its own suffices");
        checkEqual(openx.totalSupply(), supply - 40 ether, "burned");
        checkEqual(openx.balanceOf(address(registry)), 1_100 ether, "its own lies here");
    }

    function test_a_hold_is_paid_from_the_forfeit_last() external {
        mintAs(provider, tgpu, 100 ether);
        slash(provider, 900_000);
        vm.prank(address(tgpu));
        registry.takeStake(provider, stranger, 120 ether);
        checkEqual(registry.stakeOf(provider), 0, "its own first");
        checkEqual(registry.forfeitOf(provider), 80 ether, "then the forfeit");
        vm.prank(address(tgpu));
        checkEqual(registry.takeStake(provider, stranger, 100 ether), 80 ether, "and no more than that");
    }

    /// @dev Every unit slashed is rewarded, kept or burned, and all that lies here is accounted for.
    function testFuzz_a_slash_conserves_every_unit(
        uint256 staked,
        uint256 thawing,
        uint256 minted,
        uint32 first,
        uint32 second
    ) external {
        address who = address(0x5A11);
        staked = within(staked, 2, 100_000 ether);
        giveStake(who, staked);
        giveCapacity(who, 1e9, 0);
        if (tgpu.mintableOf(who) != 0) mintAs(who, tgpu, within(minted, 1, tgpu.mintableOf(who)));
        uint256 surplus = staked - registry.heldStakeOf(who);
        if (surplus != 0) unstakeAs(who, within(thawing, 1, surplus));
        uint256 lies = openx.balanceOf(address(registry));
        uint256 supply = openx.totalSupply();

        (uint256 slashedFirst,) = slash(who, uint32(within(first, 1, 1_000_000)));
        (uint256 slashedSecond,) = slash(who, uint32(within(second, 1, 1_000_000)));
        IProviderRegistry.Stake memory own = registry.stakeDetails(who);
        uint256 left = uint256(own.staked) + own.thawing;
        checkEqual(left + slashedFirst + slashedSecond, staked, "own");
        uint256 burned = supply - openx.totalSupply();
        uint256 out = burned + openx.balanceOf(reporter) + registry.forfeitOf(who);
        checkEqual(out, slashedFirst + slashedSecond, "slashed is rewarded, kept or burned");
        checkEqual(openx.balanceOf(address(registry)), lies - burned - openx.balanceOf(reporter), "lies here");
        uint256 most = registry.heldStakeOf(who) * 9 / 10;
        checkTrue(registry.backingOf(who) >= most, "holders keep nine tenths of their collateral");
    }

    // ---- How

    function givePledge(address who, uint256 amount) private {
        vm.prank(treasury);
        openx.approve(address(registry), amount);
        vm.prank(treasury);
        registry.stakeInto(who, VERIFIER, amount);
    }

    function slashPledge(address who, uint32 ppm) private returns (uint256 slashed, uint256 reward) {
        IProviderRegistry.Penalty memory penalty = makePenalty(1, ppm);
        penalty.role = VERIFIER;
        vm.prank(slasher);
        return registry.slash(who, penalty);
    }
}
