// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IComputeCredit} from "../src/interfaces/IComputeCredit.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Providing} from "./Providing.sol";

/// @notice Ways to get more out of stake and credits than was put in; each test says why one does not pay.
contract CreditAttacksTest is Providing {
    address private holder = address(0x401D);

    // ---- Slashing

    function test_attack_unstaking_before_a_slash_saves_nothing() external {
        uint256 without = vm.snapshotState();
        (uint256 slashed,) = slash(provider, 500_000);
        vm.revertToState(without);
        unstakeAs(provider, STAKED);
        (uint256 afterUnstaking,) = slash(provider, 500_000);
        checkEqual(afterUnstaking, slashed, "the same");
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED - slashed, "the rest leaves");
    }

    function test_attack_reporting_oneself_loses_nine_tenths() external {
        uint256 rich = openx.balanceOf(provider) + registry.backingOf(provider);
        (uint256 slashed, uint256 reward) = slashFor(provider, 500_000, provider);
        uint256 left = openx.balanceOf(provider) + registry.backingOf(provider);
        checkEqual(rich - left, slashed * 9 / 10, "the loss");
        checkEqual(reward, slashed / 10, "the reward");
    }

    /// @dev It sold its credits, so the stake that backs them is lost to it anyway; a reward for burning it would be a
    /// profit at the holders' cost.
    function test_attack_a_vanished_minter_cannot_burn_what_backs_its_credits() external {
        mintAs(provider, tgpu, 200 ether);
        mintAs(provider, tcpu, 300 ether);
        send(tgpu, provider, holder, 200 ether);
        send(tcpu, provider, holder, 300 ether);
        for (uint256 i = 0; i < 20; i++) {
            slashFor(provider, 500_000, provider);
        }
        checkTrue(openx.balanceOf(provider) <= STAKED / 10, "all its rewards together");
        vanish(provider);
        uint256 got = redeemAs(holder, tgpu, 200 ether) + redeemAs(holder, tcpu, 300 ether);
        checkTrue(got >= STAKED * 9 / 10 - 1, "the holders have the rest");
    }

    function test_attack_slashing_again_and_again_never_takes_more_than_the_stake() external {
        uint256 sum;
        for (uint256 i = 0; i < 50; i++) {
            (uint256 slashed,) = slash(provider, 900_000);
            sum += slashed;
        }
        checkEqual(sum, STAKED, "to the last unit, rounded up, and no more");
        checkEqual(registry.backingOf(provider), 0, "nothing is left");
    }

    // ---- Stake

    function test_attack_unstaking_in_pieces_leaves_the_collateral() external {
        mintAs(provider, tgpu, 200 ether);
        for (uint256 i = 0; i < 6; i++) {
            unstakeAs(provider, 100 ether);
        }
        vm.expectPartialRevert(IProviderRegistry.StakeHeld.selector);
        vm.prank(provider);
        registry.startUnstake(1);
    }

    function test_attack_minting_on_stake_that_thaws_already() external {
        unstakeAs(provider, STAKED - 10 ether);
        vm.expectPartialRevert(IComputeCredit.AboveCollateral.selector);
        vm.prank(provider);
        tgpu.mint(provider, 5 ether + 1);
        mintAs(provider, tgpu, 5 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        registry.withdrawStake();
        checkEqual(registry.stakeOf(provider), registry.heldStakeOf(provider), "has its collateral");
    }

    function test_attack_selling_or_burning_elsewhere_frees_no_stake() external {
        mintAs(provider, tgpu, 200 ether);
        send(tgpu, provider, holder, 100 ether);
        burnAs(provider, tgpu, stranger, 100 ether);
        checkEqual(registry.heldStakeOf(provider), 400 ether, "held as before");
        vm.expectPartialRevert(IProviderRegistry.StakeHeld.selector);
        vm.prank(provider);
        registry.startUnstake(600 ether + 1);
    }

    function test_attack_leaving_as_a_provider_frees_no_stake() external {
        registerProvider(address(0));
        mintAs(provider, tgpu, 200 ether);
        vm.prank(provider);
        registry.deactivate();
        vm.expectPartialRevert(IProviderRegistry.StakeHeld.selector);
        vm.prank(provider);
        registry.startUnstake(STAKED);
    }

    function test_attack_one_stake_backing_two_kinds() external {
        mintAs(provider, tgpu, 200 ether);
        mintAs(provider, tcpu, 300 ether);
        checkEqual(registry.heldStakeOf(provider), STAKED, "all is held");
        giveCapacity(provider, 9_000, 9_000);
        vm.expectPartialRevert(IComputeCredit.AboveCollateral.selector);
        vm.prank(provider);
        tgpu.mint(provider, 1);
        vm.expectPartialRevert(IComputeCredit.AboveCollateral.selector);
        vm.prank(provider);
        tcpu.mint(provider, 1);
    }

    /// @dev A provider in default redeems its own credits, which needs no thaw. It could not have had its stake later by
    /// unstaking when its capacity ended.
    function test_attack_redeeming_ones_own_credits_is_no_quicker_than_a_thaw() external {
        mintAs(provider, tgpu, 200 ether);
        capacity.end(provider);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        vm.prank(provider);
        tgpu.redeem(provider, 200 ether);
    }

    // ---- Minting

    function test_attack_many_small_mints_stay_below_the_limit() external {
        giveCapacity(provider, 1, 0);
        for (uint256 i = 0; i < 10; i++) {
            mintAs(provider, tgpu, 0.01 ether);
        }
        vm.expectPartialRevert(IComputeCredit.AboveCapacity.selector);
        vm.prank(provider);
        tgpu.mint(provider, 1);
    }

    function test_attack_minting_in_the_second_capacity_expires() external {
        uint64 end = uint64(block.timestamp + 1 hours);
        capacity.give(provider, 2_000, 0, end);
        vm.warp(end - 1);
        mintAs(provider, tgpu, 1 ether);
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotMintable.selector, provider));
        vm.prank(provider);
        tgpu.mint(provider, 1);
    }

    function test_attack_the_same_capacity_verified_again_mints_no_second_time() external {
        mintAs(provider, tgpu, 200 ether);
        giveCapacity(provider, 2_000, 3_000);
        checkEqual(tgpu.mintableOf(provider), 0, "the limit is what stands, not what was added");
    }

    function test_attack_wash_trading_mints_nothing_out_of_nothing() external {
        mintAs(provider, tgpu, 200 ether);
        for (uint256 i = 0; i < 10; i++) {
            burnAs(provider, tgpu, provider, 200 ether);
            mintAs(provider, tgpu, 200 ether);
        }
        checkEqual(tgpu.totalSupply(), 200 ether, "as many as before");
        checkEqual(registry.heldStakeOf(provider), 400 ether, "and as much is held");
    }

    function test_attack_moving_a_promise_to_an_accomplice_moves_the_collateral_too() external {
        address accomplice = address(0xACC);
        giveStake(accomplice, 400 ether);
        giveCapacity(accomplice, 2_000, 0);
        mintAs(provider, tgpu, 200 ether);
        mintAs(accomplice, tgpu, 200 ether);
        burnAs(provider, tgpu, accomplice, 200 ether);
        // The accomplice is free to go, the provider is not: what is left, 200, has its collateral.
        unstakeAs(accomplice, 400 ether);
        checkEqual(tgpu.totalSupply(), 200 ether, "left");
        checkEqual(registry.heldStakeOf(provider), 400 ether, "has its collateral");
    }

    // ---- Collateral

    /// @dev The ratio falls, and the provider burns and mints a few of its own again and again: what others hold keeps its
    /// collateral.
    function test_attack_churning_a_few_credits_does_not_thin_the_collateral_of_the_others() external {
        mintAs(provider, tgpu, 100 ether);
        send(tgpu, provider, holder, 90 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(COLLATERAL_RATIO / 2);
        for (uint256 i = 0; i < 30; i++) {
            burnAs(provider, tgpu, provider, 10 ether);
            mintAs(provider, tgpu, 10 ether);
        }
        checkEqual(registry.heldStakeOf(provider), 200 ether, "2 for each, as at their mint");
        vanish(provider);
        checkEqual(redeemAs(holder, tgpu, 90 ether), 180 ether, "and paid");
    }

    /// @dev Who gives credits away at a provider until dust is left must not make its next mint expensive by the rounding.
    function test_attack_leaving_dust_outstanding_makes_no_mint_need_more() external {
        mintAs(provider, tgpu, 100 ether);
        send(tgpu, provider, stranger, 100 ether);
        for (uint256 i = 0; i < 40; i++) {
            burnAs(stranger, tgpu, provider, uint256(tgpu.outstanding(provider)) - 1);
            checkEqual(registry.heldStakeOf(provider), 2, "of one unit");
            mintAs(provider, tgpu, 100 ether);
            checkEqual(registry.heldStakeOf(provider), 200 ether + 2, "2 for each");
            send(tgpu, provider, stranger, 100 ether);
        }
    }

    function test_attack_an_owner_that_doubles_the_ratio_takes_no_stake() external {
        mintAs(provider, tgpu, 100 ether);
        send(tgpu, provider, holder, 100 ether);
        unstakeAs(provider, STAKED - 200 ether);
        for (uint256 i = 0; i < 13; i++) {
            vm.warp(block.timestamp + STAKE_THAW);
            tgpu.setCollateralRatio(tgpu.collateralRatio() * 2);
        }
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED - 200 ether, "what was free at the announcement has left");
        vanish(provider);
        checkEqual(redeemAs(holder, tgpu, 100 ether), 200 ether, "what it was minted for, and no more");
    }

    function test_attack_an_owner_that_halves_the_ratio_frees_no_collateral() external {
        mintAs(provider, tgpu, 100 ether);
        send(tgpu, provider, holder, 90 ether);
        for (uint256 i = 0; i < 20; i++) {
            vm.warp(block.timestamp + STAKE_THAW);
            tgpu.setCollateralRatio((tgpu.collateralRatio() + 1) / 2);
            giveCapacity(provider, 2_000, 0);
            burnAs(provider, tgpu, provider, 1 ether);
            mintAs(provider, tgpu, 1 ether);
        }
        checkEqual(registry.heldStakeOf(provider), 200 ether, "2 for each");
        vm.expectPartialRevert(IProviderRegistry.StakeHeld.selector);
        vm.prank(provider);
        registry.startUnstake(STAKED - 200 ether + 1);
    }

    // ---- Redeeming

    function test_attack_redeeming_twice() external {
        mintAs(provider, tgpu, 10 ether);
        send(tgpu, provider, holder, 10 ether);
        vanish(provider);
        redeemAs(holder, tgpu, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        redeemAs(holder, tgpu, 10 ether);
        checkEqual(openx.balanceOf(holder), 20 ether, "paid once");
    }

    function test_attack_redeeming_from_a_provider_that_serves() external {
        mintAs(provider, tgpu, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        vm.prank(provider);
        tgpu.redeem(provider, 1 ether);
    }

    /// @dev A cure in front of a redemption leaves the holder with its credits; burning in front of it, with all but what the
    /// burner gave away.
    function test_attack_running_in_front_of_a_redemption_costs_the_holder_nothing() external {
        mintAs(provider, tgpu, 10 ether);
        send(tgpu, provider, holder, 9 ether);
        vanish(provider);
        burnAs(provider, tgpu, provider, 1);
        checkEqual(redeemAs(holder, tgpu, 9 ether), 18 ether, "paid");
        giveCapacity(provider, 5, 0);
        checkEqual(tgpu.redeemableOf(provider), 0.5 ether - 1, "a verdict cures what it can serve, no more");
        giveCapacity(provider, 10, 0);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        vm.prank(provider);
        tgpu.redeem(provider, 0.5 ether);
        checkEqual(tgpu.balanceOf(provider), 1 ether - 1, "kept");
    }

    /// @dev Dust rounds against the redeemer, also many times over.
    function test_attack_redeeming_dust_many_times() external {
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(1 ether + 1);
        giveCapacity(provider, 2_000, 0);
        mintAs(provider, tgpu, 3);
        checkEqual(registry.heldStakeOf(provider), 4, "rounded up");
        vanish(provider);
        uint256 got;
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(provider);
            got += tgpu.redeem(provider, 1);
        }
        checkEqual(got, 3, "each rounded down");
        checkEqual(registry.heldStakeOf(provider), 0, "nothing is held");
    }
}
