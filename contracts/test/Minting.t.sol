// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ComputeCredit} from "../src/money/ComputeCredit.sol";
import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IComputeCredit} from "../src/interfaces/IComputeCredit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Providing} from "./Providing.sol";

/// @notice Making credits and using them: limit, collateral, outstanding.
contract MintingTest is Providing {
    // 2 reference GPUs and 3 reference vCPUs, 100 hours.
    uint256 private constant GPU_LIMIT = 200 ether;
    uint256 private constant CPU_LIMIT = 300 ether;

    function test_a_mint_is_counted_held_and_emitted() external {
        vm.expectEmit();
        emit IComputeCredit.Minted(provider, stranger, 7 ether, 7 ether);
        vm.prank(provider);
        tgpu.mint(stranger, 7 ether);
        checkEqual(tgpu.balanceOf(stranger), 7 ether, "balance");
        checkEqual(tgpu.totalSupply(), 7 ether, "supply");
        isOut(tgpu, provider, 7 ether, "outstanding");
        checkEqual(tgpu.heldStakeOf(provider), 14 ether, "held by this credit");
        checkEqual(registry.heldStakeOf(provider), 14 ether, "held by all");
    }

    function test_the_limit_is_capacity_of_the_kind_for_the_window() external view {
        checkEqual(tgpu.limitOf(provider), GPU_LIMIT, "GPU");
        checkEqual(tcpu.limitOf(provider), CPU_LIMIT, "CPU");
        checkEqual(tgpu.limitOf(stranger), 0, "nothing verified");
    }

    function test_a_mint_goes_to_the_limit_and_not_a_unit_further() external {
        mintAs(provider, tgpu, GPU_LIMIT);
        checkEqual(tgpu.mintableOf(provider), 0, "nothing left");
        vm.expectRevert(
            abi.encodeWithSelector(IComputeCredit.AboveCapacity.selector, provider, int256(GPU_LIMIT) + 1, GPU_LIMIT)
        );
        vm.prank(provider);
        tgpu.mint(provider, 1);
    }

    function test_a_mint_goes_to_the_collateral_and_not_a_unit_further() external {
        address small = address(0x5A11);
        giveStake(small, 10 ether + 1);
        giveCapacity(small, 2_000, 0);
        checkEqual(tgpu.mintableOf(small), 5 ether, "by stake");
        mintAs(small, tgpu, 5 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IComputeCredit.AboveCollateral.selector, small, 10 ether + 2, 10 ether + 1)
        );
        vm.prank(small);
        tgpu.mint(small, 1);
    }

    function test_collateral_is_rounded_up() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        tgpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Gpu, 1.5 ether, WINDOW)));
        connectProviding();
        giveStake(provider, 3);
        mintAs(provider, tgpu, 1);
        checkEqual(tgpu.heldStakeOf(provider), 2, "1.5, rounded up");
        mintAs(provider, tgpu, 1);
        checkEqual(tgpu.heldStakeOf(provider), 3, "exactly 3");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.AboveCollateral.selector, provider, 5, 3));
        vm.prank(provider);
        tgpu.mint(provider, 1);
    }

    function test_both_kinds_share_one_stake() external {
        address small = address(0x5A11);
        giveStake(small, 10 ether);
        giveCapacity(small, 2_000, 2_000);
        mintAs(small, tgpu, 4 ether);
        checkEqual(tcpu.mintableOf(small), 1 ether, "what tGPU left");
        mintAs(small, tcpu, 1 ether);
        checkEqual(tgpu.mintableOf(small), 0, "nothing left");
        vm.expectPartialRevert(IComputeCredit.AboveCollateral.selector);
        vm.prank(small);
        tgpu.mint(small, 1);
    }

    function test_stake_held_for_something_else_backs_nothing() external {
        capacity.hold(provider, STAKED - 6 ether);
        checkEqual(tgpu.mintableOf(provider), 3 ether, "what is not held");
        capacity.hold(provider, STAKED + 1);
        checkEqual(tgpu.mintableOf(provider), 0, "short already");
        vm.expectRevert(
            abi.encodeWithSelector(IComputeCredit.AboveCollateral.selector, provider, STAKED + 1 + 2 ether, STAKED)
        );
        vm.prank(provider);
        tgpu.mint(provider, 1 ether);
    }

    function test_thawing_stake_backs_no_mint() external {
        unstakeAs(provider, STAKED - 4 ether);
        checkEqual(tgpu.mintableOf(provider), 2 ether, "what is staked");
        vm.expectPartialRevert(IComputeCredit.AboveCollateral.selector);
        vm.prank(provider);
        tgpu.mint(provider, 2 ether + 1);
        mintAs(provider, tgpu, 2 ether);
    }

    function test_without_capacity_nothing_is_minted() external {
        bytes memory refused = abi.encodeWithSelector(IComputeCredit.NotMintable.selector, provider);
        capacity.end(provider);
        vm.expectRevert(refused);
        vm.prank(provider);
        tgpu.mint(provider, 1);
        checkEqual(tgpu.mintableOf(provider), 0, "nothing");

        // Having served others' credits does not help: what it promises, it could not serve now.
        giveCapacity(provider, 2_000, 0);
        mintAs(provider, tgpu, 1 ether);
        burnAs(provider, tgpu, stranger, 1 ether);
        isOut(tgpu, stranger, -1 ether, "below zero");
        checkEqual(tgpu.mintableOf(stranger), 0, "nothing");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotMintable.selector, stranger));
        vm.prank(stranger);
        tgpu.mint(stranger, 1);
    }

    function test_capacity_of_one_kind_mints_no_other() external {
        giveCapacity(provider, 1_000, 0);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotMintable.selector, provider));
        vm.prank(provider);
        tcpu.mint(provider, 1);
    }

    function test_an_unconnected_credit_mints_nothing() external {
        tgpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Gpu, COLLATERAL_RATIO, WINDOW)));
        checkEqual(tgpu.mintableOf(provider), 0, "nothing");
        vm.expectRevert(IComputeCredit.NotConnected.selector);
        vm.prank(provider);
        tgpu.mint(provider, 1);
    }

    function test_nothing_and_nobody_are_refused() external {
        vm.expectRevert(IComputeCredit.ZeroAddress.selector);
        vm.prank(provider);
        tgpu.mint(address(0), 1);
        vm.expectRevert(IComputeCredit.ZeroAmount.selector);
        vm.prank(provider);
        tgpu.mint(provider, 0);
        vm.expectRevert(IComputeCredit.ZeroAddress.selector);
        tgpu.burnAt(address(0), 1);
        vm.expectRevert(IComputeCredit.ZeroAmount.selector);
        tgpu.burnAt(provider, 0);
    }

    // ---- Collateral of mints at different ratios

    function test_each_mint_adds_collateral_at_the_ratio_of_its_day() external {
        mintAs(provider, tgpu, 50 ether);
        changeRatio(3 ether);
        mintAs(provider, tgpu, 50 ether);
        checkEqual(tgpu.collateralOf(provider), 250 ether, "100 and 150");
        burnAs(provider, tgpu, provider, 40 ether);
        checkEqual(tgpu.collateralOf(provider), 150 ether, "in proportion");
        changeRatio(1.5 ether);
        mintAs(provider, tgpu, 20 ether);
        checkEqual(tgpu.collateralOf(provider), 200 ether, "at 2.5, as what is out");
        burnAs(provider, tgpu, provider, 80 ether);
        checkEqual(tgpu.collateralOf(provider), 0, "none is left");
        mintAs(provider, tgpu, 10 ether);
        checkEqual(tgpu.collateralOf(provider), 15 ether, "at the ratio of the day");
    }

    function test_what_was_served_before_has_no_part_in_the_collateral() external {
        address other = address(0x07E4);
        giveStake(other, STAKED);
        giveCapacity(other, 1_000, 0);
        mintAs(provider, tgpu, 30 ether);
        burnAs(provider, tgpu, other, 30 ether);
        mintAs(other, tgpu, 10 ether);
        checkEqual(tgpu.collateralOf(other), 0, "20 below zero still");
        mintAs(other, tgpu, 25 ether);
        checkEqual(tgpu.collateralOf(other), 10 ether, "5 above zero");
        send(tgpu, other, stranger, 35 ether);
        burnAs(stranger, tgpu, other, 15 ether);
        checkEqual(tgpu.collateralOf(other), 0, "10 below again");
        changeRatio(4 ether);
        giveCapacity(other, 1_000, 0);
        mintAs(other, tgpu, 11 ether);
        checkEqual(tgpu.collateralOf(other), 4 ether, "one above zero, at the new ratio");
    }

    /// @dev Against the sum itself, in whole numbers: what is held for each mint is its ratio, or that of what is out where more.
    function testFuzz_the_collateral_of_a_credit_never_falls_while_it_is_out(
        uint256[8] calldata amounts,
        uint256[8] calldata ratios
    ) external {
        giveStake(provider, 100_000 ether);
        for (uint256 i = 0; i < 8; i++) {
            (uint256 owed, uint256 held) = (outstandingOf(provider), tgpu.collateralOf(provider));
            uint256 ratio = tgpu.collateralRatio();
            if (amounts[i] % 2 == 0) {
                giveCapacity(provider, 2_000, 0);
                uint256 amount = within(amounts[i], 1, 20 ether);
                mintAs(provider, tgpu, amount);
                uint256 atNow = (amount * ratio + 1e18 - 1) / 1e18;
                uint256 asOut = owed == 0 ? 0 : (held * amount + owed - 1) / owed;
                uint256 added = tgpu.collateralOf(provider) - held;
                uint256 wanted = atNow > asOut ? atNow : asOut;
                // Held is rounded up once, before and after.
                checkTrue(added + 2 >= wanted - (owed == 0 ? 0 : amount / owed), "no less than it needs");
                checkTrue(added <= wanted + 1, "and no more");
            } else if (owed > 1) {
                uint256 amount = within(amounts[i], 1, owed - 1);
                burnAs(provider, tgpu, provider, amount);
                uint256 left = tgpu.collateralOf(provider);
                checkTrue(left * owed >= (held - 1) * (owed - amount), "no less than its part");
                checkTrue((left - 1) * owed <= held * (owed - amount), "and no more");
            }
            changeRatio(within(ratios[i], (ratio + 1) / 2, ratio * 2));
        }
    }

    function changeRatio(uint256 ratio) private {
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(ratio);
        giveCapacity(provider, 2_000, 3_000);
    }

    function outstandingOf(address who) private view returns (uint256) {
        int256 current = tgpu.outstanding(who);
        return current > 0 ? uint256(current) : 0;
    }

    // ---- Use

    function test_burning_at_a_provider_frees_its_limit_and_its_stake() external {
        mintAs(provider, tgpu, GPU_LIMIT);
        send(tgpu, provider, stranger, 50 ether);
        vm.expectEmit();
        emit IComputeCredit.BurnedAt(provider, stranger, 50 ether, int256(GPU_LIMIT) - 50 ether);
        burnAs(stranger, tgpu, provider, 50 ether);
        checkEqual(tgpu.totalSupply(), GPU_LIMIT - 50 ether, "supply");
        checkEqual(tgpu.mintableOf(provider), 50 ether, "mint again");
        checkEqual(registry.heldStakeOf(provider), 2 * (GPU_LIMIT - 50 ether), "held");
    }

    function test_who_served_others_credits_may_mint_as_much_more() external {
        address other = address(0x07E4);
        giveStake(other, STAKED);
        giveCapacity(other, 1_000, 0);
        mintAs(provider, tgpu, 30 ether);
        burnAs(provider, tgpu, other, 30 ether);
        isOut(tgpu, other, -30 ether, "below zero");
        checkEqual(tgpu.heldStakeOf(other), 0, "backs nothing");
        checkEqual(tgpu.mintableOf(other), 130 ether, "limit and what it served");
        mintAs(other, tgpu, 130 ether);
        isOut(tgpu, other, 100 ether, "at the limit");
        vm.expectPartialRevert(IComputeCredit.AboveCapacity.selector);
        vm.prank(other);
        tgpu.mint(other, 1);
        checkEqual(tgpu.totalSupply(), 130 ether, "supply is the sum: 30 + 100");
    }

    function test_what_was_earned_needs_no_collateral() external {
        mintAs(provider, tgpu, 30 ether);
        address other = address(0x07E4);
        giveStake(other, 10 ether);
        giveCapacity(other, 1_000, 0);
        burnAs(provider, tgpu, other, 30 ether);
        // All of its stake stands for something else; and yet 30 more are owed to nobody.
        capacity.hold(other, 10 ether);
        checkEqual(tgpu.mintableOf(other), 30 ether, "what it served");
        mintAs(other, tgpu, 30 ether);
        checkEqual(tgpu.mintableOf(other), 0, "no more");
    }

    function test_above_the_limit_nothing_is_mintable_and_a_unit_below_it_one_is() external {
        mintAs(provider, tgpu, GPU_LIMIT - 1);
        checkEqual(tgpu.mintableOf(provider), 1, "a unit");
        giveCapacity(provider, 10, 0);
        checkEqual(tgpu.mintableOf(provider), 0, "capacity fell");
    }

    function test_nobody_burns_more_than_it_has() external {
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        tgpu.burnAt(provider, 1);
    }

    function test_amounts_past_the_integers_revert() external {
        vm.expectRevert();
        vm.prank(provider);
        tgpu.mint(provider, type(uint256).max);
        mintAs(provider, tgpu, 1);
        vm.expectRevert();
        vm.prank(provider);
        tgpu.mint(provider, uint256(type(int256).max));
        vm.expectRevert();
        tgpu.burnAt(provider, type(uint256).max);
        vm.expectRevert();
        tgpu.burnAt(stranger, uint256(type(int256).max));
    }

    function test_the_largest_capacity_window_and_rate_overflow_nothing() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        tgpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Gpu, 1e24, 8760)));
        tcpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Cpu, 1e24, 8760)));
        connectProviding();
        giveCapacity(provider, type(uint64).max, type(uint64).max);
        giveStake(provider, 900_000 ether);
        checkEqual(tgpu.limitOf(provider), uint256(type(uint64).max) * 8760 * 1e15, "limit");
        checkEqual(tgpu.mintableOf(provider), 0.9 ether, "by stake");
        mintAs(provider, tgpu, 0.9 ether);
        checkEqual(registry.heldStakeOf(provider), 900_000 ether, "all is held");
    }

    /// @dev mintableOf says exactly what mint allows.
    function testFuzz_what_is_mintable_is_minted_and_no_unit_more(
        uint256 staked,
        uint64 milli,
        uint256 collateralRatio,
        uint256 before,
        uint256 heldElsewhere
    ) external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        tgpu =
            ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Gpu, within(collateralRatio, 1e12, 1e24), WINDOW)));
        connectProviding();
        staked = within(staked, 1, 900_000 ether);
        giveStake(provider, staked);
        giveCapacity(provider, uint64(within(milli, 1, 1e6)), 0);
        uint256 first = tgpu.mintableOf(provider);
        if (first != 0) mintAs(provider, tgpu, within(before, 1, first));
        capacity.hold(provider, within(heldElsewhere, 0, staked - tgpu.heldStakeOf(provider)));
        // Down, up or as it was.
        uint256 next = collateralRatioAfter(before);
        if (next != 0) {
            vm.warp(block.timestamp + STAKE_THAW);
            tgpu.setCollateralRatio(next);
        }

        uint256 most = tgpu.mintableOf(provider);
        vm.prank(provider);
        try tgpu.mint(provider, most + 1) {
            revert NotTrue("a unit more is refused");
        } catch {}
        if (most != 0) mintAs(provider, tgpu, most);
        checkTrue(registry.heldStakeOf(provider) <= staked, "has its collateral");
        checkTrue(tgpu.outstanding(provider) <= int256(tgpu.limitOf(provider)), "within the limit");
    }

    function collateralRatioAfter(uint256 choice) private view returns (uint256) {
        uint256 ratio = tgpu.collateralRatio();
        uint256 next = within(choice >> 8, (ratio + 1) / 2, ratio * 2);
        bool isAllowed = next >= tgpu.MIN_COLLATERAL_RATIO() && next <= tgpu.MAX_COLLATERAL_RATIO();
        return choice % 4 != 0 && isAllowed ? next : 0;
    }
}
