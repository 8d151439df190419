// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IComputeCredit} from "../src/interfaces/IComputeCredit.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IGovernedSteps} from "../src/interfaces/IGovernedSteps.sol";
import {WholeMarket} from "./invariant/WholeMarket.sol";

/// @notice Ways to get at a provider's stake, or at credits for nothing, that take several contracts: settings composed by their owner,
/// and a default of a provider that is honest. All contracts are real.
contract ComposingTest is WholeMarket {
    address private holder = address(0x401D);

    function setUp() public override {
        super.setUp();
        verifyProvider(8, 16);
        vm.prank(provider);
        tgpu.mint(holder, 100 ether);
    }

    // ---- By what is governed

    /// @dev Weight zero, so that nobody is verified any more, and a ratio that doubles each day: neither can be set so.
    function test_attack_weights_and_ratios_together_take_no_stake() external {
        vm.prank(provider);
        registry.startUnstake(4_800 ether);
        vm.expectPartialRevert(IGovernedSteps.SettingOutOfBounds.selector);
        rules.changeClass(GPU, 0, GPU_N, 5_000);
        uint256 began = block.timestamp;
        uint256 changes;
        for (uint256 day = 0; day < 60; day++) {
            vm.warp(block.timestamp + 1 days);
            if (day % 5 == 0) verifyProvider(8, 16);
            try rules.changeClass(GPU, (rules.classOf(GPU).weightMilli + 1) / 2, GPU_N, 5_000) {
                changes++;
            } catch {}
            try tgpu.setCollateralRatio(tgpu.collateralRatio() * 2) {
                changes++;
            } catch {}
            if (day == 15) {
                vm.prank(provider);
                checkEqual(registry.withdrawStake(), 4_800 ether, "what began to leave at the announcement has left");
            }
        }
        checkTrue(changes >= 8 && block.timestamp - began >= 4 * STAKE_THAW, "each of both four times at least");
        checkEqual(registry.heldStakeOf(provider), 200 ether, "held as at the mint");
        checkTrue(!tgpu.isDefaulted(provider), "not in default");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        vm.prank(holder);
        tgpu.redeem(provider, 1);
    }

    /// @dev A ratio of a millionth and a weight of a thousand GPUs for one: years away, in steps that everybody sees.
    function test_attack_a_month_of_settings_mints_no_more_than_eight_times_as_much() external {
        address minter = providerAt(1);
        uint256 began = block.timestamp;
        while (block.timestamp < began + 30 days) {
            vm.warp(block.timestamp + 1 days);
            try tgpu.setCollateralRatio((tgpu.collateralRatio() + 1) / 2) {} catch {}
            try tgpu.setWindowHours(tgpu.windowHours() * 2) {} catch {}
            try rules.changeClass(GPU, rules.classOf(GPU).weightMilli * 2, GPU_N, 5_000) {} catch {}
        }
        checkEqual(tgpu.collateralRatio(), COLLATERAL_RATIO / 4, "two steps");
        checkEqual(tgpu.windowHours(), WINDOW * 4, "two steps");
        checkTrue(rules.classOf(GPU).weightMilli <= GPU_WEIGHT * 8, "three at most: the first needs no pause");
        verify(minter, 1, 1);
        uint256 most = tgpu.mintableOf(minter);
        checkTrue(most <= registry.stakeOf(minter) * 1 ether / (COLLATERAL_RATIO / 4), "never without its collateral");
    }

    // ---- By a default of the honest

    /// @dev Somebody buys credits, has their maker checked while it is rented out or its line is flooded, and hopes for its stake.
    function test_attack_a_check_that_is_missed_is_a_default_a_recheck_and_a_grace_later() external {
        checkedByHolder();
        uint256 doubted = capacity.inDoubtUntil(provider);
        checkEqual(doubted, block.timestamp + RECHECK, "time to be checked again");
        vm.warp(doubted + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "the last second");
        uint256 unpassed = vm.snapshotState();
        verifyProvider(8, 16);
        vm.warp(block.timestamp + 1);
        checkTrue(!tgpu.isDefaulted(provider), "one challenge passed in all that time");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotDefaulted.selector, provider));
        vm.prank(holder);
        tgpu.redeem(provider, 100 ether);
        vm.revertToState(unpassed);
        vm.warp(block.timestamp + 1);
        checkTrue(tgpu.isDefaulted(provider), "the second after");
    }

    /// @dev More checks make no doubt shorter.
    function test_attack_check_after_check_makes_no_default_sooner() external {
        checkedByHolder();
        uint256 doubted = capacity.inDoubtUntil(provider);
        vm.warp(doubted - 1);
        checkEqual(capacity.inDoubtUntil(provider), doubted, "as it was");
        checkEqual(tgpu.servedUntil(provider), type(uint64).max, "served until then");
        vm.warp(doubted);
        checkEqual(tgpu.servedUntil(provider), doubted, "and no longer");
    }

    /// @dev All of its hardware serves one job, which keeps it from answering. The node takes none that is longer than this.
    function test_a_provider_that_is_rented_out_has_the_rest_of_its_verdict_and_a_grace() external {
        uint256 end = capacity.capacityOf(provider).until;
        vm.warp(end + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "the last second");
        verifyProvider(8, 16);
        vm.warp(block.timestamp + VALIDITY + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "and again as long");
    }

    /// @dev Many verdicts on next to nothing, so that the one that could serve is out of sight: no way out without a thaw.
    function test_attack_a_flood_of_small_verdicts_is_no_way_out_of_the_thaw() external {
        vm.prank(provider);
        tgpu.mint(holder, 400 ether);
        vm.warp(block.timestamp + 1 days);
        uint256 began = block.timestamp;
        for (uint256 i = 0; i < capacity.MAX_LOOKED_AT() + 2; i++) {
            verifyProvider(1, 1);
            vm.warp(block.timestamp + 1 minutes);
        }
        checkTrue(!tgpu.isDefaulted(provider), "not now");
        vm.warp(began + STAKE_THAW);
        checkTrue(!tgpu.isDefaulted(provider), "nor before a grace after the first of them");
        vm.warp(block.timestamp + 1 hours);
        checkTrue(tgpu.isDefaulted(provider), "but then");
        checkEqual(tgpu.redeemableOf(provider), 250 ether, "for what one GPU does not serve of 500");
    }

    /// @dev What it pledges as a verifier answers for verdicts: it neither thins nor fattens what its credits have.
    function test_a_pledge_does_not_dilute_holders() external {
        vm.prank(provider);
        registry.startUnstake(4_800 ether);
        pledgeFor(provider, 1_000 ether);
        vm.warp(block.timestamp + VALIDITY + STAKE_THAW + 1);
        checkEqual(tgpu.valueOf(provider, 100 ether), 200 ether, "whole, beside a pledge");
        vm.prank(holder);
        checkEqual(tgpu.redeem(provider, 100 ether), 200 ether, "paid");
    }

    // ---- How

    function checkedByHolder() private {
        giveOpenx(holder, 100 ether);
        approveFees(holder);
        vm.prank(holder);
        bytes32 id = capacity.spotCheck(provider);
        judge(id, drawn(id).panel, false);
    }

    function verifyProvider(uint16 gpus, uint16 vcpus) private {
        verify(provider, gpus, vcpus);
    }

    function verify(address who, uint16 gpus, uint16 vcpus) private {
        giveOpenx(who, rules.requestPrice(uint256(gpus) + vcpus));
        vm.prank(who);
        bytes32 id = capacity.requestChallenge(makeDeclared(gpus, vcpus));
        judge(id, drawn(id).panel, true);
        checkTrue(capacity.challengeOf(id).stage == ICapacityRegistry.Stage.Passed, "passed");
    }
}
