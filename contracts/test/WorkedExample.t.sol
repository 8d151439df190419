// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ComputeCredit} from "../src/money/ComputeCredit.sol";
import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {Providing} from "./Providing.sol";

/// @notice The numbers of docs/economics.md, step by step.
contract WorkedExampleTest is Providing {
    address private ada = address(0xADA);
    address private ben = address(0xBE11);
    address private sam = address(0x5A11);

    function setUp() public override {
        super.setUp();
        registry = ProviderRegistry(deploy(registryCode(14 days)));
        tgpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Gpu, 1.2 ether, 168)));
        tcpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Cpu, 0.12 ether, 168)));
        connectProviding();
        provider = ada;
        giveStake(ada, 1_000 ether);
        giveStake(ben, 500 ether);
        giveCapacity(ada, 4_000, 0);
        giveCapacity(ben, 2_000, 0);
    }

    function test_worked_example_mint_sell_run_elsewhere_burn_mint_again() external {
        checkEqual(tgpu.limitOf(ada), 672 ether, "4 GPUs x 168 hours");
        checkEqual(tgpu.mintableOf(ada), 672 ether, "1,000 OPENX would back 833");
        mintAs(ada, tgpu, 600 ether);
        checkEqual(registry.heldStakeOf(ada), 720 ether, "600 x 1.2");
        send(tgpu, ada, sam, 600 ether);

        burnAs(sam, tgpu, ben, 100 ether);
        isOut(tgpu, ben, -100 ether, "Ben served what Ada promised");
        checkEqual(tgpu.totalSupply(), 500 ether, "600 - 100");
        burnAs(sam, tgpu, ada, 250 ether);
        isOut(tgpu, ada, 350 ether, "600 - 250");
        checkEqual(registry.heldStakeOf(ada), 420 ether, "350 x 1.2");

        checkEqual(tgpu.mintableOf(ben), 436 ether, "2 GPUs x 168 hours, and the 100");
        mintAs(ben, tgpu, 436 ether);
        checkEqual(registry.heldStakeOf(ben), 403.2 ether, "336 x 1.2");
        checkEqual(tgpu.mintableOf(ada), 322 ether, "672 - 350");
        mintAs(ada, tgpu, 322 ether);
        checkEqual(tgpu.totalSupply(), 1_008 ether, "672 + 336: all that was verified");
        checkEqual(tgpu.limitOf(ada) + tgpu.limitOf(ben), 1_008 ether, "6 GPUs x 168 hours");
    }

    function test_worked_example_a_vanished_minter() external {
        sellAll();
        checkEqual(redeemAs(sam, tgpu, 672 ether), 806.4 ether, "1.2 for each");
        unstakeAs(ada, 193.6 ether);
        checkEqual(registry.stakeOf(ada), 0, "the surplus is hers");
    }

    function test_worked_example_a_vanished_minter_slashed_before() external {
        slash(ada, 200_000);
        checkEqual(registry.forfeitOf(ada), 0, "nothing is outstanding");
        checkEqual(tgpu.mintableOf(ada), 666666666666666666666, "800 OPENX back 666.6");

        giveStake(ada, 200 ether);
        sellAll();
        slash(ada, 200_000);
        checkEqual(openx.balanceOf(reporter), 40 ether, "a tenth of 200, twice");
        checkEqual(registry.forfeitOf(ada), 6.4 ether, "806.4 are needed, 800 are hers");
        checkEqual(redeemAs(sam, tgpu, 672 ether), 806.4 ether, "nobody is short");
    }

    function test_worked_example_a_vanished_minter_that_burns_all_its_stake() external {
        vm.prank(ada);
        registry.startUnstake(193.6 ether);
        vm.warp(block.timestamp + 14 days);
        vm.prank(ada);
        registry.withdrawStake();
        sellAll();
        slash(ada, 1_000_000);
        checkEqual(redeemAs(sam, tgpu, 672 ether), 725.76 ether, "nine tenths: 1.08 for each");
    }

    function test_worked_example_two_kinds_and_too_little_stake() external {
        giveCapacity(ada, 4_000, 16_000);
        giveStake(ada, 128.96 ether);
        mintAs(ada, tcpu, 2_688 ether);
        send(tcpu, ada, ben, 2_688 ether);
        sellAll();
        checkEqual(registry.heldStakeOf(ada), 1_128.96 ether, "806.4 and 322.56");
        slash(ada, 1_000_000);
        checkEqual(registry.backingOf(ada), 1_016.064 ether, "all but the reporter's tenth");
        uint256 gpu = redeemAs(sam, tgpu, 672 ether);
        vm.prank(ben);
        uint256 cpu = tcpu.redeem(ada, 2_688 ether);
        checkEqual(gpu, 725.76 ether, "nine tenths of 806.4");
        checkEqual(cpu, 290.304 ether, "nine tenths of 322.56");
    }

    function test_worked_example_governance_doubles_the_ratio() external {
        mintAs(ada, tgpu, 600 ether);
        send(tgpu, ada, sam, 600 ether);
        vm.warp(block.timestamp + 14 days);
        tgpu.setCollateralRatio(2.4 ether);
        checkEqual(registry.heldStakeOf(ada), 720 ether, "as before");
        checkEqual(tgpu.mintableOf(ada), 72 ether, "672 - 600, for 172.8 of the 280 that are free");
        unstakeAs(ada, 280 ether);
        vm.warp(block.timestamp + 14 days);
        vm.prank(ada);
        checkEqual(registry.withdrawStake(), 280 ether, "or leave");
        vanish(ada);
        checkEqual(redeemAs(sam, tgpu, 600 ether), 720 ether, "1.2 for each");
    }

    function sellAll() private {
        mintAs(ada, tgpu, 672 ether);
        send(tgpu, ada, sam, 672 ether);
        vanish(ada);
    }
}
